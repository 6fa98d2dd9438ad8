//! Label files: what a host says of data. Which label what is read has, and how far data may go.
//!
//! A closed document: an unknown key, or a kind of resource that no call reads or writes, is
//! refused. Its JSON schema is published as `docs/labels.schema.json`.

use std::{collections::BTreeSet, path::Path};

use libos_abi::{CallInfo, DemandInfo, Integrity, Label, Pattern, SERVICES, Sensitivity, Sources};
use libos_broker::{LabelRules, Sink};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::TaskError;

/// A label file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelFile {
    /// Labels of what is read. Where several rules speak of a resource, all of them hold.
    #[serde(default)]
    pub label: Vec<LabelRule>,
    /// How far data may go. Where several rules speak of a resource, the narrowest holds; where
    /// none does, everything may go.
    #[serde(default)]
    pub sink: Vec<SinkRule>,
}

/// The label of what is read from resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelRule {
    /// The resources.
    pub on: Pattern,
    /// How far it may spread; `public` if absent.
    #[serde(default)]
    pub sensitivity: Sensitivity,
    /// How far it can be trusted; `trusted` if absent.
    #[serde(default)]
    pub integrity: Integrity,
}

/// What may go to resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SinkRule {
    /// The resources.
    pub on: Pattern,
    /// The most sensitive data that may go there; any if absent.
    pub sensitivity: Option<Sensitivity>,
    /// The least trusted data that may go there; any if absent.
    pub integrity: Option<Integrity>,
    /// The origins of data that may go there; any if absent.
    pub origins: Option<Sources>,
    /// Whether a human may release a call whose data may not go there; true if absent.
    pub release: Option<bool>,
}

/// Reads a label file.
///
/// # Errors
/// [`TaskError`], which names the file and what is wrong.
pub fn load(path: &Path) -> Result<LabelRules, TaskError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| TaskError::Read { path: path.to_owned(), source })?;
    parse(&text).map_err(|message| TaskError::Invalid { path: path.to_owned(), message })
}

/// Reads the text of a label file.
///
/// # Errors
/// What is wrong with it.
pub fn parse(text: &str) -> Result<LabelRules, String> {
    let file: LabelFile = toml::from_str(text).map_err(|error| error.to_string())?;
    for LabelRule { on, .. } in &file.label {
        check_kind(on, "reads", |call| call.data.is_in())?;
    }
    let mut seen = BTreeSet::new();
    for SinkRule { on, .. } in &file.sink {
        check_kind(on, "writes to", |call| call.data.is_out())?;
        if !seen.insert(on.as_str()) {
            return Err(format!("there are two rules on the sink {on}; write one"));
        }
    }
    let label = |LabelRule { on, sensitivity, integrity }| {
        (on, Label { sensitivity, integrity, ..Label::BOTTOM })
    };
    let sink = |SinkRule { on, sensitivity, integrity, origins, release }| Sink {
        on,
        clearance: Label {
            sensitivity: sensitivity.unwrap_or(Label::TOP.sensitivity),
            integrity: integrity.unwrap_or(Label::TOP.integrity),
            origins: origins.unwrap_or(Label::TOP.origins),
        },
        releasable: release.unwrap_or(true),
    };
    Ok(LabelRules::new(
        file.label.into_iter().map(label).collect(),
        file.sink.into_iter().map(sink).collect(),
    ))
}

/// A rule on a kind that no call speaks of would never hold.
fn check_kind(on: &Pattern, does: &str, is_it: impl Fn(&CallInfo) -> bool) -> Result<(), String> {
    let calls = SERVICES.iter().flat_map(|service| service.calls).filter(|call| is_it(call));
    let kinds: BTreeSet<&str> = calls
        .filter_map(|call| match call.demand {
            DemandInfo::Right(_, kind) => Some(kind),
            _ => None,
        })
        .collect();
    if kinds.contains(on.kind()) {
        return Ok(());
    }
    let kinds: Vec<&str> = kinds.into_iter().collect();
    Err(format!("no call {does} {on}; there are the kinds {}", kinds.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_that_could_never_hold_is_refused() {
        for (text, what) in [
            ("[[label]]\non = \"cloud:*\"\nsensitivity = \"secret\"", "no call reads cloud:*"),
            ("[[sink]]\non = \"clock:now\"", "no call writes to clock:now"),
            ("[[sink]]\non = \"shell:*\"\n[[sink]]\non = \"shell:*\"", "two rules"),
            ("[[sink]]\non = \"shell:*\"\nsensitivity = \"top\"", "unknown variant"),
            ("[[sink]]\non = \"shell:*\"\nmax = \"secret\"", "unknown field"),
            ("[[label]]\non = \"fs:workspace/**\"", "star"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(what), "{error}");
        }
        assert!(parse("").expect("a document").is_empty());
    }
}
