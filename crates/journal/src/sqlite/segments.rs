//! Segment files: the bytes of blobs, appended one after the other.
//!
//! An entry is a header of 44 bytes (magic `LBLB`, digest, length in little endian) and the bytes.
//! The index in the database says what counts; what stands behind the last indexed entry was left
//! by a write that never committed, and is overwritten. An entry that was synced is never
//! overwritten while this process lives, committed or not: a commit that failed at the last moment
//! may still turn up after a crash, and must find its blobs.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use libos_abi::Digest;
use parking_lot::Mutex;

use super::faults::Faults;
use crate::{BlobDamage, JournalError};

const MAGIC: &[u8; 4] = b"LBLB";
/// Magic, digest, length.
pub(super) const HEADER_BYTES: u64 = 4 + 32 + 8;

/// Where the bytes of a blob stand; the header stands right before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Place {
    /// What its entry takes in the file.
    pub(super) fn entry_bytes(&self) -> u64 {
        HEADER_BYTES + self.length
    }
}

/// Where the next entry goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub(super) segment: u32,
    pub(super) offset: u64,
}

/// Appends entries.
#[derive(Debug)]
pub(super) struct SegmentWriter {
    folder: PathBuf,
    end: End,
    bytes_max: u64,
    /// The file of `end`, once something is to be written to it.
    file: Option<File>,
    /// Synced by an append that failed later: a second try finds its bytes here.
    orphans: HashMap<Digest, Place>,
}

pub(super) fn file_name(folder: &Path, segment: u32) -> PathBuf {
    folder.join(format!("{segment:06}.seg"))
}

fn header(digest: &Digest, length: u64) -> [u8; HEADER_BYTES as usize] {
    let mut header = [0; HEADER_BYTES as usize];
    header[..4].copy_from_slice(MAGIC);
    header[4..36].copy_from_slice(&digest.0);
    header[36..].copy_from_slice(&length.to_le_bytes());
    header
}

/// Checks that every segment up to `end` that was not `removed` is there, and the last one long
/// enough.
pub(super) fn check(folder: &Path, end: &End, removed: &BTreeSet<u32>) -> Result<(), JournalError> {
    for segment in (1..=end.segment).filter(|segment| !removed.contains(segment)) {
        let path = file_name(folder, segment);
        let needed = if segment == end.segment { end.offset } else { HEADER_BYTES };
        let length = match path.metadata() {
            Ok(metadata) => metadata.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(JournalError::io("look at a segment", &path, error)),
        };
        if length < needed {
            let what = format!("{length} bytes are left of at least {needed}");
            return Err(JournalError::Damaged { path, what });
        }
    }
    Ok(())
}

impl SegmentWriter {
    pub(super) fn new(folder: PathBuf, end: End, bytes_max: u64) -> Self {
        Self { folder, end, bytes_max, file: None, orphans: HashMap::new() }
    }

    pub(super) fn end(&self) -> End {
        self.end
    }

    /// Writes and syncs `blobs` and says where each one stands. They count once a commit says so.
    pub(super) fn put(
        &mut self,
        blobs: &BTreeMap<Digest, Arc<[u8]>>,
        faults: &Faults,
    ) -> Result<Vec<(Digest, Place)>, JournalError> {
        let mut places = Vec::with_capacity(blobs.len());
        let mut rest = blobs.iter().peekable();
        while let Some((digest, bytes)) = rest.peek() {
            if let Some(place) = self.orphans.get(digest) {
                places.push((**digest, *place));
                rest.next();
                continue;
            }
            if self.end.offset > 0 && self.end.offset + entry_bytes(bytes) > self.bytes_max {
                self.end = End { segment: self.end.segment + 1, offset: 0 };
                self.file = None;
            }
            // Everything that fits in this segment goes out with one sync.
            let (mut end, mut run) = (self.end, Vec::new());
            while let Some((digest, bytes)) = rest.next_if(|(digest, bytes)| {
                let fits = end.offset == 0 || end.offset + entry_bytes(bytes) <= self.bytes_max;
                fits && !self.orphans.contains_key(digest)
            }) {
                let (offset, length) = (end.offset + HEADER_BYTES, bytes.len() as u64);
                run.push((*digest, bytes, Place { segment: end.segment, offset, length }));
                end.offset = offset + length;
            }
            let path = file_name(&self.folder, self.end.segment);
            self.write(&path, &run, faults)
                .map_err(|error| JournalError::io("store the blobs", &path, error))?;
            self.end = end;
            for (digest, _, place) in run {
                self.orphans.insert(digest, place);
                places.push((digest, place));
            }
        }
        Ok(places)
    }

