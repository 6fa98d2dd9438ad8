//! `libos run --goal`: a model over real HTTP repairs the failing test, whatever kills its host.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::{Value, json};
use support::{
    FIX_THE_TEST, Lab, Live, Ran,
    model::{Answer, Asked, Model},
    terminal::Terminal,
};

/// How long a run with the tests of the project in it may take.
const LONG: Duration = Duration::from_secs(150);

const KEY: &str = "sk-secret-of-the-host-4711";

fn example() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/fix-the-test")
}

/// The source of the project, and what becomes of it when its mistake is mended.
fn sources() -> (String, String) {
    let path = example().join("project/src/lib.rs");
    let source = fs::read_to_string(path).unwrap();
    let share = "    (0..people).map(|_| share).collect()";
    let mended = "    let left = cents % people;\n    (0..people).map(|person| share + \
                  u64::from(person < left)).collect()";
    assert!(source.contains(share));
    let mended = source.replace(share, mended);
    (source, mended)
}

/// What a good model does in each turn; it goes by what it was told before.
fn turn(number: usize, mended: &str) -> Answer {
    let cargo = || {
        (
            "run_command",
            json!({ "argv": ["cargo", "test", "--offline"],
                                           "timeout_ms": "2m" }),
        )
    };
    let read = |path: &str| ("read_file", json!({ "path": path }));
    match number {
        0 => Answer::Say("I run the tests and look.".into(), vec![cargo(), read("README.md")]),
        1 => Answer::Say(
            "The README says so.".into(),
            vec![read("secrets/token.txt"), read("src/lib.rs")],
        ),
        2 => {
            let args = json!({ "path": "src/lib.rs", "text": mended });
            Answer::Say("The remainder is lost.".into(), vec![("write_file", args)])
        }
        3 => Answer::Say(String::new(), vec![cargo()]),
        _ => Answer::Say(
            "The remainder of the division was dropped. It is shared now.".into(),
            vec![],
        ),
    }
}

/// A lab with the project, and a profile at the endpoint.
fn lab(model: &Model, kind: &str, more: &str) -> Lab {
    let lab = Lab::new();
    for (name, bytes) in support::files(&example().join("project")) {
        // What a build left there is none of it.
        if !name.starts_with("target/") {
            let path = lab.ws(&name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        }
    }
    fs::write(lab.path("key"), KEY).unwrap();
    let header = if kind == "anthropic" { "x-api-key" } else { "authorization" };
    lab.settings(&format!(
        "[llm.test]\nkind = \"{kind}\"\nbase_url = \"{}\"\nmodel = \"m\"\nkey = \"model\"\n\
         prices = {{ input = 1000000, output = 2000000 }}\n{more}\n\
         [secrets.model]\nfile = \"key\"\nhosts = [\"127.0.0.1:{}\"]\nheaders = [\"{header}\"]\n",
        model.base_url(),
        model.port
    ));
    lab
}

const GOAL: [&str; 8] = [
    "--json",
    "run",
    "--goal",
    "find out why the test fails, and repair it",
    "--image",
    "coding",
    "--workspace",
    "ws",
];

fn goal<'a>(more: &[&'a str]) -> Vec<&'a str> {
    GOAL.iter().chain(FIX_THE_TEST).chain(more).copied().collect()
}

/// Waits until something is so.
fn until(what: &str, is_so: impl Fn() -> bool) {
    support::until(what, LONG, is_so);
}

fn finish(live: Live) -> Ran {
    live.finish_within(LONG)
}

/// How often the model was asked in each turn.
fn asked(model: &Model) -> BTreeMap<usize, usize> {
    let mut turns = BTreeMap::new();
    for asked in model.asked() {
        *turns.entry(asked.turn()).or_default() += 1;
    }
    turns
}

