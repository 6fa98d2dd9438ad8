//! The state of the whole kernel as bytes: of the operations and of every component.

use libos_abi::{
    Digest,
    wire::{self, Reader},
};
use libos_port::{BadSnapshot, load_version, save_version};

use crate::{kernel::Kernel, labels::Labels, ops::Ops, parts::Parts};

/// Raised whenever the states of the parts are put together in another way.
const VERSION: u32 = 2;

impl Kernel {
    /// Appends the whole state. What is derived, and what lives only as long as the host process,
    /// is left out: a kernel that takes it over is one that has folded the journal, and
    /// [`recover`](Self::recover) is called likewise. O(state).
    ///
    /// # Errors
    /// [`BadSnapshot::Unreachable`] for a part that lives elsewhere and cannot be asked.
    pub fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        save_version(VERSION, out);
        wire::encode_into(&self.now_ms, out);
        sized(out, |out| {
            self.ops.write(out);
            Ok(())
        })?;
        sized(out, |out| {
            self.labels.write(out);
            Ok(())
        })?;
        self.parts.save(out)
    }

    /// Takes over the state that [`save`](Self::save) wrote, in a kernel that has folded nothing
    /// and done nothing, if it adds up to this digest.
    ///
    /// # Errors
    /// [`BadSnapshot`]; then the kernel is what it was.
    pub fn load(&mut self, bytes: &[u8], digest: Digest) -> Result<(), BadSnapshot> {
        let mut before = Vec::new();
        self.save(&mut before)?;
        let loaded = self.take_over(bytes).and_then(|()| match self.digest() == digest {
            true => Ok(()),
            false => Err(BadSnapshot::Digest),
        });
        if loaded.is_err() {
            self.take_over(&before)?;
        }
        loaded
    }

    fn take_over(&mut self, bytes: &[u8]) -> Result<(), BadSnapshot> {
        let mut bytes = load_version(VERSION, bytes)?;
        self.now_ms = bytes.read()?;
        self.ops = Ops::read(bytes.bytes()?)?;
        let rules = std::mem::take(&mut self.labels.rules);
        self.labels = Labels::read(bytes.bytes()?, rules)?;
        self.parts.load(&mut bytes)?;
        Ok(bytes.end()?)
    }
}

impl Parts {
    fn save(&self, out: &mut Vec<u8>) -> Result<(), BadSnapshot> {
        wire::encode_into(&(self.components().count() as u64), out);
        for (name, part) in self.components() {
            wire::encode_into(&name, out);
            sized(out, |out| part.save(out))?;
        }
        Ok(())
    }

    fn load(&mut self, bytes: &mut Reader<'_>) -> Result<(), BadSnapshot> {
        let count: u64 = bytes.read()?;
        if count != self.components().count() as u64 {
            return Err(BadSnapshot::Parts);
        }
        for (name, part) in self.components_mut() {
            if bytes.read::<String>()? != name {
                return Err(BadSnapshot::Parts);
            }
            part.load(bytes.bytes()?)?;
        }
        Ok(())
    }
}

/// Appends bytes behind their length.
fn sized(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), BadSnapshot>,
) -> Result<(), BadSnapshot> {
    let at = out.len();
    wire::encode_into(&0_u64, out);
    write(out)?;
    let length = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&length.to_le_bytes());
    Ok(())
}
