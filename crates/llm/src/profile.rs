//! Profiles: an endpoint, a model and what the host says of both.

use std::{path::PathBuf, time::Duration};

use libos_abi::{
    Url,
    llm::{Prices, Terms},
};

/// The form in which an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Chat Completions, as `OpenAI`, Ollama, vLLM and llama.cpp speak it.
    Chat,
    /// Responses, as `OpenAI` speaks it.
    Responses,
    /// Messages, as Anthropic speaks it.
    Messages,
}

impl Kind {
    /// Where below its base an endpoint takes requests.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Chat => "chat/completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }

    /// The header that the key goes into, and what stands before it there.
    #[must_use]
    pub fn key_header(self) -> (&'static str, &'static str) {
        match self {
            Self::Chat | Self::Responses => ("authorization", "Bearer "),
            Self::Messages => ("x-api-key", ""),
        }
    }
}

/// A record of what an endpoint answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cassette {
    /// The file, JSON lines.
    pub file: PathBuf,
    /// What is done with it.
    pub mode: CassetteMode,
}

/// What is done with a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CassetteMode {
    /// The endpoint answers, and what it answers is added.
    Record,
    /// The record answers, and the endpoint is not asked.
    Replay,
}

/// A profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The form in which the endpoint speaks.
    pub kind: Kind,
    /// What its addresses begin with, as in `https://api.example.com/v1`.
    pub base_url: Url,
    /// The model.
    pub model: String,
    /// The secret that is its key; none is sent if absent.
    pub key: Option<String>,
    /// How many tokens an answer may have.
    pub output_tokens_max: u32,
    /// How many tokens the model takes, those of its answer included; not looked at if absent.
    pub context_tokens: Option<u64>,
    /// What it costs; nothing is told of costs if absent.
    pub prices: Option<Prices>,
    /// How many requests may begin in a minute; any number if absent.
    pub requests_per_minute: Option<u32>,
    /// A record of it.
    pub cassette: Option<Cassette>,
}

impl Profile {
    /// What tells how much an exchange can take.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let Self { output_tokens_max, context_tokens, prices, .. } = *self;
        Terms { output_tokens_max, context_tokens, prices }
    }
}

/// How long an exchange may take, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection.
    pub connect: Duration,
    /// From then on until the answer begins: a model may think for long before its first word.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
    /// From its beginning until an answer is whole.
    pub whole: Duration,
    /// How often one exchange is tried.
    pub attempts_max: u32,
    /// What is waited before the second try; doubled for each further one.
    pub backoff: Duration,
    /// The longest wait between two tries, an endpoint's own word included: whoever asks for more
    /// is taken for one that answers no more.
    pub wait_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(180),
            idle: Duration::from_secs(60),
            whole: Duration::from_secs(1_800),
            attempts_max: 5,
            backoff: Duration::from_millis(500),
            wait_max: Duration::from_secs(120),
        }
    }
}
