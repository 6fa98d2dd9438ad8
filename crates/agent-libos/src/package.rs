//! Packages of images and tools, as folders of this host.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use libos_abi::{
    Digest,
    image::{Image, PackageFile},
    skill::Skill,
    tool::Definition,
};
use libos_images::{BadPackage, Folder, IMAGE_FILE_NAME};
use serde::{Deserialize, Serialize};

use crate::task::{TaskError, invalid};

/// Folders below folders that are looked into: no package is deeper.
const DEPTH_MAX: usize = 16;

/// Reads an image: an `image.toml`, the folder that holds one, with the files that it names.
///
/// # Errors
/// [`TaskError`], which names the file and what is wrong.
pub fn image(path: &Path) -> Result<Built, TaskError> {
    let (mut folder, file) = match path.is_dir() {
        true => (HostFolder::new(path), IMAGE_FILE_NAME.to_owned()),
        false => HostFolder::beside(path)?,
    };
    let loaded = libos_images::load_package(&mut folder, &file);
    let loaded = loaded.map_err(|error| invalid(path, error.to_string()))?;
    Ok(Built { digest: loaded.image.digest(), image: loaded.image, skills: loaded.skills })
}

/// Reads the package of a skill: a folder with a `SKILL.md`.
///
/// # Errors
/// [`TaskError`], which names the folder and what is wrong.
pub fn skill(path: &Path) -> Result<Skill, TaskError> {
    let loaded = libos_images::load_skill(&mut HostFolder::new(path));
    loaded.map_err(|error| invalid(path, error.to_string()))
}

/// The bytes of a built image: that of all its parts, written as JSON.
const BUILT_BYTES_MAX: u64 = 64 << 20;

/// An image in one file, as `libos image build` writes it: everything that its package names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Built {
    /// The digest of the image, by which it is known again.
    pub digest: Digest,
    /// The image.
    pub image: Image,
    /// The skills that it names.
    #[serde(default)]
    pub skills: Vec<Skill>,
}

impl Built {
    /// That it is what was built.
    fn check(&self) -> Result<(), String> {
        let malformed = |error: BadPackage| error.to_string();
        libos_images::check_image(&self.image).map_err(malformed)?;
        self.skills.iter().try_for_each(libos_images::check_skill).map_err(malformed)?;
        let is_named = |skill: &Skill| {
            self.image
                .skills
                .iter()
                .any(|pin| pin.name == skill.name && pin.digest == skill.digest())
        };
        match self.image.digest() == self.digest && self.skills.iter().all(is_named) {
            true => Ok(()),
            false => Err("it is not what was built: its digest is another".into()),
        }
    }
}

/// Whether what is typed is the path of an image: no name of one has a dot or a slash.
#[must_use]
pub fn is_path(image: &str) -> bool {
    image.contains(['/', '.'])
}

/// Reads an image: its folder, its `image.toml`, or the file that was built of it.
///
/// # Errors
/// [`TaskError`], which names the file and what is wrong.
pub fn load(path: &Path) -> Result<Built, TaskError> {
    if path.extension().is_none_or(|extension| extension != "json") {
        return image(path);
    }
    let bytes = read_within(path, BUILT_BYTES_MAX).map_err(|why| invalid(path, why))?;
    let built: Built =
        serde_json::from_slice(&bytes).map_err(|error| invalid(path, error.to_string()))?;
    built.check().map_err(|why| invalid(path, why))?;
    Ok(built)
}

/// Writes what an image brings for a workspace, if that is empty; says which files those are.
///
/// # Errors
/// [`TaskError`], which names the file.
pub fn seed(workspace: &Path, files: &[PackageFile]) -> Result<Vec<String>, TaskError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| TaskError::Read { path, source }
    };
    let mut entries = fs::read_dir(workspace).map_err(failed(workspace))?;
    if files.is_empty() || entries.next().is_some() {
        return Ok(Vec::new());
    }
    for file in files {
        let path = workspace.join(&file.path);
        let bytes = libos_images::bytes_of(file).map_err(|why| invalid(&path, why))?;
        fs::create_dir_all(path.parent().unwrap_or(workspace)).map_err(failed(&path))?;
        let new = fs::File::create_new(&path).map_err(failed(&path))?;
        io::Write::write_all(&mut &new, &bytes).map_err(failed(&path))?;
    }
    Ok(files.iter().map(|file| file.path.clone()).collect())
}

