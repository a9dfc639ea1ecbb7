//! What people's browsers ask for: `/login`, `/consent`, `/account` and `/assets/` are handled in the file of that
//! name. No CORS here (R15).

pub(super) mod account;
pub(super) mod asset;
pub(super) mod consent;
pub(super) mod login;
pub(super) mod request;
