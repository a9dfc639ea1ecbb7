//! The OAuth endpoints: `/oauth/<name>` is handled in the file of that name.

pub mod authorize;
pub mod cors;
pub mod introspect;
pub mod logout;
pub mod revoke;
pub mod token;
pub mod userinfo;