/// Reads a tool file and the source that it names.
///
/// # Errors
/// [`TaskError`], which names the file and what is wrong.
pub fn tool(path: &Path) -> Result<Definition, TaskError> {
    let (mut folder, file) = HostFolder::beside(path)?;
    let loaded = libos_images::load_tool(&mut folder, &file);
    loaded.map_err(|error| invalid(path, error.to_string()))
}

/// A folder of this host.
pub(crate) struct HostFolder {
    root: PathBuf,
}

impl HostFolder {
    pub(crate) fn new(root: &Path) -> Self {
        // The folder that a bare name is in has no name itself.
        Self { root: root.join(".") }
    }

    /// The folder of a file, and its name there.
    fn beside(path: &Path) -> Result<(Self, String), TaskError> {
        let name = path.file_name().and_then(|name| name.to_str());
        let name = name.ok_or_else(|| invalid(path, "it is no file"))?;
        Ok((Self::new(path.parent().unwrap_or(Path::new(""))), name.to_owned()))
    }

    fn list(&self, at: &Path, depth: usize, found: &mut Vec<String>, max: usize) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("it is more than {DEPTH_MAX} folders deep")));
        }
        for entry in fs::read_dir(at)? {
            let path = entry?.path();
            match path.is_dir() {
                true if self.holds(&path)? => self.list(&path, depth + 1, found, max)?,
                true => return Err(io::Error::other("a link leads out of the package")),
                false => found.push(path.to_string_lossy().into_owned()),
            }
            if found.len() > max {
                return Err(io::Error::other(format!("there are more than {max} files")));
            }
        }
        Ok(())
    }

    /// Whether something really is in the folder, wherever links lead.
    fn holds(&self, path: &Path) -> io::Result<bool> {
        Ok(path.canonicalize()?.starts_with(self.root.canonicalize()?))
    }
}

impl Folder for HostFolder {
    fn read(&mut self, file: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        let path = self.root.join(file);
        match self.holds(&path) {
            Err(error) => Err(error.to_string()),
            Ok(false) => Err("a link leads out of the package".into()),
            Ok(true) => read_within(&path, bytes_max),
        }
    }

    fn files(&mut self, folder: &str, files_max: usize) -> Result<Vec<String>, String> {
        let (at, mut found) = (self.root.join(folder), Vec::new());
        match self.holds(&at) {
            Err(error) => return Err(error.to_string()),
            Ok(false) => return Err("a link leads out of the package".into()),
            Ok(true) => {}
        }
        self.list(&at, 0, &mut found, files_max).map_err(|error| error.to_string())?;
        let begin = at.to_string_lossy().into_owned();
        let relative = |path: String| {
            let rest = path.strip_prefix(&begin).map(|rest| rest.trim_start_matches('/'));
            rest.map(str::to_owned).ok_or_else(|| format!("{path} is not below {begin}"))
        };
        found.into_iter().map(relative).collect()
    }
}

