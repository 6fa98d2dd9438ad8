//! The registry as bytes.

use std::sync::Arc;

use libos_abi::{
    image::Image,
    skill::Skill,
    wire::{self, Reader},
};
use libos_port::BadSnapshot;

use super::Registry;

impl Registry {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { images, skills } = self;
        wire::encode_each(images.values(), out);
        wire::encode_each(skills.values(), out);
    }

    pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<Self, BadSnapshot> {
        let mut registry = Self::default();
        bytes.each(|image: Image| {
            registry.images.insert(image.name.clone(), Arc::new(image));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|skill: Skill| {
            registry.skills.insert(skill.name.clone(), Arc::new(skill));
            Ok::<(), BadSnapshot>(())
        })?;
        Ok(registry)
    }
}
