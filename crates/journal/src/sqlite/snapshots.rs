//! Snapshot files: `snapshots/SIZE-DIGEST.snap`, each whole under its name or not there.
//!
//! A header of 152 bytes (magic `LSNP`, version, size and root of the head, digest of the state,
//! length and checksum of the bytes, checksum of the header; numbers in little endian) and the
//! bytes. A file is written under another name, synced and renamed.

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use libos_abi::Digest;
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};

use super::{layout::Files, rows::row_id};
use crate::{Head, JournalError, Snapshot, SnapshotInfo, Snapshots, TreeHash};

const MAGIC: &[u8; 8] = b"LSNP\x01\0\0\0";
const HEADER_BYTES: usize = 8 + 8 + 32 + 32 + 8 + 32 + 32;
/// Where one is written before it has its name.
const DRAFT: &str = "draft.new";
/// Where the checksum of the header begins.
const SUM_AT: usize = HEADER_BYTES - 32;

/// The snapshots of one store.
#[derive(Debug)]
pub(super) struct SqliteSnapshots {
    dir: PathBuf,
    folder: PathBuf,
    /// Its own view of the store, to tell which heads are of this history. Held while one saves.
    database: Mutex<Connection>,
    database_path: PathBuf,
    kept_max: usize,
    read_only: bool,
}

impl SqliteSnapshots {
    pub(super) fn new(
        files: &Files,
        kept_max: usize,
        read_only: bool,
    ) -> Result<Self, JournalError> {
        Ok(Self {
            dir: files.dir.clone(),
            folder: files.dir.join("snapshots"),
            database: Mutex::new(files.connect_read_only()?),
            database_path: files.database.clone(),
            kept_max,
            read_only,
        })
    }

    /// Whether the journal was made durable at this very head.
    fn is_durable(&self, database: &Connection, head: &Head) -> Result<bool, JournalError> {
        let error = |error| JournalError::sqlite("read the roots", &self.database_path, error);
        let mut query =
            database.prepare_cached("SELECT root FROM batch WHERE size = ?1").map_err(error)?;
        let root = query.query_row([row_id(head.size)], |row| row.get::<_, Vec<u8>>(0));
        Ok(root.optional().map_err(error)?.is_some_and(|root| root == head.root.0))
    }

    /// Every file that has the name of a snapshot, the newest first.
    fn files(&self) -> io::Result<Vec<(u64, PathBuf)>> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            files.extend(named_size(&path).map(|size| (size, path)));
        }
        files.sort();
        files.reverse();
        Ok(files)
    }

    fn write(&self, snapshot: &Snapshot) -> io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let draft = self.folder.join(DRAFT);
        let mut file = File::create(&draft)?;
        file.write_all(&header(snapshot))?;
        file.write_all(&snapshot.bytes)?;
        file.sync_all()?;
        let name = format!("{:020}-{}.snap", snapshot.head.size, snapshot.digest);
        fs::rename(&draft, self.folder.join(&name))?;
        for folder in [&self.folder, &self.dir] {
            File::open(folder)?.sync_all()?;
        }
        self.prune(snapshot.head.size, &name)
    }

    /// Removes others of the same position, and the oldest of too many.
    fn prune(&self, size: u64, name: &str) -> io::Result<()> {
        let mut kept = 0;
        for (of, path) in self.files()? {
            let is_replaced = of == size && !path.ends_with(name);
            kept += usize::from(!is_replaced);
            if is_replaced || kept > self.kept_max {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    /// What the file says of itself, and the file behind its header; `None` if it is not whole or
    /// not of this history.
    fn open(&self, size: u64, path: &Path) -> io::Result<Option<(Header, File)>> {
        let mut file = File::open(path)?;
        let mut bytes = [0; HEADER_BYTES];
        match file.read_exact(&mut bytes) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let length = file.metadata()?.len() - HEADER_BYTES as u64;
        let header = Header::read(&bytes)
            .filter(|header| header.info.head.size == size && header.info.bytes == length);
        let Some(header) = header else {
            return Ok(None);
        };
        let is_ours = self.is_durable(&self.database.lock(), &header.info.head);
        Ok(is_ours.map_err(io::Error::other)?.then_some((header, file)))
    }

    fn load(&self, size: u64, path: &Path) -> io::Result<Option<Snapshot>> {
        let Some((header, mut file)) = self.open(size, path)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if Digest::of(&bytes) != header.sum {
            return Ok(None);
        }
        let SnapshotInfo { head, digest, .. } = header.info;
        Ok(Some(Snapshot { head, digest, bytes: Arc::from(bytes) }))
    }

    /// What `look` finds in the files after at most `until` records, the newest first. Looks no
    /// further than it is asked.
    fn good<'a, T>(
        &'a self,
        until: u64,
        look: impl Fn(u64, &Path) -> io::Result<Option<T>> + 'a,
    ) -> impl Iterator<Item = T> + 'a {
        let files = self.files().unwrap_or_else(|error| {
            tracing::warn!(folder = %self.folder.display(), %error, "snapshots cannot be listed");
            Vec::new()
        });
        files.into_iter().filter(move |(size, _)| *size <= until).filter_map(move |(size, path)| {
            let found = look(size, &path);
            let path = path.display();
            match &found {
                Ok(Some(_)) => {}
                Ok(None) => tracing::warn!(%path, "a snapshot is damaged or of another history"),
                Err(error) => tracing::warn!(%path, %error, "a snapshot cannot be read"),
            }
            found.ok().flatten()
        })
    }
}

