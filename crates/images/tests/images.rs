//! What must hold of images and tool tables.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeSet;

use libos_abi::{
    Digest, GrantSpec, Json, Syscall, Text,
    image::{self, Image, ToolGroup},
    process::PlannerSpec,
    tool,
};
use libos_conformance::{Kernel, host, process};
use libos_images::{BadPackage, Folder, Images, built_in, load_package, parse_image};
use libos_port::Stop;

type Registry = Kernel<Images>;

fn image(name: &str) -> Image {
    Image {
        name: name.into(),
        version: "1".into(),
        tools: vec!["read_file".into()],
        ..Image::default()
    }
}

fn group(name: &str, tools: &[&str]) -> ToolGroup {
    let tools = tools.iter().map(ToString::to_string).collect();
    ToolGroup { name: name.into(), description: format!("for {name}"), tools }
}

fn register(image: Image) -> image::Register {
    let replace = None;
    image::Register { image, replace }
}

fn inspect(name: &str) -> image::Inspect {
    image::Inspect { image: name.into() }
}

fn call(name: &str) -> tool::CallTool {
    tool::CallTool { name: name.into(), args: Json::default() }
}

fn grant() -> GrantSpec {
    let rights = [libos_abi::Right::Read].into_iter().collect();
    GrantSpec::allow("fs:workspace/*".parse().unwrap(), rights)
}

fn blob(bytes: u64) -> Text {
    let digest = Digest::of(b"elsewhere");
    Text::blob(digest, bytes)
}

#[test]
fn the_built_in_images_are_there_without_events_and_need_nothing() {
    let mut k = Registry::default();
    let listed = k.ok(process(1), image::List {}).images;
    assert!(listed.iter().eq(built_in().iter().map(AsRef::as_ref)));
    assert!(k.journal.is_empty());
    let names: Vec<_> = listed.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["base", "coding", "compressor", "minimal", "review", "toolmaker", "worker"]);
    for image in &listed {
        assert!(image.required_capabilities.is_empty());
        let planner = image.planner.as_ref().map(|planner| &*planner.kind);
        let is_models = ["coding", "review", "toolmaker"].contains(&&*image.name);
        assert_eq!(planner, is_models.then_some("model"), "{}", image.name);
        assert!(!image.description.is_empty() && image.prompt.bytes() > 0);
        // What is built in keeps to the rules for all.
        let copy = Image { name: format!("my-{}", image.name), ..image.clone() };
        k.ok(process(1), register(copy));
    }
    let [base, coding, _, minimal, review, toolmaker, worker] = &listed[..] else {
        panic!("seven images")
    };
    let grouped = base.tool_groups.iter().flat_map(|group| &group.tools);
    let all: BTreeSet<_> = base.tools.iter().chain(grouped).collect();
    assert_eq!((base.tools.len(), all.len(), minimal.tools.len()), (12, 75, 0));
    let tables = [worker, coding, review, toolmaker].map(|image| &image.tools);
    assert!(tables.into_iter().flatten().all(|tool| all.contains(tool)));
    let more = coding.tool_groups.iter().flat_map(|group| &group.tools);
    assert_eq!(coding.tools.iter().chain(more).collect::<BTreeSet<_>>().len(), 71, "each once");
    assert!(base.tool_groups.iter().all(|group| !group.description.is_empty()));
}

#[test]
fn an_image_is_replaced_only_on_request_and_a_built_in_one_never() {
    let mut k = Registry::default();
    let replace = |image: Image, replace| image::Register { image, replace };
    k.ok(process(1), replace(image("mine"), Some(true)));
    let next = Image { version: "2".into(), ..image("mine") };
    for no in [None, Some(false)] {
        assert_eq!(k.refused(process(1), replace(next.clone(), no)).0, "exists");
    }
    let before = libos_port::Component::digest(&*k.part);
    k.ok(process(1), replace(next, Some(true)));
    assert_ne!(before, libos_port::Component::digest(&*k.part));
    assert_eq!(k.ok(process(1), inspect("mine")).version, "2");
    for name in ["base", "coding", "worker", "minimal"] {
        let (code, text) = k.refused(host(), replace(image(name), Some(true)));
        assert_eq!((code, text.contains("built in")), ("built_in", true));
    }
}

