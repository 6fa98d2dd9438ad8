//! Fields: what the kernel can ask of any argument or reply without knowing its call.

use std::sync::Arc;

use bincode::{Decode, Encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ArgType, ArgView, Digest, Fault, Json, Millis, Resource, Text, wire};

/// The longest path, in bytes, as on Linux.
pub const PATH_BYTES_MAX: usize = 4096;

/// What a path begins with that is written from a mount on.
pub const FROM_MOUNT: &str = "fs:";

/// Whether a mount may have this name: up to 64 small letters, digits, `_` and `-`.
#[must_use]
pub fn is_mount_name(name: &str) -> bool {
    let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}

/// One argument of a call or one part of a reply.
pub trait Field: Sized {
    /// What conditions see of it.
    const TYPE: ArgType = ArgType::Opaque;
    /// What conditions see of a list of it.
    const LIST: ArgType = ArgType::Opaque;

    /// Whether it may be left out.
    const OPTIONAL: bool = false;

    /// Its value for conditions.
    fn view(&self) -> ArgView<'_> {
        ArgView::Opaque
    }

    /// The value of a list of it, for conditions.
    fn view_list(_: &[Self]) -> ArgView<'_> {
        ArgView::Opaque
    }

    /// Visits every text in it, to store large ones as blobs and to put them back.
    fn texts(&mut self, _: &mut dyn FnMut(&mut Text)) {}

    /// Visits every path in it, to make it canonical.
    fn paths(&mut self, _: &mut dyn FnMut(&mut FsPath)) {}
}

/// The digest of all that is in something, the same wherever its texts are kept.
pub(crate) fn digest_of<T: Field + Encode + Clone>(it: &T) -> Digest {
    let mut it = it.clone();
    it.texts(&mut |text| *text = Text::blob(text.digest(), text.bytes()));
    Digest::of(&wire::encode(&it))
}

/// Declares types that conditions, blobs and paths have nothing to do with.
macro_rules! opaque {
    ($($type:ty),* $(,)?) => {$(impl $crate::Field for $type {})*};
}
pub(crate) use opaque;

/// Declares records whose named fields carry texts.
macro_rules! carries_texts {
    ($($type:ty { $($field:ident),* })*) => {$(
        impl $crate::Field for $type {
            fn texts(&mut self, _visit: &mut dyn FnMut(&mut $crate::Text)) {
                $($crate::Field::texts(&mut self.$field, _visit);)*
            }
        }
    )*};
}
pub(crate) use carries_texts;

opaque!(
    (),
    crate::Digest,
    crate::Rights,
    crate::Pattern,
    crate::GrantSpec,
    crate::Manifest,
    crate::Right,
    crate::CapabilityInfo,
    crate::Scope,
    crate::Need,
    crate::Binding,
    crate::Origin,
    crate::tool::Language,
    crate::tool::Stage,
    crate::tool::ToolLimits,
    crate::tool::ToolNeed,
    Resource,
);

macro_rules! ids_as_text {
    ($($id:ident)*) => {$(impl Field for crate::$id {})*};
}
ids_as_text!(Pid CapId CheckpointId ObjectId RequestId OpId MessageId Seq ViewId);

impl Field for String {
    const TYPE: ArgType = ArgType::Text;
    const LIST: ArgType = ArgType::List;
    fn view(&self) -> ArgView<'_> {
        ArgView::Text(self)
    }
    fn view_list(items: &[Self]) -> ArgView<'_> {
        ArgView::List(items)
    }
}

impl Field for Arc<str> {
    const TYPE: ArgType = ArgType::Text;
    fn view(&self) -> ArgView<'_> {
        ArgView::Text(self)
    }
}

/// What is shared: its texts are changed in a copy of one's own.
impl<T: Field + Clone> Field for Arc<T> {
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        Self::make_mut(self).texts(visit);
    }
}

impl Field for Text {
    const TYPE: ArgType = ArgType::Text;
    fn view(&self) -> ArgView<'_> {
        match self {
            Self::Inline(text) => ArgView::Text(text),
            Self::Blob(blob) => ArgView::Absent { bytes: blob.bytes },
        }
    }
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        visit(self);
    }
}

impl Field for Json {
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        visit(&mut self.0);
    }
}

impl Field for bool {
    const TYPE: ArgType = ArgType::Bool;
    fn view(&self) -> ArgView<'_> {
        ArgView::Bool(*self)
    }
}

macro_rules! integers {
    ($($type:ty)*) => {$(
        impl Field for $type {
            const TYPE: ArgType = ArgType::Int;
            fn view(&self) -> ArgView<'_> {
                ArgView::Int(i64::try_from(*self).unwrap_or(i64::MAX))
            }
        }
    )*};
}
integers!(u8 u16 u32 u64 i32 i64);

