//! The sandbox: what compiles sources into tools and runs them.

use std::{collections::BTreeSet, path::Path, sync::Arc};

use libos_abi::{Digest, Fault, Outcome, Syscall};
use libos_port::{BoxFuture, Port};
use serde_json::Value;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use wasmtime::{Engine, InstancePre, Linker, Module, Store, component::Component};

use crate::{
    CompileError, Language, Limited, Limits, Needs, RunLimits, SetupError, ToolError, Usage,
    cache::Cache,
    compiled,
    component::Imported,
    engine::Machine,
    envelope::Ended,
    guest::{Guest, over},
    module,
    script::{self, Script, ScriptEngine},
};

/// A sandbox for tools that agents wrote. Cheap to clone; the clones are one sandbox.
///
/// It must be used inside a tokio runtime.
#[derive(Clone)]
pub struct Sandbox(Arc<Inner>);

struct Inner {
    machine: Machine,
    cache: Cache,
    linker: Linker<Guest>,
    /// Loaded when the first script is compiled.
    scripts: OnceCell<ScriptEngine>,
    slots: Semaphore,
    /// Compilers take a core and are not interrupted: one at a time. Its holder may use one slot
    /// more than runs do.
    compiling: Arc<Semaphore>,
}

/// A tool that was compiled. Cheap to clone.
#[derive(Clone)]
pub struct Artifact {
    language: Language,
    digest: Digest,
    program: Program,
}

#[derive(Clone)]
enum Program {
    Script(Script),
    Module(InstancePre<Guest>),
    Component(Imported),
}

/// One run of a tool.
#[derive(Clone)]
pub struct Run {
    /// The arguments, as JSON.
    pub args: String,
    /// The calls it declares. A component is linked with these and no other; the calls of other
    /// tools all reach the port, which knows what the tool may do.
    pub needs: Needs,
    /// The only way out. Every system call of the tool is submitted here, in the order in which
    /// the tool makes them; who the caller is and what it may do is the port's matter.
    pub port: Arc<dyn Port>,
    /// What random numbers follow from. The same tool with the same arguments, replies and seed
    /// does the same.
    pub seed: u64,
    /// What it may take, within the limits of the sandbox.
    pub limits: RunLimits,
    /// What to do when every slot is taken.
    pub when_full: WhenFull,
}

/// What a run does when every slot of the sandbox is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It waits for another to end.
    #[default]
    Wait,
    /// It ends as [`ToolError::Busy`]. For a run that a tool waits for: that tool holds a slot, so
    /// that a wait could last for ever.
    Refuse,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its result, or why there is none.
    pub outcome: Result<Value, ToolError>,
    /// What the tool printed: its own words.
    pub logs: Vec<String>,
    /// What it used.
    pub usage: Usage,
}

/// What a sandbox holds for tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Occupied {
    /// Instances of modules and components.
    pub instances: u64,
    /// Memories.
    pub memories: usize,
    /// Tables.
    pub tables: usize,
    /// Stacks.
    pub stacks: usize,
}

impl Artifact {
    /// The language of its source.
    #[must_use]
    pub fn language(&self) -> Language {
        self.language
    }

    /// The digest of its source.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The calls that it imports by name: those of a component. Other tools name theirs when they
    /// make them.
    #[must_use]
    pub fn imports(&self) -> Option<BTreeSet<&'static str>> {
        match &self.program {
            Program::Component(imported) => Some(imported.calls()),
            Program::Script(_) | Program::Module(_) => None,
        }
    }
}

impl Sandbox {
    /// A sandbox that keeps what it compiles in a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`SetupError`], when the engine finds no room or the folder is not the user's own.
    pub fn new(limits: Limits, cache: &Path) -> Result<Self, SetupError> {
        let cache = Cache::open(cache, limits.cache_bytes_max)?;
        let machine = Machine::new(limits)?;
        let linker = module::linker(&machine.engine)
            .map_err(|error| SetupError::Engine { what: format!("{error:#}") })?;
        let slots = Semaphore::new(limits.slots as usize);
        let (scripts, compiling) = (OnceCell::new(), Arc::new(Semaphore::new(1)));
        Ok(Self(Arc::new(Inner { machine, cache, linker, scripts, slots, compiling })))
    }

