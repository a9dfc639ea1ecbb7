//! HTTP/1.1 as the load needs it: requests as bytes, answers read in pieces, and a small browser.

pub mod browser;
pub mod request;
pub mod response;
