//! A file of the repository that a command writes and a check compares.

use std::fs;
use std::io::ErrorKind;
use std::iter;
use std::path::Path;

use anyhow::{Context, Result, bail};

/// What a generated file should contain, and who writes it.
#[derive(Debug)]
pub(crate) struct Generated {
    /// Its path below the root of the repository.
    pub(crate) path: String,
    /// Its whole text.
    pub(crate) text: String,
    /// The command that writes it.
    pub(crate) command: &'static str,
}

impl Generated {
    /// Writes the file, with the folders above it.
    pub(crate) fn write(&self, root: &Path) -> Result<()> {
        let path = root.join(&self.path);
        let folder = path.parent().expect("a path below the root has a parent");
        fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
        fs::write(&path, &self.text).with_context(|| format!("write {}", self.path))
    }

    /// Fails when the file is missing or differs, naming the first line that does.
    pub(crate) fn check(&self, root: &Path) -> Result<()> {
        let committed = match fs::read_to_string(root.join(&self.path)) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                bail!("{} is missing: run `{}`", self.path, self.command)
            }
            Err(error) => return Err(error).with_context(|| format!("read {}", self.path)),
        };
        if committed == self.text {
            return Ok(());
        }
        let lines = |text| str::split(text, '\n').map(Some).chain(iter::repeat(None));
        let (line, (old, new)) = (1..)
            .zip(lines(&committed).zip(lines(&self.text)))
            .find(|(_, (old, new))| old != new)
            .expect("different texts differ in a line");
        bail!(
            "{}:{line} is stale: run `{}`\n    is:        {}\n    should be: {}",
            self.path,
            self.command,
            old.unwrap_or("(end of file)"),
            new.unwrap_or("(end of file)"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generated(text: &str) -> Generated {
        Generated { path: "docs/a.txt".to_owned(), text: text.to_owned(), command: "cargo xtask a" }
    }

    #[test]
    fn what_was_written_is_fresh() {
        let root = tempfile::tempdir().expect("a temporary folder");
        generated("one\ntwo\n").write(root.path()).expect("written");
        generated("one\ntwo\n").check(root.path()).expect("fresh");
    }

    #[test]
    fn a_stale_file_is_told_by_its_first_line_and_its_command() {
        let root = tempfile::tempdir().expect("a temporary folder");
        generated("one\ntwo\n").write(root.path()).expect("written");
        for (text, line) in [("one\n2\n", "2"), ("one\n", "2"), ("one\ntwo\n\n", "4"), ("", "1")] {
            let error = generated(text).check(root.path()).expect_err("stale").to_string();
            let head = format!("docs/a.txt:{line} is stale: run `cargo xtask a`");
            assert!(error.starts_with(&head), "{error}");
        }
    }

    #[test]
    fn a_missing_file_names_its_command() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let error = generated("").check(root.path()).expect_err("missing").to_string();
        assert_eq!(error, "docs/a.txt is missing: run `cargo xtask a`");
    }
}
