//! What a row of the route table is made of: listeners, audiences, and paths with parameters.
//!
//! Paths are compared as they were sent, byte for byte: a percent-encoded spelling of a path is another path, so
//! that a proxy before the server and the server itself cannot differ about where a request goes (R77).

/// A socket that requests come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// For everyone.
    Public,
    /// For operators: health and statistics.
    Operations,
}

impl Listener {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Operations => "operations",
        }
    }
}

/// What reads the answers of a route, and with that the form of its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteAudience {
    /// Clients and resource servers: JSON.
    Program,
    /// People with a browser: pages.
    Person,
    /// Operators and their tools: JSON.
    Operator,
}

/// Whether a path has the form of a template: the same segments, and any text that is not empty in place of each
/// `{parameter}`.
pub(super) fn fits(template: &str, path: &str) -> bool {
    let (mut expected, mut given) = (template.split('/'), path.split('/'));
    loop {
        match (expected.next(), given.next()) {
            (None, None) => return true,
            (Some(expected), Some(given)) => match parameter_name(expected) {
                Some(_) if given.is_empty() => return false,
                None if given != expected => return false,
                _ => {}
            },
            _ => return false,
        }
    }
}

/// The text that stands in a path in place of a parameter of its template, as it was sent.
pub(super) fn parameter<'p>(template: &str, path: &'p str, name: &str) -> Option<&'p str> {
    let mut segments = template.split('/').zip(path.split('/'));
    segments.find(|(expected, _)| parameter_name(expected) == Some(name)).map(|(_, given)| given)
}

fn parameter_name(segment: &str) -> Option<&str> {
    segment.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_takes_the_place_of_exactly_one_segment() {
        let template = "/admin/v1/clients/{id}/secrets/{secret}";
        assert!(fits(template, "/admin/v1/clients/a/secrets/b"));
        for path in [
            "/admin/v1/clients/a/secrets",
            "/admin/v1/clients/a/secrets/",
            "/admin/v1/clients//secrets/b",
            "/admin/v1/clients/a/secrets/b/",
            "/admin/v1/clients/a/b/secrets/c",
            "/admin/v1/clients/a/secret/b",
            "/admin/v1/client%73/a/secrets/b",
        ] {
            assert!(!fits(template, path), "{path}");
        }
    }

    #[test]
    fn a_parameter_is_read_by_its_name_as_it_was_sent() {
        let (template, path) = ("/clients/{id}/secrets/{secret}", "/clients/a%2fb/secrets/..");
        assert_eq!(parameter(template, path, "id"), Some("a%2fb"));
        assert_eq!(parameter(template, path, "secret"), Some(".."));
        assert_eq!(parameter(template, path, "clients"), None);
    }
}
