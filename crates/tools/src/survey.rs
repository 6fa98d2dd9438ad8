//! `survey_folder`: one object that sums up the text files below a folder.
//!
//! The walk is depth first in the order of names, so that it makes the same calls when it runs
//! again. [`Survey`] is the pure sum; [`survey_folder`] makes the calls.

use std::{cmp::Reverse, collections::BTreeMap};

use libos_abi::{Error, Fault, Folder, FsPath, ObjectId, fs};
use libos_port::Port;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{
    Limits,
    error::{ToolError, here},
    memory::keep,
    table::{Ended, json},
};

/// Names that a survey passes over: what tools made, not what people wrote.
const PASSED_OVER: [&str; 4] = ["target", ".git", "node_modules", ".libos"];

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SurveyFolder {
    /// The folder; the working directory if absent.
    path: Option<FsPath>,
    /// How many files to read at most; 10,000 if absent.
    #[schemars(range(max = Limits::STANDARD.survey_files_max))]
    max_files: Option<u32>,
    /// Only files whose names end in one of these, as in `["rs", "toml"]`; all if absent.
    extensions: Option<Vec<String>>,
}

/// The payload of the object.
#[derive(Default, Serialize)]
struct Survey {
    folder: String,
    /// Text files that were read.
    files: u64,
    lines: u64,
    bytes: u64,
    by_extension: BTreeMap<String, Count>,
    /// Largest first; equal ones in the order of the walk.
    largest: Vec<Large>,
    /// Entries that are no text, too large, links or devices, or that vanished.
    skipped: u64,
    /// Files and folders that the process may not read.
    denied: u64,
    /// Entries that were listed but not looked at because a limit was reached; a listing that was
    /// cut counts once.
    left_out: u64,
}

#[derive(Default, Serialize)]
struct Count {
    files: u64,
    lines: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct Large {
    path: String,
    bytes: u64,
    lines: u64,
}

#[derive(Serialize)]
struct Surveyed {
    id: ObjectId,
    files: u64,
    lines: u64,
    bytes: u64,
}

impl Survey {
    fn add(&mut self, path: &str, text: &str) {
        let lines = text.lines().count() as u64;
        let bytes = text.len() as u64;
        let extension = extension(path).unwrap_or_else(|| "(none)".into());
        let count = self.by_extension.entry(extension).or_default();
        for (files, all_lines, all_bytes) in [
            (&mut self.files, &mut self.lines, &mut self.bytes),
            (&mut count.files, &mut count.lines, &mut count.bytes),
        ] {
            *files += 1;
            *all_lines += lines;
            *all_bytes += bytes;
        }
        let place = self.largest.partition_point(|large| Reverse(large.bytes) <= Reverse(bytes));
        if place < Limits::STANDARD.survey_largest_max {
            let path = path.to_owned();
            self.largest.insert(place, Large { path, bytes, lines });
            self.largest.truncate(Limits::STANDARD.survey_largest_max);
        }
    }

    /// Counts what could not be read; gives back what no survey can go on from.
    fn count_error(&mut self, error: Error) -> Result<(), Error> {
        match error {
            Error::Fault(Fault::Denied { .. }) => self.denied += 1,
            // A name no path may have, or a link that leads out of the mount.
            Error::Fs(_) | Error::Fault(Fault::OutsideMount { .. } | Fault::BadMessage { .. }) => {
                self.skipped += 1;
            }
            other => return Err(other),
        }
        Ok(())
    }
}

/// The extension of a path's last name in lower case; a leading dot begins none.
fn extension(path: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or(path);
    match name.rsplit_once('.') {
        Some((stem, end)) if !stem.is_empty() && !end.is_empty() => Some(end.to_lowercase()),
        _ => None,
    }
}

/// Something the walk has yet to look at.
struct Ahead {
    path: String,
    depth: usize,
    kind: fs::FileKind,
    bytes: u64,
}

struct Walk<'a> {
    port: &'a dyn Port,
    files_max: u64,
    /// In lower case, without their dots.
    extensions: Option<Vec<String>>,
    files_tried: u64,
    /// A stack: the next is the last.
    ahead: Vec<Ahead>,
    survey: Survey,
}

