//! Secrets of the host: where their values are, where they may go, and their removal from what
//! comes back.
//!
//! Only the host registers a secret. A value leaves this module for the header or the variable
//! that a call names and the host permits, at the last moment; it is in no message, no error and
//! no log. What a provider gives back passes a [`Scrubber`] that knows the value of every secret
//! that is in a file or a variable, and of each command that was asked.

mod scrub;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use libos_abi::SecretUse;
use tokio::io::AsyncReadExt as _;

pub(crate) use self::scrub::{Scrubber, Stream};
use crate::limits::{
    SECRET_BYTES_MAX, SECRET_BYTES_MIN, SECRET_COMMAND_MS_MAX, SECRET_USES_MAX, SECRET_VALUES_MAX,
};

/// The fewest different characters of a secret: what has fewer is part of ordinary texts.
const DIFFERENT_MIN: usize = 4;

/// Where the value of a secret is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file. Line ends at its end do not belong to it.
    File(PathBuf),
    /// In a variable of the runtime's environment.
    Variable(String),
    /// A program writes it, given with its arguments.
    Command(Vec<String>),
}

/// A secret as the host registers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretSpec {
    /// Where its value is.
    pub source: SecretSource,
    /// The hosts it may be sent to, as in `api.example.com` or `localhost:8080`.
    pub hosts: Vec<String>,
    /// The headers it may be sent in.
    pub headers: Vec<String>,
    /// The variables of programs it may be given as.
    pub variables: Vec<String>,
}

/// Why a secret cannot be used. It says nothing of the value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is none of this name.
    #[error("there is no secret `{0}`")]
    Unknown(String),
    /// The host did not say that it may go there.
    #[error("the host does not let the secret `{name}` go to {place}")]
    Place {
        /// The secret.
        name: String,
        /// Where it was to go.
        place: String,
    },
    /// Its value is not to be had.
    #[error("the secret `{0}` cannot be read")]
    Unreadable(String),
    /// Its value is none that could be found again in what comes back.
    #[error(
        "the secret `{0}` is no text of {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} ASCII characters, \
         {DIFFERENT_MIN} of them different"
    )]
    Unfit(String),
    /// There are more in one call than may be.
    #[error("one call uses {SECRET_USES_MAX} secrets at the most")]
    TooMany,
}

/// The secrets of a host. Clones are the same secrets.
#[derive(Clone, Default)]
pub struct Secrets(Arc<Registry>);

#[derive(Default)]
struct Registry {
    specs: BTreeMap<String, SecretSpec>,
    known: Mutex<Known>,
}

/// The values seen so far, oldest first. One that was replaced may still come back.
#[derive(Default)]
struct Known {
    looked: bool,
    values: Vec<(String, Arc<str>)>,
    scrubber: Arc<Scrubber>,
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.specs.keys()).finish()
    }
}

impl Secrets {
    /// These secrets, by name.
    #[must_use]
    pub fn new(specs: BTreeMap<String, SecretSpec>) -> Self {
        Self(Arc::new(Registry { specs, known: Mutex::default() }))
    }

