//! What of the host's files a program sees: compiled from what its process may do.
//!
//! It looks at folders, and makes those that a program may make and could not be given otherwise.
//! A rule of the kernel covers all below a folder and cannot leave anything out again. So what is
//! kept out of a folder that a program may use is either covered up
//! by a mount, where the host has mount namespaces, or the folder is given entry by entry. What
//! cannot be expressed is narrowed and noted, never widened.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
};

use libos_abi::{Form, Pattern, Right};
use libos_port::Reach;
use serde::{Deserialize, Serialize};

use crate::limits::VIEW_RULES_MAX;

/// What may be done with a path and all below it, as a set of bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(crate) struct Access(pub(crate) u8);

impl Access {
    pub(crate) const READ: Self = Self(1);
    pub(crate) const WRITE: Self = Self(2);
    pub(crate) const DELETE: Self = Self(4);
    pub(crate) const EXECUTE: Self = Self(8);
    pub(crate) const ALL: Self = Self(15);

    const fn of(right: Right) -> Self {
        match right {
            Right::Read => Self::READ,
            Right::Write => Self::WRITE,
            Right::Delete => Self::DELETE,
            Right::Execute => Self::EXECUTE,
            _ => Self(0),
        }
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    const fn less(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    const fn only(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

/// What a program sees. Every path is real: it has no symbolic link in it.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct View {
    /// What may be done below which path.
    pub(crate) rules: Vec<(PathBuf, Access)>,
    /// What is covered up.
    pub(crate) hidden: Vec<PathBuf>,
    /// What cannot be changed.
    pub(crate) frozen: Vec<PathBuf>,
    /// Folders that must keep their names, or what is covered up in them would get another.
    pub(crate) pinned: Vec<PathBuf>,
    /// Where the program was given less than its process may do, in the process's own names.
    pub(crate) notes: Vec<String>,
}

/// Folders that build tools look for above the one that they work in, and give up on if they may
/// not read what is in them.
const SETTINGS_ABOVE: &[&str] = &[".cargo"];

/// What a view is compiled from.
pub(crate) struct Sources<'a> {
    pub(crate) reach: &'a Reach,
    /// The real folder behind each mount, with what may be done in it at the most.
    pub(crate) mounts: &'a BTreeMap<String, (PathBuf, Access)>,
    /// What every program may use.
    pub(crate) base: &'a [(PathBuf, Access)],
    /// What no program sees.
    pub(crate) kept_out: &'a [PathBuf],
    /// What no program changes.
    pub(crate) frozen: &'a [PathBuf],
    /// Whether mounts can cover things up.
    pub(crate) covers: bool,
}

/// More rules than a view may have.
#[derive(Debug, thiserror::Error)]
#[error("what the program may use takes more than {VIEW_RULES_MAX} rules")]
pub(crate) struct TooMany;

/// Something that is kept out, with what is kept out of it.
struct Kept {
    path: PathBuf,
    access: Access,
    /// How the process calls it; nothing for what the host keeps to itself.
    name: Option<String>,
    is_there: bool,
}

/// Compiles a view.
pub(crate) fn compile(sources: &Sources<'_>) -> Result<View, TooMany> {
    let mut view = View::default();
    let (mut allowed, mut kept) = (Vec::new(), Vec::new());
    for rule in sources.reach.rules.iter().filter(|rule| rule.on.kind() == "fs") {
        let access = rule.rights.iter().map(Access::of).fold(Access::default(), Access::and);
        for place in places(&rule.on, sources.mounts) {
            match rule.allows {
                true => {
                    let access = access.only(place.most);
                    allowed.extend(allow(place, access, &mut view.notes));
                }
                false => kept.push(keep(place, access)),
            }
        }
    }
    let owned = |path: &PathBuf, access| Kept {
        path: path.clone(),
        access,
        name: None,
        is_there: path.symlink_metadata().is_ok(),
    };
    kept.extend(sources.kept_out.iter().map(|path| owned(path, Access::ALL)));
    let change = Access::WRITE.and(Access::DELETE);
    if sources.covers {
        kept.extend(sources.frozen.iter().map(|path| owned(path, change)).filter(|k| k.is_there));
    }
    allowed.extend(sources.base.iter().cloned());
    for (path, access) in allowed {
        grant(&mut view, sources, &path, access, &kept)?;
    }
    if sources.covers {
        cover(&mut view, &kept);
        cover_settings_above(&mut view, sources.mounts);
    }
    view.notes.sort();
    view.notes.dedup();
    Ok(view)
}

/// What a pattern names on the host.
struct Place {
    /// The real folder of the mount.
    root: PathBuf,
    /// What may be done in it at the most.
    most: Access,
    /// The names below it.
    below: Vec<String>,
    /// Whether all below it is meant.
    deep: bool,
    name: String,
}

impl Place {
    fn path(&self) -> PathBuf {
        self.root.join(self.below.iter().collect::<PathBuf>())
    }
}

fn places(on: &Pattern, mounts: &BTreeMap<String, (PathBuf, Access)>) -> Vec<Place> {
    let (text, deep) = match on.form() {
        Form::Exact(text) => (text, false),
        Form::Subtree(text) | Form::Prefix(text) => (text, true),
    };
    let place = |mount: &str, below: Vec<String>| {
        let (root, most) = mounts.get(mount)?.clone();
        let name = std::iter::once(mount.to_owned()).chain(below.iter().cloned());
        let name = name.collect::<Vec<_>>().join("/");
        Some(Place { root, most, below, deep, name })
    };
    let Some((_, body)) = text.split_once(':') else {
        // Everything of the kind.
        return mounts.keys().filter_map(|mount| place(mount, Vec::new())).collect();
    };
    let mut names = body.split('/').map(decoded);
    let mount = names.next().flatten().unwrap_or_default();
    let below: Option<Vec<String>> = names.collect();
    below.and_then(|below| place(&mount, below)).into_iter().collect()
}

/// A percent-encoded name; nothing if it is none of one file.
fn decoded(segment: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::new(), segment.as_bytes());
    while let [first, after @ ..] = rest {
        rest = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                bytes.push(u8::try_from(digit(high)? * 16 + digit(low)?).ok()?);
                after
            }
            _ => {
                bytes.push(*first);
                after
            }
        };
    }
    let name = String::from_utf8(bytes).ok()?;
    let is_name = !matches!(&*name, "" | "." | "..") && !name.contains(['/', '\0']);
    is_name.then_some(name)
}

