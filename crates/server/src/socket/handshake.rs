//! The opening handshake of RFC 6455, here instead of axum's because axum's socket sends whole messages only: a
//! snapshot of all cells would leave a write buffer of its size behind in every one of ten thousand clients.

use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{self, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::problem::Problem;

/// A promise of a socket, and the answer that makes the client keep its part.
pub(super) struct Accepted {
    pub(super) response: Response,
    pub(super) upgrade: OnUpgrade,
}

pub(super) fn accept(request: &mut Request) -> Result<Accepted, Problem> {
    let headers = request.headers();
    expect(headers, &header::UPGRADE, "websocket")?;
    expect(headers, &header::CONNECTION, "upgrade")?;
    expect(headers, &header::SEC_WEBSOCKET_VERSION, "13")?;
    let key =
        headers.get(header::SEC_WEBSOCKET_KEY).ok_or_else(|| wrong(&header::SEC_WEBSOCKET_KEY, "a key"))?;
    let answer = HeaderValue::from_str(&derive_accept_key(key.as_bytes()))
        .map_err(|_| wrong(&header::SEC_WEBSOCKET_KEY, "a key"))?;
    let upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(|| {
        Problem::invalid("this connection cannot become a socket").field("connection").fix("use HTTP/1.1")
    })?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, answer);
    Ok(Accepted { response, upgrade })
}

fn expect(headers: &HeaderMap, name: &HeaderName, token: &str) -> Result<(), Problem> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let mut tokens = values.flat_map(|value| value.split(','));
    if tokens.any(|given| given.trim().eq_ignore_ascii_case(token)) {
        Ok(())
    } else {
        Err(wrong(name, token))
    }
}

fn wrong(name: &HeaderName, expected: &str) -> Problem {
    Problem::invalid(format!("the header `{name}` does not say {expected}"))
        .field(name.as_str())
        .fix("open this address as a WebSocket")
}
