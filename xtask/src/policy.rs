//! The dependency policy: which crate may depend on which.
//!
//! Three tables, nothing else. [`LAYERS`] says what a layer may see, [`CRATES`] gives every crate
//! its layer and its external crates, [`RESERVED`] keeps some external crates in one place. What
//! follows from them is computed in [`crate::layers`]; a change of policy is a change of this file.
//!
//! The tables bind every kind of dependency: normal, build and dev. What the tests of a layer may
//! see besides stands in its rule. Only the external lists leave dev-dependencies alone, because a
//! test tool never ships. A crate may stand here before it exists; a crate that exists must stand
//! here.

/// How far a crate stands from the bare data of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layer {
    /// The calls, replies, errors and events as plain data.
    Language,
    /// The port, and the traits of components and providers.
    Endpoint,
    /// The ways to reach a part that is not called directly.
    Binding,
    /// A pure state machine behind the broker.
    Component,
    /// The pipeline every syscall passes.
    Broker,
    /// The log and the blobs.
    Storage,
    /// The contract of every part as executable cases.
    Suite,
    /// The only holders of ambient authority.
    Provider,
    /// Tools and planners: they can only ask.
    UserLand,
    /// The composition root: it picks the parts and runs the edge.
    Composition,
    /// A binary in front of the composition.
    Face,
    /// A program that uses one layer alone.
    Example,
    /// Simulation and whole-system tests.
    Test,
    /// The tool of the repository itself.
    Tool,
}

use Layer::{
    Binding, Broker, Component, Composition, Endpoint, Example, Face, Language, Provider, Storage,
    Suite, Test, Tool, UserLand,
};

/// What holds for every crate of one layer.
#[derive(Debug)]
pub(crate) struct LayerRule {
    /// The layer it speaks about.
    pub(crate) layer: Layer,
    /// The layers its crates may depend on; its own layer only where it is listed.
    pub(crate) may_use: &'static [Layer],
    /// The layers its tests may depend on besides. What tests a part must never lead to another.
    pub(crate) tests_may_use: &'static [Layer],
    /// Whether `lib.rs` must carry `#![forbid(unsafe_code)]`.
    pub(crate) forbids_unsafe: bool,
    /// The rule, as a sentence.
    pub(crate) rule: &'static str,
    /// What to do instead of breaking it.
    pub(crate) remedy: &'static str,
}

