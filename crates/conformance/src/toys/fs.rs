//! Files in memory: one tree of paths, and no host behind it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use libos_abi::{
    Digest, EffectClass, Error, Fault, FsPath, OpId, Syscall, Text,
    fs::{
        self, Appended, Before, Call, DirEntry, FailureKind, FileKind, FileText, Globbed,
        LineFound, Listing, Made, Metadata, PathFound, Removed, Renamed, Reply, Returned, Searched,
        Watched, Written,
    },
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider, Reconciled};

/// The largest file that is written, and the most of one that is read.
const FILE_BYTES_MAX: usize = 1_048_576;

/// Path below the mount to content; nothing for a folder.
type Tree = BTreeMap<String, Option<String>>;

/// What operations left that cannot be told from their calls: a path and the content there.
type Left = BTreeMap<OpId, (String, String)>;

/// Serves `fs` on one mount, `workspace`.
#[derive(Debug, Default)]
pub struct Files(Mutex<(Tree, Left)>);

/// Whether anything was done before a call failed.
enum Stop {
    Refused(Error),
    Failed(Error),
}

impl Files {
    fn tree(&self) -> MutexGuard<'_, (Tree, Left)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Provider for Files {
    fn serves(&self) -> &'static [&'static str] {
        &["fs"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let (tree, left) = &mut *self.tree();
        let performed = perform(tree, &order);
        if let Ok(reply) = &performed {
            let path = match reply {
                Reply::Edit(it) | Reply::Patch(it) => Some(&it.path),
                Reply::Append(it) => Some(&it.path),
                Reply::Rename(it) => Some(&it.to),
                _ => None,
            };
            let below = path.map(|path| path.split_mount().1.to_owned());
            let entry = below.and_then(|key| Some((key.clone(), tree.get(&key)?.clone()?)));
            left.extend(entry.map(|entry| (order.op, entry)));
        }
        let outcome = match performed {
            Ok(reply) => EffectOutcome::Done(reply.into()),
            Err(Stop::Refused(error)) => EffectOutcome::NotStarted(error),
            Err(Stop::Failed(error)) => EffectOutcome::Failed(error),
        };
        Box::pin(async { outcome })
    }

    fn reconcile(&self, order: Order) -> BoxFuture<'static, Reconciled> {
        let (tree, left) = &*self.tree();
        let known = reconcile(tree, left.get(&order.op), &order);
        Box::pin(async { known })
    }
}

/// The path of a call below the mount, the last name apart; an empty path is the mount itself.
fn target(order: &Order) -> Result<(FsPath, String), Stop> {
    let Syscall::Fs(call) = &order.call else {
        let call = order.call.info().name.into();
        return Err(Stop::Refused(Fault::Unsupported { call }.into()));
    };
    let changes = order.call.info().effect != EffectClass::Read;
    let path = call.path(&order.cwd).clone();
    let names = names(&path, changes)?;
    let (_, below) = path.split_mount();
    let refuse = |kind: FailureKind| Err(Stop::Refused(kind.because(format!("`{path}`"))));
    match call {
        Call::Write(_) | Call::PutBack(_) | Call::Edit(_) | Call::Patch(_) | Call::Append(_)
            if names.is_empty() =>
        {
            refuse(FailureKind::NotAFile)
        }
        Call::Rename(call) => match self::names(&call.to, true)?.is_empty() || names.is_empty() {
            true => refuse(FailureKind::BadTarget),
            false => Ok((path.clone(), below.to_owned())),
        },
        Call::Edit(call) => match (inline(&call.old, order.op), inline(&call.new, order.op)) {
            (Err(error), _) | (_, Err(error)) => Err(Stop::Refused(error)),
            (Ok(""), _) => refuse(FailureKind::BadPattern),
            (Ok(_), Ok(new)) if new.len() > FILE_BYTES_MAX => refuse(FailureKind::TooLarge),
            _ => Ok((path.clone(), below.to_owned())),
        },
        Call::Patch(call) => match inline(&call.diff, order.op) {
            Err(error) => Err(Stop::Refused(error)),
            Ok(diff) if diff.len() > FILE_BYTES_MAX => refuse(FailureKind::TooLarge),
            Ok(diff) => match diffy::Patch::from_str(diff) {
                Ok(patch) if !patch.hunks().is_empty() => Ok((path.clone(), below.to_owned())),
                _ => refuse(FailureKind::BadPattern),
            },
        },
        Call::Append(call) => match inline(&call.text, order.op) {
            Err(error) => Err(Stop::Refused(error)),
            Ok(text) if text.len() > FILE_BYTES_MAX => refuse(FailureKind::TooLarge),
            Ok(_) => Ok((path.clone(), below.to_owned())),
        },
        Call::Search(call)
            if regex::Regex::new(&call.pattern).is_err()
                || call.glob.as_deref().is_some_and(|glob| fitting(glob).is_none()) =>
        {
            refuse(FailureKind::BadPattern)
        }
        Call::Glob(call) if fitting(&call.pattern).is_none() => refuse(FailureKind::BadPattern),
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

/// The names of a path of the mount.
fn names(path: &FsPath, changes: bool) -> Result<Vec<&str>, Stop> {
    let refuse = |kind: FailureKind| Err(Stop::Refused(kind.because(format!("`{path}`"))));
    let (mount, below) = path.split_mount();
    let names: Vec<&str> = if below.is_empty() { Vec::new() } else { below.split('/').collect() };
    if names.iter().any(|name| matches!(*name, "" | "." | "..")) {
        let path = path.to_string();
        return Err(Stop::Refused(Fault::OutsideMount { path }.into()));
    }
    if mount != "workspace" {
        return refuse(FailureKind::BadTarget);
    }
    if changes && names.iter().any(|name| name.eq_ignore_ascii_case(".git")) {
        return refuse(FailureKind::NotPermitted);
    }
    Ok(names)
}

fn fitting(pattern: &str) -> Option<globset::GlobMatcher> {
    let glob = globset::GlobBuilder::new(pattern).literal_separator(true).build();
    Some(glob.ok()?.compile_matcher())
}

/// What is below a folder, by its path there.
fn below<'t>(tree: &'t Tree, folder: &str) -> impl Iterator<Item = (&'t str, Option<&'t str>)> {
    let above = if folder.is_empty() { String::new() } else { format!("{folder}/") };
    let rest = move |(path, text): (&'t String, &'t Option<String>)| {
        Some((path.strip_prefix(&above)?, text.as_deref()))
    };
    tree.iter().filter_map(rest)
}

/// The content of a file that is what is expected.
fn expected<'t>(
    there: Option<Option<&'t str>>,
    expected: Option<Digest>,
    path: &FsPath,
) -> Result<Option<&'t str>, Stop> {
    match (there, expected) {
        (Some(None), None) => Err(fail(FailureKind::NotAFile, path)),
        (Some(Some(text)), Some(digest)) if Digest::of(text.as_bytes()) != digest => {
            let found = Digest::of(text.as_bytes());
            Err(Stop::Failed(FailureKind::Conflict.because(format!("`{path}` has {found}"))))
        }
        (None | Some(None), Some(_)) => Err(fail(FailureKind::Conflict, path)),
        (there, _) => Ok(there.flatten()),
    }
}

