//! RFC 9113 — HTTP/2, with the limits that HTTP/1.1 has: heads, bodies, times, and a gentle end.

use std::{future::poll_fn, net::SocketAddr, pin::pin, rc::Rc};

use actix_http::{
    Response,
    body::{BoxBody, MessageBody as _},
};
use actix_web::web::Bytes;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use h2::{
    Reason, RecvStream, SendStream,
    server::{Builder, SendResponse},
};
use tokio::time::{Instant, sleep, timeout};

use super::{Answers, Around, FAREWELL, Wire, stated_size, translate};

/// The largest head that is read at all; RFC 9113 §6.5.2 counts 32 bytes for each field besides. Within
/// it our own limit answers, beyond it HTTP/2 itself does, both with 431.
const MAX_HEAD_LIST: u32 = 32 * 1024;

/// RFC 9113 §5.1.2: requests under way on one connection.
const MAX_STREAMS: u32 = 128;

/// What a client may send ahead of being read: a whole form on each stream, a batch in four pieces.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 512 * 1024;

/// The largest piece of a body that is handed over at once.
const PIECE: usize = 16 * 1024;

/// Answers the requests of a connection until one of both ends it.
pub(super) async fn serve<T: Wire, A: Answers>(
    io: T,
    peer: Option<SocketAddr>,
    app: &Rc<A>,
    around: &Around,
) -> Result<(), ()> {
    let settings = &around.worker.settings;
    let mut builder = Builder::new();
    builder
        .max_header_list_size(MAX_HEAD_LIST)
        .max_concurrent_streams(MAX_STREAMS)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    let begun = timeout(settings.head_timeout, builder.handshake(io)).await.map_err(drop)?;
    let mut connection = begun.map_err(drop)?;
    let mut streams = FuturesUnordered::new();
    let mut stopping = pin!(around.stopping.notified());
    // As with HTTP/1.1: the first request must come soon, the next while the connection is kept.
    let mut idle = pin!(sleep(settings.head_timeout));
    let mut leaving = false;
    loop {
        tokio::select! {
            accepted = connection.accept() => {
                let Some(accepted) = accepted else { return Ok(()) };
                let (request, respond) = accepted.map_err(drop)?;
                streams.push(answer(app, around, (request, peer), respond));
            }
            Some(()) = streams.next() => {
                let rest = if leaving { FAREWELL } else { settings.keep_alive };
                idle.as_mut().reset(Instant::now() + rest);
            }
            () = &mut stopping, if !leaving => {
                leaving = true;
                connection.graceful_shutdown();
                idle.as_mut().reset(Instant::now() + FAREWELL);
            }
            () = &mut idle, if streams.is_empty() => {
                if leaving {
                    return Ok(());
                }
                leaving = true;
                connection.graceful_shutdown();
                idle.as_mut().reset(Instant::now() + FAREWELL);
            }
        }
    }
}

/// Answers one request.
async fn answer<A: Answers>(
    app: &Rc<A>,
    around: &Around,
    (request, peer): (http::Request<RecvStream>, Option<SocketAddr>),
    mut respond: SendResponse<Bytes>,
) {
    let bodiless = request.method() == http::Method::HEAD;
    let Some(request) = translate::request(request, peer) else {
        return respond.send_reset(Reason::PROTOCOL_ERROR);
    };
    let response = tokio::select! {
        answered = app.call(request) => answered.unwrap_or_else(|error| error),
        // The client wants no answer any more.
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return,
    };
    // A client that does not read has the time that it would have between two requests.
    let date = around.date();
    let sent = send(response, &mut respond, bodiless, date.as_str());
    if !matches!(timeout(around.worker.settings.keep_alive, sent).await, Ok(Some(()))) {
        respond.send_reset(Reason::CANCEL);
    }
}

/// Sends an answer; `None` if its client is gone, or it cannot be sent.
async fn send(
    response: Response<BoxBody>,
    respond: &mut SendResponse<Bytes>,
    bodiless: bool,
    date: &str,
) -> Option<()> {
    let (response, body) = response.into_parts();
    let size = stated_size(response.status(), &body);
    let head = translate::answer(response.head(), size, date)?;
    let ends = bodiless || size.is_eof();
    let mut stream = respond.send_response(head, ends).ok()?;
    if ends {
        return Some(());
    }
    let mut body = pin!(body);
    while let Some(piece) = poll_fn(|cx| body.as_mut().poll_next(cx)).await {
        send_piece(&mut stream, piece.ok()?).await?;
    }
    stream.send_data(Bytes::new(), true).ok()
}

/// Sends a part of a body as fast as the client takes it.
async fn send_piece(stream: &mut SendStream<Bytes>, mut piece: Bytes) -> Option<()> {
    while !piece.is_empty() {
        stream.reserve_capacity(piece.len().min(PIECE));
        let room = poll_fn(|cx| stream.poll_capacity(cx)).await?.ok()?;
        stream.send_data(piece.split_to(room.min(piece.len())), false).ok()?;
    }
    Some(())
}
