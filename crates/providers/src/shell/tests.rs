//! What must hold of programs, with real ones.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs as host,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use libos_abi::{
    Folder, FsPath, Millis, Text,
    shell::{Ended, Run},
};
use libos_port::{Provider, Reconciled};
use tempfile::TempDir;

use super::{
    Layer, ShellConfig, ShellProvider, default_search_path, layers_missing, plan::lacking,
    toolchain_environment,
};
use crate::testing::{call, order};

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);

/// What the host gives programs; what its kernel lacks may be missing.
fn config() -> ShellConfig {
    ShellConfig { may_lack: layers_missing().clone(), ..ShellConfig::from_host() }
}

fn shell() -> ShellProvider {
    ShellProvider::new(config())
}

fn run(argv: &[&str]) -> Run {
    Run::of(argv.iter().copied())
}

fn sh(script: &str) -> Run {
    run(&["sh", "-c", script])
}

fn folder() -> TempDir {
    TempDir::new().unwrap()
}

fn out(ended: &Ended) -> &str {
    ended.stdout.as_str().unwrap()
}

async fn code(shell: &ShellProvider, dir: &Path, run: Run) -> String {
    call(shell, dir, run).await.map(|_| ()).unwrap_err()
}

/// Every process that some program of the workspace `dir` started and that is no zombie. They are
/// known by their environment, since they know themselves by numbers of their own namespace.
fn of(dir: &Path) -> Vec<String> {
    let home = format!("HOME={}", dir.canonicalize().unwrap().display());
    let is_of = |pid: &str| {
        let environment = host::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes())
    };
    let all = host::read_dir("/proc").unwrap();
    let all = all.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    all.filter(|name| name.parse::<u32>().is_ok() && is_of(name)).collect()
}

