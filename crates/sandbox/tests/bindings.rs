//! The bindings of tools are written from the tables of the system calls, and are fresh.
#![allow(clippy::disallowed_methods, reason = "it reads the repository")]

use std::path::Path;

use libos_abi::docs::{typescript, wit};

/// The world as the engine's own generator reads it: what is no WIT does not compile.
#[allow(missing_docs, unreachable_pub, rust_2018_idioms, clippy::all, reason = "it is generated")]
mod world {
    wasmtime::component::bindgen!({ path: "../../wit", world: "guest" });
}

#[test]
fn the_declarations_are_those_of_the_tables() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (path, expected) in [("docs/libos.d.ts", typescript()), ("wit/libos.wit", wit())] {
        let found = std::fs::read_to_string(root.join(path)).expect("it is committed");
        assert!(found == expected, "{path} is stale: run `cargo xtask abi`");
    }
}

#[test]
fn the_types_of_the_world_have_the_parts_that_the_tables_say() {
    let entry = world::libos::tool::types::DirEntry {
        bytes: 1,
        kind: world::libos::tool::types::FileKind::File,
        name: "a".into(),
    };
    assert_eq!(entry.name, "a");
    let on = world::libos::tool::types::WaitOn::Child("p1".into());
    assert!(matches!(on, world::libos::tool::types::WaitOn::Child(_)));
}
