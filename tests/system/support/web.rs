//! A web server on this machine.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    net::{TcpListener, TcpStream},
    path::Path,
    sync::LazyLock,
    thread,
};

use serde_json::{Value, json};

pub(crate) use super::model::http::Request as Asked;
use super::{Lab, model::http::read};

/// What is answered: status, further lines of the head, body.
pub(crate) type Answer = (u16, String, Vec<u8>);

/// Serves on a port of this machine for as long as the test runs; the port.
pub(crate) fn serve(answer: fn(&Asked) -> Answer) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || exchange(stream, answer));
        }
    });
    port
}

fn exchange(mut stream: TcpStream, answer: fn(&Asked) -> Answer) {
    let Some(asked) = read(&mut stream) else { return };
    let (status, head, body) = answer(&asked);
    let head = format!("HTTP/1.1 {status} S\r\ncontent-length: {}\r\n{head}\r\n", body.len());
    // Whoever asked may be dead.
    drop(stream.write_all(&[head.as_bytes(), &body].concat()));
}

/// The address below which a lab's workspace is kept on a server: what a request does there is seen
/// in its files.
pub(crate) fn workspace(lab: &Lab) -> String {
    static PORT: LazyLock<u16> = LazyLock::new(|| serve(file));
    format!("http://127.0.0.1:{}{}", *PORT, lab.dir.path().display())
}

fn file(asked: &Asked) -> Answer {
    let Some((lab, name)) = asked.target.rsplit_once('/') else {
        return (404, String::new(), Vec::new());
    };
    let path = Path::new(lab).join("ws").join(name);
    if name == "rpc" {
        return method(asked, &path.with_file_name("ran.txt"));
    }
    let done = match asked.method.as_str() {
        "PUT" => fs::write(&path, &asked.body).map(|()| Vec::new()),
        "DELETE" => fs::remove_file(&path).map(|()| Vec::new()),
        "POST" | "PATCH" => {
            let file = OpenOptions::new().create(true).append(true).open(&path);
            file.and_then(|mut file| file.write_all(&asked.body)).map(|()| Vec::new())
        }
        _ => fs::read(&path),
    };
    match done {
        Ok(body) => (200, String::new(), body),
        Err(_) => (404, String::new(), Vec::new()),
    }
}

/// Methods of JSON-RPC: `run` adds a line to a file, `look` tells nothing.
fn method(asked: &Asked, ran: &Path) -> Answer {
    let message: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let done = match message["method"].as_str() {
        Some("run") => {
            let file = OpenOptions::new().create(true).append(true).open(ran);
            file.and_then(|mut file| file.write_all(b"ran")).map_err(|error| error.to_string())
        }
        Some("look") => Ok(()),
        other => Err(format!("there is no method {other:?}")),
    };
    let mut answer = match done {
        Ok(()) => json!({ "result": "seen" }),
        Err(error) => json!({ "error": { "code": -1, "message": error } }),
    };
    answer["jsonrpc"] = "2.0".into();
    answer["id"] = message["id"].clone();
    (200, String::new(), answer.to_string().into_bytes())
}