/// Every layer, the lowest first.
pub(crate) const LAYERS: &[LayerRule] = &[
    LayerRule {
        layer: Language,
        may_use: &[],
        tests_may_use: &[],
        forbids_unsafe: true,
        rule: "the language depends on no crate of the workspace",
        remedy: "move the plain data into libos-abi, or the behaviour up to the crate that owns it",
    },
    LayerRule {
        layer: Endpoint,
        may_use: &[Language],
        tests_may_use: &[],
        forbids_unsafe: true,
        rule: "the endpoint depends on libos-abi only",
        remedy: "declare the trait in libos-port and implement it in the crate above",
    },
    LayerRule {
        layer: Binding,
        may_use: &[Language, Endpoint],
        tests_may_use: &[],
        forbids_unsafe: true,
        rule: "a binding depends on libos-abi and libos-port only: it knows no part",
        remedy: "take the part as a trait of libos-port; whoever composes picks it",
    },
    LayerRule {
        layer: Component,
        may_use: &[Language, Endpoint],
        tests_may_use: &[Suite],
        forbids_unsafe: true,
        rule: "a component depends on libos-abi and libos-port only, its tests on \
               libos-conformance as well",
        remedy: "let the broker route it: declare the question in libos-abi, test both in tests/",
    },
    LayerRule {
        layer: Broker,
        may_use: &[Language, Endpoint],
        tests_may_use: &[],
        forbids_unsafe: true,
        rule: "the broker depends on libos-abi and libos-port only: it knows traits, never parts",
        remedy: "reach the part through its trait in libos-port; agent-libos plugs it in",
    },
    LayerRule {
        layer: Storage,
        may_use: &[Language],
        tests_may_use: &[Suite],
        forbids_unsafe: false,
        rule: "storage depends on libos-abi only, its tests on libos-conformance as well: it \
               interprets no record",
        remedy: "pass the bytes or the record in; folding them belongs to the broker",
    },
    LayerRule {
        layer: Suite,
        may_use: &[Language, Endpoint, Binding, Storage],
        tests_may_use: &[Component, Broker, Provider, Composition],
        forbids_unsafe: true,
        rule: "a suite belongs to a contract: outside of its own tests it sees no implementation",
        remedy: "take the part as a trait; the crate of the part calls the suite from its tests",
    },
    LayerRule {
        layer: Provider,
        may_use: &[Language, Endpoint],
        tests_may_use: &[Suite],
        forbids_unsafe: false,
        rule: "a provider depends on libos-abi and libos-port only, its tests on \
               libos-conformance as well",
        remedy: "perform the effect and return its outcome; deciding belongs to the broker",
    },
    LayerRule {
        layer: UserLand,
        may_use: &[Language, Endpoint],
        tests_may_use: &[],
        forbids_unsafe: false,
        rule: "user land depends on libos-abi and libos-port only: it can only ask",
        remedy: "send the syscall through the port instead of calling the part",
    },
    LayerRule {
        layer: Composition,
        may_use: &[Language, Endpoint, Binding, Component, Broker, Storage, Provider, UserLand],
        tests_may_use: &[],
        forbids_unsafe: false,
        rule: "the composition root depends on everything below it and nothing above",
        remedy: "move what both need down into agent-libos, or the caller up into the face",
    },
    LayerRule {
        layer: Face,
        may_use: &[Language, Endpoint, Storage, Composition],
        tests_may_use: &[],
        forbids_unsafe: false,
        rule: "a face depends on libos-abi, libos-port, libos-journal and agent-libos only",
        remedy: "use what agent-libos exports, or export it there",
    },
    LayerRule {
        layer: Example,
        may_use: &[Language, Endpoint, Component, Storage],
        tests_may_use: &[],
        forbids_unsafe: false,
        rule: "an example of one layer needs no broker, no provider and no composition",
        remedy: "answer what the part asks in the example itself",
    },
    LayerRule {
        layer: Test,
        may_use: &[
            Language,
            Endpoint,
            Binding,
            Component,
            Broker,
            Storage,
            Suite,
            Provider,
            UserLand,
            Composition,
            Face,
            Test,
        ],
        tests_may_use: &[],
        forbids_unsafe: false,
        rule: "a test crate depends on anything but the repository's tool",
        remedy: "move the helper into a test crate",
    },
    LayerRule {
        layer: Tool,
        may_use: &[Language],
        tests_may_use: &[],
        forbids_unsafe: false,
        rule: "xtask depends on libos-abi only, so that it builds when the rest does not",
        remedy: "run the other crate as a process: `cargo run --package ...`",
    },
];

/// The external crates a crate may depend on outside its tests.
#[derive(Debug)]
pub(crate) enum Externals {
    /// These, and no other.
    Only(&'static [&'static str]),
    /// Any that is not reserved: the crate never ships.
    Any,
}

use Externals::{Any, Only};

/// The place of one crate.
#[derive(Debug)]
pub(crate) struct CrateRule {
    /// The package name.
    pub(crate) package: &'static str,
    /// Its layer.
    pub(crate) layer: Layer,
    /// Its external crates.
    pub(crate) externals: Externals,
}

const fn place(package: &'static str, layer: Layer, externals: Externals) -> CrateRule {
    CrateRule { package, layer, externals }
}

