//! A client of the live socket, one message at a time.

use std::time::{Duration, Instant};

use futures::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// An open socket.
pub(crate) struct Socket {
    runtime: Runtime,
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Socket {
    /// Connects and says `subscribe`.
    pub(crate) fn subscribe(address: &str, subscribe: &Value) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stream = runtime.block_on(async {
            let url = format!("ws://{address}/ws");
            let (mut stream, _) = tokio_tungstenite::connect_async(url).await.expect("the socket opens");
            stream.send(Message::text(subscribe.to_string())).await.expect("the subscription is sent");
            stream
        });
        Self { runtime, stream }
    }

    /// The next JSON message, or `None` after `limit`.
    pub(crate) fn next(&mut self, limit: Duration) -> Option<Value> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let stream = &mut self.stream;
            let next = self.runtime.block_on(async { tokio::time::timeout(left, stream.next()).await });
            match next.ok()?.expect("the server does not hang up").expect("the socket holds") {
                Message::Text(text) => return Some(serde_json::from_str(&text).expect("JSON")),
                Message::Close(frame) => panic!("the server hung up: {frame:?}"),
                _ => {}
            }
        }
    }

    /// Takes messages until one `is` what is waited for, and gives it with the alarms that came before it.
    pub(crate) fn wait_for(
        &mut self,
        what: &str,
        limit: Duration,
        is: impl Fn(&Value) -> bool,
    ) -> (Value, Vec<Value>) {
        let until = Instant::now() + limit;
        let mut alarms = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let message = self.next(left).unwrap_or_else(|| panic!("waited {limit:?} for {what}"));
            if is(&message) {
                return (message, alarms);
            }
            if message["type"] == "alarm" {
                alarms.push(message);
            }
        }
    }
}
