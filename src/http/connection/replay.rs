//! A connection of which something has been read already, for whoever speaks its HTTP.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use actix_web::web::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Wire;

/// A connection whose first bytes are these.
pub(super) struct Replay<T> {
    first: Bytes,
    io: T,
}

impl<T> Replay<T> {
    pub(super) fn new(first: Bytes, io: T) -> Self {
        Self { first, io }
    }
}

impl<T: Wire> AsyncRead for Replay<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.first.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, into);
        }
        let some = self.first.len().min(into.remaining());
        into.put_slice(&self.first.split_to(some));
        if self.first.is_empty() {
            // Its memory is not needed any more; an empty rest would hold on to it.
            self.first = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl<T: Wire> AsyncWrite for Replay<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, from)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        from: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, from)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[actix_web::test]
    async fn what_was_read_comes_first_and_in_pieces_as_small_as_asked_for() {
        let (mut client, server) = tokio::io::duplex(64);
        client.write_all(b" and the rest").await.expect("written");
        client.shutdown().await.expect("shut down");
        let mut replay = Replay::new(Bytes::from_static(b"the first"), server);
        let mut some = [0; 4];
        replay.read_exact(&mut some).await.expect("read");
        assert_eq!(&some, b"the ");
        let mut rest = String::new();
        replay.read_to_string(&mut rest).await.expect("read");
        assert_eq!(rest, "first and the rest");
    }
}
