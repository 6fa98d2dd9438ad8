//! The pure state of the registry of images and skills.
//!
//! [`Registry`] folds image events; the built-in images are no part of it. [`check`] says what an
//! image must be like.

mod skills;
mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;
use libos_abi::{
    Digest, Error, Pid,
    event::ImageEvent,
    image::{CommitImage, FailureKind, Image, PackageFile},
    skill::Skill,
    tool::{self, Definition, Program},
    wire,
};
use libos_port::Fold;
use serde::{Serialize, Serializer};

pub(crate) use self::skills::check_skill;
use crate::{built_in, toolbox};

/// The settings of a folder.
const SETTINGS: &str = "libos.toml";

/// How large an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of an `image.toml`: people write it.
    pub image_file_bytes_max: u64,
    /// The bytes of an image's name, a tool's name, a planner's kind and a version: one line.
    pub name_bytes_max: usize,
    /// The bytes of a description.
    pub description_bytes_max: usize,
    /// The bytes of a prompt: it is sent with every call to a model.
    pub prompt_bytes_max: u64,
    /// The bytes of a planner's program: the largest text one call may carry.
    pub program_bytes_max: u64,
    /// The tools in a table and its groups together: a host should be able to read the list.
    pub tools_max: usize,
    /// The groups of tools: a model reads all their names before it chooses one.
    pub groups_max: usize,
    /// The capabilities an image says it needs: people read them.
    pub capabilities_max: usize,
    /// The tools that one process may have written: each is looked for by its name.
    pub generated_max: usize,
    /// The bytes of a generated tool's source: the largest component in text form.
    pub source_bytes_max: u64,
    /// The calls a generated tool may declare, and the resources of one: people read them.
    pub needs_max: usize,
    /// The tests of a generated tool: each is a run.
    pub tests_max: usize,
    /// The calls that one test of a generated tool expects.
    pub test_calls_max: usize,
    /// The bytes of a context policy: it is handed to the planner with each quantum.
    pub context_bytes_max: u64,
    /// The files of a package: people look through them.
    pub package_files_max: usize,
    /// The bytes of all files of a package together: they are texts and small pictures.
    pub package_bytes_max: u64,
    /// The bytes of a `SKILL.md`: a model reads all of it.
    pub skill_file_bytes_max: u64,
    /// The skills that a process has taken up, and those that an image names.
    pub skills_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image_file_bytes_max: 256 << 10,
            name_bytes_max: 64,
            description_bytes_max: 4 << 10,
            prompt_bytes_max: 64 << 10,
            program_bytes_max: 1 << 20,
            tools_max: 128,
            groups_max: 32,
            capabilities_max: 64,
            generated_max: 64,
            source_bytes_max: 24 << 20,
            needs_max: 64,
            tests_max: 32,
            test_calls_max: 64,
            context_bytes_max: 4 << 10,
            package_files_max: 256,
            package_bytes_max: 2 << 20,
            skill_file_bytes_max: 256 << 10,
            skills_max: 16,
        }
    }
}

/// The images and skills that were registered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    images: OrdMap<String, Arc<Image>>,
    skills: OrdMap<String, Arc<Skill>>,
}

/// In the wire encoding: the serde form leaves absent fields out, so that two images could look
/// the same.
impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let images = self.images.values().map(|image| wire::encode(image.as_ref()));
        s.collect_seq(
            images.chain(self.skills.values().map(|skill| wire::encode(&(0_u8, &**skill)))),
        )
    }
}

impl Fold for Registry {
    type Event = ImageEvent;

    fn apply(&mut self, event: &ImageEvent) {
        match event {
            ImageEvent::Registered(image) => {
                self.images.insert(image.name.clone(), Arc::clone(image));
            }
            ImageEvent::Unregistered { image } => drop(self.images.remove(image)),
            ImageEvent::SkillRegistered(skill) => {
                self.skills.insert(skill.name.clone(), Arc::clone(skill));
            }
            ImageEvent::SkillUnregistered { skill } => drop(self.skills.remove(skill)),
        }
    }
}

/// A generated tool of an image, to be called by a process.
pub(crate) fn callable(image: &Image, name: &str, of: Pid) -> Option<Arc<Program>> {
    let tool = image.generated(name)?;
    let digest = Digest::of(&wire::encode(tool));
    let tool = Definition { tests: Vec::new(), ..tool.clone() };
    Some(Arc::new(Program { of, digest, tool }))
}

/// Puts a generated tool into an image, in place of one of the same name.
fn put(image: &mut Image, tool: &Definition) {
    image.generated.retain(|it| it.name != tool.name);
    image.generated.push(tool.clone());
    if !image.has_tool(&tool.name) {
        image.tools.push(tool.name.clone());
    }
}

