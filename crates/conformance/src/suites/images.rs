//! Images and tool tables: services `image` and `tool`.

use libos_abi::{
    Digest, GrantSpec, Json, Syscall, Text,
    image::{self, Image},
    process::PlannerSpec,
    tool,
};
use libos_port::{Component, Stop};
use serde_json::json;

use crate::{Factory, Kernel, host, process, text};

/// The table.
#[doc(hidden)]
#[macro_export]
macro_rules! images_cases {
    ($then:ident $args:tt) => {
        $crate::$then! { $args images
            case the_built_in_images_are_there_without_events
                holds "I-14" shows "image.list ok";
            case a_registered_image_is_listed_and_inspected
                holds "I-14, I-34"
                shows "image.register ok, image.inspect ok, image.inspect not_found";
            case nothing_in_an_image_grants_anything
                holds "I-14, I-20" shows "image.register ok";
            case an_image_is_replaced_only_on_request_and_a_built_in_one_never
                holds "I-14" shows "image.register exists, image.register built_in";
            case a_malformed_image_is_refused
                holds "I-08" shows "image.register bad_image";
            case the_tool_table_is_that_of_the_caller_s_image
                holds "I-01" shows "tool.list ok, tool.call perform, tool.call denied";
            case a_process_is_shown_the_image_it_was_made_from
                holds "I-14" shows "image.own ok, image.own not_found, image.own bad_message";
            case a_tool_table_changes_with_its_image
                holds "I-01" shows "tool.list ok";
            case a_host_and_a_process_without_image_have_no_tools
                holds "I-01" shows "tool.list ok, tool.list bad_message, tool.call denied";
            case an_image_is_unregistered_and_a_built_in_one_never
                holds "I-14"
                shows "image.unregister ok, image.unregister not_found,
image.unregister built_in";
            case a_tool_group_is_shown_once_it_is_activated
                holds "I-01" shows "tool.groups ok, tool.list ok";
            case images_survive_a_crash
                holds "I-34" shows "";
            case what_it_does_not_serve_is_unsupported
                holds "I-81" shows "";
        }
    };
}

images_cases! { contract [Kernel<dyn Component>: "image" "tool" "skill"] }

/// What makes the part, for [`CONTRACT`].
pub fn factory<C: Component + 'static>(
    make: impl Fn() -> C + 'static,
) -> Factory<Box<dyn Component>> {
    super::component(make)
}

type Registry = Kernel<dyn Component>;

fn image(name: &str) -> Image {
    text::from(json!({ "name": name, "version": "1", "tools": ["read_file"] }))
}

fn register(image: Image) -> image::Register {
    image::Register { image, replace: None }
}

fn inspect(name: &str) -> image::Inspect {
    image::Inspect { image: name.into() }
}

fn call(name: &str) -> tool::CallTool {
    tool::CallTool { name: name.into(), args: Json::default() }
}

fn grant() -> GrantSpec {
    text::grant("allow fs:workspace/* read")
}

fn blob(bytes: u64) -> Text {
    let digest = Digest::of(b"elsewhere");
    Text::blob(digest, bytes)
}

fn names(k: &mut Registry) -> Vec<String> {
    let images = k.ok(process(1), image::List {}).images;
    images.into_iter().map(|image| image.name).collect()
}

fn the_built_in_images_are_there_without_events(k: &mut Registry) {
    let listed = k.ok(process(1), image::List {}).images;
    assert!(k.journal.is_empty());
    assert!(!listed.is_empty());
    assert!(listed.is_sorted_by(|one, next| one.name < next.name), "by name, each once");
    for image in listed {
        assert_eq!(*k.ok(process(1), inspect(&image.name)), image);
        // What is built in keeps to the rules for all.
        k.ok(process(1), register(Image { name: format!("my-{}", image.name), ..image }));
    }
}

fn a_registered_image_is_listed_and_inspected(k: &mut Registry) {
    let before = names(k);
    let mine = Image {
        prompt: blob(64 << 10),
        required_capabilities: vec![grant()],
        planner: Some(PlannerSpec { kind: "llm".into(), program: "p".into() }),
        ..image("mine")
    };
    assert_eq!(*k.ok(process(1), register(mine.clone())), mine);
    assert_eq!(*k.ok(process(2), inspect("mine")), mine);
    let mut after = names(k);
    assert!(after.is_sorted());
    after.retain(|name| !before.contains(name));
    assert_eq!(after, ["mine"]);
    assert_eq!(k.refused(process(1), inspect("none")).0, "not_found");
}

fn nothing_in_an_image_grants_anything(k: &mut Registry) {
    let wants = vec![text::grant("allow shell:* execute"), grant()];
    k.ok(process(1), register(Image { required_capabilities: wants, ..image("mine") }));
    assert!(k.world.sent.is_empty(), "it sent {:?}", k.world.sent);
}

fn an_image_is_replaced_only_on_request_and_a_built_in_one_never(k: &mut Registry) {
    let built_in = names(k);
    let replace = |image: Image, replace| image::Register { image, replace };
    k.ok(process(1), replace(image("mine"), Some(true)));
    let next = Image { version: "2".into(), ..image("mine") };
    for no in [None, Some(false)] {
        assert_eq!(k.refused(process(1), replace(next.clone(), no)).0, "exists");
    }
    k.ok(process(1), replace(next, Some(true)));
    assert_eq!(k.ok(process(1), inspect("mine")).version, "2");
    for name in built_in {
        assert_eq!(k.refused(host(), replace(image(&name), Some(true))).0, "built_in", "{name}");
    }
}

