//! What the tests of both providers share.

use std::{path::Path, sync::Arc};

use libos_abi::{Error, OpId, Outcome, Pid, Request, Rights, Syscall};
use libos_port::{BoxFuture, EffectOutcome, Order, Port, Provider, Reach, ReachRule};

struct NoPort;

impl Port for NoPort {
    fn submit(&self, _: Syscall) -> BoxFuture<'_, Outcome> {
        unreachable!("these providers submit nothing")
    }
}

/// All of the workspace, for anything.
pub(crate) fn everything() -> Reach {
    let on = "fs:workspace/*".parse().expect("it is a pattern");
    Reach { rules: vec![ReachRule::allow(on, Rights::all())] }
}

/// An order for `call` with `folder` as workspace, under operation 7.
pub(crate) fn order(folder: &Path, call: impl Into<Syscall>) -> Order {
    Order {
        pid: Some(Pid(1)),
        workspace: Some(folder.to_str().expect("test folders are UTF-8").into()),
        reach: everything(),
        port: Arc::new(NoPort),
        ..Order::alone(OpId(7), call)
    }
}

/// What an effect ended in, typed; failures as `(not started, error)`.
pub(crate) fn typed<R: Request>(outcome: EffectOutcome) -> Result<R::Reply, (bool, Error)> {
    match outcome {
        EffectOutcome::Done(reply) => Ok(R::reply(reply).expect("the reply fits the call")),
        EffectOutcome::Failed(error) => Err((false, error)),
        EffectOutcome::NotStarted(error) => Err((true, error)),
        EffectOutcome::Unknown(why) => panic!("unknown outcome: {why}"),
    }
}

/// Performs a call and gives its typed reply, or the error's code; `-` before it if not started.
pub(crate) async fn call<R: Request>(
    provider: &dyn Provider,
    folder: &Path,
    call: R,
) -> Result<R::Reply, String> {
    let outcome = provider.perform(order(folder, call)).await;
    typed::<R>(outcome).map_err(|(not_started, error)| {
        let host = folder.to_str().expect("test folders are UTF-8");
        assert!(!error.to_string().contains(host), "`{error}` names a folder of the host");
        format!("{}{}", if not_started { "-" } else { "" }, error.code())
    })
}
