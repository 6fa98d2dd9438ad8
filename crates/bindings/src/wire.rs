//! The wire binding: a part behind a stream of frames, in this process or another.
//!
//! A stream is anything that reads and writes bytes in order: a Unix socket, the standard streams
//! of a child. The far end ([`serve_component`] and its like) first says what it is; then the near
//! end ([`component`] and its like) asks. The form of a frame stands in `frame.rs`. A near end
//! that should not wait for ever for a far end that lives but does not answer sets a read timeout
//! on its socket; a part answers within microseconds.
//!
//! Whoever holds the other end of a stream is trusted with everything the part is trusted with:
//! hand streams out accordingly.

use std::{
    io::{self, Read, Write},
    net::Shutdown,
    os::unix::net::UnixStream,
    sync::Arc,
};

use libos_abi::SERVICES;
use libos_port::{Authority, BoxFuture, Component, Manifest, Provider};
use parking_lot::Mutex;

use crate::{
    BindingError, RemoteAuthority, RemoteComponent, RemoteProvider, Role,
    codec::Message,
    component::{Part, serve_part},
    link::{self, Link},
    message::{FromPart, FromProvider, Hello},
    provider::{self, Spawn},
};

/// Two directions of bytes.
pub struct Stream {
    reader: Box<dyn Read + Send>,
    writer: Box<dyn Write + Send>,
}

impl Stream {
    /// A stream of two halves.
    #[must_use]
    pub fn new(reader: impl Read + Send + 'static, writer: impl Write + Send + 'static) -> Self {
        Self { reader: Box::new(reader), writer: Box::new(writer) }
    }

    /// A Unix socket. Dropping the stream tells the other end.
    ///
    /// # Errors
    /// When the host gives no second handle to the socket.
    pub fn unix(socket: UnixStream) -> io::Result<Self> {
        Ok(Self::new(socket.try_clone()?, HangUp(socket)))
    }

    /// The standard input and output of this process, for a far end that is started as a child.
    #[must_use]
    pub fn stdio() -> Self {
        Self::new(io::stdin(), io::stdout())
    }

    /// Its halves.
    pub(crate) fn into_halves(self) -> (Box<dyn Read + Send>, Box<dyn Write + Send>) {
        (self.reader, self.writer)
    }

    fn link<O: Message, I: Message>(self) -> Link<O, I> {
        link::stream(self.reader, self.writer)
    }
}

/// A socket that tells its other end when nothing more will be written. A handle that is dropped
/// does not tell while another is open.
struct HangUp(UnixStream);

impl Write for HangUp {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Drop for HangUp {
    fn drop(&mut self) {
        // One that is closed already needs no telling.
        drop(self.0.shutdown(Shutdown::Write));
    }
}

/// The near end of a component at the other end of a stream.
///
/// # Errors
/// [`BindingError`], when the other end is no such part, or of another version.
pub fn component(stream: Stream) -> Result<RemoteComponent, BindingError> {
    let mut link = stream.link();
    let manifest = greeted(&mut link, Role::Component)?;
    Ok(RemoteComponent::new(manifest, link))
}

/// The near end of an authority at the other end of a stream.
///
/// # Errors
/// [`BindingError`], when the other end is no such part, or of another version.
pub fn authority(stream: Stream) -> Result<RemoteAuthority, BindingError> {
    let mut link = stream.link();
    let manifest = greeted(&mut link, Role::Authority)?;
    Ok(RemoteAuthority::new(manifest, link))
}

/// The near end of a provider at the other end of a stream. A thread waits for what it says.
///
/// # Errors
/// [`BindingError`], when the other end is no such part, or of another version.
pub fn provider(stream: Stream) -> Result<RemoteProvider, BindingError> {
    let mut link = stream.link();
    let hello = match link.incoming.receive()? {
        FromProvider::Hello(hello) => hello,
        _ => return Err(BindingError::Unexpected("something before hello")),
    };
    let manifest = manifest(&hello, Role::Provider)?;
    Ok(RemoteProvider::new(manifest.serves, link)?)
}

/// Serves a component to the other end of a stream, until that is gone.
///
/// # Errors
/// [`BindingError`], when the other end is of another version, or says what it may not.
pub fn serve_component(stream: Stream, part: &mut dyn Component) -> Result<(), BindingError> {
    serve(stream, Part::Component(part))
}

/// Serves an authority to the other end of a stream, until that is gone.
///
/// # Errors
/// [`BindingError`], when the other end is of another version, or says what it may not.
pub fn serve_authority(stream: Stream, part: &mut dyn Authority) -> Result<(), BindingError> {
    serve(stream, Part::Authority(part))
}

/// Serves a provider to the other end of a stream, until that is gone; what is under way then is
/// dropped. Its effects run where `spawn` puts them.
///
/// # Errors
/// [`BindingError`], when the other end is of another version, or says what it may not.
pub fn serve_provider(
    stream: Stream,
    part: &Arc<dyn Provider>,
    spawn: impl Fn(BoxFuture<'static, ()>) + Send + Sync + 'static,
) -> Result<(), BindingError> {
    let mut link = stream.link();
    let serves = part.serves().iter().map(|name| (*name).to_owned()).collect();
    let hello = Hello { role: Role::Provider, serves, imports: Vec::new() };
    link.out.send(FromProvider::Hello(hello))?;
    let spawn: Spawn = Arc::new(spawn);
    provider::serve(link, part, &spawn)
}

fn serve(stream: Stream, mut part: Part<'_>) -> Result<(), BindingError> {
    let mut link = stream.link();
    link.out.send(FromPart::Hello(part.hello()))?;
    serve_part(link, part)
}

/// Hears what the far end is.
fn greeted<O>(link: &mut Link<O, FromPart>, role: Role) -> Result<Manifest, BindingError> {
    match link.incoming.receive()? {
        FromPart::Hello(hello) => manifest(&hello, role),
        _ => Err(BindingError::Unexpected("something before hello")),
    }
}

fn manifest(hello: &Hello, role: Role) -> Result<Manifest, BindingError> {
    if hello.role != role {
        return Err(BindingError::Role { expected: role, found: hello.role });
    }
    Ok(Manifest { serves: names(&hello.serves)?, imports: names(&hello.imports)? })
}

/// The names of the tables that another process said. Each list is kept once, for ever.
pub(crate) fn names(said: &[String]) -> Result<&'static [&'static str], BindingError> {
    static KEPT: Mutex<Vec<&'static [&'static str]>> = Mutex::new(Vec::new());
    let known = |name: &String| {
        let info = SERVICES.iter().find(|info| info.name == *name);
        info.map(|info| info.name).ok_or_else(|| BindingError::UnknownService(name.clone()))
    };
    let names: Vec<&'static str> = said.iter().map(known).collect::<Result<_, _>>()?;
    let mut kept = KEPT.lock();
    if let Some(there) = kept.iter().find(|there| ***there == *names) {
        return Ok(there);
    }
    let names: &'static [&'static str] = names.leak();
    kept.push(names);
    Ok(names)
}
