//! The Wasm engine: its configuration, its pool of slots, the clock of running tools.
//!
//! Owns the one `wasmtime` engine of a sandbox and the thread that ticks while a tool runs. What
//! differs between two hosts may not show in a tool: no threads, no relaxed arithmetic, one bit
//! pattern for what is no number.

use std::{
    hash::{Hash as _, Hasher},
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard},
    time::Duration,
};

use libos_abi::Digest;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig,
};

use crate::{Limits, SetupError};

/// How much of a slot's memory stays mapped after a run, in bytes: what a small script touches,
/// so that the next run takes no page faults for it.
const KEPT_RESIDENT_BYTES: usize = 2 << 20;
/// How many free slots keep that memory.
const WARM_SLOTS: u32 = 8;
/// The most bytes that the host keeps for an instance: its tables of functions, globals, memories.
const INSTANCE_BYTES_MAX: usize = 1 << 20;

/// The engine with its clock.
pub(crate) struct Machine {
    pub(crate) engine: Engine,
    pub(crate) limits: Limits,
    clock: Arc<Clock>,
}

impl Machine {
    pub(crate) fn new(limits: Limits) -> Result<Self, SetupError> {
        let engine = Engine::new(&config(&limits))
            .map_err(|error| SetupError::Engine { what: format!("{error:#}") })?;
        let clock = Arc::new(Clock::default());
        let tick = Duration::from_millis(limits.tick_ms);
        start(engine.weak(), Arc::clone(&clock), tick).map_err(SetupError::Thread)?;
        Ok(Self { engine, limits, clock })
    }

    /// Keeps the clock ticking until it is dropped.
    pub(crate) fn running(&self) -> Running {
        self.clock.lock().running += 1;
        self.clock.changed.notify_one();
        Running(Arc::clone(&self.clock))
    }

    /// What compiled code depends on besides its source: the engine's version, its configuration,
    /// the features of this processor.
    pub(crate) fn fingerprint(&self) -> Digest {
        let mut hasher = Collected::default();
        self.engine.precompile_compatibility_hash().hash(&mut hasher);
        Digest::of(&hasher.0)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.clock.lock().over = true;
        self.clock.changed.notify_one();
    }
}

fn config(limits: &Limits) -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .consume_fuel(true)
        .max_wasm_stack(limits.stack_bytes)
        .async_stack_size(limits.stack_bytes + limits.host_stack_bytes)
        .memory_init_cow(true)
        .wasm_component_model(true)
        .concurrency_support(false)
        .cranelift_nan_canonicalization(true)
        .wasm_relaxed_simd(false)
        .wasm_multi_memory(false)
        .wasm_memory64(false)
        .allocation_strategy(InstanceAllocationStrategy::Pooling(pool(limits)));
    config
}

fn pool(limits: &Limits) -> PoolingAllocationConfig {
    let instances = u32::try_from(limits.run.instances_max).unwrap_or(u32::MAX);
    // One more for the script that is being compiled.
    let slots = limits.slots.saturating_add(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(slots)
        .total_core_instances(slots.saturating_mul(instances))
        .total_memories(slots.saturating_mul(limits.memories_max))
        .total_tables(slots.saturating_mul(limits.tables_max))
        .total_stacks(slots)
        .max_core_instances_per_component(instances)
        .max_memories_per_component(limits.memories_max)
        .max_tables_per_component(limits.tables_max)
        .max_memories_per_module(limits.memories_max)
        .max_tables_per_module(limits.tables_max)
        .max_memory_size(limits.run.memory_bytes_max)
        .table_elements(limits.run.table_elements_max)
        .max_core_instance_size(INSTANCE_BYTES_MAX)
        .max_component_instance_size(INSTANCE_BYTES_MAX)
        .max_unused_warm_slots(WARM_SLOTS)
        .linear_memory_keep_resident(KEPT_RESIDENT_BYTES)
        .pagemap_scan(Enabled::Auto);
    pool
}

/// A hasher that keeps what it is given.
#[derive(Default)]
struct Collected(Vec<u8>);

impl Hasher for Collected {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
    fn finish(&self) -> u64 {
        0
    }
}

/// Whether there is anything to tick for.
#[derive(Default)]
struct Clock {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    over: bool,
}

impl Clock {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of the clock panics")
    }
}

/// A run that the clock ticks for.
pub(crate) struct Running(Arc<Clock>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

/// Ticks while something runs, sleeps while nothing does, ends with its engine.
fn start(engine: EngineWeak, clock: Arc<Clock>, tick: Duration) -> io::Result<()> {
    let ticking = move || {
        let mut state = clock.lock();
        while !state.over {
            if state.running == 0 {
                state = clock.changed.wait(state).expect("no holder of the clock panics");
                continue;
            }
            let waited = clock.changed.wait_timeout_while(state, tick, |state| !state.over);
            state = waited.expect("no holder of the clock panics").0;
            let Some(engine) = engine.upgrade() else {
                return;
            };
            engine.increment_epoch();
        }
    };
    std::thread::Builder::new().name("libos-sandbox-clock".into()).spawn(ticking).map(drop)
}