    /// Makes sure that nothing more is written to these segments.
    pub(super) fn leave(&mut self, segments: &BTreeSet<u32>) {
        if segments.contains(&self.end.segment) {
            self.end = End { segment: self.end.segment + 1, offset: 0 };
            self.file = None;
        }
        self.orphans.retain(|_, place| !segments.contains(&place.segment));
    }

    /// The entries at `places` are committed.
    pub(super) fn committed(&mut self, places: &[(Digest, Place)]) {
        for (digest, _) in places {
            self.orphans.remove(digest);
        }
    }

    fn write(
        &mut self,
        path: &Path,
        run: &[(Digest, &Arc<[u8]>, Place)],
        faults: &Faults,
    ) -> io::Result<()> {
        if self.file.is_none() {
            faults.step("blobs.file")?;
            self.file = Some(self.open(path)?);
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        faults.step("blobs.write")?;
        let mut out = BufWriter::with_capacity(1 << 16, file);
        out.seek(SeekFrom::Start(self.end.offset))?;
        for (digest, bytes, place) in run {
            out.write_all(&header(digest, place.length))?;
            out.write_all(bytes)?;
        }
        out.flush()?;
        drop(out);
        faults.step("blobs.sync")?;
        file.sync_data()
    }

    /// Opens the segment of `end` and cuts off what stands behind it.
    fn open(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(self.end.offset)?;
        if self.end.offset == 0 {
            file.sync_all()?;
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(file)
    }
}

fn entry_bytes(bytes: &[u8]) -> u64 {
    HEADER_BYTES + bytes.len() as u64
}

/// Reads entries, from any thread.
#[derive(Debug)]
pub(super) struct SegmentReader {
    folder: PathBuf,
    files: Mutex<HashMap<u32, Arc<File>>>,
}

impl SegmentReader {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, files: Mutex::new(HashMap::new()) }
    }

    /// The bytes at `place`, which must be those of `digest`.
    pub(super) fn get(&self, digest: &Digest, place: &Place) -> Result<Arc<[u8]>, JournalError> {
        let path = file_name(&self.folder, place.segment);
        let damaged = |what| JournalError::CorruptBlob { digest: *digest, what };
        let error = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => damaged(BlobDamage::NoSegment),
            io::ErrorKind::UnexpectedEof => damaged(BlobDamage::Truncated),
            _ => JournalError::io("read a blob", &path, error),
        };
        let file = self.file(&path, place.segment).map_err(error)?;
        // The length comes from the index: it must fit the file before memory is set aside for it.
        let end = place.offset.checked_add(place.length);
        let start = place.offset.checked_sub(HEADER_BYTES);
        let file_bytes = file.metadata().map_err(error)?.len();
        let (Some(start), Some(length)) = (start, usize::try_from(place.length).ok()) else {
            return Err(damaged(BlobDamage::Truncated));
        };
        if end.is_none_or(|end| end > file_bytes) {
            return Err(damaged(BlobDamage::Truncated));
        }
        let mut found = [0; HEADER_BYTES as usize];
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut found, start).map_err(error)?;
        file.read_exact_at(&mut bytes, place.offset).map_err(error)?;
        if found != header(digest, place.length) || Digest::of(&bytes) != *digest {
            return Err(damaged(BlobDamage::Changed));
        }
        Ok(bytes.into())
    }

    /// Closes the file of a segment that is to be removed.
    pub(super) fn forget(&self, segment: u32) {
        self.files.lock().remove(&segment);
    }

    fn file(&self, path: &Path, segment: u32) -> io::Result<Arc<File>> {
        let mut files = self.files.lock();
        if let Some(file) = files.get(&segment) {
            return Ok(Arc::clone(file));
        }
        let file = Arc::new(File::open(path)?);
        files.insert(segment, Arc::clone(&file));
        Ok(file)
    }
}
