//! A person before two nodes, who must not notice that they are two.

use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;

use crate::{
    browser::{site::answer_all, webdriver::Chromium},
    cli::behind_proxy::{PASSWORD, Site},
    http::browser::request_with,
};

#[tokio::test]
#[ignore = "needs chromium and chromedriver; ./scripts/test runs it"]
async fn a_person_signs_in_consents_and_signs_out_over_two_nodes() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let redirect_uri = format!("http://{}/callback", listener.local_addr().expect("an address"));
    let received = Arc::new(Mutex::new(Vec::new()));
    tokio::spawn(answer_all(listener, Arc::clone(&received)));
    let site = Site::start().await;
    site.client(&redirect_uri);

    let chromium = Chromium::start().await;
    let link = format!("{}{}", site.url, request_with(&[("redirect_uri", &redirect_uri)]));
    chromium.open(&link).await;
    chromium.fill("username", "alice").await;
    chromium.fill("password", PASSWORD).await;
    chromium.click("login-submit").await;
    chromium.click("consent-allow").await;
    chromium.wait_for("arrived").await;
    let arrived = received.lock().expect("no panic").iter().any(|request| request.contains("code=chy_ac_"));
    assert!(arrived, "{received:?}");
    // Signed in and agreed: nothing is asked any more, on either node.
    for _ in 0..2 {
        chromium.open(&link).await;
        chromium.wait_for("arrived").await;
    }
    chromium.open(&format!("{}/oauth/logout", site.url)).await;
    chromium.click("logout-confirm").await;
    chromium.wait_for("logout-success").await;
    for _ in 0..2 {
        chromium.open(&link).await;
        chromium.wait_for("login-submit").await;
    }
}
