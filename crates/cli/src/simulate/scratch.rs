//! A copy of a task's folder with a store of its own, removed when it is dropped.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
};

use agent_libos::journal::SqliteJournal;

use crate::exit::{Exit, Failure};

/// How much is copied for each run: more would fill a disk at hundreds of them.
const BYTES_MAX: u64 = 256 << 20;

/// Folders that builds and runs leave and that no plan needs.
const LEFT: [&str; 3] = [".libos", ".git", "target"];

static LAST: AtomicU32 = AtomicU32::new(0);

pub(super) struct Scratch {
    root: PathBuf,
    name: PathBuf,
}

/// The folder that a file lies in.
pub(super) fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new("/"))
}

impl Scratch {
    pub(super) fn of(task: &Path) -> Result<Self, Failure> {
        let number = LAST.fetch_add(1, Ordering::Relaxed);
        let name = format!("libos-crash-{}-{number}", std::process::id());
        let root = std::env::temp_dir().join(name);
        fs::create_dir(&root)?;
        let name = task.file_name().map(PathBuf::from).unwrap_or_default();
        // From here on it is removed, whatever happens.
        let scratch = Self { root, name };
        let mut left = BYTES_MAX;
        copy(folder_of(task), &scratch.folder(), &mut left)?;
        Ok(scratch)
    }

    pub(super) fn folder(&self) -> PathBuf {
        self.root.join("task")
    }

    pub(super) fn task(&self) -> PathBuf {
        self.folder().join(&self.name)
    }

    pub(super) fn store(&self) -> PathBuf {
        self.root.join("store")
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    pub(super) fn journal(&self) -> Result<SqliteJournal, Failure> {
        Ok(SqliteJournal::open_read_only(&self.store())?)
    }

    /// Whether the store has any record: the first is of the task or of its image.
    pub(super) fn is_begun(&self) -> Result<bool, Failure> {
        if !self.store().join("journal.db").exists() {
            return Ok(false);
        }
        let mut is_launched = false;
        agent_libos::audit::scan(&self.journal()?, agent_libos::abi::Seq(0), |_, record| {
            is_launched |= record.events.iter().any(|event| {
                use agent_libos::abi::{Event, event::ProcessEvent};
                matches!(event, Event::Process(ProcessEvent::Spawned { .. }))
            });
            !is_launched
        })?;
        Ok(is_launched)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.root) {
            tell!("libos: {} stays behind: {error}", self.root.display());
        }
    }
}

/// Copies files and folders; what is neither, no plan can use.
fn copy(from: &Path, to: &Path, left: &mut u64) -> Result<(), Failure> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let kind = entry.file_type()?;
        if kind.is_dir() && !LEFT.iter().any(|skipped| name == *skipped) {
            copy(&entry.path(), &to.join(&name), left)?;
        } else if kind.is_file() {
            let bytes = fs::copy(entry.path(), to.join(&name))?;
            *left = left.checked_sub(bytes).ok_or_else(too_large)?;
        }
    }
    Ok(())
}

fn too_large() -> Failure {
    let message = format!("the folder of the task has more than {} MiB", BYTES_MAX >> 20);
    Failure::new(Exit::Usage, "usage", message)
}

/// Every file below a folder, with its content.
pub(super) fn files(folder: &Path) -> io::Result<Vec<(String, Vec<u8>)>> {
    let (mut all, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at)? {
            let entry = entry?;
            let path = entry.path();
            match entry.file_type()?.is_dir() {
                true => open.push(path),
                false => {
                    let name = path.strip_prefix(folder).unwrap_or(&path);
                    all.push((name.to_string_lossy().into_owned(), fs::read(&path)?));
                }
            }
        }
    }
    Ok(all)
}
