//! Loading a script: every line checked, every script that it starts put in its place.

use serde_json::Value;

use crate::step::{self, Action};

/// How many scripts may start one another, one below the other, the first one included: deeper is
/// taken for a mistake.
pub const LOAD_DEPTH_MAX: usize = 8;

/// The most bytes of a loaded program: the text of each script is in it, once for each start of it.
pub const PROGRAM_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A script that cannot be loaded: where and why.
#[derive(Debug, thiserror::Error)]
#[error("{}line {line}: {fault}", file_prefix(.file))]
pub struct PlanError {
    /// The file, by the name in `script`; `None` for the script that was given to [`load`].
    pub file: Option<String>,
    /// The line, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: PlanFault,
}

fn file_prefix(file: &Option<String>) -> String {
    file.as_ref().map(|file| format!("{file} ")).unwrap_or_default()
}

/// What is wrong with a line of a script.
#[derive(Debug, thiserror::Error)]
pub enum PlanFault {
    /// It is no JSON, has an unknown key, or a value of the wrong type.
    #[error("column {column}: {what}")]
    Json {
        /// The column, from 1.
        column: usize,
        /// What is wrong.
        what: String,
    },
    /// It has none of `call`, `tool`, `spawn`, `fork`, `exec`, `exit`.
    #[error("a step needs one of `call`, `tool`, `spawn`, `fork`, `exec`, `exit`")]
    NoAction,
    /// It has several of them.
    #[error("a step has only one of `call`, `tool`, `spawn`, `fork`, `exec`, `exit`")]
    ManyActions,
    /// A key that its action does not take.
    #[error("`{key}` does not go with `{beside}`")]
    Misplaced {
        /// The key.
        key: &'static str,
        /// The action.
        beside: &'static str,
    },
    /// No table has a call of this name.
    #[error("there is no call `{name}`; did you mean `{near}`?")]
    UnknownCall {
        /// The name.
        name: String,
        /// The nearest name there is.
        near: &'static str,
    },
    /// No error has this code.
    #[error("no step ends in `{code}`; did you mean `{near}`?")]
    UnknownCode {
        /// The code.
        code: String,
        /// The nearest code there is.
        near: &'static str,
    },
    /// An empty list of codes.
    #[error("`expect` names no outcome; write \"ok\" or an error code")]
    NothingExpected,
    /// A name to save under that no reference could spell.
    #[error("`{name}` is no name to save under: use letters, digits, `_` and `-`")]
    BadName {
        /// The name.
        name: String,
    },
    /// A reference that does not close.
    #[error("{what}")]
    BadReference {
        /// What is wrong with it.
        what: String,
    },
    /// Both `script` and `program`.
    #[error("`{beside}` has only one of `script` and `program`")]
    ScriptAndProgram {
        /// The action.
        beside: &'static str,
    },
    /// A program at run time that still names a file: it was not loaded.
    #[error("`script` names the file `{file}`: load the script before it is run")]
    NotLoaded {
        /// The file.
        file: String,
    },
    /// The file of a script could not be read.
    #[error("`{file}` cannot be read: {why}")]
    Unreadable {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A script that starts itself, directly or through others.
    #[error("`{file}` starts itself: {chain}")]
    Cycle {
        /// The file.
        file: String,
        /// The files on the way, with arrows.
        chain: String,
    },
    /// More scripts one below the other than [`LOAD_DEPTH_MAX`].
    #[error("scripts start one another more than {LOAD_DEPTH_MAX} deep")]
    TooDeep,
    /// A program over [`PROGRAM_BYTES_MAX`].
    #[error("with the scripts that it starts the program has over {PROGRAM_BYTES_MAX} bytes")]
    TooLarge,
}

impl From<serde_json::Error> for PlanFault {
    fn from(error: serde_json::Error) -> Self {
        // A line is parsed by itself, so the place in the message would be misleading.
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        Self::Json {
            column: error.column(),
            what: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
        }
    }
}

/// Checks a script and makes it self-contained.
///
/// Every line is checked. Each `spawn`, `fork` and `exec` with a `script`, the name of a file, gets
/// that file's text (which `resolve` gives) as its `program`, checked and made self-contained in
/// the same way. Lines keep their numbers. Loading what was loaded changes nothing.
///
/// ```
/// let mut files = |name: &str| match name {
///     "child.jsonl" => Ok(r#"{"call":"clock.now"}"#.to_owned()),
///     _ => Err("no such file".to_owned()),
/// };
/// let plan = r#"{"spawn":{"script":"child.jsonl","goal":"tell the time"},"save":"w"}"#;
/// let program = libos_planner::load(plan, &mut files).unwrap();
/// assert!(program.contains(r#""program":"{\"call\":\"clock.now\"}""#));
///
/// let error = libos_planner::load(r#"{"call":"fs.raed"}"#, &mut files).unwrap_err();
/// assert_eq!(error.to_string(), "line 1: there is no call `fs.raed`; did you mean `fs.read`?");
/// ```
///
/// # Errors
/// [`PlanError`], for the first line that is wrong.
pub fn load(
    text: &str,
    resolve: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Result<String, PlanError> {
    let mut loader = Loader { resolve, files: Vec::new(), depth: 0 };
    loader.text(text)
}

struct Loader<'a> {
    resolve: &'a mut dyn FnMut(&str) -> Result<String, String>,
    /// The files being loaded, outermost first.
    files: Vec<String>,
    /// How many texts are being loaded: files, and programs written in place.
    depth: usize,
}

/// Why a line cannot be loaded: its own fault, or that of a line in a child's script.
enum Stop {
    Here(PlanFault),
    Below(PlanError),
}

impl<F: Into<PlanFault>> From<F> for Stop {
    fn from(fault: F) -> Self {
        Self::Here(fault.into())
    }
}

impl Loader<'_> {
    fn text(&mut self, text: &str) -> Result<String, PlanError> {
        self.depth += 1;
        let mut out: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut bytes = text.len();
        for (line, written) in step::lines(text) {
            let file = self.files.last().cloned();
            let loaded = self.line(line, written).and_then(|loaded| {
                bytes += loaded.len().saturating_sub(written.len());
                match bytes > PROGRAM_BYTES_MAX {
                    true => Err(PlanFault::TooLarge.into()),
                    false => Ok(loaded),
                }
            });
            out[line - 1] = loaded.map_err(|stop| match stop {
                Stop::Here(fault) => PlanError { file, line, fault },
                Stop::Below(error) => error,
            })?;
        }
        self.depth -= 1;
        Ok(out.join("\n"))
    }

