//! The engine: bytes in, bytes out, CPU only. No async, no clock, no I/O but the operating system's
//! random numbers.
//!
//! What is sealed can only be read by Chancery ([`seal`]), what is signed can be checked by everybody
//! ([`sign`]), what is opaque means nothing without its row ([`opaque`]).

mod aead;
mod argon2id;
#[cfg(target_arch = "x86_64")]
mod avx512;
pub mod base64url;
pub mod digest;
pub mod jwk;
pub mod jws;
pub mod keyring;
pub mod keys;
pub mod opaque;
pub mod password;
pub mod random;
pub mod refresh_token;
mod retry;
pub mod seal;
pub mod sign;
