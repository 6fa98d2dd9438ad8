//! Components: tools from any toolchain, against the world `guest` of `wit/libos.wit`.
//!
//! A component imports the calls that it makes, each by itself. Only those that its manifest
//! declares are linked, so one that was not declared cannot even be tried. Calls are made one at
//! a time: its functions wait for their reply.

mod values;

use std::{collections::BTreeSet, sync::Arc};

use libos_abi::{ABI_VERSION, CallInfo, DemandInfo, Fault};
use serde_json::Value;
use wasmtime::{
    AsContextMut as _, Engine, Store, StoreContextMut,
    component::{
        Component, ComponentType, InstancePre, Lift, Linker, Type, TypedFunc, Val,
        types::{ComponentFunc, ComponentItem},
    },
};

use self::values::{Unfit, from_json, object, snake};
use crate::{
    CompileError, Limited, Needs, ToolError,
    boundary::{self, Called},
    envelope::Failure,
    guest::{Guest, over},
};

/// The package of the interfaces.
const PACKAGE: &str = "libos:tool/";
/// The interface that only has types.
const TYPES: &str = "types";
/// The entry point.
const RUN: &str = "run";
/// The bytes that a value of a component takes on the host, at the least: what bounds how many a
/// reply may become.
const VALUE_BYTES: usize = 32;

/// A component with the calls that it imports.
#[derive(Clone)]
pub(crate) struct Imported {
    component: Component,
    imports: Arc<Vec<Import>>,
}

/// One interface that a component imports.
struct Import {
    /// Its full name, version and all.
    interface: String,
    /// The functions, by their names in it, and the calls they are.
    calls: Vec<(String, &'static CallInfo)>,
}

impl Imported {
    /// Refuses a component that imports anything but calls or does not export `run`.
    pub(crate) fn new(engine: &Engine, component: Component) -> Result<Self, CompileError> {
        let ty = component.component_type();
        let mut imports = Vec::new();
        for (name, import) in ty.imports(engine) {
            imports.push(imported(engine, name, &import.ty)?);
        }
        let run = ty.exports(engine).find(|(name, _)| *name == RUN);
        match run.map(|(_, export)| export.ty) {
            Some(ComponentItem::ComponentFunc(ty)) if is_entry(&ty) => {}
            _ => {
                let what = "the function `run` of the world `guest` is missing".into();
                return Err(CompileError::Export { what });
            }
        }
        Ok(Self { component, imports: Arc::new(imports) })
    }

    /// The names of the calls it imports.
    pub(crate) fn calls(&self) -> BTreeSet<&'static str> {
        let calls = self.imports.iter().flat_map(|import| &import.calls);
        calls.map(|(_, call)| call.name).collect()
    }

    /// Links the calls that are declared.
    fn linked(&self, needs: &Needs, engine: &Engine) -> Result<InstancePre<Guest>, ToolError> {
        if let Some(call) = self.calls().into_iter().find(|call| !needs.contains(call)) {
            return Err(ToolError::Undeclared { call: call.into() });
        }
        let link = || {
            let mut linker = Linker::new(engine);
            for Import { interface, calls } in &*self.imports {
                let mut instance = linker.instance(interface)?;
                for (function, info) in calls {
                    let info: &'static CallInfo = info;
                    instance.func_new_async(function, move |cx, ty, args, results| {
                        Box::new(called(cx, info, ty, args, results))
                    })?;
                }
            }
            linker.instantiate_pre(&self.component)
        };
        link().map_err(|error: wasmtime::Error| {
            tracing::error!(error = format!("{error:#}"), "a component does not link");
            ToolError::Internal
        })
    }
}

/// The calls of one interface that is imported.
fn imported(engine: &Engine, name: &str, ty: &ComponentItem) -> Result<Import, CompileError> {
    let refuse = |what: String| Err(CompileError::Import { what });
    let inside = name.strip_prefix(PACKAGE);
    let (Some(inside), ComponentItem::ComponentInstance(ty)) = (inside, ty) else {
        let hint = match name.starts_with("wasi:") {
            true => " (build it without WASI: there is no file, clock or random number to have)",
            false => "",
        };
        return refuse(format!("`{name}`{hint}"));
    };
    let (inside, version) = inside.split_once('@').unwrap_or((inside, ""));
    if version.split('.').next() != Some(&ABI_VERSION.to_string()) {
        return refuse(format!("`{name}`, which is not of version {ABI_VERSION}"));
    }
    let service = snake(inside);
    let mut calls = Vec::new();
    for (function, export) in ty.exports(engine) {
        let ty = match export.ty {
            ComponentItem::ComponentFunc(ty) if service != TYPES => ty,
            ComponentItem::Type(_) => continue,
            _ => return refuse(format!("`{name}`, `{function}` in it")),
        };
        let call = format!("{service}.{}", snake(function));
        let open = |info: &&CallInfo| !matches!(info.demand, DemandInfo::Kernel);
        let Some(info) = libos_abi::services::find(&call).filter(open) else {
            return refuse(format!("the call `{call}`, which is not there"));
        };
        if !has_outcome(&ty) {
            return refuse(format!("`{call}` with another result than wit/libos.wit has"));
        }
        calls.push((function.to_owned(), info));
    }
    Ok(Import { interface: name.to_owned(), calls })
}

