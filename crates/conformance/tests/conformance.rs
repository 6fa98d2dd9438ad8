//! The second implementations keep their contracts.

use libos_conformance::{suite, toys};

suite!(capability as reference, toys::Reference::default);
suite!(clock, || toys::Clock);
suite!(fs as files, toys::Files::default);
suite!(shell, || toys::Shell);
suite!(journal as memory, |_| libos_journal::MemoryJournal::new());
