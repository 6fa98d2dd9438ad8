//! What only a whole kernel shows: it asks the authority about every call of a process.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use agent_libos::{Builder, Runtime};
use libos_abi::{
    DemandInfo, GrantSpec, Outcome, Syscall, audit,
    process::{Budget, Launch, PlannerSpec},
};
use libos_conformance::{samples, text};
use libos_port::{BoxFuture, Planner, QuantumEnd, Turn};
use serde_json::json;
use tokio::sync::oneshot;

/// A planner that makes some calls once and hands over what came of them.
struct Asking {
    calls: Vec<Syscall>,
    reply: Arc<Mutex<Option<oneshot::Sender<Vec<Outcome>>>>>,
}

impl Planner for Asking {
    fn kind(&self) -> &'static str {
        "asking"
    }

    fn quantum(&self, turn: Turn) -> BoxFuture<'static, QuantumEnd> {
        let (calls, reply) = (self.calls.clone(), Arc::clone(&self.reply));
        Box::pin(async move {
            let mut outcomes = Vec::new();
            for call in calls {
                outcomes.push(turn.port.submit(call).await);
            }
            if let Some(reply) = reply.lock().unwrap().take() {
                reply.send(outcomes).unwrap();
            }
            QuantumEnd::Exit { result: None, message: None, failed: false, code: None }
        })
    }
}

/// What becomes of these calls of a process with these grants.
async fn asked(grants: serde_json::Value, calls: Vec<Syscall>) -> (Runtime, Vec<Outcome>) {
    let (reply, outcomes) = oneshot::channel();
    let planner = Asking { calls, reply: Arc::new(Mutex::new(Some(reply))) };
    let runtime = Builder::new().planner(Arc::new(planner)).start().unwrap();
    let launch = Launch {
        image: "base".into(),
        goal: "ask".into(),
        workspace: None,
        planner: PlannerSpec { kind: "asking".into(), program: "".into() },
        grants: text::from::<Vec<GrantSpec>>(grants),
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    };
    runtime.port("tester").call(launch).await.unwrap();
    let outcomes = tokio::time::timeout(Duration::from_secs(60), outcomes).await;
    (runtime, outcomes.expect("the process gets through").unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_authority_is_denied_every_call() {
    // What a human is asked about waits, whatever was granted.
    let is_open =
        |call: &Syscall| matches!(call.info().demand, DemandInfo::Own | DemandInfo::Human);
    let calls: Vec<Syscall> = samples::calls().into_iter().filter(|call| !is_open(call)).collect();
    assert!(calls.len() > 50, "only {}", calls.len());
    let (_runtime, outcomes) = asked(json!([]), calls.clone()).await;
    assert_eq!(outcomes.len(), calls.len());
    for (call, outcome) in calls.iter().zip(outcomes) {
        let error = outcome.expect_err(call.info().name);
        assert_eq!(error.code(), "denied", "{}: {error}", call.info().name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_the_right_reads_the_audit() {
    let list = audit::List { from: None, pid: None, limit: None };
    let grants = json!([{ "on": "audit:*", "rights": ["read"] }]);
    let (_runtime, outcomes) = asked(grants, vec![list.into()]).await;
    let [Ok(libos_abi::Reply::Audit(audit::Reply::List(entries)))] = &outcomes[..] else {
        panic!("{outcomes:?}")
    };
    let kinds: Vec<String> =
        entries.entries.iter().map(|entry| format!("{:?}", entry.event)).collect();
    assert!(kinds.iter().any(|what| what.contains("process.launch")), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_host_compacts_the_audit() {
    // A payload of a size that is kept apart, of a call of the host that is over.
    let runtime = Builder::new().start().unwrap();
    let host = runtime.port("tester");
    let large = "x".repeat(20_000);
    let call = text::call(&format!(r#"message.send {{"to":"p1","body":"{large}"}}"#));
    assert_eq!(host.submit(call).await.unwrap_err().code(), "receiver_ended");
    let compacted = host.call(audit::Compact { before_ms: u64::MAX }).await.unwrap();
    assert_eq!(compacted.payloads, 1, "{compacted:?}");
    let again = host.call(audit::Compact { before_ms: u64::MAX }).await.unwrap();
    assert_eq!(again.payloads, 0, "{again:?}");
}
