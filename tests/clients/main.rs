//! Real clients that others wrote, against a real server on a real socket.

#[path = "../http/app.rs"]
#[allow(dead_code)]
mod app;
#[path = "../http/browser.rs"]
#[allow(dead_code)]
mod browser;
mod oauth2_crate;
mod openidconnect_crate;
