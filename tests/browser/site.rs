//! A server with alice, and an application that waits on the loopback interface for its answer.

use std::sync::{Arc, Mutex};

use chancery::model::*;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    browser::webdriver::Chromium,
    http::{
        app::TestApp,
        browser::{add_user, request_with},
    },
};

/// The server, and what the application has received.
pub struct Site {
    pub app: TestApp,
    /// The application's redirect URI.
    pub redirect_uri: String,
    received: Arc<Mutex<Vec<String>>>,
}

impl Site {
    pub async fn start(change: impl FnOnce(&mut Client)) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let redirect_uri = format!("http://{}/callback", listener.local_addr().expect("an address"));
        let received = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(answer_all(listener, Arc::clone(&received)));
        let app = TestApp::start().await;
        add_user(&app, "alice").await;
        app.client("app", |client| {
            client.name = "Notes".into();
            client.auth_method = AuthMethod::None;
            client.secrets = vec![];
            client.redirect_uris = vec![redirect_uri.clone()];
            client.post_logout_redirect_uris = vec![redirect_uri.clone()];
            client.grants = vec!["authorization_code".into(), "refresh_token".into()];
            change(client);
        })
        .await;
        Self { app, redirect_uri, received }
    }

    /// The link that begins everything.
    pub fn link(&self, changes: &[(&str, &str)]) -> String {
        let redirect = [("redirect_uri", &*self.redirect_uri)];
        let redirect =
            if changes.iter().any(|(name, _)| *name == "redirect_uri") { &[][..] } else { &redirect };
        format!("{}{}", self.app.url, request_with(&[redirect, changes].concat()))
    }

    /// The parameters of the answer, once the browser has brought it: of the query, or of the body.
    pub async fn answer(&self, chromium: &Chromium) -> Vec<(String, String)> {
        let arrived = chromium.until("answer", async || {
            let received = self.received.lock().expect("no panic").clone();
            received.into_iter().find(|request| request.contains("iss="))
        });
        let request = arrived.await;
        let (head, body) = request.split_once("\r\n\r\n").expect("a head");
        let target = head.split(' ').nth(1).expect("a target");
        let text = if head.starts_with("POST ") { body } else { target.split_once('?').expect("a query").1 };
        form_urlencoded::parse(text.as_bytes()).into_owned().collect()
    }

    /// Fills in the sign-in form and sends it.
    pub async fn sign_in(&self, chromium: &Chromium, name: &str) {
        chromium.fill("username", name).await;
        chromium.fill("password", crate::http::browser::PASSWORD).await;
        chromium.click("login-submit").await;
    }
}

/// An application's side of the redirect: takes what comes and says thank you.
pub async fn answer_all(listener: TcpListener, received: Arc<Mutex<Vec<String>>>) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let received = Arc::clone(&received);
        tokio::spawn(async move {
            let (mut request, mut piece) = (String::new(), [0; 16 * 1024]);
            while let Ok(size @ 1..) = stream.read(&mut piece).await {
                request.push_str(&String::from_utf8_lossy(&piece[..size]));
                if is_whole(&request) {
                    break;
                }
            }
            received.lock().expect("no panic").push(request);
            let page = "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 43\r\nconnection: close\r\n\r\n\
                        <!doctype html><h1 id=\"arrived\">Arrived</h1>";
            let _ = stream.write_all(page.as_bytes()).await;
        });
    }
}

fn is_whole(request: &str) -> bool {
    let Some((head, body)) = request.split_once("\r\n\r\n") else { return false };
    let length = head.to_ascii_lowercase();
    let length = length.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    body.len() >= length.unwrap_or(0)
}

/// The value of a parameter of the answer.
pub fn value<'a>(answer: &'a [(String, String)], name: &str) -> &'a str {
    answer.iter().find(|(held, _)| held == name).map_or("", |(_, value)| value)
}
