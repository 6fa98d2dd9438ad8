//! Methods of endpoints that the host has registered: a thin layer over requests.
//!
//! Owns the registered endpoints and the shape of a JSON-RPC 2.0 message. Everything about the
//! connection, its secret included, is that of [`HttpProvider`]; what a method gives back has been
//! searched for secrets there.

use std::{collections::BTreeMap, sync::Arc};

use jsonschema::Validator;
use libos_abi::{
    Error, Fault, Json, Millis, OpId, SecretUse, Syscall, Text, Url,
    http::{self, FailureKind as HttpFailure, Header, Sending},
    rpc::{Call, FailureKind, Reply, Returned},
};
use libos_port::{BoxFuture, EffectOutcome, Order, Provider};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Stop,
    http::HttpProvider,
    limits::{BODY_BYTES_MAX, RPC_MESSAGE_CHARS_MAX},
    provider_failed,
};

/// An endpoint as the host registers it.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointSpec {
    /// Where it is.
    pub url: Url,
    /// The secret it takes, and in which header.
    pub secret: Option<SecretUse>,
    /// Its methods by name.
    pub methods: BTreeMap<String, MethodSpec>,
}

/// A method as the host registers it.
#[derive(Debug, Clone, PartialEq)]
pub struct MethodSpec {
    /// Whether it changes nothing.
    pub is_query: bool,
    /// The JSON schema of its parameters; anything if absent.
    pub params: Option<Value>,
    /// The JSON schema of its result; anything if absent.
    pub result: Option<Value>,
}

/// An endpoint that cannot be registered.
#[derive(Debug, thiserror::Error)]
#[error("the method `{method}` of the endpoint `{endpoint}`: {what}")]
pub struct BadEndpoint {
    endpoint: String,
    method: String,
    what: String,
}

struct Endpoint {
    url: Url,
    secret: Option<SecretUse>,
    methods: BTreeMap<String, Method>,
}

struct Method {
    is_query: bool,
    params: Option<Validator>,
    result: Option<Validator>,
}

/// Performs the calls of the `rpc` service.
#[derive(Clone)]
pub struct RpcProvider {
    endpoints: Arc<BTreeMap<String, Endpoint>>,
    http: HttpProvider,
}

/// What all calls have.
struct Asked<'c> {
    endpoint: &'c str,
    method: &'c str,
    params: Option<&'c Json>,
    timeout_ms: Option<Millis>,
    is_query: bool,
}

/// A message that comes back.
#[derive(Deserialize)]
struct Message {
    jsonrpc: String,
    id: Value,
    /// A result of `null` is a result.
    #[serde(default, deserialize_with = "present")]
    result: Option<Value>,
    error: Option<Failed>,
}

#[derive(Deserialize)]
struct Failed {
    code: i64,
    message: String,
}

fn present<'de, D: serde::Deserializer<'de>>(d: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(d).map(Some)
}

impl RpcProvider {
    /// A provider of these endpoints.
    ///
    /// # Errors
    /// [`BadEndpoint`] when a schema is none.
    pub fn new(
        endpoints: BTreeMap<String, EndpointSpec>,
        http: HttpProvider,
    ) -> Result<Self, BadEndpoint> {
        let compile = |endpoint: &str, method: &str, schema: Option<&Value>| {
            let compiled = schema.map(jsonschema::validator_for).transpose();
            compiled.map_err(|error| BadEndpoint {
                endpoint: endpoint.to_owned(),
                method: method.to_owned(),
                what: error.to_string(),
            })
        };
        let mut made = BTreeMap::new();
        for (name, EndpointSpec { url, secret, methods: specs }) in endpoints {
            let mut methods = BTreeMap::new();
            for (method, spec) in specs {
                let params = compile(&name, &method, spec.params.as_ref())?;
                let result = compile(&name, &method, spec.result.as_ref())?;
                methods.insert(method, Method { is_query: spec.is_query, params, result });
            }
            made.insert(name, Endpoint { url, secret, methods });
        }
        Ok(Self { endpoints: Arc::new(made), http })
    }

    async fn invoke(&self, op: OpId, asked: Asked<'_>) -> Result<Returned, Stop> {
        let (endpoint, method) = self.find(&asked).map_err(Stop::Refused)?;
        let request = request(op, &asked, method).map_err(Stop::Refused)?;
        let call = http::Send {
            url: endpoint.url.clone(),
            method: Sending::Post,
            headers: Some(vec![header("content-type"), header("accept")]),
            secrets: endpoint.secret.clone().map(|secret| vec![secret]),
            body: Some(request.to_string().into()),
            max_bytes: Some(BODY_BYTES_MAX),
            timeout_ms: asked.timeout_ms,
        };
        let answered = self.http.send(op, call, !asked.is_query).await;
        let response = answered.map_err(|stop| told(op, stop))?;
        result(op, &response, method).map_err(Stop::Failed)
    }

