//! Going through folders: search and glob.
//!
//! A folder is opened from the one above it and held by its descriptor, a file from its folder, so
//! nothing that is swapped meanwhile leads out of the mount. The order is that of names, so a place
//! in it can be gone on from. What the caller may read of what is found is not decided here.

use std::{fs::File, io::Read as _, ops::ControlFlow, sync::atomic::Ordering, vec::IntoIter};

use cap_std::fs::Dir;
use globset::{GlobBuilder, GlobMatcher};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use grep_searcher::{BinaryDetection, SearcherBuilder, sinks::Lossy};
use ignore::gitignore::{Gitignore, GitignoreBuilder};
use libos_abi::{
    Fault, FsPath,
    fs::{self, FOUND_BYTES_MAX, FailureKind, FileKind, Globbed, LineFound, PathFound, Searched},
};

use super::{
    kept,
    mount::{self, Unreached},
    ops::{self, Task, read_up_to},
    write,
};
use crate::{
    Stop,
    limits::{
        FIND_BYTES_MAX, FIND_DEPTH_MAX, FIND_ENTRIES_MAX, FIND_FILE_BYTES_MAX, FIND_LINE_BYTES_MAX,
        FIND_RESULTS_DEFAULT, FIND_RESULTS_MAX, IGNORE_FILE_BYTES_MAX, PATTERN_BYTES_MAX,
        REGEX_BYTES_MAX,
    },
};

/// A place to go on from is that of a file in the walk, and of a line in it, in so many bits.
const LINE_BITS: u32 = 24;

/// Refuses a search whose patterns are malformed.
pub(super) fn refuse_search(call: &fs::Search) -> Result<(), Stop> {
    regex(call)?;
    call.glob.as_deref().map_or(Ok(()), refuse_glob)
}

/// Refuses a malformed pattern of paths.
pub(super) fn refuse_glob(pattern: &str) -> Result<(), Stop> {
    globbing(pattern).map(drop)
}

fn bad(error: &impl std::fmt::Display) -> Stop {
    let why: String = error.to_string().chars().take(300).collect();
    Stop::Refused(FailureKind::BadPattern.because(why))
}

fn globbing(pattern: &str) -> Result<GlobMatcher, Stop> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(bad(&format!("a pattern has {PATTERN_BYTES_MAX} bytes at the most")));
    }
    let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    Ok(glob.map_err(|error| bad(&error))?.compile_matcher())
}

fn regex(call: &fs::Search) -> Result<RegexMatcher, Stop> {
    if call.pattern.len() > PATTERN_BYTES_MAX {
        return Err(bad(&format!("a pattern has {PATTERN_BYTES_MAX} bytes at the most")));
    }
    RegexMatcherBuilder::new()
        .case_insensitive(call.ignore_case.unwrap_or(false))
        .line_terminator(Some(b'\n'))
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build(&call.pattern)
        .map_err(|error| bad(&error))
}

/// A folder on the way.
struct Level {
    folder: Dir,
    /// The names that are left.
    names: IntoIter<String>,
    /// Its path from the mount on, with a `/` behind it; of the mount, nothing.
    path: String,
    /// How many of the `.gitignore` files are above it.
    ignores_above: usize,
}

/// Something on the way.
struct Entry {
    /// Its path below the folder that the walk began in.
    path: String,
    name: String,
    kind: FileKind,
    bytes: u64,
    /// How many were before it.
    place: u64,
}

/// A walk through a folder and all below it.
struct Walk<'t, 'a> {
    task: &'t Task<'a>,
    levels: Vec<Level>,
    /// The `.gitignore` files from the mount to where the walk is, with the length of the path of
    /// the folder that each is in.
    ignores: Vec<(usize, Gitignore)>,
    /// The length of the path of the folder that the walk began in.
    root: usize,
    place: u64,
}

impl<'t, 'a> Walk<'t, 'a> {
    fn new(task: &'t Task<'a>) -> Result<Self, Stop> {
        let unreached = |why: Unreached| match why {
            Unreached::NotAFolder => task.fail(FailureKind::NotAFolder, "is no folder"),
            why => task.unreached(&why),
        };
        let mut walk = Self { task, levels: Vec::new(), ignores: Vec::new(), root: 0, place: 0 };
        for depth in 0..task.names.len() {
            let (above, _) = task.names.split_at(depth);
            let folder = task.mount.folder(above).map_err(unreached)?;
            walk.ignore(&folder, path_of(above).len());
        }
        let folder = task.mount.folder(&task.names).map_err(unreached)?;
        let path = path_of(&task.names);
        walk.root = path.len();
        walk.enter(folder, path)?;
        Ok(walk)
    }

