//! Changes that are made from what is there: edit, patch and append.
//!
//! Each reads the file, makes the new content and replaces the file by it. All or nothing: what
//! does not fit changes nothing.

use cap_std::fs::Dir;
use diffy::Patch;
use libos_abi::{
    Digest, OpId, Text,
    fs::{self, Appended, Before, FailureKind, Written},
};
use libos_port::Reconciled;
use rustix::fs::Stat;

use super::{
    before,
    mark::{self, Mark},
    ops::Task,
    write::{self, Content},
};
use crate::{
    Stop,
    limits::{FILE_BYTES_MAX, PATCH_HUNKS_MAX},
    provider_failed,
};

/// Refuses what an edit or patch alone forbids.
pub(super) fn refuse(op: OpId, call: &fs::Call, is_root: bool) -> Result<(), Stop> {
    let refused = |kind: FailureKind, why: &str| Err(Stop::Refused(kind.because(why)));
    let texts = match call {
        fs::Call::Edit(call) => vec![inline(op, &call.old)?, inline(op, &call.new)?],
        fs::Call::Patch(call) => vec![inline(op, &call.diff)?],
        _ => Vec::new(),
    };
    if texts.iter().any(|text| text.len() > FILE_BYTES_MAX as usize) {
        return refused(FailureKind::TooLarge, "a text is larger than the largest file");
    }
    match call {
        _ if is_root => refused(FailureKind::NotAFile, "a mount's root is a folder"),
        fs::Call::Edit(edit) if texts[0].is_empty() || edit.count == Some(0) => {
            refused(FailureKind::BadPattern, "there is nothing to be replaced")
        }
        fs::Call::Patch(_) => hunks(texts[0]).map(drop),
        _ => Ok(()),
    }
}

fn inline(op: OpId, text: &Text) -> Result<&str, Stop> {
    text.as_str().ok_or_else(|| {
        tracing::error!(%op, "a call reached its provider without its text");
        Stop::Refused(provider_failed(op, "blob.missing"))
    })
}

fn hunks(diff: &str) -> Result<Patch<'_, str>, Stop> {
    let bad = |why: String| Stop::Refused(FailureKind::BadPattern.because(why));
    let patch = Patch::from_str(diff).map_err(|error| bad(format!("the diff: {error}")))?;
    match patch.hunks().len() {
        1..=PATCH_HUNKS_MAX => Ok(patch),
        count => Err(bad(format!("the diff has {count} hunks; 1 to {PATCH_HUNKS_MAX} may be"))),
    }
}

/// A file that is there, and what it is in.
struct Found<'a> {
    folder: Dir,
    name: &'a str,
    stat: Option<Stat>,
    bytes: Vec<u8>,
}

/// Reads the file, which must be what is expected.
fn found<'t>(task: &'t Task<'_>, expected: Option<Digest>) -> Result<Found<'t>, Stop> {
    let Some((folder, name)) = task.parent()? else {
        return Err(task.fail(FailureKind::NotAFile, "is a folder"));
    };
    let Some(stat) = task.look(&folder, name)? else {
        task.expect(None, expected)?;
        return Ok(Found { folder, name, stat: None, bytes: Vec::new() });
    };
    task.check_file(&stat)?;
    write::may_write(task, &folder, name)?;
    let bytes = task.bytes(&task.open_file(&folder, name)?)?;
    if bytes.len() > FILE_BYTES_MAX as usize {
        return Err(too_large(task));
    }
    task.expect(Some(Digest::of(&bytes)), expected)?;
    Ok(Found { folder, name, stat: Some(stat), bytes })
}

fn too_large(task: &Task<'_>) -> Stop {
    let what = format!("has more than {FILE_BYTES_MAX} bytes, or would");
    task.fail(FailureKind::TooLarge, &what)
}

/// Replaces what was found.
fn replace(task: &Task<'_>, found: &Found<'_>, bytes: &[u8]) -> Result<(), Stop> {
    if bytes.len() > FILE_BYTES_MAX as usize {
        return Err(too_large(task));
    }
    let old = found.stat.as_ref();
    let content = Content { bytes, old, overwrite: old.is_some(), is_marked: true };
    write::replace(task, &found.folder, found.name, &content)
}

