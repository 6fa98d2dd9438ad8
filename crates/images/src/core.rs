//! The pure state of the image registry.
//!
//! [`Registry`] folds image events; the built-in images are no part of it. [`check`] says what an
//! image must be like.

use std::{collections::BTreeMap, sync::Arc};

use imbl::OrdMap;
use libos_abi::{
    Error,
    event::ImageEvent,
    image::{FailureKind, Image},
    wire,
};
use libos_port::Fold;
use serde::{Serialize, Serializer};

use crate::built_in;

/// How large an image may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The bytes of an image's name, a tool's name, a planner's kind and a version: one line.
    pub name_bytes_max: usize,
    /// The bytes of a description.
    pub description_bytes_max: usize,
    /// The bytes of a prompt: it is sent with every call to a model.
    pub prompt_bytes_max: u64,
    /// The bytes of a planner's program: the largest text one call may carry.
    pub program_bytes_max: u64,
    /// The tools in a table: models choose badly among more.
    pub tools_max: usize,
    /// The capabilities an image says it needs: people read them.
    pub capabilities_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            name_bytes_max: 64,
            description_bytes_max: 4 << 10,
            prompt_bytes_max: 64 << 10,
            program_bytes_max: 1 << 20,
            tools_max: 128,
            capabilities_max: 64,
        }
    }
}

/// The images that were registered.
#[derive(Debug, Clone, Default)]
pub(crate) struct Registry {
    images: OrdMap<String, Arc<Image>>,
}

/// In the wire encoding: the serde form leaves absent fields out, so that two images could look
/// the same.
impl Serialize for Registry {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.images.values().map(|image| wire::encode(image.as_ref())))
    }
}

impl Fold for Registry {
    type Event = ImageEvent;

    fn apply(&mut self, event: &ImageEvent) {
        let ImageEvent::Registered(image) = event;
        self.images.insert(image.name.clone(), Arc::new(image.clone()));
    }
}

impl Registry {
    /// The image of this name: built in or registered.
    pub(crate) fn get(&self, name: &str) -> Option<&Image> {
        let registered = || self.images.get(name).map(AsRef::as_ref);
        built_in::find(name).or_else(registered)
    }

    /// Every image, in the order of names.
    pub(crate) fn list(&self) -> Vec<Image> {
        let registered = self.images.values().map(AsRef::as_ref);
        let all: BTreeMap<_, _> = registered
            .chain(built_in::built_in())
            .map(|image| (image.name.as_str(), image))
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
        if built_in::find(name).is_some() {
            let detail = format!("`{name}` is built in and cannot be replaced");
            return Err(FailureKind::Exists.because(detail));
        }
        if !replace && self.images.contains_key(name) {
            let detail = format!("`{name}` is registered; say `replace` to replace it");
            return Err(FailureKind::Exists.because(detail));
        }
        Ok(ImageEvent::Registered(image.clone()))
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
    at_most("tools", image.tools.len(), limits.tools_max)?;
    let capabilities = image.required_capabilities.len();
    at_most("required capabilities", capabilities, limits.capabilities_max)?;
    for (index, tool) in image.tools.iter().enumerate() {
        if !is_word(tool, '_', limits) {
            return Err(format!(
                "the tool name `{}` is no word of 1 to {name_max} of a-z, 0-9 and `_`",
                shown(tool)
            ));
        }
        if image.tools[..index].contains(tool) {
            return Err(format!("the tool `{tool}` is named twice"));
        }
    }
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

fn at_most<N: PartialOrd + std::fmt::Display>(what: &str, size: N, max: N) -> Result<(), String> {
    match size <= max {
        true => Ok(()),
        false => Err(format!("{size} {what}; at most {max} may be")),
    }
}

fn is_word(text: &str, joint: char, limits: &Limits) -> bool {
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint;
    (1..=limits.name_bytes_max).contains(&text.len()) && text.chars().all(is_part)
}

/// The beginning of a text that may be anything, for an error.
fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
