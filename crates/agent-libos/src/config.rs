//! `libos.toml`: what an operator sets once instead of saying it with every command.
//!
//! Owns the document, its defaults, and how its layers lie one over the other. It finds no file
//! and reads no environment: whoever stands before the operator hands the layers in, the lowest
//! first. Its JSON schema is published as `docs/config.schema.json`.

mod file;
mod llm;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    num::NonZeroU32,
    path::{Path, PathBuf},
};

use libos_llm::Profile;
use libos_providers::{
    EndpointSpec, HttpConfig, Layer as ProgramLayer, MethodSpec, SecretSource, Secrets, ShellConfig,
};
use libos_scheduler::{EarliestDeadline, Policy, RoundRobin, Scheduler, WeightedFair};
use schemars::schema_for;
use serde::Serialize;
use serde_json::Value as Schema;
use toml::Value;

pub use self::file::{
    ConfigFile, ConfinementLayer, EndpointSection, HttpSection, LimitsSection, MethodClass,
    MethodSection, NetworkText, PolicyName, SchedulerSection, SecretName, SecretSection,
    ShellSection,
};
pub use self::llm::{LlmCassetteMode, LlmKind, LlmPrices, LlmSection};
use crate::{Builder, Limits, task::TaskError};

/// What the variables of the environment that set a key begin with.
pub const VARIABLE_PREFIX: &str = "LIBOS_";

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file of it.
    #[error(transparent)]
    File(#[from] TaskError),
    /// A variable of the environment.
    #[error("{name}: {message}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong with its value.
        message: String,
    },
}

/// Where a value was set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// Nowhere: it is built in.
    Default,
    /// In this file.
    File(PathBuf),
    /// In this variable of the environment.
    Variable(String),
    /// By this flag of the command.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// A key that can be set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Key {
    /// Its name, as in `limits.running_max`.
    pub name: String,
    /// What it is.
    pub about: String,
}

impl Key {
    /// The variable of the environment that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        VARIABLE_PREFIX.to_owned() + &self.name.to_uppercase().replace('.', "_")
    }
}

/// Every key, in the order of their names; those of a section behind it.
#[must_use]
pub fn keys() -> Vec<Key> {
    let schema = Schema::from(schema_for!(ConfigFile));
    let mut keys = Vec::new();
    collect(&schema, &schema, "", &mut keys);
    keys
}

fn collect(root: &Schema, of: &Schema, prefix: &str, keys: &mut Vec<Key>) {
    for (name, key) in of["properties"].as_object().into_iter().flatten() {
        let name = format!("{prefix}{name}");
        let section = key["$ref"].as_str().and_then(|at| root.pointer(at.trim_start_matches('#')));
        match section {
            Some(section) => collect(root, section, &format!("{name}."), keys),
            None => {
                let about = key["description"].as_str().unwrap_or_default().replace('\n', " ");
                keys.push(Key { name, about });
            }
        }
    }
}

/// What one place sets, by the names of the keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layer(BTreeMap<String, Setting>);

/// A value and where it was set.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Setting {
    /// The value.
    pub value: Value,
    /// Where it was set.
    pub from: Origin,
}

// A float is no value of any key.
impl Eq for Setting {}

impl Layer {
    /// The file at `path`. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`TaskError`], which names the file and the line.
    pub fn file(path: &Path) -> Result<Self, TaskError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| TaskError::Read { path: path.to_owned(), source })?;
        let mut file: ConfigFile = toml::from_str(&text).map_err(|error| TaskError::Invalid {
            path: path.to_owned(),
            message: error.to_string(),
        })?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let named =
            [&mut file.store, &mut file.approvals, &mut file.labels, &mut file.http.ca_file];
        let secrets = file.secrets.values_mut().filter_map(|secret| match &mut secret.0.source {
            SecretSource::File(path) => Some(path),
            _ => None,
        });
        let cassettes = file.llm.values_mut().filter_map(|profile| profile.cassette.as_mut());
        for named in named.into_iter().flatten().chain(secrets).chain(cassettes) {
            *named = folder.join(&*named);
        }
        file.mounts.values_mut().for_each(|mount| mount.below(folder));
        for named in file.shell.readable.iter_mut().flatten() {
            *named = folder.join(&*named);
        }
        Ok(Self::of(&file, &Origin::File(path.to_owned())))
    }

    /// What the variables of the environment set. Those that set no key are passed over.
    ///
    /// # Errors
    /// [`ConfigError::Variable`] for a value that its key does not take.
    pub fn environment(
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let keys = keys();
        let mut layer = Self::default();
        for (name, text) in variables {
            if let Some(key) = keys.iter().find(|key| key.variable() == name) {
                let value = value(&key.name, &text)
                    .map_err(|message| ConfigError::Variable { name: name.clone(), message })?;
                let from = Origin::Variable(name);
                layer.0.insert(key.name.clone(), Setting { value, from });
            }
        }
        Ok(layer)
    }

    /// What a document sets that came from one place.
    #[must_use]
    pub fn of(file: &ConfigFile, from: &Origin) -> Self {
        let mut layer = Self::default();
        let table = Value::try_from(file).expect("a document of texts and numbers is TOML");
        flatten("", table, &mut |name, value| {
            layer.0.insert(name, Setting { value, from: from.clone() });
        });
        layer
    }

    /// Sets a key by a flag.
    #[must_use]
    pub fn flag(mut self, key: &str, value: Option<Value>, flag: &'static str) -> Self {
        let from = Origin::Flag(flag);
        self.0.extend(value.map(|value| (key.to_owned(), Setting { value, from })));
        self
    }
}

