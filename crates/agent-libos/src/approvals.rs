//! Approvals files: answers for unattended runs.
//!
//! The first rule that fits a request answers it; a request that none fits waits for a human. A
//! rule knows nothing but the request and what the record holds of earlier ones, so that it
//! answers the same after a restart.

use std::path::Path;

use libos_abi::{
    Millis, Need, Pattern, Pid, Rights, Scope,
    human::{Ask, Decided, Decision, Policy, Request, RequestState},
    process::BudgetKind,
};
use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::task::TaskError;

/// An approvals file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalsFile {
    /// The rules, in order.
    #[serde(default)]
    pub rule: Vec<Rule>,
}

/// One rule: what it fits (`on`, `question` or `extend`) and what it answers (`answer`, `text` or
/// `by`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Fits calls (`approve`), permissions (`permit`) or both (`deny`) about these resources.
    pub on: Option<Pattern>,
    /// Fits questions whose text this regular expression finds.
    pub question: Option<String>,
    /// Fits requests to raise a limit of this kind.
    pub extend: Option<BudgetKind>,
    /// Fits only where nothing but these rights is needed; any right if absent.
    pub rights: Option<Rights>,
    /// Approve a call, permit what a process asks for, or deny anything.
    pub answer: Option<Word>,
    /// The answer to a question.
    pub text: Option<String>,
    /// How far an approval reaches; `once` if absent.
    pub scope: Option<Reach>,
    /// How long an approval holds, instead of a scope.
    pub until: Option<Millis>,
    /// By how much a limit is raised, in what it counts.
    pub by: Option<u64>,
    /// How often the limit of one process may have been raised, by whomever, for the rule to fit;
    /// `1` if absent.
    pub times: Option<u32>,
}

/// A one-word answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Yes, to one exact call.
    Approve,
    /// Yes, to a standing permission.
    Permit,
    /// No.
    Deny,
}

/// How far an approval reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "\"once\", \"process\", \"subtree\" or a number of uses")]
pub enum Reach {
    /// This many uses.
    Uses(u32),
    /// A word.
    Word(ReachWord),
}

/// How far an approval reaches, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReachWord {
    /// This very operation.
    Once,
    /// The same call by the same process.
    Process,
    /// The same call by the process and all below it.
    Subtree,
}

/// Rules ready to answer.
#[derive(Debug, Default)]
pub struct Approvals {
    rules: Vec<(Rule, Option<Regex>)>,
}

impl Approvals {
    /// Reads an approvals file.
    ///
    /// # Errors
    /// [`TaskError`], which names the file and what is wrong.
    pub fn load(path: &Path) -> Result<Self, TaskError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TaskError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|message| TaskError::Invalid { path: path.to_owned(), message })
    }

    /// Reads the text of an approvals file.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let file: ApprovalsFile = toml::from_str(text).map_err(|error| error.to_string())?;
        let rules =
            file.rule.into_iter().enumerate().map(|(index, rule)| {
                check(rule).map_err(|what| format!("rule {}: {what}", index + 1))
            });
        Ok(Self { rules: rules.collect::<Result<_, _>>()? })
    }

    /// The answer of the first rule that fits. `record` holds the requests there were.
    #[must_use]
    pub fn answer(&self, request: &Request, record: &[Request]) -> Option<Decision> {
        let fits = |(rule, regex): &&(Rule, Option<Regex>)| {
            fits(rule, regex.as_ref(), &request.ask, record)
        };
        let (rule, _) = self.rules.iter().find(fits)?;
        Some(match (rule.answer, &request.ask) {
            (Some(Word::Deny), _) => {
                Decision::Deny { reason: Some("the approvals file says so".into()) }
            }
            (Some(Word::Approve), Ask::Approval(_)) => Decision::Approve { scope: scope(rule) },
            (Some(Word::Permit), _) => Decision::Permit { policy: Policy::Always },
            (None, Ask::Extension { .. }) => Decision::Extend { by: rule.by? },
            _ => Decision::Answer { text: rule.text.clone().unwrap_or_default().into() },
        })
    }
}

