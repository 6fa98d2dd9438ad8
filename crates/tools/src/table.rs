//! The table of the tools: name, description, arguments, function.
//!
//! Everything else is derived from it: the schema from the type of the arguments, the check of the
//! arguments from the schema, `describe` and `names` from the rows.

use std::{collections::BTreeMap, sync::Arc, sync::LazyLock};

use jsonschema::Validator;
use libos_abi::{
    Error, Json,
    tool::{self, Definition},
};
use libos_port::{BoxFuture, Port};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use crate::{
    Limits, authority, checkpoints, error::ToolError, files, generated, groups, host, humans,
    memory, merge, messages, network, objects, processes, skills, survey, views,
};

/// What a tool ends in.
pub(crate) type Ended = Result<Value, Error>;

/// A row.
struct Tool {
    name: &'static str,
    description: &'static str,
    schema: fn() -> Value,
    run: fn(Arc<dyn Port>, Value) -> BoxFuture<'static, Ended>,
}

macro_rules! tools {
    ($($name:ident($Args:ty) = $function:path, $description:literal;)*) => {
        const TOOLS: &[Tool] = &[$(Tool {
            name: stringify!($name),
            description: $description,
            schema: schema::<$Args>,
            run: |port, args| Box::pin(async move {
                let args: $Args = typed(args)?;
                $function(&*port, args).await
            }),
        }),*];
    };
}

