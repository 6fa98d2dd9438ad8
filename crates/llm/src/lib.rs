//! Models: the service `llm`, at endpoints that the host has registered.
//!
//! [`LlmProvider`] turns a conversation into a request of the endpoint's form ([`Kind`]), takes the
//! answer as it streams, and asks again when an endpoint is busy or broken, for as long as
//! [`Patience`] lasts and never sooner than it was told. All processes that use a profile share its
//! limits fairly. With a [`Cassette`] it keeps what an endpoint answered, or answers from what was
//! kept.
//!
//! It never decides who may use a profile, and never tells a caller what an endpoint said of a
//! failure: that goes to the host's log, without the host's secrets. Keys and connections come
//! from the [`Host`].
//!
//! ```
//! use libos_llm::Kind;
//!
//! assert_eq!(Kind::Messages.key_header(), ("x-api-key", ""));
//! assert_eq!(Kind::Chat.path(), "chat/completions");
//! ```
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "a provider owns effects")]

mod cassette;
mod exchange;
mod gate;
mod host;
pub mod limits;
mod profile;
mod sse;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use libos_abi::{
    Digest, Error, Fault, Json, OpId, Pid, Syscall,
    llm::{BYTES_PER_TOKEN, Call, Complete, Completion, Failure, FailureKind, Reply, Setup},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Progress, Provider, Tell};

use self::{
    cassette::Deck,
    exchange::{Exchange, Exchanged},
    gate::Gate,
    wire::{Answer, Collector, Request, Trouble},
};
pub use self::{
    host::{Host, NoConnection, NoKey, Stream},
    profile::{Cassette, CassetteMode, Kind, Patience, Profile},
};

/// Performs the calls of the `llm` service.
///
/// It must be used inside a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct LlmProvider {
    host: Arc<dyn Host>,
    patience: Patience,
    profiles: Arc<BTreeMap<String, Used>>,
}

/// A profile in use.
struct Used {
    profile: Profile,
    gate: Gate,
    deck: Option<Deck>,
}

impl LlmProvider {
    /// A provider with these profiles, by name.
    #[must_use]
    pub fn new(host: Arc<dyn Host>, profiles: BTreeMap<String, Profile>) -> Self {
        let used = |profile: Profile| Used {
            gate: Gate::new(profile.requests_per_minute),
            deck: profile.cassette.clone().map(Deck::new),
            profile,
        };
        let profiles = profiles.into_iter().map(|(name, profile)| (name, used(profile)));
        let profiles = Arc::new(profiles.collect());
        Self { host, patience: Patience::default(), profiles }
    }

    /// The same with another patience.
    #[must_use]
    pub fn patience(mut self, patience: Patience) -> Self {
        self.patience = patience;
        self
    }

    /// The profiles, by name.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, &Profile)> {
        self.profiles.iter().map(|(name, used)| (name.as_str(), &used.profile))
    }
}

/// Who asks, and who is told how far it is.
struct Asking {
    op: OpId,
    pid: Option<Pid>,
    progress: Arc<dyn Tell>,
}

impl Asking {
    fn of(order: &Order) -> Self {
        Self { op: order.op, pid: order.pid, progress: Arc::clone(&order.progress) }
    }

    /// Tells that it waits for its turn. What was answered in part may be paid for.
    fn waits(&self, has_begun: bool, held: Duration) {
        let wait = Some(held).filter(|held| !held.is_zero());
        match (has_begun, wait) {
            (false, wait) => self.progress.tell(Progress::Queued { wait }),
            (true, Some(wait)) => {
                let why = told(Trouble::Busy(Some(wait))).to_string();
                self.progress.tell(Progress::Again { why, wait });
            }
            (true, None) => {}
        }
    }
}

impl Provider for LlmProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["llm"]
    }

    /// Everything that is refused before a byte is sent is certified as not started.
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let this = self.clone();
        // From now on: it may be dropped before anyone looks at it.
        Asking::of(&order).waits(false, Duration::ZERO);
        Box::pin(async move {
            let Syscall::Llm(Call::Complete(call)) = &order.call else {
                let call = order.call.info().name.to_owned();
                return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
            };
            let entries = match entries(&order).await {
                Ok(entries) => entries,
                Err(fault) => return EffectOutcome::NotStarted(fault.into()),
            };
            let (used, request) = match this.prepare(call, &entries) {
                Ok(prepared) => prepared,
                Err(error) => return EffectOutcome::NotStarted(error),
            };
            let asking = Asking::of(&order);
            match this.exchange(&asking, used, request).await {
                Ok(answer) => done(&used.profile, answer),
                Err(error) => EffectOutcome::Failed(error),
            }
        })
    }
}

