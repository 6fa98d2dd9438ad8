//! Running quanta and effects on tokio, for the core.
//!
//! A run that is dropped leaves nothing behind: its planner's future and the tools it calls are
//! aborted, and the process goes on from recorded outcomes when the core starts it again.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use libos_abi::{Fault, OpId, Outcome, Pid, Syscall, event::Step, process};
use libos_bindings::inbox::Sender;
use libos_broker::{EffectOrder, Mode, Start, Submitter};
use libos_journal::Blobs;
use libos_port::{
    BoxFuture, EffectOutcome, Order, Planner, Port, Provider, QuantumEnd, Receipt, Reconciled, Turn,
};
use tokio::{runtime::Handle, sync::mpsc, task::AbortHandle};

use crate::{
    News, boundary::Boundaries, builder::submit, core_loop::Message, hydrate, parts::StoredParts,
    progress::Effect,
};

/// Starts and stops what runs outside the core.
pub(crate) struct Runner {
    inbox: Sender<Message>,
    blobs: Arc<dyn Blobs>,
    providers: Vec<Arc<dyn Provider>>,
    planners: Vec<Arc<dyn Planner>>,
    tokio: Handle,
    runs: HashMap<Pid, AbortHandle>,
    /// Tools under way, by the process that called them.
    tools: HashMap<Pid, Vec<AbortHandle>>,
    effects: HashMap<OpId, AbortHandle>,
    boundaries: Boundaries,
    /// Who hears how far effects are.
    watcher: Option<mpsc::Sender<News>>,
}

impl Runner {
    pub(crate) fn new(
        inbox: Sender<Message>,
        blobs: Arc<dyn Blobs>,
        providers: Vec<Arc<dyn Provider>>,
        planners: Vec<Arc<dyn Planner>>,
        boundaries: Boundaries,
    ) -> Self {
        Self {
            watcher: None,
            inbox,
            blobs,
            providers,
            planners,
            tokio: Handle::current(),
            runs: HashMap::new(),
            tools: HashMap::new(),
            effects: HashMap::new(),
            boundaries,
        }
    }

    /// Has somebody hear how far effects are.
    pub(crate) fn watch(&mut self, watcher: mpsc::Sender<News>) {
        self.watcher = Some(watcher);
    }

    /// Starts a run.
    pub(crate) fn start(&mut self, start: Start) {
        let Start { order, steps_before, receipts } = start;
        let door = Door {
            inbox: self.inbox.clone(),
            blobs: Arc::clone(&self.blobs),
            pid: order.pid,
            run: order.run,
            parent: None,
            next: AtomicU32::new(steps_before),
        };
        let planner = self.planners.iter().find(|p| p.kind() == &*order.planner.kind).cloned();
        let blobs = Arc::clone(&self.blobs);
        let pid = order.pid;
        let task =
            self.tokio.spawn(run(planner, order, receipts, door, blobs, self.boundaries.clone()));
        self.runs.insert(pid, task.abort_handle());
    }

    /// Drops a run and the tools it runs.
    pub(crate) fn stop(&mut self, pid: Pid) {
        if let Some(run) = self.runs.remove(&pid) {
            run.abort();
        }
        for tool in self.tools.remove(&pid).into_iter().flatten() {
            tool.abort();
        }
    }

