//! Compiling, with the cache in front of it.
//!
//! The one place that loads native code from bytes. They are the engine's own output of a moment
//! ago, or a file of the cache that was found whole; never anything that an agent gave.
#![allow(unsafe_code, reason = "native code is loaded; see above for where it comes from")]

use libos_abi::Digest;
use wasmtime::{Engine, Module, component::Component};

use crate::{cache::Cache, engine::Machine};

/// What can be compiled, kept and loaded.
pub(crate) trait Compiled: Sized {
    /// Tells the keys of different kinds apart.
    const KIND: &'static str;

    /// Compiles Wasm, as text or binary.
    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>>;

    /// Loads what [`compile`](Self::compile) gave.
    ///
    /// # Safety
    /// `code` is what `compile` gave, unchanged.
    unsafe fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self>;
}

impl Compiled for Module {
    const KIND: &'static str = "module";

    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        engine.precompile_module(wasm)
    }

    unsafe fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { Self::deserialize(engine, code) }
    }
}

impl Compiled for Component {
    const KIND: &'static str = "component";

    fn compile(engine: &Engine, wasm: &[u8]) -> wasmtime::Result<Vec<u8>> {
        engine.precompile_component(wasm)
    }

    unsafe fn load(engine: &Engine, code: &[u8]) -> wasmtime::Result<Self> {
        // SAFETY: the caller keeps the contract, which is the same.
        unsafe { Self::deserialize(engine, code) }
    }
}

/// The key of what is compiled from `parts` on this machine.
pub(crate) fn key<T: Compiled>(machine: &Machine, parts: &[&[u8]]) -> Digest {
    let mut all = T::KIND.as_bytes().to_vec();
    all.extend_from_slice(&machine.fingerprint().0);
    for part in parts {
        all.extend_from_slice(&Digest::of(part).0);
    }
    Digest::of(&all)
}

/// Takes from the cache what is kept under `key`, or compiles what `wasm` gives and keeps it.
///
/// It takes as long as the compiler does. Fails with `E` where `check` refuses, and then keeps
/// nothing.
pub(crate) fn obtain<T: Compiled, E: From<wasmtime::Error>>(
    machine: &Machine,
    cache: &Cache,
    key: Digest,
    wasm: impl FnOnce() -> wasmtime::Result<Vec<u8>>,
    check: impl Fn(&T) -> Result<(), E>,
) -> Result<T, E> {
    if let Some(code) = cache.load(key) {
        // SAFETY: the cache is closed to others, and the file is whole: it is what was kept.
        match unsafe { T::load(&machine.engine, &code) } {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::warn!(%key, error, "a compiled tool does not load; it is made anew");
                cache.forget(key);
            }
        }
    }
    let code = T::compile(&machine.engine, &wasm()?)?;
    // SAFETY: it was compiled just now.
    let loaded = unsafe { T::load(&machine.engine, &code) }?;
    check(&loaded)?;
    cache.keep(key, &code);
    Ok(loaded)
}
