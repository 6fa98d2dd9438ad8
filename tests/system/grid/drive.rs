//! Runs a case, kills it at a boundary, goes on to the end, and compares.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    plans::{Act, Case},
    support::*,
    truth::{self, Found, Truth},
};

/// How often a kill is tried at a boundary that is then passed by: threads do not run alike twice.
const TRIES: usize = 3;

/// A boundary and which passing of it, as `LIBOS_CRASH_AT` takes it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct At {
    pub(crate) name: String,
    pub(crate) nth: usize,
}

/// A moment of a case: its folder as it is then, and the commands that are left, the first of
/// which is to be killed.
pub(crate) struct Scene {
    /// What goes on, for people.
    pub(crate) name: String,
    /// Whether something was killed before.
    pub(crate) is_resumed: bool,
    kept: PathBuf,
    acts: Vec<Act>,
    /// What each of them ends with.
    codes: Vec<i32>,
    /// How many calls of the host the first of them makes.
    says: usize,
    /// The boundaries that the first of them passes, in order.
    pub(crate) passed: Vec<At>,
    dead: Vec<Ran>,
}

/// What a kill left: what the dead said, and the commands that are left.
struct Left {
    dead: Vec<Ran>,
    acts: Vec<Act>,
}

/// A case in a folder of its own, with what it comes to if nothing happens.
pub(crate) struct Stage {
    lab: Lab,
    kept: TempDir,
    truth: Truth,
    pub(crate) scenes: Vec<Scene>,
}

impl Stage {
    /// Runs a case without disturbing it, and keeps its folder as it is before each command.
    pub(crate) fn of(case: &Case) -> Result<Self, String> {
        let lab = case.lab();
        let kept = tempfile::tempdir_in(memory()).map_err(said_by)?;
        let mut stage = Self { lab, kept, truth: Truth::default(), scenes: Vec::new() };
        let mut codes = Vec::new();
        for n in 0..case.acts.len() {
            let scene = stage.scene(&case.acts[n..])?;
            let (code, scene) = stage.traced(scene)?;
            codes.push(code);
            stage.scenes.push(scene);
        }
        if codes.last() != Some(&0) {
            return Err(format!("it does not end: {codes:?}"));
        }
        for (n, scene) in stage.scenes.iter_mut().enumerate() {
            scene.codes = codes[n..].to_vec();
        }
        stage.truth = Truth::of(&stage.lab)?;
        Ok(stage)
    }

    /// What goes on after a kill of a scene, if anything is left to do.
    pub(crate) fn after(&self, scene: &Scene, at: &At) -> Result<Option<Scene>, String> {
        let Some(Left { dead, acts }) = self.killed(scene, at)? else {
            return Err(format!("{} was not killed at {at:?}", scene.name));
        };
        let codes = scene.codes[scene.codes.len() - acts.len()..].to_vec();
        if acts.is_empty() {
            return Ok(None);
        }
        let name = format!("{} after {}:{}", scene.name, at.name, at.nth);
        let scene = Scene { name, is_resumed: true, codes, dead, ..self.scene(&acts)? };
        Ok(Some(self.traced(scene)?.1))
    }

    /// Kills, goes on, and compares with what should be; `None` if the boundary is passed by.
    pub(crate) fn survives(&self, scene: &Scene, at: &At) -> Option<Found> {
        for _ in 0..TRIES {
            match self.attempt(scene, at) {
                Ok(None) => {}
                Ok(found) => return found,
                Err(what) => return Some(Found::lost(what)),
            }
        }
        None
    }

    fn attempt(&self, scene: &Scene, at: &At) -> Result<Option<Found>, String> {
        let Some(Left { dead, acts }) = self.killed(scene, at)? else { return Ok(None) };
        for (act, code) in acts.iter().zip(&scene.codes[scene.codes.len() - acts.len()..]) {
            let ran = end(start(&self.lab, *act, &[]))?;
            if ran.code != *code {
                return Err(format!("it did not end with {code}: {ran}"));
            }
        }
        let truth = Truth::of(&self.lab)?;
        let mut found = truth.against(&self.truth);
        found.lost.extend(dead.iter().flat_map(|ran| truth.acknowledged(ran)));
        Ok(Some(found))
    }

