//! Core modules: the one import, the exports, and how texts cross.
//!
//! The ABI, which the JavaScript engine and modules written by agents share:
//!
//! | | name | type | meaning |
//! | --- | --- | --- | --- |
//! | import | `libos.syscall` | `(i32, i32) -> i64` | makes a batch of calls; see below |
//! | export | `memory` | memory | where texts lie |
//! | export | `libos_alloc` | `(i32) -> i32` | makes room for so many bytes and one more |
//! | export | `run` | `(i32, i32) -> i64` | the tool: the arguments' JSON in, its envelope out |
//!
//! A text is UTF-8 at a pointer with a length in bytes; one that is returned is
//! `pointer << 32 | length`. `libos.syscall` takes the text of a request and gives that of its
//! reply (`docs/sandbox.md` has the forms), for which it calls `libos_alloc`. It can be called
//! while `run` runs and not within itself. A host error is a reply; what breaks these rules ends
//! the run.

use wasmtime::{
    AsContextMut as _, Caller, Engine, Extern, ExternType, Instance, InstancePre, Linker, Memory,
    Module, Store, TypedFunc, ValType, WasmParams, WasmResults,
};

use crate::{
    CompileError, Limited, ToolError,
    envelope::{self, Ended},
    guest::{Guest, over},
};

const MODULE: &str = "libos";
const SYSCALL: &str = "syscall";
const MEMORY: &str = "memory";
const ALLOC: &str = "libos_alloc";
const RUN: &str = "run";

/// The linker with the one import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap_async(MODULE, SYSCALL, |caller, (at, bytes): (u32, u32)| {
        Box::new(syscall(caller, at, bytes))
    })?;
    Ok(linker)
}

/// Serves one system call of a module.
async fn syscall(mut caller: Caller<'_, Guest>, at: u32, bytes: u32) -> wasmtime::Result<u64> {
    caller.data_mut().enter()?;
    caller.data_mut().requested(bytes as usize)?;
    let memory = caller.get_export(MEMORY).and_then(Extern::into_memory);
    let memory = memory.ok_or(ToolError::BadPointer { what: "no memory" })?;
    let end = (at as usize).saturating_add(bytes as usize);
    let request = memory.data(&caller).get(at as usize..end).ok_or(OUTSIDE)?.to_vec();
    let reply = caller.data_mut().serve(&request).await?;
    drop(request);
    // What it computes from here on is a new stretch: it has waited.
    caller.as_context_mut().set_epoch_deadline(1);
    let alloc = caller.get_export(ALLOC).and_then(Extern::into_func);
    let alloc = alloc.ok_or(ToolError::BadPointer { what: "no allocator" })?;
    let alloc = alloc.typed::<u32, u32>(&caller)?;
    let length = u32::try_from(reply.len()).map_err(|_| OUTSIDE)?;
    let place = alloc.call_async(&mut caller, length).await?;
    memory.write(&mut caller, place as usize, reply.as_bytes()).map_err(|_| OUTSIDE)?;
    caller.data_mut().leave();
    Ok(u64::from(place) << 32 | u64::from(length))
}

const OUTSIDE: ToolError = ToolError::BadPointer { what: "a place outside of its memory" };

/// Refuses a module that imports more than the one call or lacks an export.
pub(crate) fn check(module: &Module) -> Result<(), CompileError> {
    for import in module.imports() {
        let (of, name) = (import.module(), import.name());
        if (of, name) != (MODULE, SYSCALL) {
            return Err(CompileError::Import { what: format!("`{of}.{name}`") });
        }
        if !is_function(&import.ty(), &[ValType::I32, ValType::I32], &[ValType::I64]) {
            let what = format!("`{of}.{name}` of another type than (i32, i32) -> i64");
            return Err(CompileError::Import { what });
        }
    }
    let missing = |what: &str| CompileError::Export { what: format!("{what} is missing") };
    match module.get_export(MEMORY) {
        Some(ExternType::Memory(memory)) if !memory.is_64() && !memory.is_shared() => {}
        _ => return Err(missing("the memory `memory`")),
    }
    let has = |name, params: &[ValType], results: &[ValType]| {
        module.get_export(name).is_some_and(|ty| is_function(&ty, params, results))
    };
    if !has(ALLOC, &[ValType::I32], &[ValType::I32]) {
        return Err(missing("the function `libos_alloc`, (i32) -> i32,"));
    }
    if !has(RUN, &[ValType::I32, ValType::I32], &[ValType::I64]) {
        return Err(missing("the function `run`, (i32, i32) -> i64,"));
    }
    Ok(())
}

