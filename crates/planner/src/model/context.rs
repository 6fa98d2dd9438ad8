//! What a call of the model says: the view of the conversation, kept within its limit.

use libos_abi::{
    Json,
    llm::{Complete, Completion, Excerpt, Message, Role, Setup},
    message,
};
use libos_port::QuantumEnd;
use serde::Deserialize;

use super::{
    Quantum, compact,
    conversation::{Conversation, Kind},
    policy::Policy,
    refused,
    view::Why,
};

/// The subject of messages of the host about the conversation itself: `undo` has the next call say
/// what was said before something was left out, `compact` has what the policy has go first be
/// summarized now.
pub const CONTEXT_SUBJECT: &str = "context";

/// How often less is said to an endpoint that finds a conversation too long.
const NARROWED_MAX: u32 = 3;

/// What is said in the place of what is left out.
const LEFT_OUT: &str = "\
(Here a part of this conversation is left out, because all of it would be too long. What was done \
then stays done; look again at what you need of it.)";

/// What a call says of the conversation.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Context {
    #[serde(default)]
    policy: Policy,
    /// The most tokens, tools included, before something is left out; absent is without limit, as
    /// far as the model takes it.
    tokens_max: Option<u64>,
    /// Whether what is left out is summarized by a child.
    #[serde(default)]
    compact: bool,
}

impl Quantum<'_> {
    /// Has the model go on; nothing if what came was no answer. Where the endpoint finds the
    /// conversation too long, less of it is said.
    pub(super) async fn complete(&mut self) -> Result<Option<Completion>, QuantumEnd> {
        if let Some(most) = self.program.context.tokens_max
            && self.tokens() > most.max(self.kept.conversation.floor)
        {
            self.narrow(most / 2).await?;
        }
        for _ in 0..NARROWED_MAX {
            match self.port.call(self.call()).await {
                Err(error)
                    if error.code() == "context_too_long"
                        && self.narrow(self.tokens() / 2).await? => {}
                ended => return self.answered(ended).await,
            }
        }
        let ended = self.port.call(self.call()).await;
        self.answered(ended).await
    }

    fn call(&self) -> Complete {
        let Conversation { units, view, .. } = &self.kept.conversation;
        Complete {
            profile: self.profile().to_owned(),
            setup: self.setup.clone(),
            messages: Vec::new(),
            output_tokens_max: self.program.output_tokens_max,
            excerpt: Some(Excerpt {
                object: self.kept.conversation.object(self.pid),
                spans: view.spans(units),
                bytes: view.bytes(units),
            }),
            manifest: Some(Json::from(&self.manifest())),
        }
    }

    fn manifest(&self) -> serde_json::Value {
        let Conversation { units, view, .. } = &self.kept.conversation;
        let mut manifest = view.manifest(units, self.setup_tokens);
        if let Some(why) = &self.not_compacted {
            manifest["not_compacted"] = why.as_str().into();
        }
        manifest
    }

    /// The tokens of what a call says.
    fn tokens(&self) -> u64 {
        let Conversation { units, view, .. } = &self.kept.conversation;
        self.setup_tokens + view.tokens(units)
    }

    /// Leaves out what the policy has go first, until a call has so many tokens; whether anything
    /// was left.
    async fn narrow(&mut self, tokens_max: u64) -> Result<bool, QuantumEnd> {
        let policy = self.program.context.policy;
        let Conversation { units, view, .. } = &self.kept.conversation;
        let goes = view.going(units, policy, tokens_max.saturating_sub(self.setup_tokens));
        if goes.is_empty() {
            return Ok(false);
        }
        if self.program.context.compact && self.compact(&goes).await? {
            return Ok(true);
        }
        let note = match self.kept.note {
            Some(note) => note,
            None => {
                let note = self.kept.conversation.units.len();
                self.say(Kind::StandIn, &[Message::text(Role::User, LEFT_OUT)]).await?;
                *self.kept.note.insert(note)
            }
        };
        self.kept.conversation.leave_out(goes, Why::Policy(policy), note);
        Ok(true)
    }

    /// Has a child summarize what goes; whether there is a summary now.
    async fn compact(&mut self, goes: &[usize]) -> Result<bool, QuantumEnd> {
        let conversation = &self.kept.conversation;
        let excerpt = conversation.excerpt(self.pid, goes);
        let replaced = goes.iter().map(|at| conversation.units[*at].tokens).sum();
        let setup = self.setup.value().and_then(serde_json::from_value::<Setup>);
        let tools = setup.map(|setup| setup.tools).unwrap_or_default();
        let made = compact::compacted(self.port, self.profile(), excerpt, tools, replaced).await;
        match made.map_err(|error| refused(&error))? {
            Ok(summary) => {
                let by = self.kept.conversation.units.len();
                self.say(Kind::StandIn, &[summary]).await?;
                self.kept.conversation.leave_out(goes.to_vec(), Why::Compacted, by);
                self.not_compacted = None;
                Ok(true)
            }
            Err(why) => {
                self.not_compacted = Some(why);
                Ok(false)
            }
        }
    }

    /// Does what the host says about the conversation itself; whether it is that.
    pub(super) async fn obey(&mut self, came: &message::Message) -> Result<bool, QuantumEnd> {
        if came.from.is_some() || came.subject.as_deref() != Some(CONTEXT_SUBJECT) {
            return Ok(false);
        }
        match came.body.as_str().map(str::trim) {
            Some("undo") => {
                self.kept.conversation.undo(self.setup_tokens);
                Ok(true)
            }
            Some("compact") => {
                let had = std::mem::replace(&mut self.program.context.compact, true);
                let narrowed = self.narrow(self.tokens() / 2).await;
                self.program.context.compact = had;
                narrowed.map(|_| true)
            }
            _ => Ok(false),
        }
    }
}
