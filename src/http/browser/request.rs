//! One browser's request, and the answers it can get: pages and redirects, never CORS headers.

use actix_web::{
    HttpResponse, HttpResponseBuilder, ResponseError,
    http::{
        Method, StatusCode,
        header::{CONTENT_TYPE, LOCATION, RETRY_AFTER, SET_COOKIE, USER_AGENT},
    },
};

use crate::{
    http::{
        cookies::{BrowserCookies, Cookie},
        error::{ErrorReply, retry_after},
        extract::FormBody,
        pages::{ErrorPage, FormPost, Html, PageTemplates, form_action_source, security_headers},
        request_context::RequestContext,
        state::AppState,
    },
    observe::{request_id, unavailable},
    protocol::{
        Params,
        authorize_response::{AuthorizeResponse, with_query},
    },
    provider::{Browser, BrowserStep, PageError, Provider, ProviderError},
};

/// A request of a browser.
pub struct BrowserRequest<'a> {
    state: &'a AppState,
    cookies: BrowserCookies,
    /// The browser, as its cookies identify it.
    pub browser: Browser,
    session: Option<String>,
    /// Whether a new browser may be given its cookie.
    may_set_cookie: bool,
}

impl<'a> BrowserRequest<'a> {
    /// Recognises the browser by its cookies.
    pub fn new(context: &'a RequestContext) -> Self {
        let (state, headers) = (context.state(), context.headers());
        let provider = &state.provider;
        let cookies = BrowserCookies::of(&provider.policy.issuer);
        let user_agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let (browser, session) =
            (cookies.read(headers, Cookie::Browser), cookies.read(headers, Cookie::Session));
        // A form posted by another site comes without cookies (SameSite=Lax): what this answer set would
        // replace the browser's own, and break what it has open.
        let may_set_cookie = context.method() == Method::GET;
        let browser = provider.sign_in.browser(browser, session, user_agent);
        Self { state, cookies, browser, session: None, may_set_cookie }
    }

