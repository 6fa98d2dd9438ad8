//! `libos skill`, and the skills of a goal.
//!
//! What is found in a folder is used only if the operator names it. From then on its name means the
//! package that was registered, and another one under that name is refused until it is named by its
//! digest.

use std::path::{Path, PathBuf};

use agent_libos::{
    abi::{
        Digest, Error, GrantSpec, Pattern, Resource, Right,
        skill::{self, Skill, SkillInfo},
    },
    package,
    port::Port,
    skills::{self, Found},
};
use serde::Serialize;

use crate::{
    args::{Wanted, host::SkillCommand},
    config,
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) async fn run(host: &Host, command: SkillCommand) -> Result<Exit, Failure> {
    match command {
        SkillCommand::Ls { workspace } => ls(host, &workspace).await,
        SkillCommand::Show { skill } => inspect(host, &skill).await,
        SkillCommand::Register { path, replace } => register(host, &path, replace).await,
        SkillCommand::Unregister { skill } => unregister(host, skill).await,
    }
}

fn of_skill(name: &str, error: Error) -> Failure {
    let message = match error.code() {
        "not_found" => {
            format!("no skill `{name}` is registered; `libos skill ls` lists the skills")
        }
        "exists" => format!("there is a skill `{name}`; --replace puts this one in its place"),
        _ => return error.into(),
    };
    Failure::new(Exit::Failed, error.code(), message)
}

async fn registered(operator: &dyn Port) -> Result<Vec<SkillInfo>, Failure> {
    Ok(operator.call(skill::List {}).await?.skills)
}

fn discovered(workspace: &Path) -> Vec<Found> {
    let users = config::user_folder().map(|folder| folder.join("skills"));
    skills::discover(workspace, users.as_deref())
}

/// A skill in the list: what is registered, or what is in a folder.
#[derive(Serialize)]
struct Line {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    folder: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    state: &'static str,
    about: String,
}

impl Line {
    fn of_folder(found: Found, registered: &[SkillInfo]) -> Self {
        let Found { name, at, skill, .. } = found;
        let folder = Some(at.display().to_string());
        match skill {
            Err(error) => {
                Self { name, folder, digest: None, state: "malformed", about: error.to_string() }
            }
            Ok(skill) => {
                let digest = skill.digest();
                let state = match registered.iter().find(|it| it.name == name) {
                    None => "found",
                    Some(known) if known.digest == digest => "same",
                    Some(_) => "changed",
                };
                Self { name, folder, digest: Some(digest), state, about: skill.description }
            }
        }
    }
}

async fn ls(host: &Host, workspace: &Path) -> Result<Exit, Failure> {
    let known = match host.must_exist() {
        Err(_) => Vec::new(),
        Ok(()) => {
            let access = host.access().await?;
            let known = registered(access.port.as_ref()).await?;
            access.close()?;
            known
        }
    };
    let found = discovered(workspace).into_iter().map(|found| Line::of_folder(found, &known));
    let registered = known.iter().map(|it| Line {
        name: it.name.clone(),
        folder: None,
        digest: Some(it.digest),
        state: "registered",
        about: it.description.clone(),
    });
    let lines: Vec<Line> = registered.chain(found).collect();
    if host.json {
        lines.iter().for_each(show::json);
        return Ok(Exit::Done);
    }
    if lines.is_empty() {
        say!("No skill is registered, and none is found here.");
        return Ok(Exit::Done);
    }
    let row = |line: &Line| {
        vec![
            line.name.clone(),
            line.state.to_owned(),
            line.digest.map(|digest| digest.short()).unwrap_or_default(),
            line.folder.clone().unwrap_or_default(),
            show::cut(&line.about, 60),
        ]
    };
    let rows: Vec<_> = lines.iter().map(row).collect();
    put!("{}", show::table(&["SKILL", "STATE", "DIGEST", "FOLDER", "WHAT FOR"], &rows));
    Ok(Exit::Done)
}

async fn inspect(host: &Host, named: &str) -> Result<Exit, Failure> {
    let skill = match package::is_path(named) {
        true => package::skill(Path::new(named))?,
        false => {
            let access = host.access().await?;
            let found = access.port.call(skill::Inspect { skill: named.to_owned() }).await;
            let found = found.map_err(|error| of_skill(named, error))?;
            access.close()?;
            Skill::clone(&found)
        }
    };
    if host.json {
        show::json(&skill);
        return Ok(Exit::Done);
    }
    say!("{}, digest {}\n{}", skill.name, skill.digest(), skill.description);
    for (what, line) in [("license", &skill.license), ("needs", &skill.compatibility)] {
        if let Some(line) = line {
            say!("{what}: {line}");
        }
    }
    match &skill.allowed_tools {
        None => say!("it leaves the tools as they are"),
        Some(tools) => say!("while it is active only these tools: {}", tools.join(" ")),
    }
    if !skill.files.is_empty() {
        say!("\nfiles");
        skill.files.iter().for_each(|file| say!("  {} ({} bytes)", file.path, file.text.bytes()));
    }
    let text = skill.text.as_str().unwrap_or_default();
    say!("\nit says\n  {}", text.trim_end().replace('\n', "\n  "));
    Ok(Exit::Done)
}

