//! The JavaScript engine, started once and kept as it stands.
//!
//! Owns the engine's Wasm module, the sources of the runtime that tools meet, and the snapshot of
//! both: the engine is started with the runtime, and its memory becomes the initial memory of a
//! module of its own. So an instance of it begins where the engine has already started.

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use libos_abi::docs::open_services;
use serde_json::{Map, Value};
use wasmtime::{Config, Engine, Instance, Linker, Module, OptLevel, Store, Val};
use wasmtime_wizer::{InstanceState, SnapshotVal, ValType, Wizer};

use crate::{cache::Cache, compiled, engine::Machine};

/// The engine. `cargo xtask guest` builds it from the sources beside it.
const ENGINE: &[u8] = include_bytes!("../../guest/javascript.wasm");
/// What is missing in the engine of what tools expect, in the order in which it is needed.
const POLYFILLS: [&str; 4] = [
    include_str!("text.js"),
    include_str!("url.js"),
    include_str!("clone.js"),
    include_str!("crypto.js"),
];
const RUNTIME: &str = include_str!("runtime.js");

/// The compiled snapshot, from the cache if it is there. Without one it takes seconds.
pub(crate) fn module(machine: &Machine, cache: &Cache) -> wasmtime::Result<Module> {
    let source = runtime();
    let key = compiled::key::<Module>(machine, &[ENGINE, source.as_bytes()]);
    let wasm = || taken(&source);
    compiled::obtain(machine, cache, key, wasm, |_| Ok(()))
}

/// The whole runtime as one expression: a function of what the engine hands it.
fn runtime() -> String {
    let polyfills = POLYFILLS.map(|source| format!("({})(globalThis);", expression(source)));
    let runtime = expression(RUNTIME);
    let services = services();
    let polyfills = polyfills.concat();
    format!("(function (door, help) {{{polyfills} return ({runtime})(door, help, {services}); }})")
}

/// The function expression that a source ends with, without the comments before it.
fn expression(source: &str) -> &str {
    let start = source.find("\n(function").map_or(0, |at| at + 1);
    source[start..].trim_end()
}

/// The calls that processes can make, by service. What is not bound can still be named in
/// `libos.syscall`: bindings are a convenience.
fn services() -> Value {
    let services = open_services().map(|(service, calls)| {
        let methods: Vec<Value> = calls.iter().map(|call| call.method.into()).collect();
        (service.name.to_owned(), Value::from(methods))
    });
    services.collect::<Map<_, _>>().into()
}

/// Starts the engine with a runtime and takes its snapshot, a Wasm module.
fn taken(runtime: &str) -> wasmtime::Result<Vec<u8>> {
    let wizer = Wizer::new();
    let (context, instrumented) = wizer.instrument(ENGINE)?;
    // It runs once, for a millisecond: what takes time here is its compiler.
    let mut quick = Config::new();
    quick.cranelift_opt_level(OptLevel::None).cranelift_nan_canonicalization(true);
    let engine = &Engine::new(&quick)?;
    let mut store = Store::new(engine, ());
    let mut linker = Linker::new(engine);
    linker.func_wrap("libos", "syscall", |_: u32, _: u32| -> wasmtime::Result<u64> {
        wasmtime::bail!("the runtime makes a system call while it starts")
    })?;
    let instance = linker.instantiate(&mut store, &Module::new(engine, instrumented)?)?;
    boot(&mut store, &instance, runtime)?;
    let mut started = Started { store, instance };
    let snapshot = pin!(wizer.snapshot(&context, &mut started));
    match snapshot.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(module) => module,
        Poll::Pending => wasmtime::bail!("the snapshot waits for something"),
    }
}

fn boot(store: &mut Store<()>, instance: &Instance, runtime: &str) -> wasmtime::Result<()> {
    let length = u32::try_from(runtime.len())?;
    let alloc = instance.get_typed_func::<u32, u32>(&mut *store, "libos_alloc")?;
    let place = alloc.call(&mut *store, length)?;
    let memory = instance.get_memory(&mut *store, "memory");
    let memory = memory.ok_or_else(|| wasmtime::format_err!("the engine has no memory"))?;
    memory.write(&mut *store, place as usize, runtime.as_bytes())?;
    let boot = instance.get_typed_func::<(u32, u32), ()>(&mut *store, "libos_boot")?;
    boot.call(&mut *store, (place, length))
}

/// The engine, started.
struct Started {
    store: Store<()>,
    instance: Instance,
}

impl InstanceState for Started {
    async fn global_get(&mut self, name: &str, _: ValType) -> SnapshotVal {
        let global = self.instance.get_global(&mut self.store, name);
        let global = global.expect("the instrumented module exports its globals");
        match global.get(&mut self.store) {
            Val::I32(value) => SnapshotVal::I32(value),
            Val::I64(value) => SnapshotVal::I64(value),
            Val::F32(bits) => SnapshotVal::F32(bits),
            Val::F64(bits) => SnapshotVal::F64(bits),
            Val::V128(value) => SnapshotVal::V128(value.as_u128()),
            _ => unreachable!("a module with a global of references is refused before"),
        }
    }

    async fn memory_contents(&mut self, name: &str, contents: impl FnOnce(&[u8]) + Send) {
        let memory = self.instance.get_memory(&mut self.store, name);
        contents(memory.expect("the instrumented module exports its memory").data(&self.store));
    }
}
