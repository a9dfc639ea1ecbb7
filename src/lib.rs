//! Chancery: an OAuth 2.1 / OpenID Connect authorization server.
//!
//! Every endpoint does **load → decide → commit**; the deciding is pure and lives in [`protocol`].
//! Who may import whom is in `ARCHITECTURE.md` and enforced by `tests/tidy.rs`.
//!
//! | specification | rules | use case | HTTP |
//! |---|---|---|---|
//! | RFC 6749 §3.2 — token endpoint | [`protocol::token`], [`protocol::grants`] | `provider/token.rs` | `http/oauth/token.rs` |
//! | RFC 6749 §2.3 — client authentication | [`protocol::client_auth`] | `provider/client_auth.rs` | `http/extract.rs` |
//! | RFC 6749 §4.1, OpenID Connect Core §3 — authorization | [`protocol::authorize`], [`protocol::interaction`] | `provider/authorize.rs` | `http/oauth/authorize.rs` |
//! | RFC 7662 — introspection | [`protocol::introspect`] | `provider/introspect.rs` | `http/oauth/introspect.rs` |
//! | RFC 7009 — revocation | [`protocol::revoke`] | `provider/revoke.rs` | `http/oauth/revoke.rs` |
//! | OpenID Connect Core §5.3, RFC 6750 — userinfo | [`protocol::userinfo`], [`protocol::bearer`] | `provider/userinfo.rs` | `http/oauth/userinfo.rs` |
//! | OpenID Connect RP-Initiated Logout | [`protocol::logout`] | `provider/logout.rs` | `http/oauth/logout.rs` |
//! | RFC 8414, OpenID Connect Discovery — metadata | [`protocol::discovery`] | | `http/well_known.rs` |
//! | RFC 8446 — TLS; RFC 9113 — HTTP/2 | | | `http/tls.rs`, `http/connection/http2.rs` |
//! | RFC 7636 — PKCE | [`protocol::pkce`] | | |
//! | RFC 8707 — resource indicators | [`protocol::resource`], [`protocol::audience`] | | |
//! | RFC 9068 and the sealed form — access tokens | [`protocol::access_token`] | `provider/mint.rs` | |
//! | RFC 9700, RFC 8252 — redirect URIs | [`protocol::redirect_uri`] | | |
//! | OpenID Connect Core §2 — ID tokens | [`protocol::id_token`] | `provider/mint.rs` | |
//! | OpenID Connect Core §10.1.1 — key rotation | [`protocol::key_rotation`] | `provider/keys.rs` | |
//! | RFC 7515, RFC 7517, RFC 7518 — signatures and keys | [`crypto::jws`], [`crypto::jwk`], [`crypto::sign`] | | |

pub mod app;
pub mod cache;
pub mod cli;
pub mod config;
pub mod crypto;
pub mod http;
pub mod model;
pub mod observe;
pub mod protocol;
pub mod provider;
pub mod resilience;
pub mod store;
