//! Refresh tokens: one row a family, which each token names. A rotation is one conditional UPDATE by primary
//! key, which also holds that family, user and client stand.

use rusqlite::{Row, named_params, params};

use super::{apply::Applying, columns::integer, statements::Statements};
use crate::{
    model::*,
    store::{CommitError, Spend},
};

/// Microseconds in a second.
const MICROS: u64 = 1_000_000;

/// Whether the family of a row stands, at `:now`: not revoked, not expired, under the present epochs.
macro_rules! stands {
    () => {
        "EXISTS (SELECT 1 FROM families
                 JOIN clients ON clients.key = families.client
                 JOIN users ON users.id = families.user
                 WHERE families.id = this.family
                   AND families.revoked_at IS NULL AND families.expires_at > :now
                   AND clients.enabled AND clients.epoch <= families.client_epoch
                   AND users.enabled AND users.epoch <= families.user_epoch)"
    };
}

/// The row that a token names. The answer is looked for only if the token is the one spent last.
pub(super) fn find(
    db: Statements<'_>,
    token: &RefreshToken,
    now: UnixTime,
) -> rusqlite::Result<Option<Rotation>> {
    let sql = concat!(
        "SELECT family, generation, digest, issued_us, expires_at, previous, retry_request, rotated_by,
                CASE WHEN previous = :digest THEN (
                    SELECT answer FROM retry_answers AS kept
                    WHERE kept.issued_us = this.issued_us AND kept.family = this.family) END, ",
        stands!(),
        " FROM rotations AS this WHERE family = :family"
    );
    let named = named_params! { ":family": token.family, ":digest": token.digest, ":now": now };
    db.one(sql, named, |row| rotation(row, now))
}

fn rotation(row: &Row<'_>, now: UnixTime) -> rusqlite::Result<Rotation> {
    let natural = |at: usize| row.get::<_, UnixTime>(at).map(|number| number.0);
    let issued_at = UnixTime(natural(3)? / MICROS);
    let last = |previous| {
        Ok::<_, rusqlite::Error>(LastRotation {
            previous,
            request: row.get(6)?,
            by: row.get(7)?,
            // The one process that serves reads and writes this; its clock does not go back while it lives.
            age: age(now, issued_at),
            answer: row.get(8)?,
        })
    };
    Ok(Rotation {
        current: RefreshToken { family: row.get(0)?, generation: natural(1)?, digest: row.get(2)? },
        issued_at,
        expires_at: row.get(4)?,
        stands: row.get(9)?,
        last: row.get::<_, Option<Digest>>(5)?.map(last).transpose()?,
    })
}

/// A rotation. `:issued` is a moment of the second `:now` that no other answer has, so that answers are
/// appended. An index is written whenever a column of it is set, even to what it was: the day is set by a
/// statement of its own, which a family needs once a day.
macro_rules! rotate {
    ($day:literal, $set:literal) => {
        concat!(
            "UPDATE rotations AS this
             SET generation = generation + 1, previous = digest, digest = :successor,
                 issued_us = coalesce((SELECT max(issued_us) + 1 FROM retry_answers
                                       WHERE issued_us >= :issued AND issued_us < :issued + 999999), :issued),
                 expires_at = :expires, retry_request = :request, rotated_by = :by",
            $set,
            " WHERE family = :family AND generation = :generation AND digest = :digest
                AND expires_at > :now AND expiry_day ",
            $day,
            " :day AND ",
            stands!(),
            " RETURNING issued_us"
        )
    };
}

const ROTATE: [&str; 2] = [rotate!("=", ""), rotate!("<>", ", expiry_day = :day")];

/// Rotates a refresh token. The statement itself is the decision: nothing was read before it.
pub(super) fn spend(to: &mut Applying<'_>, spend: &Spend) -> Result<(), CommitError> {
    let Spend::Refresh { token, successor, expires_at, retry_request, retry_answer } = spend else {
        return Ok(());
    };
    let mut issued: Option<i64> = None;
    for sql in ROTATE {
        let named = named_params! {
            ":family": token.family, ":generation": integer(token.generation), ":digest": token.digest,
            ":successor": successor, ":expires": expires_at, ":day": integer(expires_at.day()),
            ":request": retry_request, ":by": to.id, ":now": to.at, ":issued": integer(to.at.0.saturating_mul(MICROS)),
        };
        issued = to.db.one(sql, named, |row| row.get(0))?;
        if issued.is_some() {
            break;
        }
    }
    match (issued, retry_answer) {
        (Some(issued), Some(answer)) => {
            let sql = "INSERT INTO retry_answers (issued_us, family, answer) VALUES (?1, ?2, ?3)";
            to.db.run(sql, params![issued, token.family, answer])?;
            Ok(())
        }
        (Some(_), None) => Ok(()),
        (None, _) => {
            let there = to.db.one("SELECT 1 FROM rotations WHERE family = ?1", [token.family], |_| Ok(()))?;
            Err(there.map_or(CommitError::Missing("refresh token"), |()| CommitError::AlreadySpent))
        }
    }
}

/// The first token of a family that stands.
pub(super) fn insert(
    to: &mut Applying<'_>,
    token: &RefreshToken,
    expires_at: UnixTime,
) -> Result<(), CommitError> {
    let sql = concat!(
        "INSERT INTO rotations (family, generation, digest, issued_us, expires_at, expiry_day)
         SELECT this.family, :generation, :digest, :issued, :expires, :day
         FROM (SELECT :family AS family) AS this WHERE ",
        stands!(),
        " ON CONFLICT DO NOTHING"
    );
    let named = named_params! {
        ":family": token.family, ":generation": integer(token.generation), ":digest": token.digest,
        ":issued": integer(to.at.0.saturating_mul(MICROS)), ":expires": expires_at, ":day": integer(expires_at.day()),
        ":now": to.at,
    };
    match to.db.run(sql, named)? {
        0 => Err(CommitError::Missing("family")),
        _ => Ok(()),
    }
}