/// What one setting is. A secret, an endpoint and a profile is one: no layer changes where
/// that of another goes.
fn flatten(prefix: &str, value: Value, each: &mut impl FnMut(String, Value)) {
    match value {
        Value::Table(table) if !WHOLE.iter().any(|whole| prefix.starts_with(whole)) => {
            let dot = if prefix.is_empty() { "" } else { "." };
            for (name, value) in table {
                flatten(&format!("{prefix}{dot}{name}"), value, each);
            }
        }
        value => each(prefix.to_owned(), value),
    }
}

/// What the keys of secrets, endpoints and profiles begin with.
const WHOLE: [&str; 3] = ["secrets.", "rpc.", "llm."];

/// The document that sets one key.
fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.')
        .fold(value, |value, name| Value::Table(toml::Table::from_iter([(name.to_owned(), value)])))
}

/// The value of a key that a text stands for: the text itself, or the number or word in it.
fn value(key: &str, text: &str) -> Result<Value, String> {
    let check = |value: Value| match nested(key, value.clone()).try_into::<ConfigFile>() {
        Ok(_) => Ok(value),
        Err(error) => Err(error.message().to_owned()),
    };
    let as_text = check(Value::String(text.to_owned()));
    let literal = toml::from_str::<toml::Table>(&format!("v = {text}"));
    match (as_text, literal.ok().and_then(|mut table| table.remove("v"))) {
        (Err(_), Some(literal)) => check(literal),
        (as_text, _) => as_text,
    }
}

/// What holds: every layer over the one below it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    values: Layer,
    file: ConfigFile,
}

impl Settings {
    /// The built-in values under these layers, the lowest first.
    #[must_use]
    pub fn of(layers: impl IntoIterator<Item = Layer>) -> Self {
        let mut values = Layer::of(&ConfigFile::built_in(), &Origin::Default);
        layers.into_iter().for_each(|layer| values.0.extend(layer.0));
        let mut table = toml::Table::new();
        for (name, setting) in &values.0 {
            let (section, name) = name.rsplit_once('.').unwrap_or(("", name));
            let into = match section {
                "" => &mut table,
                section => {
                    match table.entry(section).or_insert_with(|| toml::Table::new().into()) {
                        Value::Table(into) => into,
                        _ => continue,
                    }
                }
            };
            into.insert(name.to_owned(), setting.value.clone());
        }
        let file = table.try_into().expect("every layer was checked when it was made");
        Self { values, file }
    }

