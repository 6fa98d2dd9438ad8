//! One connection to an address that was checked.
//!
//! A name is looked up once, every address that came back is checked, and the connection is made to
//! one of exactly these: nothing is looked up a second time. No proxy is used.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};

use hyper_util::rt::TokioIo;
use libos_abi::{Error, OpId, Url, http::FailureKind};
use libos_port::BoxFuture;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};

use super::address::{Network, is_open};
use crate::limits::{ADDRESSES_MAX, CONNECT_MS_MAX};

/// What tells the addresses of a name. Tests and embedders may pass their own.
pub trait Resolve: Send + Sync {
    /// The addresses of a name.
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;
}

/// The host's own resolver.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolve for SystemResolver {
    fn resolve(&self, name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        })
    }
}

/// A connection, encrypted or not.
pub trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A connection that hyper can use.
pub(super) type Connection = TokioIo<Box<dyn Wire>>;

/// The addresses of a URL, each checked.
///
/// # Errors
/// The name has none, or one that is not open: names that have both kinds are up to something.
pub(super) async fn addresses(
    url: &Url,
    resolver: &dyn Resolve,
    networks: &[Network],
) -> Result<Vec<IpAddr>, Error> {
    let host = url.host();
    let found = resolve(url, resolver).await?;
    match found.iter().all(|address| is_open(*address, networks)) {
        true => Ok(found),
        false => Err(FailureKind::AddressRefused.because(format!(
            "`{host}` is at an address that is not public; the host opens such networks in \
             `http.networks`"
        ))),
    }
}

/// The addresses of a URL.
///
/// # Errors
/// There is none.
pub(super) async fn resolve(url: &Url, resolver: &dyn Resolve) -> Result<Vec<IpAddr>, Error> {
    let host = url.host();
    let found = match host.parse::<IpAddr>() {
        Ok(address) => vec![address],
        Err(_) => {
            let limit = Duration::from_millis(CONNECT_MS_MAX);
            let found = timeout(limit, resolver.resolve(host.to_owned())).await;
            found.ok().and_then(Result::ok).unwrap_or_default()
        }
    };
    match found.is_empty() {
        true => Err(FailureKind::Unresolved.because(format!("`{host}` has no address"))),
        false => Ok(found),
    }
}

/// A connection to the first of these addresses that takes one; with `tls` the server has proved
/// its name.
pub(super) async fn connect(
    op: OpId,
    url: &Url,
    addresses: &[IpAddr],
    tls: Option<Arc<ClientConfig>>,
) -> Result<Connection, Error> {
    let not_connected =
        |what: &str| FailureKind::NotConnected.because(format!("{what} `{}`", url.authority()));
    let each = Duration::from_millis(CONNECT_MS_MAX);
    let mut stream = None;
    for address in addresses.iter().take(ADDRESSES_MAX) {
        match timeout(each, TcpStream::connect(SocketAddr::new(*address, url.port()))).await {
            Ok(Ok(connected)) => {
                stream = Some(connected);
                break;
            }
            Ok(Err(error)) => tracing::info!(%op, %address, %error, "no connection was made"),
            Err(_) => tracing::info!(%op, %address, "no connection was made in time"),
        }
    }
    let stream = stream.ok_or_else(|| not_connected("no connection was made to"))?;
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%op, %error, "small packets wait");
    }
    let Some(tls) = tls else {
        return Ok(TokioIo::new(Box::new(stream)));
    };
    let name = ServerName::try_from(url.host().to_owned())
        .map_err(|_| not_connected("no certificate can be for"))?;
    let connector = TlsConnector::from(tls);
    match timeout(each, connector.connect(name, stream)).await {
        Ok(Ok(encrypted)) => Ok(TokioIo::new(Box::new(encrypted))),
        Ok(Err(error)) => {
            tracing::info!(%op, %error, "a server did not prove its name");
            Err(not_connected("no trusted certificate came from"))
        }
        Err(_) => Err(not_connected("no encrypted connection was made in time to")),
    }
}

/// What proves names: the certificates that the host trusts, and those of a file.
///
/// # Errors
/// The file cannot be read or holds no certificate.
pub(super) fn trust(more: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!(%error, "a certificate of the host cannot be read");
    }
    let (_, unusable) = roots.add_parsable_certificates(native.certs);
    if unusable > 0 {
        tracing::debug!(unusable, "certificates of the host that cannot be used");
    }
    if let Some(path) = more {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let before = roots.len();
        let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(&error))?;
        for certificate in certificates {
            let certificate = certificate.map_err(|error| failed(&error))?;
            roots.add(certificate).map_err(|error| failed(&error))?;
        }
        if roots.len() == before {
            return Err(failed(&"there is no certificate in it"));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}
