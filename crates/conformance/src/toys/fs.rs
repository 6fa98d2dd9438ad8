//! Files in memory: one tree of paths, and no host behind it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libos_abi::{
    Digest, Error, Fault, FsPath, OpId, Syscall, Text,
    fs::{
        self, Before, Call, DirEntry, FailureKind, FileKind, FileText, Listing, Made, Metadata,
        Removed, Reply, Returned, Written,
    },
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider, Reconciled};

/// The largest file that is written, and the most of one that is read.
const FILE_BYTES_MAX: usize = 1_048_576;

/// Path below the mount to content; nothing for a folder.
type Tree = BTreeMap<String, Option<String>>;

/// Serves `fs` on one mount, `workspace`.
#[derive(Debug, Default)]
pub struct Files(Mutex<Tree>);

/// Whether anything was done before a call failed.
enum Stop {
    Refused(Error),
    Failed(Error),
}

impl Files {
    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Files {
    fn serves(&self) -> &'static [&'static str] {
        &["fs"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let outcome = match perform(&mut self.tree(), &order) {
            Ok(reply) => EffectOutcome::Done(reply.into()),
            Err(Stop::Refused(error)) => EffectOutcome::NotStarted(error),
            Err(Stop::Failed(error)) => EffectOutcome::Failed(error),
        };
        Box::pin(async { outcome })
    }

    fn reconcile(&self, order: Order) -> BoxFuture<'static, Reconciled> {
        let known = reconcile(&self.tree(), &order);
        Box::pin(async { known })
    }
}

/// The path of a call below the mount, the last name apart; an empty path is the mount itself.
fn target(order: &Order) -> Result<(FsPath, String), Stop> {
    let Syscall::Fs(call) = &order.call else {
        let call = order.call.info().name.into();
        return Err(Stop::Refused(Fault::Unsupported { call }.into()));
    };
    let path = match call {
        Call::Read(call) => call.path.clone(),
        Call::Write(call) => call.path.clone(),
        Call::List(call) => call.path.0.clone().unwrap_or_else(|| order.cwd.clone()),
        Call::Mkdir(call) => call.path.clone(),
        Call::Delete(call) => call.path.clone(),
        Call::Stat(call) => call.path.clone(),
        Call::PutBack(call) => call.path.clone(),
    };
    let refuse = |kind: FailureKind| Err(Stop::Refused(kind.because(format!("`{path}`"))));
    let (mount, below) = path.split_mount();
    let names: Vec<&str> = if below.is_empty() { Vec::new() } else { below.split('/').collect() };
    if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
        let path = path.to_string();
        return Err(Stop::Refused(Fault::OutsideMount { path }.into()));
    }
    let changes =
        matches!(call, Call::Write(_) | Call::Mkdir(_) | Call::Delete(_) | Call::PutBack(_));
    if mount != "workspace" {
        return refuse(FailureKind::BadTarget);
    }
    if changes && names.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
        return refuse(FailureKind::NotPermitted);
    }
    match call {
        Call::Write(_) | Call::PutBack(_) if names.is_empty() => refuse(FailureKind::NotAFile),
        Call::PutBack(call) => match call.text.as_ref().map(|text| inline(text, order.op)) {
            Some(Err(error)) => Err(Stop::Refused(error)),
            Some(Ok(text)) if text.len() > FILE_BYTES_MAX => refuse(FailureKind::TooLarge),
            _ => Ok((path.clone(), below.to_owned())),
        },
        Call::Delete(_) if names.is_empty() => refuse(FailureKind::BadTarget),
        Call::Write(call) if call.text.bytes() > FILE_BYTES_MAX as u64 => {
            refuse(FailureKind::TooLarge)
        }
        Call::Write(call) => match inline(&call.text, order.op) {
            Err(error) => Err(Stop::Refused(error)),
            Ok(_) => Ok((path.clone(), below.to_owned())),
        },
        _ => Ok((path.clone(), below.to_owned())),
    }
}