fn check(rule: Rule) -> Result<(Rule, Option<Regex>), String> {
    let count = |given: &[bool]| given.iter().filter(|given| **given).count();
    if count(&[rule.on.is_some(), rule.question.is_some(), rule.extend.is_some()]) != 1 {
        return Err("write exactly one of `on`, `question` and `extend`".into());
    }
    if count(&[rule.answer.is_some(), rule.text.is_some(), rule.by.is_some()]) != 1 {
        return Err("write exactly one of `answer`, `text` and `by`".into());
    }
    if rule.text.is_some() && rule.question.is_none() {
        return Err("`text` answers a question; write `answer` for a resource".into());
    }
    if rule.answer == Some(Word::Permit) {
        if rule.rights.is_none() {
            return Err("a rule that permits names the `rights` it permits".into());
        }
        if rule.scope.is_some() || rule.until.is_some() {
            return Err("a permission stands until it is revoked; it takes no scope".into());
        }
    }
    if rule.on.is_none() && matches!(rule.answer, Some(Word::Approve | Word::Permit)) {
        let (what, with) = match rule.extend {
            None => ("a question is answered", "text"),
            Some(_) => ("a limit is raised", "by"),
        };
        return Err(format!("{what} with `{with}`, or refused with `answer = \"deny\"`"));
    }
    if rule.scope.is_some() && rule.until.is_some() {
        return Err("write at most one of `scope` and `until`".into());
    }
    if rule.scope == Some(Reach::Uses(0)) {
        return Err("a scope of 0 uses approves nothing".into());
    }
    check_extension(&rule)?;
    let regex = rule.question.as_deref().map(Regex::new).transpose();
    let regex = regex.map_err(|error| format!("`question` is no regular expression: {error}"))?;
    Ok((rule, regex))
}

fn check_extension(rule: &Rule) -> Result<(), String> {
    if rule.by.is_some() && rule.extend.is_none() {
        return Err("`by` raises a limit; write `extend` with it".into());
    }
    if rule.times.is_some() && rule.by.is_none() {
        return Err("`times` counts how often a limit is raised; write `extend` and `by`".into());
    }
    if rule.by == Some(0) || rule.times == Some(0) {
        return Err("a rule that raises a limit by 0, or 0 times, raises nothing".into());
    }
    let is_call = rule.rights.is_some() || rule.scope.is_some() || rule.until.is_some();
    if rule.extend.is_some() && is_call {
        return Err("`extend` goes with `by` and `times`, or with `answer = \"deny\"`".into());
    }
    Ok(())
}

fn fits(rule: &Rule, regex: Option<&Regex>, ask: &Ask, record: &[Request]) -> bool {
    let all = Rights::all();
    let rights = rule.rights.unwrap_or(all);
    match (ask, &rule.on, regex) {
        (Ask::Approval(approval), Some(on), _) if rule.answer != Some(Word::Permit) => {
            // A call that always takes a human's word names no need, and no file gives that word.
            let is_covered = |need: &Need| on.matches(&need.on) && rights.contains(need.right);
            !approval.needs.is_empty() && approval.needs.iter().all(is_covered)
        }
        (Ask::Permission { on: asked, rights: wanted, .. }, Some(on), _)
            if rule.answer != Some(Word::Approve) =>
        {
            on.covers(asked) && rights.covers(*wanted)
        }
        (Ask::Question { question, .. }, None, Some(regex)) => {
            question.as_str().is_some_and(|text| regex.is_match(text))
        }
        (Ask::Extension { of, kind, .. }, None, None) if rule.extend == Some(*kind) => {
            rule.by.is_none() || raised(*of, *kind, record) < rule.times.unwrap_or(1) as usize
        }
        _ => false,
    }
}

/// How often a limit of a process was raised.
fn raised(of: Pid, kind: BudgetKind, record: &[Request]) -> usize {
    let is_one = |request: &&Request| {
        let is_it = matches!(&request.ask, Ask::Extension { of: its, kind: counts, .. }
            if (*its, *counts) == (of, kind));
        is_it
            && matches!(
                &request.state,
                RequestState::Decided(Decided { decision: Decision::Extend { .. }, .. })
            )
    };
    record.iter().filter(is_one).count()
}

