//! Labels: which data has which label, as a fold of the journal, and the rules of the host.
//!
//! Owns the label of every process, object, message and file that has one; whatever is not here
//! has the lowest. It says what is, and never what follows for a call: that is `flow.rs`. A
//! checkpoint keeps the labels of what it keeps, and a restore joins them to those of now, so no
//! label is lowered by going back.

use std::collections::BTreeMap;

use libos_abi::{
    CheckpointId, Digest, Event, Form, Label, Labelled, MessageId, ObjectId, Pattern, Pid,
    Resource, Source,
    event::{LabelEvent, ObjectEvent, ProcessEvent},
    wire::{self, Reader},
};
use libos_port::BadSnapshot;

/// A place that data may go to, and what may go there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sink {
    /// The resources that it is.
    pub on: Pattern,
    /// The highest label that may go there.
    pub clearance: Label,
    /// Whether a human may release a call whose data is above it.
    pub releasable: bool,
}

/// What a host says of labels. They are no state: what follows from them is recorded where it
/// happens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LabelRules {
    labels: Vec<(Pattern, Label)>,
    sinks: Vec<Sink>,
    /// What stands for another resource, whose rules hold for it.
    aliases: Vec<(Pattern, Resource)>,
}

impl LabelRules {
    /// Labels of what is read from resources, and clearances of what is written to. What comes
    /// from a resource that a rule speaks of has the source of its kind.
    #[must_use]
    pub fn new(labels: Vec<(Pattern, Label)>, sinks: Vec<Sink>) -> Self {
        let sourced = |(on, label): (Pattern, Label)| {
            let source = Label::from_source(Source::of_kind(on.kind()));
            (on, label.join(source))
        };
        let labels = labels.into_iter().map(sourced).collect();
        Self { labels, sinks, aliases: Vec::new() }
    }

    /// Has resources stand for another one, as methods of an endpoint do for its address: its rules
    /// hold for them too. Of sinks, a rule that speaks of them by themselves holds instead.
    #[must_use]
    pub fn standing_for(mut self, on: Pattern, place: Resource) -> Self {
        self.aliases.push((on, place));
        self
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.sinks.is_empty()
    }

    /// The label of what is read from a resource: of every rule that speaks of it.
    pub(crate) fn label(&self, on: &Resource) -> Label {
        let speaks = |of: &Pattern| of.matches(on) || self.places(on).any(|it| of.matches(it));
        join(self.labels.iter().filter(|(of, _)| speaks(of)).map(|(_, label)| *label))
    }

    /// The label of everything that could be read from resources of a kind.
    pub(crate) fn label_of_kind(&self, kind: &str) -> Label {
        join(self.labels.iter().filter(|(of, _)| of.kind() == kind).map(|(_, label)| *label))
    }

    /// The rule on a sink: the narrowest that speaks of it.
    pub(crate) fn sink(&self, on: &Resource) -> Option<&Sink> {
        let narrowness = |sink: &&Sink| match sink.on.form() {
            Form::Exact(text) => (text.len(), true),
            Form::Subtree(text) | Form::Prefix(text) => (text.len(), false),
        };
        let of = |on: &Resource| {
            self.sinks.iter().filter(|sink| sink.on.matches(on)).max_by_key(narrowness)
        };
        of(on).or_else(|| self.places(on).find_map(of))
    }

    /// What a resource stands for.
    fn places(&self, on: &Resource) -> impl Iterator<Item = &Resource> {
        self.aliases.iter().filter(|(of, _)| of.matches(on)).map(|(_, place)| place)
    }
}

/// The join of labels; the lowest of none.
pub(crate) fn join(labels: impl IntoIterator<Item = Label>) -> Label {
    labels.into_iter().fold(Label::BOTTOM, Label::join)
}

type Map = BTreeMap<Labelled, Label>;

/// How to take one change back.
#[derive(Debug)]
enum Undo {
    Now(Labelled, Option<Label>),
    Saved(CheckpointId, Option<Map>),
}

/// The label of everything that has one.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    now: Map,
    /// The labels of what checkpoints keep.
    saved: BTreeMap<CheckpointId, Map>,

    // No part of the state.
    pub(crate) rules: LabelRules,
    undo: Vec<Undo>,
}

