//! The bare server of `--baseline`: actix-web and nothing else, with the other server's payloads. It runs
//! in a process of its own, so that its CPU time can be told from that of the generator.

use std::{
    io::{BufRead, BufReader, Read, Write, stdin, stdout},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    http::header::{AUTHORIZATION, CONTENT_TYPE},
    web::{self, Bytes},
};
use serde::{Deserialize, Serialize};

use crate::{failure::Failure, workload::Canned};

/// What it is told to answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Answer {
    method: String,
    path: String,
    content_type: String,
    body: String,
}

/// A bare server in a child process, which ends with this value.
pub struct Bare {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Bare {
    /// Starts it.
    pub fn start(canned: &[Canned], workers: usize) -> Result<Self, Failure> {
        let failed = |error| Failure::io("start the bare server", error);
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["bare-server", "--workers", &workers.to_string()]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let answers: Vec<Answer> = canned.iter().map(Answer::of).collect();
        let text = serde_json::to_string(&answers).map_err(|error| failed(error.into()))?;
        // It is left open: the child ends when it is closed, however this process ends.
        let told = child.stdin.as_mut().map(|stdin| writeln!(stdin, "{text}").and_then(|()| stdin.flush()));
        let mut line = String::new();
        let said = child.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let mut bare = Self { child, address: SocketAddr::from(([127, 0, 0, 1], 0)) };
        told.transpose().and(said.transpose()).map_err(failed)?;
        bare.address =
            line.trim().parse().map_err(|_| Failure::Run("the bare server did not start".into()))?;
        Ok(bare)
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Answer {
    fn of(canned: &Canned) -> Self {
        let (method, path) = canned.line;
        let body = String::from_utf8_lossy(&canned.body).into_owned();
        Self { method: method.into(), path: path.into(), content_type: canned.content_type.clone(), body }
    }
}

/// What the child process does: reads its answers from the first line of its input, prints where it
/// listens, and serves until the input ends.
pub fn serve(workers: usize) -> Result<(), Failure> {
    let failed = |error| Failure::io("serve", error);
    let mut line = String::new();
    stdin().lock().read_line(&mut line).map_err(failed)?;
    let answers: Vec<Answer> = serde_json::from_str(&line).map_err(|error| failed(error.into()))?;
    std::thread::spawn(|| {
        let _ = stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let app = move || {
        let answers = answers.clone();
        App::new()
            .app_data(web::PayloadConfig::new(16 << 20))
            .configure(move |app| answers.iter().for_each(|answer| route(app, answer)))
    };
    actix_web::rt::System::new()
        .block_on(async move {
            let server = HttpServer::new(app).workers(workers).bind(("127.0.0.1", 0))?;
            for address in server.addrs() {
                writeln!(stdout(), "{address}")?;
            }
            server.run().await
        })
        .map_err(failed)
}

fn route(app: &mut web::ServiceConfig, answer: &Answer) {
    let body = Bytes::from(answer.body.clone());
    let content_type = answer.content_type.clone();
    let respond =
        move || HttpResponse::Ok().insert_header((CONTENT_TYPE, content_type.as_str())).body(body.clone());
    let route = if answer.method == "POST" {
        web::post().to(move |request: HttpRequest, body: Bytes| {
            std::future::ready(if is_known(&request, &body) { respond() } else { refuse() })
        })
    } else {
        web::get().to(move |request: HttpRequest| {
            // Looked up, as a handler would; the metadata need none.
            let known = request.headers().get(AUTHORIZATION).is_none_or(|value| !value.is_empty());
            std::future::ready(if known { respond() } else { refuse() })
        })
    };
    app.route(&answer.path, route);
}

/// The least that a handler does with a POST: it looks for credentials and takes the form apart.
fn is_known(request: &HttpRequest, body: &Bytes) -> bool {
    let authorized = request.headers().contains_key(AUTHORIZATION);
    let is_json = request.headers().get(CONTENT_TYPE).is_some_and(|value| value == "application/json");
    authorized && (is_json || form_urlencoded::parse(body).all(|(name, _)| !name.is_empty()))
}

fn refuse() -> HttpResponse {
    HttpResponse::Unauthorized().finish()
}