/// Waits until every process of a workspace has ended.
async fn all_end(dir: &Path) {
    let since = Instant::now();
    while !of(dir).is_empty() {
        assert!(since.elapsed() < PATIENCE, "{:?} live", of(dir));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn lines(file: &Path, count: usize) {
    let since = Instant::now();
    while host::read_to_string(file).unwrap_or_default().lines().count() < count {
        assert!(since.elapsed() < PATIENCE, "{} has too few lines", file.display());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Starts a child, a grandchild, one that leaves the group, one that also leaves its parent.
const FAMILY: &str = "echo $$ >> pids; sleep 1000 & echo $! >> pids; \
    (sleep 1000 & echo $! >> pids; wait) & \
    setsid sh -c 'echo $$ >> pids; sleep 1000' & \
    (setsid sh -c 'echo $$ >> pids; exec sleep 1000' &) ; wait";

#[tokio::test]
async fn programs_end_with_a_code_or_a_signal() {
    let (shell, dir) = (shell(), folder());
    let ended = call(&shell, dir.path(), sh("echo out; echo err >&2; exit 3")).await.unwrap();
    assert_eq!((ended.exit_code, ended.signal), (Some(3), None));
    assert_eq!(
        (out(&ended), ended.stderr.as_str(), ended.truncated),
        ("out\n", Some("err\n"), false)
    );
    let ended = call(&shell, dir.path(), sh("kill -9 $$")).await.unwrap();
    assert_eq!((ended.exit_code, ended.signal), (None, Some(9)));
    let ended = call(&shell, dir.path(), run(&["printf", "%s|", "a b", "$HOME", "*", ""])).await;
    assert_eq!(out(&ended.unwrap()), "a b|$HOME|*||");
    let unknown = shell.reconcile(order(dir.path(), sh("true"))).await;
    assert_eq!(unknown, Reconciled::Unknown);
}

#[tokio::test]
async fn output_is_cut_and_never_holds_a_program_up() {
    let config = ShellConfig { output_bytes_max: 1_001, ..config() };
    let (shell, dir) = (ShellProvider::new(config), folder());
    let chatty = "i=0; while [ $i -lt 40000 ]; do echo éééééééééé; echo 1234 >&2; i=$((i+1)); done";
    let ended = call(&shell, dir.path(), sh(chatty)).await.unwrap();
    assert_eq!(ended.exit_code, Some(0));
    assert!(ended.truncated);
    // 47 lines of 21 bytes, then 7 characters of 2: byte 1,001 is half a character.
    assert_eq!(out(&ended).len(), 1_001);
    assert!(!out(&ended).contains('\u{fffd}'));
    assert_eq!(ended.stderr.bytes(), 1_001);
    let ended = call(&shell, dir.path(), sh(r"printf 'a\377b'")).await.unwrap();
    assert_eq!((out(&ended), ended.truncated), ("a\u{fffd}b", false));
}

#[tokio::test]
async fn a_timeout_ends_all_that_was_started() {
    let (shell, dir) = (shell(), folder());
    let family = Run { timeout_ms: Some(Millis(2_000)), ..sh(FAMILY) };
    assert_eq!(code(&shell, dir.path(), family).await, "timed_out");
    assert!(host::read_to_string(dir.path().join("pids")).unwrap().lines().count() >= 5);
    all_end(dir.path()).await;
}

#[tokio::test]
async fn nothing_outlives_its_program() {
    let (shell, dir) = (shell(), folder());
    let leaves = FAMILY.strip_suffix("wait").unwrap().to_owned() + "sleep 1; exit 4";
    let ended = call(&shell, dir.path(), sh(&leaves)).await.unwrap();
    assert_eq!(ended.exit_code, Some(4));
    assert!(host::read_to_string(dir.path().join("pids")).unwrap().lines().count() >= 5);
    all_end(dir.path()).await;
}

#[tokio::test]
async fn dropping_the_future_ends_all_that_was_started() {
    let (shell, dir) = (shell(), folder());
    let pids = dir.path().join("pids");
    let running = tokio::spawn(shell.perform(order(dir.path(), sh(FAMILY))));
    lines(&pids, 5).await;
    assert!(of(dir.path()).len() >= 5);
    running.abort();
    assert!(running.await.unwrap_err().is_cancelled());
    all_end(dir.path()).await;
}

#[tokio::test]
async fn the_environment_is_scrubbed() {
    let (mut config, dir) = (config(), folder());
    config.environment =
        BTreeMap::from([("EXTRA".into(), "1".into()), ("HOME".into(), "x".into())]);
    let shell = ShellProvider::new(config);
    let script = r#"env; echo kept > "$TMPDIR/f" && ls -ld "$TMPDIR""#;
    let ended = call(&shell, dir.path(), run(&["env"])).await.unwrap();
    let variables: BTreeMap<_, _> =
        out(&ended).lines().filter_map(|line| line.split_once('=')).collect();
    let names: Vec<_> = variables.keys().copied().collect();
    assert_eq!(names, ["EXTRA", "HOME", "LANG", "PATH", "TERM", "TMPDIR"]);
    let real = dir.path().canonicalize().unwrap();
    assert_eq!(Path::new(variables["HOME"]), real);
    assert_eq!((variables["LANG"], variables["TERM"]), ("C.UTF-8", "dumb"));
    let ended = call(&shell, dir.path(), sh(script)).await.unwrap();
    assert!(out(&ended).contains("drwx------"), "{}", out(&ended));
    let temporary = out(&ended).lines().find_map(|line| line.strip_prefix("TMPDIR=")).unwrap();
    assert!(!Path::new(temporary).exists());
    let known = ["CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"];
    assert!(toolchain_environment().keys().all(|name| known.iter().any(|known| name == known)));
}

#[tokio::test]
async fn standard_input_is_the_text_or_nothing() {
    let (shell, dir) = (shell(), folder());
    let ended = call(&shell, dir.path(), run(&["cat"])).await.unwrap();
    assert_eq!((ended.exit_code, out(&ended)), (Some(0), ""));
    let text = "é\n".repeat(60_000);
    let given = |argv: &[&str]| Run { stdin: Some(Text::from(&*text)), ..run(argv) };
    assert_eq!(out(&call(&shell, dir.path(), given(&["cat"])).await.unwrap()), text);
    // It need not be read.
    let ended = call(&shell, dir.path(), given(&["true"])).await.unwrap();
    assert_eq!(ended.exit_code, Some(0));
}

#[tokio::test]
async fn refusals_come_before_anything_begins() {
    let (shell, dir) = (shell(), folder());
    let at = |cwd: &str| Run { cwd: Folder(Some(FsPath::from(cwd))), ..run(&["true"]) };
    host::write(dir.path().join("file"), "").unwrap();
    host::create_dir(dir.path().join("real")).unwrap();
    symlink("real", dir.path().join("link")).unwrap();
    let blob = Text::blob(libos_abi::Digest::of(b""), 1);
    let long = "x".repeat(200_000);
    for (run, expected) in [
        (run(&[]), "-bad_arguments"),
        (run(&[""]), "-bad_arguments"),
        (run(&[".."]), "-bad_arguments"),
        (run(&["true", "a\0b"]), "-bad_arguments"),
        (run(&["/bin/true"]), "-bad_arguments"),
        (run(&["./script"]), "-bad_arguments"),
        (run(&["true", &long]), "-bad_arguments"),
        (run(&["no-such-program-here"]), "-not_found"),
        (at("workspace/none"), "-bad_folder"),
        (at("workspace/file"), "-bad_folder"),
        (at("docs"), "-bad_folder"),
        (at("workspace/link"), "-outside_mount"),
        (at("workspace/../x"), "-outside_mount"),
        (Run { stdin: Some(blob), ..run(&["cat"]) }, "-provider_failed"),
    ] {
        assert_eq!(code(&shell, dir.path(), run.clone()).await, expected, "{run:?}");
    }
    assert_eq!(code(&shell, &dir.path().join("gone"), run(&["true"])).await, "-bad_folder");
}

#[tokio::test]
async fn the_working_directory_is_the_calls_or_the_processes() {
    let (shell, dir) = (shell(), folder());
    host::create_dir_all(dir.path().join("a/b")).unwrap();
    let real = dir.path().canonicalize().unwrap();
    let ended = call(&shell, dir.path(), run(&["pwd"])).await.unwrap();
    assert_eq!(Path::new(out(&ended).trim()), real);
    let below = Run { cwd: Folder(Some(FsPath::from("workspace/a/b"))), ..run(&["pwd"]) };
    let ended = call(&shell, dir.path(), below).await.unwrap();
    assert_eq!(Path::new(out(&ended).trim()), real.join("a/b"));
}

fn program(path: &Path, text: &str, mode: u32) {
    host::create_dir_all(path.parent().unwrap()).unwrap();
    host::write(path, text).unwrap();
    host::set_permissions(path, host::Permissions::from_mode(mode)).unwrap();
}

#[tokio::test]
async fn no_program_comes_from_the_workspace() {
    let (dir, tools) = (folder(), folder());
    let bin = dir.path().join("bin");
    program(&bin.join("evil"), "#!/bin/sh\necho evil\n", 0o755);
    program(&bin.join("env"), "#!/bin/sh\necho evil\n", 0o755);
    symlink(&bin, tools.path().join("linked")).unwrap();
    symlink(bin.join("evil"), tools.path().join("linked-evil")).unwrap();
    program(&tools.path().join("plain"), "#!/bin/sh\n", 0o644);
    program(&tools.path().join("lost"), "#!/no/such/interpreter\n", 0o755);
    let mut config = config();
    let inside = [bin, tools.path().join("linked"), PathBuf::from("bin"), tools.path().into()];
    config.search_path.splice(0..0, inside);
    let shell = ShellProvider::new(config);
    for name in ["evil", "linked-evil", "lost"] {
        assert_eq!(code(&shell, dir.path(), run(&[name])).await, "-not_found", "{name}");
    }
    assert_eq!(code(&shell, dir.path(), run(&["plain"])).await, "-not_permitted");
    let ended = call(&shell, dir.path(), run(&["env"])).await.unwrap();
    let path = out(&ended).lines().find_map(|line| line.strip_prefix("PATH=")).unwrap();
    let workspace = dir.path().to_str().unwrap();
    assert!(std::env::split_paths(path).all(|folder| folder.is_absolute()));
    assert!(!path.contains(workspace) && !path.contains("linked"), "{path}");
    assert!(default_search_path().iter().all(|folder| folder.is_absolute()));
}

/// Programs live on though the runtime's threads come and go: the thread that forked them stays.
#[tokio::test]
async fn a_program_outlives_the_threads_of_the_runtime() {
    let (shell, dir) = (shell(), folder());
    let pool = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_keep_alive(Duration::from_millis(1))
        .enable_all()
        .build()
        .unwrap();
    let running = pool.spawn(shell.perform(order(dir.path(), sh("sleep 1; echo done"))));
    drop(shell);
    let outcome = running.await.unwrap();
    let ended = crate::testing::typed::<Run>(outcome).unwrap();
    assert_eq!(out(&ended), "done\n");
    pool.shutdown_background();
}

const HOST_FOLDER: &str = "LIBOS_TEST_HOST_FOLDER";

/// No test of its own: the host that the next test kills.
#[tokio::test]
async fn a_host_that_will_be_killed() {
    let Some(dir) = std::env::var_os(HOST_FOLDER) else {
        return;
    };
    let script = sh("sleep 1000 & printf '%s\\n' $! $$ \"$TMPDIR\" > pid; wait");
    call(&shell(), Path::new(&dir), script).await.unwrap();
}

#[tokio::test]
async fn a_program_ends_with_its_host() {
    let dir = folder();
    let mut host = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "shell::tests::a_host_that_will_be_killed"])
        .env(HOST_FOLDER, dir.path())
        .spawn()
        .unwrap();
    let pid = dir.path().join("pid");
    lines(&pid, 3).await;
    let told = host::read_to_string(&pid).unwrap();
    let temporary = told.lines().last().unwrap();
    assert!(of(dir.path()).len() >= 2);
    host.kill().unwrap();
    host.wait().unwrap();
    all_end(dir.path()).await;
    let since = Instant::now();
    while Path::new(temporary).exists() {
        assert!(since.elapsed() < PATIENCE, "{temporary} stays behind");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_missing_layer_stops_programs_unless_the_host_does_without() {
    let dir = folder();
    let strict =
        ShellProvider::new(ShellConfig { may_lack: BTreeSet::new(), ..ShellConfig::from_host() });
    let ran = call(&strict, dir.path(), run(&["true"])).await;
    match layers_missing().is_empty() {
        true => assert_eq!(ran.unwrap().notes, Vec::<String>::new()),
        false => assert_eq!(ran.unwrap_err(), "-unconfined"),
    }
    let ran = call(&shell(), dir.path(), run(&["true"])).await.unwrap();
    assert_eq!(ran.notes.len(), layers_missing().len(), "{:?}", ran.notes);
    // As if the kernel had none of them.
    for layer in Layer::ALL {
        let lacks = BTreeSet::from([layer]);
        let refused = lacking(&lacks, &BTreeSet::new());
        let said = refused.unwrap_err().to_string();
        assert!(said.contains(&format!("shell.may_lack = [\"{layer}\"]")), "{said}");
        assert_eq!(lacking(&lacks, &lacks).unwrap(), ());
    }
}

#[tokio::test]
async fn a_program_that_changed_since_the_call_is_refused() {
    let (dir, tools) = (folder(), folder());
    program(&tools.path().join("tool"), "#!/bin/sh\necho ran\n", 0o755);
    let mut config = config();
    config.search_path.insert(0, tools.path().into());
    config.readable.push(tools.path().into());
    let shell = ShellProvider::new(config);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let ended = call(&shell, dir.path(), run(&["tool"])).await.unwrap();
    assert_eq!(out(&ended), "ran\n");
    let text = host::read(tools.path().join("tool")).unwrap();
    assert_eq!(ended.program, Some(libos_abi::Digest::of(&text)));
    let waited = |ms| libos_port::Order { waited_ms: ms, ..order(dir.path(), run(&["tool"])) };
    let late = shell.perform(waited(3_600_000)).await;
    let (not_started, error) = crate::testing::typed::<Run>(late).unwrap_err();
    assert!(not_started && error.to_string().contains("has changed"), "{error}");
    // A link that leads to it counts as well as the file.
    symlink("tool", tools.path().join("link")).unwrap();
    let linked = libos_port::Order { waited_ms: 60_000, ..order(dir.path(), run(&["link"])) };
    assert!(crate::testing::typed::<Run>(shell.perform(linked).await).is_err());
}

#[tokio::test]
async fn what_a_program_used_is_told() {
    let (shell, dir) = (shell(), folder());
    let busy = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done";
    let ended = call(&shell, dir.path(), sh(busy)).await.unwrap();
    assert!(ended.user_ms > 0 && ended.max_rss_kib > 100, "{ended:?}");
}
