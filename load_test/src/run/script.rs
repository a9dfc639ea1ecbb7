//! What a virtual client sends next, and what it makes of an answer.

use crate::{
    sign_in::SignedIn,
    target::Target,
    wire::{
        browser::{field, param},
        request::{FORM, Request},
        response::Reader,
    },
    workload::Workload,
};

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Send {
    /// A request of the workload: kind and variant.
    Prepared(usize, usize),
    /// What the script has written, of this kind.
    Written(usize),
}

/// A right answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The flow goes on with another request.
    More,
    /// The flow is complete.
    Done,
}

/// An answer that is not the one a client hopes for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wrong;

/// A virtual client's part.
#[derive(Clone, Debug)]
pub enum Script {
    /// Known requests in turn.
    Plain(Plain),
    /// A chain of refresh tokens.
    Refresh(Refresh),
    /// Signs in, as a new browser each time.
    Login(Login),
    /// Gets a code and redeems it.
    CodeFlow(CodeFlow),
}

impl Script {
    /// What to send; what is not prepared is written to `out`.
    pub fn next(&mut self, workload: &Workload, out: &mut Vec<u8>) -> Send {
        match self {
            Self::Plain(plain) => plain.next(workload),
            Self::Refresh(refresh) => refresh.next(out),
            Self::Login(login) => login.next(out),
            Self::CodeFlow(flow) => flow.next(out),
        }
    }

    /// What an answer means.
    pub fn answered(&mut self, begins: &[u8], status: u16, reader: &Reader) -> Result<Step, Wrong> {
        match self {
            Self::Plain(_) if status == 200 && reader.body_begins(begins) => Ok(Step::Done),
            Self::Plain(_) => Err(Wrong),
            Self::Refresh(refresh) => refresh.answered(status, reader),
            Self::Login(login) => login.answered(status, reader),
            Self::CodeFlow(flow) => flow.answered(status, reader),
        }
    }

    /// The flow broke off: the next one begins anew.
    pub fn reset(&mut self) {
        match self {
            Self::Plain(_) | Self::Refresh(_) => {}
            Self::Login(login) => login.page = None,
            Self::CodeFlow(flow) => flow.code = None,
        }
    }
}

/// Known requests in turn.
#[derive(Clone, Debug)]
pub struct Plain(usize);

impl Plain {
    /// Each client begins at another place, so that they do not march in step.
    pub fn new(client: usize) -> Self {
        Self(client.wrapping_mul(7))
    }

    fn next(&mut self, workload: &Workload) -> Send {
        let op = workload.turn[self.0 % workload.turn.len()];
        let variant = self.0 % workload.ops[op].variants.now().len();
        self.0 = self.0.wrapping_add(1);
        Send::Prepared(op, variant)
    }
}

/// RFC 6749 §6, each time with the token of the last answer.
#[derive(Clone, Debug)]
pub struct Refresh {
    host: String,
    authorization: String,
    token: String,
    body: Vec<u8>,
}

impl Refresh {
    /// A chain that begins with a token.
    pub fn new(target: &Target, token: String) -> Self {
        let (host, authorization) = (target.host.clone(), target.web.authorization.clone());
        Self { host, authorization, token, body: Vec::new() }
    }

    /// Writes the request.
    pub fn next(&mut self, out: &mut Vec<u8>) -> Send {
        write_form(&mut self.body, &[("grant_type", "refresh_token"), ("refresh_token", &self.token)]);
        token_request(&self.host, &self.authorization, &self.body, out);
        Send::Written(0)
    }

    fn answered(&mut self, status: u16, reader: &Reader) -> Result<Step, Wrong> {
        let body = reader.body();
        let token = json_text(&body, b"\"refresh_token\":\"").filter(|_| status == 200).ok_or(Wrong)?;
        self.token.clear();
        self.token.push_str(token);
        Ok(Step::Done)
    }
}

