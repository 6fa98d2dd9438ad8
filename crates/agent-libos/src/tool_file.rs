//! Tool files: a generated tool as people write it, to be tried out before an agent gets it.
//!
//! A closed document in TOML. The source stands in it, or in a file beside it.

use std::path::Path;

use libos_abi::{
    Json, Text,
    tool::{Definition, Language, ToolLimits, ToolNeed, ToolTest},
};
use serde::Deserialize;

use crate::task::TaskError;

/// The keys of the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    name: String,
    #[serde(default)]
    description: String,
    language: Language,
    source: Option<String>,
    source_file: Option<String>,
    input: Json,
    output: Option<Json>,
    #[serde(default, rename = "need")]
    needs: Vec<ToolNeed>,
    limits: Option<ToolLimits>,
    #[serde(default, rename = "test")]
    tests: Vec<ToolTest>,
}

/// Reads a tool file and the source that it names.
///
/// # Errors
/// [`TaskError`], which names the file and what is wrong.
pub fn load(path: &Path) -> Result<Definition, TaskError> {
    let invalid = |message: String| TaskError::Invalid { path: path.to_owned(), message };
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|source| TaskError::Read { path: path.to_owned(), source })
    };
    let file: File = toml::from_str(&read(path)?).map_err(|error| invalid(error.to_string()))?;
    let source = match (file.source, file.source_file) {
        (Some(source), None) => source,
        (None, Some(name)) => read(&path.parent().unwrap_or(Path::new("")).join(name))?,
        _ => return Err(invalid("write one of `source` and `source_file`".into())),
    };
    Ok(Definition {
        name: file.name,
        description: file.description,
        language: file.language,
        source: Text::from(source),
        input: file.input,
        output: file.output,
        needs: file.needs,
        limits: file.limits,
        tests: file.tests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let tool = load(&file).expect("a tool");
        assert_eq!(tool.source.as_str(), Some("export"));
        assert_eq!((tool.needs.len(), tool.tests[0].calls.len()), (1, 1));
        for source in ["", "source = 'a'\nsource_file = 'it.ts'", "more = 1\nsource = 'a'"] {
            std::fs::write(&file, text(source)).expect("written");
            let error = load(&file).expect_err("refused").to_string();
            assert!(error.contains("it.toml"), "{error}");
        }
    }
}
