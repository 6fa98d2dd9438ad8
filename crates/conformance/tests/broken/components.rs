//! Broken components.

use std::sync::atomic::{AtomicU64, Ordering};

use libos_abi::{
    Digest, Event, Fault, Reply, Scope, Syscall, Text, capability, clock, human, image, message,
    process::{self, Usage},
    shell, tool,
};
use libos_conformance::{
    suites::{self, clock as clocks, events, human as humans, images, objects, scheduler},
    text, toys,
};
use libos_events::Events;
use libos_human::Humans;
use libos_images::Images;
use libos_objects::Objects;
use libos_port::{BadSnapshot, Component, Context, Manifest, Stop};
use libos_scheduler::Scheduler;

use crate::{
    altered::{Altered, Answering},
    breaks,
};

#[test]
fn a_part_that_undoes_nothing_is_named() {
    let make = || Altered { rollback: |_| {}, ..Altered::of(Objects::default()) };
    breaks(&objects::CONTRACT, "I-08", &objects::factory(make));
}

#[test]
fn a_part_that_refuses_after_it_changed_something_is_named() {
    let make = || {
        Altered::call(Objects::default(), |part, cx, call| {
            part.call(cx, call).inspect_err(|_| {
                let mark = text::call(r#"namespace.create {"namespace":"mark"}"#);
                assert!(part.call(cx, &mark).is_ok());
            })
        })
    };
    breaks(&objects::CONTRACT, "I-08", &objects::factory(make));
}

#[test]
fn a_part_that_forgets_events_is_named() {
    let make = || Altered { apply: |_, _| {}, ..Altered::of(Humans::default()) };
    breaks(&humans::CONTRACT, "I-34", &humans::factory(make));
}

#[test]
fn a_part_that_takes_nothing_over_is_named() {
    let make = || Altered { load: |_, _| Ok(()), ..Altered::of(Humans::default()) };
    breaks(&humans::CONTRACT, "I-107", &humans::factory(make));
}

/// It keeps the last state it took over beside its own, and answers from there.
#[test]
fn a_part_that_answers_in_another_way_once_its_state_was_loaded_is_named() {
    #[derive(Default)]
    struct Twofold {
        part: Images,
        is_loaded: bool,
    }
    impl Component for Twofold {
        fn manifest(&self) -> Manifest {
            self.part.manifest()
        }
        fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
            let mut reply = self.part.call(cx, call)?;
            if let (true, Reply::Image(image::Reply::List(list))) = (self.is_loaded, &mut reply) {
                list.images.reverse();
            }
            Ok(reply)
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
            self.part.digest()
        }
        fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
            self.part.save(out)
        }
        fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
            self.is_loaded = true;
            self.part.load(bytes)
        }
    }
    breaks(&images::CONTRACT, "I-107", &images::factory(Twofold::default));
}

/// A clock with a hand of its own: every look at it moves it.
#[derive(Default)]
struct Ticking(AtomicU64);

impl Component for Ticking {
    fn manifest(&self) -> Manifest {
        toys::Clock.manifest()
    }
    fn call(&mut self, cx: &mut dyn Context, call: &Syscall) -> Result<Reply, Stop> {
        let mut reply = toys::Clock.call(cx, call)?;
        if let Reply::Clock(clock::Reply::GetNow(now)) = &mut reply {
            now.unix_ms += self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(reply)
    }
    fn apply(&mut self, _: &Event) {}
    fn begin(&mut self) {}
    fn rollback(&mut self) {}
    fn digest(&self) -> Digest {
        toys::Clock.digest()
    }
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        toys::Clock.save(out)
    }
    fn load(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        toys::Clock.load(bytes)
    }
}

#[test]
fn a_part_that_answers_from_what_is_no_state_is_named() {
    breaks(&clocks::CONTRACT, "I-34", &clocks::factory(Ticking::default));
}

#[test]
fn a_part_that_sends_past_its_imports_is_named() {
    let make = || {
        Altered::call(Objects::default(), |part, cx, call| {
            // Whatever the answer is: it may not even ask.
            drop(cx.send(text::call("process.list")));
            part.call(cx, call)
        })
    };
    breaks(&objects::CONTRACT, "I-80", &objects::factory(make));
}

