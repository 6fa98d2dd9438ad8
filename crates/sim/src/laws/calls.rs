//! Operations: each admitted, dispatched and settled once, each step of a quantum once; what it
//! ended in agrees with what its record did and with what happened in the world.

use libos_abi::{
    Demand, EffectClass, Error, Fault, OpId, Outcome, Pid, Principal, Reply, Syscall, capability,
    event::{OpEvent, Step, Verdict},
    human, message, process,
    process::{Usage, Wait},
};

use super::Laws;

/// One operation as its records tell it.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) caller: Principal,
    pub(crate) step: Step,
    pub(crate) call: Syscall,
    /// In which record its effect may start.
    pub(crate) dispatched: Option<u64>,
    /// In which record it ended, and in what.
    pub(crate) settled: Option<(u64, Outcome)>,
    pub(crate) wait: Option<Wait>,
    allowed: bool,
    /// What it was charged, children aside.
    pub(super) charged: Vec<Usage>,
}

/// Whether a call changes the outside, so that its intent must be on disk before it starts.
pub(crate) fn has_effect(call: &Syscall) -> bool {
    let info = call.info();
    !matches!(info.effect, EffectClass::State | EffectClass::Read) && info.name != "tool.call"
}

impl Laws {
    pub(super) fn op(&mut self, at: u64, event: &OpEvent) {
        let id = event.op();
        match event {
            OpEvent::Admitted { caller, step, call, .. } => {
                self.admitted(at, id, caller, *step, call);
            }
            OpEvent::Decided { verdict, .. } => self.decided(at, id, verdict),
            OpEvent::Dispatched { .. } => self.dispatched(at, id),
            OpEvent::Blocked { wait, .. } => {
                if let Some(called) = self.ops.get_mut(&id) {
                    called.wait = Some(wait.clone());
                }
            }
            OpEvent::Settled { outcome, .. } => self.settled(at, id, outcome),
            OpEvent::Loaded { .. } | OpEvent::Drawn { .. } | OpEvent::Excerpted { .. } => {}
        }
    }

    fn admitted(&mut self, at: u64, id: OpId, caller: &Principal, step: Step, call: &Syscall) {
        let last = self.last_op;
        self.must("numbers are given once", id.0 == last + 1, || {
            format!("#{at}: {id} follows op-{last}")
        });
        self.last_op = id.0;
        match caller {
            Principal::Host(name) => drop(self.hosts.insert(name.to_string(), id)),
            Principal::Process(pid) | Principal::Tool { pid, .. } => {
                let runs = self.tasks.get(pid).is_some_and(|task| task.life.acts());
                self.must("only who runs acts", runs, || {
                    format!("#{at}: {} of {pid} is admitted, which does not run", call.info().name)
                });
                if step.index > 0 {
                    self.latest.insert((*pid, step), id);
                    let before = self.steps.entry(*pid).or_default().insert(step, id);
                    self.must("no step twice", before.is_none(), || {
                        format!("#{at}: step {step:?} of {pid} is admitted again, as {id}")
                    });
                }
            }
        }
        let called = Called {
            caller: caller.clone(),
            step,
            call: call.clone(),
            dispatched: None,
            settled: None,
            wait: None,
            allowed: false,
            charged: Vec::new(),
        };
        let early = std::mem::take(&mut self.charges);
        let early = early.into_iter().filter(|(op, _)| *op == id).map(|(_, usage)| usage);
        let called = Called { charged: early.collect(), ..called };
        self.ops.insert(id, called);
        self.open.insert(id);
    }

    fn decided(&mut self, at: u64, id: OpId, verdict: &Verdict) {
        let Some(called) = self.ops.get_mut(&id) else {
            return self.broken("admission first", format!("#{at}: {id} was never admitted"));
        };
        let Verdict::Allowed(by) = verdict else { return };
        called.allowed = true;
        let demand = called.call.demand();
        if let (Principal::Process(pid), Demand::Rights(needs)) = (&called.caller, demand) {
            let (pid, call) = (*pid, called.call.clone());
            let by: Vec<_> = by.iter().copied().collect();
            for need in &needs {
                self.allowed(at, (id, pid), &call, need, &by);
            }
        }
    }

    fn dispatched(&mut self, at: u64, id: OpId) {
        let Some(called) = self.ops.get_mut(&id) else {
            return self.broken("admission first", format!("#{at}: {id} was never admitted"));
        };
        let fresh = called.dispatched.is_none() && called.settled.is_none();
        let allowed = called.allowed;
        self.has_paid(at, id);
        let Some(called) = self.ops.get_mut(&id) else { return };
        called.dispatched.get_or_insert(at);
        called.wait = None;
        self.must("one intent", fresh, || format!("#{at}: {id} is dispatched again"));
        self.must("no effect without a decision", allowed, || format!("#{at}: {id}"));
    }