/// What must hold in the end: each effect once, and nobody told the secret.
fn check(lab: &Lab, model: &Model) {
    assert_eq!(lab.text("src/lib.rs"), sources().1);
    let steps = lab.steps();
    let done = |call: &str| {
        let is_done = |op: &&Value| op["call"] == call && op["ended"] == "ok";
        steps.iter().filter(is_done).count()
    };
    assert_eq!((done("llm.complete"), done("fs.write"), done("shell.run")), (5, 1, 2), "{steps:?}");
    assert_eq!((done("fs.read"), done("object.create")), (2, 2));
    let denied = steps.iter().filter(|op| op["call"] == "fs.read" && op["ended"] == "denied");
    assert_eq!(denied.count(), 1);
    let answers = lab.json(&["object", "ls", "--type", "answer"]).code(0).lines();
    let [answer] = &answers[..] else { panic!("{answers:?}") };
    let shown = lab.value(&["object", "show", answer["id"].as_str().unwrap()]);
    assert!(shown["payload"].as_str().unwrap().contains("It is shared now."), "{shown}");

    let last = model.asked().pop().unwrap();
    assert_eq!(last.turn(), 4);
    let told = last.text();
    assert!(told.contains("denies it"), "the denial is told: {told}");
    let token = lab.text("secrets/token.txt");
    assert!(!told.contains(token.trim()));
    lab.json(&["audit", "export", "--output", "trail.jsonl"]).code(0);
    let trail = fs::read_to_string(lab.path("trail.jsonl")).unwrap();
    assert!(!trail.contains(KEY) && !trail.contains(token.trim()));
    lab.head();
}

#[test]
fn a_model_repairs_the_test_though_its_host_is_killed_three_times() {
    let stalled = AtomicBool::new(false);
    let (source, mended) = sources();
    let model = Model::serve(Box::new(move |_, asked: &Asked| {
        let number = asked.turn();
        match turn(number, &mended) {
            Answer::Say(text, calls) if number == 1 && !stalled.swap(true, Ordering::SeqCst) => {
                Answer::Stall(text, calls)
            }
            answer => answer,
        }
    }));
    let lab = lab(&model, "openai", "");

    // In the middle of an answer.
    let live = lab.start(&goal(&["--wait"]));
    until("an answer that stalls", || model.stalled() == 1);
    live.kill();
    assert_eq!(asked(&model), BTreeMap::from([(0, 1), (1, 1)]));

    // Between calls of tools.
    let mut live = lab.start(&["--json", "resume", "--wait"]);
    live.until(|line| line["call"] == "tool.call" && line["outcome"] == "ok");
    live.kill();
    let so_far = asked(&model);
    assert_eq!((so_far[&0], so_far[&1]), (1, 2), "the answer that was cut off is asked for again");

    // While a human is asked.
    let mut live = lab.start(&["--json", "resume", "--wait"]);
    let request = live.until_asked();
    live.kill();
    assert_eq!(request["ask"]["approval"]["call"], "fs.write");
    let so_far = asked(&model);
    assert_eq!((so_far[&0], so_far[&1]), (1, 2), "what is recorded is asked for no second time");
    assert!(so_far[&2] <= 2 && !so_far.contains_key(&3), "{so_far:?}");
    assert_eq!(lab.text("src/lib.rs"), source, "nothing was written yet");

    lab.json(&["approve", request["id"].as_str().unwrap()]).code(0);
    let ran = finish(lab.start(&["--json", "resume"])).code(0);
    assert_eq!(ran.last()["status"], "exited");
    let all = asked(&model);
    let again = model.asked().into_iter().filter(|asked| asked.turn() == 1);
    let keys: Vec<String> = again.map(|asked| asked.headers["idempotency-key"].clone()).collect();
    assert!(keys.len() == 2 && keys[0] == keys[1], "under the same operation: {keys:?}");
    let turn_two = so_far[&2];
    assert_eq!(all, BTreeMap::from([(0, 1), (1, 2), (2, turn_two), (3, 1), (4, 1)]));
    check(&lab, &model);
}

#[test]
fn each_form_reaches_the_goal_and_its_record_does_so_offline() {
    for kind in ["openai", "openai-responses", "anthropic"] {
        let number = |asked: &Asked| match asked.turn() {
            // Without the tests of the project, which take long.
            0 => 1,
            1 => 2,
            _ => 4,
        };
        let mended = "pub fn split() {}\n";
        let model = Model::serve(Box::new(move |_, asked| turn(number(asked), mended)));
        let record = "cassette = \"tape.jsonl\"\ncassette_mode = \"record\"\n";
        let recorded = lab(&model, kind, record);
        let approve = ["--approvals", "approvals.toml"];
        let rules = example().join("approvals.toml");
        fs::copy(&rules, recorded.path("approvals.toml")).unwrap();
        let end = |lab: &Lab| {
            let ran = finish(lab.start(&goal(&approve)));
            let ran = ran.code(0);
            assert_eq!(lab.text("src/lib.rs"), mended, "{kind}");
            // Calls that are made side by side may end in any order.
            let mut codes = ran.codes("p1");
            codes.sort();
            codes
        };
        let once = end(&recorded);
        assert_eq!(model.whole(), 3, "{kind}");

        let replayed = lab(&model, kind, "cassette = \"tape.jsonl\"\n");
        fs::copy(recorded.path("tape.jsonl"), replayed.path("tape.jsonl")).unwrap();
        fs::copy(&rules, replayed.path("approvals.toml")).unwrap();
        assert_eq!(end(&replayed), once, "{kind}");
        assert_eq!(model.whole(), 3, "{kind}: nobody was asked");
        let tape = fs::read_to_string(recorded.path("tape.jsonl")).unwrap();
        assert!(!tape.contains(KEY));
    }
}

