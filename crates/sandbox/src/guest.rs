//! What the host keeps of one run: its port, its limits, what it has used, its phase.
//!
//! Owns the account of a run and the judgement of each crossing. It never decides what a tool may
//! do; it decides how much.

use std::sync::Arc;

use libos_port::Port;
use serde_json::Value;
use wasmtime::{Engine, ResourceLimiter, Store, Trap, UpdateDeadline};

use crate::{
    Limited, RunLimits, ToolError,
    boundary::{self, Called, Record},
};

/// How many handles a component may hold: no call gives one, its own resources take some.
const COMPONENT_HANDLES_MAX: usize = 4096;
/// How the engine says that a component handed over more than the request may have.
const TOO_MUCH: &str = "fuel allocated for hostcalls has been exhausted";

/// What a run has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Fuel. The same run takes the same every time.
    pub fuel: u64,
    /// System calls.
    pub syscalls: u32,
    /// Linear memory at its largest, in bytes.
    pub memory_bytes: usize,
}

/// When a tool may make a system call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Its instance is being made, or the host prepares its arguments.
    Starting,
    /// Its entry point runs.
    Running,
    /// A system call of it is under way.
    Calling,
}

/// The host's side of one run: the data of its store.
pub(crate) struct Guest {
    limits: RunLimits,
    stack_bytes: usize,
    port: Arc<dyn Port>,
    phase: Phase,
    record: Record,
    syscalls: u32,
    crossed_bytes: u64,
    ticks_left: u64,
    memory_bytes: usize,
    table_elements: usize,
}

impl Guest {
    /// `limits` are those of this run; `tick_ms` and `stack_bytes` those of the engine.
    pub(crate) fn new(
        port: Arc<dyn Port>,
        limits: RunLimits,
        tick_ms: u64,
        stack_bytes: usize,
    ) -> Self {
        Self {
            limits,
            stack_bytes,
            port,
            phase: Phase::Starting,
            record: Record::default(),
            syscalls: 0,
            crossed_bytes: 0,
            ticks_left: limits.compute_ms / tick_ms.max(1),
            memory_bytes: 0,
            table_elements: 0,
        }
    }

