//! Files of a mounted folder.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Digest, Few, Field, Folder, FsPath, Millis, Need, Resource, Right, Text, call::service,
    field::opaque,
};

/// How many bytes a read gives if the call does not say.
pub const READ_BYTES_DEFAULT: u32 = 65_536;

/// Bytes of paths and lines that one search gives: a reply that a reader still takes in.
pub const FOUND_BYTES_MAX: u32 = 131_072;

record! {
    /// A file's text.
    pub struct FileText {
        /// The text, cut at a character boundary within `max_bytes`.
        pub text: Text,
        /// Bytes read.
        pub bytes: u64,
        /// Whether the file has more.
        pub truncated: bool,
        /// The digest of the bytes read.
        pub digest: Digest,
    }

    /// A file that was written.
    pub struct Written {
        /// Its path.
        pub path: FsPath,
        /// Bytes written.
        pub bytes: u64,
        /// Whether it is new.
        pub created: bool,
        /// The digest of its content.
        pub digest: Digest,
        /// What was there before: for the record, and shown to nobody who calls.
        #[serde(skip)]
        pub before: Before,
    }

    /// An entry of a folder.
    pub struct DirEntry {
        /// Its name.
        pub name: String,
        /// What it is.
        pub kind: FileKind,
        /// Its size in bytes, for a file.
        pub bytes: u64,
    }

    /// A folder's entries.
    pub struct Listing {
        /// Sorted by name.
        pub entries: Vec<DirEntry>,
        /// Whether there are more than the limit.
        pub truncated: bool,
    }

    /// A folder.
    pub struct Made {
        /// Its path.
        pub path: FsPath,
        /// Whether it is new.
        pub created: bool,
    }

    /// What was removed.
    pub struct Removed {
        /// Its path.
        pub path: FsPath,
        /// Whether there was something to remove.
        pub removed: bool,
        /// What was there before: for the record, and shown to nobody who calls.
        #[serde(skip)]
        pub before: Before,
    }

    /// What was added to a file.
    pub struct Appended {
        /// Its path.
        pub path: FsPath,
        /// Bytes added.
        pub bytes: u64,
        /// Whether it is new.
        pub created: bool,
        /// The digest of its content: for the record, since a right to write is none to read.
        #[serde(skip)]
        pub left: Digest,
        /// What was there before: for the record, and shown to nobody who calls.
        #[serde(skip)]
        pub before: Before,
    }

    /// A file that has another name.
    pub struct Renamed {
        /// Its old path.
        pub from: FsPath,
        /// Its new path.
        pub to: FsPath,
        /// Whether a file was there that it replaced.
        pub replaced: bool,
        /// Its content: for the record, and shown to nobody who calls.
        #[serde(skip)]
        pub moved: Before,
        /// What was at its new path before: for the record, and shown to nobody who calls.
        #[serde(skip)]
        pub before: Before,
    }

    /// A line that a search found.
    pub struct LineFound {
        /// The file. Canonical; `fs:` before it makes it a path to call with.
        pub path: FsPath,
        /// The line's number; the first is 1.
        pub line: u64,
        /// Its text, cut at a character boundary within 256 bytes.
        pub text: String,
    }

    /// What a search found.
    pub struct Searched {
        /// By path, then line; only of files that the caller may read.
        pub lines: Vec<LineFound>,
        /// Where to go on, if there may be more.
        pub next: Option<u64>,
    }

    /// A file or folder that a pattern fits.
    pub struct PathFound {
        /// Where it is. Canonical; `fs:` before it makes it a path to call with.
        pub path: FsPath,
        /// What it is.
        pub kind: FileKind,
        /// Its size in bytes, for a file.
        pub bytes: u64,
    }

    /// What fits a pattern.
    pub struct Globbed {
        /// By path; only what the caller may read.
        pub entries: Vec<PathFound>,
        /// Where to go on, if there may be more.
        pub next: Option<u64>,
    }

    /// What was seen by a watch.
    pub struct Watched {
        /// What is there now, as a digest of names, kinds, sizes and times: `seen` of the next.
        pub state: Digest,
        /// Whether it is other than `seen`.
        pub changed: bool,
    }

    /// A file that was put back.
    pub struct Returned {
        /// Its path.
        pub path: FsPath,
        /// Whether it was not so already.
        pub changed: bool,
    }

    /// What a path leads to.
    pub struct Metadata {
        /// What it is.
        pub kind: FileKind,
        /// Its size in bytes, for a file.
        pub bytes: u64,
        /// When it was last changed, in milliseconds since the epoch.
        pub modified_at_ms: u64,
    }
}

/// The kind of a directory entry.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[derive(Copy)]
pub enum FileKind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link. It is never followed out of the mount.
    Symlink,
    /// A device, socket or pipe. It is never opened.
    Other,
}