impl Labels {
    /// Whether nothing has a label and no rule could give one.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_bare() && self.rules.is_empty()
    }

    fn is_bare(&self) -> bool {
        self.now.is_empty() && self.saved.is_empty()
    }

    /// The label of something.
    pub(crate) fn of(&self, what: &Labelled) -> Label {
        self.now.get(what).copied().unwrap_or_default()
    }

    /// Everything that has a label, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Labelled, Label)> {
        self.now.iter().map(|(what, label)| (what, *label))
    }

    // ---- transactions ------------------------------------------------------------------------

    /// Marks the state to come back to.
    pub(crate) fn begin(&mut self) {
        self.undo.clear();
    }

    /// Comes back to the state of the last [`begin`](Self::begin).
    pub(crate) fn rollback(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Now(what, Some(label)) => drop(self.now.insert(what, label)),
                Undo::Now(what, None) => drop(self.now.remove(&what)),
                Undo::Saved(checkpoint, Some(saved)) => drop(self.saved.insert(checkpoint, saved)),
                Undo::Saved(checkpoint, None) => drop(self.saved.remove(&checkpoint)),
            }
        }
    }

    // ---- events ------------------------------------------------------------------------------

    /// Applies an event of the journal.
    pub(crate) fn replay(&mut self, event: &Event) {
        self.apply(event);
        self.begin();
    }

    /// Applies an event, as far as it bears on labels.
    pub(crate) fn apply(&mut self, event: &Event) {
        match event {
            Event::Label(LabelEvent::Set { what, label }) => self.set(what.clone(), *label),
            _ if self.is_bare() => {}
            Event::Process(event) => self.apply_process(event),
            Event::Object(event) => self.apply_object(event),
            _ => {}
        }
    }

    fn apply_process(&mut self, event: &ProcessEvent) {
        match event {
            ProcessEvent::Received { pid: to, ids } => {
                for id in ids {
                    self.set(Labelled::Message { to: *to, id: *id }, Label::BOTTOM);
                }
            }
            ProcessEvent::Ended { pid, .. } => {
                for (what, _) in messages(&self.now, *pid) {
                    self.set(what, Label::BOTTOM);
                }
            }
            ProcessEvent::Saved { checkpoint, processes } => {
                let mut kept = files(&self.now);
                for pid in processes {
                    let own = Labelled::Process(*pid);
                    kept.extend(self.now.get(&own).map(|label| (own, *label)));
                    kept.extend(messages(&self.now, *pid));
                }
                self.keep(*checkpoint, kept);
            }
            ProcessEvent::Forgotten { checkpoint } => self.put_saved(*checkpoint, None),
            ProcessEvent::Rewound { pid, checkpoint } => {
                let Some(saved) = self.saved.get(checkpoint) else { return };
                let own = Labelled::Process(*pid);
                let mut back = files(saved);
                back.extend(saved.get(&own).map(|label| (own, *label)));
                back.extend(messages(saved, *pid));
                back.into_iter().for_each(|(what, label)| self.raise(what, label));
            }
            ProcessEvent::Copied { pid, checkpoint, from } => {
                let Some(saved) = self.saved.get(checkpoint) else { return };
                let own = saved.get(&Labelled::Process(*from)).copied();
                let mail = messages(saved, *from).into_values();
                let label = join(mail.chain(own));
                self.raise(Labelled::Process(*pid), label);
            }
            _ => {}
        }
    }

    fn apply_object(&mut self, event: &ObjectEvent) {
        match event {
            ObjectEvent::Deleted { id } => self.set(Labelled::Object(*id), Label::BOTTOM),
            ObjectEvent::Moved { from, to, .. } => {
                let label = self.of(&Labelled::Object(*from));
                self.raise(Labelled::Object(*to), label);
                self.set(Labelled::Object(*from), Label::BOTTOM);
            }
            ObjectEvent::SpaceForked { from, to } => {
                self.copy(&objects(&self.now, *from), *to);
            }
            ObjectEvent::SpaceDropped { space } => self.drop_space(*space),
            ObjectEvent::SpacesSaved { checkpoint, spaces } => {
                let of = |space: &Pid| objects(&self.now, *space);
                let kept = spaces.iter().flat_map(of).map(|(id, l)| (Labelled::Object(id), l));
                let kept = kept.collect();
                self.keep(*checkpoint, kept);
            }
            ObjectEvent::SpacesRestored { checkpoint, dropped } => {
                dropped.iter().for_each(|space| self.drop_space(*space));
                let Some(saved) = self.saved.get(checkpoint) else { return };
                let is_object = |what: &Labelled| matches!(what, Labelled::Object(_));
                let back = saved.iter().filter(|(what, _)| is_object(what));
                let back: Vec<_> = back.map(|(what, label)| (what.clone(), *label)).collect();
                back.into_iter().for_each(|(what, label)| self.raise(what, label));
            }
            ObjectEvent::SpaceCopied { checkpoint, from, to, .. } => {
                let saved = self.saved.get(checkpoint).map(|saved| objects(saved, *from));
                self.copy(&saved.unwrap_or_default(), *to);
            }
            _ => {}
        }
    }

    fn copy(&mut self, objects: &[(ObjectId, Label)], to: Pid) {
        for (id, label) in objects {
            self.raise(Labelled::Object(ObjectId { space: to, ..*id }), *label);
        }
    }

    fn drop_space(&mut self, space: Pid) {
        for (id, _) in objects(&self.now, space) {
            self.set(Labelled::Object(id), Label::BOTTOM);
        }
    }

    fn raise(&mut self, what: Labelled, label: Label) {
        let label = self.of(&what).join(label);
        self.set(what, label);
    }

    fn set(&mut self, what: Labelled, label: Label) {
        let before = match label {
            Label::BOTTOM => self.now.remove(&what),
            label => self.now.insert(what.clone(), label),
        };
        if before.unwrap_or_default() != label {
            self.undo.push(Undo::Now(what, before));
        }
    }

    /// Adds to what is kept for a checkpoint.
    fn keep(&mut self, checkpoint: CheckpointId, kept: Map) {
        if !kept.is_empty() {
            let mut all = self.saved.get(&checkpoint).cloned().unwrap_or_default();
            all.extend(kept);
            self.put_saved(checkpoint, Some(all));
        }
    }

    fn put_saved(&mut self, checkpoint: CheckpointId, saved: Option<Map>) {
        let before = match saved {
            Some(saved) => self.saved.insert(checkpoint, saved),
            None => self.saved.remove(&checkpoint),
        };
        self.undo.push(Undo::Saved(checkpoint, before));
    }

    // ---- the state as bytes ------------------------------------------------------------------

    /// A digest of the whole state; none as long as nothing has a label.
    pub(crate) fn digest(&self) -> Option<Digest> {
        let mut bytes = Vec::new();
        self.write(&mut bytes);
        (!self.is_bare()).then(|| Digest::of(&bytes))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        wire::encode_each(&self.now, out);
        wire::encode_into(&(self.saved.len() as u64), out);
        for (checkpoint, saved) in &self.saved {
            wire::encode_into(checkpoint, out);
            wire::encode_each(saved, out);
        }
    }

    /// What [`write`](Self::write) wrote, under these rules.
    pub(crate) fn read(bytes: &[u8], rules: LabelRules) -> Result<Self, BadSnapshot> {
        let mut bytes = Reader::new(bytes);
        let now = bytes.all()?;
        let mut saved = BTreeMap::new();
        for _ in 0..bytes.read::<u64>()? {
            saved.insert(bytes.read()?, bytes.all()?);
        }
        bytes.end()?;
        Ok(Self { now, saved, rules, undo: Vec::new() })
    }
}

fn objects(map: &Map, space: Pid) -> Vec<(ObjectId, Label)> {
    let id = |number| Labelled::Object(ObjectId { space, number });
    let object = |(what, label): (&Labelled, &Label)| match what {
        Labelled::Object(id) => Some((*id, *label)),
        _ => None,
    };
    map.range(id(0)..=id(u64::MAX)).filter_map(object).collect()
}

fn messages(map: &Map, to: Pid) -> Map {
    let id = |number| Labelled::Message { to, id: MessageId(number) };
    map.range(id(0)..=id(u64::MAX)).map(|(what, label)| (what.clone(), *label)).collect()
}

fn files(map: &Map) -> Map {
    let is_file = |what: &Labelled| matches!(what, Labelled::File { .. } | Labelled::Files { .. });
    let files = map.iter().filter(|(what, _)| is_file(what));
    files.map(|(what, label)| (what.clone(), *label)).collect()
}