fn a_malformed_image_is_refused(k: &mut Registry) {
    let tools = |tools: &[&str]| Image {
        tools: tools.iter().map(ToString::to_string).collect(),
        ..image("x")
    };
    let planner = |kind: &str, program: Text| Image {
        planner: Some(PlannerSpec { kind: kind.into(), program }),
        ..image("x")
    };
    let table = [
        image(""),
        image("Mine"),
        image("a/b"),
        image(&"x".repeat(1 << 12)),
        Image { version: String::new(), ..image("x") },
        Image { version: "1\n".into(), ..image("x") },
        Image { description: "d".repeat(1 << 20), ..image("x") },
        Image { prompt: blob(1 << 30), ..image("x") },
        Image { tools: (0..10_000).map(|n| format!("t{n}")).collect(), ..image("x") },
        tools(&[""]),
        tools(&["read file"]),
        tools(&["a", "b", "a"]),
        planner("", "p".into()),
        planner("llm", blob(1 << 30)),
    ];
    for image in table {
        let shown = format!("{image:.200?}");
        assert_eq!(k.refused(process(1), register(image)).0, "bad_image", "{shown:.200}");
    }
}

fn the_tool_table_is_that_of_the_caller_s_image(k: &mut Registry) {
    k.ok(process(1), register(image("mine")));
    k.ok(process(1), register(Image { tools: Vec::new(), ..image("bare") }));
    k.world.image = "mine".into();
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["read_file"]);
    assert_eq!(k.serve(process(1), call("read_file")), Err(Stop::Perform));
    assert_eq!(k.refused(process(1), call("write_file")).0, "denied");
    k.world.image = "bare".into();
    assert!(k.ok(process(1), tool::List {}).tools.is_empty());
    assert_eq!(k.refused(process(1), call("read_file")).0, "denied");
}

fn a_process_is_shown_the_image_it_was_made_from(k: &mut Registry) {
    k.ok(process(1), register(image("mine")));
    k.world.image = "mine".into();
    assert_eq!(*k.ok(process(1), image::Own {}), *k.ok(process(1), inspect("mine")));
    k.world.image = "gone".into();
    assert_eq!(k.refused(process(1), image::Own {}).0, "not_found");
    assert_eq!(k.refused(host(), image::Own {}).0, "bad_message");
}

fn a_tool_table_changes_with_its_image(k: &mut Registry) {
    k.ok(process(1), register(image("mine")));
    k.world.image = "mine".into();
    let next = Image { tools: vec!["write_file".into()], ..image("mine") };
    k.ok(host(), image::Register { image: next, replace: Some(true) });
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["write_file"]);
    assert_eq!(k.refused(process(1), call("read_file")).0, "denied");
}

fn a_host_and_a_process_without_image_have_no_tools(k: &mut Registry) {
    k.world.image = "gone".into();
    assert!(k.ok(process(1), tool::List {}).tools.is_empty());
    assert!(k.ok(process(1), tool::ListGroups {}).groups.is_empty());
    assert_eq!(k.refused(process(1), call("read_file")).0, "denied");
    let table: [Syscall; 3] =
        [tool::List {}.into(), call("read_file").into(), tool::ListGroups {}.into()];
    for call in table {
        assert_eq!(k.refused(host(), call).0, "bad_message");
    }
}

fn an_image_is_unregistered_and_a_built_in_one_never(k: &mut Registry) {
    let built_in = names(k);
    let unregister = |name: &str| image::Unregister { image: name.into() };
    k.ok(process(1), register(image("mine")));
    assert_eq!(k.ok(process(1), unregister("mine")).name, "mine");
    assert_eq!(k.refused(process(1), inspect("mine")).0, "not_found");
    assert_eq!(k.refused(process(1), unregister("mine")).0, "not_found");
    for name in built_in {
        assert_eq!(k.refused(host(), unregister(&name)).0, "built_in", "{name}");
    }
    k.ok(process(1), register(image("mine")));
}

fn a_tool_group_is_shown_once_it_is_activated(k: &mut Registry) {
    let group = json!({ "name": "more", "description": "d", "tools": ["write_file"] });
    let mine: Image = text::from(json!({
        "name": "mine", "version": "1", "tools": ["read_file"], "tool_groups": [group],
    }));
    k.ok(process(1), register(mine));
    k.world.image = "mine".into();
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["read_file"]);
    let [shown] = &k.ok(process(1), tool::ListGroups {}).groups[..] else { panic!("one group") };
    assert_eq!((shown.name.as_str(), shown.active), ("more", false));
    // Showing grants nothing, and hiding takes nothing away: what counts is the image.
    assert_eq!(k.serve(process(1), call("write_file")), Err(Stop::Perform));
    k.world.tool_groups = vec!["more".into()];
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["read_file", "write_file"]);
    assert!(k.ok(process(1), tool::ListGroups {}).groups[0].active);
}

fn images_survive_a_crash(k: &mut Registry) {
    k.ok(process(1), register(image("mine")));
    let before = k.ok(process(1), image::List {});
    k.recover();
    assert_eq!(k.ok(process(1), image::List {}), before);
    assert_eq!(k.refused(process(1), register(image("mine"))).0, "exists");
}

fn what_it_does_not_serve_is_unsupported(k: &mut Registry) {
    crate::kernel::refuses_what_it_does_not_serve(k);
}
