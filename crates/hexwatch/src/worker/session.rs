//! What is said between a worker and the serving process about one lane, from a greeting to the end of a connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use hexwatch_contract::{Chunk, Partition};
use hexwatch_ingest::membership::Owned;
use hexwatch_ingest::reader::{Assignment, Grant, Progress, ReadError};
use hexwatch_ingest::{Event, Reader};
use hexwatch_relay::message::{Handed, Note, Order, Reach, Report};
use hexwatch_relay::{Grant as Granted, frame};
use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, watch};

use super::claims::Claims;
use super::freeze::Freeze;
use super::{ANSWERED_WITHIN, Ended, Lane};

/// After how long of silence the serving process is taken for gone.
const SILENCE: Duration = Duration::from_secs(15);
const SECOND_LOOK: Duration = Duration::from_secs(2);
/// How often it is looked whether a claim is to be made again.
const LOOK: Duration = Duration::from_secs(1);

impl From<Error> for Ended {
    /// What fails on a connection may succeed on the next.
    fn from(error: Error) -> Self {
        Self::Lost(error)
    }
}

/// Works over `stream` until it ends.
pub(super) async fn run(lane: &mut Lane, stream: TcpStream) -> Ended {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    if let Err(ended) = greet(lane, &mut read, &mut write).await {
        return ended;
    }
    let reader = Reader::start(lane.settings.clone(), Arc::clone(&lane.places), Arc::clone(&lane.clock));
    let (reader, events) = match reader {
        Ok(started) => started,
        Err(error) => return Ended::ForGood(error.into()),
    };
    tracing::info!(lane = lane.hello.lane, address = lane.address, "working for the serving process");
    let claims = Mutex::new(Claims::new(lane.session_timeout));
    let freeze = lane.owned.is_some().then(|| Arc::clone(&lane.freeze));
    let mut hands =
        Hands { reader: &reader, claims: &claims, write, leases: BTreeMap::new(), is_lost: false, freeze };
    // Both at once: orders must not wait until the other side has room for what was read.
    tokio::select! {
        ended = obey(&reader, &claims, &mut read) => ended,
        ended = hands.work(events, lane.owned.as_mut()) => ended,
    }
}

async fn greet(
    lane: &Lane,
    read: &mut BufReader<OwnedReadHalf>,
    write: &mut OwnedWriteHalf,
) -> Result<(), Ended> {
    say(write, &Report::Note(Note::Hello(lane.hello.clone()))).await?;
    let answer = tokio::time::timeout(ANSWERED_WITHIN, next_order(read)).await;
    match answer.map_err(|_| anyhow!("it does not answer"))?? {
        Order::Refused(why) => Err(Ended::ForGood(anyhow!("the serving process refuses this worker: {why}"))),
        Order::Welcome => Ok(()),
        other => Err(anyhow!("it answers a greeting with {other:?}").into()),
    }
}

async fn next_order(read: &mut BufReader<OwnedReadHalf>) -> Result<Order> {
    let bytes = frame::read(read, frame::LONGEST).await?;
    Ok(Order::decode(&bytes.ok_or_else(|| anyhow!("it has ended the connection"))?)?)
}

/// A process that was stopped and goes on finds its timers run out before it has looked at its connections, so one that
/// has run out is given a second look.
async fn next_order_in_time(read: &mut BufReader<OwnedReadHalf>) -> Result<Order> {
    let mut next = std::pin::pin!(next_order(read));
    if let Ok(order) = tokio::time::timeout(SILENCE, &mut next).await {
        return order;
    }
    let late = tokio::time::timeout(SECOND_LOOK, next).await;
    late.unwrap_or_else(|_| Err(anyhow!("it has said nothing for {SILENCE:?}")))
}

async fn say(write: &mut OwnedWriteHalf, report: &Report) -> Result<()> {
    frame::write(write, &report.encode()?).await?;
    Ok(write.flush().await?)
}

/// Does what the serving process orders.
async fn obey(reader: &Reader, claims: &Mutex<Claims>, read: &mut BufReader<OwnedReadHalf>) -> Ended {
    let mut held: BTreeSet<Partition> = BTreeSet::new();
    loop {
        match next_order_in_time(read).await {
            Ok(Order::Grant(granted)) => reader.grant(grant(granted)),
            Ok(Order::Fenced { partition, lease }) => {
                tracing::warn!(%partition, lease, "another worker reads a partition now; what is here of it is dropped");
                reader.end_grant(&partition, lease);
                lock(claims).fenced(&partition, Instant::now());
            }
            Ok(Order::Hold(partitions)) => held = partitions.into_iter().collect(),
            Ok(Order::Alive | Order::Welcome | Order::Refused(_)) => {}
            Err(error) => return Ended::Lost(error),
        }
        reader.hold(held.iter().filter(|partition| reader.lease_of(partition).is_some()));
    }
}