    /// Every secret as it is registered.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &SecretSpec)> {
        self.0.specs.iter().map(|(name, spec)| (name.as_str(), spec))
    }

    /// Whether the value of a secret can be read and used.
    ///
    /// # Errors
    /// Why not.
    pub async fn check(&self, name: &str) -> Result<(), SecretError> {
        self.value(name).await.map(drop)
    }

    /// The values of the secrets in a request to `host`, each with the header it goes into.
    ///
    /// # Errors
    /// One of them is not there, or may not go there.
    pub async fn for_host(
        &self,
        host: &str,
        uses: &[SecretUse],
    ) -> Result<Vec<(String, String)>, SecretError> {
        let place = |secret: &SecretUse| format!("the header `{}` for {host}", secret.at);
        self.put(uses, place, |spec, at| {
            let is_header = spec.headers.iter().any(|header| header.eq_ignore_ascii_case(at));
            is_header && spec.hosts.iter().any(|it| it == host)
        })
        .await
    }

    /// The values of the secrets in a run of a program, each with its variable.
    pub(crate) async fn for_program(
        &self,
        uses: &[SecretUse],
    ) -> Result<Vec<(String, String)>, SecretError> {
        let place = |secret: &SecretUse| format!("the variable `{}` of a program", secret.at);
        self.put(uses, place, |spec, at| spec.variables.iter().any(|it| it == at)).await
    }

    async fn put(
        &self,
        uses: &[SecretUse],
        place: impl Fn(&SecretUse) -> String,
        may: impl Fn(&SecretSpec, &str) -> bool,
    ) -> Result<Vec<(String, String)>, SecretError> {
        if uses.len() > SECRET_USES_MAX {
            return Err(SecretError::TooMany);
        }
        // Everything is refused before any value is read.
        for secret in uses {
            let name = secret.name.clone();
            let spec = self.0.specs.get(&name).ok_or(SecretError::Unknown(name.clone()))?;
            if !may(spec, &secret.at) {
                return Err(SecretError::Place { name, place: place(secret) });
            }
        }
        let mut placed = Vec::with_capacity(uses.len());
        for secret in uses {
            let value = self.value(&secret.name).await?;
            let prefix = secret.prefix.as_deref().unwrap_or_default();
            placed.push((secret.at.clone(), format!("{prefix}{value}")));
        }
        Ok(placed)
    }

    /// A text without the values of secrets.
    #[must_use]
    pub fn scrub(&self, text: &str) -> String {
        self.scrubber().text(text).into_owned()
    }

    /// What finds every secret that is known.
    pub(crate) fn scrubber(&self) -> Arc<Scrubber> {
        let mut known = self.known();
        if !std::mem::replace(&mut known.looked, true) {
            for (name, spec) in &self.0.specs {
                let read = match &spec.source {
                    SecretSource::Command(_) => continue,
                    source => at_hand(source),
                };
                match read.as_deref().map(fit) {
                    Some(Some(value)) => known.add(name, value),
                    Some(None) => {
                        let why = SecretError::Unfit(name.clone());
                        tracing::warn!("{why}: it is neither used nor looked for");
                    }
                    None => {}
                }
            }
        }
        Arc::clone(&known.scrubber)
    }

    async fn value(&self, name: &str) -> Result<Arc<str>, SecretError> {
        let spec = self.0.specs.get(name);
        let spec = spec.ok_or_else(|| SecretError::Unknown(name.to_owned()))?;
        let text = match &spec.source {
            SecretSource::Command(argv) => written_by(argv).await,
            source => {
                let source = source.clone();
                let read = tokio::task::spawn_blocking(move || at_hand(&source)).await;
                read.ok().flatten()
            }
        };
        let text = text.ok_or_else(|| SecretError::Unreadable(name.to_owned()))?;
        let value = fit(&text).ok_or_else(|| SecretError::Unfit(name.to_owned()))?;
        // From now on whatever comes back is looked through for it.
        self.known().add(name, Arc::clone(&value));
        Ok(value)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, name: &str, value: Arc<str>) {
        if self.values.iter().any(|(_, known)| *known == value) {
            return;
        }
        if self.values.len() >= SECRET_VALUES_MAX {
            self.values.remove(0);
        }
        self.values.push((name.to_owned(), value));
        // The longest first: one may be the beginning of another.
        self.values.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        let pairs = self.values.iter().map(|(name, value)| (name.as_str(), &**value));
        self.scrubber = Arc::new(Scrubber::of(pairs));
    }
}

/// A value that can be found again, without the line ends behind it.
fn fit(text: &str) -> Option<Arc<str>> {
    let value = text.trim_end_matches(['\r', '\n']);
    let is_text = |byte: u8| byte.is_ascii_graphic() || b" \t\r\n".contains(&byte);
    let mut different: Vec<u8> = value.bytes().collect();
    different.sort_unstable();
    different.dedup();
    let fits = (SECRET_BYTES_MIN..=SECRET_BYTES_MAX).contains(&value.len())
        && value.bytes().all(is_text)
        && different.len() >= DIFFERENT_MIN;
    fits.then(|| value.into())
}

fn at_hand(source: &SecretSource) -> Option<String> {
    use std::io::Read as _;
    match source {
        SecretSource::File(path) => {
            let mut text = String::new();
            let file = std::fs::File::open(path).ok()?;
            file.take(2 * SECRET_BYTES_MAX as u64).read_to_string(&mut text).ok()?;
            Some(text)
        }
        SecretSource::Variable(name) => std::env::var(name).ok(),
        SecretSource::Command(_) => None,
    }
}

/// What a program of the host writes, if it ends well and in time.
async fn written_by(argv: &[String]) -> Option<String> {
    let (program, arguments) = argv.split_first()?;
    let mut child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .ok()?;
    let mut text = String::new();
    let out = child.stdout.take()?;
    let ended = async {
        let mut out = out.take(2 * SECRET_BYTES_MAX as u64);
        out.read_to_string(&mut text).await.ok()?;
        drop(out);
        child.wait().await.ok().filter(std::process::ExitStatus::success)
    };
    let limit = Duration::from_millis(SECRET_COMMAND_MS_MAX);
    tokio::time::timeout(limit, ended).await.ok().flatten()?;
    Some(text)
}
