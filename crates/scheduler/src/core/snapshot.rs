//! The table as bytes: a row for each process, and what many have in common once. Families, lines
//! and what bounds a process follow from the rows.

use std::{collections::BTreeMap, sync::Arc};

use libos_abi::{
    CheckpointId, FsPath, MessageId, ObjectId, Pid, Text,
    message::Message,
    process::{Budget, Ending, ForkMode, Usage, Wait},
    wire::{self, Reader, WireError},
};
use libos_port::{BadSnapshot, load_version, save_version};
use rustc_hash::FxHashMap;

use super::{
    Life, Table,
    mail::slot,
    row::{Family, Fixed, MadeOf, NonZeroPid, Packed, Process, Standing, Turn},
    saved::{Kept, Saved},
};
use crate::budget::Bounds;

/// Raised whenever a table is written in another way.
const VERSION: u32 = 1;

/// Numbers for what many rows have in common, in the order in which it is met.
struct Numbers<K, V> {
    of: FxHashMap<K, u64>,
    all: Vec<V>,
}

impl<K: std::hash::Hash + Eq, V> Numbers<K, V> {
    fn of(items: impl Iterator<Item = (K, V)>) -> Self {
        let (mut of, mut all) = (FxHashMap::default(), Vec::new());
        for (key, item) in items {
            of.entry(key).or_insert_with(|| {
                all.push(item);
                all.len() as u64 - 1
            });
        }
        Self { of, all }
    }
}

/// What many rows have in common, as it is read.
struct Common {
    made_of: Vec<Arc<MadeOf>>,
    programs: Vec<Packed>,
    cwds: Vec<FsPath>,
}

fn pick<T: Clone>(items: &[T], number: u64) -> Result<T, BadSnapshot> {
    let item = usize::try_from(number).ok().and_then(|number| items.get(number));
    Ok(item.cloned().ok_or_else(|| WireError::new("a row names what is not there"))?)
}

