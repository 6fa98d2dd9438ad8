//! What must still work under confinement: the tools of everyday work.

use crate::stage::{Stage, has_program};

/// A use, by the programs that it needs, the script, and what it prints.
struct Use {
    name: &'static str,
    needs: &'static [&'static str],
    script: &'static str,
    prints: &'static str,
}

#[rustfmt::skip]
const USES: &[Use] = &[
    Use { name: "pipeline", needs: &["sort", "uniq"], prints: "2 b",
        script: "printf 'b\\na\\nb\\n' | sort | uniq -c | sort -rn | head -1" },
    Use { name: "input", needs: &["cat"], prints: "from the host", script: "cat" },
    Use { name: "here document", needs: &["cat"], prints: "word",
        script: "cat <<END > a.txt\nword\nEND\ncat a.txt" },
    Use { name: "temporary files", needs: &["mktemp"], prints: "kept",
        script: "t=$(mktemp) && echo kept > $t && cat $t && rm $t && ls -d $TMPDIR >/dev/null" },
    Use { name: "find and grep", needs: &["find", "grep"], prints: "./src/a.rs:fn main",
        script: "echo 'fn main() {}' > src/a.rs; find src . -name '*.rs' | sort -u | xargs grep -H 'fn main' | head -2; grep -rn main ./src" },
    Use { name: "copy, move, link, modes", needs: &["cp", "chmod"], prints: "755 b",
        script: "cp in.txt a && mv a b && ln b c && ln -s b d && cat d && chmod 755 b && touch -d @86400 b && stat -c '%a %n' b" },
    Use { name: "read-only folder", needs: &["cat"], prints: "public", script: "cat ro/kept.txt; ls ro" },
    Use { name: "archive", needs: &["tar", "gzip"], prints: "x/in.txt",
        script: "mkdir x && cp in.txt x && tar -czf x.tar.gz x && rm -r x && tar -xzf x.tar.gz && ls x/in.txt" },
    Use { name: "diff and patch", needs: &["diff"], prints: "+two",
        script: "echo one > a; printf 'one\\ntwo\\n' > b; diff -u a b || true" },
    Use { name: "sed and awk", needs: &["sed", "awk"], prints: "PUBLIC 1",
        script: "sed -i 's/public/PUBLIC 1/' in.txt && awk '{ print $0 }' in.txt" },
    Use { name: "make", needs: &["make"], prints: "built",
        script: "printf 'all: out.txt\\n\\tcat out.txt\\nout.txt:\\n\\techo built > $@\\n' > Makefile && make -s -j2" },
    Use { name: "compile and run C", needs: &["cc"], prints: "sum 5",
        script: "printf '#include <stdio.h>\\nint main(void){printf(\"sum %%d\",2+3);return 0;}\\n' > a.c && cc -O1 -o a a.c && ./a" },
    Use { name: "a library", needs: &["cc", "ar"], prints: "7",
        script: "echo 'int f(void){return 7;}' > f.c; printf 'int f(void);int printf(const char*,...);int main(void){printf(\"%%d\",f());}\\n' > m.c; cc -c f.c && ar rcs libf.a f.o && cc m.c -L. -lf -o m && ./m" },
    Use { name: "rustc", needs: &["rustc"], prints: "rustc 1", script: "rustc --version" },
    Use { name: "compile and run Rust", needs: &["rustc", "cc"], prints: "hello from rust",
        script: "echo 'fn main() { println!(\"hello from rust\"); }' > a.rs && rustc a.rs && ./a" },
    Use { name: "cargo", needs: &["cargo", "cc"], prints: "1 passed",
        script: "cargo --version && mkdir -p p/src && cd p && printf '[package]\\nname = \"p\"\\nedition = \"2021\"\\n' > Cargo.toml && echo '#[test] fn t() { assert_eq!(1 + 1, 2) }' > src/lib.rs && cargo test --offline 2>&1" },
    Use { name: "python with files", needs: &["python3"], prints: "ok 3",
        script: "python3 -c 'import tempfile, pathlib, json\nwith tempfile.TemporaryDirectory() as d:\n    p = pathlib.Path(d, \"a.json\"); p.write_text(json.dumps([1, 2])); print(\"ok\", sum(json.loads(p.read_text())))'" },
    Use { name: "python tests", needs: &["python3"], prints: "OK",
        script: "printf 'import unittest, subprocess, threading, os\\nclass T(unittest.TestCase):\\n  def test_a(self):\\n    self.assertEqual(subprocess.run([\"echo\", \"x\"], capture_output=True).stdout, b\"x\\\\n\")\\n  def test_b(self):\\n    t = threading.Thread(target=lambda: None); t.start(); t.join()\\n' > test_x.py && python3 -m unittest -v test_x 2>&1" },
    Use { name: "python event loop", needs: &["python3"], prints: "done",
        script: "python3 -c 'import asyncio\nasync def f():\n    await asyncio.sleep(0.01)\n    p = await asyncio.create_subprocess_exec(\"echo\", \"done\"); await p.wait()\nasyncio.run(f())'" },
    Use { name: "node", needs: &["node"], prints: "42 x",
        script: "node -e 'const fs = require(\"fs\"), cp = require(\"child_process\"); fs.writeFileSync(\"a.js\", \"module.exports = 42\"); console.log(require(\"./a.js\"), cp.execFileSync(\"echo\", [\"x\"]).toString())'" },
    Use { name: "node with threads and timers", needs: &["node"], prints: "worker 3",
        script: "node -e 'const { Worker } = require(\"worker_threads\"); new Worker(\"require(\\\"worker_threads\\\").parentPort.postMessage(1+2)\", { eval: true }).on(\"message\", m => setTimeout(() => console.log(\"worker\", m), 5))'" },
    Use { name: "perl", needs: &["perl"], prints: "perl 3",
        script: "perl -MFile::Temp=tempfile -e 'my ($f, $n) = tempfile(); print $f \"x\"; close $f; print \"perl \", 1 + 2, \"\\n\"'" },
    Use { name: "git", needs: &["git"], prints: "+two",
        script: "git init -q r && cd r && git config user.name a && git config user.email a@b && echo one > a && git add a && git commit -qm first && echo two >> a && git diff && git commit -qam second && git log --oneline && git checkout -q -b x && git merge -q HEAD && git status --short && git stash list" },
    Use { name: "background work of a shell", needs: &["sh"], prints: "both",
        script: "(sleep 0.05; echo a > a) & (sleep 0.05; echo b > b) & wait; [ -e a ] && [ -e b ] && echo both" },
    Use { name: "pipes with names", needs: &["mkfifo"], prints: "through",
        script: "mkfifo p && (echo through > p &) && cat p" },
    Use { name: "devices", needs: &["head"], prints: "16 0",
        script: "head -c 16 /dev/urandom | wc -c | tr '\\n' ' '; head -c 8 /dev/zero > /dev/null; echo 0" },
    Use { name: "processors", needs: &["nproc"], prints: "cpus", script: "nproc >/dev/null && echo cpus" },
    Use { name: "signals among its own", needs: &["sh"], prints: "caught",
        script: "sh -c 'trap \"echo caught; exit 0\" TERM; while :; do sleep 0.01; done' & sleep 0.3; kill -TERM $!; wait" },
];

#[tokio::test(flavor = "multi_thread")]
async fn everyday_work_goes_on() {
    let (mut failed, mut done) = (Vec::new(), 0);
    for it in USES.iter().filter(|it| it.needs.iter().all(|name| has_program(name))) {
        let stage = Stage::for_work();
        let script = ["set -e\n", it.script].concat();
        let (code, printed) = stage.run(vec!["sh".into(), "-c".into(), script]).await;
        if code != Some(0) || !printed.contains(it.prints) {
            failed.push(format!("{}: {code:?}\n{printed}", it.name));
        }
        done += 1;
    }
    assert!(failed.is_empty(), "{} of {done} uses:\n{}", failed.len(), failed.join("\n\n"));
    assert!(done >= USES.len() / 2, "only {done} could be tried");
}
