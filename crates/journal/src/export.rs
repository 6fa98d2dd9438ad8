//! A journal as lines of JSON, and the verifier that needs nothing but those lines.
//!
//! One line per record, `{"seq", "leaf", "root", "body", "event"}`, with `leaf` its leaf hash,
//! `root` the root of the tree up to and including it, `body` its bytes in hexadecimal and `event`
//! whatever the caller shows of it; and a last line `{"head": {"size", "root"}, "signature"}`, the
//! signature only where a key is given. The root in each line makes the first bad record known, not
//! only that there is one.
//!
//! `event` is for the reader's eyes: no hash covers it. [`verify_export_events`] compares it with
//! what the record gives; [`verify_export`] passes over it.

use std::io::{self, BufRead, Write};

use libos_abi::Seq;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Corruption, Head, Journal, JournalError, SecretKey, SignedHead, TreeHash, check,
    check::Checker, hex, merkle,
};

/// Shows a record as JSON, for people and tools.
pub type Describe<'a> = &'a dyn Fn(Seq, &[u8]) -> Value;

/// Records read from the journal at a time.
pub(crate) const PAGE: usize = 1024;

#[derive(Serialize)]
struct RecordLine {
    seq: u64,
    leaf: TreeHash,
    root: TreeHash,
    body: String,
    event: Value,
}

/// A line as it is read: `E` is [`Value`] where the event matters.
#[derive(Deserialize)]
struct ReadLine<E> {
    seq: u64,
    leaf: TreeHash,
    root: TreeHash,
    body: String,
    event: E,
}

/// Writes every record of `journal` to `out`, shown by `describe`, and the head, signed with `key`
/// if there is one. Returns the head written.
///
/// # Errors
/// [`JournalError::Export`] if `out` refuses, [`JournalError::Corrupt`] if the journal is not what
/// its head says, and the errors of [`Journal::read`].
pub fn export(
    journal: &dyn Journal,
    out: &mut dyn Write,
    describe: Describe<'_>,
    key: Option<&SecretKey>,
) -> Result<SignedHead, JournalError> {
    let head = journal.head();
    let mut tree = merkle::Tree::new();
    while tree.size() < head.size {
        let at = tree.size();
        let page = journal.read(Seq(at), PAGE)?;
        for (seq, body) in page {
            let leaf = merkle::leaf_hash(&body);
            tree.push(leaf);
            let event = describe(seq, &body);
            let body = hex::encode(&body);
            let line = RecordLine { seq: seq.0, leaf, root: tree.root(), body, event };
            write_line(out, &line)?;
        }
        if tree.size() == at {
            return Err(JournalError::corrupt(at, Corruption::Truncated { size: Some(head.size) }));
        }
    }
    check::same(&head, &tree.head())?;
    let signed = key.map_or(head.into(), |key| key.sign(&head));
    write_line(out, &signed)?;
    out.flush().map_err(write_error)?;
    Ok(signed)
}

/// Checks an export without its store and returns its head. With `against` (a head kept
/// elsewhere) it must also be a continuation of that head; only that, or a key that vouches for the
/// head returned ([`PublicKey::check`](crate::PublicKey::check)), finds an export which somebody
/// computed anew from end to end.
///
/// # Errors
/// [`JournalError::Corrupt`] for the first bad record, [`JournalError::Export`] if `input` cannot
/// be read.
pub fn verify_export(
    input: &mut dyn BufRead,
    against: Option<&Head>,
) -> Result<SignedHead, JournalError> {
    verify_lines::<serde::de::IgnoredAny>(input, against, &|_, _, _| true)
}

/// Like [`verify_export`], and checks that the event in each line is what `describe` gives for its
/// record.
///
/// # Errors
/// As [`verify_export`]; [`Corruption::WrongEvent`] for an event that was changed.
pub fn verify_export_events(
    input: &mut dyn BufRead,
    against: Option<&Head>,
    describe: Describe<'_>,
) -> Result<SignedHead, JournalError> {
    verify_lines::<Value>(input, against, &|seq, body, event| describe(seq, body) == *event)
}

fn verify_lines<E: for<'de> Deserialize<'de>>(
    input: &mut dyn BufRead,
    against: Option<&Head>,
    event_agrees: &dyn Fn(Seq, &[u8], &E) -> bool,
) -> Result<SignedHead, JournalError> {
    let mut checker = Checker::new(against)?;
    let mut line = Vec::new();
    while read_line(input, &mut line)? {
        let at = checker.size();
        if let Ok(signed) = serde_json::from_slice::<SignedHead>(&line) {
            end(input, checker, &signed.head)?;
            return Ok(signed);
        }
        let unreadable = || JournalError::corrupt(at, Corruption::Unreadable);
        let Ok(record) = serde_json::from_slice::<ReadLine<E>>(&line) else {
            // A cut in the middle of a line is the end of the file, not a bad line.
            let cut = line.last() != Some(&b'\n');
            return Err(if cut { cut_off(at, against) } else { unreadable() });
        };
        let body = hex::decode(&record.body).ok_or_else(unreadable)?;
        let seq = i64::try_from(record.seq).map_err(|_| unreadable())?;
        if record.seq > at && appears_later::<E>(input, at)? {
            return Err(JournalError::corrupt(at, Corruption::OutOfOrder));
        }
        checker.record(seq, &record.leaf.0, &body)?;
        checker.root(&record.root)?;
        checker.compare_against()?;
        if !event_agrees(Seq(at), &body, &record.event) {
            return Err(JournalError::corrupt(at, Corruption::WrongEvent));
        }
    }
    Err(cut_off(checker.size(), against))
}

/// The head line: nothing may follow it, and it must be the head of the records before it.
fn end(input: &mut dyn BufRead, checker: Checker<'_>, head: &Head) -> Result<(), JournalError> {
    let (size, mut rest) = (checker.size(), Vec::new());
    checker.finish(head)?;
    if read_line(input, &mut rest)? {
        return Err(JournalError::corrupt(size, Corruption::Inserted));
    }
    Ok(())
}

/// Whether record `seq` stands further down: then it was moved, not removed.
fn appears_later<E: for<'de> Deserialize<'de>>(
    input: &mut dyn BufRead,
    seq: u64,
) -> Result<bool, JournalError> {
    let mut line = Vec::new();
    while read_line(input, &mut line)? {
        if serde_json::from_slice::<ReadLine<E>>(&line).is_ok_and(|line| line.seq == seq) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The export ends without a head line, so how long it was is known from `against` at best.
fn cut_off(size: u64, against: Option<&Head>) -> JournalError {
    let known = against.map(|head| head.size).filter(|known| *known > size);
    JournalError::corrupt(size, Corruption::Truncated { size: known })
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> Result<(), JournalError> {
    serde_json::to_writer(&mut *out, line).map_err(|error| write_error(error.into()))?;
    out.write_all(b"\n").map_err(write_error)
}

fn write_error(source: io::Error) -> JournalError {
    JournalError::Export { doing: "write", source }
}

/// Reads the next line that is not blank; false at the end.
pub(crate) fn read_line(input: &mut dyn BufRead, line: &mut Vec<u8>) -> Result<bool, JournalError> {
    loop {
        line.clear();
        let read = input.read_until(b'\n', line);
        if read.map_err(|source| JournalError::Export { doing: "read", source })? == 0 {
            return Ok(false);
        }
        if !line.trim_ascii().is_empty() {
            return Ok(true);
        }
    }
}
