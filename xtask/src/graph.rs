//! `docs/graph.txt`: the edges of the workspace, one a line, so that a review sees a new one.
//!
//! ```text
//! libos-port -> libos-abi
//!
//! libos-abi: bincode blake3 serde
//! libos-abi (dev): proptest
//! ```
//!
//! Versions stay out: they change without changing what depends on what.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;

use crate::generated::Generated;
use crate::workspace::{Graph, Package};

const HEAD: &str = "\
# What depends on what: edges inside the workspace, then each crate's direct external crates.
# Written by `cargo xtask graph`; `cargo xtask layers` judges it.
";

/// The file as it should be for the workspace below a root.
pub(crate) fn generated(root: &Path) -> Result<Generated> {
    let graph = Graph::read(&root.join("Cargo.toml"))?;
    let text = format!("{HEAD}\n{}", render(&graph));
    Ok(Generated { path: "docs/graph.txt".to_owned(), text, command: "cargo xtask graph" })
}

/// The edges, sorted, then the external crates of each crate, sorted.
fn render(graph: &Graph) -> String {
    let mut edges = String::new();
    let mut externals = String::new();
    for (name, package) in &graph.packages {
        for edge in &package.internal {
            writeln!(edges, "{name} -> {edge}").expect("a string takes every write");
        }
        for (mark, dev) in [("", false), (" (dev)", true)] {
            let names = external_names(package, dev);
            if !names.is_empty() {
                let names = names.join(" ");
                writeln!(externals, "{name}{mark}: {names}").expect("a string takes every write");
            }
        }
    }
    let gap = if edges.is_empty() || externals.is_empty() { "" } else { "\n" };
    format!("{edges}{gap}{externals}")
}

fn external_names(package: &Package, dev: bool) -> Vec<&str> {
    package.external.iter().filter(|edge| edge.dev == dev).map(|edge| edge.to.as_str()).collect()
}

/// The graph that lines of the rendered form describe; its crates carry every attribute.
///
/// A crate that only stands to the right of an arrow gets no entry.
#[cfg(test)]
pub(crate) fn planted(lines: &[&str]) -> Graph {
    use crate::workspace::Edge;

    let split = |word: &str| match word.strip_suffix(" (dev)") {
        Some(name) => (name.to_owned(), true),
        None => (word.to_owned(), false),
    };
    let mut graph = Graph::default();
    for line in lines {
        let arrow = line.split_once(" -> ");
        let (from, to) = arrow.or_else(|| line.split_once(": ")).expect("an arrow or a colon");
        let (name, dev) = split(from);
        let package = graph.packages.entry(name).or_default();
        package.inherits_lints = true;
        package.forbids_unsafe = true;
        if arrow.is_some() {
            let (to, dev) = split(to);
            package.internal.insert(Edge { to, dev });
        } else {
            package.external.extend(to.split(' ').map(|to| Edge { to: to.to_owned(), dev }));
        }
    }
    graph
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn the_committed_graph_is_fresh() {
        let root = workspace::root();
        generated(&root).and_then(|file| file.check(&root)).expect("docs/graph.txt is fresh");
    }

    #[test]
    fn a_graph_is_rendered_sorted_with_one_edge_a_line() {
        let graph = planted(&[
            "libos-port: thiserror serde",
            "libos-port -> libos-abi",
            "libos-broker -> libos-port (dev)",
            "libos-broker -> libos-abi",
            "libos-abi (dev): proptest",
            "libos-abi: serde",
        ]);
        let expected = "\
libos-broker -> libos-abi
libos-broker -> libos-port (dev)
libos-port -> libos-abi

libos-abi: serde
libos-abi (dev): proptest
libos-port: serde thiserror
";
        assert_eq!(render(&graph), expected);
    }
}