    fn settled(&mut self, at: u64, id: OpId, outcome: &Outcome) {
        let Some(called) = self.ops.get_mut(&id) else {
            return self.broken("admission first", format!("#{at}: {id} was never admitted"));
        };
        let fresh = called.settled.is_none();
        called.settled.get_or_insert((at, outcome.clone()));
        self.open.remove(&id);
        let Some(called) = self.ops.get_mut(&id) else { return };
        called.wait = None;
        self.must("one outcome", fresh, || format!("#{at}: {id} ends a second time"));
        self.touched.push(id);
        match outcome {
            Ok(_) => self.has_paid(at, id),
            Err(_) => drop(self.owed.remove(&id)),
        }
        self.agrees(at, id, outcome);
        self.is_charged(at, id, outcome);
        if let Err(Error::Fault(Fault::UnknownOutcome { .. })) = outcome {
            self.may_be_unknown(at, id);
        }
    }

    /// What a call replied is what its record did.
    fn agrees(&mut self, at: u64, id: OpId, outcome: &Outcome) {
        let Ok(reply) = outcome else { return };
        let holds = match reply {
            Reply::Message(message::Reply::Send(sent)) => sent.id.0 <= self.last_message,
            Reply::Message(message::Reply::Receive(got)) => {
                let ids: Vec<_> = got.messages.iter().map(|message| message.id).collect();
                ids == self.taken
            }
            Reply::Process(
                process::Reply::Launch(made)
                | process::Reply::Spawn(made)
                | process::Reply::Fork(made)
                | process::Reply::StartTask(made),
            ) => self.tasks.contains_key(&made.pid),
            Reply::Process(process::Reply::WaitChild(ending)) => {
                self.tasks.get(&ending.pid).is_some_and(|task| task.life == super::Life::Ended)
            }
            Reply::Capability(
                capability::Reply::Delegate(granted) | capability::Reply::Grant(granted),
            ) => self.caps.contains_key(&granted.capability),
            Reply::Capability(capability::Reply::Revoke(revoked)) => {
                revoked.capabilities.iter().all(|id| !self.is_live(*id))
            }
            Reply::Human(human::Reply::AskQuestion(answer)) => {
                self.was_answered(id, &answer.answer)
            }
            _ => true,
        };
        self.must("a reply tells what was done", holds, || format!("#{at}: {id} {reply:?}"));
    }

    /// An outcome is unknown only where nobody can know it.
    fn may_be_unknown(&mut self, at: u64, id: OpId) {
        let Some(called) = self.ops.get(&id) else { return };
        let class = called.call.info().effect;
        let dispatched = called.dispatched.is_some();
        let ended = called.caller.pid().and_then(|pid| self.tasks.get(&pid));
        let ended = ended.is_some_and(|task| task.life == super::Life::Ended);
        let unknown = self.unknown.contains(&id) || ended || class == EffectClass::Irreversible;
        self.must("unknown only where nobody can know", dispatched && unknown, || {
            format!("#{at}: {id} of class {}", class.name())
        });
    }

    /// The operation behind a step that is answered so. One that was answered in the batch in
    /// which its process came back to a checkpoint is no step of its quantum any more.
    pub(crate) fn find(&self, pid: Pid, step: Step, outcome: &Outcome) -> Option<OpId> {
        let own = self.steps.get(&pid).and_then(|steps| steps.get(&step)).copied();
        let latest = self.latest.get(&(pid, step)).copied();
        let is_it = |op: &OpId| {
            let settled = self.ops.get(op).and_then(|called| called.settled.as_ref());
            settled.is_some_and(|(_, recorded)| recorded == outcome)
        };
        own.filter(is_it).or(latest.filter(is_it)).or(own)
    }

    /// The operation that the host made under a name.
    pub(crate) fn find_host(&self, name: &str) -> Option<OpId> {
        self.hosts.get(name).copied()
    }

    pub(super) fn quantum_ends(&mut self, pid: Pid) {
        self.steps.remove(&pid);
    }

    /// That an effect may start now: its intent is written, and on disk if it changes the outside.
    pub(crate) fn starts(&mut self, op: OpId, durable: u64) {
        let Some(called) = self.ops.get(&op) else {
            return self.broken("intent before effect", format!("{op} was never admitted"));
        };
        let name = called.call.info().name;
        let written = called.dispatched;
        let on_disk = written.is_some_and(|at| at < durable);
        let needs_disk = has_effect(&called.call);
        self.must("intent before effect", written.is_some() && (on_disk || !needs_disk), || {
            format!("{name} of {op} starts while its intent is not on disk")
        });
    }

    /// That a reply may leave now: what it says is on disk, if it changed more than the kernel's
    /// own bookkeeping.
    pub(crate) fn leaves(&mut self, op: OpId, outcome: &Outcome, durable: u64) {
        let Some(called) = self.ops.get(&op) else { return };
        let is_host = called.caller.pid().is_none();
        let name = called.call.info().name;
        let Some((at, recorded)) = &called.settled else {
            return self.broken("record before reply", format!("{name}, {op}: no outcome"));
        };
        let (at, same) = (*at, recorded == outcome);
        let needs_disk = is_host || has_effect(&called.call);
        self.must("record before reply", !needs_disk || at < durable, || {
            format!("the reply to {name}, {op}, leaves before record #{at} is on disk")
        });
        self.must("a reply is what was recorded", same, || format!("{name}, {op}: {outcome:?}"));
    }
}
