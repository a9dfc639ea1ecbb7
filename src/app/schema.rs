//! The configured store, whichever it is, before it is opened: whether it is there, how far its schema
//! is, what is pending, bringing it up.

use super::{AppError, backend::postgres_options, compose::open_redis};
use crate::{
    config::{Config, Location},
    store::{MigrationStatus, PlannedFile, postgres, sqlite},
};

/// How far the schema is, without making or changing anything.
pub async fn migrate_status(config: &Config) -> Result<MigrationStatus, AppError> {
    Ok(match config.store.location() {
        Location::File(database) => sqlite::migrate_status(&database)?,
        Location::Postgres(url) => postgres::migrate_status(&postgres_options(config, &url, false)).await?,
    })
}

/// Applies what is pending. Any number of processes may do so at once; one does the work.
pub async fn migrate_up(config: &Config) -> Result<MigrationStatus, AppError> {
    Ok(match config.store.location() {
        Location::File(database) => sqlite::migrate_up(&database)?,
        Location::Postgres(url) => postgres::migrate_up(&postgres_options(config, &url, true)).await?,
    })
}

/// What the pending migrations would do, and who would have to wait.
pub async fn migrate_plan(config: &Config) -> Result<Vec<PlannedFile>, AppError> {
    Ok(match config.store.location() {
        Location::File(database) => sqlite::migrate_plan(&database)?,
        Location::Postgres(url) => postgres::migrate_plan(&postgres_options(config, &url, false)).await?,
    })
}

/// Asks the store and Redis whether they are there; changes nothing. A sentence about each.
pub async fn look(config: &Config) -> Result<Vec<String>, AppError> {
    let MigrationStatus { applied, known, pending } = migrate_status(config).await?;
    let store = match (applied, pending.len()) {
        (0, _) => "The store is empty or not there yet; the first start makes it.".to_owned(),
        (_, 0) => format!("The store answers; it has schema {applied} of {known}."),
        (_, more) => {
            format!("The store answers; it has schema {applied} of {known}, {more} migrations are pending.")
        }
    };
    if let Location::Postgres(url) = config.store.location() {
        postgres::try_prepared(&postgres_options(config, &url, false)).await?;
    }
    let mut found = vec![store];
    if let Some(redis) = open_redis(config)? {
        redis.probe().await.map_err(|failure| AppError::Start(format!("Redis cannot be used: {failure}")))?;
        found.push("Redis answers.".to_owned());
    }
    Ok(found)
}
