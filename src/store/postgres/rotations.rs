//! Refresh tokens: one row a family, which each token names. A rotation is one conditional UPDATE by primary
//! key, which also holds that family, user and client stand.

use tokio_postgres::{Error, Row, types::Type};

use super::{
    apply::Applying,
    columns::Natural,
    sql::statements,
    statements::{Param, Statements},
};
use crate::{
    model::*,
    store::{CommitError, Spend, StoreError},
};

/// Whether the family of a row stands, at a time: not revoked, not expired, under the present epochs.
macro_rules! stands {
    ($now:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM families
                     JOIN clients ON clients.key = families.client
                     JOIN users ON users.id = families.user_id
                     WHERE families.id = this.family
                       AND families.revoked_at IS NULL AND families.expires_at > ",
            $now,
            " AND clients.enabled AND clients.epoch <= families.client_epoch
              AND users.enabled AND users.epoch <= families.user_epoch)"
        )
    };
}

/// Microseconds by the server's clock. It is the same in all statements of a transaction.
macro_rules! issued_now {
    () => {
        "floor(extract(epoch FROM now()) * 1000000)::bigint"
    };
}

pub(super) use {issued_now, stands};

statements! {
    /// The answer is looked for only if the token is the one spent last. What the clock shows is read with
    /// it, so that two readings of one clock are compared.
    FIND = concat!(
        "SELECT family, generation, digest, issued_us, expires_at, previous, retry_request, rotated_by,
                CASE WHEN previous = $2 THEN (
                    SELECT answer FROM retry_answers AS kept
                    WHERE kept.issued_us = this.issued_us AND kept.family = this.family) END,
                floor(extract(epoch FROM clock_timestamp()))::bigint, ",
        stands!("$3"),
        " FROM rotations AS this WHERE family = $1"
    );
    /// The family's own row, which no index is touched for, and the answer beside it.
    ROTATE = concat!(
        "WITH rotated AS (
             UPDATE rotations AS this
             SET generation = generation + 1, previous = digest, digest = $4, issued_us = ", issued_now!(), ",
                 expires_at = $5::bigint, expiry_day = $5::bigint / 86400, retry_request = $6, rotated_by = $7
             WHERE family = $1 AND generation = $2 AND digest = $3 AND expires_at > $8 AND ", stands!("$8"), "
             RETURNING family, issued_us),
         kept AS (
             INSERT INTO retry_answers (issued_us, family, answer)
             SELECT issued_us, family, $9 FROM rotated WHERE $9::bytea IS NOT NULL)
         SELECT family FROM rotated"
    );
    EXISTS = "SELECT 1 FROM rotations WHERE family = $1";
    INSERT = concat!(
        "INSERT INTO rotations (family, generation, digest, issued_us, expires_at, expiry_day)
         SELECT this.family, $2, $3, $4::bigint * 1000000, $5::bigint, $5::bigint / 86400
         FROM (SELECT $1::uuid AS family) AS this WHERE ", stands!("$4"), " ON CONFLICT DO NOTHING"
    );
}

/// The row that a token names.
pub(super) async fn find(
    reads: Statements<'_>,
    token: &RefreshToken,
    now: UnixTime,
) -> Result<Option<Rotation>, StoreError> {
    let asked: &[Param<'_>] =
        &[(&token.family, Type::UUID), (&token.digest, Type::BYTEA), (&now, Type::INT8)];
    Ok(reads.one(FIND, asked, rotation).await?)
}

fn rotation(row: &Row) -> Result<Rotation, Error> {
    let Natural(generation) = row.try_get(1)?;
    let Natural(issued_us) = row.try_get(3)?;
    let issued_at = UnixTime(issued_us / 1_000_000);
    let last = |previous| {
        Ok::<_, Error>(LastRotation {
            previous,
            request: row.try_get(6)?,
            by: row.try_get(7)?,
            age: age(row.try_get(9)?, issued_at),
            answer: row.try_get(8)?,
        })
    };
    Ok(Rotation {
        current: RefreshToken { family: row.try_get(0)?, generation, digest: row.try_get(2)? },
        issued_at,
        expires_at: row.try_get(4)?,
        stands: row.try_get(10)?,
        last: row.try_get::<_, Option<Digest>>(5)?.map(last).transpose()?,
    })
}

/// Rotates a refresh token. The statement itself is the decision: nothing was read before it, and whoever
/// comes at the same time waits for its row until this commit has ended.
pub(super) async fn spend(to: &mut Applying<'_>, spend: &Spend) -> Result<(), CommitError> {
    let Spend::Refresh { token, successor, expires_at, retry_request, retry_answer } = spend else {
        return Ok(());
    };
    let row: &[Param<'_>] = &[
        (&token.family, Type::UUID),
        (&Natural(token.generation), Type::INT8),
        (&token.digest, Type::BYTEA),
        (successor, Type::BYTEA),
        (expires_at, Type::INT8),
        (retry_request, Type::BYTEA),
        (&to.id, Type::UUID),
        (&to.at, Type::INT8),
        (retry_answer, Type::BYTEA),
    ];
    if to.db.run(ROTATE, row).await? == 1 {
        return Ok(());
    }
    match to.db.one(EXISTS, &[(&token.family, Type::UUID)], |_| Ok(())).await? {
        Some(()) => Err(CommitError::AlreadySpent),
        None => Err(CommitError::Missing("refresh token")),
    }
}

/// The first token of a family that stands.
pub(super) async fn insert(
    to: &mut Applying<'_>,
    token: &RefreshToken,
    expires_at: UnixTime,
) -> Result<(), CommitError> {
    let row: &[Param<'_>] = &[
        (&token.family, Type::UUID),
        (&Natural(token.generation), Type::INT8),
        (&token.digest, Type::BYTEA),
        (&to.at, Type::INT8),
        (&expires_at, Type::INT8),
    ];
    match to.db.run(INSERT, row).await? {
        0 => Err(CommitError::Missing("family")),
        _ => Ok(()),
    }
}
