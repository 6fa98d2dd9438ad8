//! Asking the person at the terminal: what may be typed, and what it answers.

use std::io::{self, BufRead};

use agent_libos::abi::{
    Scope,
    human::{Ask, Decision, Known, Policy},
    process::BudgetKind,
};
use tokio::sync::mpsc;

use crate::args::Amount;

/// What a person may type in answer.
pub(crate) fn choices(ask: &Ask) -> String {
    match ask {
        Ask::Approval(_) => {
            "[a]pprove once, for this [p]rocess, its [s]ubtree, so many times (3), \
                             so long (10m), [d]eny"
                .into()
        }
        Ask::Release(_) => "[a]llow this once, [d]eny".into(),
        Ask::Permission { .. } => "[a]lways, [e]ach time, [n]ever, [d]eny".into(),
        Ask::Question { .. } => "your answer".into(),
        Ask::Extension { limit, kind, .. } => {
            format!("a number to add to the {limit} {}, [d]eny", kind.unit())
        }
        Ask::Unknown { .. } => "was it [d]one, [n]ot done, or is it [u]nknown".into(),
    }
}

/// What a typed line answers; nothing if it is no answer.
pub(crate) fn typed(ask: &Ask, line: &str) -> Option<Decision> {
    match (ask, line) {
        (Ask::Approval(_) | Ask::Release(_), "a") => Some(Decision::Approve { scope: Scope::Once }),
        (Ask::Approval(_), "p") => Some(Decision::Approve { scope: Scope::Process }),
        (Ask::Approval(_), "s") => Some(Decision::Approve { scope: Scope::Subtree }),
        (Ask::Permission { .. }, "a") => Some(Decision::Permit { policy: Policy::Always }),
        (Ask::Permission { .. }, "e") => Some(Decision::Permit { policy: Policy::AskEachTime }),
        (Ask::Permission { .. }, "n") => Some(Decision::Permit { policy: Policy::Never }),
        (
            Ask::Approval(_) | Ask::Release(_) | Ask::Permission { .. } | Ask::Extension { .. },
            "d",
        ) => Some(Decision::Deny { reason: None }),
        (Ask::Approval(_), how_long) => {
            let scope = match how_long.parse().ok()? {
                Amount::Number(uses) => Scope::Uses(u32::try_from(uses).ok().filter(|it| *it > 0)?),
                Amount::Time(time) => Scope::Until(time),
            };
            Some(Decision::Approve { scope })
        }
        (Ask::Unknown { .. }, "d") => Some(Decision::Known { what: Known::Done }),
        (Ask::Unknown { .. }, "n") => Some(Decision::Known { what: Known::NotDone }),
        (Ask::Unknown { .. }, "u") => Some(Decision::Known { what: Known::Unknown }),
        (Ask::Extension { kind, .. }, by) => {
            let by = match by.parse().ok()? {
                Amount::Number(by) => by,
                Amount::Time(by) if *kind == BudgetKind::Wall => by.0,
                Amount::Time(_) => return None,
            };
            (by > 0).then_some(Decision::Extend { by })
        }
        (Ask::Question { .. }, text) => {
            (!text.is_empty()).then(|| Decision::Answer { text: text.into() })
        }
        _ => None,
    }
}

/// The next line a person types, and nothing at the end of them; never, when nobody was asked.
pub(crate) async fn next_line(
    typed: &mut Option<mpsc::UnboundedReceiver<String>>,
) -> Option<String> {
    match typed {
        Some(receiver) => receiver.recv().await,
        None => std::future::pending().await,
    }
}

/// What a line says that answers nothing.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said<'a> {
    Nothing,
    Message(&'a str),
    Interrupt(&'a str),
    Quit,
    Help,
    /// A command that there is not.
    Unknown(&'a str),
}

impl Said<'_> {
    /// Whether it is one even while a request waits for its answer.
    pub(crate) fn is_command(&self) -> bool {
        !matches!(self, Self::Nothing | Self::Message(_))
    }
}

/// Reads a line of a conversation.
pub(crate) fn said(line: &str) -> Said<'_> {
    let line = line.trim();
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    match word {
        "" => Said::Nothing,
        "/interrupt" | "/i" => Said::Interrupt(rest.trim()),
        "/quit" | "/q" => Said::Quit,
        "/help" => Said::Help,
        word if word.starts_with('/') && !word[1..].contains('/') => Said::Unknown(word),
        _ => Said::Message(line),
    }
}

/// Reads lines on a thread of its own: a terminal cannot be read without one.
pub(crate) fn read_lines() -> mpsc::UnboundedReceiver<String> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

#[cfg(test)]
mod tests {
    use agent_libos::abi::{Digest, Json, Millis, human::Approval};

    use super::*;

    #[test]
    fn an_approval_is_typed_with_how_far_it_reaches() {
        let ask = Ask::Approval(Approval {
            call: "fs.write".into(),
            args: Json::default(),
            digest: Digest::of(b""),
            needs: Vec::new(),
            asked_by: Vec::new(),
        });
        for (line, scope) in [
            ("a", Some(Scope::Once)),
            ("p", Some(Scope::Process)),
            ("s", Some(Scope::Subtree)),
            ("3", Some(Scope::Uses(3))),
            ("10m", Some(Scope::Until(Millis(600_000)))),
            ("0", None),
            ("99999999999", None),
            ("yes", None),
        ] {
            let decision = scope.map(|scope| Decision::Approve { scope });
            assert_eq!(typed(&ask, line), decision, "{line}");
        }
        assert_eq!(typed(&ask, "d"), Some(Decision::Deny { reason: None }));
    }

    #[test]
    fn a_line_is_a_message_unless_it_is_a_command() {
        for (line, means) in [
            (" ", Said::Nothing),
            ("buy apples ", Said::Message("buy apples")),
            ("/interrupt  stop that", Said::Interrupt("stop that")),
            ("/i", Said::Interrupt("")),
            ("/quit", Said::Quit),
            ("/help me", Said::Help),
            ("/halp", Said::Unknown("/halp")),
            ("/etc/hosts is wrong", Said::Message("/etc/hosts is wrong")),
        ] {
            assert_eq!(said(line), means, "{line:?}");
        }
    }
}
