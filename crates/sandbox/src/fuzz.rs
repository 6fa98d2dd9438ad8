//! Fuzzing: hostile bytes at each place where they come in.
//!
//! `cargo xtask fuzz` runs it for as long as wanted, a test for a moment. Inputs are mutations of a
//! small corpus, chosen by a seed, so that a run can be repeated. What must hold is asserted;
//! nothing here is part of the sandbox.

use std::{path::Path, sync::Arc};

use libos_abi::{Digest, Error, Fault, Outcome, Syscall, clock};
use libos_port::{BoxFuture, Port};
use serde_json::Value;

use crate::{
    Artifact, Language, Limits, Needs, Occupied, Run, RunLimits, Sandbox, ToolError, WhenFull,
    cache::Cache, envelope, guest::Guest,
};

/// A place where hostile bytes come in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// What a tool hands over: requests, results, pointers.
    Boundary,
    /// What is loaded and compiled: files of the cache, modules and components.
    Loader,
    /// Sources of scripts.
    Source,
}

impl Target {
    /// Every target.
    pub const ALL: [Self; 3] = [Self::Boundary, Self::Loader, Self::Source];

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Boundary => "boundary",
            Self::Loader => "loader",
            Self::Source => "source",
        }
    }

    fn corpus(self) -> &'static [&'static [u8]] {
        match self {
            Self::Boundary => BOUNDARY,
            Self::Loader => LOADER,
            Self::Source => SOURCES,
        }
    }
}

const BOUNDARY: &[&[u8]] = &[
    br#"[{"op":"clock.now","args":{}}]"#,
    br#"[{"op":"fs.write","args":{"path":"a","text":"b"}},{"op":"clock.now","args":{}}]"#,
    br#"[{"op":"process.spawn","args":{"goal":"g","grants":[{"on":"fs:a/*","rights":["read"]}]}}]"#,
    br#"{"ok":{"a":[1,2.5,null,true,"x"]},"logs":["line"]}"#,
    br#"{"err":{"kind":"threw","name":"Error","message":"m","stack":"at f (tool.js:1:2)"}}"#,
    br#"{"err":{"number":0},"logs":[]}"#,
    b"\x00\x00\x01\x00\x10\x00\x00\x00\x00\x04\x00\x00\x00\x00\x00\x20",
];

const LOADER: &[&[u8]] = &[
    ECHO.as_bytes(),
    POINTERS.as_bytes(),
    b"\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7e\x03\x02\x01\0\x0a\x06\x01\x04\0\x42\x01\x0b",
    b"(component (import \"libos:tool/clock@2.0.0\" (instance (export \"now\" (func)))))",
    b"(module (memory (export \"memory\") 1) (table 4 funcref) (elem (i32.const 0) 0) (func))",
];

const SOURCES: &[&[u8]] = &[
    b"export default async function run(args: { a?: number }, libos: Libos): Promise<number> {
        const f = <T,>(x: T): T => x;
        return f(args.a ?? 1) / 2 + (await libos.clock.now()).unix_ms; }",
    b"enum K { A, B = 'b' } namespace N { export const x = 1 }
        abstract class C<T> { constructor(private readonly y: T) {}
        m(): asserts this is C<T> { } } export default () => new C(K.A)!;",
    b"type D<T> = T extends Array<infer U extends string> ? { [K in keyof U]-?: U[K] } : never;
        export default (x = /[/(]+/g, y = `${`${1}`}`) => x ? (y) : (z) => ({ ...z as any });",
    b"for await (const a of [1]) { if (a < 2 && a > 1) { label: while (!a!) break label } }
        export default function* g() { try { yield* g() } catch { return a?.[0]?.b } finally {} }",
];

