//! Requests over HTTP/1.1, each on a connection of its own.
//!
//! Owns the choice of the address ([`connect`], [`address`]), what may be sent ([`request`]) and
//! what is told of the answer. A redirect is told and never followed: whoever wants to go there
//! makes a call, which is decided like any other. Nothing is unpacked, no proxy of the host's
//! environment is used, and what comes back is searched for secrets before anything else happens
//! to it.

mod address;
mod connect;
mod request;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http_body_util::BodyExt as _;
use hyper::{
    Request, Response as Answer, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header,
};
use libos_abi::{
    CONTENT_BYTES_MAX, Digest, Error, OpId, Syscall, Text, Url,
    http::{BODY_BYTES_DEFAULT, Call, FailureKind, Header, Reply, Response},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use tokio::{
    sync::mpsc::{Receiver, channel},
    task::JoinSet,
    time::Instant,
};
use tokio_rustls::rustls::ClientConfig;

pub use self::{
    address::{BadNetwork, Network},
    connect::{Resolve, SystemResolver, Wire},
};
use self::{
    connect::{Connection, addresses, connect, resolve},
    request::{Parts, Sent, bad, put},
};
use crate::{
    Stop,
    content::{BadSource, Keeper, Source, Told},
    limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX, REQUEST_MS_MAX, TIMEOUT_MS_DEFAULT},
    provider_failed,
    secrets::{Scrubber, Secrets, Stream},
};

/// What requests get from the host.
#[derive(Clone)]
pub struct HttpConfig {
    /// Networks that may be connected to besides the public internet.
    pub networks: Vec<Network>,
    /// A file with certificates that are trusted besides those of the host.
    pub ca_file: Option<PathBuf>,
    /// What tells the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// The secrets of the host.
    pub secrets: Secrets,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            networks: Vec::new(),
            ca_file: None,
            resolver: Arc::new(SystemResolver),
            secrets: Secrets::default(),
        }
    }
}

/// Performs the calls of the `http` service.
///
/// It must be used inside a tokio runtime with I/O and time.
#[derive(Clone)]
pub struct HttpProvider {
    config: Arc<HttpConfig>,
    /// What the host trusts, read when it is first needed.
    tls: Arc<OnceLock<Result<Arc<ClientConfig>, String>>>,
}

impl HttpProvider {
    /// A provider with these settings.
    #[must_use]
    pub fn new(config: HttpConfig) -> Self {
        Self { config: Arc::new(config), tls: Arc::default() }
    }

    async fn trust(&self, op: OpId) -> Result<Arc<ClientConfig>, Error> {
        let this = self.clone();
        let read = move || {
            let make = || connect::trust(this.config.ca_file.as_deref()).map(Arc::new);
            this.tls.get_or_init(make).clone()
        };
        let read = tokio::task::spawn_blocking(read).await;
        let trusted = read.map_err(|lost| lost.to_string()).and_then(|trusted| trusted);
        trusted.map_err(|error| {
            tracing::error!(%op, %error, "the certificates to trust cannot be used");
            provider_failed(op, "http.no_trust")
        })
    }
}

impl HttpProvider {
    /// A connection to the host and port of an address that the host itself has chosen: of any
    /// network. Of an encrypted one the server has proved its name.
    ///
    /// # Errors
    /// The name has no address, nobody takes a connection there, or the server is another.
    pub async fn connection(&self, op: OpId, url: &Url) -> Result<Box<dyn Wire>, Error> {
        let found = resolve(url, &*self.config.resolver).await?;
        let tls = match url.is_https() {
            true => Some(self.trust(op).await?),
            false => None,
        };
        Ok(connect(op, url, &found, tls).await?.into_inner())
    }
}

impl Provider for HttpProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["http"]
    }

    /// Everything that is refused before a byte is sent is certified as not started.
    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let this = self.clone();
        Box::pin(async move {
            let Syscall::Http(call) = &order.call else {
                let call = order.call.info().name.to_owned();
                return Stop::Refused(libos_abi::Fault::Unsupported { call }.into()).into();
            };
            match this.exchange(&order, Parts::of(call)).await {
                Ok(response) => EffectOutcome::Done(reply(call, response)),
                Err(stop) => stop.into(),
            }
        })
    }
}

fn reply(call: &Call, response: Response) -> libos_abi::Reply {
    let response = Box::new(response);
    match call {
        Call::Fetch(_) => Reply::Fetch(response),
        Call::Replace(_) => Reply::Replace(response),
        Call::Send(_) => Reply::Send(response),
    }
    .into()
}