#[test]
fn an_image_is_removed_and_a_built_in_one_never() {
    let mut k = Registry::default();
    let unregister = |name: &str| image::Unregister { image: name.into() };
    k.ok(process(1), register(image("mine")));
    k.world.image = "mine".into();
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["read_file"]);

    assert_eq!(*k.ok(process(1), unregister("mine")), image("mine"));
    assert_eq!(k.refused(process(1), unregister("mine")).0, "not_found");
    assert_eq!(k.refused(process(1), inspect("mine")).0, "not_found");
    for name in ["base", "coding", "worker", "minimal"] {
        let (code, text) = k.refused(host(), unregister(name));
        assert_eq!((code, text.contains("cannot be removed")), ("built_in", true));
    }
    // Whoever was made from it goes on without tools.
    assert!(k.ok(process(1), tool::List {}).tools.is_empty());
    assert!(k.ok(process(1), tool::ListGroups {}).groups.is_empty());
    assert_eq!(k.refused(process(1), call("read_file")).0, "denied");

    k.ok(process(1), register(Image { version: "2".into(), ..image("mine") }));
    assert_eq!(k.ok(process(1), inspect("mine")).version, "2");
}

#[test]
fn a_malformed_image_is_refused() {
    let tools = |tools: &[&str]| Image {
        tools: tools.iter().map(ToString::to_string).collect(),
        ..image("x")
    };
    let tools_and_groups = |table: &[&str], groups: &[ToolGroup]| Image {
        tool_groups: groups.to_vec(),
        ..tools(table)
    };
    let many_groups: Vec<_> = (0..33).map(|n| group(&format!("g{n}"), &[])).collect();
    let names: Vec<_> = (0..128).map(|n| format!("t{n}")).collect();
    let many_tools: Vec<_> = names.iter().map(String::as_str).collect();
    let long_group = ToolGroup { description: "d".repeat(4097), ..group("g", &[]) };
    let planner = |kind: &str, program: Text| Image {
        planner: Some(PlannerSpec { kind: kind.into(), program }),
        ..image("x")
    };
    let table = [
        (image(""), "the name"),
        (image("Mine"), "the name"),
        (image("a_b"), "the name"),
        (image("a/b"), "the name"),
        (image(&"x".repeat(65)), "the name"),
        (Image { version: String::new(), ..image("x") }, "the version"),
        (Image { version: "1\n".into(), ..image("x") }, "the version"),
        (Image { version: "1".repeat(65), ..image("x") }, "the version"),
        (Image { description: "d".repeat(4097), ..image("x") }, "the description"),
        (Image { prompt: blob((64 << 10) + 1), ..image("x") }, "the prompt"),
        (Image { tools: (0..129).map(|n| format!("t{n}")).collect(), ..image("x") }, "129 tools"),
        (tools(&[""]), "the tool name"),
        (tools(&["read file"]), "the tool name"),
        (tools(&["a", "b", "a"]), "`a` is named twice"),
        (tools_and_groups(&[], &[group("Files", &["a"])]), "the group name `Files`"),
        (tools_and_groups(&[], &[group("", &["a"])]), "the group name"),
        (
            tools_and_groups(&[], &[group("a", &[]), group("a", &[])]),
            "the group `a` is named twice",
        ),
        (tools_and_groups(&["a"], &[group("g", &["a"])]), "the tool `a` is named twice"),
        (tools_and_groups(&[], &[group("g", &["a"]), group("h", &["a"])]), "`a` is named twice"),
        (tools_and_groups(&[], &[group("g", &["a", "a"])]), "the tool `a` is named twice"),
        (tools_and_groups(&[], &[group("g", &["no-word"])]), "the tool name `no-word`"),
        (tools_and_groups(&[], &many_groups), "33 groups"),
        (tools_and_groups(&["more"], &[group("g", &many_tools)]), "129 tools"),
        (tools_and_groups(&[], &[long_group]), "a group's description"),
        (planner("", "p".into()), "the planner's kind"),
        (planner("llm", blob((1 << 20) + 1)), "the planner's program"),
        (Image { required_capabilities: vec![grant(); 65], ..image("x") }, "65 required"),
    ];
    let mut k = Registry::default();
    for (image, says) in table {
        let (code, text) = k.refused(process(1), register(image));
        assert_eq!((code, text.contains(says)), ("bad_image", true), "{says}: {text}");
    }
    k.ok(process(1), register(Image { required_capabilities: vec![grant(); 64], ..image("x") }));
}

