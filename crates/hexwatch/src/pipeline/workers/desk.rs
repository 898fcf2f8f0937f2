//! What all connections share: the ledger, who is connected, and the queues to the engine. Nothing is waited for here
//! and no broker is asked: what is known of Kafka is handed in, and what is to be said goes into queues.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hexwatch_contract::{Offsets, Partition};
use hexwatch_ingest::Event;
use hexwatch_ingest::reader::{Assignment, Mark, Marks, Progress, ReadError};
use hexwatch_relay::message::{Note, Order};
use hexwatch_relay::{Grant, Handed, Lease, Ledger, Member, Reading, Verdict, cut};
use hexwatch_server::Metrics;
use tokio::sync::Notify;
use tokio::sync::mpsc::{Permit, Sender};
use tokio_util::sync::CancellationToken;

use super::Kinds;

#[cfg(test)]
pub(super) mod tests;

/// A queue to the engine, and the topics whose records go through it.
pub(super) struct Lane {
    pub(super) topics: BTreeSet<Arc<str>>,
    pub(super) queue: Sender<Event>,
    pub(super) reading: Reading,
}

/// What a desk is made of.
pub(super) struct Parts<L> {
    pub(super) lanes: L,
    pub(super) kinds: Kinds,
    pub(super) marks: Marks,
    pub(super) metrics: Metrics,
    /// When this process started: leases are numbered from there.
    pub(super) started: u64,
}

/// The desk.
pub(super) struct Desk {
    lanes: Vec<Lane>,
    /// For each lane that there may be a change to tell.
    changes: Vec<Notify>,
    kinds: Kinds,
    marks: Marks,
    metrics: Metrics,
    state: Mutex<State>,
}

struct State {
    ledger: Ledger,
    connections: BTreeMap<Member, Connection>,
    last_member: Member,
    held: BTreeSet<Partition>,
    /// The cluster whose partitions are open, where it gives its id.
    cluster: Option<String>,
}

/// A worker's connection as the others see it.
pub(super) struct Connection {
    pub(super) worker: String,
    pub(super) lane: usize,
    /// What is to be said to it; a worker for which it is full takes nothing any more.
    pub(super) orders: Sender<Order>,
    /// Ends it.
    pub(super) end: CancellationToken,
}

impl Connection {
    fn order(&self, order: Order) {
        if self.orders.try_send(order).is_err() {
            tracing::warn!(worker = self.worker, "a worker takes no orders; its connection is ended");
            self.end.cancel();
        }
    }
}

