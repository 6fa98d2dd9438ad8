//! What became of the outside since a checkpoint, and what brings its files back.
//!
//! A view of the records: which files of a workspace the processes of a checkpoint have changed
//! since, what was there before, and what the last recorded change left. Nothing is changed here;
//! whoever holds a port puts files back by [`fs::PutBack`], each an effect like any other. What
//! else was done outside is told, because it stays.

use std::collections::BTreeMap;

use libos_abi::{
    CheckpointId, Digest, EffectClass, Error, Event, FROM_MOUNT, Fault, FsPath, OpId, Outcome, Pid,
    Principal, Reply, Seq, Syscall, Text,
    event::{CheckpointEvent, OpEvent, ProcessEvent},
    fs::{self, Before},
};
use libos_journal::Journal;
use serde::Serialize;

use crate::{
    audit::{AuditError, scan},
    hydrate,
};

/// What has become of the outside since a checkpoint.
#[derive(Debug, Default)]
pub struct Outside {
    /// The files that are not as they were, in the order of their paths.
    pub files: Vec<File>,
    /// What was done and stays.
    pub stays: Vec<Effect>,
}

/// A file that is not as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct File {
    /// The folder of the host that is the workspace; of a file in another mount, nothing.
    pub workspace: String,
    /// Its path in the workspace, or from its mount on, as in `fs:data/a.csv`.
    pub path: String,
    /// The call that changed it last.
    pub op: OpId,
    /// The digest of what that left; absent is nothing.
    pub left: Option<Digest>,
    /// What was there at the checkpoint.
    #[serde(skip)]
    pub was: Was,
}

/// What was there at a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Was {
    /// Nothing.
    Absent,
    /// A file with this text, which may be a reference.
    Text(Text),
    /// Something that cannot be put back, and why.
    Lost(String),
}

impl File {
    /// The call that puts it back, if it can be.
    ///
    /// # Errors
    /// Why it cannot be.
    pub fn put_back(&self, journal: &dyn Journal, force: bool) -> Result<fs::PutBack, String> {
        let text = match &self.was {
            Was::Lost(why) => return Err(why.clone()),
            Was::Absent => None,
            Was::Text(text) => {
                let mut text = text.clone();
                hydrate::text(journal.blobs().as_ref(), &mut text)
                    .map_err(|fault| format!("what was there is not kept any more: {fault}"))?;
                Some(text)
            }
        };
        Ok(fs::PutBack {
            workspace: self.workspace.clone(),
            path: FsPath::from(self.path.as_str()),
            expected: self.left,
            text,
            force: Some(force),
        })
    }
}

/// Something that was done outside and stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Effect {
    /// The operation.
    pub op: OpId,
    /// Whose.
    pub pid: Pid,
    /// The call.
    pub call: &'static str,
    /// Its arguments, for people.
    pub args: serde_json::Value,
    /// What it ended in: `ok`, the code of an error, or nothing yet.
    pub ended: Option<&'static str>,
}

/// Reads what became of the outside since a checkpoint.
///
/// # Errors
/// [`AuditError`] for the first record that cannot be read.
pub fn since(journal: &dyn Journal, checkpoint: CheckpointId) -> Result<Outside, AuditError> {
    let mut survey = Survey { checkpoint, ..Survey::default() };
    scan(journal, Seq(0), |_, record| {
        record.events.into_iter().for_each(|event| survey.add(event));
        true
    })?;
    Ok(survey.outside())
}

/// The folder of the host that is the workspace, and a path in it; or nothing, and a path from its
/// mount on.
type Place = (String, String);

/// What is known of one file.
#[derive(Debug)]
struct Known {
    was: Was,
    left: Option<Digest>,
    op: OpId,
}

#[derive(Default)]
struct Survey {
    checkpoint: CheckpointId,
    /// Parent and workspace of each process.
    processes: BTreeMap<Pid, (Option<Pid>, Option<String>)>,
    /// Calls that change the outside and have not ended.
    open: BTreeMap<OpId, (Principal, Syscall)>,
    /// Whether the checkpoint was made.
    is_since: bool,
    files: BTreeMap<Place, Known>,
    stays: BTreeMap<OpId, Effect>,
}

impl Survey {
    fn add(&mut self, event: Event) {
        match event {
            Event::Process(ProcessEvent::Spawned { pid, parent, workspace, .. }) => {
                let workspace = workspace.as_deref().map(str::to_owned);
                self.processes.insert(pid, (parent, workspace));
            }
            Event::Checkpoint(CheckpointEvent::Created(info)) => {
                self.is_since |= info.id == self.checkpoint;
            }
            Event::Op(OpEvent::Admitted { op, caller, call, .. }) if changes_outside(&call) => {
                self.open.insert(op, (caller, call));
            }
            Event::Op(OpEvent::Settled { op, outcome }) => {
                if let Some((caller, call)) = self.open.remove(&op)
                    && self.is_since
                {
                    self.settled(op, &caller, &call, outcome);
                }
            }
            _ => {}
        }
    }

    /// Whether a process is the one of the checkpoint or below it.
    fn is_inside(&self, mut pid: Pid) -> bool {
        while pid != self.checkpoint.process {
            match self.processes.get(&pid) {
                Some((Some(parent), _)) => pid = *parent,
                _ => return false,
            }
        }
        true
    }

    /// Where a path of a process is.
    fn place(&self, pid: Pid, path: &FsPath) -> Option<Place> {
        let (_, workspace) = self.processes.get(&pid)?;
        place(workspace.as_deref(), path)
    }

