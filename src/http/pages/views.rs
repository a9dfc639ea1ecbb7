//! What each page shows. Replaced templates see these names, so they are an interface: fields are added,
//! not renamed.

use serde::{Serialize, Serializer};

use crate::model::{ClientKey, Scopes, SessionId, UnixTime};

/// The sign-in page. Posts `tx`, `csrf`, `username`, `password` and `action` (`login`, `cancel`) to
/// `/login`.
#[derive(Clone, Debug, Serialize)]
pub struct LoginPage {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// The client that waits for the sign-in; `None` when the person came for their own account.
    pub client_name: Option<String>,
    /// The sealed login transaction; without it there is nothing to cancel.
    pub tx: Option<String>,
    /// The CSRF token.
    pub csrf: String,
    /// What was typed before, or the `login_hint`; empty if nothing is known.
    pub username: String,
    /// Why the last attempt failed.
    pub error: Option<LoginError>,
}

/// Why a sign-in failed. Unknown users and wrong passwords are told apart nowhere (R56).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LoginError {
    /// No such pair of user name and password.
    Credentials,
    /// Too many attempts, for this account or from this address.
    TooMany,
    /// The lane for password checks is full.
    Busy,
    /// The form was too old, or came from another browser than the one it was made for.
    Expired,
}

impl LoginError {
    /// The sentence that is shown.
    pub const fn message(self) -> &'static str {
        match self {
            Self::Credentials => "The user name or the password is not right.",
            Self::TooMany => "There have been too many attempts. Wait a little, then try again.",
            Self::Busy => "Many people are signing in just now. Try again in a moment.",
            Self::Expired => "This page was open for too long. Sign in again.",
        }
    }
}

impl Serialize for LoginError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.message())
    }
}

/// The consent page (R19). Posts `tx`, `csrf` and `action` (`allow`, `deny`) to `/consent`.
#[derive(Clone, Debug, Serialize)]
pub struct ConsentPage {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// Who asks.
    pub client_name: String,
    /// Who is signed in.
    pub user_name: String,
    /// What is asked for.
    pub scopes: Vec<ScopeLine>,
    /// Where the tokens will be valid (RFC 8707); empty for the client's default.
    pub resources: Vec<String>,
    /// Lifetime of an access token, in seconds.
    pub access_lifetime: u64,
    /// For how many seconds access can be renewed; `None` if no refresh token will be issued.
    pub refresh_lifetime: Option<u64>,
    /// The host of the redirect URI, or its scheme.
    pub returns_to: Option<String>,
    /// The sealed login transaction.
    pub tx: String,
    /// The CSRF token.
    pub csrf: String,
}

/// A scope and its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScopeLine {
    /// The scope token.
    pub name: String,
    /// What it allows, for people; `None` for free scopes, which show their name.
    pub title: Option<&'static str>,
    /// More about it.
    pub detail: Option<&'static str>,
}

impl ScopeLine {
    /// The words for one scope (OpenID Connect Core §5.4, §11).
    pub fn of(scope: &str) -> Self {
        let (title, detail) = match scope {
            "openid" => ("Recognise you", "By an identifier of your account"),
            "profile" => ("See your profile", "Name, picture, birthday, language and the like"),
            "email" => ("See your e-mail address", "And whether it has been confirmed"),
            "address" => ("See your postal address", ""),
            "phone" => ("See your phone number", "And whether it has been confirmed"),
            "offline_access" => ("Keep access while you are away", "Renewed without asking you again"),
            _ => ("", ""),
        };
        let said = |text: &'static str| (!text.is_empty()).then_some(text);
        Self { name: scope.to_owned(), title: said(title), detail: said(detail) }
    }

    /// The words for a set of scopes, in its order.
    pub fn all(scopes: &Scopes) -> Vec<Self> {
        scopes.iter().map(Self::of).collect()
    }
}

/// An error that may not be redirected (RFC 6749 §4.1.2.1).
#[derive(Clone, Debug, Serialize)]
pub struct ErrorPage {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// The OAuth error code.
    pub code: String,
    /// One sentence for people.
    pub description: String,
    /// The HTTP status it is sent with.
    pub status: u16,
    /// By which the operator finds the request in the log.
    pub request_id: Option<String>,
}

/// Asks before signing out (RP-Initiated Logout §2; R62). Posts `tx`, `csrf` and `action` (`confirm`,
/// `cancel`) to `/oauth/logout`.
#[derive(Clone, Debug, Serialize)]
pub struct LogoutPage {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// The client that asks for it, if it is known.
    pub client_name: Option<String>,
    /// Who is signed in.
    pub user_name: Option<String>,
    /// The sealed request, if it said more than "sign out".
    pub tx: Option<String>,
    /// The CSRF token.
    pub csrf: String,
}

/// After the answer to [`LogoutPage`].
#[derive(Clone, Debug, Serialize)]
pub struct LoggedOutPage {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// Whether the session ended; otherwise the person chose to stay.
    pub signed_out: bool,
    /// The registered `post_logout_redirect_uri`, with its `state`.
    pub continue_to: Option<String>,
    /// Whose it is.
    pub client_name: Option<String>,
}

/// A person's sessions and consents (R20).
#[derive(Clone, Debug, Serialize)]
pub struct AccountPage {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// Who is signed in.
    pub user_name: String,
    /// What was just done, in a sentence.
    pub notice: Option<String>,
    /// Where the person is signed in, the current session first.
    pub sessions: Vec<SessionRow>,
    /// Which applications may do what.
    pub consents: Vec<ConsentRow>,
    /// The CSRF token of every form on the page.
    pub csrf: String,
}

/// A session. Ended by posting `id` and `csrf` to `/account/sessions/end`.
#[derive(Clone, Debug, Serialize)]
pub struct SessionRow {
    /// Posted to end it.
    pub id: SessionId,
    /// The browser's `User-Agent`.
    pub user_agent: String,
    /// When it began.
    pub signed_in: UnixTime,
    /// When it was last used.
    pub last_seen: UnixTime,
    /// Whether it is the one the page is shown in.
    pub current: bool,
}

/// A consent. Withdrawn by posting `id` and `csrf` to `/account/consents/withdraw`.
#[derive(Clone, Debug, Serialize)]
pub struct ConsentRow {
    /// The client's key, posted to withdraw it.
    pub id: ClientKey,
    /// The client's name.
    pub client_name: String,
    /// What it may do.
    pub scopes: Vec<ScopeLine>,
    /// Since when.
    pub since: UnixTime,
}

/// The authorization response as a form (OAuth 2.0 Form Post Response Mode §2).
#[derive(Clone, Debug, Serialize)]
pub struct FormPost {
    /// The host (and port) of the issuer.
    pub issuer_host: String,
    /// The validated redirect URI.
    pub redirect_uri: String,
    /// Its host or scheme, for people.
    pub returns_to: String,
    /// The response's parameters.
    pub params: Vec<(String, String)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_standard_scope_has_words_and_a_free_one_its_name() {
        for scope in ["openid", "profile", "email", "address", "phone", "offline_access"] {
            assert!(ScopeLine::of(scope).title.is_some(), "{scope}");
        }
        let free = ScopeLine::of("invoices:read");
        assert_eq!((free.name.as_str(), free.title), ("invoices:read", None));
    }
}
