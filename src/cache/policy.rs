//! The one table of what is cached, how much of it, and which change makes it untrue.

use crate::{model::*, store::Change};

/// How one cache behaves.
#[derive(Clone, Copy, Debug)]
pub struct CachePolicy {
    /// Its name in metrics.
    pub name: &'static str,
    /// Its part of `cache.max_memory`, in per cent.
    pub share: u64,
    /// What an entry weighs, roughly, in bytes; sizes the tables.
    pub typical: u64,
    /// Whether "there is no such row" is remembered too.
    pub misses: bool,
}

/// Clients by `client_id`. Misses are not kept: names that do not exist are free to invent, and would
/// push out those that do.
pub const CLIENT: CachePolicy = CachePolicy { name: "client", share: 25, typical: 1_500, misses: false };
/// Clients by row key.
pub const CLIENT_BY_KEY: CachePolicy =
    CachePolicy { name: "client_by_key", share: 15, typical: 1_500, misses: false };
/// Resources by URI. Misses are kept: audiences that are no registered resource are asked for with
/// every introspection.
pub const RESOURCE: CachePolicy = CachePolicy { name: "resource", share: 10, typical: 300, misses: true };
/// Users by id.
pub const USER: CachePolicy = CachePolicy { name: "user", share: 25, typical: 1_200, misses: false };
/// Families by id.
pub const FAMILY: CachePolicy = CachePolicy { name: "grant", share: 25, typical: 600, misses: false };

/// What a change makes untrue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Touched<'a> {
    /// The client with this key, in both client caches.
    pub client: Option<ClientKey>,
    /// The client with this name, even if only its absence was known.
    pub client_id: Option<&'a str>,
    /// The resource with this URI.
    pub resource: Option<&'a str>,
    /// The user with this id.
    pub user: Option<UserId>,
    /// The family with this id.
    pub family: Option<FamilyId>,
}

/// The right-hand column of the table: change → what it makes untrue.
pub fn touched(change: &Change) -> Touched<'_> {
    let none = Touched::default();
    match change {
        Change::Revoked { what, id, .. } => match RevocationKind::from_u8(*what) {
            Some(RevocationKind::Family) => Touched { family: Some(FamilyId(*id)), ..none },
            // An epoch is a column of the row.
            Some(RevocationKind::User) => Touched { user: Some(UserId(*id)), ..none },
            Some(RevocationKind::Client) => Touched { client: Some(ClientKey(*id)), ..none },
            Some(RevocationKind::Token) | None => none,
        },
        Change::Client { key, client_id } => {
            Touched { client: Some(*key), client_id: Some(client_id), ..none }
        }
        Change::Resource { uri } => Touched { resource: Some(uri), ..none },
        Change::User { id } => Touched { user: Some(*id), ..none },
        // Sessions, consents and keys are not cached here.
        Change::Session { .. } | Change::Consent { .. } | Change::Keys => none,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_make_up_the_whole() {
        let shares = [CLIENT, CLIENT_BY_KEY, RESOURCE, USER, FAMILY].map(|policy| policy.share);
        assert_eq!(shares.iter().sum::<u64>(), 100);
    }

    #[test]
    fn an_epoch_makes_the_row_that_holds_it_untrue() {
        let id = Id([7; 16]);
        let raised = |kind| {
            let revocation =
                Revocation { kind, id, epoch: 1, client: ClientKey(id), expires_at: UnixTime(9) };
            Change::revoked(revocation, UnixTime(1))
        };
        let none = Touched::default();
        let table = [
            (RevocationKind::User, Touched { user: Some(UserId(id)), ..none }),
            (RevocationKind::Client, Touched { client: Some(ClientKey(id)), ..none }),
            (RevocationKind::Family, Touched { family: Some(FamilyId(id)), ..none }),
            (RevocationKind::Token, none),
        ];
        for (kind, expected) in table {
            assert_eq!(touched(&raised(kind)), expected, "{kind:?}");
        }
    }
}
