//! `libos simulate-crash`: runs a task in copies of its folder, kills each at a boundary, goes on,
//! and tells what was lost, repeated or became unknown.
//!
//! What is compared is what the records say and what lies in the folder. Nothing here decides what
//! is right: an undisturbed run does, and what differs between two of those is left out.

mod scratch;
mod truth;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use clap::Args;
use serde::Serialize;
use tokio::process::Command;

use self::{
    scratch::Scratch,
    truth::{Found, Truth},
};
use crate::{
    crash,
    exit::{Exit, Failure},
    host::Host,
    show,
};

/// How long one run may take: a task that waits longer for anything cannot be tried at every
/// boundary anyway.
const RUN_TIME_MAX: Duration = Duration::from_secs(120);

/// How often a kill is tried at a boundary that the run then passes by: threads do not run alike
/// twice.
const TRIES: usize = 3;

#[derive(Debug, Args)]
#[command(
    after_help = "The folder of the task file is copied for each run, and the workspace must \
lie in it. Programs that the plan runs are run for real, in the copy.

Examples:
  libos simulate-crash task.toml --every             at every boundary that it passes
  libos simulate-crash task.toml --at 12             at the twelfth
  libos simulate-crash task.toml --at reply:3        where a reply leaves for the third time
  libos simulate-crash task.toml --every --approvals approvals.toml --json

It ends with 1 if anything was lost or repeated."
)]
pub(crate) struct SimulateArgs {
    /// The task file.
    task: PathBuf,
    /// At this boundary: its number in the order in which they are passed, from 1, or its name,
    /// with which passing of it. Threads do not run alike each time, so a number may name another
    /// one the next time.
    #[arg(
        long,
        value_name = "N|NAME[:N]",
        required_unless_present = "every",
        conflicts_with = "every"
    )]
    at: Option<String>,
    /// At every boundary, one run for each.
    #[arg(long)]
    every: bool,
    /// Answer requests by the rules of this file.
    #[arg(long, value_name = "FILE")]
    approvals: Option<PathBuf>,
}

/// A boundary, and which passing of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct At {
    /// Its place in the order of all that are passed, from 1.
    at: usize,
    boundary: String,
    passing: usize,
}

impl At {
    fn is_named(&self, text: &str) -> bool {
        let (name, passing) = text.split_once(':').unwrap_or((text, "1"));
        text.parse() == Ok(self.at) || self.boundary == name && passing.parse() == Ok(self.passing)
    }
}

/// What one kill came to.
#[derive(Debug, Serialize)]
struct Kill {
    #[serde(flatten)]
    at: At,
    /// Whether the run came to its end without passing it, each time.
    passed_by: bool,
    #[serde(flatten)]
    found: Found,
}

/// All of them.
#[derive(Debug, Default, Serialize)]
struct Sum {
    kills: usize,
    lost: usize,
    repeated: usize,
    unknown: usize,
    passed_by: usize,
}

pub(crate) async fn simulate(host: &Host, args: &SimulateArgs) -> Result<Exit, Failure> {
    let stage = Stage::of(host, args)?;
    let (wanted, passed) = stage.undisturbed().await?;
    let chosen: Vec<At> = match &args.at {
        None => passed,
        Some(at) => {
            let count = passed.len();
            let found = passed.into_iter().find(|it| it.is_named(at));
            vec![found.ok_or_else(|| {
                let message = format!("--at {at}: the task passes {count} boundaries");
                Failure::new(Exit::Usage, "usage", message)
            })?]
        }
    };
    let mut sum = Sum::default();
    for at in chosen {
        let kill = stage.kill(at, &wanted).await?;
        sum.add(&kill);
        report(host, &kill);
    }
    if host.json {
        show::json(&sum);
    } else {
        say!(
            "{} kills: {} lost something, {} repeated something, {} left something unknown.",
            sum.kills,
            sum.lost,
            sum.repeated,
            sum.unknown
        );
        if sum.passed_by > 0 {
            say!("{} boundaries were passed by in {TRIES} tries.", sum.passed_by);
        }
    }
    Ok(if sum.lost + sum.repeated > 0 { Exit::Failed } else { Exit::Done })
}

impl Sum {
    fn add(&mut self, kill: &Kill) {
        self.passed_by += usize::from(kill.passed_by);
        self.kills += usize::from(!kill.passed_by);
        self.lost += usize::from(!kill.found.lost.is_empty());
        self.repeated += usize::from(!kill.found.repeated.is_empty());
        self.unknown += usize::from(!kill.found.unknown.is_empty());
    }
}