/// What was at a path before a call changed it. The record keeps it, so that it can be put back;
/// a right to write is none to read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub enum Before {
    /// Nothing.
    #[default]
    Absent,
    /// A file with this text.
    Text(Text),
    /// Something else, or a file that is no text or too large.
    NotKept {
        /// Why it was not kept.
        why: String,
    },
}

impl Field for Before {
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        if let Self::Text(text) = self {
            text.texts(visit);
        }
    }
}

impl Reply {
    /// Takes out what is for the record only.
    pub fn conceal(&mut self) {
        match self {
            Self::Write(written) => written.before = Before::Absent,
            Self::Delete(removed) => removed.before = Before::Absent,
            Self::Edit(written) | Self::Patch(written) => written.before = Before::Absent,
            Self::Append(appended) => {
                (appended.left, appended.before) = (Digest::default(), Before::Absent);
            }
            Self::Rename(renamed) => {
                (renamed.moved, renamed.before) = (Before::Absent, Before::Absent);
            }
            _ => {}
        }
    }

    /// Takes out what was found and the caller may not read.
    pub fn withhold(&mut self, may_read: &mut dyn FnMut(&FsPath) -> bool) {
        match self {
            Self::Search(found) => found.lines.retain(|found| may_read(&found.path)),
            Self::Glob(found) => found.entries.retain(|found| may_read(&found.path)),
            _ => {}
        }
    }
}

impl Call {
    /// The path it is about; of a new name, the old one. `cwd` is the working directory.
    #[must_use]
    pub fn path<'a>(&'a self, cwd: &'a FsPath) -> &'a FsPath {
        match self {
            Self::Read(call) => &call.path,
            Self::Write(call) => &call.path,
            Self::List(call) => call.path.0.as_ref().unwrap_or(cwd),
            Self::Mkdir(call) => &call.path,
            Self::Delete(call) => &call.path,
            Self::Stat(call) => &call.path,
            Self::PutBack(call) => &call.path,
            Self::Edit(call) => &call.path,
            Self::Patch(call) => &call.path,
            Self::Append(call) => &call.path,
            Self::Rename(call) => &call.from,
            Self::Search(call) => call.path.0.as_ref().unwrap_or(cwd),
            Self::Glob(call) => call.path.0.as_ref().unwrap_or(cwd),
            Self::Watch(call) => &call.path,
        }
    }
}

impl Rename {
    /// Who may give a file another name may read it under that one, so must be allowed to now.
    fn needs(&self) -> Vec<Need> {
        let from = || self.from.resource();
        vec![
            Need { right: Right::Delete, on: from() },
            Need { right: Right::Read, on: from() },
            Need { right: Right::Write, on: self.to.resource() },
        ]
    }
}

/// What a change needs. Whether a digest is that of a file tells what is in it.
fn changing(right: Right, path: &FsPath, expected: Option<Digest>) -> Few<Need> {
    let rights = expected.map(|_| Right::Read).into_iter().chain([right]);
    rights.map(|right| Need { right, on: path.resource() }).collect()
}

/// What a change needs whose outcome tells of what was there.
fn read_and_write(path: &FsPath) -> Vec<Need> {
    [Right::Read, Right::Write].map(|right| Need { right, on: path.resource() }).into()
}

opaque!(Globbed, Listing, Made, Metadata, Returned, Searched, Watched);
crate::field::carries_texts! {
    FileText { text }
    Written { before }
    Removed { before }
    Appended { before }
    Renamed { moved, before }
}

