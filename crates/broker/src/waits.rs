//! Waiting and waking: a waiting operation is data, and so is the process it belongs to.

use libos_abi::{
    Denial, DenyReason, Error, OpId, Pid,
    event::OpEvent,
    human::Decision,
    process::{self, Usage, Wait, WaitOn},
};
use libos_port::mutated;

use crate::{
    kernel::Kernel,
    ops::{Op, OpState},
    output::{Output, Outputs},
    tx::Tx,
};

impl Kernel {
    pub(crate) fn block(&mut self, tx: &mut Tx, id: OpId, wait: Wait) {
        self.emit(tx, OpEvent::Blocked { op: id, wait });
        if let Some(pid) = tx.caller.pid() {
            self.park_if_blocked(tx, pid);
        }
    }

    /// A process all of whose open calls wait, and none of whose tools works, holds no run: it is
    /// data until one of them is woken.
    pub(crate) fn park_if_blocked(&mut self, tx: &mut Tx, pid: Pid) {
        if !self.runs.contains_key(&pid) {
            return;
        }
        let Some(wait) = self.wait_of(pid) else { return };
        self.kernel_call(tx, process::Block { pid, wait });
        self.stop_run(tx, pid);
    }

    /// The same for calls that began to wait before: an interrupt that came since ends one of them.
    pub(crate) fn park_late(&mut self, tx: &mut Tx, pid: Pid) {
        self.park_if_blocked(tx, pid);
        let admit = process::Admit { pid, run: 0, charge: Usage::default() };
        if self.kernel_call(tx, admit).is_some_and(|told| told.interrupted) {
            self.interrupted.push_back(pid);
        }
    }

    /// A process that runs and only waits: what was under way beside its waiting calls has ended,
    /// and no call came since. It may have more to say, so it is parked once it was quiet for a
    /// while, or for somebody who needs its slot.
    pub(crate) fn idle_run(&self) -> Option<Pid> {
        let runs = self.runs.keys().copied().filter(|_| !mutated("keep_waiting_runs"));
        runs.filter(|pid| self.only_waits(*pid)).min()
    }

    /// Whether all calls of a process wait, its run waits for each of them, and no tool works.
    fn only_waits(&self, pid: Pid) -> bool {
        // A run that was started again has not come yet to what it does not ask for.
        let asked = |(id, op): (OpId, &Op)| !op.is_blocked() || self.tickets.contains_key(&id);
        self.wait_of(pid).is_some() && self.ops.open_of(pid).all(asked)
    }

    /// What the oldest of its calls waits for, if they all wait, and all tools wait for theirs.
    fn wait_of(&self, pid: Pid) -> Option<Wait> {
        let mut wait = None;
        for (id, op) in self.ops.open_of(pid) {
            let is_below = |(_, below): (OpId, &Op)| below.step.parent == Some(id);
            let waits_below = op.is_tool_call() && self.ops.open_of(pid).any(is_below);
            if !op.is_blocked() && !waits_below {
                return None;
            }
            wait = wait.or_else(|| op.wait());
        }
        wait
    }

    pub(crate) fn stop_run(&mut self, tx: &mut Tx, pid: Pid) {
        if self.runs.remove(&pid).is_none() {
            return;
        }
        for (id, op) in self.ops.open_of(pid) {
            // The call that ends the run is answered like any other.
            if id == tx.op {
                continue;
            }
            tx.outputs.extend(self.tickets.remove(&id).map(Output::Forget));
            if op.is_tool_call() {
                self.in_flight.remove(&id);
            }
        }
        tx.outputs.push(Output::Stop(pid));
    }

    pub(crate) fn watch(&mut self, id: OpId, wait: &Wait) {
        self.waiters.insert((wait.on, id));
        if let Some(until) = wait.until_ms {
            self.timers.insert((until, id));
        }
    }

    pub(crate) fn unwatch(&mut self, id: OpId, wait: &Wait) {
        self.waiters.remove(&(wait.on, id));
        if let Some(until) = wait.until_ms {
            self.timers.remove(&(until, id));
        }
    }

    pub(crate) fn fire(&mut self) {
        while let Some((until, id)) = self.timers.first().copied() {
            if until > self.now_ms {
                break;
            }
            self.timers.pop_first();
            self.woken.push_back(id);
        }
    }

