//! The queued binding: a part on a thread of its own, behind bounded channels.
//!
//! The part is moved to its thread and ends with it, once the near end is dropped. What the part
//! asks of its context comes back over a channel to the thread of the caller, which serves it.

use std::{io, sync::Arc, thread};

use libos_port::{Authority, Component, Provider};

use crate::{
    RemoteAuthority, RemoteComponent, RemoteProvider,
    component::{Part, serve_part},
    link,
    provider::{self, Spawn},
};

/// Moves a component to a thread of its own.
///
/// # Errors
/// When the host gives no thread.
pub fn component(mut part: Box<dyn Component>) -> io::Result<RemoteComponent> {
    let manifest = part.manifest();
    let (near, far) = link::channels();
    start(manifest.serves, move || {
        // Over channels nothing can go wrong but that the other side is gone.
        drop(serve_part(far, Part::Component(part.as_mut())));
    })?;
    Ok(RemoteComponent::new(manifest, near))
}

/// Moves an authority to a thread of its own.
///
/// # Errors
/// When the host gives no thread.
pub fn authority(mut part: Box<dyn Authority>) -> io::Result<RemoteAuthority> {
    let manifest = part.manifest();
    let (near, far) = link::channels();
    start(manifest.serves, move || drop(serve_part(far, Part::Authority(part.as_mut()))))?;
    Ok(RemoteAuthority::new(manifest, near))
}

/// Has a provider take its orders from a queue. Its effects run where `spawn` puts them.
///
/// # Errors
/// When the host gives no thread.
pub fn provider(part: Arc<dyn Provider>, spawn: Spawn) -> io::Result<RemoteProvider> {
    let serves = part.serves();
    let (near, far) = link::channels();
    start(serves, move || drop(provider::serve(far, &part, &spawn)))?;
    RemoteProvider::new(serves, near)
}

/// Starts the thread of a part, named after its first service.
fn start(serves: &[&str], body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let name = format!("libos-{}", serves.first().unwrap_or(&"part"));
    thread::Builder::new().name(name).spawn(body).map(drop)
}
