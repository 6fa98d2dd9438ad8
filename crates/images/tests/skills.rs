//! What must hold of skills, whatever the order.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

use std::collections::BTreeSet;

use libos_abi::{
    Json,
    image::{self, Image},
    skill::{self, Skill},
    tool,
};
use libos_conformance::{Kernel, host, process};
use libos_images::{BadPackage, Folder, Images, load_skill};
use libos_port::Stop;
use proptest::prelude::*;

type Shelf = Kernel<Images>;

const TOOLS: [&str; 5] = ["read_file", "write_file", "run_command", "sleep", "get_time"];

fn skill(name: usize, allowed: Option<&BTreeSet<usize>>) -> Skill {
    // Some of what a skill names is in no image.
    let tool = |&it: &usize| TOOLS.get(it).map_or_else(|| format!("other_{it}"), |it| (*it).into());
    Skill {
        name: format!("s{name}"),
        description: "d".into(),
        allowed_tools: allowed.map(|allowed| allowed.iter().map(tool).collect()),
        ..Skill::default()
    }
}

/// The tools that a process is not refused, each of them called.
fn callable(k: &mut Shelf) -> BTreeSet<&'static str> {
    let is_callable = |name: &&str| {
        let call = tool::CallTool { name: (*name).into(), args: Json::default() };
        k.serve(process(1), call) == Err(Stop::Perform)
    };
    TOOLS.into_iter().filter(is_callable).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_skill_ever_gives_a_tool(
        of_image in proptest::collection::btree_set(0..TOOLS.len(), 0..5),
        skills in proptest::collection::vec(
            proptest::option::of(proptest::collection::btree_set(0..8_usize, 0..5)), 1..4,
        ),
        steps in proptest::collection::vec((any::<bool>(), 0..4_usize), 0..12),
    ) {
        let mut k = Shelf::default();
        let tools: BTreeSet<&str> = of_image.iter().map(|it| TOOLS[*it]).collect();
        let image = Image {
            name: "mine".into(),
            version: "1".into(),
            tools: tools.iter().map(ToString::to_string).collect(),
            ..Image::default()
        };
        k.ok(host(), image::Register { image, replace: None });
        k.world.image = "mine".into();
        for (name, allowed) in skills.iter().enumerate() {
            k.ok(host(), skill::Register { skill: skill(name, allowed.as_ref()), replace: None });
        }
        let mut active = BTreeSet::new();
        for (takes_up, which) in steps {
            let which = which % skills.len();
            let before = callable(&mut k);
            let name = format!("s{which}");
            if takes_up {
                k.ok(process(1), skill::Activate { skill: name, digest: None });
                active.insert(which);
                prop_assert!(callable(&mut k).is_subset(&before), "taking up widens nothing");
            } else if active.remove(&which) {
                k.ok(process(1), skill::Unload { skill: name });
            }
            // What is callable is what the image has and every active skill allows.
            let allows = |name: &&str| active.iter().all(|it| skills[*it].as_ref().is_none_or(
                |allowed| allowed.iter().any(|it| TOOLS.get(*it) == Some(name)),
            ));
            let expected: BTreeSet<&str> = tools.iter().copied().filter(allows).collect();
            prop_assert_eq!(callable(&mut k), expected.clone());
            let shown = k.ok(process(1), tool::List {}).tools;
            let shown: BTreeSet<&str> = shown.iter().map(String::as_str).collect();
            prop_assert_eq!(shown, expected, "what is shown is what can be called");
        }
    }
}

/// A folder that is played.
struct Files<'f>(&'f [(&'f str, &'f [u8])]);

impl Folder for Files<'_> {
    fn read(&mut self, file: &str, _: u64) -> Result<Vec<u8>, String> {
        let found = self.0.iter().find(|(name, _)| *name == file);
        found.map(|(_, bytes)| bytes.to_vec()).ok_or_else(|| "no such file".to_owned())
    }

    fn files(&mut self, _: &str, files_max: usize) -> Result<Vec<String>, String> {
        match self.0.len() <= files_max {
            true => Ok(self.0.iter().map(|(name, _)| (*name).to_owned()).collect()),
            false => Err(format!("there are more than {files_max} files")),
        }
    }
}

fn package(text: &str) -> Result<Skill, BadPackage> {
    load_skill(&mut Files(&[("SKILL.md", text.as_bytes()), ("ref/a.bin", &[0xff, 0x00])]))
}

