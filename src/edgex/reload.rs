//! Live changes: the files of a running service are watched, and a change of `Writable` or of a section of the application is applied while it runs,
//! as a whole or not at all.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::configuration::{
    Configuration, ConfigurationOptions, EdgexVariables, InvalidConfiguration,
};
use super::service::pipelines_of;
use crate::files;
use crate::module::ModuleFile;
use crate::pipeline::Destinations;
use crate::runtime::assemble::PipelineParts;
use crate::runtime::exchange::ExchangeError;
use crate::runtime::handle::RuntimeHandle;
use crate::sdk::TypeName;

/// How often the files are looked at. A change is applied when they have not changed again after this time.
const LOOK: Duration = Duration::from_secs(1);
/// Larger files are not configurations.
const MAX_BYTES: u64 = 16 << 20;

/// The files of a service that are watched while it runs, with the flags and variables with which they are read.
#[derive(Debug, Clone)]
pub struct ConfigurationFiles {
    private: PathBuf,
    common: Option<PathBuf>,
    options: ConfigurationOptions,
    environment: EdgexVariables,
    /// What they contained when the service was configured.
    texts: Option<Texts>,
}

/// Why a change was not applied. Nothing has changed then.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("{path} cannot be read: {error}")]
    Unreadable { path: String, error: io::Error },
    #[error(transparent)]
    Invalid(#[from] InvalidConfiguration),
    #[error(
        "the default pipeline has another namespace; `Pipeline.Namespace` takes effect at the next start"
    )]
    Namespace,
    #[error(transparent)]
    Pipelines(#[from] crate::runtime::StartError),
    #[error(transparent)]
    Exchange(#[from] ExchangeError),
}

impl ConfigurationFiles {
    /// A private file and a common one, if there is one, read with these flags and variables.
    pub fn new(
        private: impl Into<PathBuf>,
        common: Option<PathBuf>,
        options: ConfigurationOptions,
        environment: EdgexVariables,
    ) -> Self {
        Self {
            private: private.into(),
            common,
            options,
            environment,
            texts: None,
        }
    }

    /// Sets the texts that the configuration was read from, so that it is not applied again.
    #[must_use]
    pub fn as_read(mut self, private: impl Into<String>, common: Option<String>) -> Self {
        let private = private.into();
        self.texts = Some(Texts { private, common });
        self
    }

    /// The texts now.
    fn read(&self) -> Result<Texts, Refused> {
        let common = self.common.as_deref().map(text_of);
        Ok(Texts {
            private: text_of(&self.private)?,
            common: common.transpose()?,
        })
    }
}

/// What the files contain.
#[derive(Clone, PartialEq, Eq)]
struct Texts {
    private: String,
    common: Option<String>,
}

/// The texts may contain secrets.
impl std::fmt::Debug for Texts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Texts")
    }
}

fn text_of(path: &Path) -> Result<String, Refused> {
    let bytes = files::read(path, MAX_BYTES);
    let text = bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|_| io::Error::other("it is not text in UTF-8"))
    });
    text.map_err(|error| Refused::Unreadable {
        path: path.display().to_string(),
        error,
    })
}

/// The configuration of a running service, which may change.
#[derive(Debug, Clone)]
pub(super) struct Current(Arc<watch::Sender<Arc<Configuration>>>);

impl Current {
    pub(super) fn new(configuration: Configuration) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(configuration))))
    }

    pub(super) fn get(&self) -> Arc<Configuration> {
        Arc::clone(&self.0.borrow())
    }

    /// Changes of it.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<Configuration>> {
        self.0.subscribe()
    }

    fn set(&self, configuration: Arc<Configuration>) {
        configuration.application().tell(&configuration);
        self.0.send_replace(configuration);
    }
}

/// Watches the files of a service, and applies their changes.
pub(super) struct Reload {
    files: ConfigurationFiles,
    current: Current,
    parts: PipelineParts,
    /// The functions of the pipelines.
    bound: Vec<TypeName>,
    /// What the files contained when the service was configured.
    started_with: Option<Texts>,
}

impl Reload {
    pub(super) fn new(
        files: ConfigurationFiles,
        current: Current,
        parts: PipelineParts,
        bound: Vec<TypeName>,
    ) -> Self {
        Self {
            started_with: files.texts.clone(),
            files,
            current,
            parts,
            bound,
        }
    }

    pub(super) async fn run(mut self, runtime: RuntimeHandle) {
        // What was changed between the start and now is applied, too.
        let mut applied = self.started_with.take();
        let mut seen = None;
        loop {
            sleep(LOOK).await;
            // Without a file, an editor may be replacing it.
            let Ok(texts) = self.looked().await else {
                continue;
            };
            let is_new = applied.as_ref() != Some(&texts);
            // Applied once it stays as it is.
            if !is_new || seen.as_ref() != Some(&texts) {
                seen = is_new.then_some(texts);
                continue;
            }
            seen = None;
            match self.apply(&runtime, &texts).await {
                Ok(()) => {
                    let private = self.files.private.display();
                    tracing::info!(%private, "a changed configuration is in effect");
                }
                Err(refused) => {
                    tracing::error!(
                        "a changed configuration is refused, and the earlier one stays: {refused}"
                    );
                }
            }
            applied = Some(texts);
        }
    }

    async fn looked(&self) -> Result<Texts, Refused> {
        let files = self.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read()).await;
        read.unwrap_or_else(|error| {
            Err(Refused::Unreadable {
                path: self.files.private.display().to_string(),
                error: io::Error::other(error),
            })
        })
    }

    async fn apply(&mut self, runtime: &RuntimeHandle, texts: &Texts) -> Result<(), Refused> {
        let before = self.current.get();
        let name = self.files.private.display().to_string();
        let common_name = self
            .files
            .common
            .as_deref()
            .map(|path| path.display().to_string());
        let common = common_name.as_deref().zip(texts.common.as_deref());
        let next = before.read_again(
            ModuleFile {
                name: &name,
                text: &texts.private,
            },
            common.map(|(name, text)| ModuleFile { name, text }),
            &self.files.options,
            &self.files.environment,
        )?;
        for warning in next.warnings() {
            if !before.warnings().contains(warning) {
                tracing::warn!("{warning}");
            }
        }
        let (old, new) = (before.pipelines.first(), next.pipelines.first());
        if let (Some(old), Some(new)) = (old, new)
            && old.namespace() != new.namespace()
        {
            return Err(Refused::Namespace);
        }
        let destinations = runtime.shared::<Destinations>().cloned();
        let destinations = destinations.unwrap_or_default();
        let (set, _) = pipelines_of(&next, &self.parts, &destinations)?;
        let names: Vec<TypeName> = set.names().cloned().collect();
        runtime
            .exchange(&self.bound, set.unpacking(&destinations))
            .await?;
        self.bound = names;
        self.current.set(Arc::new(next));
        Ok(())
    }
}