    /// The use cases.
    pub fn provider(&self) -> &'a Provider {
        &self.state.provider
    }

    /// The templates.
    pub fn pages(&self) -> &'a PageTemplates {
        &self.state.pages
    }

    /// The issuer's host and port, as people see it. Configuration, never the request (R67).
    pub fn issuer_host(&self) -> String {
        issuer_host(self.state)
    }

    /// Whether the browser brought no cookie of ours.
    pub fn is_new(&self) -> bool {
        self.browser.new_cookie.is_some()
    }

    /// Sets the session cookie with the answer.
    #[must_use]
    pub fn signed_in(self, cookie: &str) -> Self {
        let session = Some(self.cookies.set(Cookie::Session, cookie));
        Self { session, ..self }
    }

    /// Takes the session cookie away with the answer.
    #[must_use]
    pub fn signed_out(self) -> Self {
        let session = Some(self.cookies.clear(Cookie::Session));
        Self { session, ..self }
    }

    /// A page. `redirect_uri` is where its form's POST may lead in the end, for the policy.
    pub fn page(&self, status: u16, html: Html, redirect_uri: Option<&str>) -> HttpResponse {
        with_page(self.answer(status, redirect_uri), html)
    }

    /// A redirect that always becomes a GET (R12).
    pub fn see_other(&self, location: &str) -> HttpResponse {
        self.answer(303, None).insert_header((LOCATION, location)).finish()
    }

    fn answer(&self, status: u16, redirect_uri: Option<&str>) -> HttpResponseBuilder {
        let mut answer = without_cookies(status, redirect_uri);
        if let Some(cookie) = self.browser.new_cookie.as_ref().filter(|_| self.may_set_cookie) {
            answer.append_header((SET_COOKIE, self.cookies.set(Cookie::Browser, cookie.expose())));
        }
        if let Some(cookie) = &self.session {
            answer.append_header((SET_COOKIE, cookie.as_str()));
        }
        answer
    }

    /// The answer that the use case decided on.
    pub fn step(&self, step: BrowserStep) -> HttpResponse {
        match step {
            BrowserStep::Login(transaction) => self.see_other(&with_query("/login", &[("tx", transaction)])),
            BrowserStep::Consent(transaction) => {
                self.see_other(&with_query("/consent", &[("tx", transaction)]))
            }
            BrowserStep::Answer(AuthorizeResponse::Redirect(location)) => self.see_other(&location),
            BrowserStep::Answer(AuthorizeResponse::FormPost { redirect_uri, params }) => {
                let view = FormPost {
                    issuer_host: self.issuer_host(),
                    returns_to: returns_to(&redirect_uri),
                    params: params.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
                    redirect_uri,
                };
                self.page(200, self.pages().form_post(&view), Some(&view.redirect_uri))
            }
        }
    }

    /// The error page (R2).
    pub fn error(&self, error: &PageError) -> HttpResponse {
        if let PageError::Failed(failure) = error {
            match failure {
                ProviderError::Refused(_) => {}
                ProviderError::Unavailable(cause) => unavailable::count(cause),
                ProviderError::Internal(cause) => {
                    tracing::error!(%cause, "answering 500: internal error on a page")
                }
            }
        }
        let (status, error) = error.answer();
        self.error_page(status, error.code.as_str(), &error.safe_description())
    }

    /// The parameters of a posted form, or the page that says why it could not be read.
    #[expect(clippy::result_large_err, reason = "the page is the answer, and is moved once")]
    pub fn posted<'f>(&self, form: &'f Result<FormBody, ErrorReply>) -> Result<Params<'f>, HttpResponse> {
        match form.as_ref().map(FormBody::params) {
            Ok(Ok(params)) => Ok(params),
            Ok(Err(failure)) => Err(self.unreadable(&failure)),
            Err(failure) => Err(self.unreadable(failure)),
        }
    }

    /// The page for a request that could not be read.
    fn unreadable(&self, failure: &ErrorReply) -> HttpResponse {
        let error = failure.error();
        self.error_page(failure.status_code().as_u16(), error.code.as_str(), &error.safe_description())
    }

    fn error_page(&self, status: u16, code: &str, description: &str) -> HttpResponse {
        self.page(status, error_html(self.state, status, code, description), None)
    }

    /// The same request as a GET. Browsers keep cookies from a POST of another site (SameSite=Lax) and
    /// send them with the redirect, so this finds out who is signed in.
    pub fn again_as_get(&self, path: &str, params: &Params<'_>) -> HttpResponse {
        let pairs: Vec<_> = params.iter().collect();
        self.see_other(&with_query(path, &pairs))
    }
}

/// The page in place of an answer that its handler did not give; no cookies are touched.
pub fn error_page(state: &AppState, failure: &ErrorReply) -> HttpResponse {
    let (status, error) = (failure.status_code().as_u16(), failure.error());
    let html = error_html(state, status, error.code.as_str(), &error.safe_description());
    with_page(without_cookies(status, None), html)
}

fn error_html(state: &AppState, status: u16, code: &str, description: &str) -> Html {
    state.pages.error(&ErrorPage {
        issuer_host: issuer_host(state),
        code: code.to_owned(),
        description: description.to_owned(),
        status,
        request_id: request_id::current().map(|id| id.to_string()),
    })
}

fn without_cookies(status: u16, redirect_uri: Option<&str>) -> HttpResponseBuilder {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = HttpResponseBuilder::new(status);
    let form_action = redirect_uri.and_then(form_action_source);
    for (name, value) in security_headers(form_action.as_deref()) {
        answer.insert_header((name, value.as_ref()));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.insert_header((RETRY_AFTER, retry_after()));
    }
    answer
}

fn with_page(mut answer: HttpResponseBuilder, html: Html) -> HttpResponse {
    answer.insert_header((CONTENT_TYPE, "text/html; charset=utf-8")).body(html.0)
}

fn issuer_host(state: &AppState) -> String {
    let issuer = &state.provider.policy.issuer;
    issuer.split_once("://").map_or(issuer.as_str(), |(_, host)| host).to_owned()
}

/// A redirect URI's host or, without one, its scheme: what a person can recognise.
pub fn returns_to(redirect_uri: &str) -> String {
    let uri = url::Url::parse(redirect_uri).ok();
    let shown = uri.and_then(|uri| {
        uri.host_str().map_or_else(|| Some(uri.scheme().to_owned()), |host| Some(host.to_owned()))
    });
    shown.unwrap_or_default()
}
