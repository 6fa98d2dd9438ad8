//! `libos image`.

use std::path::{Path, PathBuf};

use agent_libos::{
    abi::{
        Digest, Error,
        image::{self, Image},
        process::Launch,
    },
    images,
    package::{self, Built},
    port::Port,
};
use serde::Serialize;

use crate::{
    args::host::ImageCommand,
    exit::{Exit, Failure},
    host::Host,
    image_diff, show, skill, tool,
};

pub(crate) async fn run(host: &Host, command: ImageCommand) -> Result<Exit, Failure> {
    match command {
        ImageCommand::Ls => ls(host).await,
        ImageCommand::Show { image } => inspect(host, &image).await,
        ImageCommand::Build { path, out } => build(host, &path, out).await,
        ImageCommand::Register { path, replace } => register(host, &path, replace).await,
        ImageCommand::Unregister { image } => unregister(host, image).await,
        ImageCommand::Diff { one, other } => diff(host, &one, &other).await,
    }
}

/// What a build came to.
#[derive(Serialize)]
struct Done<'a> {
    name: &'a str,
    version: &'a str,
    digest: Digest,
    file: String,
}

/// Reads an image and tries its tools, before any store is opened.
pub(crate) async fn checked(host: &Host, built: Built) -> Result<Built, Failure> {
    for generated in &built.image.generated {
        let report = tool::report_of(host, generated).await?;
        if !report.passed {
            return Err(Failure::new(Exit::Failed, "bad_tool", tool::words(&report)));
        }
    }
    Ok(built)
}

async fn build(host: &Host, path: &Path, out: Option<PathBuf>) -> Result<Exit, Failure> {
    let built = checked(host, package::load(path)?).await?;
    let image = &built.image;
    let file = out.unwrap_or_else(|| format!("{}-{}.json", image.name, image.version).into());
    let text = serde_json::to_string_pretty(&built)
        .map_err(|error| Failure::new(Exit::Failed, "bad_image", error.to_string()))?;
    std::fs::write(&file, text + "\n").map_err(|error| {
        let message = format!("{}: {error}", file.display());
        Failure::new(Exit::Failed, "invalid_file", message)
    })?;
    let file = file.display().to_string();
    let (name, version, digest) = (&image.name, &image.version, built.digest);
    if host.json {
        show::json(&Done { name, version, digest, file });
        return Ok(Exit::Done);
    }
    say!("{name} {version} is built into {file}, digest {digest}");
    let tried = image.generated.len();
    if tried > 0 {
        say!("{tried} generated {} passed.", if tried == 1 { "tool" } else { "tools" });
    }
    Ok(Exit::Done)
}

async fn register(host: &Host, path: &Path, replace: bool) -> Result<Exit, Failure> {
    // What is wrong with a file is told before the store is opened.
    let built = checked(host, package::load(path)?).await?;
    let access = host.access().await?;
    let name = built.image.name.clone();
    skill::of_image(access.port.as_ref(), built.skills, replace).await?;
    let call = image::Register { image: built.image, replace: Some(replace) };
    let image = access.port.call(call).await.map_err(|error| of_image(&name, error))?;
    access.close()?;
    if host.json {
        show::json(&image);
        return Ok(Exit::Done);
    }
    say!("{} {} is registered.", image.name, image.version);
    if !image.required_capabilities.is_empty() {
        say!("It says it needs what a task has to grant: `libos image show {}`.", image.name);
    }
    Ok(Exit::Done)
}

async fn unregister(host: &Host, name: String) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let called = access.port.call(image::Unregister { image: name.clone() }).await;
    let image = called.map_err(|error| of_image(&name, error))?;
    access.close()?;
    match host.json {
        true => show::json(&image),
        false => say!("{} {} is removed.", image.name, image.version),
    }
    Ok(Exit::Done)
}

fn of_image(name: &str, error: Error) -> Failure {
    let message = match error.code() {
        "not_found" => format!("there is no image `{name}`; `libos image ls` lists the images"),
        "exists" => format!("there is an image `{name}`; --replace puts this one in its place"),
        _ => return error.into(),
    };
    Failure::new(Exit::Failed, error.code(), message)
}

/// An image by its name or its path.
async fn named(host: &Host, image: &str) -> Result<Image, Failure> {
    if package::is_path(image) {
        return Ok(package::load(Path::new(image))?.image);
    }
    let access = host.access().await?;
    let found = access.port.call(image::Inspect { image: image.to_owned() }).await;
    let found = found.map_err(|error| of_image(image, error))?;
    access.close()?;
    Ok(Image::clone(&found))
}

