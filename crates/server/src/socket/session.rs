//! One client's socket, from its first message to its last.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use hexwatch_contract::live::{Hello, Message};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use super::subscribe::{self, After, Subscription};
use super::wire::{self, Kind, Socket};
use crate::live::{Cursor, Format, Live, Next};
use crate::serving::Serving;

/// How many changes are read from the alarm log at once.
const LOG_PAGE: usize = 500;
/// A client that is told to go gets this long to hear it.
const FAREWELL: Duration = Duration::from_millis(500);

/// Why a socket ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// The client is gone, or asked to go.
    Left,
    /// The client takes nothing, or says nothing.
    Stalled,
    /// The client broke the protocol or a limit.
    Refused,
    /// The server ends.
    Shutdown,
}

/// What a client is told next.
enum Event {
    Said(Option<Result<Frame, tokio_tungstenite::tungstenite::Error>>),
    Cells,
    Alarms,
    Heartbeat,
    Health,
    Ping,
    Shutdown,
}

/// Where news is noticed.
struct Watches {
    cells: watch::Receiver<u64>,
    alarms: watch::Receiver<u64>,
    heartbeat: watch::Receiver<Bytes>,
    health: watch::Receiver<Bytes>,
}

impl Watches {
    fn on(live: &Live) -> Self {
        Self {
            cells: live.watch_cells(),
            alarms: live.watch_alarms(),
            heartbeat: live.watch_heartbeat(),
            health: live.watch_health(),
        }
    }
}

/// One client: what it wants, and up to where it has read.
pub(super) struct Session {
    socket: Socket,
    serving: Arc<Serving>,
    watches: Watches,
    subscription: Option<Subscription>,
    cells_read: u64,
    alarms_read: Cursor,
    heard_at: Instant,
}

impl Session {
    pub(super) fn new(socket: Socket, serving: Arc<Serving>) -> Self {
        let watches = Watches::on(&serving.app.live);
        Self {
            socket,
            serving,
            watches,
            subscription: None,
            cells_read: 0,
            alarms_read: Cursor::new(),
            heard_at: Instant::now(),
        }
    }

    /// Speaks until one side ends.
    pub(super) async fn run(mut self) {
        let metrics = self.serving.app.live.metrics().clone();
        metrics.socket_opened();
        let end = self.speak().await;
        if end == End::Stalled {
            metrics.socket_cut();
            tracing::info!(
                "a live socket was cut because its client took nothing in time; it may resume by seq"
            );
        }
        self.say_goodbye(end).await;
        metrics.socket_closed();
    }

