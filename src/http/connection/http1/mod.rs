//! RFC 9112 — HTTP/1.1 for requests that come whole and in the plainest of forms, which nearly all do: they
//! are read, answered and sent without what it takes to be ready for all the others. The first request that
//! is out of the ordinary, or slow to come, goes to actix with all that was received, and its connection
//! stays there (docs/decisions/0021).

mod answer;
mod request;

use std::{future::poll_fn, mem::MaybeUninit, net::SocketAddr, pin::Pin, task::Poll, time::Duration};

use actix_http::{Method, Response, body::BoxBody};
use actix_web::web::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncWriteExt as _, ReadBuf},
    time::timeout,
};

use self::request::NextRequest;
use super::{Answers, Around, FAREWELL, PREFACE, Replay, Wire};
use crate::http::coarse_timeout::CoarseTimeout;

/// How much is read at once.
const PIECE: usize = 16 * 1024;

/// A request that has begun to come is waited for so long before it is left to actix, which has limits for
/// slow ones.
const MOMENT: Duration = Duration::from_millis(250);

/// A request that comes in more pieces is left to actix too: here it is looked at anew with each piece.
const MOST_PIECES: u32 = 32;

/// What is to become of a connection.
pub(super) enum Left<T> {
    /// Nothing: it has ended.
    Nothing,
    /// Its client speaks HTTP/2.
    Http2(Replay<T>),
    /// actix is to read what comes.
    Other(Replay<T>),
}

/// Why nothing more was received.
enum Silence {
    /// The client has gone, or says no more.
    Ended,
    /// The time is up.
    Late,
    /// The server is about to stop.
    Stopping,
}

/// Answers the requests of a connection for as long as they are plain.
pub(super) async fn serve<T: Wire, A: Answers>(
    mut io: T,
    peer: Option<SocketAddr>,
    app: &A,
    around: &Around,
) -> Left<T> {
    let settings = &around.worker.settings;
    let (mut received, mut fresh, mut pieces) = (Bytes::new(), true, 0);
    // One place among those who wait, for the whole life of the connection.
    let mut timer = CoarseTimeout::new(settings.head_timeout);
    loop {
        // RFC 9113 §3.4
        if fresh && received.starts_with(PREFACE) {
            return Left::Http2(Replay::new(received, io));
        }
        match request::take(&mut received, peer) {
            NextRequest::Whole(request, last) => {
                (fresh, pieces) = (false, 0);
                let bodiless = *request.method() == Method::HEAD;
                let answer = app.call(request).await.unwrap_or_else(|error| error);
                let last = last || around.leaving.get();
                let besides = answer::Besides { bodiless, last, date: around.date() };
                if !send(&mut io, answer, besides, settings.keep_alive).await {
                    return Left::Nothing;
                }
                timer.restart(settings.keep_alive);
            }
            NextRequest::Part => {
                let begun = !received.is_empty();
                if begun {
                    pieces += 1;
                    // Once for a request: whoever sends it byte by byte gets no more time for each.
                    if pieces == 1 {
                        timer.restart(MOMENT);
                    }
                    if pieces > MOST_PIECES {
                        return Left::Other(Replay::new(received, io));
                    }
                }
                match more(&mut io, &mut received, &mut timer, || !begun && around.leaving.get()).await {
                    Ok(()) => {}
                    // actix knows what to say to half a request.
                    Err(Silence::Late | Silence::Ended) if begun => {
                        return Left::Other(Replay::new(received, io));
                    }
                    Err(Silence::Ended) => return Left::Nothing,
                    Err(Silence::Late | Silence::Stopping) => {
                        let _ = timeout(FAREWELL, io.shutdown()).await;
                        return Left::Nothing;
                    }
                }
            }
            NextRequest::Other => return Left::Other(Replay::new(received, io)),
        }
    }
}

/// Sends an answer; whether the connection goes on after it. A client that does not read has the time that it
/// would have between two requests.
async fn send<T: Wire>(
    io: &mut T,
    answer: Response<BoxBody>,
    besides: answer::Besides,
    limit: Duration,
) -> bool {
    let last = besides.last;
    let Some((head, body)) = answer::bytes(answer, besides).await else { return false };
    let sent = write(io, &head, limit).await.is_some()
        && (body.is_empty() || write(io, &body, limit).await.is_some());
    if sent && last {
        let _ = timeout(FAREWELL, io.shutdown()).await;
    }
    sent && !last
}

/// Waits for more from the client. Memory is taken only for what has come.
async fn more<T: Wire>(
    io: &mut T,
    received: &mut Bytes,
    timer: &mut CoarseTimeout,
    stopping: impl Fn() -> bool,
) -> Result<(), Silence> {
    poll_fn(|context| {
        let mut room = [const { MaybeUninit::uninit() }; PIECE];
        let mut piece = ReadBuf::uninit(&mut room);
        if let Poll::Ready(read) = Pin::new(&mut *io).poll_read(context, &mut piece) {
            let piece = piece.filled();
            if read.is_err() || piece.is_empty() {
                return Poll::Ready(Err(Silence::Ended));
            }
            *received = match received.is_empty() {
                true => Bytes::copy_from_slice(piece),
                false => joined(received, piece),
            };
            return Poll::Ready(Ok(()));
        }
        if stopping() {
            return Poll::Ready(Err(Silence::Stopping));
        }
        timer.poll_elapsed(context).map(|()| Err(Silence::Late))
    })
    .await
}

fn joined(first: &[u8], second: &[u8]) -> Bytes {
    let mut both = BytesMut::with_capacity(first.len() + second.len());
    both.extend_from_slice(first);
    both.extend_from_slice(second);
    both.freeze()
}

/// Sends all of it; `None` if the client does not take it, or not in time.
async fn write<T: Wire>(io: &mut T, mut rest: &[u8], limit: Duration) -> Option<()> {
    let mut timer = CoarseTimeout::new(limit);
    poll_fn(|context| {
        while !rest.is_empty() {
            match Pin::new(&mut *io).poll_write(context, rest) {
                Poll::Ready(Ok(written @ 1..)) => rest.advance(written),
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => return timer.poll_elapsed(context).map(|()| None),
            }
        }
        match Pin::new(&mut *io).poll_flush(context) {
            Poll::Ready(flushed) => Poll::Ready(flushed.ok()),
            Poll::Pending => timer.poll_elapsed(context).map(|()| None),
        }
    })
    .await
}