/// `GET /login` and `POST /login`.
#[derive(Clone, Debug)]
pub struct Login {
    host: String,
    origin: String,
    person: (String, String),
    /// The cookies and the CSRF token of the page, once it is there.
    page: Option<(String, String)>,
    body: Vec<u8>,
}

impl Login {
    /// A browser that has not been there.
    pub fn new(target: &Target) -> Self {
        let (host, person) = (target.host.clone(), target.person.clone());
        Self { origin: format!("http://{host}"), host, person, page: None, body: Vec::new() }
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Send {
        let Some((cookies, csrf)) = &self.page else {
            Request { line: ("GET", "/login"), host: &self.host, ..Request::default() }.write(out);
            return Send::Written(0);
        };
        let (user, password) = (&*self.person.0, &*self.person.1);
        let pairs = [("csrf", &**csrf), ("username", user), ("password", password), ("action", "login")];
        write_form(&mut self.body, &pairs);
        let headers = [("Cookie", &**cookies), ("Origin", &*self.origin)];
        let (host, body) = (&*self.host, &*self.body);
        Request { line: ("POST", "/login"), host, headers: &headers, content_type: FORM, body }.write(out);
        Send::Written(1)
    }

    fn answered(&mut self, status: u16, reader: &Reader) -> Result<Step, Wrong> {
        if self.page.take().is_some() {
            let signed_in = is_redirect(status) && !reader.headers("set-cookie").is_empty();
            return if signed_in { Ok(Step::Done) } else { Err(Wrong) };
        }
        let body = reader.body();
        let csrf = field(&String::from_utf8_lossy(&body), "csrf").filter(|_| status == 200).ok_or(Wrong)?;
        let cookies = reader.headers("set-cookie");
        let pairs: Vec<&str> = cookies.iter().filter_map(|cookie| cookie.split(';').next()).collect();
        self.page = Some((pairs.join("; "), csrf));
        Ok(Step::More)
    }
}

/// RFC 6749 §4.1 of somebody who is signed in and has agreed.
#[derive(Clone, Debug)]
pub struct CodeFlow {
    host: String,
    authorization: String,
    cookies: String,
    authorize: String,
    /// The redemption's parameters but for the code.
    redeem: Vec<u8>,
    code: Option<String>,
    body: Vec<u8>,
}

impl CodeFlow {
    /// The flows of one sign-in.
    pub fn new(target: &Target, signed_in: &SignedIn) -> Self {
        let mut redeem = Vec::new();
        let pairs = [
            ("grant_type", "authorization_code"),
            ("redirect_uri", &*target.web.redirect_uri),
            ("code_verifier", &*signed_in.verifier),
        ];
        write_form(&mut redeem, &pairs);
        Self {
            host: target.host.clone(),
            authorization: target.web.authorization.clone(),
            cookies: signed_in.cookies(),
            authorize: signed_in.authorize.clone(),
            redeem,
            code: None,
            body: Vec::new(),
        }
    }

    fn next(&mut self, out: &mut Vec<u8>) -> Send {
        let Some(code) = &self.code else {
            let headers = [("Cookie", &*self.cookies)];
            let line = ("GET", &*self.authorize);
            Request { line, host: &self.host, headers: &headers, ..Request::default() }.write(out);
            return Send::Written(0);
        };
        write_form(&mut self.body, &[("code", code)]);
        self.body.push(b'&');
        self.body.extend_from_slice(&self.redeem);
        token_request(&self.host, &self.authorization, &self.body, out);
        Send::Written(1)
    }