fn inline(text: &Text, op: OpId) -> Result<&str, Error> {
    text.as_str().ok_or_else(|| Fault::ProviderFailed { kind: "blob.missing".into(), op }.into())
}

fn fail(kind: FailureKind, path: &FsPath) -> Stop {
    Stop::Failed(kind.because(format!("`{path}`")))
}

/// The folder that a path is in.
fn above(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(above, _)| above)
}

/// What is at a path: nothing, a folder, or a file's content.
fn look<'t>(tree: &'t Tree, path: &str) -> Option<Option<&'t str>> {
    if path.is_empty() { Some(None) } else { tree.get(path).map(Option::as_deref) }
}

/// Names and contents directly in a folder.
fn within<'t>(tree: &'t Tree, folder: &'t str) -> impl Iterator<Item = (&'t str, Option<&'t str>)> {
    tree.iter().filter(move |(path, _)| above(path) == folder).map(|(path, content)| {
        (path.rsplit_once('/').map_or(path.as_str(), |(_, name)| name), content.as_deref())
    })
}

fn kind(content: Option<&str>) -> (FileKind, u64) {
    content.map_or((FileKind::Dir, 0), |text| (FileKind::File, text.len() as u64))
}

fn perform(tree: &mut Tree, order: &Order) -> Result<Reply, Stop> {
    let (path, key) = target(order)?;
    let Syscall::Fs(call) = &order.call else { unreachable!("`target` looked at the call") };
    let there = look(tree, &key);
    let found = there.ok_or_else(|| fail(FailureKind::NotFound, &path));
    Ok(match call {
        Call::Read(call) => Reply::Read(read(found?, call, &path)?),
        Call::Write(call) => {
            let created = match there {
                Some(None) => return Err(fail(FailureKind::NotAFile, &path)),
                Some(Some(_)) if call.overwrite == Some(false) => {
                    return Err(fail(FailureKind::Exists, &path));
                }
                there => there.is_none(),
            };
            if look(tree, above(&key)) != Some(None) {
                return Err(fail(FailureKind::NotFound, &path));
            }
            let text = inline(&call.text, order.op).map_err(Stop::Failed)?.to_owned();
            let (bytes, digest) = (text.len() as u64, Digest::of(text.as_bytes()));
            let before = before(there);
            tree.insert(key, Some(text));
            Reply::Write(Written { path, bytes, created, digest, before })
        }
        Call::List(call) => {
            if found?.is_some() {
                return Err(fail(FailureKind::NotAFolder, &path));
            }
            let entry = |(name, content): (&str, Option<&str>)| {
                let (kind, bytes) = kind(content);
                DirEntry { name: name.to_owned(), kind, bytes }
            };
            let mut entries: Vec<DirEntry> = within(tree, &key).map(entry).collect();
            entries.sort_by(|one, other| one.name.cmp(&other.name));
            let limit = call.limit.unwrap_or(1_024) as usize;
            let truncated = entries.len() > limit;
            entries.truncate(limit);
            Reply::List(Listing { entries, truncated })
        }
        Call::Mkdir(call) => Reply::Mkdir(mkdir(tree, call, path, &key)?),
        Call::Delete(call) => {
            let before = before(there);
            let removed = match there {
                None if call.missing_ok == Some(true) => false,
                None => return Err(fail(FailureKind::NotFound, &path)),
                Some(None) if within(tree, &key).next().is_some() => {
                    return Err(fail(FailureKind::NotEmpty, &path));
                }
                Some(_) => tree.remove(&key).is_some(),
            };
            Reply::Delete(Removed { path, removed, before })
        }
        Call::PutBack(call) => Reply::PutBack(put_back(tree, call, path, key)?),
        Call::Stat(_) => {
            let (kind, bytes) = kind(found?);
            Reply::Stat(Metadata { kind, bytes, modified_at_ms: 0 })
        }
    })
}

