//! A conversation that is longer than its limit: what is left out, what stands for it, and back.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    Lab, Live, allow,
    model::{Answer, Asked, Model},
};

/// How long a run may take.
const LONG: Duration = Duration::from_secs(100);

/// Files that the model reads, one in a turn.
const FILES: usize = 12;

/// The turns before which the model waits for the test.
const FIRST_STOP: usize = 1;
const SECOND_STOP: usize = 10;

const CONSTRAINT: &str = "Never touch notes.txt, whatever it says elsewhere.";

/// What the model is to wait for, and how often it was asked for more than a summary.
#[derive(Clone, Default)]
struct Stops {
    open: Arc<AtomicUsize>,
    turns: Arc<AtomicUsize>,
}

impl Stops {
    fn wait(&self, stop: usize) {
        let deadline = Instant::now() + LONG;
        while self.open.load(Ordering::SeqCst) < stop && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn is_of_compressor(asked: &Asked) -> bool {
    asked.text().contains("It is all that is before this message.")
}

/// A model that reads all files; `summary` answers its compressor.
fn model(stops: &Stops, summary: fn() -> Answer) -> Model {
    let stops = stops.clone();
    Model::serve(Box::new(move |_, asked| {
        if is_of_compressor(asked) {
            return summary();
        }
        let turn = stops.turns.fetch_add(1, Ordering::SeqCst);
        match turn {
            FIRST_STOP => stops.wait(1),
            SECOND_STOP => stops.wait(2),
            _ => {}
        }
        match turn < FILES {
            true => {
                let args = json!({ "path": format!("{turn}.txt") });
                Answer::Say(String::new(), vec![("read_file", args)])
            }
            false => Answer::Say("I have read them.".into(), vec![]),
        }
    }))
}

fn lab(model: &Model) -> Lab {
    let lab = Lab::new();
    for file in 0..FILES {
        let words: Vec<String> = (0..800).map(|word| format!("w{file}of{word}")).collect();
        lab.put(&format!("{file}.txt"), &words.join(" "));
    }
    lab.settings(&format!(
        "[llm.test]\nkind = \"openai\"\nbase_url = \"{}\"\nmodel = \"m\"\n",
        model.base_url()
    ));
    let mut task = "[task]\ngoal = \"read all files\"\nimage = \"worker\"\nworkspace = \"ws\"\n\
                    [planner]\nkind = \"model\"\nprofile = \"test\"\n\
                    context = { tokens_max = 25000, compact = true }\n"
        .to_owned();
    task.push_str(&allow("read", "fs:workspace/*"));
    task.push_str(&allow("write", "process:spawn"));
    task.push_str("[[grant]]\non = \"llm:test\"\nrights = [\"execute\"]\ndelegable = 1\n");
    std::fs::write(lab.path("task.toml"), task).unwrap();
    lab
}

/// Waits until the model is asked in a turn.
fn until(stops: &Stops, turn: usize) {
    let has_come = || stops.turns.load(Ordering::SeqCst) > turn;
    support::until(&format!("turn {turn}"), LONG, has_come);
}

/// Runs the task up to the second stop, with a message of the host at the first.
fn run_to_the_second_stop(lab: &Lab, stops: &Stops) -> Live {
    let live = lab.start(&["--json", "run", "task.toml", "--wait"]);
    until(stops, FIRST_STOP);
    lab.json(&["msg", "p1", CONSTRAINT]).code(0);
    stops.open.store(1, Ordering::SeqCst);
    until(stops, SECOND_STOP);
    live
}

/// What the model was asked in each turn.
fn turns(model: &Model) -> Vec<Asked> {
    model.asked().into_iter().filter(|asked| !is_of_compressor(asked)).collect()
}

/// That every call after the message says it, and the goal.
fn check_pinned(turns: &[Asked]) {
    for asked in &turns[FIRST_STOP + 1..] {
        assert!(asked.text().contains(CONSTRAINT), "{}", asked.text());
        assert!(asked.text().contains("read all files"));
    }
}

fn calls(lab: &Lab) -> Vec<Value> {
    lab.value(&["context", "p1"])["calls"].as_array().unwrap().clone()
}

#[test]
fn a_long_conversation_is_summarized_and_that_can_be_undone() {
    let stops = Stops::default();
    let model = model(&stops, || Answer::Say("THE SUMMARY: files were read.".into(), vec![]));
    let lab = lab(&model);
    let live = run_to_the_second_stop(&lab, &stops);

    let asked = turns(&model);
    let last = asked.last().unwrap().text();
    assert!(last.contains("THE SUMMARY") && !last.contains("w0of1 "), "{last}");
    let noted = calls(&lab);
    let left = &noted.last().unwrap()["manifest"]["left"];
    assert_eq!(left[0]["why"], "compacted", "{noted:?}");
    let words = lab.told(&["context", "p1"]);
    assert!(words.contains("they are summarized") && words.contains("stands for them"), "{words}");
    // The child could do nothing but read and ask.
    let child = lab.value(&["explain", "p2"]);
    assert_eq!(child["given"].as_array().unwrap().len(), 2, "{child}");
    assert_eq!((&child["image"], &child["models"][0]["times"]), (&json!("compressor"), &json!(1)));

    lab.json(&["context", "p1", "--undo"]).code(0);
    stops.open.store(2, Ordering::SeqCst);
    live.finish_within(LONG).code(0);
    let asked = turns(&model);
    let next = asked[SECOND_STOP + 1].text();
    assert!(!next.contains("THE SUMMARY"), "{next}");
    assert!((0..=SECOND_STOP).all(|file| next.contains(&format!("w{file}of1 "))), "all of it");
    check_pinned(&asked);
    assert_eq!(calls(&lab)[SECOND_STOP + 1]["manifest"]["left"], Value::Null);
}

#[test]
fn a_compressor_that_fails_changes_nothing_but_that_the_policy_decides() {
    for (summary, why) in [
        (
            (|| Answer::Say(String::new(), vec![("read_file", json!({}))])) as fn() -> Answer,
            "unusable_answers",
        ),
        (|| Answer::Say("word ".repeat(60_000), vec![]), "too_long"),
        (|| Answer::Status(400, "".into(), "{}".into()), "bad_request"),
    ] {
        let stops = Stops::default();
        let model = model(&stops, summary);
        let lab = lab(&model);
        let live = run_to_the_second_stop(&lab, &stops);
        stops.open.store(2, Ordering::SeqCst);
        live.finish_within(LONG).code(0);
        let noted = calls(&lab);
        let failed: Vec<&Value> = noted
            .iter()
            .map(|call| &call["manifest"]["not_compacted"])
            .filter(|why| !why.is_null())
            .collect();
        assert!(!failed.is_empty() && failed.iter().all(|it| **it == why), "{failed:?}");
        let left = &noted[SECOND_STOP]["manifest"]["left"];
        assert_eq!((&left[0]["why"], left[0]["instead"].is_null()), (&json!("recency"), false));
        let asked = turns(&model);
        assert!(asked[SECOND_STOP].text().contains("a part of this conversation is left out"));
        check_pinned(&asked);
    }
}
