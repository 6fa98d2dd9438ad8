//! Methods of registered endpoints: a process names them, and the host has said everything else.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::support::{
    web::{Answer, Asked},
    *,
};

const SECRET: &str = "Key-0f+The/Ledger";

static PORT: LazyLock<u16> = LazyLock::new(|| web::serve(ledger));

fn ledger(asked: &Asked) -> Answer {
    let message: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let token = asked.headers.get("authorization").cloned().unwrap_or_default();
    let result = match message["method"].as_str().unwrap_or_default() {
        _ if token != format!("Bearer {SECRET}") => json!("who are you?"),
        "balance" => json!(7),
        "whoami" => json!({ "token": token }),
        "pay" => message["params"].clone(),
        _ => Value::Null,
    };
    let answer = json!({ "jsonrpc": "2.0", "id": message["id"], "result": result });
    (200, String::new(), answer.to_string().into_bytes())
}

fn settings() -> String {
    format!(
        r#"
[http]
networks = ["127.0.0.1"]

[secrets.api]
file = "token"
hosts = ["127.0.0.1:{port}"]

[rpc.ledger]
url = "http://127.0.0.1:{port}/rpc"
secret = {{ name = "api", at = "authorization", prefix = "Bearer " }}

[rpc.ledger.methods.balance]
class = "read"
params = {{ type = "array", items = {{ type = "string" }} }}
result = {{ type = "integer" }}

[rpc.ledger.methods]
whoami = {{ class = "read" }}
pay = {{ class = "irreversible" }}
"#,
        port = *PORT
    )
}

fn ask(call: &str, method: &str, params: Value, code: &str) -> Value {
    let args = json!({ "endpoint": "ledger", "method": method, "params": params });
    expect(call, args, code)
}

#[test]
fn a_method_is_called_as_its_host_registered_it() {
    let grants = [
        allow("read", "rpc:ledger/balance"),
        allow("read", "rpc:ledger/whoami"),
        allow("read execute", "rpc:ledger/pay"),
        allow("read", "rpc:ledger/hidden"),
    ];
    let url = format!("http://127.0.0.1:{}/rpc", *PORT);
    let lab = Lab::with(
        &grants.concat(),
        &[
            ask("rpc.query", "balance", json!(["ann"]), "ok"),
            ask("rpc.query", "whoami", json!([]), "ok"),
            ask("rpc.call", "pay", json!({ "to": "bob", "amount": 3 }), "ok"),
            ask("rpc.query", "balance", json!([1]), "bad_params"),
            ask("rpc.query", "pay", json!({}), "unknown_method"),
            ask("rpc.query", "hidden", json!([]), "unknown_method"),
            ask("rpc.call", "balance", json!(["ann"]), "denied"),
            ask("rpc.query", "other", json!([]), "denied"),
            // To be let call a method is not to be let reach its endpoint or use its secret.
            expect("http.send", json!({ "url": url, "method": "POST" }), "denied"),
            json!({ "tool": "rpc_query", "expect": "ok",
                "args": { "endpoint": "ledger", "method": "balance", "params": ["ann"] } }),
        ],
    );
    std::fs::write(lab.path("token"), SECRET).unwrap();
    lab.settings(&settings());
    let ran = lab.run();
    assert_eq!(ran.code, 0, "{ran}");
    let results: Vec<Value> = ran
        .steps()
        .iter_mut()
        .filter(|step| step["reply"]["result"] != Value::Null)
        .filter(|step| step["call"].as_str().is_some_and(|call| call.starts_with("rpc.")))
        .map(|step| step["reply"]["result"].take())
        .collect();
    let whoami = json!({ "token": "Bearer [secret:api]" });
    let paid = json!({ "to": "bob", "amount": 3 });
    assert_eq!(results[..3], [json!(7), whoami, paid], "{ran}");
    let store: Vec<u8> = files(&lab.path("store")).into_values().flatten().collect();
    let is_in = |text: &str| store.windows(text.len()).any(|it| it == text.as_bytes());
    assert!(is_in("[secret:api]") && !is_in(SECRET));
}

#[test]
fn data_for_a_method_is_held_against_the_clearance_of_its_address() {
    let grants = [
        allow("read write", "fs:workspace/*"),
        allow("read execute", "rpc:ledger/*"),
        allow("write", "human:owner"),
    ];
    let pay = |code| ask("rpc.call", "pay", json!({ "to": "bob" }), code);
    let plan = [
        pay("ok"),
        // What came from there is not to be trusted, whatever it went through.
        expect("human.output", json!({ "message": "paid" }), "denied"),
        save("fs.read", json!({ "path": "key.txt" }), "key"),
        pay("denied"),
        ask("rpc.query", "whoami", json!([]), "ok"),
    ];
    let lab = Lab::with(&grants.concat(), &plan);
    lab.put("key.txt", "hunter2");
    std::fs::write(lab.path("token"), SECRET).unwrap();
    lab.settings(&format!("labels = \"labels.toml\"\n{}", settings()));
    let rules = format!(
        r#"
label = [
    {{ on = "fs:workspace/key.txt", sensitivity = "secret" }},
    {{ on = "net:*", integrity = "untrusted" }},
]
sink = [
    {{ on = "net:127.0.0.1:{}", sensitivity = "internal", release = false }},
    {{ on = "rpc:ledger/whoami" }},
    {{ on = "human:*", integrity = "trusted", release = false }},
]
"#,
        *PORT
    );
    std::fs::write(lab.path("labels.toml"), rules).unwrap();
    let ran = lab.run();
    assert_eq!(ran.code, 0, "{ran}");
    let shown = lab.value(&["label", "ls"]).to_string();
    assert!(shown.contains("net") && shown.contains("untrusted"), "{shown}");
}

#[test]
fn an_endpoint_that_is_none_is_refused_with_its_place() {
    let lab = Lab::with("", &[]);
    for (method, says) in [
        ("class = \"write\"", "write"),
        ("class = \"read\"\nparams = { type = \"nothing\" }", "method `m` of the endpoint `e`"),
    ] {
        let head = "[rpc.e]\nurl = \"https://a.b/\"\n[rpc.e.methods.m]\n";
        lab.settings(&format!("{head}{method}\n"));
        let ran = lab.libos(&["run", "task.toml"]);
        assert_ne!(ran.code, 0, "{ran}");
        assert!(ran.err.contains(says), "{ran}");
    }
}