impl Table {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let Self { processes: _, last_message, mail, received, tasks, .. } = self;
        let Self { root_tasks, set_aside, saved: _, names: _, made_of: _, log: _, .. } = self;
        save_version(VERSION, out);
        wire::encode_into(last_message, out);
        self.save_rows(out);
        wire::encode_each(mail.values(), out);
        let received = received.iter().map(|(pid, last)| -> (Pid, Vec<(MessageId, Pid)>) {
            (*pid, last.iter().copied().collect())
        });
        wire::encode_each(received, out);
        wire::encode_each(tasks, out);
        wire::encode_each(root_tasks, out);
        wire::encode_each(set_aside, out);
    }

    fn save_rows(&self, out: &mut Vec<u8>) {
        let kept = || self.saved.values().flat_map(|saved| saved.processes.values());
        let rows = || self.all().map(|(_, row)| row).chain(kept().map(|kept| &kept.process));
        let made_of = Numbers::of(rows().map(|row| (&*row.made_of, &*row.made_of)));
        let programs = Numbers::of(rows().map(|row| (row.program.place(), row.program.text())));
        let cwds = Numbers::of(rows().map(|row| (&row.fixed.cwd, &row.fixed.cwd)));
        let names = |it: &MadeOf| (it.image.clone(), it.planner.clone(), it.workspace.clone());
        wire::encode_each(made_of.all.iter().map(|it| names(it)), out);
        wire::encode_each(&programs.all, out);
        wire::encode_each(&cwds.all, out);
        let row = |row: &Process, out: &mut Vec<u8>| {
            let common = (
                made_of.of[&*row.made_of],
                programs.of[&row.program.place()],
                cwds.of[&row.fixed.cwd],
            );
            wire::encode_into(&common, out);
            row.save(out);
        };
        wire::encode_into(&self.all().count(), out);
        self.all().for_each(|(_, process)| row(process, out));
        wire::encode_into(&(self.saved.len() as u64), out);
        for (checkpoint, saved) in &self.saved {
            let Saved { next, processes } = &**saved;
            wire::encode_into(&(checkpoint, next, processes.len() as u64), out);
            for (pid, Kept { process, mail, received }) in processes {
                wire::encode_into(pid, out);
                row(process, out);
                let family = process
                    .family
                    .as_deref()
                    .map(|Family { line: _, first, last, live }| (*first, *last, *live));
                wire::encode_into(&(family, process.sibling.map(NonZeroPid::get), mail), out);
                let received = received.as_ref().map(|last| Vec::from_iter(last.iter().copied()));
                wire::encode_into(&received, out);
            }
        }
    }

    pub(crate) fn read(bytes: &[u8]) -> Result<Self, BadSnapshot> {
        let mut table = Self::default();
        let mut bytes = load_version(VERSION, bytes)?;
        table.last_message = bytes.read()?;
        table.load_rows(&mut bytes)?;
        bytes.each(|message: Message| {
            table.mail.insert(slot(message.to, message.kind, message.id), Arc::new(message));
            Ok::<(), BadSnapshot>(())
        })?;
        bytes.each(|(pid, last): (Pid, Vec<(MessageId, Pid)>)| {
            table.received.insert(pid, Arc::new(last.into()));
            Ok::<(), BadSnapshot>(())
        })?;
        table.tasks = bytes.all()?;
        table.root_tasks = bytes.all()?;
        table.set_aside = bytes.all()?;
        bytes.end()?;
        Ok(table)
    }

    fn load_rows(&mut self, bytes: &mut Reader<'_>) -> Result<(), BadSnapshot> {
        let mut made_of = Vec::new();
        bytes.each(|(image, planner, workspace): (String, String, Option<String>)| {
            made_of.push(self.made_of(&image, &planner, workspace.as_deref(), None));
            Ok::<(), BadSnapshot>(())
        })?;
        let programs: Vec<Text> = bytes.all()?;
        let programs = programs.iter().map(Packed::from).collect();
        let common = Common { made_of, programs, cwds: bytes.all()? };
        for _ in 0..bytes.read::<usize>()? {
            self.load_row(&common, bytes)?;
        }
        for _ in 0..bytes.read::<u64>()? {
            let (checkpoint, next, count): (CheckpointId, Pid, u64) = bytes.read()?;
            let mut processes = BTreeMap::new();
            for _ in 0..count {
                let pid = bytes.read()?;
                processes.insert(pid, self.load_kept(pid, &common, bytes)?);
            }
            self.saved.insert(checkpoint, Arc::new(Saved { next, processes }));
        }
        Ok(())
    }

    /// The next process of the table.
    fn load_row(&mut self, common: &Common, bytes: &mut Reader<'_>) -> Result<(), BadSnapshot> {
        let pid = self.next_pid();
        let process = self.process(pid, common, bytes)?;
        let (parent, line) = (process.parent(), Arc::clone(&process.fixed.ancestors));
        let has_ended = process.turn.life.has_ended();
        self.processes.push(process);
        if let Some(parent) = parent {
            self.adopt(parent, pid, line);
        }
        if has_ended {
            self.part_with(parent);
        }
        Ok(())
    }

    /// A process as it is kept for a checkpoint.
    fn load_kept(
        &mut self,
        pid: Pid,
        common: &Common,
        bytes: &mut Reader<'_>,
    ) -> Result<Kept, BadSnapshot> {
        type Relatives = (Option<(Pid, Pid, u32)>, Option<u64>, Vec<Arc<Message>>);
        let mut process = self.process(pid, common, bytes)?;
        let (family, sibling, mail): Relatives = bytes.read()?;
        process.family = family.map(|(first, last, live)| {
            Arc::new(Family { line: self.line(pid), first, last, live })
        });
        process.sibling = sibling.and_then(NonZeroPid::new);
        let received: Option<Vec<(MessageId, Pid)>> = bytes.read()?;
        Ok(Kept { process, mail, received: received.map(|last| Arc::new(last.into())) })
    }

    /// A process without its relatives; its parent is in the table.
    fn process(
        &mut self,
        pid: Pid,
        common: &Common,
        bytes: &mut Reader<'_>,
    ) -> Result<Process, BadSnapshot> {
        let (made_of, program, cwd) = bytes.read()?;
        let made_of = pick(&common.made_of, made_of)?;
        let program = pick(&common.programs, program)?;
        let cwd = pick(&common.cwds, cwd)?;
        let (parent, weight, deadline_ms): (Option<Pid>, u32, Option<u64>) = bytes.read()?;
        let turn = Turn::load(bytes)?;
        type Place = (Option<ForkMode>, Option<ObjectId>, u64);
        let (goal, groups, budget): (Text, Vec<String>, Option<Box<Budget>>) = bytes.read()?;
        let (mode, owner, started_at_ms): Place = bytes.read()?;
        let (usage, unread, interrupts): (Option<Usage>, u32, u32) = bytes.read()?;
        let above = parent.map(|parent| {
            self.get(parent).ok_or_else(|| WireError::new("a process before its parent"))
        });
        let above = above.transpose()?;
        let standing =
            Standing::restored(pid, weight, deadline_ms, above.map(|above| above.standing));
        let no_limits = Budget::default();
        let limits = budget.as_deref().unwrap_or(&no_limits);
        let bounds = Bounds::of(limits, above.map(|above| above.fixed.bounds));
        let line: Arc<[Pid]> = parent.map(|parent| self.line(parent)).unwrap_or_default();
        let fixed = Fixed {
            ancestors: line,
            goal: (&goal).into(),
            cwd,
            tool_groups: groups.iter().map(|group| self.name(group)).collect(),
            budget,
            bounds,
            mode,
            owner: owner.map(Box::new),
            started_at_ms,
        };
        Ok(Process {
            turn,
            standing,
            made_of,
            program,
            fixed: Arc::new(fixed),
            usage: usage.map(Arc::new),
            family: None,
            sibling: None,
            unread,
            interrupts,
        })
    }
}

