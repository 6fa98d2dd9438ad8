//! What a call may use of a budget, and what it turned out to use.
//!
//! Decided on the call and the host's terms for models, before anything happens, as its demand is.
//! What may be estimated is the most that the call could take; it is set aside first and settled
//! with the outcome.

use crate::{
    CONTENT_BYTES_MAX, Error, KeptContent, Outcome, Reply, Syscall, Text, fs, http, llm,
    process::Usage, shell, tool,
};

impl Syscall {
    /// What the call may use at the most, as far as the call alone tells.
    #[must_use]
    pub fn charge(&self) -> Usage {
        self.charge_by(&|_| None)
    }

    /// The same where the host has terms for models, by the names of their profiles.
    #[must_use]
    pub fn charge_by<'t>(&self, terms: &dyn Fn(&str) -> Option<&'t llm::Terms>) -> Usage {
        let one = Usage { syscalls: 1, ..Usage::default() };
        match self {
            Self::Tool(tool::Call::CallTool(_)) => Usage { tool_calls: 1, ..one },
            Self::Fs(fs::Call::Read(read)) => {
                let default = default(read.into.as_ref(), fs::READ_BYTES_DEFAULT);
                Usage { bytes: read.max_bytes.unwrap_or(default).into(), ..one }
            }
            Self::Fs(fs::Call::Write(write)) => Usage { bytes: write.text.bytes(), ..one },
            Self::Fs(fs::Call::Edit(edit)) => Usage { bytes: edit.new.bytes(), ..one },
            Self::Fs(fs::Call::Patch(patch)) => Usage { bytes: patch.diff.bytes(), ..one },
            Self::Fs(fs::Call::Append(append)) => Usage { bytes: append.text.bytes(), ..one },
            Self::Fs(fs::Call::Search(_)) => Usage { bytes: fs::FOUND_BYTES_MAX.into(), ..one },
            Self::Shell(shell::Call::Run(run)) => {
                let outputs = [&run.stdout_into, &run.stderr_into];
                let most = outputs.map(|it| default(it.as_ref(), shell::OUTPUT_BYTES_MAX));
                Usage { bytes: most.into_iter().map(u64::from).sum(), ..one }
            }
            Self::Http(call) => {
                let (body, max_bytes) = bodies(call);
                let default = default(self.keeps()[0], http::BODY_BYTES_DEFAULT);
                let max_bytes = max_bytes.unwrap_or(default);
                Usage { bytes: body + u64::from(max_bytes), ..one }
            }
            Self::Llm(llm::Call::Complete(call)) => {
                one.plus(call.most(&terms(&call.profile).cloned().unwrap_or_default()))
            }
            _ => one,
        }
    }

    /// What the call used of what was set aside for it; nothing where nobody can tell, which is
    /// all of it.
    #[must_use]
    pub fn used(&self, outcome: &Outcome) -> Option<Usage> {
        if let Self::Llm(_) = self {
            return exchanged(outcome);
        }
        let all = self.charge().estimated();
        let bytes = match outcome {
            Ok(Reply::Fs(fs::Reply::Read(file))) => bytes(file.object.as_ref(), &file.text),
            Ok(Reply::Fs(fs::Reply::Search(found))) => {
                found.lines.iter().map(|found| found.text.len() as u64).sum()
            }
            Ok(Reply::Shell(shell::Reply::Run(ran))) => {
                bytes(ran.stdout_object.as_ref(), &ran.stdout)
                    + bytes(ran.stderr_object.as_ref(), &ran.stderr)
            }
            Ok(Reply::Http(
                http::Reply::Fetch(got) | http::Reply::Replace(got) | http::Reply::Send(got),
            )) => match self {
                Self::Http(call) => bodies(call).0 + got.bytes,
                _ => return None,
            },
            _ => return None,
        };
        Some(Usage { bytes: bytes.min(all.bytes), ..all })
    }
}

