//! Capabilities: what was allowed was allowed by what was held, at that moment and for that call.
//!
//! The engine's own account is not looked at. Conditions on arguments are left to the engine's
//! reference model; here stand the laws that no condition softens.

use libos_abi::{
    CapId, Effect, Need, OpId, Origin, Pid, Syscall,
    event::{CapabilityEvent, NewCapability},
};

use super::Laws;

/// One capability as its records tell it.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) new: NewCapability,
    pub(crate) revoked: bool,
    ended: bool,
    /// Uses taken, set aside ones included.
    uses: u32,
    calls: u64,
    /// Denials of the giver that bind whatever was cut off here.
    denials: Vec<CapId>,
}

impl Held {
    fn of(new: &NewCapability) -> Self {
        let new = new.clone();
        Self { new, revoked: false, ended: false, uses: 0, calls: 0, denials: Vec::new() }
    }
}

impl Laws {
    pub(super) fn capability(&mut self, event: &CapabilityEvent) {
        match event {
            CapabilityEvent::Granted(new) => self.granted(new),
            CapabilityEvent::Revoked { capability, .. } => self.revoked(*capability),
            CapabilityEvent::Kept { dropped, .. } => {
                dropped.iter().for_each(|id| self.revoked(*id));
            }
            CapabilityEvent::Reserved { op, charges } => {
                for charge in charges {
                    self.takes(charge.capability, charge.uses, charge.calls);
                }
                if let Some(owed) = self.owed.get_mut(op) {
                    owed.retain(|id| charges.iter().all(|charge| charge.capability != *id));
                }
                let before = self.reserved.insert(*op, charges.clone());
                self.must("set aside once", before.is_none(), || format!("{op}"));
            }
            CapabilityEvent::Settled { op, gave_back } => self.settles(*op, *gave_back),
            CapabilityEvent::SubjectEnded { subject } => {
                let own = self.caps.values_mut().filter(|held| held.new.subject == *subject);
                own.for_each(|held| held.ended = true);
            }
            CapabilityEvent::Bounded { pid, manifest } => {
                self.bounds.insert(*pid, manifest.clone());
            }
            // A parent and its child may write to each other: nothing is made for it.
            CapabilityEvent::ChildKnown { parent, child } => {
                for new in NewCapability::kin(*parent, *child) {
                    self.caps.entry(new.id).or_insert_with(|| Held::of(&new));
                }
            }
            CapabilityEvent::Saved { .. }
            | CapabilityEvent::Forgotten { .. }
            | CapabilityEvent::BoundsCopied { .. } => {}
            CapabilityEvent::Restored { revived, revoked, .. } => {
                revoked.iter().for_each(|id| self.revoked(*id));
                let again = |pid| revived.iter().any(|revived| revived.pid == pid);
                let own = self.caps.values_mut().filter(|held| again(held.new.subject));
                own.for_each(|held| held.ended = false);
            }
        }
    }

    fn granted(&mut self, new: &NewCapability) {
        let id = new.id;
        let made = self.caps.keys().rev().find(|id| id.kin_child().is_none());
        let next = made.map_or(0, |last| last.0) + 1;
        self.must("numbers are given once", id.0 == next, || format!("{id} is not cap-{next}"));
        let mut denials = Vec::new();
        if let Some(parent) = new.parent {
            let above = self.caps.get(&parent).map(|held| held.new.clone());
            let narrower = above.is_some_and(|above| {
                let on = above.grant.on.covers(&new.grant.on) || new.origin == Origin::Kernel;
                let until = above.expires_at_ms.unwrap_or(u64::MAX);
                on && above.grant.rights.covers(new.grant.rights)
                    && new.expires_at_ms.unwrap_or(u64::MAX) <= until
            });
            self.must("only ever narrower", narrower, || format!("{id} is cut from {parent}"));
            let live = self.is_live(parent);
            self.must("revoked is revoked", live, || format!("{id} is cut from {parent}"));
        }
        if let (Origin::Delegated { by }, Effect::Allow) = (&new.origin, new.grant.effect) {
            denials = self.denials_of(*by, new);
        }
        if let (Origin::Human { request }, Some(_)) = (&new.origin, &new.binding) {
            self.approved.push((*request, id));
        }
        let held = Held { denials, ..Held::of(new) };
        self.caps.insert(id, held);
    }

