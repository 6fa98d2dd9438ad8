//! A workspace with rules, and around it everything that a program must not reach.

use std::{
    collections::BTreeMap,
    fs,
    io::ErrorKind,
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt as _,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use libos_abi::{Millis, OpId, Outcome, Pid, Reply, Rights, Syscall, shell};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider as _, Reach, ReachRule};
use libos_providers::{Layer, ShellConfig, ShellProvider, layers_missing};
use tempfile::TempDir;

use crate::cases::Case;

/// Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(30);
/// What no program must ever print or copy.
const SECRET: &str = "c0ffee-the-secret-that-stays";
/// A variable of the host that holds it.
const VARIABLE: &str = "STAGE_TOKEN";

/// Whether a program is installed.
pub(crate) fn has_program(name: &str) -> bool {
    search_path().iter().any(|folder| folder.join(name).exists())
}

fn search_path() -> Vec<PathBuf> {
    let mut all = libos_providers::default_search_path();
    // The system's own first: what a version manager puts before them is a script.
    all.sort_by_key(|folder| !folder.starts_with("/usr") && !folder.starts_with("/bin"));
    all
}

/// Whether mounts can cover things up here.
pub(crate) fn has_mounts() -> bool {
    !layers_missing().contains(&Layer::Namespaces)
}

struct NoPort;

impl Port for NoPort {
    fn submit(&self, _: Syscall) -> BoxFuture<'_, Outcome> {
        unreachable!("a program makes no calls")
    }
}

