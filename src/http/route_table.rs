//! Every route, on one screen. URL path = handler path.
//!
//! A row says path, methods with their handlers, listeners and audience. What is known of a route elsewhere is
//! derived from its row: names in metrics and traces, 405 with Allow, the form of errors, what the documents list.

use super::{
    browser::{account, asset, consent, login},
    oauth::{authorize, cors, introspect, logout, revoke, token, userinfo},
    operations,
    request_context::{Handler, respond},
    route::{
        self, Listener,
        RouteAudience::{self, Operator, Person, Program},
    },
    well_known,
};
use crate::protocol::discovery::path;

/// The handler of a method.
macro_rules! on {
    ($method:literal, $handler:path) => {
        MethodHandler { method: $method, handler: |context| respond($handler, context) }
    };
}
/// The routes of both listeners.
pub static ROUTES: &[RouteEntry] = &[
    public(path::TOKEN, Program, &[on!("POST", token::post), on!("OPTIONS", cors::preflight)]),
    public(path::INTROSPECT, Program, &[on!("POST", introspect::post)]),
    public(path::INTROSPECT_BATCH, Program, &[on!("POST", introspect::batch)]),
    public(path::REVOKE, Program, &[on!("POST", revoke::post), on!("OPTIONS", cors::preflight)]),
    public(
        path::USERINFO,
        Program,
        &[on!("GET", userinfo::get), on!("POST", userinfo::post), on!("OPTIONS", cors::preflight)],
    ),
    public(path::AUTHORIZE, Person, &[on!("GET", authorize::get), on!("POST", authorize::post)]),
    public(path::LOGOUT, Person, &[on!("GET", logout::get), on!("POST", logout::post)]),
    public("/login", Person, &[on!("GET", login::get), on!("POST", login::post)]),
    public("/consent", Person, &[on!("GET", consent::get), on!("POST", consent::post)]),
    public("/account", Person, &[on!("GET", account::get)]),
    public("/account/sessions/end", Person, &[on!("POST", account::end_session)]),
    public("/account/consents/withdraw", Person, &[on!("POST", account::withdraw_consent)]),
    public("/account/sign-out-everywhere", Person, &[on!("POST", account::sign_out_everywhere)]),
    document("/assets/{name}", &[on!("GET", asset::get), on!("HEAD", asset::get)]),
    document(path::OPENID_METADATA, &[on!("GET", well_known::metadata), on!("HEAD", well_known::metadata)]),
    document(path::OAUTH_METADATA, &[on!("GET", well_known::metadata), on!("HEAD", well_known::metadata)]),
    document(path::JWKS, &[on!("GET", well_known::jwks), on!("HEAD", well_known::jwks)]),
    health("/health/live", &[on!("GET", operations::live), on!("HEAD", operations::live)]),
    health("/health/ready", &[on!("GET", operations::ready), on!("HEAD", operations::ready)]),
    operations("/health", &[on!("GET", operations::health)]),
    operations("/metrics", &[on!("GET", operations::metrics)]),
    operations("/api/cache/stats", &[on!("GET", operations::cache_stats)]),
    operations("/api/performance/metrics", &[on!("GET", operations::performance)]),
    #[cfg(feature = "profiling")]
    operations("/debug/profile", &[on!("GET", super::debug::profile)]),
    #[cfg(feature = "profiling")]
    operations("/debug/runtime", &[on!("GET", super::debug::runtime)]),
];

/// A row of the table.
pub struct RouteEntry {
    /// The path, in which `{name}` stands for any one segment.
    pub path: &'static str,
    /// What reads the answers.
    pub audience: RouteAudience,
    /// The listeners that have it.
    pub listeners: &'static [Listener],
    /// Whether it is answered from memory without waiting for anything. Refusing such a request would save
    /// nothing, and health checks must tell an overloaded node from a dead one.
    pub(super) from_memory: bool,
    handlers: &'static [MethodHandler],
    has_parameters: bool,
}

/// A method of a route, and what answers it.
struct MethodHandler {
    method: &'static str,
    handler: Handler,
}

/// A route of the public listener.
const fn public(
    path: &'static str,
    audience: RouteAudience,
    handlers: &'static [MethodHandler],
) -> RouteEntry {
    row(path, (&[Listener::Public], audience, false), handlers)
}

/// A public document.
const fn document(path: &'static str, handlers: &'static [MethodHandler]) -> RouteEntry {
    row(path, (&[Listener::Public], Program, true), handlers)
}

