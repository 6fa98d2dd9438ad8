//! Steps of a run by themselves, for those who measure the sandbox.

use wasmtime::{InstancePre, Linker, Module};

use crate::{CompileError, Language, Sandbox, guest::Guest};

/// The bare mechanism: an instance, one call, and its end.
const BARE: &str = "(module (memory 1) (func (export \"run\") (result i32) (i32.const 7)))";
/// What is compiled so that the engine of scripts is there.
const ANY_SCRIPT: &[u8] = b"export default () => 1;";

/// Steps that a measurement takes one by one.
pub struct Steps {
    sandbox: Sandbox,
    bare: InstancePre<Guest>,
}

impl std::fmt::Debug for Steps {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Steps").finish_non_exhaustive()
    }
}

impl Steps {
    /// Steps on a sandbox, whose script engine is loaded.
    ///
    /// # Errors
    /// [`CompileError`], when an engine cannot be had.
    pub async fn new(sandbox: &Sandbox) -> Result<Self, CompileError> {
        sandbox.compile(Language::JavaScript, ANY_SCRIPT).await?;
        let engine = sandbox.engine();
        let bare = Linker::new(engine).instantiate_pre(&Module::new(engine, BARE)?)?;
        Ok(Self { sandbox: sandbox.clone(), bare })
    }

    /// A fresh instance of an empty module in a slot, and one call of it.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn bare(&self) -> Result<i32, CompileError> {
        let mut store = self.sandbox.guest_for_nobody();
        let instance = self.bare.instantiate_async(&mut store).await?;
        let run = instance.get_typed_func::<(), i32>(&mut store, "run")?;
        Ok(run.call_async(&mut store, ()).await?)
    }

    /// A fresh instance of the script engine, and its end.
    ///
    /// # Errors
    /// When the engine fails.
    pub async fn instantiate(&self) -> Result<(), CompileError> {
        let mut store = self.sandbox.guest_for_nobody();
        self.sandbox.instantiate_script(&mut store).await
    }
}
