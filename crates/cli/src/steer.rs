//! `libos msg`, `signal`, `fork`, `exec` and `exit`: acting on a process from outside.

use agent_libos::{
    abi::{Folder, message, process},
    task,
};

use crate::{
    args::process::{ExecArgs, ExitArgs, ForkArgs, MsgArgs, SignalArgs},
    exit::{Exit, Failure},
    host::Host,
    inbox::tell,
    show,
};

pub(crate) async fn msg(host: &Host, args: MsgArgs) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let kind = args.interrupt.then_some(message::MessageKind::Interrupt);
    let call = message::Send {
        subject: args.subject,
        kind,
        channel: args.channel,
        correlation: args.correlation,
        reply_to: args.reply_to,
        ..message::Send::letter(args.pid, args.text)
    };
    let sent = access.port.call(call).await.map_err(Failure::of_process)?;
    let how = if args.interrupt { "interrupts" } else { "is in the mailbox of" };
    tell(host, access, &sent, &format!("{} {how} {}.", sent.id, args.pid))
}

pub(crate) async fn signal(host: &Host, args: SignalArgs) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let SignalArgs { pid, signal, reason } = args;
    let call = process::SendSignal { pid, signal: signal.into(), reason };
    let reply = access.port.call(call).await.map_err(Failure::of_process)?;
    tell(host, access, &reply, &format!("{pid} is {} now.", show::state(reply.state)))
}

pub(crate) async fn fork(host: &Host, args: ForkArgs) -> Result<Exit, Failure> {
    let planner = args.plan.as_deref().map(task::plan).transpose()?;
    let access = host.access().await?;
    let call = process::Fork {
        goal: args.goal.into(),
        mode: args.mode.into(),
        roots: None,
        planner,
        grants: None,
        cwd: Folder(None),
        budget: None,
        manifest: None,
        schedule: None,
        pid: Some(args.pid),
    };
    let made = access.port.call(call).await.map_err(Failure::of_process)?;
    let words = format!("{} is a child of {}; it may do nothing yet.", made.pid, args.pid);
    tell(host, access, &made, &words)
}

pub(crate) async fn exec(host: &Host, args: ExecArgs) -> Result<Exit, Failure> {
    let planner = args.plan.as_deref().map(task::plan).transpose()?;
    let access = host.access().await?;
    let call = process::Exec {
        image: args.image.clone(),
        goal: args.goal.map(Into::into),
        planner,
        keep: Some(args.keep),
        keep_objects: Some(!args.drop_objects),
        pid: Some(args.pid),
    };
    let reply = access.port.call(call).await.map_err(|error| match error.code() {
        "unknown_image" => Failure::from(error).next("`libos image ls` lists the images"),
        "not_held" => {
            Failure::from(error).next(&format!("`libos cap ls {}` lists what it holds", args.pid))
        }
        _ => Failure::of_process(error),
    })?;
    tell(host, access, &reply, &format!("{} goes on as {}.", args.pid, args.image))
}

pub(crate) async fn exit(host: &Host, args: ExitArgs) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let call = process::Exit {
        result: args.result,
        message: args.message,
        failed: Some(args.failed),
        code: None,
        pid: Some(args.pid),
    };
    let reply = access.port.call(call).await.map_err(Failure::of_process)?;
    tell(host, access, &reply, &format!("{} has {}.", args.pid, show::state(reply.state)))
}