impl Process {
    fn save(&self, out: &mut Vec<u8>) {
        let Self { turn, standing, made_of: _, program: _, fixed, usage, .. } = self;
        let Self { family: _, sibling: _, unread, interrupts, .. } = self;
        let Fixed { ancestors: _, goal, cwd: _, tool_groups, budget, bounds: _, .. } = &**fixed;
        let Fixed { mode, owner, started_at_ms, .. } = &**fixed;
        wire::encode_into(&(self.parent(), standing.weight, standing.deadline_ms()), out);
        turn.save(out);
        wire::encode_into(&(goal.text(), &tool_groups[..], budget), out);
        wire::encode_into(&(mode, owner.as_deref(), started_at_ms), out);
        wire::encode_into(&(usage.as_deref(), unread, interrupts), out);
    }
}

impl Turn {
    fn save(&self, out: &mut Vec<u8>) {
        let Self { life, run, quantum, kept } = self;
        let (state, wait, ending): (u8, Option<&Wait>, Option<&Ending>) = match life {
            Life::Runnable => (0, None, None),
            Life::Running => (1, None, None),
            Life::Waiting(wait) => (2, Some(wait), None),
            Life::Paused { by_host: false, wait } => (3, wait.as_ref(), None),
            Life::Paused { by_host: true, wait } => (4, wait.as_ref(), None),
            Life::Ended(ending) => (5, None, Some(ending)),
        };
        wire::encode_into(&(state, wait, ending, run, quantum, kept.text()), out);
    }

    fn load(bytes: &mut Reader<'_>) -> Result<Self, BadSnapshot> {
        type Saved = (u8, Option<Wait>, Option<Ending>, u64, u64, Text);
        let (state, wait, ending, run, quantum, kept): Saved = bytes.read()?;
        let life = match (state, wait, ending) {
            (0, None, None) => Life::Runnable,
            (1, None, None) => Life::Running,
            (2, Some(wait), None) => Life::Waiting(wait),
            (3, wait, None) => Life::Paused { by_host: false, wait },
            (4, wait, None) => Life::Paused { by_host: true, wait },
            (5, None, Some(ending)) => Life::Ended(Arc::new(ending)),
            _ => return Err(WireError::new("a state of a process that is none").into()),
        };
        Ok(Self { life, run, quantum, kept: (&kept).into() })
    }
}