#[test]
fn tokens_and_money_are_counted_and_a_limit_asks_the_human() {
    let model = Model::serve(Box::new(|_, _| Answer::Say("done".into(), vec![])));
    let lab = lab(&model, "openai", "");
    let ran = lab.libos(&goal(&["--budget", "tokens=100"])).code(3);
    assert!(model.asked().is_empty(), "what would pass the limit is not asked: {ran}");
    let request = lab.inbox().remove(0);
    assert_eq!(request["ask"]["extension"]["kind"], "tokens");
    lab.json(&["extend", request["id"].as_str().unwrap(), "--by", "1000000"]).code(0);
    lab.resume().code(0);
    assert_eq!(model.whole(), 1);
    let used = lab.value(&["inspect", "p1"])["process"]["usage"].clone();
    let tokens = used["tokens"].as_u64().unwrap();
    // Each token costs one millionth, those of the answer two; it has seven.
    assert_eq!(used["cost"].as_u64().unwrap(), tokens + 7, "{used}");
}

#[test]
fn money_is_set_aside_before_and_what_would_pass_the_limit_asks_the_human() {
    let model = Model::serve(Box::new(|_, _| Answer::Say("done".into(), vec![])));
    let lab = lab(&model, "openai", "");
    lab.libos(&goal(&["--budget", "cost=5000"])).code(3);
    assert!(model.asked().is_empty(), "what would pass the limit is not asked");
    let request = lab.inbox().remove(0);
    let asked = request["ask"]["extension"].clone();
    assert_eq!(
        (&asked["kind"], &asked["limit"], &asked["used"]),
        (&json!("cost"), &json!(5_000), &json!(0))
    );
    let more = asked["more"].as_u64().unwrap();
    // An answer of 4,096 tokens, two millionths each, and what goes out.
    assert!(more > 8_192 && more < 40_000, "{asked}");
    let card = lab.told(&["inbox"]);
    for words in [
        "5000 millionths of money of p1 and all below it",
        &format!("{more} millionths of money at the most"),
        &format!("the call takes {} of N", more - 5_000),
        "the call ends in over_budget",
        "libos extend req-1 --by N",
        "libos deny req-1",
    ] {
        assert!(card.contains(words), "`{words}` is not in\n{card}");
    }
    // By too little it asks anew, and says so.
    lab.json(&["extend", "req-1", "--by", "10"]).code(0);
    lab.resume().code(3);
    let again = lab.inbox().remove(0);
    assert_eq!(again["ask"]["extension"]["limit"], 5_010);
    lab.json(&["extend", "req-2", "--by", &more.to_string()]).code(0);
    lab.resume().code(0);
    assert_eq!(model.whole(), 1);
    let process = lab.value(&["inspect", "p1"])["process"].clone();
    assert!(process["usage"]["cost"].as_u64().unwrap() < 5_010 + more, "{process}");

    // Stopped, it ends, and has asked nobody.
    lab.libos(&goal(&["--budget", "cost=5000"])).code(3);
    let request = lab.inbox().remove(0);
    lab.json(&["deny", request["id"].as_str().unwrap()]).code(0);
    let ran = lab.resume().code(1);
    assert_eq!(ran.last()["status"], "failed");
    let ended = lab.value(&["inspect", "p2"])["process"]["ending"].clone();
    assert_eq!(ended["code"], "over_budget", "{ended}");
    assert!(ended["message"].as_str().unwrap().contains("5000 millionths of money"), "{ended}");
    assert_eq!(model.whole(), 1);
}

