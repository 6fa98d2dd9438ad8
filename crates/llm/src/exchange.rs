//! One try of one exchange: a request over HTTP/1.1, and what streams back.

use std::{
    future::Future,
    time::{Duration, SystemTime},
};

use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request as HttpRequest, Response, StatusCode,
    body::{Bytes, Incoming},
    client::conn::http1,
    header::{self, HeaderMap, HeaderValue},
};
use hyper_util::rt::TokioIo;
use libos_abi::{OpId, Url, llm::Part};
use libos_port::{Progress, Tell};
use tokio::{task::JoinSet, time::timeout};

use crate::{
    host::Host,
    limits::ANSWER_BYTES_MAX,
    profile::{Kind, Patience, Profile},
    sse::Events,
    wire::{self, Answer, Collector, Request, Trouble},
};

/// The most bytes that are looked at of what says why there is no answer.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// What came back of a try: the answer, and the events it was made of.
pub(crate) struct Exchanged {
    pub(crate) answer: Answer,
    pub(crate) events: Vec<String>,
}

/// What an exchange is about.
pub(crate) struct Exchange<'e> {
    pub(crate) op: OpId,
    pub(crate) host: &'e dyn Host,
    pub(crate) profile: &'e Profile,
    pub(crate) patience: Patience,
    /// By what the endpoint knows a request that it has seen before.
    pub(crate) idempotency_key: &'e str,
    /// Whether the events are wanted beside the answer.
    pub(crate) keeps_events: bool,
    /// Who is told what comes.
    pub(crate) progress: &'e dyn Tell,
}

impl Exchange<'_> {
    /// Tries it once. Each wait has its limit.
    pub(crate) async fn attempt(&self, request: &Request) -> Result<Exchanged, Trouble> {
        let url = address(&self.profile.base_url, self.profile.kind)?;
        let body = request.body.to_string();
        let asked = body.len();
        let http = self.http(&url, body).await?;
        let connected = in_time(self.patience.connect, "no connection was made in time", async {
            self.host.connect(self.op, &url).await.map_err(|_| broken("no connection was made"))
        });
        let stream = TokioIo::new(connected.await?);
        // The connection lives as long as this does.
        let mut driver = JoinSet::new();
        let answer = in_time(self.patience.first_byte, "no answer began in time", async {
            let (mut sender, connection) = http1::handshake(stream).await.map_err(cut)?;
            let op = self.op;
            driver.spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%op, %error, "a connection ended");
                }
            });
            sender.send_request(http).await.map_err(cut)
        });
        let answer = answer.await?;
        match answer.status() {
            StatusCode::OK => {
                let whole = self.collect(request, asked, answer);
                in_time(self.patience.whole, "the answer found no end in time", whole).await
            }
            status => Err(self.refusal(status, answer).await),
        }
    }

    async fn http(&self, url: &Url, body: String) -> Result<HttpRequest<Full<Bytes>>, Trouble> {
        let mut request = HttpRequest::new(Full::new(Bytes::from(body)));
        *request.method_mut() = hyper::Method::POST;
        *request.uri_mut() = url.target().parse().map_err(|_| Trouble::NotTaken(0))?;
        let mut put = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).map_err(|_| Trouble::NotTaken(0))?;
            request.headers_mut().insert(name, value);
            Ok(())
        };
        put("host", url.authority())?;
        put("user-agent", concat!("agent-libos/", env!("CARGO_PKG_VERSION")))?;
        put("accept", "text/event-stream")?;
        put("content-type", "application/json")?;
        put("connection", "close")?;
        put("idempotency-key", self.idempotency_key)?;
        if self.profile.kind == Kind::Messages {
            let (name, version) = wire::messages::VERSION;
            put(name, version)?;
        }
        if let Some(secret) = &self.profile.key {
            let (name, prefix) = self.profile.kind.key_header();
            let key = self.host.key(secret, url, name, prefix).await;
            let key = key.map_err(|_| Trouble::Unauthorized)?;
            let mut key = HeaderValue::from_str(&key).map_err(|_| Trouble::Unauthorized)?;
            key.set_sensitive(true);
            request.headers_mut().insert(name, key);
        }
        Ok(request)
    }

    async fn collect(
        &self,
        request: &Request,
        asked: usize,
        answer: Response<Incoming>,
    ) -> Result<Exchanged, Trouble> {
        let is_stream = (answer.headers().get(header::CONTENT_TYPE))
            .and_then(|form| form.to_str().ok())
            .is_some_and(|form| form.trim_start().starts_with("text/event-stream"));
        if !is_stream {
            return Err(Trouble::Malformed("the answer is no stream of events"));
        }
        let mut body = answer.into_body();
        let (mut stream, mut events) = (Events::default(), Vec::new());
        let (mut collector, mut bytes) = (Collector::of(self.profile.kind), 0);
        let mut wait = self.patience.first_byte;
        while !collector.is_done() {
            let next = in_time(wait, "the answer stopped", async { Ok(body.frame().await) });
            let Some(frame) = next.await? else { break };
            wait = self.patience.idle;
            let frame = frame.map_err(cut)?;
            let Some(piece) = frame.data_ref() else { continue };
            bytes += piece.len();
            if bytes > ANSWER_BYTES_MAX {
                return Err(Trouble::Malformed("the answer is too long"));
            }
            let whole = stream.take(piece);
            for event in whole.map_err(|_| Trouble::Malformed("an event is no text"))? {
                let event = self.host.scrub(&event);
                collector.take(&event)?;
                events.extend(self.keeps_events.then_some(event));
            }
            if let Some(said) = collector.news() {
                self.progress.tell(Progress::Text(self.host.scrub(said)));
            }
        }
        if let Some(said) = collector.rest() {
            self.progress.tell(Progress::Text(self.host.scrub(said)));
        }
        let answer = clean(self.host, collector.finish(request, asked)?);
        Ok(Exchanged { answer, events })
    }

    async fn refusal(&self, status: StatusCode, answer: Response<Incoming>) -> Trouble {
        let retry_after = retry_after(answer.headers(), SystemTime::now());
        let mut body = answer.into_body();
        let mut said = Vec::new();
        while said.len() < REFUSAL_BYTES_MAX {
            match timeout(self.patience.idle, body.frame()).await {
                Ok(Some(Ok(frame))) => said.extend(frame.data_ref().into_iter().flatten()),
                _ => break,
            }
        }
        let said = self.host.scrub(&String::from_utf8_lossy(&said));
        tracing::warn!(op = %self.op, %status, said, "an endpoint gave no answer");
        wire::refusal(status.as_u16(), retry_after, &said)
    }
}

