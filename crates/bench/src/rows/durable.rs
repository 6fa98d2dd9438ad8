//! Calls that are on disk when they return, beside a bare log and bare SQLite with the same bytes.

use std::{fs::File, io::Write, path::Path, sync::Arc, time::Instant};

use agent_libos::Builder;
use libos_abi::{FsPath, GrantSpec, process};
use libos_port::Port;
use rusqlite::Connection;

use super::worker::{Job, Workers};
use crate::{
    measure::{Figure, Scale, nanos},
    report::{Row, Target, Unit},
    stage::{Stage, allow},
};

/// Calls of all processes together in one round.
const CALLS: usize = 4_096;

/// Calls of one process alone in one round.
const ALONE: usize = 64;

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = alone(scale)?;
    for count in [64, 1_024] {
        rows.extend(together(scale, count)?);
    }
    Ok(rows)
}

/// One process: the time of a call.
fn alone(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let calls = scale.size(ALONE);
    let bytes = record_bytes();
    let folder = tempfile::tempdir_in(&scale.folder)?;
    let (mut log, mut sqlite) = (Log::new(folder.path())?, Sqlite::new(folder.path())?);
    let mut samples: [Vec<f64>; 3] = Default::default();
    super::worker::tokio()?.block_on(async {
        let builder = Builder::new().store(folder.path().join("store"));
        let mut workers = Workers::start(builder, 1, &[grant()], job(calls)).await?;
        workers.round().await?;
        for _ in 0..scale.rounds(15) {
            for _ in 0..calls {
                samples[0].push(timed(|| log.append(1, bytes))?);
                samples[1].push(timed(|| sqlite.insert(1, bytes))?);
            }
            samples[2].extend(workers.round().await?.into_iter().flatten());
        }
        workers.stop()
    })?;
    let [log, sqlite, ours] = samples.map(Figure::of);
    Ok(vec![
        Row::new("durable.1", "durable call, one process", Unit::Nanoseconds, ours)
            .floor("SQLite insert, synchronous=FULL", sqlite)
            .target(Target::times_floor(1.3)),
        Row::new("durable.1.log", "the same beside a bare log", Unit::Nanoseconds, ours)
            .floor("append + fdatasync", log),
    ])
}

/// So many processes at once: calls in a second.
fn together(scale: &Scale, count: usize) -> anyhow::Result<Vec<Row>> {
    let processes = scale.size(count);
    let calls = scale.size(CALLS / count);
    let bytes = record_bytes();
    let folder = tempfile::tempdir_in(&scale.folder)?;
    let (mut log, mut sqlite) = (Log::new(folder.path())?, Sqlite::new(folder.path())?);
    let mut samples: [Vec<f64>; 3] = Default::default();
    super::worker::tokio()?.block_on(async {
        let builder = Builder::new().store(folder.path().join("store"));
        let mut workers = Workers::start(builder, processes, &[grant()], job(calls)).await?;
        workers.round().await?;
        let rate = |time: f64| (processes * calls) as f64 / time * 1e9;
        for _ in 0..scale.rounds(15) {
            samples[0]
                .push(rate(timed(|| (0..calls).try_for_each(|_| log.append(processes, bytes)))?));
            samples[1].push(rate(timed(|| {
                (0..calls).try_for_each(|_| sqlite.insert(processes, bytes))
            })?));
            let start = Instant::now();
            workers.round().await?;
            samples[2].push(rate(nanos(start.elapsed())));
        }
        workers.stop()
    })?;
    let [log, sqlite, ours] = samples.map(Figure::of);
    let (name, what) = (format!("durable.{count}"), format!("durable calls, {count} processes"));
    Ok(vec![
        Row::new(name.clone(), what, Unit::PerSecond, ours)
            .floor("SQLite inserts in groups as large", sqlite)
            .target(Target::share_of_floor(0.6)),
        Row::new(format!("{name}.log"), "the same beside a bare log", Unit::PerSecond, ours)
            .floor("append of the group + fdatasync", log),
    ])
}

/// What a process does in a round: it moves between two folders. Gives the nanoseconds of each.
fn job(calls: usize) -> Job {
    Job::new(move |port: Arc<dyn Port>| {
        Box::pin(async move {
            let mut samples = Vec::with_capacity(calls);
            for n in 0..calls {
                let start = Instant::now();
                let moved = port.submit(chdir(n).into()).await;
                samples.push(nanos(start.elapsed()));
                assert!(moved.is_ok(), "it may move: {moved:?}");
            }
            samples
        })
    })
}

fn chdir(n: usize) -> process::Chdir {
    process::Chdir { path: FsPath::from(["one", "../two"][n % 2]) }
}

fn grant() -> GrantSpec {
    allow("fs:workspace/*", &["read"])
}

/// The bytes of the record of such a call.
fn record_bytes() -> usize {
    let mut stage = Stage::new();
    stage.launch(&[grant()]);
    let mut run = stage.start().expect("a process was launched");
    run.step += 1;
    stage.submit(run.submitter(), chdir(0).into());
    stage.records().map(|record| record.len()).sum()
}

fn timed(work: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(nanos(start.elapsed()))
}

/// A bare log: the records of a group in one write and one sync.
struct Log {
    file: File,
    buffer: Vec<u8>,
}

impl Log {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        Ok(Self { file: File::create(folder.join("bare.log"))?, buffer: Vec::new() })
    }

    fn append(&mut self, records: usize, bytes: usize) -> anyhow::Result<()> {
        self.buffer.resize(records * bytes, b'x');
        self.file.write_all(&self.buffer)?;
        Ok(self.file.sync_data()?)
    }
}

/// A bare database: the records of a group in one transaction.
struct Sqlite(Connection);

impl Sqlite {
    fn new(folder: &Path) -> anyhow::Result<Self> {
        let database = Connection::open(folder.join("bare.db"))?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        let table = "CREATE TABLE record(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)";
        database.execute_batch(table)?;
        Ok(Self(database))
    }

    fn insert(&mut self, records: usize, bytes: usize) -> anyhow::Result<()> {
        let body = vec![b'x'; bytes];
        let transaction = self.0.transaction()?;
        let mut insert = transaction.prepare_cached("INSERT INTO record(body) VALUES (?1)")?;
        for _ in 0..records {
            insert.execute([&body])?;
        }
        drop(insert);
        Ok(transaction.commit()?)
    }
}
