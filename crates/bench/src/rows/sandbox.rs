//! Tools that agents wrote: a call in a fresh instance, its system calls, its memory; and Deno
//! doing the same.
//!
//! Deno is taken from the path, or from `target/deno/bin`, where
//! `python3 -m pip install --target target/deno deno` puts it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context, ensure};
use libos_abi::{Fault, Outcome, Syscall, clock};
use libos_port::{BoxFuture, Port};
use libos_sandbox::{
    Artifact, Language, Limits, Needs, Run, RunLimits, Sandbox, WhenFull, bench_support::Steps,
};
use tokio::runtime::Runtime;

use crate::{
    measure::{Figure, Scale, by_turns, each, nanos},
    report::{Row, Target, Unit},
};

/// A trivial tool with one system call.
const ONE: &str = "
interface Args { a: number; b: number }
export default async function run(args: Args, libos: Libos): Promise<number> {
  return args.a + args.b + (await libos.clock.now()).unix_ms;
}";
/// The same without one.
const NONE: &str = "export default async (args: { a: number; b: number }) => args.a + args.b;";
/// A hundred system calls, each awaited.
const HUNDRED: &str = "export default async function run(args: object, libos: Libos) {
  let sum = 0;
  for (let i = 0; i < 100; i++) sum += (await libos.clock.now()).unix_ms;
  return sum;
}";
/// A hundred in one batch.
const BATCH: &str = "export default async function run(args: object, libos: Libos) {
  const all = await Promise.all(Array.from({ length: 100 }, () => libos.clock.now()));
  return all.reduce((sum, now) => sum + now.unix_ms, 0);
}";
/// A tool that waits for a call.
const WAITS: &str =
    "export default async (args: object, libos: Libos) => libos.clock.sleep({ ms: 1 });";
/// The same as [`ONE`] for Deno: arguments, the call and its reply, the result are lines.
const DENO: &str = r#"
interface Args { a: number; b: number }
const encoder = new TextEncoder(), decoder = new TextDecoder(), buffer = new Uint8Array(65536);
const read = async () => {
  const bytes = await Deno.stdin.read(buffer);
  return JSON.parse(decoder.decode(buffer.subarray(0, bytes!)));
};
const write = (value: unknown) => Deno.stdout.write(encoder.encode(JSON.stringify(value) + "\n"));
const args: Args = await read();
await write({ op: "clock.now", args: {} });
await write({ ok: args.a + args.b + (await read()).ok.unix_ms });
"#;
const ARGS: &str = r#"{"a":1,"b":2}"#;
/// Instances that are alive at the same time.
const LIVE: usize = 50;
/// Deno, to what the target compares.
const TIMES_DENO: f64 = 1.0 / 200.0;

/// A port that answers at once, but for sleeps, which last.
struct Answers;

impl Port for Answers {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            match call {
                Syscall::Clock(clock::Call::GetNow(_)) => {
                    let iso8601 = libos_abi::Iso8601::of(1);
                    Ok(clock::Reply::GetNow(clock::Now { unix_ms: 1, iso8601 }).into())
                }
                Syscall::Clock(clock::Call::Sleep(_)) => std::future::pending().await,
                call => Err(Fault::Unsupported { call: call.info().name.into() }.into()),
            }
        })
    }
}

/// A sandbox and its tokio runtime.
struct Bench {
    tokio: Runtime,
    sandbox: Sandbox,
}

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&scale.folder)?;
    let cache = folder.path().join("cache");
    let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let bench = Bench { sandbox: Sandbox::new(Limits::STANDARD, &cache)?, tokio };
    let mut rows = bench.instances(scale)?;
    rows.extend(bench.scripts(scale, folder.path())?);
    rows.extend(bench.calls(scale)?);
    rows.push(cold(scale, &cache)?);
    rows.push(bench.memory(scale)?);
    Ok(rows)
}

fn order(args: &str) -> Run {
    Run {
        args: args.into(),
        needs: Needs::default(),
        port: Arc::new(Answers),
        seed: 7,
        limits: RunLimits::STANDARD,
        when_full: WhenFull::Wait,
    }
}

