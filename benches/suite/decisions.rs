//! Every decision of the protocol: pure functions, so this is all that the specifications themselves cost.
//! The first, client authentication, is the measure of the others.

use std::{hint::black_box, sync::Arc};

use base64::{Engine, engine::general_purpose::STANDARD};
use chancery::{
    crypto::random::Random,
    model::*,
    protocol::{
        ClientRequest, Params, authorize, bearer, client_auth, discovery,
        grants::{self, Decision, Facts},
        interaction::{self, Action, InteractionDecision, InteractionFacts},
        introspect, logout, pkce, redirect_uri, resource, revoke, token,
        transaction::{Continuation, SignInTransaction},
        userinfo,
    },
};
use criterion::Criterion;

use crate::{
    site::{self, START, Site},
    turns::{Way, compare},
};

const AUTHORIZE: &[u8] = b"response_type=code&client_id=example&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&scope=openid+profile+email&state=af0ifjsldkj&nonce=n-0S6_WzA2Mj&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256";
const REDEEM: &[u8] = b"grant_type=authorization_code&code=x&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback&code_verifier=dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// Decides everything.
pub fn measure(criterion: &mut Criterion) {
    let site = Site::open(Random::os());
    let client = Arc::new(site.client("example", TokenFormat::Sealed));
    let mut ways = vec![client_authentication(&client)];
    ways.extend(grant_ways(&site, &client));
    ways.extend(token_ways(&client));
    ways.extend(browser_ways(&client));
    ways.extend(answer_ways(&site, &client));
    compare(criterion, "decision", 1, ways);
}

fn client_authentication(client: &Arc<Client>) -> Way<'static> {
    let client = Arc::clone(client);
    let header = format!("Basic {}", STANDARD.encode("example:a secret that only benchmarks know"));
    Way::new("client authentication", move || {
        let request = ClientRequest { authorization: Some(black_box(&header)), ..ClientRequest::default() };
        let presented = client_auth::presented(&request).expect("credentials");
        client_auth::verify(&presented, Some(&client), START).expect("the right secret");
    })
}

fn grant_ways<'s>(site: &'s Site, client: &Arc<Client>) -> Vec<Way<'s>> {
    let policy = &site.provider().policy;
    let machine = Facts::new(START, policy, Arc::clone(client), Scopes::parse("read"), Vec::new());
    let facts = [
        ("authorization_code", REDEEM, site::code_facts(policy, client)),
        ("refresh_token", b"refresh_token=x", site::refresh_facts(policy, client)),
        ("client_credentials", b"", machine),
    ];
    let way = |(name, body, facts): (&'static str, &'static [u8], Facts<'s>)| {
        let (grant, form) = (grants::find(name).expect("a grant"), Params::parse(body).expect("a form"));
        Way::new(format!("grant {name}"), move || {
            let decision = grant.decide(black_box(&form), black_box(&facts));
            assert!(matches!(decision, Decision::Issue(_)));
            decision
        })
    };
    assert_eq!(facts.len(), grants::GRANTS.len(), "every grant is measured");
    facts.map(way).into_iter().collect()
}

fn token_ways(client: &Arc<Client>) -> Vec<Way<'static>> {
    let claims = site::claims(client);
    let user = site::user();
    let family = site::family(client, &user);
    let refresh = site::presented(&family);
    let (claims_too, user_too, client) = (claims.clone(), user.clone(), Arc::clone(client));
    let (caller, owner, refresh_too) = (Arc::clone(&client), Arc::clone(&client), family.clone());
    let refreshed = move || {
        introspect::refresh_facts(black_box(&refresh), &family, &user, &caller, START).expect("it stands")
    };
    vec![
        Way::new("introspect: visible", {
            let (claims, client) = (claims.clone(), Arc::clone(&client));
            move || introspect::visible(black_box(&claims), &client, &[])
        }),
        Way::new("introspect: a refresh token", refreshed),
        Way::new("revoke: an access token", move || revoke::access_token(black_box(&claims), &client)),
        Way::new("revoke: a refresh token", move || revoke::refresh_token(black_box(&refresh_too), &owner)),
        Way::new("userinfo", move || {
            userinfo::permitted(&claims_too, "http://127.0.0.1:8080").expect("openid");
            userinfo::answer(black_box(&user_too), &claims_too.scopes, &[])
        }),
    ]
}

fn browser_ways(client: &Arc<Client>) -> Vec<Way<'static>> {
    let params = Params::parse(AUTHORIZE).expect("a query");
    let request = authorize::parse(&params, Some(client)).expect("a good request").request;
    let (whole, asking, leaving) = (Arc::clone(client), Arc::clone(client), Arc::clone(client));
    let registered = client.redirect_uris.clone();
    let transaction = SignInTransaction {
        id: Id::default(),
        expires_at: START,
        browser: String::new(),
        begun_session: None,
        consent_shown_in: None,
        then: Continuation::Authorize(request),
        carried: false,
    };
    let next = move || {
        let facts = InteractionFacts { client: &asking, signed_in: None, consent: None, now: START };
        let decision = interaction::decide(Action::Begin, black_box(&transaction), &facts);
        matches!(decision, InteractionDecision::Redirect(_))
    };
    let matches = move || {
        redirect_uri::matches(black_box(&registered), ApplicationType::Web, "https://app.example/callback")
    };
    vec![
        Way::new("authorize", move || authorize::parse(black_box(&params), Some(&whole)).expect("good")),
        Way::new("authorize: what comes next", next),
        Way::new("authorize: redirect URI", matches),
        Way::new("logout", move || logout::decide(&Params::default(), None, Some(&leaving), None)),
        Way::new("PKCE", || pkce::verify(black_box(Some(CHALLENGE)), Some(site::VERIFIER)).is_ok()),
    ]
}

fn answer_ways<'s>(site: &'s Site, client: &Arc<Client>) -> Vec<Way<'s>> {
    let form = Params::parse(REDEEM).expect("a form");
    let client = Arc::clone(client);
    let shared = move || {
        let grant = token::grant(black_box(&form)).expect("a grant");
        token::permitted(grant, &client).expect("registered for it");
        (token::scope(&form).expect("none"), resource::requested(&form).expect("none"))
    };
    let bearer = || {
        let (none, more) = (Params::default(), Params::default());
        bearer::token(black_box(Some("Bearer chy_at_x")), &none, &more).map(|token| token.map(str::len))
    };
    vec![
        Way::new("token: what all grants share", shared),
        Way::new("bearer token", bearer),
        Way::new("metadata", || discovery::metadata(&site.provider().policy.issuer, &SigningAlg::ALL)),
    ]
}
