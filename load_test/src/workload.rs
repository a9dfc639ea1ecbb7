//! What is sent: the requests of a run, written beforehand as far as they are known.

use crate::{
    args::Load,
    distribution::{Distribution, Kind, turn},
    failure::Failure,
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
    pub variants: Vec<Vec<u8>>,
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

/// User tokens need a code flow each, and are asked about in turn.
const USER_TOKENS: usize = 32;
/// Batches that differ in the order of their tokens.
const BATCHES: usize = 4;

impl Workload {
    /// Makes the tokens, and asks each thing once to see that it is answered.
    pub fn prepare(what: &What, target: &Target, load: &Load, clients: usize) -> Result<Self, Failure> {
        match what {
            What::Mix(Distribution(parts)) => {
                let ops = parts.iter().map(|(kind, _)| plain_op(*kind, target, load.tokens));
                let weights: Vec<u32> = parts.iter().map(|(_, weight)| *weight).collect();
                Self::plain(ops.collect::<Result<_, _>>()?, turn(&weights), target, clients)
            }
            What::Batch(size) => {
                let op = batch_op(target, *size)?;
                let plain = Self::plain(vec![op], vec![0], target, clients)?;
                Ok(Self { tokens_per_request: *size, ..plain })
            }
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
            let page = browser.exchange(&op.variants[0])?;
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
            let variants = vec![token_request(target)];
            Op { variants, ..op("token", ("POST", "/oauth/token")) }
        }
        Kind::Introspect => {
            let tokens = service_tokens(target, tokens)?;
            let variants = tokens.iter().map(|token| {
                let body = form(&[("token", token)]);
                let headers = [("Authorization", &*target.service)];
                post("/oauth/introspect", target, &headers, (FORM, &body))
            });
            let variants = variants.collect();
            Op { variants, begins: b"{\"active\":true", ..op("introspect", ("POST", "/oauth/introspect")) }
        }
        Kind::Userinfo => {
            let mut signed_in = SignedIn::new(target)?;
            let request = |_| {
                let bearer = format!("Bearer {}", signed_in.tokens(target)?.access);
                let headers = [("Authorization", &*bearer)];
                Ok(Request { headers: &headers, ..get("/oauth/userinfo") }.bytes())
            };
            let variants = (0..tokens.clamp(1, USER_TOKENS)).map(request).collect::<Result<_, Failure>>()?;
            Op { variants, ..op("userinfo", ("GET", "/oauth/userinfo")) }
        }
        Kind::Discovery => {
            let path = "/.well-known/openid-configuration";
            Op { variants: vec![get(path).bytes()], ..op("discovery", ("GET", path)) }
        }
        Kind::Jwks => {
            let path = "/.well-known/jwks.json";
            Op { variants: vec![get(path).bytes()], ..op("jwks", ("GET", path)) }
        }
    })
}

fn batch_op(target: &Target, size: usize) -> Result<Op, Failure> {
    let mut tokens = service_tokens(target, size)?;
    let variants = (0..BATCHES).map(|_| {
        tokens.rotate_left(size / BATCHES);
        let body = serde_json::json!({ "tokens": tokens }).to_string();
        let headers = [("Authorization", &*target.service)];
        post("/oauth/introspect/batch", target, &headers, ("application/json", &body))
    });
    let variants = variants.collect();
    let begins = b"{\"results\":[{\"active\":true";
    Ok(Op { variants, begins, ..op("batch", ("POST", "/oauth/introspect/batch")) })
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

fn service_tokens(target: &Target, count: usize) -> Result<Vec<String>, Failure> {
    let mut browser = Browser::open(target.address, &target.host)?;
    let request = token_request(target);
    let token = |_| {
        let page = browser.exchange(&request)?;
        let token = page.json()["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| {
            Failure::Run(format!("the server gives no token but {}; check --client", page.words()))
        })
    };
    (0..count.max(1)).map(token).collect()
}
