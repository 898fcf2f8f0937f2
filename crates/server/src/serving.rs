//! What the server stands on, and how it runs and ends.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::serve::ListenerExt;
use hexwatch_contract::audit::Audit;
use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Accounts;
use crate::api::alarms::Actions;
use crate::api::map::{Geometry, SiteMap};
use crate::api::sql::QueryDoor;
use crate::doors;
use crate::live::{AlarmSource, Live};

/// A little under a second, so that a heartbeat comes at least every second whatever the scheduler does.
const HEARTBEAT: Duration = Duration::from_millis(750);
/// What the kernel keeps for a client that does not read. Left alone it grows to megabytes, for thousands of clients to
/// gigabytes, and a stalled one is not felt for minutes.
const SEND_BUFFER: usize = 128 * 1024;
/// How long requests and sockets may take to end once the server has to.
const GRACE: Duration = Duration::from_secs(3);

/// Who is speaking.
#[derive(Clone, Debug)]
pub struct About {
    /// The version of hexwatch.
    pub version: String,
    /// `live`, `demo` or `replay`.
    pub mode: String,
    /// The site's IANA time zone.
    pub time_zone: String,
}

/// Bounds of what clients may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Live sockets at a time; one more is refused with 503.
    pub clients: usize,
    /// How long a client of a live socket may take nothing of what waits for it before it is cut. Before that the kernel
    /// takes for it what comes in a second or so, and it shall be gone within five seconds of the first that it did not read.
    pub send_timeout: Duration,
    /// Between pings; a client that has said nothing for three of them, not even a pong, is cut.
    pub ping_every: Duration,
    /// The largest message a client may send, in bytes.
    pub socket_message_bytes: usize,
    /// The largest body of an HTTP request, in bytes.
    pub body_bytes: usize,
    /// Rows of a SQL answer unless the request says otherwise.
    pub default_rows: usize,
    /// Rows of a SQL answer at most.
    pub most_rows: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            clients: 20_000,
            send_timeout: Duration::from_millis(3_500),
            ping_every: Duration::from_secs(20),
            socket_message_bytes: 16 * 1024,
            body_bytes: 256 * 1024,
            default_rows: 10_000,
            most_rows: 1_000_000,
        }
    }
}

/// Everything the doors need, handed in by the pipeline.
pub struct AppState {
    /// The live picture.
    pub live: Live,
    /// The alarm log.
    pub alarms: Arc<dyn AlarmSource>,
    /// What people do to alarms.
    pub actions: Arc<dyn Actions>,
    /// SQL over history.
    pub queries: Arc<dyn QueryDoor>,
    /// The outlines of cells.
    pub geometry: Arc<dyn Geometry>,
    /// What the site looks like.
    pub site_map: SiteMap,
    /// Who may come in.
    pub accounts: Accounts,
    /// Where reads by persons are told: bounded, and a read waits for it, because an unaudited one must not be answered.
    pub audit: mpsc::Sender<Audit>,
    /// Who is speaking.
    pub about: About,
    /// Bounds.
    pub limits: Limits,
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("AppState").field("about", &self.about).finish_non_exhaustive()
    }
}

/// The state of a running server: what was handed in, and what ends it.
pub(crate) struct Serving {
    pub(crate) app: AppState,
    pub(crate) shutdown: CancellationToken,
    /// One permit a socket.
    pub(crate) seats: Arc<Semaphore>,
    pub(crate) sockets: TaskTracker,
}

/// Serves until `shutdown` is cancelled; then sockets are closed with 1001 (going away), requests may end, and the
/// server returns within a few seconds. Call [`crate::check_listen`] before binding `listener`.
pub async fn serve(listener: TcpListener, app: AppState, shutdown: CancellationToken) -> io::Result<()> {
    let seats = Arc::new(Semaphore::new(app.limits.clients));
    let live = app.live.clone();
    let serving = Arc::new(Serving { app, shutdown: shutdown.clone(), seats, sockets: TaskTracker::new() });
    let router = doors::router(&serving).0;
    let listener = listener.tap_io(|stream| {
        // Alarms are small messages that must not wait for more to fill a segment.
        let set = stream.set_nodelay(true);
        if let Err(error) = set.and_then(|()| SockRef::from(&*stream).set_send_buffer_size(SEND_BUFFER)) {
            tracing::debug!(%error, "a client's socket takes no TCP_NODELAY, or no bound on its send buffer");
        }
    });
    let served = axum::serve(listener, router).with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let ended = async {
        shutdown.cancelled().await;
        sleep(GRACE).await;
    };
    tokio::select! {
        result = served.into_future() => result?,
        () = ended => tracing::info!("requests were still running when the server had to end"),
        () = keep_beating(&live) => {}
    }
    serving.sockets.close();
    if timeout(GRACE, serving.sockets.wait()).await.is_err() {
        tracing::info!("sockets were still open when the server had to end");
    }
    Ok(())
}

/// A heartbeat on time, and one at once when the feed goes or comes back.
async fn keep_beating(live: &Live) {
    let mut ticks = interval(HEARTBEAT);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = live.feed_turned() => {}
        }
        live.beat();
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use hexwatch_contract::alarm::{Alarm, AlarmId};
    use hexwatch_contract::{Cell, EventTime, ManualClock};

    use super::*;
    use crate::api::alarms::{Action, ActionError, Actor};
    use crate::api::sql::{Answer, CatalogTable, QueryError, SavedQuery};
    use crate::live::SourceError;
    use crate::metrics::Metrics;

    /// A pipeline that has nothing.
    struct Nothing;

    #[async_trait::async_trait]
    impl AlarmSource for Nothing {
        async fn after(&self, _: &str, _: u64, _: usize) -> Result<Vec<Alarm>, SourceError> {
            Ok(Vec::new())
        }
        async fn latest(&self, _: &AlarmId) -> Result<Option<Alarm>, SourceError> {
            Ok(None)
        }
    }

    #[async_trait::async_trait]
    impl Actions for Nothing {
        async fn act(&self, alarm: &AlarmId, _: Action, _: Actor) -> Result<Alarm, ActionError> {
            Err(ActionError::NotFound(alarm.clone()))
        }
    }

    #[async_trait::async_trait]
    impl QueryDoor for Nothing {
        async fn query(&self, _: &str, _: usize) -> Result<Answer, QueryError> {
            Err(QueryError::Unavailable { detail: "there is no history".into() })
        }
        async fn saved(&self) -> Vec<SavedQuery> {
            Vec::new()
        }
        async fn catalog(&self) -> Result<Vec<CatalogTable>, QueryError> {
            Ok(Vec::new())
        }
    }

    impl Geometry for Nothing {
        fn ring(&self, _: Cell) -> Vec<[f64; 2]> {
            Vec::new()
        }
    }

    /// A server over [`Nothing`].
    pub(crate) fn serving() -> Arc<Serving> {
        let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
        let app = AppState {
            live: Live::new(clock.clone(), clock, Metrics::new()),
            alarms: Arc::new(Nothing),
            actions: Arc::new(Nothing),
            queries: Arc::new(Nothing),
            geometry: Arc::new(Nothing),
            site_map: SiteMap::default(),
            accounts: Accounts::default(),
            audit: mpsc::channel(1).0,
            about: About { version: "0".into(), mode: "live".into(), time_zone: "UTC".into() },
            limits: Limits::default(),
        };
        Arc::new(Serving {
            app,
            shutdown: CancellationToken::new(),
            seats: Arc::new(Semaphore::new(1)),
            sockets: TaskTracker::new(),
        })
    }
}