    fn find(&self, asked: &Asked<'_>) -> Result<(&Endpoint, &Method), Error> {
        let unknown = |what: String| FailureKind::UnknownMethod.because(what);
        let Asked { endpoint: at, method: name, .. } = asked;
        let endpoint = self.endpoints.get(*at);
        let endpoint = endpoint.ok_or_else(|| unknown(format!("there is no endpoint `{at}`")))?;
        let method = endpoint.methods.get(*name);
        let method = method.ok_or_else(|| unknown(format!("`{at}` has no method `{name}`")))?;
        match asked.is_query && !method.is_query {
            true => Err(unknown(format!("`{name}` may change something: use rpc.call"))),
            false => Ok((endpoint, method)),
        }
    }
}

fn header(name: &str) -> Header {
    Header { name: name.into(), value: "application/json".into() }
}

/// The message that is sent.
fn request(op: OpId, asked: &Asked<'_>, method: &Method) -> Result<Value, Error> {
    let bad = |what: String| FailureKind::BadParams.because(what);
    let params = match asked.params {
        None => Value::Null,
        Some(Json(Text::Inline(text))) => {
            serde_json::from_str(text).map_err(|error| bad(error.to_string()))?
        }
        Some(Json(Text::Blob(_))) => return Err(provider_failed(op, "blob.missing")),
    };
    let mut message = json!({ "jsonrpc": "2.0", "id": op.0, "method": asked.method });
    match &params {
        Value::Null => {}
        Value::Array(_) | Value::Object(_) => message["params"] = params.clone(),
        _ => return Err(bad("parameters are a list or an object".into())),
    }
    if let Some(Err(fault)) = method.params.as_ref().map(|schema| schema.validate(&params)) {
        return Err(bad(format!("at `{}`: {fault}", fault.instance_path())));
    }
    Ok(message)
}

/// What a failed request means for a call.
fn told(op: OpId, stop: Stop) -> Stop {
    let translated = |error: Error| match error {
        Error::Http(failure) => {
            let kind = match failure.kind {
                HttpFailure::TimedOut => FailureKind::TimedOut,
                HttpFailure::BadResponse => FailureKind::BadResult,
                HttpFailure::BadRequest => return provider_failed(op, "rpc.bad_request"),
                HttpFailure::Unresolved
                | HttpFailure::AddressRefused
                | HttpFailure::NotConnected
                | HttpFailure::SecretRefused => FailureKind::NotConnected,
            };
            kind.because(failure.detail)
        }
        error => error,
    };
    match stop {
        Stop::Refused(error) => Stop::Refused(translated(error)),
        Stop::Failed(error) => Stop::Failed(translated(error)),
        Stop::Unknown(why) => Stop::Unknown(why),
    }
}

/// What an answer says.
fn result(op: OpId, response: &http::Response, method: &Method) -> Result<Returned, Error> {
    let bad = |what: &str| FailureKind::BadResult.because(what);
    if !(200..300).contains(&response.status) {
        return Err(bad(&format!("the endpoint answered with status {}", response.status)));
    }
    let text = response.body.as_str().filter(|_| !response.truncated && !response.base64);
    let message = text.and_then(|text| serde_json::from_str::<Message>(text).ok());
    let message = message.ok_or_else(|| bad("the answer is no message of JSON-RPC 2.0"))?;
    if message.jsonrpc != "2.0" || message.id != json!(op.0) {
        return Err(bad("the answer belongs to another call"));
    }
    match (message.result, message.error) {
        (Some(result), None) => {
            let fits = method.result.as_ref().is_none_or(|schema| schema.is_valid(&result));
            match fits {
                true => Ok(Returned { result: Json::from(&result) }),
                false => Err(bad("the result does not fit the method")),
            }
        }
        (None, Some(Failed { code, message })) => {
            let message: String = message.chars().take(RPC_MESSAGE_CHARS_MAX).collect();
            Err(FailureKind::MethodFailed.because(format!("{code}: {message}")))
        }
        _ => Err(bad("the answer has not one of result and error")),
    }
}

impl Provider for RpcProvider {
    fn serves(&self) -> &'static [&'static str] {
        &["rpc"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let this = self.clone();
        Box::pin(async move {
            let Syscall::Rpc(call) = &order.call else {
                let call = order.call.info().name.to_owned();
                return Stop::Refused(Fault::Unsupported { call }.into()).into();
            };
            macro_rules! asked {
                ($call:expr, $is_query:expr) => {
                    Asked {
                        endpoint: &$call.endpoint,
                        method: &$call.method,
                        params: $call.params.as_ref(),
                        timeout_ms: $call.timeout_ms,
                        is_query: $is_query,
                    }
                };
            }
            let asked = match call {
                Call::Query(call) => asked!(call, true),
                Call::Invoke(call) => asked!(call, false),
            };
            match (this.invoke(order.op, asked).await, call) {
                (Ok(returned), Call::Query(_)) => {
                    EffectOutcome::Done(Reply::Query(returned).into())
                }
                (Ok(returned), Call::Invoke(_)) => {
                    EffectOutcome::Done(Reply::Invoke(returned).into())
                }
                (Err(stop), _) => stop.into(),
            }
        })
    }
}
