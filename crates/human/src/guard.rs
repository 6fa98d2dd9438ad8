//! What no process may ask a human for.
//!
//! People approve most of what they are shown, so what is too much is refused before anyone sees
//! it. A guardrail looks at the request only, never at the state.

use libos_abi::{Form, Pattern, Right, Rights};

/// Kinds of authority that no process gets by asking.
const KINDS_CLOSED: [&str; 3] = ["capability", "host", "audit"];

/// Kinds of which the whole reaches into other processes, or everywhere.
const KINDS_OF_OTHERS: [&str; 6] = ["namespace", "net", "object", "process", "rpc", "shell"];

/// Rights over the authority of others, and over the system itself.
const RIGHTS_CLOSED: [Right; 4] = [Right::Admin, Right::Grant, Right::Approve, Right::Revoke];

/// Programs that are there to run any other: to allow one is to allow all.
const RUNNERS: [&str; 17] = [
    "ash", "bash", "busybox", "csh", "dash", "doas", "env", "fish", "ksh", "mksh", "pwsh", "sh",
    "su", "sudo", "tcsh", "xargs", "zsh",
];

/// Why nobody may be asked for `rights` on `on`; `None` if someone may be.
pub(crate) fn not_requestable(on: &Pattern, rights: Rights) -> Option<String> {
    let only_looks = rights.iter().all(is_look);
    if KINDS_CLOSED.contains(&on.kind()) {
        return Some(format!("authority over `{}` is the host's own", on.kind()));
    }
    if let Some(right) = RIGHTS_CLOSED.iter().find(|right| rights.contains(**right)) {
        return Some(format!("the right `{right}` is the host's to give"));
    }
    if is_whole_kind(on) && (!only_looks || KINDS_OF_OTHERS.contains(&on.kind())) {
        return Some(format!("`{on}` is a whole kind; name what is needed of it"));
    }
    if on.kind() == "shell" && RUNNERS.contains(&name(on)) {
        return Some(format!("`{}` runs any other program; name the one needed", name(on)));
    }
    if !only_looks && is_root(on, "fs") {
        return Some(format!("`{on}` is a whole mount; name a folder in it"));
    }
    if !only_looks && is_root(on, "object") {
        return Some(format!("`{on}` is the whole memory of a process; name an object in it"));
    }
    None
}

/// Whether a right changes and runs nothing.
fn is_look(right: Right) -> bool {
    matches!(right, Right::Read | Right::Diff | Right::Materialize)
}

/// Whether it is `kind:*`.
fn is_whole_kind(on: &Pattern) -> bool {
    matches!(on.form(), Form::Prefix(base) if !base.contains(':'))
}

/// Whether it is of this kind and reaches the first segment: a mount, or a process's memory.
fn is_root(on: &Pattern, kind: &str) -> bool {
    on.kind() == kind && !base(on).contains('/')
}

/// What stands between the kind and the next separator.
fn name(on: &Pattern) -> &str {
    let body = base(on).split_once(':').map_or("", |(_, body)| body);
    body.split(['/', ':']).next().unwrap_or_default()
}

/// The text without its star.
fn base(on: &Pattern) -> &str {
    let (Form::Exact(base) | Form::Subtree(base) | Form::Prefix(base)) = on.form();
    base
}
