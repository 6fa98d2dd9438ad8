//! Building and holding a runtime.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use libos_abi::{Digest, Fault, Outcome, Seq, Syscall, wire};
use libos_bindings::inbox::{Sender, inbox};
use libos_broker::{ComposeError, Kernel, LabelRules, Parts, Submitter};
use libos_journal::{
    Blobs, Head, Journal, JournalError, Limits as JournalLimits, MemoryJournal, SqliteJournal,
};
use libos_llm::{LlmProvider, Profile};
use libos_planner::ModelPlanner;
use libos_port::{Authority, BoxFuture, Component, Planner, Port, Provider};
use libos_providers::{
    BadEndpoint, EndpointSpec, FsProvider, HttpConfig, HttpProvider, Layer, Mounted, RpcProvider,
    ShellConfig, ShellProvider,
};
use tokio::sync::oneshot;

use crate::{
    boundary::{Boundaries, OnBoundary},
    core_loop::{Core, Message, State, Watch},
    generated::Tools,
    hydrate,
    model::HostNetwork,
    mounts::ByMount,
    recovery,
    runner::Runner,
};

/// The wall clock, as the edge reads it. Tests and embedders may pass their own.
pub trait Clock: Send + Sync {
    /// Milliseconds since the epoch.
    fn now_ms(&self) -> u64;
}

/// The host's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// The limits of the edge, each with its reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Processes that run at the same time: each holds a task and its planner's memory.
    pub running_max: usize,
    /// Messages to the core taken into one batch: bounds what one commit makes others wait.
    pub batch_messages_max: usize,
    /// How long a commit waits for those who were answered together to come again, in
    /// microseconds: about what the commit itself takes.
    pub gather_us: u64,
    /// How long a record may wait to be written while nothing needs it on disk, in milliseconds:
    /// bounds what watchers lag behind and what a crash makes the host do again.
    pub lazy_flush_ms: u64,
    /// The same while messages keep coming, in milliseconds: ten commits a second cost little.
    pub busy_flush_ms: u64,
    /// How long a store that refuses is left alone before it is tried again, in milliseconds: soon
    /// enough to go on as soon as there is space, seldom enough to cost nothing.
    pub store_retry_ms: u64,
    /// How long a run that only waits may say nothing before it is dropped, in milliseconds: long
    /// enough to go on with what has ended, and a human who is asked notices no such pause.
    pub quiet_run_ms: u64,
    /// Records after which the state is kept as a snapshot while there is work: a start folds so
    /// many and a few more, in a fifth of a second.
    pub snapshot_records: u64,
    /// Records that make a snapshot worth taking at the end and once nothing happens: fewer are
    /// folded before a snapshot is read.
    pub snapshot_idle_records: u64,
    /// How long nothing happens before a snapshot is taken, in milliseconds: whoever comes next
    /// is not made to wait for it.
    pub snapshot_idle_ms: u64,
    /// While a snapshot is taken everything waits, at most one part in so many of the time.
    pub snapshot_share: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            running_max: 256,
            batch_messages_max: 1024,
            gather_us: 150,
            lazy_flush_ms: 10,
            busy_flush_ms: 100,
            store_retry_ms: 200,
            quiet_run_ms: 100,
            snapshot_records: 65_536,
            snapshot_idle_records: 4_096,
            snapshot_idle_ms: 1_000,
            snapshot_share: 100,
        }
    }
}

/// Why a runtime did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store could not be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A record of the store is none that this build knows.
    #[error(
        "record {seq} of the store does not decode ({source}); it was written by another version \
         of Agent libOS, which has to be used to read it"
    )]
    Record {
        /// The record.
        seq: Seq,
        /// What is wrong with it.
        source: wire::WireError,
    },
    /// There is no such record yet.
    #[error("there is no record {seq}; the journal has {records}")]
    NoRecord {
        /// The record asked for.
        seq: Seq,
        /// How many there are.
        records: u64,
    },
    /// The parts do not fit together.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// An endpoint cannot be registered.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// The host's operating system refused a thread.
    #[error("the host gives no thread: {0}")]
    Thread(#[source] std::io::Error),
}

enum Store {
    Memory,
    Folder(PathBuf),
    Given(Box<dyn Journal>),
}

