//! The published schemas of the files a host writes are those of the code.
#![allow(clippy::disallowed_methods, reason = "a test reads and writes the repository's own files")]

use std::path::Path;

use agent_libos::{
    approvals::ApprovalsFile, config::ConfigFile, label_file::LabelFile, policy::RulesFile,
    task::TaskFile,
};
use schemars::{Schema, schema_for};

#[track_caller]
fn check(name: &str, schema: &Schema) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let text = serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n";
    if std::env::var("LIBOS_WRITE_SCHEMAS").is_ok_and(|it| it == "1") {
        std::fs::write(&path, &text).expect("docs can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "docs/{name} is stale: run `LIBOS_WRITE_SCHEMAS=1 cargo test -p agent-libos --test schemas`"
    );
}

#[test]
fn the_schema_of_task_files_is_fresh() {
    check("task.schema.json", &schema_for!(TaskFile));
}

#[test]
fn the_schema_of_approvals_files_is_fresh() {
    check("approvals.schema.json", &schema_for!(ApprovalsFile));
}

#[test]
fn the_schema_of_rules_files_is_fresh() {
    check("rules.schema.json", &schema_for!(RulesFile));
}

#[test]
fn the_schema_of_label_files_is_fresh() {
    check("labels.schema.json", &schema_for!(LabelFile));
}

#[test]
fn the_schema_of_configuration_files_is_fresh() {
    check("config.schema.json", &schema_for!(ConfigFile));
}
