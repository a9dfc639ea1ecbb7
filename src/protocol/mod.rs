//! The specifications, pure: no `async`, no clock, no randomness, no HTTP, no database, no logging.
//!
//! Time and randomness are arguments, side effects are data. One file per specification or concept,
//! named by the specification's own word; one file per grant type in [`grants`].

pub mod access_token;
pub mod audience;
pub mod authorize;
pub mod authorize_response;
pub mod bearer;
pub mod claims;
pub mod client_auth;
mod client_request;
pub mod discovery;
pub mod error;
pub mod grants;
pub mod id_token;
pub mod interaction;
pub mod introspect;
mod json;
pub mod key_rotation;
pub mod logout;
pub mod params;
pub mod password_policy;
pub mod pkce;
pub mod policy;
pub mod redirect_uri;
pub mod registration;
pub mod resource;
pub mod revoke;
pub mod standard_claims;
pub mod standing;
pub mod token;
pub mod transaction;
pub mod userinfo;
pub mod username;

pub use client_request::ClientRequest;
pub use error::{ErrorCode, OauthError};
pub use params::Params;
pub use policy::Policy;
