//! Ways around a rule of the network that people have found elsewhere, each with the layer that
//! refuses it; and beside them what must go on to work.
//!
//! A name that answers differently the second time is not among them, because the host's resolver
//! is not ours: see `a_name_is_looked_up_once_and_what_was_checked_is_connected_to`.

use std::sync::{
    LazyLock,
    atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

use crate::support::{
    web::{Answer, Asked},
    *,
};

/// Who refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// The text is no URL: there is no such call.
    Url,
    /// No grant covers the call.
    Authority,
    /// The provider, before a byte is sent.
    Before(&'static str),
    /// The provider, which does not take the answer.
    Answer,
    /// Nobody: what the server points to is told, and not asked.
    Told,
}

impl Layer {
    fn code(self) -> &'static str {
        match self {
            Self::Url => "bad_message",
            Self::Authority => "denied",
            Self::Before(code) => code,
            Self::Answer => "bad_response",
            Self::Told => "ok",
        }
    }
}

use Layer::{Authority, Before, Told, Url};

/// An attempt: its name, where it was seen, the address, who refuses.
type Attempt = (&'static str, &'static str, &'static str, Layer);

/// `GET` of an address, where `/public/` of one host and port is granted. `HOST` is that.
const ADDRESSES: &[Attempt] = &[
    ("another host", "SSRF, CWE-918", "http://other.example/public/", Authority),
    ("another port", "SSRF port scans", "http://127.0.0.1:1/public/", Authority),
    ("a longer name", "allow-lists by prefix", "http://HOST.evil.example/public/", Url),
    ("a name around it", "allow-lists by substring", "http://127.0.0.1.evil.example/", Authority),
    ("a name of the same machine", "SSRF filters", "http://localhost:PORT/public/", Authority),
    ("IPv6 of the same machine", "SSRF filters", "http://[::1]:PORT/public/", Authority),
    ("another scheme of the same port", "downgrade", "https://HOST/public/", Authority),
    ("a path beside it", "path rules", "http://HOST/private/x", Authority),
    ("a path that begins alike", "path rules", "http://HOST/publicity", Authority),
    ("the path in capitals", "case rules", "http://HOST/PUBLIC/x", Authority),
    ("an encoded slash", "CVE-2021-29492", "http://HOST/public%2Fx", Authority),
    ("a punycode name", "IDN homographs", "http://xn--127-0-0-1.example/public/", Authority),
    ("credentials before another host", "CWE-918 parsers", "http://HOST@evil.example/", Url),
    ("credentials with a password", "CVE-2018-3774", "http://127.0.0.1:1@HOST/public/", Url),
    ("a backslash before @", "A New Era of SSRF", "http://HOST\\@evil.example/", Url),
    ("a backslash as slash", "WHATWG against RFC 3986", "http://evil.example\\HOST/", Url),
    ("a fragment before @", "A New Era of SSRF", "http://HOST#@evil.example/", Url),
    ("an address as a number", "CVE-2020-28360", "http://2130706433:PORT/public/", Url),
    ("an address in octal", "CVE-2021-28918", "http://0177.0.0.1:PORT/public/", Url),
    ("an address with a zero before", "CVE-2021-29922", "http://127.0.0.01:PORT/public/", Url),
    ("an address in hexadecimal", "CVE-2020-28360", "http://0x7f.0.0.1:PORT/public/", Url),
    ("a short address", "inet_aton", "http://127.1:PORT/public/", Url),
    ("a dot at the end", "CVE-2022-27780", "http://127.0.0.1.:PORT/public/", Url),
    ("ideographic dots", "IDNA mapping", "http://127\u{3002}0\u{3002}0\u{3002}1/", Url),
    ("digits in circles", "IDNA mapping", "http://\u{2460}27.0.0.1/", Url),
    ("letters that look alike", "IDN homographs", "http://\u{430}llowed.example/", Url),
    ("a percent-encoded host", "CVE-2022-27780", "http://127.0.0.1%2f@evil.example/", Url),
    ("a zone of an address", "CVE-2022-27774", "http://[::1%25lo]:PORT/public/", Url),
    ("an address in brackets", "URL parsers", "http://[127.0.0.1]:PORT/public/", Url),
    ("dots", "CWE-22", "http://HOST/public/../private/x", Url),
    ("a single dot", "CWE-22", "http://HOST/public/./x", Url),
    ("encoded dots", "CVE-2021-41773", "http://HOST/public/%2e%2e/private/x", Url),
    ("half encoded dots", "CVE-2021-41773", "http://HOST/public/.%2e/private/x", Url),
    ("dots encoded twice", "CVE-2021-42013", "http://HOST/public/%252e%252e/private/x", Url),
    ("an encoded slash and dots", "CVE-2021-29492", "http://HOST/public%2f..%2fprivate/x", Url),
    ("dots with a parameter", "Tomcat behind proxies", "http://HOST/public/..;/private/x", Url),
    ("encoded backslashes", "CWE-22 on Windows", "http://HOST/public/..%5cprivate/x", Url),
    ("two slashes", "path normalization", "http://HOST/public//private/x", Url),
    ("an address as the path", "absolute form", "http://HOST/http://evil.example/", Url),
    ("NUL in the path", "CWE-158", "http://HOST/public/x%00.txt", Url),
    ("a line end in the path", "CVE-2019-9740", "http://HOST/public/x\r\nHost: evil.example", Url),
    ("an encoded line end", "CVE-2019-9740", "http://HOST/public/x%0d%0aHost:%20evil", Url),
    ("a space in the path", "request splitting", "http://HOST/public/x HTTP/1.1", Url),
    ("a tab in the scheme", "WHATWG strips tabs", "ht\ttp://HOST/private/x", Url),
    ("port zero", "URL parsers", "http://127.0.0.1:0/public/", Url),
    ("a port that runs over", "integer overflow", "http://127.0.0.1:65616/public/", Url),
    ("a port with a sign", "URL parsers", "http://127.0.0.1:+80/public/", Url),
    ("no port behind the colon", "URL parsers", "http://127.0.0.1:/public/", Url),
    ("a file", "SSRF to file", "file:///etc/passwd", Url),
    ("gopher", "SSRF to Redis", "gopher://HOST/_INFO", Url),
    ("ftp", "other schemes", "ftp://HOST/public/x", Url),
    ("a web socket", "other schemes", "ws://HOST/public/x", Url),
    ("data", "other schemes", "data:text/plain,x", Url),
    ("no scheme", "URL parsers", "//HOST/public/x", Url),
    ("three slashes", "URL parsers", "http:///HOST/public/x", Url),
    ("one slash", "WHATWG repairs", "http:/HOST/public/x", Url),
];

/// `GET` of an address, where every host is granted: what is not public is refused all the same.
const NETWORKS: &[Attempt] = &[
    ("metadata of a cloud", "Capital One 2019", "http://169.254.169.254/latest/", REFUSED),
    ("metadata over IPv6", "IMDS", "http://[fd00:ec2::254]/", REFUSED),
    ("metadata in shared space", "IMDS", "http://100.100.100.200/", REFUSED),
    ("metadata at a public address", "IMDS", "http://168.63.129.16/", REFUSED),
    ("a private address", "RFC 1918", "http://10.0.0.1/", REFUSED),
    ("another private address", "RFC 1918", "http://192.168.1.1/", REFUSED),
    ("shared address space", "RFC 6598", "http://100.64.0.1/", REFUSED),
    ("no address", "0.0.0.0 day", "http://0.0.0.0:PORT/public/", REFUSED),
    ("another loopback address", "SSRF filters", "http://127.0.0.2:PORT/public/", REFUSED),
    ("loopback over IPv6", "SSRF filters", "http://[::1]:PORT/public/", REFUSED),
    ("IPv4 mapped to IPv6", "CVE-2024-24680", "http://[::ffff:127.0.0.1]:PORT/public/", REFUSED),
    ("IPv4 mapped in hexadecimal", "SSRF filters", "http://[::ffff:7f00:1]:PORT/", REFUSED),
    ("IPv4 within IPv6", "RFC 4291", "http://[::127.0.0.1]:PORT/public/", REFUSED),
    ("6to4", "RFC 3056", "http://[2002:7f00:1::]:PORT/public/", REFUSED),
    ("NAT64", "RFC 6052", "http://[64:ff9b::7f00:1]:PORT/public/", REFUSED),
    ("link-local", "RFC 4291", "http://[fe80::1]/", REFUSED),
    ("unique local", "RFC 4193", "http://[fc00::1]/", REFUSED),
    ("multicast", "RFC 5771", "http://224.0.0.1/", REFUSED),
    ("broadcast", "RFC 919", "http://255.255.255.255/", REFUSED),
    ("a redirect to metadata", "SSRF by redirect", "http://HOST/public/to-metadata", Told),
    ("a redirect to a file", "CVE-2021-22876", "http://HOST/public/to-file", Told),
    (
        "a redirect to what is not granted",
        "SSRF by redirect",
        "http://HOST/public/to-private",
        Told,
    ),
    ("another protocol", "upgrade", "http://HOST/public/switch", Layer::Answer),
    ("a body that unfolds", "decompression bombs", "http://HOST/public/packed", Layer::Answer),
];

const REFUSED: Layer = Before("address_refused");

/// A header of a request to a granted address.
const HEADERS: &[(&str, &str, &str, &str)] = &[
    ("another host", "virtual hosts", "Host", "private.example"),
    ("a length", "request smuggling", "Content-Length", "0"),
    ("a transfer encoding", "CVE-2019-18277", "Transfer-Encoding", "chunked"),
    ("a folded transfer encoding", "request smuggling", "Transfer-Encoding\t", "chunked"),
    ("an upgrade", "h2c smuggling", "Upgrade", "h2c"),
    ("a connection header", "hop-by-hop headers", "Connection", "x-forwarded-for"),
    ("settings of HTTP/2", "h2c smuggling", "HTTP2-Settings", "AAMAAABk"),
    ("a method of its own", "method override", "X-HTTP-Method-Override", "DELETE"),
    ("a path of its own", "CVE-2018-14773", "X-Original-URL", "/private/x"),
    ("a rewritten path", "CVE-2018-14773", "X-Rewrite-URL", "/private/x"),
    ("a forwarded host", "cache poisoning", "X-Forwarded-Host", "evil.example"),
    ("credentials for a proxy", "proxies", "Proxy-Authorization", "Basic eA=="),
    ("a line end in a value", "CWE-113", "X-A", "a\r\nHost: private.example"),
    ("a line feed in a value", "CWE-113", "X-A", "a\nTransfer-Encoding: chunked"),
    ("a return in a value", "CWE-113", "X-A", "a\rb"),
    ("NUL in a value", "CWE-158", "X-A", "a\0b"),
    ("letters beyond ASCII in a value", "CVE-2016-2216", "X-A", "a\u{010d}\u{010a}b"),
    ("a colon in a name", "request smuggling", "X-A: b\r\nHost", "private.example"),
    ("a space in a name", "request smuggling", "Transfer-Encoding ", "chunked"),
    ("an underscore for a dash", "CGI variables", "Transfer_Encoding", "chunked"),
    ("no name", "request smuggling", "", "a"),
];

/// How often something was asked for that nobody may.
static FORBIDDEN: AtomicUsize = AtomicUsize::new(0);

static PORT: LazyLock<u16> = LazyLock::new(|| web::serve(site));

fn site(asked: &Asked) -> Answer {
    let path = asked.target.split('?').next().unwrap_or_default();
    let to = |location: &str| (302, format!("location: {location}\r\n"), Vec::new());
    match path {
        "/public/to-metadata" => to("http://169.254.169.254/latest/meta-data/"),
        "/public/to-file" => to("file:///etc/passwd"),
        "/public/to-private" => to("/private/x"),
        "/public/to-echo" => to("echo?again=1"),
        "/public/switch" => (101, "upgrade: websocket\r\n".into(), Vec::new()),
        "/public/packed" => (200, "content-encoding: gzip\r\n".into(), b"\x1f\x8b".to_vec()),
        "/public/bytes" => (200, String::new(), vec![0xff, 0xfe]),
        "/public/nothing" => (204, String::new(), Vec::new()),
        _ if path.starts_with("/public/") => {
            let said = asked.headers.get("x-said").cloned().unwrap_or_default();
            let body = String::from_utf8_lossy(&asked.body);
            let text = format!("{} {} {said} {body}", asked.method, asked.target);
            (200, String::new(), text.into_bytes())
        }
        _ => {
            FORBIDDEN.fetch_add(1, Ordering::SeqCst);
            (200, String::new(), b"forbidden".to_vec())
        }
    }
}

fn here(text: &str) -> String {
    text.replace("HOST", &format!("127.0.0.1:{}", *PORT)).replace("PORT", &PORT.to_string())
}

fn get(url: &str) -> Value {
    json!({ "url": here(url), "method": "GET" })
}

/// A grant over the site, of what is below `/public/`.
fn public(right: &str, more: &str) -> String {
    let condition = format!("url = {{ prefix = {:?} }}{more}", here("http://HOST/public/"));
    grant("allow", right, &here("net:HOST"), &format!("when = {{ {condition} }}"))
}

fn run(grants: &str, plan: &[Value]) -> Vec<Value> {
    let lab = Lab::with(grants, plan);
    lab.settings("[http]\nnetworks = [\"127.0.0.1\"]\n");
    let proxy = [
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("HTTPS_PROXY", "http://127.0.0.1:1"),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
    ];
    let ran = lab.start_with(&["--json", "run", "task.toml"], &proxy).finish();
    assert_eq!(ran.code, 0, "{ran}");
    let steps: Vec<Value> = ran
        .steps()
        .into_iter()
        .filter(|step| step["call"].as_str().unwrap().starts_with("http."))
        .collect();
    steps
}

/// Makes each attempt, as a call of its own in one plan.
fn refuse(grants: &str, attempts: &[Attempt]) {
    let plan: Vec<Value> = attempts
        .iter()
        .map(|(_, _, url, layer)| expect("http.fetch", get(url), layer.code()))
        .collect();
    let before = FORBIDDEN.load(Ordering::SeqCst);
    run(grants, &plan);
    assert_eq!(FORBIDDEN.load(Ordering::SeqCst), before, "the server was asked what nobody may");
    for (name, source, ..) in attempts {
        assert!(!name.is_empty() && !source.is_empty());
    }
}

#[test]
fn no_address_gets_around_a_grant() {
    refuse(&public("read", ""), ADDRESSES);
    let long = format!("http://HOST/public/{}", "x".repeat(5_000));
    run(&public("read", ""), &[expect("http.fetch", get(&long), "bad_message")]);
}

#[test]
fn no_address_that_is_not_public_is_reached() {
    refuse(&allow("read", "net:*"), NETWORKS);
}

#[test]
fn no_header_makes_a_request_another_one() {
    let with = |name: &str, value: &str| {
        let mut args = get("http://HOST/public/x");
        args["headers"] = json!([{ "name": name, "value": value }]);
        expect("http.fetch", args, "bad_request")
    };
    let plan: Vec<Value> = HEADERS.iter().map(|(_, _, name, value)| with(name, value)).collect();
    run(&public("read", ""), &plan);
}

#[test]
fn no_method_gets_around_a_grant() {
    let change = |call: &str, method: &str, code: &str| {
        let args = json!({ "url": here("http://HOST/public/x"), "method": method, "body": "b" });
        expect(call, args, code)
    };
    let grants = public("read", "") + &public("write", ", method = { equals = \"PUT\" }");
    run(
        &grants,
        &[
            change("http.replace", "PUT", "ok"),
            change("http.replace", "DELETE", "denied"),
            change("http.send", "POST", "denied"),
            change("http.send", "PATCH", "denied"),
            change("http.send", "PUT", "bad_message"),
            change("http.replace", "put", "bad_message"),
            change("http.replace", "PUT /private/x HTTP/1.1", "bad_message"),
            expect(
                "http.fetch",
                json!({ "url": here("http://HOST/public/x"), "method": "TRACE" }),
                "bad_message",
            ),
            expect(
                "http.fetch",
                json!({ "url": here("http://HOST/public/x"), "method": "CONNECT" }),
                "bad_message",
            ),
        ],
    );
}

#[test]
fn a_tool_gets_no_further_than_a_call() {
    let tool = |url: &str, code: &str| {
        let args = json!({ "url": here(url) });
        json!({ "tool": "http_get", "args": args, "expect": code })
    };
    run(
        &public("read", ""),
        &[
            tool("http://HOST/public/x", "ok"),
            tool("http://HOST/private/x", "denied"),
            tool("http://HOST/public/../private/x", "bad_arguments"),
        ],
    );
}

#[test]
fn what_is_meant_well_works() {
    let grants = public("read", "") + &public("write", "");
    let with = |args: Value, more: Value| {
        let mut args = args;
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    let change = |method: &str| {
        let url = here("http://HOST/public/x");
        json!({ "url": url, "method": method, "body": "b\u{e9}\n" })
    };
    let said = json!({ "headers": [{ "name": "X-Said", "value": "hello" },
        { "name": "Authorization", "value": "Basic dTpw" },
        { "name": "Accept", "value": "a/b" }] });
    let plan = [
        save("http.fetch", get("http://HOST/public/x"), "a"),
        save("http.fetch", get("HTTP://HOST/public/x?a=1&b=%20c&to=https://a.b/../c"), "b"),
        save("http.fetch", get("http://HOST/public/@scope%2fname/-/v1.0...tgz"), "c"),
        save("http.fetch", get("http://HOST/public/caf%C3%A9/~me/a+b,c;d=e"), "d"),
        save("http.fetch", with(get("http://HOST/public/x"), said), "e"),
        save("http.fetch", json!({ "url": here("http://HOST/public/x"), "method": "HEAD" }), "f"),
        save("http.fetch", get("http://HOST/public/bytes"), "g"),
        save("http.fetch", get("http://HOST/public/nothing"), "h"),
        save("http.fetch", with(get("http://HOST/public/xyz"), json!({ "max_bytes": 3 })), "i"),
        save("http.replace", change("PUT"), "j"),
        save("http.replace", change("DELETE"), "k"),
        save("http.send", change("POST"), "l"),
        save("http.send", change("PATCH"), "m"),
        save("http.fetch", get("http://HOST/public/to-echo"), "n"),
        save("http.fetch", json!({ "url": "${n.redirect}", "method": "GET" }), "o"),
    ];
    let steps = run(&grants, &plan);
    let bodies: Vec<(u64, &str)> = steps
        .iter()
        .map(|step| {
            let reply = &step["reply"];
            (reply["status"].as_u64().unwrap_or_default(), reply["body"].as_str().unwrap_or("?"))
        })
        .collect();
    let expected = [
        (200, "GET /public/x  "),
        (200, "GET /public/x?a=1&b=%20c&to=https://a.b/../c  "),
        (200, "GET /public/@scope%2Fname/-/v1.0...tgz  "),
        (200, "GET /public/caf%C3%A9/~me/a+b,c;d=e  "),
        (200, "GET /public/x hello "),
        (200, ""),
        (200, "//4="),
        (204, ""),
        (200, "GET"),
        (200, "PUT /public/x  b\u{e9}\n"),
        (200, "DELETE /public/x  b\u{e9}\n"),
        (200, "POST /public/x  b\u{e9}\n"),
        (200, "PATCH /public/x  b\u{e9}\n"),
        (302, ""),
        (200, "GET /public/echo?again=1  "),
    ];
    assert_eq!(bodies, expected);
}

#[test]
fn the_corpus_is_large_enough_and_names_nothing_twice() {
    let all = ADDRESSES.iter().chain(NETWORKS).map(|(name, ..)| *name);
    let names: std::collections::BTreeSet<&str> = all.clone().collect();
    assert_eq!(names.len(), all.count());
    assert!(ADDRESSES.len() + NETWORKS.len() + HEADERS.len() >= 100);
}
