//! Profiles of models, as the document has them.

use std::path::PathBuf;

use libos_abi::{
    Url,
    llm::{OUTPUT_TOKENS_DEFAULT, Prices},
};
use libos_llm::{Cassette, CassetteMode, Kind, Profile};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SecretName;

/// A profile: an endpoint, a model and what holds for both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmSection {
    /// The form in which the endpoint speaks.
    pub kind: LlmKind,
    /// What its addresses begin with, as in `http://localhost:11434/v1`; that of the vendor if
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<Url>,
    /// The model.
    pub model: String,
    /// The secret that is its key. Its `hosts` and `headers` must let it go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<SecretName>,
    /// How many tokens an answer may have; 4,096 if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_output_tokens: Option<u32>,
    /// How many tokens the model takes, those of its answer included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context_tokens: Option<u64>,
    /// What it costs; costs are not counted if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prices: Option<LlmPrices>,
    /// How many requests may begin in a minute, by all processes together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u32>,
    /// A file that keeps what the endpoint answers, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cassette: Option<PathBuf>,
    /// What is done with that file; `replay` if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cassette_mode: Option<LlmCassetteMode>,
}

/// The form in which an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LlmKind {
    /// Chat Completions: `OpenAI`, and nearly every server of models.
    Openai,
    /// Responses of `OpenAI`.
    OpenaiResponses,
    /// Messages of Anthropic.
    Anthropic,
}

/// What is done with a cassette.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LlmCassetteMode {
    /// The endpoint answers, and what it answers is added.
    Record,
    /// The file answers, and the endpoint is not asked.
    Replay,
}

/// What a million tokens cost, in millionths of money: 3 dollars are `3_000_000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LlmPrices {
    /// Tokens that go to the model.
    pub input: u64,
    /// Those of them that it had seen before; as the others if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<u64>,
    /// Tokens that come from it.
    pub output: u64,
}

impl LlmSection {
    /// The profile that it describes.
    #[must_use]
    pub fn profile(&self) -> Profile {
        let (kind, vendor) = match self.kind {
            LlmKind::Openai => (Kind::Chat, "https://api.openai.com/v1"),
            LlmKind::OpenaiResponses => (Kind::Responses, "https://api.openai.com/v1"),
            LlmKind::Anthropic => (Kind::Messages, "https://api.anthropic.com/v1"),
        };
        let vendor = || vendor.parse().expect("the address of a vendor is a URL");
        let mode = match self.cassette_mode {
            Some(LlmCassetteMode::Record) => CassetteMode::Record,
            Some(LlmCassetteMode::Replay) | None => CassetteMode::Replay,
        };
        Profile {
            kind,
            base_url: self.base_url.clone().unwrap_or_else(vendor),
            model: self.model.clone(),
            key: self.key.as_ref().map(|name| name.as_str().to_owned()),
            output_tokens_max: self.max_output_tokens.unwrap_or(OUTPUT_TOKENS_DEFAULT).max(1),
            context_tokens: self.context_tokens,
            prices: self.prices.map(|prices| Prices {
                input: prices.input,
                cached: prices.cached.unwrap_or(prices.input),
                output: prices.output,
            }),
            requests_per_minute: self.requests_per_minute,
            cassette: self.cassette.clone().map(|file| Cassette { file, mode }),
        }
    }
}