/// How many bytes a call takes that does not say: of what it keeps as an object more than of what
/// its reply gives.
fn default<T>(into: Option<T>, given: u32) -> u32 {
    into.map_or(given, |_| CONTENT_BYTES_MAX)
}

/// The bytes of what was kept, or of what the reply gives.
fn bytes(kept: Option<&KeptContent>, given: &Text) -> u64 {
    kept.map_or(given.bytes(), |kept| kept.bytes)
}

/// What an exchange with a model used: what it says, more than was set aside too; nothing if it
/// failed before the model saw anything.
fn exchanged(outcome: &Outcome) -> Option<Usage> {
    use llm::FailureKind::{
        BadRequest, ContextTooLong, NotRecorded, RateLimited, Unauthorized, UnknownProfile,
    };
    match outcome {
        Ok(Reply::Llm(llm::Reply::Complete(answer))) => {
            let tokens = answer.tokens.input.saturating_add(answer.tokens.output);
            Some(Usage { tokens, cost: answer.cost.unwrap_or_default(), ..Usage::default() })
        }
        Err(Error::Llm(failure)) => match failure.kind {
            UnknownProfile | BadRequest | RateLimited | ContextTooLong | Unauthorized
            | NotRecorded => Some(Usage::default()),
            _ => None,
        },
        _ => None,
    }
}

