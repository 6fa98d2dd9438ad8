//! The layout of a store on disk: its files, its tables, and what must hold when it is opened.
//!
//! Every table can be read with plain SQL. Nothing here writes to a store that exists already: a
//! store that is not whole is refused, never repaired.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    os::unix::{ffi::OsStrExt, fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use super::{
    faults::Faults,
    rows::immediate,
    segments::{self, End},
};
use crate::{
    Corruption, Head, JournalError, TreeHash,
    check::{position, same},
    merkle::Tree,
};

/// Version of the layout. A store of a newer one is refused, one of an older one is read as it is
/// and brought to this one when it is opened for writing.
pub const FORMAT: i64 = 2;

/// The oldest version that is still read.
const FORMAT_OLDEST: i64 = 1;

/// `leaf` stands before `body`, so that reading the leaves never follows the body's overflow pages.
/// A row of `batch` is what one commit made durable: the tree's size and root after it. `frontier`
/// is a cache of the tree at one of those sizes.
const SCHEMA_1: &str = r#"
CREATE TABLE meta(key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE record(seq INTEGER PRIMARY KEY, leaf BLOB NOT NULL, body BLOB NOT NULL);
CREATE TABLE batch(size INTEGER PRIMARY KEY, root BLOB NOT NULL);
CREATE TABLE frontier(size INTEGER PRIMARY KEY, peaks BLOB NOT NULL);
CREATE TABLE blob(
    digest BLOB PRIMARY KEY,
    segment INTEGER NOT NULL, "offset" INTEGER NOT NULL, length INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO meta VALUES ('format', 1), ('segment', 1), ('segment_end', 0);
"#;

/// What format 2 adds: `dropped` is which payloads each act of compaction removed, `removed` which
/// segments no payload is left in.
const SCHEMA_2: &str = r#"
CREATE TABLE dropped(
    act INTEGER NOT NULL, digest BLOB NOT NULL, length INTEGER NOT NULL,
    PRIMARY KEY(digest, act)
) WITHOUT ROWID;
CREATE TABLE removed(segment INTEGER PRIMARY KEY);
UPDATE meta SET value = 2 WHERE key = 'format';
"#;

/// A commit that takes the journal past a multiple of this many records keeps the frontier, so that
/// opening hashes at most about as many leaves.
pub(super) const FRONTIER_RECORDS: u64 = 8192;

/// How long a reader or writer waits for the other's short locks.
const BUSY: Duration = Duration::from_secs(5);

/// A segment file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    pub(super) number: u32,
    pub(super) bytes: u64,
}

/// The files of a store.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) dir: PathBuf,
    pub(super) database: PathBuf,
    pub(super) segments: PathBuf,
}

impl Files {
    pub(super) fn of(dir: &Path) -> Self {
        Self { dir: dir.into(), database: dir.join("journal.db"), segments: dir.join("segments") }
    }

    /// Makes the folders. Only their owner may enter: a journal holds what agents read and wrote.
    pub(super) fn create_folders(&self) -> Result<(), JournalError> {
        let mut folders = fs::DirBuilder::new();
        folders
            .recursive(true)
            .mode(0o700)
            .create(&self.segments)
            .map_err(|error| JournalError::io("create the store", &self.dir, error))
    }

