//! An answer, appended to what goes out next.

use crate::Request;
use toro::prelude::*;

/// A status of HTTP with its phrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    line: &'static str,
}

impl Status {
    /// Here it is.
    pub const OK: Self = Status { line: "200 OK" };
    /// It was not there before.
    pub const CREATED: Self = Status { line: "201 Created" };
    /// Done, and there is nothing to say.
    pub const NO_CONTENT: Self = Status { line: "204 No Content" };
    /// This is not HTTP.
    pub const BAD_REQUEST: Self = Status { line: "400 Bad Request" };
    /// There is no such thing.
    pub const NOT_FOUND: Self = Status { line: "404 Not Found" };
    /// That cannot be done with it.
    pub const METHOD_NOT_ALLOWED: Self = Status { line: "405 Method Not Allowed" };
    /// The request is too long.
    pub const CONTENT_TOO_LARGE: Self = Status { line: "413 Content Too Large" };
    /// Something went wrong here.
    pub const INTERNAL_SERVER_ERROR: Self = Status { line: "500 Internal Server Error" };
    /// This server does not do that.
    pub const NOT_IMPLEMENTED: Self = Status { line: "501 Not Implemented" };
    /// Somebody who is needed for the answer does not come.
    pub const SERVICE_UNAVAILABLE: Self = Status { line: "503 Service Unavailable" };
    /// No room for more.
    pub const INSUFFICIENT_STORAGE: Self = Status { line: "507 Insufficient Storage" };

    pub(crate) fn phrase(self) -> &'static str {
        self.line.split_once(' ').map_or("", |(_, phrase)| phrase)
    }
}

/// Where the answer to one request goes.
#[derive(Debug)]
pub struct Reply<'a> {
    output: &'a mut Vec<u8>,
    has_body: bool,
    keep_alive: bool,
}

impl<'a> Reply<'a> {
    pub(crate) fn new(output: &'a mut Vec<u8>, request: &Request<'_>) -> Self {
        Reply { output, has_body: request.method != "HEAD", keep_alive: request.keep_alive }
    }

    pub(crate) fn last(output: &'a mut Vec<u8>) -> Self {
        Reply { output, has_body: true, keep_alive: false }
    }

    /// Answers with plain text.
    pub fn text(self, status: Status, text: &str) {
        self.send(status, "text/plain; charset=utf-8", text.as_bytes());
    }

    /// Answers that only these methods are allowed, as `GET, HEAD`.
    pub fn allow(self, methods: &str) {
        self.write(Status::METHOD_NOT_ALLOWED, &["\r\nAllow: ", methods], b"");
    }

    /// Answers with `body`, of a type as `text/html`. The answer to HEAD leaves it out.
    pub fn send(self, status: Status, content_type: &str, body: &[u8]) {
        self.write(status, &["\r\nContent-Type: ", content_type], body);
    }

    fn write(self, status: Status, header: &[&str; 2], body: &[u8]) {
        let connection = if self.keep_alive { "" } else { "\r\nConnection: close" };
        self.output.reserve(body.len() + 160);
        for piece in ["HTTP/1.1 ", status.line, header[0], header[1], connection] {
            self.output.extend_from_slice(piece.as_bytes());
        }
        if status != Status::NO_CONTENT {
            self.output.extend_from_slice(b"\r\nContent-Length: ");
            push_decimal(self.output, body.len());
        }
        self.output.extend_from_slice(b"\r\n\r\n");
        if self.has_body && status != Status::NO_CONTENT {
            self.output.extend_from_slice(body);
        }
    }
}

/// As `write!` would, in a tenth of its instructions; it is in each answer.
fn push_decimal(output: &mut Vec<u8>, mut number: usize) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    loop {
        digits[first] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
        first -= 1;
    }
    output.extend_from_slice(&digits[first..]);
}
