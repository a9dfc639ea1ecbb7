//! Records as they are while things go well.

use std::sync::Arc;

use chancery::{
    app::demo,
    crypto::digest::{s256, sha256},
    model::*,
    protocol::{
        Policy,
        access_token::AccessClaims,
        grants::{Facts, Loaded, PresentedToken},
    },
};

use super::START;

/// The secret of all clients.
pub const SECRET: &str = "a secret that only benchmarks know";
/// RFC 7636 §4.1.
pub const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

/// [`SECRET`] as a client's row has it.
pub fn secret() -> ClientSecret {
    ClientSecret { digest: sha256(SECRET.as_bytes()), created_at: START, expires_at: None }
}

/// A person with every claim.
pub fn user() -> User {
    User {
        id: UserId(Id::new(START.0 * 1000, [7; 10])),
        username: demo::USER.into(),
        claims: demo::claims(),
        created_at: START,
        updated_at: START,
        ..User::default()
    }
}

/// What the person authorized the client to do.
pub fn family(client: &Client, user: &User) -> Family {
    Family {
        id: FamilyId(Id::new(START.0 * 1000, [8; 10])),
        client: client.key,
        client_epoch: client.epoch,
        user: user.id,
        user_epoch: user.epoch,
        session: None,
        scopes: Scopes::parse("openid profile email offline_access").expect("valid scopes"),
        resources: Vec::new(),
        claims: RequestedClaims::default(),
        auth_time: START,
        amr: vec!["pwd".into()],
        refreshable: true,
        created_at: START,
        expires_at: START.plus(90 * 86_400),
        revoked_at: None,
    }
}

/// What an access token of the person says.
pub fn claims(client: &Client) -> AccessClaims {
    let user = user();
    AccessClaims {
        token: TokenId(Id::new(START.0 * 1000, [5; 10])),
        family: Some(family(client, &user).id),
        client: client.key,
        client_epoch: client.epoch,
        client_id: client.client_id.clone(),
        user: Some((user.id, user.epoch)),
        scopes: Scopes::parse("openid profile email").expect("valid scopes"),
        audience: vec!["http://127.0.0.1:8080".into()],
        issued_at: START,
        expires_at: START.plus(900),
        confirmation: None,
        family_claims: false,
    }
}

/// The current refresh token of a family, with its row.
pub fn presented(family: &Family) -> PresentedToken {
    let token = RefreshToken { family: family.id, generation: 0, digest: Digest([1; 32]) };
    let (issued_at, expires_at) = (START, START.plus(86_400));
    let rotation = Rotation { current: token, issued_at, expires_at, stands: true, last: None };
    PresentedToken { token, rotation }
}

/// All that the refresh token grant asks for.
pub fn refresh_facts<'p>(policy: &'p Policy, client: &Arc<Client>) -> Facts<'p> {
    let user = user();
    let family = family(client, &user);
    let mut facts = Facts::new(START, policy, Arc::clone(client), None, Vec::new());
    facts.refresh_token = Loaded::Found(presented(&family));
    facts.family = Loaded::Found(Arc::new(family));
    facts.user = Loaded::Found(Arc::new(user));
    facts
}

/// All that the authorization code grant asks for.
pub fn code_facts<'p>(policy: &'p Policy, client: &Arc<Client>) -> Facts<'p> {
    let user = user();
    let family = family(client, &user);
    let mut facts = Facts::new(START, policy, Arc::clone(client), None, Vec::new());
    facts.code = Loaded::Found(Code {
        id: RowId(Id::new(START.0 * 1000, [9; 10])),
        digest: Digest([1; 32]),
        family: family.id,
        client: client.key,
        redirect_uri: client.redirect_uris[0].clone(),
        challenge: Some(s256(VERIFIER)),
        nonce: Some("n-0S6_WzA2Mj".into()),
        created_at: START,
        expires_at: START.plus(60),
        spent_by: None,
    });
    facts.family = Loaded::Found(Arc::new(family));
    facts.user = Loaded::Found(Arc::new(user));
    facts
}
