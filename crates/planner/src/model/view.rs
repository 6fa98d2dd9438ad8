//! Views: what of a conversation a call says.
//!
//! A view names what is left out, and what stands for it; all else is said. It changes seldom and
//! in large steps, so that what goes before is the same from call to call and an endpoint's cache
//! knows it. Units are left out as a whole, and a unit is a call with its result: so none is ever
//! without the other.

use libos_abi::llm::Span;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    conversation::{Kind, Unit},
    policy::Policy,
    tokens,
};

/// Units one behind the other that are left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Gap {
    pub(super) from: usize,
    pub(super) to: usize,
    /// The unit that stands for them.
    pub(super) by: Option<usize>,
    pub(super) why: Why,
}

/// Why something is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Why {
    /// It is summarized.
    Compacted,
    /// The policy had it go.
    #[serde(untagged)]
    Policy(Policy),
}

/// What is left out of a conversation, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct View {
    pub(super) gaps: Vec<Gap>,
}

impl View {
    /// The units that are said, in order.
    pub(super) fn shown(&self, units: &[Unit]) -> Vec<usize> {
        let mut shown = Vec::with_capacity(units.len());
        let mut gaps = self.gaps.iter().peekable();
        let mut at = 0;
        while at < units.len() {
            if let Some(gap) = gaps.next_if(|gap| gap.from == at) {
                shown.extend(gap.by.filter(|by| *by < units.len()));
                at = gap.to.max(at + 1);
                continue;
            }
            if units[at].kind != Kind::StandIn {
                shown.push(at);
            }
            at += 1;
        }
        shown
    }

    /// The entries that are said.
    pub(super) fn spans(&self, units: &[Unit]) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for at in self.shown(units) {
            let span = units[at].span;
            match spans.last_mut() {
                Some(last) if last.to == span.from => last.to = span.to,
                _ => spans.push(span),
            }
        }
        spans
    }

    /// The tokens of what is said.
    pub(super) fn tokens(&self, units: &[Unit]) -> u64 {
        self.shown(units).into_iter().map(|at| units[at].tokens).sum()
    }

    /// The bytes of what is said.
    pub(super) fn bytes(&self, units: &[Unit]) -> u64 {
        self.shown(units).into_iter().map(|at| units[at].bytes).sum()
    }

    /// The units that have to go for the rest to have at most so many tokens, in order, as far as
    /// they may.
    pub(super) fn going(&self, units: &[Unit], policy: Policy, tokens_max: u64) -> Vec<usize> {
        let mut left = self.tokens(units);
        let mut goes = Vec::new();
        for at in policy.order(units, &self.shown(units)) {
            if left <= tokens_max {
                break;
            }
            // What stands for something else has no place of its own.
            if units[at].kind == Kind::StandIn {
                continue;
            }
            left = left.saturating_sub(units[at].tokens);
            goes.push(at);
        }
        goes.sort_unstable();
        goes
    }

    /// The same without these units besides.
    pub(super) fn without(&self, units: &[Unit], goes: Vec<usize>, why: Why, by: usize) -> Self {
        let gaps = &self.gaps;
        let mut left: Vec<Option<(Why, Option<usize>)>> = vec![None; units.len()];
        for Gap { from, to, by, why } in gaps {
            left[*from..*to].fill(Some((*why, *by)));
        }
        for at in goes {
            left[at] = Some((why, Some(by)));
        }
        let mut gaps: Vec<Gap> = Vec::new();
        for (at, left) in left.into_iter().enumerate() {
            let last = gaps.last_mut().filter(|gap| gap.to == at);
            match (left, last) {
                // What stands for something has no place of its own that could part them.
                (_, Some(gap)) if units[at].kind == Kind::StandIn => gap.to = at + 1,
                (_, None) if units[at].kind == Kind::StandIn => {}
                (Some((why, by)), Some(gap)) if (gap.why, gap.by) == (why, by) => gap.to = at + 1,
                (Some((why, by)), _) => gaps.push(Gap { from: at, to: at + 1, by, why }),
                (None, _) => {}
            }
        }
        // A summary is said once, where the first of what it stands for was.
        let mut said: Vec<usize> = Vec::new();
        for gap in gaps.iter_mut().filter(|gap| gap.why == Why::Compacted) {
            match gap.by {
                Some(by) if said.contains(&by) => gap.by = None,
                by => said.extend(by),
            }
        }
        Self { gaps }
    }

    /// What a call notes of it: nothing of what is said, only how much, and what is left out.
    pub(super) fn manifest(&self, units: &[Unit], setup_tokens: u64) -> Value {
        let shown = self.shown(units);
        let mut manifest = json!({
            "counted": tokens::VOCABULARY,
            "tokens": setup_tokens + shown.iter().map(|at| units[*at].tokens).sum::<u64>(),
        });
        let estimated = shown.iter().filter(|at| !units[**at].counted).count();
        if estimated > 0 {
            manifest["estimated"] = estimated.into();
        }
        if !self.gaps.is_empty() {
            manifest["left"] = self.gaps.iter().map(|gap| gap.noted(units)).collect();
        }
        manifest
    }
}

