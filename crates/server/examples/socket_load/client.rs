//! One client: reads all that comes, or nothing at all.

use std::error::Error;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::arguments::Arguments;
use crate::figures::{Figures, Heard};

/// Clients of one loopback address: an address has some 28,000 ports to go out by.
const ONE_ADDRESS: usize = 20_000;
/// What each client says first.
const SUBSCRIPTION: &str = r#"{"type":"subscribe","channels":["cells","alarms"],"format":"json"}"#;
/// A client that is not in by then has failed.
const OPEN_WITHIN: Duration = Duration::from_secs(20);
/// How often a client that never reads looks whether it is still connected.
const LOOK: Duration = Duration::from_millis(50);

type Failure = Box<dyn Error>;

pub(crate) async fn run(number: usize, arguments: &Arguments, figures: &Figures) -> Result<(), Failure> {
    let mut socket = timeout(OPEN_WITHIN, open(number, arguments)).await??;
    socket.send(Message::text(SUBSCRIPTION)).await?;
    // Spread evenly among the others, so that they come to every worker of the server.
    let before = number * arguments.stalled / arguments.clients;
    if (number + 1) * arguments.stalled / arguments.clients > before {
        return stall(socket, figures).await;
    }
    let mut heard = Heard::default();
    while let Some(message) = socket.next().await {
        match message? {
            Message::Text(text) => figures.hear(&mut heard, text.as_bytes(), arguments),
            Message::Close(frame) => return Err(format!("closed: {frame:?}").into()),
            _ => {}
        }
    }
    Err("the server hung up".into())
}

async fn open(number: usize, arguments: &Arguments) -> Result<WebSocketStream<TcpStream>, Failure> {
    let socket = TcpSocket::new_v4()?;
    let host = u8::try_from(number / ONE_ADDRESS).unwrap_or(0) + 2;
    socket.bind(SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, host)), 0))?;
    let stream = socket.connect(arguments.address).await?;
    stream.set_nodelay(true)?;
    let config = WebSocketConfig::default().read_buffer_size(4 * 1024).write_buffer_size(0);
    let url = format!("ws://{}/ws", arguments.address);
    Ok(client_async_with_config(url, stream, Some(config)).await?.0)
}

/// Reads nothing until the server hangs up, and then what it had sent.
async fn stall(mut socket: WebSocketStream<TcpStream>, figures: &Figures) -> Result<(), Failure> {
    let began = Instant::now();
    while !socket.get_ref().ready(Interest::READABLE).await?.is_read_closed() {
        sleep(LOOK).await;
    }
    let mut code = None;
    while let Some(Ok(message)) = socket.next().await {
        if let Message::Close(frame) = message {
            code = frame.map(|frame| u16::from(frame.code));
        }
    }
    figures.cut(began.elapsed(), code);
    Ok(())
}