/// What the call takes of a conversation that is kept as an object.
async fn entries(order: &Order) -> Result<Vec<Json>, Fault> {
    let parts = order.content.as_deref().unwrap_or_default();
    let mut entries = Vec::with_capacity(parts.len());
    for part in parts {
        entries.push(order.parts.load(part.clone()).await?);
    }
    Ok(entries)
}

fn done(profile: &Profile, answer: Answer) -> EffectOutcome {
    let Answer { message, finish, tokens, model } = answer;
    let message = match serde_json::to_value(&message) {
        Ok(message) => Json::from(&message),
        Err(_) => return EffectOutcome::Failed(bad_reply("the answer is no message")),
    };
    let cost = profile.prices.map(|prices| prices.cost(&tokens));
    let model = if model.is_empty() { profile.model.clone() } else { model };
    let completion = Completion { message, finish, tokens, cost, model };
    EffectOutcome::Done(Reply::Complete(Box::new(completion)).into())
}

fn bad_reply(why: &str) -> Error {
    FailureKind::BadReply.because(why)
}

impl LlmProvider {
    /// Refuses what can be refused on the call alone.
    fn prepare(&self, call: &Complete, entries: &[Json]) -> Result<(&Used, Request), Error> {
        let bad = |why: String| FailureKind::BadRequest.because(why);
        let used = self.profiles.get(&call.profile).ok_or_else(|| {
            let why = format!("the host has no profile `{}` in `[llm]`", call.profile);
            FailureKind::UnknownProfile.because(why)
        })?;
        let setup = call.setup.value().map_err(|error| bad(format!("`setup`: {error}")))?;
        let setup = match setup {
            serde_json::Value::Null => Setup::default(),
            setup => {
                serde_json::from_value(setup).map_err(|error| bad(format!("`setup`: {error}")))?
            }
        };
        let conversation = call.conversation(entries).map_err(bad)?;
        if conversation.is_empty() {
            return Err(bad("there is no message".into()));
        }
        let profile = &used.profile;
        let output = call.output_tokens_max.unwrap_or(profile.output_tokens_max);
        let output = output.clamp(1, profile.output_tokens_max);
        // Only what cannot fit by any count is refused here; the endpoint knows better.
        let least = call.bytes() / (BYTES_PER_TOKEN * 4);
        if profile.context_tokens.is_some_and(|tokens| least > tokens) {
            return Err(FailureKind::ContextTooLong.because(format!(
                "the conversation has {} bytes, more than the model of `{}` takes",
                call.bytes(),
                call.profile
            )));
        }
        Ok((used, wire::request(profile, &setup, &conversation, output)))
    }

    async fn exchange(
        &self,
        order: &Asking,
        used: &Used,
        request: Request,
    ) -> Result<Answer, Error> {
        let op = order.op;
        let Some(deck) = used.deck.clone() else {
            return self.asked(order, used, &request).await.map(|exchanged| exchanged.answer);
        };
        if deck.plays() {
            return self.played(op, deck, request).await;
        }
        let Exchanged { answer, events } = self.asked(order, used, &request).await?;
        let kept = tokio::task::spawn_blocking(move || deck.record(&request, events)).await;
        match kept {
            Ok(Ok(())) => Ok(answer),
            Ok(Err(error)) => Err(failed(op, "llm.not_recorded", &error)),
            Err(lost) => Err(failed(op, "llm.not_recorded", &lost)),
        }
    }