fn scope(rule: &Rule) -> Scope {
    match (rule.until, rule.scope) {
        (Some(until), _) => Scope::Until(until),
        (None, Some(Reach::Uses(uses))) => Scope::Uses(uses),
        (None, Some(Reach::Word(ReachWord::Process))) => Scope::Process,
        (None, Some(Reach::Word(ReachWord::Subtree))) => Scope::Subtree,
        (None, Some(Reach::Word(ReachWord::Once)) | None) => Scope::Once,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_abi::{OpId, RequestId};

    fn request(id: u64, of: u64, kind: BudgetKind, decision: Option<Decision>) -> Request {
        let decided = |decision| {
            let by = "owner".into();
            RequestState::Decided(Decided { decision, by, at_ms: 0, capability: None })
        };
        Request {
            id: RequestId(id),
            op: OpId(id),
            pid: Pid(of),
            root: Pid(1),
            human: "owner".into(),
            ask: Ask::Extension {
                of: Pid(of),
                kind,
                limit: 3,
                used: 3,
                more: 1,
                call: "fs.read".into(),
            },
            asked_at_ms: 0,
            state: decision.map_or(RequestState::Pending, decided),
            joined: Vec::new(),
        }
    }

    #[test]
    fn a_limit_is_raised_as_often_as_its_rule_says_and_no_oftener() {
        let rules = "[[rule]]\nextend = \"syscalls\"\nby = 100\ntimes = 2";
        let rules = Approvals::parse(rules).expect("a rule");
        let asked = request(9, 1, BudgetKind::Syscalls, None);
        let raised = |by| Some(Decision::Extend { by });
        let mut record = vec![
            // Those that do not count: another process, another kind, a refusal, no answer yet.
            request(1, 2, BudgetKind::Syscalls, raised(100)),
            request(2, 1, BudgetKind::Bytes, raised(100)),
            request(3, 1, BudgetKind::Syscalls, Some(Decision::Deny { reason: None })),
            asked.clone(),
            request(4, 1, BudgetKind::Syscalls, raised(7)),
        ];
        assert_eq!(rules.answer(&asked, &record), raised(100));
        record.push(request(5, 1, BudgetKind::Syscalls, raised(100)));
        assert_eq!(rules.answer(&asked, &record), None);
        let other = request(10, 1, BudgetKind::Bytes, None);
        assert_eq!(rules.answer(&other, &[]), None);
    }

    #[test]
    fn a_rule_without_times_raises_a_limit_once_and_one_may_refuse() {
        let once = Approvals::parse("[[rule]]\nextend = \"bytes\"\nby = 5").expect("a rule");
        let asked = request(9, 1, BudgetKind::Bytes, None);
        assert_eq!(once.answer(&asked, &[]), Some(Decision::Extend { by: 5 }));
        let before = request(1, 1, BudgetKind::Bytes, Some(Decision::Extend { by: 5 }));
        assert_eq!(once.answer(&asked, &[before]), None);
        let never = "[[rule]]\nextend = \"bytes\"\nanswer = \"deny\"";
        let never = Approvals::parse(never).expect("a rule");
        assert!(matches!(never.answer(&asked, &[]), Some(Decision::Deny { .. })));
    }

    #[test]
    fn a_rule_that_says_too_much_or_too_little_is_refused() {
        let on = "on = \"fs:workspace/*\"";
        for rule in [
            "extend = \"syscalls\"",
            "extend = \"hours\"\nby = 1",
            "extend = \"syscalls\"\nby = 0",
            "extend = \"syscalls\"\nby = 1\ntimes = 0",
            "extend = \"syscalls\"\nby = 1\nanswer = \"deny\"",
            "extend = \"syscalls\"\nanswer = \"deny\"\ntimes = 1",
            "extend = \"syscalls\"\nanswer = \"approve\"",
            "extend = \"syscalls\"\nby = 1\nscope = \"once\"",
            "extend = \"syscalls\"\nby = 1\nquestion = \"x\"",
            &format!("{on}\nby = 1"),
            &format!("{on}\nanswer = \"deny\"\ntimes = 1"),
            "question = \"x\"\nby = 1",
        ] {
            assert!(Approvals::parse(&format!("[[rule]]\n{rule}")).is_err(), "{rule}");
        }
    }
}