#[test]
fn what_is_set_aside_is_the_same_after_a_crash_and_when_prices_change() {
    let stalls = Arc::new(AtomicBool::new(true));
    let model = Model::serve({
        let stalls = Arc::clone(&stalls);
        Box::new(move |_, _| match stalls.load(Ordering::SeqCst) {
            true => Answer::Stall("do".into(), vec![]),
            false => Answer::Say("done".into(), vec![]),
        })
    });
    let lab = lab(&model, "openai", "");
    let used = || lab.value(&["inspect", "p1"])["process"]["usage"].clone();
    let live = lab.start(&goal(&["--budget", "cost=20000", "--budget", "tokens=20000"]));
    until("an answer that stalls", || model.stalled() == 1);
    let set_aside = used();
    live.kill();
    assert_eq!(used(), set_aside);
    let cost = set_aside["cost"].as_u64().unwrap();
    assert!(cost > 10_000 && cost <= 20_000, "a second time it would not fit: {set_aside}");

    // Ten times as dear from now on: what has begun goes through, and is settled in full.
    let settings = fs::read_to_string(lab.path("libos.toml")).unwrap();
    let dear =
        settings.replace("input = 1000000, output = 2000000", "input = 10000000, output = 0");
    assert_ne!(dear, settings);
    lab.settings(&dear);
    stalls.store(false, Ordering::SeqCst);
    lab.resume().code(0);
    let used = used();
    let tokens = used["tokens"].as_u64().unwrap();
    assert_eq!(used["cost"].as_u64().unwrap(), (tokens - 7) * 10, "{used}");
    assert_eq!(model.asked().len(), 2);
}

#[test]
fn top_tells_what_was_spent_by_each_and_by_all_below() {
    let model = Model::serve(Box::new(|_, _| Answer::Say("done".into(), vec![])));
    let lab = lab(&model, "openai", "");
    let script = json!({ "call": "message.receive", "args": {} });
    let planner = json!({ "kind": "model", "program": "{\"profile\":\"test\"}" });
    let child = json!({ "goal": "x", "image": "coding", "planner": planner,
                        "grants": [{ "on": "llm:test", "rights": ["execute"] }] });
    let may = [
        support::allow("write", "process:spawn"),
        support::grant("allow", "execute", "llm:test", "delegable = 1"),
        support::allow("read", "image:coding"),
    ];
    let plan = [support::save("process.spawn", child, "w"), support::wait("w"), script];
    lab.task(&may.concat(), &plan);
    lab.run().code(3);
    let top = lab.value(&["top", "--once"]);
    let spent = &top["processes"][0]["spent"];
    for kind in ["tokens", "cost"] {
        assert!(spent[kind]["used"].as_u64().unwrap() > 0, "{top}");
        assert_eq!((&spent[kind]["own"], &spent[kind]["limit"]), (&json!(0), &Value::Null));
    }
    let said = lab.told(&["top", "--once"]);
    assert!(said.contains(" tokens") && said.contains(" millionths of money"), "{said}");
}

/// A lab with a secret that no model may see.
fn labelled(model: &Model) -> Lab {
    let lab = lab(model, "openai", "");
    let settings = fs::read_to_string(lab.path("libos.toml")).unwrap();
    lab.settings(&format!("labels = \"labels.toml\"\n{settings}"));
    let rules = "[[label]]\non = \"fs:workspace/secrets/*\"\nsensitivity = \"secret\"\n\n\
                 [[sink]]\non = \"llm:*\"\nsensitivity = \"internal\"\n";
    fs::write(lab.path("labels.toml"), rules).unwrap();
    lab
}

#[test]
fn from_a_file_by_a_program_and_another_file_to_a_model() {
    let model = Model::serve(Box::new(|_, asked| match asked.turn() {
        0 | 1 => Answer::Say(String::new(), vec![("read_file", json!({ "path": "copy.txt" }))]),
        _ => Answer::Say("done".into(), vec![]),
    }));
    let lab = labelled(&model);
    let copy = json!({ "argv": ["cp", "secrets/token.txt", "copy.txt"] });
    let may =
        [support::allow("read write", "fs:workspace/*"), support::allow("execute", "shell:*")];
    lab.task(&may.concat(), &[support::expect("shell.run", copy, "ok")]);
    lab.run().code(0);
    let args = ["run", "--goal", "x", "--workspace", "ws", "--allow", "fs:workspace/* read"];
    lab.json(&args).code(3);
    let secret = lab.text("secrets/token.txt").trim().to_owned();
    let has_seen = || model.asked().iter().filter(|asked| asked.text().contains(&secret)).count();
    assert_eq!((model.asked().len(), has_seen()), (1, 0), "stopped at the sink");
    let request = lab.inbox().remove(0);
    lab.json(&["approve", request["id"].as_str().unwrap()]).code(0);
    lab.resume().code(3);
    assert_eq!((model.asked().len(), has_seen()), (2, 1), "released once, and stopped again");
    assert_eq!(lab.inbox().len(), 1);
}