    pub(crate) fn wake(&mut self, on: &WaitOn) {
        let waiting = self.waiters.range((*on, OpId(0))..=(*on, OpId(u64::MAX)));
        self.woken.extend(waiting.map(|(_, id)| *id));
    }

    /// Serves a waiting operation again.
    pub(crate) fn resume(&mut self, id: OpId, out: &mut Outputs) {
        let Some(op) = self.ops.get(id).filter(|op| op.is_blocked()) else {
            return;
        };
        // A process that is held does nothing, whatever was answered meanwhile: it is woken again
        // when it is released.
        let pid = op.caller.pid();
        let is_held = pid.is_some_and(|pid| self.ops.is_held(pid));
        if is_held || matches!(op.state, OpState::Asking { decision: None, .. }) {
            return;
        }
        let old_wait = op.wait();
        let state = op.state.clone();
        let Some(mut tx) = self.begin_again(id) else { return };
        if !self.readmit(&mut tx) {
            return self.rollback(tx);
        }
        if let Err(error) = self.go_on(&mut tx, id, state) {
            self.rollback(tx);
            let Some(again) = self.begin_again(id) else { return };
            tx = again;
            self.settle(&mut tx, id, Err(error), true);
        }
        let now = self.ops.get(id).filter(|op| op.is_blocked());
        let is_open = now.is_some();
        let still = is_open && now.and_then(Op::wait) == old_wait;
        if still && !tx.changed {
            // It waits as before: nothing to record.
            self.rollback(tx);
            if let Some(wait) = old_wait {
                self.watch(id, &wait);
            }
            return;
        }
        if let (Some(wait), false) = (&old_wait, still) {
            self.unwatch(id, wait);
        }
        match pid {
            Some(pid) if !is_open => drop(self.kernel_call(&mut tx, process::Ready { pid })),
            // It waits for something else now.
            Some(pid) if !still && !self.runs.contains_key(&pid) => {
                if let Some(wait) = self.wait_of(pid) {
                    self.kernel_call(&mut tx, process::Block { pid, wait });
                }
            }
            _ => {}
        }
        self.finish(tx, out);
    }

    /// What happens with an operation that was woken.
    fn go_on(&mut self, tx: &mut Tx, id: OpId, state: OpState) -> Result<(), Error> {
        match state {
            OpState::Asking { over: Some(over), decision: Some(Decision::Deny { .. }), .. } => {
                Err(over.fault().into())
            }
            OpState::Asking { over: Some(_), .. } => {
                let Some((pid, op)) = tx.caller.pid().zip(self.ops.get(id)) else {
                    return Ok(());
                };
                let charge = op.call.charge();
                // It may have been extended by too little.
                tx.caller.admission = Some(self.ask(tx, process::Admit { pid, run: 0, charge })?);
                self.decide_and_serve(tx, id, None)
            }
            OpState::Asking { decision: Some(Decision::Deny { .. }), release, .. } => {
                let over = self.ops.get(id).and_then(|op| self.exceeding(tx, op));
                let denial = match over.filter(|_| release.is_some()) {
                    Some(over) => Denial { reason: over.reason(), need: Some(over.need) },
                    None => Denial { need: None, reason: DenyReason::Human },
                };
                self.deny(tx, id, denial);
                Ok(())
            }
            OpState::Asking { .. } => self.decide_and_serve(tx, id, None),
            _ => self.serve(tx, id),
        }
    }

    /// Interrupts a process that waits: its oldest waiting call ends at once.
    pub(crate) fn interrupt(&mut self, pid: Pid, out: &mut Outputs) {
        if self.ops.is_held(pid) || self.runs.contains_key(&pid) {
            return;
        }
        let waits = |(id, op): (OpId, &Op)| match &op.state {
            OpState::Waiting(wait) => Some((id, wait.clone())),
            _ => None,
        };
        let Some((id, wait)) = self.ops.open_of(pid).find_map(waits) else { return };
        let Some(mut tx) = self.begin_again(id) else { return };
        if self.deliver_interrupt(&mut tx, id).is_err() {
            return self.rollback(tx);
        }
        self.unwatch(id, &wait);
        self.kernel_call(&mut tx, process::Ready { pid });
        self.finish(tx, out);
    }
}
