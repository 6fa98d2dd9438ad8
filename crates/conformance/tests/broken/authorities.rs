//! Broken authorities.

use std::sync::atomic::{AtomicU64, Ordering};

use libos_abi::{
    CheckpointId, Digest, Event, Few, GrantSpec, Origin, Pid, Reply, Syscall, capability,
};
use libos_capability::Capabilities;
use libos_conformance::{
    Binding,
    history::{History, Mix, perform},
    suites::capability::{CONTRACT, factory},
    toys::Reference,
};
use libos_port::{Authority, BadSnapshot, Component, Context, Decision, Manifest, Query, Stop};

use crate::{altered::Altered, breaks};

/// An authority whose decisions are part of its state.
#[derive(Default)]
struct Counting {
    part: Reference,
    decisions: AtomicU64,
}

impl Component for Counting {
    fn manifest(&self) -> Manifest {
        self.part.manifest()
    }
    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        self.part.call(cx, call)
    }
    fn apply(&mut self, event: &Event) {
        self.part.apply(event);
    }
    fn begin(&mut self) {
        self.part.begin();
    }
    fn rollback(&mut self) {
        self.part.rollback();
    }
    fn digest(&self) -> Digest {
        let decisions = self.decisions.load(Ordering::Relaxed);
        Digest::of(format!("{} {decisions}", self.part.digest()).as_bytes())
    }
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        out.extend(self.decisions.load(Ordering::Relaxed).to_le_bytes());
        self.part.save(out)
    }
    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        let (decisions, rest) = bytes.split_first_chunk().ok_or(BadSnapshot::Parts)?;
        self.part.load(rest)?;
        self.decisions = u64::from_le_bytes(*decisions).into();
        Ok(())
    }
}

impl Authority for Counting {
    fn decide(&self, query: &Query<'_>) -> Decision {
        self.decisions.fetch_add(1, Ordering::Relaxed);
        self.part.decide(query)
    }
}

#[test]
fn an_authority_that_counts_its_decisions_is_named() {
    breaks(&CONTRACT, "I-82", &factory(Counting::default));
}

#[test]
fn an_authority_that_denies_nothing_is_named() {
    let make = || {
        Altered::decide(Reference::default(), |part, query| match part.decide(query) {
            Decision::Deny(_) => Decision::Allow { by: Few::default(), charges: vec![] },
            decision => decision,
        })
    };
    breaks(&CONTRACT, "I-03", &factory(make));
}

#[test]
fn an_authority_that_asks_nobody_is_named() {
    let make = || {
        Altered::decide(Capabilities::new(), |part, query| match part.decide(query) {
            Decision::Ask { by } => Decision::Allow { by, charges: vec![] },
            decision => decision,
        })
    };
    breaks(&CONTRACT, "I-03", &factory(make));
}

#[test]
fn an_authority_that_lets_a_parent_speak_for_its_children_is_named() {
    let make = || {
        Altered::decide(Reference::default(), |part, query| {
            let subject = query.ancestors.first().copied().unwrap_or(query.subject);
            match part.decide(query) {
                Decision::Deny(_) => part.decide(&Query { subject, ..*query }),
                decision => decision,
            }
        })
    };
    breaks(&CONTRACT, "I-09", &factory(make));
}

#[test]
fn an_authority_that_counts_no_uses_is_named() {
    let make = || {
        Altered::authority(Capabilities::new(), |part, cx, call| match call {
            Syscall::Capability(capability::Call::Reserve(reserve)) => {
                let free = capability::Reserve { charges: vec![], ..reserve.clone() };
                part.call(cx, &free.into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&CONTRACT, "I-16", &factory(make));
}

/// An authority that hands on whatever is asked for, as if the host had said so.
fn amplifying() -> Altered<Capabilities> {
    Altered::authority(Capabilities::new(), |part, cx, call| {
        let Syscall::Capability(capability::Call::Delegate(delegate)) = call else {
            return part.call(cx, call);
        };
        let capability::Delegate { to, grant } = delegate.clone();
        let grant = GrantSpec { delegable: 9, ..grant };
        let issue = capability::Issue { to, grant, origin: Origin::Kernel, binding: None };
        match part.call(cx, &issue.into())? {
            Reply::Capability(capability::Reply::Issue(granted)) => {
                Ok(capability::Reply::Delegate(granted).into())
            }
            other => Ok(other),
        }
    })
}

#[test]
fn an_authority_that_widens_what_is_handed_on_is_named() {
    breaks(&CONTRACT, "I-05", &factory(amplifying));
}

#[test]
fn an_authority_that_leaves_what_was_given_since_a_checkpoint_is_named() {
    let make = || {
        Altered::authority(Capabilities::new(), |part, cx, call| match call {
            Syscall::Capability(capability::Call::Restore(restore)) => {
                let other = CheckpointId { number: u64::MAX, ..restore.checkpoint };
                let nothing = capability::Restore { checkpoint: other, ..restore.clone() };
                part.call(cx, &nothing.into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&CONTRACT, "I-115", &factory(make));
}

#[test]
fn an_authority_that_outlives_its_subject_is_named() {
    let make = || {
        Altered::authority(Reference::default(), |part, cx, call| match call {
            Syscall::Capability(capability::Call::End(_)) => {
                part.call(cx, &capability::End { subject: Pid(u64::MAX) }.into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&CONTRACT, "I-27", &factory(make));
}

/// Random histories tell an engine that is wrong in one place from the reference model.
#[test]
fn the_reference_model_tells_a_wrong_engine() {
    for (wrong, what) in [
        (amplifying(), "it widens"),
        (
            Altered { rollback: |_| {}, ..Altered::decide(Capabilities::new(), Authority::decide) },
            "it undoes nothing",
        ),
        (
            Altered::decide(Capabilities::new(), |part, query| {
                part.decide(&Query { ancestors: &[], ..*query })
            }),
            "it looks at no approval for a subtree",
        ),
    ] {
        assert!(differs(wrong), "{what}, and 20,000 steps did not show it");
    }
}

fn differs(mut engine: impl Authority) -> bool {
    let mut model = Reference::default();
    // Copies of processes stand below nobody, and few histories of theirs say much.
    let mut history = History::new(7, Mix { checkpoints: false, copies: false, ..Mix::ALL });
    (0..20_000).any(|_| {
        let step = history.step();
        let by_engine = perform(&mut engine, history.now_ms(), &step);
        let by_model = perform(&mut model, history.now_ms(), &step);
        history.learn(&step, &by_model);
        by_engine.seen != by_model.seen
    })
}

/// The suite is about the contract: both engines pass it as they are.
#[test]
fn an_authority_that_is_not_altered_passes() {
    let make = factory(|| Altered::decide(Reference::default(), Authority::decide));
    let report = CONTRACT.check(Binding::Direct, &make);
    assert!(report.failed.is_empty(), "{:?}", report.failed);
}
