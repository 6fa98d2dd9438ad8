//! Kills many processes that do everything side by side, at any moment, again and again.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::{drive, plans, support::*, truth::Truth};

/// How often one run is killed before it may end.
const KILLS_PER_ROUND: u64 = 5;

/// Runs it until it was killed so often, and holds each end against an undisturbed one.
pub(crate) fn storm(processes: usize, kills: u64) {
    let calm = plans::load(processes);
    let start = Instant::now();
    calm.run().code(0);
    let took = u64::try_from(start.elapsed().as_millis()).unwrap();
    let wanted = Truth::of(&calm).unwrap().without_numbers();
    let mut random = Seeded(0x5eed_0009);
    let (mut left, mut rounds, mut unknown) = (kills, 0, 0);
    while left > 0 {
        let lab = plans::load(processes);
        let mut dead = Vec::new();
        for _ in 0..left.min(KILLS_PER_ROUND) {
            let mut live = drive::go_on(&lab).unwrap();
            let until = Instant::now() + Duration::from_millis(random.below(took));
            while Instant::now() < until && !live.has_ended() {
                thread::sleep(Duration::from_millis(1));
            }
            dead.push(live.kill());
            left -= 1;
        }
        drive::end(drive::go_on(&lab).unwrap()).unwrap().code(0);
        let truth = Truth::of(&lab).unwrap();
        let told: Vec<String> = dead.iter().flat_map(|ran| truth.acknowledged(ran)).collect();
        assert!(told.is_empty(), "round {rounds} told and lost {told:#?}");
        let found = truth.without_numbers().against(&wanted);
        assert!(found.lost.is_empty(), "round {rounds} lost {:#?}", found.lost);
        assert!(found.twice.is_empty(), "round {rounds} did twice {:#?}", found.twice);
        unknown += found.unknown;
        rounds += 1;
    }
    println!(
        "{kills} kills among {processes} processes in {rounds} rounds: nothing lost, nothing done \
         twice, {unknown} irreversible effects of which nobody can tell"
    );
}
