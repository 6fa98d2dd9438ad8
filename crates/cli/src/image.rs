//! `libos image`.

use agent_libos::{
    abi::{
        Error,
        image::{self, Image},
    },
    task,
};

use crate::{
    args::host::ImageCommand,
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) async fn run(host: &Host, command: ImageCommand) -> Result<Exit, Failure> {
    // What is wrong with a file is told before the store is opened.
    let (name, call) = match command {
        ImageCommand::Ls => return ls(host).await,
        ImageCommand::Show { image } => return inspect(host, image).await,
        ImageCommand::Register { path, replace } => {
            let register = image::Register { image: task::image(&path)?, replace: Some(replace) };
            (register.image.name.clone(), Change::Register(register))
        }
        ImageCommand::Unregister { image } => {
            (image.clone(), Change::Unregister(image::Unregister { image }))
        }
    };
    let access = host.access().await?;
    let (image, done) = match call {
        Change::Register(call) => (access.port.call(call).await, "registered"),
        Change::Unregister(call) => (access.port.call(call).await, "removed"),
    };
    let image = image.map_err(|error| of_image(&name, error))?;
    access.close()?;
    if host.json {
        show::json(&image);
    } else {
        say!("{} {} is {done}.", image.name, image.version);
        if done == "registered" && !image.required_capabilities.is_empty() {
            say!("It says it needs what a task has to grant: `libos image show {}`.", image.name);
        }
    }
    Ok(Exit::Done)
}

enum Change {
    Register(image::Register),
    Unregister(image::Unregister),
}

fn of_image(name: &str, error: Error) -> Failure {
    let message = match error.code() {
        "not_found" => format!("there is no image `{name}`; `libos image ls` lists the images"),
        "exists" => format!("there is an image `{name}`; --replace puts this one in its place"),
        _ => return error.into(),
    };
    Failure::new(Exit::Failed, error.code(), message)
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

async fn inspect(host: &Host, image: String) -> Result<Exit, Failure> {
    let access = host.access().await?;
    let found = access.port.call(image::Inspect { image: image.clone() }).await;
    let image = found.map_err(|error| of_image(&image, error))?;
    access.close()?;
    if host.json {
        show::json(&image);
        return Ok(Exit::Done);
    }
    say!("{} {}", image.name, image.version);
    if !image.description.is_empty() {
        say!("{}", image.description);
    }
    if let Some(planner) = &image.planner {
        say!("\nplans with {}", planner.kind);
    }
    say!("\ntools\n  {}", words(&image.tools));
    for group in &image.tool_groups {
        say!("tools of the group {}: {}\n  {}", group.name, group.description, words(&group.tools));
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
