//! The document: its keys, what they take, and what is built in.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use libos_abi::{SecretUse, Url};
use libos_providers::{BadNetwork, Network, SecretSource, SecretSpec};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

use super::LlmSection;
use crate::{
    Limits,
    mounts::{MountFolder, named},
};

/// The most that [`LimitsSection::lazy_flush_ms`] may be: the core looks at its timers in between.
const LAZY_FLUSH_MS_MAX: u64 = 1_000;

/// The most that [`LimitsSection::busy_flush_ms`] may be: a crash makes the host do so much again.
const BUSY_FLUSH_MS_MAX: u64 = 60_000;

/// The most that [`LimitsSection::gather_us`] may be: everybody's answer waits so long.
const GATHER_US_MAX: u64 = 10_000;

/// The most that [`LimitsSection::store_retry_ms`] may be: so late it is seen that there is space.
const STORE_RETRY_MS_MAX: u64 = 60_000;

/// A configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// The folder of the store, relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PathBuf>,
    /// The name under which the operator's decisions are recorded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// Whether commands print JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json: Option<bool>,
    /// The approvals file of `libos run` and `libos resume`, relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approvals: Option<PathBuf>,
    /// Further folders for processes, by the names of their mounts: `PATH`, `PATH:rw` or
    /// `PATH:ro`, relative to this file. One named `data` is `fs:data/...`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "named")]
    pub mounts: BTreeMap<String, MountFolder>,
    /// The label file: which labels data has and how far it may go, relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<PathBuf>,
    /// In which order processes run.
    #[serde(default)]
    pub scheduler: SchedulerSection,
    /// The limits of the edge.
    #[serde(default)]
    pub limits: LimitsSection,
    /// The programs that processes run.
    #[serde(default)]
    pub shell: ShellSection,
    /// What requests over the network may reach.
    #[serde(default)]
    pub http: HttpSection,
    /// The secrets of the host, by name: small letters, digits, `-` and `_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<SecretName, SecretSection>,
    /// Endpoints of JSON-RPC, by name: small letters, digits, `-` and `_`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rpc: BTreeMap<SecretName, EndpointSection>,
    /// Profiles of models, by name: small letters, digits, `-` and `_`. Processes name a profile,
    /// with the right `execute` on `llm:NAME`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub llm: BTreeMap<SecretName, LlmSection>,
}

/// An endpoint of JSON-RPC: where it is, and what it can be asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointSection {
    /// Where it is.
    pub url: Url,
    /// The secret it takes, and in which header. The secret must be one that may go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<SecretUse>,
    /// Its methods by name.
    pub methods: BTreeMap<String, MethodSection>,
}

/// A method of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MethodSection {
    /// What it does: `read` changes nothing and may be queried.
    pub class: MethodClass,
    /// The JSON schema of its parameters; anything if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub params: Option<serde_json::Value>,
    /// The JSON schema of its result; anything if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub result: Option<serde_json::Value>,
}

/// What a method does outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MethodClass {
    /// It changes nothing.
    Read,
    /// It changes something, and after a crash nobody can tell.
    Irreversible,
}

/// The programs that processes run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShellSection {
    /// The layers of their confinement that this host may lack: `landlock`, `seccomp`,
    /// `namespaces`. Where another one is missing no program runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_lack: Option<Vec<ConfinementLayer>>,
    /// What every program may read and execute beside the system's own programs, libraries and
    /// toolchains; relative to this file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub readable: Option<Vec<PathBuf>>,
}

/// A layer of the confinement of programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfinementLayer {
    /// Rules for files, signals, abstract sockets and TCP.
    Landlock,
    /// Filters of system calls.
    Seccomp,
    /// Namespaces of processes and mounts.
    Namespaces,
}

impl From<ConfinementLayer> for libos_providers::Layer {
    fn from(layer: ConfinementLayer) -> Self {
        match layer {
            ConfinementLayer::Landlock => Self::Landlock,
            ConfinementLayer::Seccomp => Self::Seccomp,
            ConfinementLayer::Namespaces => Self::Namespaces,
        }
    }
}

