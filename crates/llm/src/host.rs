//! What an exchange gets from the host: connections, keys, and their removal from what comes back.

use libos_abi::{OpId, Url};
use libos_port::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, encrypted or not.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// That there is no connection. The host's log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no connection")]
pub struct NoConnection;

/// That there is no key, or that it may not go there. The host's log says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is no key")]
pub struct NoKey;

/// The host of the provider. It chose the addresses itself, so any may be connected to.
pub trait Host: Send + Sync {
    /// A connection to the host and port of an address.
    fn connect<'a>(
        &'a self,
        op: OpId,
        url: &'a Url,
    ) -> BoxFuture<'a, Result<Box<dyn Stream>, NoConnection>>;

    /// The value of a header that holds a secret: `prefix` and the secret.
    fn key<'a>(
        &'a self,
        secret: &'a str,
        url: &'a Url,
        header: &'a str,
        prefix: &'a str,
    ) -> BoxFuture<'a, Result<String, NoKey>>;

    /// A text without the host's secrets.
    fn scrub(&self, text: &str) -> String;
}
