//! What a watcher is told, and when.
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests panic like the tests")]

use std::time::Duration;

use agent_libos::{
    Builder, Limits, News,
    abi::process::{self, Budget, Launch, PlannerSpec, ProcessState},
    broker::Notice,
    port::Port,
};

/// News of a state may be older than the state. What led to it is told first, however long its
/// records may wait for the disk.
#[tokio::test(flavor = "multi_thread")]
async fn what_led_to_a_state_is_told_before_it() {
    // Longer than the test takes: nothing is written by itself.
    let limits = Limits { lazy_flush_ms: 600_000, busy_flush_ms: 600_000, ..Limits::default() };
    let (runtime, mut watch) = Builder::new().limits(limits).start_watched().unwrap();
    let port = runtime.host_port("test");
    let operator: &dyn Port = &port;
    // It idles, and says so, before anything is launched.
    while watch.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(watch.is_up_to_date(&port).await.unwrap() || !watch.is_empty());
    let program = "{\"call\":\"tool.list\",\"args\":{}}\n\
                   {\"call\":\"message.receive\",\"args\":{}}\n";
    let launch = Launch {
        image: "base".into(),
        goal: "wait".into(),
        workspace: None,
        planner: PlannerSpec { kind: "script".into(), program: program.into() },
        grants: Vec::new(),
        budget: Budget::default(),
        manifest: None,
        schedule: None,
    };
    let pid = operator.call(launch).await.unwrap().pid;
    let state = || async { operator.call(process::Inspect { pid }).await.unwrap().state };
    while state().await != ProcessState::Waiting {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // It waits, which its watcher sees and has not been told the way to.
    while !watch.is_empty() {
        let news = watch.next().await.unwrap();
        assert!(!matches!(news, News::Notice(Notice::Step { .. })), "{news:?}");
    }
    assert!(!watch.is_up_to_date(&port).await.unwrap());
    let mut told = Vec::new();
    loop {
        match watch.next().await.unwrap() {
            News::Notice(Notice::Step { call, .. }) => told.push(call.info().name),
            News::Notice(_) => {}
            News::Idle => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(told, ["tool.list"]);
    assert!(watch.is_up_to_date(&port).await.unwrap());
    drop(port);
    runtime.shutdown().unwrap();
}
