//! A real server on a loopback port over a small pipeline, a plain HTTP client, and a WebSocket client.

#![allow(dead_code, unreachable_pub, reason = "each test file takes what it needs")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a panic here is the failure")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use hexwatch_contract::alarm::{Alarm, AlarmId, Class, ConfirmLevel, Explain, Priority, State, Transition};
use hexwatch_contract::audit::Audit;
use hexwatch_contract::risk::{CellRisk, Contribution, Hundredths, Level};
use hexwatch_contract::{Cell, EventTime, ManualClock};
use hexwatch_server::{
    About, Accounts, Action, ActionError, Actions, Actor, AlarmSource, Answer, AppState, CatalogTable,
    Geometry, Limits, Live, Login, Metrics, QueryDoor, QueryError, Role, SavedQuery, SiteMap, SourceError,
    serve,
};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use tokio_util::sync::CancellationToken;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs.
pub struct Running {
    pub address: SocketAddr,
    pub live: Live,
    pub log: Arc<Log>,
    pub audits: mpsc::Receiver<Audit>,
    pub shutdown: CancellationToken,
    pub metrics: Metrics,
    pub served: JoinHandle<std::io::Result<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

/// An alarm log in memory, and what people did.
#[derive(Default)]
pub struct Log {
    pub changes: Mutex<Vec<Alarm>>,
    pub acted: Mutex<Vec<(AlarmId, Action, Actor)>>,
}

#[async_trait]
impl AlarmSource for Log {
    async fn after(&self, site: &str, seq: u64, limit: usize) -> Result<Vec<Alarm>, SourceError> {
        let changes = self.changes.lock().unwrap();
        let after = changes.iter().filter(|alarm| alarm.site == site && alarm.seq > seq);
        Ok(after.take(limit).cloned().collect())
    }

