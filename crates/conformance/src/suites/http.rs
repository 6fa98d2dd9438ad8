//! Requests over the network: service `http`.
//!
//! Cases ask a small web site on this machine ([`site`]), which the provider under test may connect
//! to, and no other address that is not public. Names have no addresses there. It has one secret,
//! [`site::SECRET_NAME`]. What only a real connection can show (certificates, names that move) is
//! tested where connections are made.

use std::{rc::Rc, sync::Arc};

use libos_abi::{
    Digest, Millis, SecretUse, Text, Url,
    http::{Fetch, Header, Looking, Replace, Replacing, Response, Send, Sending},
};
use libos_port::{EffectOutcome, Provider, Reconciled};

use crate::{Effects, Factory, site};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! http_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args http
            case an_address_gives_what_is_there
                holds "I-86" shows "http.fetch ok";
            case a_body_arrives_as_it_is
                holds "I-86" shows "http.replace ok, http.send ok";
            case headers_are_sent_and_told
                holds "I-86" shows "";
            case a_redirect_is_told_and_not_followed
                holds "I-260" shows "";
            case a_long_body_is_cut_and_said_to_be
                holds "I-86" shows "";
            case a_body_that_is_no_text_is_in_base64
                holds "I-86" shows "";
            case what_may_not_be_sent_is_refused_before_it_begins
                holds "I-02, I-262"
                shows "http.fetch bad_request, http.replace bad_request, http.send bad_request";
            case a_name_without_an_address_is_told
                holds "I-262"
                shows "http.fetch unresolved, http.replace unresolved, http.send unresolved";
            case an_address_that_is_not_open_is_refused
                holds "I-260"
                shows "http.fetch address_refused, http.replace address_refused,
http.send address_refused";
            case an_address_at_which_nobody_listens_is_told
                holds "I-262"
                shows "http.fetch not_connected, http.replace not_connected,
http.send not_connected";
            case an_answer_that_is_none_is_told
                holds "I-86"
                shows "http.fetch bad_response, http.replace bad_response, http.send bad_response";
            case an_answer_that_does_not_come_is_not_waited_for
                holds "I-19, I-86" shows "http.fetch timed_out, http.replace timed_out";
            case a_secret_arrives_and_does_not_come_back
                holds "I-261" shows "";
            case a_secret_goes_nowhere_else
                holds "I-261"
                shows "http.fetch secret_refused, http.replace secret_refused,
http.send secret_refused";
            case an_abandoned_request_holds_nothing_up
                holds "I-86" shows "";
            case requests_run_side_by_side
                holds "I-86" shows "";
            case an_outcome_that_nobody_saw_is_unknown
                holds "I-19" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

