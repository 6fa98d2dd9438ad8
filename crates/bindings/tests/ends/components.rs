//! Components and authorities.

use std::{os::unix::net::UnixStream, thread, time::Duration};

use libos_abi::{
    DenyReason, Digest, Error, Fault, Label, Need, OpId, Pid, Resource, Right, Syscall, human,
    wire::FRAME_BYTES_MAX,
};
use libos_bindings::{
    BindingError, Role,
    wire::{self, Stream},
};
use libos_port::{Authority, BadSnapshot, Component, Decision, Query, Stop};

use crate::part::{Cx, Part, both, both_authorities, call, delivered, far, fault, output, said};

#[test]
fn a_call_passes_with_its_context_and_comes_back() {
    for (name, mut near) in both() {
        assert_eq!(near.manifest().serves, ["human"], "{name}");
        assert_eq!(near.manifest().imports, ["clock", "human"]);
        assert_eq!(call(&mut near, "tell"), Ok(delivered("11 9 Some(Pid(3))")), "{name}");
        let wait = libos_abi::process::WaitOn::Time;
        let wait = libos_abi::process::Wait { on: wait, until_ms: Some(7) };
        assert_eq!(call(&mut near, "wait"), Err(Stop::Wait(wait)));
        assert_eq!(call(&mut near, "perform"), Err(Stop::Perform));
        let refused = human::FailureKind::NotFound.because("not here");
        assert_eq!(call(&mut near, "refuse"), Err(refused.into()));
    }
}

#[test]
fn what_a_part_asks_is_served_on_the_thread_of_the_caller_and_in_order() {
    for (name, mut near) in both() {
        let mut cx = Cx::new();
        assert_eq!(near.call(&mut cx, &output("ask 100")), Ok(delivered("200")), "{name}");
        assert_eq!(cx.served_on, vec![thread::current().id(); 100]);
        // What ends an inner call ends in the part.
        cx.answer = Some(Err(Fault::Cancelled.into()));
        let ended = near.call(&mut cx, &output("ask 1"));
        assert_eq!(ended, Err(Error::from(Fault::Cancelled).into()));
        // More than any channel or buffer holds.
        assert_eq!(near.call(&mut cx, &output("emit 5000")), Ok(delivered("")));
        let events: Vec<_> = (0..5000).map(|number: u32| said(&number.to_string())).collect();
        assert_eq!(cx.emitted, events, "{name}");
    }
}

#[test]
fn state_is_followed_in_order() {
    let mut direct = Part::default();
    let [(_, mut queued), (_, mut wire)] = both();
    for round in 0..300 {
        for part in [&mut direct as &mut dyn Component, &mut queued, &mut wire] {
            part.begin();
            part.apply(&said("x"));
            if round % 3 == 0 {
                part.rollback();
            }
        }
        assert_eq!([queued.digest(), wire.digest()], [direct.digest(); 2]);
    }
}

fn decided(authority: &dyn Authority, subject: u64) -> Decision {
    let call: Syscall = output("tell");
    let need = Need { right: Right::Write, on: Resource::named("human", "owner") };
    authority.decide(&Query {
        subject: Pid(subject),
        ancestors: &[Pid(1)],
        needs: &[need],
        call: &call,
        digest: &|| call.digest(),
        op: OpId(5),
        label: Label::TOP,
        now_ms: 77,
    })
}

#[test]
fn a_decision_is_that_of_the_authority() {
    for (name, near) in both_authorities() {
        for subject in [1, 2] {
            let direct = decided(&Part::default(), subject);
            assert_eq!(decided(&near, subject), direct, "{name}");
        }
    }
}

#[test]
fn a_far_end_that_is_gone_ends_every_call_in_a_fault() {
    for (name, mut near) in both() {
        // A part that panics takes its end with it.
        assert_eq!(fault(call(&mut near, "panic")), "binding.closed", "{name}");
        near.begin();
        near.apply(&said("x"));
        near.rollback();
        assert_eq!(fault(call(&mut near, "tell")), "binding.closed");
        assert_eq!(near.digest(), Digest::default(), "no state's digest");
    }
    for (name, mut near) in both_authorities() {
        assert_eq!(fault(call(&mut near, "panic")), "binding.closed", "{name}");
        let Decision::Deny(denial) = decided(&near, 1) else { panic!("it allows") };
        assert_eq!(denial.reason, DenyReason::NoGrant);
    }
}

