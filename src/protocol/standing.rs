//! RFC 7009 §2.1, OpenID Connect Core §16.18 — when a token, an authorization, a session, a user or a client is
//! valid: the one rule, for every place that decides it.
//!
//! - A **client** is valid for what was issued to it if it is enabled and its epoch was not raised since.
//! - A **user** is valid likewise.
//! - An **authorization** (a family) is valid until it expires or is revoked, while its client and its user are.
//!   A code or a refresh token is valid while its authorization is, and it has itself neither expired nor been
//!   spent; its grant decides the latter, because a second use revokes the family.
//! - An **access token** is valid inside its times, while its client and its user are; revocations of single
//!   tokens and of families are in the revocation index, which is asked after this.
//! - A **session** is valid until it was idle for too long or is too old, while its user is.
//! - A **client secret** is valid until it expires.
//!
//! Records may come from a cache that is a moment old. What must not be decided on such a record is decided
//! once more by the revocation index, which compares epochs by the same rule ([`is_current_epoch`]), or by the
//! store in the statement that commits: the SQL that inserts a family's first row and that rotates a refresh
//! token restates the rule of an authorization in the primary.

use super::{Policy, access_token::AccessClaims};
use crate::model::*;

/// Clock skew accepted for `nbf` and `iat`, in seconds (R47).
const SKEW: u64 = 10;

/// Whether a client is valid for what was issued to it under an epoch.
pub fn client_is_valid(client: &Client, issued_under: u32) -> bool {
    client.enabled && is_current_epoch(issued_under, client.epoch)
}

/// Whether a user is valid for what was issued under an epoch of the user.
pub fn user_is_valid(user: &User, issued_under: u32) -> bool {
    user.enabled && is_current_epoch(issued_under, user.epoch)
}

/// Whether an authorization is valid (R27). `client` and `user` are the family's, or it is not.
pub fn authorization_is_valid(family: &Family, client: &Client, user: &User, now: UnixTime) -> bool {
    family.client == client.key
        && family.user == user.id
        && family.revoked_at.is_none()
        && now < family.expires_at
        && client_is_valid(client, family.client_epoch)
        && user_is_valid(user, family.user_epoch)
}

/// Whether an access token is inside its times.
pub fn token_is_in_its_times(token: &AccessClaims, now: UnixTime) -> bool {
    token.issued_at <= now.plus(SKEW) && now < token.expires_at
}

/// Whether a session is valid: neither its idle nor its absolute limit has passed, and `user` is its user and
/// valid (R60).
pub fn session_is_valid(session: &Session, user: &User, policy: &Policy, now: UnixTime) -> bool {
    session.user == user.id
        && user_is_valid(user, session.user_epoch)
        && now < session.expires_at
        && now.since(session.seen_at) < policy.session_idle_lifetime
        && now.since(session.auth_time) < policy.session_lifetime
}

/// Whether a client secret is valid.
pub fn secret_is_valid(secret: &ClientSecret, now: UnixTime) -> bool {
    secret.expires_at.is_none_or(|at| now < at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{access_token::tests::claims, grants::testing::*};

    const NOW: UnixTime = UnixTime(1_000);

    #[test]
    fn a_client_is_valid_while_enabled_and_under_its_epoch() {
        for (enabled, issued_under, present, valid) in [
            (true, 0, 0, true),
            (true, 2, 2, true),
            (true, 3, 2, true), // the record is older than what was issued
            (true, 1, 2, false),
            (false, 2, 2, false),
        ] {
            let client = Client { enabled, epoch: present, ..Client::example() };
            assert_eq!(client_is_valid(&client, issued_under), valid, "{enabled} {issued_under} {present}");
            let user = User { enabled, epoch: present, ..user() };
            assert_eq!(user_is_valid(&user, issued_under), valid, "{enabled} {issued_under} {present}");
        }
    }

    /// R27
    #[test]
    fn an_authorization_is_valid_while_everything_it_depends_on_is() {
        let valid = |family: &Family, client: &Client, user: &User, now| {
            authorization_is_valid(family, client, user, UnixTime(now))
        };
        let (client, alice, ends) = (Client::example(), user(), family().expires_at.0);
        assert!(valid(&family(), &client, &alice, 1_000) && valid(&family(), &client, &alice, ends - 1));
        assert!(!valid(&family(), &client, &alice, ends), "expired");
        let families = [
            Family { revoked_at: Some(NOW), ..family() },
            Family { client: ClientKey::default(), ..family() },
            Family { user: UserId::default(), ..family() },
            Family { user_epoch: alice.epoch - 1, ..family() },
        ];
        assert!(!families.iter().any(|family| valid(family, &client, &alice, 1_000)));
        for client in [Client { epoch: 1, ..client.clone() }, Client { enabled: false, ..client.clone() }] {
            assert!(!valid(&family(), &client, &alice, 1_000));
        }
        for user in [User { epoch: alice.epoch + 1, ..user() }, User { enabled: false, ..user() }] {
            assert!(!valid(&family(), &client, &user, 1_000));
        }
    }

    /// R47
    #[test]
    fn a_token_is_valid_from_its_issue_to_its_expiry() {
        let at = |now| token_is_in_its_times(&claims(), UnixTime(now));
        assert_eq!([at(989), at(990), at(1_899), at(1_900)], [false, true, true, false]);
    }

    /// R60, R61
    #[test]
    fn a_session_ends_by_idleness_age_epoch_and_disabling() {
        let (policy, alice) = (Policy::example(), user());
        let (idle, age) = (policy.session_idle_lifetime, policy.session_lifetime);
        let valid = |session: &Session, user: &User, now| session_is_valid(session, user, &policy, now);
        let seen = |seen_at| Session { seen_at, expires_at: UnixTime(u64::MAX), ..session() };
        let (begin, end) = (session().auth_time, session().auth_time.plus(age));
        for (session, now, expected) in [
            (seen(begin), begin.plus(idle).minus(1), true),
            (seen(begin), begin.plus(idle), false),
            (seen(end.minus(1)), end.minus(1), true),
            (seen(end), end, false),
            (Session { expires_at: NOW, ..session() }, NOW, false),
            (Session { expires_at: NOW, ..session() }, NOW.minus(1), true),
        ] {
            assert_eq!(valid(&session, &alice, now), expected, "{session:?} at {now:?}");
        }
        assert!(valid(&session(), &alice, NOW));
        let users = [
            User { epoch: alice.epoch + 1, ..user() },
            User { enabled: false, ..user() },
            User { id: UserId::default(), ..user() },
        ];
        assert!(!users.iter().any(|user| valid(&session(), user, NOW)));
    }

    fn session() -> Session {
        Session {
            id: SessionId::default(),
            digest: Digest([0; 32]),
            user: user().id,
            user_epoch: user().epoch,
            auth_time: NOW.minus(100),
            amr: vec!["pwd".into()],
            user_agent: String::new(),
            seen_at: NOW.minus(10),
            expires_at: NOW.plus(1_000_000),
        }
    }

    #[test]
    fn a_secret_is_valid_until_it_expires() {
        let until = |expires_at| ClientSecret { digest: Digest([0; 32]), created_at: NOW, expires_at };
        assert!(secret_is_valid(&until(None), UnixTime(u64::MAX)));
        assert!(secret_is_valid(&until(Some(NOW)), NOW.minus(1)));
        assert!(!secret_is_valid(&until(Some(NOW)), NOW));
    }
}
