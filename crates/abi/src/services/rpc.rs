//! Methods of endpoints that the host has registered, over JSON-RPC.

use crate::{Json, Millis, Pattern, Resource, call::service};

record! {
    /// What a method gave.
    pub struct Returned {
        /// The result. Secrets of the host in it are replaced.
        pub result: Json,
    }
}

crate::field::carries_texts! { Returned { result } }

/// `rpc:ENDPOINT/METHOD`, each encoded as one segment.
fn resource(endpoint: &str, method: &str) -> Resource {
    Resource::segments("rpc", &[endpoint, method])
}

/// All methods of an endpoint.
#[must_use]
pub fn methods(endpoint: &str) -> Pattern {
    let endpoint = Resource::segments("rpc", &[endpoint]);
    format!("{endpoint}/*").parse().expect("what is encoded as a segment has no star")
}

service! {
    /// Methods of endpoints that the host has registered, each with the shape of its parameters and
    /// result. Where an endpoint is and which secret it takes is the host's; nobody else says so.
    service rpc = 17;
    failures {
        /// The host has registered no such endpoint or method, or it is none to be queried.
        1 "unknown_method" UnknownMethod;
        /// The parameters do not fit the method.
        2 "bad_params" BadParams;
        /// No connection was made to the endpoint, or the host does not let it be used.
        3 "not_connected" NotConnected;
        /// There was no answer in time.
        4 "timed_out" TimedOut;
        /// The answer is none, or its result does not fit the method.
        5 "bad_result" BadResult;
        /// The endpoint answered with an error.
        6 "method_failed" MethodFailed;
    }

    /// Calls a method that is registered as one that changes nothing.
    1 query Query {
        /// The endpoint.
        endpoint: String,
        /// The method.
        method: String,
        /// Its parameters; none if absent.
        params: Option<Json>,
        /// How long all of it may take; 30 s if absent, 5 min at the most.
        timeout_ms: Option<Millis>,
    } -> Returned
    { demand: [Read on rpc by |c| resource(&c.endpoint, &c.method)]; effect: Read;
      fails: [UnknownMethod BadParams NotConnected TimedOut BadResult MethodFailed]; data: Both; }

    /// Calls a method, whatever it changes.
    2 call Invoke {
        /// The endpoint.
        endpoint: String,
        /// The method.
        method: String,
        /// Its parameters; none if absent.
        params: Option<Json>,
        /// How long all of it may take; 30 s if absent, 5 min at the most.
        timeout_ms: Option<Millis>,
    } -> Returned
    { demand: [Execute on rpc by |c| resource(&c.endpoint, &c.method)]; effect: Irreversible;
      fails: [UnknownMethod BadParams NotConnected BadResult MethodFailed]; data: Both; }
}
