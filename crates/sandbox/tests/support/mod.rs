//! What the tests of the sandbox share: one sandbox, a port that remembers, short ways to run.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::panic,
    reason = "every file of tests compiles this and uses its part; what fails, panics"
)]

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use libos_abi::{DenyReason, Digest, Error, Fault, Need, Outcome, Right, Syscall, Text, clock, fs};
use libos_port::{BoxFuture, Port};
use libos_sandbox::{
    Artifact, CompileError, Language, Limits, Needs, Report, Run, RunLimits, Sandbox, ToolError,
    WhenFull,
};
use serde_json::Value;

/// Where compiled code is kept from one test run to the next.
pub fn cache() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("sandbox-cache")
}

/// The sandbox of this process.
pub fn sandbox() -> &'static Sandbox {
    static SANDBOX: OnceLock<Sandbox> = OnceLock::new();
    SANDBOX.get_or_init(|| Sandbox::new(Limits::STANDARD, &cache()).expect("a sandbox"))
}

/// A port in front of files in memory. It remembers the names of all calls in their order.
#[derive(Default)]
pub struct Files {
    pub files: Mutex<BTreeMap<String, String>>,
    pub calls: Mutex<Vec<String>>,
    /// How many calls are under way, and how many were at the most.
    pub open: Mutex<(usize, usize)>,
}

impl Files {
    pub fn with(files: &[(&str, &str)]) -> Arc<Self> {
        let files = files.iter().map(|(name, text)| ((*name).into(), (*text).into())).collect();
        Arc::new(Self { files: Mutex::new(files), ..Self::default() })
    }

    pub fn calls(&self) -> Vec<String> {
        self.calls.lock().expect("no test panics here").clone()
    }

    fn answer(&self, call: &Syscall) -> Outcome {
        let mut files = self.files.lock().expect("no test panics here");
        match call {
            Syscall::Fs(fs::Call::Read(fs::Read { path, .. })) => {
                if path.0.starts_with("secret") {
                    let need = Need { right: Right::Read, on: path.resource() };
                    return Err(Fault::denied(Some(need), DenyReason::NoGrant).into());
                }
                let Some(text) = files.get(&*path.0) else {
                    return Err(fs::FailureKind::NotFound.because(format!("no file `{path}`")));
                };
                let (bytes, digest) = (text.len() as u64, Digest::of(text.as_bytes()));
                let text = Text::from(text.as_str());
                Ok(fs::Reply::Read(fs::FileText {
                    text,
                    bytes,
                    truncated: false,
                    digest,
                    object: None,
                })
                .into())
            }
            Syscall::Fs(fs::Call::Write(fs::Write { path, text, .. })) => {
                let text = text.as_str().expect("texts are here");
                let created = files.insert(path.to_string(), text.into()).is_none();
                let digest = Digest::of(text.as_bytes());
                let (path, bytes) = (path.clone(), text.len() as u64);
                Ok(fs::Reply::Write(fs::Written {
                    path,
                    bytes,
                    created,
                    digest,
                    before: fs::Before::Absent,
                })
                .into())
            }
            Syscall::Clock(clock::Call::GetNow(_)) => {
                let now = clock::Now { unix_ms: 1000, iso8601: libos_abi::Iso8601::of(1000) };
                Ok(clock::Reply::GetNow(now).into())
            }
            Syscall::Clock(clock::Call::Sleep(clock::Sleep { ms })) => {
                let slept = clock::Slept { ms: ms.0, elapsed_ms: ms.0 };
                Ok(clock::Reply::Sleep(slept).into())
            }
            other => Err(Fault::Unsupported { call: other.info().name.into() }.into()),
        }
    }
}

impl Port for Files {
    /// A sleep yields that many times; of 0 ms it lasts for ever.
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let mut calls = self.calls.lock().expect("no test panics here");
        calls.push(call.info().name.into());
        drop(calls);
        Box::pin(async move {
            {
                let mut open = self.open.lock().expect("no test panics here");
                open.0 += 1;
                open.1 = open.1.max(open.0);
            }
            if let Syscall::Clock(clock::Call::Sleep(clock::Sleep { ms })) = &call {
                match ms.0 {
                    0 => std::future::pending().await,
                    times => {
                        for _ in 0..times {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            }
            let answer = self.answer(&call);
            self.open.lock().expect("no test panics here").0 -= 1;
            answer
        })
    }
}

/// A run over no files.
pub fn plain(args: &str) -> Run {
    over(args, Files::with(&[]))
}

/// A run over a port.
pub fn over(args: &str, port: Arc<dyn Port>) -> Run {
    Run {
        args: args.into(),
        needs: Needs::default(),
        port,
        seed: 1,
        limits: RunLimits::STANDARD,
        when_full: WhenFull::Wait,
    }
}

/// A run with other limits.
pub fn limited(limits: RunLimits) -> Run {
    Run { limits, ..plain("{}") }
}

pub async fn compile(language: Language, source: &str) -> Result<Artifact, CompileError> {
    sandbox().compile(language, source.as_bytes()).await
}

/// Runs a tool; whatever it is, it ends: a test that hangs tells less than one that fails.
pub async fn ran(artifact: &Artifact, run: Run) -> Report {
    let ran = tokio::time::timeout(Duration::from_secs(60), sandbox().run(artifact, run)).await;
    ran.expect("every run ends")
}

pub async fn javascript(source: &str) -> Artifact {
    compile(Language::JavaScript, source).await.expect("it compiles")
}

/// Compiles and runs a script over no files.
pub async fn run_javascript(source: &str, run: Run) -> Report {
    let artifact = javascript(source).await;
    ran(&artifact, run).await
}

pub async fn value(source: &str) -> Value {
    let report = run_javascript(source, plain("{}")).await;
    report.outcome.unwrap_or_else(|error| panic!("{error:?}"))
}

pub async fn error(source: &str) -> ToolError {
    let report = run_javascript(source, plain("{}")).await;
    report.outcome.expect_err("it fails")
}

/// A denial to read a file.
pub fn denied(path: &str) -> Error {
    let need = Need { right: Right::Read, on: libos_abi::FsPath::from(path).resource() };
    Fault::denied(Some(need), DenyReason::NoGrant).into()
}
