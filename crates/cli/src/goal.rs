//! `libos run --goal`: a task from what is typed, with a model that plans.

use std::path::Path;

use agent_libos::{
    abi::{
        Effect, GrantSpec, Pattern, Resource, Right,
        process::{Budget, Launch},
    },
    package,
    task::{self, Loaded, Model, ModelContext},
};
use serde_json::{Map, Value};

use crate::{
    args::{GoalArgs, Granted},
    exit::{Exit, Failure},
    host::Host,
    skill::{self, Chosen},
};

/// The image of a goal.
const IMAGE_DEFAULT: &str = "coding";

/// The profile that is taken where several are set and none is named.
const PROFILE_DEFAULT: &str = "main";

/// What a workspace tells agents of itself. A model is shown it as data, if it may be read.
const GUIDE: &str = "AGENTS.md";

/// A profile to begin with, for whoever has none.
const EXAMPLE: &str = "\
[llm.main]
kind = \"openai\"                          # or openai-responses, anthropic
base_url = \"http://localhost:11434/v1\"   # any server that speaks it; left out, the vendor's own
model = \"qwen3-coder\"";

/// What a goal is launched with, and the skills that it may use.
pub(crate) fn loaded(
    host: &Host,
    goal: &str,
    args: &GoalArgs,
) -> Result<(Loaded, Vec<Chosen>), Failure> {
    if goal.trim().is_empty() {
        return Err(usage("bad_goal", "the goal is empty".into()));
    }
    let profile = profile(host, args.profile.as_deref())?;
    let image = args.image.as_deref().unwrap_or(IMAGE_DEFAULT);
    let image_of_file = match package::is_path(image) {
        true => Some(package::load(Path::new(image))?),
        false => None,
    };
    let workspace = task::workspace(args.workspace.as_deref().unwrap_or(Path::new(".")))?;
    let mut grants = Vec::new();
    for (effect, given) in
        [(Effect::Allow, &args.allow), (Effect::Ask, &args.ask), (Effect::Deny, &args.deny)]
    {
        for Granted { on, rights } in given {
            let rights = rights.iter().copied().collect();
            grants.push(GrantSpec { effect, ..GrantSpec::allow(on.clone(), rights) });
        }
    }
    // Whoever names a profile means it to be used; children as well, as far as they are given it.
    let on = Pattern::exact(&Resource::named("llm", &profile));
    let rights = [Right::Execute].into_iter().collect();
    grants.push(GrantSpec { delegable: 1, ..GrantSpec::allow(on, rights) });
    let skills = skill::chosen(Path::new(&workspace), &args.skill)?;
    grants.extend(skills.iter().map(Chosen::grant));
    let has_guide = Path::new(&workspace).join(GUIDE).is_file();
    let guides = has_guide.then(|| GUIDE.to_owned()).into_iter().collect();
    // What the model takes, less what it may answer.
    let profiles = host.settings.profiles();
    let tokens_max = profiles.get(&profile).and_then(|profile| {
        Some(profile.context_tokens?.saturating_sub(profile.output_tokens_max.into()))
    });
    let context = tokens_max.map(|_| ModelContext { tokens_max, ..ModelContext::default() });
    let profile = Some(profile);
    let skilled = !skills.is_empty();
    let planner = Model { profile, skills: skilled, guides, context, ..Model::default() };
    let launch = Launch {
        image: image_of_file.as_ref().map_or_else(|| image.to_owned(), |it| it.image.name.clone()),
        goal: goal.into(),
        workspace: Some(workspace),
        planner: planner.planner(),
        grants,
        budget: budget(&args.budget)?,
        manifest: None,
        schedule: None,
    };
    Ok((Loaded { launch, image: image_of_file }, skills))
}

fn usage(code: &'static str, message: String) -> Failure {
    Failure::new(Exit::Usage, code, message)
}

/// The profile that is named, or else the one that is meant.
fn profile(host: &Host, named: Option<&str>) -> Result<String, Failure> {
    let profiles = host.settings.profiles();
    let known: Vec<&str> = profiles.keys().map(String::as_str).collect();
    let found = match (named, &known[..]) {
        (Some(named), _) => named,
        (None, [only]) => only,
        (None, _) => PROFILE_DEFAULT,
    };
    match (known.contains(&found), &known[..]) {
        (true, _) => Ok(found.to_owned()),
        (false, []) => {
            let message = format!(
                "no model is set. Write a profile into libos.toml, here or in ~/.config/libos, for \
                 example\n\n{EXAMPLE}\n\ndocs/models.md says more."
            );
            Err(usage("no_profile", message))
        }
        (false, known) => {
            let known = known.join(", ");
            let message = match named {
                Some(named) => format!("there is no profile `{named}`; there are {known}"),
                None => format!("there are several profiles: choose with --profile among {known}"),
            };
            Err(usage("no_profile", message))
        }
    }
}

fn budget(written: &[String]) -> Result<Budget, Failure> {
    let mut limits = Map::new();
    for limit in written {
        let (kind, amount) = limit.split_once('=').unwrap_or((limit, ""));
        let value = amount.parse::<u64>().map_or_else(|_| amount.into(), Value::from);
        limits.insert(kind.to_owned(), value);
    }
    serde_json::from_value(limits.into())
        .map_err(|error| usage("bad_budget", format!("--budget: {error}")))
}
