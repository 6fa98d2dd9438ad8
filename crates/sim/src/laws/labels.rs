//! Data labels: nothing leaves with data above what may leave there, and no label is lowered.
//!
//! The account is a bound from below, made from what calls asked and told, and never from what the
//! kernel says of labels. Nobody declassifies here, so what is known once is known for good.

use std::collections::BTreeMap;

use libos_abi::{
    Demand, Event, Integrity, Label, Labelled, MessageId, ObjectId, OpId, Outcome, Pid, Reply,
    Resource, Sensitivity, Source, Syscall,
    event::{LabelEvent, ObjectEvent, OpEvent, ProcessEvent},
    fs,
    human::{self, Ask, Decision},
    message, object, process,
};

use super::Laws;

/// How what is read from a resource is labelled.
pub(crate) const LABELS: [(&str, Sensitivity, Integrity); 5] = [
    ("fs:workspace/*", Sensitivity::Internal, Integrity::Trusted),
    ("human:*", Sensitivity::Public, Integrity::Untrusted),
    ("fs:workspace/secret/*", Sensitivity::Secret, Integrity::Trusted),
    ("fs:workspace/b/*", Sensitivity::Internal, Integrity::Untrusted),
    ("fs:workspace/b/y", Sensitivity::Confidential, Integrity::Trusted),
];

/// How far data may go.
pub(crate) const SINKS: [(&str, Sensitivity, Integrity); 5] = [
    ("process:*", Sensitivity::Confidential, Integrity::Trusted),
    ("shell:curl", Sensitivity::Internal, Integrity::Untrusted),
    ("shell:make", Sensitivity::Secret, Integrity::Trusted),
    ("human:*", Sensitivity::Public, Integrity::Untrusted),
    ("fs:workspace/c", Sensitivity::Public, Integrity::Untrusted),
];

/// The bounds.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Whether the host has rules.
    pub(crate) ruled: bool,
    marks: BTreeMap<Pid, Label>,
    objects: BTreeMap<ObjectId, Label>,
    messages: BTreeMap<MessageId, Label>,
    files: BTreeMap<Resource, Label>,
    /// Whatever programs could read, which any file may hold since.
    all: Label,
}

fn raise<K: Ord>(map: &mut BTreeMap<K, Label>, key: K, label: Label) {
    let entry = map.entry(key).or_default();
    *entry = entry.join(label);
}

