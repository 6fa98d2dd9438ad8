//! Skills: the service `skill`, and what an active one takes from a tool table.

use libos_abi::{
    CheckpointId, Digest, Json, Pid, Text,
    checkpoint::Copied,
    image::{self, Image},
    skill::{self, Skill},
    tool,
};
use libos_port::{Component, Stop};
use serde_json::json;

use crate::{Factory, Kernel, host, process, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! skills_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args skills
            case a_skill_is_registered_listed_shown_and_removed
                holds "I-338, I-34"
                shows "skill.register ok, skill.register exists, skill.list ok, skill.inspect ok,
skill.inspect not_found, skill.unregister ok, skill.unregister not_found";
            case a_malformed_skill_is_refused
                holds "I-08" shows "skill.register bad_skill";
            case a_skill_is_taken_up_read_and_put_down
                holds "I-338"
                shows "skill.activate ok, skill.activate not_found, skill.read ok,
skill.read not_found, skill.read not_active, skill.unload ok, skill.unload not_active";
            case what_was_pinned_is_what_is_used
                holds "I-338" shows "skill.activate changed, skill.read changed";
            case an_active_skill_takes_tools_away_and_gives_none
                holds "I-339" shows "tool.call perform, tool.call denied, tool.list ok";
            case what_is_active_goes_with_its_process
                holds "I-339"
                shows "tool.carry ok, tool.end ok, tool.save ok, tool.restore ok, tool.copy ok";
            case nothing_in_a_skill_grants_anything
                holds "I-339, I-20" shows "skill.register ok, skill.activate ok";
            case a_host_takes_up_no_skill
                holds "I-338" shows "skill.activate bad_message";
        }
    };
}