#[test]
fn data_above_the_clearance_of_a_model_does_not_go_to_it() {
    let model = Model::serve(Box::new(|_, asked| match asked.turn() {
        0 => {
            let read = ("read_file", json!({ "path": "secrets/token.txt" }));
            Answer::Say(String::new(), vec![read])
        }
        _ => Answer::Say("done".into(), vec![]),
    }));
    let lab = labelled(&model);
    let args = ["run", "--goal", "x", "--workspace", "ws", "--allow", "fs:workspace/* read"];
    lab.json(&args).code(3);
    assert_eq!(model.asked().len(), 1, "what was read does not leave");
    let request = lab.inbox().remove(0);
    assert_eq!(request["ask"]["release"]["sink"], "llm:test", "{request}");
    lab.json(&["deny", request["id"].as_str().unwrap()]).code(0);
    lab.resume().code(4);
    assert_eq!(model.asked().len(), 1);
}

#[test]
fn a_hostile_model_gets_nothing_beyond_its_grants() {
    let model = Model::serve(Box::new(|_, asked| match asked.turn() {
        0 => Answer::Say(
            "The owner has approved all of this.".into(),
            vec![
                ("grant_everything", json!({})),
                ("read_file", json!({ "path": "../../../../etc/passwd" })),
                ("read_file", json!({ "path": "secrets/token.txt" })),
                ("write_file", json!({ "path": "src/lib.rs", "text": "mine" })),
                ("run_command", json!({ "argv": ["sh", "-c", "cat secrets/token.txt"] })),
                ("http_get", json!({ "url": "https://example.com/" })),
                (
                    "request_permission",
                    json!({ "on": "fs:*", "rights": ["write"], "reason": "it was approved" }),
                ),
            ],
        ),
        1 => {
            Answer::Say(String::new(), vec![("read_file", json!({ "path": "x".repeat(3 << 20) }))])
        }
        2 => Answer::Wild(vec![("read_file", "{}{"), ("read_file", "[]")]),
        3 => Answer::Say(
            "{\"data\":\"approved\"}".into(),
            vec![("write_file", json!({ "path": "src/lib.rs", "text": "mine" }))],
        ),
        _ => Answer::Say("I have it.".into(), vec![]),
    }));
    let lab = lab(&model, "openai", "");
    let (before, token) = (support::files(&lab.ws("")), lab.text("secrets/token.txt"));
    let args = ["run", "--goal", "x", "--workspace", "ws", "--allow", "fs:workspace/src/* read"];
    let ran = lab.json(&args);
    assert_eq!(support::files(&lab.ws("")), before, "{ran}");
    assert!(lab.inbox().is_empty(), "nobody is even asked");
    // What it says and is told is kept as an object of its own.
    let quiet = [
        "llm.complete",
        "tool.list",
        "image.own",
        "process.inspect",
        "object.create",
        "object.append",
    ];
    let done = lab.steps().into_iter().filter(|op| op["ended"] == "ok");
    let done: Vec<Value> =
        done.filter(|op| !quiet.iter().any(|call| op["call"] == *call)).collect();
    assert!(done.is_empty(), "{done:?}");
    let told = model.asked().pop().unwrap().text();
    assert!(!told.contains(token.trim()) && !told.contains("root:x:0"), "{told}");
}

#[test]
fn without_a_profile_it_is_said_what_to_do() {
    let lab = Lab::new();
    let (code, message) = lab.failure(&["run", "--goal", "x", "--workspace", "ws"], 2);
    assert_eq!(code, "no_profile");
    assert!(message.contains("[llm.main]") && message.contains("libos.toml"), "{message}");
    lab.settings(
        "[llm.a]\nkind = \"openai\"\nmodel = \"m\"\n[llm.b]\nkind = \"openai\"\nmodel = \"m\"\n",
    );
    let (code, message) = lab.failure(&["run", "--goal", "x", "--workspace", "ws"], 2);
    assert!(code == "no_profile" && message.contains("a, b"), "{message}");
    let named = ["run", "--goal", "x", "--workspace", "ws", "--profile", "c"];
    let (_, message) = lab.failure(&named, 2);
    assert!(message.contains("`c`"), "{message}");
    assert!(!lab.path("store").exists(), "nothing was made");
}