    fn answered(&mut self, status: u16, reader: &Reader) -> Result<Step, Wrong> {
        if self.code.take().is_some() {
            let body = reader.body();
            let tokens = status == 200 && json_text(&body, b"\"access_token\":\"").is_some();
            return if tokens { Ok(Step::Done) } else { Err(Wrong) };
        }
        let location = reader.headers("location").into_iter().next().filter(|_| is_redirect(status));
        self.code = Some(location.and_then(|location| param(&location, "code")).ok_or(Wrong)?);
        Ok(Step::More)
    }
}

/// RFC 9110 §15.4: the two that a browser follows with a GET.
fn is_redirect(status: u16) -> bool {
    status == 302 || status == 303
}

fn token_request(host: &str, authorization: &str, body: &[u8], out: &mut Vec<u8>) {
    let headers = [("Authorization", authorization)];
    let line = ("POST", "/oauth/token");
    Request { line, host, headers: &headers, content_type: FORM, body }.write(out);
}

/// Writes a form in place of another.
fn write_form(body: &mut Vec<u8>, pairs: &[(&str, &str)]) {
    body.clear();
    for (name, value) in pairs {
        if !body.is_empty() {
            body.push(b'&');
        }
        body.extend_from_slice(name.as_bytes());
        body.push(b'=');
        form_urlencoded::byte_serialize(value.as_bytes())
            .for_each(|part| body.extend_from_slice(part.as_bytes()));
    }
}

/// A member of flat JSON whose value needs no escapes, such as a token.
fn json_text<'b>(body: &'b [u8], name: &[u8]) -> Option<&'b str> {
    let begin = body.windows(name.len()).position(|part| part == name)? + name.len();
    let length = body[begin..].iter().position(|sign| *sign == b'"')?;
    str::from_utf8(&body[begin..begin + length]).ok().filter(|text| !text.is_empty() && !text.contains('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> Reader {
        let mut reader = Reader::default();
        reader.space()[..text.len()].copy_from_slice(text.as_bytes());
        assert!(matches!(reader.took(text.len()), Ok(Some(_))), "{text}");
        reader
    }

    #[test]
    fn a_chain_goes_on_with_the_token_of_the_last_answer() {
        let (host, authorization) = ("h".to_owned(), "Basic eA==".to_owned());
        let mut refresh = Refresh { host, authorization, token: "one".into(), body: Vec::new() };
        let sent = |refresh: &mut Refresh| {
            let mut out = Vec::new();
            refresh.next(&mut out);
            String::from_utf8(out).expect("ASCII")
        };
        assert!(sent(&mut refresh).ends_with("grant_type=refresh_token&refresh_token=one"));
        let body = r#"{"access_token":"a","refresh_token":"two+2"}"#;
        let text = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        assert_eq!(refresh.answered(200, &answer(&text)), Ok(Step::Done));
        assert!(sent(&mut refresh).ends_with("&refresh_token=two%2B2"));
        let none = answer("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}");
        assert_eq!(refresh.answered(200, &none), Err(Wrong));
        assert!(sent(&mut refresh).ends_with("&refresh_token=two%2B2"), "it is asked again with the same");
    }

    #[test]
    fn a_login_takes_cookies_and_csrf_from_the_page() {
        let person = ("al ice".to_owned(), "p&w".to_owned());
        let mut login =
            Login { host: "h".into(), origin: "http://h".into(), person, page: None, body: Vec::new() };
        let body = r#"<input name="csrf" value="c">"#;
        let page = format!(
            "HTTP/1.1 200 OK\r\nset-cookie: b=1; Path=/\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut out = Vec::new();
        assert_eq!(login.next(&mut out), Send::Written(0));
        assert_eq!(login.answered(200, &answer(&page)), Ok(Step::More));
        out.clear();
        assert_eq!(login.next(&mut out), Send::Written(1));
        let text = String::from_utf8(out).expect("ASCII");
        assert!(text.contains("Cookie: b=1\r\n") && text.contains("Origin: http://h\r\n"), "{text}");
        assert!(text.ends_with("csrf=c&username=al+ice&password=p%26w&action=login"), "{text}");
        let done = "HTTP/1.1 303 See Other\r\nset-cookie: a_session=x\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(login.answered(303, &answer(done)), Ok(Step::Done));
        assert!(login.page.is_none(), "the next one is a new browser");
        login.page = Some((String::new(), String::new()));
        let refused = "HTTP/1.1 400 Bad Request\r\nset-cookie: b=2\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(login.answered(400, &answer(refused)), Err(Wrong));
    }
}
