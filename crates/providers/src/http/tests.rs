//! What only real connections can show: names that move, certificates, answers that are hostile.
//!
//! The certificates in `testdata` are of an authority whose key was thrown away.

use std::{
    collections::BTreeMap,
    io::{self, Read as _, Write as _},
    net::{IpAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use libos_abi::{
    SecretUse,
    http::{Fetch, Header, Looking, Send, Sending},
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};

use super::*;
use crate::{
    secrets::{SecretSource, SecretSpec},
    testing::call,
};

const VALUE: &str = "t0ken/With+16=chars";

/// What a resolver says the first time, the second time, and so on; the last for ever.
struct Moving {
    answers: Vec<Vec<IpAddr>>,
    asked: Arc<AtomicUsize>,
}

impl Resolve for Moving {
    fn resolve(&self, _: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let nth = self.asked.fetch_add(1, Ordering::SeqCst).min(self.answers.len() - 1);
        let answer = self.answers[nth].clone();
        Box::pin(async move { Ok(answer) })
    }
}

fn config(answers: &[&[&str]]) -> (HttpConfig, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let parse = |texts: &&[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
    let answers = answers.iter().map(parse).collect();
    let resolver = Arc::new(Moving { answers, asked: Arc::clone(&asked) });
    let networks = vec!["127.0.0.0/8".parse().unwrap()];
    (HttpConfig { networks, resolver, ..HttpConfig::default() }, asked)
}

/// Serves one fixed answer to whoever connects, and tells how many did.
fn server(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&count);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            seen.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || respond(stream, answer));
        }
    });
    (port, count)
}

fn respond(mut stream: TcpStream, answer: &[u8]) {
    let mut bytes = Vec::new();
    let mut chunk = [0; 1024];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut chunk) {
            Ok(count) if count > 0 => bytes.extend_from_slice(&chunk[..count]),
            _ => return,
        }
    }
    drop(stream.write_all(answer));
}

fn get(url: &str) -> Fetch {
    Fetch {
        url: url.parse().unwrap_or_else(|error| panic!("{url}: {error}")),
        method: Looking::Get,
        headers: None,
        secrets: None,
        max_bytes: None,
        timeout_ms: None,
        into: None,
    }
}

async fn code(provider: &HttpProvider, fetch: Fetch) -> String {
    call(provider, Path::new("/nowhere"), fetch)
        .await
        .map(|got| got.status.to_string())
        .unwrap_or_else(|code| code)
}

fn secrets(hosts: &[&str]) -> Secrets {
    let spec = SecretSpec {
        source: SecretSource::Command(["printf", "%s", VALUE].map(String::from).into()),
        hosts: hosts.iter().map(ToString::to_string).collect(),
        headers: vec!["authorization".into()],
        variables: Vec::new(),
    };
    Secrets::new(BTreeMap::from([("key".to_owned(), spec)]))
}

fn used() -> Option<Vec<SecretUse>> {
    Some(vec![SecretUse { name: "key".into(), at: "authorization".into(), prefix: None }])
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn a_name_is_looked_up_once_and_what_was_checked_is_connected_to() {
    let (port, _) = server(OK);
    let (config, asked) = config(&[&["127.0.0.1"], &["169.254.169.254"], &["127.0.0.1"]]);
    let provider = HttpProvider::new(config);
    let url = format!("http://moving.example:{port}/");
    assert_eq!(code(&provider, get(&url)).await, "200");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "there is no second look-up to answer differently");
    assert_eq!(code(&provider, get(&url)).await, "-address_refused");
    assert_eq!(code(&provider, get(&url)).await, "200");
    assert_eq!(asked.load(Ordering::SeqCst), 3);
    let address = format!("http://127.0.0.1:{port}/");
    assert_eq!(code(&provider, get(&address)).await, "200");
    assert_eq!(asked.load(Ordering::SeqCst), 3, "an address is not looked up");
}