    async fn speak(&mut self) -> End {
        let every = self.serving.app.limits.ping_every;
        let mut pings = interval_at(Instant::now() + every, every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.serving.shutdown.clone();
        loop {
            let wants = self.subscription.as_ref();
            let (cells, alarms, health) =
                wants.map_or((false, false, false), |wants| (wants.cells, wants.alarms, wants.health));
            let event = tokio::select! {
                biased;
                () = shutdown.cancelled() => Event::Shutdown,
                said = self.socket.next() => Event::Said(said),
                Ok(()) = self.watches.alarms.changed(), if alarms => Event::Alarms,
                Ok(()) = self.watches.heartbeat.changed() => Event::Heartbeat,
                Ok(()) = self.watches.health.changed(), if health => Event::Health,
                Ok(()) = self.watches.cells.changed(), if cells => Event::Cells,
                _ = pings.tick() => Event::Ping,
            };
            let done = match event {
                Event::Said(said) => self.hear(said).await,
                Event::Cells => self.send_cells().await,
                Event::Alarms => self.send_alarms().await,
                Event::Heartbeat => {
                    let heartbeat = self.watches.heartbeat.borrow_and_update().clone();
                    self.send(Kind::Text, &heartbeat).await
                }
                Event::Health => self.send_health().await,
                Event::Ping => self.ping(every * 3).await,
                Event::Shutdown => Err(End::Shutdown),
            };
            if let Err(end) = done {
                return end;
            }
        }
    }

    async fn hear(
        &mut self,
        said: Option<Result<Frame, tokio_tungstenite::tungstenite::Error>>,
    ) -> Result<(), End> {
        use tokio_tungstenite::tungstenite::Error;
        self.heard_at = Instant::now();
        match said {
            Some(Ok(Frame::Text(text))) => match subscribe::read(&text) {
                Ok(subscription) => self.subscribe(subscription).await,
                Err(misunderstood) => self.send_error(misunderstood.to_string()).await,
            },
            Some(Ok(Frame::Binary(_))) => {
                self.send_error("`message` is binary; send JSON text".to_owned()).await
            }
            // Pings are answered by the socket itself.
            Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => Ok(()),
            Some(Err(Error::Capacity(_) | Error::Protocol(_) | Error::Utf8(_))) => Err(End::Refused),
            Some(Ok(Frame::Close(_)) | Err(_)) | None => Err(End::Left),
        }
    }

    /// Starts from the beginning: who speaks, all cells, the alarms asked for; then what is new.
    async fn subscribe(&mut self, subscription: Subscription) -> Result<(), End> {
        let about = &self.serving.app.about;
        let hello = Message::Hello(Hello {
            version: about.version.clone(),
            mode: about.mode.clone(),
            time_zone: about.time_zone.clone(),
        });
        self.send_message(&hello).await?;
        let (cells, alarms, health) = (subscription.cells, subscription.alarms, subscription.health);
        let after = subscription.after.clone();
        self.subscription = Some(subscription);
        self.cells_read = 0;
        if cells {
            self.send_cells().await?;
        }
        if health {
            self.send_health().await?;
        }
        if alarms {
            self.resume(after).await?;
        }
        Ok(())
    }

    async fn resume(&mut self, after: After) -> Result<(), End> {
        let latest = self.serving.app.live.latest_seq();
        // A number that was never given is another log's: the client sees that in `resumed`, and hears what is new.
        let within =
            |site: &String, seq: u64| (site.clone(), latest.get(site).map_or(0, |last| seq.min(*last)));
        self.alarms_read = match after {
            After::Standing => {
                let (messages, complete) = self.serving.app.live.standing_messages();
                for message in messages {
                    self.send(Kind::Text, &message).await?;
                }
                complete
            }
            After::All(seq) => latest.keys().map(|site| within(site, seq)).collect(),
            After::Each(cursor) => cursor.iter().map(|(site, seq)| within(site, *seq)).collect(),
        };
        self.send_alarms().await?;
        let latest_seq = self.alarms_read.clone();
        self.send_message(&Message::Resumed { latest_seq }).await
    }

    /// Sends every change after what was read, until there is none.
    async fn send_alarms(&mut self) -> Result<(), End> {
        self.watches.alarms.borrow_and_update();
        loop {
            match self.serving.app.live.alarms_next(&self.alarms_read) {
                Next::Nothing => return Ok(()),
                Next::Ready { site, last, messages } => {
                    for message in messages {
                        self.send(Kind::Text, &message).await?;
                    }
                    self.alarms_read.insert(site, last);
                }
                Next::InLog { site, after, before } => self.send_from_log(site, after, before).await?,
            }
        }
    }

    /// Sends a page of the alarm log: changes above `after`, below `before`.
    async fn send_from_log(&mut self, site: String, after: u64, before: u64) -> Result<(), End> {
        let source = Arc::clone(&self.serving.app.alarms);
        let page = match source.after(&site, after, LOG_PAGE).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(site, after, %error, "a client's alarms could not be read");
                // It must not believe that it has them all: it is sent away, and resumes where it was.
                return Err(End::Shutdown);
            }
        };
        let mut read = after;
        for alarm in page.into_iter().filter(|alarm| alarm.seq < before) {
            read = alarm.seq;
            self.send_message(&Message::Alarm(Box::new(alarm))).await?;
        }
        if read == after {
            let detail = format!(
                "alarm changes {} to {} of site `{site}` are no longer kept; take what follows as complete",
                after + 1,
                before - 1
            );
            self.send_error(detail).await?;
            read = before - 1;
        }
        self.alarms_read.insert(site, read);
        Ok(())
    }

    async fn send_cells(&mut self) -> Result<(), End> {
        self.watches.cells.borrow_and_update();
        let format = self.subscription.as_ref().map_or(Format::Json, |subscription| subscription.format);
        let Some(since) = self.serving.app.live.cells_since(self.cells_read, format) else { return Ok(()) };
        self.cells_read = since.version;
        let kind = if format == Format::Binary { Kind::Binary } else { Kind::Text };
        self.send(kind, &since.message).await
    }

    async fn send_health(&mut self) -> Result<(), End> {
        let health = self.watches.health.borrow_and_update().clone();
        if health.is_empty() { Ok(()) } else { self.send(Kind::Text, &health).await }
    }

    async fn send_error(&mut self, detail: String) -> Result<(), End> {
        self.send_message(&Message::Error { detail }).await
    }

    async fn send_message(&mut self, message: &Message) -> Result<(), End> {
        // Plain data: serialising it cannot fail.
        let payload = serde_json::to_vec(message).unwrap_or_default();
        self.send(Kind::Text, &payload.into()).await
    }

    /// Sends one message, or finds that the client does not take it.
    async fn send(&mut self, kind: Kind, payload: &Bytes) -> Result<(), End> {
        match timeout(self.serving.app.limits.send_timeout, wire::send(&mut self.socket, kind, payload)).await
        {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Stalled),
        }
    }

    async fn ping(&mut self, silence: Duration) -> Result<(), End> {
        use futures::SinkExt;
        if self.heard_at.elapsed() > silence {
            return Err(End::Stalled);
        }
        let sent = self.socket.send(Frame::Ping(Bytes::new()));
        match timeout(self.serving.app.limits.send_timeout, sent).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Left),
            Err(_) => Err(End::Stalled),
        }
    }

    async fn say_goodbye(&mut self, end: End) {
        let (code, reason) = match end {
            // Nobody is there to hear it.
            End::Left | End::Stalled => return,
            End::Refused => (CloseCode::Policy, "the message broke the protocol or was too large"),
            End::Shutdown => (CloseCode::Away, "the server is going away; connect again and resume by seq"),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(FAREWELL, self.socket.close(Some(frame))).await;
    }
}
