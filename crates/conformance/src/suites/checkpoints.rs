//! Checkpoints: service `checkpoint`. What one consists of is kept by others, which are asked.

use libos_abi::{
    CapId, CheckpointId, Digest, Effect, Error, ObjectId, Pid, Reply, Resource, Right, Syscall,
    capability,
    checkpoint::{
        self, Change, Copied, Forked, Held, Kept, Made, ObjectChange, ObjectChanges, ProcessChange,
        ProcessChanges, Revived, Rewound, Subtree,
    },
    image, object,
    process::{self, PlannerSpec, ProcessState},
    tool,
};
use libos_port::Component;

use crate::{Factory, Kernel, host, process as pid_of, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! checkpoints_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args checkpoints
            case a_checkpoint_is_made_listed_shown_and_dropped
                holds "I-113"
                shows "checkpoint.create ok, checkpoint.list ok, checkpoint.inspect ok,
                       checkpoint.inspect not_found, checkpoint.drop ok,
                       checkpoint.drop not_found";
            case of_a_process_that_has_ended_none_is_made
                holds "I-08, I-113" shows "checkpoint.create ended, checkpoint.create bad_message";
            case whoever_makes_one_may_read_it
                holds "I-13" shows "checkpoint.create ok";
            case a_comparison_tells_what_changed_and_how_much_it_leaves_out
                holds "I-113" shows "checkpoint.diff ok, checkpoint.diff not_found";
            case a_fork_copies_processes_authority_and_memory
                holds "I-116"
                shows "checkpoint.fork ok, checkpoint.fork not_found, checkpoint.fork ended,
checkpoint.fork denied";
            case a_restore_does_what_its_preview_showed_or_nothing
                holds "I-117"
                shows "checkpoint.preview ok, checkpoint.preview not_found, checkpoint.restore ok,
checkpoint.restore stale, checkpoint.restore not_found";
            case nobody_restores_what_it_is_itself_part_of
                holds "I-117" shows "checkpoint.restore inside";
            case an_image_of_a_checkpoint_requires_what_was_held_and_grants_nothing
                holds "I-14, I-20"
                shows "checkpoint.commit ok, checkpoint.commit not_found,
checkpoint.commit bad_image";
            case checkpoints_survive_a_crash
                holds "I-34" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

checkpoints_cases! { contract [Kernel<dyn Component>: "checkpoint"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Registry = Kernel<dyn Component>;

const ONE: CheckpointId = CheckpointId::new(1, 1);

fn changes(count: u64) -> ObjectChanges {
    let row = |number| ObjectChange {
        id: ObjectId::new(1, number),
        change: Change::Changed,
        was: 1,
        now: 2,
        digest: Digest::default(),
    };
    ObjectChanges { rows: (1..=count).map(row).collect() }
}

/// The rest of the system: p1 with p2 below it, p3 made since, `objects` objects changed.
fn world(k: &mut Registry, objects: u64) {
    let world = &mut k.world;
    world.answer("process.save", |_| {
        let subtree = Subtree { live: vec![Pid(1), Pid(2)], ended: vec![Pid(9)] };
        Ok(process::Reply::Save(subtree).into())
    });
    world.answer("object.save_spaces", |_| Ok(object::Reply::SaveSpaces(Kept { count: 7 }).into()));
    world.answer("capability.save", |_| Ok(capability::Reply::Save(Kept { count: 3 }).into()));
    world.answer("process.compare", |_| {
        let made = ProcessChange {
            pid: Pid(3),
            change: Change::Made,
            was: None,
            now: ProcessState::Running,
            runs: 1,
            unread: Vec::new(),
        };
        Ok(process::Reply::Compare(ProcessChanges { rows: vec![made] }).into())
    });
    world.answer("object.compare_spaces", move |_| {
        Ok(object::Reply::CompareSpaces(changes(objects)).into())
    });
    world.answer("capability.compare", |_| {
        let none = checkpoint::CapabilityChanges { rows: Vec::new() };
        Ok(capability::Reply::Compare(none).into())
    });
    world.answer("process.forget", |_| Ok(process::Reply::Forget(()).into()));
    world.answer("object.forget_spaces", |_| Ok(object::Reply::ForgetSpaces(()).into()));
    world.answer("capability.forget", |_| Ok(capability::Reply::Forget(()).into()));
    world.answer("tool.save", |_| Ok(tool::Reply::SaveTools(()).into()));
    world.answer("tool.forget", |_| Ok(tool::Reply::ForgetTools(()).into()));
    world.answer("tool.copy", |_| Ok(tool::Reply::CopyTools(()).into()));
    world.answer("tool.restore", |_| Ok(tool::Reply::RestoreTools(()).into()));
}

fn create(pid: Option<u64>) -> checkpoint::Create {
    checkpoint::Create { pid: pid.map(Pid), reason: Some("before".into()) }
}

fn inspect(checkpoint: CheckpointId) -> checkpoint::Inspect {
    checkpoint::Inspect { checkpoint }
}

/// The names of the calls that the last one sent.
fn sent(k: &Registry) -> Vec<&'static str> {
    k.world.sent.iter().map(|call| call.info().name).collect()
}

fn a_checkpoint_is_made_listed_shown_and_dropped(k: &mut Registry) {
    world(k, 0);
    k.world.now_ms = 77;
    let made = k.ok(pid_of(1), create(None));
    assert_eq!(made.id, ONE);
    assert_eq!((made.by, made.at_ms, &*made.reason), (Some(Pid(1)), 77, "before"));
    assert_eq!((made.processes, made.objects, made.capabilities), (2, 7, 3));
    let other = k.ok(host(), create(Some(2)));
    assert_eq!((other.id.process, other.by), (Pid(2), None));
    assert_eq!(k.ok(pid_of(1), inspect(ONE)), made);
    let list =
        |pid: Option<u64>, after, limit| checkpoint::List { pid: pid.map(Pid), after, limit };
    assert_eq!(k.ok(pid_of(1), list(None, None, None)).checkpoints, std::slice::from_ref(&made));
    let page = k.ok(host(), list(None, None, Some(1)));
    assert_eq!((page.checkpoints, page.more_after), (vec![made.clone()], Some(ONE)));
    let rest = k.ok(host(), list(None, Some(ONE), None));
    assert_eq!((rest.checkpoints, rest.more_after), (vec![other.clone()], None));
    assert_eq!(k.ok(host(), list(Some(2), None, None)).checkpoints, [other]);

    let drop = || checkpoint::DropCheckpoint { checkpoint: ONE };
    assert_eq!(k.ok(host(), drop()), made);
    let expected = ["process.forget", "object.forget_spaces", "capability.forget", "tool.forget"];
    assert_eq!(sent(k), expected);
    assert_eq!(k.refused(host(), drop()).0, "not_found");
    assert_eq!(k.refused(host(), inspect(ONE)).0, "not_found");
    assert_eq!(k.ok(host(), create(Some(1))).id.number, 2, "no number is given a second time");
}

fn of_a_process_that_has_ended_none_is_made(k: &mut Registry) {
    world(k, 0);
    assert_eq!(k.refused(host(), create(None)).0, "bad_message", "the host names it");
    k.world.answer("process.save", |_| Err(process::FailureKind::NotFound.because("it ended")));
    assert_eq!(k.refused(host(), create(Some(1))).0, "ended");
    let list = checkpoint::List { pid: None, after: None, limit: None };
    assert_eq!(k.ok(host(), list).checkpoints, []);
}

fn whoever_makes_one_may_read_it(k: &mut Registry) {
    world(k, 0);
    k.ok(pid_of(4), create(Some(1)));
    let [issued] = &k.world.issued()[..] else { panic!("one grant") };
    assert!(issued.grant.on.matches(&Resource::checkpoint(ONE)));
    assert_eq!((issued.to, issued.grant.rights), (Pid(4), [Right::Read].into_iter().collect()));
    let place = |name: &str| sent(k).iter().position(|sent| *sent == name);
    assert!(place("capability.issue") < place("capability.save"), "it is held at the checkpoint");
    k.world.says(4, Right::Read, Resource::checkpoint(CheckpointId::new(1, 2)), Effect::Allow);
    k.ok(pid_of(4), create(Some(1)));
    assert_eq!(k.world.issued(), [], "it may already");
}

fn a_comparison_tells_what_changed_and_how_much_it_leaves_out(k: &mut Registry) {
    world(k, 100);
    let diff = || checkpoint::Diff { checkpoint: ONE };
    assert_eq!(k.refused(host(), diff()).0, "not_found");
    k.ok(host(), create(Some(1)));
    let told = k.ok(host(), diff());
    assert_eq!((told.processes.len(), told.capabilities.len()), (1, 0));
    assert_eq!(told.objects.len() as u64 + told.truncated, 100);
    let spaces = k.world.sent.iter().find_map(|call| match call {
        Syscall::Object(object::Call::CompareSpaces(call)) => Some(call.spaces.clone()),
        _ => None,
    });
    assert_eq!(spaces, Some(vec![Pid(3)]), "what was made since has a memory too");
}

fn a_fork_copies_processes_authority_and_memory(k: &mut Registry) {
    world(k, 0);
    let fork = |parent: Option<u64>| checkpoint::Fork { checkpoint: ONE, parent: parent.map(Pid) };
    assert_eq!(k.refused(host(), fork(None)).0, "not_found");
    k.ok(host(), create(Some(1)));
    k.world.answer("process.copy_saved", |call| {
        let Syscall::Process(process::Call::CopySaved(copy)) = call else { panic!("{call:?}") };
        let copied = Copied { from: Pid(1), to: Pid(7), parent: copy.parent };
        Ok(process::Reply::CopySaved(Forked { pid: Pid(7), processes: vec![copied] }).into())
    });
    k.world.answer("capability.copy_held", |_| Ok(capability::Reply::CopyHeld(()).into()));
    k.world.answer("object.copy_spaces", |_| Ok(object::Reply::CopySpaces(()).into()));
    let forked = k.ok(host(), fork(None));
    assert_eq!((forked.pid, forked.processes[0].parent), (Pid(7), None));
    let expected =
        ["process.copy_saved", "capability.copy_held", "tool.copy", "object.copy_spaces"];
    assert_eq!(sent(k), expected, "it is bounded before it holds anything");
    assert_eq!(k.ok(host(), fork(Some(4))).processes[0].parent, Some(Pid(4)));
    assert_eq!(k.ok(pid_of(4), fork(None)).processes[0].parent, Some(Pid(4)), "the caller");
    assert_eq!(k.refused(pid_of(4), fork(Some(1))).0, "denied", "not below another one");
    k.world.answer("process.copy_saved", |_| {
        Err(process::FailureKind::NotFound.because("nothing is kept"))
    });
    assert_eq!(k.refused(host(), fork(None)).0, "ended");
}

fn restores(k: &mut Registry) {
    k.world.answer("process.restore", |_| {
        Ok(process::Reply::Restore(Rewound {
            processes: vec![Pid(1), Pid(2)],
            revived: vec![Revived { pid: Pid(2), parent: Some(Pid(1)) }],
            made: vec![Pid(3)],
        })
        .into())
    });
    k.world.answer("capability.restore", |_| {
        let revoked = capability::Revoked { capabilities: vec![CapId(4)] };
        Ok(capability::Reply::Restore(revoked).into())
    });
    k.world.answer("object.restore_spaces", |call| {
        let Syscall::Object(object::Call::RestoreSpaces(call)) = call else { panic!("{call:?}") };
        assert_eq!(call.dropped, [Pid(3)]);
        Ok(object::Reply::RestoreSpaces(Kept { count: 5 }).into())
    });
}

fn a_restore_does_what_its_preview_showed_or_nothing(k: &mut Registry) {
    world(k, 30);
    restores(k);
    let preview = || checkpoint::Preview { checkpoint: ONE };
    let restore = |token| checkpoint::Restore { checkpoint: ONE, token };
    assert_eq!(k.refused(host(), preview()).0, "not_found");
    assert_eq!(k.refused(host(), restore(Digest::default())).0, "not_found");
    k.ok(host(), create(Some(1)));
    let shown = k.ok(host(), preview());
    assert_eq!(shown.difference.processes.len(), 1);
    assert!(shown.difference.truncated > 0, "the token stands for what is not shown as well");
    assert_eq!(k.refused(host(), restore(Digest::default())).0, "stale");
    world(k, 31);
    assert_eq!(k.refused(host(), restore(shown.token)).0, "stale", "one object more has changed");
    world(k, 30);
    let restored = k.ok(host(), restore(shown.token));
    assert_eq!((&restored.processes[..], restored.objects), (&[Pid(1), Pid(2)][..], 5));
    assert_eq!((&restored.revived[..], &restored.ended[..]), (&[Pid(2)][..], &[Pid(3)][..]));
    assert_eq!(restored.revoked, [CapId(4)]);
    assert_eq!(k.ok(host(), inspect(ONE)).id, ONE, "it can be come back to again");
}

fn nobody_restores_what_it_is_itself_part_of(k: &mut Registry) {
    world(k, 0);
    restores(k);
    k.ok(host(), create(Some(1)));
    let token = k.ok(pid_of(4), checkpoint::Preview { checkpoint: ONE }).token;
    let restore = || checkpoint::Restore { checkpoint: ONE, token };
    assert_eq!(k.refused(pid_of(1), restore()).0, "inside");
    k.ok(pid_of(4), restore());
}

fn an_image_of_a_checkpoint_requires_what_was_held_and_grants_nothing(k: &mut Registry) {
    world(k, 0);
    let commit = |image: &str| checkpoint::Commit {
        checkpoint: ONE,
        image: image.into(),
        version: None,
        replace: None,
    };
    assert_eq!(k.refused(host(), commit("mine")).0, "not_found");
    k.ok(host(), create(Some(1)));
    k.world.answer("process.recall", |_| {
        let planner = PlannerSpec { kind: "script".into(), program: "then".into() };
        Ok(process::Reply::Recall(Made { image: "worker".into(), planner }).into())
    });
    k.world.answer("capability.recall", |_| {
        let grants =
            ["allow fs:workspace/* read", "allow object:p1/7 read", "deny fs:workspace/no read"];
        let grants = grants.map(text::grant);
        Ok(capability::Reply::Recall(Held { grants: grants.into() }).into())
    });
    k.world.answer("image.commit", |call| {
        let Syscall::Image(image::Call::CommitImage(call)) = call else { panic!("{call:?}") };
        assert_eq!((call.checkpoint, call.of), (ONE, Pid(1)));
        let answer: Result<Reply, Error> = match call.image.name.as_str() {
            "taken" => Err(image::FailureKind::Exists.because("there is one")),
            _ => Ok(image::Reply::CommitImage(call.image.clone().into()).into()),
        };
        answer
    });
    let image = k.ok(host(), commit("mine"));
    assert_eq!((&*image.name, &*image.version), ("mine", "1"));
    let program = image.planner.as_ref().map(|it| it.program.clone());
    assert_eq!(program, Some("then".into()), "as it was then");
    let required: Vec<&str> = image.required_capabilities.iter().map(|it| it.on.as_str()).collect();
    assert_eq!(required, ["fs:workspace/*"], "what is of this store is of no use elsewhere");
    assert_eq!(k.world.issued(), [], "it grants nothing");
    assert_eq!(k.refused(host(), commit("taken")).0, "bad_image");
}

fn checkpoints_survive_a_crash(k: &mut Registry) {
    world(k, 0);
    let made = k.ok(host(), create(Some(1)));
    k.recover();
    assert_eq!(k.ok(host(), inspect(ONE)), made);
    assert_eq!(k.ok(host(), create(Some(1))).id.number, 2);
}

fn what_it_does_not_serve_is_unsupported(k: &mut Registry) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
