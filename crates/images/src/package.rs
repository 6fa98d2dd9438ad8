//! Packages: folders that are read file by file.
//!
//! Pure: whoever calls reads the files. No name that is handed out leads out of the folder.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use libos_abi::image::PackageFile;

use crate::core::{Limits, is_plain_path};

/// A folder that a package is in. It follows no link out of itself.
pub trait Folder {
    /// The bytes of a file, which may have so many at most.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    fn read(&mut self, file: &str, bytes_max: u64) -> Result<Vec<u8>, String>;

    /// The names of all files in a folder and below it, relative to it; more than so many are an
    /// error.
    ///
    /// # Errors
    /// Why it cannot be listed, in words.
    fn files(&mut self, folder: &str, files_max: usize) -> Result<Vec<String>, String>;
}

/// A package that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadPackage {
    /// It is no TOML, has a key that is not known, lacks one, or has one of another type. The
    /// message names the line.
    #[error("{file}: {error}")]
    Toml {
        /// The file.
        file: String,
        /// What is wrong.
        error: toml::de::Error,
    },
    /// It is over a limit or names something badly.
    #[error("{file} is malformed: {why}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong.
        why: String,
    },
    /// A text is given in place and in a file.
    #[error("`{key}` and `{key}_file` say the same: keep one of them")]
    Both {
        /// The key of the text in place.
        key: &'static str,
    },
    /// A file's name is absolute, leads upwards, or is no plain name.
    #[error("`{file}` is no file of the package: write a name relative to it")]
    BadFileName {
        /// The name as it was written.
        file: String,
    },
    /// A file could not be read.
    #[error("`{file}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A file, or all files of a folder together, are over their limit.
    #[error("`{file}` has {bytes} bytes; at most {bytes_max} may be")]
    TooLarge {
        /// The file or folder.
        file: String,
        /// Its length.
        bytes: u64,
        /// Its limit.
        bytes_max: u64,
    },
}

impl BadPackage {
    pub(crate) fn malformed(file: &str, why: impl Into<String>) -> Self {
        Self::Malformed { file: file.to_owned(), why: why.into() }
    }
}

/// A name that a package may hand out.
pub(crate) fn check_file_name(file: &str) -> Result<(), BadPackage> {
    match is_plain_path(file) {
        true => Ok(()),
        false => Err(BadPackage::BadFileName { file: file.to_owned() }),
    }
}

/// The bytes of a file of a package.
///
/// # Errors
/// What is wrong with how they are written, in words.
pub fn bytes_of(file: &PackageFile) -> Result<Vec<u8>, String> {
    let text = file.text.as_str().ok_or_else(|| format!("`{}` is not here", file.path))?;
    match file.base64 {
        false => Ok(text.as_bytes().to_vec()),
        true => STANDARD.decode(text).map_err(|error| format!("`{}`: {error}", file.path)),
    }
}

fn read(folder: &mut dyn Folder, file: &str, bytes_max: u64) -> Result<Vec<u8>, BadPackage> {
    let read = folder.read(file, bytes_max);
    let bytes = read.map_err(|why| BadPackage::Unreadable { file: file.to_owned(), why })?;
    check_bytes(file, bytes.len() as u64, bytes_max)?;
    Ok(bytes)
}

/// A file that is a text.
pub(crate) fn text_of(
    folder: &mut dyn Folder,
    file: &str,
    bytes_max: u64,
) -> Result<String, BadPackage> {
    String::from_utf8(read(folder, file, bytes_max)?).map_err(|_| BadPackage::Unreadable {
        file: file.to_owned(),
        why: "it is not UTF-8".into(),
    })
}

/// All files of a folder and below it, in the order of their names.
pub(crate) fn files_of(
    folder: &mut dyn Folder,
    of: &str,
    limits: &Limits,
) -> Result<Vec<PackageFile>, BadPackage> {
    let listed = folder.files(of, limits.package_files_max);
    let mut names = listed.map_err(|why| BadPackage::Unreadable { file: of.to_owned(), why })?;
    names.sort_unstable();
    let mut left = limits.package_bytes_max;
    let mut files = Vec::with_capacity(names.len());
    for path in names {
        check_file_name(&path)?;
        let bytes = read(folder, &joined(of, &path), left)?;
        left -= bytes.len() as u64;
        files.push(match String::from_utf8(bytes) {
            Ok(text) => PackageFile { path, text: text.into(), base64: false },
            Err(error) => {
                let text = STANDARD.encode(error.as_bytes());
                PackageFile { path, text: text.into(), base64: true }
            }
        });
    }
    Ok(files)
}

pub(crate) fn check_bytes(file: &str, bytes: u64, bytes_max: u64) -> Result<(), BadPackage> {
    match bytes <= bytes_max {
        true => Ok(()),
        false => Err(BadPackage::TooLarge { file: file.to_owned(), bytes, bytes_max }),
    }
}

/// The name of a file in a folder of the package; the package itself is named by nothing.
pub(crate) fn joined(folder: &str, file: &str) -> String {
    match folder {
        "" => file.to_owned(),
        folder => format!("{folder}/{file}"),
    }
}

/// A folder of the package as a package of its own.
pub(crate) struct Within<'f> {
    pub(crate) folder: &'f mut dyn Folder,
    pub(crate) at: String,
}

impl Folder for Within<'_> {
    fn read(&mut self, file: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        self.folder.read(&joined(&self.at, file), bytes_max)
    }

    fn files(&mut self, folder: &str, files_max: usize) -> Result<Vec<String>, String> {
        let at = match folder {
            "" => self.at.clone(),
            folder => joined(&self.at, folder),
        };
        self.folder.files(&at, files_max)
    }
}
