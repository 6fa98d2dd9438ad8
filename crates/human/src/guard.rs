//! What no process may ask a human for.
//!
//! People approve most of what they are shown, so what is too much is refused before anyone sees
//! it. A guardrail looks at the request only, never at the state.

use libos_abi::{Form, Pattern, Right, Rights};

/// Kinds of authority that no process gets by asking.
const KINDS_CLOSED: [&str; 3] = ["capability", "host", "audit"];

/// Rights over the authority of others, and over the system itself.
const RIGHTS_CLOSED: [Right; 4] = [Right::Admin, Right::Grant, Right::Approve, Right::Revoke];

/// Why nobody may be asked for `rights` on `on`; `None` if someone may be.
pub(crate) fn not_requestable(on: &Pattern, rights: Rights) -> Option<String> {
    let has = |right: &Right| rights.contains(*right);
    if KINDS_CLOSED.contains(&on.kind()) {
        return Some(format!("authority over `{}` is the host's own", on.kind()));
    }
    if let Some(right) = RIGHTS_CLOSED.iter().find(|right| has(right)) {
        return Some(format!("the right `{right}` is the host's to give"));
    }
    if is_whole_kind(on) && (on.kind() == "shell" || has(&Right::Execute)) {
        return Some(format!("`{on}` is a whole kind; name what is needed of it"));
    }
    if is_mount_root(on) && (has(&Right::Write) || has(&Right::Delete)) {
        return Some(format!("`{on}` is a whole mount; name a folder in it"));
    }
    None
}

/// Whether it is `kind:*`.
fn is_whole_kind(on: &Pattern) -> bool {
    matches!(on.form(), Form::Prefix(base) if !base.contains(':'))
}

/// Whether it speaks of files and reaches the root of a mount. The mount is the first segment.
fn is_mount_root(on: &Pattern) -> bool {
    let (Form::Exact(base) | Form::Subtree(base) | Form::Prefix(base)) = on.form();
    on.kind() == "fs" && !base.contains('/')
}
