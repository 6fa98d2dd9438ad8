//! The languages of tools.

use std::str::FromStr;

/// The language of a tool's source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Language {
    /// A JavaScript module with `export default async function run(args, libos)`.
    JavaScript,
    /// The same in TypeScript. Its types are stripped, not checked.
    TypeScript,
    /// A core Wasm module, as WAT text or binary.
    Module,
    /// A component of the world `guest`, as text or binary.
    Component,
}

/// A name that is no language.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{name}` is no language of tools; write one of {}", Language::names())]
pub struct UnknownLanguage {
    name: String,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 4] = [Self::JavaScript, Self::TypeScript, Self::Module, Self::Component];

    fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// Its name as documents write it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::JavaScript => "javascript",
            Self::TypeScript => "typescript",
            Self::Module => "wat",
            Self::Component => "component",
        }
    }
}

impl FromStr for Language {
    type Err = UnknownLanguage;
    fn from_str(name: &str) -> Result<Self, UnknownLanguage> {
        let found = Self::ALL.into_iter().find(|language| language.name() == name);
        found.ok_or_else(|| UnknownLanguage { name: name.to_owned() })
    }
}
