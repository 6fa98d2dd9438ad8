//! The core's thread: drains messages, steps the kernel, commits one batch, lets things out.
//!
//! What is written before what leaves is the broker's to say ([`libos_broker::let_out`]); this is
//! its edge.
//!
//! A disk that refuses is waited for ([`Core::write`]): the batch at hand is kept and written
//! before anything new is taken, so the kernel is ahead of the disk by that batch and no more.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use libos_abi::{Digest, Fault, OpId, Outcome, Syscall};
use libos_bindings::inbox::{Empty, Inbox};
use libos_broker::{
    Edge, Input, Kernel, Line, Notice, Output, Outputs, Records, Submission, Submitter, Ticket,
};
use libos_journal::{Batch, Blobs, Head, Journal, JournalError, Sync};
use libos_port::{EffectOutcome, Reconciled};
use tokio::sync::{mpsc, oneshot};

use crate::{
    Clock, Limits, audit, boundary::Boundaries, hydrate, parts::Part, recovery::Keeper,
    runner::Runner,
};

/// What reaches the core's thread.
pub(crate) enum Message {
    Submit { from: Submitter, call: Syscall, reply: oneshot::Sender<Outcome> },
    Finished { op: OpId, outcome: EffectOutcome },
    Keep(Part),
    Reconciled { op: OpId, result: Reconciled },
    Watch(mpsc::UnboundedSender<News>),
    State(oneshot::Sender<State>),
    RunProcesses,
    Shutdown,
}

/// Which state a kernel is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// The records that led to it; all of them are on disk.
    pub records: u64,
    /// Its digest.
    pub digest: Digest,
}

/// What a watcher hears, each once it is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Something happened.
    Notice(Notice),
    /// Nothing runs, nothing is under way, no timer is set: only a caller from outside can make
    /// anything happen.
    Idle,
    /// The store refuses for now: calls of the host are refused, processes wait. What was
    /// acknowledged is on disk.
    StoreUnavailable(String),
    /// The store takes records again, and everything goes on.
    StoreAvailable,
    /// The store failed and the core has stopped. What was acknowledged is on disk.
    StoreFailed(String),
}

/// A stream of [`News`].
pub struct Watch {
    receiver: mpsc::UnboundedReceiver<News>,
    blobs: Arc<dyn Blobs>,
}

impl Watch {
    pub(crate) fn new(receiver: mpsc::UnboundedReceiver<News>, blobs: Arc<dyn Blobs>) -> Self {
        Self { receiver, blobs }
    }

    /// The next news, with payloads in full; `None` when the runtime has stopped.
    pub async fn next(&mut self) -> Option<News> {
        let mut news = self.receiver.recv().await?;
        match &mut news {
            News::Notice(Notice::Step { outcome, .. }) => {
                let stored = std::mem::replace(outcome, Err(Fault::Cancelled.into()));
                *outcome = hydrate::outcome(self.blobs.as_ref(), stored);
            }
            News::Notice(Notice::Output { message, .. }) => {
                if let Err(fault) = hydrate::text(self.blobs.as_ref(), message) {
                    *message = fault.to_string().into();
                }
            }
            _ => {}
        }
        Some(news)
    }
}

/// The core and what it holds on to.
pub(crate) struct Core {
    kernel: Kernel,
    journal: Box<dyn Journal>,
    messages: Inbox<Message>,
    runner: Runner,
    clock: Arc<dyn Clock>,
    limits: Limits,
    tickets: HashMap<Ticket, oneshot::Sender<Outcome>>,
    last_ticket: u64,
    watchers: Vec<mpsc::UnboundedSender<News>>,
    /// Who wants to know the state as it is in the journal next.
    states: Vec<oneshot::Sender<State>>,
    keeper: Keeper,
    /// Parts of contents that no record names yet, by the operation that keeps them.
    unnamed: HashMap<OpId, BTreeSet<Digest>>,
    /// What waits for the disk.
    line: Line,
    /// Why the store refuses, while it does.
    refusal: Option<String>,
    /// What came while the store refused and is taken afterwards.
    kept: VecDeque<Message>,
    /// Whether it was told to stop: then nobody waits for the disk.
    stopping: bool,
    idle_told: bool,
    /// Whether nothing came for so long that those who run have said all they have to say.
    is_quiet: bool,
    /// How many callers were answered after the last durable write.
    answered: usize,
    /// How many were answered in what is being let out.
    replies: usize,
    run_processes: bool,
    boundaries: Boundaries,
}