/// Changes the text of a file.
fn change(
    task: &Task<'_>,
    expected: Option<Digest>,
    make: impl FnOnce(&str) -> Result<String, Stop>,
) -> Result<Written, Stop> {
    let found = found(task, expected)?;
    if found.stat.is_none() {
        return Err(task.fail(FailureKind::NotFound, "is not there"));
    }
    let old = std::str::from_utf8(&found.bytes)
        .map_err(|_| task.fail(FailureKind::NotText, "holds bytes that are not UTF-8"))?;
    let new = make(old)?;
    let before = Before::Text(Text::from(old));
    replace(task, &found, new.as_bytes())?;
    Ok(written(task, new.as_bytes(), before))
}

fn written(task: &Task<'_>, bytes: &[u8], before: Before) -> Written {
    let (path, digest) = (task.path.clone(), Digest::of(bytes));
    Written { path, bytes: bytes.len() as u64, created: false, digest, before }
}

/// Replaces a text as often as it must be there.
pub(super) fn edit(task: &Task<'_>, call: &fs::Edit) -> Result<Written, Stop> {
    let (old, new) = (inline(task.op, &call.old)?, inline(task.op, &call.new)?);
    let wanted = call.count.unwrap_or(1) as usize;
    change(task, call.expected_digest, |text| {
        let count = text.matches(old).count();
        if count != wanted {
            let what = format!("has the text to be replaced {count} times, not {wanted}");
            return Err(task.fail(FailureKind::NoMatch, &what));
        }
        let bytes = text.len() - count * old.len() + count * new.len();
        if bytes > FILE_BYTES_MAX as usize {
            return Err(too_large(task));
        }
        Ok(text.replace(old, new))
    })
}

/// Applies a diff.
pub(super) fn patch(task: &Task<'_>, call: &fs::Patch) -> Result<Written, Stop> {
    let patch = hunks(inline(task.op, &call.diff)?)?;
    change(task, call.expected_digest, |text| {
        diffy::apply(text, &patch)
            .map_err(|error| task.fail(FailureKind::NoMatch, &format!("does not fit: {error}")))
    })
}

/// Adds a text at the end.
pub(super) fn append(task: &Task<'_>, call: &fs::Append) -> Result<Appended, Stop> {
    let text = inline(task.op, &call.text)?;
    let found = found(task, call.expected_digest)?;
    let before = match &found.stat {
        Some(_) => before::of_bytes(&found.bytes),
        None => Before::Absent,
    };
    let bytes = [&found.bytes, text.as_bytes()].concat();
    replace(task, &found, &bytes)?;
    Ok(Appended {
        path: task.path.clone(),
        bytes: text.len() as u64,
        created: found.stat.is_none(),
        left: Digest::of(&bytes),
        before,
    })
}

/// Whether one of these happened: the file carries its mark. Removes what it left behind.
pub(super) fn reconcile(task: &Task<'_>, call: &fs::Call) -> Result<Reconciled, Stop> {
    let (folder, name) = match task.parent() {
        Ok(Some(target)) => target,
        Ok(None) => return Ok(Reconciled::DidNotHappen),
        Err(stop) => return write::unless_refused(stop),
    };
    write::remove_leftover(task, &folder)?;
    let file = match task.open_file(&folder, name) {
        Ok(file) => file,
        Err(stop) => return write::unless_refused(stop),
    };
    let bytes = task.bytes(&file)?;
    match mark::of(task, &file, &bytes)? {
        Mark::Ours => {}
        Mark::Other => return Ok(Reconciled::DidNotHappen),
        Mark::Unkept if expected(call) == Some(Digest::of(&bytes)) => {
            return Ok(Reconciled::DidNotHappen);
        }
        Mark::Unkept | Mark::Changed => return Ok(Reconciled::Unknown),
    }
    task.settle(&folder)?;
    let written = written(task, &bytes, before::lost());
    let reply = match call {
        fs::Call::Edit(_) => fs::Reply::Edit(written),
        fs::Call::Patch(_) => fs::Reply::Patch(written),
        fs::Call::Append(call) => fs::Reply::Append(Appended {
            path: written.path,
            bytes: call.text.bytes(),
            created: bytes.len() as u64 == call.text.bytes(),
            left: written.digest,
            before: written.before,
        }),
        _ => return Ok(Reconciled::Unknown),
    };
    Ok(Reconciled::Happened(reply.into()))
}

fn expected(call: &fs::Call) -> Option<Digest> {
    match call {
        fs::Call::Edit(call) => call.expected_digest,
        fs::Call::Patch(call) => call.expected_digest,
        fs::Call::Append(call) => call.expected_digest,
        _ => None,
    }
}