#[tokio::test]
async fn a_name_with_an_address_that_is_not_open_is_refused_whatever_else_it_has() {
    let (port, connected) = server(OK);
    for addresses in [
        &["127.0.0.1", "10.0.0.1"][..],
        &["10.0.0.1", "127.0.0.1"],
        &["::ffff:127.0.0.1"],
        &["64:ff9b::7f00:1"],
        &["2002:7f00:1::"],
        &["0.0.0.0"],
        &["::"],
        &["fd00:ec2::254"],
    ] {
        let (config, _) = config(&[addresses]);
        let url = format!("http://both.example:{port}/");
        assert_eq!(code(&HttpProvider::new(config), get(&url)).await, "-address_refused");
    }
    let (config, _) = config(&[&[]]);
    let url = format!("http://none.example:{port}/");
    assert_eq!(code(&HttpProvider::new(config), get(&url)).await, "-unresolved");
    assert_eq!(connected.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_takes_no_connection() {
    let (port, _) = server(OK);
    let (config, _) = config(&[&["127.0.0.2", "127.0.0.1"]]);
    let url = format!("http://two.example:{port}/");
    assert_eq!(code(&HttpProvider::new(config), get(&url)).await, "200");
}

/// A server with the certificate of `api.example.test` and `127.0.0.1`.
async fn encrypted() -> u16 {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/testdata");
    let chain = CertificateDer::pem_file_iter(data.join("server.pem")).unwrap();
    let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(data.join("server.key")).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut request = [0; 4096];
            let count = stream.read(&mut request).await.unwrap_or(0);
            let text = String::from_utf8_lossy(&request[..count]).into_owned();
            let length = text.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{text}");
            drop(stream.write_all(answer.as_bytes()).await);
            drop(stream.shutdown().await);
        }
    });
    port
}

