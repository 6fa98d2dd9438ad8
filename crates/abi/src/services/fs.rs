//! Files of a mounted folder.

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Digest, Few, Field, Folder, FsPath, Kept, Need, ObjectId, Resource, Right, Text, call::service,
    field::opaque,
};

/// How many bytes a read gives if the call does not say.
pub const READ_BYTES_DEFAULT: u32 = 65_536;

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
        /// What was read, if it is kept as an object; the text is its beginning then.
        pub object: Option<Kept>,
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
            _ => {}
        }
    }
}

opaque!(Listing, Made, Metadata, Returned);
crate::field::carries_texts! {
    FileText { text, object }
    Written { before }
    Removed { before }
}

service! {
    /// Files of a mounted folder. Paths are relative to the working directory and never lead out of
    /// the mount. Authority is decided before anything is looked at, so a denial does not tell
    /// whether a file exists.
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
        /// It is not what it was expected to be.
        10 "conflict" Conflict;
    }

    /// Reads a file as UTF-8 text.
    1 read Read {
        /// The file.
        path: FsPath,
        /// How many bytes at most; 65,536 if absent, 1,048,576 at the most. Of what is kept as an
        /// object 67,108,864, if absent and at the most.
        max_bytes: Option<u32>,
        /// The type of an object in the caller's memory that the file is kept as, whatever its
        /// bytes. Then the text is its beginning, and empty if that is no text.
        into: Option<String>,
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
        /// An object whose content comes behind the text: texts, or bytes in base64. It needs
        /// `read` on the object as well.
        from: Option<ObjectId>,
    } -> Written
    { demand: [Write on fs by |c| {
        let own = Need { right: Right::Write, on: c.path.resource() };
        crate::content::needs(Few::one(own), c.from)
      }];
      effect: Reconcilable;
      fails: [NotFound Exists NotAFile NotText TooLarge NotPermitted BadTarget]; data: Out; }

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
    } -> Removed
    { demand: [Delete on fs by |c| c.path.resource()]; effect: Reconcilable;
      fails: [NotFound NotEmpty NotPermitted BadTarget]; data: Out; }

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
        /// The folder of the host that is the workspace.
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
