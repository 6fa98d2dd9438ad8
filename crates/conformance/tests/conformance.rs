//! The second implementations keep their contracts.

mod fifo;

use libos_conformance::{suite, toys};
use libos_scheduler::Scheduler;

suite!(capability as reference, toys::Reference::default);
suite!(policy as fifo_policy, || Scheduler::new(Box::new(fifo::Fifo::default())));
suite!(clock, || toys::Clock);
suite!(fs as files, toys::Files::default);
suite!(shell, || toys::Shell);
suite!(http, || toys::Http);
suite!(rpc, || toys::Rpc);
suite!(journal as memory, |_| libos_journal::MemoryJournal::new());