/// Whether a rule of the tables speaks of a resource.
fn speaks(rule: &str, on: &Resource) -> bool {
    match (rule.strip_suffix("/*"), rule.strip_suffix(":*")) {
        (Some(base), _) => {
            let rest = on.as_str().strip_prefix(base);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        (None, Some(kind)) => on.kind() == kind,
        (None, None) => on.as_str() == rule,
    }
}

impl Known {
    fn mark(&self, pid: Pid) -> Label {
        self.marks.get(&pid).copied().unwrap_or_default()
    }

    fn object(&self, id: ObjectId) -> Label {
        self.objects.get(&id).copied().unwrap_or_default()
    }

    fn ruled(&self, fits: impl Fn(&str) -> bool) -> Label {
        let rules = LABELS.iter().filter(|(on, ..)| self.ruled && fits(on));
        rules.fold(Label::BOTTOM, |all, (on, sensitivity, integrity)| {
            let (sensitivity, integrity) = (*sensitivity, *integrity);
            let kind = on.split(':').next().unwrap_or_default();
            let source = Label::from_source(Source::of_kind(kind));
            all.join(Label { sensitivity, integrity, ..source })
        })
    }

    fn file(&self, on: &Resource) -> Label {
        let written = self.files.get(on).copied().unwrap_or_default();
        written.join(self.ruled(|rule| speaks(rule, on))).join(self.all)
    }

    /// What a program could come by.
    fn reachable(&self) -> Label {
        let files = self.files.values().fold(self.all, |all, label| all.join(*label));
        files.join(self.ruled(|rule| rule.starts_with("fs:")))
    }

    /// What a call tells a process.
    fn told(&self, call: &Syscall, reply: &Reply) -> Label {
        match (call, reply) {
            (Syscall::Fs(fs::Call::Read(fs::Read { path, .. })), _)
            | (Syscall::Fs(fs::Call::Stat(fs::Stat { path })), _)
            | (Syscall::Fs(fs::Call::Watch(fs::Watch { path, .. })), _)
            | (Syscall::Fs(fs::Call::Edit(fs::Edit { path, .. })), _)
            | (Syscall::Fs(fs::Call::Patch(fs::Patch { path, .. })), _) => {
                self.file(&path.resource())
            }
            (_, Reply::Fs(fs::Reply::Search(found))) => {
                let all = found.lines.iter().map(|it| self.file(&it.path.resource()));
                all.fold(Label::BOTTOM, Label::join)
            }
            (_, Reply::Fs(fs::Reply::Glob(found))) => {
                let all = found.entries.iter().map(|it| self.file(&it.path.resource()));
                all.fold(Label::BOTTOM, Label::join)
            }
            (Syscall::Shell(_), _) => self.reachable(),
            (Syscall::Human(human::Call::AskQuestion(_)), _) => {
                self.ruled(|rule| rule == "human:*")
            }
            (Syscall::Object(object::Call::Read(read)), _) => self.object(read.id),
            (_, Reply::Object(object::Reply::Query(found))) => {
                let all = found.objects.iter().map(|it| self.object(it.id));
                all.fold(Label::BOTTOM, Label::join)
            }
            (Syscall::Process(process::Call::WaitChild(wait)), _) => self.mark(wait.pid),
            (_, Reply::Process(process::Reply::Inspect(info))) => self.mark(info.pid),
            (_, Reply::Message(message::Reply::Peek(mail) | message::Reply::Receive(mail))) => {
                let of = |id| self.messages.get(&id).copied().unwrap_or_default();
                mail.messages.iter().map(|it| of(it.id)).fold(Label::BOTTOM, Label::join)
            }
            _ => Label::BOTTOM,
        }
    }
}

impl Laws {
    /// Takes in what an event means for labels.
    pub(super) fn labels(&mut self, at: u64, event: &Event) {
        match event {
            Event::Op(OpEvent::Dispatched { op }) => self.goes_out(at, *op),
            Event::Op(OpEvent::Blocked { op, .. }) => self.may_be_shown(at, *op),
            Event::Op(OpEvent::Settled { op, outcome }) => self.comes_back(at, *op, outcome),
            Event::Process(event) => self.labels_of_process(event),
            Event::Object(event) => self.labels_of_object(event),
            Event::Label(LabelEvent::Set { what, label }) => {
                let bound = match what {
                    Labelled::Process(pid) => self.known.mark(*pid),
                    Labelled::Object(id) => self.known.object(*id),
                    Labelled::File { on, .. } => {
                        self.known.files.get(on).copied().unwrap_or_default()
                    }
                    _ => Label::BOTTOM,
                };
                self.must("no label is lowered", bound.is_within(*label), || {
                    format!("#{at}: {what:?} is {label}, and has in it what is {bound}")
                });
            }
            _ => {}
        }
    }

    /// A question or a message is put to a human when it is asked, not when it is answered.
    fn may_be_shown(&mut self, at: u64, op: OpId) {
        let is_question = |asked: &super::Asked| matches!(asked.ask, Ask::Question { .. });
        if self.requests.values().any(|asked| is_question(asked) && asked.is_of(op)) {
            self.goes_out(at, op);
        }
    }

    fn goes_out(&mut self, at: u64, id: OpId) {
        let Some(called) = self.ops.get(&id) else { return };
        let (Some(pid), Demand::Rights(needs)) = (called.caller.pid(), called.call.demand()) else {
            return;
        };
        let (info, is_program) = (called.call.info(), matches!(called.call, Syscall::Shell(_)));
        if !info.data.is_out() {
            return;
        }
        let mut label = self.known.mark(pid);
        if is_program {
            label = label.join(self.known.reachable());
        }
        if let Syscall::Fs(fs::Call::Rename(rename)) = &called.call {
            label = label.join(self.known.file(&rename.from.resource()));
        }
        for need in &needs {
            let ruled = self.known.ruled;
            let sinks = SINKS.iter().filter(|(on, ..)| ruled && speaks(on, &need.on));
            for (_, sensitivity, integrity) in sinks {
                let (sensitivity, integrity) = (*sensitivity, *integrity);
                let clearance = Label { sensitivity, integrity, ..Label::TOP };
                let may = label.is_within(clearance) || self.is_released(id, label);
                self.must("nothing leaves above its clearance", may, || {
                    format!("#{at}: {} of {id} has what is {label}", info.name)
                });
            }
            if need.on.kind() == "fs" {
                raise(&mut self.known.files, need.on.clone(), label);
            }
        }
        if is_program {
            self.known.all = self.known.all.join(label);
        }
    }

    /// Whether a human has released the data of this very operation, and all that is in it.
    fn is_released(&self, op: OpId, label: Label) -> bool {
        self.requests.values().any(|asked| {
            let is_yes = matches!(&asked.over, Some(Some(Decision::Approve { .. })));
            matches!(&asked.ask, Ask::Release(release) if label.is_within(release.label))
                && asked.is_of(op)
                && is_yes
        })
    }

    fn comes_back(&mut self, at: u64, id: OpId, outcome: &Outcome) {
        let Some(called) = self.ops.get(&id) else { return };
        let (Some(pid), Ok(reply)) = (called.caller.pid(), outcome) else { return };
        let call = called.call.clone();
        if let Reply::Human(human::Reply::Output(_)) = reply {
            self.goes_out(at, id);
        }
        let told = self.known.told(&call, reply);
        raise(&mut self.known.marks, pid, told);
        let mark = self.known.mark(pid);
        let made = match (&call, reply) {
            (_, Reply::Object(object::Reply::Create(made))) => Some(made.id),
            (Syscall::Object(object::Call::Update(update)), _) => Some(update.id),
            (Syscall::Object(object::Call::Append(append)), _) => Some(append.id),
            _ => None,
        };
        if let Some(id) = made {
            raise(&mut self.known.objects, id, mark);
        }
        if let (Syscall::Process(process::Call::Merge(merge)), Reply::Process(reply)) =
            (&call, reply)
            && let process::Reply::Merge(merged) = reply
        {
            for it in &merged.adopted {
                let label = self.known.object(it.from);
                raise(&mut self.known.objects, it.to, label);
            }
            for id in &merged.updated {
                let child = self.known.object(ObjectId { space: merge.pid, ..*id });
                raise(&mut self.known.objects, *id, child);
            }
        }
    }

    fn labels_of_process(&mut self, event: &ProcessEvent) {
        match event {
            ProcessEvent::Spawned { pid, parent: Some(parent), .. } => {
                let label = self.known.mark(*parent);
                raise(&mut self.known.marks, *pid, label);
            }
            ProcessEvent::Sent(sent) => {
                let label = sent.from.map_or(Label::BOTTOM, |from| self.known.mark(from));
                self.known.messages.insert(sent.id, label);
            }
            ProcessEvent::Received { pid, ids } => {
                let of = |id| self.known.messages.get(id).copied().unwrap_or_default();
                let label = ids.iter().map(of).fold(Label::BOTTOM, Label::join);
                raise(&mut self.known.marks, *pid, label);
            }
            _ => {}
        }
    }

    fn labels_of_object(&mut self, event: &ObjectEvent) {
        match event {
            ObjectEvent::SpaceForked { from, to } => {
                let copies = self.known.objects.iter().filter(|(id, _)| id.space == *from);
                let copies: Vec<_> =
                    copies.map(|(id, l)| (ObjectId { space: *to, ..*id }, *l)).collect();
                copies.into_iter().for_each(|(id, l)| raise(&mut self.known.objects, id, l));
            }
            ObjectEvent::Moved { from, to, .. } => {
                let label = self.known.objects.remove(from).unwrap_or_default();
                raise(&mut self.known.objects, *to, label);
            }
            // What a restore brings back is what was kept, which may be an older version.
            ObjectEvent::Deleted { id } => drop(self.known.objects.remove(id)),
            ObjectEvent::SpaceDropped { space } => {
                self.known.objects.retain(|id, _| id.space != *space);
            }
            ObjectEvent::SpacesRestored { dropped, .. } => {
                self.known.objects.retain(|id, _| !dropped.contains(&id.space));
            }
            _ => {}
        }
    }
}