    /// Makes the database if there is none. It appears under its name complete and synced, so one
    /// that lacks something was damaged; and so was a store whose other files stand without it.
    pub(super) fn create_database(&self, faults: &Faults) -> Result<(), JournalError> {
        let error = |error| JournalError::io("create the store", &self.dir, error);
        if fs::exists(&self.database).map_err(error)? {
            return Ok(());
        }
        let log = self.dir.join("journal.db-wal");
        let left = fs::exists(&log).map_err(error)?
            || fs::read_dir(&self.segments).map_err(error)?.next().is_some();
        if left {
            let what = "it is gone, but its other files are here".into();
            return Err(JournalError::Damaged { path: self.database.clone(), what });
        }
        let draft = self.dir.join("journal.db.new");
        if fs::exists(&draft).map_err(error)? {
            fs::remove_file(&draft).map_err(error)?;
        }
        let sql = |error| JournalError::sqlite("create the store", &draft, error);
        let database = Connection::open(&draft).map_err(sql)?;
        database.execute_batch(SCHEMA_1).map_err(sql)?;
        database.execute_batch(SCHEMA_2).map_err(sql)?;
        database.pragma_update(None, "journal_mode", "wal").map_err(sql)?;
        database.close().map_err(|(_, error)| sql(error))?;
        File::open(&draft).and_then(|file| file.sync_all()).map_err(error)?;
        fs::rename(&draft, &self.database).map_err(error)?;
        faults.pass("open.named");
        for folder in [Some(self.dir.as_path()), self.dir.parent()].into_iter().flatten() {
            let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
            File::open(folder).and_then(|folder| folder.sync_all()).map_err(error)?;
        }
        Ok(())
    }

    /// A connection for the one writer.
    pub(super) fn connect(&self) -> Result<Connection, JournalError> {
        let sql = |error| JournalError::sqlite("open the store", &self.database, error);
        let mut database = self.open(OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        database.pragma_update(None, "journal_mode", "wal").map_err(sql)?;
        database.pragma_update(None, "synchronous", "full").map_err(sql)?;
        if self.format(&database)? == 1 {
            let migration = immediate(&mut database).map_err(sql)?;
            migration.execute_batch(SCHEMA_2).map_err(sql)?;
            migration.commit().map_err(sql)?;
        }
        Ok(database)
    }

    /// A connection that cannot write.
    pub(super) fn connect_read_only(&self) -> Result<Connection, JournalError> {
        match self.open(OpenFlags::SQLITE_OPEN_READ_ONLY) {
            Err(JournalError::Storage { .. }) if self.is_sealed() => self.open_sealed(),
            other => other,
        }
    }

    fn open(&self, flags: OpenFlags) -> Result<Connection, JournalError> {
        let sql = |error| JournalError::sqlite("open the store", &self.database, error);
        let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = Connection::open_with_flags(&self.database, flags).map_err(sql)?;
        database.busy_timeout(BUSY).map_err(sql)?;
        self.format(&database)?;
        Ok(database)
    }

    /// Whether nobody can write here, and no writer was here when that began: a writer's memory
    /// file would serve readers on a read-only file system, too.
    fn is_sealed(&self) -> bool {
        let unwritable = fs::OpenOptions::new().write(true).open(&self.database).is_err();
        unwritable && !self.dir.join("journal.db-shm").exists()
    }

    /// Opens a store on a read-only file system. SQLite would make a memory file beside it, which
    /// it cannot; without one it needs neither locks nor that file, for nobody writes.
    fn open_sealed(&self) -> Result<Connection, JournalError> {
        let sql = |error| JournalError::sqlite("open the store", &self.database, error);
        let log = self.dir.join("journal.db-wal");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let database = if log.metadata().is_ok_and(|log| log.len() > 0) {
            let database = Connection::open_with_flags_and_vfs(&self.database, flags, "unix-none")
                .map_err(sql)?;
            database.pragma_update(None, "locking_mode", "exclusive").map_err(sql)?;
            database
        } else {
            let uri = format!("file:{}?immutable=1", escaped(&self.database));
            Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI).map_err(sql)?
        };
        self.format(&database)?;
        Ok(database)
    }

    /// The version of the layout, if it is one that this program reads.
    pub(super) fn format(&self, database: &Connection) -> Result<i64, JournalError> {
        let sql = |error| JournalError::sqlite("open the store", &self.database, error);
        let format = "SELECT CAST(value AS TEXT) FROM meta WHERE key = 'format'";
        let found: Option<String> = match has_table(database, "meta").map_err(sql)? {
            true => {
                database.query_row(format, [], |row| row.get(0)).optional().map_err(sql)?.flatten()
            }
            false => None,
        };
        let found = found.unwrap_or_else(|| "none".into());
        let known = (FORMAT_OLDEST..=FORMAT).find(|known| known.to_string() == found);
        let supported = (FORMAT_OLDEST, FORMAT);
        known.ok_or_else(|| JournalError::Format { path: self.dir.clone(), found, supported })
    }