/// The path of an allow, if a program can be given it.
fn allow(place: Place, access: Access, notes: &mut Vec<String>) -> Option<(PathBuf, Access)> {
    let path = place.path();
    // A rule needs something to stand on. What a program may make is made for it, if it is a folder
    // with all below it.
    let is_above = path.parent().is_some_and(|above| {
        !place.below.is_empty() && above.canonicalize().is_ok_and(|real| real == above)
    });
    if place.deep && is_above && access.has(Access::WRITE) {
        match std::fs::create_dir(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => tracing::info!(%error, "a folder that a program may make is not made"),
        }
    }
    let mut note = |why: &str| notes.push(format!("`{}` is not given: {why}", place.name));
    match path.canonicalize() {
        Ok(real) if real != path => note("a symbolic link is on the way"),
        Err(_) => note("it is not there"),
        Ok(real) if real.is_dir() && !place.deep => {
            note("a folder is given with all below it or not at all");
        }
        Ok(real) => return Some((real, access)),
    }
    None
}

/// What a rule keeps out. A folder is kept out with all below it.
fn keep(place: Place, access: Access) -> Kept {
    // As far as links lead elsewhere, what they lead to is kept out; the link itself gives nothing.
    let path = place.path();
    let real = path.canonicalize();
    let is_there = real.is_ok();
    // Who may not read a thing must not copy it to where it may.
    let path = real.unwrap_or_else(|_| real_parent(&path));
    Kept { path, access, name: Some(place.name), is_there }
}

/// A path that is not there, with its nearest real parent.
fn real_parent(path: &Path) -> PathBuf {
    let mut rest = Vec::new();
    let mut at = path;
    loop {
        if let Ok(real) = at.canonicalize() {
            return rest.iter().rev().fold(real, |path, name| path.join(name));
        }
        let (Some(parent), Some(name)) = (at.parent(), at.file_name()) else {
            return path.to_owned();
        };
        rest.push(name.to_owned());
        at = parent;
    }
}