    /// Its limits.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.0.machine.limits
    }

    /// What its pool holds for tools at this moment.
    #[must_use]
    pub fn occupied(&self) -> Occupied {
        let metrics = self.0.machine.engine.pooling_allocator_metrics();
        metrics.map_or(Occupied::default(), |metrics| Occupied {
            instances: metrics.core_instances() + metrics.component_instances(),
            memories: metrics.memories(),
            tables: metrics.tables(),
            stacks: metrics.stacks(),
        })
    }

    /// Compiles a source: text, or for modules and components their binary form as well.
    ///
    /// # Errors
    /// [`CompileError`] for a source that makes no tool.
    pub async fn compile(
        &self,
        language: Language,
        source: &[u8],
    ) -> Result<Artifact, CompileError> {
        let limit = match language {
            Language::JavaScript => self.limits().script_bytes_max,
            Language::TypeScript => self.limits().typescript_bytes_max,
            Language::Module => self.limits().module_bytes_max,
            Language::Component => self.limits().component_bytes_max,
        };
        if source.len() > limit {
            let (bytes, language) = (source.len(), language.name());
            return Err(CompileError::TooLarge { bytes, limit, language });
        }
        let program = match language {
            Language::JavaScript => Program::Script(Script::plain(utf8(source)?)),
            Language::TypeScript => Program::Script(self.stripped(utf8(source)?).await?),
            Language::Module => Program::Module(self.module(source).await?),
            Language::Component => Program::Component(self.component(source).await?),
        };
        if let Program::Script(script) = &program {
            self.check(script).await?;
        }
        Ok(Artifact { language, digest: Digest::of(source), program })
    }

    async fn stripped(&self, source: &str) -> Result<Script, CompileError> {
        let (stack_bytes, limits) = (script::stack_bytes(source), *self.limits());
        let source = source.to_owned();
        let stripped = self.compiling(stack_bytes, move |_| script::strip(&source, &limits)).await;
        stripped?.map(Script::from)
    }

    async fn check(&self, script: &Script) -> Result<(), CompileError> {
        let scripts = self.scripts().await?;
        let _running = self.0.machine.running();
        let _turn = self.0.compiling.acquire().await.map_err(|_| NoThread)?;
        scripts.check(&mut self.guest_for_nobody(), script).await
    }

    async fn module(&self, source: &[u8]) -> Result<InstancePre<Guest>, CompileError> {
        let source = source.to_vec();
        let compiled = self.compiling(COMPILER_STACK_BYTES, move |inner| {
            let key = compiled::key::<Module>(&inner.machine, &[&source]);
            let wasm = || Ok(source.clone());
            let module = compiled::obtain(&inner.machine, &inner.cache, key, wasm, module::check)?;
            Ok(inner.linker.instantiate_pre(&module)?)
        });
        compiled.await?
    }

    async fn component(&self, source: &[u8]) -> Result<Imported, CompileError> {
        let source = source.to_vec();
        let compiled = self.compiling(COMPILER_STACK_BYTES, move |inner| {
            let engine = &inner.machine.engine;
            let key = compiled::key::<Component>(&inner.machine, &[&source]);
            let wasm = || Ok(source.clone());
            let check = |component: &Component| Imported::new(engine, component.clone()).map(drop);
            let component = compiled::obtain(&inner.machine, &inner.cache, key, wasm, check)?;
            Imported::new(engine, component)
        });
        compiled.await?
    }

    /// The engine of scripts, loaded when it is needed first.
    async fn scripts(&self) -> Result<&ScriptEngine, NoThread> {
        let load = async || {
            let loaded = self.compiling(COMPILER_STACK_BYTES, |inner| {
                ScriptEngine::load(&inner.machine, &inner.cache, &inner.linker)
            });
            loaded.await?.map_err(|error| {
                tracing::error!(error = format!("{error:#}"), "the script engine does not load");
                NoThread
            })
        };
        self.0.scripts.get_or_try_init(load).await
    }

    /// Does what takes long, or a deep stack, on a thread of its own.
    async fn compiling<T: Send + 'static>(
        &self,
        stack_bytes: usize,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, NoThread> {
        // The thread holds it, whoever still waits for what it makes.
        let turn = Arc::clone(&self.0.compiling).acquire_owned().await.map_err(|_| NoThread)?;
        let (sender, receiver) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        let thread = std::thread::Builder::new().name("libos-compiler".into());
        let started = thread.stack_size(stack_bytes).spawn(move || {
            let made = work(&inner);
            drop(turn);
            // Nobody may be left to take it.
            drop(sender.send(made));
        });
        started.map(drop).map_err(|error| {
            tracing::error!(%error, "a thread for a compiler cannot be started");
            NoThread
        })?;
        receiver.await.map_err(|_| NoThread)
    }

    fn guest(&self, port: Arc<dyn Port>, limits: RunLimits) -> Guest {
        let Limits { tick_ms, stack_bytes, run, .. } = *self.limits();
        Guest::new(port, run.tightened(limits), tick_ms, stack_bytes)
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.0.machine.engine
    }

    /// A store for what makes no system calls.
    pub(crate) fn guest_for_nobody(&self) -> Store<Guest> {
        self.guest(Arc::new(NoPort), self.limits().run).store(self.engine())
    }

    /// Makes an instance of the script engine.
    pub(crate) async fn instantiate_script(
        &self,
        store: &mut Store<Guest>,
    ) -> Result<(), CompileError> {
        Ok(self.scripts().await?.instantiate(store).await?)
    }

    /// Runs a tool in a fresh instance. Dropping the future ends it.
    pub async fn run(&self, artifact: &Artifact, run: Run) -> Report {
        let Run { args, needs, port, seed, limits, when_full } = run;
        let guest = self.guest(port, limits);
        let args_bytes_max = guest.limits().args_bytes_max;
        if args.len() > args_bytes_max {
            return Report::refused(over(Limited::Arguments, args_bytes_max));
        }
        let slot = match when_full {
            WhenFull::Wait => self.0.slots.acquire().await.ok(),
            WhenFull::Refuse => self.0.slots.try_acquire().ok(),
        };
        let Some(_slot) = slot else {
            return Report::refused(ToolError::Busy);
        };
        let _running = self.0.machine.running();
        let engine = self.engine();
        let mut store = guest.store(engine);
        let ended = match &artifact.program {
            Program::Script(script) => match self.scripts().await {
                Ok(scripts) => scripts.run(&mut store, script, &args, seed).await,
                Err(NoThread) => ToolError::Internal.into(),
            },
            Program::Module(pre) => module::run(pre, &mut store, &args).await,
            Program::Component(imported) => {
                let outcome = imported.run(&needs, engine, &mut store, &args).await;
                Ended { outcome, logs: Vec::new() }
            }
        };
        let usage = store.data().usage(store.get_fuel().unwrap_or_default());
        Report { outcome: ended.outcome, logs: ended.logs, usage }
    }
}

/// The stack of a thread that compiles Wasm.
const COMPILER_STACK_BYTES: usize = 16 << 20;

/// A thread or the engine could not be had; the log has more.
#[derive(Debug)]
struct NoThread;

impl From<NoThread> for CompileError {
    fn from(_: NoThread) -> Self {
        Self::Internal
    }
}

impl Report {
    /// A run that did not begin.
    fn refused(error: ToolError) -> Self {
        Self { outcome: Err(error), logs: Vec::new(), usage: Usage::default() }
    }
}

fn utf8(source: &[u8]) -> Result<&str, CompileError> {
    str::from_utf8(source).map_err(|error| CompileError::Syntax {
        at: None,
        message: format!("it is no UTF-8 from byte {} on", error.valid_up_to()),
    })
}

/// The port of a script that is only looked at.
struct NoPort;

impl Port for NoPort {
    fn submit(&self, _: Syscall) -> BoxFuture<'_, Outcome> {
        Box::pin(async { Err(Fault::Cancelled.into()) })
    }
}
