//! What every system test needs: a folder of its own, the binary, and a clock that runs out.
#![allow(dead_code, reason = "each test target uses its part")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use agent_libos::providers::layers_missing;
use serde_json::{Value, json};

#[path = "../binary.rs"]
pub(crate) mod binary;
#[path = "model.rs"]
pub(crate) mod model;
#[path = "terminal.rs"]
pub(crate) mod terminal;
#[path = "web.rs"]
pub(crate) mod web;

/// How long any one run of the binary may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(30);

/// A folder with a store, a workspace and a task.
pub(crate) struct Lab {
    pub(crate) dir: tempfile::TempDir,
}

/// What a run of the binary left behind.
#[derive(Clone)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// What a goal of the example `fix-the-test` may do.
pub(crate) const FIX_THE_TEST: &[&str] = &[
    "--allow",
    "fs:workspace/* read",
    "--deny",
    "fs:workspace/secrets/* read write",
    "--ask",
    "fs:workspace/src/lib.rs write",
    "--allow",
    "shell:cargo execute",
    "--allow",
    "fs:workspace/target/* read write delete execute",
];

/// Waits until something is so.
pub(crate) fn until(what: &str, within: Duration, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + within;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what} did not come");
        thread::sleep(Duration::from_millis(5));
    }
}

impl Default for Lab {
    fn default() -> Self {
        Self::new()
    }
}

impl Lab {
    pub(crate) fn new() -> Self {
        Self::within(&std::env::temp_dir())
    }

    /// A lab below a folder.
    pub(crate) fn within(folder: &Path) -> Self {
        let dir = tempfile::tempdir_in(folder).expect("a temporary folder");
        fs::create_dir(dir.path().join("ws")).expect("a workspace");
        Self { dir }
    }