#[test]
fn a_package_is_read_as_the_ecosystem_writes_it() {
    let text = "---\nname: pdf-forms\ndescription: >-\n  Fill in forms.\n  Use it for PDFs.\n\
                license: Apache-2.0\nallowed-tools: Read, Bash(git add:*) search_files\n\
                metadata:\n  author: someone\n  version: \"1.0\"\nmodel: any\n---\n\n\
                # Forms\n\n---\nRead `ref/a.bin`.\n";
    let skill = package(text).unwrap();
    assert_eq!(skill.name, "pdf-forms");
    assert_eq!(skill.description, "Fill in forms. Use it for PDFs.");
    assert_eq!(skill.license.as_deref(), Some("Apache-2.0"));
    let allowed = skill.allowed_tools.clone().unwrap();
    assert_eq!(allowed, ["read_file", "Bash(git add:*)", "search_files"]);
    assert_eq!(skill.metadata.as_ref().unwrap().value().unwrap()["version"], "1.0");
    assert_eq!(skill.text.as_str(), Some("# Forms\n\n---\nRead `ref/a.bin`.\n"));
    let [file] = &skill.files[..] else { unreachable!("one file") };
    assert_eq!(
        (file.path.as_str(), file.text.as_str(), file.base64),
        ("ref/a.bin", Some("/wA="), true)
    );

    let list = text.replace("Read, Bash(git add:*) search_files", "[Read, search_files]");
    let list = package(&list).unwrap();
    assert_eq!(list.allowed_tools.as_deref().unwrap(), ["read_file", "search_files"]);
    let windows = package(&text.replace('\n', "\r\n")).unwrap();
    assert_eq!(windows.name, "pdf-forms");
    let open = package("---\nname: a\ndescription: d\n---\n").unwrap();
    assert_eq!((open.allowed_tools, open.text.bytes()), (None, 0));
}

#[test]
fn every_part_of_a_package_is_in_its_digest() {
    let head = "---\nname: a\ndescription: d\n---\n";
    let of = |files: &[(&str, &[u8])]| load_skill(&mut Files(files)).unwrap().digest();
    let narrow = "---\nname: a\ndescription: d\nallowed-tools: Read\n---\n";
    let digests = [
        of(&[("SKILL.md", head.as_bytes())]),
        of(&[("SKILL.md", narrow.as_bytes())]),
        of(&[("SKILL.md", format!("{head}text").as_bytes())]),
        of(&[("SKILL.md", head.as_bytes()), ("a", b"1")]),
        of(&[("SKILL.md", head.as_bytes()), ("a", b"2")]),
        of(&[("SKILL.md", head.as_bytes()), ("b", b"2")]),
        of(&[("SKILL.md", head.as_bytes()), ("b", &[0xff])]),
        of(&[("SKILL.md", head.as_bytes()), ("b", b"/w==")]),
    ];
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len());
}

#[test]
fn what_is_no_skill_is_refused_with_the_reason() {
    for (text, says) in [
        ("# no front", "`---`"),
        ("---\nname: a\ndescription: d\n", "`---`"),
        ("---\nname: a\n---\n", "description"),
        ("---\nname: [a\n---\n", "SKILL.md"),
        ("---\nname: A b\ndescription: d\n---\n", "the name `A b`"),
        ("---\nname: a\ndescription: ''\n---\n", "description is empty"),
        ("---\nname: a\ndescription: d\nallowed-tools: {a: 1}\n---\n", "SKILL.md"),
    ] {
        let error = package(text).unwrap_err().to_string();
        assert!(error.contains(says), "{text}: {error}");
    }
    let long = format!("---\nname: a\ndescription: d\n---\n{}", "x".repeat(256 << 10));
    assert!(matches!(package(&long), Err(BadPackage::TooLarge { .. })));
    let head: (&str, &[u8]) = ("SKILL.md", b"---\nname: a\ndescription: d\n---\n");
    let names: Vec<String> = (0..300).map(|n| format!("f{n}")).collect();
    let mut many: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    many.push(head);
    assert!(matches!(load_skill(&mut Files(&many)), Err(BadPackage::Unreadable { .. })));
    let large = vec![b'x'; (2 << 20) + 1];
    let error = load_skill(&mut Files(&[head, ("a", &large)])).unwrap_err();
    assert!(matches!(error, BadPackage::TooLarge { .. }));
}
