//! The document: its keys, what they take, and what is built in.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};

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
    /// In which order processes run.
    #[serde(default)]
    pub scheduler: SchedulerSection,
    /// The limits of the edge.
    #[serde(default)]
    pub limits: LimitsSection,
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
        }
    }
}