impl HttpProvider {
    async fn exchange(&self, order: &Order, parts: Parts<'_>) -> Result<Response, Stop> {
        let op = order.op;
        let given = parts.timeout_ms.map_or(TIMEOUT_MS_DEFAULT, |ms| ms.0);
        let deadline = Instant::now() + Duration::from_millis(given.min(REQUEST_MS_MAX));
        // The connection lives as long as this does, and so does what feeds it.
        let mut driver = JoinSet::new();
        let opened = self.open(order, &parts, &mut driver);
        // Nothing was sent as long as there is no connection.
        let (request, connection) = in_time(deadline, opened)
            .await
            .unwrap_or_else(|| {
                let why = format!("no connection was made in time to `{}`", parts.url.authority());
                Err(FailureKind::NotConnected.because(why))
            })
            .map_err(Stop::Refused)?;
        let lost = |error: Error| match parts.is_irreversible {
            true => Stop::Unknown(error.to_string()),
            false => Stop::Failed(error),
        };
        let late = || FailureKind::TimedOut.because("there was no whole answer in time");
        let answered = in_time(deadline, answer(op, request, connection, &mut driver)).await;
        let answer = answered.unwrap_or_else(|| Err(late())).map_err(lost)?;
        let scrubber = self.config.secrets.scrubber();
        let told = in_time(deadline, told(order, answer, &parts, &scrubber)).await;
        // That it was answered is known, so the effect happened.
        told.unwrap_or_else(|| match parts.is_irreversible {
            true => Err(FailureKind::BadResponse.because("the answer did not end in time")),
            false => Err(late()),
        })
        .map_err(Stop::Failed)
    }

    /// Sends a request on behalf of another provider, which says what a crash means for it.
    pub(crate) async fn send(
        &self,
        order: &Order,
        call: libos_abi::http::Send,
        is_irreversible: bool,
    ) -> Result<Response, Stop> {
        let call = Call::Send(Box::new(call));
        let mut parts = Parts::of(&call);
        parts.is_irreversible = is_irreversible;
        self.exchange(order, parts).await
    }

    /// Refuses all that can be, then connects.
    async fn open(
        &self,
        order: &Order,
        parts: &Parts<'_>,
        driver: &mut JoinSet<()>,
    ) -> Result<(Request<Sent>, Connection), Error> {
        let op = order.op;
        let mut request = parts.request(content(order, driver).await?)?;
        let refused = |why: String| FailureKind::SecretRefused.because(why);
        let resource = parts.url.resource();
        let secrets = self.config.secrets.for_host(resource.body(), parts.secrets).await;
        let secrets = secrets.map_err(|error| refused(error.to_string()))?;
        let open = addresses(parts.url, &*self.config.resolver, &self.config.networks).await?;
        let is_here = open.iter().all(std::net::IpAddr::is_loopback);
        if !secrets.is_empty() && !parts.url.is_https() && !is_here {
            return Err(refused("a secret goes over https, or to this very machine".into()));
        }
        for (at, value) in &secrets {
            put(request.headers_mut(), at, value)?;
        }
        let tls = match parts.url.is_https() {
            true => Some(self.trust(op).await?),
            false => None,
        };
        let connection = connect(op, parts.url, &open, tls).await?;
        Ok((request, connection))
    }
}

async fn in_time<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    tokio::time::timeout_at(deadline, future).await.ok()
}

fn bad_response(why: &str) -> Error {
    FailureKind::BadResponse.because(why)
}

/// Sends the request; the head of the answer.
async fn answer(
    op: OpId,
    request: Request<Sent>,
    connection: Connection,
    driver: &mut JoinSet<()>,
) -> Result<Answer<Incoming>, Error> {
    let broken = |error: hyper::Error| {
        tracing::info!(%op, %error, "an exchange broke off");
        bad_response("the exchange broke off, or the answer is none")
    };
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(connection)
        .await
        .map_err(broken)?;
    driver.spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%op, %error, "a connection ended");
        }
    });
    sender.send_request(request).await.map_err(broken)
}

