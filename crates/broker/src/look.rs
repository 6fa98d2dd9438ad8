//! Looks of the host's operator at a kernel that goes on from nowhere, such as one of the past.

use libos_abi::{Fault, Outcome, Principal, Syscall, event::OpEvent, event::Step};
use libos_port::{Caller, Stop};

use crate::kernel::{Authorized, Kernel, canonicalize};

impl Kernel {
    /// What a call of the host's operator would end in now, as long as it only looks. Nothing of
    /// it stays and nothing is recorded. `None` for a call that would change something, wait, or
    /// reach a provider.
    pub fn look(&mut self, operator: &str, mut call: Syscall) -> Option<Outcome> {
        let principal = Principal::Host(operator.into());
        let caller = Caller { principal: principal.clone(), admission: None };
        if let Err(fault) = canonicalize(&mut call, &caller) {
            return Some(Err(fault.into()));
        }
        let is_served = self.parts.serves(&call);
        let is_label = matches!(call, Syscall::Label(_));
        let id = self.ops.next_id();
        let mut tx = self.begin(caller, id, self.now_ms);
        let step = Step { parent: None, index: 0 };
        let admitted = OpEvent::Admitted { op: id, caller: principal, step, fingerprint: 0, call };
        self.emit(&mut tx, admitted);
        let result = match self.authorize(&tx, id) {
            Authorized::Yes { .. } if is_label => self.serve_label(&mut tx, id),
            Authorized::Yes { .. } if is_served => self.serve_op(&mut tx, id),
            Authorized::Yes { .. } | Authorized::Ask { .. } => Err(Stop::Perform),
            Authorized::No(denial) => Err(Fault::Denied { denial }.into()),
            Authorized::Over(over) => Err(Fault::denied(None, over.reason()).into()),
        };
        let is_look = tx.is_look();
        self.rollback(tx);
        match result {
            Ok(reply) => is_look.then_some(Ok(reply)),
            Err(Stop::Error(error)) => Some(Err(error)),
            Err(Stop::Wait(_) | Stop::Perform | Stop::Run(_)) => None,
        }
    }
}
