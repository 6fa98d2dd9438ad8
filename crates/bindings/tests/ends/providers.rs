//! Providers.

use std::{
    net::Shutdown,
    os::unix::net::UnixStream,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use futures_util::future::{Either, join_all, select};

use libos_abi::{
    Error, Fault, OpId, Outcome, Pid, Rights, Syscall, clock, shell, wire::FRAME_BYTES_MAX,
};
use libos_bindings::{RemoteProvider, queued, wire};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider, Reach, ReachRule, Reconciled};

use crate::part::far;

/// Serves `shell`: the first argument says what to do.
#[derive(Default)]
struct Far {
    dropped: Arc<AtomicUsize>,
}

/// Tells when it is dropped.
struct Guard(Arc<AtomicUsize>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Provider for Far {
    fn serves(&self) -> &'static [&'static str] {
        &["shell"]
    }

    fn perform(&self, order: Order) -> BoxFuture<'static, EffectOutcome> {
        let guard = Guard(Arc::clone(&self.dropped));
        Box::pin(async move {
            let guard = guard;
            let Syscall::Shell(shell::Call::Run(run)) = &order.call else {
                return EffectOutcome::NotStarted(Fault::Cancelled.into());
            };
            let outcome = match run.argv[0].as_str() {
                "tell" => {
                    let Order { op, pid, cwd, workspace, reach, .. } = &order;
                    let on: Vec<_> = reach.rules.iter().map(|rule| rule.on.as_str()).collect();
                    done(&format!("{op} {pid:?} {cwd} {workspace:?} {on:?}"))
                }
                "ask" => {
                    let asked = (0..50).map(|_| order.port.submit(clock::GetNow {}.into()));
                    let asked = join_all(asked).await;
                    done(&asked.iter().filter(|outcome| outcome.is_ok()).count().to_string())
                }
                "reply" => done(&"x".repeat(FRAME_BYTES_MAX + 1)),
                "fail" => EffectOutcome::Failed(shell::FailureKind::TimedOut.because("late")),
                "panic" => panic!("as it was told to"),
                _ => std::future::pending().await,
            };
            drop(guard);
            outcome
        })
    }

    fn reconcile(&self, _: Order) -> BoxFuture<'static, Reconciled> {
        Box::pin(async { Reconciled::DidNotHappen })
    }
}

fn done(stdout: &str) -> EffectOutcome {
    let ended = shell::Ended {
        exit_code: Some(0),
        signal: None,
        stdout: stdout.into(),
        stderr: "".into(),
        truncated: false,
        wall_ms: 0,
        ..Default::default()
    };
    EffectOutcome::Done(shell::Reply::Run(ended.into()).into())
}

/// Answers every call with the time.
struct Time;

impl Port for Time {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        assert_eq!(call.info().name, "clock.now");
        let now = clock::Now { unix_ms: 1, iso8601: libos_abi::Iso8601::of(0) };
        Box::pin(async move { Ok(clock::Reply::GetNow(now).into()) })
    }
}

fn order(argv: &[&str]) -> Order {
    let rules = vec![ReachRule::allow("fs:workspace/*".parse().unwrap(), Rights::all())];
    Order {
        pid: Some(Pid(3)),
        workspace: Some("/somewhere".into()),
        reach: Reach { rules },
        port: Arc::new(Time),
        ..Order::alone(OpId(5), shell::Run::of(argv.iter().copied()))
    }
}

/// A channel that is full parks its sender as well: whether a future is to be looked at again needs
/// a word of its own.
struct Unpark {
    thread: Thread,
    is_woken: AtomicBool,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.is_woken.store(true, Ordering::SeqCst);
        self.thread.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let unpark = Arc::new(Unpark { thread: thread::current(), is_woken: AtomicBool::new(false) });
    let waker = Waker::from(Arc::clone(&unpark));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => {
                while !unpark.is_woken.swap(false, Ordering::SeqCst) {
                    thread::park();
                }
            }
        }
    }
}