#[tokio::test]
async fn a_server_proves_its_name() {
    let port = encrypted().await;
    let ca_file = Some(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http/testdata/ca.pem"));
    let (plain, _) = config(&[&["127.0.0.1"]]);
    let trusting = HttpProvider::new(HttpConfig { ca_file, ..plain.clone() });
    let named = |name: &str| get(&format!("https://{name}:{port}/path"));
    let got = call(&trusting, Path::new("/nowhere"), named("api.example.test")).await.unwrap();
    let request = got.body.as_str().unwrap();
    assert!(request.starts_with("GET /path HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("host: api.example.test:{port}\r\n")), "{request}");
    assert_eq!(code(&trusting, named("127.0.0.1")).await, "200");
    assert_eq!(code(&trusting, named("other.example.test")).await, "-not_connected");
    assert_eq!(
        code(&HttpProvider::new(plain.clone()), named("api.example.test")).await,
        "-not_connected"
    );
    let none = HttpConfig { ca_file: Some("/no/such/file.pem".into()), ..plain };
    assert_eq!(code(&HttpProvider::new(none), named("api.example.test")).await, "-provider_failed");
    let (port, _) = server(OK);
    let url = format!("https://api.example.test:{port}/");
    assert_eq!(code(&trusting, get(&url)).await, "-not_connected", "it speaks no TLS");
}

#[tokio::test]
async fn a_secret_goes_encrypted_or_to_this_machine() {
    let (mut config, _) = config(&[&["10.0.0.1"]]);
    config.networks.push("10.0.0.0/8".parse().unwrap());
    config.secrets = secrets(&["far.example:80", "127.0.0.1:1"]);
    let provider = HttpProvider::new(config);
    let call = Fetch { secrets: used(), ..get("http://far.example/") };
    assert_eq!(code(&provider, call).await, "-secret_refused");
    let call = Fetch { secrets: used(), ..get("http://127.0.0.1:1/") };
    assert_eq!(code(&provider, call).await, "-not_connected");
    let call = Fetch { secrets: used(), ..get("http://127.0.0.1:2/") };
    assert_eq!(code(&provider, call).await, "-secret_refused");
}

#[tokio::test]
async fn a_secret_is_found_across_the_pieces_of_an_answer() {
    const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nX-Seen: t0ken/With+16=chars\r\n\
        set-cookie: a=dDBrZW4vV2l0aCsxNj1jaGFycw==\r\ntransfer-encoding: chunked\r\n\r\n\
        3\r\n<t0\r\n7\r\nken/Wit\r\n1\r\nh\r\n9\r\n+16=chars\r\n1\r\n>\r\n0\r\n\r\n";
    let (port, _) = server(ANSWER);
    let (mut config, _) = config(&[&["127.0.0.1"]]);
    config.secrets = secrets(&[&format!("127.0.0.1:{port}")]);
    let provider = HttpProvider::new(config);
    let fetch = Fetch { secrets: used(), ..get(&format!("http://127.0.0.1:{port}/")) };
    let got = call(&provider, Path::new("/nowhere"), fetch).await.unwrap();
    assert_eq!(got.body.as_str(), Some("<[secret:key]>"));
    let told: BTreeMap<&str, &str> =
        got.headers.iter().map(|Header { name, value }| (name.as_str(), value.as_str())).collect();
    assert_eq!(told["x-seen"], "[secret:key]");
    assert!(told["set-cookie"].starts_with("a=[secret:key]"), "{told:?}");
}

#[tokio::test]
async fn hostile_answers_end_in_a_failure() {
    let many: &'static str = "x: y\r\n".repeat(HEADERS_MAX + 1).leak();
    let long: &'static str = "y".repeat(2 * HEAD_BYTES_MAX).leak();
    let answers: [&'static [u8]; 12] = [
        b"",
        b"hello\r\n\r\n",
        b"HTTP/0.9 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: identity, br\r\ncontent-length: 2\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: 20\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\nhi",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\nhi\r\n",
        format!("HTTP/1.1 200 OK\r\n{many}\r\nhi").leak().as_bytes(),
        format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\nhi").leak().as_bytes(),
    ];
    for answer in answers {
        let (port, _) = server(answer);
        let (config, _) = config(&[&["127.0.0.1"]]);
        let fetch = get(&format!("http://127.0.0.1:{port}/"));
        let begin = String::from_utf8_lossy(&answer[..answer.len().min(60)]);
        assert_eq!(code(&HttpProvider::new(config), fetch).await, "bad_response", "{begin}");
    }
}

#[tokio::test]
async fn where_an_answer_points_is_told_and_not_asked() {
    let (there, asked) = server(OK);
    for (location, told) in [
        (format!("http://127.0.0.1:{there}/"), Some(format!("http://127.0.0.1:{there}/"))),
        ("http://169.254.169.254/latest".into(), Some("http://169.254.169.254/latest".into())),
        ("file:///etc/passwd".into(), None),
        ("http://allowed@evil.example/".into(), None),
        ("gopher://127.0.0.1:6379/_x".into(), None),
    ] {
        let answer =
            format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        let (port, _) = server(answer.leak().as_bytes());
        let (config, _) = config(&[&["127.0.0.1"]]);
        let fetch = get(&format!("http://127.0.0.1:{port}/"));
        let got = call(&HttpProvider::new(config), Path::new("/nowhere"), fetch).await.unwrap();
        assert_eq!((got.status, got.redirect.map(|url| url.to_string())), (302, told));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_without_end_is_cut() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        drop(stream.read(&mut request));
        let mut sent = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        while sent.is_ok() {
            sent = stream.write_all(&[b'x'; 4096]);
        }
    });
    let (config, _) = config(&[&["127.0.0.1"]]);
    let fetch = get(&format!("http://127.0.0.1:{port}/"));
    let got = call(&HttpProvider::new(config), Path::new("/nowhere"), fetch).await.unwrap();
    assert!(got.truncated);
    assert_eq!(got.bytes, u64::from(BODY_BYTES_DEFAULT));
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_unknown() {
    let (port, _) = server(b"HTTP/1.1 ");
    let (config, _) = config(&[&["127.0.0.1"]]);
    let send = Send {
        url: format!("http://127.0.0.1:{port}/").parse().unwrap(),
        method: Sending::Post,
        headers: None,
        secrets: None,
        body: Some("x".into()),
        max_bytes: None,
        timeout_ms: None,
        from: None,
        into: None,
    };
    let order = crate::testing::order(Path::new("/nowhere"), send);
    let outcome = HttpProvider::new(config).perform(order).await;
    assert!(matches!(outcome, EffectOutcome::Unknown(_)), "{outcome:?}");
}
