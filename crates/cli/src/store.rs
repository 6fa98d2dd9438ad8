//! `libos store`: what a store takes, and getting rid of payloads.

use std::time::{SystemTime, UNIX_EPOCH};

use agent_libos::{
    abi::{Millis, audit},
    journal::StoreStat,
    retention,
};
use clap::{Args, Subcommand};

use crate::{
    exit::{Exit, Failure},
    host::Host,
    show,
};

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Show what the store holds and what it takes.
    Stat,
    /// Remove payloads of finished work for good. Records, decisions and digests stay, and every
    /// proof still holds. The removal itself is recorded.
    Compact(CompactArgs),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos store compact --older-than 30d --dry-run    see what would go
  libos store compact --older-than 30d              remove payloads of tasks that ended before that
  libos store compact --older-than 0s               all of finished work")]
pub(crate) struct CompactArgs {
    /// Only of work that ended this long ago, as in 30d. A task counts when all its processes have
    /// ended.
    #[arg(long, value_name = "AGE")]
    older_than: Millis,
    /// Only show what would go.
    #[arg(long)]
    dry_run: bool,
}

pub(crate) async fn run(host: &Host, command: StoreCommand) -> Result<Exit, Failure> {
    match command {
        StoreCommand::Stat => stat(host),
        StoreCommand::Compact(args) => compact(host, &args).await,
    }
}

fn stat(host: &Host) -> Result<Exit, Failure> {
    let stat = host.journal()?.stat()?;
    if host.json {
        show::json(&json(&stat));
        return Ok(Exit::Done);
    }
    let StoreStat { head, record_bytes, database_bytes, .. } = stat;
    say!("head        {head}");
    say!("format      {}", stat.format);
    say!(
        "records     {}, {} in a database of {}",
        head.size,
        size(record_bytes),
        size(database_bytes)
    );
    say!("payloads    {}, {}; {} dropped", stat.blobs, size(stat.blob_bytes), stat.dropped);
    let unreferenced = size(stat.unreferenced_bytes);
    say!(
        "segments    {}, {}; {unreferenced} unreferenced",
        stat.segments,
        size(stat.segment_bytes)
    );
    say!("snapshots   {}, {}", stat.snapshots, size(stat.snapshot_bytes));
    Ok(Exit::Done)
}

fn json(stat: &StoreStat) -> serde_json::Value {
    serde_json::json!({
        "format": stat.format,
        "head": stat.head.to_string(),
        "records": stat.head.size,
        "record_bytes": stat.record_bytes,
        "database_bytes": stat.database_bytes,
        "payloads": stat.blobs,
        "payload_bytes": stat.blob_bytes,
        "dropped": stat.dropped,
        "segments": stat.segments,
        "segment_bytes": stat.segment_bytes,
        "unreferenced_bytes": stat.unreferenced_bytes,
        "snapshots": stat.snapshots,
        "snapshot_bytes": stat.snapshot_bytes,
    })
}

async fn compact(host: &Host, args: &CompactArgs) -> Result<Exit, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_ms = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    let before_ms = now_ms.saturating_sub(args.older_than.0);
    if args.dry_run {
        let plan = retention::plan(&host.journal()?, before_ms)?;
        let payloads = plan.digests.len();
        if host.json {
            show::json(&serde_json::json!({
                "dry_run": true, "payloads": payloads, "bytes": plan.bytes,
                "kept": plan.kept, "kept_bytes": plan.kept_bytes,
            }));
        } else {
            say!("{payloads} payloads would go, {}.", size(plan.bytes));
            say!("{} would stay, {}.", plan.kept, size(plan.kept_bytes));
        }
        return Ok(Exit::Done);
    }
    let access = host.access().await?;
    let done = access.port.call(audit::Compact { before_ms }).await;
    access.close()?;
    let audit::Compacted { payloads, bytes, list } = done?;
    if host.json {
        let (dry_run, list) = (false, list.to_string());
        show::json(&serde_json::json!({
            "dry_run": dry_run, "payloads": payloads, "bytes": bytes, "list": list,
        }));
    } else {
        say!("{payloads} payloads are gone, {}. `libos audit ls` shows the removal.", size(bytes));
    }
    Ok(Exit::Done)
}

/// A size for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} B"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}