/// Fragments that mutations put in.
const WORDS: &[&[u8]] = &[
    b"[",
    b"]",
    b"{",
    b"}",
    b"(",
    b")",
    b"<",
    b">",
    b"\"",
    b"\\",
    b",",
    b":",
    b"/",
    b"`",
    b"${",
    b"\0",
    b"\xff",
    b"\n",
    b"=>",
    b"?",
    b"null",
    b"-1",
    b"1e999",
    b"18446744073709551616",
    b"{\"op\":",
    b"\"number\":",
    b"\"logs\":",
    b"import ",
    b"await ",
    b"async ",
    b"i64.const -1",
    b"(memory 65536)",
    b"memory.grow",
    b"call_indirect",
    b"unreachable",
    b"(start 0)",
    b"\xe2\x80\xa8",
    b"\xf0\x9f\x98\x80",
];

/// Hands its arguments to the host as a request and gives the reply back as its envelope.
const ECHO: &str = r#"(module
  (import "libos" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 4)
  (global $free (mut i32) (i32.const 1024))
  (func (export "libos_alloc") (param i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (i32.add (local.get 0) (i32.const 1)))))
  (func (export "run") (param i32 i32) (result i64)
    (call $syscall (local.get 0) (local.get 1))))"#;

/// Makes a call at a place that its arguments tell, and gives back what they tell.
const POINTERS: &str = r#"(module
  (import "libos" "syscall" (func $syscall (param i32 i32) (result i64)))
  (memory (export "memory") 1)
  (func (export "libos_alloc") (param i32) (result i32) (i32.load (i32.const 24)))
  (func (export "run") (param i32 i32) (result i64)
    (drop (call $syscall (i32.load (local.get 0)) (i32.load offset=4 (local.get 0))))
    (i64.load offset=8 (local.get 0))))"#;

/// A sequence of inputs that follows from a seed.
#[derive(Debug, Clone)]
pub struct Mutations {
    state: u64,
    corpus: &'static [&'static [u8]],
}

impl Mutations {
    /// The inputs for a target.
    #[must_use]
    pub fn new(target: Target, seed: u64) -> Self {
        Self { state: seed ^ 0x9e37_79b9_7f4a_7c15, corpus: target.corpus() }
    }

    /// A number below `below`, by splitmix64.
    fn below(&mut self, below: usize) -> usize {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % below.max(1) as u64) as usize
    }

    fn pick(&mut self, from: &'static [&'static [u8]]) -> &'static [u8] {
        from[self.below(from.len())]
    }

    fn mutate(&mut self, input: &mut Vec<u8>) {
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 if at < input.len() => input[at] ^= 1 << self.below(8),
            1 if at < input.len() => input[at] = self.below(256) as u8,
            2 => drop(input.splice(at..at, self.pick(WORDS).iter().copied())),
            3 => {
                let end = (at + self.below(16)).min(input.len());
                drop(input.drain(at..end));
            }
            4 => {
                let word = self.pick(WORDS).repeat(1 + self.below(200));
                drop(input.splice(at..at, word));
            }
            5 => {
                let other = self.pick(self.corpus);
                let from = self.below(other.len());
                drop(input.splice(at.., other[from..].iter().copied()));
            }
            _ => {
                let end = (at + self.below(64)).min(input.len());
                let piece = input[at..end].to_vec();
                drop(input.splice(at..at, piece));
            }
        }
    }
}

impl Iterator for Mutations {
    type Item = Vec<u8>;
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut input = self.pick(self.corpus).to_vec();
        for _ in 0..=self.below(8) {
            self.mutate(&mut input);
        }
        Some(input)
    }
}

/// A sandbox under fuzzing.
pub struct Fuzz {
    sandbox: Sandbox,
    echo: Artifact,
    pointers: Artifact,
    cache: Cache,
}

impl std::fmt::Debug for Fuzz {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Fuzz").finish_non_exhaustive()
    }
}

/// A port that answers one call and refuses the rest.
struct Answers;

impl Port for Answers {
    fn submit(&self, call: Syscall) -> BoxFuture<'_, Outcome> {
        Box::pin(async move {
            match call {
                Syscall::Clock(clock::Call::GetNow(_)) => {
                    let now = clock::Now {
                        unix_ms: u64::MAX,
                        iso8601: "\u{2028}\"\\".parse().expect("it is short"),
                    };
                    Ok(clock::Reply::GetNow(now).into())
                }
                call => Err(Fault::Unsupported { call: call.info().name.into() }.into()),
            }
        })
    }
}