/// Puts another content in the place of a file's.
fn change(tree: &mut Tree, key: String, path: FsPath, new: String) -> Result<Written, Stop> {
    if new.len() > FILE_BYTES_MAX {
        return Err(fail(FailureKind::TooLarge, &path));
    }
    let before = before(look(tree, &key));
    let (bytes, digest) = (new.len() as u64, Digest::of(new.as_bytes()));
    let created = tree.insert(key, Some(new)).is_none();
    Ok(Written { path, bytes, created, digest, before })
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
            if call.expected_digest.is_some() {
                expected(there, call.expected_digest, &path)?;
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
            if call.expected_digest.is_some() && there.is_some() {
                expected(there, call.expected_digest, &path)?;
            }
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
        Call::Edit(call) => {
            let text = expected(Some(found?), call.expected_digest, &path)?.unwrap_or_default();
            let inline = |text| inline(text, order.op).map_err(Stop::Failed);
            let (old, new) = (inline(&call.old)?, inline(&call.new)?);
            if text.matches(old).count() != call.count.unwrap_or(1) as usize {
                return Err(fail(FailureKind::NoMatch, &path));
            }
            let new = text.replace(old, new);
            Reply::Edit(change(tree, key, path, new)?)
        }
        Call::Patch(call) => {
            let text = expected(Some(found?), call.expected_digest, &path)?.unwrap_or_default();
            let diff = inline(&call.diff, order.op).map_err(Stop::Failed)?;
            let patch = diffy::Patch::from_str(diff);
            let new = patch.ok().and_then(|patch| diffy::apply(text, &patch).ok());
            let new = new.ok_or_else(|| fail(FailureKind::NoMatch, &path))?;
            Reply::Patch(change(tree, key, path, new)?)
        }
        Call::Append(call) => {
            if look(tree, above(&key)) != Some(None) {
                return Err(fail(FailureKind::NotFound, &path));
            }
            let old = expected(there, call.expected_digest, &path)?.unwrap_or_default();
            let text = inline(&call.text, order.op).map_err(Stop::Failed)?;
            let new = format!("{old}{text}");
            let Written { path, created, digest, before, .. } = change(tree, key, path, new)?;
            let bytes = text.len() as u64;
            Reply::Append(Appended { path, bytes, created, left: digest, before })
        }
        Call::Rename(call) => Reply::Rename(rename(tree, call, path, &key)?),
        Call::Search(call) => {
            if found?.is_some() {
                return Err(fail(FailureKind::NotAFolder, &path));
            }
            Reply::Search(search(tree, call, &path, &key))
        }
        Call::Glob(call) => {
            if found?.is_some() {
                return Err(fail(FailureKind::NotAFolder, &path));
            }
            Reply::Glob(glob(tree, call, &path, &key))
        }
        Call::Watch(call) => {
            let below = tree.iter().filter(|(path, _)| above(path) == key && !path.is_empty());
            let state = Digest::of(format!("{there:?} {:?}", below.collect::<Vec<_>>()).as_bytes());
            let changed = call.seen.is_some_and(|seen| seen != state);
            Reply::Watch(Watched { state, changed })
        }
        Call::Stat(_) => {
            let (kind, bytes) = kind(found?);
            Reply::Stat(Metadata { kind, bytes, modified_at_ms: 0 })
        }
    })
}

