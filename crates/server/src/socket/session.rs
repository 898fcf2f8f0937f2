//! One client's socket, from its first message to its last.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use hexwatch_contract::live::{Hello, Message};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::start::Start;
use super::subscribe::{self, After, Subscription};
use super::wire::{self, Kind, Socket, Untaken};
use crate::access::Person;
use crate::api::reading::audit;
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
    /// The client takes nothing: there is no room for a farewell.
    Stalled,
    /// The client answers nothing.
    Silent,
    /// The client broke the protocol or a limit.
    Refused,
    /// The audit takes no more, and what is not audited is not handed out.
    Unaudited,
    /// The server ends.
    Shutdown,
}

impl From<Untaken> for End {
    fn from(untaken: Untaken) -> Self {
        match untaken {
            Untaken::Stalled => Self::Stalled,
            Untaken::Gone => Self::Left,
        }
    }
}

/// Who reads, and what for.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) person: Person,
    pub(super) purpose: Option<String>,
}

/// What a client is told next.
enum Event {
    Said(Option<Result<Frame, Error>>),
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
    reader: Reader,
    watches: Watches,
    subscription: Option<Subscription>,
    cells_read: u64,
    alarms_read: Cursor,
    /// Whether there may be alarms behind `alarms_read`. They come a page at a time, so that a client that catches up
    /// with thousands still has its pongs read and its heartbeats sent.
    alarms_left: bool,
    /// Whether `resumed` is owed once there are none.
    resuming: bool,
    heard_at: Instant,
}

impl Session {
    pub(super) fn new(socket: Socket, serving: Arc<Serving>, reader: Reader) -> Self {
        let watches = Watches::on(&serving.app.live);
        Self {
            socket,
            serving,
            reader,
            watches,
            subscription: None,
            cells_read: 0,
            alarms_read: Cursor::new(),
            alarms_left: false,
            resuming: false,
            heard_at: Instant::now(),
        }
    }

    /// Speaks until one side ends.
    pub(super) async fn run(mut self) {
        let metrics = self.serving.app.live.metrics().clone();
        metrics.socket_opened();
        let end = self.speak().await;
        if matches!(end, End::Stalled | End::Silent) {
            metrics.socket_cut();
            tracing::info!(
                ?end,
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
                // Both come at a pace of their own, so they hold nothing back, and nothing may hold them back.
                Ok(()) = self.watches.heartbeat.changed() => Event::Heartbeat,
                _ = pings.tick() => Event::Ping,
                () = ready(()), if self.alarms_left => Event::Alarms,
                Ok(()) = self.watches.alarms.changed(), if alarms => Event::Alarms,
                Ok(()) = self.watches.health.changed(), if health => Event::Health,
                Ok(()) = self.watches.cells.changed(), if cells => Event::Cells,
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

    async fn hear(&mut self, said: Option<Result<Frame, Error>>) -> Result<(), End> {
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
            Some(Err(error)) => Err(Untaken::from(error).into()),
            Some(Ok(Frame::Close(_))) | None => Err(End::Left),
        }
    }

    /// Starts from the beginning: who speaks, all cells, the alarms asked for; then what is new.
    async fn subscribe(&mut self, mut subscription: Subscription) -> Result<(), End> {
        let start = Start::of(&self.serving.app.live, &subscription);
        self.audit(&start).await?;
        let about = &self.serving.app.about;
        let hello = Message::Hello(Hello {
            version: about.version.clone(),
            mode: about.mode.clone(),
            time_zone: about.time_zone.clone(),
        });
        self.send_message(&hello).await?;
        let (cells, alarms, health) = (subscription.cells, subscription.alarms, subscription.health);
        // Needed once: a client may name as many sites as its message holds.
        subscription.after = After::Standing;
        self.subscription = Some(subscription);
        self.cells_read = 0;
        (self.alarms_left, self.resuming) = (false, false);
        if cells {
            self.send_cells().await?;
        }
        if health {
            self.send_health().await?;
        }
        if alarms {
            for message in start.standing {
                self.feed(Kind::Text, &message).await?;
            }
            self.alarms_read = start.read;
            (self.alarms_left, self.resuming) = (true, true);
        }
        Ok(())
    }

    /// A subscription is a read by a person. It is audited before anything of it is sent.
    async fn audit(&self, start: &Start) -> Result<(), End> {
        let Reader { person, purpose } = &self.reader;
        let audited = audit(&self.serving, person, purpose.clone(), start.what.clone(), start.owed).await;
        audited.map_err(|_| End::Unaudited)
    }

    /// Sends the next page of changes after what was read; once there is none, says so where that is owed.
    async fn send_alarms(&mut self) -> Result<(), End> {
        self.watches.alarms.borrow_and_update();
        let next = self.serving.app.live.alarms_next(&self.alarms_read);
        self.alarms_left = !matches!(next, Next::Nothing);
        match next {
            Next::Ready { site, last, messages } => {
                for message in messages {
                    self.feed(Kind::Text, &message).await?;
                }
                self.flush().await?;
                self.alarms_read.insert(site, last);
            }
            Next::InLog { site, after, before } => self.send_from_log(site, after, before).await?,
            Next::Nothing if self.resuming => {
                self.resuming = false;
                let latest_seq = self.alarms_read.clone();
                self.send_message(&Message::Resumed { latest_seq }).await?;
            }
            Next::Nothing => {}
        }
        Ok(())
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
            self.feed(Kind::Text, &serialised(&Message::Alarm(Box::new(alarm)))).await?;
        }
        self.flush().await?;
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
        self.send(Kind::Text, &serialised(message)).await
    }

    async fn send(&mut self, kind: Kind, payload: &Bytes) -> Result<(), End> {
        self.feed(kind, payload).await?;
        self.flush().await
    }

    /// Takes one message on its way, or finds that the client does not take it.
    async fn feed(&mut self, kind: Kind, payload: &Bytes) -> Result<(), End> {
        let patience = self.serving.app.limits.send_timeout;
        Ok(wire::feed(&mut self.socket, kind, payload, patience).await?)
    }

    async fn flush(&mut self) -> Result<(), End> {
        let patience = self.serving.app.limits.send_timeout;
        Ok(wire::flush(&mut self.socket, patience).await?)
    }

    async fn ping(&mut self, silence: Duration) -> Result<(), End> {
        if self.heard_at.elapsed() > silence {
            return Err(End::Silent);
        }
        let patience = self.serving.app.limits.send_timeout;
        Ok(wire::ping(&mut self.socket, patience).await?)
    }

    async fn say_goodbye(&mut self, end: End) {
        let (code, reason) = match end {
            // Nobody is there to hear it.
            End::Left | End::Stalled => return,
            End::Silent => (CloseCode::Again, "no ping was answered; connect again and resume by seq"),
            End::Unaudited => (CloseCode::Again, "reads cannot be audited at present; connect again"),
            End::Refused => (CloseCode::Policy, "the message broke the protocol or was too large"),
            End::Shutdown => (CloseCode::Away, "the server is going away; connect again and resume by seq"),
        };
        let frame = CloseFrame { code, reason: reason.into() };
        let _ = timeout(FAREWELL, self.socket.close(Some(frame))).await;
    }
}

/// Plain data: serialising it cannot fail.
fn serialised(message: &Message) -> Bytes {
    serde_json::to_vec(message).unwrap_or_default().into()
}
