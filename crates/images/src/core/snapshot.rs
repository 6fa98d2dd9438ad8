//! The registry as bytes.

use std::sync::Arc;

use libos_abi::{
    Digest,
    image::Image,
    tool::Definition,
    wire::{self, Reader},
};
use libos_port::BadSnapshot;

use super::Registry;

/// A generated tool of an image: the image, and the tool.
type Generated = (String, Digest, Arc<Definition>);

impl Registry {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { images, generated } = self;
        wire::encode_each(images.values(), out);
        let generated = generated.iter().map(|((image, _), (digest, tool))| (image, digest, tool));
        wire::encode_each(generated, out);
    }

    pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<Self, BadSnapshot> {
        let mut registry = Self::default();
        bytes.each(|image: Image| {
            registry.images.insert(image.name.clone(), Arc::new(image));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(image, digest, tool): Generated| {
            registry.generated.insert((image, tool.name.clone()), (digest, tool));
            Ok::<(), BadSnapshot>(())
        })?;
        Ok(registry)
    }
}
