//! Every route, on one screen. URL path = handler path.

use actix_web::{
    HttpResponse, Resource, Route, guard,
    http::Method,
    web::{self, ServiceConfig},
};

use super::{
    dispatch::{RequestContext, ResponseFuture, work},
    error::direct,
    middleware::RequestSummary,
    oauth, operations, pages, well_known,
};
use crate::protocol::discovery::path;

/// The routes of both listeners, with their methods: what metrics and the documents name.
pub const ROUTES: &[(&str, &[&str])] = &[
    (path::TOKEN, &["POST", "OPTIONS"]),
    (path::INTROSPECT, &["POST"]),
    (path::INTROSPECT_BATCH, &["POST"]),
    (path::REVOKE, &["POST", "OPTIONS"]),
    (path::USERINFO, &["GET", "POST", "OPTIONS"]),
    (path::AUTHORIZE, &["GET", "POST"]),
    (path::LOGOUT, &["GET", "POST"]),
    ("/login", &["GET", "POST"]),
    ("/consent", &["GET", "POST"]),
    ("/account", &["GET"]),
    ("/account/sessions/end", &["POST"]),
    ("/account/consents/withdraw", &["POST"]),
    ("/account/sign-out-everywhere", &["POST"]),
    ("/assets/{name}", &["GET", "HEAD"]),
    (path::OPENID_METADATA, &["GET", "HEAD"]),
    (path::OAUTH_METADATA, &["GET", "HEAD"]),
    (path::JWKS, &["GET", "HEAD"]),
    ("/health/live", &["GET", "HEAD"]),
    ("/health/ready", &["GET", "HEAD"]),
    ("/health", &["GET"]),
    ("/metrics", &["GET"]),
    ("/api/cache/stats", &["GET"]),
    ("/api/performance/metrics", &["GET"]),
    #[cfg(feature = "profiling")]
    ("/debug/profile", &["GET"]),
    #[cfg(feature = "profiling")]
    ("/debug/runtime", &["GET"]),
];

/// A place in [`ROUTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RouteIndex(pub(super) usize);

/// Who listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// For everyone.
    Public,
    /// For operators: health and statistics.
    Operations,
}

impl Listener {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Operations => "operations",
        }
    }

    fn has(self, route: &str) -> bool {
        let health = route.starts_with("/health/");
        let statistics = matches!(route, "/health" | "/metrics")
            || ["/api/", "/debug/"].iter().any(|folder| route.starts_with(folder));
        health || statistics == (self == Self::Operations)
    }
}

/// Where a path leads to on a listener.
pub(super) fn index(path: &str, listener: Listener) -> Option<RouteIndex> {
    let leads = |route: &str| match route.strip_suffix("{name}") {
        None => route == path,
        Some(folder) => path.strip_prefix(folder).is_some_and(|name| !name.contains('/')),
    };
    let index = ROUTES.iter().position(|(route, _)| leads(route))?;
    listener.has(ROUTES[index].0).then_some(RouteIndex(index))
}

/// Whether people look at the answers of a route.
pub(super) fn is_for_people(index: RouteIndex) -> bool {
    let route = ROUTES[index.0].0;
    matches!(route, path::AUTHORIZE | path::LOGOUT | "/login" | "/consent") || route.starts_with("/account")
}

/// What programs ask for, answered before actix-web sees it; anything else is given back.
pub(super) fn program(
    summary: &RequestSummary,
    context: RequestContext,
) -> Result<ResponseFuture, RequestContext> {
    use oauth::{cors, introspect, revoke, token, userinfo};
    let Some(RouteIndex(index)) = summary.route else { return Err(context) };
    let (path, methods) = ROUTES[index];
    Ok(match (path, summary.method.as_str()) {
        (path::INTROSPECT, "POST") => work(introspect::post, context),
        (path::INTROSPECT_BATCH, "POST") => work(introspect::batch, context),
        (path::TOKEN, "POST") => work(token::post, context),
        (path::REVOKE, "POST") => work(revoke::post, context),
        (path::USERINFO, "GET") => work(userinfo::get, context),
        (path::USERINFO, "POST") => work(userinfo::post, context),
        (path::TOKEN | path::REVOKE | path::USERINFO, "OPTIONS") => work(cors::preflight, context),
        (path::OPENID_METADATA | path::OAUTH_METADATA, "GET" | "HEAD") => work(well_known::metadata, context),
        (path::JWKS, "GET" | "HEAD") => work(well_known::jwks, context),
        (path, _) if is_for_programs(path) => work(async |_| not_allowed(methods), context),
        _ => return Err(context),
    })
}

fn is_for_programs(path: &str) -> bool {
    path.starts_with("/.well-known/")
        || (path.starts_with("/oauth/") && !matches!(path, path::AUTHORIZE | path::LOGOUT))
}