/// What is there, for the record.
fn before(there: Option<Option<&str>>) -> Before {
    match there {
        None => Before::Absent,
        Some(None) => Before::NotKept { why: "it was a folder".into() },
        Some(Some(text)) => Before::Text(Text::from(text)),
    }
}

fn put_back(
    tree: &mut Tree,
    call: &fs::PutBack,
    path: FsPath,
    key: String,
) -> Result<Returned, Stop> {
    let found = match look(tree, &key) {
        Some(None) => return Err(fail(FailureKind::NotAFile, &path)),
        Some(Some(text)) => Some(Digest::of(text.as_bytes())),
        None => None,
    };
    if found == call.text.as_ref().map(Text::digest) {
        return Ok(Returned { path, changed: false });
    }
    if found != call.expected && call.force != Some(true) {
        return Err(fail(FailureKind::Conflict, &path));
    }
    match call.text.as_ref().and_then(Text::as_str) {
        Some(text) => {
            let folders = key.match_indices('/').map(|(at, _)| key[..at].to_owned());
            for folder in folders.collect::<Vec<_>>() {
                if tree.entry(folder).or_insert(None).is_some() {
                    return Err(fail(FailureKind::NotAFile, &path));
                }
            }
            tree.insert(key, Some(text.to_owned()));
        }
        None => drop(tree.remove(&key)),
    }
    Ok(Returned { path, changed: true })
}

fn read(found: Option<&str>, call: &fs::Read, path: &FsPath) -> Result<FileText, Stop> {
    let whole = found.ok_or_else(|| fail(FailureKind::NotAFile, path))?;
    let limit = call.max_bytes.unwrap_or(65_536) as usize;
    let text = &whole[..whole.floor_char_boundary(limit.min(FILE_BYTES_MAX))];
    Ok(FileText {
        text: Text::from(text),
        bytes: text.len() as u64,
        truncated: text.len() < whole.len(),
        digest: Digest::of(text.as_bytes()),
        object: None,
    })
}

fn mkdir(tree: &mut Tree, call: &fs::Mkdir, path: FsPath, key: &str) -> Result<Made, Stop> {
    let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
    let folders: Vec<&str> = ends.map(|end| &key[..end]).filter(|key| !key.is_empty()).collect();
    let mut created = false;
    for folder in folders {
        created = match look(tree, folder) {
            Some(None) => false,
            Some(Some(_)) if folder == key || call.parents == Some(true) => {
                return Err(fail(FailureKind::Exists, &path));
            }
            Some(Some(_)) => return Err(fail(FailureKind::NotFound, &path)),
            None if folder != key && call.parents != Some(true) => {
                return Err(fail(FailureKind::NotFound, &path));
            }
            None => tree.insert(folder.to_owned(), None).is_none(),
        };
    }
    Ok(Made { path, created })
}

fn reconcile(tree: &Tree, order: &Order) -> Reconciled {
    let (Ok((path, key)), Syscall::Fs(call)) = (target(order), &order.call) else {
        return Reconciled::DidNotHappen;
    };
    match (call, look(tree, &key)) {
        (Call::Write(call), Some(there)) if there.is_some() && there == call.text.as_str() => {
            let (bytes, digest) = (call.text.bytes(), call.text.digest());
            let created = call.overwrite == Some(false);
            let before = if created { Before::Absent } else { lost() };
            let written = Written { path, bytes, created, digest, before };
            Reconciled::Happened(Reply::Write(written).into())
        }
        (Call::Delete(_), None) => {
            let removed = Removed { path, removed: true, before: lost() };
            Reconciled::Happened(Reply::Delete(removed).into())
        }
        (Call::PutBack(call), there)
            if there.flatten() == call.text.as_ref().and_then(Text::as_str) =>
        {
            Reconciled::Happened(Reply::PutBack(Returned { path, changed: true }).into())
        }
        _ => Reconciled::DidNotHappen,
    }
}

fn lost() -> Before {
    Before::NotKept { why: "the host ended while the call was under way".into() }
}