service! {
    /// Files of mounted folders. Paths are relative to the working directory and never lead out of
    /// its mount; `fs:data/a.txt` is `a.txt` in the mount `data`. Authority is decided before
    /// anything is looked at, so a denial does not tell whether a file exists.
    service fs = 9;
    failures {
        /// Nothing is there.
        1 "not_found" NotFound;
        /// Something is there already.
        2 "exists" Exists;
        /// It is a folder, or not a regular file.
        3 "not_a_file" NotAFile;
        /// It is no folder.
        4 "not_a_folder" NotAFolder;
        /// The bytes are not UTF-8.
        5 "not_text" NotText;
        /// It is over a limit.
        6 "too_large" TooLarge;
        /// The folder is not empty.
        7 "not_empty" NotEmpty;
        /// The mount's root cannot be removed, or the mount is not there.
        8 "bad_target" BadTarget;
        /// The host's operating system does not permit it.
        9 "not_permitted" NotPermitted;
        /// It is not what it was expected to be; the text tells the digest of what it is.
        10 "conflict" Conflict;
        /// The text to be replaced is not there as often as it should be, or a diff does not fit.
        11 "no_match" NoMatch;
        /// A pattern or a diff is malformed.
        12 "bad_pattern" BadPattern;
    }

    /// Reads a file as UTF-8 text.
    1 read Read {
        /// The file.
        path: FsPath,
        /// How many bytes at most; 65,536 if absent, 1,048,576 at the most.
        max_bytes: Option<u32>,
    } -> FileText
    { demand: [Read on fs by |c| c.path.resource()]; effect: Read;
      fails: [NotFound NotAFile NotText NotPermitted BadTarget]; data: In; }

    /// Writes a file as a whole: a reader sees the old content or the new, never a part.
    2 write Write {
        /// The file.
        path: FsPath,
        /// Its new content; 1,048,576 bytes at the most.
        text: Text,
        /// Whether an existing file may be replaced; true if absent.
        overwrite: Option<bool>,
        /// The digest that the file must have now, as `read` of all of it gave; any if absent. It
        /// takes the right to read.
        expected_digest: Option<Digest>,
    } -> Written
    { demand: [Write on fs by |c| changing(Right::Write, &c.path, c.expected_digest)];
      effect: Reconcilable;
      fails: [NotFound Exists NotAFile TooLarge NotPermitted BadTarget Conflict]; data: Out; }

    /// Lists a folder.
    3 list List {
        /// The folder; the working directory if absent.
        path: Folder,
        /// How many entries at most; 1,024 if absent, 10,000 at the most.
        limit: Option<u32>,
    } -> Listing
    { demand: [Read on fs by |c| c.path.path().resource()]; effect: Read;
      fails: [NotFound NotAFolder NotPermitted BadTarget]; data: In; }

    /// Makes a folder.
    4 mkdir Mkdir {
        /// The folder.
        path: FsPath,
        /// Whether folders above it are made too; false if absent. If so, each of them needs the
        /// same right, whether it exists or not.
        parents: Option<bool>,
    } -> Made
    { demand: [Write on fs by Mkdir::folders]; effect: Idempotent;
      fails: [NotFound Exists NotPermitted BadTarget]; data: Out; }

    /// Removes a file or an empty folder.
    5 delete Delete {
        /// The file or folder.
        path: FsPath,
        /// Whether it is no failure that nothing is there; false if absent.
        missing_ok: Option<bool>,
        /// The digest that the file must have now; any if absent. It takes the right to read.
        expected_digest: Option<Digest>,
    } -> Removed
    { demand: [Delete on fs by |c| changing(Right::Delete, &c.path, c.expected_digest)];
      effect: Reconcilable;
      fails: [NotFound NotEmpty NotPermitted BadTarget Conflict]; data: Out; }

    /// Tells what a path leads to.
    6 stat Stat {
        /// The path.
        path: FsPath,
    } -> Metadata
    { demand: [Read on fs by |c| c.path.resource()]; effect: Read;
      fails: [NotFound NotPermitted BadTarget]; data: In; }

    /// Has a file of a workspace be what it was, as long as it is what the last recorded change
    /// left. Folders above it that are not there are made.
    7 put_back PutBack {
        /// The folder of the host that is the workspace; of no meaning in another mount.
        workspace: String,
        /// The file.
        path: FsPath,
        /// The digest of what is expected to be there; absent is nothing.
        expected: Option<Digest>,
        /// What it was; absent is nothing: then the file is removed.
        text: Option<Text>,
        /// Whether anything else that is there may be replaced; false if absent.
        force: Option<bool>,
    } -> Returned
    { demand: [host]; effect: Reconcilable;
      fails: [NotAFile TooLarge NotPermitted BadTarget Conflict]; }

    /// Replaces a part of a text file, which must be there as often as is said. It needs the right
    /// to read too.
    8 edit Edit {
        /// The file.
        path: FsPath,
        /// The text to be replaced, exactly as it stands in the file.
        old: Text,
        /// What stands there then.
        new: Text,
        /// How often it must be there, each to be replaced; 1 if absent.
        count: Option<u32>,
        /// The digest that the file must have now; any if absent.
        expected_digest: Option<Digest>,
    } -> Written
    { demand: [Write on fs by |c| read_and_write(&c.path)]; effect: Reconcilable;
      fails: [NotFound NotAFile NotText TooLarge NotPermitted BadTarget Conflict NoMatch
              BadPattern]; data: Both; }

    /// Applies a unified diff to a text file: every hunk, with all its lines as they stand in the
    /// file, or none. It needs the right to read too.
    9 patch Patch {
        /// The file; the names in the diff say nothing.
        path: FsPath,
        /// The diff, of this one file.
        diff: Text,
        /// The digest that the file must have now; any if absent.
        expected_digest: Option<Digest>,
    } -> Written
    { demand: [Write on fs by |c| read_and_write(&c.path)]; effect: Reconcilable;
      fails: [NotFound NotAFile NotText TooLarge NotPermitted BadTarget Conflict NoMatch
              BadPattern]; data: Both; }

    /// Adds a text at the end of a file, which is made if it is not there. A reader sees the old
    /// content or the new.
    10 append Append {
        /// The file; with what is added, 1,048,576 bytes at the most.
        path: FsPath,
        /// What is added.
        text: Text,
        /// The digest that the file must have now; any if absent. It takes the right to read.
        expected_digest: Option<Digest>,
    } -> Appended
    { demand: [Write on fs by |c| changing(Right::Write, &c.path, c.expected_digest)];
      effect: Reconcilable;
      fails: [NotFound NotAFile TooLarge NotPermitted BadTarget Conflict]; data: Out; }

    /// Gives a file another name in its mount. It needs the rights to delete and read the old one
    /// and to write the new.
    11 rename Rename {
        /// The file.
        from: FsPath,
        /// Its new path, in the same mount.
        to: FsPath,
        /// Whether a file that is there may be replaced; false if absent.
        overwrite: Option<bool>,
        /// The digest that the file must have now; any if absent.
        expected_digest: Option<Digest>,
    } -> Renamed
    { demand: [Write on fs by Rename::needs]; effect: Reconcilable;
      fails: [NotFound Exists NotAFile NotPermitted BadTarget Conflict]; data: Both; }

    /// Finds lines of the text files below a folder. What `.gitignore` files name and what is in
    /// `.git` is passed over, and no symbolic link is followed. Of what is found the caller gets
    /// what it may read.
    12 search Search {
        /// The folder; the working directory if absent.
        path: Folder,
        /// The regular expression that a line must match, in the syntax of the `regex` crate.
        pattern: String,
        /// The pattern that a file's path below the folder must fit, as of `glob`; any if absent.
        glob: Option<String>,
        /// Whether letters match in both cases; false if absent.
        ignore_case: Option<bool>,
        /// How many lines at most; 100 if absent, 1,000 at the most.
        limit: Option<u32>,
        /// Where to go on: `next` of the search before.
        from: Option<u64>,
    } -> Searched
    { demand: [Read on fs by |c| c.path.path().resource()]; effect: Read;
      fails: [NotFound NotAFolder NotPermitted BadTarget BadPattern]; data: In; }

    /// Finds files and folders below a folder by their paths, passing over what `search` does. Of
    /// what is found the caller gets what it may read.
    13 glob Glob {
        /// The folder; the working directory if absent.
        path: Folder,
        /// The pattern that a path below the folder must fit: `*` and `?` stand for characters of
        /// one name, `**` for any number of folders, `{a,b}` for either.
        pattern: String,
        /// How many at most; 100 if absent, 1,000 at the most.
        limit: Option<u32>,
        /// Where to go on: `next` of the call before.
        from: Option<u64>,
    } -> Globbed
    { demand: [Read on fs by |c| c.path.path().resource()]; effect: Read;
      fails: [NotFound NotAFolder NotPermitted BadTarget BadPattern]; data: In; }

    /// Waits until a file, or what a folder lists, is other than it was seen; what is below the
    /// folders in it does not count. There may be nothing at the path yet, or any more.
    14 watch Watch {
        /// The file or folder.
        path: FsPath,
        /// `state` of the watch before; if absent, the call tells what is there and does not wait.
        seen: Option<Digest>,
        /// How long to wait; 60,000 if absent, 3,600,000 at the most.
        timeout_ms: Option<Millis>,
    } -> Watched
    { demand: [Read on fs by |c| c.path.resource()]; effect: Read;
      fails: [NotPermitted BadTarget]; data: In; }
}

