//! The contract of every part as executable cases.
//!
//! A *suite* belongs to a contract, not to an implementation: it takes a factory, makes the part,
//! runs each case on a part of its own, under every binding, and says which invariant of
//! `docs/invariants.md` a part that fails breaks. A part's own tests call it with one line, which
//! gives one test for each case and binding:
//!
//! ```ignore
//! libos_conformance::suite!(objects, libos_objects::Objects::default);
//! ```
//!
//! What stands here:
//! - [`suites`]: a table of cases for each contract, and what a case must say ([`Case`]);
//! - [`Kernel`]: one component with its journal under a small fake of the rest of the system, which
//!   holds every call against the laws that hold for all components; [`Effects`], the same for a
//!   provider; [`Store`] for a journal;
//! - [`toys`]: second implementations. The capability engine among them is the *reference model*:
//!   it decides by reading its list of grants from the top, for people to check the rules against;
//! - [`history`]: random histories of an authority, to hold two of them against each other;
//! - [`coverage`]: where each outcome of each call is shown.
//!
//! It never knows an implementation: those call it.
#![forbid(unsafe_code)]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a case fails by panicking; its failure is caught and named"
)]

mod binding;
mod case;
pub mod coverage;
mod effects;
pub mod history;
mod invariants;
mod kernel;
pub mod samples;
pub mod site;
mod store;
pub mod suites;
pub mod text;
pub mod toys;
mod world;

pub use binding::{Bind, Binding};
pub use case::{
    Case, Contract, Factory, Failure, Gap, Listed, Outcome, Report, Row, Seen, Subject,
};
pub use effects::Effects;
pub use invariants::statement;
pub use kernel::{By, Kernel, code, host, process, tool_of};
pub use store::Store;
pub use suites::{
    capability, checkpoints, clock, fs, http, human, images, journal, objects, policy, rpc,
    scheduler, shell,
};
pub use world::World;

/// Runs a suite on a part: one test for each case and binding.
///
/// ```text
/// suite!(objects, Objects::default);
/// suite!(journal as sqlite, |folder| SqliteJournal::open(folder).unwrap());
/// suite!(fs, MyFiles::new, gaps: { a_folder_is_listed_by_name: "lists are not sorted yet" });
/// ```
///
/// The name of the suite, a name for the tests where it is used twice, what makes the part, and
/// the cases it is known to fail. A case named there that passes fails the test: the gap is closed.
#[macro_export]
macro_rules! suite {
    ($suite:ident as $name:ident, $($rest:tt)+) => {
        mod $name {
            #[allow(unused_imports, reason = "what makes the part may be in scope there")]
            use super::*;

            $crate::suite! { $suite, $($rest)+ }
        }
    };
    ($suite:ident, $make:expr $(, gaps: { $($gap:ident : $why:literal),* $(,)? })? $(,)?) => {
        $crate::suite! { @ $suite [$make] [$($($gap : $why,)*)?] }
    };
    (@ capability $($rest:tt)*) => { $crate::capability_cases! { bound_tests [$($rest)*] } };
    (@ scheduler $($rest:tt)*) => { $crate::scheduler_cases! { bound_tests [$($rest)*] } };
    (@ policy $($rest:tt)*) => { $crate::policy_cases! { bound_tests [$($rest)*] } };
    (@ clock $($rest:tt)*) => { $crate::clock_cases! { bound_tests [$($rest)*] } };
    (@ objects $($rest:tt)*) => { $crate::objects_cases! { bound_tests [$($rest)*] } };
    (@ events $($rest:tt)*) => { $crate::events_cases! { bound_tests [$($rest)*] } };
    (@ human $($rest:tt)*) => { $crate::human_cases! { bound_tests [$($rest)*] } };
    (@ checkpoints $($rest:tt)*) => { $crate::checkpoints_cases! { bound_tests [$($rest)*] } };
    (@ images $($rest:tt)*) => { $crate::images_cases! { bound_tests [$($rest)*] } };
    (@ skills $($rest:tt)*) => { $crate::skills_cases! { bound_tests [$($rest)*] } };
    (@ tools $($rest:tt)*) => { $crate::tools_cases! { bound_tests [$($rest)*] } };
    (@ fs $($rest:tt)*) => { $crate::fs_cases! { bound_tests [$($rest)*] } };
    (@ shell $($rest:tt)*) => { $crate::shell_cases! { bound_tests [$($rest)*] } };
    (@ http $($rest:tt)*) => { $crate::http_cases! { bound_tests [$($rest)*] } };
    (@ rpc $($rest:tt)*) => { $crate::rpc_cases! { bound_tests [$($rest)*] } };
    (@ journal $($rest:tt)*) => { $crate::journal_cases! { direct_tests [$($rest)*] } };
}

/// The tests of a suite under every binding. Called by [`suite!`] through the table of the suite.
#[doc(hidden)]
#[macro_export]
macro_rules! bound_tests {
    ([[$make:expr] [$($gap:ident : $why:literal,)*]]
     $suite:ident $(case $case:ident holds $holds:literal shows $shows:literal;)*) => {
        $crate::tests! {
            $suite [$make] [$($gap : $why,)*] [direct Direct $(, $case)*]
            [queued Queued $(, $case)*] [wire Wire $(, $case)*]
        }
    };
}

/// The tests of a suite for a part that has no bindings.
#[doc(hidden)]
#[macro_export]
macro_rules! direct_tests {
    ([[$make:expr] [$($gap:ident : $why:literal,)*]]
     $suite:ident $(case $case:ident holds $holds:literal shows $shows:literal;)*) => {
        $crate::tests! { $suite [$make] [$($gap : $why,)*] [direct Direct $(, $case)*] }
    };
}

/// One test for each binding and case.
#[doc(hidden)]
#[macro_export]
macro_rules! tests {
    ($suite:ident [$make:expr] [$($gap:ident : $why:literal,)*]
     $([$module:ident $binding:ident $(, $case:ident)*])*) => {
        mod $suite {
            #[allow(unused_imports, reason = "what makes the part may be in scope there")]
            use super::*;

            const GAPS: &[$crate::Gap] =
                &[$($crate::Gap { case: stringify!($gap), why: $why }),*];

            fn test(binding: $crate::Binding, case: &str) {
                let make = $crate::suites::$suite::factory($make);
                $crate::suites::$suite::CONTRACT.test(case, binding, &make, GAPS);
            }

            #[test]
            fn every_gap_names_a_case() {
                $crate::suites::$suite::CONTRACT.check_gaps(GAPS);
            }

            $(mod $module {$(
                #[test]
                fn $case() {
                    super::test($crate::Binding::$binding, stringify!($case));
                }
            )*})*
        }
    };
}

/// The table of a suite as data. Called by each suite through its own table.
#[doc(hidden)]
#[macro_export]
macro_rules! contract {
    ([$subject:ty : $($service:literal)*]
     $suite:ident $(case $case:ident holds $holds:literal shows $shows:literal;)*) => {
        /// The contract.
        pub static CONTRACT: $crate::Contract<$subject> = $crate::Contract {
            name: stringify!($suite),
            serves: &[$($service),*],
            cases: &[$($crate::Case {
                name: stringify!($case),
                holds: $holds,
                shows: $shows,
                run: $case,
            }),*],
        };
    };
}
