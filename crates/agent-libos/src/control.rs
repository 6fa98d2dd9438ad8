//! The control socket: a host's operator calls a running runtime from another terminal.
//!
//! `<store>/control.sock` carries frames of the wire binding: a header (magic, ABI version,
//! length) and one encoded message; an empty one asks which state the kernel is in. Whoever can
//! open the socket is the host's operator: it is made with mode 0600.

use std::{
    io,
    os::{
        fd::AsRawFd,
        unix::fs::{OpenOptionsExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

use libos_abi::{Digest, Fault, Outcome, Syscall, wire};
use libos_port::{BoxFuture, Port};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use crate::{HostPort, State};

pub use libos_abi::ABI_VERSION;

const MAGIC: [u8; 4] = *b"LIBO";
const SOCKET: &str = "control.sock";

/// How long the server waits when it cannot take a connection.
const RETRY: std::time::Duration = std::time::Duration::from_millis(100);

/// How many ancestors of a host process are looked at; deeper is no operator's terminal.
const ANCESTORS_MAX: usize = 4096;

/// Serves the control socket of a store until dropped.
pub struct ControlServer {
    task: tokio::task::JoinHandle<()>,
    path: PathBuf,
}

impl Drop for ControlServer {
    fn drop(&mut self) {
        self.task.abort();
        // The next runtime of the store replaces a socket that is left over.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::debug!(%error, "the control socket was gone already");
        }
    }
}

/// Opens the control socket of a store. The caller holds the store's lock, so a socket that is
/// there already is left over from a runtime that was killed.
///
/// # Errors
/// When the socket cannot be made.
pub fn serve(store: &Path, port: HostPort) -> io::Result<ControlServer> {
    let path = store.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let (_folder, short) = short_path(store)?;
    let listener = UnixListener::bind(short)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    let task = tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, _)) if is_started_here(&stream) => {
                    tracing::warn!("a program that a process runs asked to be the host's operator");
                }
                Ok((stream, _)) => {
                    tokio::spawn(connection(stream, port.clone()));
                }
                Err(error) => {
                    // Out of descriptors, most likely: others must end first.
                    tracing::warn!(%error, "the control socket takes no connection");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    });
    Ok(ControlServer { task, path })
}

/// A path for the socket that fits a socket address, however deep the store lies: through the
/// open folder.
fn short_path(store: &Path) -> io::Result<(std::fs::File, PathBuf)> {
    const O_PATH: i32 = 0o10_000_000;
    let folder = std::fs::OpenOptions::new().read(true).custom_flags(O_PATH).open(store)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", folder.as_raw_fd()));
    Ok((folder, short))
}

/// Whether the other end was started, directly or not, by this runtime: then it is a program that
/// a process runs, and no operator. A program that has cut all ties to its starter is not known
/// by this; only the operating system's confinement keeps such a one away.
fn is_started_here(stream: &UnixStream) -> bool {
    let us = std::process::id().cast_signed();
    let mut pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
    for _ in 0..ANCESTORS_MAX {
        match pid {
            Some(pid) if pid == us => return true,
            Some(1) | None => return false,
            Some(at) => pid = parent_of(at),
        }
    }
    true
}

/// The parent of a host process, from `/proc`.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the state and the parent follow the last one.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

async fn connection(mut stream: UnixStream, port: HostPort) {
    loop {
        let request = match read_frame(&mut stream).await {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "a control connection ended");
                return;
            }
        };
        let reply = match &request[..] {
            [] => {
                let state = port.state().await;
                wire::encode(&state.map(|State { records, digest }| (records, digest)))
            }
            request => wire::encode(&call(&port, request).await),
        };
        if let Err(error) = write_frame(&mut stream, &reply).await {
            tracing::debug!(%error, "a control connection ended before its reply");
            return;
        }
    }
}

async fn call(port: &HostPort, request: &[u8]) -> Outcome {
    match wire::decode::<(String, Syscall)>(request) {
        Ok((operator, call)) => port.named(&operator).submit(call).await,
        Err(error) => Err(Fault::bad(error.to_string()).into()),
    }
}

async fn write_frame(stream: &mut UnixStream, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut frame = Vec::with_capacity(body.len() + 10);
    frame.extend(MAGIC);
    frame.extend(ABI_VERSION.to_le_bytes());
    frame.extend(length.to_le_bytes());
    frame.extend(body);
    stream.write_all(&frame).await
}

async fn read_frame(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut header = [0; 10];
    match stream.read_exact(&mut header).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    };
    let bad = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    if header[..4] != MAGIC {
        return Err(bad("the other end speaks another protocol"));
    }
    if header[4..6] != ABI_VERSION.to_le_bytes() {
        return Err(bad("the other end speaks another version of the ABI"));
    }
    let mut length = [0; 4];
    length.copy_from_slice(&header[6..]);
    let length = u32::from_le_bytes(length) as usize;
    if length > wire::FRAME_BYTES_MAX {
        return Err(bad("a frame is over the limit"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(body))
}

/// A port of the host's operator into a runtime in another process.
#[derive(Debug, Clone)]
pub struct RemotePort {
    store: PathBuf,
    operator: String,
}

impl RemotePort {
    /// Finds the runtime that holds a store; `None` when none answers.
    pub async fn find(store: &Path, operator: &str) -> Option<Self> {
        let port = Self { store: store.to_owned(), operator: operator.to_owned() };
        port.connect().await.ok().map(|_| port)
    }

    async fn connect(&self) -> io::Result<UnixStream> {
        let (_folder, short) = short_path(&self.store)?;
        UnixStream::connect(short).await
    }

    async fn exchange(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.connect().await?;
        write_frame(&mut stream, request).await?;
        Ok(read_frame(&mut stream).await?.ok_or(io::ErrorKind::UnexpectedEof)?)
    }

    /// The state of the runtime, once everything so far is on disk.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn state(&self) -> io::Result<State> {
        let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let reply = self.exchange(&[]).await?;
        let state: Result<(u64, Digest), Fault> = wire::decode(&reply).map_err(invalid)?;
        let (records, digest) = state.map_err(io::Error::other)?;
        Ok(State { records, digest })
    }
}

impl Port for RemotePort {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            let request = wire::encode(&(self.operator.clone(), call));
            let invalid = |error| io::Error::new(io::ErrorKind::InvalidData, error);
            let reply = self.exchange(&request).await;
            let outcome = reply.and_then(|reply| wire::decode(&reply).map_err(invalid));
            outcome.unwrap_or_else(|error| {
                let what = format!("the runtime that holds the store did not answer: {error}");
                Err(Fault::StoreUnavailable { what }.into())
            })
        })
    }
}
