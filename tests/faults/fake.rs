//! A tiny authorization server with a flaw of one's choice: the load and the checker together must
//! find it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::{App, HttpResponse, HttpServer, web};
use chancery::{
    crypto::{base64url, sign::PrivateKey},
    model::SigningAlg,
};
use serde_json::{Value, json};

use crate::faults::driver::{Address, Credentials, Driver, REDIRECT};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// Looks whether a refresh token is spent, and spends it later.
    RefreshNotAtomic,
    /// A revocation is known only where it was made.
    RevokedInCacheOnly,
    /// Each node has its own list of spent codes.
    CodesSpentPerNode,
    /// A key signs before others can know it.
    KeyNotPublished,
    /// Some rotations are acknowledged and not written.
    WritesLost,
}

/// What both nodes share: their database.
struct Ledger {
    flaw: Flaw,
    keys: [PrivateKey; 2],
    grants: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    codes: HashMap<String, HashSet<usize>>,
    /// Refresh tokens: the family, and what came of it.
    refresh: HashMap<String, (String, Option<Value>)>,
    family: HashMap<String, String>,
    /// Dead families and access tokens, and at which node that is known.
    dead: HashMap<String, HashSet<usize>>,
}

struct FakeNode {
    number: usize,
    ledger: Arc<Ledger>,
}

/// Two nodes with the same flaw, and a driver for them.
pub fn start(flaw: Flaw) -> Driver {
    let keys = [(); 2].map(|()| PrivateKey::generate(SigningAlg::EdDSA).expect("a key").0);
    let (grants, state) = (AtomicUsize::new(0), Mutex::default());
    let ledger = Arc::new(Ledger { flaw, keys, grants, state });
    let addresses = (0..2).map(|number| serve(FakeNode { number, ledger: Arc::clone(&ledger) }));
    Driver::new(addresses.collect(), Credentials::default())
}

fn serve(node: FakeNode) -> Address {
    let node = web::Data::new(node);
    let server = HttpServer::new(move || {
        App::new()
            .app_data(node.clone())
            .route("/oauth/token", web::post().to(token))
            .route("/oauth/introspect", web::post().to(introspect))
            .route("/oauth/userinfo", web::get().to(userinfo))
            .route("/oauth/revoke", web::post().to(revoke))
            .route("/oauth/authorize", web::get().to(authorize))
            .route("/.well-known/jwks.json", web::get().to(key_set))
    });
    let server = server.workers(1).disable_signals().bind("127.0.0.1:0").expect("a free port");
    let address = server.addrs()[0].to_string();
    tokio::spawn(server.run());
    Arc::new(std::sync::RwLock::new(address))
}

type Form = web::Form<HashMap<String, String>>;
type Here = web::Data<FakeNode>;