impl Mkdir {
    /// The folder, and those above it up to the mount when they are to be made too.
    fn folders(&self) -> Vec<Resource> {
        let mut folders = vec![self.path.resource()];
        let mut path: &str = &self.path.0;
        while let (Some(true), Some((above, _))) = (self.parents, path.rsplit_once('/')) {
            if !above.contains('/') {
                break;
            }
            folders.push(Resource::file(above));
            path = above;
        }
        folders
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Demand, Syscall};

    #[test]
    fn a_change_that_says_what_it_expects_takes_the_right_to_read() {
        let path = || FsPath::from("workspace/a");
        for (expected_digest, reads) in [(None, false), (Some(Digest::of(b"a")), true)] {
            let text = || Text::from("b");
            let changes: [Syscall; 3] = [
                Write { path: path(), text: text(), overwrite: None, expected_digest }.into(),
                Delete { path: path(), missing_ok: None, expected_digest }.into(),
                Append { path: path(), text: text(), expected_digest }.into(),
            ];
            for change in changes {
                let Demand::Rights(needs) = change.demand() else { panic!("it takes rights") };
                let has = needs.iter().any(|need| need.right == Right::Read);
                assert_eq!((has, needs.len()), (reads, 1 + usize::from(reads)), "{change:?}");
            }
        }
    }
}