fn grant(granted: Granted) -> Grant {
    let Granted { partition, topic, start, lease, mark, cluster } = granted;
    // A mark of another version proves nothing, and nothing else is lost with it.
    let mark = mark.and_then(|mark| serde_json::from_value(mark).ok());
    Grant { partition, topic, start, mark, cluster, lease }
}

fn lock(claims: &Mutex<Claims>) -> std::sync::MutexGuard<'_, Claims> {
    claims.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Hands over what the reader reads.
struct Hands<'a> {
    reader: &'a Reader,
    claims: &'a Mutex<Claims>,
    write: OwnedWriteHalf,
    /// By which lease each partition is read.
    leases: BTreeMap<Partition, u64>,
    /// No broker answers: nobody knows how far the ends are.
    is_lost: bool,
    freeze: Option<Arc<Freeze>>,
}

impl Hands<'_> {
    async fn work(
        &mut self,
        mut events: mpsc::Receiver<Event>,
        mut owned: Option<&mut watch::Receiver<Owned>>,
    ) -> Ended {
        let mut look = tokio::time::interval(LOOK);
        loop {
            let done = tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.hand_over(event).await,
                    None => Err(Ended::ForGood(anyhow!("the reader has ended"))),
                },
                _ = look.tick() => self.claim(owned.as_deref_mut()).await,
                () = changed(owned.as_deref_mut()) => self.claim(owned.as_deref_mut()).await,
            };
            if let Err(ended) = done {
                return ended;
            }
        }
    }

    /// Asks for leases of what the group has given, and lets go of what it has taken away.
    async fn claim(&mut self, owned: Option<&mut watch::Receiver<Owned>>) -> Result<(), Ended> {
        let Some(owned) = owned else { return Ok(()) };
        let Owned { partitions, failed } = owned.borrow_and_update().clone();
        if let Some(error) = failed {
            return Err(self.fail(error).await);
        }
        let is_leased = |partition: &Partition| self.reader.lease_of(partition).is_some();
        for (partition, lease) in self.leases.iter().filter(|(partition, _)| !partitions.contains(*partition))
        {
            self.reader.end_grant(partition, *lease);
        }
        let due = lock(self.claims).due(&partitions, is_leased, Instant::now());
        if due.is_empty() { Ok(()) } else { self.note(Note::Claim(due)).await }
    }

    async fn hand_over(&mut self, event: Event) -> Result<(), Ended> {
        match event {
            Event::Assigned(assignments) => self.begin(assignments),
            Event::Revoked(partitions) => {
                for partition in partitions {
                    if let Some(lease) = self.leases.remove(&partition) {
                        self.note(Note::Release { partition, lease }).await?;
                    }
                }
            }
            Event::Chunk(chunk) => self.hand_over_chunk(chunk).await?,
            Event::AtEnd { partition, offset } => {
                if let Some(&lease) = self.leases.get(&partition).filter(|_| !self.is_lost) {
                    self.note(Note::AtEnd { partition, lease, offset }).await?;
                }
            }
            Event::Progress(progress) => {
                let reaches = progress.into_iter().filter_map(|one| self.reach(one)).collect();
                self.note(Note::Reach(reaches)).await?;
            }
            Event::BrokerLost { .. } => self.is_lost = true,
            Event::BrokerBack => self.is_lost = false,
            Event::Failed(error) => return Err(self.fail(error).await),
        }
        Ok(())
    }

    fn begin(&mut self, assignments: Vec<Assignment>) {
        self.leases.extend(assignments.into_iter().map(|one| (one.partition, one.lease)));
    }

    async fn hand_over_chunk(&mut self, chunk: Chunk) -> Result<(), Ended> {
        let Some(&lease) = self.leases.get(&chunk.partition) else { return Ok(()) };
        let mark = self.reader.mark(&chunk.partition, chunk.next_offset);
        let mark = mark.and_then(|mark| serde_json::to_value(mark).ok());
        if let Some(freeze) = &self.freeze {
            freeze.reach();
        }
        let handed = Handed { lease, mark, chunk };
        Ok(say(&mut self.write, &Report::Chunk(Box::new(handed))).await?)
    }

    fn reach(&self, progress: Progress) -> Option<Reach> {
        let Progress { partition, position, end, at_end } = progress;
        let &lease = self.leases.get(&partition)?;
        Some(Reach { partition, lease, position, end, at_end: at_end && !self.is_lost })
    }

    /// Tells why this worker ends.
    async fn fail(&mut self, error: ReadError) -> Ended {
        let note = Note::Failed { is_loss: error.is_loss(), message: error.to_string() };
        // Where it cannot be said any more, it is told here all the same.
        let _ = self.note(note).await;
        Ended::ForGood(error.into())
    }

    async fn note(&mut self, note: Note) -> Result<(), Ended> {
        Ok(say(&mut self.write, &Report::Note(note)).await?)
    }
}

/// Waits until the group has decided anew.
async fn changed(owned: Option<&mut watch::Receiver<Owned>>) {
    let is_over = match owned {
        Some(owned) => owned.changed().await.is_err(),
        None => true,
    };
    if is_over {
        std::future::pending::<()>().await;
    }
}
