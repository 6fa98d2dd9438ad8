//! A network of one web site, to which no connection is made.

use std::time::Duration;

use libos_abi::{
    Digest, Error, Fault, Millis, SecretUse, Syscall, Text, Url,
    http::{BODY_BYTES_DEFAULT, Call, FailureKind, Header, Reply, Response},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};

use crate::site::{self, Answered, Asked};

/// Serves `http` with the pages of [`site`], and the one secret there.
#[derive(Debug, Default, Clone, Copy)]
pub struct Http;

/// What all calls have.
struct Parts<'c> {
    url: &'c Url,
    method: &'static str,
    headers: &'c [Header],
    secrets: &'c [SecretUse],
    body: Option<&'c Text>,
    max_bytes: Option<u32>,
    timeout_ms: Option<Millis>,
}

impl Provider for Http {
    fn serves(&self) -> &'static [&'static str] {
        &["http"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        Box::pin(async move {
            let Syscall::Http(call) = &order.call else {
                let call = order.call.info().name.into();
                return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
            };
            let parts = parts(call);
            match plan(&parts) {
                Ok(asked) => play(call, &parts, &asked).await,
                Err(error) => EffectOutcome::NotStarted(error),
            }
        })
    }
}

fn parts(call: &Call) -> Parts<'_> {
    macro_rules! parts {
        ($call:expr, $body:expr) => {
            Parts {
                url: &$call.url,
                method: $call.method.name(),
                headers: $call.headers.as_deref().unwrap_or_default(),
                secrets: $call.secrets.as_deref().unwrap_or_default(),
                body: $body,
                max_bytes: $call.max_bytes,
                timeout_ms: $call.timeout_ms,
            }
        };
    }
    match call {
        Call::Fetch(call) => parts!(call, None),
        Call::Replace(call) => parts!(call, call.body.as_ref()),
        Call::Send(call) => parts!(call, call.body.as_ref()),
    }
}

/// The request; everything is refused here.
fn plan(parts: &Parts<'_>) -> Result<Asked, Error> {
    let bad = |why: &str| FailureKind::BadRequest.because(why);
    let mut asked = Asked {
        method: parts.method.into(),
        target: parts.url.target().into(),
        ..Asked::default()
    };
    for Header { name, value } in parts.headers {
        let (name, is_plain) = (name.to_lowercase(), |byte: u8| (b' '..0x7f).contains(&byte));
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        let is_ours = ["host", "content-length", "transfer-encoding", "connection", "upgrade"]
            .contains(&name.as_str());
        if name.is_empty() || !name.bytes().all(is_name) || !value.bytes().all(is_plain) {
            return Err(bad("that is no header"));
        }
        if is_ours || name == "x-http-method-override" {
            return Err(bad("that header is not set by a caller"));
        }
        if asked.headers.insert(name, value.clone()).is_some() {
            return Err(bad("a header is given twice"));
        }
    }
    if let Some(body) = parts.body {
        let text = body.as_str().filter(|text| text.len() <= 1_048_576);
        asked.body = text.ok_or_else(|| bad("that is no body"))?.into();
    }
    for secret in parts.secrets {
        if asked.headers.contains_key(&secret.at) {
            return Err(bad("a header is given twice"));
        }
        let is_known = secret.name == site::SECRET_NAME && secret.at == site::SECRET_HEADER;
        if !is_known || parts.url.authority() != site::host() {
            return Err(FailureKind::SecretRefused.because("it does not go there"));
        }
        let prefix = secret.prefix.as_deref().unwrap_or_default();
        asked.headers.insert(secret.at.clone(), format!("{prefix}{}", site::SECRET_VALUE));
    }
    match parts.url.host() {
        "127.0.0.1" if parts.url.port() == site::port() => Ok(asked),
        "127.0.0.1" => Err(FailureKind::NotConnected.because("nobody listens there")),
        host if host.parse::<std::net::IpAddr>().is_ok() => {
            Err(FailureKind::AddressRefused.because("that address is not open"))
        }
        _ => Err(FailureKind::Unresolved.because("that name has no address")),
    }
}

async fn play(call: &Call, parts: &Parts<'_>, asked: &Asked) -> EffectOutcome {
    let lost = |error: Error| match call {
        Call::Send(_) => EffectOutcome::Unknown("it was sent".into()),
        Call::Fetch(_) | Call::Replace(_) => EffectOutcome::Failed(error),
    };
    let (status, headers, body) = match site::answer(asked) {
        Answered::With(status, headers, body) => (status, headers, body),
        Answered::Never => return lost(FailureKind::BadResponse.because("it broke off")),
        Answered::Late => {
            let limit =
                parts.timeout_ms.map_or(Duration::from_secs(30), |ms| Duration::from_millis(ms.0));
            tokio::time::sleep(limit).await;
            return lost(FailureKind::TimedOut.because("it took too long"));
        }
    };
    if headers.iter().any(|(name, _)| *name == "content-encoding") {
        return EffectOutcome::Failed(FailureKind::BadResponse.because("it is encoded"));
    }
    let mut told = vec![("content-length", body.len().to_string())];
    told.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let location = told.iter().find(|(name, _)| *name == "location");
    let redirect = location.and_then(|(_, location)| parts.url.join(location).ok());
    let headers = told.into_iter().map(|(name, value)| Header { name: name.into(), value });
    let body = if asked.method == "HEAD" { Vec::new() } else { body };
    let max = parts.max_bytes.unwrap_or(BODY_BYTES_DEFAULT) as usize;
    let told = told_of(body, max);
    let response = Box::new(Response { status, headers: headers.collect(), redirect, ..told });
    let reply = match call {
        Call::Fetch(_) => Reply::Fetch(response),
        Call::Replace(_) => Reply::Replace(response),
        Call::Send(_) => Reply::Send(response),
    };
    EffectOutcome::Done(reply.into())
}

fn told_of(body: Vec<u8>, max: usize) -> Response {
    let (text, base64) = match String::from_utf8(body) {
        Ok(text) => (text, false),
        // The site has one page of bytes.
        Err(error) => return response(error.as_bytes(), "/wABAgM=".into(), true, false),
    };
    let mark = format!("[secret:{}]", site::SECRET_NAME);
    let mut text = text.replace(site::SECRET_VALUE, &mark);
    let truncated = text.len() > max;
    text.truncate(text.floor_char_boundary(max));
    let bytes = text.clone().into_bytes();
    response(&bytes, text, base64, truncated)
}

fn response(bytes: &[u8], body: String, base64: bool, truncated: bool) -> Response {
    Response {
        status: 0,
        headers: Vec::new(),
        body: body.into(),
        base64,
        bytes: bytes.len() as u64,
        digest: Digest::of(bytes),
        truncated,
        redirect: None,
        object: None,
    }
}
