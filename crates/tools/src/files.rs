//! Tools over files.

use libos_abi::{Digest, FROM_MOUNT, Folder, FsPath, Millis, ObjectId, Text, fs};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    Limits,
    table::{Ended, json},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadFile {
    /// The file, relative to the working directory.
    path: FsPath,
    /// How many bytes at most; 65,536 if absent.
    #[schemars(range(min = 1, max = Limits::STANDARD.file_bytes_max))]
    max_bytes: Option<u32>,
    /// The type of an object that the whole file is kept as, whatever its bytes, 64 MiB at the
    /// most. Then only its beginning is given.
    into: Option<String>,
}

pub(crate) async fn read_file(port: &dyn Port, args: ReadFile) -> Ended {
    let ReadFile { path, max_bytes, into } = args;
    json(port.call(fs::Read { path, max_bytes, into }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WriteFile {
    /// The file, relative to the working directory.
    path: FsPath,
    /// Its new content.
    text: Text,
    /// Whether an existing file may be replaced; true if absent.
    overwrite: Option<bool>,
    /// The digest that the file must have now, as reading it told; any if absent.
    expected_digest: Option<Digest>,
    /// An object whose content comes behind the text.
    from: Option<ObjectId>,
}

pub(crate) async fn write_file(port: &dyn Port, args: WriteFile) -> Ended {
    let WriteFile { path, text, overwrite, expected_digest, from } = args;
    let call = fs::Write { path, text, overwrite, expected_digest, from };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListFolder {
    /// The folder; the working directory if absent.
    path: Option<FsPath>,
}

pub(crate) async fn list_folder(port: &dyn Port, args: ListFolder) -> Ended {
    let call = fs::List { path: Folder(args.path), limit: None };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MakeFolder {
    /// The folder, relative to the working directory.
    path: FsPath,
}

pub(crate) async fn make_folder(port: &dyn Port, args: MakeFolder) -> Ended {
    let call = fs::Mkdir { path: args.path, parents: None };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeleteFile {
    /// The file or empty folder, relative to the working directory.
    path: FsPath,
    /// Whether it is no failure that nothing is there; false if absent.
    missing_ok: Option<bool>,
}

pub(crate) async fn delete_file(port: &dyn Port, args: DeleteFile) -> Ended {
    let DeleteFile { path, missing_ok } = args;
    json(port.call(fs::Delete { path, missing_ok, expected_digest: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatFile {
    /// The file or folder, relative to the working directory.
    path: FsPath,
}

pub(crate) async fn stat_file(port: &dyn Port, args: StatFile) -> Ended {
    json(port.call(fs::Stat { path: args.path }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditFile {
    /// The file, relative to the working directory.
    path: FsPath,
    /// The text to be replaced, exactly as it stands in the file.
    old: Text,
    /// What stands there then.
    new: Text,
    /// How often the old text must be there, each to be replaced; 1 if absent.
    #[schemars(range(min = 1))]
    count: Option<u32>,
    /// The digest that the file must have now, as reading it told; any if absent.
    expected_digest: Option<Digest>,
}

pub(crate) async fn edit_file(port: &dyn Port, args: EditFile) -> Ended {
    let EditFile { path, old, new, count, expected_digest } = args;
    json(port.call(fs::Edit { path, old, new, count, expected_digest }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchFile {
    /// The file, relative to the working directory.
    path: FsPath,
    /// A unified diff of this one file.
    diff: Text,
    /// The digest that the file must have now, as reading it told; any if absent.
    expected_digest: Option<Digest>,
}

pub(crate) async fn patch_file(port: &dyn Port, args: PatchFile) -> Ended {
    let PatchFile { path, diff, expected_digest } = args;
    json(port.call(fs::Patch { path, diff, expected_digest }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AppendToFile {
    /// The file, relative to the working directory.
    path: FsPath,
    /// What is added at its end.
    text: Text,
}

pub(crate) async fn append_to_file(port: &dyn Port, args: AppendToFile) -> Ended {
    let AppendToFile { path, text } = args;
    json(port.call(fs::Append { path, text, expected_digest: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameFile {
    /// The file, relative to the working directory.
    from: FsPath,
    /// Its new path, in the same mount.
    to: FsPath,
    /// Whether a file that is there may be replaced; false if absent.
    overwrite: Option<bool>,
}

pub(crate) async fn rename_file(port: &dyn Port, args: RenameFile) -> Ended {
    let RenameFile { from, to, overwrite } = args;
    json(port.call(fs::Rename { from, to, overwrite, expected_digest: None }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SearchFiles {
    /// The folder; the working directory if absent.
    path: Option<FsPath>,
    /// The regular expression that a line must match.
    pattern: String,
    /// The pattern that a file's path below the folder must fit, as in `**/*.rs`; any if absent.
    glob: Option<String>,
    /// Whether letters match in both cases; false if absent.
    ignore_case: Option<bool>,
    /// How many lines at most; 100 if absent.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
    /// Where to go on: `next` of the search before.
    from: Option<u64>,
}

pub(crate) async fn search_files(port: &dyn Port, args: SearchFiles) -> Ended {
    let SearchFiles { path, pattern, glob, ignore_case, limit, from } = args;
    let call = fs::Search { path: Folder(path), pattern, glob, ignore_case, limit, from };
    let mut found = port.call(call).await?;
    found.lines.iter_mut().for_each(|found| found.path = callable(&found.path));
    json(found)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FindFiles {
    /// The folder; the working directory if absent.
    path: Option<FsPath>,
    /// The pattern that a path below the folder must fit, as in `**/*.rs`.
    pattern: String,
    /// How many at most; 100 if absent.
    #[schemars(range(min = 1, max = 1_000))]
    limit: Option<u32>,
    /// Where to go on: `next` of the call before.
    from: Option<u64>,
}

pub(crate) async fn find_files(port: &dyn Port, args: FindFiles) -> Ended {
    let FindFiles { path, pattern, limit, from } = args;
    let mut found = port.call(fs::Glob { path: Folder(path), pattern, limit, from }).await?;
    found.entries.iter_mut().for_each(|found| found.path = callable(&found.path));
    json(found)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WatchFile {
    /// The file or folder, relative to the working directory.
    path: FsPath,
    /// `state` of the watch before; if absent, what is there is told and not waited for.
    seen: Option<Digest>,
    /// How long to wait; a minute if absent.
    timeout_ms: Option<Millis>,
}

pub(crate) async fn watch_file(port: &dyn Port, args: WatchFile) -> Ended {
    let WatchFile { path, seen, timeout_ms } = args;
    json(port.call(fs::Watch { path, seen, timeout_ms }).await?)
}

/// A canonical path as one that any call takes, whatever the working directory.
fn callable(path: &FsPath) -> FsPath {
    FsPath::from(&*format!("{FROM_MOUNT}{path}"))
}