impl FakeNode {
    fn state(&self) -> MutexGuard<'_, State> {
        self.ledger.state.lock().expect("no handler panicked")
    }

    fn kill(&self, state: &mut State, what: &str) {
        let nodes = match self.ledger.flaw {
            Flaw::RevokedInCacheOnly => vec![self.number],
            _ => vec![0, 1],
        };
        state.dead.entry(what.to_owned()).or_default().extend(nodes);
    }

    fn is_dead(&self, state: &State, token: &str) -> bool {
        let known = |what: &str| state.dead.get(what).is_some_and(|nodes| nodes.contains(&self.number));
        known(token) || state.family.get(token).is_some_and(|family| known(family))
    }

    fn is_active(&self, token: &str) -> bool {
        let state = self.state();
        let refresh = state.refresh.get(token);
        let is_known = match token.starts_with("rt") {
            true => refresh.is_some_and(|(_, next)| next.is_none()),
            false => token.starts_with("at"),
        };
        is_known && !self.is_dead(&state, token)
    }

    /// The tokens of a grant, those of a family written down.
    fn issue(&self, family: Option<&str>) -> Value {
        let number = self.ledger.grants.fetch_add(1, Ordering::Relaxed);
        let access = format!("at{number:020}");
        let mut body = json!({ "access_token": access, "token_type": "Bearer", "expires_in": 900 });
        if let Some(family) = family {
            let refresh = format!("rt{number:020}");
            body["refresh_token"] = refresh.clone().into();
            body["id_token"] = self.sign(number).into();
            let mut state = self.state();
            for token in [&access, &refresh] {
                state.family.insert(token.clone(), family.to_owned());
            }
            let is_lost = self.ledger.flaw == Flaw::WritesLost && number % 20 == 19;
            if !is_lost {
                state.refresh.insert(refresh, (family.to_owned(), None));
            }
        }
        body
    }

    fn sign(&self, number: usize) -> String {
        let is_early = self.ledger.flaw == Flaw::KeyNotPublished && number > 100;
        let key = &self.ledger.keys[usize::from(is_early)];
        let header = json!({ "alg": "EdDSA", "kid": key.kid() }).to_string();
        let message =
            format!("{}.{}", base64url::encode(header.as_bytes()), base64url::encode(br#"{"sub":"alice"}"#));
        let signature = base64url::encode(&key.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }

    async fn rotate(&self, token: &str) -> Option<Value> {
        let (family, next) = self.state().refresh.get(token)?.clone();
        if self.is_dead(&self.state(), token) {
            return None;
        }
        if let Some(next) = next {
            let successor = next["refresh_token"].as_str().unwrap_or_default();
            let mut state = self.state();
            if state.refresh.get(successor).is_none_or(|(_, next)| next.is_none()) {
                return Some(next);
            }
            self.kill(&mut state, &family);
            return None;
        }
        let fresh = self.issue(Some(&family));
        if self.ledger.flaw == Flaw::RefreshNotAtomic {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let mut state = self.state();
        let held = &mut state.refresh.get_mut(token)?.1;
        if self.ledger.flaw == Flaw::RefreshNotAtomic {
            *held = Some(fresh.clone());
            return Some(fresh);
        }
        Some(held.get_or_insert(fresh).clone())
    }

    fn redeem(&self, code: &str) -> Option<Value> {
        {
            let mut state = self.state();
            let nodes = state.codes.get_mut(code)?;
            let is_spent = match self.ledger.flaw {
                Flaw::CodesSpentPerNode => nodes.contains(&self.number),
                _ => !nodes.is_empty(),
            };
            nodes.insert(self.number);
            if is_spent {
                self.kill(&mut state, code);
                return None;
            }
        }
        Some(self.issue(Some(code)))
    }
}

async fn token(here: Here, form: Form) -> HttpResponse {
    let of = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let answer = match of("grant_type") {
        "client_credentials" => Some(here.issue(None)),
        "authorization_code" => here.redeem(of("code")),
        _ => here.rotate(of("refresh_token")).await,
    };
    match answer {
        Some(body) => HttpResponse::Ok().json(body),
        None => HttpResponse::BadRequest().json(json!({ "error": "invalid_grant" })),
    }
}

async fn introspect(here: Here, form: Form) -> HttpResponse {
    HttpResponse::Ok().json(json!({ "active": here.is_active(&form["token"]) }))
}

async fn userinfo(here: Here, request: actix_web::HttpRequest) -> HttpResponse {
    let token = request.headers().get("authorization").and_then(|value| value.to_str().ok());
    match here.is_active(token.unwrap_or_default().trim_start_matches("Bearer ")) {
        true => HttpResponse::Ok().json(json!({ "sub": "alice" })),
        false => HttpResponse::Unauthorized().json(json!({ "error": "invalid_token" })),
    }
}

async fn revoke(here: Here, form: Form) -> HttpResponse {
    let mut state = here.state();
    let token = &form["token"];
    let family = state.family.get(token).filter(|_| token.starts_with("rt")).cloned();
    here.kill(&mut state, family.as_ref().unwrap_or(token));
    HttpResponse::Ok().finish()
}

async fn authorize(here: Here) -> HttpResponse {
    let code = format!("code{}", here.ledger.grants.fetch_add(1, Ordering::Relaxed));
    here.state().codes.insert(code.clone(), HashSet::new());
    HttpResponse::SeeOther().insert_header(("location", format!("{REDIRECT}?code={code}"))).finish()
}

async fn key_set(here: Here) -> HttpResponse {
    let published = match here.ledger.flaw {
        Flaw::KeyNotPublished => 1,
        _ => 2,
    };
    let keys: Vec<Value> = here.ledger.keys[..published]
        .iter()
        .map(|key| {
            let mut jwk = serde_json::to_value(key.public_jwk()).expect("JSON");
            jwk["kid"] = key.kid().into();
            jwk
        })
        .collect();
    HttpResponse::Ok().insert_header(("cache-control", "max-age=3600")).json(json!({ "keys": keys }))
}
