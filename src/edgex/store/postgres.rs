//! The store in Postgres: a table `store` in a schema with the name of the service.

use std::error::Error as _;
use std::fmt::Write as _;

use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config, NoTls};
use uuid::Uuid;

use super::{Database, Found, StoreError, StoredObject};
use crate::time::Timestamp;

/// The table of one service.
#[derive(Debug)]
pub(super) struct Table {
    client: Client,
    connection: JoinHandle<()>,
    address: String,
    schema: String,
}

impl Drop for Table {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Table {
    pub(super) async fn open(
        database: &Database,
        (user, password): (String, String),
        name: &str,
        service_key: &str,
    ) -> Result<Self, StoreError> {
        let Database {
            host,
            port,
            timeout,
            ..
        } = database;
        let mut config = Config::new();
        config.host(host).port(*port).dbname(name).user(&user);
        config.password(password).connect_timeout(*timeout);
        let address = format!("{host}:{port}/{name}");
        let connected = config.connect(NoTls).await;
        let (client, connection) = connected.map_err(|err| failed(&address, &err))?;
        let connection = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::warn!(%error, "the connection to the database has ended");
            }
        });
        Ok(Self {
            client,
            connection,
            address,
            schema: quoted(service_key),
        })
    }

    fn failed(&self, err: &tokio_postgres::Error) -> StoreError {
        failed(&self.address, err)
    }

    /// Whether the service has stored anything since it was installed.
    async fn exists(&self) -> Result<bool, StoreError> {
        let table = format!("{}.store", self.schema);
        let found = self
            .client
            .query_one("SELECT to_regclass($1::text) IS NOT NULL", &[&table])
            .await;
        let found = found.map_err(|err| self.failed(&err))?;
        found.try_get(0).map_err(|err| self.failed(&err))
    }

    pub(super) async fn page(
        &self,
        service_key: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Found>, StoreError> {
        if !self.exists().await? {
            return Ok(Vec::new());
        }
        // A place is a time and an id.
        let (time, id) = after
            .and_then(|after| after.split_once('/'))
            .unwrap_or(("-infinity", "00000000-0000-0000-0000-000000000000"));
        let statement = format!(
            "SELECT id::text, created::text, (extract(epoch FROM created::timestamptz) * 1000)::bigint, content::text \
             FROM {}.store WHERE content @> $1::text::jsonb \
             AND (created, id) > ($2::text::timestamp, $3::text::uuid) ORDER BY created, id LIMIT $4::bigint",
            self.schema
        );
        let of_service = serde_json::json!({"appServiceKey": service_key}).to_string();
        let rows = self
            .client
            .query(&statement, &[&of_service, &time, &id, &i64::from(limit)])
            .await;
        let rows = rows.map_err(|err| self.failed(&err))?;
        let found = rows.iter().map(|row| {
            let (id, created): (String, String) = (row.try_get(0)?, row.try_get(1)?);
            let (since, content): (i64, String) = (row.try_get(2)?, row.try_get(3)?);
            Ok(Found {
                place: format!("{created}/{id}"),
                id: Uuid::try_parse(&id).unwrap_or_default(),
                since: u64::try_from(since).ok().map(Timestamp::from_millis),
                object: serde_json::from_str(&content).map_err(|err| err.to_string()),
            })
        });
        let found: Result<Vec<Found>, tokio_postgres::Error> = found.collect();
        found.map_err(|err| self.failed(&err))
    }

    pub(super) async fn store(&mut self, objects: &[StoredObject]) -> Result<(), StoreError> {
        let schema = &self.schema;
        let tables = format!(
            "CREATE SCHEMA IF NOT EXISTS {schema}; CREATE TABLE IF NOT EXISTS {schema}.store \
             (id UUID PRIMARY KEY, created timestamp NOT NULL DEFAULT now(), content JSONB NOT NULL);"
        );
        let insert = format!(
            "INSERT INTO {schema}.store (id, content) VALUES ($1::text::uuid, $2::text::jsonb) ON CONFLICT (id) DO NOTHING"
        );
        let address = self.address.clone();
        let stored = async {
            let transaction = self.client.transaction().await?;
            transaction.batch_execute(&tables).await?;
            for object in objects {
                let content = serde_json::to_string(object).unwrap_or_default();
                transaction
                    .execute(&insert, &[&object.id, &content])
                    .await?;
            }
            transaction.commit().await
        };
        stored.await.map_err(|err| failed(&address, &err))
    }

    pub(super) async fn remove(&self, ids: &[Uuid]) -> Result<(), StoreError> {
        let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
        let statement = format!(
            "DELETE FROM {}.store WHERE id = ANY($1::text[]::uuid[])",
            self.schema
        );
        let removed = self.client.execute(&statement, &[&ids]).await;
        removed.map_err(|err| self.failed(&err)).map(|_| ())
    }
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// With all causes: the first text of the client says little.
fn failed(address: &str, err: &tokio_postgres::Error) -> StoreError {
    let mut what = err.to_string();
    let mut cause = err.source();
    while let Some(err) = cause {
        let _ = write!(what, ": {err}"); // a text takes everything
        cause = err.source();
    }
    StoreError::Database {
        kind: "postgres",
        address: address.to_owned(),
        what,
    }
}
