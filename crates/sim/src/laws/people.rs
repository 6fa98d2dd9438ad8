//! Requests to humans: each decided once, by the host; no answer is lost.

use libos_abi::{
    OpId, Pid, RequestId, Scope, Text,
    event::HumanEvent,
    human::{Ask, Decision},
};

use super::Laws;

/// A request.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ask: Ask,
    askers: Vec<(Pid, OpId)>,
    /// `None` while it waits; then the answer, or that it was cancelled.
    pub(crate) over: Option<Option<Decision>>,
}

impl Asked {
    /// Whether an operation waits for its answer, or did.
    pub(super) fn is_of(&self, op: OpId) -> bool {
        self.askers.iter().any(|(_, asker)| *asker == op)
    }
}

impl Laws {
    pub(super) fn human(&mut self, event: &HumanEvent) {
        match event {
            HumanEvent::Opened(request) => {
                let next = request.id.0 == self.requests.len() as u64 + 1;
                self.must("numbers are given once", next, || format!("{}", request.id));
                let askers = vec![(request.pid, request.op)];
                let asked = Asked { ask: request.ask.clone(), askers, over: None };
                self.requests.insert(request.id, asked);
            }
            HumanEvent::Joined { request, asker } => {
                if let Some(asked) = self.requests.get_mut(request) {
                    asked.askers.push((asker.pid, asker.op));
                }
            }
            HumanEvent::Left { request, asker } => {
                if let Some(asked) = self.requests.get_mut(request) {
                    asked.askers.retain(|it| *it != (asker.pid, asker.op));
                }
            }
            HumanEvent::Decided { request, decided } => {
                self.is_as_wide(*request, &decided.decision);
                self.close(*request, Some(decided.decision.clone()));
            }
            HumanEvent::Cancelled { request } => self.close(*request, None),
            HumanEvent::Output { .. } => {}
        }
    }

    fn close(&mut self, id: RequestId, decision: Option<Decision>) {
        let pending = self.is_pending(id);
        self.must("one answer", pending, || format!("{id} is closed a second time"));
        if let Some(asked) = self.requests.get_mut(&id) {
            asked.over.get_or_insert(decision);
        }
    }

    /// That what an approval makes is as wide as it was given.
    fn is_as_wide(&mut self, request: RequestId, decision: &Decision) {
        let made = std::mem::take(&mut self.approved);
        let mut is_narrow = true;
        for (_, id) in made.iter().filter(|(of, _)| *of == request) {
            let Some(held) = self.caps.get(id) else { continue };
            let (uses, binding) = (held.new.grant.uses, &held.new.binding);
            let op = binding.as_ref().and_then(|binding| binding.op);
            is_narrow &= match decision {
                Decision::Approve { scope: Scope::Once } => uses == Some(1) && op.is_some(),
                Decision::Approve { scope: Scope::Uses(max) } => uses == Some(*max),
                Decision::Approve { .. } => true,
                _ => false,
            };
        }
        let is_approval =
            self.requests.get(&request).is_some_and(|it| matches!(it.ask, Ask::Approval(_)));
        let is_given = !matches!(decision, Decision::Approve { .. }) || !made.is_empty();
        self.must("an approval is as wide as it was given", is_narrow, || {
            format!("{request}: {decision:?} made {made:?}")
        });
        self.must("no approval is lost", !is_approval || is_given, || format!("{request}"));
    }

    /// Whether a request waits for its answer.
    pub(super) fn is_pending(&self, id: RequestId) -> bool {
        self.requests.get(&id).is_some_and(|asked| asked.over.is_none())
    }

    /// Whether a request of an operation was answered so.
    pub(super) fn was_answered(&self, op: OpId, answer: &Text) -> bool {
        self.requests.values().any(|asked| {
            asked.askers.iter().any(|(_, asker)| *asker == op)
                && matches!(&asked.over, Some(Some(Decision::Answer { text })) if text == answer)
        })
    }

    /// The requests that wait, in order.
    pub(crate) fn pending(&self) -> Vec<RequestId> {
        let pending = self.requests.iter().filter(|(_, asked)| asked.over.is_none());
        pending.map(|(id, _)| *id).collect()
    }
}