impl Walk<'_> {
    /// Lists a folder and puts what is in it ahead.
    async fn enter(&mut self, path: Option<&str>, depth: usize) -> Result<(), Error> {
        let call = fs::List {
            path: Folder(path.map(FsPath::from)),
            limit: Some(Limits::STANDARD.folder_entries_max),
        };
        let mut listing = self.port.call(call).await?;
        self.survey.left_out += u64::from(listing.truncated);
        listing.entries.sort_by(|a, b| a.name.cmp(&b.name));
        for entry in listing.entries.into_iter().rev() {
            if !self.wants(&entry) {
                continue;
            }
            let path = match path {
                Some(folder) => format!("{}/{}", folder.trim_end_matches('/'), entry.name),
                None => entry.name,
            };
            self.ahead.push(Ahead { path, depth, kind: entry.kind, bytes: entry.bytes });
        }
        Ok(())
    }

    fn wants(&self, entry: &fs::DirEntry) -> bool {
        let passed_over = PASSED_OVER.contains(&entry.name.as_str());
        let wanted = match (&self.extensions, entry.kind) {
            (None, _) | (_, fs::FileKind::Dir) => true,
            (Some(wanted), _) => extension(&entry.name).is_some_and(|end| wanted.contains(&end)),
        };
        wanted && !passed_over
    }

    async fn look_at(&mut self, next: Ahead) -> Result<(), Error> {
        let limit = Limits::STANDARD.file_bytes_max;
        let looked = match next.kind {
            fs::FileKind::Dir if next.depth >= Limits::STANDARD.survey_depth_max => {
                self.survey.left_out += 1;
                Ok(())
            }
            fs::FileKind::Dir => self.enter(Some(&next.path), next.depth + 1).await,
            fs::FileKind::File if self.files_tried >= self.files_max => {
                self.survey.left_out += 1;
                Ok(())
            }
            fs::FileKind::File if next.bytes <= u64::from(limit) => self.read(&next.path).await,
            fs::FileKind::File | fs::FileKind::Symlink | fs::FileKind::Other => {
                self.survey.skipped += 1;
                Ok(())
            }
        };
        looked.or_else(|error| self.survey.count_error(error))
    }

    async fn read(&mut self, path: &str) -> Result<(), Error> {
        self.files_tried += 1;
        let call = fs::Read {
            path: path.into(),
            max_bytes: Some(Limits::STANDARD.file_bytes_max),
            into: None,
        };
        let file = self.port.call(call).await?;
        match file.truncated {
            // It grew after it was listed.
            true => self.survey.skipped += 1,
            false => self.survey.add(path, here(&file.text, "a text")?),
        }
        Ok(())
    }
}

pub(crate) async fn survey_folder(port: &dyn Port, args: SurveyFolder) -> Ended {
    let files_max = args.max_files.unwrap_or(Limits::STANDARD.survey_files_default);
    let bare = |end: String| end.trim_start_matches('.').to_lowercase();
    let folder = args.path.as_ref().map_or(".", |path| &path.0);
    let mut walk = Walk {
        port,
        files_max: u64::from(files_max.min(Limits::STANDARD.survey_files_max)),
        extensions: args.extensions.map(|ends| ends.into_iter().map(bare).collect()),
        files_tried: 0,
        ahead: Vec::new(),
        survey: Survey { folder: folder.to_owned(), ..Survey::default() },
    };
    // The folder that was asked for must be there and readable; what is below it need not be.
    walk.enter(args.path.as_ref().map(|path| &*path.0), 1).await?;
    while let Some(next) = walk.ahead.pop() {
        walk.look_at(next).await?;
    }
    let survey = walk.survey;
    let payload = serde_json::to_value(&survey).map_err(ToolError::BadReply)?;
    let handle = keep(port, "survey".into(), &payload, None).await?;
    json(Surveyed { id: handle.id, files: survey.files, lines: survey.lines, bytes: survey.bytes })
}