    fn settled(&mut self, op: OpId, caller: &Principal, call: &Syscall, outcome: Outcome) {
        match (caller, call) {
            (Principal::Host(_), Syscall::Fs(fs::Call::PutBack(call))) => {
                if let (Ok(_), Some(known)) = (
                    outcome,
                    place(Some(&call.workspace), &call.path)
                        .and_then(|place| self.files.get_mut(&place)),
                ) {
                    known.left = call.text.as_ref().map(Text::digest);
                    known.op = op;
                }
            }
            (Principal::Process(pid), call) if self.is_inside(*pid) => {
                self.done(op, *pid, call, outcome);
            }
            _ => {}
        }
    }

    fn done(&mut self, op: OpId, pid: Pid, call: &Syscall, outcome: Outcome) {
        let ended = outcome.as_ref().map_or_else(Error::code, |_| "ok");
        let is_unknown = matches!(outcome, Err(Error::Fault(Fault::UnknownOutcome { .. })));
        if outcome.is_err() && !is_unknown {
            return;
        }
        let Some(changes) = changes(op, call, outcome) else {
            return self.stays(op, pid, call, Some(ended));
        };
        for Change { path, left, before } in changes {
            match self.place(pid, path) {
                Some(place) => self.changed(place, op, left, before),
                None => self.stays(op, pid, call, Some(ended)),
            }
        }
    }

    fn changed(&mut self, place: Place, op: OpId, left: Option<Digest>, before: Before) {
        let was = match before {
            Before::Absent => Was::Absent,
            Before::Text(text) => Was::Text(text),
            Before::NotKept { why } => Was::Lost(why),
        };
        let known = self.files.entry(place).or_insert(Known { was, left, op });
        (known.left, known.op) = (left, op);
    }

    fn stays(&mut self, op: OpId, pid: Pid, call: &Syscall, ended: Option<&'static str>) {
        let args = crate::audit::arguments(call);
        self.stays.insert(op, Effect { op, pid, call: call.info().name, args, ended });
    }

    fn outside(mut self) -> Outside {
        for (op, (caller, call)) in std::mem::take(&mut self.open) {
            if let Some(pid) = caller.pid().filter(|pid| self.is_since && self.is_inside(*pid)) {
                self.stays(op, pid, &call, None);
            }
        }
        let is_back = |known: &Known| match &known.was {
            Was::Absent => known.left.is_none(),
            Was::Text(text) => known.left == Some(text.digest()),
            Was::Lost(_) => false,
        };
        let files = self.files.into_iter().filter(|(_, known)| !is_back(known));
        let files = files.map(|((workspace, path), known)| File {
            workspace,
            path,
            op: known.op,
            left: known.left,
            was: known.was,
        });
        Outside { files: files.collect(), stays: self.stays.into_values().collect() }
    }
}

fn place(workspace: Option<&str>, path: &FsPath) -> Option<Place> {
    match path.split_mount() {
        ("workspace", below) => Some((workspace?.to_owned(), below.to_owned())),
        _ => Some((String::new(), format!("{FROM_MOUNT}{path}"))),
    }
}

/// What a call has made of one file.
struct Change<'c> {
    path: &'c FsPath,
    /// The digest of what it left; absent is nothing.
    left: Option<Digest>,
    before: Before,
}

/// What a call that has ended has made of files; `None` for one that is about none.
fn changes(op: OpId, call: &Syscall, outcome: Outcome) -> Option<Vec<Change<'_>>> {
    let Syscall::Fs(call) = call else { return None };
    let paths = match call {
        fs::Call::Write(fs::Write { path, .. })
        | fs::Call::Delete(fs::Delete { path, .. })
        | fs::Call::Edit(fs::Edit { path, .. })
        | fs::Call::Patch(fs::Patch { path, .. })
        | fs::Call::Append(fs::Append { path, .. }) => vec![path],
        fs::Call::Rename(fs::Rename { from, to, .. }) => vec![from, to],
        _ => return None,
    };
    let one = |left, before| vec![Change { path: paths[0], left, before }];
    let Ok(Reply::Fs(reply)) = outcome else {
        let lost = |path| {
            let why = format!("nobody can tell whether {op} happened");
            Change { path, left: None, before: Before::NotKept { why } }
        };
        return Some(paths.iter().copied().map(lost).collect());
    };
    Some(match reply {
        fs::Reply::Write(reply) | fs::Reply::Edit(reply) | fs::Reply::Patch(reply) => {
            one(Some(reply.digest), reply.before)
        }
        fs::Reply::Delete(reply) => one(None, reply.before),
        fs::Reply::Append(reply) => one(Some(reply.left), reply.before),
        fs::Reply::Rename(reply) => {
            let left = match &reply.moved {
                Before::Text(text) => Some(text.digest()),
                _ => None,
            };
            // What is not known of what was moved is known of neither name.
            let before = if left.is_some() { reply.before } else { reply.moved.clone() };
            let from = Change { path: paths[0], left: None, before: reply.moved };
            vec![from, Change { path: paths[1], left, before }]
        }
        _ => return None,
    })
}

/// Whether a call changes something outside of the kernel.
fn changes_outside(call: &Syscall) -> bool {
    let info = call.info();
    let has_effect = !matches!(info.effect, EffectClass::State | EffectClass::Read);
    has_effect && !matches!(call, Syscall::Tool(_) | Syscall::Audit(_))
}