http_cases! { contract [Effects: "http"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<P: Provider + 'static>(
    make: impl Fn() -> P + 'static,
) -> Factory<Arc<dyn Provider>> {
    Rc::new(move || Arc::new(make()))
}

fn fetch(url: Url) -> Fetch {
    Fetch {
        url,
        method: Looking::Get,
        headers: None,
        secrets: None,
        max_bytes: None,
        timeout_ms: None,
        into: None,
    }
}

fn replace(url: Url) -> Replace {
    Replace {
        url,
        method: Replacing::Put,
        headers: None,
        secrets: None,
        body: None,
        max_bytes: None,
        timeout_ms: None,
        into: None,
        from: None,
    }
}

fn send(url: Url) -> Send {
    Send {
        url,
        method: Sending::Post,
        headers: None,
        secrets: None,
        body: None,
        max_bytes: None,
        timeout_ms: None,
        into: None,
        from: None,
    }
}

fn url(text: &str) -> Url {
    text.parse().expect("a URL")
}

fn body(response: &Response) -> &str {
    response.body.as_str().expect("a body is inline")
}

fn header(name: &str, value: &str) -> Header {
    Header { name: name.into(), value: value.into() }
}

fn secret(name: &str, at: &str) -> Option<Vec<SecretUse>> {
    Some(vec![SecretUse { name: name.into(), at: at.into(), prefix: Some("Token ".into()) }])
}

fn an_address_gives_what_is_there(e: &mut Effects) {
    let got = e.ok(fetch(site::page("/echo?a=1")));
    assert_eq!((got.status, body(&got)), (200, "GET /echo?a=1 "));
    assert_eq!((got.base64, got.truncated, got.redirect), (false, false, None));
    assert_eq!((got.bytes, got.digest), (14, Digest::of(b"GET /echo?a=1 ")));
    let none = e.ok(fetch(site::page("/none")));
    assert_eq!(none.status, 404, "that is an answer like any other");
    let head = e.ok(Fetch { method: Looking::Head, ..fetch(site::page("/echo")) });
    assert_eq!((head.status, body(&head), head.truncated), (200, "", false));
}

fn a_body_arrives_as_it_is(e: &mut Effects) {
    let text = Some(Text::from("é\n"));
    for method in [Replacing::Put, Replacing::Delete] {
        let call = Replace { method, body: text.clone(), ..replace(site::page("/echo")) };
        assert_eq!(body(&e.ok(call)), format!("{} /echo é\n", method.name()));
    }
    for method in [Sending::Post, Sending::Patch] {
        let call = Send { method, body: text.clone(), ..send(site::page("/echo")) };
        assert_eq!(body(&e.ok(call)), format!("{} /echo é\n", method.name()));
    }
    let large = "x".repeat(100_000);
    let call = Send { body: Some(Text::from(&*large)), ..send(site::page("/echo")) };
    assert_eq!(body(&e.ok(call)), format!("POST /echo {large}"));
}

fn headers_are_sent_and_told(e: &mut Effects) {
    let call =
        Fetch { headers: Some(vec![header("X-Said", "a  b")]), ..fetch(site::page("/header")) };
    let got = e.ok(call);
    assert_eq!(body(&got), "a  b");
    assert!(got.headers.contains(&header("content-length", "4")), "{:?}", got.headers);
}

fn a_redirect_is_told_and_not_followed(e: &mut Effects) {
    let got = e.ok(fetch(site::page("/away")));
    assert_eq!((got.status, body(&got)), (302, "elsewhere"));
    assert_eq!(got.redirect, Some(site::page("/echo?away")));
    let sent = e.ok(send(site::page("/away")));
    assert_eq!((sent.status, sent.redirect), (302, Some(site::page("/echo?away"))));
}

fn a_long_body_is_cut_and_said_to_be(e: &mut Effects) {
    let whole = "é\n".repeat(200_000);
    for max in [0, 1, 2, 1_000, 1_001, 300_000] {
        let got = e.ok(Fetch { max_bytes: Some(max), ..fetch(site::page("/long")) });
        assert!(got.truncated && whole.starts_with(body(&got)), "{max}");
        assert!(u64::from(max) - got.bytes < 2, "{max}");
        assert_eq!(got.digest, Digest::of(body(&got).as_bytes()), "{max}");
    }
    let got = e.ok(Fetch { max_bytes: Some(600_000), ..fetch(site::page("/long")) });
    assert!(!got.truncated && body(&got) == whole);
}

fn a_body_that_is_no_text_is_in_base64(e: &mut Effects) {
    let got = e.ok(fetch(site::page("/bytes")));
    assert_eq!((got.base64, body(&got), got.bytes), (true, "/wABAgM=", 5));
    assert_eq!(got.digest, Digest::of(&[0xff, 0, 1, 2, 3]));
}

fn what_may_not_be_sent_is_refused_before_it_begins(e: &mut Effects) {
    let page = || site::page("/echo");
    for (name, value) in [
        ("host", "elsewhere"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("x-http-method-override", "DELETE"),
        ("x_said", "a"),
        ("x said", "a"),
        ("x-said:", "a"),
        ("", "a"),
        ("x-said", "a\r\nx-more: b"),
        ("x-said", "a\nb"),
        ("x-said", "a\0b"),
        ("x-said\r\nx-more", "b"),
    ] {
        let headers = Some(vec![header(name, value)]);
        let call = Fetch { headers: headers.clone(), ..fetch(page()) };
        assert_eq!(e.not_started(call), "bad_request", "{name}: {value:?}");
        let call = Replace { headers: headers.clone(), ..replace(page()) };
        assert_eq!(e.not_started(call), "bad_request", "{name}: {value:?}");
        let call = Send { headers, ..send(page()) };
        assert_eq!(e.not_started(call), "bad_request", "{name}: {value:?}");
    }
    let twice = Some(vec![header("x-said", "a"), header("X-Said", "b")]);
    assert_eq!(e.not_started(Fetch { headers: twice, ..fetch(page()) }), "bad_request");
    let long = Some(Text::from("x".repeat(1_048_577)));
    assert_eq!(e.not_started(Send { body: long, ..send(page()) }), "bad_request");
    let blob = Some(Text::blob(Digest::of(b""), 1));
    assert_eq!(e.not_started(Send { body: blob, ..send(page()) }), "bad_request");
}

/// What a call to each of these addresses ends in before it begins, whatever the method.
fn all_not_started(e: &mut Effects, addresses: &[&str], code: &str) {
    for address in addresses {
        assert_eq!(e.not_started(fetch(url(address))), code, "{address}");
        assert_eq!(e.not_started(replace(url(address))), code, "{address}");
        assert_eq!(e.not_started(send(url(address))), code, "{address}");
    }
}

fn a_name_without_an_address_is_told(e: &mut Effects) {
    all_not_started(e, &["http://nothing.invalid/", "https://nothing.invalid/"], "unresolved");
}

fn an_address_that_is_not_open_is_refused(e: &mut Effects) {
    let addresses = ["http://10.0.0.1/", "https://169.254.169.254/", "http://[::ffff:127.0.0.1]/"];
    all_not_started(e, &addresses, "address_refused");
}

fn an_address_at_which_nobody_listens_is_told(e: &mut Effects) {
    let address = format!("http://127.0.0.1:{}/", site::closed_port());
    all_not_started(e, &[&address], "not_connected");
}

fn an_answer_that_is_none_is_told(e: &mut Effects) {
    assert_eq!(e.failed(fetch(site::page("/never"))), "bad_response");
    assert_eq!(e.failed(replace(site::page("/never"))), "bad_response");
    let unseen = e.perform(send(site::page("/never")));
    assert!(matches!(unseen, EffectOutcome::Unknown(_)), "nobody can tell: {unseen:?}");
    assert_eq!(e.failed(fetch(site::page("/encoded"))), "bad_response");
    assert_eq!(e.failed(send(site::page("/encoded"))), "bad_response");
}

fn an_answer_that_does_not_come_is_not_waited_for(e: &mut Effects) {
    let timeout_ms = Some(Millis(300));
    let call = Fetch { timeout_ms, ..fetch(site::page("/late")) };
    assert_eq!(e.failed(call), "timed_out");
    let call = Replace { timeout_ms, ..replace(site::page("/late")) };
    assert_eq!(e.failed(call), "timed_out");
    let unseen = e.perform(Send { timeout_ms, ..send(site::page("/late")) });
    assert!(matches!(unseen, EffectOutcome::Unknown(_)), "nobody can tell: {unseen:?}");
}

fn a_secret_arrives_and_does_not_come_back(e: &mut Effects) {
    let secrets = || secret(site::SECRET_NAME, site::SECRET_HEADER);
    let mark = format!("right: true; it was <Token [secret:{}]>", site::SECRET_NAME);
    let got = e.ok(Fetch { secrets: secrets(), ..fetch(site::page("/token")) });
    assert_eq!(body(&got), mark);
    let got = e.ok(Replace { secrets: secrets(), ..replace(site::page("/token")) });
    assert_eq!(body(&got), mark);
    let got = e.ok(Send { secrets: secrets(), ..send(site::page("/token")) });
    assert_eq!(body(&got), mark);
    assert!(body(&e.ok(fetch(site::page("/token")))).contains("<none>"), "it goes on request only");
}

fn a_secret_goes_nowhere_else(e: &mut Effects) {
    let elsewhere = || url("https://192.0.2.1/");
    for (name, at, to) in [
        ("none", site::SECRET_HEADER, site::page("/token")),
        (site::SECRET_NAME, "x-said", site::page("/token")),
        (site::SECRET_NAME, site::SECRET_HEADER, elsewhere()),
    ] {
        let call = Fetch { secrets: secret(name, at), ..fetch(to.clone()) };
        assert_eq!(e.not_started(call), "secret_refused", "{name} {at} {to}");
        let call = Replace { secrets: secret(name, at), ..replace(to.clone()) };
        assert_eq!(e.not_started(call), "secret_refused", "{name} {at} {to}");
        let call = Send { secrets: secret(name, at), ..send(to.clone()) };
        assert_eq!(e.not_started(call), "secret_refused", "{name} {at} {to}");
    }
    let headers = Some(vec![header(site::SECRET_HEADER, "mine")]);
    let secrets = secret(site::SECRET_NAME, site::SECRET_HEADER);
    let call = Fetch { headers, secrets, ..fetch(site::page("/token")) };
    assert_eq!(e.not_started(call), "bad_request");
}

fn an_abandoned_request_holds_nothing_up(e: &mut Effects) {
    for _ in 0..3 {
        e.abandon(fetch(site::page("/late")));
    }
    assert_eq!(e.ok(fetch(site::page("/echo"))).status, 200);
}

fn requests_run_side_by_side(e: &mut Effects) {
    let mut calls: Vec<libos_abi::Syscall> =
        (0..6).map(|n| fetch(site::page(&format!("/echo?{n}"))).into()).collect();
    calls.push(Fetch { timeout_ms: Some(Millis(200)), ..fetch(site::page("/late")) }.into());
    let mut outcomes = e.perform_all(calls);
    assert!(
        matches!(outcomes.pop(), Some(EffectOutcome::Failed(error)) if error.code() == "timed_out")
    );
    for (n, outcome) in outcomes.into_iter().enumerate() {
        let EffectOutcome::Done(reply) = outcome else { panic!("{outcome:?}") };
        let got = <Fetch as libos_abi::Request>::reply(reply).expect("the reply of its call");
        assert_eq!(body(&got), format!("GET /echo?{n} "), "each gets its own");
    }
}

fn an_outcome_that_nobody_saw_is_unknown(e: &mut Effects) {
    assert_eq!(e.reconcile(send(site::page("/echo"))), Reconciled::Unknown);
}

fn what_it_does_not_serve_is_unsupported(e: &mut Effects) {
    e.refuses_what_it_does_not_serve();
}
