//! A small web site, for requests to be answered.
//!
//! What it answers is a function of the request. It is served on a port of this machine for
//! providers that really connect; a toy asks the function.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the other end of a real connection"
)]

use std::{
    collections::BTreeMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::LazyLock,
    time::Duration,
};

use serde_json::{Value, json};

/// The name of the one secret that a provider under test has.
pub const SECRET_NAME: &str = "suite";
/// Its value.
pub const SECRET_VALUE: &str = "s3cr3t/Of+the suite=1";
/// The one header it may be sent in. It may be sent to [`host`] only.
pub const SECRET_HEADER: &str = "x-token";

/// A request as it arrives.
#[derive(Debug, Default)]
pub struct Asked {
    /// The method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body.
    pub body: String,
}

/// How a request is answered.
#[derive(Debug)]
pub enum Answered {
    /// Status, headers and body.
    With(u16, Vec<(&'static str, &'static str)>, Vec<u8>),
    /// Not for a long time.
    Late,
    /// Not at all: the connection ends.
    Never,
}

/// What the site answers.
#[must_use]
pub fn answer(asked: &Asked) -> Answered {
    let path = asked.target.split('?').next().unwrap_or_default();
    let text = |status, text: &str| Answered::With(status, Vec::new(), text.as_bytes().to_vec());
    match path {
        "/echo" => text(200, &format!("{} {} {}", asked.method, asked.target, asked.body)),
        "/header" => text(200, asked.headers.get("x-said").map_or("none", String::as_str)),
        "/token" => {
            let token = asked.headers.get(SECRET_HEADER).map_or("none", String::as_str);
            let is_right = token == format!("Token {SECRET_VALUE}");
            text(200, &format!("right: {is_right}; it was <{token}>"))
        }
        "/away" => Answered::With(302, vec![("location", "/echo?away")], b"elsewhere".to_vec()),
        "/bytes" => Answered::With(200, Vec::new(), vec![0xff, 0, 1, 2, 3]),
        "/long" => text(200, &"é\n".repeat(200_000)),
        "/encoded" => Answered::With(200, vec![("content-encoding", "gzip")], b"x".to_vec()),
        "/rpc" => method(&serde_json::from_str(&asked.body).unwrap_or_default()),
        "/late" => Answered::Late,
        "/never" => Answered::Never,
        _ => text(404, "there is no such page"),
    }
}

/// The methods at `/rpc`: name, whether it is a query, the schemas of parameters and result.
pub const METHODS: [(&str, bool, Option<&str>, Option<&str>); 9] = [
    (
        "sum",
        true,
        Some(r#"{"type":"array","items":{"type":"integer"}}"#),
        Some(r#"{"type":"integer"}"#),
    ),
    ("store", false, None, None),
    ("late", true, None, None),
    ("fails", true, None, None),
    ("text", true, None, None),
    ("other", true, None, None),
    ("both", true, None, None),
    ("neither", true, None, None),
    ("wrong", true, None, Some(r#"{"type":"integer"}"#)),
];

/// What `/rpc` answers to a message.
#[must_use]
pub fn method(message: &Value) -> Answered {
    let id = &message["id"];
    let params = message["params"].as_array().into_iter().flatten();
    let answer = match message["method"].as_str().unwrap_or_default() {
        "sum" => json!({ "result": params.filter_map(Value::as_i64).sum::<i64>() }),
        "store" => json!({ "result": null }),
        "late" => return Answered::Late,
        "fails" => json!({ "error": { "code": -32000, "message": "it is closed" } }),
        "text" => return Answered::With(200, Vec::new(), b"hello".to_vec()),
        "other" => json!({ "result": 1, "id": "another" }),
        "both" => json!({ "result": 1, "error": { "code": 1, "message": "no" } }),
        "neither" => json!({}),
        "wrong" => json!({ "result": "three" }),
        _ => json!({ "error": { "code": -32601, "message": "there is no such method" } }),
    };
    let mut whole = json!({ "jsonrpc": "2.0", "id": id });
    if let (Some(whole), Some(answer)) = (whole.as_object_mut(), answer.as_object()) {
        whole.extend(answer.clone());
    }
    Answered::With(200, Vec::new(), whole.to_string().into_bytes())
}

/// The port on 127.0.0.1 at which the site is served, from its first use on.
#[must_use]
pub fn port() -> u16 {
    static PORT: LazyLock<u16> = LazyLock::new(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the host has a free port");
        let port = listener.local_addr().expect("it is bound").port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || serve(stream));
            }
        });
        port
    });
    *PORT
}

/// The host of the site as authority names it: `127.0.0.1:PORT`.
#[must_use]
pub fn host() -> String {
    format!("127.0.0.1:{}", port())
}

/// The URL of a page.
#[must_use]
pub fn page(path: &str) -> libos_abi::Url {
    format!("http://{}{path}", host()).parse().expect("a page has a URL")
}

/// A port on 127.0.0.1 at which nobody listens.
#[must_use]
pub fn closed_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the host has a free port");
    listener.local_addr().expect("it is bound").port()
}

fn serve(mut stream: TcpStream) {
    let Some(asked) = read(&mut stream) else { return };
    let (status, headers, body) = match answer(&asked) {
        Answered::With(status, headers, body) => (status, headers, body),
        Answered::Never => return,
        Answered::Late => {
            // Until the other end gives up.
            drop(stream.set_read_timeout(Some(Duration::from_secs(60))));
            drop(stream.read(&mut [0]));
            return;
        }
    };
    let mut head = format!("HTTP/1.1 {status} Status\r\nContent-Length: {}\r\n", body.len());
    headers.iter().for_each(|(name, value)| head += &format!("{name}: {value}\r\n"));
    head += "\r\n";
    let body = if asked.method == "HEAD" { Vec::new() } else { body };
    // A client may have taken what it wanted and gone.
    drop(stream.write_all(&[head.into_bytes(), body].concat()));
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break at;
        }
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.get("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = bytes.split_off(head_end + 4);
    while body.len() < length {
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        body.extend_from_slice(&chunk[..count]);
    }
    let body = String::from_utf8_lossy(&body).into_owned();
    Some(Asked { method, target, headers, body })
}