/// What requests over the network may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSection {
    /// Networks that may be connected to besides the public internet, as in `10.1.0.0/16`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub networks: Option<Vec<NetworkText>>,
    /// A file with certificates that are trusted besides those of the host, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

/// A secret: where its value is, and where it may go. One of `file`, `variable` and `command`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "SecretText", into = "SecretText")]
pub struct SecretSection(#[schemars(with = "SecretText")] pub SecretSpec);

/// A secret as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SecretText {
    /// The file that holds the value, relative to this file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    /// The variable of the environment that holds the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variable: Option<String>,
    /// The program that writes the value, with its arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    command: Option<Vec<String>>,
    /// The hosts it may be sent to, as in `api.example.com` or `localhost:8080`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hosts: Vec<String>,
    /// The headers it may be sent in; `authorization` if absent.
    #[serde(default = "authorization")]
    headers: Vec<String>,
    /// The variables of programs it may be given as.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    variables: Vec<String>,
}

fn authorization() -> Vec<String> {
    vec!["authorization".into()]
}

impl TryFrom<SecretText> for SecretSection {
    type Error = &'static str;

    fn try_from(text: SecretText) -> Result<Self, &'static str> {
        let SecretText { file, variable, command, hosts, headers, variables } = text;
        let source = match (file, variable, command) {
            (Some(file), None, None) => SecretSource::File(file),
            (None, Some(variable), None) => SecretSource::Variable(variable),
            (None, None, Some(command)) if !command.is_empty() => SecretSource::Command(command),
            _ => return Err("a secret has one of `file`, `variable` and `command`"),
        };
        if hosts.is_empty() && variables.is_empty() {
            return Err("a secret goes somewhere: to `hosts`, or into `variables` of programs");
        }
        let is_host = |host: &String| {
            let written = format!("https://{host}/").parse::<Url>();
            written.is_ok_and(|url| url.resource().body() == host || url.host().contains(':'))
        };
        if !hosts.iter().all(is_host) {
            return Err("a host of a secret is a name, with its port unless that is 443");
        }
        let is_variable = |name: &String| {
            let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            is_word && !name.is_empty() && !KEPT_VARIABLES.contains(&name.as_str())
        };
        if !variables.iter().all(is_variable) {
            return Err(
                "a variable of a secret is a word, and none that makes a program run another",
            );
        }
        Ok(Self(SecretSpec { source, hosts, headers, variables }))
    }
}

impl From<SecretSection> for SecretText {
    fn from(SecretSection(spec): SecretSection) -> Self {
        let SecretSpec { source, hosts, headers, variables } = spec;
        let text = Self { hosts, headers, variables, ..Self::default() };
        match source {
            SecretSource::File(file) => Self { file: Some(file), ..text },
            SecretSource::Variable(variable) => Self { variable: Some(variable), ..text },
            SecretSource::Command(command) => Self { command: Some(command), ..text },
        }
    }
}

/// Variables that are set for every program, or have it run something else.
const KEPT_VARIABLES: [&str; 8] =
    ["PATH", "HOME", "LANG", "TERM", "TMPDIR", "LD_PRELOAD", "LD_LIBRARY_PATH", "BASH_ENV"];

/// The name of a secret or an endpoint: small letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String")]
pub struct SecretName(#[schemars(regex(pattern = "^[a-z0-9_-]+$"))] String);

impl SecretName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SecretName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, &'static str> {
        let is_plain =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_".contains(&byte);
        match !text.is_empty() && text.len() <= 64 && text.bytes().all(is_plain) {
            true => Ok(Self(text)),
            false => Err("such a name is a word of small letters, digits, `-` and `_`"),
        }
    }
}

/// A network as it is written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct NetworkText(#[schemars(with = "String")] pub Network);

impl TryFrom<String> for NetworkText {
    type Error = BadNetwork;

    fn try_from(text: String) -> Result<Self, BadNetwork> {
        text.parse().map(Self)
    }
}

