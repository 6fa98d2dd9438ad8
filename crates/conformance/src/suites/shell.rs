//! Programs of the host: service `shell`.
//!
//! Cases need five programs that do what they do everywhere: `true`, `false`, `echo`, `cat` and
//! `sleep`. What only a real host can show (the environment, what a program leaves behind) is
//! tested where programs really run.

use std::{rc::Rc, sync::Arc};

use libos_abi::{
    Digest, Folder, FsPath, Millis, SecretUse, Text,
    shell::{Ended, Run},
};
use libos_port::{EffectOutcome, Provider, Reconciled};

use crate::{Effects, Factory};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! shell_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args shell
            case a_program_ends_with_its_code_and_its_output
                holds "I-86" shows "shell.run ok";
            case arguments_are_passed_as_they_are
                holds "I-28" shows "shell.run ok";
            case standard_input_is_the_text_or_nothing
                holds "I-28" shows "shell.run ok";
            case long_output_is_whole_or_said_to_be_cut
                holds "I-86" shows "shell.run ok";
            case a_program_that_runs_too_long_is_ended
                holds "I-86" shows "shell.run timed_out";
            case refusals_come_before_anything_begins
                holds "I-02"
                shows "shell.run bad_arguments, shell.run not_found, shell.run bad_folder,
shell.run secret_refused";
            case an_abandoned_program_holds_nothing_up
                holds "I-28" shows "";
            case programs_run_side_by_side
                holds "I-86" shows "";
            case an_outcome_that_nobody_saw_is_unknown
                holds "I-19" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

shell_cases! { contract [Effects: "shell"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<P: Provider + 'static>(
    make: impl Fn() -> P + 'static,
) -> Factory<Arc<dyn Provider>> {
    Rc::new(move || Arc::new(make()))
}

fn run(argv: &[&str]) -> Run {
    Run::of(argv.iter().copied())
}

fn out(ended: &Ended) -> &str {
    ended.stdout.as_str().expect("output is inline")
}

fn a_program_ends_with_its_code_and_its_output(e: &mut Effects) {
    let ended = e.ok(run(&["true"]));
    assert_eq!((ended.exit_code, ended.signal, out(&ended)), (Some(0), None, ""));
    let ended = e.ok(run(&["false"]));
    assert_eq!((ended.exit_code, ended.signal), (Some(1), None));
    let ended = e.ok(run(&["echo", "hi"]));
    assert_eq!((ended.exit_code, out(&ended), ended.truncated), (Some(0), "hi\n", false));
    assert_eq!(ended.stderr.as_str(), Some(""));
}

fn arguments_are_passed_as_they_are(e: &mut Effects) {
    let ended = e.ok(run(&["echo", "a  b", "", "$HOME", "*", ";", "false"]));
    assert_eq!((ended.exit_code, out(&ended)), (Some(0), "a  b  $HOME * ; false\n"));
}

fn standard_input_is_the_text_or_nothing(e: &mut Effects) {
    let ended = e.ok(run(&["cat"]));
    assert_eq!((ended.exit_code, out(&ended)), (Some(0), ""));
    let given = |argv: &[&str], text: &str| Run { stdin: Some(Text::from(text)), ..run(argv) };
    assert_eq!(out(&e.ok(given(&["cat"], "é\n"))), "é\n");
    // It need not be read.
    assert_eq!(e.ok(given(&["true"], &"é\n".repeat(60_000))).exit_code, Some(0));
}

fn long_output_is_whole_or_said_to_be_cut(e: &mut Effects) {
    let text = "é\n".repeat(200_000);
    let ended = e.ok(Run { stdin: Some(Text::from(&*text)), ..run(&["cat"]) });
    assert!(text.starts_with(out(&ended)) && !out(&ended).is_empty());
    assert_eq!(ended.truncated, out(&ended).len() < text.len());
}

fn a_program_that_runs_too_long_is_ended(e: &mut Effects) {
    let long = Run { timeout_ms: Some(Millis(50)), ..run(&["sleep", "1000"]) };
    assert_eq!(e.failed(long), "timed_out");
    let short = Run { timeout_ms: Some(Millis(60_000)), ..run(&["sleep", "0"]) };
    assert_eq!(e.ok(short).exit_code, Some(0));
}

fn refusals_come_before_anything_begins(e: &mut Effects) {
    for argv in [&[][..], &[""], &["true", "a\0b"], &["/bin/true"], &["./script"]] {
        assert_eq!(e.not_started(run(argv)), "bad_arguments", "{argv:?}");
    }
    assert_eq!(e.not_started(run(&["no-such-program-here"])), "not_found");
    let there = |cwd: &str| Run { cwd: Folder(Some(FsPath::from(cwd))), ..run(&["true"]) };
    for cwd in ["workspace/none", "elsewhere"] {
        assert_eq!(e.not_started(there(cwd)), "bad_folder", "{cwd}");
    }
    assert_eq!(e.ok(there("workspace")).exit_code, Some(0));
    let secret = SecretUse { name: "no-such-secret".into(), at: "TOKEN".into(), prefix: None };
    let with_secret = Run { secrets: Some(vec![secret]), ..run(&["true"]) };
    assert_eq!(e.not_started(with_secret), "secret_refused");
    let blob = Text::blob(Digest::of(b""), 1);
    assert_eq!(e.not_started(Run { stdin: Some(blob), ..run(&["cat"]) }), "provider_failed");
}

fn an_abandoned_program_holds_nothing_up(e: &mut Effects) {
    for _ in 0..3 {
        e.abandon(run(&["sleep", "1000"]));
    }
    assert_eq!(out(&e.ok(run(&["echo", "on"]))), "on\n");
}

fn programs_run_side_by_side(e: &mut Effects) {
    let mut calls: Vec<_> = (0..6).map(|n| run(&["echo", &n.to_string()]).into()).collect();
    calls.push(Run { timeout_ms: Some(Millis(200)), ..run(&["sleep", "1000"]) }.into());
    let mut outcomes = e.perform_all(calls);
    assert!(
        matches!(outcomes.pop(), Some(EffectOutcome::Failed(error)) if error.code() == "timed_out")
    );
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let EffectOutcome::Done(reply) = outcome else { panic!("{outcome:?}") };
        let ended = <Run as libos_abi::Request>::reply(reply).expect("the reply of its call");
        assert_eq!(out(&ended), format!("{n}\n"), "each gets its own");
    }
}

fn an_outcome_that_nobody_saw_is_unknown(e: &mut Effects) {
    assert_eq!(e.reconcile(run(&["true"])), Reconciled::Unknown);
}

fn what_it_does_not_serve_is_unsupported(e: &mut Effects) {
    e.refuses_what_it_does_not_serve();
}