fn report(host: &Host, kill: &Kill) {
    if host.json {
        return show::json(kill);
    }
    let At { at, boundary, passing } = &kill.at;
    let Found { lost, repeated, unknown } = &kill.found;
    let verdict = match (kill.passed_by, lost.len() + repeated.len(), unknown.len()) {
        (true, ..) => "passed by",
        (false, 0, 0) => "ok",
        (false, 0, _) => "unknown",
        _ => "BAD",
    };
    say!("{at:>4}  {boundary}:{passing}  {verdict}");
    for (word, all) in [("lost", lost), ("repeated", repeated), ("unknown", unknown)] {
        for what in all {
            say!("      {word}: {what}");
        }
    }
}

/// What every run needs.
struct Stage {
    libos: PathBuf,
    task: PathBuf,
    approvals: Option<PathBuf>,
    operator: String,
}

impl Stage {
    fn of(host: &Host, args: &SimulateArgs) -> Result<Self, Failure> {
        let task = args.task.canonicalize().map_err(|error| {
            let message = format!("{}: {error}", args.task.display());
            Failure::new(Exit::Usage, "invalid_file", message)
        })?;
        // Whatever is wrong with it is better said before it is copied.
        let loaded = agent_libos::task::load(&task)?;
        let folder = scratch::folder_of(&task);
        let workspace = loaded.launch.workspace.unwrap_or_default();
        if !Path::new(&workspace).starts_with(folder) {
            let message = format!("the workspace {workspace} lies outside of {}", folder.display());
            return Err(Failure::new(Exit::Usage, "usage", message));
        }
        let approvals = args.approvals.as_ref().map(|path| path.canonicalize()).transpose()?;
        let libos = std::env::current_exe()?;
        Ok(Self { libos, task, approvals, operator: host.operator.clone() })
    }

    /// What two runs leave to which nothing happens, and the boundaries that the first passes.
    async fn undisturbed(&self) -> Result<(Truth, Vec<At>), Failure> {
        let scratch = Scratch::of(&self.task)?;
        let trace = scratch.path("trace");
        self.begin(&scratch, &[(crash::TRACE, trace.as_os_str().into())]).await?;
        let first = Truth::of(&scratch)?;
        let other = Scratch::of(&self.task)?;
        self.begin(&other, &[]).await?;
        let steady = first.steady(&Truth::of(&other)?);
        Ok((steady, passed(&trace)?))
    }

    async fn kill(&self, at: At, wanted: &Truth) -> Result<Kill, Failure> {
        for _ in 0..TRIES {
            let scratch = Scratch::of(&self.task)?;
            let place = format!("{}:{}", at.boundary, at.passing);
            if self.begin(&scratch, &[(crash::AT, place.into())]).await? {
                continue;
            }
            self.go_on(&scratch).await?;
            let found = Truth::of(&scratch)?.against(wanted);
            return Ok(Kill { at, passed_by: false, found });
        }
        Ok(Kill { at, passed_by: true, found: Found::default() })
    }

    /// Runs the task; whether it ended by itself.
    async fn begin(
        &self,
        scratch: &Scratch,
        env: &[(&'static str, OsString)],
    ) -> Result<bool, Failure> {
        let task = scratch.task();
        self.run(scratch, &["run".into(), task.into_os_string()], env).await
    }

    /// Goes on with what a kill left.
    async fn go_on(&self, scratch: &Scratch) -> Result<(), Failure> {
        match scratch.is_begun()? {
            true => self.run(scratch, &["resume".into()], &[]).await?,
            false => self.begin(scratch, &[]).await?,
        };
        Ok(())
    }

    async fn run(
        &self,
        scratch: &Scratch,
        command: &[OsString],
        env: &[(&'static str, OsString)],
    ) -> Result<bool, Failure> {
        let mut libos = Command::new(&self.libos);
        libos.current_dir(scratch.folder()).arg("--store").arg(scratch.store());
        libos.args(["--json", "--as", &self.operator]).args(command);
        if let Some(approvals) = &self.approvals {
            libos.arg("--approvals").arg(approvals);
        }
        libos.env_remove(crash::AT).env_remove(crash::TRACE);
        libos.envs(env.iter().map(|(name, value)| (name, value)));
        libos.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let status = libos.spawn()?;
        match tokio::time::timeout(RUN_TIME_MAX, wait(status)).await {
            Ok(status) => Ok(status?.code().is_some()),
            Err(_) => {
                let message = format!("a run took longer than {} s", RUN_TIME_MAX.as_secs());
                Err(Failure::new(Exit::Failed, "timed_out", message))
            }
        }
    }
}

async fn wait(mut child: tokio::process::Child) -> std::io::Result<std::process::ExitStatus> {
    child.wait().await
}

/// A trace, each line with its number and how often it stood there before.
fn passed(trace: &Path) -> Result<Vec<At>, Failure> {
    let text = std::fs::read_to_string(trace)?;
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let number = |(index, name)| {
        let passing = count.entry(name).or_default();
        *passing += 1;
        At { at: index + 1, boundary: name.to_owned(), passing: *passing }
    };
    Ok(text.lines().enumerate().map(number).collect())
}
