//! What the server itself says of the sockets that it cut: a client that reads nothing cannot see its end where there
//! is no room left for it.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// How often the server is asked.
const LOOK: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(5);

/// When sockets were cut, from the beginning of the measurement on.
#[derive(Default)]
pub(crate) struct Cuts {
    before: u64,
    now: u64,
    first: Option<Duration>,
    /// When nine of ten that were cut in all had been.
    most: Option<Duration>,
    last: Option<Duration>,
    seen: Vec<(u64, Duration)>,
}

impl fmt::Display for Cuts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Option<Duration>| at.map_or(f64::NAN, |at| at.as_secs_f64());
        write!(
            formatter,
            "the server cut {} ({} before the measurement), {:.1} to {:.1} s after its beginning, nine of ten by {:.1} s",
            self.now,
            self.before,
            seconds(self.first),
            seconds(self.last),
            seconds(self.most),
        )
    }
}

/// Watches until `end`.
pub(crate) async fn watch(address: SocketAddr, end: Instant) -> Cuts {
    let began = Instant::now();
    let before = count(address).await.unwrap_or(0);
    let mut cuts = Cuts { before, now: before, ..Cuts::default() };
    while Instant::now() < end {
        sleep(LOOK).await;
        let Some(now) = count(address).await.filter(|now| *now > cuts.now) else { continue };
        cuts.now = now;
        cuts.last = Some(began.elapsed());
        cuts.first = cuts.first.or(cuts.last);
        cuts.seen.extend(cuts.last.map(|at| (now, at)));
    }
    let most = before + (cuts.now - before).div_ceil(10) * 9;
    cuts.most = cuts.seen.iter().find(|(count, _)| *count >= most).map(|(_, at)| *at);
    cuts
}

async fn count(address: SocketAddr) -> Option<u64> {
    let text = timeout(PATIENCE, page(address)).await.ok()?.ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("hexwatch_socket_cuts_total "))?;
    line.trim().parse().ok()
}

async fn page(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /metrics HTTP/1.0\r\nhost: here\r\n\r\n").await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
