//! The tool's own checks, run as a person runs them on this very repository.
#![allow(clippy::disallowed_types, reason = "a test runs the tool")]

use std::process::Command;

#[test]
fn the_repository_s_own_checks_pass() {
    let checks: [&[&str]; 4] =
        [&["layers"], &["licences"], &["graph", "--check"], &["abi", "--check"]];
    for args in checks {
        let out = Command::new(env!("CARGO_BIN_EXE_xtask")).args(args).output();
        let out = out.expect("the tool starts");
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success(), "cargo xtask {}: {said}", args.join(" "));
    }
}
