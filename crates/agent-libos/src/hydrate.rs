//! Putting payloads back: what the core knows by digest, providers and callers get in full.

use std::sync::Arc;

use libos_abi::{Digest, Fault, Field, OpId, Outcome, Reply, Syscall, Text, tool::Program};
use libos_journal::{Blobs, JournalError};

/// Replaces a reference by the text it names.
pub(crate) fn text(blobs: &dyn Blobs, text: &mut Text) -> Result<(), Fault> {
    let missing = |kind: &str| Fault::ProviderFailed { kind: kind.into(), op: OpId(0) };
    let load = |digest: &Digest| -> Result<Arc<str>, Fault> {
        let bytes = blobs.get(digest).map_err(|error| match error {
            JournalError::BlobDropped { .. } => missing("blob.dropped"),
            error => {
                tracing::error!(%digest, %error, "a stored payload cannot be read");
                missing("blob.unreadable")
            }
        })?;
        let restored = std::str::from_utf8(&bytes).map_err(|_| missing("blob.not_text"))?;
        Ok(Arc::from(restored))
    };
    match text.restore(load)? {
        true => Ok(()),
        false => Err(missing("blob.unreadable")),
    }
}

/// Puts the payloads of a call back.
pub(crate) fn call(blobs: &dyn Blobs, call: &mut Syscall) -> Result<(), Fault> {
    let mut result = Ok(());
    call.texts(&mut |field| {
        if result.is_ok() {
            result = text(blobs, field);
        }
    });
    result
}

/// A generated tool with its payloads put back.
pub(crate) fn program(blobs: &dyn Blobs, program: &Program) -> Result<Arc<Program>, Fault> {
    let mut program = program.clone();
    let mut result = Ok(());
    program.tool.texts(&mut |field| {
        if result.is_ok() {
            result = text(blobs, field);
        }
    });
    result.map(|()| Arc::new(program))
}

/// Puts the payloads of an outcome back, for whoever called: what is for the record only is not
/// among them.
pub(crate) fn outcome(blobs: &dyn Blobs, outcome: Outcome) -> Outcome {
    let mut reply = outcome?;
    if let Reply::Fs(reply) = &mut reply {
        reply.conceal();
    }
    let mut result = Ok(());
    reply.texts(&mut |field| {
        if result.is_ok() {
            result = text(blobs, field);
        }
    });
    result?;
    Ok(reply)
}
