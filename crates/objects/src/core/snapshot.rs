//! Object Memory as bytes.

use std::sync::Arc;

use libos_abi::{ObjectId, wire};
use libos_port::{BadSnapshot, load_version, save_version};

use super::{Memory, State};
use crate::{names::Names, space, view::Views};

/// Raised whenever the memory is written in another way.
const VERSION: u32 = 1;

impl State {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Memory { spaces, gone, names, far, views } = &*self.0;
        save_version(VERSION, out);
        space::save(spaces, out);
        wire::encode_each(gone.iter(), out);
        names.save(out);
        wire::encode_each(&far.out, out);
        views.save(out);
    }

    pub(crate) fn load(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut bytes = load_version(VERSION, bytes)?;
        let mut memory =
            Memory { spaces: space::load(&mut bytes)?, gone: bytes.all()?, ..Memory::default() };
        memory.names = Names::load(&mut bytes)?;
        bytes.each(|(from, relation, to): (ObjectId, Arc<str>, ObjectId)| {
            memory.far.insert(from, &relation, to);
            Ok::<(), BadSnapshot>(())
        })?;
        memory.views = Views::load(&mut bytes)?;
        bytes.end()?;
        Ok(Self(Arc::new(memory)))
    }
}