/// An answer without the host's secrets, which may lie across events.
pub(crate) fn clean(host: &dyn Host, mut answer: Answer) -> Answer {
    for part in &mut answer.message.parts {
        match part {
            Part::Text { text } | Part::ToolCall { arguments: text, .. } => {
                *text = host.scrub(text);
            }
            Part::ToolResult { .. } => {}
        }
    }
    answer
}

fn broken(why: &'static str) -> Trouble {
    Trouble::Broken(why)
}

fn cut(error: hyper::Error) -> Trouble {
    tracing::info!(%error, "an exchange broke off");
    broken("the exchange broke off")
}

async fn in_time<T>(
    limit: Duration,
    why: &'static str,
    future: impl Future<Output = Result<T, Trouble>>,
) -> Result<T, Trouble> {
    timeout(limit, future).await.unwrap_or(Err(broken(why)))
}

/// Where an endpoint takes requests of a form.
fn address(base: &Url, kind: Kind) -> Result<Url, Trouble> {
    let base = base.as_str().trim_end_matches('/');
    format!("{base}/{}", kind.path()).parse().map_err(|_| Trouble::NotTaken(0))
}

/// How long an endpoint asks to wait: milliseconds, seconds or a date. A date is taken against the
/// endpoint's own clock if it tells it, so that it does not matter which of the two is wrong.
fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let number = |name: &str| text(name)?.parse::<f64>().ok();
    let date = |name: &str| httpdate::parse_http_date(text(name)?).ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1_000.0);
    if let Some(seconds) = seconds.or_else(|| number("retry-after")) {
        // What is less than nothing, or no number, is nothing.
        return Some(Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX));
    }
    let until = date("retry-after")?;
    Some(until.duration_since(date("date").unwrap_or(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_says_how_long_it_wants_nothing_in_three_ways() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(1_445_412_477_500);
        let wait = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.insert(*name, HeaderValue::from_str(value).unwrap());
            }
            retry_after(&headers, now)
        };
        let ms = |ms| Some(Duration::from_millis(ms));
        assert_eq!(wait(&[]), None);
        assert_eq!(wait(&[("retry-after", "2")]), ms(2_000));
        assert_eq!(wait(&[("retry-after", "9"), ("retry-after-ms", "1500")]), ms(1_500));
        assert_eq!(wait(&[("retry-after", "-2")]), ms(0));
        assert_eq!(wait(&[("retry-after", "NaN")]), ms(0));
        assert_eq!(wait(&[("retry-after", "1e300")]), Some(Duration::MAX));
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        let date = ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT");
        assert_eq!(wait(&[date]), ms(2_500));
        let theirs = ("date", "Wed, 21 Oct 2015 07:27:40 GMT");
        assert_eq!(wait(&[date, theirs]), ms(20_000), "by their own clock");
        let ahead = ("date", "Wed, 21 Oct 2015 07:29:00 GMT");
        assert_eq!(wait(&[date, ahead]), ms(0), "it is over already");
        for old in ["Wednesday, 21-Oct-15 07:28:00 GMT", "Wed Oct 21 07:28:00 2015"] {
            assert_eq!(wait(&[("retry-after", old)]), ms(2_500));
        }
    }
}