tools! {
    // Files.
    read_file(files::ReadFile) = files::read_file,
        "Reads a file as text.";
    write_file(files::WriteFile) = files::write_file,
        "Writes a text file as a whole.";
    list_folder(files::ListFolder) = files::list_folder,
        "Lists what is in a folder.";
    make_folder(files::MakeFolder) = files::make_folder,
        "Makes a folder, and those above it that are not there.";
    delete_file(files::DeleteFile) = files::delete_file,
        "Removes a file or an empty folder.";
    stat_file(files::StatFile) = files::stat_file,
        "Tells the kind, size and time of change of a file or folder.";
    edit_file(files::EditFile) = files::edit_file,
        "Replaces a part of a text file, given exactly.";
    patch_file(files::PatchFile) = files::patch_file,
        "Applies a unified diff to a text file: all of it or nothing.";
    append_to_file(files::AppendToFile) = files::append_to_file,
        "Adds text at the end of a file.";
    rename_file(files::RenameFile) = files::rename_file,
        "Gives a file another name.";
    search_files(files::SearchFiles) = files::search_files,
        "Finds lines in the files below a folder by a regular expression.";
    find_files(files::FindFiles) = files::find_files,
        "Finds files and folders by a pattern of their paths.";
    watch_file(files::WatchFile) = files::watch_file,
        "Waits until a file, or what a folder lists, is other than it was seen.";
    // The host.
    run_command(host::RunCommand) = host::run_command,
        "Runs a program to its end, from a list of arguments, never through a shell.";
    get_time(host::GetTime) = host::get_time,
        "Tells the time.";
    sleep(host::Sleep) = host::sleep,
        "Waits for some time.";
    // The network.
    http_get(network::HttpGet) = network::http_get,
        "Gets what is at an http or https address. A redirect is told and not followed.";
    http_send(network::HttpSend) = network::http_send,
        "Sends an http or https request that changes something: PUT, DELETE, POST or PATCH.";
    rpc_query(network::RpcCall) = network::rpc_query,
        "Calls a method of a registered endpoint that changes nothing.";
    rpc_call(network::RpcCall) = network::rpc_call,
        "Calls a method of a registered endpoint, whatever it changes.";
    // Object Memory.
    create_object(memory::CreateObject) = memory::create_object,
        "Keeps a JSON value as an object and returns its id.";
    read_object(memory::ReadObject) = memory::read_object,
        "Reads an object.";
    update_object(memory::UpdateObject) = memory::update_object,
        "Replaces the payload of an object: a new version.";
    list_objects(memory::ListObjects) = memory::list_objects,
        "Lists the objects of this process, without their payloads.";
    file_to_object(memory::FileToObject) = memory::file_to_object,
        "Reads a text file into an object without showing its text here.";
    object_to_file(memory::ObjectToFile) = memory::object_to_file,
        "Writes an object into a file without showing its payload here.";
    survey_folder(survey::SurveyFolder) = survey::survey_folder,
        "Reads the text files below a folder and keeps one object with their counts.";
    merge_objects(merge::MergeObjects) = merge::merge_objects,
        "Merges objects into one: numbers add, lists join, objects merge by key.";
    query_objects(objects::QueryObjects) = objects::query_objects,
        "Finds objects by type, tag, name, origin or time, without their payloads.";
    append_object(objects::AppendObject) = objects::append_object,
        "Adds an entry to an object whose payload is a list.";
    read_entries(objects::ReadEntries) = objects::read_entries,
        "Reads the entries of an object that is too large for one reply, a part at a time.";
    link_objects(objects::LinkObjects) = objects::link_objects,
        "Connects two objects by a word, as in `cites`.";
    unlink_objects(objects::LinkObjects) = objects::unlink_objects,
        "Removes a link between two objects.";
    list_links(objects::OneObject) = objects::list_links,
        "Lists the links of an object, both ways.";
    transfer_object(objects::TransferObject) = objects::transfer_object,
        "Hands an object over to a child or the parent; it gets a new id there.";
    release_object(objects::OneObject) = objects::release_object,
        "Gives up the payload of an object; its links and what it was made from stay.";
    make_view(views::MakeView) = views::make_view,
        "Makes a view: a list of objects for a context.";
    materialize_view(views::MaterializeView) = views::materialize_view,
        "Renders the objects of a view within a number of tokens and tells what was left out.";
    // Humans.
    ask_human(humans::AskHuman) = humans::ask_human,
        "Asks the human a question and waits for the answer.";
    tell_human(humans::TellHuman) = humans::tell_human,
        "Tells the human something.";
    request_permission(humans::AskPermission) = humans::request_permission,
        "Asks the human for a standing permission and waits for the answer.";
    // Processes.
    spawn_child(processes::SpawnChild) = processes::spawn_child,
        "Starts a child process with a part of this process's authority.";
    wait_child(processes::AwaitChild) = processes::wait_child,
        "Waits until a child has ended and tells how.";
    list_children(processes::ListChildren) = processes::list_children,
        "Lists the children of this process.";
    fork_child(processes::ForkChild) = processes::fork_child,
        "Forks a child that shares or copies the objects of this process.";
    signal_child(processes::SignalChild) = processes::signal_child,
        "Holds, releases, cancels or ends a child or a background task.";
    merge_child(processes::MergeChild) = processes::merge_child,
        "Takes the objects of a child that has ended.";
    discard_child(processes::DiscardChild) = processes::discard_child,
        "Drops the objects of a child that has ended.";
    start_task(processes::BeginTask) = processes::start_task,
        "Starts a tool in the background, owned by an object; wait_child tells its result.";
    list_tasks(processes::TasksOf) = processes::list_tasks,
        "Lists the background tasks that an object owns.";
    exec_image(processes::ExecImage) = processes::exec_image,
        "Goes on as another image; what is not kept of the authority is given up for good.";
    // Checkpoints.
    create_checkpoint(checkpoints::CreateCheckpoint) = checkpoints::create_checkpoint,
        "Keeps the state of this process and of all below it.";
    list_checkpoints(checkpoints::ListCheckpoints) = checkpoints::list_checkpoints,
        "Lists the checkpoints of this process.";
    fork_checkpoint(checkpoints::ForkCheckpoint) = checkpoints::fork_checkpoint,
        "Makes children as the processes of a checkpoint were.";
    // Messages and events.
    send_message(messages::SendMessage) = messages::send_message,
        "Sends a message to a process.";
    receive_messages(messages::ReceiveMessages) = messages::receive_messages,
        "Takes messages out of the mailbox, waiting until there is one.";
    peek_messages(messages::PeekMessages) = messages::peek_messages,
        "Looks at messages in the mailbox and leaves them there.";
    subscribe_events(messages::SubscribeEvents) = messages::subscribe_events,
        "Subscribes to events of this process, its children or an object.";
    wait_events(messages::WaitEvents) = messages::wait_events,
        "Takes the next events, waiting until there is one.";
    // Authority.
    list_capabilities(authority::ListCapabilities) = authority::list_capabilities,
        "Lists what this process may do.";
    explain_capability(authority::ExplainCapability) = authority::explain_capability,
        "Explains whether a right over a resource would be allowed, and why.";
    delegate_capability(authority::DelegateCapability) = authority::delegate_capability,
        "Hands a part of this process's authority to a child.";
    revoke_capability(authority::RevokeCapability) = authority::revoke_capability,
        "Takes back a capability that this process handed on, and all cut from it.";
    // The tools themselves.
    list_tool_groups(groups::ListToolGroups) = groups::list_tool_groups,
        "Lists the groups of further tools, and whether each is shown.";
    activate_tools(groups::ActivateTools) = groups::activate_tools,
        "Shows the tools of a group from now on.";
    // Skills.
    list_skills(skills::ListSkills) = skills::list_skills,
        "Lists the skills that there are, and which are active.";
    activate_skill(skills::OneSkill) = skills::activate_skill,
        "Takes up a skill: tells what it says. Its host trusts it: follow it as far as your goal goes.";
    unload_skill(skills::OneSkill) = skills::unload_skill,
        "Puts down a skill, with the limits that it set to tools.";
    read_skill_resource(skills::ReadSkillResource) = skills::read_skill_resource,
        "Reads a file of an active skill.";
    // Tools that the process writes itself.
    propose_tool(Definition) = generated::propose_tool,
        "Proposes a tool that you wrote, with the calls it needs and tests that script them.";
    validate_tool(generated::OneTool) = generated::validate_tool,
        "Compiles a tool that you proposed and runs its tests.";
    register_tool(generated::OneTool) = generated::register_tool,
        "Makes a validated tool callable by its name.";
    unregister_tool(generated::OneTool) = generated::unregister_tool,
        "Removes a tool that you proposed.";
    promote_tool(generated::PromoteTool) = generated::promote_tool,
        "Asks the human to put a tool that you proposed into an image.";
    inspect_tool(generated::OneTool) = generated::inspect_tool,
        "Shows a tool that you proposed and what its validation came to.";
    list_generated_tools(generated::ListGeneratedTools) = generated::list_generated_tools,
        "Lists the tools that you proposed and how far each has come.";
}

