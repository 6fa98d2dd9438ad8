//! Taking times: batches by turns, warmed up, told by their median and spread.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use crate::allocator::count;

/// How much a run does, and where.
#[derive(Debug, Clone)]
pub struct Scale {
    /// Everything once and tiny: whether it works, not how fast.
    pub quick: bool,
    /// The folder for stores; what is made there is removed again.
    pub folder: PathBuf,
}

/// The most of anything in a quick run.
const QUICK_MAX: usize = 24;

impl Scale {
    /// As many as asked for, or a handful in a quick run.
    #[must_use]
    pub fn size(&self, full: usize) -> usize {
        if self.quick { full.min(QUICK_MAX) } else { full }
    }

    /// How often a measurement is repeated.
    #[must_use]
    pub fn rounds(&self, full: usize) -> usize {
        if self.quick { 1 } else { full }
    }
}

/// What several measurements of one thing came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// The median.
    pub p50: f64,
    /// A tenth lies below.
    pub p10: f64,
    /// A tenth lies above.
    pub p90: f64,
    /// How many there were.
    pub samples: usize,
}

impl Figure {
    /// The figure of these samples.
    ///
    /// # Panics
    /// When there are none.
    #[must_use]
    pub fn of(mut samples: Vec<f64>) -> Self {
        assert!(!samples.is_empty(), "a figure needs a sample");
        samples.sort_by(f64::total_cmp);
        let at = |tenth: usize| samples[(samples.len() - 1) * tenth / 10];
        Self { p50: at(5), p10: at(1), p90: at(9), samples: samples.len() }
    }

    /// A number that was counted, not sampled.
    #[must_use]
    pub fn exact(value: f64) -> Self {
        Self { p50: value, p10: value, p90: value, samples: 1 }
    }
}

/// The nanoseconds of a duration.
#[must_use]
pub fn nanos(time: Duration) -> f64 {
    time.as_secs_f64() * 1e9
}

/// The nanoseconds that each of `count` calls of `work` took.
pub fn each(count: usize, mut work: impl FnMut(usize)) -> f64 {
    let start = Instant::now();
    (0..count).for_each(&mut work);
    nanos(start.elapsed()) / count.max(1) as f64
}

/// Two figures taken by turns, so that what disturbs the machine disturbs both. Each closure gives
/// one sample; the first of each is thrown away.
pub fn by_turns(
    rounds: usize,
    mut floor: impl FnMut() -> f64,
    mut ours: impl FnMut() -> f64,
) -> (Figure, Figure) {
    let samples: (Vec<f64>, Vec<f64>) = (0..=rounds).map(|_| (floor(), ours())).skip(1).unzip();
    (Figure::of(samples.0), Figure::of(samples.1))
}

/// Single operations, each timed by itself, and how often they asked for memory.
#[derive(Debug, Default)]
pub struct Samples {
    nanos: Vec<f64>,
    allocations: u64,
}

impl Samples {
    /// Does one.
    pub fn take<T>(&mut self, work: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let (value, asked) = count(work);
        self.nanos.push(nanos(start.elapsed()));
        self.allocations += asked;
        value
    }

    /// What they took.
    ///
    /// # Panics
    /// When there were none.
    #[must_use]
    pub fn figure(&self) -> Figure {
        Figure::of(self.nanos.clone())
    }

    /// How often each asked for memory, in the mean.
    #[must_use]
    pub fn allocations(&self) -> f64 {
        self.allocations as f64 / self.nanos.len() as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_told_by_its_order() {
        let figure = Figure::of((0..=10).rev().map(f64::from).collect());
        assert_eq!((figure.p10, figure.p50, figure.p90), (1.0, 5.0, 9.0));
        assert_eq!(Figure::of(vec![7.0]), Figure::exact(7.0));
    }

    #[test]
    fn both_are_measured_by_turns_after_one_warm_up() {
        let order = std::cell::RefCell::new(Vec::new());
        let sample = |name| {
            order.borrow_mut().push(name);
            order.borrow().len() as f64
        };
        let (floor, ours) = by_turns(2, || sample('f'), || sample('o'));
        assert_eq!(*order.borrow(), ['f', 'o', 'f', 'o', 'f', 'o']);
        assert_eq!((floor.samples, ours.samples), (2, 2));
        assert_eq!((floor.p10, ours.p10), (3.0, 4.0));
    }
}
