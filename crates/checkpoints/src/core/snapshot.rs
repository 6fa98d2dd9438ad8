//! The registry as bytes.

use libos_abi::{checkpoint::CheckpointInfo, wire};
use libos_port::{BadSnapshot, load_version, save_version};

use super::Registry;

/// Raised whenever a registry is written in another way.
const VERSION: u32 = 1;

impl Registry {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { checkpoints, last } = self;
        save_version(VERSION, out);
        wire::encode_each(checkpoints.values(), out);
        wire::encode_each(last.iter(), out);
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut registry = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        bytes.each(|info: CheckpointInfo| {
            registry.checkpoints.insert(info.id, info);
            Ok::<(), BadSnapshot>(())
        })?;
        registry.last = bytes.all()?;
        bytes.end()?;
        Ok(registry)
    }
}
