//! How large messages are: each is moved several times on its way through the core.

use libos_abi::{Error, Event, Outcome, Reply, Syscall, Text};

#[test]
fn messages_are_small() {
    let sizes = [
        ("Text", size_of::<Text>(), 16),
        ("Syscall", size_of::<Syscall>(), 112),
        ("Error", size_of::<Error>(), 88),
        ("Reply", size_of::<Reply>(), 200),
        ("Outcome", size_of::<Outcome>(), 200),
        ("Event", size_of::<Event>(), 216),
    ];
    for (what, is, at_most) in sizes {
        assert!(is <= at_most, "{what} takes {is} bytes, more than {at_most}");
    }
}
