//! The toolbox as bytes.

use std::sync::Arc;

use libos_abi::{
    CheckpointId, Digest, Pid,
    skill::ActiveSkill,
    tool::{Definition, ToolReport},
    wire::{self, Reader},
};
use libos_port::BadSnapshot;

use super::{Entry, Kept, Saved, Toolbox};

/// A tool: its digest, what it is, what was found out about it, whether it is registered.
type SavedEntry = (Digest, Arc<Definition>, Option<Arc<ToolReport>>, bool);

/// What a process had at a checkpoint.
type SavedKept = (CheckpointId, Pid, Vec<SavedEntry>, Arc<[ActiveSkill]>);

impl Entry {
    fn saved(&self) -> SavedEntry {
        let Self { digest, tool, report, registered } = self;
        (*digest, Arc::clone(tool), report.clone(), *registered)
    }

    fn of((digest, tool, report, registered): SavedEntry) -> Self {
        Self { digest, tool, report, registered }
    }
}

impl Toolbox {
    pub(crate) fn save(&self, out: &mut Vec<u8>) {
        let Self { tools, active, saved } = self;
        wire::encode_each(active.iter(), out);
        wire::encode_each(tools.iter().map(|((pid, _), entry)| (*pid, entry.saved())), out);
        let saved = saved.iter().flat_map(|(checkpoint, saved)| {
            saved.iter().map(|(pid, kept)| {
                let tools = kept.tools.iter().map(Entry::saved).collect::<Vec<_>>();
                (*checkpoint, *pid, tools, Arc::clone(&kept.active))
            })
        });
        let empty = self.saved.iter().filter(|(_, saved)| saved.is_empty());
        wire::encode_each(empty.map(|(checkpoint, _)| *checkpoint), out);
        wire::encode_each(saved, out);
    }

    pub(crate) fn load(bytes: &mut Reader<'_>) -> Result<Self, BadSnapshot> {
        let mut toolbox = Self::default();
        bytes.each(|(pid, active): (Pid, Arc<[ActiveSkill]>)| {
            toolbox.active.insert(pid, active);
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(pid, entry): (Pid, SavedEntry)| {
            let entry = Entry::of(entry);
            toolbox.tools.insert((pid, entry.tool.name.clone()), entry);
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|checkpoint: CheckpointId| {
            toolbox.saved.insert(checkpoint, Arc::new(Saved::new()));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(checkpoint, pid, tools, active): SavedKept| {
            let saved = toolbox.saved.entry(checkpoint).or_default();
            let tools = tools.into_iter().map(Entry::of).collect();
            Arc::make_mut(saved).insert(pid, Kept { tools, active });
            Ok::<(), BadSnapshot>(())
        })?;
        Ok(toolbox)
    }
}
