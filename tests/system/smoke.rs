//! Goals for a model at a real endpoint, and whether it reached them. `cargo xtask smoke --profile
//! NAME` runs them with a profile of whoever calls it; here a test server stands for the model.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "tests drive the real binary, and one tells what it found"
)]

mod support;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use support::{
    FIX_THE_TEST, Lab, binary,
    model::{Answer, Asked, Model},
};

/// Calls that change something outside.
const EFFECTS: [&str; 5] = ["fs.write", "fs.edit", "fs.patch", "fs.delete", "shell.run"];

/// What a model is to reach.
struct Goal {
    name: &'static str,
    goal: &'static str,
    /// The folder of the examples that it works on a copy of.
    folder: &'static str,
    may: &'static [&'static str],
    /// The file that it may change, which a rule approves once.
    changes: &'static str,
    reached: fn(&Path) -> Result<(), String>,
}

const GOALS: [Goal; 2] = [
    Goal {
        name: "fix-the-test",
        goal: "find out why the test fails, and repair it in src/lib.rs",
        folder: "fix-the-test/project",
        may: FIX_THE_TEST,
        changes: "src/lib.rs",
        reached: is_repaired,
    },
    Goal {
        name: "count-the-list",
        goal: "how many things are on the list in shopping.txt? Write the number, in digits and \
               nothing else, into the file count.txt",
        folder: "ask-for-a-file/notes",
        may: &[
            "--allow",
            "fs:workspace/* read",
            "--deny",
            "fs:workspace/diary.txt read",
            "--ask",
            "fs:workspace/count.txt write",
        ],
        changes: "count.txt",
        reached: is_counted,
    },
];

fn is_repaired(folder: &Path) -> Result<(), String> {
    let mut cargo = Command::new("cargo");
    cargo.args(["test", "--offline", "--quiet"]).current_dir(folder);
    cargo.env_remove("CARGO_TARGET_DIR").stdout(Stdio::null()).stderr(Stdio::null());
    let status = cargo.status().map_err(|error| format!("cargo does not start: {error}"))?;
    status.success().then_some(()).ok_or_else(|| "the test fails still".into())
}

fn is_counted(folder: &Path) -> Result<(), String> {
    match fs::read_to_string(folder.join("count.txt")) {
        Ok(text) if text.trim() == "3" => Ok(()),
        Ok(text) => Err(format!("count.txt says {text:?}, there are 3")),
        Err(_) => Err("there is no count.txt".into()),
    }
}

/// Where it runs: in which folder, with whose settings.
struct Host<'l> {
    folder: PathBuf,
    profile: String,
    /// A lab, if the settings of whoever runs it are to be kept away.
    lab: Option<&'l Lab>,
}

/// What came of a goal.
#[derive(Debug)]
struct Report {
    name: &'static str,
    reached: Result<(), String>,
    turns: usize,
    effects: usize,
    tokens: u64,
    cost: u64,
    took: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reached, turns, effects, tokens, cost, took } = self;
        let word = reached.as_ref().map_or_else(|why| format!("FAILED, {why}"), |()| "ok".into());
        write!(
            f,
            "{name}: {word} ({turns} turns, {tokens} tokens, {cost} millionths of money, {effects} \
             effects, {:.1} s)",
            took.as_secs_f64()
        )
    }
}

/// That there is no model to try it with, and why.
#[derive(Debug)]
struct Skipped(String);

impl Host<'_> {
    /// A run of the binary: its exit and the lines it printed.
    fn libos(&self, store: &Path, args: &[&str]) -> (i32, Vec<Value>) {
        let mut command = binary::libos();
        command.current_dir(&self.folder).arg("--json").arg("--store").arg(store).args(args);
        command.stdin(Stdio::null()).stderr(Stdio::inherit());
        if let Some(lab) = self.lab {
            lab.isolate(&mut command);
        }
        let ran = command.output().unwrap();
        let lines = String::from_utf8_lossy(&ran.stdout).into_owned();
        let lines = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (ran.status.code().unwrap_or(-1), lines)
    }

    /// Has the model try for a goal, on a copy.
    fn tries(&self, goal: &Goal) -> Result<Report, Skipped> {
        let temp = tempfile::tempdir().unwrap();
        let (folder, store) = (temp.path().join("project"), temp.path().join("store"));
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        for (name, bytes) in support::files(&examples.join(goal.folder)) {
            if !name.starts_with("target/") {
                fs::create_dir_all(folder.join(&name).parent().unwrap()).unwrap();
                fs::write(folder.join(name), bytes).unwrap();
            }
        }
        let approvals = temp.path().join("approvals.toml");
        let rule = format!(
            "[[rule]]\non = \"fs:workspace/{}\"\nrights = [\"write\"]\nanswer = \"approve\"\n\
             scope = \"once\"\n",
            goal.changes
        );
        fs::write(&approvals, rule).unwrap();
        let before = support::files(&folder);
        let begun = Instant::now();
        let mut args = vec!["run", "--goal", goal.goal, "--image", "coding"];
        args.extend(["--profile", &self.profile, "--workspace", folder.to_str().unwrap()]);
        args.extend(["--approvals", approvals.to_str().unwrap()]);
        args.extend(["--budget", "tokens=500000", "--budget", "wall=15m"]);
        args.extend(goal.may);
        let (code, lines) = self.libos(&store, &args);
        let error = lines.iter().find_map(|line| line["error"].as_object().map(|_| &line["error"]));
        if let Some(error) = error.filter(|error| error["code"] == "no_profile") {
            return Err(Skipped(error["message"].as_str().unwrap_or_default().to_owned()));
        }
        let took = begun.elapsed();
        let (_, operations) = self.libos(&store, &["audit", "ls", "--all"]);
        let done = |calls: &[&str]| {
            let is_one = |op: &&Value| {
                op["ended"] == "ok" && op["call"].as_str().is_some_and(|it| calls.contains(&it))
            };
            operations.iter().filter(is_one).count()
        };
        let usage = match self.libos(&store, &["inspect", "p1"]) {
            (0, lines) => lines[0]["process"]["usage"].clone(),
            _ => Value::Null,
        };
        let ended = match code {
            0 => Ok(()),
            3 => Err("it waits for a human".to_owned()),
            code => Err(format!("it ended with {code}: {}", lines.last().unwrap_or(&Value::Null))),
        };
        let reached = ended.and_then(|()| untouched(&folder, &before, goal.changes));
        Ok(Report {
            name: goal.name,
            reached: reached.and_then(|()| (goal.reached)(&folder)),
            turns: done(&["llm.complete"]),
            effects: done(&EFFECTS),
            tokens: usage["tokens"].as_u64().unwrap_or_default(),
            cost: usage["cost"].as_u64().unwrap_or_default(),
            took,
        })
    }
}

