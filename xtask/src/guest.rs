//! The JavaScript engine of the sandbox: built from its C sources, byte for byte the same anywhere.
//!
//! `crates/sandbox/guest/javascript.wasm` is committed, so that the workspace builds without a C
//! compiler for Wasm. What it is built from is pinned: the engine's sources by the lock file of
//! `guest/source`, the compiler by the hash in `guest/requirements.txt`. Everything is fetched
//! by its registry's own client and kept below `target/guest`.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::MetadataCommand;
use sha2::{Digest as _, Sha256};

const FOLDER: &str = "crates/sandbox/guest";
const MODULE: &str = "javascript.wasm";
const SUM: &str = "javascript.wasm.sha256";
/// The package that carries the engine's sources.
const SOURCE: &str = "rquickjs-sys";
/// Units of the engine itself, below its `quickjs`.
const ENGINE_UNITS: &[&str] = &["libregexp.c", "libunicode.c", "dtoa.c"];
/// Our own units.
const OWN_UNITS: &[&str] = &["engine.c", "guest.c", "system.c"];
#[rustfmt::skip]
const COMPILE: &[&str] = &[
    "cc", "-target", "wasm32-freestanding", "-mcpu=generic+bulk_memory+sign_ext+nontrapping_fptoint",
    "-Os", "-std=c2x", "-g0", "-DNDEBUG", "-D_GNU_SOURCE",
    // The configuration without threads and files that still checks its stack.
    "-DEMSCRIPTEN=1", "-DFE_DOWNWARD=0", "-DFE_UPWARD=0",
    "-nostdlibinc", "-Wno-everything", "-c",
];
#[rustfmt::skip]
const LINK: &[&str] = &[
    "wasm-ld", "--no-entry", "--stack-first", "-z", "stack-size=1048576", "--gc-sections",
    "--strip-all", "--max-memory=268435456",
];

/// Builds the engine and writes it with its sum.
pub(crate) fn write(root: &Path) -> Result<()> {
    let module = build(root)?;
    let folder = root.join(FOLDER);
    fs::write(folder.join(MODULE), &module).context("write the engine")?;
    fs::write(folder.join(SUM), sum(&module)).context("write the engine's sum")?;
    println!("guest: {MODULE} has {} bytes", module.len());
    Ok(())
}

/// Fails when the committed engine is not the one that its sources give.
pub(crate) fn check(root: &Path) -> Result<()> {
    let folder = root.join(FOLDER);
    let committed = fs::read(folder.join(MODULE)).with_context(|| format!("read {MODULE}"))?;
    let noted = fs::read_to_string(folder.join(SUM)).with_context(|| format!("read {SUM}"))?;
    ensure!(noted == sum(&committed), "{FOLDER}/{SUM} is of another file: run `cargo xtask guest`");
    let built = build(root)?;
    ensure!(
        built == committed,
        "{FOLDER}/{MODULE} is not what its sources give: run `cargo xtask guest`"
    );
    println!("guest: {MODULE} is what its sources give");
    Ok(())
}

fn sum(module: &[u8]) -> String {
    let digest = Sha256::digest(module);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{hex}  {MODULE}\n")
}

/// Builds the engine; gives the bytes of its module.
fn build(root: &Path) -> Result<Vec<u8>> {
    let ours = root.join(FOLDER);
    let source = source(&ours.join("source/Cargo.toml"))?;
    let work = root.join("target/guest");
    let compiler = compiler(&ours.join("requirements.txt"), &work)?;
    let objects = work.join("objects");
    fs::create_dir_all(&objects).with_context(|| format!("create {}", objects.display()))?;
    let quickjs = source.join("quickjs");
    let libc = source.join("vendor/wasi-libc");
    let units = ENGINE_UNITS.iter().map(|unit| quickjs.join(unit));
    let units = units.chain(OWN_UNITS.iter().map(|unit| ours.join(unit)));
    let mut linked = Vec::new();
    for unit in units {
        let object = objects.join(unit.file_name().unwrap_or_default()).with_extension("o");
        let mut compile = zig(&compiler, &work);
        compile.args(COMPILE).arg(&unit).arg("-o").arg(&object);
        compile.arg("-isystem").arg(libc.join("include")).arg("-I").arg(&quickjs);
        // No path of this machine may end up in the module.
        for (path, name) in [(&source, "source"), (&ours, "guest")] {
            compile.arg(format!("-ffile-prefix-map={}={name}", path.display()));
        }
        done(&mut compile, &format!("compile {}", unit.display()))?;
        linked.push(object);
    }
    let module = work.join(MODULE);
    let mut link = zig(&compiler, &work);
    link.args(LINK).args(&linked).arg(libc.join("lib/libc.a")).arg("-o").arg(&module);
    done(&mut link, "link the engine")?;
    fs::read(&module).with_context(|| format!("read {}", module.display()))
}

/// The folder of the engine's sources, fetched as the lock file says.
fn source(manifest: &Path) -> Result<PathBuf> {
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .other_options(["--locked".to_owned()])
        .exec()
        .with_context(|| format!("fetch what {} names", manifest.display()))?;
    let package = metadata.packages.iter().find(|package| package.name.as_str() == SOURCE);
    let package = package.with_context(|| format!("{SOURCE} is not among the dependencies"))?;
    let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
    Ok(folder.as_std_path().to_owned())
}

/// The folder with the compiler's Python package, installed as the requirements say.
fn compiler(requirements: &Path, work: &Path) -> Result<PathBuf> {
    let text =
        fs::read(requirements).with_context(|| format!("read {}", requirements.display()))?;
    let folder = work.join(format!("compiler-{}", &sum(&text)[..12]));
    if folder.exists() {
        return Ok(folder);
    }
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("remove {}", partial.display()))?;
    }
    let mut install = Command::new("python3");
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    install.args(["--root-user-action", "ignore", "--require-hashes", "--target"]);
    install.arg(&partial).arg("-r").arg(requirements);
    done(&mut install, "install the C compiler with `python3 -m pip`")?;
    fs::rename(&partial, &folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn zig(compiler: &Path, work: &Path) -> Command {
    let mut zig = Command::new("python3");
    zig.args(["-m", "ziglang"]).env("PYTHONPATH", compiler);
    zig.env("ZIG_LOCAL_CACHE_DIR", work.join("cache"));
    zig.env("ZIG_GLOBAL_CACHE_DIR", work.join("cache"));
    zig
}

fn done(command: &mut Command, what: &str) -> Result<()> {
    let program = command.get_program().to_owned();
    let status = command.status().with_context(|| format!("{what}: start {}", shown(&program)))?;
    match status.success() {
        true => Ok(()),
        false => bail!("{what}: {} ended with {status}", shown(&program)),
    }
}

fn shown(program: &OsStr) -> String {
    program.to_string_lossy().into_owned()
}
