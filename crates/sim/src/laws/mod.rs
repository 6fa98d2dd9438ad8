//! What must hold, judged from outside: from the records of the journal, from what left the
//! system, and from what happened in the world. Nothing here calls the kernel, and nothing here
//! is the kernel's own code: it is a second, simple account of the same history.

mod calls;
pub(crate) mod labels;
mod people;
mod rights;
mod tasks;
mod waits;

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{CapId, CheckpointId, Event, OpId, Pid, Record, RequestId, event::Step};

pub(crate) use calls::Called;
use people::Asked;
use rights::Held;
pub(crate) use tasks::{Life, Task};

/// Something that must hold does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which law.
    pub law: &'static str,
    /// What was seen.
    pub what: String,
}

/// The account of one history.
#[derive(Debug, Default)]
pub(crate) struct Laws {
    pub(crate) found: Vec<Violation>,
    /// How many records were seen.
    seen: u64,
    pub(crate) now_ms: u64,
    last_op: u64,
    pub(crate) ops: BTreeMap<OpId, Called>,
    /// Those that are not over.
    open: BTreeSet<OpId>,
    /// The steps of each process's quantum.
    steps: BTreeMap<Pid, BTreeMap<Step, OpId>>,
    /// What was admitted last as a step, whatever came back to a checkpoint since.
    latest: BTreeMap<(Pid, Step), OpId>,
    /// The call that the host made under a name.
    hosts: BTreeMap<String, OpId>,
    pub(crate) tasks: BTreeMap<Pid, Task>,
    last_message: u64,
    /// What every process was ever sent and has not taken.
    mail: BTreeMap<Pid, Vec<libos_abi::message::Message>>,
    /// What is set aside of budgets.
    aside: BTreeMap<OpId, (Pid, libos_abi::process::Usage)>,
    pub(crate) caps: BTreeMap<CapId, Held>,
    /// What operations were allowed by and have not set aside yet.
    owed: BTreeMap<OpId, BTreeSet<CapId>>,
    /// Uses that the capabilities made in this record have, by the request they answer.
    approved: Vec<(RequestId, CapId)>,
    reserved: BTreeMap<OpId, Vec<libos_abi::capability::Charge>>,
    bounds: BTreeMap<Pid, libos_abi::Manifest>,
    pub(crate) requests: BTreeMap<RequestId, Asked>,
    /// What each subscriber was told and has not taken.
    told: BTreeMap<Pid, u64>,
    objects: BTreeSet<libos_abi::ObjectId>,
    /// What is known to be in what.
    pub(crate) known: labels::Known,
    /// What processes were at checkpoints.
    saved: BTreeMap<CheckpointId, BTreeMap<Pid, tasks::Saved>>,
    /// The operations of the record being read.
    touched: Vec<OpId>,
    /// Charges that came before the admission of their operation.
    charges: Vec<(OpId, libos_abi::process::Usage)>,
    /// The letters that were taken in it.
    taken: Vec<libos_abi::MessageId>,
    /// Of these effects a provider certified that nothing began.
    pub(crate) not_started: BTreeSet<OpId>,
    /// Of these effects a provider does not know, or nobody was there to tell.
    pub(crate) unknown: BTreeSet<OpId>,
    /// How often each effect happened in the world.
    pub(crate) happened: BTreeMap<OpId, u32>,
}

impl Laws {
    /// Notes a violation unless it holds.
    fn must(&mut self, law: &'static str, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            let what = what();
            self.found.push(Violation { law, what });
        }
    }

    /// Notes a violation.
    pub(crate) fn broken(&mut self, law: &'static str, what: impl Into<String>) {
        self.found.push(Violation { law, what: what.into() });
    }

    /// Reads the next record.
    pub(crate) fn record(&mut self, record: &Record) {
        let at = self.seen;
        self.seen += 1;
        self.must("time", record.at_ms >= self.now_ms, || format!("#{at} is before the last one"));
        self.now_ms = self.now_ms.max(record.at_ms);
        self.touched.clear();
        self.taken.clear();
        self.approved.clear();
        for event in &record.events {
            self.event(at, event);
        }
        self.after(at);
    }

    fn event(&mut self, at: u64, event: &Event) {
        self.labels(at, event);
        match event {
            Event::Op(event) => self.op(at, event),
            Event::Process(event) => self.process(event),
            Event::Capability(event) => self.capability(event),
            Event::Human(event) => self.human(event),
            Event::Object(event) => self.object(event),
            Event::Subscriber(event) => self.subscriber(event),
            Event::Image(_) | Event::Checkpoint(_) | Event::Tool(_) | Event::Label(_) => {}
        }
    }

    /// What holds between records.
    fn after(&mut self, at: u64) {
        for op in std::mem::take(&mut self.touched) {
            let Some(called) = self.ops.get(&op) else { continue };
            if called.settled.is_none() {
                continue;
            }
            let left = (self.reserved.contains_key(&op), self.aside.contains_key(&op));
            self.must("settled once", left == (false, false), || {
                format!("#{at}: {op} is over and still holds something of a grant or a budget")
            });
        }
    }

    fn subscriber(&mut self, event: &libos_abi::event::SubscriberEvent) {
        use libos_abi::event::SubscriberEvent as E;
        match event {
            E::Told { pid, .. } => *self.told.entry(*pid).or_default() += 1,
            E::Taken { pid, .. } => {
                // How many a call took is its limit's affair; some are left at the most.
                self.told.remove(pid);
            }
            E::Ended { pid, .. } => drop(self.told.remove(pid)),
            E::Subscribed { .. } | E::Unsubscribed { .. } => {}
        }
    }

    fn object(&mut self, event: &libos_abi::event::ObjectEvent) {
        use libos_abi::event::ObjectEvent as E;
        if let E::Created { id, .. } = event {
            let fresh = self.objects.insert(*id);
            self.must("numbers are given once", fresh, || format!("{id} is made a second time"));
        }
    }
}
