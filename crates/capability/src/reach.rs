//! What a program may reach that runs for a process.
//!
//! A program is asked nothing once it runs, so a grant counts only if it holds for every call, as
//! often as it is made. A denial or a question counts whatever its conditions: it may be about what
//! the program does. Approvals answer one call and never count.

use libos_abi::{Effect, Pid};
use libos_port::{Reach, ReachRule};

use crate::core::Tables;

impl Tables {
    /// What a program of `subject` may reach, of resources of these kinds.
    pub(crate) fn reach(&self, subject: Pid, kinds: &[&str], now_ms: u64) -> Reach {
        let mut rules = Vec::new();
        for cap in self.of(subject) {
            let speaks = kinds.contains(&cap.on.kind()) && cap.binding().is_none();
            if !speaks || !cap.in_force(now_ms) {
                continue;
            }
            let (on, rights) = (cap.on.clone(), cap.terms.rights);
            match cap.terms.effect {
                Effect::Allow if cap.is_plain() => rules.push(ReachRule::allow(on, rights)),
                Effect::Allow => {}
                Effect::Ask | Effect::Deny => rules.push(ReachRule::keep_out(on, rights)),
            }
        }
        let reach = Reach { rules };
        match self.bounds(subject) {
            Some(bounds) => reach
                .admitted(|name| libos_abi::find(name).is_some_and(|call| bounds.admit_call(call))),
            None => reach,
        }
    }
}
