//! Skills in folders of this host: where they are looked for.
//!
//! To find one means nothing: what is used is what the operator has registered.

use std::path::{Path, PathBuf};

use libos_abi::skill::Skill;

use crate::{
    package,
    task::{TaskError, invalid},
};

/// Where a workspace may keep skills, in the order in which they are looked at.
pub const WORKSPACE_FOLDERS: &[&str] =
    &[".libos/skills", "skills", ".agents/skills", ".claude/skills"];

/// A skill in a folder.
#[derive(Debug)]
pub struct Found {
    /// The name of its folder, which is its own.
    pub name: String,
    /// Its folder.
    pub at: PathBuf,
    /// Whether it is in the user's own folder, and not in a workspace.
    pub is_users: bool,
    /// What is in it.
    pub skill: Result<Skill, TaskError>,
}

/// Every skill in the folder of the user and in those of a workspace, in that order.
#[must_use]
pub fn discover(workspace: &Path, users: Option<&Path>) -> Vec<Found> {
    let of_user = users.map(|users| (users.to_owned(), true));
    let of_workspace = WORKSPACE_FOLDERS.iter().map(|at| (workspace.join(at), false));
    let folders = of_user.into_iter().chain(of_workspace);
    folders.flat_map(|(folder, is_users)| below(&folder, is_users)).collect()
}

fn below(folder: &Path, is_users: bool) -> Vec<Found> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let packages = entries.map(|entry| entry.path());
    let packages = packages.filter(|path| path.join(libos_images::SKILL_FILE_NAME).is_file());
    let mut found: Vec<Found> = packages
        .filter_map(|at| {
            let name = at.file_name()?.to_str()?.to_owned();
            let skill = package::skill(&at).and_then(|skill| match skill.name == name {
                true => Ok(skill),
                false => {
                    let why = format!("its folder is `{name}` and its name is `{}`", skill.name);
                    Err(invalid(&at, why))
                }
            });
            Some(Found { name, at, is_users, skill })
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skills_are_found_in_the_folders_of_user_and_workspace() {
        let (user, workspace) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let put = |folder: PathBuf, name: &str| {
            std::fs::create_dir_all(&folder).expect("made");
            let text = format!("---\nname: {name}\ndescription: d\n---\ntext\n");
            std::fs::write(folder.join("SKILL.md"), text).expect("written");
        };
        put(user.path().join("own"), "own");
        put(workspace.path().join("skills/tidy"), "tidy");
        put(workspace.path().join(".agents/skills/other"), "another");
        std::fs::create_dir_all(workspace.path().join("skills/none")).expect("made");
        let found = discover(workspace.path(), Some(user.path()));
        let told: Vec<_> =
            found.iter().map(|it| (it.name.as_str(), it.is_users, it.skill.is_ok())).collect();
        assert_eq!(told, [("own", true, true), ("tidy", false, true), ("other", false, false)]);
    }
}