/// Reads so many bytes at most.
pub(crate) fn read_within(path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    match bytes.len() as u64 > bytes_max {
        true => Err(format!("it has more than {bytes_max} bytes")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "name = \"reviewer\"\nversion = \"1\"\nprompt_file = \"p/main.md\"\n";

    fn package() -> tempfile::TempDir {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(dir.path().join("p")).expect("made");
        std::fs::write(dir.path().join("image.toml"), IMAGE).expect("written");
        std::fs::write(dir.path().join("p/main.md"), "Look closely.").expect("written");
        dir
    }

    #[test]
    fn a_package_is_read_as_a_folder_and_by_its_file_under_any_name() {
        let dir = package();
        let other = dir.path().join("other.toml");
        std::fs::write(&other, IMAGE).expect("written");
        for path in [dir.path(), &dir.path().join("image.toml"), &other] {
            let image = image(path).expect("an image").image;
            assert_eq!(image.prompt.as_str(), Some("Look closely."), "{}", path.display());
        }
    }

    #[test]
    fn no_link_leads_out_of_a_package() {
        let (dir, outside) = (package(), tempfile::tempdir().expect("a folder"));
        std::fs::write(outside.path().join("secret"), "a key").expect("written");
        let prompt = dir.path().join("p/main.md");
        std::fs::remove_file(&prompt).expect("removed");
        std::os::unix::fs::symlink(outside.path().join("secret"), &prompt).expect("linked");
        let error = image(dir.path()).expect_err("refused").to_string();
        assert!(error.contains("p/main.md") && error.contains("leads out"), "{error}");
    }

    #[test]
    fn a_package_brings_tools_limits_and_what_a_workspace_begins_with() {
        let dir = package();
        let at = |name: &str| dir.path().join(name);
        for folder in ["tools", "seed", "seed/src"] {
            std::fs::create_dir(at(folder)).expect("made");
        }
        let more = "seed = \"seed\"\ngenerated = [\"tools/one.toml\"]\n\
                    [budget]\ntokens = 9\n[context]\npolicy = \"recency\"\n\
                    [planner]\nkind = \"model\"\nprogram = '{\"turns_max\":9}'\n";
        std::fs::write(at("image.toml"), format!("{IMAGE}{more}")).expect("written");
        let tool = "name = \"one\"\nlanguage = \"javascript\"\nsource_file = \"one.js\"\n\
                    [input]\ntype = \"object\"\n";
        std::fs::write(at("tools/one.toml"), tool).expect("written");
        std::fs::write(at("tools/one.js"), "export default () => 1;").expect("written");
        std::fs::write(at("seed/src/a.txt"), "one\n").expect("written");
        std::fs::write(at("seed/b.bin"), [0xff, 0x00]).expect("written");
        let built = image(dir.path()).expect("an image");
        let image = &built.image;
        assert_eq!(
            (image.tools.as_slice(), image.budget.tokens),
            (&["one".to_owned()][..], Some(9))
        );
        assert_eq!(image.generated[0].source.as_str(), Some("export default () => 1;"));
        assert_eq!(
            image.context.as_ref().expect("one").value().expect("JSON")["policy"],
            "recency"
        );
        let program = image.planner.as_ref().and_then(|it| it.program.as_str()).expect("one");
        assert_eq!(program, r#"{"context":{"policy":"recency"},"turns_max":9}"#);
        let files: Vec<_> = image.seed.iter().map(|file| (&*file.path, file.base64)).collect();
        assert_eq!(files, [("b.bin", true), ("src/a.txt", false)]);
        // An empty workspace begins with that, any other stays as it is.
        let workspace = tempfile::tempdir().expect("a folder");
        let written = seed(workspace.path(), &image.seed).expect("written");
        assert_eq!(written, ["b.bin", "src/a.txt"]);
        let read = |name: &str| std::fs::read(workspace.path().join(name)).expect("there");
        assert_eq!((read("b.bin"), read("src/a.txt")), (vec![0xff, 0x00], b"one\n".to_vec()));
        std::fs::write(workspace.path().join("b.bin"), "mine").expect("written");
        assert!(seed(workspace.path(), &image.seed).expect("nothing to do").is_empty());
        assert_eq!(read("b.bin"), b"mine");
        // Built into one file it is the same, and changed it is none.
        let file = dir.path().join("built.json");
        let text = serde_json::to_string(&built).expect("JSON");
        std::fs::write(&file, &text).expect("written");
        assert_eq!(load(&file).expect("the same"), built);
        std::fs::write(&file, text.replace("one\\n", "two\\n")).expect("written");
        assert!(load(&file).expect_err("refused").to_string().contains("digest"));
        // Neither a setting of the host nor anything hidden comes along.
        for name in ["seed/libos.toml", "seed/.hidden"] {
            std::fs::write(at(name), "x").expect("written");
            assert!(super::image(dir.path()).is_err(), "{name}");
            std::fs::remove_file(at(name)).expect("removed");
        }
    }

    #[test]
    fn a_tool_is_read_with_the_source_beside_it() {
        let dir = tempfile::tempdir().expect("a folder");
        std::fs::write(dir.path().join("it.ts"), "export").expect("written");
        let file = dir.path().join("it.toml");
        let text = |source: &str| {
            format!(
                "name = 'it'\nlanguage = 'typescript'\n{source}\n[input]\ntype = 'object'\n\
                 [[need]]\ncall = 'fs.read'\non = ['fs:workspace/*']\n\
                 [[test]]\nname = 'one'\nargs = {{ path = 'a' }}\nresult = 1\n\
                 [[test.calls]]\ncall = 'fs.read'\nargs = {{ path = 'a' }}\n\
                 error = {{ code = 'denied' }}\n"
            )
        };
        std::fs::write(&file, text("source_file = 'it.ts'")).expect("written");
        let tool = super::tool(&file).expect("a tool");
        assert_eq!(tool.source.as_str(), Some("export"));
        assert_eq!((tool.needs.len(), tool.tests[0].calls.len()), (1, 1));
        for source in ["", "source = 'a'\nsource_file = 'it.ts'", "more = 1\nsource = 'a'"] {
            std::fs::write(&file, text(source)).expect("written");
            let error = super::tool(&file).expect_err("refused").to_string();
            assert!(error.contains("it.toml"), "{error}");
        }
    }
}
