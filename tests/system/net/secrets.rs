//! A secret is used, and is nowhere: not in the store, not in what is printed, not in a reply, not
//! in the audit.

use std::sync::LazyLock;

use serde_json::json;

use crate::support::{
    web::{Answer, Asked},
    *,
};

const SECRET: &str = "Zq7/x+9~k&Pw.s3cr3t=Q\"1\\e";

static PORT: LazyLock<u16> = LazyLock::new(|| web::serve(echo));

/// Tells what it was given in every form, in the head and in the body.
fn echo(asked: &Asked) -> Answer {
    let said = asked.headers.get("authorization").cloned().unwrap_or_default();
    let is_right = said == format!("Bearer {SECRET}");
    let token = said.strip_prefix("Bearer ").unwrap_or_default();
    let all = forms(token);
    let head: String = (all.iter().filter(|form| !form.contains('\n')))
        .map(|form| format!("x-echo: <{form}>\r\n"))
        .collect();
    let body = format!("right: {is_right}\nplain-control-text\n{}\n", all.join("\n"));
    let status = if asked.target == "/broken" { 500 } else { 200 };
    (status, head, body.into_bytes())
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let all = chunk.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
        let all = all << (8 * (3 - chunk.len()));
        for at in 0..=chunk.len() {
            let index = (all >> (18 - 6 * at) & 63) as usize;
            text.push(char::from(alphabet[index]));
        }
        text += &"="[..usize::from(chunk.len() < 3)].repeat(3 - chunk.len());
    }
    text
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A text in every form in which it may come back.
fn forms(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let percent = |kept: fn(u8) -> bool| -> String {
        let one = |byte| match kept(byte) {
            true => char::from(byte).to_string(),
            false => format!("%{byte:02X}"),
        };
        text.bytes().map(one).collect()
    };
    let json = serde_json::Value::from(text).to_string();
    let hex: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    let mut forms = vec![
        text.to_owned(),
        percent(|byte| byte.is_ascii_alphanumeric()),
        percent(|byte| byte.is_ascii_alphanumeric()).to_lowercase(),
        percent(|_| false),
        json.trim_matches('"').to_owned(),
        hex.to_uppercase(),
        hex,
    ];
    for around in ["", "u", "us", "user:"] {
        for alphabet in [STANDARD, URL_SAFE] {
            let encoded = base64(format!("{around}{text}{around}").as_bytes(), alphabet);
            forms.push(format!("{}\n{}", &encoded[..9], &encoded[9..]));
            forms.push(encoded);
        }
    }
    forms
}

/// What must not be found: the forms, without the ends of those in base64, which are mixed with
/// what stands beside them.
fn traces() -> Vec<Vec<u8>> {
    let mut traces: Vec<Vec<u8>> = Vec::new();
    for form in forms(SECRET) {
        let bytes = form.into_bytes();
        // Twelve characters on end tell nine bytes of it, or six, or four.
        traces.extend(bytes.windows(16.min(bytes.len())).map(<[u8]>::to_vec));
    }
    traces.sort();
    traces.dedup();
    traces
}

fn found(traces: &[Vec<u8>], bytes: &[u8]) -> Option<String> {
    let heads: std::collections::HashSet<&[u8]> =
        traces.iter().map(|trace| &trace[..8.min(trace.len())]).collect();
    let is_at = |at: usize| {
        let rest = &bytes[at..];
        heads.contains(rest.get(..8)?).then_some(())?;
        let trace = traces.iter().find(|trace| rest.starts_with(trace))?;
        Some(String::from_utf8_lossy(trace).into_owned())
    };
    (0..bytes.len()).find_map(is_at)
}

fn lab(plan: &[serde_json::Value]) -> Lab {
    let grants = [
        allow("read write", &format!("net:127.0.0.1:{}", *PORT)),
        allow("execute", "shell:*"),
        allow("use", "secret:api"),
        allow("read write", "fs:workspace/*"),
    ];
    let lab = Lab::with(&grants.concat(), plan);
    std::fs::write(lab.path("token"), format!("{SECRET}\n")).unwrap();
    lab.settings(&format!(
        "[http]\nnetworks = [\"127.0.0.1\"]\n\n[secrets.api]\nfile = \"token\"\n\
         hosts = [\"127.0.0.1:{}\"]\nvariables = [\"TOKEN\"]\n",
        *PORT
    ));
    lab
}

fn page(path: &str) -> String {
    format!("http://127.0.0.1:{}{path}", *PORT)
}

const SCRIPT: &str = r#"test -n "$TOKEN" && echo it-is-there; env; printf %s "$TOKEN" | base64;
printf %s "$TOKEN" | base64 -w0; printf 'user:%s' "$TOKEN" | base64 -w 20;
printf %s "$TOKEN" | od -An -v -tx1; printf %s "$TOKEN" | tr A-Z a-z; printf %s "$TOKEN" >&2;
i=0; while [ $i -lt 3000 ]; do printf '%s' "$TOKEN"; i=$((i+1)); done; exit 3"#;

