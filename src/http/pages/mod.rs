//! The pages people see: sign-in, consent, error, sign-out, account and form_post.
//!
//! Views go in, HTML comes out; there is no HTTP here. Every value is escaped by the template engine,
//! and no page needs a script, an inline style or anything from another origin, so that the policy of
//! [`headers`] can forbid them all.

pub mod assets;
pub(crate) mod calendar;
pub mod headers;
mod overrides;
mod samples;
pub mod text;
mod user_agent;
pub mod views;

use std::{borrow::Cow, path::Path};

use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, value::Serde};
use serde::Serialize;

pub use assets::{ASSETS, Asset};
pub use headers::{form_action_source, security_headers};
pub use overrides::PagesError;
pub use views::*;

use overrides::Overrides;

/// The built-in templates by file name; a template folder may replace each of them.
const TEMPLATES: [(&str, &str); 8] = [
    ("account.html", include_str!("templates/account.html")),
    ("consent.html", include_str!("templates/consent.html")),
    ("error.html", include_str!("templates/error.html")),
    ("form_post.html", include_str!("templates/form_post.html")),
    ("layout.html", include_str!("templates/layout.html")),
    ("logged_out.html", include_str!("templates/logged_out.html")),
    ("login.html", include_str!("templates/login.html")),
    ("logout.html", include_str!("templates/logout.html")),
];

/// The body of a page, to be sent as `text/html; charset=utf-8` with [`security_headers`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Html(pub String);

impl From<Html> for String {
    fn from(html: Html) -> Self {
        html.0
    }
}

/// The compiled pages. Made once at start, shared by all workers.
#[derive(Debug)]
pub struct PageTemplates {
    builtin: Environment<'static>,
    branded: Option<Environment<'static>>,
    assets: Vec<Asset>,
}

impl PageTemplates {
    /// Compiles the built-in templates and those that replace them.
    ///
    /// Each file of `templates_dir` must bear the name of a built-in template or `chancery.css`. The
    /// replacements are compiled, and each page is tried with sample values, so that a mistake is found
    /// at start and not by the first person who signs in.
    ///
    /// # Errors
    /// Everything that is wrong with the folder, at once.
    pub fn new(templates_dir: Option<&Path>) -> Result<Self, PagesError> {
        let overrides = match templates_dir {
            Some(folder) => Overrides::read(folder)?,
            None => Overrides::default(),
        };
        let mut assets = ASSETS.to_vec();
        if let Some(css) = overrides.stylesheet
            && let Some(asset) = assets.iter_mut().find(|asset| asset.path == assets::STYLESHEET)
        {
            *asset = Asset::new(asset.path, asset.content_type, Cow::Owned(css));
        }
        let mut builtin = environment(&assets);
        for (name, source) in TEMPLATES {
            builtin.add_template(name, source).expect("the built-in templates compile");
        }
        let branded = match overrides.templates {
            templates if templates.is_empty() => None,
            templates => Some(overrides::compile(builtin.clone(), templates)?),
        };
        Ok(Self { builtin, branded, assets })
    }

    /// What is served under `/assets/`: [`ASSETS`], or the folder's stylesheet in place of the built-in.
    pub fn assets(&self) -> &[Asset] {
        &self.assets
    }

    /// The asset at a path, for example `/assets/chancery.css`.
    pub fn asset(&self, path: &str) -> Option<&Asset> {
        self.assets.iter().find(|asset| asset.path == path)
    }

    /// The sign-in page.
    pub fn login(&self, view: &LoginPage) -> Html {
        self.render("login.html", view)
    }

    /// The consent page.
    pub fn consent(&self, view: &ConsentPage) -> Html {
        self.render("consent.html", view)
    }

    /// The error page. Code and description are limited to the characters of RFC 6749 §4.1.2.1.
    pub fn error(&self, view: &ErrorPage) -> Html {
        let view = ErrorPage {
            code: text::limited(&view.code),
            description: text::limited(&view.description),
            ..view.clone()
        };
        self.render("error.html", &view)
    }

    /// The page that asks whether to sign out (RP-Initiated Logout §2).
    pub fn logout(&self, view: &LogoutPage) -> Html {
        self.render("logout.html", view)
    }

    /// The page after signing out or staying. A link that no form could be sent to (`javascript:` and
    /// the like) is left out.
    pub fn logged_out(&self, view: &LoggedOutPage) -> Html {
        let mut view = view.clone();
        view.continue_to.take_if(|link| form_action_source(link).is_none());
        self.render("logged_out.html", &view)
    }

    /// The page that lists sessions and consents.
    pub fn account(&self, view: &AccountPage) -> Html {
        self.render("account.html", view)
    }

    /// The page that posts an authorization response to the client (Form Post Response Mode §2).
    ///
    /// A redirect URI that the policy could not name gets the error page instead: it cannot have been
    /// registered, so nothing may be sent there.
    pub fn form_post(&self, view: &FormPost) -> Html {
        if form_action_source(&view.redirect_uri).is_none() {
            return self.error(&ErrorPage {
                issuer_host: view.issuer_host.clone(),
                code: "invalid_request".to_owned(),
                description: "The answer cannot be sent to this redirect URI.".to_owned(),
                status: 400,
                request_id: None,
            });
        }
        self.render("form_post.html", view)
    }

    /// A replaced template that fails is answered with the built-in one.
    fn render<V: Serialize>(&self, name: &'static str, view: &V) -> Html {
        let context = Value::from(Serde(view));
        if let Some(branded) = &self.branded {
            match branded.get_template(name).and_then(|template| template.render(&context)) {
                Ok(body) => return Html(body),
                Err(error) => {
                    tracing::error!(template = name, %error, "template failed to render; using the built-in one");
                }
            }
        }
        let body = self.builtin.get_template(name).and_then(|template| template.render(&context));
        Html(body.expect("the built-in templates render every view"))
    }
}

/// An environment with our filters and nothing to load templates from but memory.
fn environment(assets: &[Asset]) -> Environment<'static> {
    let mut env = Environment::new();
    env.set_auto_escape_callback(|_| AutoEscape::Html);
    env.set_undefined_behavior(UndefinedBehavior::Strict);
    env.add_filter("plain", |text: &str| text::plain(text));
    env.add_filter("duration", calendar::duration);
    env.add_filter("moment", calendar::moment);
    env.add_filter("iso", calendar::iso);
    env.add_filter("browser", |user_agent: &str| user_agent::name(user_agent));
    let urls: Vec<(String, String)> =
        assets.iter().map(|asset| (asset.file_name().to_owned(), asset.url())).collect();
    env.add_function("asset", move |name: &str| {
        let url = urls.iter().find(|(file, _)| file == name).map(|(_, url)| url.clone());
        // Marked safe: made of our own names and a hash, so that it needs no escapes.
        url.map(Value::from_safe_string).ok_or_else(|| {
            minijinja::Error::new(minijinja::ErrorKind::InvalidOperation, format!("there is no asset {name}"))
        })
    });
    env
}

#[cfg(test)]
mod tests;