    /// Performs or reconciles an effect.
    pub(crate) fn perform(&mut self, order: EffectOrder) {
        let op = order.op;
        let service = order.call.info().service;
        let is_tool = order.call.info().name == "tool.call";
        let run = order.run;
        let mode = order.mode;
        let Some(provider) = self.providers.iter().find(|p| p.serves().contains(&service)) else {
            let fault = Fault::Unsupported { call: order.call.info().name.into() };
            return self.finished(op, EffectOutcome::NotStarted(fault.into()));
        };
        let progress = Effect::new(op, run.map(|(pid, _)| pid), self.watcher.clone());
        let order = match self.order(order, Arc::clone(&progress)) {
            Ok(order) => order,
            Err(fault) => return self.finished(op, EffectOutcome::NotStarted(fault.into())),
        };
        let inbox = self.inbox.clone();
        let boundaries = self.boundaries.clone();
        let (before, after) = match mode {
            Mode::Perform => ("effect.perform", "effect.performed"),
            Mode::Reconcile => ("effect.reconcile", "effect.reconciled"),
        };
        let future: BoxFuture<'static, Message> = match mode {
            Mode::Perform => {
                let performed = provider.perform(order);
                Box::pin(async move {
                    let outcome = performed.await;
                    if let EffectOutcome::Unknown(why) = &outcome {
                        tracing::warn!(%op, why, "nobody can tell what became of an effect");
                    }
                    Message::Finished { op, outcome }
                })
            }
            Mode::Reconcile => {
                let asked = provider.reconcile(order);
                Box::pin(async move { Message::Reconciled { op, result: asked.await } })
            }
        };
        let guard = Unfinished { inbox: inbox.clone(), op, mode, is_tool, told: false, progress };
        let task = self.tokio.spawn(async move {
            let mut guard = guard;
            boundaries.pass(before);
            let message = future.await;
            boundaries.pass(after);
            guard.told = true;
            // A core that has stopped settles the effect when it starts again.
            drop(inbox.send(message));
            boundaries.pass("effect.reported");
        });
        match (run, is_tool) {
            (Some((pid, _)), true) => {
                let tools = self.tools.entry(pid).or_default();
                tools.retain(|tool| !tool.is_finished());
                tools.push(task.abort_handle());
            }
            _ => {
                self.effects.retain(|_, effect| !effect.is_finished());
                self.effects.insert(op, task.abort_handle());
            }
        }
    }

    fn order(&self, order: EffectOrder, progress: Arc<Effect>) -> Result<Order, Fault> {
        let mut call = order.call;
        hydrate::call(self.blobs.as_ref(), &mut call)?;
        let program = match order.program {
            Some(program) => Some(hydrate::program(self.blobs.as_ref(), &program)?),
            None => None,
        };
        let (pid, run) = order.run.unzip();
        let door: Arc<dyn Port> = Arc::new(Door {
            inbox: self.inbox.clone(),
            blobs: Arc::clone(&self.blobs),
            pid: pid.unwrap_or_default(),
            run: run.unwrap_or_default(),
            parent: Some(order.op),
            next: AtomicU32::new(0),
        });
        Ok(Order {
            op: order.op,
            pid,
            call,
            cwd: order.cwd,
            workspace: order.workspace,
            waited_ms: order.waited_ms,
            reach: order.reach,
            program,
            content: order.content,
            parts: Arc::new(StoredParts {
                op: order.op,
                inbox: self.inbox.clone(),
                blobs: Arc::clone(&self.blobs),
            }),
            port: door,
            progress,
        })
    }

    /// Reports an effect that ended without a task.
    pub(crate) fn finished(&self, op: OpId, outcome: EffectOutcome) {
        drop(self.inbox.send(Message::Finished { op, outcome }));
    }

    /// Abandons an effect; its task's end reports it as unknown.
    pub(crate) fn cancel(&mut self, op: OpId) {
        if let Some(effect) = self.effects.remove(&op) {
            effect.abort();
        }
    }

    /// Drops everything.
    pub(crate) fn stop_all(&mut self) {
        let tools = self.tools.drain().flat_map(|(_, tools)| tools);
        let runs = self.runs.drain().map(|(_, run)| run);
        let effects = self.effects.drain().map(|(_, effect)| effect);
        tools.chain(runs).chain(effects).for_each(|task| task.abort());
    }
}

/// Reports an effect whose task was aborted or panicked as unknown, for it may have happened, or as
/// not begun if its provider said so last. A tool that was dropped is not reported: it is called
/// again when its process runs again.
struct Unfinished {
    inbox: Sender<Message>,
    op: OpId,
    mode: Mode,
    is_tool: bool,
    told: bool,
    progress: Arc<Effect>,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        if self.told || (self.is_tool && !panicked) {
            return;
        }
        let message = match self.mode {
            // A tool has done nothing but its recorded calls.
            Mode::Perform if self.is_tool => {
                let fault = Fault::ProviderFailed { kind: "panic".into(), op: self.op };
                Message::Finished { op: self.op, outcome: EffectOutcome::Failed(fault.into()) }
            }
            Mode::Perform if self.progress.is_unbegun() => Message::Finished {
                op: self.op,
                outcome: EffectOutcome::NotStarted(Fault::Cancelled.into()),
            },
            Mode::Perform => Message::Finished {
                op: self.op,
                outcome: EffectOutcome::Unknown("its task was dropped".into()),
            },
            Mode::Reconcile => Message::Reconciled { op: self.op, result: Reconciled::Unknown },
        };
        drop(self.inbox.send(message));
    }
}