impl Registry {
    /// What putting a generated tool into an image makes. `own` is the image of the process.
    pub(crate) fn plan_promote(
        &self,
        own: &Image,
        call: &tool::Promote,
        tool: &Definition,
        limits: &Limits,
    ) -> Result<(ImageEvent, Arc<Image>), Error> {
        let (name, bad) = (&call.image, |flaw| tool::FailureKind::BadTool.because(flaw));
        if built_in::find(name).is_some() {
            let detail = format!("the image `{name}` is built in; name another, it is made");
            return Err(bad(detail));
        }
        let base = match self.images.get(name) {
            Some(image) if image.version == call.version => {
                let detail = format!("the image `{name}` has the version {} now", image.version);
                return Err(tool::FailureKind::Exists.because(detail));
            }
            Some(image) => image.as_ref(),
            None => own,
        };
        if base.has_tool(&tool.name) && base.generated(&tool.name).is_none() {
            let detail = format!("`{}` is a tool of the image `{}`", tool.name, base.name);
            return Err(tool::FailureKind::Exists.because(detail));
        }
        let mut image = Image { name: name.clone(), version: call.version.clone(), ..base.clone() };
        put(&mut image, tool);
        check(&image, limits).map_err(bad)?;
        let image = Arc::new(image);
        Ok((ImageEvent::Registered(Arc::clone(&image)), image))
    }

    /// The image of this name: built in or registered.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Image>> {
        let registered = || self.images.get(name);
        built_in::find(name).or_else(registered)
    }

    /// Every image, in the order of names.
    pub(crate) fn list(&self) -> Vec<Image> {
        let all: BTreeMap<_, _> = (self.images.values())
            .chain(built_in::built_in())
            .map(|image| (image.name.as_str(), image.as_ref()))
            .collect();
        all.into_values().cloned().collect()
    }

    /// What registering an image makes, if it may be registered.
    pub(crate) fn plan_register(
        &self,
        image: &Image,
        replace: bool,
        limits: &Limits,
    ) -> Result<ImageEvent, Error> {
        check(image, limits).map_err(|flaw| FailureKind::BadImage.because(flaw))?;
        let name = &image.name;
        refuse_built_in(name, "replaced")?;
        if !replace && self.images.contains_key(name) {
            let detail = format!("`{name}` is registered; say `replace` to replace it");
            return Err(FailureKind::Exists.because(detail));
        }
        Ok(ImageEvent::Registered(Arc::new(image.clone())))
    }

    /// What registering the image of a process makes, with the generated tools that it had
    /// registered.
    pub(crate) fn plan_commit(
        &self,
        call: &CommitImage,
        own: &[Arc<Definition>],
        limits: &Limits,
    ) -> Result<(ImageEvent, Arc<Image>), Error> {
        let mut image = call.image.clone();
        own.iter().for_each(|tool| put(&mut image, tool));
        let event = self.plan_register(&image, call.replace.unwrap_or(false), limits)?;
        Ok((event, Arc::new(image)))
    }

    /// What removing an image makes, with the image as it was.
    pub(crate) fn plan_unregister(&self, name: &str) -> Result<(ImageEvent, Arc<Image>), Error> {
        refuse_built_in(name, "removed")?;
        let image = self.images.get(name).ok_or_else(|| not_found(name))?;
        Ok((ImageEvent::Unregistered { image: name.to_owned() }, Arc::clone(image)))
    }
}

/// The failure of a call that names no image.
pub(crate) fn not_found(name: &str) -> Error {
    let detail = format!("there is no image `{}`; see image.list", shown(name));
    FailureKind::NotFound.because(detail)
}

fn refuse_built_in(name: &str, what: &str) -> Result<(), Error> {
    match built_in::find(name) {
        None => Ok(()),
        Some(_) => {
            let detail = format!("`{name}` is built in and cannot be {what}");
            Err(FailureKind::BuiltIn.because(detail))
        }
    }
}