/// A health check, which both listeners have.
const fn health(path: &'static str, handlers: &'static [MethodHandler]) -> RouteEntry {
    row(path, (&[Listener::Public, Listener::Operations], Program, true), handlers)
}

/// A route of the operations listener.
const fn operations(path: &'static str, handlers: &'static [MethodHandler]) -> RouteEntry {
    row(path, (&[Listener::Operations], Operator, false), handlers)
}

const fn row(
    path: &'static str,
    (listeners, audience, from_memory): (&'static [Listener], RouteAudience, bool),
    handlers: &'static [MethodHandler],
) -> RouteEntry {
    let (mut has_parameters, mut at) = (false, 0);
    while at < path.len() {
        has_parameters |= path.as_bytes()[at] == b'{';
        at += 1;
    }
    RouteEntry { path, audience, listeners, from_memory, handlers, has_parameters }
}

impl RouteEntry {
    /// Its methods.
    pub fn methods(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.handlers.iter().map(|handler| handler.method)
    }

    fn fits(&self, path: &str) -> bool {
        if self.has_parameters { route::fits(self.path, path) } else { self.path == path }
    }
}

/// The route that a request leads to.
#[derive(Clone, Copy)]
pub(super) struct RouteMatch {
    pub(super) route: &'static RouteEntry,
    /// Its place in [`ROUTES`], and the place of the request's method in the row; `None` if it has no such method.
    pub(super) index: usize,
    pub(super) method: Option<usize>,
}

impl RouteMatch {
    /// What answers the request; `None` if the route does not have its method.
    pub(super) fn handler(self) -> Option<Handler> {
        self.method.map(|method| self.route.handlers[method].handler)
    }
}

/// Where a path leads to on a listener. A path that a row has as it is goes before those with parameters.
pub(super) fn find(path: &str, method: &str, listener: Listener) -> Option<RouteMatch> {
    let place = |has_parameters: bool| {
        ROUTES.iter().position(|route| {
            route.has_parameters == has_parameters && route.fits(path) && route.listeners.contains(&listener)
        })
    };
    let index = place(false).or_else(|| place(true))?;
    let route = &ROUTES[index];
    let method = route.handlers.iter().position(|handler| handler.method == method);
    Some(RouteMatch { route, index, method })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, listener: Listener) -> Option<&'static str> {
        find(path, "GET", listener).map(|found| found.route.path)
    }

    #[test]
    fn a_path_leads_to_its_route() {
        assert_eq!(route("/oauth/token", Listener::Public), Some("/oauth/token"));
        assert_eq!(route("/assets/chancery.css", Listener::Public), Some("/assets/{name}"));
        for path in ["/", "/oauth", "/oauth/token/", "/assets", "/assets/", "/assets/a/b", "/{name}"] {
            assert_eq!(route(path, Listener::Public), None, "{path}");
        }
    }

    #[test]
    fn each_route_is_found_on_its_listeners_and_no_other_row_is_in_its_way() {
        for entry in ROUTES {
            let path = entry.path.replace(['{', '}'], "");
            for listener in [Listener::Public, Listener::Operations] {
                let expected = entry.listeners.contains(&listener).then_some(entry.path);
                assert_eq!(route(&path, listener), expected, "{path} {listener:?}");
            }
        }
    }

    /// R77
    #[test]
    fn a_percent_encoded_spelling_of_a_path_leads_nowhere() {
        for entry in ROUTES.iter().filter(|entry| !entry.has_parameters) {
            for (at, letter) in entry.path.bytes().enumerate() {
                let encoded = format!("{}%{letter:02x}{}", &entry.path[..at], &entry.path[at + 1..]);
                assert_eq!(route(&encoded, entry.listeners[0]), None, "{encoded}");
            }
        }
    }

    #[test]
    fn a_row_has_each_method_once_and_head_only_beside_get() {
        for entry in ROUTES {
            let mut methods: Vec<_> = entry.methods().collect();
            assert!(!methods.contains(&"HEAD") || methods.contains(&"GET"), "{}", entry.path);
            methods.sort_unstable();
            methods.dedup();
            assert_eq!(methods.len(), entry.methods().count(), "{}", entry.path);
        }
    }

    #[test]
    fn operators_routes_are_on_the_operations_listener_only() {
        for entry in ROUTES {
            let alone = entry.listeners == [Listener::Operations];
            assert_eq!(entry.audience == Operator, alone, "{}", entry.path);
        }
    }
}
