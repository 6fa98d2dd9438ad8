//! A journal of a million records: what it takes to come back to its state, and what it weighs.

use std::{
    env, fs,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, ensure};
use libos_abi::{Seq, clock, object, process::Exit, wire};
use libos_journal::{Batch, Head, Journal, Snapshot, SqliteJournal, Sync};
use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    measure::{Figure, Scale, by_turns, nanos},
    report::{Row, Target, Unit},
    stage::{Stage, allow, note, request, update},
};

/// Records in the journal.
const RECORDS: usize = 1_000_000;

/// Calls of one process of the history: looks, and new versions of an object. It has some 2,500
/// processes.
const CALLS: usize = 400;

/// Records in one commit.
const BATCH: usize = 4_096;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&scale.folder)?;
    let (ours, bare) = (folder.path().join("store"), folder.path().join("bare.db"));
    let (records, payload) = write_history(&ours, scale.size(RECORDS))?;
    write_bare(&ours, &bare)?;
    let mut rows = recovery(scale, &ours, &bare)?;
    rows.extend(weight(&ours, &bare, records, payload)?);
    rows.extend(start(scale, &ours)?);
    rows.push(replayed(scale, &ours, &bare)?);
    Ok(rows)
}

/// Writes what a kernel records until there are so many records: their number and their bytes.
fn write_history(store: &Path, size: usize) -> anyhow::Result<(u64, u64)> {
    let mut journal = SqliteJournal::open(store)?;
    let mut stage = Stage::new();
    let (mut batch, mut payload) = (Batch::default(), 0);
    let grants = [allow("clock:*", &["read"]), allow("object:*", &["read"])];
    let mut keep = |stage: &mut Stage| -> anyhow::Result<u64> {
        for record in stage.records() {
            payload += record.len() as u64;
            batch.records.push(record.to_vec());
        }
        if batch.records.len() >= BATCH {
            journal.append(&std::mem::take(&mut batch), Sync::Durable)?;
        }
        Ok(journal.head().size + batch.records.len() as u64)
    };
    let mut records = 0;
    while records < size as u64 {
        stage.launch(&grants);
        keep(&mut stage)?;
        let mut run = stage.start().expect("it was launched");
        keep(&mut stage)?;
        let id = stage.call(&mut run, note()).id;
        keep(&mut stage)?;
        for n in 0..CALLS {
            match n % 4 {
                0 => drop(stage.call(&mut run, update(id, n))),
                1 => drop(stage.call(&mut run, clock::GetNow {})),
                _ => drop(stage.call(&mut run, object::Read { id })),
            }
            keep(&mut stage)?;
        }
        let last: Exit = request(json!({}));
        stage.submit(run.closing(), last.into());
        records = keep(&mut stage)?;
        stage.now_ms += 1;
    }
    let head = journal.append(&batch, Sync::Durable)?;
    journal.snapshots().save(&taken(&stage, head)?)?;
    Ok((records, payload))
}

/// What a runtime keeps of its state once nothing happens.
fn taken(stage: &Stage, head: Head) -> anyhow::Result<Snapshot> {
    let mut bytes = Vec::new();
    stage.kernel.save(&mut bytes)?;
    Ok(Snapshot { head, digest: stage.kernel.digest(), bytes: bytes.into() })
}

/// The same bodies in a table and nothing else.
fn write_bare(store: &Path, bare: &Path) -> anyhow::Result<()> {
    let mut database = Connection::open(bare)?;
    let table = "CREATE TABLE record(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)";
    database.execute_batch(table)?;
    let journal = SqliteJournal::open_read_only(store)?;
    let transaction = database.transaction()?;
    let mut insert = transaction.prepare("INSERT INTO record(seq, body) VALUES (?1, ?2)")?;
    each_record(&journal, |seq, body| {
        insert.execute(rusqlite::params![seq.0.cast_signed(), body])?;
        Ok(())
    })?;
    drop(insert);
    Ok(transaction.commit()?)
}