/// That an image is well formed; the error says what is wrong with it.
pub(crate) fn check(image: &Image, limits: &Limits) -> Result<(), String> {
    let name_max = limits.name_bytes_max;
    if !is_word(&image.name, '-', limits) {
        return Err(format!(
            "the name `{}` is no word of 1 to {name_max} of a-z, 0-9 and `-`",
            shown(&image.name)
        ));
    }
    let version = &image.version;
    if version.is_empty() || version.len() > name_max || version.contains(char::is_control) {
        return Err(format!("the version has 1 to {name_max} printable bytes"));
    }
    at_most("bytes of the description", image.description.len(), limits.description_bytes_max)?;
    at_most("bytes of the prompt", image.prompt.bytes(), limits.prompt_bytes_max)?;
    check_tools(image, limits)?;
    check_generated(image, limits)?;
    check_files("files for a workspace", &image.seed, limits)?;
    at_most("skills", image.skills.len(), limits.skills_max)?;
    let names: BTreeSet<_> = image.skills.iter().map(|pin| &pin.name).collect();
    if names.len() < image.skills.len() || !names.iter().all(|name| is_word(name, '-', limits)) {
        return Err("each skill has a name of a-z, 0-9 and `-`, and is there once".into());
    }
    if image.seed.iter().any(|file| file.path.rsplit('/').next() == Some(SETTINGS)) {
        return Err(format!("no image brings a {SETTINGS}: it sets what its host lets happen"));
    }
    let context = image.context.as_ref().map_or(0, |context| context.0.bytes());
    at_most("bytes of the context policy", context, limits.context_bytes_max)?;
    let capabilities = image.required_capabilities.len();
    at_most("required capabilities", capabilities, limits.capabilities_max)?;
    if let Some(planner) = &image.planner {
        if !is_word(&planner.kind, '_', limits) {
            return Err(format!(
                "the planner's kind `{}` is no word of 1 to {name_max} of a-z, 0-9 and `_`",
                shown(&planner.kind)
            ));
        }
        at_most(
            "bytes of the planner's program",
            planner.program.bytes(),
            limits.program_bytes_max,
        )?;
    }
    Ok(())
}

/// That the tools of the table and of every group are words, and each there once.
fn check_tools(image: &Image, limits: &Limits) -> Result<(), String> {
    let name_max = limits.name_bytes_max;
    let word = |what: &str, name: &str| match is_word(name, '_', limits) {
        true => Ok(()),
        false => Err(format!(
            "the {what} `{}` is no word of 1 to {name_max} of a-z, 0-9 and `_`",
            shown(name)
        )),
    };
    at_most("groups of tools", image.tool_groups.len(), limits.groups_max)?;
    let mut groups = BTreeSet::new();
    for group in &image.tool_groups {
        word("group name", &group.name)?;
        at_most(
            "bytes of a group's description",
            group.description.len(),
            limits.description_bytes_max,
        )?;
        if !groups.insert(&group.name) {
            return Err(format!("the group `{}` is named twice", group.name));
        }
    }
    let grouped = image.tool_groups.iter().flat_map(|group| &group.tools);
    let mut tools = BTreeSet::new();
    for tool in image.tools.iter().chain(grouped) {
        word("tool name", tool)?;
        if !tools.insert(tool) {
            return Err(format!("the tool `{tool}` is named twice"));
        }
    }
    at_most("tools", tools.len(), limits.tools_max)
}

/// That every generated tool is one, has its name for itself and is in the table or in a group.
fn check_generated(image: &Image, limits: &Limits) -> Result<(), String> {
    at_most("generated tools", image.generated.len(), limits.generated_max)?;
    let mut names = BTreeSet::new();
    for tool in &image.generated {
        let name = &tool.name;
        let of_tool = |flaw| format!("the tool `{}`: {flaw}", shown(name));
        toolbox::check(tool, limits).map_err(of_tool)?;
        if !names.insert(name) {
            return Err(of_tool("it is there twice".into()));
        }
        if !image.has_tool(name) {
            return Err(of_tool("it is in no table and in no group".into()));
        }
    }
    Ok(())
}

/// That the files of a package are few and small, each there once and under a plain name.
pub(crate) fn check_files(
    what: &str,
    files: &[PackageFile],
    limits: &Limits,
) -> Result<(), String> {
    at_most(what, files.len(), limits.package_files_max)?;
    let bytes = files.iter().map(|file| file.text.bytes()).sum();
    at_most(&format!("bytes of {what}"), bytes, limits.package_bytes_max)?;
    let mut paths = BTreeSet::new();
    for PackageFile { path, .. } in files {
        if !is_plain_path(path) {
            return Err(format!("`{}` is no plain name of a file", shown(path)));
        }
        if !paths.insert(path) {
            return Err(format!("the file `{path}` is there twice"));
        }
    }
    Ok(())
}

/// Whether it is names of letters, digits, `-`, `_` and `.` with `/` between them, none of which
/// begins with a dot: no way leads up or out, and nothing hidden is named.
pub(crate) fn is_plain_path(path: &str) -> bool {
    let is_plain = |part: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && !part.starts_with('.') && part.chars().all(is_part)
    };
    path.len() <= 255 && path.split('/').all(is_plain)
}

pub(crate) fn at_most<N: PartialOrd + std::fmt::Display>(
    what: &str,
    size: N,
    max: N,
) -> Result<(), String> {
    match size <= max {
        true => Ok(()),
        false => Err(format!("{size} {what}; at most {max} may be")),
    }
}

pub(crate) fn is_word(text: &str, joint: char, limits: &Limits) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint;
    (1..=limits.name_bytes_max).contains(&text.len()) && text.chars().all(is_part)
}

/// The beginning of a text that may be anything, for an error.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
