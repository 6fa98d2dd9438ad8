//! Programs: a start that is confined and supervised, beside a bare one.

use std::process::{Command, Stdio};

use agent_libos::providers::{ShellConfig, ShellProvider, layers_missing};
use anyhow::ensure;
use libos_abi::{OpId, Pid, Rights, shell};
use libos_port::{EffectOutcome, Order, Provider as _, Reach, ReachRule};

use crate::{
    measure::{Scale, by_turns, each},
    report::{Row, Target, Unit},
};

/// What a start may cost: three times the executable is run, and namespaces are made.
const START_NS: f64 = 25_000_000.0;

fn order(workspace: &str) -> anyhow::Result<Order> {
    let rules = vec![ReachRule::allow("fs:workspace/*".parse()?, Rights::all())];
    Ok(Order {
        pid: Some(Pid(1)),
        workspace: Some(workspace.into()),
        reach: Reach { rules },
        ..Order::alone(OpId(1), shell::Run::of(["true"]))
    })
}

pub(super) fn run(scale: &Scale) -> anyhow::Result<Vec<Row>> {
    let folder = tempfile::tempdir_in(&scale.folder)?;
    let workspace = folder.path().canonicalize()?;
    let order = order(&workspace.to_string_lossy())?;
    let tokio =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let lacks = layers_missing();
    let config = ShellConfig { may_lack: lacks.clone(), ..ShellConfig::from_host() };
    let provider = ShellProvider::new(config);
    let confined = || tokio.block_on(provider.perform(order.clone()));
    let first = confined();
    ensure!(matches!(first, EffectOutcome::Done(_)), "a program does not run here: {first:?}");
    let bare = || {
        let mut command = Command::new("true");
        command
            .current_dir(&workspace)
            .stdin(Stdio::null())
            .output()
            .is_ok_and(|it| it.status.success())
    };
    ensure!(bare(), "a bare program does not run here");
    let (rounds, times) = (scale.rounds(31), scale.size(10));
    let (floor, ours) = by_turns(
        rounds,
        || each(times, |_| assert!(bare(), "it ran before")),
        || each(times, |_| assert!(matches!(confined(), EffectOutcome::Done(_)), "it ran before")),
    );
    let missing: Vec<_> = lacks.iter().map(|layer| layer.name()).collect();
    let what = match missing.is_empty() {
        true => "`true` confined by every layer, from the order to its outcome".to_owned(),
        false => format!("`true` confined but for {}, to its outcome", missing.join(", ")),
    };
    Ok(vec![
        Row::new("shell.start", what, Unit::Nanoseconds, ours)
            .floor("`true` started bare and waited for", floor)
            .target(Target::at_most(START_NS)),
    ])
}
