//! Bytes on a socket. Payloads are shared by all clients and go out in fragments, so that what a client costs does not
//! depend on how large a message is.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::Bytes;
use futures::SinkExt;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::upgrade::downcast;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// Allocated for every client, eagerly; what clients say is short.
const READ_BUFFER: usize = 4 * 1024;
/// The largest fragment.
const FRAGMENT: usize = 4 * 1024;
/// How much is gathered before it is written: in a storm of alarms a system call for each would cost more than they do.
/// Together with a fragment this is what a client's write buffer grows to.
const WRITE_BUFFER: usize = 4 * 1024;
/// Both, and room for the control frames between.
const MAX_WRITE_BUFFER: usize = 32 * 1024;

pub(super) type Socket = WebSocketStream<TcpStream>;

/// Speaks WebSocket over what was an HTTP connection. From here on the kernel ends it where nothing that waits for the
/// client drains for `patience`: small messages that trickle into a large buffer would hide for minutes that nobody
/// reads at its end.
pub(super) async fn over(
    upgraded: Upgraded,
    most_message_bytes: usize,
    patience: Duration,
) -> io::Result<Socket> {
    let connection = downcast::<TokioIo<TcpStream>>(upgraded)
        .map_err(|_| io::Error::other("the connection is not one that the listener took"))?;
    let stream = connection.io.into_inner();
    SockRef::from(&stream).set_tcp_user_timeout(Some(patience))?;
    let (said, config) = (connection.read_buf.to_vec(), Some(config(most_message_bytes)));
    Ok(WebSocketStream::from_partially_read(stream, said, Role::Server, config).await)
}

/// Every buffer bounded: the library's own are made for a few clients that say much.
fn config(most_message_bytes: usize) -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(most_message_bytes))
        .max_frame_size(Some(most_message_bytes))
}

/// How a payload is to be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Text,
    Binary,
}

/// Why something did not get to a client.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Untaken {
    /// It takes nothing.
    Stalled,
    /// It is gone.
    Gone,
}

impl From<Error> for Untaken {
    fn from(error: Error) -> Self {
        match error {
            // The kernel has found first that nothing drains.
            Error::Io(error) if error.kind() == ErrorKind::TimedOut => Self::Stalled,
            _ => Self::Gone,
        }
    }
}

/// Takes one message on its way. What is gathered is written once it is enough, at the latest by [`flush`]; a client
/// that does not read is felt here, because a fragment waits until those before it are written. Each fragment has
/// `patience`, not the message: whoever takes all cells piece by piece over a slow line is not stalled.
pub(super) async fn feed<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    kind: Kind,
    payload: &Bytes,
    patience: Duration,
) -> Result<(), Untaken> {
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
        within(patience, socket.feed(Message::Frame(frame))).await?;
    }
    Ok(())
}

/// Writes what was gathered.
pub(super) async fn flush<S: AsyncRead + AsyncWrite + Unpin>(
    socket: &mut WebSocketStream<S>,
    patience: Duration,
) -> Result<(), Untaken> {
    within(patience, socket.flush()).await
}

/// Asks the client for a sign of life.
pub(super) async fn ping(socket: &mut Socket, patience: Duration) -> Result<(), Untaken> {
    within(patience, socket.send(Message::Ping(Bytes::new()))).await
}

async fn within(patience: Duration, sending: impl Future<Output = Result<(), Error>>) -> Result<(), Untaken> {
    match timeout(patience, sending).await {
        Ok(sent) => Ok(sent?),
        Err(_) => Err(Untaken::Stalled),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    use tokio::io::ReadBuf;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    /// A peer that says nothing, takes everything, and notes how much it was given at once.
    #[derive(Clone, Default)]
    struct Taker {
        portions: Arc<Mutex<Vec<usize>>>,
    }

    impl AsyncRead for Taker {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<std::io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Taker {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<std::io::Result<usize>> {
            self.portions.lock().unwrap().push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn what_a_client_costs_is_bounded_however_large_a_message_is() {
        let taker = Taker::default();
        let config = Some(config(16 * 1024));
        let mut socket = WebSocketStream::from_raw_socket(taker.clone(), Role::Server, config).await;
        let in_force = socket.get_config();
        assert_eq!((in_force.read_buffer_size, in_force.write_buffer_size), (4 * 1024, 4 * 1024));
        assert_eq!(in_force.max_write_buffer_size, 32 * 1024);
        assert_eq!((in_force.max_message_size, in_force.max_frame_size), (Some(16 * 1024), Some(16 * 1024)));

        feed(&mut socket, Kind::Text, &Bytes::from(vec![b'x'; 1_000_000]), PATIENCE).await.unwrap();
        flush(&mut socket, PATIENCE).await.unwrap();
        let portions = taker.portions.lock().unwrap();
        assert!(portions.iter().sum::<usize>() >= 1_000_000);
        assert!(portions.iter().all(|portion| *portion <= WRITE_BUFFER + FRAGMENT + 10), "{portions:?}");
    }

    #[tokio::test]
    async fn short_messages_go_out_together() {
        let taker = Taker::default();
        let config = Some(config(16 * 1024));
        let mut socket = WebSocketStream::from_raw_socket(taker.clone(), Role::Server, config).await;
        for _ in 0..100 {
            let change = Bytes::from_static(b"a change of an alarm");
            feed(&mut socket, Kind::Text, &change, PATIENCE).await.unwrap();
        }
        flush(&mut socket, PATIENCE).await.unwrap();
        assert_eq!(taker.portions.lock().unwrap().len(), 1);
    }
}
