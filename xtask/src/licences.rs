//! Holds every external package to `deny.toml`: its licence, its source, the bans.
//!
//! `cargo deny` reads the same file and checks more, but it needs a network and an installation.
//! This is the part that the resolved dependencies alone decide, so it can run everywhere.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use cargo_metadata::{CargoOpt, MetadataCommand};
use serde::Deserialize;
use spdx::{Expression, Licensee, ParseMode};

/// The part of `deny.toml` that is enforced here.
#[derive(Debug, Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, Deserialize)]
struct Licences {
    allow: Vec<String>,
    #[serde(default)]
    exceptions: Vec<Exception>,
}

/// Licences allowed for one package only.
#[derive(Debug, Deserialize)]
struct Exception {
    #[serde(rename = "crate")]
    package: String,
    allow: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Bans {
    deny: Vec<Ban>,
}

#[derive(Debug, Deserialize)]
struct Ban {
    #[serde(rename = "crate")]
    package: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    allow_registry: Vec<String>,
}

/// What the policy asks about a package.
#[derive(Debug)]
struct External<'a> {
    name: &'a str,
    licence: Option<&'a str>,
    source: &'a str,
}

/// Holds all resolved packages of a workspace to the `deny.toml` below a root.
///
/// Every target and every feature counts. Fails with the list of all refusals, when `Cargo.lock`
/// is not up to date, or when the policy itself cannot be read.
pub(crate) fn run(manifest: &Path, root: &Path) -> Result<()> {
    let text = fs::read_to_string(root.join("deny.toml")).context("read deny.toml")?;
    let deny: Deny = toml::from_str(&text).context("parse deny.toml")?;
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .features(CargoOpt::AllFeatures)
        .other_options(["--locked".to_owned()])
        .exec()
        .with_context(|| format!("cargo metadata for {}", manifest.display()))?;
    let mut count = 0_usize;
    let mut refused = String::new();
    for package in &metadata.packages {
        let Some(source) = &package.source else {
            continue;
        };
        count += 1;
        let external = External {
            name: package.name.as_str(),
            licence: package.license.as_deref(),
            source: &source.repr,
        };
        if let Some(reason) = deny.refusal(&external)? {
            refused.push_str(&format!("\n    {} {}: {reason}", package.name, package.version));
        }
    }
    ensure!(refused.is_empty(), "deny.toml refuses:{refused}");
    println!("licences: {count} external packages keep deny.toml");
    Ok(())
}

impl Deny {
    /// Why a package is refused, or nothing. Fails when the policy names an unknown licence.
    fn refusal(&self, package: &External<'_>) -> Result<Option<String>> {
        if let Some(ban) = self.bans.deny.iter().find(|ban| ban.package == package.name) {
            return Ok(Some(format!("banned: {}", ban.reason)));
        }
        let registry = package.source.strip_prefix("registry+").unwrap_or(package.source);
        if !self.sources.allow_registry.iter().any(|allowed| allowed == registry) {
            return Ok(Some(format!("comes from {}", package.source)));
        }
        let Some(licence) = package.licence else {
            return Ok(Some("names no licence".to_owned()));
        };
        // LAX, for the `MIT/Apache-2.0` of old manifests.
        let Ok(expression) = Expression::parse_mode(licence, ParseMode::LAX) else {
            return Ok(Some(format!("`{licence}` is no SPDX expression")));
        };
        let allowed = self.allowed_for(package.name)?;
        let satisfied =
            expression.evaluate(|needed| allowed.iter().any(|licensee| licensee.satisfies(needed)));
        Ok((!satisfied).then(|| format!("`{licence}` is not allowed")))
    }

    /// The licences a package may be used under.
    fn allowed_for(&self, package: &str) -> Result<Vec<Licensee>> {
        let exceptions =
            self.licenses.exceptions.iter().filter(|exception| exception.package == package);
        self.licenses
            .allow
            .iter()
            .chain(exceptions.flat_map(|exception| &exception.allow))
            .map(|name| Licensee::parse(name).with_context(|| format!("deny.toml allows `{name}`")))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

    fn committed() -> Deny {
        let path = workspace::root().join("deny.toml");
        let text = fs::read_to_string(path).expect("deny.toml is there");
        toml::from_str(&text).expect("deny.toml has the known form")
    }

    #[track_caller]
    fn refusal(name: &str, licence: Option<&str>, source: &str) -> Option<String> {
        committed().refusal(&External { name, licence, source }).expect("deny.toml is sound")
    }

    #[test]
    fn expressions_are_evaluated_against_the_allow_list() {
        for (licence, allowed) in [
            ("MIT OR Apache-2.0", true),
            ("MIT/Apache-2.0", true),
            ("(MIT OR Apache-2.0) AND Unicode-3.0", true),
            ("GPL-3.0-only OR MIT", true),
            ("Apache-2.0 WITH LLVM-exception", true),
            ("GPL-3.0-only", false),
            ("MIT AND GPL-3.0-only", false),
            ("AGPL-3.0-or-later", false),
            ("MPL-2.0", false),
            ("Apache-2.0 WITH Classpath-exception-2.0", false),
            ("see LICENSE", false),
        ] {
            let refused = refusal("some", Some(licence), CRATES_IO);
            assert_eq!(refused.is_none(), allowed, "{licence}: {refused:?}");
        }
    }

    #[test]
    fn an_exception_holds_for_its_package_only() {
        assert_eq!(refusal("imbl", Some("MPL-2.0+"), CRATES_IO), None);
        assert!(refusal("imblx", Some("MPL-2.0+"), CRATES_IO).is_some());
    }

    #[test]
    fn no_licence_a_foreign_source_and_a_ban_are_refused() {
        let git = "git+https://github.com/some/some#0123";
        assert_eq!(refusal("some", None, CRATES_IO).as_deref(), Some("names no licence"));
        assert_eq!(refusal("some", Some("MIT"), git), Some(format!("comes from {git}")));
        let banned = refusal("im", Some("MIT"), CRATES_IO).expect("im is banned");
        assert!(banned.starts_with("banned: "), "{banned}");
    }
}
