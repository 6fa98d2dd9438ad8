//! The pure state of the image registry.
//!
//! [`Registry`] folds image events; the built-in images are no part of it. [`check`] says what an
//! image must be like.

mod snapshot;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use imbl::OrdMap;
use libos_abi::{
    Digest, Error, Pid,
    event::ImageEvent,
    image::{CommitImage, FailureKind, Image},
    tool::{self, Definition, Program},
    wire,
};
use libos_port::Fold;
use serde::{Serialize, Serializer};

use crate::built_in;

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
        }
    }
}

/// The images that were registered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    images: OrdMap<String, Arc<Image>>,
    /// The generated tools that were put into an image, by its name and theirs.
    generated: OrdMap<(String, String), (Digest, Arc<Definition>)>,
}

/// In the wire encoding: the serde form leaves absent fields out, so that two images could look
/// the same.
impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let images = self.images.values().map(|image| wire::encode(image.as_ref()));
        let generated = self.generated.iter().map(|((image, _), it)| wire::encode(&(image, it)));
        s.collect_seq(images.chain(generated))
    }
}

impl Fold for Registry {
    type Event = ImageEvent;

    fn apply(&mut self, event: &ImageEvent) {
        match event {
            ImageEvent::Registered(image) => {
                self.drop_generated(&image.name);
                self.images.insert(image.name.clone(), Arc::clone(image));
            }
            ImageEvent::Unregistered { image } => {
                self.drop_generated(image);
                drop(self.images.remove(image));
            }
            ImageEvent::Promoted { image, from, digest, tool } => {
                let name = &image.name;
                if from != name {
                    for (of_from, it) in self.generated_of(from) {
                        self.generated.insert((name.clone(), of_from), it);
                    }
                }
                let key = (name.clone(), tool.name.clone());
                self.generated.insert(key, (*digest, Arc::clone(tool)));
                self.images.insert(name.clone(), Arc::clone(image));
            }
        }
    }
}

impl Registry {
    fn generated_of(&self, image: &str) -> Vec<(String, (Digest, Arc<Definition>))> {
        let from = (image.to_owned(), String::new());
        let own = self.generated.range(from..).take_while(|((of, _), _)| of == image);
        own.map(|((_, name), it)| (name.clone(), it.clone())).collect()
    }

    fn drop_generated(&mut self, image: &str) {
        for (name, _) in self.generated_of(image) {
            self.generated.remove(&(image.to_owned(), name));
        }
    }

    /// A generated tool of an image, to be called by a process.
    pub(crate) fn callable(&self, image: &str, name: &str, of: Pid) -> Option<Arc<Program>> {
        if self.generated.is_empty() {
            return None;
        }
        let (digest, tool) = self.generated.get(&(image.to_owned(), name.to_owned()))?;
        let tool = Definition { tests: Vec::new(), ..Definition::clone(tool) };
        Some(Arc::new(Program { of, digest: *digest, tool }))
    }

    /// What putting a generated tool into an image makes. `own` is the image of the process.
    pub(crate) fn plan_promote(
        &self,
        own: &Image,
        call: &tool::Promote,
        tool: Arc<Definition>,
        limits: &Limits,
    ) -> Result<(ImageEvent, Arc<Image>), Error> {
        let (name, bad) = (&call.image, |flaw| tool::FailureKind::BadTool.because(flaw));
        if built_in::find(name).is_some() {
            let detail = format!("the image `{name}` is built in; name another, it is made");
            return Err(bad(detail));
        }
        let (from, base) = match self.images.get(name) {
            Some(image) if image.version == call.version => {
                let detail = format!("the image `{name}` has the version {} now", image.version);
                return Err(tool::FailureKind::Exists.because(detail));
            }
            Some(image) => (name, image.as_ref()),
            None => (&own.name, own),
        };
        let is_generated = self.generated.contains_key(&(from.clone(), tool.name.clone()));
        let mut image = Image { name: name.clone(), version: call.version.clone(), ..base.clone() };
        match image.has_tool(&tool.name) {
            true if is_generated => {}
            true => {
                let detail = format!("`{}` is a tool of the image `{from}`", tool.name);
                return Err(tool::FailureKind::Exists.because(detail));
            }
            false => image.tools.push(tool.name.clone()),
        }
        check(&image, limits).map_err(bad)?;
        let (from, digest, image) = (from.clone(), call.digest, Arc::new(image));
        Ok((ImageEvent::Promoted { image: Arc::clone(&image), from, digest, tool }, image))
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

    /// What registering the image of a process makes, with the generated tools of the image it was
    /// made from and with `own`.
    pub(crate) fn plan_commit(
        &self,
        call: &CommitImage,
        own: Vec<(Digest, Arc<Definition>)>,
        limits: &Limits,
    ) -> Result<(Vec<ImageEvent>, Arc<Image>), Error> {
        let registered = self.plan_register(&call.image, call.replace.unwrap_or(false), limits)?;
        let mut events = vec![registered];
        let mut image = Arc::new(call.image.clone());
        let of_base = self.generated_of(&call.base).into_iter().map(|(_, generated)| generated);
        for (digest, tool) in of_base.chain(own) {
            if !image.has_tool(&tool.name) {
                Arc::make_mut(&mut image).tools.push(tool.name.clone());
            }
            let (image, from) = (Arc::clone(&image), image.name.clone());
            events.push(ImageEvent::Promoted { image, from, digest, tool });
        }
        check(&image, limits).map_err(|flaw| FailureKind::BadImage.because(flaw))?;
        Ok((events, image))
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
