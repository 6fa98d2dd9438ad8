//! What a process may do whatever its calls look like: what a provider confines programs to.
//!
//! A decision speaks of one call; a program that runs makes its own choices. So an authority also
//! tells, as data, what it would allow of any call, and what it might refuse of some. What depends
//! on a call (conditions, a number of uses, a question to a human) never lets a program through.

use libos_abi::{Pattern, Right, Rights, tool::Definition};

/// What a program may reach on behalf of a process. Empty: nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reach {
    /// In no order: a rule that does not allow beats every one that does.
    pub rules: Vec<ReachRule>,
}

/// One rule of a [`Reach`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReachRule {
    /// Whether it lets programs through, or keeps them out.
    pub allows: bool,
    /// What it speaks of.
    pub on: Pattern,
    /// For what.
    pub rights: Rights,
}

impl ReachRule {
    /// A rule that lets programs through.
    #[must_use]
    pub fn allow(on: Pattern, rights: Rights) -> Self {
        Self { allows: true, on, rights }
    }

    /// A rule that keeps programs out: a denial, or anything that might be one.
    #[must_use]
    pub fn keep_out(on: Pattern, rights: Rights) -> Self {
        Self { allows: false, on, rights }
    }
}

impl Reach {
    /// The part of it for which every call behind a right may be made.
    #[must_use]
    pub fn admitted(mut self, admits: impl Fn(&str) -> bool) -> Self {
        for rule in self.rules.iter_mut().filter(|rule| rule.allows) {
            let kept = rule.rights.iter().filter(|right| {
                calls_behind(rule.on.kind(), *right).iter().all(|call| admits(call))
            });
            rule.rights = kept.collect();
        }
        self.rules.retain(|rule| rule.rights.iter().next().is_some());
        self
    }

    /// The part of it that a generated tool declares as well.
    #[must_use]
    pub fn declared_by(self, tool: &Definition) -> Self {
        let mut rules = Vec::new();
        for rule in self.rules {
            if !rule.allows {
                rules.push(rule);
                continue;
            }
            for right in rule.rights.iter() {
                let behind = calls_behind(rule.on.kind(), right);
                let met = behind.iter().fold(vec![rule.on.clone()], |met, call| {
                    let declared = tool.needs.iter().filter(|need| need.call == *call);
                    let declared: Vec<_> = declared.collect();
                    met.iter()
                        .flat_map(|on| {
                            declared.iter().flat_map(move |need| match &need.on {
                                None => vec![on.clone()],
                                Some(only) => only.iter().filter_map(|it| meet(on, it)).collect(),
                            })
                        })
                        .collect()
                });
                // A right that no call needs is not declared by anything.
                let met = if behind.is_empty() { Vec::new() } else { met };
                rules.extend(
                    met.into_iter().map(|on| ReachRule::allow(on, [right].into_iter().collect())),
                );
            }
        }
        Self { rules }
    }
}

/// What both cover.
fn meet(one: &Pattern, two: &Pattern) -> Option<Pattern> {
    if one.covers(two) { Some(two.clone()) } else { two.covers(one).then(|| one.clone()) }
}

/// The calls that a program which has a right could make in the same way itself: who may not make
/// them may not have a program do it.
fn calls_behind(kind: &str, right: Right) -> &'static [&'static str] {
    match (kind, right) {
        ("fs", Right::Read) => &["fs.read", "fs.list"],
        ("fs", Right::Write) => &["fs.write", "fs.mkdir"],
        ("fs", Right::Delete) => &["fs.delete"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(on: &str, rights: &[Right]) -> ReachRule {
        ReachRule::allow(on.parse().unwrap(), rights.iter().copied().collect())
    }

    #[test]
    fn every_call_behind_a_right_exists_and_needs_it() {
        for right in Right::ALL {
            for name in calls_behind("fs", right) {
                let services = libos_abi::SERVICES.iter().flat_map(|service| service.calls);
                let call = services.clone().find(|call| call.name == *name);
                let call = call.unwrap_or_else(|| panic!("there is no {name}"));
                assert_eq!(call.demand, libos_abi::DemandInfo::Right(right, "fs"), "{name}");
            }
        }
    }

    #[test]
    fn a_right_whose_calls_are_not_admitted_is_left_out() {
        let all = [Right::Read, Right::Write, Right::Execute];
        let reach = Reach { rules: vec![rule("fs:workspace/*", &all)] };
        let left = reach.clone().admitted(|call| call != "fs.write");
        assert_eq!(left.rules, [rule("fs:workspace/*", &[Right::Read, Right::Execute])]);
        let none = Reach { rules: vec![rule("fs:workspace/*", &[Right::Read])] };
        assert_eq!(none.admitted(|_| false), Reach::default());
    }

    #[test]
    fn patterns_meet_where_one_covers_the_other() {
        let pattern = |text: &str| text.parse::<Pattern>().unwrap();
        let (wide, narrow) = (pattern("fs:workspace/*"), pattern("fs:workspace/src/*"));
        assert_eq!(meet(&wide, &narrow), Some(narrow.clone()));
        assert_eq!(meet(&narrow, &wide), Some(narrow.clone()));
        assert_eq!(meet(&narrow, &pattern("fs:workspace/docs/*")), None);
    }
}
