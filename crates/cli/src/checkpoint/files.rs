//! The files of a workspace, put back after a restore: each is an effect of the operator.

use agent_libos::{
    abi::checkpoint::Restored,
    rewind::{self, Effect, File},
};
use serde::Serialize;

use crate::{
    exit::Failure,
    host::{Access, Host},
};

/// What a restore did, in the kernel and outside.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    pub(super) restored: Restored,
    pub(super) files: Vec<Returned>,
    /// What was done outside and stays.
    pub(super) stays: Vec<Effect>,
}

/// A file, and what became of putting it back.
#[derive(Serialize)]
pub(super) struct Returned {
    #[serde(flatten)]
    pub(super) file: File,
    pub(super) outcome: PutBack,
    /// Why it is not back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) why: Option<String>,
}

/// What became of putting a file back.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PutBack {
    Back,
    /// Someone else has changed it since.
    Conflict,
    /// What was there is not known, or the host refused.
    Lost,
}

/// Puts back what the processes of a restored checkpoint changed.
pub(super) async fn put_back(
    host: &Host,
    access: &Access,
    restored: Restored,
    force: bool,
) -> Result<Report, Failure> {
    let journal = host.journal()?;
    let outside = rewind::since(&journal, restored.checkpoint)?;
    let mut files = Vec::new();
    for file in outside.files {
        let (outcome, why) = match file.put_back(&journal, force) {
            Err(why) => (PutBack::Lost, Some(why)),
            Ok(call) => match access.port.call(call).await {
                Ok(_) => (PutBack::Back, None),
                Err(error) if error.code() == "conflict" => {
                    (PutBack::Conflict, Some(error.to_string()))
                }
                Err(error) => (PutBack::Lost, Some(error.to_string())),
            },
        };
        files.push(Returned { file, outcome, why });
    }
    Ok(Report { restored, files, stays: outside.stays })
}
