//! The world outside: what effects are under way, and the truth about what happened.
//!
//! A provider does what its contract lets it: it may be slow, fail before or after the effect,
//! certify that nothing began when nothing did, or not know. It never says of an effect that
//! happened that it did not begin.

use std::collections::{BTreeMap, BTreeSet};

use libos_abi::{EffectClass, Error, Fault, OpId, Reply, Syscall, audit, fs, shell, tool};
use libos_broker::{EffectOrder, Mode};
use libos_port::{EffectOutcome, Reconciled};

use crate::random::Random;

/// An effect under way.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) order: EffectOrder,
    happened: bool,
}

/// What happened under one operation, whatever anyone was told.
#[derive(Debug)]
pub(crate) struct Truth {
    pub(crate) times: u32,
    call: Syscall,
}

/// What a provider tells of an effect.
pub(crate) enum Told {
    Finished(OpId, EffectOutcome),
    Reconciled(OpId, Reconciled),
}

/// Providers and what they did.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(crate) pending: Vec<Pending>,
    pub(crate) truth: BTreeMap<OpId, Truth>,
    /// Of these a provider once said that it does not know.
    pub(crate) unknown: BTreeSet<OpId>,
    /// Of these a provider once certified that nothing began.
    pub(crate) not_started: BTreeSet<OpId>,
    /// What was done twice although it must not be.
    pub(crate) twice: Vec<String>,
}

/// What a search finds, wherever it is: its caller gets what it may read.
const FOUND: [&str; 2] = ["workspace/a", "workspace/b/y"];

fn class(call: &Syscall) -> EffectClass {
    call.info().effect
}

/// The reply of an effect that happened.
fn reply(call: &Syscall) -> Option<Reply> {
    let digest = libos_abi::Digest::of(b"");
    Some(match call {
        Syscall::Fs(fs::Call::Read(_)) => {
            let text = "text".into();
            fs::Reply::Read(fs::FileText { text, bytes: 4, truncated: false, digest }).into()
        }
        Syscall::Fs(fs::Call::Write(write)) => {
            let (path, bytes) = (write.path.clone(), write.text.bytes());
            fs::Reply::Write(fs::Written {
                path,
                bytes,
                created: true,
                digest,
                before: fs::Before::default(),
            })
            .into()
        }
        Syscall::Fs(fs::Call::List(_)) => {
            fs::Reply::List(fs::Listing { entries: Vec::new(), truncated: false }).into()
        }
        Syscall::Fs(fs::Call::Mkdir(mkdir)) => {
            fs::Reply::Mkdir(fs::Made { path: mkdir.path.clone(), created: true }).into()
        }
        Syscall::Fs(fs::Call::Delete(delete)) => fs::Reply::Delete(fs::Removed {
            path: delete.path.clone(),
            removed: true,
            before: fs::Before::default(),
        })
        .into(),
        Syscall::Fs(fs::Call::Stat(_)) => {
            let kind = fs::FileKind::File;
            fs::Reply::Stat(fs::Metadata { kind, bytes: 4, modified_at_ms: 0 }).into()
        }
        Syscall::Fs(
            fs::Call::Edit(fs::Edit { path, .. }) | fs::Call::Patch(fs::Patch { path, .. }),
        ) => {
            let (path, before) = (path.clone(), fs::Before::default());
            let written = fs::Written { path, bytes: 1, created: false, digest, before };
            match call {
                Syscall::Fs(fs::Call::Edit(_)) => fs::Reply::Edit(written).into(),
                _ => fs::Reply::Patch(written).into(),
            }
        }
        Syscall::Fs(fs::Call::Append(append)) => fs::Reply::Append(fs::Appended {
            path: append.path.clone(),
            bytes: append.text.bytes(),
            created: false,
            left: digest,
            before: fs::Before::default(),
        })
        .into(),
        Syscall::Fs(fs::Call::Rename(fs::Rename { from, to, .. })) => {
            fs::Reply::Rename(fs::Renamed {
                from: from.clone(),
                to: to.clone(),
                replaced: false,
                moved: fs::Before::default(),
                before: fs::Before::default(),
            })
            .into()
        }
        Syscall::Fs(fs::Call::Search(_)) => {
            let found = |path: &str| fs::LineFound { path: path.into(), line: 1, text: "a".into() };
            let lines = FOUND.iter().map(|path| found(path)).collect();
            fs::Reply::Search(fs::Searched { lines, next: None }).into()
        }
        Syscall::Fs(fs::Call::Glob(_)) => {
            let kind = fs::FileKind::File;
            let found = |path: &str| fs::PathFound { path: path.into(), kind, bytes: 1 };
            let entries = FOUND.iter().map(|path| found(path)).collect();
            fs::Reply::Glob(fs::Globbed { entries, next: None }).into()
        }
        Syscall::Fs(fs::Call::Watch(watch)) => {
            let changed = watch.seen.is_some();
            fs::Reply::Watch(fs::Watched { state: digest, changed }).into()
        }
        Syscall::Shell(_) => shell::Reply::Run(shell::Ended {
            exit_code: Some(0),
            signal: None,
            stdout: "out".into(),
            stderr: "".into(),
            truncated: false,
            wall_ms: 1,
            ..Default::default()
        })
        .into(),
        Syscall::Audit(audit::Call::List(_)) => {
            audit::Reply::List(audit::Entries { entries: Vec::new(), next: None }).into()
        }
        Syscall::Tool(_) => {
            tool::Reply::CallTool(tool::ToolResult { result: Default::default() }).into()
        }
        _ => return None,
    })
}

