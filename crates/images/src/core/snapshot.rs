//! The registry as bytes.

use std::sync::Arc;

use libos_abi::{image::Image, wire};
use libos_port::{BadSnapshot, load_version, save_version};

use super::Registry;

/// Raised whenever a registry is written in another way.
const VERSION: u32 = 1;

impl Registry {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { images } = self;
        save_version(VERSION, out);
        wire::encode_each(images.values(), out);
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut registry = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        bytes.each(|image: Image| {
            registry.images.insert(image.name.clone(), Arc::new(image));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.end()?;
        Ok(registry)
    }
}
