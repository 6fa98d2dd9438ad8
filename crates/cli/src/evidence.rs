//! `libos audit` as evidence: verify, export, prove and sign.
//!
//! What is verified here needs a head that was kept elsewhere and trusts nothing else. A failure
//! names the first bad record and, as its code, what was done to it.

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

use agent_libos::{
    abi::{OpId, Seq, wire},
    audit::{AuditError, describe, scan},
    journal::{
        Corruption, Head, Journal, JournalError, Proof, Proved, Prover, SignedHead, export,
        verify_export_events, verify_proofs,
    },
    retention,
};
use clap::{Args, Subcommand};

use crate::{
    exit::{Exit, Failure},
    host::Host,
    keys, show,
};

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Prove that no record was changed, dropped, reordered or cut off.
    Verify(VerifyArgs),
    /// Write the journal as JSON lines that can be verified without the store.
    Export {
        /// Where to; standard output if absent.
        #[arg(long, short)]
        output: Option<PathBuf>,
        /// Sign the head with this secret key.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Prove single records to somebody who has a head and nothing else.
    Prove(ProveArgs),
    /// Print the head of now, to be kept elsewhere.
    Head {
        /// Sign it with this secret key.
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
    },
    /// Make a key that signs heads: FILE is secret, FILE.pub is for everybody.
    Keygen {
        /// The file of the secret key; it must not exist.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos audit verify                         the store against itself
  libos audit verify --head 120:3f2a...      against a head you kept: finds a cut-off end too
  libos audit verify --export trail.jsonl --head 120:3f2a...   an export, without the store
  libos audit verify --export trail.jsonl --head head.json --public-key key.pub
                                             a signed export, and a signed head kept elsewhere
  libos audit verify --proof proof.jsonl --head 120:3f2a...    single records, without either")]
pub(crate) struct VerifyArgs {
    /// A head kept elsewhere, as `libos audit verify` prints it, or a file that holds one.
    #[arg(long, value_name = "HEAD|FILE")]
    head: Option<String>,
    /// Whoever holds the secret key must have signed the head, and that of an export.
    #[arg(long, value_name = "FILE")]
    public_key: Option<PathBuf>,
    /// Check an exported file instead of the store.
    #[arg(long, value_name = "FILE", conflicts_with = "proof")]
    export: Option<PathBuf>,
    /// Check a file of proofs instead of the store.
    #[arg(long, value_name = "FILE", requires = "head")]
    proof: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  libos audit prove op-5 > proof.jsonl       every record that speaks of an operation
  libos audit prove 17 --head 120:3f2a...    record 17, for who holds that head
  libos audit prove --since 100:9c41...      that the journal only grew since then
  libos audit verify --proof proof.jsonl --head 120:3f2a...")]
pub(crate) struct ProveArgs {
    /// What to prove: an operation as in op-5, or the number of a record.
    #[arg(value_name = "OP|SEQ", required_unless_present = "since")]
    what: Option<Target>,
    /// The head that the other side holds; that of now if absent.
    #[arg(long)]
    head: Option<String>,
    /// Prove that the journal with the head continues the one with this older head.
    #[arg(long, value_name = "HEAD")]
    since: Option<String>,
}

/// What a proof is asked for.
#[derive(Debug, Clone, Copy)]
enum Target {
    Op(OpId),
    Record(Seq),
}

impl FromStr for Target {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(op) = text.parse() {
            return Ok(Self::Op(op));
        }
        let number = text.strip_prefix('#').unwrap_or(text).parse();
        number.map(|number| Self::Record(Seq(number))).map_err(|_| "neither op-5 nor 17")
    }
}

pub(crate) fn run(host: &Host, command: EvidenceCommand) -> Result<Exit, Failure> {
    match command {
        EvidenceCommand::Verify(args) => verify(host, &args),
        EvidenceCommand::Export { output, key } => {
            export_to(host, output.as_deref(), key.as_deref())
        }
        EvidenceCommand::Prove(args) => prove(host, &args),
        EvidenceCommand::Head { key } => head(host, key.as_deref()),
        EvidenceCommand::Keygen { file } => keys::keygen(host, &file),
    }
}

fn verify(host: &Host, args: &VerifyArgs) -> Result<Exit, Failure> {
    let key = args.public_key.as_deref().map(keys::public_key).transpose()?;
    let kept = args.head.as_deref().map(parse_head).transpose()?;
    if let (Some(key), Some(kept)) = (&key, &kept)
        && (kept.signature.is_some() || args.export.is_none())
    {
        key.check(kept).map_err(named)?;
    }
    let against = kept.map(|kept| kept.head);
    if let (Some(path), Some(head)) = (&args.proof, &against) {
        return verify_proof(host, path, head);
    }
    let head = match &args.export {
        Some(path) => {
            let describe = &describe_record;
            let signed = verify_export_events(&mut keys::open(path)?, against.as_ref(), describe)
                .map_err(named)?;
            if let Some(key) = &key {
                key.check(&signed).map_err(named)?;
            }
            signed.head
        }
        None if key.is_some() && against.is_none() => {
            let message = "a store is not signed: give --export, or a signed head with --head";
            return Err(Failure::new(Exit::Usage, "usage", message));
        }
        None => {
            let journal = host.journal()?;
            let head = journal.verify(against.as_ref()).map_err(named)?;
            retention::check(&journal).map_err(|error| match error {
                AuditError::Act { .. } => {
                    Failure::new(Exit::Store, "payload_dropped", error.to_string())
                }
                error => error.into(),
            })?;
            head
        }
    };
    if host.json {
        show::json(&serde_json::json!({ "verified": true, "head": head.to_string() }));
    } else {
        say!("{} records, none changed, dropped, reordered or cut off.", head.size);
        if against.is_none() {
            say!("Keep this head elsewhere: it proves the end is there, too.");
        }
        say!("head {head}");
    }
    Ok(Exit::Done)
}

fn verify_proof(host: &Host, path: &Path, head: &Head) -> Result<Exit, Failure> {
    let proved = verify_proofs(&mut keys::open(path)?, head, &describe_record).map_err(named)?;
    if proved.is_empty() {
        let message = format!("{} holds no proof", path.display());
        return Err(Failure::new(Exit::Failed, "no_proof", message));
    }
    for proved in proved {
        match proved {
            Proved::Record { seq, event } if host.json => {
                show::json(&serde_json::json!({ "proved": seq.0, "event": event }));
            }
            Proved::Record { seq, event } => say!("{seq} stands in the journal: {event}"),
            Proved::Continues { from, to } if host.json => {
                show::json(&serde_json::json!({ "from": from, "to": to }));
            }
            Proved::Continues { from, to } => {
                say!("the journal with head {to}\ncontinues the one with head {from}");
            }
        }
    }
    Ok(Exit::Done)
}

fn prove(host: &Host, args: &ProveArgs) -> Result<Exit, Failure> {
    let journal = host.journal()?;
    let at = args.head.as_deref().map(parse_head).transpose()?;
    let since = args.since.as_deref().map(parse_head).transpose()?;
    let prover = Prover::new(&journal, at.map(|at| at.head).as_ref()).map_err(named)?;
    if let Some(since) = since {
        show::json(&prover.consistency(&since.head).map_err(named)?);
    }
    let records = match args.what {
        Some(Target::Op(op)) => records_of(&journal, op)?,
        Some(Target::Record(seq)) => BTreeSet::from([seq]),
        None => return Ok(Exit::Done),
    };
    let mut proofs: Vec<Proof> = Vec::new();
    for seq in records {
        proofs.extend(prover.inclusion(seq, &describe_record)?);
    }
    if proofs.is_empty() {
        let message = format!("no such record stands before {}", prover.head());
        return Err(Failure::new(Exit::Failed, "not_found", message));
    }
    proofs.iter().for_each(show::json);
    Ok(Exit::Done)
}

/// Every record that speaks of an operation.
fn records_of(journal: &dyn Journal, op: OpId) -> Result<BTreeSet<Seq>, Failure> {
    let mut records = BTreeSet::new();
    scan(journal, Seq(0), |seq, record| {
        let is_its = |event: &agent_libos::abi::Event| match event {
            agent_libos::abi::Event::Op(event) => event.op() == op,
            _ => false,
        };
        if record.events.iter().any(is_its) {
            records.insert(seq);
        }
        true
    })?;
    Ok(records)
}

fn export_to(host: &Host, output: Option<&Path>, key: Option<&Path>) -> Result<Exit, Failure> {
    let key = key.map(keys::secret_key).transpose()?;
    let journal = host.journal()?;
    let Some(path) = output else {
        let mut out = io::stdout().lock();
        export(&journal, &mut out, &describe_record, key.as_ref()).map_err(named)?;
        return Ok(Exit::Done);
    };
    let mut file = BufWriter::new(File::create(path)?);
    let signed = export(&journal, &mut file, &describe_record, key.as_ref()).map_err(named)?;
    file.flush()?;
    if !host.json {
        let path = path.display();
        say!("Wrote {} records to {path}.", signed.head.size);
        let trust = match signed.signature {
            Some(_) => "--public-key KEY.pub".into(),
            None => format!("--head {}", signed.head),
        };
        say!("Check it anywhere: libos audit verify --export {path} {trust}");
    }
    Ok(Exit::Done)
}

fn head(host: &Host, key: Option<&Path>) -> Result<Exit, Failure> {
    let key = key.map(keys::secret_key).transpose()?;
    let head = host.journal()?.head();
    match key {
        Some(key) => show::json(&key.sign(&head)),
        None if host.json => show::json(&SignedHead::from(head)),
        None => say!("{head}"),
    }
    Ok(Exit::Done)
}

/// A record as an export and a proof show it.
fn describe_record(_: Seq, body: &[u8]) -> serde_json::Value {
    match wire::decode_record(body) {
        Ok(record) => serde_json::json!({
            "at_ms": record.at_ms,
            "events": record.events.iter().map(describe).collect::<Vec<_>>(),
        }),
        Err(error) => serde_json::json!({ "undecoded": error.to_string() }),
    }
}

/// A head as it prints or as a line of JSON, or the last one of a file.
fn parse_head(text: &str) -> Result<SignedHead, Failure> {
    let written = match std::fs::read_to_string(text) {
        Ok(content) => content,
        Err(_) => text.to_owned(),
    };
    let line = written.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
    if let Ok(signed) = serde_json::from_str(line) {
        return Ok(signed);
    }
    let last = line.split_whitespace().last().unwrap_or_default();
    let head = last
        .parse::<Head>()
        .map_err(|error| Failure::new(Exit::Usage, "usage", format!("--head: {error}")))?;
    Ok(head.into())
}

/// A failure whose code says what was done to the record.
fn named(error: JournalError) -> Failure {
    let code = match &error {
        JournalError::Corrupt { what, .. } => match what {
            Corruption::Changed | Corruption::WrongEvent => "record_changed",
            Corruption::Missing => "record_dropped",
            Corruption::Inserted => "record_inserted",
            Corruption::OutOfOrder => "records_reordered",
            Corruption::Rewritten { .. } => "records_rewritten",
            Corruption::Truncated { .. } => "journal_truncated",
            Corruption::HeadMismatch { .. } => "other_history",
            _ => "record_unreadable",
        },
        JournalError::CorruptBlob { .. } => "payload_changed",
        JournalError::BadProof { .. } => "bad_proof",
        JournalError::Signature { .. } => "bad_signature",
        _ => return error.into(),
    };
    Failure::new(Exit::Store, code, error.to_string())
}