#[test]
fn a_secret_that_is_used_is_nowhere() {
    let header = json!([{ "name": "api", "at": "Authorization", "prefix": "Bearer " }]);
    let variable = json!([{ "name": "api", "at": "TOKEN" }]);
    let script = json!(["sh", "-c", SCRIPT]);
    let plan = [
        save("http.fetch", json!({ "url": page("/a"), "method": "GET", "secrets": header }), "got"),
        save(
            "http.send",
            json!({ "url": page("/broken"), "method": "POST", "body": "b", "secrets": header }),
            "sent",
        ),
        json!({ "tool": "http_get", "expect": "ok",
            "args": { "url": page("/t"), "secrets": header } }),
        save("object.create", json!({ "type": "note", "payload": "${got.body}" }), "o"),
        write("kept.txt", "${got.body}"),
        save("shell.run", json!({ "argv": script, "secrets": variable }), "ran"),
        json!({ "tool": "run_command", "args": { "argv": ["env"], "secrets": variable },
            "expect": "ok" }),
        save("object.create", json!({ "type": "note", "payload": "${ran.stdout}" }), "p"),
        // The secret is known by now: it does not come back from where it was not given to either.
        save(
            "shell.run",
            json!({ "argv": ["sh", "-c", "cat ../token; cat ../token | base64"] }),
            "cat",
        ),
        expect("fs.read", json!({ "path": "../token" }), "outside_mount"),
        json!({ "exit": { "message": "${ran.stderr} ${cat.stdout}" } }),
    ];
    let lab = lab(&plan);
    let log = [("LIBOS_LOG", "trace")];
    let ran = lab.start_with(&["--json", "run", "task.toml"], &log).finish();
    assert_eq!(ran.code, 0, "{ran}");
    let exported = lab.json(&["audit", "export", "--output", "trail.jsonl"]).code(0);
    let mut said = vec![
        ("what was printed", ran.out.clone().into_bytes()),
        ("what was logged", ran.err.clone().into_bytes()),
        ("what the export said", exported.out.into_bytes()),
        ("the export", std::fs::read(lab.path("trail.jsonl")).unwrap()),
        ("the audit", lab.json(&["audit", "ls", "--all"]).code(0).out.into_bytes()),
        ("the log", lab.libos(&["logs", "p1"]).code(0).out.into_bytes()),
        ("the objects", lab.json(&["object", "show", "obj-1.2"]).code(0).out.into_bytes()),
        ("the secrets", lab.json(&["secret", "ls"]).code(0).out.into_bytes()),
        ("the secrets for people", lab.libos(&["secret", "ls"]).code(0).out.into_bytes()),
        ("the doctor", lab.json(&["doctor"]).code(0).out.into_bytes()),
        ("the settings", lab.json(&["config", "show"]).code(0).out.into_bytes()),
    ];
    let mut store = Vec::new();
    for (name, bytes) in files(&lab.path("store")) {
        store.extend_from_slice(&bytes);
        said.push((Box::leak(format!("store/{name}").into_boxed_str()), bytes));
    }
    said.push(("the workspace", files(&lab.ws("")).into_values().flatten().collect()));
    let traces = traces();
    for (place, bytes) in &said {
        assert_eq!(found(&traces, bytes), None, "in {place}");
    }
    // It was used, and what is looked for would be found.
    let is_in =
        |text: &str, bytes: &[u8]| bytes.windows(text.len()).any(|it| it == text.as_bytes());
    for text in ["right: true", "plain-control-text", "it-is-there", "[secret:api]"] {
        assert!(is_in(text, &store) && is_in(text, ran.out.as_bytes()), "{text}\n{ran}");
    }
    for form in forms(SECRET) {
        assert!(found(&traces, form.as_bytes()).is_some(), "{form}");
    }
}

#[test]
fn a_secret_needs_its_grant_and_goes_where_the_host_lets_it() {
    let at = |name: &str, at: &str| json!([{ "name": name, "at": at }]);
    let fetch = |secrets, code| {
        let args = json!({ "url": page("/a"), "method": "GET", "secrets": secrets });
        expect("http.fetch", args, code)
    };
    let run =
        |secrets, code| expect("shell.run", json!({ "argv": ["true"], "secrets": secrets }), code);
    let plan = [
        fetch(at("api", "authorization"), "ok"),
        fetch(at("api", "x-other"), "secret_refused"),
        fetch(at("other", "authorization"), "denied"),
        run(at("api", "TOKEN"), "ok"),
        run(at("api", "PATH"), "secret_refused"),
        run(at("api", "LD_PRELOAD"), "secret_refused"),
        run(at("other", "TOKEN"), "denied"),
    ];
    let ran = lab(&plan).run();
    assert_eq!(ran.code, 0, "{ran}");
}

#[test]
fn secrets_are_listed_and_checked_without_their_values() {
    let lab = lab(&[]);
    let listed = lab.value(&["secret", "ls"])["secrets"][0].take();
    assert_eq!(listed["name"], "api");
    assert_eq!(listed["hosts"], json!([format!("127.0.0.1:{}", *PORT)]));
    assert_eq!(
        (&listed["headers"], &listed["variables"]),
        (&json!(["authorization"]), &json!(["TOKEN"]))
    );
    lab.libos(&["doctor"]).code(0);
    for (value, says) in [("short", "no text of 8"), ("aaaaaaaaaaaaaaaa", "no text of 8")] {
        std::fs::write(lab.path("token"), value).unwrap();
        let told = lab.libos(&["doctor"]).code(1).out;
        assert!(told.contains(says) && !told.contains(value), "{told}");
    }
    std::fs::remove_file(lab.path("token")).unwrap();
    let told = lab.libos(&["doctor"]).code(1).out;
    assert!(told.contains("the secret `api` cannot be read"), "{told}");
}
