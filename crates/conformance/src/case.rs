//! Cases, and what becomes of them.
//!
//! A case is a function that panics when what it states does not hold. Around it: which invariants
//! it holds a part to, which outcomes of which calls it shows (what it claims to show and does not
//! is a failure too), and the gaps a part is known to have.

use std::{
    any::Any,
    collections::BTreeSet,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    rc::Rc,
};

use crate::{Binding, invariants};

/// Makes a part, as often as it is needed.
pub type Factory<T> = Rc<dyn Fn() -> T>;

/// What came of the calls that were made.
pub type Seen = BTreeSet<Outcome>;

/// What a case works on: a part in its surroundings.
pub trait Subject: Sized + 'static {
    /// What a factory makes.
    type Part: 'static;

    /// Makes the part and reaches it through a binding.
    fn mount(binding: Binding, make: &Factory<Self::Part>) -> Self;

    /// What came of the calls made so far.
    fn seen(&self) -> Seen;

    /// Checks what must hold once a case is over.
    fn finish(&mut self) {}
}

/// One statement of a contract.
pub struct Case<S: 'static> {
    /// Its name: what must hold, in words.
    pub name: &'static str,
    /// The invariants it holds a part to, as in `I-13, I-27`.
    pub holds: &'static str,
    /// The outcomes it shows, as in `object.create ok, object.create name_taken`.
    pub shows: &'static str,
    /// The statement. It panics when the part does not hold to it.
    pub run: fn(&mut S),
}

/// The cases of one contract.
pub struct Contract<S: 'static> {
    /// Its name.
    pub name: &'static str,
    /// The services it is about.
    pub serves: &'static [&'static str],
    /// Every case.
    pub cases: &'static [Case<S>],
}

/// A case that a part is known to fail.
#[derive(Debug, Clone, Copy)]
pub struct Gap {
    /// The case.
    pub case: &'static str,
    /// Why, and what would close it.
    pub why: &'static str,
}

/// A case that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The suite, the binding and the case.
    pub path: String,
    /// The invariants that the part does not hold to.
    pub invariants: Vec<&'static str>,
    /// What was found.
    pub text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} breaks ", self.path)?;
        for (index, id) in self.invariants.iter().enumerate() {
            let gap = if index > 0 { "; " } else { "" };
            let statement = invariants::statement(id).unwrap_or("no such invariant");
            write!(f, "{gap}{id} ({statement})")?;
        }
        write!(f, ": {}", self.text)
    }
}

/// What became of a suite.
#[derive(Debug, Default)]
pub struct Report {
    /// The cases that passed.
    pub passed: Vec<&'static str>,
    /// Those that did not.
    pub failed: Vec<Failure>,
}

/// An outcome of a call: its name, then `ok`, `wait`, `perform` or an error's code.
pub type Outcome = (&'static str, &'static str);

/// The cases of a contract, whatever it is about.
#[derive(Debug)]
pub struct Listed {
    /// The contract.
    pub name: &'static str,
    /// The services it is about.
    pub serves: &'static [&'static str],
    /// Its cases.
    pub cases: Vec<Row>,
}

/// What the table of a suite says of a case.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// The invariants it holds a part to.
    pub invariants: Vec<&'static str>,
    /// The outcomes it shows.
    pub outcomes: Vec<Outcome>,
}

/// The parts of a list as a table writes it.
fn parts(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.split(',').map(str::trim).filter(|part| !part.is_empty())
}

impl<S> Case<S> {
    /// The invariants it holds a part to.
    fn invariants(&self) -> Vec<&'static str> {
        parts(self.holds).collect()
    }

    /// The outcomes it shows.
    fn outcomes(&self) -> Vec<Outcome> {
        let pair = |part: &'static str| part.split_once(' ').unwrap_or((part, ""));
        parts(self.shows).map(pair).collect()
    }
}

impl<S: Subject> Contract<S> {
    /// Its rows.
    #[must_use]
    pub fn listed(&self) -> Listed {
        let row = |case: &Case<S>| Row {
            name: case.name,
            invariants: case.invariants(),
            outcomes: case.outcomes(),
        };
        Listed { name: self.name, serves: self.serves, cases: self.cases.iter().map(row).collect() }
    }

    /// Runs one case on a part of its own.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn run(
        &self,
        case: &Case<S>,
        binding: Binding,
        make: &Factory<S::Part>,
    ) -> Result<(), Failure> {
        let run = AssertUnwindSafe(|| {
            let mut subject = S::mount(binding, make);
            (case.run)(&mut subject);
            subject.finish();
            let seen = subject.seen();
            let shown = case.outcomes();
            let missing: Vec<_> = shown.iter().filter(|outcome| !seen.contains(*outcome)).collect();
            assert!(missing.is_empty(), "it shows no {missing:?}, but {seen:?}");
        });
        catch_unwind(run).map_err(|panic| {
            let text = text_of(&*panic);
            let law = text.split_once(LAW).and_then(|(id, _)| invariants::known(id));
            Failure {
                path: format!("{}::{binding}::{}", self.name, case.name),
                invariants: law.map_or_else(|| case.invariants(), |id| vec![id]),
                text,
            }
        })
    }

    /// Runs every case.
    #[must_use]
    pub fn check(&self, binding: Binding, make: &Factory<S::Part>) -> Report {
        let mut report = Report::default();
        for case in self.cases {
            match self.run(case, binding, make) {
                Ok(()) => report.passed.push(case.name),
                Err(failure) => report.failed.push(failure),
            }
        }
        report
    }

    /// Runs one case as a test.
    ///
    /// # Panics
    /// When the case fails and is no gap, or passes and is one.
    pub fn test(&self, name: &str, binding: Binding, make: &Factory<S::Part>, gaps: &[Gap]) {
        let case = self.cases.iter().find(|case| case.name == name);
        let case = case.unwrap_or_else(|| panic!("{} has no case {name}", self.name));
        let gap = gaps.iter().find(|gap| gap.case == name);
        match (self.run(case, binding, make), gap) {
            (Ok(()), None) | (Err(_), Some(_)) => {}
            (Err(failure), None) => panic!("{failure}"),
            (Ok(()), Some(gap)) => panic!(
                "{name} passes, although the part is said to fail it ({}): the gap is closed, take \
                 it off the list",
                gap.why
            ),
        }
    }

    /// Checks that each gap names a case.
    ///
    /// # Panics
    /// When one does not.
    pub fn check_gaps(&self, gaps: &[Gap]) {
        for gap in gaps {
            let there = self.cases.iter().any(|case| case.name == gap.case);
            assert!(there, "{} has no case {}: a gap must name one", self.name, gap.case);
        }
    }
}

/// What stands between the id of a law and what was found.
const LAW: &str = " does not hold: ";

/// Fails for a law that holds for every part, whatever the case is about.
#[track_caller]
pub(crate) fn law(id: &str, holds: bool, found: impl FnOnce() -> String) {
    assert!(holds, "{id}{LAW}{}", found());
}

/// The message of a panic.
fn text_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    text.unwrap_or_else(|| "it panicked without a message".to_owned())
}
