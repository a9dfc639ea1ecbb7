//! TLS of the public listener (RFC 8446, RFC 5246): its certificate, which is renewed while it serves.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{Context, SHA256, digest};
use rustls::{
    Error, InconsistentKeys, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::config::{Fault, TlsConfig};

/// RFC 7301 §6, RFC 9113 §3.2: what is spoken inside, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The certificate that new connections are shown, and where it is from.
#[derive(Debug)]
pub struct Certificate {
    files: TlsConfig,
    provider: Arc<CryptoProvider>,
    current: ArcSwap<CertifiedKey>,
    /// What the last check of the files found, so that nothing is done or logged twice.
    seen: Mutex<Found>,
}

/// What a look at the files found, as a digest: of their contents, or of why they cannot be read.
type Found = [u8; 32];

/// What became of a look at the files.
#[derive(Debug)]
pub enum Renewal {
    /// They are as they were.
    Unchanged,
    /// New connections are shown another certificate: its SHA-256 fingerprint.
    Renewed(String),
    /// They are no pair that can be used; the one in force stays.
    Refused(Fault),
}

impl Certificate {
    /// Reads the pair, or says which file is wrong and what to do.
    pub fn open(files: &TlsConfig) -> Result<Self, Fault> {
        let provider = Arc::new(default_provider());
        let pair = PemPair::read(files)?;
        let current = ArcSwap::from_pointee(pair.parse(files, &provider)?);
        let seen = Mutex::new(pair.digest());
        Ok(Self { files: files.clone(), provider, current, seen })
    }

    /// Looks at the files again. Their contents are compared, so that it does not matter how they were
    /// replaced: written over, renamed, or by a link that leads elsewhere, as Kubernetes does it.
    pub fn renew(&self) -> Renewal {
        let pair = PemPair::read(&self.files);
        let found = match &pair {
            Ok(pair) => pair.digest(),
            Err(fault) => sha256(fault.to_string().as_bytes()),
        };
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if std::mem::replace(&mut *seen, found) == found {
            return Renewal::Unchanged;
        }
        match pair.and_then(|pair| pair.parse(&self.files, &self.provider)) {
            Err(fault) => Renewal::Refused(fault),
            Ok(key) => {
                let fingerprint = fingerprint(&key);
                self.current.store(Arc::new(key));
                Renewal::Renewed(fingerprint)
            }
        }
    }

    /// The SHA-256 fingerprint of the certificate in force, as `openssl x509 -fingerprint` writes it.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.current.load())
    }

    /// Whether users other than the owner and the group may read the private key.
    pub fn key_is_exposed(&self) -> bool {
        std::fs::metadata(&self.files.key).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
    }

    /// Where the private key is.
    pub fn key_file(&self) -> &Path {
        &self.files.key
    }

    /// How connections are secured: TLS 1.2 and 1.3 with the suites that rustls has, which are all
    /// authenticated encryption with forward secrecy.
    pub(super) fn server_config(self: Arc<Self>) -> ServerConfig {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("the provider knows TLS 1.2 and 1.3")
            .with_no_client_auth()
            .with_cert_resolver(self);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).into();
        config
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current.load_full())
    }
}

/// The contents of both files.
struct PemPair {
    cert: Vec<u8>,
    key: zeroize::Zeroizing<Vec<u8>>,
}

impl PemPair {
    fn read(files: &TlsConfig) -> Result<Self, Fault> {
        let read = |name: &str, path: &Path| {
            std::fs::read(path).map_err(|error| {
                let how = "name a file in PEM that the user the server runs as may read";
                fault(name, path, &format!("cannot be read: {error}; {how}"))
            })
        };
        Ok(Self { cert: read("cert", &files.cert)?, key: read("key", &files.key)?.into() })
    }

    fn parse(&self, files: &TlsConfig, provider: &CryptoProvider) -> Result<CertifiedKey, Fault> {
        let wrong_cert = |problem: &str| {
            let how =
                "it must hold the server's certificate, then those of the authorities between it and a root";
            fault("cert", &files.cert, &format!("{problem}; {how}, in PEM"))
        };
        let wrong_key = |problem: &str| {
            let how =
                "it must hold the certificate's key in PEM, RSA or ECDSA or Ed25519, without a passphrase";
            fault("key", &files.key, &format!("{problem}; {how}"))
        };
        let chain: Vec<_> = CertificateDer::pem_slice_iter(&self.cert)
            .collect::<Result<_, _>>()
            .map_err(|error| wrong_cert(&format!("is not PEM ({error})")))?;
        if chain.is_empty() {
            return Err(wrong_cert("holds no certificate"));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| wrong_key(&format!("holds no private key ({error})")))?;
        let signing = provider.key_provider.load_private_key(key);
        let signing = signing.map_err(|_| wrong_key("holds a private key that cannot be used"))?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) => Ok(certified),
            Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                let cert = files.cert.display();
                Err(fault(
                    "key",
                    &files.key,
                    &format!(
                        "is not the key of the certificate in {cert}; put the two that belong together in place"
                    ),
                ))
            }
            Err(error) => Err(wrong_cert(&format!("holds a certificate that cannot be used ({error})"))),
        }
    }

    fn digest(&self) -> Found {
        let mut context = Context::new(&SHA256);
        context.update(&sha256(&self.cert));
        context.update(&sha256(&self.key));
        bytes(&context.finish())
    }
}

fn fault(name: &str, path: &Path, problem: &str) -> Fault {
    Fault::new(format!("[tls] {name}"), format!("{} {problem}", path.display()))
}

fn sha256(content: &[u8]) -> Found {
    bytes(&digest(&SHA256, content))
}

fn bytes(digest: &aws_lc_rs::digest::Digest) -> Found {
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn fingerprint(key: &CertifiedKey) -> String {
    let leaf = key.cert.first().map(|certificate| sha256(certificate)).unwrap_or_default();
    leaf.map(|byte| format!("{byte:02X}")).join(":")
}