    /// A store for this run, with its fuel and its deadline set.
    pub(crate) fn store(self, engine: &Engine) -> Store<Self> {
        let fuel = self.limits.fuel;
        let request_bytes = self.limits.request_bytes_max;
        let mut store = Store::new(engine, self);
        store.limiter(|guest| guest);
        store.set_fuel(fuel).expect("the engine is configured to meter fuel");
        store.set_hostcall_fuel(request_bytes);
        store.set_max_component_handles(COMPONENT_HANDLES_MAX);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|mut cx| cx.data_mut().tick());
        store
    }

    pub(crate) fn limits(&self) -> &RunLimits {
        &self.limits
    }

    pub(crate) fn record(&self) -> &Record {
        &self.record
    }

    pub(crate) fn usage(&self, fuel_left: u64) -> Usage {
        Usage {
            fuel: self.limits.fuel - fuel_left,
            syscalls: self.syscalls,
            memory_bytes: self.memory_bytes,
        }
    }

    /// The entry point is about to run: from here on it may make system calls.
    pub(crate) fn begin(&mut self) {
        self.phase = Phase::Running;
    }

    /// A system call begins.
    pub(crate) fn enter(&mut self) -> Result<(), ToolError> {
        match self.phase {
            Phase::Running => {
                self.phase = Phase::Calling;
                Ok(())
            }
            Phase::Starting => Err(ToolError::CallOutOfTurn { when: "before it was called" }),
            Phase::Calling => Err(ToolError::CallOutOfTurn { when: "within another" }),
        }
    }

    /// The system call is over and its reply is handed over.
    pub(crate) fn leave(&mut self) {
        self.phase = Phase::Running;
    }

    /// Counts bytes of a request before the host looks at them.
    pub(crate) fn requested(&mut self, bytes: usize) -> Result<(), ToolError> {
        if bytes > self.limits.request_bytes_max {
            return Err(over(Limited::Request, self.limits.request_bytes_max));
        }
        self.crossed(bytes)
    }

    /// Serves a request; gives the text of the reply.
    pub(crate) async fn serve(&mut self, request: &[u8]) -> Result<String, ToolError> {
        let batch = match boundary::read(request) {
            Ok(batch) => batch,
            Err(error) => {
                self.count(1)?;
                return Ok(boundary::refusal(error, &mut self.record));
            }
        };
        self.count(batch.len().max(1))?;
        let outcomes = boundary::submit(&*self.port, batch, self.limits.batch_calls_max).await;
        let reply = boundary::reply(outcomes, &mut self.record, self.limits.reply_bytes_max);
        let reply = reply.ok_or_else(|| over(Limited::Reply, self.limits.reply_bytes_max))?;
        self.crossed(reply.len())?;
        Ok(reply)
    }

    /// Makes one call; gives the JSON of its reply or of its error.
    pub(crate) async fn serve_one(
        &mut self,
        called: Called,
    ) -> Result<Result<Value, Value>, ToolError> {
        self.count(1)?;
        let mut outcomes = boundary::submit(&*self.port, vec![called], 1).await;
        let (name, outcome) = outcomes.pop().expect("one call has one outcome");
        let answer = boundary::told(&name, outcome, &mut self.record);
        let (Ok(json) | Err(json)) = &answer;
        let bytes = json.to_string().len();
        if bytes > self.limits.reply_bytes_max {
            return Err(over(Limited::Reply, self.limits.reply_bytes_max));
        }
        self.crossed(bytes)?;
        Ok(answer)
    }

    fn count(&mut self, calls: usize) -> Result<(), ToolError> {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX);
        self.syscalls = self.syscalls.saturating_add(calls);
        match self.syscalls > self.limits.syscalls_max {
            true => Err(over(Limited::Syscalls, self.limits.syscalls_max as usize)),
            false => Ok(()),
        }
    }

    fn crossed(&mut self, bytes: usize) -> Result<(), ToolError> {
        self.crossed_bytes = self.crossed_bytes.saturating_add(bytes as u64);
        match self.crossed_bytes > self.limits.crossing_bytes_max {
            true => Err(ToolError::Limit {
                limit: Limited::Crossing,
                max: self.limits.crossing_bytes_max,
            }),
            false => Ok(()),
        }
    }

    /// A tick passed while it computed: it makes room for others, or its time is up.
    fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        match self.ticks_left.checked_sub(1) {
            Some(left) => {
                self.ticks_left = left;
                Ok(UpdateDeadline::Yield(1))
            }
            None => {
                let max = self.limits.compute_ms;
                Err(wasmtime::Error::new(ToolError::Limit { limit: Limited::Compute, max }))
            }
        }
    }

    /// What an error of the engine means for the run.
    pub(crate) fn judged(&self, error: &wasmtime::Error) -> ToolError {
        if let Some(error) = error.downcast_ref::<ToolError>() {
            return error.clone();
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::OutOfFuel) => {
                ToolError::Limit { limit: Limited::Fuel, max: self.limits.fuel }
            }
            Some(Trap::StackOverflow) => over(Limited::Stack, self.stack_bytes),
            Some(trap) => {
                let what = trap.to_string();
                let what = what.strip_prefix("wasm trap: ").unwrap_or(&what).to_owned();
                ToolError::Trapped { what }
            }
            None if error.is::<wasmtime::PoolConcurrencyLimitError>() => ToolError::Busy,
            None if error.root_cause().to_string().contains(TOO_MUCH) => {
                over(Limited::Request, self.limits.request_bytes_max)
            }
            None => {
                tracing::error!(error = format!("{error:#}"), "a tool could not be run");
                ToolError::Internal
            }
        }
    }
}

/// A limit that was met.
pub(crate) fn over(limit: Limited, max: usize) -> ToolError {
    ToolError::Limit { limit, max: max as u64 }
}

impl ResourceLimiter for Guest {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = self.memory_bytes.saturating_add(desired.saturating_sub(current));
        if bytes > self.limits.memory_bytes_max {
            let error = over(Limited::Memory, self.limits.memory_bytes_max);
            return Err(wasmtime::Error::new(error));
        }
        self.memory_bytes = bytes;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self.table_elements.saturating_add(desired.saturating_sub(current));
        if elements > self.limits.table_elements_max {
            let error = over(Limited::Tables, self.limits.table_elements_max);
            return Err(wasmtime::Error::new(error));
        }
        self.table_elements = elements;
        Ok(true)
    }

    fn instances(&self) -> usize {
        self.limits.instances_max
    }
}
