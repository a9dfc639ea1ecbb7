//! Real clients that others wrote, against a real server on a real socket.

mod oauth2_crate;
mod openidconnect_crate;