    async fn latest(&self, id: &AlarmId) -> Result<Option<Alarm>, SourceError> {
        Ok(self.changes.lock().unwrap().iter().rfind(|alarm| alarm.alarm_id == *id).cloned())
    }
}

#[async_trait]
impl Actions for Log {
    async fn act(&self, id: &AlarmId, action: Action, actor: Actor) -> Result<Alarm, ActionError> {
        if id.as_str() == "taken" {
            return Err(ActionError::Conflict { detail: "olaf acknowledged it first".into() });
        }
        let found = self.latest(id).await.ok().flatten().ok_or_else(|| ActionError::NotFound(id.clone()))?;
        self.acted.lock().unwrap().push((id.clone(), action, actor.clone()));
        Ok(Alarm { seq: found.seq + 1, state: State::Acked, actor_ref: Some(actor.who), ..found })
    }
}

/// Answers every SELECT with the numbers 1 to 3.
struct Numbers;

#[async_trait]
impl QueryDoor for Numbers {
    async fn query(&self, sql: &str, limit: usize) -> Result<Answer, QueryError> {
        if !sql.starts_with("SELECT") {
            let detail = "only SELECT is allowed".to_owned();
            return Err(QueryError::Refused { detail, fix: "write a SELECT".into() });
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let batch = RecordBatch::try_from_iter(vec![("n", numbers)]).unwrap().slice(0, limit.min(3));
        Ok(Answer { schema: batch.schema(), batches: vec![batch], truncated: limit < 3 })
    }

    async fn saved(&self) -> Vec<SavedQuery> {
        vec![SavedQuery { name: "busiest_cells".into(), title: "Busiest".into(), sql: "SELECT 1".into() }]
    }

    async fn catalog(&self) -> Result<Vec<CatalogTable>, QueryError> {
        Ok(vec![CatalogTable { name: "alarms".into(), columns: Vec::new() }])
    }
}

struct Triangles;

impl Geometry for Triangles {
    fn ring(&self, _: Cell) -> Vec<[f64; 2]> {
        vec![[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    }
}

/// Anybody is an operator.
pub fn open() -> Accounts {
    Accounts::default().open_as(Role::Operator)
}

/// One login a role; the role's name is the token.
pub fn logins() -> Accounts {
    Accounts::new(
        Role::ALL.into_iter().map(|role| Login::with_token(role.name(), role, role.name())).collect(),
    )
}

pub async fn start(accounts: Accounts, limits: Limits) -> Running {
    let clock = Arc::new(ManualClock::at(EventTime::from_millis(1_700_000_000_000)));
    let metrics = Metrics::new();
    let live = Live::new(clock.clone(), clock, metrics.clone());
    let log = Arc::new(Log::default());
    // More than any test reads: none of them has to drain it.
    let (audit, audits) = mpsc::channel(1 << 20);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let app = AppState {
        live: live.clone(),
        alarms: log.clone(),
        actions: log.clone(),
        queries: Arc::new(Numbers),
        geometry: Arc::new(Triangles),
        site_map: SiteMap::default(),
        accounts,
        audit,
        about: About { version: "0.1.0".into(), mode: "live".into(), time_zone: "Asia/Shanghai".into() },
        limits,
    };
    let served = tokio::spawn(serve(listener, app, shutdown.clone()));
    Running { address, live, log, audits, shutdown, metrics, served }
}

impl Running {
    /// Appends to the alarm log, then tells the server, as the pipeline does.
    pub fn change(&self, alarm: Alarm) {
        self.log.changes.lock().unwrap().push(alarm.clone());
        self.live.alarm(alarm);
    }

    /// Puts `seqs` into the log as what stood before the server started.
    pub fn had(&self, seqs: std::ops::RangeInclusive<u64>) {
        let latest = *seqs.end();
        self.log.changes.lock().unwrap().extend(seqs.map(alarm));
        self.live.restore_alarms(BTreeMap::from([("demo".into(), latest)]), Vec::new());
    }
}

/// The `seq`-th change of the site `demo`, an alarm of its own.
pub fn alarm(seq: u64) -> Alarm {
    let at = EventTime::from_millis(1_700_000_000_000);
    Alarm {
        alarm_id: AlarmId::from(format!("alarm-{seq}")),
        seq,
        site: "demo".into(),
        rule: "R06".into(),
        rule_version: 1,
        class: Class::Access,
        priority: Priority::P2,
        state: State::Unack,
        transition: Transition::Raise,
        actor_ref: None,
        note: None,
        assigned_to: None,
        shelved_until: None,
        raised_at: at,
        changed_at: at,
        emitted_at: at,
        key: "ap-1".into(),
        device: None,
        cell: None,
        lon: None,
        lat: None,
        area: None,
        grid: None,
        officer_role: None,
        inputs: Vec::new(),
        measured: serde_json::Map::new(),
        confirm_level: ConfirmLevel::Single,
        drill: false,
        replay: false,
        incident: None,
        explain: Explain::default(),
    }
}

/// A cell with one contribution.
pub fn risk(index: u64, score: u32) -> CellRisk {
    let end = EventTime::from_millis(1_700_000_000_000);
    CellRisk {
        cell: Cell::from_index(0x08b2_a107_2b50_0fff + index * 4_096),
        res: 11,
        window_start: end - Duration::from_mins(5),
        window_end: end,
        watermark: end,
        score: Some(Hundredths(score)),
        contrib: vec![Contribution {
            term: "access.denied".into(),
            value: 1.5,
            weight: 2.0,
            share: Hundredths(score),
            n: 3,
            top_inputs: Vec::new(),
        }],
        level: Level::Elevated,
        coverage: 1.0,
        n_events: 3,
        grid: Vec::new(),
        rev: 0,
    }
}

/// An answer.
pub struct Response {
    pub status: u16,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

/// One request as HTTP/1.0, whose answer ends with the connection.
pub async fn ask(
    running: &Running,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> Response {
    let host = running.address.to_string();
    let length = body.len().to_string();
    let own = [("host", host.as_str()), ("content-length", length.as_str())];
    let lines = own.iter().chain(headers).map(|(name, value)| format!("{name}: {value}\r\n"));
    let request = format!("{method} {path} HTTP/1.0\r\n{}\r\n{body}", lines.collect::<String>());
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer)).await.expect("the answer ends").unwrap();
    parse(&answer)
}

fn parse(answer: &[u8]) -> Response {
    let split = answer.windows(4).position(|part| part == b"\r\n\r\n").expect("a head");
    let head = String::from_utf8_lossy(&answer[..split]).into_owned();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    Response { status, headers, body: answer[split + 4..].to_vec() }
}

pub async fn get(running: &Running, path: &str) -> Response {
    ask(running, "GET", path, &[], "").await
}

/// A live socket.
pub struct Client(pub WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn connect(running: &Running) -> Self {
        let request = format!("ws://{}/ws", running.address).into_client_request().unwrap();
        Self(tokio_tungstenite::connect_async(request).await.unwrap().0)
    }

    /// A client for which its kernel takes no more than so many bytes while it does not read.
    pub async fn with_receive_buffer(running: &Running, bytes: u32) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(bytes).unwrap();
        let stream = MaybeTlsStream::Plain(socket.connect(running.address).await.unwrap());
        let request = format!("ws://{}/ws", running.address).into_client_request().unwrap();
        Self(tokio_tungstenite::client_async(request, stream).await.unwrap().0)
    }

    pub async fn subscribed(running: &Running, message: &str) -> Self {
        let mut client = Self::connect(running).await;
        client.say(message).await;
        client
    }

    pub async fn say(&mut self, message: &str) {
        self.0.send(Message::text(message)).await.unwrap();
    }

    /// The next message, heartbeats left out; `None` when the socket ends.
    pub async fn hear(&mut self) -> Option<Value> {
        loop {
            let message = timeout(PATIENCE, self.0.next()).await.expect("the server speaks")?;
            let Ok(Message::Text(text)) = message else { continue };
            let message: Value = serde_json::from_str(&text).unwrap();
            if message["type"] != "heartbeat" {
                return Some(message);
            }
        }
    }

    /// Everything up to and with the next message of type `kind`.
    pub async fn hear_until(&mut self, kind: &str) -> Vec<Value> {
        let mut heard = Vec::new();
        loop {
            let message = self.hear().await.expect("the socket is open");
            heard.push(message);
            if heard.last().unwrap()["type"] == kind {
                return heard;
            }
        }
    }
}
