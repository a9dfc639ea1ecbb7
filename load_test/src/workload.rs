//! What is sent: the requests of a run, written beforehand as far as they are known.

use std::time::Duration;

use crate::{
    args::Load,
    distribution::{Distribution, Kind, turn},
    failure::Failure,
    renewal::{Renewal, Variants},
    run::script::{CodeFlow, Login, Plain, Refresh, Script},
    sign_in::SignedIn,
    target::Target,
    wire::{
        browser::{Browser, Page},
        request::{FORM, Request, form},
    },
};

/// What to load with.
#[derive(Clone, Debug)]
pub enum What {
    /// Requests that are known beforehand.
    Mix(Distribution),
    /// This many tokens in one introspection.
    Batch(usize),
    /// Chains of refresh tokens.
    Refresh,
    /// Sign-ins.
    Login,
    /// Code flows.
    CodeFlow,
}

/// A kind of request within a run.
#[derive(Clone, Debug, Default)]
pub struct Op {
    /// Its name in reports.
    pub name: &'static str,
    /// Method and path, for the bare server.
    pub line: (&'static str, &'static str),
    /// What a right answer's body begins with.
    pub begins: &'static [u8],
    /// Whole requests, sent in turn; empty where each request depends on an answer.
    pub variants: Variants,
    /// How long the tokens in them live, if there are any.
    pub lifetime: Option<Duration>,
}

/// An answer of the server that the bare server gives as well.
#[derive(Clone, Debug)]
pub struct Canned {
    /// Method and path.
    pub line: (&'static str, &'static str),
    /// What the body is.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// The requests of a run.
#[derive(Clone, Debug, Default)]
pub struct Workload {
    /// Its kinds of requests.
    pub ops: Vec<Op>,
    /// The order in which the kinds take turns.
    pub turn: Vec<usize>,
    /// Whether several requests make one flow, which is measured as a whole too.
    pub is_flow: bool,
    /// Tokens in each request.
    pub tokens_per_request: usize,
    /// The server's answers, for the bare server; empty where it cannot stand in.
    pub canned: Vec<Canned>,
    /// The virtual clients.
    pub scripts: Vec<Script>,
}

/// The requests of a kind, made when they are needed.
type Make = Box<dyn Fn() -> Result<Vec<Op>, Failure> + Send>;

/// User tokens need a code flow each, and are asked about in turn.
const USER_TOKENS: usize = 32;
/// Batches that differ in the order of their tokens.
const BATCHES: usize = 4;

impl Workload {
    /// Makes the tokens, and asks each thing once to see that it is answered. Tokens that expire are renewed by
    /// what is given with it.
    pub fn prepare(
        what: &What,
        target: &Target,
        load: &Load,
        clients: usize,
    ) -> Result<(Self, Option<Renewal>), Failure> {
        let (of, tokens) = (target.clone(), load.tokens);
        let (make, turn): (Make, _) = match what {
            What::Mix(Distribution(parts)) => {
                let weights: Vec<u32> = parts.iter().map(|(_, weight)| *weight).collect();
                let kinds: Vec<Kind> = parts.iter().map(|(kind, _)| *kind).collect();
                let make = move || kinds.iter().map(|kind| plain_op(*kind, &of, tokens)).collect();
                (Box::new(make), turn(&weights))
            }
            What::Batch(size) => {
                let size = *size;
                (Box::new(move || Ok(vec![batch_op(&of, size)?])), vec![0])
            }
            flow => return Self::flow(flow, target, clients).map(|workload| (workload, None)),
        };
        let plain = Self::plain(make()?, turn, target, clients)?;
        let tokens_per_request = if let What::Batch(size) = what { *size } else { 1 };
        let lifetime = plain.ops.iter().filter_map(|op| op.lifetime).min();
        let variants = plain.ops.iter().map(|op| op.variants.clone()).collect();
        let renewal = lifetime.map(|lifetime| Renewal {
            every: (lifetime / 2).max(Duration::from_secs(1)),
            variants,
            make: Box::new(move || Ok(make()?.into_iter().map(|op| op.variants).collect())),
        });
        Ok((Self { tokens_per_request, ..plain }, renewal))
    }

    fn flow(what: &What, target: &Target, clients: usize) -> Result<Self, Failure> {
        match what {
            What::Mix(_) | What::Batch(_) => unreachable!("these have their requests beforehand"),
            What::Refresh => Self::refresh(target, clients),
            What::Login => {
                SignedIn::new(target)?;
                let ops = vec![op("login page", ("GET", "/login")), op("login form", ("POST", "/login"))];
                let script = Script::Login(Login::new(target));
                Ok(Self { ops, is_flow: true, scripts: vec![script; clients], ..Self::default() })
            }
            What::CodeFlow => {
                let mut signed_in = SignedIn::new(target)?;
                signed_in.tokens(target)?;
                let ops = vec![
                    op("authorize", ("GET", "/oauth/authorize")),
                    op("redeem", ("POST", "/oauth/token")),
                ];
                let script = Script::CodeFlow(CodeFlow::new(target, &signed_in));
                Ok(Self { ops, is_flow: true, scripts: vec![script; clients], ..Self::default() })
            }
        }
    }

    fn plain(ops: Vec<Op>, turn: Vec<usize>, target: &Target, clients: usize) -> Result<Self, Failure> {
        let mut browser = Browser::open(target.address, &target.host)?;
        let canned = ops.iter().map(|op| {
            let page = browser.exchange(&op.variants.now()[0])?;
            check(op, page)
        });
        let canned = canned.collect::<Result<_, Failure>>()?;
        let scripts = (0..clients).map(|client| Script::Plain(Plain::new(client))).collect();
        Ok(Self { ops, turn, canned, scripts, tokens_per_request: 1, ..Self::default() })
    }