#[test]
fn a_part_that_ends_in_what_its_table_does_not_list_is_named() {
    let make = || {
        Altered::call(Humans::default(), |part, cx, call| {
            let timed_out = shell::FailureKind::TimedOut.because("it took too long");
            part.call(cx, call).map_err(|stop| match stop {
                Stop::Error(_) => timed_out.into(),
                stop => stop,
            })
        })
    };
    breaks(&humans::CONTRACT, "I-81", &humans::factory(make));
}

#[test]
fn a_part_that_replies_to_another_call_is_named() {
    let make = || {
        Altered::call(Images::default(), |part, cx, call| match call {
            Syscall::Image(image::Call::List(_)) => {
                Ok(tool::Reply::List(text::from(serde_json::json!({ "tools": [] }))).into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&images::CONTRACT, "I-81", &images::factory(make));
}

#[test]
fn a_part_that_takes_calls_of_others_for_its_own_is_named() {
    let make = || {
        Altered::call(Events::default(), |part, cx, call| match call.info().service {
            "event" => part.call(cx, call),
            _ => Err(Fault::Cancelled.into()),
        })
    };
    breaks(&events::CONTRACT, "I-81", &events::factory(make));
}

#[test]
fn a_part_that_tells_of_objects_nobody_may_read_is_named() {
    let make = || {
        Altered::call(Events::default(), |part, cx, call| {
            let send = |cx: &mut dyn Context, call: Syscall| match &call {
                Syscall::Capability(capability::Call::May(_)) => {
                    Ok(capability::Reply::May(capability::MayReply { allowed: true }).into())
                }
                _ => cx.send(call),
            };
            part.call(&mut Answering { cx, send }, call)
        })
    };
    breaks(&events::CONTRACT, "I-13", &events::factory(make));
}

#[test]
fn a_part_that_makes_more_of_an_approval_than_was_said_is_named() {
    let make = || {
        Altered::call(Humans::default(), |part, cx, call| match call {
            Syscall::Human(human::Call::Decide(human::Decide {
                request,
                decision: human::Decision::Approve { scope: Scope::Once },
            })) => {
                let decision = human::Decision::Approve { scope: Scope::Process };
                part.call(cx, &human::Decide { request: *request, decision }.into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&humans::CONTRACT, "I-15", &humans::factory(make));
}

#[test]
fn a_part_that_lets_a_process_use_tools_of_no_table_is_named() {
    let make = || {
        Altered::call(Images::default(), |part, cx, call| match call {
            Syscall::Tool(tool::Call::CallTool(_)) => Err(Stop::Perform),
            call => part.call(cx, call),
        })
    };
    breaks(&images::CONTRACT, "I-01", &images::factory(make));
}

#[test]
fn a_part_that_charges_nothing_is_named() {
    let make = || {
        Altered::call(Scheduler::default(), |part, cx, call| match call {
            Syscall::Process(process::Call::Admit(admit)) => {
                let free = process::Admit { charge: Usage::default(), ..admit.clone() };
                part.call(cx, &free.into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&scheduler::CONTRACT, "I-26", &scheduler::factory(make));
}

#[test]
fn a_part_that_loses_what_messages_say_is_named() {
    let make = || {
        Altered::call(Scheduler::default(), |part, cx, call| match call {
            Syscall::Message(message::Call::Send(send)) => {
                let empty = message::Send { body: Text::default(), ..send.clone() };
                part.call(cx, &empty.into())
            }
            call => part.call(cx, call),
        })
    };
    breaks(&scheduler::CONTRACT, "I-22", &scheduler::factory(make));
}

/// Whoever stands between a test and a part is not what fails.
#[test]
fn a_part_that_is_not_altered_passes() {
    let make = suites::objects::factory(|| Altered::of(Objects::default()));
    for binding in libos_conformance::Binding::ALL {
        let report = suites::objects::CONTRACT.check(binding, &make);
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        assert!(report.passed.len() > 10);
    }
}
