//! Bytes on a socket. Payloads are shared by all clients and go out in fragments, so that what a client costs does not
//! depend on how large a message is.

use bytes::Bytes;
use futures::SinkExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Allocated for every client, eagerly; what clients say is short.
const READ_BUFFER: usize = 4 * 1024;
/// The largest fragment: what a client's write buffer grows to.
const FRAGMENT: usize = 8 * 1024;
/// A fragment, and room for the control frames between.
const MAX_WRITE_BUFFER: usize = 32 * 1024;

pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

pub(super) async fn over(upgraded: Upgraded, most_message_bytes: usize) -> Socket {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(most_message_bytes))
        .max_frame_size(Some(most_message_bytes));
    WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await
}

/// How a payload is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// Sends one message. Each fragment is flushed before the next, so a client that does not read is felt here.
pub(super) async fn send(socket: &mut Socket, kind: Kind, payload: &Bytes) -> Result<(), Error> {
    let first = match kind {
        Kind::Text => Data::Text,
        Kind::Binary => Data::Binary,
    };
    let count = payload.len().div_ceil(FRAGMENT).max(1);
    for index in 0..count {
        let start = index * FRAGMENT;
        let part = payload.slice(start..payload.len().min(start + FRAGMENT));
        let opcode = if index == 0 { first } else { Data::Continue };
        let frame = Frame::message(part, OpCode::Data(opcode), index + 1 == count);
        socket.send(Message::Frame(frame)).await?;
    }
    Ok(())
}
