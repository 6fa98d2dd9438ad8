//! Effects: orders to providers, what they report, and what a crash makes of them.

use libos_abi::{EffectClass, Fault, FsPath, OpId, Reply, Right, Syscall, capability, fs, human};
use libos_port::{EffectOutcome, Reach, Reconciled, mutated};

use crate::{
    kernel::{Kernel, full_arguments},
    ops::{Op, OpState},
    output::{EffectOrder, Mode, Output, Outputs},
    tx::Tx,
};

/// The kinds of resources that a program reaches without a call.
const REACHABLE: &[&str] = &["fs", "net"];

impl Kernel {
    pub(crate) fn order(&mut self, tx: &mut Tx, id: OpId, mode: Mode) {
        let content = match self.drawn(tx, id) {
            Ok(content) => content,
            Err(error) => return self.settle(tx, id, Err(error), true),
        };
        let Some(op) = self.ops.get(id) else { return };
        let admission = tx.caller.admission.as_ref();
        let order = EffectOrder {
            op: id,
            run: op.caller.pid().map(|pid| (pid, self.runs.get(&pid).copied().unwrap_or(0))),
            call: op.call.clone(),
            cwd: admission.map_or_else(|| FsPath::from("workspace"), |a| a.cwd.clone()),
            workspace: admission.and_then(|a| a.workspace.clone()),
            waited_ms: self.now_ms.saturating_sub(op.started_ms),
            reach: self.reach(op),
            program: op.program.clone(),
            content,
            mode,
        };
        self.in_flight.insert(id);
        tx.outputs.push(Output::Effect(Box::new(order)));
    }

    /// What a program may reach that runs for the caller of an operation: of a generated tool, what
    /// the tool declares as well. Only programs are told.
    fn reach(&self, op: &Op) -> Reach {
        let (Syscall::Shell(_), Some(pid)) = (&op.call, op.caller.pid()) else {
            return Reach::default();
        };
        let reach = self.parts.reach(pid, REACHABLE, self.now_ms);
        match (op.caller.tool(), self.program_above(op)) {
            (None, _) => reach,
            (Some(_), Some(program)) => reach.declared_by(&program.tool),
            (Some(_), None) => Reach::default(),
        }
    }

    fn is_dispatched(&self, id: OpId) -> bool {
        self.ops.get(id).is_some_and(|op| op.state == OpState::Dispatched)
    }

    pub(crate) fn finished(&mut self, id: OpId, outcome: EffectOutcome, out: &mut Outputs) {
        self.in_flight.remove(&id);
        let is_repeated = self.repeated.remove(&id);
        if !self.is_dispatched(id) {
            return;
        }
        let is_unknown = matches!(outcome, EffectOutcome::Unknown(_));
        let (mut outcome, give_back) = match outcome {
            EffectOutcome::Done(reply) => (Ok(reply), false),
            EffectOutcome::Failed(error) => (Err(error), false),
            // It did not begin this time.
            EffectOutcome::NotStarted(error) => (Err(error), !is_repeated),
            EffectOutcome::Unknown(_) => (Err(Fault::UnknownOutcome { op: id }.into()), false),
        };
        let Some(mut tx) = self.begin_again(id) else { return };
        if is_unknown {
            self.ask_unknown(&mut tx, id);
        } else if !self.labels.is_quiet() {
            // Whose workspace it read; a process that has ended takes nothing in.
            self.readmit(&mut tx);
        }
        if let Ok(Reply::Fs(reply)) = &mut outcome {
            self.withhold(&mut tx, reply);
        }
        if let Ok(reply) = &mut outcome {
            // What comes from outside is likely to be told again.
            reply.texts(&mut |text| tx.blobs.extend(text.spill_strings()));
        }
        self.settle(&mut tx, id, outcome, give_back || mutated("give_back_always"));
        if mutated("settle_twice") {
            drop(self.record_end(&mut tx, id, Err(Fault::Cancelled.into())));
        }
        self.finish(tx, out);
    }

    /// Takes out of a reply what was found and its caller may not read. Nobody is told of it: not
    /// even the record.
    fn withhold(&mut self, tx: &mut Tx, reply: &mut fs::Reply) {
        let Some(pid) = tx.caller.pid() else { return };
        // Lines of one file come together.
        let mut last: Option<(FsPath, bool)> = None;
        reply.withhold(&mut |path| match &last {
            Some((known, may)) if known == path => *may,
            _ => {
                let may = capability::May { pid, right: Right::Read, on: path.resource() };
                let may = self.kernel_call(tx, may).is_some_and(|may| may.allowed);
                last = Some((path.clone(), may));
                may
            }
        });
    }

    /// Asks a human what became of an effect of a process. The call itself does not wait for it.
    fn ask_unknown(&mut self, tx: &mut Tx, id: OpId) {
        let Some(pid) = tx.caller.pid() else { return };
        // Which task it is of; a process that has ended counts for itself.
        self.readmit(tx);
        let Some(op) = self.ops.get(id) else { return };
        let (call, args) = (op.call.info().name.into(), full_arguments(&op.call, tx));
        self.kernel_call(tx, human::OpenUnknown { op: id, pid, call, args });
    }

    pub(crate) fn reconciled(&mut self, id: OpId, result: Reconciled, out: &mut Outputs) {
        if !self.is_dispatched(id) {
            return;
        }
        match result {
            Reconciled::Happened(reply) => self.finished(id, EffectOutcome::Done(reply), out),
            Reconciled::Unknown if !mutated("retry_unknown") => {
                self.finished(id, EffectOutcome::Unknown(String::new()), out)
            }
            Reconciled::DidNotHappen | Reconciled::Unknown => {
                let ended = EffectOutcome::NotStarted(Fault::Cancelled.into());
                self.order_again(id, Mode::Perform, ended, out);
            }
        }
    }

    /// Settles an effect that was under way when the host ended, by its class.
    pub(crate) fn recover_effect(&mut self, id: OpId, out: &mut Outputs) {
        let Some(op) = self.ops.get(id) else { return };
        let mode = match op.call.info().effect {
            EffectClass::State | EffectClass::Read | EffectClass::Idempotent => {
                self.repeated.insert(id);
                Mode::Perform
            }
            EffectClass::Reconcilable => Mode::Reconcile,
            EffectClass::Irreversible if mutated("repeat_irreversible") => Mode::Perform,
            EffectClass::Irreversible => {
                let lost = EffectOutcome::Unknown("the host ended while it was under way".into());
                return self.finished(id, lost, out);
            }
        };
        let ended = EffectOutcome::Unknown("its process has ended".into());
        self.order_again(id, mode, ended, out);
    }

    /// Orders an effect again for a process that lives; of one that has ended nobody waits, and
    /// nothing more may be done for it.
    fn order_again(&mut self, id: OpId, mode: Mode, ended: EffectOutcome, out: &mut Outputs) {
        let Some(mut tx) = self.begin_again(id) else { return };
        if self.readmit(&mut tx) {
            self.order(&mut tx, id, mode);
            self.finish(tx, out);
        } else {
            self.rollback(tx);
            self.finished(id, ended, out);
        }
    }
}