fn is_pending<T>(future: &mut BoxFuture<'static, T>) -> bool {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// Runs effects on a thread each.
fn spawn(task: BoxFuture<'static, ()>) {
    thread::spawn(move || block_on(task));
}

fn both(part: &Arc<dyn Provider>) -> [(&'static str, RemoteProvider); 2] {
    let served = Arc::clone(part);
    let (near, _) = far(move |stream| wire::serve_provider(stream, &served, spawn));
    let queued = queued::provider(Arc::clone(part), Arc::new(spawn)).unwrap();
    [("queued", queued), ("wire", wire::provider(near).unwrap())]
}

fn part() -> Arc<dyn Provider> {
    Arc::new(Far::default())
}

#[test]
fn an_order_passes_and_its_outcome_comes_back() {
    for (name, near) in both(&part()) {
        assert_eq!(near.serves(), ["shell"], "{name}");
        let told = r#"op-5 Some(Pid(3)) workspace Some("/somewhere") ["fs:workspace/*"]"#;
        assert_eq!(block_on(near.perform(order(&["tell"]))), done(told), "{name}");
        let late = shell::FailureKind::TimedOut.because("late");
        assert_eq!(block_on(near.perform(order(&["fail"]))), EffectOutcome::Failed(late));
        assert_eq!(block_on(near.reconcile(order(&["x"]))), Reconciled::DidNotHappen);
    }
}

#[test]
fn calls_of_an_effect_are_made_through_the_port_of_its_order() {
    for (name, near) in both(&part()) {
        assert_eq!(block_on(near.perform(order(&["ask"]))), done("50"), "{name}");
    }
}

#[test]
fn orders_run_side_by_side() {
    for (name, near) in both(&part()) {
        let never = near.perform(order(&["never"]));
        let all = (0..40).map(|_| near.perform(order(&["ask"])));
        let all = join_all(all);
        let race = select(never, all);
        let Either::Right((all, _)) = block_on(race) else { panic!("what never ends ended") };
        assert_eq!(all, vec![done("50"); 40], "{name}");
    }
}

#[test]
fn an_order_that_is_abandoned_is_dropped_at_the_far_end() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let part: Arc<dyn Provider> = Arc::new(Far { dropped: Arc::clone(&dropped) });
    for (count, (name, near)) in both(&part).into_iter().enumerate() {
        let mut never = near.perform(order(&["never"]));
        assert!(is_pending(&mut never), "the first look at it places it");
        drop(never);
        while dropped.load(Ordering::SeqCst) <= count {
            thread::yield_now();
        }
        assert_eq!(dropped.load(Ordering::SeqCst), count + 1, "{name}");
    }
}

#[test]
fn an_effect_that_panics_has_an_unknown_outcome_and_the_next_is_served() {
    for (name, near) in both(&part()) {
        let outcome = block_on(near.perform(order(&["panic"])));
        assert!(matches!(outcome, EffectOutcome::Unknown(_)), "{name}: {outcome:?}");
        assert_eq!(block_on(near.perform(order(&["ask"]))), done("50"));
    }
}

#[test]
fn what_fits_no_frame_is_not_begun_and_what_comes_back_too_large_has_failed() {
    let part = part();
    let (near, _) = far(move |stream| wire::serve_provider(stream, &part, spawn));
    let near = wire::provider(near).unwrap();
    let limit =
        || Fault::Limit { what: "bytes of one frame".into(), limit: FRAME_BYTES_MAX as u64 };
    let huge = "x".repeat(FRAME_BYTES_MAX + 1);
    let outcome = block_on(near.perform(order(&["tell", &huge])));
    assert_eq!(outcome, EffectOutcome::NotStarted(limit().into()));
    assert_eq!(block_on(near.perform(order(&["reply"]))), EffectOutcome::Failed(limit().into()));
    assert_eq!(block_on(near.perform(order(&["ask"]))), done("50"));
}

#[test]
fn a_far_end_that_goes_leaves_what_is_under_way_unknown_and_takes_nothing_new() {
    let (near, far) = UnixStream::pair().unwrap();
    let hang_up = far.try_clone().unwrap();
    let part = part();
    let far = wire::Stream::unix(far).unwrap();
    thread::spawn(move || wire::serve_provider(far, &part, spawn));
    let near = wire::provider(wire::Stream::unix(near).unwrap()).unwrap();
    let mut never = near.perform(order(&["never"]));
    assert!(is_pending(&mut never));
    hang_up.shutdown(Shutdown::Both).unwrap();
    assert!(matches!(block_on(never), EffectOutcome::Unknown(_)));
    let outcome = block_on(near.perform(order(&["tell"])));
    let closed = Error::from(Fault::ProviderFailed { kind: "binding.closed".into(), op: OpId(5) });
    assert_eq!(outcome, EffectOutcome::NotStarted(closed));
    assert_eq!(block_on(near.reconcile(order(&["x"]))), Reconciled::Unknown);
}