    /// Every key that has a value, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.values.0.iter().map(|(name, setting)| (name.as_str(), setting))
    }

    /// The folder of the store.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.file.store.clone().unwrap_or_default()
    }

    /// The operator's name.
    #[must_use]
    pub fn operator(&self) -> String {
        self.file.operator.clone().unwrap_or_default()
    }

    /// Whether commands print JSON.
    #[must_use]
    pub fn json(&self) -> bool {
        self.file.json.unwrap_or_default()
    }

    /// The approvals file.
    #[must_use]
    pub fn approvals(&self) -> Option<&Path> {
        self.file.approvals.as_deref()
    }

    /// The label file.
    #[must_use]
    pub fn labels(&self) -> Option<&Path> {
        self.file.labels.as_deref()
    }

    /// The limits of the edge.
    #[must_use]
    pub fn limits(&self) -> Limits {
        let set = &self.file.limits;
        let built_in = Limits::default();
        let number = |set: Option<NonZeroU32>, built_in| match set {
            Some(number) => number.get() as usize,
            None => built_in,
        };
        let records =
            |set: Option<NonZeroU32>, built_in| set.map_or(built_in, |set| set.get().into());
        Limits {
            running_max: number(set.running_max, built_in.running_max),
            batch_messages_max: number(set.batch_messages_max, built_in.batch_messages_max),
            lazy_flush_ms: set.lazy_flush_ms.unwrap_or(built_in.lazy_flush_ms),
            busy_flush_ms: set.busy_flush_ms.unwrap_or(built_in.busy_flush_ms),
            gather_us: set.gather_us.unwrap_or(built_in.gather_us),
            store_retry_ms: set.store_retry_ms.unwrap_or(built_in.store_retry_ms),
            snapshot_records: records(set.snapshot_records, built_in.snapshot_records),
            snapshot_idle_records: records(
                set.snapshot_idle_records,
                built_in.snapshot_idle_records,
            ),
            ..built_in
        }
    }

    /// The scheduling policy.
    #[must_use]
    pub fn policy(&self) -> PolicyName {
        self.file.scheduler.policy.unwrap_or(PolicyName::RoundRobin)
    }

    /// The layers of the confinement of programs that this host may lack.
    #[must_use]
    pub fn may_lack(&self) -> BTreeSet<ProgramLayer> {
        let set = self.file.shell.may_lack.iter().flatten();
        set.map(|layer| ProgramLayer::from(*layer)).collect()
    }

    /// What programs get from the host.
    #[must_use]
    pub fn programs(&self) -> ShellConfig {
        let mut programs = ShellConfig::from_host();
        programs.readable.extend(self.file.shell.readable.iter().flatten().cloned());
        ShellConfig { may_lack: self.may_lack(), ..programs }
    }

    /// The secrets of the host.
    #[must_use]
    pub fn secrets(&self) -> Secrets {
        let specs = self.file.secrets.iter();
        Secrets::new(specs.map(|(name, it)| (name.as_str().to_owned(), it.0.clone())).collect())
    }

    /// What requests over the network may reach, with these secrets.
    #[must_use]
    pub fn http(&self, secrets: Secrets) -> HttpConfig {
        let HttpSection { networks, ca_file } = self.file.http.clone();
        let networks = networks.unwrap_or_default().into_iter().map(|it| it.0).collect();
        HttpConfig { networks, ca_file, secrets, ..HttpConfig::default() }
    }

    /// The profiles of models, by name.
    #[must_use]
    pub fn profiles(&self) -> BTreeMap<String, Profile> {
        let profiles = self.file.llm.iter();
        profiles.map(|(name, it)| (name.as_str().to_owned(), it.profile())).collect()
    }

    /// The endpoints of JSON-RPC.
    #[must_use]
    pub fn endpoints(&self) -> BTreeMap<String, EndpointSpec> {
        let method = |(name, it): (&String, &MethodSection)| {
            let is_query = it.class == MethodClass::Read;
            let (params, result) = (it.params.clone(), it.result.clone());
            (name.clone(), MethodSpec { is_query, params, result })
        };
        let endpoint = |it: &EndpointSection| EndpointSpec {
            url: it.url.clone(),
            secret: it.secret.clone(),
            methods: it.methods.iter().map(method).collect(),
        };
        let endpoints = self.file.rpc.iter();
        endpoints.map(|(name, it)| (name.as_str().to_owned(), endpoint(it))).collect()
    }

    /// A runtime as it is set: its store, limits, policy, programs, network, endpoints, secrets and
    /// models. Processes are kept out of the files that hold secrets, or what a model answered.
    #[must_use]
    pub fn builder(&self) -> Builder {
        let policy: Box<dyn Policy> = match self.policy() {
            PolicyName::RoundRobin => Box::new(RoundRobin::default()),
            PolicyName::WeightedFair => Box::new(WeightedFair::default()),
            PolicyName::EarliestDeadline => Box::new(EarliestDeadline::default()),
        };
        let secrets = self.secrets();
        let files = self.file.secrets.values().filter_map(|secret| match &secret.0.source {
            SecretSource::File(path) => Some(path),
            _ => None,
        });
        let mounts = self.file.mounts.iter();
        let builder = mounts
            .fold(Builder::new(), |builder, (name, folder)| builder.mount(name, folder.0.clone()));
        let builder = builder
            .store(self.store())
            .limits(self.limits())
            .programs(self.programs())
            .component(Box::new(Scheduler::new(policy)))
            .http(self.http(secrets))
            .endpoints(self.endpoints())
            .models(self.profiles());
        let cassettes = self.file.llm.values().filter_map(|profile| profile.cassette.as_ref());
        files.chain(cassettes).fold(builder, Builder::keep_out_of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts::Mounted;

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("libos.toml");
        std::fs::write(&path, text).expect("written");
        (dir, path)
    }

    fn variables(pairs: &[(&str, &str)]) -> Result<Layer, ConfigError> {
        Layer::environment(pairs.iter().map(|(name, text)| ((*name).into(), (*text).into())))
    }

    #[test]
    fn without_layers_the_built_in_values_hold_and_every_key_is_known() {
        let settings = Settings::of([]);
        assert_eq!(settings.limits(), Limits::default());
        assert_eq!(settings.file, ConfigFile::built_in());
        let known: Vec<String> = keys().into_iter().map(|key| key.name).collect();
        let mut set: Vec<&str> = settings.iter().map(|(name, _)| name).collect();
        set.extend(["approvals", "labels", "http.ca_file", "llm", "mounts", "rpc", "secrets"]);
        set.sort_unstable();
        let mut sorted = known.clone();
        sorted.sort();
        assert_eq!(sorted, set);
        assert!(keys().iter().all(|key| !key.about.is_empty()));
    }

    #[test]
    fn a_layer_lies_over_those_below_it_and_each_value_tells_where_it_was_set() {
        let (_user_dir, user) = file(
            "operator = \"ann\"\njson = true\n[limits]\nrunning_max = 3\nlazy_flush_ms = 20\n",
        );
        let (_project_dir, project) = file(
            "store = \"s\"\n[scheduler]\npolicy = \"weighted_fair\"\n[limits]\nrunning_max = 4",
        );
        let flags = Layer::default().flag("store", Some("elsewhere".into()), "--store");
        let settings = Settings::of([
            Layer::file(&user).expect("a file"),
            Layer::file(&project).expect("a file"),
            variables(&[("LIBOS_LIMITS_RUNNING_MAX", "5"), ("LIBOS_OPERATOR", "7"), ("HOME", "x")])
                .expect("variables"),
            flags,
        ]);
        assert_eq!(settings.store(), Path::new("elsewhere"));
        assert_eq!(settings.operator(), "7");
        assert!(settings.json());
        assert_eq!(settings.policy(), PolicyName::WeightedFair);
        let limits = settings.limits();
        assert_eq!((limits.running_max, limits.lazy_flush_ms, limits.busy_flush_ms), (5, 20, 100));
        let from: BTreeMap<&str, String> =
            settings.iter().map(|(name, setting)| (name, setting.from.to_string())).collect();
        assert_eq!(from["store"], "--store");
        assert_eq!(from["json"], user.display().to_string());
        assert_eq!(from["scheduler.policy"], project.display().to_string());
        assert_eq!(from["limits.running_max"], "LIBOS_LIMITS_RUNNING_MAX");
        assert_eq!(from["limits.busy_flush_ms"], "default");
    }

    #[test]
    fn paths_of_a_file_are_relative_to_it() {
        let (dir, path) = file("store = \"s\"\napprovals = \"/a/b.toml\"");
        let settings = Settings::of([Layer::file(&path).expect("a file")]);
        assert_eq!(settings.store(), dir.path().join("s"));
        assert_eq!(settings.approvals(), Some(Path::new("/a/b.toml")));
    }

    #[test]
    fn mounts_lie_over_each_other_by_name() {
        let (user_dir, user) = file("[mounts]\ndata = \"d\"\ndocs = \"/usr/share/doc:ro\"");
        let (project_dir, project) = file("mounts = { data = \"e:ro\" }");
        let settings = Settings::of([
            Layer::file(&user).expect("a file"),
            Layer::file(&project).expect("a file"),
        ]);
        let data = project_dir.path().join("e");
        assert_ne!(user_dir.path(), project_dir.path());
        let mounts: Vec<_> = settings.file.mounts.iter().map(|(n, it)| (&**n, &it.0)).collect();
        let docs = Mounted::read_only("/usr/share/doc");
        assert_eq!(mounts, [("data", &Mounted::read_only(data)), ("docs", &docs)]);
        let from = settings.iter().find(|(name, _)| *name == "mounts.data").expect("it is set");
        assert_eq!(from.1.from, Origin::File(project));
        for text in ["[mounts]\nworkspace = \"d\"", "[mounts]\n\"A b\" = \"d\"", "[mounts]\na = 1"]
        {
            let (_dir, path) = file(text);
            assert!(Layer::file(&path).is_err(), "{text}");
        }
    }

    #[test]
    fn a_secret_is_one_setting_that_no_other_layer_adds_to() {
        let (user_dir, user) = file(
            "[secrets.key]\nfile = \"key\"\nhosts = [\"api.example.com\"]\n[secrets.own]\n\
             variable = \"OWN\"\nvariables = [\"OWN\"]",
        );
        let (_project_dir, project) =
            file("[secrets.key]\nvariable = \"KEY\"\nhosts = [\"elsewhere.example:8443\"]");
        let user = Layer::file(&user).expect("a file");
        let settings = Settings::of([user.clone()]);
        let named = |settings: &Settings, name: &str| {
            let secrets = settings.secrets();
            let found = secrets.iter().find(|(it, _)| *it == name).map(|(_, spec)| spec.clone());
            found.expect("a secret")
        };
        let key = named(&settings, "key");
        assert_eq!(key.source, SecretSource::File(user_dir.path().join("key")));
        assert_eq!(
            (key.hosts, key.headers),
            (vec!["api.example.com".to_owned()], vec!["authorization".to_owned()])
        );
        let settings = Settings::of([user, Layer::file(&project).expect("a file")]);
        let key = named(&settings, "key");
        assert_eq!(key.source, SecretSource::Variable("KEY".into()));
        assert_eq!(key.hosts, ["elsewhere.example:8443"]);
        assert_eq!(named(&settings, "own").variables, ["OWN"]);
    }

    #[test]
    fn what_is_no_key_or_no_value_is_refused_with_its_place() {
        for (text, line, what) in [
            ("json = true\nstoer = \"x\"", 2, "stoer"),
            ("[limits]\nrunning = 1", 2, "running"),
            ("[limits]\nrunning_max = 0", 2, "nonzero"),
            ("\n[limits]\nlazy_flush_ms = 1001", 3, "at most 1000"),
            ("[limits]\nbusy_flush_ms = 60001", 2, "at most 60000"),
            ("[scheduler]\npolicy = \"fifo\"", 2, "fifo"),
            ("[http]\nnetworks = [\"10.0.0.1/8\"]", 2, "no network"),
            ("[secrets.A]\nfile = \"x\"\nhosts = [\"a.b\"]", 1, "small letters"),
            ("[secrets.a]\nhosts = [\"a.b\"]", 1, "one of `file`"),
            ("[secrets.a]\nfile = \"x\"\nvariable = \"X\"\nhosts = [\"a.b\"]", 1, "one of"),
            ("[secrets.a]\nfile = \"x\"", 1, "goes somewhere"),
            ("[llm.a]\nkind = \"x\"\nmodel = \"m\"", 2, "openai"),
            ("[llm.a]\nkind = \"openai\"", 1, "model"),
            ("[llm.a]\nkind = \"openai\"\nmodel = \"m\"\nbase_url = \"ftp://a\"", 4, "URL"),
            ("[secrets.a]\nfile = \"x\"\nhosts = [\"https://a.b\"]", 1, "with its port"),
            ("[secrets.a]\nfile = \"x\"\nvariables = [\"LD_PRELOAD\"]", 1, "is a word"),
            ("[secrets.a]\nfile = \"x\"\nvalue = \"x\"\nhosts = [\"a.b\"]", 3, "value"),
        ] {
            let (_dir, path) = file(text);
            let error = Layer::file(&path).expect_err(text).to_string();
            assert!(error.contains(&path.display().to_string()), "{error}");
            assert!(error.contains(&format!("line {line},")) && error.contains(what), "{error}");
        }
        for (name, text) in [
            ("LIBOS_JSON", "perhaps"),
            ("LIBOS_LIMITS_RUNNING_MAX", "many"),
            ("LIBOS_LIMITS_RUNNING_MAX", "0"),
            ("LIBOS_SCHEDULER_POLICY", "fifo"),
        ] {
            let error = variables(&[(name, text)]).expect_err(text).to_string();
            assert!(error.starts_with(name), "{error}");
        }
    }
}