/// Nothing but one file has changed, and what a build leaves.
fn untouched(
    folder: &Path,
    before: &std::collections::BTreeMap<String, Vec<u8>>,
    changes: &str,
) -> Result<(), String> {
    let is_its_own = |name: &str| name == changes || name.starts_with("target/");
    let after = support::files(folder);
    let names = before.keys().chain(after.keys()).filter(|name| !is_its_own(name));
    match names.into_iter().find(|name| before.get(*name) != after.get(*name)) {
        Some(name) => Err(format!("{name} has changed")),
        None => Ok(()),
    }
}

#[test]
#[ignore = "it asks a real model, which costs money: `cargo xtask smoke --profile NAME`"]
fn a_real_model_reaches_the_goals() {
    let profile = std::env::var("LIBOS_SMOKE_PROFILE").unwrap_or_default();
    let folder = std::env::var_os("LIBOS_SMOKE_FOLDER").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| std::env::current_dir().unwrap());
    let host = Host { folder, profile, lab: None };
    let mut failed = 0;
    for goal in &GOALS {
        match host.tries(goal) {
            Ok(report) => {
                println!("{report}");
                failed += usize::from(report.reached.is_err());
            }
            Err(Skipped(why)) => {
                println!("skipped: {why}");
                return;
            }
        }
    }
    assert_eq!(failed, 0, "of {} goals", GOALS.len());
}

/// What stands for a good model.
fn good(asked: &Asked) -> Answer {
    let read = |path: &str| ("read_file", json!({ "path": path }));
    let write = |path: &str, text: &str| ("write_file", json!({ "path": path, "text": text }));
    let is_list = asked.text().contains("count.txt");
    match (asked.turn(), is_list) {
        (0, true) => Answer::Say(String::new(), vec![read("shopping.txt")]),
        (1, true) => Answer::Say(String::new(), vec![write("count.txt", "3\n")]),
        (0, false) => Answer::Say(String::new(), vec![read("src/lib.rs")]),
        (1, false) => {
            let path = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../../examples/fix-the-test/project/src/lib.rs");
            let mended = fs::read_to_string(path).unwrap().replace(
                "(0..people).map(|_| share).collect()",
                "(0..people).map(|it| share + u64::from(it < cents % people)).collect()",
            );
            Answer::Say(String::new(), vec![write("src/lib.rs", &mended)])
        }
        _ => Answer::Say("It is done.".into(), vec![]),
    }
}

fn lab(model: &Model) -> Lab {
    let lab = Lab::new();
    lab.settings(&format!(
        "[llm.test]\nkind = \"openai\"\nbase_url = \"{}\"\nmodel = \"m\"\n\
         prices = {{ input = 1000000, output = 2000000 }}\n",
        model.base_url()
    ));
    lab
}

#[test]
fn a_good_model_reaches_the_goals_and_a_lazy_one_does_not() {
    let host = |lab| Host::of(lab, "test");
    let model = Model::serve(Box::new(|_, asked| good(asked)));
    let well = lab(&model);
    for goal in &GOALS {
        let report = host(&well).tries(goal).unwrap();
        assert_eq!(report.reached, Ok(()), "{report}");
        assert_eq!((report.turns, report.effects), (3, 1), "{report}");
        assert!(report.tokens > 0 && report.cost > report.tokens, "{report}");
    }
    let lazy = Model::serve(Box::new(|_, _| Answer::Say("It is done.".into(), vec![])));
    let lazy = lab(&lazy);
    for (goal, why) in GOALS.iter().zip(["the test fails still", "there is no count.txt"]) {
        let report = host(&lazy).tries(goal).unwrap();
        assert_eq!(report.reached, Err(why.to_owned()), "{report}");
        assert!(report.to_string().contains("FAILED"), "{report}");
    }
}

#[test]
fn without_the_profile_it_is_skipped() {
    let lab = Lab::new();
    let Skipped(why) = Host::of(&lab, "none").tries(&GOALS[0]).unwrap_err();
    assert!(why.contains("libos.toml"), "{why}");
}

impl<'l> Host<'l> {
    fn of(lab: &'l Lab, profile: &str) -> Self {
        Self { folder: lab.dir.path().to_owned(), profile: profile.to_owned(), lab: Some(lab) }
    }
}