impl Gap {
    fn noted(&self, units: &[Unit]) -> Value {
        let gone = units.get(self.from..self.to).unwrap_or_default().iter();
        let gone: Vec<&Unit> = gone.filter(|unit| unit.kind != Kind::StandIn).collect();
        let mut noted = json!({
            "from": gone.first().map_or(0, |unit| unit.span.from),
            "to": gone.last().map_or(0, |unit| unit.span.to),
            "tokens": gone.iter().map(|unit| unit.tokens).sum::<u64>(),
            "why": self.why,
        });
        if let Some(by) = self.by.and_then(|by| units.get(by)) {
            noted["instead"] = by.span.from.into();
        }
        noted
    }
}

#[cfg(test)]
pub(super) mod tests {
    use libos_abi::llm::{Message, Part, Role};

    use super::*;

    /// Numbers that look as if they had no order, the same in each run.
    pub(crate) struct Random(pub(crate) u64);

    impl Random {
        pub(crate) fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_041);
            (self.0 >> 33) % bound
        }
    }

    const KINDS: [Kind; 7] = [
        Kind::Instruction,
        Kind::Letter,
        Kind::Note,
        Kind::Exchange,
        Kind::Exchange,
        Kind::Exchange,
        Kind::Exchange,
    ];

    pub(crate) fn unit(kind: Kind, random: &mut Random, behind: &[Unit]) -> Unit {
        let text = "word ".repeat(random.below(60) as usize + 1);
        let id = "c".to_owned();
        let is_error = random.below(4) == 0;
        let messages = match kind {
            Kind::Exchange => vec![
                Message {
                    role: Role::Assistant,
                    parts: vec![Part::ToolCall {
                        id: id.clone(),
                        name: "read_file".into(),
                        arguments: format!("{{\"path\":\"a{}.rs\"}}", random.below(9)),
                    }],
                },
                Message { role: Role::Tool, parts: vec![Part::ToolResult { id, text, is_error }] },
            ],
            _ => vec![Message::text(Role::User, text)],
        };
        let from = behind.last().map_or(0, |unit| unit.span.to);
        let span = Span { from, to: from + random.below(2) as u32 + 1 };
        Unit { span, bytes: 10, ..Unit::of(kind, &messages) }
    }

    /// A conversation of so many units behind the prompt, the goal and what stands for others.
    pub(crate) fn units(random: &mut Random, count: u64) -> Vec<Unit> {
        let mut units = Vec::new();
        for kind in [Kind::System, Kind::Goal, Kind::StandIn] {
            units.push(unit(kind, random, &units));
        }
        for _ in 0..count {
            let kind = KINDS[random.below(7) as usize];
            units.push(unit(kind, random, &units));
        }
        units
    }

    /// What holds of every view.
    pub(crate) fn check(view: &View, units: &[Unit]) {
        let shown = view.shown(units);
        let own: Vec<usize> =
            shown.iter().copied().filter(|at| units[*at].kind != Kind::StandIn).collect();
        assert!(own.is_sorted(), "in the order in which it was said");
        for (at, unit) in units.iter().enumerate() {
            let gaps = view.gaps.iter().filter(|gap| (gap.from..gap.to).contains(&at)).count();
            let said = own.iter().filter(|it| **it == at).count();
            let is_stand_in = unit.kind == Kind::StandIn;
            assert!(is_stand_in || gaps + said == 1, "{at} is said or left out: {view:?}");
            assert!(!unit.is_pinned() || said == 1, "what is pinned is said: {view:?}");
        }
        // Whole units and nothing else.
        let mut entries: Vec<u32> = Vec::new();
        shown.iter().for_each(|at| entries.extend(units[*at].span.from..units[*at].span.to));
        let spans = view.spans(units);
        let named: Vec<u32> = spans.iter().flat_map(|span| span.from..span.to).collect();
        assert_eq!(named, entries);
    }

    #[test]
    fn whatever_is_left_out_what_is_pinned_and_what_was_said_last_is_said() {
        let policies = [Policy::Recency, Policy::Evidence, Policy::Plan, Policy::Error];
        for seed in 0..300 {
            let mut random = Random(seed);
            let count = random.below(40);
            let mut all = units(&mut random, count);
            let mut view = View::default();
            for _ in 0..6 {
                let most = random.below(2_000);
                let policy = policies[random.below(4) as usize];
                let before = view.shown(&all);
                let goes = view.going(&all, policy, most);
                if !goes.is_empty() {
                    // Every other time there is a summary.
                    let (why, by) = match random.below(2) {
                        0 => (Why::Policy(policy), 2),
                        _ => (Why::Compacted, all.len()),
                    };
                    if why == Why::Compacted {
                        let summary = unit(Kind::StandIn, &mut random, &all);
                        all.push(summary);
                    }
                    let next = view.without(&all, goes, why, by);
                    let after = next.shown(&all);
                    assert!(after.iter().all(|at| *at == by || before.contains(at)));
                    assert!(after.ends_with(&before[before.len() - 2..]));
                    let rest = policy.order(&all, &after);
                    let may_go = rest.iter().any(|at| all[*at].kind != Kind::StandIn);
                    let said = |at: &&usize| all[**at].kind == Kind::StandIn;
                    let instead: u64 = after.iter().filter(said).map(|at| all[*at].tokens).sum();
                    assert!(!may_go || next.tokens(&all) <= most + instead, "{seed}");
                    let times = after.iter().filter(|at| **at == by).count();
                    assert!(why != Why::Compacted || times == 1, "a summary is said once");
                    view = next;
                }
                check(&view, &all);
                let kind = KINDS[random.below(7) as usize];
                let more = unit(kind, &mut random, &all);
                all.push(more);
            }
            let kept = serde_json::to_string(&view).expect("it is JSON");
            assert_eq!(serde_json::from_str::<View>(&kept).expect("it was kept"), view);
        }
    }

    #[test]
    fn each_policy_keeps_what_it_is_for() {
        let mut random = Random(7);
        let mut all: Vec<Unit> = Vec::new();
        for _ in 0..8 {
            let next = unit(Kind::Exchange, &mut random, &all);
            all.push(Unit { failed: false, speaks: false, cited: 0, tokens: 10, ..next });
        }
        all[1].cited = 1;
        all[2].speaks = true;
        all[4].failed = true;
        let kept = |policy: Policy, tokens| {
            let goes = View::default().going(&all, policy, tokens);
            (0..all.len()).filter(|at| !goes.contains(at)).collect::<Vec<usize>>()
        };
        assert_eq!(kept(Policy::Recency, 40), [4, 5, 6, 7]);
        assert_eq!(kept(Policy::Evidence, 40), [1, 5, 6, 7]);
        assert_eq!(kept(Policy::Plan, 40), [2, 5, 6, 7]);
        assert_eq!(kept(Policy::Error, 40), [3, 4, 6, 7]);
        assert_eq!(kept(Policy::Recency, 0), [6, 7], "what was said last stays");
    }

    #[test]
    fn a_manifest_says_how_much_is_left_out_and_why_and_nothing_of_it() {
        let mut random = Random(3);
        let mut all = units(&mut random, 0);
        for _ in 0..6 {
            let next = unit(Kind::Exchange, &mut random, &all);
            all.push(Unit {
                tokens: 10,
                span: Span { from: all.len() as u32, to: all.len() as u32 + 1 },
                ..next
            });
        }
        all.iter_mut().for_each(|unit| unit.tokens = 10);
        let whole = View::default();
        assert_eq!(whole.manifest(&all, 5), json!({ "counted": "o200k_base", "tokens": 85 }));
        let view = whole.without(
            &all,
            whole.going(&all, Policy::Recency, 60),
            Why::Policy(Policy::Recency),
            2,
        );
        all[0].counted = false;
        assert_eq!(
            view.manifest(&all, 5),
            json!({
                "counted": "o200k_base", "tokens": 75, "estimated": 1,
                "left": [{ "from": all[3].span.from, "to": all[4].span.to, "tokens": 20,
                           "why": "recency", "instead": all[2].span.from }],
            })
        );
    }
}
