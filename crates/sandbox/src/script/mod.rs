//! Scripts: JavaScript and TypeScript on an engine that is itself Wasm.
//!
//! A tool is one module with `export default async function run(args, libos)`. The engine runs its
//! source afresh on every call, in an instance that begins at the snapshot.

mod guard;
mod positions;
mod snapshot;
mod strip;

use std::sync::Arc;

use serde::Deserialize;
use wasmtime::{InstancePre, Linker, Store};

use self::positions::{Positions, first, told};
pub(crate) use self::strip::{stack_bytes, strip};
use crate::{
    CompileError, ToolError,
    cache::Cache,
    engine::Machine,
    envelope::{self, Ended},
    guest::Guest,
    module::Live,
};

/// A script that the engine takes.
#[derive(Debug, Clone)]
pub(crate) struct Script {
    source: Arc<str>,
    /// For a script that was translated.
    positions: Option<Arc<Positions>>,
}

impl Script {
    /// A script as its author wrote it.
    pub(crate) fn plain(source: &str) -> Self {
        Self { source: source.into(), positions: None }
    }
}

impl From<strip::Stripped> for Script {
    fn from(stripped: strip::Stripped) -> Self {
        let positions = Some(Arc::new(stripped.positions));
        Self { source: stripped.script.into(), positions }
    }
}

/// The engine, ready to be instantiated.
pub(crate) struct ScriptEngine(InstancePre<Guest>);

/// Why the engine takes no script.
#[derive(Deserialize)]
struct Checked {
    err: Refusal,
}

#[derive(Deserialize)]
struct Refusal {
    kind: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    stack: String,
}

impl ScriptEngine {
    /// Loads the engine, from the cache if it is there.
    pub(crate) fn load(
        machine: &Machine,
        cache: &Cache,
        linker: &Linker<Guest>,
    ) -> wasmtime::Result<Self> {
        Ok(Self(linker.instantiate_pre(&snapshot::module(machine, cache)?)?))
    }

    /// Makes an instance and nothing else.
    pub(crate) async fn instantiate(&self, store: &mut Store<Guest>) -> wasmtime::Result<()> {
        Live::start(&self.0, store).await.map(drop)
    }

    /// Refuses a script that could not be run. Runs nothing of it.
    pub(crate) async fn check(
        &self,
        store: &mut Store<Guest>,
        script: &Script,
    ) -> Result<(), CompileError> {
        let answer = async {
            let mut live = Live::start(&self.0, &mut *store).await?;
            let source = live.put(&script.source).await?;
            match live.call::<_, u64>("libos_check", source).await? {
                0 => Ok(None),
                packed => Ok(Some(live.text(packed)?)),
            }
        };
        let answer: wasmtime::Result<Option<String>> = answer.await;
        match answer.map_err(|error| store.data().judged(&error)) {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => Err(refused(&answer, script)),
            Err(ToolError::Limit { limit, max }) => {
                Err(CompileError::Needs { what: format!("more than {max} {}", limit.unit()) })
            }
            Err(error) => {
                tracing::error!(%error, "the engine could not look at a script");
                Err(CompileError::Internal)
            }
        }
    }

    /// Runs a script with arguments.
    pub(crate) async fn run(
        &self,
        store: &mut Store<Guest>,
        script: &Script,
        args: &str,
        seed: u64,
    ) -> Ended {
        let text = async {
            let mut live = Live::start(&self.0, &mut *store).await?;
            live.call::<_, ()>("libos_seed", seed).await?;
            let source = live.put(&script.source).await?;
            let args = live.put(args).await?;
            live.begin();
            live.give("libos_run", (source.0, source.1, args.0, args.1)).await
        };
        let text: wasmtime::Result<String> = text.await;
        let Ended { outcome, logs } = match text {
            Ok(text) => envelope::opened(&text, store.data().record()),
            Err(error) => store.data().judged(&error).into(),
        };
        Ended { outcome: outcome.map_err(|error| located(error, script)), logs }
    }
}

fn refused(answer: &str, script: &Script) -> CompileError {
    let Ok(Checked { err: Refusal { kind, message, stack } }) = serde_json::from_str(answer) else {
        return CompileError::Internal;
    };
    match kind.as_str() {
        "import" => CompileError::Import { what: format!("the module `{message}`") },
        "no_default" => {
            CompileError::Export { what: "write `export default async function run`".into() }
        }
        _ => {
            let positions = script.positions.as_deref();
            let at = first(&stack).map(|at| positions.map_or(at, |it| it.source(at)));
            CompileError::Syntax { at, message }
        }
    }
}

/// Tells where an error comes from in the source that the author wrote.
fn located(error: ToolError, script: &Script) -> ToolError {
    let positions = script.positions.as_deref();
    match error {
        ToolError::Threw { name, message, stack } => {
            ToolError::Threw { name, message, stack: told(&stack, positions) }
        }
        ToolError::Call { call, error, stack } => {
            ToolError::Call { call, error, stack: told(&stack, positions) }
        }
        other => other,
    }
}
