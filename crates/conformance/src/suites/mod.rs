//! The suites, one for each contract.
//!
//! Each module begins with its table. To add a case, write a function that panics when what it
//! states does not hold, and a line that names it, the invariants it holds a part to, and the
//! outcomes of calls it shows. A case says what the *contract* says: it takes ids from replies,
//! counts nothing that an implementation may count otherwise, and compares no text of an error.

pub mod capability;
pub mod checkpoints;
pub mod clock;
pub mod events;
pub mod fs;
pub mod http;
pub mod human;
pub mod images;
pub mod journal;
pub mod objects;
pub mod policy;
pub mod rpc;
pub mod scheduler;
pub mod shell;
pub mod skills;
pub mod tools;

use std::rc::Rc;

use libos_port::Component;

use crate::{Factory, Listed};

/// What makes a component for a suite.
fn component<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    Rc::new(move || Box::new(make()))
}

/// Every contract.
#[must_use]
pub fn all() -> Vec<Listed> {
    vec![
        capability::CONTRACT.listed(),
        scheduler::CONTRACT.listed(),
        policy::CONTRACT.listed(),
        clock::CONTRACT.listed(),
        objects::CONTRACT.listed(),
        events::CONTRACT.listed(),
        human::CONTRACT.listed(),
        images::CONTRACT.listed(),
        checkpoints::CONTRACT.listed(),
        skills::CONTRACT.listed(),
        tools::CONTRACT.listed(),
        journal::CONTRACT.listed(),
        fs::CONTRACT.listed(),
        shell::CONTRACT.listed(),
        http::CONTRACT.listed(),
        rpc::CONTRACT.listed(),
    ]
}