fn is_function(ty: &ExternType, params: &[ValType], results: &[ValType]) -> bool {
    let ExternType::Func(ty) = ty else {
        return false;
    };
    let same = |have: &mut dyn ExactSizeIterator<Item = ValType>, want: &[ValType]| {
        have.len() == want.len() && have.zip(want).all(|(have, want)| ValType::eq(&have, want))
    };
    same(&mut ty.params(), params) && same(&mut ty.results(), results)
}

/// Runs a module with arguments.
pub(crate) async fn run(pre: &InstancePre<Guest>, store: &mut Store<Guest>, args: &str) -> Ended {
    let text = async {
        let mut live = Live::start(pre, &mut *store).await?;
        let args = live.put(args).await?;
        live.begin();
        live.give(RUN, args).await
    };
    match text.await {
        Ok(text) => envelope::opened(&text, store.data().record()),
        Err(error) => store.data().judged(&error).into(),
    }
}

/// A fresh instance of a module, in its store. What fails is an error of the engine, which the
/// store's data can judge.
pub(crate) struct Live<'a> {
    store: &'a mut Store<Guest>,
    instance: Instance,
    memory: Memory,
    alloc: TypedFunc<u32, u32>,
}

impl<'a> Live<'a> {
    /// Makes an instance, which runs what the module runs at its start.
    pub(crate) async fn start(
        pre: &InstancePre<Guest>,
        store: &'a mut Store<Guest>,
    ) -> wasmtime::Result<Self> {
        let instance = pre.instantiate_async(&mut *store).await?;
        let memory = instance.get_memory(&mut *store, MEMORY);
        let memory = memory.ok_or(ToolError::BadPointer { what: "no memory" })?;
        let alloc = instance.get_typed_func::<u32, u32>(&mut *store, ALLOC)?;
        Ok(Self { store, instance, memory, alloc })
    }

    /// From here on the instance may make system calls.
    pub(crate) fn begin(&mut self) {
        self.store.data_mut().begin();
    }

    /// Copies a text into the instance's memory.
    pub(crate) async fn put(&mut self, text: &str) -> wasmtime::Result<(u32, u32)> {
        let length = u32::try_from(text.len()).map_err(|_| OUTSIDE)?;
        let place = self.alloc.call_async(&mut *self.store, length).await?;
        let written = self.memory.write(&mut *self.store, place as usize, text.as_bytes());
        written.map_err(|_| OUTSIDE)?;
        Ok((place, length))
    }

    /// Calls an export.
    pub(crate) async fn call<P: WasmParams + Sync, R: WasmResults + Sync>(
        &mut self,
        name: &str,
        args: P,
    ) -> wasmtime::Result<R> {
        let function = self.instance.get_typed_func::<P, R>(&mut *self.store, name)?;
        function.call_async(&mut *self.store, args).await
    }

    /// Calls an export that gives a text.
    pub(crate) async fn give<P: WasmParams + Sync>(
        &mut self,
        name: &str,
        args: P,
    ) -> wasmtime::Result<String> {
        let packed = self.call::<P, u64>(name, args).await?;
        Ok(self.text(packed)?)
    }

    /// The text that an export gave back.
    pub(crate) fn text(&self, packed: u64) -> Result<String, ToolError> {
        let (place, length) = ((packed >> 32) as usize, (packed & 0xffff_ffff) as usize);
        let max = self.store.data().limits().output_bytes_max;
        if length > max {
            return Err(over(Limited::Output, max));
        }
        let bytes = self.memory.data(&*self.store).get(place..place + length).ok_or(OUTSIDE)?;
        let text = str::from_utf8(bytes);
        let text = text.map_err(|_| ToolError::BadPointer { what: "bytes that are no UTF-8" })?;
        Ok(text.to_owned())
    }
}