impl Desk {
    pub(super) fn new(parts: Parts<impl Iterator<Item = Lane>>) -> Self {
        let lanes: Vec<Lane> = parts.lanes.collect();
        let state = State {
            ledger: Ledger::new(parts.started),
            connections: BTreeMap::new(),
            last_member: 0,
            held: BTreeSet::new(),
            cluster: None,
        };
        Self {
            changes: lanes.iter().map(|_| Notify::new()).collect(),
            lanes,
            kinds: parts.kinds,
            marks: parts.marks,
            metrics: parts.metrics,
            state: Mutex::new(state),
        }
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    pub(super) fn lane_of(&self, partition: &Partition) -> Option<usize> {
        self.lanes.iter().position(|lane| lane.topics.contains(&partition.topic))
    }

    pub(super) fn marks(&self) -> &Marks {
        &self.marks
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What a panic elsewhere leaves behind is a whole step of the ledger.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Partitions of a lane are known, in `cluster`, and may be read.
    pub(super) fn open(
        &self,
        lane: usize,
        assignments: Vec<Assignment>,
        cluster: Option<String>,
        now: Instant,
    ) {
        let mut state = self.state();
        state.cluster = cluster;
        for Assignment { partition, start, end, .. } in assignments {
            let reading = self.lanes[lane].reading;
            let mut members = state.ledger.open(partition.clone(), reading, start, end);
            if reading == Reading::Together {
                let of_lane = state.connections.iter().filter(|(_, one)| one.lane == lane);
                members = of_lane.map(|(member, _)| *member).collect();
            }
            for member in members {
                self.lease(&mut state, member, &partition, now);
            }
        }
    }

    /// A worker has come in; gives its number. Another connection of its name for the same lane is an old one of its own.
    pub(super) fn join(&self, connection: Connection, now: Instant) -> Member {
        let mut state = self.state();
        for other in state.connections.values() {
            if (&other.worker, other.lane) == (&connection.worker, connection.lane) {
                other.end.cancel();
            }
        }
        state.last_member += 1;
        let member = state.last_member;
        let reads_all = self.lanes[connection.lane].reading == Reading::Together;
        connection.order(Order::Welcome);
        if !state.held.is_empty() {
            connection.order(Order::Hold(state.held.iter().cloned().collect()));
        }
        let of_lane = |partition: &&Partition| self.lanes[connection.lane].topics.contains(&partition.topic);
        let shared: Vec<Partition> = state.ledger.shared().filter(of_lane).cloned().collect();
        state.connections.insert(member, connection);
        for partition in shared.iter().filter(|_| reads_all) {
            self.lease(&mut state, member, partition, now);
        }
        member
    }

    /// A connection has ended.
    pub(super) fn leave(&self, member: Member) {
        let mut state = self.state();
        if let Some(connection) = state.connections.remove(&member) {
            state.ledger.leave(member);
            self.changes[connection.lane].notify_one();
        }
    }

    /// Gives `member` a lease of `partition`, where that is known, and tells those whose leases end.
    fn lease(&self, state: &mut State, member: Member, partition: &Partition, now: Instant) {
        let Some(claimed) = state.ledger.claim(member, partition, now) else { return };
        for (other, lease) in claimed.fenced {
            if let Some(other) = state.connections.get(&other) {
                tracing::info!(%partition, lease, worker = other.worker, "another worker reads a partition now");
                other.order(Order::Fenced { partition: partition.clone(), lease });
            }
        }
        self.grant(state, member, claimed.lease);
    }

    fn grant(&self, state: &State, member: Member, lease: Lease) {
        let Lease { partition, start, number } = lease;
        let Some((connection, topic)) = state.connections.get(&member).zip(self.kinds.get(&partition.topic))
        else {
            return;
        };
        tracing::info!(%partition, start, lease = number, worker = connection.worker, "a partition was leased");
        let mark = self.marks.last_below(&partition, start).and_then(|mark| serde_json::to_value(mark).ok());
        connection.order(Order::Grant(Grant {
            partition,
            topic: *topic,
            start,
            lease: number,
            mark,
            cluster: state.cluster.clone(),
        }));
        self.changes[connection.lane].notify_one();
    }

    /// Judges a chunk of `member`, and puts what is taken of it into `room`.
    pub(super) fn take(&self, member: Member, handed: Handed, room: Permit<'_, Event>, now: Instant) {
        let Handed { lease, mark, chunk } = handed;
        let mut state = self.state();
        let stretch = (chunk.first_offset, chunk.next_offset);
        let verdict = state.ledger.admit(member, lease, &chunk.partition, stretch, now);
        let outcome = match verdict {
            Verdict::Take { from } => {
                // Before the chunk: whoever commits it finds the mark.
                if let Some(mark) = mark.and_then(|mark| serde_json::from_value::<Mark>(mark).ok()) {
                    self.marks.note(mark);
                }
                let is_whole = from == chunk.first_offset;
                room.send(Event::Chunk(cut(chunk, from)));
                if is_whole { "taken" } else { "cut" }
            }
            Verdict::AlreadyTaken => "already_taken",
            Verdict::Fenced => {
                refuse(&state, member, &chunk.partition, lease);
                "fenced"
            }
            Verdict::Gap(lease) => {
                tracing::warn!(partition = %chunk.partition, wanted = lease.start, got = stretch.0, "records are missing before a chunk; they are read again");
                self.grant(&state, member, lease);
                "gap"
            }
        };
        self.metrics.worker_chunk(outcome);
    }

    /// Takes in what `member` says beside records; an event where the engine has to hear of it.
    pub(super) fn note(&self, member: Member, note: Note, now: Instant) -> Option<Event> {
        let mut state = self.state();
        let connection = state.connections.get(&member)?;
        let (lane, worker) = (connection.lane, connection.worker.clone());
        match note {
            // Said once, and heard before.
            Note::Hello(_) => {}
            Note::Claim(partitions) => {
                for partition in partitions.iter().filter(|one| self.lane_of(one) == Some(lane)) {
                    self.lease(&mut state, member, partition, now);
                }
            }
            Note::Release { partition, lease } => state.ledger.release(member, &partition, lease),
            Note::AtEnd { partition, lease, offset } => {
                state.ledger.at_end(member, lease, &partition, offset, now);
            }
            Note::Reach(reaches) => state.ledger.reach(member, &reaches, now),
            Note::Failed { is_loss: true, message } => {
                return Some(Event::Failed(ReadError::Worker { worker, message }));
            }
            Note::Failed { is_loss: false, message } => {
                tracing::warn!(worker, message, "a worker cannot go on");
            }
        }
        self.changes[lane].notify_one();
        None
    }

    /// Waits until there may be a change of a lane's partitions to tell.
    pub(super) async fn changed(&self, lane: usize) {
        self.changes[lane].notified().await;
    }

    /// Puts the next change of a lane's partitions into `room`; gives whether there was one.
    pub(super) fn tell_change(&self, lane: usize, room: Permit<'_, Event>) -> bool {
        let topics = &self.lanes[lane].topics;
        let mut state = self.state();
        let change = state.ledger.change(|partition| topics.contains(&partition.topic));
        let Some(change) = change else { return false };
        let partition = change.partition;
        room.send(match change.at_end {
            Some(offset) => Event::AtEnd { partition, offset },
            None => Event::Progress(vec![Progress { partition, position: 0, end: 0, at_end: false }]),
        });
        true
    }

    /// What nothing was heard of for `limit` is behind.
    pub(super) fn hush(&self, limit: Duration, now: Instant) {
        let mut state = self.state();
        state.ledger.hush(limit, now);
        self.metrics.workers_counted(state.connections.len(), state.ledger.unread().count());
        drop(state);
        self.changes.iter().for_each(Notify::notify_one);
    }

    /// Partitions that nobody reads, so that nobody says where they end.
    pub(super) fn unread(&self) -> Vec<Partition> {
        self.state().ledger.unread().cloned().collect()
    }

    /// Where partitions end.
    pub(super) fn ends_at(&self, ends: &Offsets) {
        let mut state = self.state();
        for (partition, end) in ends {
            state.ledger.ends_at(partition, *end);
        }
    }

    /// Nobody fetches more of `partitions` until they are not among those of a later call.
    pub(super) fn hold(&self, partitions: BTreeSet<Partition>) {
        let mut state = self.state();
        if state.held == partitions {
            return;
        }
        for connection in state.connections.values() {
            connection.order(Order::Hold(partitions.iter().cloned().collect()));
        }
        state.held = partitions;
    }

    /// How far all partitions are.
    pub(super) fn progress(&self) -> Vec<Progress> {
        let progress = |(partition, position, end, at_end): (&Partition, i64, i64, bool)| Progress {
            partition: partition.clone(),
            position,
            end,
            at_end,
        };
        self.state().ledger.standing().map(progress).collect()
    }
}

/// Tells `member` that its lease counts no more.
fn refuse(state: &State, member: Member, partition: &Partition, lease: u64) {
    let Some(connection) = state.connections.get(&member) else { return };
    tracing::warn!(%partition, lease, worker = connection.worker, "a chunk was refused: its lease counts no more");
    connection.order(Order::Fenced { partition: partition.clone(), lease });
}