/// Every crate of the workspace, those of later milestones included.
#[rustfmt::skip]
pub(crate) const CRATES: &[CrateRule] = &[
    place("libos-abi", Language, Only(&[
        "bincode", "blake3", "schemars", "serde", "serde_json", "smallvec", "smol_str", "thiserror",
    ])),
    place("libos-port", Endpoint, Only(&["serde", "thiserror", "tracing"])),
    place("libos-bindings", Binding, Only(&[
        "crossbeam-channel", "futures-channel", "futures-util", "loom", "parking_lot",
        "serde_json", "thiserror", "tracing",
    ])),

    place("libos-capability", Component, Only(&[
        "imbl", "regex", "rustc-hash", "serde", "serde_json", "slotmap", "thiserror",
    ])),
    place("libos-scheduler", Component, Only(&[
        "imbl", "rustc-hash", "serde", "serde_json", "slotmap", "thiserror",
    ])),
    place("libos-objects", Component, Only(&[
        "imbl", "rustc-hash", "serde", "serde_json", "slotmap", "thiserror",
    ])),
    place("libos-events", Component, Only(&["imbl", "rustc-hash", "serde", "thiserror"])),
    place("libos-human", Component, Only(&[
        "imbl", "rustc-hash", "serde", "serde_json", "thiserror",
    ])),
    place("libos-checkpoints", Component, Only(&["imbl", "serde", "thiserror"])),
    place("libos-images", Component, Only(&[
        "base64", "imbl", "jsonschema", "rustc-hash", "serde", "serde-saphyr", "serde_json",
        "thiserror", "toml",
    ])),

    place("libos-broker", Broker, Only(&["rustc-hash", "smallvec", "thiserror"])),

    place("libos-journal", Storage, Only(&[
        "ed25519-dalek", "getrandom", "parking_lot", "rusqlite", "serde", "serde_json", "sha2",
        "thiserror", "tracing",
    ])),

    place("libos-providers", Provider, Only(&[
        "base64", "cap-fs-ext", "cap-std", "diffy", "futures-util", "globset", "grep-regex",
        "grep-searcher", "http-body-util", "hyper", "hyper-util", "ignore", "inotify", "jsonschema",
        "landlock", "libc", "rustix", "rustls-native-certs", "seccompiler", "serde", "serde_json",
        "tempfile", "thiserror", "tokio", "tokio-rustls", "tracing",
    ])),
    place("libos-sandbox", Provider, Only(&[
        "jsonschema", "oxc", "rustix", "serde", "serde_json", "tempfile", "thiserror", "tokio",
        "tracing", "wasmtime", "wasmtime-wizer",
    ])),
    place("libos-llm", Provider, Only(&[
        "http-body-util", "httpdate", "hyper", "hyper-util", "serde", "serde_json", "thiserror",
        "tokio", "tracing",
    ])),
    place("libos-mcp", Provider, Only(&[
        "rmcp", "serde", "serde_json", "thiserror", "tokio", "tracing",
    ])),

    place("libos-tools", UserLand, Only(&[
        "jsonschema", "schemars", "serde", "serde_json", "thiserror",
    ])),
    place("libos-planner", UserLand, Only(&[
        "futures-util", "serde", "serde_json", "thiserror", "tiktoken",
    ])),

    place("agent-libos", Composition, Only(&[
        "crossbeam-channel", "parking_lot", "regex", "schemars", "serde", "serde_json", "thiserror",
        "tokio", "toml", "tracing",
    ])),

    place("libos-cli", Face, Only(&[
        "anyhow", "clap", "clap_complete", "indicatif", "jiff", "ratatui", "rustix", "serde",
        "serde_json", "similar", "tokio", "toml", "tracing", "tracing-subscriber",
    ])),
    place("libos-console", Face, Only(&[
        "anyhow", "axum", "clap", "jiff", "serde", "serde_json", "tokio", "toml", "tracing",
        "tracing-subscriber",
    ])),

    place("example-capability-engine", Example, Any),
    place("example-journal", Example, Any),
    place("example-object-store", Example, Any),

    place("libos-bench", Test, Any),
    place("libos-conformance", Suite, Any),
    place("libos-sim", Test, Any),
    place("libos-tests", Test, Any),
    place("xtask", Tool, Any),
];

/// An external crate that only some crates may name, in any kind of dependency.
#[derive(Debug)]
pub(crate) struct Reserved {
    /// The crate; its satellites (`tokio-util` for `tokio`) are meant as well.
    pub(crate) family: &'static str,
    /// Who may name it.
    pub(crate) holders: Holders,
    /// The rule, as a sentence.
    pub(crate) rule: &'static str,
    /// What to do instead of breaking it.
    pub(crate) remedy: &'static str,
}

impl Reserved {
    /// Whether an external crate belongs to the family.
    ///
    /// `tokio`, `tokio-util` and `bincode_derive` belong to theirs; `tokiox` does not.
    pub(crate) fn covers(&self, external: &str) -> bool {
        match external.strip_prefix(self.family) {
            Some(rest) => rest.is_empty() || rest.starts_with(['-', '_']),
            None => false,
        }
    }

    /// Whether a crate may name the family.
    pub(crate) fn held_by(&self, holder: &CrateRule) -> bool {
        match self.holders {
            Holders::Crates(packages) => packages.contains(&holder.package),
            Holders::Layers(layers) => layers.contains(&holder.layer),
        }
    }
}