/// How many bytes of an object are sent, and the bytes. It is read through before anything is sent,
/// so that what cannot be sent is refused.
async fn content(
    order: &Order,
    driver: &mut JoinSet<()>,
) -> Result<Option<(u64, Receiver<Bytes>)>, Error> {
    if order.content.is_none() {
        return Ok(None);
    }
    let (mut bytes, mut source) = (0, Source::of(order));
    let wrong = |why| match why {
        BadSource::Content => bad("the object holds something else than texts and bytes"),
        BadSource::Lost(fault) => fault.into(),
    };
    while let Some(piece) = source.next().await.map_err(wrong)? {
        bytes += piece.len() as u64;
        if bytes > CONTENT_BYTES_MAX.into() {
            return Err(bad(format!("the object has more than {CONTENT_BYTES_MAX} bytes")));
        }
    }
    let (feed, pieces) = channel(1);
    let mut source = Source::of(order);
    driver.spawn(async move {
        while let Ok(Some(piece)) = source.next().await {
            if feed.send(piece.into()).await.is_err() {
                break;
            }
        }
    });
    Ok(Some((bytes, pieces)))
}

/// What the caller is told of an answer.
async fn told(
    order: &Order,
    answer: Answer<Incoming>,
    parts: &Parts<'_>,
    scrubber: &Scrubber,
) -> Result<Response, Error> {
    let (head, mut incoming) = answer.into_parts();
    if head.status.is_informational() {
        return Err(bad_response("the server wants to speak another protocol"));
    }
    let is_plain = |value: &header::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !head.headers.get_all(header::CONTENT_ENCODING).iter().all(is_plain) {
        return Err(bad_response("the body is encoded though that was not asked for"));
    }
    let text = |bytes: &[u8]| scrubber.text(&String::from_utf8_lossy(bytes)).into_owned();
    let headers: Vec<Header> = (head.headers.iter())
        .map(|(name, value)| Header {
            name: text(name.as_str().as_bytes()),
            value: text(value.as_bytes()),
        })
        .collect();
    let location = headers.iter().find(|header| header.name == "location");
    let redirect = location.filter(|_| points_elsewhere(head.status));
    let redirect = redirect.and_then(|location| parts.url.join(&location.value).ok());
    let mut stream = Stream::new(scrubber);
    let limit = parts.max_bytes.unwrap_or(BODY_BYTES_DEFAULT).min(BODY_BYTES_MAX) as usize;
    let mut keeper = parts.keeps.then(|| Keeper::new(order, parts.max_bytes));
    let mut is_whole = true;
    while let Some(frame) = incoming.frame().await {
        let frame = frame.map_err(|_| bad_response("the answer broke off"))?;
        if let Some(data) = frame.data_ref() {
            stream.take(data);
        }
        match &mut keeper {
            Some(keeper) => keeper.take(&stream.drain()).await?,
            // One byte more tells whether it was all.
            None => is_whole = stream.len() <= limit,
        }
        if !is_whole || keeper.as_ref().is_some_and(Keeper::is_full) {
            break;
        }
    }
    let body = match keeper {
        Some(mut keeper) => {
            keeper.take(&stream.finish()).await?;
            kept(keeper.finish().await?)
        }
        None => cut(stream.finish(), limit, is_whole),
    };
    Ok(Response { status: head.status.as_u16(), headers, redirect, ..body })
}

fn points_elsewhere(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// A body that is kept as an object.
fn kept(Told { head, digest, truncated, kept }: Told) -> Response {
    Response {
        status: 0,
        headers: Vec::new(),
        body: head,
        base64: false,
        bytes: kept.bytes,
        digest,
        truncated,
        redirect: None,
        object: Some(kept),
    }
}

/// A body within the limit, as text or else in base64.
fn cut(mut body: Vec<u8>, limit: usize, is_whole: bool) -> Response {
    let mut truncated = !is_whole || body.len() > limit;
    body.truncate(limit);
    if let (true, Err(error)) = (truncated, std::str::from_utf8(&body))
        && error.error_len().is_none()
    {
        body.truncate(error.valid_up_to());
    }
    let base64 = std::str::from_utf8(&body).is_err();
    if base64 && body.len() > limit / 4 * 3 {
        body.truncate(limit / 4 * 3);
        truncated = true;
    }
    let (bytes, digest) = (body.len() as u64, Digest::of(&body));
    let body = match String::from_utf8(body) {
        Ok(text) => Text::from(text),
        Err(error) => Text::from(STANDARD.encode(error.as_bytes())),
    };
    let headers = Vec::new();
    let (status, redirect, object) = (0, None, None);
    Response { status, headers, body, base64, bytes, digest, truncated, redirect, object }
}