    fn enter(&mut self, folder: Dir, path: String) -> Result<(), Stop> {
        let stop = |errno| self.task.stop("list a folder", errno);
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(&folder).map_err(stop)? {
            let entry = entry.map_err(stop)?;
            // What is no text has no path to be named by.
            let Ok(name) = entry.file_name().to_str() else { continue };
            if !matches!(name, "." | "..") && !write::is_temporary(name.as_bytes()) {
                names.push(name.to_owned());
            }
            if names.len() > FIND_ENTRIES_MAX {
                break;
            }
        }
        names.sort_unstable();
        let ignores_above = self.ignores.len();
        self.ignore(&folder, path.len());
        self.levels.push(Level { folder, names: names.into_iter(), path, ignores_above });
        Ok(())
    }

    /// Obeys the `.gitignore` of a folder, if it has one that can be read.
    fn ignore(&mut self, folder: &Dir, path_bytes: usize) {
        let Ok(file) = self.task.open_file(folder, ".gitignore") else { return };
        let Ok(bytes) = read_up_to(&file, IGNORE_FILE_BYTES_MAX) else { return };
        let mut builder = GitignoreBuilder::new("");
        for line in String::from_utf8_lossy(&bytes).lines() {
            // A malformed line names nothing, as for git.
            drop(builder.add_line(None, line));
        }
        self.ignores.extend(builder.build().ok().map(|ignore| (path_bytes, ignore)));
    }

    /// Whether a path from the mount on is passed over.
    fn is_ignored(&self, path: &str, is_folder: bool) -> bool {
        let mut matched = self.ignores.iter().rev().map(|(above, ignore)| {
            ignore.matched(path.get(*above..).unwrap_or_default(), is_folder)
        });
        matched.find(|matched| !matched.is_none()).is_some_and(|matched| matched.is_ignore())
    }

    /// The next one, the folders before what is in them; nothing at the end.
    fn next(&mut self) -> Result<Option<Entry>, Stop> {
        while let Some(level) = self.levels.last_mut() {
            if self.task.abandoned.load(Ordering::Acquire) {
                return Err(Stop::Failed(Fault::Cancelled.into()));
            }
            let Some(name) = level.names.next() else {
                self.ignores.truncate(level.ignores_above);
                self.levels.pop();
                continue;
            };
            let path = format!("{}{name}", level.path);
            let below = path[self.root..].to_owned();
            // Gone, or nothing that can be looked at: it is no entry.
            let Ok(Some(found)) = mount::look_at(&level.folder, name.as_bytes()) else { continue };
            let fs::Metadata { kind, bytes, .. } = ops::metadata(&found);
            let is_hidden = self.task.hidden.iter().any(|hidden| hidden.as_os_str() == &*below);
            let is_folder = kind == FileKind::Dir;
            if is_hidden || kept::is_git(&name) || self.is_ignored(&path, is_folder) {
                continue;
            }
            self.place += 1;
            let place = self.place;
            if is_folder && self.levels.len() < FIND_DEPTH_MAX {
                let folder = self.levels.last().map(|level| mount::step(&level.folder, &name));
                // One that was swapped or may not be read is passed over.
                if let Some(Ok(folder)) = folder {
                    drop(self.enter(folder, path + "/"));
                }
            }
            return Ok(Some(Entry { path: below, name, kind, bytes, place }));
        }
        Ok(None)
    }

    /// Opens the file that was found last.
    fn file(&self, entry: &Entry) -> Option<File> {
        self.task.open_file(&self.levels.last()?.folder, &entry.name).ok()
    }

    /// The canonical path of an entry.
    fn canonical(&self, entry: &Entry) -> FsPath {
        FsPath::from(&*format!("{}/{}", self.task.path, entry.path))
    }
}

fn path_of(names: &[&str]) -> String {
    names.iter().map(|name| format!("{name}/")).collect()
}

