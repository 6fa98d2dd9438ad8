//! Tools over Object Memory, and between it and files.
//!
//! `file_to_object` and `object_to_file` move a payload without it ever being in a result: a model
//! that calls them sees an id, a digest and a length, never the text.

use libos_abi::{Digest, Error, FsPath, Json, ObjectId, Text, fs, object};
use libos_port::Port;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    Limits,
    error::{ToolError, here},
    table::{Ended, json},
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CreateObject {
    /// A word for what it is.
    r#type: String,
    /// Its content: any JSON.
    payload: Json,
    /// A name; needs a namespace.
    name: Option<String>,
    /// Where to name it.
    namespace: Option<String>,
    /// The objects it was made from.
    parents: Option<Vec<ObjectId>>,
    /// Words to find it by.
    tags: Option<Vec<String>>,
    /// Whether it never changes; false if absent.
    immutable: Option<bool>,
}

pub(crate) async fn create_object(port: &dyn Port, args: CreateObject) -> Ended {
    let call = object::Create {
        r#type: args.r#type,
        payload: args.payload,
        name: args.name,
        namespace: args.namespace,
        parents: args.parents,
        tags: args.tags,
        immutable: args.immutable,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReadObject {
    /// The object.
    id: ObjectId,
}

pub(crate) async fn read_object(port: &dyn Port, args: ReadObject) -> Ended {
    json(port.call(object::Read { id: args.id }).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateObject {
    /// The object.
    id: ObjectId,
    /// Its new content: any JSON.
    payload: Json,
    /// The version it must have now.
    expected_version: Option<u64>,
}

pub(crate) async fn update_object(port: &dyn Port, args: UpdateObject) -> Ended {
    let call = object::Update {
        id: args.id,
        payload: args.payload,
        expected_version: args.expected_version,
    };
    json(port.call(call).await?)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListObjects {
    /// Only those of this type.
    r#type: Option<String>,
    /// Behind this one, to go on.
    after: Option<ObjectId>,
}

pub(crate) async fn list_objects(port: &dyn Port, args: ListObjects) -> Ended {
    let ListObjects { r#type, after } = args;
    json(port.call(object::List { r#type, after, limit: None }).await?)
}

/// Makes an unnamed object of a payload.
pub(crate) async fn keep(
    port: &dyn Port,
    r#type: String,
    payload: &Value,
    parents: Option<Vec<ObjectId>>,
) -> Result<object::Handle, Error> {
    port.call(object::Create { parents, ..object::Create::of(r#type, Json::from(payload)) }).await
}

/// The payload of an object as JSON, with what was appended to it.
pub(crate) fn payload(object: &object::Object) -> Result<Value, ToolError> {
    here(&object.payload.0, "a payload")?;
    let mut payload = object.payload.value()?;
    if let Value::Array(items) = &mut payload {
        for entry in &object.appended {
            here(&entry.0, "an entry")?;
            items.push(entry.value()?);
        }
    }
    Ok(payload)
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileToObject {
    /// The file, relative to the working directory.
    path: FsPath,
    /// A word for what it is; `file` if absent.
    r#type: Option<String>,
}

#[derive(Serialize)]
struct Kept {
    id: ObjectId,
    digest: Digest,
    bytes: u64,
}

pub(crate) async fn file_to_object(port: &dyn Port, args: FileToObject) -> Ended {
    let limit = Limits::STANDARD.file_bytes_max;
    let call = fs::Read { path: args.path.clone(), max_bytes: Some(limit), into: None };
    let file = port.call(call).await?;
    if file.truncated {
        let path = args.path.to_string();
        return Err(ToolError::TooLarge { path, limit }.into());
    }
    let payload = serde_json::json!({
        "path": args.path,
        "text": here(&file.text, "a text")?,
        "digest": file.digest,
    });
    let r#type = args.r#type.unwrap_or_else(|| "file".into());
    let handle = keep(port, r#type, &payload, None).await?;
    json(Kept { id: handle.id, digest: file.digest, bytes: file.bytes })
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ObjectToFile {
    /// The object.
    id: ObjectId,
    /// The file, relative to the working directory. An existing one is replaced.
    path: FsPath,
    /// The field of the payload to write, a text; the whole payload if absent: a text as it is,
    /// anything else as indented JSON.
    field: Option<String>,
}

#[derive(Serialize)]
struct Saved {
    path: FsPath,
    bytes: u64,
    digest: Digest,
}

pub(crate) async fn object_to_file(port: &dyn Port, args: ObjectToFile) -> Ended {
    let ObjectToFile { id, path, field } = args;
    let object = port.call(object::Read { id }).await?;
    let call = fs::Write {
        path,
        text: Text::from(as_text(id, payload(&object)?, field)?),
        overwrite: Some(true),
        expected_digest: None,
        from: None,
    };
    let written = port.call(call).await?;
    json(Saved { path: written.path, bytes: written.bytes, digest: written.digest })
}

fn as_text(id: ObjectId, payload: Value, field: Option<String>) -> Result<String, ToolError> {
    match (payload, field) {
        (mut payload, Some(field)) => match payload.get_mut(&field).map(Value::take) {
            Some(Value::String(text)) => Ok(text),
            _ => Err(ToolError::NoSuchField { id: id.to_string(), field }),
        },
        (Value::String(text), None) => Ok(text),
        (payload, None) => Ok(serde_json::to_string_pretty(&payload)? + "\n"),
    }
}
