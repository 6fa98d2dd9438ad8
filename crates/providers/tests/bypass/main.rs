//! Ways around the rules for programs, and what must still work.
//!
//! Each row of [`cases::CASES`] is a way that some advisory or write-up describes. It runs confined
//! in a stage of its own; afterwards nothing outside was read, written, reached or left alive, and
//! the system said what the layer says that the row names. Rows that can do no harm run bare as
//! well, without confinement: there they must do what they try, or the row would show nothing.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests act on a stage of their own"
)]

mod cases;
mod legitimate;
mod stage;

use std::{collections::BTreeSet, time::Duration};

use cases::{CASES, Case, Layer};
use stage::{Stage, has_program};

/// Whether a row can be tried here: its program is installed, and the kernel has its layer.
fn applies(case: &Case) -> bool {
    let missing = libos_providers::layers_missing();
    let has_layer = match case.layer {
        Layer::Landlock => !missing.contains(&libos_providers::Layer::Landlock),
        Layer::Seccomp => !missing.contains(&libos_providers::Layer::Seccomp),
        Layer::Mounts | Layer::Namespaces => !missing.contains(&libos_providers::Layer::Namespaces),
        Layer::Supervisor | Layer::Environment => true,
    };
    has_layer && has_program(case.program)
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_around_leads_out() {
    let (mut failed, mut left_out) = (Vec::new(), Vec::new());
    for case in CASES {
        if !applies(case) {
            left_out.push(case.name);
            continue;
        }
        let stage = Stage::new();
        let ran = stage.confined(case).await;
        let mut wrong = stage.breaches(&ran).await;
        if !case.says.iter().any(|words| ran.contains(words)) {
            wrong.push(format!("it does not say {:?}", case.says));
        }
        if !wrong.is_empty() {
            failed.push(format!("{} ({:?}): {wrong:?}\n{ran}", case.name, case.layer));
        }
    }
    assert!(failed.is_empty(), "{} rows:\n{}", failed.len(), failed.join("\n\n"));
    // What is left out is said: it needs a program or a layer that is not here.
    assert!(left_out.len() < CASES.len() / 2, "{left_out:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_confinement_the_same_ways_lead_out() {
    let mut failed = Vec::new();
    for case in CASES.iter().filter(|case| case.bare && has_program(case.program)) {
        let stage = Stage::new();
        let ran = stage.bare(case).await;
        // What it left behind may only be about to begin.
        let mut shows = false;
        for _ in 0..200 {
            shows = !stage.breaches(&ran).await.is_empty();
            if shows {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        if !shows {
            failed.push(format!("{}: {ran}", case.name));
        }
        stage.end_all();
    }
    assert!(failed.is_empty(), "{} rows show nothing:\n{}", failed.len(), failed.join("\n\n"));
}

#[test]
fn every_row_is_named_once_and_tells_where_it_comes_from() {
    assert!(CASES.len() >= 60, "{}", CASES.len());
    let names: BTreeSet<_> = CASES.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), CASES.len());
    for case in CASES {
        assert!(!case.source.is_empty() && !case.tries.is_empty(), "{}", case.name);
    }
}
