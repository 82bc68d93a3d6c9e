//! A request, as far as a small server needs to know it.

use crate::{BODY_BYTES_MAX, HEAD_BYTES_MAX, Status};
use core::mem::MaybeUninit;

const HEADERS_MAX: usize = 64;

/// A request, borrowed from the bytes that arrived.
#[derive(Debug)]
pub struct Request<'a> {
    /// `GET` and the like.
    pub method: &'a str,
    /// The path, without what follows a `?`.
    pub path: &'a str,
    /// What the client sent.
    pub body: &'a [u8],
    /// The client may send another request on this connection.
    pub keep_alive: bool,
}

/// Why there is no request.
pub(crate) enum Problem {
    /// More bytes must come.
    Incomplete,
    /// It is answered with this status, and the connection ends.
    Refused(Status),
}

impl<'a> Request<'a> {
    /// The request at the beginning of `bytes`, and how long it is.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<(Self, usize), Problem> {
        if bytes.is_empty() {
            return Err(Problem::Incomplete);
        }
        let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
        let mut parsed = httparse::Request::new(&mut []);
        let head = match parsed.parse_with_uninit_headers(bytes, &mut headers) {
            Ok(httparse::Status::Complete(head)) => head,
            Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Err(Problem::Incomplete),
            Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
                return Err(Problem::Refused(Status::CONTENT_TOO_LARGE));
            }
            Err(_) => return Err(Problem::Refused(Status::BAD_REQUEST)),
        };
        let wants = Wants::read(parsed.headers, parsed.version == Some(1)).map_err(Problem::Refused)?;
        let length = head + wants.body_bytes;
        let body = bytes.get(head..length).ok_or(Problem::Incomplete)?;
        let target = parsed.path.unwrap_or("/");
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        Ok((Request { method: parsed.method.unwrap_or(""), path, body, keep_alive: wants.keep_alive }, length))
    }
}

/// What the headers ask for.
struct Wants {
    keep_alive: bool,
    body_bytes: usize,
}

impl Wants {
    fn read(headers: &[httparse::Header<'_>], is_http_1_1: bool) -> Result<Self, Status> {
        let mut wants = Wants { keep_alive: is_http_1_1, body_bytes: 0 };
        let mut has_length = false;
        for header in headers {
            // Lengths tell nearly all headers apart, and cost less than names.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    wants.keep_alive = match is_http_1_1 {
                        true => !has_token(header.value, b"close"),
                        false => has_token(header.value, b"keep-alive"),
                    };
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    // Two lengths are how requests are smuggled past a proxy.
                    if core::mem::replace(&mut has_length, true) {
                        return Err(Status::BAD_REQUEST);
                    }
                    wants.body_bytes = parse_length(header.value)?;
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => return Err(Status::NOT_IMPLEMENTED),
                _ => {}
            }
        }
        Ok(wants)
    }
}

/// Digits and nothing else.
fn parse_length(value: &[u8]) -> Result<usize, Status> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(Status::BAD_REQUEST);
    }
    let length =
        value.iter().try_fold(0_usize, |length, digit| length.checked_mul(10)?.checked_add(usize::from(digit - b'0')));
    length.filter(|&length| length <= BODY_BYTES_MAX).ok_or(Status::CONTENT_TOO_LARGE)
}

fn has_token(list: &[u8], token: &[u8]) -> bool {
    list.split(|&byte| byte == b',').any(|entry| entry.trim_ascii().eq_ignore_ascii_case(token))
}
