//! The methods of the web site, played.

use std::time::Duration;

use libos_abi::{
    Error, Fault, Json, Millis, Syscall, Text,
    rpc::{Call, FailureKind, Reply, Returned},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use serde_json::{Value, json};

use crate::site::{self, Answered};

/// Serves `rpc` with the endpoint `site` and the endpoint `closed`, at which nobody listens.
#[derive(Debug, Default, Clone, Copy)]
pub struct Rpc;

impl Provider for Rpc {
    fn serves(&self) -> &'static [&'static str] {
        &["rpc"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        Box::pin(async move {
            let Syscall::Rpc(call) = &order.call else {
                let call = order.call.info().name.into();
                return EffectOutcome::NotStarted(Fault::Unsupported { call }.into());
            };
            let (endpoint, method, params, timeout_ms, is_query) = match call {
                Call::Query(it) => (&it.endpoint, &it.method, &it.params, it.timeout_ms, true),
                Call::Invoke(it) => (&it.endpoint, &it.method, &it.params, it.timeout_ms, false),
            };
            let message = match plan(endpoint, method, params.as_ref(), is_query, &order) {
                Ok(message) => message,
                Err(error) => return EffectOutcome::NotStarted(error),
            };
            match (play(method, &message, timeout_ms).await, is_query) {
                (Ok(result), true) => EffectOutcome::Done(Reply::Query(result).into()),
                (Ok(result), false) => EffectOutcome::Done(Reply::Invoke(result).into()),
                (Err(error), false) if error.code() == "timed_out" => {
                    EffectOutcome::Unknown("it was sent".into())
                }
                (Err(error), _) => EffectOutcome::Failed(error),
            }
        })
    }
}

/// The message; everything is refused here.
fn plan(
    endpoint: &str,
    method: &str,
    params: Option<&Json>,
    is_query: bool,
    order: &Order,
) -> Result<Value, Error> {
    let known = site::METHODS.iter().find(|(name, ..)| *name == method);
    let known = known.filter(|_| ["site", "closed"].contains(&endpoint));
    let may = known.filter(|(_, may, ..)| *may || !is_query);
    may.ok_or_else(|| FailureKind::UnknownMethod.because("there is no such method"))?;
    let params = match params {
        None => Value::Null,
        Some(Json(Text::Inline(text))) => serde_json::from_str(text).unwrap_or_default(),
        Some(Json(Text::Blob(_))) => {
            let kind = "blob.missing".into();
            return Err(Fault::ProviderFailed { kind, op: order.op }.into());
        }
    };
    let fits = match &params {
        Value::Array(items) => method != "sum" || items.iter().all(Value::is_i64),
        Value::Object(_) | Value::Null => method != "sum",
        _ => false,
    };
    if !fits {
        return Err(FailureKind::BadParams.because("they do not fit"));
    }
    match endpoint {
        "closed" => Err(FailureKind::NotConnected.because("nobody listens there")),
        _ => Ok(json!({ "id": order.op.0, "method": method, "params": params })),
    }
}

async fn play(
    method: &str,
    message: &Value,
    timeout_ms: Option<Millis>,
) -> Result<Returned, Error> {
    let bad = || FailureKind::BadResult.because("it does not fit");
    let body = match site::method(message) {
        Answered::With(_, _, body) => body,
        Answered::Late | Answered::Never => {
            let limit = timeout_ms.map_or(30_000, |ms| ms.0);
            tokio::time::sleep(Duration::from_millis(limit)).await;
            return Err(FailureKind::TimedOut.because("it took too long"));
        }
    };
    let answer: Value = serde_json::from_slice(&body).map_err(|_| bad())?;
    if answer["id"] != message["id"] || (method == "wrong" && !answer["result"].is_i64()) {
        return Err(bad());
    }
    match (answer.get("result"), answer.get("error")) {
        (Some(result), None) => Ok(Returned { result: Json::from(result) }),
        (None, Some(_)) => Err(FailureKind::MethodFailed.because("it failed")),
        _ => Err(bad()),
    }
}