/// Composes a runtime. What is not given is the standard part.
pub struct Builder {
    store: Store,
    authority: Box<dyn Authority>,
    components: Vec<Box<dyn Component>>,
    providers: Vec<Arc<dyn Provider>>,
    planners: Vec<Arc<dyn Planner>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    run_processes: bool,
    kept_out: Vec<PathBuf>,
    mounts: BTreeMap<String, Mounted>,
    mount_providers: BTreeMap<String, Arc<dyn Provider>>,
    boundaries: Boundaries,
    tool_cache: Option<PathBuf>,
    programs: ShellConfig,
    http: HttpConfig,
    models: BTreeMap<String, Profile>,
    endpoints: BTreeMap<String, EndpointSpec>,
    labels: LabelRules,
}

impl Default for Builder {
    fn default() -> Self {
        Self::new()
    }
}

impl Builder {
    /// The standard composition, with a store in memory.
    #[must_use]
    pub fn new() -> Self {
        Self {
            store: Store::Memory,
            authority: Box::new(libos_capability::Capabilities::default()),
            components: vec![
                Box::new(libos_scheduler::Scheduler::default()),
                Box::new(libos_objects::Objects::default()),
                Box::new(libos_human::Humans::default()),
                Box::new(libos_images::Images::default()),
                Box::new(libos_events::Events::default()),
                Box::new(libos_checkpoints::Checkpoints::default()),
            ],
            providers: Vec::new(),
            planners: planners(),
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            run_processes: true,
            kept_out: Vec::new(),
            mounts: BTreeMap::new(),
            mount_providers: BTreeMap::new(),
            boundaries: Boundaries::default(),
            tool_cache: None,
            programs: ShellConfig::from_host(),
            http: HttpConfig::default(),
            models: BTreeMap::new(),
            endpoints: BTreeMap::new(),
            labels: LabelRules::default(),
        }
    }

    /// Keeps the journal in this folder.
    #[must_use]
    pub fn store(mut self, folder: impl AsRef<Path>) -> Self {
        self.store = Store::Folder(folder.as_ref().to_owned());
        self
    }

    /// Keeps the journal in a part of the embedder's own.
    #[must_use]
    pub fn journal(mut self, journal: Box<dyn Journal>) -> Self {
        self.store = Store::Given(journal);
        self
    }

    /// Replaces the capability engine.
    #[must_use]
    pub fn authority(mut self, authority: Box<dyn Authority>) -> Self {
        self.authority = authority;
        self
    }

    /// Adds a component in place of the one that serves the same services.
    #[must_use]
    pub fn component(mut self, component: Box<dyn Component>) -> Self {
        let serves = component.manifest().serves;
        self.components.retain(|old| !old.manifest().serves.iter().any(|s| serves.contains(s)));
        self.components.push(component);
        self
    }

    /// Adds a provider in place of the one that serves the same services.
    #[must_use]
    pub fn provider(mut self, provider: Arc<dyn Provider>) -> Self {
        let serves = provider.serves();
        self.providers.retain(|old| !old.serves().iter().any(|service| serves.contains(service)));
        self.providers.push(provider);
        self
    }

    /// Gives processes a further folder, under the name of its mount: what is in one named `data`
    /// are the resources `fs:data/...`. The standard provider of files serves it.
    #[must_use]
    pub fn mount(mut self, name: &str, folder: Mounted) -> Self {
        self.mounts.insert(name.to_owned(), folder);
        self
    }

    /// Has a provider perform the calls on files of one mount, such as `workspace`: all that are
    /// about paths in it.
    #[must_use]
    pub fn mount_provider(mut self, name: &str, provider: Arc<dyn Provider>) -> Self {
        self.mount_providers.insert(name.to_owned(), provider);
        self
    }

    /// Adds a planner in place of the one of the same kind.
    #[must_use]
    pub fn planner(mut self, planner: Arc<dyn Planner>) -> Self {
        self.planners.retain(|old| old.kind() != planner.kind());
        self.planners.push(planner);
        self
    }

    /// Reads the time elsewhere.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Sets the limits of the edge.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Keeps processes out of a file or folder of the host's own, wherever it lies: they neither
    /// read nor change it, nor see it listed. The standard provider of files does so; the store is
    /// kept out of always.
    #[must_use]
    pub fn keep_out_of(mut self, path: impl AsRef<Path>) -> Self {
        self.kept_out.push(path.as_ref().to_owned());
        self
    }

    /// Sets what the standard provider of programs gives them from the host, and which layers of
    /// their confinement may be missing. What the runtime keeps out of is added.
    #[must_use]
    pub fn programs(mut self, config: ShellConfig) -> Self {
        self.programs = config;
        self
    }