/// The bytes that a request carries, and how many it takes.
fn bodies(call: &http::Call) -> (u64, Option<u32>) {
    let (body, max_bytes) = match call {
        http::Call::Fetch(call) => (None, call.max_bytes),
        http::Call::Replace(call) => (call.body.as_ref(), call.max_bytes),
        http::Call::Send(call) => (call.body.as_ref(), call.max_bytes),
    };
    (body.map_or(0, Text::bytes), max_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Digest, Fault, Json, Text, clock, process::BudgetKind};

    fn run() -> Syscall {
        shell::Run::of(["ls"]).into()
    }

    fn read(max_bytes: Option<u32>) -> Syscall {
        fs::Read { path: "a".into(), max_bytes, into: None }.into()
    }

    #[test]
    fn a_call_is_charged_for_the_most_that_it_could_take() {
        let args = Json::default();
        let text = Text::blob(Digest::of(b"x"), 5_000);
        let write = fs::Write {
            path: "a".into(),
            text,
            overwrite: None,
            expected_digest: None,
            from: None,
        };
        let calls: [(Syscall, u64, u64); 6] = [
            (clock::GetNow {}.into(), 0, 0),
            (tool::CallTool { name: "x".into(), args }.into(), 1, 0),
            (read(None), 0, 65_536),
            (read(Some(10)), 0, 10),
            (write.into(), 0, 5_000),
            (run(), 0, 400_000),
        ];
        for (call, tool_calls, bytes) in calls {
            let usage = Usage { syscalls: 1, tool_calls, bytes, ..Usage::default() };
            assert_eq!(call.charge(), usage, "{}", call.info().name);
        }
    }

    #[test]
    fn a_call_used_what_its_outcome_shows_and_otherwise_all_of_it() {
        let bytes = |bytes| Some(Usage { bytes, ..Usage::default() });
        let file = |text: &str| -> Outcome {
            let digest = Digest::of(text.as_bytes());
            let text = Text::from(text);
            Ok(fs::Reply::Read(fs::FileText {
                text,
                bytes: 0,
                truncated: false,
                digest,
                object: None,
            })
            .into())
        };
        assert_eq!(read(Some(10)).used(&file("four")), bytes(4));
        assert_eq!(read(Some(2)).used(&file("four")), bytes(2), "never more than was set aside");
        assert_eq!(read(Some(10)).used(&Err(Fault::Cancelled.into())), None);
        let ended = shell::Ended {
            exit_code: Some(0),
            signal: None,
            stdout: "out".into(),
            stderr: "error".into(),
            truncated: false,
            wall_ms: 1,
            ..Default::default()
        };
        assert_eq!(run().used(&Ok(shell::Reply::Run(ended.into()).into())), bytes(8));
    }

    #[test]
    fn an_exchange_with_a_model_is_settled_with_what_it_took() {
        let messages = vec![Text::from("x".repeat(100))];
        let setup = Json::default();
        let (profile, output_tokens_max) = ("p".into(), Some(10));
        let call: Syscall = llm::Complete {
            profile,
            setup,
            messages,
            output_tokens_max,
            excerpt: None,
            manifest: None,
        }
        .into();
        assert_eq!(call.charge(), Usage { syscalls: 1, tokens: 62, ..Usage::default() });
        let prices = llm::Prices { input: 1_000_000, cached: 0, output: 2_000_000 };
        let terms = llm::Terms { prices: Some(prices), ..llm::Terms::default() };
        let priced = call.charge_by(&|profile| (profile == "p").then_some(&terms));
        assert_eq!(priced, Usage { syscalls: 1, tokens: 62, cost: 72, ..Usage::default() });
        let took = |input| -> Outcome {
            let answer = llm::Completion {
                message: Json::default(),
                finish: llm::Finish::Stop,
                tokens: llm::Tokens { input, cached: 1, output: 2 },
                cost: Some(7),
                model: "m".into(),
            };
            Ok(llm::Reply::Complete(Box::new(answer)).into())
        };
        let tokens = |tokens, cost| Some(Usage { tokens, cost, ..Usage::default() });
        assert_eq!(call.used(&took(3)), tokens(5, 7));
        assert_eq!(call.used(&took(100)), tokens(102, 7), "in full, more than was set aside too");
        let failed = |kind: llm::FailureKind| call.used(&Err(kind.because("")));
        assert_eq!(failed(llm::FailureKind::RateLimited), tokens(0, 0));
        assert_eq!(failed(llm::FailureKind::BadReply), None, "nobody can tell");
        assert_eq!(call.used(&Err(Fault::Cancelled.into())), None);
    }

    #[test]
    fn sums_stop_at_the_largest_number_and_every_kind_is_counted_apart() {
        let one = Usage { syscalls: 1, tool_calls: 2, children: 3, bytes: 4, tokens: 5, cost: 6 };
        let full = Usage { tokens: u64::MAX, ..one };
        assert_eq!(full.plus(one).tokens, u64::MAX);
        assert_eq!(one.plus(one).minus(one), one);
        assert!(one.minus(full).minus(one).is_nothing());
        assert_eq!(one.estimated(), Usage { bytes: 4, tokens: 5, cost: 6, ..Usage::default() });
        let kinds = [
            (BudgetKind::Syscalls, 1),
            (BudgetKind::ToolCalls, 2),
            (BudgetKind::Wall, 0),
            (BudgetKind::Children, 3),
            (BudgetKind::Bytes, 4),
            (BudgetKind::Tokens, 5),
            (BudgetKind::Cost, 6),
        ];
        for (kind, used) in kinds {
            assert_eq!(one.of(kind), used, "{kind:?}");
        }
    }

    #[test]
    fn a_limit_is_raised_where_there_is_one() {
        let none = crate::process::Budget::default();
        let one = |kind| {
            let text =
                format!("{{\"{}\":1}}", serde_json::json!(kind).as_str().unwrap_or_default());
            serde_json::from_str::<crate::process::Budget>(&text).expect("each kind is a field")
        };
        for kind in [
            BudgetKind::Syscalls,
            BudgetKind::ToolCalls,
            BudgetKind::Wall,
            BudgetKind::Children,
            BudgetKind::Bytes,
            BudgetKind::Tokens,
            BudgetKind::Cost,
        ] {
            let mut limited = one(kind);
            limited.raise(kind, 4);
            assert_eq!(limited.limit(kind), Some(5), "{kind:?}");
            limited.raise(kind, u64::MAX);
            assert_eq!(limited.limit(kind), Some(u64::MAX), "{kind:?}");
            let mut unlimited = none.clone();
            unlimited.raise(kind, 4);
            assert_eq!(unlimited, none, "{kind:?}");
        }
    }
}