/// What actix-web answers on the public listener: what people's browsers come for. No CORS here (R15).
pub(super) fn public(app: &mut ServiceConfig) {
    use oauth::{authorize, logout};
    use pages::{account, asset, consent, login};

    app.service(at(path::AUTHORIZE).route(get().to(authorize::get)).route(post().to(authorize::post)))
        .service(at(path::LOGOUT).route(get().to(logout::get)).route(post().to(logout::post)))
        .service(at("/login").route(get().to(login::get)).route(post().to(login::post)))
        .service(at("/consent").route(get().to(consent::get)).route(post().to(consent::post)))
        .service(at("/account").route(get().to(account::get)))
        .service(at("/account/sessions/end").route(post().to(account::end_session)))
        .service(at("/account/consents/withdraw").route(post().to(account::withdraw_consent)))
        .service(at("/account/sign-out-everywhere").route(post().to(account::sign_out_everywhere)))
        .service(at("/assets/{name}").route(get().to(asset::get)).route(head().to(asset::get)));
    health(app);
}

/// The operations listener: statistics, for operators only.
pub(super) fn operations(app: &mut ServiceConfig) {
    health(app);
    app.service(at("/health").route(get().to(operations::health)))
        .service(at("/metrics").route(get().to(operations::metrics)))
        .service(at("/api/cache/stats").route(get().to(operations::cache_stats)))
        .service(at("/api/performance/metrics").route(get().to(operations::performance)));
    #[cfg(feature = "profiling")]
    app.service(at("/debug/profile").route(get().to(super::debug::profile)))
        .service(at("/debug/runtime").route(get().to(super::debug::runtime)));
}

fn health(app: &mut ServiceConfig) {
    app.service(at("/health/live").route(get().to(operations::live)).route(head().to(operations::live)))
        .service(at("/health/ready").route(get().to(operations::ready)).route(head().to(operations::ready)));
}

fn get() -> Route {
    on(Method::GET)
}

fn head() -> Route {
    on(Method::HEAD)
}

fn post() -> Route {
    on(Method::POST)
}

/// Requests of one method. actix's own guard notes down for each request which methods it might have had;
/// [`at`] knows them already.
fn on(method: Method) -> Route {
    web::route().guard(guard::fn_guard(move |request| request.head().method == method))
}

/// A resource of [`ROUTES`], which answers other methods than its own with 405.
fn at(path: &'static str) -> Resource {
    let route = ROUTES.iter().find(|(route, _)| *route == path);
    let (_, methods) = route.unwrap_or_else(|| panic!("{path} is not in ROUTES"));
    web::resource(path).default_service(web::to(move || async move { not_allowed(methods) }))
}

/// RFC 9110 §15.5.6: with the methods that are.
fn not_allowed(methods: &[&str]) -> HttpResponse {
    let mut answer = direct(405, "invalid_request", "This method is not allowed here.");
    let allow = methods.join(", ").parse().expect("method names are header values");
    answer.headers_mut().insert(actix_web::http::header::ALLOW, allow);
    answer
}

/// Everything else.
pub async fn not_found() -> HttpResponse {
    direct(404, "not_found", "There is nothing at this address.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, listener: Listener) -> Option<&'static str> {
        index(path, listener).map(|index| ROUTES[index.0].0)
    }

    #[test]
    fn a_path_leads_to_its_route() {
        assert_eq!(route("/oauth/token", Listener::Public), Some("/oauth/token"));
        assert_eq!(route("/assets/chancery.css", Listener::Public), Some("/assets/{name}"));
        for path in ["/", "/oauth", "/oauth/token/", "/assets", "/assets/a/b"] {
            assert_eq!(route(path, Listener::Public), None, "{path}");
        }
    }

    #[test]
    fn each_listener_has_its_own_routes_and_both_have_health() {
        for (path, public, operations) in [
            ("/oauth/token", true, false),
            ("/health/live", true, true),
            ("/health", false, true),
            ("/metrics", false, true),
            ("/api/cache/stats", false, true),
        ] {
            assert_eq!(route(path, Listener::Public).is_some(), public, "{path}");
            assert_eq!(route(path, Listener::Operations).is_some(), operations, "{path}");
        }
    }

    #[test]
    fn people_are_shown_pages_and_programs_are_not() {
        let people = |path| is_for_people(index(path, Listener::Public).expect("a route"));
        for path in ["/oauth/authorize", "/oauth/logout", "/login", "/consent", "/account/sessions/end"] {
            assert!(people(path) && !is_for_programs(path), "{path}");
        }
        for path in ["/oauth/token", "/oauth/userinfo", "/.well-known/jwks.json"] {
            assert!(!people(path) && is_for_programs(path), "{path}");
        }
    }
}