    /// Lets programs run though the host's kernel lacks a layer of their confinement.
    #[must_use]
    pub fn programs_may_lack(mut self, layers: impl IntoIterator<Item = Layer>) -> Self {
        self.programs.may_lack.extend(layers);
        self
    }

    /// The parts as a kernel in which nothing has happened. What providers serve is no state.
    pub(crate) fn kernel(self) -> Result<Kernel, StartError> {
        Ok(Kernel::new(Parts::new(self.authority, self.components)?, []))
    }

    /// The component that decides, in which nothing has happened.
    pub(crate) fn into_authority(self) -> Box<dyn Authority> {
        self.authority
    }

    /// Has somebody told of each of the [`BOUNDARIES`](crate::boundary::BOUNDARIES), and of each
    /// step of a store in a folder, on the thread that passes it.
    #[must_use]
    pub fn on_boundary(mut self, observer: OnBoundary) -> Self {
        self.boundaries = Boundaries::watched(Some(observer));
        self
    }

    /// Keeps the compiled code of generated tools in this folder, which must be the user's own; if
    /// none is given, in `agent-libos/tools` where the user keeps caches.
    #[must_use]
    pub fn tool_cache(mut self, folder: impl AsRef<Path>) -> Self {
        self.tool_cache = Some(folder.as_ref().to_owned());
        self
    }

    /// Sets what requests over the network may reach, and the secrets of the host, which programs
    /// may be given too. The standard providers keep to it.
    #[must_use]
    pub fn http(mut self, config: HttpConfig) -> Self {
        self.http = config;
        self
    }

    /// Registers profiles of models, by name. Who may use one is a matter of grants.
    #[must_use]
    pub fn models(mut self, profiles: BTreeMap<String, Profile>) -> Self {
        self.models = profiles;
        self
    }

    /// Registers endpoints of JSON-RPC, which the standard provider serves.
    #[must_use]
    pub fn endpoints(mut self, endpoints: BTreeMap<String, EndpointSpec>) -> Self {
        self.endpoints = endpoints;
        self
    }

    /// Says which labels data has and how far it may go; without it, none and anywhere.
    #[must_use]
    pub fn labels(mut self, rules: LabelRules) -> Self {
        self.labels = rules;
        self
    }

    /// Opens the store for calls of the host only: no process runs and nothing that a crash left
    /// open is taken up, until [`Runtime::run_processes`].
    #[must_use]
    pub fn host_calls_only(mut self) -> Self {
        self.run_processes = false;
        self
    }

    /// Opens the store, folds the journal and starts the core. Must be called within a tokio
    /// runtime, on which planners and providers run.
    ///
    /// # Errors
    /// [`StartError`]; the store is as it was.
    pub fn start(self) -> Result<Runtime, StartError> {
        self.start_with(Vec::new())
    }

    /// The same, with a watcher that misses nothing.
    ///
    /// # Errors
    /// [`StartError`]; the store is as it was.
    pub fn start_watched(self) -> Result<(Runtime, Watch), StartError> {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        let runtime = self.start_with(vec![sender])?;
        let watch = Watch::new(receiver, Arc::clone(&runtime.blobs));
        Ok((runtime, watch))
    }

