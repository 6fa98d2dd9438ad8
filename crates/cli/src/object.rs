//! `libos object`.

use agent_libos::abi::object;

use crate::{
    args::ObjectCommand,
    exit::{Exit, Failure},
    host::Host,
    show,
};

pub(crate) async fn run(host: &Host, command: ObjectCommand) -> Result<Exit, Failure> {
    let (ObjectCommand::Ls { at, .. } | ObjectCommand::Show { at, .. }) = &command;
    let access = host.access_at(*at).await?;
    match command {
        ObjectCommand::Ls { kind, at: _ } => {
            let objects = access.port.call(object::List { r#type: kind }).await?.objects;
            if host.json {
                for object in &objects {
                    show::json(&object);
                }
            } else if objects.is_empty() {
                say!("No object yet.");
            } else {
                let rows: Vec<_> = objects.iter().map(row).collect();
                let headers = ["OBJECT", "TYPE", "VERSION", "BYTES", "OWNER", "DIGEST", "NAME"];
                put!("{}", show::table(&headers, &rows));
            }
        }
        ObjectCommand::Show { object: id, at: _ } => {
            let object = access.port.call(object::Read { id }).await.map_err(|error| {
                Failure::from(error).next("`libos object ls` lists the objects")
            })?;
            if host.json {
                show::json(&object);
            } else {
                say!("{} {} version {}", object.id, object.r#type, object.version);
                let payload = object.payload.value().unwrap_or_default();
                say!("{}", serde_json::to_string_pretty(&payload).unwrap_or_default());
            }
        }
    }
    access.close()?;
    Ok(Exit::Done)
}

fn row(object: &object::ObjectInfo) -> Vec<String> {
    let name = match (&object.namespace, &object.name) {
        (Some(namespace), Some(name)) => format!("{namespace}/{name}"),
        _ => String::new(),
    };
    vec![
        object.id.to_string(),
        object.r#type.to_string(),
        object.version.to_string(),
        object.bytes.to_string(),
        object.owner.to_string(),
        object.digest.short(),
        name,
    ]
}