/// Gives `access` to all below `path` but what is kept out.
fn grant(
    view: &mut View,
    sources: &Sources<'_>,
    path: &Path,
    access: Access,
    kept: &[Kept],
) -> Result<(), TooMany> {
    let above = kept.iter().filter(|kept| path.starts_with(&kept.path));
    let access = above.fold(access, |access, kept| access.less(kept.access));
    let inside = kept.iter().filter(|kept| kept.path.starts_with(path) && kept.path != path);
    // What cannot be covered up is lost to the whole folder, but for its entries. Of what is not
    // there nothing can be done but to make it.
    let lost = inside.clone().fold(Access::default(), |lost, kept| match kept.is_there {
        true if sources.covers => lost,
        true => lost.and(kept.access),
        false => lost.and(kept.access.only(Access::WRITE)),
    });
    let (whole, split) = (access.less(lost), access.only(lost));
    if whole != Access::default() {
        view.rules.push((path.to_owned(), whole));
    }
    if split != Access::default() {
        let is_lost = |kept: &&Kept| kept.access.meets(split) && !(kept.is_there && sources.covers);
        for kept in inside.filter(is_lost) {
            let what = kept.name.as_deref().unwrap_or("what the host keeps to itself");
            view.notes.push(format!("the folders above `{what}` are given entry by entry"));
        }
        let mut entries: Vec<PathBuf> = path
            .read_dir()
            .into_iter()
            .flatten()
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|it| it.is_dir() || it.is_file()))
            .map(|entry| entry.path())
            .collect();
        entries.sort();
        for entry in entries {
            grant(view, sources, &entry, split, kept)?;
        }
    }
    if view.rules.len() > VIEW_RULES_MAX { Err(TooMany) } else { Ok(()) }
}

/// Covers up what is kept out of what is given.
fn cover(view: &mut View, kept: &[Kept]) {
    let roots: Vec<PathBuf> = view.rules.iter().map(|(path, _)| path.clone()).collect();
    let (mut hidden, mut frozen, mut pinned) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for kept in kept.iter().filter(|kept| kept.is_there) {
        let mut is_inside = false;
        for root in roots.iter().filter(|root| kept.path.starts_with(root)) {
            if kept.path == *root {
                continue;
            }
            is_inside = true;
            let between = kept.path.ancestors().skip(1).take_while(|path| path != root);
            pinned.extend(between.map(Path::to_owned));
        }
        match is_inside {
            false => {}
            true if kept.access.has(Access::READ) => drop(hidden.insert(kept.path.clone())),
            true => drop(frozen.insert(kept.path.clone())),
        }
        // A cover hides more than was kept out.
        let partly = is_inside && kept.access != Access::ALL;
        if let (true, Some(name)) = (partly, &kept.name) {
            let how = if kept.access.has(Access::READ) { "not seen" } else { "not changed" };
            view.notes.push(format!("`{name}` and all in it is {how} by programs"));
        }
    }
    // What is in something hidden needs no cover of its own.
    let outer = |path: &PathBuf| !path.ancestors().skip(1).any(|above| hidden.contains(above));
    view.frozen =
        frozen.iter().filter(|path| outer(path) && !hidden.contains(*path)).cloned().collect();
    view.pinned =
        pinned.iter().filter(|path| outer(path) && !hidden.contains(*path)).cloned().collect();
    view.hidden = hidden.iter().filter(|path| outer(path)).cloned().collect();
}

/// Covers up settings that build tools take from the folders above a mount, where nothing in them
/// is given: one that is there and may not be read stops the tool, one that is not there does not.
fn cover_settings_above(view: &mut View, mounts: &BTreeMap<String, (PathBuf, Access)>) {
    let above = mounts.values().flat_map(|(folder, _)| folder.ancestors().skip(1));
    let settings = above.flat_map(|folder| SETTINGS_ABOVE.iter().map(|name| folder.join(name)));
    let settings: BTreeSet<PathBuf> = settings.filter(|path| path.is_dir()).collect();
    let is_given = |path: &PathBuf| {
        view.rules.iter().any(|(it, _)| it.starts_with(path) || path.starts_with(it))
    };
    let settings: Vec<PathBuf> = settings.into_iter().filter(|path| !is_given(path)).collect();
    view.hidden.extend(settings);
}

#[cfg(test)]
mod tests {
    use libos_abi::Rights;
    use libos_port::ReachRule;
    use tempfile::TempDir;

    use super::*;

    fn folder(entries: &[&str]) -> (TempDir, PathBuf) {
        let dir = TempDir::new().unwrap();
        let real = dir.path().canonicalize().unwrap();
        for entry in entries {
            let path = real.join(entry);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            match entry.ends_with('/') {
                true => std::fs::create_dir_all(path).unwrap(),
                false => std::fs::write(path, "").unwrap(),
            }
        }
        (dir, real)
    }

    /// A view of `real` as the workspace: rules with `!` keep out, each followed by its rights.
    fn view(real: &Path, rules: &[(&str, &[Right])], covers: bool) -> View {
        let rules = rules.iter().map(|(on, rights)| {
            let rights: Rights = rights.iter().copied().collect();
            match on.strip_prefix('!') {
                Some(on) => ReachRule::keep_out(on.parse().unwrap(), rights),
                None => ReachRule::allow(on.parse().unwrap(), rights),
            }
        });
        compile(&Sources {
            reach: &Reach { rules: rules.collect() },
            mounts: &BTreeMap::from([
                ("workspace".to_owned(), (real.to_owned(), Access::ALL)),
                ("read".to_owned(), (real.join("read"), Access::READ.and(Access::EXECUTE))),
            ]),
            base: &[],
            kept_out: &[real.join("store")],
            frozen: &[],
            covers,
        })
        .unwrap()
    }