    fn start_with(
        self,
        watchers: Vec<tokio::sync::mpsc::UnboundedSender<crate::News>>,
    ) -> Result<Runtime, StartError> {
        let mut kept_out = self.kept_out;
        let boundaries = self.boundaries;
        boundaries.pass("start.open");
        let journal: Box<dyn Journal> = match self.store {
            Store::Memory => Box::new(MemoryJournal::new()),
            Store::Folder(folder) => {
                let journal = SqliteJournal::open_watched(
                    &folder,
                    JournalLimits::default(),
                    boundaries.observer(),
                )?;
                // A workspace may hold the store; its processes do not see it.
                kept_out.push(folder);
                Box::new(journal)
            }
            Store::Given(journal) => journal,
        };
        let files = FsProvider::with_mounts(self.mounts.clone());
        let files = kept_out.iter().cloned().fold(files, FsProvider::keep_out_of);
        // What another provider serves is no folder that a program could be given.
        let is_folder = |name: &String, _: &mut Mounted| !self.mount_providers.contains_key(name);
        let mut mounts = self.mounts;
        mounts.retain(is_folder);
        let mut providers = self.providers;
        let http = HttpProvider::new(self.http.clone());
        let host = HostNetwork::new(http.clone(), self.http.secrets.clone());
        let labels = self.endpoints.iter().fold(self.labels, |labels, (name, endpoint)| {
            labels.standing_for(libos_abi::rpc::methods(name), endpoint.url.resource())
        });
        for standard in [
            Arc::new(files) as Arc<dyn Provider>,
            Arc::new(ShellProvider::new(ShellConfig {
                mounts,
                kept_out,
                secrets: self.http.secrets.clone(),
                ..self.programs
            })),
            Arc::new(RpcProvider::new(self.endpoints, http.clone())?),
            Arc::new(LlmProvider::new(Arc::new(host), self.models)),
            Arc::new(http),
            Arc::new(Tools::new(self.tool_cache)),
        ] {
            let is_served = |service| providers.iter().any(|p| p.serves().contains(service));
            if !standard.serves().iter().any(is_served) {
                providers.push(standard);
            }
        }
        let providers = by_mount(providers, self.mount_providers);
        let mut provided: Vec<&'static str> =
            providers.iter().flat_map(|provider| provider.serves()).copied().collect();
        provided.push("audit");
        let parts = Parts::new(self.authority, self.components)?;
        let mut kernel = Kernel::new(parts, provided);
        kernel.set_label_rules(labels);
        boundaries.pass("start.fold");
        let mut each = |_| boundaries.pass("start.folded");
        let from =
            recovery::recover(journal.as_ref(), &mut kernel, journal.head().size, &mut each)?;
        let blobs = journal.blobs();
        let (inbox, messages) = inbox();
        let planners = self.planners;
        let runner =
            Runner::new(inbox.clone(), Arc::clone(&blobs), providers, planners, boundaries.clone());
        let mut core =
            Core::new(kernel, journal, messages, runner, self.clock, self.limits, boundaries);
        core.watch(watchers);
        core.recovered_from(from);
        let run_processes = self.run_processes;
        let thread = std::thread::Builder::new()
            .name("libos-core".into())
            .spawn(move || core.run(run_processes))
            .map_err(StartError::Thread)?;
        Ok(Runtime { inbox, blobs, thread: Some(thread) })
    }
}

/// The standard planners.
fn planners() -> Vec<Arc<dyn Planner>> {
    let mut planners = libos_planner::standard();
    planners.push(Arc::new(ModelPlanner::new(libos_tools::describe)));
    planners
}

/// Puts the providers of single mounts before that of all others.
fn by_mount(
    providers: Vec<Arc<dyn Provider>>,
    mounts: BTreeMap<String, Arc<dyn Provider>>,
) -> Vec<Arc<dyn Provider>> {
    let is_files = |provider: &Arc<dyn Provider>| provider.serves().contains(&"fs");
    let put_before = |others: Arc<dyn Provider>| -> Arc<dyn Provider> {
        match is_files(&others) && !mounts.is_empty() {
            true => Arc::new(ByMount { mounts: mounts.clone(), others }),
            false => others,
        }
    };
    providers.into_iter().map(put_before).collect()
}

/// The digest of the kernel state that a journal folds to, from its first record on and with the
/// standard parts. It changes nothing and runs nothing.
///
/// # Errors
/// [`StartError`] when the journal cannot be read or holds a record of another version.
pub fn replay_digest(journal: &dyn Journal) -> Result<Digest, StartError> {
    let mut kernel = Builder::new().kernel()?;
    recovery::fold(journal, &mut kernel, 0..journal.head().size, &mut |_| ())?;
    Ok(kernel.digest())
}

/// A runtime that has been started. Dropping it stops the core as [`shutdown`](Self::shutdown)
/// does, without telling how that went.
pub struct Runtime {
    inbox: Sender<Message>,
    blobs: Arc<dyn Blobs>,
    thread: Option<std::thread::JoinHandle<Result<Head, JournalError>>>,
}

impl Runtime {
    /// A port for the host's operator, under a name for the audit.
    #[must_use]
    pub fn port(&self, operator: &str) -> Arc<dyn Port> {
        Arc::new(self.host_port(operator))
    }

    /// The same as [`port`](Self::port), as its own type.
    #[must_use]
    pub fn host_port(&self, operator: &str) -> HostPort {
        HostPort {
            inbox: self.inbox.clone(),
            blobs: Arc::clone(&self.blobs),
            operator: operator.into(),
        }
    }

    /// Takes up what has not ended, in a runtime that was opened for calls of the host only: what
    /// was looked at before is how it was before anything ran.
    pub fn run_processes(&self) {
        // A core that has ended runs nothing, which every call then tells.
        drop(self.inbox.send(Message::RunProcesses));
    }

