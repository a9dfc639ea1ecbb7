//! The schema: which migrations there are, which are applied, and applying the rest.

use deadpool_postgres::ClientWrapper;
use refinery::Migration;
use tokio_postgres::{Client, Error};

use super::{OpenError, Options, connect::PostgresConnector, lock, url};
use crate::store::{
    MigrationStatus, PlannedFile,
    migration_plan::{Lock, plan},
};

mod embedded {
    refinery::embed_migrations!("migrations/postgres");
}

/// Says how far a store's schema is, without making or changing anything.
pub async fn migrate_status(options: &Options) -> Result<MigrationStatus, OpenError> {
    let (client, place) = connect(options).await?;
    status(&client, &place).await
}

/// Applies every pending migration. Any number of nodes may do this at once; one does the work.
pub async fn migrate_up(options: &Options) -> Result<MigrationStatus, OpenError> {
    prepare(&Options { migrate: true, ..options.clone() }).await?;
    migrate_status(options).await
}

/// Says what the pending migrations would do, and who would have to wait.
pub async fn migrate_plan(options: &Options) -> Result<Vec<PlannedFile>, OpenError> {
    let (client, place) = connect(options).await?;
    let status = status(&client, &place).await?;
    let runner = embedded::migrations::runner();
    let mut pending: Vec<&Migration> =
        runner.get_migrations().iter().filter(|one| number(one) > status.applied).collect();
    pending.sort_by_key(|one| number(one));
    let files = pending.iter().map(|one| (one.to_string(), one.sql().unwrap_or_default().to_owned()));
    let mut planned = plan(files);
    for step in planned.iter_mut().flat_map(|file| &mut file.steps) {
        if step.lock != Lock::New && !step.table.is_empty() {
            step.rows =
                rows(&client, &step.table).await.map_err(|error| OpenError::connect(&place, error))?;
        }
    }
    Ok(planned)
}

/// Brings the database to this version's schema, or says why not.
pub(super) async fn prepare(options: &Options) -> Result<(), OpenError> {
    let (mut client, place) = connect(options).await?;
    let have = status(&client, &place).await?;
    if have.applied > have.known {
        return Err(OpenError::Newer { place, found: have.applied, known: have.known });
    }
    if have.pending.is_empty() {
        return Ok(());
    }
    if !options.migrate {
        return Err(OpenError::Outdated { place, found: have.applied, known: have.known });
    }
    lock::for_migrating(&client).await.map_err(|error| OpenError::connect(&place, error))?;
    // Whoever had the lock before may have done it all, and may have been a newer version.
    let have = status(&client, &place).await?;
    if have.applied > have.known {
        return Err(OpenError::Newer { place, found: have.applied, known: have.known });
    }
    // Each file is one transaction, with its row in the history.
    let migrated = embedded::migrations::runner().run_async(&mut *client).await;
    let unlocked = lock::release(&client).await;
    migrated.map_err(|error| OpenError::Migration { place: place.clone(), message: said(&error) })?;
    unlocked.map_err(|error| OpenError::connect(&place, error))
}

/// The direct way to the primary.
async fn connect(options: &Options) -> Result<(ClientWrapper, String), OpenError> {
    let (name, url) = match &options.migration_url {
        Some(url) => ("store for migrations", url),
        None => ("store", &options.url),
    };
    let root_file = options.root_file.as_deref();
    let address = url::parse((name, url::Role::Primary), url, root_file, options.acquire_timeout)?;
    let connector = PostgresConnector::new(address, options.connect_timeout());
    match connector.connection().await {
        Ok(client) => Ok((client, connector.place().to_owned())),
        Err(source) => Err(OpenError::Connect { place: connector.place().to_owned(), source }),
    }
}

async fn status(client: &Client, place: &str) -> Result<MigrationStatus, OpenError> {
    let looked = look_twice(client).await.map_err(|error| OpenError::connect(place, error))?;
    let applied = looked.ok_or_else(|| OpenError::Foreign { place: place.to_owned() })?;
    let runner = embedded::migrations::runner();
    let all = runner.get_migrations().iter().map(|one| (number(one), one.to_string())).collect();
    Ok(MigrationStatus::new(applied, all))
}

/// While another node migrates, a database looks like neither an empty nor a finished one. So what
/// looks foreign is looked at again when nobody migrates.
async fn look_twice(client: &Client) -> Result<Option<u32>, Error> {
    if let Some(applied) = look(client).await? {
        return Ok(Some(applied));
    }
    lock::for_migrating(client).await?;
    let looked = look(client).await;
    lock::release(client).await?;
    looked
}

/// The number of the last applied migration, 0 if none was; `None` for a database that something
/// else made, which must not be touched, let alone be given our tables.
async fn look(client: &Client) -> Result<Option<u32>, Error> {
    let tables = "SELECT to_regclass('refinery_schema_history') IS NOT NULL,
                         to_regclass('feed') IS NOT NULL AND to_regclass('signing_keys') IS NOT NULL,
                         (SELECT count(*) FROM pg_class
                          WHERE relnamespace = current_schema()::regnamespace
                            AND relkind IN ('r', 'p', 'v', 'm', 'f')
                            AND relname <> 'refinery_schema_history'
                            AND NOT EXISTS (SELECT 1 FROM pg_depend
                                            WHERE objid = pg_class.oid AND deptype = 'e'))";
    let row = client.query_one(tables, &[]).await?;
    let (history, ours, others): (bool, bool, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let applied = if history {
        let last = "SELECT coalesce(max(version), 0)::bigint FROM refinery_schema_history";
        client.query_one(last, &[]).await?.try_get::<_, i64>(0)?
    } else {
        0
    };
    let foreign = if applied > 0 { !ours } else { others > 0 };
    Ok((!foreign).then(|| u32::try_from(applied).unwrap_or(u32::MAX)))
}

fn number(migration: &Migration) -> u32 {
    u32::try_from(migration.version()).unwrap_or_default()
}

/// What the planner believes; a table that was never analyzed is counted.
async fn rows(client: &Client, table: &str) -> Result<Option<u64>, Error> {
    let estimate = "SELECT (SELECT reltuples::bigint FROM pg_class WHERE oid = to_regclass($1))";
    let estimate: Option<i64> = client.query_one(estimate, &[&table]).await?.try_get(0)?;
    match estimate {
        None => Ok(None),
        Some(rows) if rows >= 0 => Ok(u64::try_from(rows).ok()),
        // The name comes from a migration of ours.
        Some(_) => {
            let count = client.query_one(&format!("SELECT count(*) FROM {table}"), &[]).await?;
            Ok(u64::try_from(count.try_get::<_, i64>(0)?).ok())
        }
    }
}

/// An error with its causes: refinery's own says only which migration it was.
fn said(error: &refinery::Error) -> String {
    let mut sentence = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let text = error.to_string();
        if !sentence.contains(&text) {
            sentence = format!("{sentence}: {text}");
        }
        cause = error.source();
    }
    sentence
}
