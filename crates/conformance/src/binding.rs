//! The bindings a suite runs under.

use std::{fmt, os::unix::net::UnixStream, sync::Arc, thread};

use libos_bindings::{
    queued,
    wire::{self, Stream},
};
use libos_port::{Authority, BoxFuture, Component, Provider};
use tokio::runtime::Handle;

/// How a part is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binding {
    /// It is called.
    Direct,
    /// It has a thread of its own, behind bounded channels.
    Queued,
    /// It is behind a stream of frames.
    Wire,
}

impl Binding {
    /// Every binding.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Queued, Self::Wire];
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Direct => "direct",
            Self::Queued => "queued",
            Self::Wire => "wire",
        })
    }
}

/// A part that can be put behind a binding.
pub trait Bind {
    /// The same part, reached through `binding`.
    #[must_use]
    fn bind(self, binding: Binding) -> Self;
}

impl Bind for Box<dyn Component> {
    fn bind(mut self, binding: Binding) -> Self {
        match binding {
            Binding::Direct => self,
            Binding::Queued => Box::new(queued::component(self).expect("the host has threads")),
            Binding::Wire => {
                let near = far(move |far| wire::serve_component(far, self.as_mut()));
                Box::new(wire::component(near).expect("the far end says what it is"))
            }
        }
    }
}

impl Bind for Box<dyn Authority> {
    fn bind(mut self, binding: Binding) -> Self {
        match binding {
            Binding::Direct => self,
            Binding::Queued => Box::new(queued::authority(self).expect("the host has threads")),
            Binding::Wire => {
                let near = far(move |far| wire::serve_authority(far, self.as_mut()));
                Box::new(wire::authority(near).expect("the far end says what it is"))
            }
        }
    }
}

impl Binding {
    /// The same provider, reached through this binding; its effects run on `tokio`.
    #[must_use]
    pub fn provider(self, part: Arc<dyn Provider>, tokio: Handle) -> Arc<dyn Provider> {
        let spawn = move |task: BoxFuture<'static, ()>| drop(tokio.spawn(task));
        match self {
            Self::Direct => part,
            Self::Queued => {
                Arc::new(queued::provider(part, Arc::new(spawn)).expect("the host has threads"))
            }
            Self::Wire => {
                let near = far(move |far| wire::serve_provider(far, &part, spawn));
                Arc::new(wire::provider(near).expect("the far end says what it is"))
            }
        }
    }
}

/// The near end of a socket whose far end is served on a thread.
fn far(
    serve: impl FnOnce(Stream) -> Result<(), libos_bindings::BindingError> + Send + 'static,
) -> Stream {
    let (near, far) = UnixStream::pair().expect("the host has sockets");
    let [near, far] = [near, far].map(|end| Stream::unix(end).expect("the host has handles"));
    let body = move || {
        if let Err(error) = serve(far) {
            // The near end sees it as well, as a stream that ends.
            panic!("the far end stopped: {error}");
        }
    };
    thread::Builder::new().name("far end".into()).spawn(body).expect("the host has threads");
    near
}