    /// News of everything that happens from now on, each once it is on disk.
    #[must_use]
    pub fn watch(&self) -> Watch {
        let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
        // A core that has ended closes the channel, which is what the watcher then sees.
        drop(self.inbox.send(Message::Watch(sender)));
        Watch::new(receiver, Arc::clone(&self.blobs))
    }

    /// A digest of the whole kernel state once everything so far is in the journal.
    /// [`replay_digest`] of the journal as it is at that moment gives the same: this is how replay
    /// is verified.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] when the core has stopped.
    pub async fn digest(&self) -> Result<Digest, Fault> {
        Ok(state(&self.inbox).await?.digest)
    }

    /// Stops the core: runs and effects under way are dropped, everything recorded is on disk.
    ///
    /// # Errors
    /// [`JournalError`] when the core had to stop because the store failed, or fails now.
    pub fn shutdown(mut self) -> Result<Option<Head>, JournalError> {
        self.stop()
    }

    fn stop(&mut self) -> Result<Option<Head>, JournalError> {
        // A core that has ended already needs no telling.
        drop(self.inbox.send(Message::Shutdown));
        match self.thread.take().map(std::thread::JoinHandle::join) {
            None => Ok(None),
            Some(Ok(result)) => result.map(Some),
            Some(Err(panic)) => std::panic::resume_unwind(panic),
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        if self.thread.is_some()
            && !std::thread::panicking()
            && let Err(error) = self.stop()
        {
            tracing::error!(%error, "the store failed while the runtime stopped");
        }
    }
}

/// A port of the host's operator.
#[derive(Clone)]
pub struct HostPort {
    inbox: Sender<Message>,
    blobs: Arc<dyn Blobs>,
    operator: Arc<str>,
}

impl HostPort {
    /// The same port under another name.
    #[must_use]
    pub fn named(&self, operator: &str) -> Self {
        Self { operator: operator.into(), ..self.clone() }
    }
}

impl HostPort {
    /// The state once everything so far is on disk.
    ///
    /// # Errors
    /// [`Fault::StoreUnavailable`] when the core has stopped.
    pub async fn state(&self) -> Result<State, Fault> {
        state(&self.inbox).await
    }
}

impl Port for HostPort {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let from = Submitter::Host(Arc::clone(&self.operator));
        Box::pin(submit(&self.inbox, &self.blobs, from, call))
    }
}

async fn state(inbox: &Sender<Message>) -> Result<State, Fault> {
    let (reply, state) = oneshot::channel();
    inbox.send(Message::State(reply)).map_err(|_| gone())?;
    state.await.map_err(|_| gone())
}

fn gone() -> Fault {
    Fault::StoreUnavailable { what: "the runtime has stopped".into() }
}

/// Submits a call to the core and waits for what it ends in. A process whose run is over is not
/// answered: an answer could only come from here, and a tool that is about to be dropped would
/// leave it as its own outcome.
pub(crate) async fn submit(
    inbox: &Sender<Message>,
    blobs: &Arc<dyn Blobs>,
    from: Submitter,
    call: Syscall,
) -> Outcome {
    let (reply, outcome) = oneshot::channel();
    let is_host = matches!(from, Submitter::Host(_));
    inbox.send(Message::Submit { from, call, reply }).map_err(|_| gone())?;
    match outcome.await {
        Ok(outcome) => hydrate::outcome(blobs.as_ref(), outcome),
        Err(_) if is_host => Err(gone().into()),
        Err(_) => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_abi::{Pid, event::Step, process};

    /// What a caller gets whose ticket is dropped; nothing if it goes on waiting.
    async fn forgotten(from: Submitter) -> Option<Outcome> {
        let (sender, mut messages) = inbox();
        let blobs = MemoryJournal::new().blobs();
        let waits = submit(&sender, &blobs, from, process::GetCwd {}.into());
        let forgets = async {
            drop(messages.try_take());
            // The caller is polled before this each time, and would be done.
            for _ in 0..8 {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            outcome = waits => Some(outcome),
            () = forgets => None,
        }
    }

    #[tokio::test]
    async fn a_forgotten_call_of_a_process_is_not_answered_and_one_of_the_host_is() {
        let step = Step { parent: None, index: 1 };
        let process = Submitter::Process { pid: Pid(1), run: 1, step };
        assert_eq!(forgotten(process).await, None);
        let host = forgotten(Submitter::Host("owner".into())).await;
        assert_eq!(
            host.map(|outcome| outcome.map_err(|error| error.code())),
            Some(Err("store_unavailable"))
        );
    }
}
