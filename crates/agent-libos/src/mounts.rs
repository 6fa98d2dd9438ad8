//! Mounts: which folders of the host processes know under which names.
//!
//! Owns how a mount is written, and the hand-over of a call to the provider of its mount. What a
//! process may do in a mount is decided as anywhere; a mount that is only read is so for everybody.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use libos_abi::{Error, Syscall, fs::FailureKind, is_mount_name};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider, Reconciled};
pub use libos_providers::{Access, Mounted};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

/// The mount that a task says the folder of.
pub const WORKSPACE: &str = "workspace";

/// A mount that is written in a way that says nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMount {
    /// The name is none.
    #[error("`{0}` is no name of a mount: up to 64 small letters, digits, `_` and `-`")]
    Name(String),
    /// The name is that of the folder of the task.
    #[error("`workspace` is the folder of the task, which says it: see `workspace` in its file")]
    Workspace,
    /// There is no folder.
    #[error("`{0}` names no folder: PATH, PATH:ro or PATH:rw")]
    Folder(String),
    /// There is no name.
    #[error("`{0}` names no mount: NAME=PATH, NAME=PATH:ro or NAME=PATH:rw")]
    Form(String),
}

/// A folder of the host as it is written: `PATH`, `PATH:rw` or `PATH:ro`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct MountFolder(pub Mounted);

impl FromStr for MountFolder {
    type Err = BadMount;
    fn from_str(text: &str) -> Result<Self, BadMount> {
        let (folder, access) = match text.rsplit_once(':') {
            Some((folder, "ro")) => (folder, Access::ReadOnly),
            Some((folder, "rw")) => (folder, Access::ReadWrite),
            _ => (text, Access::ReadWrite),
        };
        match folder.is_empty() {
            true => Err(BadMount::Folder(text.to_owned())),
            false => Ok(Self(Mounted { folder: PathBuf::from(folder), access })),
        }
    }
}

impl TryFrom<String> for MountFolder {
    type Error = BadMount;
    fn try_from(text: String) -> Result<Self, BadMount> {
        text.parse()
    }
}

impl From<MountFolder> for String {
    fn from(MountFolder(Mounted { folder, access }): MountFolder) -> Self {
        let access = match access {
            Access::ReadOnly => "ro",
            Access::ReadWrite => "rw",
        };
        format!("{}:{access}", folder.display())
    }
}

impl MountFolder {
    /// Has a relative folder be one below `folder`.
    pub(crate) fn below(&mut self, folder: &Path) {
        self.0.folder = folder.join(&self.0.folder);
    }
}

/// A mount as a flag writes it: `NAME=PATH`, `NAME=PATH:ro`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MountFlag {
    /// Its name.
    pub name: String,
    /// Its folder.
    pub folder: MountFolder,
}

impl FromStr for MountFlag {
    type Err = BadMount;
    fn from_str(text: &str) -> Result<Self, BadMount> {
        let (name, folder) = text.split_once('=').ok_or_else(|| BadMount::Form(text.to_owned()))?;
        check_name(name)?;
        Ok(Self { name: name.to_owned(), folder: folder.parse()? })
    }
}

fn check_name(name: &str) -> Result<(), BadMount> {
    match name {
        WORKSPACE => Err(BadMount::Workspace),
        name if is_mount_name(name) => Ok(()),
        name => Err(BadMount::Name(name.to_owned())),
    }
}

/// Mounts by name, each name checked.
pub(crate) fn named<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<BTreeMap<String, MountFolder>, D::Error> {
    let mounts = BTreeMap::<String, MountFolder>::deserialize(d)?;
    mounts.keys().try_for_each(|name| check_name(name)).map_err(D::Error::custom)?;
    Ok(mounts)
}

/// Hands each call on files to the provider of its mount.
pub(crate) struct ByMount {
    pub(crate) mounts: BTreeMap<String, Arc<dyn Provider>>,
    /// The provider of all others.
    pub(crate) others: Arc<dyn Provider>,
}

impl ByMount {
    /// Who performs an order; a call between two of them is refused.
    fn provider(&self, order: &Order) -> Result<&Arc<dyn Provider>, Error> {
        let Syscall::Fs(call) = &order.call else { return Ok(&self.others) };
        let of = |path: &libos_abi::FsPath| {
            self.mounts.get(path.split_mount().0).unwrap_or(&self.others)
        };
        let provider = of(call.path(&order.cwd));
        match call {
            libos_abi::fs::Call::Rename(call) if !Arc::ptr_eq(provider, of(&call.to)) => {
                let why = format!("`{}` and `{}` are in two mounts", call.from, call.to);
                Err(FailureKind::BadTarget.because(why))
            }
            _ => Ok(provider),
        }
    }
}

impl Provider for ByMount {
    fn serves(&self) -> &'static [&'static str] {
        &["fs"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        match self.provider(&order) {
            Ok(provider) => provider.perform(order),
            Err(error) => Box::pin(async { EffectOutcome::NotStarted(error) }),
        }
    }

    fn reconcile(&self, order: Order) -> BoxFuture<'static, Reconciled> {
        match self.provider(&order) {
            Ok(provider) => provider.reconcile(order),
            Err(_) => Box::pin(async { Reconciled::DidNotHappen }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_written_in_few_ways() {
        let flag = |text: &str| text.parse::<MountFlag>();
        let mount = |name: &str, folder: Mounted| {
            Ok(MountFlag { name: name.into(), folder: MountFolder(folder) })
        };
        assert_eq!(flag("data=/d"), mount("data", Mounted::read_write("/d")));
        assert_eq!(flag("data=/d:rw"), mount("data", Mounted::read_write("/d")));
        assert_eq!(flag("data=/d:ro"), mount("data", Mounted::read_only("/d")));
        assert_eq!(flag("d-1=a:b=c"), mount("d-1", Mounted::read_write("a:b=c")));
        for (text, error) in [
            ("data", BadMount::Form("data".into())),
            ("=/d", BadMount::Name(String::new())),
            ("Data=/d", BadMount::Name("Data".into())),
            ("a/b=/d", BadMount::Name("a/b".into())),
            ("..=/d", BadMount::Name("..".into())),
            ("workspace=/d", BadMount::Workspace),
            ("data=", BadMount::Folder(String::new())),
            ("data=:ro", BadMount::Folder(":ro".into())),
        ] {
            assert_eq!(flag(text), Err(error), "{text}");
        }
        let written = String::from(MountFolder(Mounted::read_only("/d")));
        assert_eq!(written.parse(), Ok(MountFolder(Mounted::read_only("/d"))));
    }
}