/// What a tool that has ended gives.
pub(crate) fn tool_reply(call: &Syscall) -> EffectOutcome {
    done(call, OpId(0))
}

fn done(call: &Syscall, op: OpId) -> EffectOutcome {
    reply(call).map_or_else(|| EffectOutcome::Failed(broken(op)), EffectOutcome::Done)
}

fn broken(op: OpId) -> Error {
    Fault::ProviderFailed { kind: "simulated".into(), op }.into()
}

impl World {
    /// Takes an order.
    pub(crate) fn accept(&mut self, order: EffectOrder) {
        self.pending.push(Pending { order, happened: false });
    }

    /// How often an effect happened.
    pub(crate) fn times(&self, op: OpId) -> u32 {
        self.truth.get(&op).map_or(0, |truth| truth.times)
    }

    fn happen(&mut self, order: &EffectOrder) {
        // A read leaves no trace, and its number may be given again after a crash.
        if class(&order.call) == EffectClass::Read {
            return;
        }
        let call = order.call.clone();
        let op = order.op;
        let truth = self.truth.entry(op).or_insert(Truth { times: 0, call: call.clone() });
        truth.times += 1;
        let once = matches!(class(&call), EffectClass::Irreversible | EffectClass::Reconcilable);
        if truth.times > 1 && once {
            let name = call.info().name;
            self.twice.push(format!("{name} of {op} happened {} times", truth.times));
        }
        if truth.call != call {
            self.twice.push(format!("two different calls were performed as {op}"));
        }
    }

    /// A provider goes on with one of the effects under way.
    pub(crate) fn advance(&mut self, random: &mut Random, honest: bool) -> Option<Told> {
        if self.pending.is_empty() {
            return None;
        }
        let at = random.below(self.pending.len());
        let op = self.pending[at].order.op;
        if self.pending[at].order.mode == Mode::Reconcile {
            let order = self.pending.remove(at).order;
            return Some(Told::Reconciled(op, self.reconcile(&order, random, honest)));
        }
        if !self.pending[at].happened {
            let chance = if honest { 99 } else { random.below(100) };
            let lost = match chance {
                0..15 => {
                    self.not_started.insert(op);
                    EffectOutcome::NotStarted(broken(op))
                }
                15..22 => EffectOutcome::Failed(broken(op)),
                22..27 => {
                    self.unknown.insert(op);
                    EffectOutcome::Unknown("simulated".into())
                }
                _ => {
                    let order = self.pending[at].order.clone();
                    self.happen(&order);
                    self.pending[at].happened = true;
                    // It may take a while until it tells.
                    if !honest && random.percent(40) {
                        return None;
                    }
                    return Some(self.tell(at, random, honest));
                }
            };
            self.pending.remove(at);
            return Some(Told::Finished(op, lost));
        }
        Some(self.tell(at, random, honest))
    }

    fn tell(&mut self, at: usize, random: &mut Random, honest: bool) -> Told {
        let order = self.pending.remove(at).order;
        let op = order.op;
        let outcome = match if honest { 99 } else { random.below(100) } {
            0..8 => EffectOutcome::Failed(broken(op)),
            8..14 => {
                self.unknown.insert(op);
                EffectOutcome::Unknown("simulated".into())
            }
            _ => done(&order.call, op),
        };
        Told::Finished(op, outcome)
    }

    fn reconcile(&mut self, order: &EffectOrder, random: &mut Random, honest: bool) -> Reconciled {
        if !honest && random.percent(30) {
            self.unknown.insert(order.op);
            return Reconciled::Unknown;
        }
        match (self.times(order.op), reply(&order.call)) {
            (0, _) => Reconciled::DidNotHappen,
            (_, Some(reply)) => Reconciled::Happened(reply),
            (_, None) => Reconciled::Unknown,
        }
    }

    /// An effect is abandoned; it may have happened before that.
    pub(crate) fn cancel(&mut self, op: OpId, random: &mut Random) -> Option<Told> {
        let at = self.pending.iter().position(|pending| pending.order.op == op)?;
        let pending = self.pending.remove(at);
        if pending.order.mode == Mode::Reconcile {
            self.unknown.insert(op);
            return Some(Told::Reconciled(op, Reconciled::Unknown));
        }
        if !pending.happened && random.percent(50) {
            self.happen(&pending.order);
        }
        self.unknown.insert(op);
        Some(Told::Finished(op, EffectOutcome::Unknown("its task was dropped".into())))
    }

    /// The machine stops: of what was under way some happened and some did not, and nobody tells.
    pub(crate) fn crash(&mut self, random: &mut Random) {
        for pending in std::mem::take(&mut self.pending) {
            let performs = pending.order.mode == Mode::Perform;
            if performs && !pending.happened && random.percent(40) {
                self.happen(&pending.order);
            }
        }
    }
}