    /// Capabilities worth taking back: of each two chances one is that something was cut from it.
    pub(crate) fn revocable(&self) -> Vec<CapId> {
        let live = |id: &CapId| self.is_live(*id);
        let above = self.caps.values().filter_map(|held| held.new.parent).filter(live);
        let mut caps: Vec<CapId> = above.collect();
        caps.extend(self.caps.keys().copied().filter(live).take(caps.len().max(8)));
        caps
    }

    /// The denials of a giver that bear on what it hands on.
    fn denials_of(&self, giver: Pid, new: &NewCapability) -> Vec<CapId> {
        let bears = |held: &Held| {
            held.new.subject == giver
                && held.new.grant.effect == Effect::Deny
                && held.new.grant.when.is_empty()
                && held.new.grant.on.overlaps(&new.grant.on)
                && !held.new.grant.rights.intersect(new.grant.rights).is_empty()
        };
        let bear = self.caps.iter().filter(|(id, held)| bears(held) && self.is_live(**id));
        bear.map(|(id, _)| *id).collect()
    }

    fn revoked(&mut self, id: CapId) {
        if let Some(held) = self.caps.get_mut(&id) {
            held.revoked = true;
        }
    }

    fn takes(&mut self, id: CapId, uses: u32, calls: u64) {
        let Some(held) = self.caps.get_mut(&id) else { return };
        held.uses += uses;
        held.calls += calls;
        let grant = &held.new.grant;
        let within = grant.uses.is_none_or(|max| held.uses <= max)
            && grant.calls_max.is_none_or(|max| held.calls <= max);
        self.must("no use is spent twice", within, || format!("{id} is over its limit"));
    }

    fn settles(&mut self, op: OpId, gave_back: bool) {
        let Some(charges) = self.reserved.remove(&op) else {
            return self.broken("settled once", format!("{op} has nothing set aside"));
        };
        if !gave_back {
            return;
        }
        for charge in charges {
            if let Some(held) = self.caps.get_mut(&charge.capability) {
                held.uses = held.uses.saturating_sub(charge.uses);
                held.calls = held.calls.saturating_sub(charge.calls);
            }
        }
        let happened = self.happened.get(&op).copied().unwrap_or(0);
        let dispatched = self.ops.get(&op).is_some_and(|called| called.dispatched.is_some());
        let certified = !dispatched || self.not_started.contains(&op) || happened == 0;
        self.must("given back only if nothing began", certified && happened == 0, || {
            format!("{op} happened {happened} times and gets its use back")
        });
    }

    /// That an operation that goes through has set aside all it takes from finite grants.
    pub(super) fn has_paid(&mut self, at: u64, op: OpId) {
        let owed = self.owed.remove(&op).unwrap_or_default();
        self.must("what is finite is taken", owed.is_empty(), || {
            format!("#{at}: {op} takes nothing from {owed:?}")
        });
    }

    /// Whether a capability and all above it are in force.
    pub(super) fn is_live(&self, id: CapId) -> bool {
        let mut at = Some(id);
        while let Some(id) = at {
            match self.caps.get(&id) {
                Some(held) if !held.revoked => at = held.new.parent,
                _ => return false,
            }
        }
        self.caps[&id].new.expires_at_ms.is_none_or(|until| until > self.now_ms)
    }

    fn speaks_of(&self, id: CapId, need: &Need) -> bool {
        self.caps.get(&id).is_some_and(|held| {
            let grant = &held.new.grant;
            grant.rights.contains(need.right) && grant.on.matches(&need.on)
        })
    }