    /// Asks the endpoint until it answers, or there is no more patience. Being turned away costs
    /// none while others are answered: then it is a matter of waiting.
    async fn asked(
        &self,
        order: &Asking,
        used: &Used,
        request: &Request,
    ) -> Result<Exchanged, Error> {
        let (op, gate, wait_max) = (order.op, &used.gate, self.patience.wait_max);
        let key = Digest::of(request.body.to_string().as_bytes()).to_string();
        let exchange = Exchange {
            op,
            host: &*self.host,
            profile: &used.profile,
            patience: self.patience,
            idempotency_key: &format!("{op}-{}", &key[..32]),
            keeps_events: used.deck.is_some(),
            progress: &*order.progress,
        };
        let (mut tries, mut place, mut answers) = (1, None, gate.answers());
        let mut has_begun = false;
        loop {
            order.waits(has_begun, gate.held());
            let pass = gate.pass(order.pid, place, wait_max).await;
            let pass = pass.map_err(|wait| told(Trouble::Busy(Some(wait))))?;
            order.progress.tell(Progress::Begun);
            let trouble = match exchange.attempt(request).await {
                Ok(exchanged) => {
                    pass.answered();
                    return Ok(exchanged);
                }
                Err(trouble) => trouble,
            };
            let is_last = tries >= self.patience.attempts_max;
            tracing::info!(%op, ?trouble, tries, "an exchange came to nothing");
            match trouble {
                Trouble::Busy(wait) => {
                    let wait = wait.unwrap_or_else(|| self.backoff(op, tries));
                    place = Some(pass.turned_away(wait, wait_max));
                    let now = gate.answers();
                    if now == std::mem::replace(&mut answers, now) {
                        if is_last {
                            return Err(told(trouble));
                        }
                        tries += 1;
                    }
                }
                Trouble::Failing(_) | Trouble::Broken(_) if !is_last => {
                    drop(pass);
                    let wait = self.backoff(op, tries);
                    let why = told(trouble).to_string();
                    order.progress.tell(Progress::Again { why, wait });
                    tokio::time::sleep(wait).await;
                    (tries, place, has_begun) = (tries + 1, None, true);
                }
                final_one => return Err(told(final_one)),
            }
        }
    }

    /// The answer that was recorded.
    async fn played(&self, op: OpId, deck: Deck, request: Request) -> Result<Answer, Error> {
        let lost = |error: &dyn std::fmt::Display| failed(op, "llm.no_cassette", error);
        let asked = request.body.to_string().len();
        let (events, request) = tokio::task::spawn_blocking(move || {
            let events = deck.play(&request);
            events.map(|events| (events, request))
        })
        .await
        .map_err(|error| lost(&error))?
        .map_err(|error| lost(&error))?;
        let events = events.map_err(|drift| {
            tracing::error!(%op, at = drift.at, "a request is not what was recorded: {}",
                drift.difference);
            let why = format!("the next recorded request differs first at {}", drift.at);
            FailureKind::NotRecorded.because(why)
        })?;
        let mut collector = Collector::of(request.kind);
        for event in &events {
            collector.take(event).map_err(told)?;
        }
        let answer = collector.finish(&request, asked).map_err(told)?;
        Ok(exchange::clean(&*self.host, answer))
    }

    /// What is waited before the next try: between half and all of a time that doubles, so that
    /// those who failed together do not come back together.
    fn backoff(&self, op: OpId, tries: u32) -> Duration {
        let doubled = self.patience.backoff.saturating_mul(1 << (tries - 1).min(16));
        let most = doubled.min(self.patience.wait_max);
        let digest = Digest::of(format!("{op} {tries}").as_bytes()).to_string();
        let share = u32::from_str_radix(&digest[..4], 16).unwrap_or_default();
        most / 2 + most / 2 * share / 0xffff
    }
}

fn failed(op: OpId, kind: &str, error: &dyn std::fmt::Display) -> Error {
    tracing::error!(%op, %error, "a cassette cannot be used");
    Fault::ProviderFailed { kind: kind.into(), op }.into()
}

/// What a caller is told. Nothing of it comes from the endpoint but its status.
fn told(trouble: Trouble) -> Error {
    let (kind, detail) = match trouble {
        Trouble::Broken(why) => (FailureKind::Unavailable, why.to_owned()),
        Trouble::Failing(status) => {
            (FailureKind::Unavailable, format!("the endpoint failed with status {status}"))
        }
        Trouble::Busy(None) => (FailureKind::RateLimited, "the endpoint is busy".into()),
        Trouble::Busy(Some(wait)) => (
            FailureKind::RateLimited,
            format!("the endpoint is busy and asks for {} s", wait.as_secs_f64().ceil()),
        ),
        Trouble::Unauthorized => (
            FailureKind::Unauthorized,
            "the endpoint does not take the key of the profile, or there is none".into(),
        ),
        Trouble::TooLong => {
            (FailureKind::ContextTooLong, "the endpoint finds the conversation too long".into())
        }
        Trouble::Refused => (FailureKind::Refused, "the model or its filter refuses".into()),
        Trouble::NotTaken(status) => {
            (FailureKind::BadRequest, format!("the endpoint takes no such request ({status})"))
        }
        Trouble::Malformed(why) => (FailureKind::BadReply, why.to_owned()),
    };
    Failure { kind, detail }.into()
}