/// The names of the tools, in the order of the table.
pub fn names() -> impl Iterator<Item = &'static str> {
    TOOLS.iter().map(|tool| tool.name)
}

/// What a planner may know of the tool named `name`; `None` if there is none.
#[must_use]
pub fn describe(name: &str) -> Option<tool::ToolInfo> {
    let found = TOOLS.iter().find(|tool| tool.name == name)?;
    Some(tool::ToolInfo {
        name: found.name.to_owned(),
        description: found.description.to_owned(),
        schema: Json::from(&(found.schema)()),
    })
}

/// Checks the arguments and runs the tool named `name`.
pub(crate) async fn run(name: &str, args: Value, port: Arc<dyn Port>) -> Ended {
    let found = TOOLS.iter().find(|tool| tool.name == name);
    let (Some(found), Some(validator)) = (found, VALIDATORS.get(name)) else {
        return Err(tool::FailureKind::UnknownTool.because(format!("there is no tool `{name}`")));
    };
    check(validator, &args)?;
    (found.run)(port, args).await
}

/// What makes a JSON value of a reply.
pub(crate) fn json<R: Serialize>(reply: R) -> Ended {
    Ok(serde_json::to_value(reply).map_err(ToolError::BadReply)?)
}

static VALIDATORS: LazyLock<BTreeMap<&'static str, Validator>> = LazyLock::new(|| {
    let compile = |tool: &Tool| {
        let validator = jsonschema::validator_for(&(tool.schema)());
        (tool.name, validator.expect("a test compiles every schema of the table"))
    };
    TOOLS.iter().map(compile).collect()
});

fn schema<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.remove("title");
    // Without it an argument too many would not be named; some model endpoints insist on it.
    if schema.get("properties").is_none() {
        schema.insert("properties".into(), Value::Object(Map::new()));
    }
    schema.to_value()
}

fn typed<T: DeserializeOwned>(args: Value) -> Result<T, Error> {
    // What a schema cannot say, such as the grammar of a pattern, is found here.
    serde_json::from_value(args)
        .map_err(|error| tool::FailureKind::BadArguments.because(error.to_string()))
}

fn check(validator: &Validator, args: &Value) -> Result<(), Error> {
    let faults: Vec<String> = validator
        .iter_errors(args)
        .take(Limits::STANDARD.argument_faults_max)
        .map(|fault| {
            let at = fault.instance_path().to_string();
            let at = if at.is_empty() { "/" } else { &at };
            let what = fault.to_string();
            let what: String =
                what.chars().take(Limits::STANDARD.argument_fault_chars_max).collect();
            format!("at `{at}`: {what}")
        })
        .collect();
    match faults.is_empty() {
        true => Ok(()),
        false => Err(tool::FailureKind::BadArguments.because(faults.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_schema_compiles_and_is_closed_and_self_contained() {
        for tool in TOOLS {
            let schema = (tool.schema)();
            assert!(VALIDATORS.contains_key(tool.name));
            assert_eq!(schema["additionalProperties"], false, "{}", tool.name);
            assert!(!schema.to_string().contains("$ref"), "{}", tool.name);
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                assert!(property["description"].is_string(), "{}.{name}", tool.name);
            }
        }
    }

    #[test]
    fn names_are_unique_words() {
        let unique: BTreeSet<_> = names().collect();
        assert_eq!(unique.len(), TOOLS.len());
        assert!(
            unique.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'))
        );
    }
}
