//! The store of a service on the App Functions SDK: what waits there to be sent again is taken over here, and given back.
//!
//! `object` is what the SDK stores, `postgres` a store in its layout, `move_over` what happens in between. The service on the SDK must be stopped, and so must
//! the one here: both would send what waits.

mod move_over;
mod object;
mod postgres;
mod version;

pub use move_over::{Left, MovedObjects, export_stored, import_stored};
pub use object::{InvalidObject, StoredObject};
use uuid::Uuid;

use super::configuration::{Configuration, Database, EdgexVariables};
use crate::time::Timestamp;

/// Why a store cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The type of the database is none of those there are.
    #[error("`Database.Type` is `{0}`, an unsupported database type; known: {known}", known = KINDS.join(", "))]
    Kind(String),
    /// There are no credentials.
    #[error("the credentials of the database: {0}")]
    Credentials(String),
    /// The database refuses something, or does not answer.
    #[error("{kind} at {address}: {what}")]
    Database {
        /// The type of the database.
        kind: &'static str,
        /// Where it is.
        address: String,
        /// What failed.
        what: String,
    },
    /// The runtime does not start, or has not stored something.
    #[error("{0}")]
    Runtime(String),
}

/// The types of databases that this build knows.
const KINDS: &[&str] = &["postgres"];

/// The store of one service.
#[derive(Debug)]
pub struct ObjectStore {
    kind: Kind,
    service_key: String,
}

#[derive(Debug)]
enum Kind {
    Postgres(postgres::Table),
}

/// A stored object, and when it was stored.
#[derive(Debug)]
struct Found {
    id: Uuid,
    since: Option<Timestamp>,
    object: Result<StoredObject, String>,
    /// Where the list continues after it.
    place: String,
}

impl ObjectStore {
    /// Connects to the database that the configuration names, with the credentials in the secret of its type. `EDGEX_DBNAME` names the database, default
    /// `edgex_db`.
    ///
    /// # Errors
    /// If it cannot be reached, or there are no credentials.
    pub async fn open(
        configuration: &Configuration,
        variables: &EdgexVariables,
    ) -> Result<Self, StoreError> {
        let database = &configuration.settings.database;
        let service_key = configuration.service_key().to_owned();
        let kind = database.kind.trim().to_ascii_lowercase();
        match kind.as_str() {
            "postgres" => {
                let secret = |key: &str| {
                    let found = configuration.secrets.find("postgres", key);
                    let found = found.map_err(|err| StoreError::Credentials(err.to_string()))?;
                    found.ok_or_else(|| {
                        let text = format!("no source of secrets has `{key}` of `postgres`");
                        StoreError::Credentials(text)
                    })
                };
                let credentials = (secret("username")?, secret("password")?);
                let name = variables.get("EDGEX_DBNAME").map(String::as_str);
                let name = name.filter(|name| !name.is_empty()).unwrap_or("edgex_db");
                let table = postgres::Table::open(database, credentials, name, &service_key);
                let kind = Kind::Postgres(table.await?);
                Ok(Self { kind, service_key })
            }
            _ => Err(StoreError::Kind(database.kind.clone())),
        }
    }

    /// The objects after a place, oldest first, at most `limit`.
    async fn page(&self, after: Option<&str>, limit: u32) -> Result<Vec<Found>, StoreError> {
        match &self.kind {
            Kind::Postgres(table) => table.page(&self.service_key, after, limit).await,
        }
    }

    /// Stores objects; one that is there already stays as it is.
    async fn store(&mut self, objects: &[StoredObject]) -> Result<(), StoreError> {
        match &mut self.kind {
            Kind::Postgres(table) => table.store(objects).await,
        }
    }

    /// Removes objects.
    async fn remove(&self, ids: &[Uuid]) -> Result<(), StoreError> {
        match &self.kind {
            Kind::Postgres(table) => table.remove(ids).await,
        }
    }
}