    /// The tree over the records, continued from `known`, after checks that there is one record for
    /// each position and that their leaves give the stored head. To be called within one
    /// transaction.
    pub(super) fn load(&self, database: &Connection, known: &Tree) -> Result<Tree, JournalError> {
        let sql = |error| JournalError::sqlite("read the records", &self.database, error);
        let stored = self.stored_head(database)?;
        self.count(database, &stored)?;
        let frontier = self.frontier(database)?.filter(|tree| tree.size() > known.size());
        let mut tree = frontier.unwrap_or_else(|| known.clone());
        let leaves = "SELECT seq, leaf FROM record WHERE seq >= ?1 ORDER BY seq";
        let mut statement = database.prepare(leaves).map_err(sql)?;
        let from = i64::try_from(tree.size()).unwrap_or(i64::MAX);
        let mut rows = statement.query([from]).map_err(sql)?;
        loop {
            let at = tree.size();
            let error = |error| JournalError::row(at, &self.database, error);
            let Some(row) = rows.next().map_err(error)? else {
                break;
            };
            position(row.get(0).map_err(error)?, at)?;
            let leaf = row.get_ref(1).map_err(error)?.as_blob().ok();
            let leaf = leaf.and_then(TreeHash::from_slice);
            let unreadable = || JournalError::corrupt(at, Corruption::Unreadable);
            tree.push(leaf.ok_or_else(unreadable)?);
        }
        same(&stored, &tree.head())?;
        Ok(tree)
    }

    /// Checks that the positions of the records are those below the size of `stored`. Positions are
    /// unique, so their number, the first and the last say it.
    fn count(&self, database: &Connection, stored: &Head) -> Result<(), JournalError> {
        let sql = |error| JournalError::sqlite("count the records", &self.database, error);
        let number =
            |query| database.query_row(query, [], |row| row.get::<_, Option<i64>>(0)).map_err(sql);
        let count = number("SELECT count(*) FROM record")?.unwrap_or(0);
        let first = number("SELECT min(seq) FROM record")?.unwrap_or(0);
        let next = number("SELECT max(seq) FROM record")?.map_or(0, |last| last.saturating_add(1));
        let size = i64::try_from(stored.size).unwrap_or(i64::MAX);
        if (count, first, next) == (size, 0, size) {
            return Ok(());
        }
        let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
        if first < 0 || next > size {
            let at = if first < 0 { 0 } else { stored.size };
            return Err(JournalError::corrupt(at, Corruption::Inserted));
        }
        if count == next {
            let what = Corruption::Truncated { size: Some(stored.size) };
            return Err(JournalError::corrupt(unsigned(next), what));
        }
        let gap = "SELECT count(*) FROM (SELECT seq, row_number() OVER (ORDER BY seq) - 1 AS place \
                   FROM record) WHERE seq = place";
        let first_gap = number(gap)?.map_or(0, unsigned);
        Err(JournalError::corrupt(first_gap, Corruption::Missing))
    }

