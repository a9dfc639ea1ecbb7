//! RFC 6749 §4 — grant types: one file each, one trait, one registry.
//!
//! The endpoint owns the shared steps (client authentication, scope syntax, resources, minting,
//! audit); a grant only says what it needs and decides. Discovery, registration, metric labels and
//! the tests' loops all derive from [`GRANTS`]: there is no second list.

mod authorization_code;
mod client_credentials;
mod refresh_token;

use std::sync::Arc;

use super::{OauthError, Params, Policy, standing};
use crate::model::*;

/// Every grant type there is. A new one is its file, its `mod` line and its entry here.
pub const GRANTS: &[&dyn Grant] = &[
    &authorization_code::AuthorizationCode,
    &refresh_token::RefreshTokenGrant,
    &client_credentials::ClientCredentials,
];

/// The grant of a `grant_type` value.
pub fn find(grant_type: &str) -> Option<&'static dyn Grant> {
    GRANTS.iter().copied().find(|grant| grant.grant_type() == grant_type)
}

/// One grant type at the token endpoint. Holds no state, does no I/O.
pub trait Grant: Sync {
    /// The `grant_type` value.
    fn grant_type(&self) -> &'static str;

    /// Whether a client without a secret may use it.
    fn public_clients(&self) -> bool;

    /// What to load next; asked again with what was loaded, until `None` (at most 3 rounds).
    fn need<'f>(&self, form: &'f Params<'_>, facts: &Facts) -> Result<Option<Need<'f>>, OauthError>;

    /// The specification: what to issue, or why not, and what else must happen.
    fn decide(&self, form: &Params, facts: &Facts) -> Decision;
}

/// Something a grant wants loaded. A closed set: the provider knows how to load each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need<'a> {
    /// The authorization code of this text.
    Code(&'a str),
    /// The refresh token of this text.
    RefreshToken(&'a str),
    /// A family.
    Family(FamilyId),
    /// A user.
    User(UserId),
}

/// The outcome of a load.
#[derive(Clone, Debug, Default)]
pub enum Loaded<T> {
    /// It was not asked for.
    #[default]
    NotAsked,
    /// There is none.
    Missing,
    /// Here it is.
    Found(T),
}

impl<T> Loaded<T> {
    /// What was found, if it was.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            Self::NotAsked | Self::Missing => None,
        }
    }

    /// Whether it is still to be asked for.
    pub fn is_pending(&self) -> bool {
        matches!(self, Self::NotAsked)
    }
}

impl<T> From<Option<T>> for Loaded<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Self::Found)
    }
}

/// A refresh token and the row it names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentedToken {
    /// What the token says.
    pub token: RefreshToken,
    /// The row as it is in the primary.
    pub rotation: Rotation,
}

impl PresentedToken {
    /// Whether it is the one token of its family that can be used.
    pub fn is_current(&self) -> bool {
        self.token == self.rotation.current
    }
}

/// What is known when a grant decides.
#[derive(Debug)]
pub struct Facts<'p> {
    /// The moment of the request.
    pub now: UnixTime,
    /// The issuer's rules.
    pub policy: &'p Policy,
    /// The authenticated client.
    pub client: Arc<Client>,
    /// The `scope` parameter.
    pub scope: Option<Scopes>,
    /// The `resource` parameters; each is registered and allowed to the client.
    pub resources: Vec<String>,
    /// [`Need::Code`].
    pub code: Loaded<Code>,
    /// [`Need::RefreshToken`].
    pub refresh_token: Loaded<PresentedToken>,
    /// [`Need::Family`].
    pub family: Loaded<Arc<Family>>,
    /// [`Need::User`].
    pub user: Loaded<Arc<User>>,
}

impl<'p> Facts<'p> {
    /// What is known before anything was loaded.
    pub fn new(
        now: UnixTime,
        policy: &'p Policy,
        client: Arc<Client>,
        scope: Option<Scopes>,
        resources: Vec<String>,
    ) -> Self {
        Self {
            now,
            policy,
            client,
            scope,
            resources,
            code: Loaded::NotAsked,
            refresh_token: Loaded::NotAsked,
            family: Loaded::NotAsked,
            user: Loaded::NotAsked,
        }
    }

    /// Forgets what was loaded, so that it is loaded again.
    pub fn forget(&mut self) {
        self.code = Loaded::NotAsked;
        self.refresh_token = Loaded::NotAsked;
        self.family = Loaded::NotAsked;
        self.user = Loaded::NotAsked;
    }
}

impl Facts<'_> {
    /// Digest of what a refresh request asks for; a retry must ask for the same.
    pub fn retry_request(&self) -> Digest {
        refresh_token::request_digest(self.scope.as_ref(), &self.resources)
    }

    /// The loaded family and user, if the authorization is valid (R27).
    pub fn valid_authorization(&self) -> Option<(&Arc<Family>, &Arc<User>)> {
        let (family, user) = (self.family.found()?, self.user.found()?);
        let valid = standing::authorization_is_valid(family, &self.client, user, self.now);
        valid.then_some((family, user))
    }
}

