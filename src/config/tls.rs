//! `[tls]`: the certificate of the public listener.

use std::path::PathBuf;

use super::{reader::SettingReader, value::path};

/// Files of the public listener's certificate. Without them it speaks plain HTTP.
#[derive(Clone, Debug)]
pub struct TlsConfig {
    /// The certificate, and those of the authorities between it and a root (PEM).
    pub cert: PathBuf,
    /// The private key of the certificate (PEM).
    pub key: PathBuf,
}

impl TlsConfig {
    pub(super) fn read(reader: &mut SettingReader) -> Option<Self> {
        let (cert, key) = (("tls", "cert"), ("tls", "key"));
        let read = (reader.optional(cert, path), reader.optional(key, path));
        if reader.is_given(cert) && !reader.is_given(key) {
            reader.refuse(key, "is required with `cert`; name the file of the certificate's private key");
        }
        if reader.is_given(key) && !reader.is_given(cert) {
            reader.refuse(cert, "is required with `key`; name the file of the key's certificate");
        }
        let (Some(cert), Some(key)) = read else { return None };
        Some(Self { cert, key })
    }
}