    fn line(&mut self, line: usize, written: &str) -> Result<String, Stop> {
        let (key, loaded) = match step::parse(line, written)?.action {
            Action::Start { key, script: Some(file), .. } => (key, self.file(file)?),
            Action::Start { key, program: Some(program), .. } => (key, self.below(&program)?),
            _ => return Ok(written.to_owned()),
        };
        let mut value: Value = serde_json::from_str(written)?;
        if let Some(start) = value[key].as_object_mut() {
            start.remove("script");
            start.insert("program".into(), loaded.into());
        }
        Ok(value.to_string())
    }

    fn file(&mut self, file: String) -> Result<String, Stop> {
        if self.files.contains(&file) {
            let chain = self.files.iter().chain([&file]);
            let chain = chain.map(String::as_str).collect::<Vec<_>>().join(" -> ");
            return Err(PlanFault::Cycle { file, chain }.into());
        }
        let text = (self.resolve)(&file)
            .map_err(|why| PlanFault::Unreadable { file: file.clone(), why })?;
        self.files.push(file);
        let loaded = self.below(&text);
        self.files.pop();
        loaded
    }

    fn below(&mut self, text: &str) -> Result<String, Stop> {
        match self.depth < LOAD_DEPTH_MAX {
            true => self.text(text).map_err(Stop::Below),
            false => Err(PlanFault::TooDeep.into()),
        }
    }
}
