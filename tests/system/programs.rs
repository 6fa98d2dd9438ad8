//! Programs that processes run: what is left when the runtime is killed, and work in the background.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests drive the real binary"
)]

mod support;

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use agent_libos::providers::layers_missing;
use serde_json::json;
use support::*;

/// A child, one that leaves the session, one that leaves its parent as well, one that does both
/// with nothing left open, one that ignores signals. Each says that it is there.
const FAMILY: &str = "(echo 1 >> there; sleep 1000) & \
    setsid sh -c 'echo 2 >> there; sleep 1000' & \
    (setsid sh -c 'echo 3 >> there; sleep 1000' &) ; \
    (setsid sh -c 'exec </dev/null >/dev/null 2>&1; (echo 4 >> there; sleep 1000) &' &) ; \
    (trap '' HUP INT TERM; echo 5 >> there; while :; do sleep 1; done) & \
    echo 6 >> there; sleep 1000";

/// The processes that programs of a workspace started.
fn programs(lab: &Lab) -> Vec<String> {
    let home = format!("HOME={}", lab.ws("").canonicalize().unwrap().display());
    let is_of = |pid: &String| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes())
    };
    let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let all = all.filter_map(|entry| entry.file_name().into_string().ok());
    all.filter(|name| name.parse::<u32>().is_ok()).filter(is_of).collect()
}

/// Waits until all of the family is there.
fn are_there(lab: &Lab) {
    let until = Instant::now() + DEADLINE;
    let count = || fs::read_to_string(lab.ws("there")).unwrap_or_default().lines().count();
    while count() < 6 {
        assert!(Instant::now() < until, "{} of 6 are there", count());
        thread::sleep(Duration::from_millis(5));
    }
    assert!(programs(lab).len() >= 6);
}

/// Whether all have ended within a second.
fn all_end(lab: &Lab) -> bool {
    let until = Instant::now() + Duration::from_secs(1);
    while Instant::now() < until && !programs(lab).is_empty() {
        thread::sleep(Duration::from_millis(5));
    }
    programs(lab).is_empty()
}

fn may_run() -> String {
    [allow("execute", "shell:sh"), allow("read write delete", "fs:workspace/*")].concat()
}

#[test]
fn nothing_that_a_program_started_outlives_a_runtime_that_is_killed() {
    let family = json!({ "argv": ["sh", "-c", FAMILY] });
    let lab = Lab::with(&may_run(), &[expect("shell.run", family, "unknown_outcome")]);
    let live = lab.start(&["--json", "run", "task.toml"]);
    are_there(&lab);
    live.kill();
    assert!(all_end(&lab), "{:?} live", programs(&lab));
    lab.resume().code(0);
}

#[test]
fn long_work_runs_in_the_background_until_it_is_ended() {
    let head = [
        grant("allow", "execute", "shell:sh", "delegable = 1"),
        grant("allow", "read write delete", "fs:workspace/*", "delegable = 1"),
        allow("write", "process:spawn"),
    ]
    .concat();
    let argv = json!(["sh", "-c", FAMILY]);
    let lab = Lab::with(
        &head,
        &[
            save("object.create", json!({ "type": "note", "payload": "the job" }), "o"),
            save(
                "process.start_task",
                json!({
                    "owner": "${o.id}",
                    "tool": "run_command",
                    "args": { "argv": argv, "timeout_ms": 3_600_000 },
                    "grants": [
                        { "on": "shell:sh", "rights": ["execute"] },
                        { "on": "fs:workspace/*", "rights": ["read", "write", "delete"] },
                    ],
                }),
                "job",
            ),
            // Meanwhile the process does other work.
            write("meanwhile.txt", "done"),
            save("message.receive", json!({}), "m"),
            call("process.signal", json!({ "pid": "${job.pid}", "signal": "terminate" })),
            expect("process.wait", json!({ "pid": "${job.pid}" }), "ok"),
        ],
    );
    let live = lab.start(&["--json", "run", "task.toml"]);
    are_there(&lab);
    assert_eq!(lab.text("meanwhile.txt"), "done");
    lab.value(&["msg", "p1", "enough"]);
    live.finish().code(0);
    assert!(all_end(&lab), "{:?} live", programs(&lab));
}

/// What a program was given, and that it was told so: by the capabilities of its process.
#[test]
fn a_program_reaches_what_its_process_may_reach() {
    let head = [
        allow("execute", "shell:sh"),
        allow("read", "fs:workspace/*"),
        deny("read write delete", "fs:workspace/secrets/*"),
        ask("write", "fs:workspace/asked/*"),
        allow("write delete", "fs:workspace/out/*"),
    ]
    .concat();
    let script = "cat in.txt; cat secrets/token; echo x > in.txt; echo x > asked/x; \
        echo made > out/made; cat ../store/journal.db; ls ..; exit 0";
    let lab = Lab::with(
        &head,
        &[
            save("shell.run", json!({ "argv": ["sh", "-c", script] }), "r"),
            json!({ "exit": { "message": "${r.stdout}${r.stderr}" } }),
        ],
    );
    for folder in ["secrets", "asked"] {
        fs::create_dir_all(lab.ws(folder)).unwrap();
    }
    lab.put("in.txt", "public\n");
    lab.put("secrets/token", "c0ffee\n");
    let said = lab.run().code(0).to_string();
    assert!(said.contains("public") && !said.contains("c0ffee"), "{said}");
    assert_eq!(lab.text("in.txt"), "public\n");
    assert_eq!(lab.text("out/made"), "made\n");
    assert!(!lab.ws("asked/x").exists(), "{said}");
    let exported = lab.told(&["audit", "ls"]);
    assert!(exported.contains("shell.run"), "{exported}");
}

/// Cargo looks for settings in every folder above its own, and gives up on one that it may not read.
#[test]
fn settings_of_build_tools_above_a_workspace_are_not_there() {
    let head = [allow("execute", "shell:sh"), allow("read", "fs:workspace/*")].concat();
    let script = "cat ../.cargo/config.toml; cat ../other";
    let lab = Lab::with(
        &head,
        &[
            save("shell.run", json!({ "argv": ["sh", "-c", script] }), "r"),
            json!({ "exit": { "message": "${r.stdout}${r.stderr}" } }),
        ],
    );
    fs::create_dir(lab.path(".cargo")).unwrap();
    for file in [".cargo/config.toml", "other"] {
        fs::write(lab.path(file), "secret of the host\n").unwrap();
    }
    let said = lab.run().code(0).to_string();
    assert!(!said.contains("secret of the host"), "{said}");
    assert!(said.contains("other: Permission denied"), "{said}");
    let is_covered = !layers_missing().iter().any(|layer| layer.name() == "namespaces");
    assert!(!is_covered || said.contains("config.toml: No such file"), "{said}");
}
