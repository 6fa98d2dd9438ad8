//! Tools over files.

use libos_abi::{Folder, FsPath, ObjectId, Text, fs};
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
    /// The type of an object that the whole file is kept as, whatever its bytes, 64 MiB at the most.
    /// Then only its beginning is given.
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
    /// An object whose content comes behind the text.
    from: Option<ObjectId>,
}

pub(crate) async fn write_file(port: &dyn Port, args: WriteFile) -> Ended {
    let WriteFile { path, text, overwrite, from } = args;
    let call = fs::Write { path, text, overwrite, from };
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
    json(port.call(fs::Delete { path, missing_ok }).await?)
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
