//! What happens to the system, one action after another.
//!
//! An action follows from the seed and its number alone, never from those before it: so any of
//! them can be left out, and the rest stays what it was. This is how a failure is made small.

use std::fmt;

use crate::random::Random;

/// What kind of thing happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Messages reach the core in one batch.
    Deliver,
    /// A provider goes on with an effect.
    Effect,
    /// The host starts a task.
    Launch,
    /// A human answers.
    Answer,
    /// The host signals a process, grants, revokes, extends, acts itself.
    Steer,
    /// The host makes a checkpoint, or comes back to one.
    Checkpoint,
    /// Someone sends what no honest part would.
    Forge,
    /// Time passes.
    Tick,
    /// What is in line is written.
    Flush,
    /// The state is looked at from outside.
    Probe,
    /// The disk is full for a while.
    Full,
    /// The disk fails for good.
    Break,
    /// The machine stops now.
    Crash,
    /// The machine stops between two of the next outputs.
    CrashWithin,
}

/// How often each happens, of a thousand.
const WEIGHTS: [(Kind, usize); 14] = [
    (Kind::Deliver, 480),
    (Kind::Effect, 150),
    (Kind::Launch, 30),
    (Kind::Answer, 80),
    (Kind::Steer, 60),
    (Kind::Checkpoint, 24),
    (Kind::Forge, 40),
    (Kind::Tick, 50),
    (Kind::Flush, 20),
    (Kind::Probe, 30),
    (Kind::Full, 8),
    (Kind::Break, 4),
    (Kind::Crash, 18),
    (Kind::CrashWithin, 30),
];

/// One action.
#[derive(Debug, Clone)]
pub(crate) struct Action {
    pub(crate) kind: Kind,
    pub(crate) random: Random,
}

impl Action {
    /// The action of this number.
    pub(crate) fn of(seed: u64, number: u64) -> Self {
        let mut random = Random::of(seed, number + 1);
        // A task to begin with, or nothing happens for long.
        let kind = match number {
            0 => Kind::Launch,
            _ => drawn(&mut random),
        };
        Self { kind, random }
    }
}

fn drawn(random: &mut Random) -> Kind {
    let mut at = random.below(WEIGHTS.iter().map(|(_, weight)| weight).sum());
    for (kind, weight) in WEIGHTS {
        if at < weight {
            return kind;
        }
        at -= weight;
    }
    Kind::Deliver
}

/// Which actions of a seed are carried out: those of these numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Steps(pub Vec<u64>);

impl Steps {
    /// The first so many.
    #[must_use]
    pub fn first(count: u64) -> Self {
        Self((0..count).collect())
    }

    /// Reads what [`Display`](fmt::Display) writes: `0-4,7,9-11`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        let mut steps = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (number(from)?, number(to)?);
            if to >= from.saturating_add(1 << 20) {
                return Err(format!("{part}: too many steps"));
            }
            steps.extend(from..=to);
        }
        Ok(Self(steps))
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut at = 0;
        while at < self.0.len() {
            let from = self.0[at];
            let mut end = at;
            while self.0.get(end + 1) == Some(&(self.0[end] + 1)) {
                end += 1;
            }
            let comma = if at == 0 { "" } else { "," };
            match end == at {
                true => write!(f, "{comma}{from}")?,
                false => write!(f, "{comma}{from}-{}", self.0[end])?,
            }
            at = end + 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_written_and_read_alike() {
        for steps in [vec![], vec![3], vec![0, 1, 2, 5, 7, 8]] {
            let steps = Steps(steps);
            assert_eq!(Steps::parse(&steps.to_string()), Ok(steps));
        }
        assert_eq!(Steps(vec![0, 1, 2, 5, 7, 8]).to_string(), "0-2,5,7-8");
        assert!(Steps::parse("0-99999999").is_err());
        assert!(Steps::parse("x").is_err());
    }

    #[test]
    fn an_action_follows_from_seed_and_number_alone() {
        let kinds = |seed| (0..50).map(|n| Action::of(seed, n).kind).collect::<Vec<_>>();
        assert_eq!(kinds(1), kinds(1));
        assert_ne!(kinds(1), kinds(2));
        assert_eq!(kinds(3)[0], Kind::Launch);
    }
}
