//! Methods of registered endpoints: service `rpc`.
//!
//! The provider under test has one endpoint, `site`, at `/rpc` of a small web site on this machine
//! ([`site`](crate::site)), with the methods of [`METHODS`](crate::site::METHODS), and the endpoint
//! `closed`, at which nobody listens, with the method `sum`.

use std::{rc::Rc, sync::Arc};

use libos_abi::{
    Json, Millis, Text,
    rpc::{Invoke, Query},
};
use libos_port::{EffectOutcome, Provider, Reconciled};
use serde_json::{Value, json};

use crate::{Effects, Factory};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! rpc_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args rpc
            case a_method_gives_its_result
                holds "I-86" shows "rpc.query ok, rpc.call ok";
            case a_method_that_is_not_registered_is_unknown
                holds "I-264" shows "rpc.query unknown_method, rpc.call unknown_method";
            case what_may_change_something_is_not_queried
                holds "I-264" shows "";
            case parameters_that_do_not_fit_are_refused_before_it_begins
                holds "I-264" shows "rpc.query bad_params, rpc.call bad_params";
            case an_endpoint_at_which_nobody_listens_is_told
                holds "I-262" shows "rpc.query not_connected, rpc.call not_connected";
            case an_answer_that_does_not_come_is_not_waited_for
                holds "I-19, I-86" shows "rpc.query timed_out";
            case an_answer_that_does_not_fit_is_told
                holds "I-264" shows "rpc.query bad_result, rpc.call bad_result";
            case an_error_of_the_endpoint_is_told
                holds "I-86" shows "rpc.query method_failed, rpc.call method_failed";
            case an_outcome_that_nobody_saw_is_unknown
                holds "I-19" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

rpc_cases! { contract [Effects: "rpc"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<P: Provider + 'static>(
    make: impl Fn() -> P + 'static,
) -> Factory<Arc<dyn Provider>> {
    Rc::new(move || Arc::new(make()))
}

fn query(method: &str, params: Value) -> Query {
    Query {
        endpoint: "site".into(),
        method: method.into(),
        params: Some(Json::from(&params)),
        timeout_ms: None,
    }
}

fn invoke(method: &str, params: Value) -> Invoke {
    let Query { endpoint, method, params, timeout_ms } = query(method, params);
    Invoke { endpoint, method, params, timeout_ms }
}

fn a_method_gives_its_result(e: &mut Effects) {
    let sum = e.ok(query("sum", json!([1, 2])));
    assert_eq!(sum.result, Json::from(&json!(3)));
    let sum = e.ok(invoke("sum", json!([40, 2])));
    assert_eq!(sum.result, Json::from(&json!(42)), "a query may be called");
    let nothing = e.ok(invoke("store", json!({ "value": 7 })));
    assert_eq!(nothing.result, Json::default());
    let bare = Invoke { params: None, ..invoke("store", json!({})) };
    assert_eq!(e.ok(bare).result, Json::default());
}

fn a_method_that_is_not_registered_is_unknown(e: &mut Effects) {
    for (endpoint, method) in [("site", "hidden"), ("none", "sum"), ("", ""), ("site", "Sum")] {
        let call = Query { endpoint: endpoint.into(), ..query(method, json!([1])) };
        assert_eq!(e.not_started(call), "unknown_method", "{endpoint} {method}");
        let call = Invoke { endpoint: endpoint.into(), ..invoke(method, json!([1])) };
        assert_eq!(e.not_started(call), "unknown_method", "{endpoint} {method}");
    }
}

fn what_may_change_something_is_not_queried(e: &mut Effects) {
    assert_eq!(e.not_started(query("store", json!({}))), "unknown_method");
}

fn parameters_that_do_not_fit_are_refused_before_it_begins(e: &mut Effects) {
    for params in [json!(["1", 2]), json!({ "a": 1 }), json!(1), json!("x"), Value::Null] {
        assert_eq!(e.not_started(query("sum", params.clone())), "bad_params", "{params}");
        assert_eq!(e.not_started(invoke("sum", params.clone())), "bad_params", "{params}");
    }
    let blob = Some(Json(Text::blob(libos_abi::Digest::of(b""), 1)));
    let call = Query { params: blob, ..query("sum", json!([])) };
    assert_eq!(e.not_started(call), "provider_failed");
}

fn an_endpoint_at_which_nobody_listens_is_told(e: &mut Effects) {
    let call = Query { endpoint: "closed".into(), ..query("sum", json!([1])) };
    assert_eq!(e.not_started(call), "not_connected");
    let call = Invoke { endpoint: "closed".into(), ..invoke("sum", json!([1])) };
    assert_eq!(e.not_started(call), "not_connected");
}

fn an_answer_that_does_not_come_is_not_waited_for(e: &mut Effects) {
    let timeout_ms = Some(Millis(300));
    let call = Query { timeout_ms, ..query("late", json!([])) };
    assert_eq!(e.failed(call), "timed_out");
    let unseen = e.perform(Invoke { timeout_ms, ..invoke("late", json!([])) });
    assert!(matches!(unseen, EffectOutcome::Unknown(_)), "nobody can tell: {unseen:?}");
}

fn an_answer_that_does_not_fit_is_told(e: &mut Effects) {
    for method in ["text", "other", "both", "neither", "wrong"] {
        assert_eq!(e.failed(query(method, json!([]))), "bad_result", "{method}");
        assert_eq!(e.failed(invoke(method, json!([]))), "bad_result", "{method}");
    }
}

fn an_error_of_the_endpoint_is_told(e: &mut Effects) {
    assert_eq!(e.failed(query("fails", json!([]))), "method_failed");
    assert_eq!(e.failed(invoke("fails", json!([]))), "method_failed");
}

fn an_outcome_that_nobody_saw_is_unknown(e: &mut Effects) {
    assert_eq!(e.reconcile(invoke("store", json!({}))), Reconciled::Unknown);
}

fn what_it_does_not_serve_is_unsupported(e: &mut Effects) {
    e.refuses_what_it_does_not_serve();
}
