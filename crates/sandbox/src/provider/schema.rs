//! The schemas of a tool's arguments and result.

use jsonschema::Validator;
use libos_abi::Json;
use serde_json::Value;

/// How many faults of a value are named.
const FAULTS_MAX: usize = 4;

/// A schema that was read.
pub(super) struct Schema(Validator);

impl Schema {
    /// Reads a schema; the error says what is wrong with it.
    pub(super) fn new(which: &str, schema: &Json) -> Result<Self, String> {
        let bad = |what: String| format!("the schema of the {which} is none: {what}");
        let value = schema.value().map_err(|error| bad(error.to_string()))?;
        let validator =
            jsonschema::validator_for(&value).map_err(|error| bad(error.to_string()))?;
        Ok(Self(validator))
    }

    /// Whether a value fits; the error says where it does not.
    pub(super) fn check(&self, value: &Value) -> Result<(), String> {
        let faults: Vec<String> = self
            .0
            .iter_errors(value)
            .take(FAULTS_MAX)
            .map(|fault| {
                let at = fault.instance_path().to_string();
                let at = if at.is_empty() { "/" } else { &at };
                format!("at `{at}`: {fault}")
            })
            .collect();
        match faults.is_empty() {
            true => Ok(()),
            false => Err(faults.join("; ")),
        }
    }
}