impl Core {
    pub(crate) fn new(
        kernel: Kernel,
        journal: Box<dyn Journal>,
        messages: Inbox<Message>,
        runner: Runner,
        clock: Arc<dyn Clock>,
        limits: Limits,
        boundaries: Boundaries,
    ) -> Self {
        let keeper = Keeper::new(journal.snapshots(), &limits);
        Self {
            kernel,
            journal,
            messages,
            runner,
            clock,
            limits,
            tickets: HashMap::new(),
            last_ticket: 0,
            watchers: Vec::new(),
            states: Vec::new(),
            keeper,
            unnamed: HashMap::new(),
            line: Line::default(),
            refusal: None,
            kept: VecDeque::new(),
            stopping: false,
            idle_told: false,
            is_quiet: false,
            answered: 0,
            replies: 0,
            run_processes: false,
            boundaries,
        }
    }

    /// Adds watchers before anything happens.
    pub(crate) fn watch(&mut self, watchers: Vec<mpsc::UnboundedSender<News>>) {
        self.watchers.extend(watchers);
        self.kernel.set_watched(!self.watchers.is_empty());
    }

    /// Says how many records the snapshot is of that the kernel came from.
    pub(crate) fn recovered_from(&mut self, records: u64) {
        self.keeper.has(records);
    }

    /// Runs until it is told to stop or the store fails.
    pub(crate) fn run(mut self, run_processes: bool) -> Result<Head, JournalError> {
        self.run_processes = run_processes;
        let result = self.serve();
        self.runner.stop_all();
        if let Err(error) = &result {
            tracing::error!(%error, "the store failed; the core stops");
            let what = error.to_string();
            for (_, reply) in self.tickets.drain() {
                // A caller that has gone away needs no answer.
                drop(reply.send(Err(Fault::StoreUnavailable { what: what.clone() }.into())));
            }
            self.tell(News::StoreFailed(what));
        }
        result
    }

    fn serve(&mut self) -> Result<Head, JournalError> {
        let mut out = Outputs::default();
        if self.run_processes {
            self.recover(&mut out);
        }
        loop {
            self.fill(&mut out);
            self.let_out(&mut out)?;
            self.tell_state()?;
            if self.keeper.is_due(self.journal.head().size) {
                self.keep_snapshot()?;
            }
            let first = match self.receive()? {
                Some(message) => message,
                None => {
                    let input = if self.is_quiet { Input::Quiet } else { Input::Tick };
                    self.kernel.step(self.clock.now_ms(), input, &mut out);
                    continue;
                }
            };
            let mut next = Some(first);
            let mut gathered_until = None;
            for taken in 0..self.limits.batch_messages_max {
                let here = next.take().or_else(|| self.next_message());
                let Some(message) = here.or_else(|| self.gather(taken, &out, &mut gathered_until))
                else {
                    break;
                };
                if matches!(message, Message::Shutdown) {
                    self.stopping = true;
                    self.let_out(&mut out)?;
                    let head = self.flush()?;
                    self.keeper.finish(&self.kernel, head);
                    return Ok(head);
                }
                match message {
                    Message::Keep(part) => self.keep(part)?,
                    message => self.take(message, &mut out),
                }
            }
        }
    }

    /// Puts a part of a content in line to be written. Nothing names it before the outcome of its
    /// operation does.
    fn keep(&mut self, part: Part) -> Result<(), JournalError> {
        let Part { op, digest, bytes, taken } = part;
        if !self.kernel.awaits(op) {
            return Ok(());
        }
        let batch = Batch { records: Vec::new(), blobs: vec![(digest, bytes)] };
        self.write(|journal| journal.append(&batch, Sync::Lazy))?;
        self.unnamed.entry(op).or_default().insert(digest);
        if taken.send(()).is_err() {
            tracing::debug!(%op, "a part was kept for an effect that was given up");
        }
        Ok(())
    }

    /// Waits a moment for more to write in one go. Those who were answered together, once their
    /// records were on disk, mostly come again together: one commit for all of them costs what
    /// one for the first would.
    fn gather(
        &mut self,
        taken: usize,
        out: &Outputs,
        until: &mut Option<Instant>,
    ) -> Option<Message> {
        if out.durable.is_empty() || taken >= self.answered {
            return None;
        }
        let time = Duration::from_micros(self.limits.gather_us);
        let until = *until.get_or_insert_with(|| Instant::now() + time);
        let left = until.saturating_duration_since(Instant::now());
        (!left.is_zero()).then(|| self.messages.take_within(left).ok()).flatten()
    }

    /// The next message that is here already.
    fn next_message(&mut self) -> Option<Message> {
        self.kept.pop_front().or_else(|| self.messages.try_take().ok())
    }