pub(crate) struct Stage {
    _root: TempDir,
    pub(crate) out: PathBuf,
    pub(crate) ws: PathBuf,
    before: BTreeMap<PathBuf, String>,
    /// Whether nothing in the workspace is kept out.
    is_open: bool,
    victim: Victim,
    sockets: [UnixListener; 2],
    tcp: TcpListener,
    udp: UdpSocket,
    name: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let root = TempDir::new().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let real = root.path().canonicalize().unwrap();
        let (out, ws) = (real.join("out"), real.join("ws"));
        for folder in ["out/below", "ws/private/deep", "ws/asked", "ws/ro", "ws/.store", "ws/src"] {
            fs::create_dir_all(real.join(folder)).unwrap();
        }
        fs::create_dir_all(ws.join(".git/hooks")).unwrap();
        for file in [
            "out/secret.txt",
            "out/victim.txt",
            "out/below/secret.txt",
            "ws/private/secret.txt",
            "ws/private/deep/secret.txt",
            "ws/asked/secret.txt",
            "ws/.store/journal.db",
        ] {
            fs::write(real.join(file), format!("{SECRET}\n")).unwrap();
        }
        for file in ["ws/in.txt", "ws/ro/kept.txt", "ws/libos.toml", "ws/.git/hooks/sample"] {
            fs::write(real.join(file), "public\n").unwrap();
        }
        let name = real.file_name().unwrap().to_str().unwrap().to_owned();
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let sockets = [
            UnixListener::bind(ws.join(".store/control.sock")).unwrap(),
            UnixListener::bind_addr(&address).unwrap(),
        ];
        sockets.iter().for_each(|socket| socket.set_nonblocking(true).unwrap());
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let udp = UdpSocket::bind(tcp.local_addr().unwrap()).unwrap();
        tcp.set_nonblocking(true).unwrap();
        udp.set_nonblocking(true).unwrap();
        let victim = Command::new("sleep")
            .arg("1000")
            .env(VARIABLE, SECRET)
            .stdin(fs::File::open(out.join("secret.txt")).unwrap())
            .spawn()
            .unwrap();
        let victim = Victim(victim);
        let before = protected(&out, &ws);
        Self { _root: root, out, ws, before, is_open: false, victim, sockets, tcp, udp, name }
    }

    /// One in which nothing is kept out where keeping out takes everything above along.
    pub(crate) fn for_work() -> Self {
        Self { is_open: !has_mounts(), ..Self::new() }
    }

    fn script(&self, case: &Case) -> String {
        let port = self.tcp.local_addr().unwrap().port().to_string();
        [
            ("{out}", self.out.to_str().unwrap()),
            ("{ws}", self.ws.to_str().unwrap()),
            ("{pid}", &self.victim.0.id().to_string()),
            ("{host}", &std::process::id().to_string()),
            ("{port}", &port),
            ("{name}", &self.name),
        ]
        .iter()
        .fold(case.script.to_owned(), |script, (mark, text)| script.replace(mark, text))
    }

    /// How a row is started.
    fn argv(&self, case: &Case) -> Vec<String> {
        let flag = match case.program {
            "node" | "perl" => "-e",
            _ => "-c",
        };
        let script = self.script(case);
        match case.program {
            "sh" | "bash" | "python3" | "node" | "perl" => {
                vec![case.program.into(), flag.into(), script]
            }
            // A program of the system that a script uses.
            _ => vec!["sh".into(), "-c".into(), script],
        }
    }

    pub(crate) fn order(&self, argv: Vec<String>) -> Order {
        let on = |text: &str| text.parse().unwrap();
        let all = || Rights::all();
        let change = || [libos_abi::Right::Write, libos_abi::Right::Delete].into_iter().collect();
        let rules = vec![
            ReachRule::allow(on("fs:workspace/*"), all()),
            ReachRule::keep_out(on("fs:workspace/private/*"), all()),
            ReachRule::keep_out(on("fs:workspace/asked/*"), all()),
            ReachRule::keep_out(on("fs:workspace/ro/*"), change()),
        ];
        let rules = if self.is_open { rules[..1].to_vec() } else { rules };
        let run = shell::Run {
            timeout_ms: Some(Millis(60_000)),
            stdin: Some("from the host\n".into()),
            ..shell::Run::of(argv)
        };
        Order {
            pid: Some(Pid(1)),
            workspace: Some(self.ws.to_str().unwrap().into()),
            reach: Reach { rules },
            port: Arc::new(NoPort),
            ..Order::alone(OpId(7), run)
        }
    }

    /// Runs a program confined; what it printed, or what was refused.
    pub(crate) async fn run(&self, argv: Vec<String>) -> (Option<i32>, String) {
        let shell = ShellProvider::new(ShellConfig {
            search_path: search_path(),
            kept_out: if self.is_open { vec![] } else { vec![self.ws.join(".store")] },
            may_lack: layers_missing().clone(),
            ..ShellConfig::from_host()
        });
        match shell.perform(self.order(argv)).await {
            EffectOutcome::Done(Reply::Shell(shell::Reply::Run(ended))) => {
                let text = |text: &libos_abi::Text| text.as_str().unwrap().to_owned();
                (ended.exit_code, text(&ended.stdout) + &text(&ended.stderr))
            }
            other => (None, format!("{other:?}")),
        }
    }

    pub(crate) async fn confined(&self, case: &Case) -> String {
        self.run(self.argv(case)).await.1
    }

    /// Runs a row as if there were no confinement.
    pub(crate) async fn bare(&self, case: &Case) -> String {
        let argv = self.argv(case);
        let mut command = Command::new("timeout");
        command
            .arg("20")
            .args(&argv)
            .current_dir(&self.ws)
            .env("HOME", &self.ws)
            .env(VARIABLE, SECRET);
        command.env("TMPDIR", &self.ws).env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
        // Into files: what is left alive holds pipes open.
        let (out, err) = (self.out.with_file_name("stdout"), self.out.with_file_name("stderr"));
        command.stdout(fs::File::create(&out).unwrap()).stderr(fs::File::create(&err).unwrap());
        let mut child = command.spawn().unwrap();
        child.wait().unwrap();
        let text = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned();
        text(&out) + &text(&err)
    }

    /// Everything that a program did and must not.
    pub(crate) async fn breaches(&self, printed: &str) -> Vec<String> {
        let mut found = Vec::new();
        if printed.contains(SECRET) {
            found.push("it printed the secret".to_owned());
        }
        let after = protected(&self.out, &self.ws);
        for (path, state) in &self.before {
            if after.get(path) != Some(state) {
                found.push(format!("{} was {state}, is {:?}", path.display(), after.get(path)));
            }
        }
        let new = after.keys().filter(|path| !self.before.contains_key(*path));
        found.extend(new.map(|path| format!("{} is new", path.display())));
        found.extend(copies(&self.ws));
        for socket in &self.sockets {
            if socket.accept().is_ok() {
                found.push("it reached a socket".to_owned());
            }
        }
        if self.tcp.accept().is_ok() {
            found.push("it connected by TCP".to_owned());
        }
        match self.udp.recv(&mut [0; 16]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            _ => found.push("it sent by UDP".to_owned()),
        }
        let status = fs::read_to_string(format!("/proc/{}/status", self.victim.0.id()));
        let status = status.unwrap_or_default();
        let is_well = ["State:\tS", "TracerPid:\t0"].iter().all(|line| status.contains(line));
        if !is_well {
            found.push("the victim is not well".to_owned());
        }
        let since = Instant::now();
        while !self.alive().is_empty() && since.elapsed() < Duration::from_secs(1) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if !self.alive().is_empty() {
            found.push(format!("{:?} live on", self.alive()));
        }
        found
    }

    /// The processes that a program of the stage left.
    fn alive(&self) -> Vec<i32> {
        let home = format!("HOME={}", self.ws.display());
        let all = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let all = all.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
        all.filter(|pid| {
            let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            environment.split(|byte| *byte == 0).any(|variable| variable == home.as_bytes())
        })
        .collect()
    }

    /// Ends what a row left that ran bare.
    pub(crate) fn end_all(&self) {
        let since = Instant::now();
        while !self.alive().is_empty() && since.elapsed() < PATIENCE {
            for pid in self.alive().into_iter().filter_map(rustix::process::Pid::from_raw) {
                // It may have ended by itself.
                rustix::process::kill_process(pid, rustix::process::Signal::KILL).ok();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// A process of the host that a row may try to harm; it ends with its stage.
struct Victim(Child);

impl Drop for Victim {
    fn drop(&mut self) {
        // It may have been ended by a row.
        self.0.kill().and_then(|()| self.0.wait()).ok();
    }
}

/// The state of everything that no program may change.
fn protected(out: &Path, ws: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    // Only a mount freezes what others obey.
    let frozen: &[&str] = if has_mounts() { &["libos.toml", ".git/hooks"] } else { &[] };
    let inside = ["private", "asked", "ro", ".store"];
    let roots = inside.iter().chain(frozen).map(|name| ws.join(name)).chain([out.to_owned()]);
    roots.for_each(|root| note(&root, &mut all));
    let planted = fs::read_dir("/tmp").unwrap().filter_map(Result::ok);
    let name = format!("planted-{}", out.parent().unwrap().file_name().unwrap().display());
    let planted = planted.filter(|entry| entry.file_name().to_string_lossy() == name);
    planted.for_each(|entry| note(&entry.path(), &mut all));
    all
}

fn note(path: &Path, all: &mut BTreeMap<PathBuf, String>) {
    let Ok(found) = path.symlink_metadata() else { return };
    let content = if found.is_file() { fs::read(path).unwrap_or_default() } else { Vec::new() };
    let content = libos_abi::Digest::of(&content);
    let state = format!(
        "mode {:o} of {}, {} links, changed at {}.{}, {content}",
        found.mode(),
        found.uid(),
        if found.is_dir() { 0 } else { found.nlink() },
        found.ctime(),
        found.ctime_nsec(),
    );
    all.insert(path.to_owned(), state);
    if found.is_dir() {
        let entries = fs::read_dir(path).into_iter().flatten().filter_map(Result::ok);
        entries.for_each(|entry| note(&entry.path(), all));
    }
}

/// Copies of the secret where a program may write.
fn copies(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        if kind.is_dir() && !["private", "asked", ".store"].iter().any(|it| path.ends_with(it)) {
            found.extend(copies(&path));
        } else if kind.is_file() {
            let content = fs::read(&path).unwrap_or_default();
            if content.windows(SECRET.len()).any(|part| part == SECRET.as_bytes()) {
                found.push(format!("{} holds the secret", path.display()));
            }
        }
    }
    found
}