    /// Whether every manifest of a process and of those above it foresees a call.
    fn is_foreseen(&self, pid: Pid, call: &Syscall) -> bool {
        let info = call.info();
        let is =
            |entry: &String| entry == info.name || entry.strip_suffix(".*") == Some(info.service);
        let above = self.tasks.get(&pid).map(|task| task.above.clone()).unwrap_or_default();
        let bounds = above.iter().chain([&pid]).filter_map(|pid| self.bounds.get(pid));
        bounds.filter_map(|manifest| manifest.calls.as_ref()).all(|calls| calls.iter().any(is))
    }

    /// The denials that were handed on with a capability. The host may have taken back the copy of
    /// one with whoever it was handed to: it binds nobody from there on.
    fn handed_denials(&self, id: CapId) -> impl Iterator<Item = CapId> {
        let chain = move || {
            let first = self.caps.get(&id);
            std::iter::successors(first, |held| self.caps.get(&held.new.parent?))
        };
        let is_taken_back = move |denial: CapId| {
            self.caps.iter().any(|(copy, held)| {
                held.new.parent == Some(denial)
                    && chain().any(|above| above.new.subject == held.new.subject)
                    && !self.is_live(*copy)
            })
        };
        let denials = self.caps.get(&id).into_iter().flat_map(|held| held.denials.iter().copied());
        denials.filter(move |denial| !is_taken_back(*denial))
    }

    /// That a call was rightly allowed what it needs.
    pub(super) fn allowed(
        &mut self,
        at: u64,
        (op, pid): (OpId, Pid),
        call: &Syscall,
        need: &Need,
        by: &[CapId],
    ) {
        let name = call.info().name;
        let told = |what: String| format!("#{at}: {name} of {pid}, {op}, on {}: {what}", need.on);
        let foreseen = self.is_foreseen(pid, call);
        self.must("a manifest bounds", foreseen, || told("no manifest foresees it".into()));
        for id in by {
            let Some(held) = self.caps.get(id) else {
                return self.broken("allowed by what is held", told(format!("{id} is nowhere")));
            };
            let live = self.is_live(*id) && !held.ended;
            let is_approval = held.new.binding.is_some();
            let above = self.tasks.get(&pid).is_some_and(|t| t.above.contains(&held.new.subject));
            let own = held.new.subject == pid
                || (above && held.new.binding.as_ref().is_some_and(|binding| binding.subtree));
            let fits = held.new.binding.as_ref().is_none_or(|binding| {
                binding.digest == call.digest() && binding.op.is_none_or(|once| once == op)
            });
            let grant = &self.caps[id].new.grant;
            if grant.uses.is_some() || grant.calls_max.is_some() {
                self.owed.entry(op).or_default().insert(*id);
            }
            self.must("revoked is revoked", live, || told(format!("{id} is not in force")));
            self.must("allowed by what is held", own, || told(format!("{id} is another's")));
            self.must("an approval fits one call", !is_approval || fits, || {
                told(format!("{id} is for another call"))
            });
        }
        let speaking: Vec<CapId> =
            by.iter().copied().filter(|id| self.speaks_of(*id, need)).collect();
        self.must("allowed by what is held", !speaking.is_empty(), || told("by nothing".into()));
        let denies = |held: &Held| {
            held.new.subject == pid && held.new.grant.effect == Effect::Deny && !held.ended
        };
        let own = self.caps.iter().filter(|(_, held)| denies(held)).map(|(id, _)| *id);
        let handed = speaking.iter().flat_map(|id| self.handed_denials(*id));
        let denial = own.chain(handed).find(|id| {
            let plain = self.caps.get(id).is_some_and(|held| held.new.grant.when.is_empty());
            plain && self.is_live(*id) && self.speaks_of(*id, need)
        });
        self.must("deny beats all", denial.is_none(), || told(format!("{denial:?} denies it")));
    }
}