/// Whether a function is `func(args: string) -> result<string, failure>`.
fn is_entry(ty: &ComponentFunc) -> bool {
    let params: Vec<Type> = ty.params().map(|(_, ty)| ty).collect();
    let results: Vec<Type> = ty.results().collect();
    let ([Type::String], [Type::Result(result)]) = (params.as_slice(), results.as_slice()) else {
        return false;
    };
    let Some(Type::Record(failure)) = result.err() else {
        return false;
    };
    let fields: Vec<&str> = failure.fields().map(|field| field.name).collect();
    result.ok() == Some(Type::String) && fields == ["name", "message", "stack", "number"]
}

/// Whether a function gives a result or an error.
fn has_outcome(ty: &ComponentFunc) -> bool {
    let results: Vec<Type> = ty.results().collect();
    matches!(results.as_slice(), [Type::Result(result)] if result.err().is_some())
}

/// Serves one call of a component.
async fn called(
    mut cx: StoreContextMut<'_, Guest>,
    info: &'static CallInfo,
    ty: ComponentFunc,
    args: &[Val],
    results: &mut [Val],
) -> wasmtime::Result<()> {
    let guest = cx.data_mut();
    guest.enter()?;
    let args = object(ty.params().map(|(name, _)| name).zip(args));
    let called = match args {
        Ok(args) => {
            guest.requested(args.to_string().len())?;
            boundary::call(info.name.to_owned(), args)
        }
        Err(unfit) => {
            let why = format!("the arguments of {} do not fit: {unfit}", info.name);
            Called { name: info.name.to_owned(), call: Err(Fault::bad(why).into()) }
        }
    };
    let answer = guest.serve_one(called).await?;
    let lowered = lowered(&ty, answer, guest.limits().reply_bytes_max / VALUE_BYTES);
    let max = guest.limits().reply_bytes_max;
    results[0] = lowered.map_err(|unfit| match unfit {
        Unfit::Large => over(Limited::Reply, max),
        Unfit::Type(what) => ToolError::Mismatch { call: info.name.to_owned(), what },
    })?;
    guest.leave();
    // What it computes from here on is a new stretch: it has waited.
    cx.as_context_mut().set_epoch_deadline(1);
    Ok(())
}

/// A reply or an error as the value that the component expects.
fn lowered(
    ty: &ComponentFunc,
    answer: Result<Value, Value>,
    mut values_max: usize,
) -> Result<Val, Unfit> {
    let result = ty.results().next();
    let Some(Type::Result(ty)) = result else {
        unreachable!("a component with a function of another type is refused");
    };
    let of = if answer.is_ok() { ty.ok() } else { ty.err() };
    let mut lower = |json: &Value| -> Result<Option<Box<Val>>, Unfit> {
        of.as_ref().map(|of| from_json(json, of, &mut values_max).map(Box::new)).transpose()
    };
    Ok(Val::Result(match &answer {
        Ok(reply) => Ok(lower(reply)?),
        Err(error) => Err(lower(error)?),
    }))
}

/// How a component says that it failed.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Failed {
    name: String,
    message: String,
    stack: Option<String>,
    number: Option<u32>,
}

impl Imported {
    /// Runs a component with arguments; gives its result.
    pub(crate) async fn run(
        &self,
        needs: &Needs,
        engine: &Engine,
        store: &mut Store<Guest>,
        args: &str,
    ) -> Result<Value, ToolError> {
        let pre = self.linked(needs, engine)?;
        let ended = match self.called(&pre, store, args).await {
            Ok(ended) => ended,
            Err(error) => return Err(store.data().judged(&error)),
        };
        let text = ended.map_err(|Failed { name, message, stack, number }| {
            Failure::threw(name, message, stack, number).judged(store.data().record())
        })?;
        let max = store.data().limits().output_bytes_max;
        if text.len() > max {
            return Err(over(Limited::Output, max));
        }
        serde_json::from_str(&text)
            .map_err(|error| ToolError::BadResult { what: error.to_string() })
    }

    async fn called(
        &self,
        pre: &InstancePre<Guest>,
        store: &mut Store<Guest>,
        args: &str,
    ) -> wasmtime::Result<Result<String, Failed>> {
        let instance = pre.instantiate_async(&mut *store).await?;
        type Entry = TypedFunc<(String,), (Result<String, Failed>,)>;
        let run: Entry = instance.get_typed_func(&mut *store, RUN)?;
        store.data_mut().begin();
        Ok(run.call_async(&mut *store, (args.to_owned(),)).await?.0)
    }
}