    /// A lab with a task whose plan has these lines.
    pub(crate) fn with(head: &str, plan: &[Value]) -> Self {
        let lab = Self::new();
        lab.task(head, plan);
        lab
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file of the workspace.
    pub(crate) fn ws(&self, name: &str) -> PathBuf {
        self.dir.path().join("ws").join(name)
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        fs::write(self.ws(name), text).expect("a file is written");
    }

    pub(crate) fn text(&self, name: &str) -> String {
        fs::read_to_string(self.ws(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Writes `task.toml` and `plan.jsonl`; `head` holds grants and budgets.
    pub(crate) fn task(&self, head: &str, plan: &[Value]) {
        self.raw_task(head, &jsonl(plan));
    }

    pub(crate) fn raw_task(&self, head: &str, plan: &str) {
        let task = format!(
            "[task]\ngoal = \"a test\"\nworkspace = \"ws\"\n\n[planner]\nkind = \"script\"\n\
             script = \"plan.jsonl\"\n\n{head}"
        );
        fs::write(self.path("task.toml"), task).expect("a task file");
        fs::write(self.path("plan.jsonl"), plan).expect("a plan");
    }

    /// Writes the settings of the lab.
    pub(crate) fn settings(&self, text: &str) {
        fs::write(self.path("libos.toml"), text).expect("settings");
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = binary::libos();
        command.current_dir(self.dir.path()).args(["--store", "store"]).args(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.isolate(&mut command);
        command
    }

    /// Keeps the settings of whoever runs the tests away from a command.
    pub(crate) fn isolate(&self, command: &mut Command) {
        for (name, _) in std::env::vars_os() {
            if name.as_encoded_bytes().starts_with(b"LIBOS_") {
                command.env_remove(name);
            }
        }
        command.env("XDG_CONFIG_HOME", self.path("config"));
        // What tools compile to is kept from one run of the tests to the next.
        command.env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"));
        // What the kernel lacks where the tests run is not what they are about.
        let missing: Vec<_> = layers_missing().iter().map(|layer| layer.name()).collect();
        if !missing.is_empty() {
            command.env("LIBOS_SHELL_MAY_LACK", format!("{missing:?}"));
        }
    }

    /// Runs the binary to its end.
    pub(crate) fn libos(&self, args: &[&str]) -> Ran {
        let live = self.start(args);
        live.finish()
    }

    /// Runs the binary with `--json`.
    pub(crate) fn json(&self, args: &[&str]) -> Ran {
        let mut all = vec!["--json"];
        all.extend(args);
        self.libos(&all)
    }

    pub(crate) fn run(&self) -> Ran {
        self.json(&["run", "task.toml"])
    }

    pub(crate) fn resume(&self) -> Ran {
        self.json(&["resume"])
    }

    /// A process that waits for messages, keeps a note, and writes what it was told.
    pub(crate) fn waiting() -> Self {
        let head = [allow("read write", "fs:workspace/*"), allow("read", "clock:*")].concat();
        let kinds = json!({ "kinds": ["message_came", "child_made", "child_ended"] });
        Self::with(
            &head,
            &[
                expect("event.subscribe", kinds, "ok"),
                save("object.create", json!({ "type": "note", "payload": "a" }), "note"),
                save("message.receive", json!({}), "came"),
                json!({ "tool": "write_file", "expect": "ok",
                        "args": { "path": "said.txt", "text": "${came.messages.0.body}" } }),
                call("message.receive", json!({})),
            ],
        )
    }

    /// The whole output of a command for people, which must end well.
    pub(crate) fn told(&self, args: &[&str]) -> String {
        self.libos(args).code(0).out
    }

    /// The one value that a command prints as JSON, which must end well.
    pub(crate) fn value(&self, args: &[&str]) -> Value {
        let ran = self.json(args).code(0);
        let mut lines = ran.lines();
        assert_eq!(lines.len(), 1, "{ran}");
        lines.remove(0)
    }

    /// The failure of a command, its code and its message, which is said to people the same way.
    pub(crate) fn failure(&self, args: &[&str], exit: i32) -> (String, String) {
        let ran = self.json(args).code(exit);
        let error = ran.lines()[0]["error"].clone();
        let text =
            |field: &str| error[field].as_str().unwrap_or_else(|| panic!("{ran}")).to_owned();
        let said = self.libos(args).code(exit).err;
        assert!(said.contains(&text("message")), "{said}\n{ran}");
        (text("code"), text("message"))
    }

    /// Starts the binary and leaves it running.
    pub(crate) fn start(&self, args: &[&str]) -> Live {
        let child = self.command(args).spawn().expect("the binary starts");
        Live::new(child)
    }

    /// The same, with these variables in its environment.
    pub(crate) fn start_with(&self, args: &[&str], env: &[(&str, &str)]) -> Live {
        let child = self.command(args).envs(env.iter().copied()).spawn();
        Live::new(child.expect("the binary starts"))
    }

    /// Starts the binary in a shell: `script` ends with `exec "$@"`.
    pub(crate) fn start_in(&self, script: &str, args: &[&str]) -> Live {
        let binary = self.command(args);
        let mut shell = Command::new("sh");
        shell.current_dir(self.dir.path()).args(["-c", script, "sh"]);
        shell.arg(binary.get_program()).args(binary.get_args());
        shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        self.isolate(&mut shell);
        Live::new(shell.spawn().expect("a shell starts"))
    }

    /// Every operation of the audit, the quiet ones included.
    pub(crate) fn audit(&self) -> Vec<Value> {
        let ran = self.json(&["audit", "ls", "--all"]);
        assert_eq!(ran.code, 0, "{ran}");
        ran.lines()
    }

    /// Operations of processes that are steps of a plan or of a tool.
    pub(crate) fn steps(&self) -> Vec<Value> {
        self.audit().into_iter().filter(|op| op["step"]["index"] != 0).collect()
    }

    pub(crate) fn inbox(&self) -> Vec<Value> {
        let ran = self.json(&["inbox"]);
        assert_eq!(ran.code, 0, "{ran}");
        ran.lines()
    }

    pub(crate) fn verify(&self, head: Option<&str>) -> Ran {
        match head {
            Some(head) => self.json(&["audit", "verify", "--head", head]),
            None => self.json(&["audit", "verify"]),
        }
    }

    /// The head of the store, which must verify.
    pub(crate) fn head(&self) -> String {
        let ran = self.verify(None);
        assert_eq!(ran.code, 0, "{ran}");
        ran.lines()[0]["head"].as_str().expect("a head").to_owned()
    }
}

impl Ran {
    /// Standard output as JSON lines.
    pub(crate) fn lines(&self) -> Vec<Value> {
        let parse = |line: &str| {
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}\n{self}"))
        };
        self.out.lines().map(parse).collect()
    }

    /// The lines of steps.
    pub(crate) fn steps(&self) -> Vec<Value> {
        self.lines().into_iter().filter(|line| line["call"].is_string()).collect()
    }

    /// `call` and outcome code of each step of a process, in order.
    pub(crate) fn codes(&self, pid: &str) -> Vec<(String, String)> {
        let of_pid = |line: &Value| line["pid"] == pid;
        let code = |line: Value| {
            let code = line["error"]["code"].as_str().unwrap_or("ok").to_owned();
            (line["call"].as_str().unwrap_or_default().to_owned(), code)
        };
        self.steps().into_iter().filter(of_pid).map(code).collect()
    }

    /// The last line: how it ended.
    pub(crate) fn last(&self) -> Value {
        self.lines().pop().unwrap_or_else(|| panic!("nothing was printed\n{self}"))
    }

    pub(crate) fn code(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit {}\n--- out\n{}\n--- err\n{}", self.code, self.out, self.err)
    }
}

/// A running binary. It is killed at its deadline and when it is dropped.
pub(crate) struct Live {
    child: Child,
    lines: mpsc::Receiver<String>,
    out: String,
    err: Option<thread::JoinHandle<String>>,
}

impl Live {
    fn new(mut child: Child) -> Self {
        let stdout = child.stdout.take().expect("piped");
        let mut stderr = child.stderr.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let err = thread::spawn(move || {
            let mut bytes = Vec::new();
            drop(stderr.read_to_end(&mut bytes));
            String::from_utf8_lossy(&bytes).into_owned()
        });
        Self { child, lines, out: String::new(), err: Some(err) }
    }

    /// Reads JSON lines until one fits, and gives that one.
    pub(crate) fn until(&mut self, fits: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = self.lines.recv_timeout(left).unwrap_or_else(|_| {
                panic!("no line fits, or the binary ended:\n{}", self.out);
            });
            self.keep(&line);
            match serde_json::from_str(&line) {
                Ok(value) if fits(&value) => return value,
                _ => {}
            }
        }
    }

    /// Reads until a call of a process has ended.
    pub(crate) fn until_step(&mut self, pid: &str, call: &str) -> Value {
        self.until(|line| line["pid"] == pid && line["call"] == call)
    }

    /// Reads until a request is put to the human, and gives it.
    pub(crate) fn until_asked(&mut self) -> Value {
        self.until(|line| line["request"].is_object())["request"].take()
    }

    fn keep(&mut self, line: &str) {
        self.out.push_str(line);
        self.out.push('\n');
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) -> Ran {
        drop(self.child.kill());
        self.collect()
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(Some(_)))
    }

    /// Waits for its end; fails the test when that does not come.
    pub(crate) fn finish(self) -> Ran {
        self.finish_within(DEADLINE)
    }

    pub(crate) fn finish_within(self, limit: Duration) -> Ran {
        self.end_within(limit).unwrap_or_else(|ran| {
            panic!("the binary did not end within {limit:?}\n{ran}");
        })
    }

    /// Waits for its end; kills it when that does not come.
    pub(crate) fn end_within(mut self, limit: Duration) -> Result<Ran, Ran> {
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline && !self.has_ended() {
            thread::sleep(Duration::from_millis(2));
        }
        let hung = !self.has_ended();
        drop(self.child.kill());
        let ran = self.collect();
        if hung { Err(ran) } else { Ok(ran) }
    }

    fn collect(&mut self) -> Ran {
        let status = self.child.wait().expect("the binary is waited for");
        while let Ok(line) = self.lines.recv_timeout(DEADLINE) {
            self.keep(&line);
        }
        let err = self.err.take().and_then(|err| err.join().ok()).unwrap_or_default();
        Ran { code: status.code().unwrap_or(-1), out: std::mem::take(&mut self.out), err }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Values as lines.
pub(crate) fn jsonl(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A grant in a task file.
pub(crate) fn grant(effect: &str, rights: &str, on: &str, more: &str) -> String {
    let rights: Vec<String> = rights.split_whitespace().map(|right| format!("{right:?}")).collect();
    format!(
        "[[grant]]\neffect = {effect:?}\non = {on:?}\nrights = [{}]\n{more}\n\n",
        rights.join(", ")
    )
}

pub(crate) fn allow(rights: &str, on: &str) -> String {
    grant("allow", rights, on, "")
}

pub(crate) fn ask(rights: &str, on: &str) -> String {
    grant("ask", rights, on, "")
}

pub(crate) fn deny(rights: &str, on: &str) -> String {
    grant("deny", rights, on, "")
}

/// A call, as a line of a plan.
pub(crate) fn call(name: &str, args: Value) -> Value {
    serde_json::json!({ "call": name, "args": args })
}

/// A call that has to end in a code.
pub(crate) fn expect(name: &str, args: Value, code: &str) -> Value {
    serde_json::json!({ "call": name, "args": args, "expect": code })
}

/// A call whose reply is kept.
pub(crate) fn save(name: &str, args: Value, under: &str) -> Value {
    serde_json::json!({ "call": name, "args": args, "expect": "ok", "save": under })
}

pub(crate) fn write(path: &str, text: &str) -> Value {
    expect("fs.write", serde_json::json!({ "path": path, "text": text }), "ok")
}

pub(crate) fn sleep(ms: u64) -> Value {
    expect("clock.sleep", serde_json::json!({ "ms": ms }), "ok")
}

/// A child with its plan and grants.
pub(crate) fn spawn(plan: &[Value], grants: Value, under: &str) -> Value {
    serde_json::json!({
        "spawn": { "goal": under, "program": jsonl(plan), "grants": grants },
        "save": under, "expect": "ok",
    })
}

/// Waits for a child that was kept under a name.
pub(crate) fn wait(child: &str) -> Value {
    save("process.wait", serde_json::json!({ "pid": format!("${{{child}.pid}}") }), "ending")
}

/// Everything in a folder but what is hidden: path and content.
pub(crate) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
            all.insert(name, fs::read(path).expect("a file"));
        }
    }
    all
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Seeded(pub(crate) u64);

impl Seeded {
    /// SplitMix64.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}