fn each_record(
    journal: &dyn Journal,
    mut visit: impl FnMut(Seq, &[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut result = Ok(());
    journal.scan(Seq(0), &mut |seq, body| {
        result = visit(seq, body);
        result.is_ok()
    })?;
    result
}

fn recovery(scale: &Scale, store: &Path, bare: &Path) -> anyhow::Result<Vec<Row>> {
    let rounds = scale.rounds(3);
    let fold = || timed(|| folded(store).map(drop));
    let (scan, ours) = by_turns(rounds, || timed(|| scanned(bare, |_| {})), fold);
    let verified = || {
        timed(|| {
            let journal = folded(store)?;
            journal.verify(None)?;
            Ok(())
        })
    };
    let hash = |body: &[u8]| {
        black_box(Sha256::digest(body));
    };
    let (hashed, checked) = by_turns(rounds, || timed(|| scanned(bare, hash)), verified);
    let target = Target::at_most(3e9);
    let (file, state) = snapshot_of(store)?;
    let read = || {
        timed(|| {
            black_box(blake3_of(&file)?);
            Ok(())
        })
    };
    let taken_over = || timed(|| from_snapshot(store).map(drop));
    let (bytes, loaded) = by_turns(scale.rounds(15), read, taken_over);
    let copy = || {
        timed(|| {
            black_box(state.bytes.to_vec());
            Ok(())
        })
    };
    let stage = from_snapshot(store)?;
    let save = || timed(|| taken(&stage, state.head).map(drop));
    let (copied, saved) = by_turns(scale.rounds(15), copy, save);
    Ok(vec![
        Row::new(
            "recovery.snapshot",
            "the same state from a snapshot after the last record",
            Unit::Nanoseconds,
            loaded,
        )
        .floor("reading and hashing its file", bytes)
        .target(Target::at_most(3e8)),
        Row::new(
            "recovery.take",
            "taking that snapshot, while the core waits",
            Unit::Nanoseconds,
            saved,
        )
        .floor("a copy of its bytes", copied),
        Row::new("recovery.fold", "state from a journal of 1M records", Unit::Nanoseconds, ours)
            .floor("scan of a bare table", scan)
            .target(target),
        Row::new(
            "recovery.verified",
            "the same, every record, root and blob verified",
            Unit::Nanoseconds,
            checked,
        )
        .floor("scan, SHA-256 of each", hashed)
        .target(target),
    ])
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> f64 {
    let start = Instant::now();
    work().unwrap_or_else(|error| panic!("a store of the bench is whole: {error:#}"));
    nanos(start.elapsed())
}

fn folded(store: &Path) -> anyhow::Result<SqliteJournal> {
    let journal = SqliteJournal::open_read_only(store)?;
    let mut stage = Stage::new();
    each_record(&journal, |_, body| {
        stage.kernel.replay(wire::decode_record(body)?);
        Ok(())
    })?;
    Ok(journal)
}

/// The newest snapshot of a store, and its file.
fn snapshot_of(store: &Path) -> anyhow::Result<(PathBuf, Snapshot)> {
    let journal = SqliteJournal::open_read_only(store)?;
    let snapshot = journal.snapshots().latest(u64::MAX).context("one was taken")?;
    let entry = fs::read_dir(store.join("snapshots"))?.next().context("it has a file")?;
    Ok((entry?.path(), snapshot))
}

fn blake3_of(file: &Path) -> anyhow::Result<libos_abi::Digest> {
    Ok(libos_abi::Digest::of(&fs::read(file)?))
}

/// A kernel as a start finds it: from the newest snapshot, and no record behind it.
fn from_snapshot(store: &Path) -> anyhow::Result<Stage> {
    let journal = SqliteJournal::open_read_only(store)?;
    let snapshot = journal.snapshots().latest(journal.head().size).context("one was taken")?;
    let mut stage = Stage::new();
    stage.kernel.load(&snapshot.bytes, snapshot.digest)?;
    Ok(stage)
}

fn scanned(bare: &Path, visit: impl Fn(&[u8])) -> anyhow::Result<()> {
    let database = Connection::open(bare)?;
    let mut select = database.prepare("SELECT body FROM record ORDER BY seq")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        visit(row.get_ref(0)?.as_blob()?);
    }
    Ok(())
}

fn weight(store: &Path, bare: &Path, records: u64, payload: u64) -> anyhow::Result<[Row; 2]> {
    let over = |path: PathBuf| -> anyhow::Result<Figure> {
        let bytes = fs::metadata(path)?.len();
        Ok(Figure::exact((bytes as f64 - payload as f64) / records as f64))
    };
    let ours = over(store.join("journal.db"))?;
    let mean = Figure::exact(payload as f64 / records as f64);
    Ok([
        Row::new("journal.bytes", "bytes of a record over its payload", Unit::Bytes, ours)
            .floor("row of a bare table", over(bare.to_owned())?)
            .target(Target::at_most(80.0)),
        Row::new("journal.payload", "bytes of a record's payload, in the mean", Unit::Bytes, mean),
    ])
}

/// The binary of the command line beside a program that does nothing.
fn start(scale: &Scale, store: &Path) -> anyhow::Result<[Row; 2]> {
    let libos = binary()?;
    let rounds = scale.rounds(15);
    let bare = || timed(|| ran(&mut Command::new("true")));
    let help = || timed(|| ran(Command::new(&libos).arg("--help")));
    let ps = || timed(|| ran(Command::new(&libos).arg("--store").arg(store).arg("ps")));
    let (floor, help) = by_turns(rounds, bare, help);
    let (floor_again, ps) = by_turns(scale.rounds(3), bare, ps);
    let row = |name, what, ours, floor| {
        Row::new(name, what, Unit::Nanoseconds, ours).floor("program that does nothing", floor)
    };
    Ok([
        row("start.help", "`libos --help`", help, floor).target(Target::at_most(20e6)),
        row("start.ps", "`libos ps` over 1M records", ps, floor_again)
            .target(Target::at_most(300e6)),
    ])
}

/// The command that folds the journal again and holds it against what a start comes to.
fn replayed(scale: &Scale, store: &Path, bare: &Path) -> anyhow::Result<Row> {
    let libos = binary()?;
    let records = SqliteJournal::open_read_only(store)?.head().size as f64;
    let scan = || records / timed(|| scanned(bare, |_| {})) * 1e9;
    let replay = || replay_rate(&libos, store).unwrap_or_else(|error| panic!("{error:#}"));
    let (floor, ours) = by_turns(scale.rounds(3), scan, replay);
    let what = "records of 1M folded in a second by `libos replay --verify`";
    Ok(Row::new("replay.verify", what, Unit::PerSecond, ours).floor("scan of a bare table", floor))
}

/// The rate that the command prints; it must find the state that a start comes to, and no other.
fn replay_rate(libos: &Path, store: &Path) -> anyhow::Result<f64> {
    let mut command = Command::new(libos);
    command.arg("--json").arg("--store").arg(store).args(["replay", "--verify"]);
    let ran = command.output()?;
    let told: serde_json::Value = serde_json::from_slice(&ran.stdout)?;
    let is_same = |check: &serde_json::Value| check["of"] == "start" && check["verdict"] == "same";
    let found = told["checks"].as_array().is_some_and(|checks| checks.iter().any(is_same));
    ensure!(ran.status.success() && found, "{told}");
    told["records_per_second"].as_f64().context("it tells its rate")
}

fn ran(command: &mut Command) -> anyhow::Result<()> {
    let status = command.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{command:?} ended with {status}");
    Ok(())
}

/// The command line's binary: built into the same folder as this program.
fn binary() -> anyhow::Result<PathBuf> {
    let this = env::current_exe()?;
    let folders = this.ancestors().skip(1).take(2);
    let found = folders.map(|folder| folder.join("libos")).find(|path| path.is_file());
    found.context("`libos` is not built; build it with `cargo build --release -p libos-cli`")
}