impl From<NetworkText> for String {
    fn from(NetworkText(network): NetworkText) -> Self {
        network.to_string()
    }
}

/// In which order processes run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SchedulerSection {
    /// The policy: `round_robin`, `weighted_fair` by the weights of `[schedule]`, or
    /// `earliest_deadline` by its deadlines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<PolicyName>,
}

/// A scheduling policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PolicyName {
    /// One after the other.
    RoundRobin,
    /// In proportion to weight, between tasks first.
    WeightedFair,
    /// The earliest deadline first; every fourth turn is weighted fair.
    EarliestDeadline,
}

/// The limits of the edge that can be set; see [`Limits`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsSection {
    /// Processes that run at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub running_max: Option<NonZeroU32>,
    /// Messages to the core taken into one batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch_messages_max: Option<NonZeroU32>,
    /// Milliseconds that a record waits to be written while nothing needs it on disk.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "at_most::<_, LAZY_FLUSH_MS_MAX>")]
    #[schemars(range(max = 1_000))]
    pub lazy_flush_ms: Option<u64>,
    /// The same while messages keep coming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "at_most::<_, BUSY_FLUSH_MS_MAX>")]
    #[schemars(range(max = 60_000))]
    pub busy_flush_ms: Option<u64>,
    /// Microseconds that a commit waits for those who were answered together to come again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "at_most::<_, GATHER_US_MAX>")]
    #[schemars(range(max = 10_000))]
    pub gather_us: Option<u64>,
    /// Milliseconds between two tries of a disk that refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[serde(deserialize_with = "at_most::<_, STORE_RETRY_MS_MAX>")]
    #[schemars(range(max = 60_000))]
    pub store_retry_ms: Option<u64>,
    /// Records after which the state is kept as a snapshot while there is work.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_records: Option<NonZeroU32>,
    /// Records that make a snapshot worth taking at the end and once nothing happens.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot_idle_records: Option<NonZeroU32>,
}

fn at_most<'de, D: Deserializer<'de>, const MAX: u64>(d: D) -> Result<Option<u64>, D::Error> {
    match Option::<u64>::deserialize(d)? {
        Some(number) if number > MAX => Err(D::Error::custom(format!("at most {MAX} may be"))),
        number => Ok(number),
    }
}

impl ConfigFile {
    /// What holds where no layer says anything.
    #[must_use]
    pub fn built_in() -> Self {
        let Limits {
            running_max,
            batch_messages_max,
            gather_us,
            lazy_flush_ms,
            busy_flush_ms,
            store_retry_ms,
            snapshot_records,
            snapshot_idle_records,
            quiet_run_ms: _,
            // The rest follows from how long a snapshot takes.
            snapshot_idle_ms: _,
            snapshot_share: _,
        } = Limits::default();
        let records = |limit: u64| u32::try_from(limit).ok().and_then(NonZeroU32::new);
        let number = |limit: usize| u32::try_from(limit).ok().and_then(NonZeroU32::new);
        Self {
            store: Some(".libos".into()),
            operator: Some(libos_abi::human::OWNER.into()),
            json: Some(false),
            approvals: None,
            mounts: BTreeMap::new(),
            labels: None,
            scheduler: SchedulerSection { policy: Some(PolicyName::RoundRobin) },
            limits: LimitsSection {
                running_max: number(running_max),
                batch_messages_max: number(batch_messages_max),
                lazy_flush_ms: Some(lazy_flush_ms),
                busy_flush_ms: Some(busy_flush_ms),
                gather_us: Some(gather_us),
                store_retry_ms: Some(store_retry_ms),
                snapshot_records: records(snapshot_records),
                snapshot_idle_records: records(snapshot_idle_records),
            },
            shell: ShellSection { may_lack: Some(Vec::new()), readable: Some(Vec::new()) },
            http: HttpSection { networks: Some(Vec::new()), ca_file: None },
            secrets: BTreeMap::new(),
            llm: BTreeMap::new(),
            rpc: BTreeMap::new(),
        }
    }
}
