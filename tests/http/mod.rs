//! The HTTP surface, tested from outside: a real server on a real socket, with a clock moved by hand.

mod account;
mod administration;
pub mod app;
mod authorize;
mod bad_input;
pub mod browser;
mod canary;
mod claims;
mod client_auth;
mod compression;
mod consent;
mod enumeration;
mod hot_path;
mod http1;
mod http2;
mod introspect;
mod keys;
mod login;
mod logout;
mod metadata;
mod metrics;
mod operations;
mod overload;
mod pages;
mod pkce;
#[cfg(feature = "profiling")]
mod profiling;
mod prompt;
mod races;
mod refresh;
mod revoke;
mod standing;
mod token;
mod traces;
mod userinfo;