impl Field for Millis {
    const TYPE: ArgType = ArgType::Int;
    fn view(&self) -> ArgView<'_> {
        ArgView::Int(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

impl<T: Field> Field for Option<T> {
    const TYPE: ArgType = T::TYPE;
    const OPTIONAL: bool = true;
    fn view(&self) -> ArgView<'_> {
        self.as_ref().map_or(ArgView::None, T::view)
    }
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        if let Some(field) = self {
            field.texts(visit);
        }
    }
    fn paths(&mut self, visit: &mut dyn FnMut(&mut FsPath)) {
        if let Some(field) = self {
            field.paths(visit);
        }
    }
}

impl<T: Field> Field for Vec<T> {
    const TYPE: ArgType = T::LIST;
    fn view(&self) -> ArgView<'_> {
        T::view_list(self)
    }
    fn texts(&mut self, visit: &mut dyn FnMut(&mut Text)) {
        self.iter_mut().for_each(|item| item.texts(visit));
    }
    fn paths(&mut self, visit: &mut dyn FnMut(&mut FsPath)) {
        self.iter_mut().for_each(|item| item.paths(visit));
    }
}

/// A path in a mount. A caller writes it relative to its working directory, or from a mount on
/// (`fs:data/a.csv`); the kernel makes it canonical (`workspace/src/a.rs`: mount first, no `.`, no
/// `..`) before anything looks at it.
#[derive(
    Debug,
    Clone,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    Serialize,
    Deserialize,
    JsonSchema,
)]
#[serde(transparent)]
pub struct FsPath(#[schemars(with = "String")] pub Arc<str>);

impl From<&str> for FsPath {
    fn from(path: &str) -> Self {
        match path.is_empty() {
            true => Self(Arc::default()),
            false => Self(path.into()),
        }
    }
}

impl std::fmt::Display for FsPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl FsPath {
    /// The resource of a canonical path.
    #[must_use]
    pub fn resource(&self) -> Resource {
        Resource::file(&self.0)
    }

    /// The mount and the path below it (empty for the mount's root), of a canonical path.
    #[must_use]
    pub fn split_mount(&self) -> (&str, &str) {
        self.0.split_once('/').unwrap_or((&self.0, ""))
    }

    /// The canonical form of a path written by a process in `cwd` (canonical). Decided on the text
    /// alone: nothing is looked at.
    ///
    /// # Errors
    /// [`Fault::OutsideMount`] for an absolute path or one whose `..` leave the mount;
    /// [`Fault::BadMessage`] for control characters, for names or paths that are too long, and for
    /// a mount whose name is none.
    pub fn canonical(&self, cwd: &str) -> Result<Self, Fault> {
        let written = &*self.0;
        if written.len() > PATH_BYTES_MAX {
            return Err(Fault::bad(format!("a path is longer than {PATH_BYTES_MAX} bytes")));
        }
        if written.chars().any(char::is_control) {
            return Err(Fault::bad("a path holds a control character"));
        }
        let outside = || Fault::OutsideMount { path: written.to_owned() };
        if written.starts_with('/') {
            return Err(outside());
        }
        let (mut parts, below): (Vec<&str>, &str) = match written.strip_prefix(FROM_MOUNT) {
            Some(path) => {
                let (mount, below) = path.split_once('/').unwrap_or((path, ""));
                if !is_mount_name(mount) {
                    return Err(Fault::bad(format!("`{mount}` is no name of a mount")));
                }
                (vec![mount], below)
            }
            None => (cwd.split('/').collect(), written),
        };
        for part in below.split('/') {
            match part {
                "" | "." => {}
                ".." if parts.len() <= 1 => return Err(outside()),
                ".." => drop(parts.pop()),
                name if name.len() > 255 => {
                    return Err(Fault::bad("a name in a path is longer than 255 bytes"));
                }
                name => parts.push(name),
            }
        }
        Ok(Self(parts.join("/").into()))
    }
}

impl Field for FsPath {
    const TYPE: ArgType = ArgType::Text;
    fn view(&self) -> ArgView<'_> {
        ArgView::Text(&self.0)
    }
    fn paths(&mut self, visit: &mut dyn FnMut(&mut FsPath)) {
        visit(self);
    }
}

/// A folder that is the process's working directory when it is not given.
#[derive(
    Debug, Clone, PartialEq, Eq, Default, Encode, Decode, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Folder(pub Option<FsPath>);

impl Folder {
    /// The canonical path; the empty path before the call was made canonical.
    #[must_use]
    pub fn path(&self) -> FsPath {
        self.0.clone().unwrap_or_else(|| FsPath::from(""))
    }
}

impl Field for Folder {
    const TYPE: ArgType = ArgType::Text;
    const OPTIONAL: bool = true;
    fn view(&self) -> ArgView<'_> {
        self.0.as_ref().map_or(ArgView::None, Field::view)
    }
    fn paths(&mut self, visit: &mut dyn FnMut(&mut FsPath)) {
        visit(self.0.get_or_insert_with(|| FsPath::from("")));
    }
}
