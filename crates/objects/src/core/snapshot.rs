//! Object Memory as bytes: the memories of processes, then those kept for checkpoints.

use std::sync::Arc;

use libos_abi::{
    CheckpointId, ObjectId, Pid,
    object::{Link, View},
    wire::{self, Reader},
};
use libos_port::{BadSnapshot, load_version, save_version};

use super::{Memory, State};
use crate::{
    names::Names,
    saved::{Kept, Saved},
    space::{Loader, Writer},
    view::Views,
};

/// Raised whenever the memory is written in another way.
const VERSION: u32 = 1;

impl State {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Memory { spaces, gone, names, far, views, saved } = &*self.0;
        let mut writer = Writer::default();
        save_version(VERSION, out);
        wire::encode_into(&(spaces.len() as u64), out);
        for (pid, space) in spaces {
            wire::encode_into(pid, out);
            writer.save(space, out);
        }
        wire::encode_each(gone.iter(), out);
        names.save(out);
        wire::encode_each(&far.out, out);
        views.save(out);
        wire::encode_into(&(saved.len() as u64), out);
        for (checkpoint, memories) in saved {
            wire::encode_into(&(checkpoint, memories.len() as u64), out);
            for (pid, Kept { space, far, views }) in &**memories {
                wire::encode_into(&(pid, far, views, space.is_some()), out);
                space.iter().for_each(|space| writer.save(space, out));
            }
        }
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut bytes = load_version(VERSION, bytes)?;
        let (mut memory, mut loader) = (Memory::default(), Loader::default());
        for _ in 0..bytes.read::<u64>()? {
            let pid: Pid = bytes.read()?;
            memory.spaces.insert(pid, loader.load(&mut bytes)?);
        }
        memory.gone = bytes.all()?;
        memory.names = Names::load(&mut bytes)?;
        bytes.each(|(from, relation, to): (ObjectId, Arc<str>, ObjectId)| {
            memory.far.insert(from, &relation, to);
            Ok::<(), BadSnapshot>(())
        })?;
        memory.views = Views::load(&mut bytes)?;
        for _ in 0..bytes.read::<u64>()? {
            let (checkpoint, count): (CheckpointId, u64) = bytes.read()?;
            memory.saved.insert(checkpoint, load_saved(count, &mut loader, &mut bytes)?);
        }
        bytes.end()?;
        Ok(Self(Arc::new(memory)))
    }
}

fn load_saved(
    count: u64,
    loader: &mut Loader,
    bytes: &mut Reader<'_>,
) -> Result<Saved, BadSnapshot> {
    let mut memories = imbl::OrdMap::new();
    for _ in 0..count {
        let (pid, far, views, has_space): (Pid, Vec<Link>, Vec<View>, bool) = bytes.read()?;
        let space = has_space.then(|| loader.load(bytes)).transpose()?;
        memories.insert(pid, Kept { space, far, views });
    }
    Ok(Arc::new(memories))
}