/// A module that makes so many system calls.
fn module(calls: usize) -> String {
    format!(
        r#"(module
  (import "libos" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (data (i32.const 16) "[{{\"op\":\"clock.now\",\"args\":{{}}}}]")
  (data (i32.const 64) "{{\"ok\":1}}")
  (func (export "libos_alloc") (param i32) (result i32) (i32.const 1024))
  (func (export "run") (param i32 i32) (result i64) (local $left i32)
    (local.set $left (i32.const {calls}))
    (loop $next
      (drop (call $syscall (i32.const 16) (i32.const 30)))
      (br_if $next (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
    (i64.const 0x4000000008)))"#
    )
}

impl Bench {
    fn compile(&self, language: Language, source: &str) -> anyhow::Result<Artifact> {
        Ok(self.tokio.block_on(self.sandbox.compile(language, source.as_bytes()))?)
    }

    /// The nanoseconds of a call of a tool.
    fn sample(&self, artifact: &Artifact, times: usize) -> f64 {
        each(times, |_| {
            let report = self.tokio.block_on(self.sandbox.run(artifact, order(ARGS)));
            report.outcome.expect("the tool ends well");
        })
    }

    /// A fresh instance, bare and as the script engine; a module with one call.
    fn instances(&self, scale: &Scale) -> anyhow::Result<Vec<Row>> {
        let steps = self.tokio.block_on(Steps::new(&self.sandbox))?;
        let (rounds, times) = (scale.rounds(31), scale.size(100));
        let bare = || {
            each(times, |_| {
                self.tokio.block_on(steps.bare()).expect("the module runs");
            })
        };
        let script = || {
            each(times, |_| self.tokio.block_on(steps.instantiate()).expect("the engine is there"))
        };
        let (floor, script) = by_turns(rounds, bare, script);
        let one = self.compile(Language::Module, &module(1))?;
        let (again, with_call) = by_turns(rounds, bare, || self.sample(&one, times));
        let what = "a fresh instance of an empty module, one call";
        Ok(vec![
            Row::new("sandbox.engine", "a fresh script engine", Unit::Nanoseconds, script)
                .floor(what, floor),
            Row::new("sandbox.module", "WAT tool with a system call", Unit::Nanoseconds, with_call)
                .floor(what, again)
                .target(Target::at_most(15_000.0)),
        ])
    }

    /// A trivial tool in TypeScript, and Deno.
    fn scripts(&self, scale: &Scale, folder: &Path) -> anyhow::Result<Vec<Row>> {
        let (rounds, times) = (scale.rounds(31), scale.size(100));
        let one = self.compile(Language::TypeScript, ONE)?;
        let none = self.compile(Language::TypeScript, NONE)?;
        let trivial = (0..rounds).map(|_| self.sample(&none, times)).collect();
        let trivial = Figure::of(trivial);
        let compile = || {
            each(times, |_| {
                self.compile(Language::TypeScript, ONE).expect("it compiles");
            })
        };
        let compiling = Figure::of((0..rounds).map(|_| compile()).collect());
        let what = "TypeScript tool with a system call, fresh instance";
        let alone = "TypeScript tool with a system call; no deno here to compare with";
        let row = |what, ours| Row::new("sandbox.script", what, Unit::Nanoseconds, ours);
        let target = Target::at_most(150_000.0);
        let with_call = match deno(folder)? {
            Some(deno) => {
                let ours = || self.sample(&one, times);
                let (theirs, ours) =
                    by_turns(rounds, || deno.sample().expect("deno does the same"), ours);
                row(what, ours)
                    .floor("deno run, over a pipe", theirs)
                    .target(Target { times_floor: Some(TIMES_DENO), ..target })
            }
            None => {
                let samples = (0..rounds).map(|_| self.sample(&one, times)).collect();
                row(alone, Figure::of(samples)).target(target)
            }
        };
        let nothing = "the same without a system call";
        let strip = "the same source compiled: stripped and checked";
        Ok(vec![
            with_call,
            Row::new("sandbox.script.trivial", nothing, Unit::Nanoseconds, trivial),
            Row::new("sandbox.script.compile", strip, Unit::Nanoseconds, compiling),
        ])
    }

    /// System calls, one by one and as a batch.
    fn calls(&self, scale: &Scale) -> anyhow::Result<Vec<Row>> {
        let (rounds, times) = (scale.rounds(31), scale.size(20));
        let (few, many) = (self.compile(Language::Module, &module(1))?, 1001);
        let loops = self.compile(Language::Module, &module(many))?;
        let (few, loops) =
            by_turns(rounds, || self.sample(&few, times), || self.sample(&loops, times));
        let call = |few: f64, many_calls: f64| (many_calls - few) / (many - 1) as f64;
        let trip = Figure {
            p50: call(few.p50, loops.p50),
            p10: call(few.p50, loops.p10),
            p90: call(few.p50, loops.p90),
            samples: loops.samples,
        };
        let hundred = self.compile(Language::TypeScript, HUNDRED)?;
        let batch = self.compile(Language::TypeScript, BATCH)?;
        let (batch, hundred) =
            by_turns(rounds, || self.sample(&batch, times), || self.sample(&hundred, times));
        let (each, whole) = ("the same with 100 calls, each awaited", "with 100 in one batch");
        let target = Target::at_most(2_000_000.0);
        Ok(vec![
            Row::new("sandbox.call", "a system call of a module", Unit::Nanoseconds, trip)
                .target(Target::at_most(1_000.0)),
            Row::new("sandbox.script.100", each, Unit::Nanoseconds, hundred).target(target),
            Row::new("sandbox.script.batch", whole, Unit::Nanoseconds, batch).target(target),
        ])
    }

    /// Tools that are alive, each waiting for a call.
    fn memory(&self, scale: &Scale) -> anyhow::Result<Row> {
        let waits = self.compile(Language::TypeScript, WAITS)?;
        let live = scale.size(LIVE);
        let before = private_bytes()?;
        let bytes = self.tokio.block_on(async {
            let mut runs = Vec::new();
            for _ in 0..live {
                let mut run = Box::pin(self.sandbox.run(&waits, order("{}")));
                let begun = std::future::poll_fn(|cx| {
                    std::task::Poll::Ready(run.as_mut().poll(cx).is_pending())
                });
                // A tick of the clock may have passed.
                ensure!(begun.await, "the tool waits");
                runs.push(run);
            }
            private_bytes()
        })?;
        let each = (bytes - before).max(0.0) / live as f64;
        let what = "private memory of a live script";
        Ok(Row::new("sandbox.memory", what, Unit::Bytes, Figure::exact(each))
            .target(Target::at_most((512 << 10) as f64)))
    }
}

/// A call right after the start of a sandbox, with the compiled engine on disk.
fn cold(scale: &Scale, cache: &Path) -> anyhow::Result<Row> {
    let sample = || -> anyhow::Result<f64> {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let start = Instant::now();
        let sandbox = Sandbox::new(Limits::STANDARD, cache)?;
        let outcome = tokio.block_on(async {
            let tool = sandbox.compile(Language::TypeScript, ONE.as_bytes()).await?;
            anyhow::Ok(sandbox.run(&tool, order(ARGS)).await.outcome?)
        });
        outcome?;
        Ok(nanos(start.elapsed()))
    };
    let samples = (0..scale.rounds(15)).map(|_| sample()).collect::<anyhow::Result<_>>()?;
    let what = "a new sandbox, its engine on disk, and the first call";
    Ok(Row::new("sandbox.cold", what, Unit::Nanoseconds, Figure::of(samples)))
}

/// The bytes that this process shares with no other.
fn private_bytes() -> anyhow::Result<f64> {
    let rollup = fs::read_to_string("/proc/self/smaps_rollup")?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Private_Dirty:"));
    let kib = line.context("no private memory is told")?.trim().trim_end_matches(" kB");
    Ok(kib.parse::<f64>()? * 1024.0)
}

/// Deno, with the script.
struct Deno {
    program: PathBuf,
    script: PathBuf,
    folder: PathBuf,
}

/// Deno, if it is there.
fn deno(folder: &Path) -> anyhow::Result<Option<Deno>> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> = env::split_paths(&path).collect();
    places.push(PathBuf::from("target/deno/bin"));
    let found = places.into_iter().map(|place| place.join("deno")).find(|deno| deno.is_file());
    let Some(program) = found else {
        return Ok(None);
    };
    let script = folder.join("tool.ts");
    fs::write(&script, DENO)?;
    let deno = Deno { program, script, folder: folder.join("deno") };
    // What it compiles and caches at first.
    for _ in 0..2 {
        deno.sample()?;
    }
    Ok(Some(deno))
}

impl Deno {
    /// The nanoseconds of a call: start, arguments, one call and its reply, result, end.
    fn sample(&self) -> anyhow::Result<f64> {
        let start = Instant::now();
        let flags = ["run", "--quiet", "--no-prompt", "--no-remote", "--no-config", "--no-lock"];
        let mut child = Command::new(&self.program)
            .args(flags)
            .arg(&self.script)
            .env("DENO_DIR", &self.folder)
            .env("DENO_NO_UPDATE_CHECK", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start deno")?;
        let mut input = child.stdin.take().context("deno has an input")?;
        let mut output = BufReader::new(child.stdout.take().context("deno has an output")?);
        let mut line = String::new();
        writeln!(input, "{ARGS}")?;
        output.read_line(&mut line)?;
        ensure!(line.contains("clock.now"), "deno asks for something else: {line}");
        line.clear();
        writeln!(input, r#"{{"ok":{{"unix_ms":1}}}}"#)?;
        output.read_line(&mut line)?;
        ensure!(line.trim() == r#"{"ok":4}"#, "deno gives something else: {line}");
        child.wait()?;
        Ok(nanos(start.elapsed()))
    }
}