impl Snapshots for SqliteSnapshots {
    fn save(&self, snapshot: &Snapshot) -> Result<(), JournalError> {
        if self.read_only {
            return Err(JournalError::ReadOnly { path: self.dir.clone() });
        }
        let database = self.database.lock();
        if !self.is_durable(&database, &snapshot.head)? {
            return Err(JournalError::NotDurable { head: snapshot.head });
        }
        self.write(snapshot).map_err(|error| {
            // On a disk that is full it would only take room. The next one writes over it.
            drop(fs::remove_file(self.folder.join(DRAFT)));
            JournalError::io("keep a snapshot", &self.folder, error)
        })
    }

    fn latest(&self, until: u64) -> Option<Snapshot> {
        self.good(until, |size, path| self.load(size, path)).next()
    }

    fn list(&self) -> Vec<SnapshotInfo> {
        let look = |size, path: &Path| Ok(self.open(size, path)?.map(|(header, _)| header.info));
        self.good(u64::MAX, look).collect()
    }
}

/// What stands before the bytes.
struct Header {
    info: SnapshotInfo,
    /// The digest of the bytes.
    sum: Digest,
}

impl Header {
    /// The header in these bytes, if its checksum is right.
    fn read(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let number = |at| u64::from_le_bytes(field(bytes, at));
        if bytes[..8] != MAGIC[..] || Digest(field(bytes, SUM_AT)) != Digest::of(&bytes[..SUM_AT]) {
            return None;
        }
        let head = Head { size: number(8), root: TreeHash(field(bytes, 16)) };
        let info = SnapshotInfo { head, digest: Digest(field(bytes, 48)), bytes: number(80) };
        Some(Self { info, sum: Digest(field(bytes, 88)) })
    }
}

fn header(snapshot: &Snapshot) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..16].copy_from_slice(&snapshot.head.size.to_le_bytes());
    bytes[16..48].copy_from_slice(&snapshot.head.root.0);
    bytes[48..80].copy_from_slice(&snapshot.digest.0);
    bytes[80..88].copy_from_slice(&(snapshot.bytes.len() as u64).to_le_bytes());
    bytes[88..SUM_AT].copy_from_slice(&Digest::of(&snapshot.bytes).0);
    let sum = Digest::of(&bytes[..SUM_AT]);
    bytes[SUM_AT..].copy_from_slice(&sum.0);
    bytes
}

/// `N` bytes from `at` on, which the header has.
fn field<const N: usize>(bytes: &[u8; HEADER_BYTES], at: usize) -> [u8; N] {
    std::array::from_fn(|n| bytes[at + n])
}

/// The size in a snapshot's name.
fn named_size(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_suffix(".snap")?;
    let (size, _) = name.split_once('-')?;
    size.parse().ok()
}
