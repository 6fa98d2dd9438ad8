//! The provider of the Python example keeps the contract of files, but for what it does not serve.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "helpers of tests panic like the tests, and start the process"
)]

use std::{
    path::Path,
    process::{Command, Stdio},
};

use libos_abi::{Fault, OpId};
use libos_bindings::{RemoteProvider, lines, wire::Stream};
use libos_conformance::{suite, text};
use libos_port::{EffectOutcome, Order, Provider};

suite!(fs, files, gaps: {
    a_file_is_put_back_if_it_is_what_the_last_change_left: "it serves no fs.put_back",
    what_is_refused_of_putting_back_begins_nothing: "it serves no fs.put_back",
    a_change_is_made_only_to_what_is_expected: "it takes no expected_digest",
    an_edit_replaces_what_is_there_as_often_as_is_said: "it serves no fs.edit",
    a_diff_fits_as_a_whole_or_changes_nothing: "it serves no fs.patch",
    an_addition_stands_at_the_end: "it serves no fs.append",
    a_file_is_renamed_and_replaces_only_if_told: "it serves no fs.rename",
    changes_from_what_is_there_fail_as_their_tables_say: "it serves none of them",
    what_was_there_before_such_a_change_is_told_for_the_record: "it serves none of them",
    a_lost_change_is_told_by_what_it_left: "it serves none of them",
    lines_are_found_in_order_and_gone_on_from: "it serves no fs.search",
    paths_are_found_in_order_and_gone_on_from: "it serves no fs.glob",
    a_watch_tells_what_became_other: "it serves no fs.watch",
    what_is_no_folder_is_not_searched: "it serves no fs.search and no fs.glob",
});

/// The example in a process of its own, which ends with its standard input.
fn files() -> RemoteProvider {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    python(&[folder.join("../../examples/provider-python/files.py").to_str().unwrap()])
}

fn python(args: &[&str]) -> RemoteProvider {
    let mut child = Command::new("python3")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the host has python3");
    let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    std::thread::spawn(move || child.wait());
    lines::provider(Stream::new(stdout, stdin)).unwrap()
}

/// Says of reads what no table knows, of writes that it does not know, and of lists nothing.
const CARELESS: &str = r#"
import json, sys
print(json.dumps({"abi": 2, "serves": ["fs"]}), flush=True)
for line in sys.stdin:
    order = json.loads(line)
    said = {"fs.read": {"failed": "the password is 1234"}, "fs.write": {"unknown": "1234"}}
    print(json.dumps({"id": order["perform"]} | said.get(order["call"], {})), flush=True)
"#;

/// A caller gets a code and the operation's id.
#[tokio::test]
async fn what_a_provider_says_of_its_own_troubles_is_for_the_log() {
    let near = python(&["-c", CARELESS]);
    let perform = |call: &str| near.perform(Order::alone(OpId(5), text::call(call)));
    let EffectOutcome::Failed(error) = perform(r#"fs.read {"path":"workspace/a"}"#).await else {
        panic!("it failed")
    };
    assert_eq!(error, Fault::ProviderFailed { kind: "binding.code".into(), op: OpId(5) }.into());
    let unknown = perform(r#"fs.write {"path":"workspace/a","text":"x"}"#).await;
    assert_eq!(unknown, EffectOutcome::Unknown("1234".into()));
    // What is no answer ends the binding.
    let ended = perform(r#"fs.list {"path":"workspace"}"#).await;
    assert!(matches!(ended, EffectOutcome::Unknown(_)), "{ended:?}");
    let ended = perform(r#"fs.read {"path":"workspace/a"}"#).await;
    assert!(matches!(ended, EffectOutcome::NotStarted(_)), "{ended:?}");
}