/// Finds files and folders by their paths.
pub(super) fn glob(task: &Task<'_>, call: &fs::Glob) -> Result<Globbed, Stop> {
    let pattern = globbing(&call.pattern)?;
    let limit = call.limit.unwrap_or(FIND_RESULTS_DEFAULT).min(FIND_RESULTS_MAX) as usize;
    let from = call.from.unwrap_or(0);
    let mut walk = Walk::new(task)?;
    let (mut entries, mut room) = (Vec::new(), FOUND_BYTES_MAX as usize);
    while let Some(entry) = walk.next()? {
        if entry.place < from {
            continue;
        }
        let is_tired = entry.place - from >= FIND_ENTRIES_MAX as u64;
        let is_match = pattern.is_match(&entry.path);
        if is_tired || (is_match && (entries.len() >= limit || room < entry.path.len())) {
            return Ok(Globbed { entries, next: Some(entry.place) });
        }
        if is_match {
            let path = walk.canonical(&entry);
            room = room.saturating_sub(path.0.len());
            entries.push(PathFound { path, kind: entry.kind, bytes: entry.bytes });
        }
    }
    Ok(Globbed { entries, next: None })
}

/// What a search has found so far.
struct Finds {
    lines: Vec<LineFound>,
    limit: usize,
    /// Bytes of the reply that are left.
    room: usize,
}

impl Finds {
    fn add(&mut self, path: &FsPath, line: u64, text: &str) -> ControlFlow<()> {
        let text = text.trim_end_matches(['\n', '\r']);
        let text = &text[..text.floor_char_boundary(FIND_LINE_BYTES_MAX)];
        let bytes = path.0.len() + text.len();
        if self.lines.len() >= self.limit || self.room < bytes {
            return ControlFlow::Break(());
        }
        self.room -= bytes;
        self.lines.push(LineFound { path: path.clone(), line, text: text.to_owned() });
        ControlFlow::Continue(())
    }
}

/// Finds lines.
pub(super) fn search(task: &Task<'_>, call: &fs::Search) -> Result<Searched, Stop> {
    let (matcher, glob) = (regex(call)?, call.glob.as_deref().map(globbing).transpose()?);
    let limit = call.limit.unwrap_or(FIND_RESULTS_DEFAULT).min(FIND_RESULTS_MAX) as usize;
    let from = call.from.unwrap_or(0);
    let (first, line) = (from >> LINE_BITS, from & ((1 << LINE_BITS) - 1));
    let mut searcher = SearcherBuilder::new()
        .binary_detection(BinaryDetection::quit(0))
        .heap_limit(Some(FIND_FILE_BYTES_MAX as usize))
        .build();
    let mut walk = Walk::new(task)?;
    let mut finds = Finds { lines: Vec::new(), limit, room: FOUND_BYTES_MAX as usize };
    let mut bytes = 0;
    while let Some(entry) = walk.next()? {
        let is_match = |glob: &GlobMatcher| glob.is_match(&entry.path);
        let is_tired = entry.place > first + FIND_ENTRIES_MAX as u64 || bytes > FIND_BYTES_MAX;
        if entry.place >= first && is_tired {
            return Ok(Searched { lines: finds.lines, next: Some(entry.place << LINE_BITS) });
        }
        if entry.place < first
            || entry.kind != FileKind::File
            || !glob.as_ref().is_none_or(is_match)
        {
            continue;
        }
        // Swapped, or with a second name: it is not read.
        let Some(file) = walk.file(&entry) else { continue };
        let path = walk.canonical(&entry);
        let line = if entry.place == first { line } else { 0 };
        let mut next = None;
        let sink = Lossy(|number, text| {
            if number <= line {
                return Ok(true);
            }
            let is_full = finds.add(&path, number, text).is_break();
            next = is_full.then(|| (entry.place << LINE_BITS) | (number - 1));
            Ok(!is_full)
        });
        if let Err(error) =
            searcher.search_reader(&matcher, file.take(u64::from(FIND_FILE_BYTES_MAX)), sink)
        {
            tracing::debug!(op = %task.op, %error, "a file is not searched to its end");
        }
        if next.is_some() {
            return Ok(Searched { lines: finds.lines, next });
        }
        bytes += entry.bytes.min(u64::from(FIND_FILE_BYTES_MAX));
    }
    Ok(Searched { lines: finds.lines, next: None })
}
