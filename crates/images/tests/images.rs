//! What must hold of images and tool tables.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod common;

use common::{Kernel, host, process};
use libos_abi::{
    Digest, GrantSpec, Json, Syscall, Text,
    image::{self, Image},
    process::PlannerSpec,
    tool,
};
use libos_images::{BadImageFile, Images, built_in, parse_image};
use libos_port::Stop;

type Registry = Kernel<Images>;

fn image(name: &str) -> Image {
    Image {
        name: name.into(),
        version: "1".into(),
        description: String::new(),
        prompt: Text::default(),
        tools: vec!["read_file".into()],
        planner: None,
        required_capabilities: Vec::new(),
    }
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
    Text::Blob { digest, bytes }
}

#[test]
fn the_built_in_images_are_there_without_events_and_need_nothing() {
    let mut k = Registry::default();
    let listed = k.ok(process(1), 1, image::List {}).images;
    assert_eq!(listed, built_in());
    assert!(k.journal.is_empty());
    let names: Vec<_> = listed.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["base-agent", "minimal", "worker"]);
    for image in &listed {
        assert!(image.planner.is_none() && image.required_capabilities.is_empty());
        assert!(!image.description.is_empty() && image.prompt.bytes() > 0);
        // What is built in keeps to the rules for all.
        let copy = Image { name: format!("my-{}", image.name), ..image.clone() };
        k.ok(process(1), 2, register(copy));
    }
    let [base, minimal, worker] = &listed[..] else { panic!("three images") };
    assert_eq!((base.tools.len(), minimal.tools.len()), (29, 0));
    assert!(worker.tools.iter().all(|tool| base.tools.contains(tool)));
}

#[test]
fn a_registered_image_is_listed_and_inspected() {
    let mut k = Registry::default();
    let mine = Image {
        prompt: blob(64 << 10),
        required_capabilities: vec![grant()],
        planner: Some(PlannerSpec { kind: "llm".into(), program: "p".into() }),
        ..image("mine")
    };
    assert_eq!(k.ok(process(1), 1, register(mine.clone())), mine);
    assert!(k.world.sent.is_empty(), "nothing is granted");
    assert_eq!(k.ok(process(1), 2, inspect("mine")), mine);
    assert_eq!(k.ok(process(1), 2, inspect("worker")).name, "worker");
    let images = k.ok(process(1), 3, image::List {}).images;
    let names: Vec<_> = images.iter().map(|image| image.name.as_str()).collect();
    assert_eq!(names, ["base-agent", "mine", "minimal", "worker"]);
    assert_eq!(k.refused(process(1), 4, inspect("none")).0, "not_found");
}

#[test]
fn an_image_is_replaced_only_on_request_and_a_built_in_one_never() {
    let mut k = Registry::default();
    let replace = |image: Image, replace| image::Register { image, replace };
    k.ok(process(1), 1, replace(image("mine"), Some(true)));
    let next = Image { version: "2".into(), ..image("mine") };
    for no in [None, Some(false)] {
        assert_eq!(k.refused(process(1), 2, replace(next.clone(), no)).0, "exists");
    }
    let before = libos_port::Component::digest(&k.part);
    k.ok(process(1), 3, replace(next, Some(true)));
    assert_ne!(before, libos_port::Component::digest(&k.part));
    assert_eq!(k.ok(process(1), 4, inspect("mine")).version, "2");
    for name in ["base-agent", "worker", "minimal"] {
        let (code, text) = k.refused(host(), 5, replace(image(name), Some(true)));
        assert_eq!((code, text.contains("built in")), ("exists", true));
    }
}

#[test]
fn a_malformed_image_is_refused() {
    let tools = |tools: &[&str]| Image {
        tools: tools.iter().map(ToString::to_string).collect(),
        ..image("x")
    };
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
        (planner("", "p".into()), "the planner's kind"),
        (planner("llm", blob((1 << 20) + 1)), "the planner's program"),
        (Image { required_capabilities: vec![grant(); 65], ..image("x") }, "65 required"),
    ];
    let mut k = Registry::default();
    for (image, says) in table {
        let (code, text) = k.refused(process(1), 1, register(image));
        assert_eq!((code, text.contains(says)), ("bad_image", true), "{says}: {text}");
    }
    k.ok(process(1), 2, register(Image { required_capabilities: vec![grant(); 64], ..image("x") }));
}

#[test]
fn the_tool_table_is_that_of_the_caller_s_image() {
    let mut k = Registry::default();
    k.ok(process(1), 1, register(image("mine")));
    k.world.image = "mine".into();
    assert_eq!(k.ok(process(1), 2, tool::List {}).tools, ["read_file"]);
    assert_eq!(k.serve(process(1), 3, call("read_file")), Err(Stop::Perform));
    let (code, text) = k.refused(process(1), 4, call("write_file"));
    assert_eq!((code, text.contains("`write_file` is not in")), ("denied", true));

    k.world.image = "minimal".into();
    assert!(k.ok(process(1), 5, tool::List {}).tools.is_empty());
    assert_eq!(k.refused(process(1), 6, call("read_file")).0, "denied");

    k.world.image = "gone".into();
    let host_only: [(_, Syscall); 4] = [
        (process(1), tool::List {}.into()),
        (process(1), call("read_file").into()),
        (host(), tool::List {}.into()),
        (host(), call("read_file").into()),
    ];
    for (who, call) in host_only {
        assert_eq!(k.refused(who, 7, call).0, "bad_message");
    }
}

#[test]
fn an_image_file_is_read() {
    let text = r#"
name = "reviewer"
version = "0.3"
description = "reads and reports"
prompt = "look closely"
tools = ["read_file"]

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
        ("name = 'a'\nversion = 1", "line 2", "string"),
        ("name = 'a'", "line 1", "version"),
        ("name = ", "line 1", ""),
    ];
    for (text, line, says) in table {
        let error = parse_image(text).unwrap_err();
        assert!(matches!(error, BadImageFile::Toml(_)));
        let shown = error.to_string();
        assert!(shown.contains(line) && shown.contains(says), "{text}: {shown}");
    }
    let error = parse_image("name = 'A'\nversion = '1'").unwrap_err();
    assert!(matches!(&error, BadImageFile::Malformed(flaw) if flaw.contains("the name `A`")));
}

#[test]
fn what_it_does_not_serve_is_unsupported() {
    let mut k = Registry::default();
    let call = libos_abi::human::List { all: None };
    assert_eq!(k.refused(host(), 1, call).0, "unsupported");
}