fn rename(tree: &mut Tree, call: &fs::Rename, from: FsPath, key: &str) -> Result<Renamed, Stop> {
    let text = match look(tree, key) {
        Some(Some(text)) => text.to_owned(),
        Some(None) => return Err(fail(FailureKind::NotAFile, &from)),
        None => return Err(fail(FailureKind::NotFound, &from)),
    };
    expected(Some(Some(&text)), call.expected_digest, &from)?;
    let to = call.to.clone();
    let new = to.split_mount().1.to_owned();
    if look(tree, above(&new)) != Some(None) {
        return Err(fail(FailureKind::NotFound, &to));
    }
    let there = look(tree, &new);
    match there {
        Some(None) => return Err(fail(FailureKind::NotAFile, &to)),
        Some(_) if call.overwrite != Some(true) => return Err(fail(FailureKind::Exists, &to)),
        _ => {}
    }
    let (replaced, before) = (there.is_some(), before(there));
    tree.remove(key);
    let moved = Before::Text(Text::from(&*text));
    tree.insert(new, Some(text));
    Ok(Renamed { from, to, replaced, moved, before })
}

/// The place of a search to go on from is one of a line, counted over all files.
fn search(tree: &Tree, call: &fs::Search, path: &FsPath, key: &str) -> Searched {
    let mut pattern = regex::RegexBuilder::new(&call.pattern);
    pattern.case_insensitive(call.ignore_case == Some(true));
    let pattern = pattern.build().expect("it was looked at");
    let glob = call.glob.as_deref().and_then(fitting);
    let files = below(tree, key).filter(|(path, _)| {
        let is_passed_over = path.split('/').any(|name| name.eq_ignore_ascii_case(".git"));
        !is_passed_over && glob.as_ref().is_none_or(|glob| glob.is_match(path))
    });
    let lines = files.flat_map(|(below, text)| {
        let path = FsPath::from(&*format!("{path}/{below}"));
        let lines = text.unwrap_or_default().lines().enumerate();
        lines.map(move |(number, line)| (path.clone(), number as u64 + 1, line))
    });
    let found = lines.filter(|(.., line)| pattern.is_match(line));
    let limit = call.limit.unwrap_or(100) as usize;
    let from = call.from.unwrap_or(0);
    let mut left = found.skip(from as usize).map(|(path, line, text)| {
        let text = text[..text.floor_char_boundary(256)].to_owned();
        LineFound { path, line, text }
    });
    let lines: Vec<LineFound> = left.by_ref().take(limit).collect();
    let next = left.next().map(|_| from + lines.len() as u64);
    Searched { lines, next }
}

fn glob(tree: &Tree, call: &fs::Glob, path: &FsPath, key: &str) -> Globbed {
    let pattern = fitting(&call.pattern).expect("it was looked at");
    let from = call.from.unwrap_or(0);
    let found = below(tree, key).filter(|(below, _)| pattern.is_match(below));
    let mut left = found.skip(from as usize).map(|(below, text)| {
        let (kind, bytes) = kind(text);
        PathFound { path: FsPath::from(&*format!("{path}/{below}")), kind, bytes }
    });
    let entries: Vec<PathFound> = left.by_ref().take(call.limit.unwrap_or(100) as usize).collect();
    let next = left.next().map(|_| from + entries.len() as u64);
    Globbed { entries, next }
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

fn reconcile(tree: &Tree, left: Option<&(String, String)>, order: &Order) -> Reconciled {
    let (Ok((path, key)), Syscall::Fs(call)) = (target(order), &order.call) else {
        return Reconciled::DidNotHappen;
    };
    let is_left = left.is_some_and(|(key, text)| look(tree, key) == Some(Some(text)));
    if let (true, Some((_, text))) = (is_left, left) {
        let (bytes, digest) = (text.len() as u64, Digest::of(text.as_bytes()));
        let written = Written { path, bytes, created: false, digest, before: lost() };
        return match call {
            Call::Edit(_) => Reconciled::Happened(Reply::Edit(written).into()),
            Call::Patch(_) => Reconciled::Happened(Reply::Patch(written).into()),
            Call::Append(call) => {
                let Written { path, created, before, .. } = written;
                let bytes = call.text.bytes();
                let appended = Appended { path, bytes, created, left: digest, before };
                Reconciled::Happened(Reply::Append(appended).into())
            }
            Call::Rename(call) => {
                let (from, to) = (written.path, call.to.clone());
                let moved = Before::Text(Text::from(&**text));
                let renamed = Renamed { from, to, replaced: false, moved, before: lost() };
                Reconciled::Happened(Reply::Rename(renamed).into())
            }
            _ => Reconciled::Unknown,
        };
    }
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
