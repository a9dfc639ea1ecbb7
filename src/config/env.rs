//! The environment as an argument, so that tests need not touch the process's own.

use std::{collections::BTreeMap, ffi::OsString};

/// Where variables come from.
pub trait Env {
    /// The names of all variables that are set.
    fn names(&self) -> Vec<String>;
    /// The value of one variable.
    fn get(&self, name: &str) -> Option<OsString>;
}

/// The environment of this process.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnv;

impl Env for ProcessEnv {
    fn names(&self) -> Vec<String> {
        std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect()
    }

    fn get(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }
}

impl Env for BTreeMap<String, String> {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn get(&self, name: &str) -> Option<OsString> {
        BTreeMap::get(self, name).map(OsString::from)
    }
}

/// Whether Kubernetes injected this variable for a service whose name begins with `chancery`
/// (Kubernetes documentation, "Environment variables" of Services).
pub(super) fn is_service_link(name: &str, value: &str) -> bool {
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if name.ends_with("_PORT") && value.contains("://") {
        return true;
    }
    // …_PORT_<n>_TCP, and the same with _PROTO, _PORT and _ADDR.
    name.match_indices("_PORT_").any(|(at, found)| {
        let rest = &name[at + found.len()..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        digits > 0
            && ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
                rest[digits..]
                    .strip_prefix(protocol)
                    .is_some_and(|tail| matches!(tail, "" | "_PROTO" | "_PORT" | "_ADDR"))
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_kubernetes_injects_are_recognised() {
        for (name, value) in [
            ("CHANCERY_SERVICE_HOST", "10.0.0.1"),
            ("CHANCERY_SERVICE_PORT", "80"),
            ("CHANCERY_SERVICE_PORT_HTTP", "80"),
            ("CHANCERY_PORT", "tcp://10.0.0.1:80"),
            ("CHANCERY_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("CHANCERY_PORT_80_TCP_PROTO", "tcp"),
            ("CHANCERY_PORT_80_TCP_PORT", "80"),
            ("CHANCERY_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("CHANCERY_OPS_SERVICE_HOST", "10.0.0.2"),
        ] {
            assert!(is_service_link(name, value), "{name}");
        }
    }

    #[test]
    fn names_that_kubernetes_does_not_inject_are_not() {
        for (name, value) in [
            ("CHANCERY_PORT", "8080"),
            ("CHANCERY_PORT_HTTP", "80"),
            ("CHANCERY_PORT_80_TCPX", "80"),
            ("CHANCERY_SERVER_WORKERS", "4"),
        ] {
            assert!(!is_service_link(name, value), "{name}");
        }
    }
}
