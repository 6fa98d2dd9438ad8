//! The journal alone: a list of records on disk that nobody can change unseen.
//!
//! A record is bytes to it; what they mean is the program's own.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "it shows what it does")]

use std::{error::Error, path::Path};

use libos_abi::Seq;
use libos_journal::{Batch, Journal, SqliteJournal, Sync};

fn run(folder: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut said = Vec::new();
    let mut journal = SqliteJournal::open(folder)?;

    // One batch is written as a whole or not at all. A large payload is kept beside the records.
    let mut batch = Batch::of([b"opened".to_vec()]);
    let photo = batch.blob(vec![7; 100_000]);
    batch.records.push(format!("photo {photo}").into_bytes());
    let kept = journal.append(&batch, Sync::Durable)?;
    said.push(format!("{} records", kept.size));

    // A lazy record is on disk with the next durable one.
    journal.append(&Batch::of([b"seen".to_vec()]), Sync::Lazy)?;
    let head = journal.append(&Batch::of([b"closed".to_vec()]), Sync::Durable)?;
    drop(journal);

    let journal = SqliteJournal::open(folder)?;
    for (Seq(at), record) in journal.read(Seq(0), 10)? {
        let text = String::from_utf8(record)?;
        said.push(format!("{at}: {}", text.split(' ').next().unwrap_or_default()));
    }
    said.push(format!("a photo of {} bytes", journal.blobs().get(&photo)?.len()));

    // A head of 40 bytes, kept anywhere, pins every record before it.
    journal.verify(Some(&kept))?;
    let mut forged = head;
    forged.root.0[0] ^= 1;
    said.push(format!("unchanged since {}: true", kept.size));
    said.push(format!("another history: {}", journal.verify(Some(&forged)).is_ok()));
    Ok(said)
}

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    run(folder.path())?.iter().for_each(|line| println!("{line}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_what_was_written_and_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            run(folder.path()).unwrap(),
            [
                "2 records",
                "0: opened",
                "1: photo",
                "2: seen",
                "3: closed",
                "a photo of 100000 bytes",
                "unchanged since 2: true",
                "another history: false",
            ]
        );
    }
}
