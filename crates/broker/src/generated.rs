//! Generated tools as callers: whose a call under a call of one is, and what binds it.
//!
//! A call under a call of a generated tool is the tool's. It is decided like any other call of the
//! process, and it must be one that the tool declares: both, so neither makes the other wider.
//! What the tool declares was recorded with the call of the tool. The sandbox is not asked, and no
//! authority that is composed in can leave this out.

use std::sync::Arc;

use libos_abi::{
    Denial, DenyReason, Fault, OpId, Outcome, Pid, Principal, Reply,
    event::Step,
    tool::{self, Program},
};

use crate::{kernel::Kernel, ops::Op, tx::Tx};

impl Kernel {
    /// Who makes a call at this step. A built-in tool acts as whoever called it.
    ///
    /// # Errors
    /// [`Fault::StaleRun`] when the call that it is under is over: nobody is left to make it, and
    /// nothing would tell any more what it is bound by.
    pub(crate) fn principal(&self, pid: Pid, step: Step) -> Result<Principal, Fault> {
        let Some(above) = step.parent else { return Ok(Principal::Process(pid)) };
        let above = self.ops.get(above).ok_or(Fault::StaleRun)?;
        Ok(match &above.program {
            Some(program) => Principal::Tool { pid, tool: program.tool.name.as_str().into() },
            None => above.caller.clone(),
        })
    }

    /// Whether the generated tool that makes a call declares it; of another caller always.
    pub(crate) fn declared(&self, op: &Op) -> Result<(), Denial> {
        let Principal::Tool { .. } = op.caller else { return Ok(()) };
        match self.program_above(op) {
            Some(program) => program.tool.declares(&op.call),
            None => Err(Denial { need: None, reason: DenyReason::NotForProcesses }),
        }
    }

    /// The generated tool that an operation is under.
    pub(crate) fn program_above(&self, op: &Op) -> Option<&Arc<Program>> {
        let mut above = self.ops.get(op.step.parent?)?;
        loop {
            match &above.program {
                Some(program) => return Some(program),
                None => above = self.ops.get(above.step.parent?)?,
            }
        }
    }

    /// Has what the sandbox found out about a tool kept with it.
    pub(crate) fn conclude(&mut self, tx: &mut Tx, id: OpId, outcome: &Outcome) {
        let Ok(Reply::Tool(tool::Reply::Validate(report))) = outcome else { return };
        let program = self.ops.get(id).and_then(|op| op.program.as_ref());
        let Some(pid) = program.map(|program| program.of) else { return };
        self.kernel_call(tx, tool::Conclude { pid, report: report.clone() });
    }

    /// Drops the tools of a process that has ended or is another now.
    pub(crate) fn end_tools(&mut self, tx: &mut Tx, pid: Pid) {
        if self.parts.has("tool") {
            self.kernel_call(tx, tool::End { pid });
        }
    }

    /// Copies the tools of a process for one that was made from it.
    pub(crate) fn carry_tools(&mut self, tx: &mut Tx, from: Pid, to: Pid) {
        if self.parts.has("tool") {
            self.kernel_call(tx, tool::Carry { from, to });
        }
    }
}
