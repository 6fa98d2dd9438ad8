//! Approvals files: answers for unattended runs.
//!
//! The first rule that fits a request answers it; a request that none fits waits for a human.

use std::path::Path;

use libos_abi::{
    Millis, Pattern, Rights, Scope,
    human::{Ask, Decision, Policy, Request},
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

/// One rule: what it fits (`on` or `question`) and what it answers (`answer` or `text`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Fits calls (`approve`), permissions (`permit`) or both (`deny`) about these resources.
    pub on: Option<Pattern>,
    /// Fits questions whose text this regular expression finds.
    pub question: Option<String>,
    /// Fits only where nothing but these rights is needed; any right if absent.
    pub rights: Option<Rights>,
    /// Approve a call, permit what a process asks for, or deny either.
    pub answer: Option<Word>,
    /// The answer to a question.
    pub text: Option<String>,
    /// How far an approval reaches; `once` if absent.
    pub scope: Option<Reach>,
    /// How long an approval holds, instead of a scope.
    pub until: Option<Millis>,
}

/// A one-word answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// Yes, to one exact call.
    Approve,
    /// Yes, to a standing permission.
    Permit,
    /// No, to either.
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

    /// The answer of the first rule that fits.
    #[must_use]
    pub fn answer(&self, request: &Request) -> Option<Decision> {
        self.rules.iter().find(|(rule, regex)| fits(rule, regex.as_ref(), &request.ask)).map(
            |(rule, _)| match (rule.answer, &request.ask) {
                (Some(Word::Deny), _) => {
                    Decision::Deny { reason: Some("the approvals file says so".into()) }
                }
                (Some(Word::Approve), Ask::Approval(_)) => Decision::Approve { scope: scope(rule) },
                (Some(Word::Permit), _) => Decision::Permit { policy: Policy::Always },
                _ => Decision::Answer { text: rule.text.clone().unwrap_or_default().into() },
            },
        )
    }
}

fn check(rule: Rule) -> Result<(Rule, Option<Regex>), String> {
    match (&rule.on, &rule.question) {
        (Some(_), None) | (None, Some(_)) => {}
        _ => return Err("write exactly one of `on` and `question`".into()),
    }
    match (&rule.answer, &rule.text) {
        (Some(_), None) | (None, Some(_)) => {}
        _ => return Err("write exactly one of `answer` and `text`".into()),
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
    if rule.question.is_some() && matches!(rule.answer, Some(Word::Approve | Word::Permit)) {
        return Err("a question is answered with `text`, or with `answer = \"deny\"`".into());
    }
    if rule.scope.is_some() && rule.until.is_some() {
        return Err("write at most one of `scope` and `until`".into());
    }
    if rule.scope == Some(Reach::Uses(0)) {
        return Err("a scope of 0 uses approves nothing".into());
    }
    let regex = rule.question.as_deref().map(Regex::new).transpose();
    let regex = regex.map_err(|error| format!("`question` is no regular expression: {error}"))?;
    Ok((rule, regex))
}

fn fits(rule: &Rule, regex: Option<&Regex>, ask: &Ask) -> bool {
    let all = Rights::all();
    let rights = rule.rights.unwrap_or(all);
    match (ask, &rule.on, regex) {
        (Ask::Approval(approval), Some(on), _) if rule.answer != Some(Word::Permit) => {
            approval.needs.iter().all(|need| on.matches(&need.on) && rights.contains(need.right))
        }
        (Ask::Permission { on: asked, rights: wanted, .. }, Some(on), _)
            if rule.answer != Some(Word::Approve) =>
        {
            on.covers(asked) && rights.covers(*wanted)
        }
        (Ask::Question { question, .. }, None, Some(regex)) => {
            question.as_str().is_some_and(|text| regex.is_match(text))
        }
        _ => false,
    }
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
