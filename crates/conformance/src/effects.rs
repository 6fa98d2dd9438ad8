//! A host for one provider: orders in a folder of their own, and the laws.
//!
//! Every effect is held against what holds for all providers:
//! - it ends in a reply of the call's own kind, a fault, or a failure that the call's table lists;
//! - what a caller is told names nothing of the host.

use std::{
    path::Path,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
};

use libos_abi::{Error, Fault, OpId, Outcome, Pid, Request, Rights, SERVICES, Syscall};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider, Reach, ReachRule, Reconciled};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::{Binding, Factory, Seen, Subject, case::law, kernel::is_reply_to};

/// One provider, with a folder of the host as its workspace.
pub struct Effects {
    // First, so that effects end before the runtime they run on.
    provider: Arc<dyn Provider>,
    folder: TempDir,
    /// Calls that effects made through their port.
    calls: Arc<Mutex<Vec<Syscall>>>,
    tokio: Runtime,
    last_op: u64,
    seen: Seen,
}

impl Effects {
    /// The folder of the host behind the mount `workspace`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What an effect ends in, once it has.
    pub fn perform(&mut self, call: impl Into<Syscall>) -> EffectOutcome {
        let call = call.into();
        let order = self.order(call.clone());
        let outcome = self.tokio.block_on(self.provider.perform(order));
        self.judge(&call, &outcome);
        outcome
    }

    /// What effects end in that are under way at the same time, in the order of the calls.
    pub fn perform_all(&mut self, calls: Vec<Syscall>) -> Vec<EffectOutcome> {
        let orders: Vec<Order> = calls.iter().map(|call| self.order(call.clone())).collect();
        let effects: Vec<_> = orders
            .into_iter()
            .map(|order| self.tokio.spawn(self.provider.perform(order)))
            .collect();
        let ended = effects.into_iter().map(|effect| self.tokio.block_on(effect));
        let outcomes: Vec<EffectOutcome> =
            ended.map(|outcome| outcome.expect("an effect does not panic")).collect();
        for (call, outcome) in calls.iter().zip(&outcomes) {
            self.judge(call, outcome);
        }
        outcomes
    }

    fn judge(&mut self, call: &Syscall, outcome: &EffectOutcome) {
        let info = call.info();
        let code = match outcome {
            EffectOutcome::Done(reply) => {
                law("I-81", is_reply_to(call, reply), || format!("{} gave {reply:?}", info.name));
                "ok"
            }
            EffectOutcome::Failed(error) | EffectOutcome::NotStarted(error) => {
                let listed = matches!(error, Error::Fault(_)) || info.fails.contains(&error.code());
                law("I-81", listed, || format!("{} ended in {error:?}", info.name));
                let host = self.folder().to_str().expect("temporary folders are UTF-8");
                let is_quiet = !error.to_string().contains(host);
                law("I-84", is_quiet, || format!("`{error}` names a folder of the host"));
                error.code()
            }
            EffectOutcome::Unknown(_) => "unknown_outcome",
        };
        self.seen.insert((info.name, code));
    }

    /// Starts an effect and drops it at once, as when its process ends.
    pub fn abandon(&mut self, call: impl Into<Syscall>) {
        let order = self.order(call.into());
        let effect = self.provider.perform(order);
        self.tokio.block_on(async {
            let now = std::time::Duration::ZERO;
            assert!(tokio::time::timeout(now, effect).await.is_err(), "it should take its time");
        });
    }

    /// What the provider knows of an effect whose outcome was lost.
    pub fn reconcile(&mut self, call: impl Into<Syscall>) -> Reconciled {
        let order = self.order(call.into());
        self.tokio.block_on(self.provider.reconcile(order))
    }

    /// The same of the last one, under its own number.
    pub fn reconcile_last(&mut self, call: impl Into<Syscall>) -> Reconciled {
        self.last_op -= 1;
        self.reconcile(call)
    }

    /// A call that must be done, with its typed reply.
    #[track_caller]
    pub fn ok<R: Request>(&mut self, call: R) -> R::Reply {
        match self.perform(call) {
            EffectOutcome::Done(reply) => R::reply(reply).expect("the reply is of the call's kind"),
            other => panic!("{} should be done: {other:?}", R::INFO.name),
        }
    }

    /// The code of a call that must be tried and fail.
    #[track_caller]
    pub fn failed(&mut self, call: impl Into<Syscall>) -> &'static str {
        match self.perform(call) {
            EffectOutcome::Failed(error) => error.code(),
            other => panic!("it should be tried and fail: {other:?}"),
        }
    }

    /// The code of a call of which nothing may begin.
    #[track_caller]
    pub fn not_started(&mut self, call: impl Into<Syscall>) -> &'static str {
        match self.perform(call) {
            EffectOutcome::NotStarted(error) => error.code(),
            other => panic!("nothing of it should begin: {other:?}"),
        }
    }

    /// The code of a call that must not be done, whether it was tried or not.
    #[track_caller]
    pub fn refused(&mut self, call: impl Into<Syscall>) -> &'static str {
        match self.perform(call) {
            EffectOutcome::Failed(error) | EffectOutcome::NotStarted(error) => error.code(),
            other => panic!("it should not be done: {other:?}"),
        }
    }

    /// What every provider must do with a call of another's service.
    pub(crate) fn refuses_what_it_does_not_serve(&mut self) {
        let known = |name: &&'static str| SERVICES.iter().any(|info| info.name == *name);
        assert!(self.serves().iter().all(known), "each is a service");
        let foreign = libos_abi::audit::List { from: None, pid: None, limit: None };
        assert_eq!(self.not_started(foreign), "unsupported");
        assert!(self.calls().is_empty(), "it makes no call of its own");
    }

    /// The services of the provider.
    #[must_use]
    pub fn serves(&self) -> &'static [&'static str] {
        self.provider.serves()
    }

    /// The calls that effects made through their port.
    #[must_use]
    pub fn calls(&self) -> Vec<Syscall> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn order(&mut self, call: Syscall) -> Order {
        self.last_op += 1;
        let on = "fs:workspace/*".parse().expect("it is a pattern");
        Order {
            pid: Some(Pid(1)),
            workspace: Some(self.folder().to_str().expect("temporary folders are UTF-8").into()),
            reach: Reach { rules: vec![ReachRule::allow(on, Rights::all())] },
            port: Arc::new(Recorder(Arc::clone(&self.calls))),
            ..Order::alone(OpId(self.last_op), call)
        }
    }
}

/// A port that serves nothing and remembers what it was asked.
struct Recorder(Arc<Mutex<Vec<Syscall>>>);

impl Port for Recorder {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        let fault = Fault::Unsupported { call: call.info().name.into() };
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        Box::pin(async move { Err(fault.into()) })
    }
}

impl Subject for Effects {
    type Part = Arc<dyn Provider>;

    fn mount(binding: Binding, make: &Factory<Self::Part>) -> Self {
        let tokio = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("the host has threads");
        let inside = tokio.enter();
        let part = Rc::clone(make)();
        drop(inside);
        let provider = binding.provider(part, tokio.handle().clone());
        Self {
            provider,
            folder: tempfile::tempdir().expect("the host has a temporary folder"),
            calls: Arc::default(),
            tokio,
            last_op: 0,
            seen: Seen::new(),
        }
    }

    fn seen(&self) -> Seen {
        self.seen.clone()
    }
}
