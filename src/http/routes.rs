//! Every route, on one screen. URL path = handler path.

use actix_web::{
    HttpResponse, Resource, Route, guard,
    http::Method,
    web::{self, ServiceConfig},
};

use super::{error::direct, middleware::RouteIndex, oauth, operations, pages, well_known};
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
];

/// Where a path leads to, before it is routed or after the request is gone.
pub(super) fn index(path: &str) -> Option<RouteIndex> {
    let leads = |route: &str| match route.strip_suffix("{name}") {
        None => route == path,
        Some(folder) => path.strip_prefix(folder).is_some_and(|name| !name.contains('/')),
    };
    ROUTES.iter().position(|(route, _)| leads(route)).map(RouteIndex)
}

/// Whether people look at the answers of a route.
pub(super) fn is_for_people(index: RouteIndex) -> bool {
    let route = ROUTES[index.0].0;
    matches!(route, path::AUTHORIZE | path::LOGOUT | "/login" | "/consent") || route.starts_with("/account")
}

/// The public listener.
pub fn public(app: &mut ServiceConfig) {
    app.service(
        at(path::TOKEN).route(post().to(oauth::token::post)).route(options().to(oauth::cors::preflight)),
    )
    .service(at(path::INTROSPECT_BATCH).route(post().to(oauth::introspect::batch)))
    .service(at(path::INTROSPECT).route(post().to(oauth::introspect::post)))
    .service(
        at(path::REVOKE).route(post().to(oauth::revoke::post)).route(options().to(oauth::cors::preflight)),
    )
    .service(
        at(path::USERINFO)
            .route(get().to(oauth::userinfo::get))
            .route(post().to(oauth::userinfo::post))
            .route(options().to(oauth::cors::preflight)),
    )
    .service(
        at(path::OPENID_METADATA)
            .route(get().to(well_known::metadata))
            .route(head().to(well_known::metadata)),
    )
    .service(
        at(path::OAUTH_METADATA).route(get().to(well_known::metadata)).route(head().to(well_known::metadata)),
    )
    .service(at(path::JWKS).route(get().to(well_known::jwks)).route(head().to(well_known::jwks)));
    browser(app);
    health(app);
}

/// What people's browsers come for. No CORS here (R15).
fn browser(app: &mut ServiceConfig) {
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
}

/// The operations listener: figures, for operators only.
pub fn operations(app: &mut ServiceConfig) {
    health(app);
    app.service(at("/health").route(get().to(operations::health)))
        .service(at("/metrics").route(get().to(operations::metrics)))
        .service(at("/api/cache/stats").route(get().to(operations::cache_stats)))
        .service(at("/api/performance/metrics").route(get().to(operations::performance)));
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

fn options() -> Route {
    on(Method::OPTIONS)
}

/// Requests of one method. actix's own guard notes down for each request which methods it might have had;
/// [`at`] knows them already.
fn on(method: Method) -> Route {
    web::route().guard(guard::fn_guard(move |request| request.head().method == method))
}

/// A resource of [`ROUTES`], which knows its place there and answers other methods with 405.
fn at(path: &'static str) -> Resource {
    let index = ROUTES.iter().position(|(route, _)| *route == path);
    let index = index.unwrap_or_else(|| panic!("{path} is not in ROUTES"));
    let allow = ROUTES[index].1.join(", ");
    web::resource(path).app_data(RouteIndex(index)).default_service(web::to(move || {
        let allow = allow.clone();
        async move {
            let mut answer = direct(405, "invalid_request", "This method is not allowed here.");
            answer.headers_mut().insert(
                actix_web::http::header::ALLOW,
                allow.parse().expect("method names are header values"),
            );
            answer
        }
    }))
}

/// Everything else.
pub async fn not_found() -> HttpResponse {
    direct(404, "not_found", "There is nothing at this address.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_its_route() {
        let route = |path| index(path).map(|index| ROUTES[index.0].0);
        assert_eq!(route("/oauth/token"), Some("/oauth/token"));
        assert_eq!(route("/assets/chancery.css"), Some("/assets/{name}"));
        for path in ["/", "/oauth", "/oauth/token/", "/assets", "/assets/a/b"] {
            assert_eq!(route(path), None, "{path}");
        }
    }

    #[test]
    fn people_are_shown_pages_and_programs_are_not() {
        let people = |path| is_for_people(index(path).expect("a route"));
        for path in ["/oauth/authorize", "/oauth/logout", "/login", "/consent", "/account/sessions/end"] {
            assert!(people(path), "{path}");
        }
        for path in ["/oauth/token", "/oauth/userinfo", "/oauth/jwks", "/health/ready"] {
            assert!(index(path).is_none_or(|index| !is_for_people(index)), "{path}");
        }
    }
}