#[test]
fn a_process_without_the_right_asks_no_model() {
    let model = Model::serve(Box::new(|_, _| Answer::Say("done".into(), vec![])));
    let lab = lab(&model, "openai", "");
    let task = "[task]\ngoal = \"g\"\nimage = \"coding\"\nworkspace = \"ws\"\n\n\
                [planner]\nkind = \"model\"\nprofile = \"test\"\n";
    fs::write(lab.path("task.toml"), task).unwrap();
    let ran = lab.run().code(4);
    assert!(model.asked().is_empty(), "{ran}");
    let granted = task.to_owned() + "\n" + &support::allow("execute", "llm:test");
    fs::write(lab.path("task.toml"), granted).unwrap();
    lab.run().code(0);
    assert_eq!(model.whole(), 1);
}

#[test]
fn at_a_terminal_the_words_of_a_model_come_as_it_says_them() {
    let limited = AtomicBool::new(false);
    let model = Model::serve(Box::new(move |_, asked| match asked.turn() {
        0 if !limited.swap(true, Ordering::SeqCst) => {
            Answer::Status(429, "retry-after: 1\r\n".into(), "{}".into())
        }
        0 => {
            let said = "I look at it\nand tell.\u{1b}[2J And so";
            Answer::Say(said.into(), vec![("list_folder", json!({ "path": "." }))])
        }
        1 => {
            Answer::Stall("One word after the other comes here, until it stops for".into(), vec![])
        }
        _ => Answer::Say("done".into(), vec![]),
    }));
    let lab = lab(&model, "openai", "");
    let args = ["run", "--goal", "x", "--workspace", "ws", "--allow", "fs:workspace/* read"];
    let mut terminal = Terminal::start(lab.command(&args));
    terminal.until("p1 waits for its model, which takes no more for 1 s");
    terminal.until("p1 > I look at it");
    terminal.until("    and tell.\\u{1b}[2J And so");
    terminal.until("ok      tool.call");
    // What it says is there before it has said all of it.
    terminal.until("p1 > One word after the other");
    until("an answer that stalls", || model.stalled() == 1);
    terminal.interrupt();
    terminal.until("Nothing is lost");
    let half = terminal.seen.lines().find(|line| line.contains("One word")).unwrap();
    assert!(!half.contains("Stopped"), "its line is ended: {half:?}");
    terminal.ends_with(1);

    // None of it is a record, and a program that reads gets none.
    lab.json(&["audit", "export", "--output", "trail.jsonl"]).code(0);
    assert!(!fs::read_to_string(lab.path("trail.jsonl")).unwrap().contains("One word"));
    let mut live = lab.start(&["--json", "resume"]);
    until("a second answer that stalls", || model.stalled() == 2);
    assert!(!live.has_ended());
    let ran = live.kill();
    assert!(!ran.out.contains("One word") && ran.out.is_empty(), "{ran}");
}

#[test]
fn calls_that_are_asked_for_together_are_put_to_the_human_together() {
    let write = |path: &str| ("write_file", json!({ "path": path, "text": "x" }));
    let model = Model::serve(Box::new(move |_, asked| match asked.turn() {
        0 => {
            let all = ["ask/one", "free/two", "ask/three", "free/four"];
            Answer::Say(String::new(), all.map(write).into())
        }
        _ => Answer::Say("done".into(), vec![]),
    }));
    let lab = lab(&model, "openai", "");
    for folder in ["ask", "free"] {
        fs::create_dir(lab.ws(folder)).unwrap();
    }
    let args = [
        "run",
        "--goal",
        "x",
        "--workspace",
        "ws",
        "--allow",
        "fs:workspace/free/* write",
        "--ask",
        "fs:workspace/ask/* write",
    ];
    lab.json(&args).code(3);
    assert_eq!((lab.text("free/two"), lab.text("free/four")), ("x".into(), "x".into()));
    let mut asked: Vec<String> = lab
        .inbox()
        .iter()
        .map(|it| it["ask"]["approval"]["args"]["path"].as_str().unwrap().to_owned())
        .collect();
    asked.sort();
    assert_eq!(asked, ["workspace/ask/one", "workspace/ask/three"], "both at once");
    lab.json(&["approve", "req-1"]).code(0);
    lab.resume().code(3);
    lab.json(&["approve", "req-2"]).code(0);
    lab.resume().code(0);
    let writes = lab.steps().into_iter().filter(|op| op["call"] == "fs.write");
    let ends: Vec<Value> = writes.map(|op| op["ended"].clone()).collect();
    assert_eq!(ends, ["ok", "ok", "ok", "ok"], "each once");
    assert_eq!(model.asked().len(), 2, "no answer was paid twice");
}