    /// The tree kept by the last commit that kept one, if it gives the root of that commit. It is
    /// a cache: without one the leaves are read from the first on.
    fn frontier(&self, database: &Connection) -> Result<Option<Tree>, JournalError> {
        let sql = |error| JournalError::sqlite("read the frontier", &self.database, error);
        let last = "SELECT size, peaks, root FROM frontier JOIN batch USING (size) \
                    ORDER BY size DESC LIMIT 1";
        let row = database
            .query_row(last, [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?))
            })
            .optional()
            .map_err(sql)?;
        let Some((size, peaks, root)) = row else {
            return Ok(None);
        };
        let peaks = peaks.chunks(32).map(TreeHash::from_slice).collect::<Option<Vec<_>>>();
        let tree = u64::try_from(size).ok().zip(peaks);
        let tree = tree.and_then(|(size, peaks)| Tree::from_peaks(size, peaks));
        Ok(tree.filter(|tree| tree.root().0[..] == root))
    }

    /// The head of the last commit.
    pub(super) fn stored_head(&self, database: &Connection) -> Result<Head, JournalError> {
        let sql = |error| JournalError::sqlite("read the head", &self.database, error);
        let last = "SELECT size, root FROM batch ORDER BY size DESC LIMIT 1";
        let row = database
            .query_row(last, [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, Vec<u8>>(1)?)))
            .optional()
            .map_err(sql)?;
        let Some((size, root)) = row else {
            return Ok(Tree::new().head());
        };
        let head = u64::try_from(size)
            .ok()
            .zip(TreeHash::from_slice(&root))
            .map(|(size, root)| Head { size, root });
        head.ok_or_else(|| self.damaged("its head is not readable"))
    }

    /// The end of the committed blobs, after a look whether their files are there.
    pub(super) fn segment_end(&self, database: &Connection) -> Result<End, JournalError> {
        let sql = |error| JournalError::sqlite("read the blob index", &self.database, error);
        let value = |key: &str| {
            let query = "SELECT value FROM meta WHERE key = ?1";
            database.query_row(query, [key], |row| row.get::<_, i64>(0)).optional().map_err(sql)
        };
        let segment = value("segment")?.and_then(|segment| u32::try_from(segment).ok());
        let offset = value("segment_end")?.and_then(|offset| u64::try_from(offset).ok());
        let end = segment.zip(offset).map(|(segment, offset)| End { segment, offset });
        let end = end.ok_or_else(|| self.damaged("the end of its segments is not readable"))?;
        segments::check(&self.segments, &end, &self.removed(database)?)?;
        Ok(end)
    }

    /// The segments that compaction has removed.
    pub(super) fn removed(&self, database: &Connection) -> Result<BTreeSet<u32>, JournalError> {
        let sql = |error| JournalError::sqlite("read the blob index", &self.database, error);
        if !has_table(database, "removed").map_err(sql)? {
            return Ok(BTreeSet::new());
        }
        let mut query = database.prepare_cached("SELECT segment FROM removed").map_err(sql)?;
        let removed = query.query_map([], |row| row.get(0)).map_err(sql)?;
        removed.collect::<Result<_, _>>().map_err(sql)
    }

    /// The segment files that are here and count.
    pub(super) fn present(&self, database: &Connection) -> Result<Vec<Segment>, JournalError> {
        let end = self.segment_end(database)?;
        let removed = self.removed(database)?;
        let numbers = (1..=end.segment).filter(|number| !removed.contains(number));
        let present = numbers.map(|number| {
            let path = segments::file_name(&self.segments, number);
            match path.metadata() {
                Ok(metadata) => Ok(Segment { number, bytes: metadata.len() }),
                // The last one is made by the first payload that goes there.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Ok(Segment { number, bytes: 0 })
                }
                Err(error) => Err(JournalError::io("look at a segment", &path, error)),
            }
        });
        present.collect()
    }

    fn damaged(&self, what: &str) -> JournalError {
        JournalError::Damaged { path: self.database.clone(), what: what.into() }
    }
}

/// Whether the store has a table: those of older formats lack some.
pub(super) fn has_table(database: &Connection, name: &str) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    database.prepare_cached(query)?.query_row([name], |row| row.get(0))
}

/// A path as it stands in a URI.
fn escaped(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte);
    let bytes = path.as_os_str().as_bytes().iter();
    bytes
        .map(|byte| match plain(*byte) {
            true => char::from(*byte).to_string(),
            false => format!("%{byte:02X}"),
        })
        .collect()
}