async fn register(host: &Host, path: &Path, replace: bool) -> Result<Exit, Failure> {
    let skill = package::skill(path)?;
    let access = host.access().await?;
    let name = skill.name.clone();
    let call = skill::Register { skill, replace: Some(replace) };
    let known = access.port.call(call).await.map_err(|error| of_skill(&name, error))?;
    access.close()?;
    match host.json {
        true => show::json(&known),
        false => {
            say!("{name} is registered, digest {}", known.digest);
            say!("A process takes it up that is granted execute on skill:{name}.");
        }
    }
    Ok(Exit::Done)
}

async fn unregister(host: &Host, name: String) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let called = access.port.call(skill::Unregister { skill: name.clone() }).await;
    let known = called.map_err(|error| of_skill(&name, error))?;
    access.close()?;
    match host.json {
        true => show::json(&known),
        false => say!("{name} is removed."),
    }
    Ok(Exit::Done)
}

/// A skill that a goal may use.
#[derive(Debug)]
pub(crate) struct Chosen {
    name: String,
    digest: Option<Digest>,
    /// Its package, unless only what is registered can be meant.
    found: Option<(PathBuf, Skill)>,
    /// Whether it was named by its folder, or is in the user's own.
    is_trusted: bool,
}

impl Chosen {
    /// What lets it be taken up.
    pub(crate) fn grant(&self) -> GrantSpec {
        let on = Pattern::exact(&Resource::named("skill", &self.name));
        let rights = [Right::Execute].into_iter().collect();
        GrantSpec { delegable: 1, ..GrantSpec::allow(on, rights) }
    }
}

/// What is meant by the skills that are named, as far as folders tell.
pub(crate) fn chosen(workspace: &Path, wanted: &[Wanted]) -> Result<Vec<Chosen>, Failure> {
    let one = |wanted: &Wanted| {
        let Wanted { what, digest } = wanted;
        if package::is_path(what) {
            let skill = package::skill(Path::new(what))?;
            let name = skill.name.clone();
            let found = Some((PathBuf::from(what), skill));
            return Ok(Chosen { name, digest: *digest, found, is_trusted: true });
        }
        let found = discovered(workspace).into_iter().find(|found| found.name == *what);
        let is_trusted = found.as_ref().is_some_and(|found| found.is_users);
        let found = found.map(|found| found.skill.map(|skill| (found.at, skill))).transpose()?;
        Ok(Chosen { name: what.clone(), digest: *digest, found, is_trusted })
    };
    wanted.iter().map(one).collect()
}

/// Registers what is meant and is not registered yet.
pub(crate) async fn provide(operator: &dyn Port, chosen: Vec<Chosen>) -> Result<(), Failure> {
    let known = registered(operator).await?;
    for Chosen { name, digest, found, is_trusted } in chosen {
        let known = known.iter().find(|it| it.name == name).map(|it| it.digest);
        let on_disk = found.as_ref().map(|(_, skill)| skill.digest());
        let meant = match (digest, known, on_disk) {
            (Some(digest), ..) => digest,
            (None, Some(known), Some(other)) if other != known && !is_trusted => {
                let message = format!(
                    "the skill `{name}` of the workspace is not the one that is registered: it \
                     has changed. Look at it, then say which is meant:\n  --skill {name}@{known}  \
                     as it was\n  --skill {name}@{other}  as it is now"
                );
                return Err(Failure::new(Exit::Usage, "changed", message));
            }
            (None, known, on_disk) => match on_disk.or(known) {
                Some(digest) => digest,
                None => {
                    let message = format!("there is no skill `{name}`; see `libos skill ls`");
                    return Err(Failure::new(Exit::Usage, "not_found", message));
                }
            },
        };
        if known == Some(meant) {
            continue;
        }
        match found {
            Some((at, skill)) if skill.digest() == meant => {
                operator.call(skill::Register { skill, replace: Some(true) }).await?;
                tell!("the skill {name} is {meant}, from {}", at.display());
            }
            _ => {
                let message = format!("no skill `{name}` with the digest {meant} is found");
                return Err(Failure::new(Exit::Usage, "not_found", message));
            }
        }
    }
    Ok(())
}

/// Registers the skills that an image brings.
pub(crate) async fn of_image(
    operator: &dyn Port,
    skills: Vec<Skill>,
    replace: bool,
) -> Result<(), Failure> {
    let known = registered(operator).await?;
    for skill in skills {
        if known.iter().any(|it| it.name == skill.name && it.digest == skill.digest()) {
            continue;
        }
        let name = skill.name.clone();
        let call = skill::Register { skill, replace: Some(replace) };
        operator.call(call).await.map_err(|error| of_skill(&name, error))?;
    }
    Ok(())
}