/// What a grant decided. Side effects are data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Issue tokens.
    Issue(Box<Issue>),
    /// Give the byte-identical answer of the first time, inside the refresh retry window.
    Repeat {
        /// The answer, sealed under a key derived from the presented token.
        sealed: Vec<u8>,
    },
    /// Refuse, and do what must be done about it.
    Refuse(Box<Refusal>),
}

/// Tokens to issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// What is used up by this.
    pub spend: Spends,
    /// The authorization the tokens belong to; `None` if the client acts for itself.
    pub authorization: Option<Authorization>,
    /// The scopes of the access token.
    pub scopes: Scopes,
    /// The resources of the access token, before defaults.
    pub resources: Vec<String>,
    /// When a new refresh token expires; `None`: no refresh token.
    pub refresh_until: Option<UnixTime>,
    /// Whether an ID token is issued, and with which nonce.
    pub id_token: Option<IdTokenFor>,
}

/// The person's side of an issue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authorization {
    /// The family.
    pub family: Arc<Family>,
    /// The person.
    pub user: Arc<User>,
}

/// What an ID token needs besides the authorization.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IdTokenFor {
    /// The `nonce` of the authorization request.
    pub nonce: Option<String>,
}

/// What an issue uses up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spends {
    /// Nothing.
    Nothing,
    /// An authorization code.
    Code(RowId),
    /// A refresh token, which is rotated.
    RefreshToken(RefreshToken),
}

/// A refusal with its effects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client is told.
    pub error: OauthError,
    /// A family that must be revoked.
    pub revoke: Option<FamilyId>,
    /// What operators should be able to count.
    pub event: Option<SecurityEvent>,
}

impl Decision {
    /// A refusal without effects.
    pub fn refuse(error: OauthError) -> Self {
        Self::Refuse(Box::new(Refusal { error, revoke: None, event: None }))
    }

    /// A refusal that is counted.
    pub fn refuse_with(error: OauthError, event: SecurityEvent) -> Self {
        Self::Refuse(Box::new(Refusal { error, revoke: None, event: Some(event) }))
    }

    /// A refusal that revokes a family.
    pub fn revoke(error: OauthError, family: FamilyId, event: SecurityEvent) -> Self {
        Self::Refuse(Box::new(Refusal { error, revoke: Some(family), event: Some(event) }))
    }
}

impl From<OauthError> for Decision {
    fn from(error: OauthError) -> Self {
        Self::refuse(error)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    //! Facts for the grants' tests.

    use super::*;

    pub(crate) fn facts(policy: &Policy) -> Facts<'_> {
        Facts::new(UnixTime(1_000), policy, Arc::new(Client::example()), None, Vec::new())
    }

    pub(crate) fn user() -> User {
        User {
            id: UserId(Id::new(1, [7; 10])),
            username: "alice".into(),
            epoch: 3,
            created_at: UnixTime(1),
            updated_at: UnixTime(1),
            ..User::default()
        }
    }

    pub(crate) fn family() -> Family {
        Family {
            id: FamilyId(Id::new(1, [8; 10])),
            client: Client::example().key,
            client_epoch: 0,
            user: user().id,
            user_epoch: 3,
            session: None,
            scopes: Scopes::parse("openid offline_access read write").expect("valid scopes"),
            resources: vec!["urn:a".into(), "urn:b".into()],
            claims: RequestedClaims::default(),
            auth_time: UnixTime(900),
            amr: vec!["pwd".into()],
            refreshable: true,
            created_at: UnixTime(900),
            expires_at: UnixTime(100_000),
            revoked_at: None,
        }
    }

    /// Runs a grant as the endpoint does, over a fixed set of records.
    pub(crate) fn run(grant: &dyn Grant, body: &str, mut facts: Facts, known: Known) -> Decision {
        let form = Params::parse(body.as_bytes()).expect("a well-formed body");
        for _ in 0..3 {
            match grant.need(&form, &facts) {
                Err(error) => return error.into(),
                Ok(None) => break,
                Ok(Some(Need::Code(_))) => facts.code = known.code.clone().into(),
                Ok(Some(Need::RefreshToken(_))) => facts.refresh_token = known.refresh_token.clone().into(),
                Ok(Some(Need::Family(_))) => facts.family = known.family.clone().map(Arc::new).into(),
                Ok(Some(Need::User(_))) => facts.user = known.user.clone().map(Arc::new).into(),
            }
        }
        grant.decide(&form, &facts)
    }

    #[derive(Clone, Default)]
    pub(crate) struct Known {
        pub(crate) code: Option<Code>,
        pub(crate) refresh_token: Option<PresentedToken>,
        pub(crate) family: Option<Family>,
        pub(crate) user: Option<User>,
    }

    #[test]
    fn grant_types_are_unique_and_the_password_grant_is_not_among_them() {
        let names: std::collections::HashSet<_> = GRANTS.iter().map(|grant| grant.grant_type()).collect();
        assert_eq!(names.len(), GRANTS.len());
        // R6
        assert!(find("password").is_none() && find("implicit").is_none());
    }
}
