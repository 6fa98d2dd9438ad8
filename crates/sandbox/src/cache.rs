//! Compiled artifacts on disk, by the digest of what they were made from.
//!
//! Owns one folder. A file is taken back only if it is whole: it holds its key and the digest of
//! its content, and what differs is removed and made anew. Its content is run as native code, so
//! the folder must be the user's own and closed to everybody else; against the user it is no
//! defence. The cache never fails a caller: what it cannot keep is compiled again.
//!
//! A file is a magic number of 8 bytes, the key, the content's digest (32 bytes each), the content.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

use libos_abi::Digest;

use crate::SetupError;

const MAGIC: &[u8; 8] = b"LIBOSWA1";
const HEADER_BYTES: usize = 8 + 32 + 32;
const EXTENSION: &str = "cwasm";

/// A folder of compiled artifacts.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    bytes_max: u64,
}

impl Cache {
    /// Opens a folder, which is made if it is not there.
    pub(crate) fn open(folder: &Path, bytes_max: u64) -> Result<Self, SetupError> {
        let fails = |source| SetupError::Cache { folder: folder.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(fails)?;
        let folder = folder.canonicalize().map_err(fails)?;
        let found = fs::metadata(&folder).map_err(fails)?;
        let is_own = found.uid() == rustix::process::geteuid().as_raw();
        if !is_own || found.mode() & 0o022 != 0 {
            return Err(SetupError::CacheNotPrivate(folder));
        }
        Ok(Self { folder, bytes_max })
    }

    fn path(&self, key: Digest) -> PathBuf {
        self.folder.join(format!("{key}.{EXTENSION}"))
    }

    /// The content kept under a key, if it is there and whole.
    pub(crate) fn load(&self, key: Digest) -> Option<Vec<u8>> {
        let path = self.path(key);
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|mut file| file.read_to_end(&mut bytes));
        match read {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a compiled tool cannot be read");
                return None;
            }
        }
        match checked(&bytes, key) {
            true => {
                bytes.drain(..HEADER_BYTES);
                Some(bytes)
            }
            false => {
                let path = path.display();
                tracing::warn!(%path, "a compiled tool was changed; it is made anew");
                self.forget(key);
                None
            }
        }
    }

    /// Keeps a content under a key.
    pub(crate) fn keep(&self, key: Digest, content: &[u8]) {
        let kept = self.write(key, content).and_then(|()| self.make_room(&self.path(key)));
        if let Err(error) = kept {
            tracing::warn!(folder = %self.folder.display(), %error, "a compiled tool is not kept");
        }
    }

    /// Removes what is kept under a key.
    pub(crate) fn forget(&self, key: Digest) {
        if let Err(error) = fs::remove_file(self.path(key))
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.folder.display(), %error, "a file cannot be removed");
        }
    }

    /// Overwrites a part of the file kept under a key, for fuzzing.
    pub(crate) fn damage(&self, key: Digest, at: usize, bytes: &[u8]) {
        let path = self.path(key);
        let damaged = fs::read(&path).and_then(|mut file| {
            let end = (at + bytes.len()).min(file.len());
            file.splice(at.min(end)..end, bytes.iter().copied());
            fs::write(&path, file)
        });
        if let Err(error) = damaged {
            tracing::warn!(path = %path.display(), %error, "a file cannot be damaged");
        }
    }

    fn write(&self, key: Digest, content: &[u8]) -> io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        file.write_all(&header(key, content))?;
        file.write_all(content)?;
        file.persist(self.path(key))?;
        Ok(())
    }

    /// Removes the oldest files until the rest fits; never the one just written.
    fn make_room(&self, written: &Path) -> io::Result<()> {
        let mut files: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == EXTENSION) {
                let found = entry.metadata()?;
                files.push((found.modified()?, found.len(), path));
            }
        }
        files.sort();
        let mut bytes: u64 = files.iter().map(|file| file.1).sum();
        for (_, length, path) in files.into_iter().filter(|file| file.2 != written) {
            if bytes <= self.bytes_max {
                break;
            }
            fs::remove_file(path)?;
            bytes -= length;
        }
        Ok(())
    }
}

fn header(key: Digest, content: &[u8]) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&key.0);
    header.extend_from_slice(&Digest::of(content).0);
    header
}

/// Whether a file's bytes are what was written under a key.
pub(crate) fn checked(bytes: &[u8], key: Digest) -> bool {
    match bytes.split_at_checked(HEADER_BYTES) {
        Some((found, content)) => found == header(key, content),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn cache(bytes_max: u64) -> (tempfile::TempDir, Cache) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cache = Cache::open(&folder.path().join("cache"), bytes_max).expect("a cache");
        (folder, cache)
    }

    #[test]
    fn what_was_kept_comes_back() {
        let (_folder, cache) = cache(1 << 20);
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        assert_eq!(cache.load(one), None);
        cache.keep(one, b"code");
        assert_eq!((cache.load(one), cache.load(two)), (Some(b"code".to_vec()), None));
        cache.keep(one, b"other");
        assert_eq!(cache.load(one), Some(b"other".to_vec()));
    }

    #[test]
    fn a_file_that_differs_in_any_byte_is_refused_and_removed() {
        let (_folder, cache) = cache(1 << 20);
        let key = Digest::of(b"key");
        cache.keep(key, b"code");
        let whole = fs::read(cache.path(key)).expect("a file");
        let shorter = (0..whole.len()).map(|length| whole[..length].to_vec());
        let flipped = (0..whole.len()).map(|at| {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            bytes
        });
        let longer = [whole.iter().copied().chain([0]).collect()];
        for bytes in shorter.chain(flipped).chain(longer) {
            fs::write(cache.path(key), &bytes).expect("written");
            assert_eq!(cache.load(key), None, "{bytes:?}");
            assert!(!cache.path(key).exists());
        }
    }

    #[test]
    fn a_file_under_another_name_is_refused() {
        let (_folder, cache) = cache(1 << 20);
        let (one, two) = (Digest::of(b"one"), Digest::of(b"two"));
        cache.keep(one, b"code");
        fs::rename(cache.path(one), cache.path(two)).expect("renamed");
        assert_eq!(cache.load(two), None);
    }

    #[test]
    fn the_oldest_files_make_room_for_new_ones() {
        let (_folder, cache) = cache(340);
        let keys: Vec<Digest> = (0..4_u8).map(|number| Digest::of(&[number])).collect();
        for (age, key) in keys.iter().enumerate() {
            cache.keep(*key, &[0; 40]);
            let file = File::options().append(true).open(cache.path(*key)).expect("a file");
            let second = std::time::Duration::from_secs(age as u64);
            file.set_modified(SystemTime::UNIX_EPOCH + second).expect("dated");
        }
        let kept: Vec<bool> = keys.iter().map(|key| cache.load(*key).is_some()).collect();
        assert_eq!(kept, [false, true, true, true]);
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused() {
        let (_folder, cache) = cache(1);
        fs::set_permissions(&cache.folder, fs::Permissions::from_mode(0o770)).expect("changed");
        let opened = Cache::open(&cache.folder, 1);
        assert!(matches!(opened, Err(SetupError::CacheNotPrivate(_))), "{opened:?}");
    }
}