/// Who may name a reserved crate.
#[derive(Debug)]
pub(crate) enum Holders {
    /// These crates.
    Crates(&'static [&'static str]),
    /// Every crate of these layers.
    Layers(&'static [Layer]),
}

/// Every reserved external crate.
pub(crate) const RESERVED: &[Reserved] = &[
    Reserved {
        family: "bincode",
        holders: Holders::Crates(&["libos-abi"]),
        rule: "bincode is named in libos-abi only: its project has ended, so one module holds it",
        remedy: "encode and decode through the codec of libos-abi",
    },
    Reserved {
        family: "rusqlite",
        holders: Holders::Crates(&["libos-journal", "libos-bench"]),
        rule: "rusqlite is named in libos-journal only, and bare as a floor in libos-bench: there \
               is one store, behind one trait",
        remedy: "go through the log and blob traits of libos-journal",
    },
    Reserved {
        family: "wasmtime",
        holders: Holders::Crates(&["libos-sandbox"]),
        rule: "wasmtime is named in libos-sandbox only: it is the heaviest build and one leaf",
        remedy: "run the guest through the sandbox provider",
    },
    Reserved {
        family: "tokio",
        holders: Holders::Layers(&[Suite, Provider, Composition, Face, Test]),
        rule: "tokio stays outside the core: the core has no threads, no clock and no I/O",
        remedy: "return an effect for the edge to perform; drive the core's tests step by step",
    },
];

/// The rule of a layer.
pub(crate) fn layer_rule(layer: Layer) -> &'static LayerRule {
    LAYERS.iter().find(|rule| rule.layer == layer).expect("a test finds every layer in LAYERS")
}

/// The place of a package, if it has one.
pub(crate) fn crate_rule(package: &str) -> Option<&'static CrateRule> {
    CRATES.iter().find(|rule| rule.package == package)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_crate_stands_once_on_a_layer_that_has_a_rule() {
        for (index, rule) in CRATES.iter().enumerate() {
            assert_eq!(layer_rule(rule.layer).layer, rule.layer);
            let twice = CRATES[..index].iter().any(|other| other.package == rule.package);
            assert!(!twice, "{} stands twice in CRATES", rule.package);
        }
    }

    #[test]
    fn a_layer_sees_only_layers_below_it() {
        for (height, rule) in LAYERS.iter().enumerate() {
            for used in rule.may_use {
                let below = LAYERS[..height].iter().any(|lower| lower.layer == *used);
                let test_uses_test = rule.layer == Test && *used == Test;
                assert!(below || test_uses_test, "{:?} may not see {used:?}", rule.layer);
            }
        }
    }

    #[test]
    fn only_the_composition_root_examples_and_tests_see_a_component() {
        let seers = LAYERS.iter().filter(|rule| rule.may_use.contains(&Component));
        let seers: Vec<Layer> = seers.map(|rule| rule.layer).collect();
        assert_eq!(seers, [Composition, Example, Test]);
        let seers = LAYERS.iter().filter(|rule| rule.tests_may_use.contains(&Component));
        let seers: Vec<Layer> = seers.map(|rule| rule.layer).collect();
        assert_eq!(seers, [Suite]);
    }

    #[test]
    fn what_tests_a_part_leads_to_no_part() {
        for rule in LAYERS.iter().filter(|rule| rule.layer != Suite) {
            let more = rule.tests_may_use;
            assert!(more.is_empty() || more == [Suite], "{:?} tests with {more:?}", rule.layer);
        }
        let suite = layer_rule(Suite).may_use;
        assert!(![Component, Provider, Broker, Composition].iter().any(|it| suite.contains(it)));
    }

    #[test]
    fn external_lists_are_sorted_and_respect_the_reserved_crates() {
        for rule in CRATES {
            let Only(names) = &rule.externals else {
                continue;
            };
            assert!(names.is_sorted(), "the externals of {} are not sorted", rule.package);
            for reserved in RESERVED {
                let listed = names.iter().any(|name| reserved.covers(name));
                assert!(
                    !listed || reserved.held_by(rule),
                    "{} lists {}: {}",
                    rule.package,
                    reserved.family,
                    reserved.rule
                );
            }
        }
    }
}