/// Far more than one frame holds, and nothing at all.
#[test]
fn a_state_crosses_whole_or_is_refused() {
    for ballast in [0, 3 * FRAME_BYTES_MAX + 1] {
        let part = Part::with_ballast(ballast);
        let mut state = Vec::new();
        part.save(&mut state).unwrap();
        for (name, mut near) in both() {
            near.load(&state).unwrap();
            assert_eq!(near.digest(), part.digest(), "{name}");
            let mut saved = Vec::new();
            near.save(&mut saved).unwrap();
            assert!(saved == state, "{name}");
            let error = near.load(&state[..state.len() - 1]).unwrap_err();
            assert!(matches!(error, BadSnapshot::Malformed(_)), "{name}: {error}");
            let error = near.load(&[9, 0, 0, 0]).unwrap_err();
            assert!(
                matches!(error, BadSnapshot::Version { found: 9, expected: 1 }),
                "{name}: {error}"
            );
            assert_eq!(near.digest(), part.digest(), "{name}: the state is what it was");
            assert_eq!(fault(call(&mut near, "panic")), "binding.closed");
            let gone = [near.load(&state).unwrap_err(), near.save(&mut saved).unwrap_err()];
            assert!(gone.iter().all(|it| matches!(it, BadSnapshot::Unreachable(_))), "{gone:?}");
            assert!(saved == state, "{name}: nothing is added");
        }
    }
}

#[test]
fn a_far_end_ends_with_its_near_end() {
    let (near, served) = far(|stream| wire::serve_component(stream, &mut Part::default()));
    let mut near = wire::component(near).unwrap();
    assert_eq!(call(&mut near, "emit 1"), Ok(delivered("")));
    drop(near);
    assert!(served.join().unwrap().is_ok());
}

#[test]
fn a_far_end_of_another_kind_is_refused() {
    let (near, _) = far(|stream| wire::serve_authority(stream, &mut Part::default()));
    let error = wire::component(near).err().unwrap();
    let (expected, found) = (Role::Component, Role::Authority);
    assert!(
        matches!(&error, BindingError::Role { expected: e, found: f } if (*e, *f) == (expected, found)),
        "{error}"
    );
    assert_eq!(error.kind(), "binding.role");
}

#[test]
fn what_fits_no_frame_is_refused_and_nothing_breaks() {
    let (near, _) = far(|stream| wire::serve_component(stream, &mut Part::default()));
    let mut near = wire::component(near).unwrap();
    let limit = Fault::Limit { what: "bytes of one frame".into(), limit: FRAME_BYTES_MAX as u64 };
    let huge = FRAME_BYTES_MAX + 1;
    let long = format!("tell {}", "x".repeat(huge));
    // The call, its reply, an event, a call of the part, and the answer to one.
    for message in
        [long, format!("reply {huge}"), format!("emit-large {huge}"), format!("send {huge}")]
    {
        assert_eq!(fault(call(&mut near, &message)), limit.to_string());
        assert_eq!(call(&mut near, "emit 1"), Ok(delivered("")), "the next call is served");
    }
    let mut cx = Cx::new();
    cx.answer = Some(Ok(delivered("x".repeat(huge))));
    assert_eq!(fault(near.call(&mut cx, &output("send 1"))), limit.to_string());
    assert_eq!(call(&mut near, "emit 1"), Ok(delivered("")));
    // An event that is to be followed cannot be left out.
    near.apply(&said(&"x".repeat(huge)));
    assert_eq!(fault(call(&mut near, "tell")), "binding.unexpected");
}

#[test]
fn a_far_end_that_lives_and_says_nothing_is_given_up() {
    let (near, far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    let error = wire::component(Stream::unix(near).unwrap()).err().unwrap();
    assert!(matches!(error, BindingError::TimedOut), "{error}");
    drop(far);
    // One that greets and then says nothing.
    let (near, far) = UnixStream::pair().unwrap();
    near.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
    std::io::Write::write_all(&mut &far, &crate::part::greeting()).unwrap();
    let mut near = wire::component(Stream::unix(near).unwrap()).unwrap();
    assert_eq!(fault(call(&mut near, "tell")), "binding.timed_out");
    drop(far);
    assert_eq!(fault(call(&mut near, "tell")), "binding.timed_out");
}
