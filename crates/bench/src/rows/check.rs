//! A capability decision, by the engine alone.

use std::{
    collections::HashMap,
    hash::{BuildHasher, Hasher},
    hint::black_box,
};

use libos_abi::{
    CapId, Demand, Event, FsPath, GrantSpec, Label, Need, OpId, Origin, Pid, Resource, Syscall,
    event::{CapabilityEvent, NewCapability},
    fs,
};
use libos_capability::Capabilities;
use libos_port::{Authority, Component, Decision, Query};
use rustc_hash::{FxBuildHasher, FxHashMap};

use crate::{
    allocator::count,
    measure::{Figure, Scale, by_turns, each},
    report::{Row, Target, Unit},
    stage::allow,
};

/// Decisions in one sample: few enough that the machine seldom does something else meanwhile.
const CALLS: usize = 1_000;

/// The path that is asked for: seven parts with kind and mount.
const PATH: &str = "workspace/crates/broker/src/kernel/main.rs";

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (label, grants) in [("10", 10), ("1k", 1_000), ("100k", 100_000)] {
        rows.push(exact(scale, label, grants));
    }
    rows.push(patterns(scale));
    Ok(rows)
}

/// An engine in which process 1 may read [`PATH`], among `grants` exact grants, at most 1,000 to
/// one process.
fn exact(scale: &Scale, label: &str, grants: usize) -> Row {
    let grants = scale.size(grants);
    let mut engine = Engine::default();
    let mut table: FxHashMap<(Pid, u64), CapId> = FxHashMap::default();
    engine.grant(1, allow(&format!("fs:{PATH}"), &["read"]));
    table.insert((Pid(1), hash(&format!("fs:{PATH}"))), CapId(1));
    for n in 1..grants {
        let (to, on) = (1 + n as u64 / 1_000, format!("fs:workspace/src/d{}/f{n}", n % 17));
        table.insert((Pid(to), hash(&on)), CapId(n as u64 + 1));
        engine.grant(to, allow(&on, &["read"]));
    }
    let resource = Resource::file(PATH);
    let floor = || {
        each(CALLS, |_| {
            black_box(table.get(&(Pid(1), hash(black_box(resource.as_str())))));
        })
    };
    engine
        .row(scale, format!("check.exact.{label}"), 1, floor)
        .floor_is("hash of the name, look-up")
        .what(format!("capability decision, exact, {label} grants"), 60.0)
}

/// An engine in which process 1 holds 64 patterns, one of which covers [`PATH`].
fn patterns(scale: &Scale) -> Row {
    let mut engine = Engine::default();
    let mut trie = Trie::default();
    for n in 0..63 {
        let on = format!("fs:workspace/crates/part{n}/*");
        trie.insert(&on);
        engine.grant(1, allow(&on, &["read"]));
    }
    trie.insert("fs:workspace/crates/broker/*");
    engine.grant(1, allow("fs:workspace/crates/broker/*", &["read"]));
    let resource = Resource::file(PATH);
    let floor = || {
        each(CALLS, |_| {
            black_box(trie.covers(black_box(resource.as_str())));
        })
    };
    engine
        .row(scale, "check.patterns.64".into(), 1, floor)
        .floor_is("trie of path parts")
        .what("capability decision over 64 patterns".into(), 300.0)
}

#[derive(Default)]
struct Engine {
    parts: Capabilities,
    last: u64,
}

struct Measured {
    name: String,
    floor_is: &'static str,
    floor: Figure,
    ours: Figure,
    allocations: u64,
}

impl Engine {
    fn grant(&mut self, to: u64, grant: GrantSpec) {
        self.last += 1;
        let new = NewCapability {
            id: CapId(self.last),
            subject: Pid(to),
            grant,
            expires_at_ms: None,
            parent: None,
            origin: Origin::Host,
            binding: None,
        };
        self.parts.apply(&Event::Capability(CapabilityEvent::Granted(Box::new(new))));
    }

    fn row(
        &self,
        scale: &Scale,
        name: String,
        subject: u64,
        floor: impl FnMut() -> f64,
    ) -> Measured {
        let call: Syscall =
            fs::Read { path: FsPath::from(PATH), max_bytes: None, into: None }.into();
        let Demand::Rights(needs) = call.demand() else { panic!("a read demands a right") };
        let decide = || self.decide(subject, &needs, &call);
        assert!(matches!(decide(), Decision::Allow { .. }), "{name}: it is allowed");
        let allocations = count(|| drop(black_box(decide()))).1;
        let ours = || each(CALLS, |_| drop(black_box(decide())));
        let (floor, ours) = by_turns(scale.rounds(301), floor, ours);
        Measured { name, floor_is: "", floor, ours, allocations }
    }

    fn decide(&self, subject: u64, needs: &[Need], call: &Syscall) -> Decision {
        self.parts.decide(&Query {
            subject: Pid(subject),
            ancestors: &[],
            needs,
            call,
            digest: &|| call.digest(),
            op: OpId(1),
            label: Label::BOTTOM,
            now_ms: 1,
        })
    }
}

impl Measured {
    fn floor_is(mut self, what: &'static str) -> Self {
        self.floor_is = what;
        self
    }

    fn what(self, what: String, most_ns: f64) -> Row {
        Row::new(self.name, what, Unit::Nanoseconds, self.ours)
            .floor(self.floor_is, self.floor)
            .allocations(self.allocations as f64)
            .target(Target::at_most(most_ns).without_allocations())
    }
}

fn hash(text: &str) -> u64 {
    let mut hasher = FxBuildHasher.build_hasher();
    hasher.write(text.as_bytes());
    hasher.finish()
}

/// The bare form of patterns: one look-up for each part of a path.
#[derive(Default)]
struct Trie {
    edges: HashMap<(usize, u64), usize, FxBuildHasher>,
    ends: Vec<bool>,
}

impl Trie {
    fn insert(&mut self, pattern: &str) {
        let mut at = 0;
        for part in pattern.trim_end_matches("/*").split(['/', ':']) {
            let next = self.edges.len() + 1;
            at = *self.edges.entry((at, hash(part))).or_insert(next);
        }
        self.ends.resize(self.edges.len() + 1, false);
        self.ends[at] = true;
    }

    fn covers(&self, resource: &str) -> bool {
        let mut at = 0;
        for part in resource.split(['/', ':']) {
            match self.edges.get(&(at, hash(part))) {
                None => return false,
                Some(next) if self.ends[*next] => return true,
                Some(next) => at = *next,
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bare_trie_finds_what_a_pattern_covers() {
        let mut trie = Trie::default();
        trie.insert("fs:a/b/*");
        trie.insert("fs:a/c/*");
        assert!(trie.covers("fs:a/b/x/y") && trie.covers("fs:a/c"));
        assert!(!trie.covers("fs:a") && !trie.covers("fs:a/d/b"));
    }
}
