//! Serves a toy over its standard streams: `libos-toy capability|clock|fs|shell`.
//!
//! A part in another process, as small as it can be: whoever holds the streams holds the near end.
#![forbid(unsafe_code)]

use std::{error::Error, sync::Arc};

use libos_bindings::{
    BindingError,
    wire::{self, Stream},
};
use libos_conformance::toys::{Clock, Files, Reference, Shell};
use libos_port::{BoxFuture, Provider};

fn main() -> Result<(), Box<dyn Error>> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let stream = Stream::stdio();
    match name.as_str() {
        "capability" => wire::serve_authority(stream, &mut Reference::default())?,
        "clock" => wire::serve_component(stream, &mut Clock)?,
        "fs" => provider(stream, Arc::new(Files::default()))?,
        "shell" => provider(stream, Arc::new(Shell))?,
        other => return Err(format!("there is no toy `{other}`").into()),
    }
    Ok(())
}

/// Serves a provider; its effects run on tokio.
fn provider(stream: Stream, part: Arc<dyn Provider>) -> Result<(), BindingError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let tokio = runtime.handle().clone();
    let spawn = move |task: BoxFuture<'static, ()>| drop(tokio.spawn(task));
    wire::serve_provider(stream, &part, spawn)
}