    const READ: &[Right] = &[Right::Read];
    const BOTH: &[Right] = &[Right::Read, Right::Write];

    fn may(view: &View, path: &Path, access: Access) -> bool {
        let given = view.rules.iter().filter(|(root, _)| path.starts_with(root));
        let given = given.fold(Access::default(), |all, (_, access)| all.and(*access));
        let covered = view.hidden.iter().any(|it| path.starts_with(it));
        let frozen = access == Access::WRITE && view.frozen.iter().any(|it| path.starts_with(it));
        given.has(access) && !covered && !frozen
    }

    #[test]
    fn what_is_kept_out_is_never_given() {
        let (_dir, real) = folder(&["a/b/secret", "a/b/c", "a/d", "e", "store/log", "f/x"]);
        let rules: &[(&str, &[Right])] = &[
            ("fs:workspace/*", BOTH),
            ("!fs:workspace/a/b/secret", READ),
            ("!fs:workspace/f/*", &[Right::Write]),
            ("fs:workspace/store/*", BOTH),
        ];
        for covers in [true, false] {
            let view = view(&real, rules, covers);
            for (path, read, write) in [
                ("a/b/secret", false, false),
                ("a/b/c", true, true),
                ("a/d", true, true),
                ("e", true, true),
                ("store/log", false, false),
                ("f/x", true, false),
            ] {
                let path = real.join(path);
                // Without covers, what cannot be read can be written at best where it may be.
                let writes = may(&view, &path, Access::WRITE);
                assert_eq!(may(&view, &path, Access::READ), read, "{path:?} {covers} {view:?}");
                assert!(
                    writes == write || !covers && path.ends_with("secret"),
                    "{path:?} {view:?}"
                );
            }
            // The workspace as a whole is given only where covers keep the rest out.
            assert_eq!(may(&view, &real, Access::READ), covers);
            assert_eq!(view.pinned.contains(&real.join("a/b")), covers);
        }
    }

    #[test]
    fn what_is_not_there_yet_cannot_be_made_in_its_place() {
        let (_dir, real) = folder(&["a/x", "b", "store/log"]);
        let rules: &[(&str, &[Right])] =
            &[("fs:workspace/*", BOTH), ("!fs:workspace/a/new/*", BOTH)];
        let view = view(&real, rules, true);
        assert!(!may(&view, &real.join("a"), Access::WRITE), "{view:?}");
        assert!(may(&view, &real.join("a/x"), Access::WRITE) && may(&view, &real, Access::READ));
        assert!(view.notes[0].contains("workspace/a/new"), "{:?}", view.notes);
    }

    #[test]
    fn links_and_single_folders_are_narrowed_and_noted() {
        let (_dir, real) = folder(&["real/x", "file"]);
        std::os::unix::fs::symlink("real", real.join("link")).unwrap();
        let rules: &[(&str, &[Right])] = &[
            ("fs:workspace/link/*", BOTH),
            ("fs:workspace/real", BOTH),
            ("fs:workspace/file", READ),
            ("fs:workspace/no/no/*", BOTH),
            ("fs:elsewhere/*", BOTH),
        ];
        let view = view(&real, rules, true);
        assert_eq!(view.rules, [(real.join("file"), Access::READ)]);
        assert_eq!(view.notes.len(), 3, "{:?}", view.notes);
        assert!(view.notes.iter().all(|note| !note.contains(real.to_str().unwrap())));
    }

    #[test]
    fn a_mount_that_is_only_read_is_so_for_programs() {
        let (_dir, real) = folder(&["read/x", "y"]);
        let view = view(&real, &[("fs:*", BOTH), ("!fs:workspace/read/*", &[Right::Write])], true);
        let path = real.join("read/x");
        assert!(may(&view, &path, Access::READ) && !may(&view, &path, Access::WRITE), "{view:?}");
        assert!(may(&view, &real.join("y"), Access::WRITE));
    }

    #[test]
    fn a_folder_that_may_be_made_is_made() {
        let (_dir, real) = folder(&[]);
        let view = view(&real, &[("fs:workspace/target/*", BOTH)], true);
        assert!(real.join("target").is_dir() && may(&view, &real.join("target"), Access::WRITE));
    }
}
