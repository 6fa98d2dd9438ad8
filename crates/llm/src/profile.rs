//! Profiles: an endpoint, a model and what the host says of both.

use std::{path::PathBuf, time::Duration};

use libos_abi::{Url, llm::Tokens};

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

/// What a million tokens cost, in millionths of money.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Prices {
    /// Tokens that go to the model.
    pub input: u64,
    /// Those of them that it had seen before.
    pub cached: u64,
    /// Tokens that come from it.
    pub output: u64,
}

impl Prices {
    /// What an exchange costs, rounded up.
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> u64 {
        let cached = tokens.cached.min(tokens.input);
        let of = |tokens: u64, price: u64| u128::from(tokens) * u128::from(price);
        let all = of(tokens.input - cached, self.input)
            + of(cached, self.cached)
            + of(tokens.output, self.output);
        u64::try_from(all.div_ceil(1_000_000)).unwrap_or(u64::MAX)
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

/// How long an exchange may take, and how often it is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Until there is a connection.
    pub connect: Duration,
    /// From then on until the answer begins: a model may think for long before its first word.
    pub first_byte: Duration,
    /// Between two pieces of an answer.
    pub idle: Duration,
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
            attempts_max: 5,
            backoff: Duration::from_millis(500),
            wait_max: Duration::from_secs(120),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costs_are_rounded_up_and_what_was_seen_before_costs_its_own_price() {
        let prices = Prices { input: 3_000_000, cached: 300_000, output: 15_000_000 };
        let cost = |input, cached, output| prices.cost(&Tokens { input, cached, output });
        assert_eq!(cost(0, 0, 0), 0);
        assert_eq!(cost(1_000, 0, 100), 4_500);
        assert_eq!(cost(1_000, 900, 0), 570);
        assert_eq!(cost(1, 1, 0), 1);
        assert_eq!(cost(1, 9, 0), 1, "no more can be cached than there are");
    }
}
