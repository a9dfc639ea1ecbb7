//! Connections of the public listener: TLS, and which HTTP is spoken in them (RFC 9113 §3).
//!
//! actix-web's server would wait without end for the first bytes where HTTP/2 is possible too, and has no
//! limits for HTTP/2 (docs/decisions/0016); so HTTP/2 is a loop of our own, and so is what is plain of
//! HTTP/1.1 (docs/decisions/0021). The rest of HTTP/1.1 is actix's.

mod date;
mod http1;
mod http2;
mod replay;
mod translate;

use std::{
    cell::Cell,
    io,
    net::{SocketAddr, TcpListener},
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use actix_http::{
    HttpService, Protocol, Request, Response, StatusCode,
    body::{BodySize, BoxBody, MessageBody as _},
    error::{DispatchError, ParseError},
};
use actix_server::{GracefulShutdownSignal, Server};
use actix_service::{Service, ServiceFactory as _, fn_factory, fn_service};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    runtime::Handle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use self::{date::Date, http1::Left, replay::Replay};
use super::{
    admission::ConnectionGauge,
    coarse_timeout,
    dispatch::Dispatcher,
    route::Listener,
    state::{AppState, Settings},
    tls::Certificate,
    worker::WorkerContext,
};
use crate::observe::Rejection;

/// How long a connection that ends may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// actix's clock for HTTP/1.1 is up to half a second late, and it never notices a time that is past when
/// it is set: with less than this a client could stay for ever.
const LEAST_HEAD_TIMEOUT: Duration = Duration::from_millis(600);

/// RFC 9113 §3.4: what a client with prior knowledge begins with, as far as it must be seen.
const PREFACE: &[u8; 12] = b"PRI * HTTP/2";

/// A stream of bytes from and to a client.
trait Wire: AsyncRead + AsyncWrite + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + 'static> Wire for T {}

/// A connection on its way to whoever speaks its HTTP.
type Accepted<T> = (T, Protocol, Option<SocketAddr>);

/// Answers on the socket, with a dispatcher for each worker.
pub(super) fn listen(
    socket: TcpListener,
    certificate: Option<Arc<Certificate>>,
    (listener, state, settings): (Listener, &AppState, &Settings),
) -> io::Result<Server> {
    let builder = Server::build()
        .workers(settings.workers)
        .max_concurrent_connections(settings.max_connections)
        .shutdown_timeout(settings.shutdown_timeout.as_secs().max(1))
        .disable_signals();
    let (stopping, settings, state) = (builder.graceful_shutdown_signal(), settings.clone(), state.clone());
    let acceptor = certificate.map(|certificate| TlsAcceptor::from(Arc::new(certificate.server_config())));
    let workers = move || {
        let (state, settings) = (state.clone(), settings.clone());
        let (stopping, acceptor) = (stopping.clone(), acceptor.clone());
        fn_factory(move || {
            let context = WorkerContext::new(&state, &settings, listener);
            let around = Around {
                worker: Rc::clone(&context),
                stopping: stopping.clone(),
                acceptor: acceptor.clone(),
                leaving: Rc::default(),
                date: Rc::default(),
            };
            async move {
                let worker = Rc::new(worker(Rc::new(Dispatcher::new(context)), around).await?);
                Ok::<_, ()>(fn_service(move |socket| Rc::clone(&worker).accept(socket)))
            }
        })
    };
    Ok(builder.listen(listener.as_str(), socket, workers)?.run())
}

/// What answers a request, whichever HTTP it came by.
trait Answers: Service<Request, Response = Response<BoxBody>, Error = Response<BoxBody>> + 'static {}

impl<S> Answers for S where
    S: Service<Request, Response = Response<BoxBody>, Error = Response<BoxBody>> + 'static
{
}

/// What every connection is handled with.
#[derive(Clone)]
struct Around {
    worker: Rc<WorkerContext>,
    stopping: GracefulShutdownSignal,
    acceptor: Option<TlsAcceptor>,
    /// Set when the server begins to stop.
    leaving: Rc<Cell<bool>>,
    date: Rc<Cell<Date>>,
}

impl Around {
    /// The time, for the header of an answer.
    fn date(&self) -> Date {
        let date = self.date.get().at(self.worker.state.provider.clock.now().0);
        self.date.set(date);
        date
    }
}

/// How long an answer says that its body is. RFC 9110 §8.6, §15.4.5: these two have none, and say nothing.
fn stated_size(status: StatusCode, body: &BoxBody) -> BodySize {
    if matches!(status.as_u16(), 204 | 304) { BodySize::None } else { body.size() }
}

/// The connections of one worker.
struct WorkerConnections<A, P, T> {
    app: Rc<A>,
    /// actix's HTTP/1.1, on a plain connection and under TLS.
    plain: P,
    secured: T,
    around: Around,
}

/// actix's HTTP/1.1.
async fn dispatcher<T: Wire, A: Answers>(
    app: &Rc<A>,
    around: &Around,
) -> Result<impl Service<Accepted<T>, Response = (), Error = DispatchError> + use<T, A>, ()> {
    let (app, stopping) = (Rc::clone(app), around.stopping.clone());
    HttpService::build()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        .keep_alive(around.worker.settings.keep_alive)
        .client_request_timeout(around.worker.settings.head_timeout.max(LEAST_HEAD_TIMEOUT))
        .client_disconnect_timeout(FAREWELL)
        .finish(fn_factory(move || std::future::ready(Ok::<_, ()>(Rc::clone(&app)))))
        .new_service(())
        .await
}

async fn worker<A: Answers>(
    app: Rc<A>,
    around: Around,
) -> Result<
    WorkerConnections<
        A,
        impl Service<Accepted<Replay<TcpStream>>, Response = (), Error = DispatchError> + use<A>,
        impl Service<Accepted<Replay<TlsStream<TcpStream>>>, Response = (), Error = DispatchError> + use<A>,
    >,
    (),
> {
    if around.worker.listener == Listener::Public {
        // Each worker is the one of a runtime of its own.
        let runtime = Handle::current().metrics();
        let busy = move || runtime.worker_total_busy_duration(0);
        around.worker.state.provider.metrics.worker_started(busy);
    }
    let (stopping, leaving) = (around.stopping.clone(), Rc::clone(&around.leaving));
    actix_web::rt::spawn(async move {
        stopping.notified().await;
        leaving.set(true);
        coarse_timeout::wake_all();
    });
    let (plain, secured) = (dispatcher(&app, &around).await?, dispatcher(&app, &around).await?);
    Ok(WorkerConnections { app, plain, secured, around })
}

impl<A, P, T> WorkerConnections<A, P, T>
where
    A: Answers,
    P: Service<Accepted<Replay<TcpStream>>, Response = (), Error = DispatchError>,
    T: Service<Accepted<Replay<TlsStream<TcpStream>>>, Response = (), Error = DispatchError>,
{
    /// Counts what was no request: actix has answered it 400 or 431.
    fn count(&self, error: &DispatchError) {
        let reason = match error {
            DispatchError::Parse(ParseError::TooLarge) => Rejection::HeaderTooLarge,
            DispatchError::Parse(_) => Rejection::Malformed,
            _ => return,
        };
        self.around.worker.state.provider.metrics.rejected(reason);
    }

    /// Serves a connection to its end. Errors of the client are counted, not logged.
    async fn accept(self: Rc<Self>, socket: TcpStream) -> Result<(), ()> {
        let _open = ConnectionGauge::open(&self.around.worker.state.provider.metrics);
        let peer = socket.peer_addr().ok();
        if let Some(acceptor) = &self.around.acceptor {
            // On the heap, so that plain connections do not pay for the room that TLS takes.
            return Box::pin(self.secure(acceptor, socket, peer)).await;
        }
        match http1::serve(socket, peer, &*self.app, &self.around).await {
            Left::Nothing => Ok(()),
            // On the heap, so that other connections do not pay for the room.
            Left::Http2(socket) => Box::pin(http2::serve(socket, peer, &self.app, &self.around)).await,
            Left::Other(socket) => Box::pin(self.plain.call((socket, Protocol::Http1, peer)))
                .await
                .map_err(|error| self.count(&error)),
        }
    }

    async fn secure(&self, to: &TlsAcceptor, socket: TcpStream, peer: Option<SocketAddr>) -> Result<(), ()> {
        let accepted =
            timeout(self.around.worker.settings.head_timeout, to.accept(socket)).await.map_err(drop)?;
        let stream = accepted.map_err(|error| tracing::debug!(%error, "TLS handshake failed"))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            return http2::serve(stream, peer, &self.app, &self.around).await;
        }
        match http1::serve(stream, peer, &*self.app, &self.around).await {
            Left::Nothing => Ok(()),
            // Not what TLS agreed on: actix refuses it.
            Left::Http2(stream) | Left::Other(stream) => {
                self.secured.call((stream, Protocol::Http1, peer)).await.map_err(|error| self.count(&error))
            }
        }
    }
}
