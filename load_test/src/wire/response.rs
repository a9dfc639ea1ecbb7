//! RFC 9112 answers, read in whatever pieces they come, without an allocation once the buffer has grown.

use std::borrow::Cow;

/// The most an answer may have: more is a mistake or an attack.
const MOST: usize = 16 << 20;
const FIRST: usize = 8 << 10;

/// What the bytes are, if they are not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// An answer that is there as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Whether the connection cannot be used again.
    pub close: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Known(usize),
    Chunked,
    UntilClose,
}

#[derive(Clone, Copy, Debug)]
struct Head {
    status: u16,
    /// Where the body begins.
    end: usize,
    length: Length,
    close: bool,
}

/// One answer on its way.
#[derive(Debug, Default)]
pub struct Reader {
    buffer: Vec<u8>,
    filled: usize,
    head: Option<Head>,
    /// Where the next chunk's size is.
    chunk: usize,
}

impl Reader {
    /// Where the next bytes go.
    pub fn space(&mut self) -> &mut [u8] {
        if self.filled == self.buffer.len() {
            self.buffer.resize((self.filled * 2).max(FIRST), 0);
        }
        &mut self.buffer[self.filled..]
    }

    /// Takes note of bytes that came; the answer, once it is whole.
    pub fn took(&mut self, count: usize) -> Result<Option<Answer>, Malformed> {
        self.filled += count;
        if self.filled > MOST {
            return Err(Malformed);
        }
        let head = match self.head {
            Some(head) => head,
            None => match parse_head(&self.buffer[..self.filled])? {
                Some(head) => {
                    self.chunk = head.end;
                    *self.head.insert(head)
                }
                None => return Ok(None),
            },
        };
        let end = match head.length {
            Length::Known(length) => Some(head.end + length),
            Length::Chunked => self.chunks_end()?,
            Length::UntilClose => None,
        };
        match end {
            Some(end) if self.filled > end => Err(Malformed),
            Some(end) if self.filled == end => Ok(Some(Answer { status: head.status, close: head.close })),
            _ => Ok(None),
        }
    }

    /// The server ends the connection: an answer without a length is whole then.
    pub fn ended(&self) -> Option<Answer> {
        let head = self.head.filter(|head| head.length == Length::UntilClose)?;
        Some(Answer { status: head.status, close: true })
    }

    /// Makes room for the next answer.
    pub fn clear(&mut self) {
        (self.filled, self.head, self.chunk) = (0, None, 0);
    }

    /// Whether the body begins with these bytes; for answers that are not chunked.
    pub fn body_begins(&self, prefix: &[u8]) -> bool {
        prefix.is_empty() || self.body().starts_with(prefix)
    }

    /// The body of a whole answer.
    pub fn body(&self) -> Cow<'_, [u8]> {
        let Some(head) = self.head else { return Cow::Borrowed(&[]) };
        let raw = &self.buffer[head.end..self.filled];
        if head.length != Length::Chunked {
            return Cow::Borrowed(raw);
        }
        let (mut body, mut at) = (Vec::new(), 0);
        while let Ok(Some((size, data))) = chunk_size(&raw[at..]) {
            let begin = at + data;
            if size == 0 || begin + size > raw.len() {
                break;
            }
            body.extend_from_slice(&raw[begin..begin + size]);
            at = begin + size + 2;
        }
        Cow::Owned(body)
    }

    /// The values of a header, in order.
    pub fn headers(&self, name: &str) -> Vec<String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        if response.parse(&self.buffer[..self.filled]).is_err() {
            return Vec::new();
        }
        let named = response.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        named.map(|header| String::from_utf8_lossy(header.value).into_owned()).collect()
    }

    fn chunks_end(&mut self) -> Result<Option<usize>, Malformed> {
        while let Some((size, data)) = chunk_size(&self.buffer[self.chunk.min(self.filled)..self.filled])? {
            let begin = self.chunk + data;
            if size == 0 {
                // Trailers, if there are any, end with an empty line as well.
                let rest = &self.buffer[begin..self.filled];
                if rest.starts_with(b"\r\n") {
                    return Ok(Some(begin + 2));
                }
                let end = rest.windows(4).position(|four| four == b"\r\n\r\n");
                return Ok(end.map(|end| begin + end + 4));
            }
            let after = begin.checked_add(size).filter(|after| *after <= MOST).ok_or(Malformed)?;
            if self.filled < after + 2 {
                return Ok(None);
            }
            if &self.buffer[after..after + 2] != b"\r\n" {
                return Err(Malformed);
            }
            self.chunk = after + 2;
        }
        Ok(None)
    }
}

/// A chunk's size, and where its data begin.
fn chunk_size(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    match httparse::parse_chunk_size(bytes) {
        Ok(httparse::Status::Complete((data, size))) => {
            Ok(Some((usize::try_from(size).map_err(|_| Malformed)?, data)))
        }
        Ok(httparse::Status::Partial) => Ok(None),
        Err(_) => Err(Malformed),
    }
}

fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Malformed> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(bytes).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let status = response.code.filter(|status| *status >= 200).ok_or(Malformed)?;
    let mut close = response.version == Some(0);
    let mut length = Length::UntilClose;
    for header in response.headers.iter() {
        // Told apart by their lengths first: most headers are neither.
        match header.name.len() {
            14 if header.name.eq_ignore_ascii_case("content-length") && length != Length::Chunked => {
                length = Length::Known(number(header.value)?);
            }
            17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                let chunked = header.value.eq_ignore_ascii_case(b"chunked");
                length = if chunked { Length::Chunked } else { return Err(Malformed) };
            }
            10 if header.name.eq_ignore_ascii_case("connection") => {
                close = header.value.eq_ignore_ascii_case(b"close");
            }
            _ => {}
        }
    }
    if status == 204 || status == 304 {
        length = Length::Known(0);
    }
    Ok(Some(Head { status, end, length, close: close || length == Length::UntilClose }))
}

fn number(value: &[u8]) -> Result<usize, Malformed> {
    let text = str::from_utf8(value).map_err(|_| Malformed)?;
    if !text.bytes().all(|sign| sign.is_ascii_digit()) {
        return Err(Malformed);
    }
    text.parse().ok().filter(|length| *length <= MOST).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads in pieces of a size.
    fn read(bytes: &[u8], piece: usize) -> (Reader, Result<Option<Answer>, Malformed>) {
        let mut reader = Reader::default();
        let mut last = Ok(None);
        for part in bytes.chunks(piece) {
            let mut rest = part;
            while !rest.is_empty() && last == Ok(None) {
                let space = reader.space();
                let count = rest.len().min(space.len());
                space[..count].copy_from_slice(&rest[..count]);
                rest = &rest[count..];
                last = reader.took(count);
            }
        }
        (reader, last)
    }

    const SIZED: &[u8] =
        b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nSet-Cookie: a=b\r\nset-cookie: c=d\r\n\r\nhello";
    const CHUNKED: &[u8] = b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\nhello\r\n8;why=not\r\n, world!\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_the_same_in_whatever_pieces_it_comes() {
        for piece in 1..=SIZED.len() {
            let (reader, answer) = read(SIZED, piece);
            assert_eq!(answer, Ok(Some(Answer { status: 200, close: false })), "{piece}");
            assert_eq!(&*reader.body(), b"hello");
            assert_eq!(reader.headers("Set-Cookie"), ["a=b", "c=d"]);
        }
    }

    #[test]
    fn chunks_are_put_together_in_whatever_pieces_they_come() {
        for piece in 1..=CHUNKED.len() {
            let (reader, answer) = read(CHUNKED, piece);
            assert_eq!(answer, Ok(Some(Answer { status: 201, close: false })), "{piece}");
            assert_eq!(&*reader.body(), b"hello, world!", "{piece}");
        }
        let trailers = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\na: b\r\n\r\n";
        assert!(matches!(read(trailers, 1).1, Ok(Some(_))));
    }

    #[test]
    fn an_answer_larger_than_the_buffer_makes_it_grow() {
        let mut bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n".to_vec();
        bytes.extend(std::iter::repeat_n(b'x', 100_000));
        let (reader, answer) = read(&bytes, 9_999);
        assert!(matches!(answer, Ok(Some(_))));
        assert_eq!(reader.body().len(), 100_000);
    }

    #[test]
    fn an_answer_without_a_length_ends_with_the_connection() {
        let (reader, answer) = read(b"HTTP/1.1 200 OK\r\n\r\nabc", 4);
        assert_eq!(answer, Ok(None));
        assert_eq!(reader.ended(), Some(Answer { status: 200, close: true }));
        let (reader, _) = read(&SIZED[..SIZED.len() - 1], 9);
        assert_eq!(reader.ended(), None, "cut in the middle");
    }

    #[test]
    fn answers_without_a_body_and_the_end_of_a_connection_are_understood() {
        let close = b"HTTP/1.1 303 See Other\r\nConnection: close\r\ncontent-length: 0\r\n\r\n";
        assert_eq!(read(close, 7).1, Ok(Some(Answer { status: 303, close: true })));
        assert_eq!(read(b"HTTP/1.1 304 N\r\n\r\n", 7).1.map(|answer| answer.is_some()), Ok(true));
    }

    #[test]
    fn what_is_no_answer_is_malformed() {
        for wrong in [
            &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
            b"HTTP/1.1 100 Continue\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nabc\r\n",
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert_eq!(read(wrong, wrong.len()).1, Err(Malformed), "{}", String::from_utf8_lossy(wrong));
        }
    }
}