#[test]
fn the_tool_table_is_that_of_the_caller_s_image() {
    let mut k = Registry::default();
    k.ok(process(1), register(image("mine")));
    k.world.image = "mine".into();
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["read_file"]);
    assert_eq!(k.serve(process(1), call("read_file")), Err(Stop::Perform));
    let (code, text) = k.refused(process(1), call("write_file"));
    assert_eq!((code, text.contains("`write_file` is not in")), ("denied", true));

    k.world.image = "minimal".into();
    assert!(k.ok(process(1), tool::List {}).tools.is_empty());
    assert_eq!(k.refused(process(1), call("read_file")).0, "denied");

    let of_a_process: [Syscall; 3] =
        [tool::List {}.into(), call("read_file").into(), tool::ListGroups {}.into()];
    for call in of_a_process {
        assert_eq!(k.refused(host(), call).0, "bad_message");
    }
}

#[test]
fn a_tool_of_a_group_is_shown_once_it_is_active_and_can_be_called_before() {
    let mut k = Registry::default();
    let groups = [group("files", &["stat_file", "make_folder"]), group("host", &["run_command"])];
    k.ok(process(1), register(Image { tool_groups: groups.to_vec(), ..image("mine") }));
    k.world.image = "mine".into();
    assert_eq!(k.ok(process(1), tool::List {}).tools, ["read_file"]);
    for name in ["read_file", "stat_file", "run_command"] {
        assert_eq!(k.serve(process(1), call(name)), Err(Stop::Perform), "{name}");
    }
    let shown = |k: &mut Registry| -> Vec<(String, bool)> {
        let groups = k.ok(process(1), tool::ListGroups {}).groups;
        groups.into_iter().map(|group| (group.name, group.active)).collect()
    };
    assert_eq!(shown(&mut k), [("files".into(), false), ("host".into(), false)]);

    // In the order of the image, whatever the order of activation.
    k.world.tool_groups = ["host", "files", "gone"].map(String::from).into();
    let all = ["read_file", "stat_file", "make_folder", "run_command"];
    assert_eq!(k.ok(process(1), tool::List {}).tools, all);
    assert_eq!(shown(&mut k), [("files".into(), true), ("host".into(), true)]);
    assert_eq!(k.refused(process(1), call("write_file")).0, "denied");
    assert_eq!(k.refused(process(1), call("files")).0, "denied");
}

#[test]
fn an_image_file_is_read() {
    let text = r#"
name = "reviewer"
version = "0.3"
description = "reads and reports"
prompt = "look closely"
tools = ["read_file"]

[[tool_groups]]
name = "files"
description = "for files"
tools = ["stat_file"]

[planner]
kind = "script"
program = "steps: []"

[[required_capabilities]]
on = "fs:workspace/*"
rights = ["read"]
"#;
    let expected = Image {
        version: "0.3".into(),
        description: "reads and reports".into(),
        prompt: "look closely".into(),
        planner: Some(PlannerSpec { kind: "script".into(), program: "steps: []".into() }),
        required_capabilities: vec![grant()],
        tool_groups: vec![group("files", &["stat_file"])],
        ..image("reviewer")
    };
    assert_eq!(parse_image(text).unwrap(), expected);
    let least = parse_image("name = \"a\"\nversion = \"1\"").unwrap();
    assert_eq!(least, Image { tools: Vec::new(), ..image("a") });
}

#[test]
fn a_bad_image_file_is_refused_with_its_line() {
    let table = [
        ("name = 'a'\nversion = '1'\nentry = 1\n", "line 3", "entry"),
        (
            "name = 'a'\nversion = '1'\n[planner]\nkind = 'x'\nprogram = ''\nextra = 1",
            "line 6",
            "extra",
        ),
        (
            "name = 'a'\nversion = '1'\n[[required_capabilities]]\non = 'fs:a'\nrights = []\nx = 1",
            "line 6",
            "x",
        ),
        (
            "name = 'a'\nversion = '1'\n[[required_capabilities]]\non = 'fs'\nrights = []",
            "line 4",
            "no kind",
        ),
        (
            "name = 'a'\nversion = '1'\n[[tool_groups]]\nname = 'g'\ntools = []\nx = 1",
            "line 6",
            "x",
        ),
        ("name = 'a'\nversion = 1", "line 2", "string"),
        ("name = 'a'", "line 1", "version"),
        ("name = ", "line 1", ""),
    ];
    for (text, line, says) in table {
        let error = parse_image(text).unwrap_err();
        assert!(matches!(error, BadPackage::Toml { .. }));
        let shown = error.to_string();
        assert!(shown.contains(line) && shown.contains(says), "{text}: {shown}");
    }
    let error = parse_image("name = 'A'\nversion = '1'").unwrap_err();
    assert!(matches!(&error, BadPackage::Malformed { why, .. } if why.contains("the name `A`")));
}