    /// Waits for a message, a timer or the time to write what is in line. `None` when a timer may
    /// have fired.
    fn receive(&mut self) -> Result<Option<Message>, JournalError> {
        if let Some(message) = self.next_message() {
            self.is_quiet = false;
            return Ok(Some(message));
        }
        if self.line.since_ms().is_some() {
            match self.messages.take_within(Duration::from_millis(self.limits.lazy_flush_ms)) {
                Ok(message) => return Ok(Some(message)),
                Err(Empty::Nothing) => {
                    self.flush()?;
                }
                Err(Empty::Closed) => return Ok(Some(Message::Shutdown)),
            }
        }
        self.tell_idle();
        let now_ms = self.clock.now_ms();
        let timer = self.kernel.next_deadline_ms().map(|at| at.saturating_sub(now_ms));
        let is_worth_it = self.keeper.is_worth_it(self.journal.head().size);
        let idle = is_worth_it.then_some(self.limits.snapshot_idle_ms);
        let may_be_quiet = !self.is_quiet && self.kernel.running() > 0;
        let quiet = may_be_quiet.then_some(self.limits.quiet_run_ms);
        let soonest = timer.into_iter().chain(idle).chain(quiet).min();
        let received = match soonest {
            None => self.messages.take(),
            Some(wait) => self.messages.take_within(Duration::from_millis(wait)),
        };
        self.is_quiet =
            matches!(received, Err(Empty::Nothing)) && (self.is_quiet || quiet == soonest);
        match received {
            Ok(message) => Ok(Some(message)),
            Err(Empty::Nothing) => {
                if idle.is_some() && idle == soonest {
                    self.keep_snapshot()?;
                }
                Ok(None)
            }
            Err(Empty::Closed) => Ok(Some(Message::Shutdown)),
        }
    }

    fn take(&mut self, message: Message, out: &mut Outputs) {
        let now_ms = self.clock.now_ms();
        let input = match message {
            Message::Submit { from, call, reply } => {
                self.last_ticket += 1;
                let ticket = Ticket(self.last_ticket);
                self.tickets.insert(ticket, reply);
                Input::Submit(Submission { ticket, from, call })
            }
            Message::Finished { op, outcome } => {
                self.unnamed.remove(&op);
                Input::Finished { op, outcome }
            }
            Message::Reconciled { op, result } => Input::Reconciled { op, result },
            Message::Watch(sender) => {
                self.watchers.push(sender);
                self.kernel.set_watched(true);
                self.idle_told = false;
                return;
            }
            Message::State(reply) => {
                self.states.push(reply);
                return;
            }
            Message::RunProcesses if self.run_processes => return,
            Message::RunProcesses => {
                self.run_processes = true;
                self.recover(out);
                return;
            }
            Message::Keep(_) | Message::Shutdown => return,
        };
        self.kernel.step(now_ms, input, out);
        self.boundaries.pass("kernel.stepped");
    }

    fn recover(&mut self, out: &mut Outputs) {
        self.boundaries.pass("start.recover");
        self.kernel.recover(self.clock.now_ms(), out);
        self.boundaries.pass("start.recovered");
    }

    /// Tells the state while the journal holds exactly what the kernel has seen.
    fn tell_state(&mut self) -> Result<(), JournalError> {
        if self.states.is_empty() {
            return Ok(());
        }
        let state = State { records: self.flush()?.size, digest: self.kernel.digest() };
        for reply in self.states.drain(..) {
            if reply.send(state).is_err() {
                tracing::debug!("whoever asked for the state has gone away");
            }
        }
        Ok(())
    }

    /// Keeps the state as it is in the journal.
    fn keep_snapshot(&mut self) -> Result<(), JournalError> {
        let head = self.flush()?;
        self.keeper.take(&self.kernel, head);
        Ok(())
    }

    fn fill(&mut self, out: &mut Outputs) {
        if self.run_processes {
            let slots = self.limits.running_max.saturating_sub(self.kernel.running());
            self.kernel.step(self.clock.now_ms(), Input::Fill { slots }, out);
        }
    }

