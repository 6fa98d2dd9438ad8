//! The workspace as a graph: its crates, and what each of them names.
//!
//! It is read from `cargo metadata --no-deps` and the manifests, never from the network or the
//! lock file: what a manifest *declares* is what a reviewer has to judge, whichever target or
//! feature would switch it on. Judging is left to [`crate::layers`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fmt, fs};

use anyhow::{Context, Result};
use cargo_metadata::camino::Utf8Path;
use cargo_metadata::{Dependency, DependencyKind, MetadataCommand};

/// The crates of a workspace, by package name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Graph {
    /// Every member of the workspace.
    pub(crate) packages: BTreeMap<String, Package>,
}

/// One crate of the workspace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Package {
    /// What it names inside the workspace.
    pub(crate) internal: BTreeSet<Edge>,
    /// What it names outside of it: registries, git, paths that are no member.
    pub(crate) external: BTreeSet<Edge>,
    /// Whether its manifest says `[lints] workspace = true`.
    pub(crate) inherits_lints: bool,
    /// Whether its library root says `#![forbid(unsafe_code)]`.
    pub(crate) forbids_unsafe: bool,
}

/// One name in a manifest. Edges sort by name, the shipped one before the one for tests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    /// The package it leads to, by its real name even where the manifest renames it.
    pub(crate) to: String,
    /// Whether it is a dev-dependency; build dependencies count as normal ones.
    pub(crate) dev: bool,
}

/// The root of the repository this tool was built in.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("xtask lies in a folder of the workspace root").to_owned()
}

impl Graph {
    /// Reads the workspace that a manifest belongs to.
    ///
    /// Fails when `cargo metadata` does, or when a manifest or a library root cannot be read.
    pub(crate) fn read(manifest: &Path) -> Result<Graph> {
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .no_deps()
            .exec()
            .with_context(|| format!("cargo metadata for {}", manifest.display()))?;
        let members: BTreeSet<&str> =
            metadata.workspace_packages().iter().map(|package| package.name.as_str()).collect();
        let mut graph = Graph::default();
        for package in metadata.workspace_packages() {
            let is_internal =
                |edge: &&Dependency| edge.path.is_some() && members.contains(edge.name.as_str());
            let (internal, external) =
                package.dependencies.iter().partition::<Vec<_>, _>(is_internal);
            let read = Package {
                internal: internal.into_iter().map(Edge::from).collect(),
                external: external.into_iter().map(Edge::from).collect(),
                inherits_lints: inherits_lints(&package.manifest_path)?,
                forbids_unsafe: forbids_unsafe(package)?,
            };
            graph.packages.insert(package.name.to_string(), read);
        }
        Ok(graph)
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Edge { to, dev } = self;
        write!(f, "{to}{}", if *dev { " (dev)" } else { "" })
    }
}

impl From<&Dependency> for Edge {
    fn from(dependency: &Dependency) -> Edge {
        let dev = dependency.kind == DependencyKind::Development;
        Edge { to: dependency.name.clone(), dev }
    }
}

/// Whether a manifest takes its lints from the workspace; `cargo metadata` does not say.
fn inherits_lints(manifest: &Utf8Path) -> Result<bool> {
    let text = fs::read_to_string(manifest).with_context(|| format!("read {manifest}"))?;
    let table: toml::Table = text.parse().with_context(|| format!("parse {manifest}"))?;
    let inherited = table.get("lints").and_then(|lints| lints.get("workspace"));
    Ok(inherited.and_then(toml::Value::as_bool) == Some(true))
}

/// Whether the library root of a package forbids unsafe code. A package without one does not.
///
/// An inner attribute that starts its line can only stand at the head of the file, so the lines
/// need no parser.
fn forbids_unsafe(package: &cargo_metadata::Package) -> Result<bool> {
    let Some(library) = package.targets.iter().find(|target| target.is_lib()) else {
        return Ok(false);
    };
    let path = &library.src_path;
    let text = fs::read_to_string(path).with_context(|| format!("read {path}"))?;
    Ok(text.lines().any(|line| line.trim_end() == "#![forbid(unsafe_code)]"))
}