    fn refresh(target: &Target, clients: usize) -> Result<Self, Failure> {
        let mut signed_in = SignedIn::new(target)?;
        let mut chain = || {
            let refresh = signed_in.tokens(target)?.refresh.ok_or_else(|| {
                Failure::Run(
                    "the code flow brings no refresh token; check --user-scope and the client".into(),
                )
            })?;
            Ok(Refresh::new(target, refresh))
        };
        let mut browser = Browser::open(target.address, &target.host)?;
        let mut request = Vec::new();
        chain()?.next(&mut request);
        let op = op("refresh", ("POST", "/oauth/token"));
        let canned = vec![check(&op, browser.exchange(&request)?)?];
        let scripts = (0..clients).map(|_| chain().map(Script::Refresh)).collect::<Result<_, Failure>>()?;
        Ok(Self { ops: vec![op], canned, scripts, ..Self::default() })
    }
}

fn op(name: &'static str, line: (&'static str, &'static str)) -> Op {
    Op { name, line, ..Op::default() }
}

fn check(op: &Op, page: Page) -> Result<Canned, Failure> {
    let (method, path) = op.line;
    if page.status != 200 || !page.body.starts_with(op.begins) {
        let words = page.words();
        let next = match page.status {
            401 => "check --client and --web-client",
            200 => "are its tokens good for this client?",
            _ => "is it the server you mean?",
        };
        return Err(Failure::Run(format!("the server answers {words} to {method} {path}: {next}")));
    }
    Ok(Canned { line: op.line, content_type: page.content_type, body: page.body })
}

fn plain_op(kind: Kind, target: &Target, tokens: usize) -> Result<Op, Failure> {
    let get = |path| Request { line: ("GET", path), host: &target.host, ..Request::default() };
    Ok(match kind {
        Kind::Token => {
            let variants = Variants::new(vec![token_request(target)]);
            Op { variants, ..op("token", ("POST", "/oauth/token")) }
        }
        Kind::Introspect => {
            let (tokens, lifetime) = service_tokens(target, tokens)?;
            let variants = tokens.iter().map(|token| {
                let body = form(&[("token", token)]);
                let headers = [("Authorization", &*target.service)];
                post("/oauth/introspect", target, &headers, (FORM, &body))
            });
            let (variants, begins) = (Variants::new(variants.collect()), b"{\"active\":true");
            Op { variants, lifetime, begins, ..op("introspect", ("POST", "/oauth/introspect")) }
        }
        Kind::Userinfo => {
            let mut signed_in = SignedIn::new(target)?;
            let mut lifetime = None;
            let request = |_| {
                let tokens = signed_in.tokens(target)?;
                lifetime = lifetime.into_iter().chain(tokens.lifetime).min();
                let bearer = format!("Bearer {}", tokens.access);
                let headers = [("Authorization", &*bearer)];
                Ok(Request { headers: &headers, ..get("/oauth/userinfo") }.bytes())
            };
            let requests = (0..tokens.clamp(1, USER_TOKENS)).map(request).collect::<Result<_, Failure>>()?;
            Op { variants: Variants::new(requests), lifetime, ..op("userinfo", ("GET", "/oauth/userinfo")) }
        }
        Kind::Discovery => {
            let path = "/.well-known/openid-configuration";
            Op { variants: Variants::new(vec![get(path).bytes()]), ..op("discovery", ("GET", path)) }
        }
        Kind::Jwks => {
            let path = "/.well-known/jwks.json";
            Op { variants: Variants::new(vec![get(path).bytes()]), ..op("jwks", ("GET", path)) }
        }
    })
}

fn batch_op(target: &Target, size: usize) -> Result<Op, Failure> {
    let (mut tokens, lifetime) = service_tokens(target, size)?;
    let variants = (0..BATCHES).map(|_| {
        tokens.rotate_left(size / BATCHES);
        let body = serde_json::json!({ "tokens": tokens }).to_string();
        let headers = [("Authorization", &*target.service)];
        post("/oauth/introspect/batch", target, &headers, ("application/json", &body))
    });
    let variants = Variants::new(variants.collect());
    let begins = b"{\"results\":[{\"active\":true";
    Ok(Op { variants, lifetime, begins, ..op("batch", ("POST", "/oauth/introspect/batch")) })
}

fn post(path: &str, target: &Target, headers: &[(&str, &str)], body: (&str, &str)) -> Vec<u8> {
    let (content_type, body) = body;
    let body = body.as_bytes();
    Request { line: ("POST", path), host: &target.host, headers, content_type, body }.bytes()
}

fn token_request(target: &Target) -> Vec<u8> {
    let headers = [("Authorization", &*target.service)];
    post("/oauth/token", target, &headers, (FORM, "grant_type=client_credentials"))
}

/// Tokens, and how long the first of them to expire lives.
fn service_tokens(target: &Target, count: usize) -> Result<(Vec<String>, Option<Duration>), Failure> {
    let mut browser = Browser::open(target.address, &target.host)?;
    let request = token_request(target);
    let mut lifetime = None;
    let token = |_| {
        let page = browser.exchange(&request)?;
        let json = page.json();
        lifetime = lifetime.into_iter().chain(lives(&json)).min();
        let token = json["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| {
            Failure::Run(format!("the server gives no token but {}; check --client", page.words()))
        })
    };
    let tokens = (0..count.max(1)).map(token).collect::<Result<_, Failure>>()?;
    Ok((tokens, lifetime))
}

/// RFC 6749 §5.1 — how long the access token of an answer lives.
pub fn lives(answer: &serde_json::Value) -> Option<Duration> {
    answer["expires_in"].as_u64().map(Duration::from_secs)
}
