//! What may be sent: headers of the caller, headers that are set here, the body.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use hyper::{
    Method, Request,
    body::{Body, Bytes, Frame, SizeHint},
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use libos_abi::{
    Error, Millis, SecretUse, Text, Url,
    http::{Call, FailureKind, Header},
};
use tokio::sync::mpsc::Receiver;

use crate::limits::{BODY_BYTES_MAX, HEAD_BYTES_MAX, HEADERS_MAX};

/// Headers that say how a message is framed and forwarded, or that have servers take it for another
/// one. No caller sets them.
const CLOSED: [&str; 24] = [
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-forwarded-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-url",
    "x-rewrite-url",
    "x-forwarded-proto",
];

/// The parts of a call that all three have.
pub(super) struct Parts<'c> {
    pub(super) url: &'c Url,
    method: &'static str,
    headers: &'c [Header],
    pub(super) secrets: &'c [SecretUse],
    body: Option<&'c Text>,
    pub(super) max_bytes: Option<u32>,
    /// Whether the body of the answer is kept as an object.
    pub(super) keeps: bool,
    pub(super) timeout_ms: Option<Millis>,
    /// Whether nobody can tell what became of it once it was sent.
    pub(super) is_irreversible: bool,
}

impl<'c> Parts<'c> {
    pub(super) fn of(call: &'c Call) -> Self {
        macro_rules! parts {
            ($call:expr, $body:expr, $irreversible:expr) => {
                Self {
                    url: &$call.url,
                    method: $call.method.name(),
                    headers: $call.headers.as_deref().unwrap_or_default(),
                    secrets: $call.secrets.as_deref().unwrap_or_default(),
                    body: $body,
                    max_bytes: $call.max_bytes,
                    keeps: $call.into.is_some(),
                    timeout_ms: $call.timeout_ms,
                    is_irreversible: $irreversible,
                }
            };
        }
        match call {
            Call::Fetch(call) => parts!(call, None, false),
            Call::Replace(call) => parts!(call, call.body.as_ref(), false),
            Call::Send(call) => parts!(call, call.body.as_ref(), true),
        }
    }

    /// The request, without its secrets. So many bytes come behind its body.
    ///
    /// # Errors
    /// [`FailureKind::BadRequest`] for what may not be sent.
    pub(super) fn request(
        &self,
        more: Option<(u64, Receiver<Bytes>)>,
    ) -> Result<Request<Sent>, Error> {
        let body = match self.body {
            None => Bytes::new(),
            Some(Text::Inline(text)) => Bytes::copy_from_slice(text.as_bytes()),
            Some(Text::Blob(_)) => return Err(bad("the body is not here")),
        };
        if body.len() > BODY_BYTES_MAX as usize {
            return Err(bad(format!("the body has more than {BODY_BYTES_MAX} bytes")));
        }
        let mut headers = self.headers()?;
        let own = [
            (header::HOST, self.url.authority()),
            (header::USER_AGENT, concat!("agent-libos/", env!("CARGO_PKG_VERSION"))),
            (header::ACCEPT, "*/*"),
            (header::ACCEPT_ENCODING, "identity"),
            (header::CONNECTION, "close"),
        ];
        for (name, value) in own {
            if !headers.contains_key(&name) {
                headers.insert(name, value_of(value)?);
            }
        }
        let method = Method::from_bytes(self.method.as_bytes());
        let (more, rest) = more.unzip();
        let left = body.len() as u64 + more.unwrap_or_default();
        let mut request = Request::new(Sent { first: body, rest, left });
        *request.method_mut() = method.map_err(|_| bad("there is no such method"))?;
        *request.uri_mut() =
            self.url.target().parse().map_err(|_| bad("the path cannot be sent"))?;
        *request.headers_mut() = headers;
        Ok(request)
    }

    fn headers(&self) -> Result<HeaderMap, Error> {
        if self.headers.len() > HEADERS_MAX {
            return Err(bad(format!("there are more than {HEADERS_MAX} headers")));
        }
        let mut headers = HeaderMap::new();
        let mut bytes = 0;
        for given in self.headers {
            bytes += given.name.len() + given.value.len();
            let name = name_of(&given.name)?;
            if headers.insert(&name, value_of(&given.value)?).is_some() {
                return Err(bad(format!("the header `{name}` is given twice")));
            }
        }
        if bytes > HEAD_BYTES_MAX {
            return Err(bad(format!("the headers have more than {HEAD_BYTES_MAX} bytes")));
        }
        for secret in self.secrets {
            let name = name_of(&secret.at)?;
            if headers.insert(&name, HeaderValue::from_static("")).is_some() {
                return Err(bad(format!("the header `{name}` is given twice")));
            }
        }
        for secret in self.secrets {
            headers.remove(name_of(&secret.at)?);
        }
        Ok(headers)
    }
}

/// The body of a request: what the call carries, and what comes from an object.
pub(super) struct Sent {
    first: Bytes,
    rest: Option<Receiver<Bytes>>,
    left: u64,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        let first = std::mem::take(&mut this.first);
        let piece = match (first.is_empty(), &mut this.rest) {
            (false, _) => Some(first),
            (true, Some(rest)) => ready!(rest.poll_recv(cx)),
            (true, None) => None,
        };
        let left = this.left.checked_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        Poll::Ready(match (piece, left) {
            (Some(piece), Some(left)) => {
                this.left = left;
                Some(Ok(Frame::data(piece)))
            }
            (None, Some(0)) => None,
            _ => Some(Err(io::Error::other("the content is not as long as it was"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Puts a secret into its header.
pub(super) fn put(headers: &mut HeaderMap, at: &str, value: &str) -> Result<(), Error> {
    let mut value = value_of(value)?;
    value.set_sensitive(true);
    headers.insert(name_of(at)?, value);
    Ok(())
}

/// A header that a caller may set. Some servers take `_` for `-`, so there is none in it.
fn name_of(written: &str) -> Result<HeaderName, Error> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let name = HeaderName::from_bytes(written.as_bytes()).ok();
    let name = name.filter(|name| name.as_str().bytes().all(is_name));
    match name {
        None => Err(bad("a header's name is no word of letters, digits and `-`")),
        Some(name) if CLOSED.contains(&name.as_str()) => {
            Err(bad(format!("the header `{name}` is not set by a caller")))
        }
        Some(name) => Ok(name),
    }
}

fn value_of(written: &str) -> Result<HeaderValue, Error> {
    let is_plain = written.bytes().all(|byte| byte.is_ascii_graphic() || b" \t".contains(&byte));
    let value = HeaderValue::from_str(written).ok().filter(|_| is_plain);
    value.ok_or_else(|| bad("a header's value is no line of ASCII characters"))
}

pub(super) fn bad(why: impl Into<String>) -> Error {
    FailureKind::BadRequest.because(why)
}