skills_cases! { contract [Kernel<dyn Component>: "image" "tool" "skill"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Shelf = Kernel<dyn Component>;

fn skill(name: &str, allowed: Option<&[&str]>) -> Skill {
    text::from(json!({
        "name": name, "description": "tidies up", "allowed_tools": allowed, "text": "Tidy up.",
        "files": [{ "path": "ref/a.md", "text": "more" }],
    }))
}

fn register(skill: Skill, replace: bool) -> skill::Register {
    skill::Register { skill, replace: Some(replace) }
}

fn activate(skill: &str) -> skill::Activate {
    skill::Activate { skill: skill.into(), digest: None }
}

fn unload(skill: &str) -> skill::Unload {
    skill::Unload { skill: skill.into() }
}

fn read(skill: &str, file: &str) -> skill::ReadFile {
    skill::ReadFile { skill: skill.into(), file: file.into() }
}

fn call(name: &str) -> tool::CallTool {
    tool::CallTool { name: name.into(), args: Json::default() }
}

/// A process of an image with two tools and the tools of skills.
fn with_image(k: &mut Shelf) {
    let image: Image = text::from(json!({
        "name": "mine", "version": "1", "tools": ["read_file", "write_file", "unload_skill"],
    }));
    k.ok(process(1), image::Register { image, replace: None });
    k.world.image = "mine".into();
}

fn tools(k: &mut Shelf, pid: u64) -> Vec<String> {
    k.ok(process(pid), tool::List {}).tools
}

fn a_skill_is_registered_listed_shown_and_removed(k: &mut Shelf) {
    let tidy = skill("tidy", None);
    let digest = k.ok(host(), register(tidy.clone(), false)).digest;
    assert_eq!(digest, tidy.digest());
    k.ok(host(), register(skill("brief", None), false));
    assert_eq!(k.refused(host(), register(tidy.clone(), false)).0, "exists");
    k.ok(host(), register(tidy.clone(), true));
    k.recover();
    let listed = k.ok(process(1), skill::List {}).skills;
    let listed: Vec<_> = listed.iter().map(|it| (it.name.as_str(), it.active)).collect();
    assert_eq!(listed, [("brief", false), ("tidy", false)]);
    assert_eq!(*k.ok(process(1), skill::Inspect { skill: "tidy".into() }), tidy);
    let remove = || skill::Unregister { skill: "tidy".into() };
    assert_eq!(k.ok(host(), remove()).digest, digest);
    assert_eq!(k.refused(host(), remove()).0, "not_found");
    assert_eq!(k.refused(process(1), skill::Inspect { skill: "tidy".into() }).0, "not_found");
}

fn a_malformed_skill_is_refused(k: &mut Shelf) {
    let good = || skill("x", None);
    let large = |bytes| Text::blob(Digest::of(b"elsewhere"), bytes);
    let file = |path: &str, bytes| image::PackageFile {
        path: path.into(),
        text: large(bytes),
        base64: false,
    };
    let table = [
        skill("", None),
        skill("Not-A-Name", None),
        skill("a/b", None),
        Skill { description: " ".into(), ..good() },
        Skill { description: "d".repeat(1 << 20), ..good() },
        Skill { text: large(1 << 30), ..good() },
        Skill { files: vec![file("a", 1), file("a", 1)], ..good() },
        Skill { files: vec![file("../a", 1)], ..good() },
        Skill { files: vec![file("a", 1 << 30)], ..good() },
        Skill { files: (0..1_000).map(|n| file(&format!("f{n}"), 1)).collect(), ..good() },
    ];
    for skill in table {
        let shown = format!("{skill:.200?}");
        assert_eq!(k.refused(host(), register(skill, false)).0, "bad_skill", "{shown:.200}");
    }
}

fn a_skill_is_taken_up_read_and_put_down(k: &mut Shelf) {
    with_image(k);
    let tidy = skill("tidy", None);
    k.ok(host(), register(tidy.clone(), false));
    assert_eq!(k.refused(process(1), activate("other")).0, "not_found");
    assert_eq!(k.refused(process(1), read("tidy", "ref/a.md")).0, "not_active");
    let taken = k.ok(process(1), activate("tidy"));
    assert_eq!((taken.skill.digest, taken.text), (tidy.digest(), tidy.text));
    assert_eq!(taken.files, ["ref/a.md"]);
    k.recover();
    assert!(k.ok(process(1), skill::List {}).skills[0].active);
    assert!(!k.ok(process(2), skill::List {}).skills[0].active);
    assert_eq!(k.ok(process(1), read("tidy", "ref/a.md")).text.as_str(), Some("more"));
    assert_eq!(k.refused(process(1), read("tidy", "SKILL.md")).0, "not_found");
    assert_eq!(k.refused(process(2), read("tidy", "ref/a.md")).0, "not_active");
    k.ok(process(1), unload("tidy"));
    assert_eq!(k.refused(process(1), unload("tidy")).0, "not_active");
    assert_eq!(k.refused(process(1), read("tidy", "ref/a.md")).0, "not_active");
}

fn what_was_pinned_is_what_is_used(k: &mut Shelf) {
    with_image(k);
    let (one, two) = (skill("tidy", Some(&["read_file"])), skill("tidy", None));
    k.ok(host(), register(one.clone(), false));
    let pinned = |digest| skill::Activate { digest: Some(digest), ..activate("tidy") };
    assert_eq!(k.refused(process(1), pinned(two.digest())).0, "changed");
    k.ok(process(1), pinned(one.digest()));
    k.ok(host(), register(two.clone(), true));
    // What was taken up goes on to bind, and nothing of the other is read under its name.
    assert_eq!(k.refused(process(1), call("write_file")).0, "denied");
    assert_eq!(k.refused(process(1), read("tidy", "ref/a.md")).0, "changed");
    k.ok(process(1), activate("tidy"));
    k.ok(process(1), read("tidy", "ref/a.md"));
    assert_eq!(k.serve(process(1), call("write_file")), Err(Stop::Perform));
    // An image that names a package means that one.
    let image: Image = text::from(json!({
        "name": "mine", "version": "2", "tools": ["read_file"],
        "skills": [{ "name": "tidy", "digest": one.digest() }],
    }));
    k.ok(host(), image::Register { image, replace: Some(true) });
    assert_eq!(k.refused(process(2), activate("tidy")).0, "changed");
    k.ok(host(), register(one, true));
    k.ok(process(2), activate("tidy"));
}

fn an_active_skill_takes_tools_away_and_gives_none(k: &mut Shelf) {
    with_image(k);
    for (name, allowed) in [
        ("all", None),
        ("reads", Some(&["read_file", "run_command"][..])),
        ("writes", Some(&["write_file"][..])),
    ] {
        k.ok(host(), register(skill(name, allowed), false));
    }
    let all = ["read_file", "write_file", "unload_skill"];
    k.ok(process(1), activate("all"));
    assert_eq!(tools(k, 1), all);
    k.ok(process(1), activate("reads"));
    assert_eq!(tools(k, 1), ["read_file", "unload_skill"]);
    assert_eq!(k.serve(process(1), call("read_file")), Err(Stop::Perform));
    let (code, why) = k.refused(process(1), call("write_file"));
    assert_eq!((code, why.contains("reads")), ("denied", true), "{why}");
    // What it names and the image has not is not there.
    assert_eq!(k.refused(process(1), call("run_command")).0, "denied");
    // Another process is as it was.
    assert_eq!(tools(k, 2), all);
    // Two leave what both allow.
    k.ok(process(1), activate("writes"));
    assert_eq!(tools(k, 1), ["unload_skill"]);
    assert_eq!(k.refused(process(1), call("read_file")).0, "denied");
    assert_eq!(k.serve(process(1), call("unload_skill")), Err(Stop::Perform));
    k.ok(process(1), unload("reads"));
    assert_eq!(tools(k, 1), ["write_file", "unload_skill"]);
    k.ok(process(1), unload("writes"));
    assert_eq!(tools(k, 1), all);
}

fn what_is_active_goes_with_its_process(k: &mut Shelf) {
    with_image(k);
    let checkpoint = CheckpointId::new(1, 1);
    k.ok(host(), register(skill("reads", Some(&["read_file"])), false));
    k.ok(process(1), activate("reads"));
    k.ok(host(), tool::Carry { from: Pid(1), to: Pid(2) });
    let narrow = ["read_file", "unload_skill"];
    assert_eq!(tools(k, 2), narrow);
    k.ok(host(), tool::SaveTools { checkpoint, processes: vec![Pid(1)] });
    k.ok(process(1), unload("reads"));
    assert_eq!(tools(k, 1).len(), 3);
    let copied = Copied { from: Pid(1), to: Pid(7), parent: None };
    k.ok(host(), tool::CopyTools { checkpoint, processes: vec![copied] });
    assert_eq!(tools(k, 7), narrow);
    k.ok(host(), tool::RestoreTools { checkpoint });
    assert_eq!(tools(k, 1), narrow);
    k.recover();
    assert_eq!(tools(k, 1), narrow);
    k.ok(host(), tool::End { pid: Pid(1) });
    assert_eq!(tools(k, 1).len(), 3);
    assert_eq!(tools(k, 2), narrow);
}

fn nothing_in_a_skill_grants_anything(k: &mut Shelf) {
    with_image(k);
    let wants = ["run_command", "write_file", "anything"];
    k.ok(process(1), register(skill("wants", Some(&wants)), false));
    k.ok(process(1), activate("wants"));
    assert!(k.world.sent.is_empty(), "it sent {:?}", k.world.sent);
    assert_eq!(k.refused(process(1), call("run_command")).0, "denied");
}

fn a_host_takes_up_no_skill(k: &mut Shelf) {
    k.ok(host(), register(skill("tidy", None), false));
    assert_eq!(k.refused(host(), activate("tidy")).0, "bad_message");
    assert_eq!(k.refused(host(), unload("tidy")).0, "bad_message");
}