/// One quantum from its turn to the call that ends it.
async fn run(
    planner: Option<Arc<dyn Planner>>,
    mut order: process::RunOrder,
    receipts: Vec<Receipt>,
    door: Door,
    blobs: Arc<dyn Blobs>,
    boundaries: Boundaries,
) {
    let pid = order.pid;
    boundaries.pass("quantum");
    let loaded = hydrate::text(blobs.as_ref(), &mut order.planner.program)
        .and_then(|()| hydrate::text(blobs.as_ref(), &mut order.state));
    let closing = Door { parent: None, next: AtomicU32::new(0), ..door.copy() };
    let end = match (loaded, planner) {
        (Err(fault), _) => failed(fault.code(), fault.to_string()),
        (Ok(()), None) => failed(
            "unknown_planner",
            format!("no planner of the kind `{}` is composed in", order.planner.kind),
        ),
        (Ok(()), Some(planner)) => {
            let turn = Turn {
                pid,
                program: order.planner.program.as_str().unwrap_or_default().into(),
                state: order.state.as_str().unwrap_or_default().into(),
                receipts,
                port: Arc::new(door),
            };
            // A task of its own, so that a planner that panics ends its process and nothing else.
            let mut task = AbortOnDrop(tokio::spawn(planner.quantum(turn)));
            match (&mut task.0).await {
                Ok(end) => end,
                Err(error) if error.is_panic() => {
                    failed("planner_panicked", "the planner panicked".into())
                }
                Err(_) => return,
            }
        }
    };
    boundaries.pass("quantum.done");
    let call: Syscall = match end {
        QuantumEnd::Continue { state } => process::Commit { state: state.into() }.into(),
        QuantumEnd::Exit { result, message, failed, code } => {
            process::Exit { result, message, failed: Some(failed), code, pid: None }.into()
        }
    };
    if let Err(error) = closing.bookkeeping(call).await {
        let refused = process::Exit {
            result: None,
            message: Some(format!("its last call was refused: {error}")),
            failed: Some(true),
            code: Some(error.code().into()),
            pid: None,
        };
        if let Err(error) = closing.bookkeeping(refused.into()).await {
            tracing::debug!(%pid, %error, "the run was over before its end was recorded");
        }
    }
}

struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn failed(code: &str, message: String) -> QuantumEnd {
    QuantumEnd::Exit { result: None, message: Some(message), failed: true, code: Some(code.into()) }
}

/// The port of one run, or of one tool call within it.
struct Door {
    inbox: Sender<Message>,
    blobs: Arc<dyn Blobs>,
    pid: Pid,
    run: u64,
    parent: Option<OpId>,
    /// The number of the last step submitted.
    next: AtomicU32,
}

impl Door {
    fn copy(&self) -> Self {
        Self {
            inbox: self.inbox.clone(),
            blobs: Arc::clone(&self.blobs),
            pid: self.pid,
            run: self.run,
            parent: self.parent,
            next: AtomicU32::new(self.next.load(Ordering::Relaxed)),
        }
    }

    /// The call that closes a quantum: no step of the plan, so it has no number.
    async fn bookkeeping(&self, call: Syscall) -> Outcome {
        self.numbered(0, call).await
    }

    async fn numbered(&self, index: u32, call: Syscall) -> Outcome {
        let step = Step { parent: self.parent, index };
        let from = Submitter::Process { pid: self.pid, run: self.run, step };
        submit(&self.inbox, &self.blobs, from, call).await
    }
}

impl Port for Door {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        // The number is taken at submission, so calls under way together keep their order.
        let index = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        Box::pin(self.numbered(index, call))
    }
}
