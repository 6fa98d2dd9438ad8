//! The operator's way into a store: through the runtime that holds it, or by opening it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use agent_libos::{
    Builder, Runtime, StartError,
    boundary::OnBoundary,
    broker::LabelRules,
    config::Settings,
    control::RemotePort,
    journal::{JournalError, SqliteJournal},
    label_file,
    port::Port,
};

use crate::{
    Compose,
    args::AnswerArgs,
    crash,
    exit::{Exit, Failure},
    progress::Progress,
};

/// How long a command waits for a store that is held by one who does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long it waits between two tries.
const PAUSE: Duration = Duration::from_millis(10);

/// What every command knows.
pub(crate) struct Host {
    pub(crate) store: PathBuf,
    pub(crate) json: bool,
    pub(crate) operator: String,
    pub(crate) settings: Settings,
    /// What the label file says.
    pub(crate) labels: LabelRules,
    pub(crate) compose: Compose,
    /// Who is told of every boundary that a runtime passes.
    pub(crate) observer: Option<OnBoundary>,
}

/// An open way in. The runtime, if it is ours, stops when this is dropped.
pub(crate) struct Access {
    pub(crate) port: Arc<dyn Port>,
    runtime: Option<Runtime>,
}

impl Access {
    /// One that looks through a port of its own.
    pub(crate) fn of(port: Arc<dyn Port>) -> Self {
        Self { port, runtime: None }
    }

    /// Whether a runtime holds the store, so that what is said takes effect now.
    pub(crate) fn is_live(&self) -> bool {
        self.runtime.is_none()
    }

    /// Closes it; everything said is on disk.
    pub(crate) fn close(self) -> Result<(), Failure> {
        drop(self.port);
        if let Some(runtime) = self.runtime {
            runtime.shutdown()?;
        }
        Ok(())
    }
}

impl Host {
    /// What the settings come to.
    pub(crate) fn of(settings: Settings, compose: Compose) -> Result<Self, Failure> {
        Ok(Self {
            store: settings.store(),
            json: settings.json(),
            operator: settings.operator(),
            labels: settings.labels().map(label_file::load).transpose()?.unwrap_or_default(),
            settings,
            compose,
            observer: crash::observer()?,
        })
    }

    /// A runtime that runs processes, as it is set.
    pub(crate) fn builder(&self) -> Builder {
        let builder = self.settings.builder().store(&self.store).labels(self.labels.clone());
        let builder = self.settings.labels().into_iter().fold(builder, Builder::keep_out_of);
        (self.compose)(self.observer.iter().cloned().fold(builder, Builder::on_boundary))
    }

    /// The approvals file that a command names, or else the settings.
    pub(crate) fn approvals<'a>(&'a self, args: &'a AnswerArgs) -> Option<&'a Path> {
        args.approvals.as_deref().or_else(|| self.settings.approvals())
    }

    /// Tells, once it takes long, what takes so long.
    pub(crate) fn progress(&self, what: &str) -> Progress {
        Progress::new(self.json, what)
    }

    /// Fails unless there is a store.
    pub(crate) fn must_exist(&self) -> Result<(), Failure> {
        if self.store.join("journal.db").exists() {
            return Ok(());
        }
        let message = format!(
            "there is no store at {}; make one with `libos init` or `libos run TASK.toml`, or name \
             it with --store DIR",
            self.store.display()
        );
        Err(Failure::new(Exit::Store, "no_store", message))
    }

    /// Talks to the runtime that holds the store, or opens it for this command alone.
    pub(crate) async fn access(&self) -> Result<Access, Failure> {
        self.must_exist()?;
        let deadline = Instant::now() + PATIENCE;
        let _progress = self.progress("reading the store");
        loop {
            if let Some(port) = RemotePort::find(&self.store, &self.operator).await {
                return Ok(Access { port: Arc::new(port), runtime: None });
            }
            match self.builder().host_calls_only().start() {
                Ok(runtime) => {
                    return Ok(Access {
                        port: runtime.port(&self.operator),
                        runtime: Some(runtime),
                    });
                }
                // A runtime that begins or ends, or another command like this one.
                Err(StartError::Journal(JournalError::Locked { .. }))
                    if Instant::now() < deadline =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The journal for reading, whoever holds the store.
    pub(crate) fn journal(&self) -> Result<SqliteJournal, Failure> {
        self.must_exist()?;
        Ok(SqliteJournal::open_read_only(&self.store)?)
    }
}