    /// Sets a scene and kills its first command there; `None` if it came to its end.
    fn killed(&self, scene: &Scene, at: &At) -> Result<Option<Left>, String> {
        let root = self.lab.path("");
        clear(&root).and_then(|()| copy(&scene.kept, &root)).map_err(said_by)?;
        let before = truth::said(&self.lab)?;
        let place = format!("{}:{}", at.name, at.nth);
        let ran = end(start(&self.lab, scene.acts[0], &[("LIBOS_CRASH_AT", &place)]))?;
        if ran.code != -1 {
            return Ok(None);
        }
        let mut acts = scene.acts.clone();
        match acts[0] {
            // Who was cut off looks first whether all of it was heard.
            Act::Say(_) if truth::said(&self.lab)? >= before + scene.says => {
                acts.remove(0);
            }
            act => acts[0] = next(&self.lab, act)?,
        }
        let dead = scene.dead.iter().cloned().chain([ran]).collect();
        Ok(Some(Left { dead, acts }))
    }

    /// Keeps the folder as it is now.
    fn scene(&self, acts: &[Act]) -> Result<Scene, String> {
        let number = fs::read_dir(self.kept.path()).map_err(said_by)?.count();
        let kept = self.kept.path().join(number.to_string());
        copy(&self.lab.path(""), &kept).map_err(said_by)?;
        Ok(Scene {
            name: acts[0].name(),
            is_resumed: false,
            kept,
            acts: acts.to_vec(),
            codes: Vec::new(),
            says: 0,
            passed: Vec::new(),
            dead: Vec::new(),
        })
    }

    /// Runs the first command of a scene to its end; what it ended with, and the scene with the
    /// boundaries it passed.
    fn traced(&self, mut scene: Scene) -> Result<(i32, Scene), String> {
        let trace = self.lab.path("trace");
        let before = truth::said(&self.lab)?;
        let ran = end(start(&self.lab, scene.acts[0], &[("LIBOS_CRASH_TRACE", "trace")]))?;
        if ![0, 3].contains(&ran.code) {
            return Err(format!("it does not run: {ran}"));
        }
        scene.passed = numbered(&fs::read_to_string(&trace).map_err(said_by)?);
        scene.says = truth::said(&self.lab)? - before;
        fs::remove_file(&trace).map_err(said_by)?;
        Ok((ran.code, scene))
    }
}

/// Where the folders of cases are: a store in memory survives the death of a process as one on a
/// disk does, and syncing it takes no time.
pub(crate) fn memory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() }
}

/// The command that goes on after one was killed.
fn next(lab: &Lab, act: Act) -> Result<Act, String> {
    Ok(match act {
        Act::Run | Act::Resume if truth::is_begun(lab)? => Act::Resume,
        act => act,
    })
}

/// Runs the task, or goes on with it.
pub(crate) fn go_on(lab: &Lab) -> Result<Live, String> {
    Ok(start(lab, next(lab, Act::Run)?, &[]))
}

fn start(lab: &Lab, act: Act, env: &[(&str, &str)]) -> Live {
    let args: Vec<&str> = match act {
        Act::Run => vec!["--json", "run", "task.toml"],
        Act::Resume => vec!["--json", "resume"],
        Act::Say(args) => ["--json"].iter().chain(args).copied().collect(),
    };
    lab.start_with(&args, env)
}

pub(crate) fn end(live: Live) -> Result<Ran, String> {
    live.end_within(DEADLINE).map_err(|ran| format!("it did not end within {DEADLINE:?}: {ran}"))
}

/// A trace: each line with how often it stood there before.
fn numbered(trace: &str) -> Vec<At> {
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    let number = |name| {
        let nth = count.entry(name).or_default();
        *nth += 1;
        At { name: name.to_owned(), nth: *nth }
    };
    trace.lines().map(number).collect()
}

/// Copies what is in a folder with everything that belongs to it: times, and the marks of the
/// operations that made a file.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("cp -a fails")) }
}

fn clear(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => fs::remove_dir_all(entry.path())?,
            false => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

fn said_by(error: io::Error) -> String {
    error.to_string()
}