    /// Commits what the steps brought and lets it out.
    fn let_out(&mut self, out: &mut Outputs) -> Result<(), JournalError> {
        libos_broker::let_out(self, out)?;
        let lags = |since| self.clock.now_ms().saturating_sub(since) > self.limits.busy_flush_ms;
        if self.line.since_ms().is_some_and(lags) {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<Head, JournalError> {
        libos_broker::flush(self)?;
        Ok(self.journal.head())
    }

    /// Writes, as often as it takes for the disk not to refuse.
    fn write(
        &mut self,
        write: impl Fn(&mut dyn Journal) -> Result<Head, JournalError>,
    ) -> Result<Head, JournalError> {
        loop {
            match write(self.journal.as_mut()) {
                Err(error) if error.may_pass() && !self.stopping => self.wait_for_disk(&error),
                result => {
                    if result.is_ok() && self.refusal.take().is_some() {
                        self.tell(News::StoreAvailable);
                    }
                    return result;
                }
            }
        }
    }

    /// Lets a moment pass. Calls of the host are refused meanwhile. What processes and effects say
    /// is kept: a refusal would not be recorded, and a quantum that runs again must see the same.
    fn wait_for_disk(&mut self, error: &JournalError) {
        if self.refusal.is_none() {
            tracing::error!(%error, "the store refuses, and everything waits for it");
            self.tell(News::StoreUnavailable(error.to_string()));
        }
        let what = self.refusal.insert(error.to_string()).clone();
        let until = Instant::now() + Duration::from_millis(self.limits.store_retry_ms);
        loop {
            match self.messages.take_within(until.saturating_duration_since(Instant::now())) {
                Ok(Message::Submit { from: Submitter::Host(_), reply, .. }) => {
                    // A caller that has gone away needs no answer.
                    drop(reply.send(Err(Fault::StoreUnavailable { what: what.clone() }.into())));
                }
                Ok(Message::Watch(watcher)) => {
                    if watcher.send(News::StoreUnavailable(what.clone())).is_ok() {
                        self.watchers.push(watcher);
                    }
                }
                Ok(Message::Shutdown) | Err(Empty::Closed) => {
                    self.stopping = true;
                    self.kept.push_back(Message::Shutdown);
                    return;
                }
                Ok(message) => self.kept.push_back(message),
                Err(Empty::Nothing) if Instant::now() < until => {}
                Err(Empty::Nothing) => return,
            }
        }
    }

    fn tell_idle(&mut self) {
        let is_idle = self.run_processes && self.kernel.is_idle() && self.messages.is_empty();
        if is_idle && !self.idle_told {
            self.idle_told = true;
            self.tell(News::Idle);
        }
    }

    fn tell(&mut self, news: News) {
        self.watchers.retain(|watcher| watcher.send(news.clone()).is_ok());
        self.kernel.set_watched(!self.watchers.is_empty());
    }
}

impl Edge for Core {
    type Error = JournalError;

    fn line(&mut self) -> &mut Line {
        &mut self.line
    }

    fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    fn append(
        &mut self,
        records: &Records,
        blobs: Vec<(Digest, Arc<[u8]>)>,
        durable: bool,
    ) -> Result<(), JournalError> {
        // A mere look leaves everything as it was: who looks because nothing moves would be told
        // so for ever.
        self.idle_told &= records.is_empty();
        let batch = Batch { records: records.iter().map(<[u8]>::to_vec).collect(), blobs };
        let sync = if durable { Sync::Durable } else { Sync::Lazy };
        let (before, after) = match sync {
            Sync::Lazy => ("append.lazy", "append.lazy.done"),
            Sync::Durable => ("append.durable", "append.durable.done"),
        };
        self.boundaries.pass(before);
        self.write(|journal| journal.append(&batch, sync))?;
        self.boundaries.pass(after);
        Ok(())
    }

    fn write_line(&mut self) -> Result<(), JournalError> {
        self.boundaries.pass("flush");
        self.write(|journal| journal.flush())?;
        self.boundaries.pass("flush.done");
        Ok(())
    }

    fn release(&mut self, output: Output) {
        match output {
            Output::Reply(ticket, outcome) => {
                self.replies += 1;
                if let Some(reply) = self.tickets.remove(&ticket) {
                    self.boundaries.pass("reply");
                    // A caller that has gone away gets the recorded outcome when it comes back.
                    drop(reply.send(outcome));
                    self.boundaries.pass("reply.done");
                }
            }
            Output::Forget(ticket) => drop(self.tickets.remove(&ticket)),
            Output::Effect(order) if order.call.info().service == "audit" => {
                self.boundaries.pass("effect.perform");
                let unnamed = self.unnamed.values().flatten().copied().collect();
                let outcome =
                    audit::perform(self.journal.as_mut(), order.op, &order.call, &unnamed);
                self.boundaries.pass("effect.performed");
                self.runner.finished(order.op, outcome);
            }
            Output::Effect(order) => {
                self.boundaries.pass("effect");
                self.runner.perform(*order);
                self.boundaries.pass("effect.done");
            }
            Output::Start(start) => {
                self.boundaries.pass("run");
                self.runner.start(*start);
                self.boundaries.pass("run.done");
            }
            Output::Stop(pid) => {
                self.boundaries.pass("stop");
                self.runner.stop(pid);
            }
            Output::Cancel(op) => self.runner.cancel(op),
            Output::Notice(notice) => self.tell(News::Notice(*notice)),
        }
    }

    fn tell(&mut self, notice: Notice) {
        self.boundaries.pass("news");
        Core::tell(self, News::Notice(notice));
        self.boundaries.pass("news.done");
    }

    fn left(&mut self, durable: bool) {
        let replies = std::mem::take(&mut self.replies);
        self.answered = if durable { replies } else { self.answered };
    }
}
