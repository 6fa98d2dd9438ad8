//! Processes and their messages: services `process` and `message`.

use std::collections::BTreeMap;

use libos_abi::{
    Error, Event, Fault, FsPath, GrantSpec, Millis, Origin, Pid, Resource, Syscall, Text,
    capability,
    event::ProcessEvent,
    message,
    process::{
        self, Budget, BudgetKind, PlannerSpec, ProcessInfo, ProcessState, Signal, Usage, Wait,
        WaitOn,
    },
};
use libos_port::{Component, Stop};
use serde_json::json;

use crate::{By, Factory, Kernel, host, process as pid_of, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! scheduler_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args scheduler
            case a_launch_makes_a_root_with_its_grants
                holds "I-12" shows "process.launch ok, process.inspect ok";
            case a_launch_or_spawn_that_fails_changes_nothing
                holds "I-08"
                shows "process.launch unknown_image, process.spawn unknown_image,
process.spawn no_process";
            case a_spawn_gives_nothing_but_what_is_handed_on_and_messages
                holds "I-12" shows "process.spawn ok";
            case a_planner_is_the_one_given_or_the_images_or_none
                holds "I-12" shows "process.spawn ok";
            case a_wait_tells_how_a_child_ended
                holds "I-21, I-23"
                shows "process.wait wait, process.wait ok, process.wait timed_out,
process.wait not_a_child";
            case a_process_ends_well_or_badly_and_once
                holds "I-23" shows "process.exit ok, process.exit no_process";
            case a_termination_ends_the_subtree_deepest_first
                holds "I-23"
                shows "process.signal ok, process.signal not_a_child,
process.signal already_ended";
            case a_pause_remembers_what_it_held
                holds "I-21, I-24" shows "process.signal ok, process.signal held_by_host";
            case a_process_sees_itself_and_its_children_and_the_host_all
                holds "I-13"
                shows "process.list ok, process.inspect ok, process.inspect not_a_child,
process.inspect not_found";
            case a_process_moves_for_itself
                holds "I-34" shows "process.chdir ok, process.cwd ok";
            case a_quantum_ends_with_what_its_planner_keeps
                holds "I-25" shows "process.commit ok, process.commit stale_run, process.next ok";
            case a_run_that_is_over_is_fenced
                holds "I-21, I-25"
                shows "process.admit ok, process.admit stale_run, process.admit no_process";
            case budgets_bind_at_every_level
                holds "I-26" shows "process.admit over_budget, process.spawn over_budget";
            case a_wait_begins_and_ends_once
                holds "I-21" shows "process.block ok, process.ready ok";
            case a_crash_makes_the_running_runnable
                holds "I-24" shows "process.recover ok";
            case messages_arrive_once_and_in_order
                holds "I-22"
                shows "message.send ok, message.receive ok, message.receive wait,
message.receive timed_out";
            case a_message_reaches_only_the_living
                holds "I-23" shows "message.send receiver_ended, message.send no_process";
            case a_full_mailbox_slows_its_senders_down
                holds "I-22" shows "message.send mailbox_full";
            case a_fork_shares_memory_as_its_mode_says
                holds "I-12" shows "process.fork ok, process.fork bad_message";
            case another_image_is_gone_on_with_and_authority_only_shrinks
                holds "I-05, I-14"
                shows "process.exec ok, process.exec unknown_image, process.exec not_held";
            case a_background_task_is_owned_by_an_object
                holds "I-23"
                shows "process.start_task ok, process.start_task bad_message, process.tasks ok,
process.end_tasks ok";
            case the_memory_of_an_ended_child_is_merged_or_dropped
                holds "I-08"
                shows "process.merge ok, process.merge not_a_child, process.merge still_running,
                       process.merge merge_conflict, process.discard ok,
                       process.discard not_a_child, process.discard still_running";
            case a_tool_group_is_activated_for_the_process
                holds "I-01"
                shows "process.activate_tools ok, process.activate_tools unknown_group";
            case what_may_be_used_is_set_aside_and_settled
                holds "I-26" shows "process.admit over_budget, process.settle ok";
            case a_limit_is_raised_where_there_is_one
                holds "I-26" shows "process.extend ok, process.extend not_found";
            case a_cancelled_process_is_interrupted_and_lives
                holds "I-23" shows "process.signal ok, message.interrupt ok";
            case an_interrupt_stands_beside_the_letters
                holds "I-22" shows "message.interrupt ok, message.peek ok, message.receive wait";
            case an_answer_names_a_message_that_was_really_there
                holds "I-22" shows "message.send ok, message.send not_received";
            case processes_come_back_to_what_was_kept_of_them
                holds "I-113, I-114, I-115"
                shows "process.save ok, process.save not_found, process.compare ok,
process.restore ok, process.forget ok";
            case processes_that_were_kept_are_made_a_second_time
                holds "I-116"
                shows "process.copy_saved ok, process.copy_saved not_found, process.recall ok,
process.recall not_found";
            case messages_survive_a_crash
                holds "I-22, I-34" shows "message.receive ok";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

mod forks;
mod interrupts;
mod saved;

use forks::{
    a_background_task_is_owned_by_an_object, a_fork_shares_memory_as_its_mode_says,
    a_tool_group_is_activated_for_the_process,
    another_image_is_gone_on_with_and_authority_only_shrinks,
    the_memory_of_an_ended_child_is_merged_or_dropped,
};
use interrupts::{
    a_cancelled_process_is_interrupted_and_lives, an_answer_names_a_message_that_was_really_there,
    an_interrupt_stands_beside_the_letters,
};
use saved::{
    processes_come_back_to_what_was_kept_of_them, processes_that_were_kept_are_made_a_second_time,
};

scheduler_cases! { contract [Kernel<dyn Component>: "process" "message"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Table = Kernel<dyn Component>;

pub(super) fn launch() -> process::Launch {
    text::from(json!({
        "image": "worker", "goal": "find the answer", "workspace": "/home/user/project",
        "planner": planner("script"), "grants": [], "budget": {},
    }))
}

pub(super) fn spawn() -> process::Spawn {
    text::from(json!({ "goal": "help", "cwd": "workspace/src" }))
}

pub(super) fn exit() -> process::Exit {
    text::from(json!({}))
}

pub(super) fn signal(pid: Pid, signal: Signal) -> process::SendSignal {
    process::SendSignal { pid, signal, reason: Some("because".into()) }
}

fn planner(kind: &str) -> PlannerSpec {
    PlannerSpec { kind: kind.into(), program: Text::from("program") }
}

fn budget(syscalls: Option<u64>, wall: Option<u64>, children: Option<u64>) -> Budget {
    Budget { syscalls, wall: wall.map(Millis), children, ..Budget::default() }
}

fn wait(pid: Pid, timeout_ms: Option<u64>) -> process::WaitChild {
    process::WaitChild { pid, timeout_ms: timeout_ms.map(Millis) }
}

fn send(to: Pid, body: &str) -> message::Send {
    text::from(json!({ "to": to, "body": body }))
}

fn receive(timeout_ms: Option<u64>) -> message::Receive {
    text::from(json!({ "timeout_ms": timeout_ms }))
}

fn root(k: &mut Table) -> Pid {
    k.ok(host(), launch()).pid
}

fn child(k: &mut Table, parent: Pid) -> Pid {
    k.ok(parent, spawn()).pid
}

fn info(k: &mut Table, pid: Pid) -> ProcessInfo {
    k.ok(host(), process::Inspect { pid })
}

/// Starts processes until this one runs; gives the number of its run.
#[track_caller]
fn run(k: &mut Table, pid: Pid) -> u64 {
    for _ in 0..1_000 {
        let order = k.ok(host(), process::Next {}).expect("the process is runnable");
        if order.pid == pid {
            return order.run;
        }
    }
    panic!("{pid} is never started");
}

/// Starts everything that is runnable; gives the numbers of the runs.
fn run_all(k: &mut Table) -> BTreeMap<Pid, u64> {
    let mut runs = BTreeMap::new();
    while let Some(order) = k.ok(host(), process::Next {}) {
        assert!(runs.insert(order.pid, order.run).is_none(), "{} is started twice", order.pid);
    }
    runs
}

fn block(k: &mut Table, pid: Pid) {
    let wait = Wait { on: WaitOn::Time, until_ms: Some(9_999) };
    assert_eq!(k.ok(host(), process::Block { pid, wait }).state, ProcessState::Waiting);
}

fn admit(pid: Pid, run: u64) -> process::Admit {
    process::Admit { pid, run, charge: Usage { syscalls: 1, ..Usage::default() } }
}

fn rights(issue: &capability::Issue) -> Vec<String> {
    let mut rights: Vec<String> = issue.grant.rights.iter().map(|it| it.to_string()).collect();
    rights.sort_unstable();
    rights
}

fn a_launch_makes_a_root_with_its_grants(k: &mut Table) {
    k.world.now_ms = 1_000;
    let grants: Vec<GrantSpec> =
        ["allow clock:now read", "ask fs:workspace/* write"].map(text::grant).into();
    let made = k.ok(host(), process::Launch { grants: grants.clone(), ..launch() });
    assert_eq!(made.capabilities.len(), 2);
    let issued = k.world.issued();
    for (issue, grant) in issued.iter().zip(&grants) {
        assert_eq!((issue.to, &issue.origin, &issue.grant), (made.pid, &Origin::Host, grant));
    }
    assert_eq!(issued.len(), 2);
    let info = info(k, made.pid);
    assert_eq!((info.parent, info.root, info.state), (None, made.pid, ProcessState::Runnable));
    assert_eq!((&*info.image, &*info.cwd.0, &*info.planner), ("worker", "workspace", "script"));
    assert_eq!(info.workspace.as_deref(), Some("/home/user/project"));
    assert_eq!(info.started_at_ms, 1_000);
}

fn a_launch_or_spawn_that_fails_changes_nothing(k: &mut Table) {
    let root = root(k);
    let before = (k.part.digest(), k.journal.len());
    let nowhere = || "nowhere".to_owned();
    assert_eq!(
        k.refused(host(), process::Launch { image: nowhere(), ..launch() }).0,
        "unknown_image"
    );
    assert_eq!(
        k.refused(root, process::Spawn { image: Some(nowhere()), ..spawn() }).0,
        "unknown_image"
    );
    assert_eq!(k.refused(host(), spawn()).0, "bad_message");
    assert_eq!(k.refused(pid_of(999), spawn()).0, "no_process");
    let grants = vec![text::grant("allow clock:now read"), text::grant("allow clock:sleep read")];
    k.world.refuse("capability.issue", 2);
    assert_eq!(k.refused(host(), process::Launch { grants, ..launch() }).0, "bad_grant");
    k.world.refuse("capability.derive", 1);
    assert_eq!(k.refused(root, spawn()).0, "bad_grant");
    for nth in [1, 2] {
        k.world.refuse("capability.issue", nth);
        assert_eq!(k.refused(root, spawn()).0, "bad_grant");
    }
    assert_eq!((k.part.digest(), k.journal.len()), before);
    assert_eq!(
        k.ok(host(), process::List { after: None, live: None, limit: None }).processes.len(),
        1
    );
    // Nothing of them is left to be started either.
    assert_eq!(k.ok(host(), process::Next {}).map(|order| order.pid), Some(root));
    assert_eq!(k.ok(host(), process::Next {}), None);
}

fn a_spawn_gives_nothing_but_what_is_handed_on_and_messages(k: &mut Table) {
    let root = root(k);
    let grants = vec![text::grant("allow fs:workspace/* read")];
    let made = k.ok(root, process::Spawn { grants: Some(grants.clone()), ..spawn() });
    assert_eq!(made.capabilities.len(), 1);
    let derived: Vec<_> = k
        .world
        .sent
        .iter()
        .filter_map(|call| match call {
            Syscall::Capability(capability::Call::Derive(derive)) => Some(derive.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(derived, [capability::Derive { parent: root, child: made.pid, grants }]);
    let issued = k.world.issued();
    let issued: Vec<(Pid, &str, Vec<String>)> =
        issued.iter().map(|issue| (issue.to, issue.grant.on.as_str(), rights(issue))).collect();
    let (to_child, to_parent) = (format!("process:{}", made.pid), format!("process:{root}"));
    let write = || vec!["write".to_owned()];
    assert_eq!(issued, [(root, &*to_child, write()), (made.pid, &*to_parent, write())]);

    let seen = info(k, made.pid);
    assert_eq!((seen.parent, seen.root), (Some(root), root));
    assert_eq!((&*seen.cwd.0, &*seen.image), ("workspace/src", "worker"));
    assert_eq!(seen.workspace.as_deref(), Some("/home/user/project"));
    let seen = k.ok(root, process::Inspect { pid: made.pid });
    assert_eq!(seen.workspace, None, "the host's folder is the host's to see");
}

fn a_planner_is_the_one_given_or_the_images_or_none(k: &mut Table) {
    let root = root(k);
    for (image, given, kind) in [
        (None, None, "script"),
        (Some("plain"), None, "none"),
        (Some("plain"), Some("workflow"), "workflow"),
    ] {
        let image = image.map(str::to_owned);
        let call = process::Spawn { image, planner: given.map(planner), ..spawn() };
        let pid = k.ok(root, call).pid;
        assert_eq!(info(k, pid).planner, kind);
    }
}

fn a_wait_tells_how_a_child_ended(k: &mut Table) {
    k.world.now_ms = 1_000;
    let root = root(k);
    let one = child(k, root);
    let below = child(k, one);
    for pid in [below, root, Pid(999)] {
        assert_eq!(k.refused(root, wait(pid, None)).0, "not_a_child");
    }
    assert_eq!(k.refused(root, wait(one, Some(0))).0, "timed_out");
    let on = || WaitOn::Child(one);
    let forever = Stop::Wait(Wait { on: on(), until_ms: None });
    assert_eq!(k.call(root, wait(one, None)), Err(forever));
    let by = || By::from(root).op(7);
    let until = Stop::Wait(Wait { on: on(), until_ms: Some(1_050) });
    assert_eq!(k.call(by(), wait(one, Some(50))), Err(until));
    k.world.now_ms = 1_049;
    assert_eq!(k.code(by(), wait(one, Some(50))), "wait");
    k.world.now_ms = 1_050;
    assert_eq!(k.code(by(), wait(one, Some(50))), "timed_out");

    let object = libos_abi::ObjectId::default();
    let last = process::Exit { result: Some(object), message: Some("done".into()), ..exit() };
    assert_eq!(k.ok(one, last).state, ProcessState::Exited);
    let issued = k.world.issued();
    let [issue] = &issued[..] else { panic!("the result is handed over: {issued:?}") };
    assert_eq!((issue.to, issue.grant.effect), (root, libos_abi::Effect::Allow));
    assert!(issue.grant.on.matches(&Resource::object(object)));
    assert!(rights(issue).contains(&"read".to_owned()) && !rights(issue).contains(&"write".into()));
    for _ in 0..2 {
        let ending = k.ok(root, wait(one, Some(0)));
        assert_eq!((ending.state, ending.result), (ProcessState::Exited, Some(object)));
        assert_eq!(ending.message.as_deref(), Some("done"));
        assert!(k.world.issued().is_empty(), "the result is handed over once");
    }
}

fn a_process_ends_well_or_badly_and_once(k: &mut Table) {
    k.world.now_ms = 1_000;
    let root = root(k);
    let one = child(k, root);
    assert_eq!(k.refused(host(), exit()).0, "bad_message");
    let long = process::Exit { message: Some("x".repeat(1 << 20)), ..exit() };
    assert_eq!(k.refused(root, long).0, "limit");
    let failed = process::Exit { failed: Some(true), code: Some("denied".into()), ..exit() };
    assert_eq!(k.ok(root, failed).state, ProcessState::Failed);
    assert_eq!(k.refused(root, exit()).0, "no_process");
    let ending = info(k, root).ending.expect("it has ended");
    assert_eq!((ending.state, ending.code.as_deref()), (ProcessState::Failed, Some("denied")));
    assert_eq!(ending.at_ms, 1_000);
    let orphan = process::Exit { result: Some(libos_abi::ObjectId::default()), ..exit() };
    k.ok(one, orphan);
    assert!(k.world.issued().is_empty(), "nobody is left to hand the result to");
}

fn a_termination_ends_the_subtree_deepest_first(k: &mut Table) {
    let root = root(k);
    let target = child(k, root);
    let [left, gone] = [child(k, target), child(k, target)];
    let orphan = child(k, gone);
    let beside = child(k, root);
    k.ok(gone, exit());
    assert_eq!(k.refused(root, signal(left, Signal::Terminate)).0, "not_a_child");
    assert_eq!(k.refused(host(), signal(Pid(999), Signal::Terminate)).0, "not_a_child");
    let before = k.journal.len();
    assert_eq!(k.ok(root, signal(target, Signal::Terminate)).state, ProcessState::Killed);
    let ended = |event: &Event| match event {
        Event::Process(ProcessEvent::Ended { pid, .. }) => Some(*pid),
        _ => None,
    };
    let ended: Vec<Pid> = k.journal[before..].iter().filter_map(ended).collect();
    assert_eq!(ended, [orphan, left, target]);
    for pid in [root, beside] {
        assert_eq!(info(k, pid).state, ProcessState::Runnable);
    }
    assert_eq!(k.refused(host(), signal(target, Signal::Terminate)).0, "already_ended");
    let ending = info(k, target).ending.expect("it was ended");
    assert_eq!(ending.message.as_deref(), Some("because"));
}

fn a_pause_remembers_what_it_held(k: &mut Table) {
    let root = root(k);
    let one = child(k, root);
    // Running: the run is over.
    let number = run(k, one);
    k.ok(root, signal(one, Signal::Pause));
    assert_eq!(k.refused(host(), admit(one, number)).0, "stale_run");
    k.ok(root, signal(one, Signal::Resume));
    assert!(run(k, one) > number);
    // Waiting: it goes back to its wait.
    block(k, one);
    let held = info(k, one).wait;
    k.ok(root, signal(one, Signal::Pause));
    assert_eq!(k.ok(root, signal(one, Signal::Resume)).state, ProcessState::Waiting);
    assert_eq!(info(k, one).wait, held);
    // Waiting, and the wait ends meanwhile: it runs once it is resumed, not before.
    k.ok(host(), signal(one, Signal::Pause));
    assert_eq!(k.ok(host(), process::Ready { pid: one }).state, ProcessState::Paused);
    while let Some(order) = k.ok(host(), process::Next {}) {
        assert_ne!(order.pid, one);
    }
    // What the host holds the host lets go, whatever a parent says in between.
    assert_eq!(k.refused(root, signal(one, Signal::Resume)).0, "held_by_host");
    k.ok(root, signal(one, Signal::Pause));
    assert_eq!(k.refused(root, signal(one, Signal::Resume)).0, "held_by_host");
    k.ok(host(), signal(one, Signal::Resume));
    assert_eq!(k.ok(host(), process::Next {}).map(|order| order.pid), Some(one));
}

fn a_process_sees_itself_and_its_children_and_the_host_all(k: &mut Table) {
    let root_one = root(k);
    let one = child(k, root_one);
    let below = child(k, one);
    let other = root(k);
    let pids = |k: &mut Table, by: By| {
        let listed = k.ok(by, process::List { after: None, live: None, limit: None }).processes;
        listed.iter().map(|info| info.pid).collect::<Vec<_>>()
    };
    assert_eq!(pids(k, host()), [root_one, one, below, other]);
    assert_eq!(pids(k, root_one.into()), [one]);
    assert_eq!(pids(k, other.into()), []);
    for (by, pid, expected) in [
        (host(), below, "ok"),
        (host(), Pid(999), "not_found"),
        (root_one.into(), root_one, "ok"),
        (root_one.into(), one, "ok"),
        (root_one.into(), below, "not_a_child"),
        (root_one.into(), Pid(999), "not_a_child"),
        (one.into(), root_one, "not_a_child"),
        (pid_of(999), Pid(999), "no_process"),
    ] {
        assert_eq!(k.code(by, process::Inspect { pid }), expected, "{pid}");
    }
}

fn a_process_moves_for_itself(k: &mut Table) {
    let [one, other] = [root(k), root(k)];
    let path = FsPath::from("workspace/docs");
    assert_eq!(k.ok(one, process::Chdir { path: path.clone() }).path, path);
    assert_eq!(k.ok(one, process::GetCwd {}).path, path);
    assert_eq!(&*k.ok(other, process::GetCwd {}).path.0, "workspace");
    let number = run(k, one);
    assert_eq!(k.ok(host(), admit(one, number)).cwd, path);
}

fn a_quantum_ends_with_what_its_planner_keeps(k: &mut Table) {
    let root = root(k);
    let commit = |state: &str| process::Commit { state: Text::from(state) };
    assert_eq!(k.refused(root, commit("too soon")).0, "stale_run");
    let first = k.ok(host(), process::Next {}).expect("it is runnable");
    assert_eq!((first.planner, first.state), (planner("script"), Text::default()));
    assert_eq!(k.ok(root, commit("kept")).state, ProcessState::Runnable);
    assert_eq!(k.refused(root, commit("twice")).0, "stale_run");
    let second = k.ok(host(), process::Next {}).expect("it goes on");
    assert_eq!(second.state, Text::from("kept"));
    assert!(second.run > first.run && second.quantum > first.quantum);
}

fn a_run_that_is_over_is_fenced(k: &mut Table) {
    let root = root(k);
    let one = child(k, root);
    assert_eq!(k.refused(host(), admit(root, 1)).0, "stale_run", "it does not run yet");
    let number = run(k, one);
    let admission = k.ok(host(), admit(one, number));
    assert_eq!((admission.root, &admission.ancestors[..]), (root, &[root][..]));
    assert_eq!((&*admission.image, &*admission.cwd.0), ("worker", "workspace/src"));
    for stale in [number + 1, number + 9] {
        assert_eq!(k.refused(host(), admit(one, stale)).0, "stale_run");
    }
    block(k, one);
    assert_eq!(k.refused(host(), admit(one, number)).0, "stale_run");
    // An operation that was admitted before is not fenced.
    k.ok(host(), admit(one, 0));
    k.ok(host(), process::Ready { pid: one });
    let next = run(k, one);
    assert!(next > number);
    assert_eq!(k.refused(host(), admit(one, number)).0, "stale_run");
    k.ok(one, exit());
    for run in [0, next] {
        assert_eq!(k.refused(host(), admit(one, run)).0, "no_process");
    }
}

fn budgets_bind_at_every_level(k: &mut Table) {
    let limited = process::Launch { budget: budget(Some(3), None, Some(2)), ..launch() };
    let root = k.ok(host(), limited).pid;
    let one = child(k, root);
    let runs = run_all(k);
    let (root_run, one_run) = (runs[&root], runs[&one]);
    for (pid, run) in [(root, root_run), (one, one_run), (one, one_run)] {
        k.ok(host(), admit(pid, run));
    }
    let over = |k: &mut Table, by: By, call: Syscall| match k.serve(by, call) {
        Err(Stop::Error(Error::Fault(Fault::OverBudget { limit, .. }))) => limit,
        other => panic!("a budget is used up: {other:?}"),
    };
    assert_eq!(over(k, host(), admit(one, one_run).into()), 3);
    assert_eq!((info(k, root).usage.syscalls, info(k, one).usage.syscalls), (3, 2));
    child(k, one);
    assert_eq!(over(k, one.into(), spawn().into()), 2, "the root has two below it");

    let timed = process::Launch { budget: budget(None, Some(100), None), ..launch() };
    let timed = k.ok(host(), timed).pid;
    let run = run(k, timed);
    k.world.now_ms += 100;
    k.ok(host(), admit(timed, run));
    let more = process::Spawn { budget: Some(budget(None, Some(101), None)), ..spawn() };
    assert_eq!(k.refused(timed, more).0, "over_budget", "a child's is within what is left");
    k.world.now_ms += 1;
    assert_eq!(over(k, host(), admit(timed, run).into()), 100);
}

fn what_may_be_used_is_set_aside_and_settled(k: &mut Table) {
    let limited: Budget = text::from(json!({ "bytes": 100 }));
    let root = k.ok(host(), process::Launch { budget: limited, ..launch() }).pid;
    let run = run(k, root);
    let call =
        |bytes| process::Admit { charge: Usage { bytes, ..Usage::default() }, ..admit(root, run) };
    k.ok(host().op(1), call(60));
    assert_eq!(info(k, root).usage.bytes, 60);
    assert_eq!(k.refused(host().op(2), call(60)).0, "over_budget");
    // What was not used is there again; what turns out to be more counts all the same.
    let settle = |op, bytes| process::Settle {
        op: libos_abi::OpId(op),
        used: Some(Usage { bytes, ..Usage::default() }),
    };
    k.ok(host(), settle(1, 10));
    assert_eq!(info(k, root).usage.bytes, 10);
    k.ok(host(), settle(1, 99));
    assert_eq!(info(k, root).usage.bytes, 10, "an operation is settled once");
    k.ok(host().op(3), call(60));
    k.ok(host(), settle(3, 95));
    assert_eq!(info(k, root).usage.bytes, 105);
    assert_eq!(k.refused(host().op(4), call(1)).0, "over_budget");
}

fn a_limit_is_raised_where_there_is_one(k: &mut Table) {
    let limited = process::Launch { budget: budget(Some(1), None, None), ..launch() };
    let root = k.ok(host(), limited).pid;
    let run = run(k, root);
    k.ok(host(), admit(root, run));
    assert_eq!(k.refused(host(), admit(root, run)).0, "over_budget");
    let extend = |pid, kind| process::Extend { pid, kind, by: 2 };
    k.ok(host(), extend(root, BudgetKind::Syscalls));
    assert_eq!(info(k, root).budget.syscalls, Some(3));
    for _ in 0..2 {
        k.ok(host(), admit(root, run));
    }
    assert_eq!(k.refused(host(), admit(root, run)).0, "over_budget");
    assert_eq!(k.refused(host(), extend(root, BudgetKind::Bytes)).0, "not_found");
    assert_eq!(k.refused(host(), extend(Pid(999), BudgetKind::Syscalls)).0, "not_found");
}

fn a_wait_begins_and_ends_once(k: &mut Table) {
    let root = root(k);
    run(k, root);
    block(k, root);
    let seen = info(k, root);
    assert_eq!(seen.wait, Some(Wait { on: WaitOn::Time, until_ms: Some(9_999) }));
    assert_eq!(k.ok(host(), process::Ready { pid: root }).state, ProcessState::Runnable);
    let events = k.journal.len();
    k.ok(host(), process::Ready { pid: root });
    let wait = Wait { on: WaitOn::Time, until_ms: None };
    let state = k.ok(host(), process::Block { pid: root, wait }).state;
    assert_eq!(state, ProcessState::Runnable, "what does not run cannot begin to wait");
    assert_eq!(k.journal.len(), events);
    assert_eq!(info(k, root).wait, None);
}

fn a_crash_makes_the_running_runnable(k: &mut Table) {
    let all: Vec<Pid> = (0..5).map(|_| root(k)).collect();
    assert_eq!(run_all(k).len(), 5);
    block(k, all[1]);
    k.ok(host(), signal(all[2], Signal::Pause));
    k.ok(all[3], exit());
    k.ok(all[4], process::Commit { state: Text::default() });
    k.recover();
    k.ok(host(), process::Recover {});
    let live = process::List { after: None, live: Some(true), limit: None };
    let listed = k.ok(host(), live).processes;
    let listed: Vec<(Pid, ProcessState)> = listed.iter().map(|it| (it.pid, it.state)).collect();
    let expected = [
        (all[0], ProcessState::Runnable),
        (all[1], ProcessState::Waiting),
        (all[2], ProcessState::Paused),
        (all[4], ProcessState::Runnable),
    ];
    assert_eq!(listed, expected);
    assert!(root(k) > all[4], "no id is given again");
}

fn bodies(messages: message::Messages) -> Vec<String> {
    let body = |message: &message::Message| message.body.as_str().unwrap_or_default().to_owned();
    messages.messages.iter().map(body).collect()
}

fn messages_arrive_once_and_in_order(k: &mut Table) {
    k.world.now_ms = 1_000;
    let [a, b] = [root(k), root(k)];
    assert_eq!(k.refused(host(), receive(None)).0, "bad_message");
    assert_eq!(k.refused(b, receive(Some(0))).0, "timed_out");
    let by = || By::from(b).op(7);
    let until = Stop::Wait(Wait { on: WaitOn::Message(b), until_ms: Some(1_050) });
    assert_eq!(k.call(by(), receive(Some(50))), Err(until));
    k.ok(a, send(b, "one"));
    k.ok(host(), message::Send { subject: Some("tag".into()), ..send(b, "two") });
    k.ok(b, send(b, "three"));
    let tagged = |from| message::Receive { from, subject: Some("tag".into()), ..receive(Some(0)) };
    assert_eq!(k.refused(b, tagged(Some(a))).0, "timed_out");
    let got = k.ok(b, tagged(None));
    assert_eq!((got.messages[0].from, got.messages[0].sent_at_ms), (None, 1_000));
    assert_eq!(bodies(got), ["two"]);
    let one = message::Receive { limit: Some(1), ..receive(Some(0)) };
    let got = k.ok(b, one);
    assert_eq!(got.messages[0].from, Some(a));
    assert_eq!(bodies(got), ["one"]);
    // Served again after its deadline, with a message there, it takes the message.
    k.world.now_ms = 5_000;
    assert_eq!(bodies(k.ok(by(), receive(Some(50)))), ["three"]);
    assert_eq!(k.refused(b, receive(Some(0))).0, "timed_out");
}

fn a_message_reaches_only_the_living(k: &mut Table) {
    let [a, b] = [root(k), root(k)];
    k.ok(a, send(b, "x"));
    k.ok(b, exit());
    for to in [b, Pid(999)] {
        assert_eq!(k.refused(a, send(to, "x")).0, "receiver_ended");
    }
    assert_eq!(k.refused(b, send(a, "x")).0, "no_process");
    assert_eq!(k.refused(b, receive(None)).0, "no_process");
    let long = send(a, &"x".repeat(1 << 20));
    assert_eq!(k.refused(a, long).0, "limit");
}

fn a_full_mailbox_slows_its_senders_down(k: &mut Table) {
    let [a, b] = [root(k), root(k)];
    k.is_strict = false;
    let mut sent = 0;
    while k.code(a, send(b, "x")) == "ok" {
        sent += 1;
        assert!(sent < 100_000, "a mailbox takes everything");
    }
    k.is_strict = true;
    assert_eq!(k.refused(a, send(b, "x")).0, "mailbox_full");
    let taken = k.ok(b, receive(None)).messages.len();
    assert!(taken > 0 && taken <= sent);
    k.ok(a, send(b, "x"));
}

fn messages_survive_a_crash(k: &mut Table) {
    let [a, b] = [root(k), root(k)];
    for body in ["one", "two"] {
        k.ok(a, send(b, body));
    }
    let first = message::Receive { limit: Some(1), ..receive(None) };
    assert_eq!(bodies(k.ok(b, first)), ["one"]);
    k.recover();
    assert_eq!(bodies(k.ok(b, receive(None))), ["two"]);
    let id = k.ok(a, send(b, "three")).id;
    assert_eq!(k.ok(b, receive(None)).messages[0].id, id);
}

fn what_it_does_not_serve_is_unsupported(k: &mut Table) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