impl Fuzz {
    /// A sandbox with little fuel that keeps its files in a folder.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn new(folder: &Path) -> Self {
        let run = RunLimits { fuel: 20_000_000, memory_bytes_max: 8 << 20, ..RunLimits::STANDARD };
        let limits = Limits { run, cache_bytes_max: 64 << 20, ..Limits::STANDARD };
        let sandbox = Sandbox::new(limits, &folder.join("compiled")).expect("a sandbox");
        let compile = async |source: &str| {
            sandbox.compile(Language::Module, source.as_bytes()).await.expect("it compiles")
        };
        let (echo, pointers) = (compile(ECHO).await, compile(POINTERS).await);
        let cache = Cache::open(&folder.join("loaded"), 1 << 20).expect("a cache");
        Self { sandbox, echo, pointers, cache }
    }

    /// Hands an input to a target.
    ///
    /// # Panics
    /// When something does not hold that must.
    pub async fn put(&self, target: Target, input: &[u8]) {
        match target {
            Target::Boundary => self.boundary(input).await,
            Target::Loader => self.loader(input).await,
            Target::Source => self.source(input).await,
        }
        assert_eq!(self.sandbox.occupied(), Occupied::default(), "something was left behind");
    }

    async fn boundary(&self, input: &[u8]) {
        let mut guest = Guest::new(Arc::new(Answers), RunLimits::STANDARD, 5, 1 << 20);
        if let Ok(reply) = guest.serve(input).await {
            let reply: Value = serde_json::from_str(&reply).expect("a reply is JSON");
            let items = reply.as_array().cloned().unwrap_or_else(|| vec![reply]);
            for item in items {
                let item = item.as_object().expect("an entry is an object");
                assert_eq!(item.len(), 1, "an entry is one thing");
                let number = item.get("err").map(|error| error["number"].as_u64());
                let known = number.map(|number| guest.record().find(number.expect("a number")));
                assert!(known.is_none_or(|error| error.is_some()), "an error is on record");
            }
        }
        let text = String::from_utf8_lossy(input).into_owned();
        let ended = envelope::opened(&text, guest.record());
        if let Err(ToolError::Call { error, .. }) = ended.outcome {
            let on_record = |number| guest.record().find(number).map(|entry| entry.1.clone());
            let known = (0..).map_while(on_record).any(|noted: Error| noted == error);
            assert!(known, "a tool made an error of the host");
        }
        for artifact in [&self.echo, &self.pointers] {
            drop(self.sandbox.run(artifact, run(text.clone())).await);
        }
    }

    async fn loader(&self, input: &[u8]) {
        let (key, content) = (Digest::of(b"key"), b"content");
        self.cache.keep(key, content);
        // A part of the input replaces a part of the file, wherever its first bytes say.
        let at = input.first().map_or(0, |byte| usize::from(*byte) % 80);
        self.cache.damage(key, at, input);
        let loaded = self.cache.load(key);
        assert!(loaded.is_none_or(|loaded| loaded == content), "a changed file was taken");
        for language in [Language::Module, Language::Component] {
            if let Ok(artifact) = self.sandbox.compile(language, input).await {
                drop(self.sandbox.run(&artifact, run("{}".into())).await);
            }
        }
    }

    async fn source(&self, input: &[u8]) {
        for language in [Language::TypeScript, Language::JavaScript] {
            if let Ok(artifact) = self.sandbox.compile(language, input).await {
                drop(self.sandbox.run(&artifact, run("{}".into())).await);
            }
        }
    }
}

fn run(args: String) -> Run {
    Run {
        args,
        needs: Needs::from_iter(["clock.now"]),
        port: Arc::new(Answers),
        seed: 1,
        limits: RunLimits::STANDARD,
        when_full: WhenFull::Wait,
    }
}
