//! Tools over the network.

use libos_abi::{
    Json, Millis, ObjectId, SecretUse, Text, Url,
    http::{self, Header, Looking, Replacing, Sending},
    rpc,
};
use libos_port::Port;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::table::{Ended, json};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpGet {
    /// The address.
    url: Url,
    /// Further headers.
    headers: Option<Vec<Header>>,
    /// Secrets of the host, each for the header that it names.
    secrets: Option<Vec<SecretUse>>,
    /// How many bytes of the body are given; 262,144 if absent, 1 MiB at the most.
    max_bytes: Option<u32>,
    /// How long all of it may take; 30 s if absent, 5 min at the most.
    timeout_ms: Option<Millis>,
    /// The type of an object that the whole body is kept as, whatever its bytes, 64 MiB at the
    /// most. Then only its beginning is given.
    into: Option<String>,
}

pub(crate) async fn http_get(port: &dyn Port, args: HttpGet) -> Ended {
    let HttpGet { url, headers, secrets, max_bytes, timeout_ms, into } = args;
    let method = Looking::Get;
    let call = http::Fetch { url, method, headers, secrets, max_bytes, timeout_ms, into };
    json(port.call(call).await?)
}

/// A method that changes something.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
enum Changing {
    Put,
    Delete,
    Post,
    Patch,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HttpSend {
    /// The address.
    url: Url,
    /// PUT, DELETE, POST or PATCH.
    method: Changing,
    /// Further headers.
    headers: Option<Vec<Header>>,
    /// Secrets of the host, each for the header that it names.
    secrets: Option<Vec<SecretUse>>,
    /// The body; none if absent.
    body: Option<Text>,
    /// How many bytes of the answer's body are given; 262,144 if absent, 1 MiB at the most.
    max_bytes: Option<u32>,
    /// How long all of it may take; 30 s if absent, 5 min at the most.
    timeout_ms: Option<Millis>,
    /// The type of an object that the whole body of the answer is kept as, 64 MiB at the most.
    into: Option<String>,
    /// An object whose content is sent behind the body.
    from: Option<ObjectId>,
}

pub(crate) async fn http_send(port: &dyn Port, args: HttpSend) -> Ended {
    let HttpSend { url, method, headers, secrets, body, max_bytes, timeout_ms, into, from } = args;
    macro_rules! call {
        ($call:ident, $method:expr) => {{
            let method = $method;
            json(
                port.call(http::$call {
                    url,
                    method,
                    headers,
                    secrets,
                    body,
                    max_bytes,
                    timeout_ms,
                    into,
                    from,
                })
                .await?,
            )
        }};
    }
    match method {
        Changing::Put => call!(Replace, Replacing::Put),
        Changing::Delete => call!(Replace, Replacing::Delete),
        Changing::Post => call!(Send, Sending::Post),
        Changing::Patch => call!(Send, Sending::Patch),
    }
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RpcCall {
    /// The endpoint.
    endpoint: String,
    /// The method.
    method: String,
    /// Its parameters: a list or an object; none if absent.
    params: Option<Json>,
    /// How long all of it may take; 30 s if absent, 5 min at the most.
    timeout_ms: Option<Millis>,
}

pub(crate) async fn rpc_query(port: &dyn Port, args: RpcCall) -> Ended {
    let RpcCall { endpoint, method, params, timeout_ms } = args;
    json(port.call(rpc::Query { endpoint, method, params, timeout_ms }).await?)
}

pub(crate) async fn rpc_call(port: &dyn Port, args: RpcCall) -> Ended {
    let RpcCall { endpoint, method, params, timeout_ms } = args;
    json(port.call(rpc::Invoke { endpoint, method, params, timeout_ms }).await?)
}