async fn diff(host: &Host, one: &str, other: &str) -> Result<Exit, Failure> {
    let (left, right) = (named(host, one).await?, named(host, other).await?);
    let differences = image_diff::between(&left, &right);
    if host.json {
        differences.iter().for_each(show::json);
    } else if differences.is_empty() {
        say!("They are the same, digest {}.", left.digest());
    } else {
        say!(
            "--- {one} ({} {})\n+++ {other} ({} {})",
            left.name,
            left.version,
            right.name,
            right.version
        );
        differences.iter().for_each(|difference| put!("{difference}"));
    }
    Ok(if differences.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Has a launch take over what its image says of the context of a model, and its workspace begin
/// with what the image brings, if it is empty.
pub(crate) async fn prepare(operator: &dyn Port, launch: &mut Launch) -> Result<(), Failure> {
    let image = operator.call(image::Inspect { image: launch.image.clone() }).await;
    // A launch of what is not there tells so itself.
    let Ok(image) = image else { return Ok(()) };
    let context = image.context.as_ref().and_then(|context| context.value().ok());
    if let Some(context) = context.filter(|_| &*launch.planner.kind == "model") {
        let program = launch.planner.program.as_str().unwrap_or_default();
        let program = images::with_context(program, &context);
        let program = program.map_err(|why| Failure::new(Exit::Usage, "bad_program", why))?;
        launch.planner.program = program.into();
    }
    let Some(workspace) = launch.workspace.as_deref().map(Path::new) else { return Ok(()) };
    for file in package::seed(workspace, &image.seed)? {
        tell!("{file} comes with the image {}", image.name);
    }
    Ok(())
}

async fn ls(host: &Host) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let images = access.port.call(image::List {}).await?.images;
    access.close()?;
    if host.json {
        images.iter().for_each(show::json);
        return Ok(Exit::Done);
    }
    let row = |image: &Image| {
        let grouped: usize = image.tool_groups.iter().map(|group| group.tools.len()).sum();
        vec![
            image.name.clone(),
            image.version.clone(),
            format!("{} + {grouped}", image.tools.len()),
            image.planner.as_ref().map(|planner| planner.kind.to_string()).unwrap_or_default(),
            show::cut(&image.description, 60),
        ]
    };
    let rows: Vec<_> = images.iter().map(row).collect();
    put!("{}", show::table(&["IMAGE", "VERSION", "TOOLS", "PLANNER", "WHAT FOR"], &rows));
    Ok(Exit::Done)
}

async fn inspect(host: &Host, image: &str) -> Result<Exit, Failure> {
    let image = named(host, image).await?;
    if host.json {
        show::json(&image);
        return Ok(Exit::Done);
    }
    say!("{} {}, digest {}", image.name, image.version, image.digest());
    if !image.description.is_empty() {
        say!("{}", image.description);
    }
    if let Some(planner) = &image.planner {
        say!("\nplans with {}", planner.kind);
    }
    if let Some(context) = image.context.as_ref().and_then(|context| context.0.as_str()) {
        say!("\nchooses what a model is shown by\n  {context}");
    }
    say!("\ntools\n  {}", words(&image.tools));
    for group in &image.tool_groups {
        say!("tools of the group {}: {}\n  {}", group.name, group.description, words(&group.tools));
    }
    for generated in &image.generated {
        let needs: Vec<String> = generated.needs.iter().map(|need| need.call.clone()).collect();
        say!("generated: {} calls {}", generated.name, words(&needs));
    }
    let limits = serde_json::to_value(&image.budget).unwrap_or_default();
    if let Some(limits) = limits.as_object().filter(|limits| !limits.is_empty()) {
        say!("\nlimits of a process without its own");
        limits.iter().for_each(|(kind, limit)| say!("  {kind} {limit}"));
    }
    if !image.skills.is_empty() {
        say!("\nskills");
        image.skills.iter().for_each(|pin| say!("  {} {}", pin.name, pin.digest));
    }
    if !image.seed.is_empty() {
        say!("\nan empty workspace begins with");
        image.seed.iter().for_each(|file| say!("  {}", file.path));
    }
    if !image.required_capabilities.is_empty() {
        say!("\nit says it needs, and is never granted by this");
        for grant in &image.required_capabilities {
            say!("  {} {} on {}", grant.effect, grant.rights, grant.on);
        }
    }
    if let Some(prompt) = image.prompt.as_str().filter(|prompt| !prompt.is_empty()) {
        say!("\nprompt\n  {}", prompt.trim_end().replace('\n', "\n  "));
    }
    Ok(Exit::Done)
}

fn words(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(" ") }
}