/// A folder that is played.
struct Files<'f>(&'f [(&'f str, &'f str)]);

impl Folder for Files<'_> {
    fn read(&mut self, file: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
        assert!(bytes_max <= 24 << 20, "{file}");
        let found = self.0.iter().find(|(name, _)| *name == file);
        found.map(|(_, text)| text.as_bytes().to_vec()).ok_or_else(|| "no such file".to_owned())
    }

    fn files(&mut self, folder: &str, _: usize) -> Result<Vec<String>, String> {
        let below = |(name, _): &(&str, &str)| {
            name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned)
        };
        Ok(self.0.iter().filter_map(below).collect())
    }
}

fn package(files: &[(&str, &str)]) -> Result<Image, String> {
    let loaded = load_package(&mut Files(files), "image.toml");
    loaded.map(|package| package.image).map_err(|error| error.to_string())
}

const HEAD: &str = "name = 'mine'\nversion = '1'\ntools = ['read_file']\n";

#[test]
fn a_package_is_read_with_the_files_it_names() {
    let toml = format!(
        "{HEAD}prompt_file = 'prompts/main.md'\n[planner]\nkind = 'script'\n\
         program_file = 'plan.jsonl'\n"
    );
    let files = [("image.toml", &*toml), ("prompts/main.md", "look"), ("plan.jsonl", "# none")];
    let planner = PlannerSpec { kind: "script".into(), program: "# none".into() };
    let expected = Image { prompt: "look".into(), planner: Some(planner), ..image("mine") };
    assert_eq!(package(&files), Ok(expected));
    assert_eq!(package(&[("image.toml", HEAD)]), Ok(image("mine")));
}

#[test]
fn a_package_reads_no_file_outside_and_none_that_is_too_large() {
    for file in [
        "/etc/passwd",
        "../a",
        "a/../b",
        "a/..",
        "./a",
        "",
        "a//b",
        "a/",
        ".env",
        "a/.git/b",
        "C:a",
        "a\\b",
        "a\nb",
        "~/a",
        "a b",
    ] {
        let toml = format!("{HEAD}prompt_file = {file:?}\n");
        let error = package(&[("image.toml", &toml), (file, "secret")]).unwrap_err();
        assert!(
            error.ends_with("is no file of the package: write a name relative to it"),
            "{error}"
        );
    }
    let toml = format!("{HEAD}prompt_file = 'p.md'\n");
    let error = package(&[("image.toml", &toml)]).unwrap_err();
    assert_eq!(error, "`p.md` cannot be read: no such file");
    let long = "x".repeat((64 << 10) + 1);
    let error = package(&[("image.toml", &toml), ("p.md", &long)]).unwrap_err();
    assert_eq!(error, "`p.md` has 65537 bytes; at most 65536 may be");
    let long = format!("{HEAD}#{}", "x".repeat(256 << 10));
    let error = package(&[("image.toml", &long)]).unwrap_err();
    assert!(error.starts_with("`image.toml` has "), "{error}");
    assert!(parse_image(&long).unwrap_err().to_string().starts_with("`image.toml` has "));
    let both = format!("{HEAD}prompt = 'a'\nprompt_file = 'p.md'\n");
    let error = package(&[("image.toml", &both)]).unwrap_err();
    assert_eq!(error, "`prompt` and `prompt_file` say the same: keep one of them");
    let error = parse_image(&toml).unwrap_err().to_string();
    assert_eq!(error, "`p.md` cannot be read: the image was given without its folder");
}

#[test]
fn a_program_says_otherwise_than_its_image_key_by_key() {
    let of_image = serde_json::json!({ "policy": "evidence", "tokens_max": 9 });
    for (program, context) in [
        ("", of_image.clone()),
        (r#"{"profile":"main"}"#, of_image.clone()),
        (
            r#"{"context":{"tokens_max":5}}"#,
            serde_json::json!({ "policy": "evidence", "tokens_max": 5 }),
        ),
        (r#"{"context":null}"#, serde_json::json!(null)),
    ] {
        let with = libos_images::with_context(program, &of_image).unwrap();
        let with: serde_json::Value = serde_json::from_str(&with).unwrap();
        assert_eq!(with["context"], context, "{program}");
    }
    assert!(libos_images::with_context("[]", &of_image).is_err());
}
