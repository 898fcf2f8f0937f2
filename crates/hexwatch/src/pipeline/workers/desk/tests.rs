//! What the desk takes of whom, and what it says to whom.

use arrow::array::RecordBatch;
use hexwatch_contract::{Chunk, EventBatch, EventTime, Topic, event};
use hexwatch_relay::Reach;
use tokio::sync::mpsc::{Receiver, channel};

use super::*;

/// Room for events of a lane, and for orders to a worker: more than a test makes.
const ROOM: usize = 64;

/// A desk for `panic`, which all workers read, and `access`, which one does, and the queues that it fills.
pub(in super::super) fn desk(room: usize) -> (Desk, [Receiver<Event>; 2]) {
    let ((together, first), (alone, second)) = (channel(room), channel(room));
    let lane = |topic: &str, queue, reading| Lane { topics: [Arc::from(topic)].into(), queue, reading };
    let lanes = [lane("panic", together, Reading::Together), lane("access", alone, Reading::Alone)];
    let desk = Desk::new(Parts {
        lanes: lanes.into_iter(),
        kinds: [(Arc::from("panic"), Topic::Panic), (Arc::from("access"), Topic::Access)].into(),
        marks: Marks::of([]),
        metrics: Metrics::new(),
        started: 100,
    });
    (desk, [first, second])
}

pub(in super::super) fn panic() -> Partition {
    Partition::new("panic", 0)
}

pub(in super::super) fn access() -> Partition {
    Partition::new("access", 0)
}

/// A stretch of a partition that holds no records.
pub(in super::super) fn chunk(partition: Partition, first_offset: i64, next_offset: i64) -> Chunk {
    Chunk {
        partition,
        first_offset,
        next_offset,
        read: 0,
        latest_kafka_time: EventTime::MIN,
        events: EventBatch {
            topic: Topic::Access,
            records: RecordBatch::new_empty(event::schema(Topic::Access)),
            identities: Vec::new(),
        },
        dead_letters: Vec::new(),
    }
}

impl Desk {
    /// Whether any connection has its place.
    pub(in super::super) fn is_anybody_there(&self) -> bool {
        !self.state().connections.is_empty()
    }
}

pub(in super::super) fn open(desk: &Desk, partition: Partition, start: i64) {
    let lane = desk.lane_of(&partition).unwrap();
    let assignment = Assignment { partition, topic: Topic::Access, start, end: 9, lease: 0 };
    desk.open(lane, vec![assignment], Some("ours".to_owned()), Instant::now());
}

/// A worker's connection, from its own side.
struct Guest {
    member: Member,
    orders: Receiver<Order>,
    end: CancellationToken,
}

impl Guest {
    fn come(desk: &Desk, worker: &str, lane: usize) -> Self {
        Self::come_with_room(desk, worker, lane, ROOM)
    }

    fn come_with_room(desk: &Desk, worker: &str, lane: usize, room: usize) -> Self {
        let ((orders, waiting), end) = (channel(room), CancellationToken::new());
        let connection = Connection { worker: worker.to_owned(), lane, orders, end: end.clone() };
        Self { member: desk.join(connection, Instant::now()), orders: waiting, end }
    }

    /// One that was let in, has claimed `access`, and was granted it by this lease from this offset.
    fn with_access(desk: &Desk, worker: &str) -> (Self, u64, i64) {
        let mut guest = Self::come(desk, worker, 1);
        guest.note(desk, Note::Claim(vec![access()]));
        let [Order::Welcome, Order::Grant(grant)] = &guest.heard()[..] else { panic!("no grant") };
        (guest, grant.lease, grant.start)
    }

    fn note(&self, desk: &Desk, note: Note) -> Option<Event> {
        desk.note(self.member, note, Instant::now())
    }

    fn bring(&self, desk: &Desk, lease: u64, partition: Partition, stretch: (i64, i64)) {
        let lane = desk.lane_of(&partition).unwrap();
        let room = desk.lanes()[lane].queue.try_reserve().unwrap();
        let handed = Handed { lease, mark: None, chunk: chunk(partition, stretch.0, stretch.1) };
        desk.take(self.member, handed, room, Instant::now());
    }

    /// What was said to it since this was last asked.
    fn heard(&mut self) -> Vec<Order> {
        std::iter::from_fn(|| self.orders.try_recv().ok()).collect()
    }
}

/// The stretches that the engine gets.
fn taken(queue: &mut Receiver<Event>) -> Vec<(i64, i64)> {
    let stretch = |event| match event {
        Event::Chunk(chunk) => (chunk.first_offset, chunk.next_offset),
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| queue.try_recv().ok()).map(stretch).collect()
}

/// What the engine is told of `access`: its end where that is reached, or that it is behind.
fn told(desk: &Desk, queue: &mut Receiver<Event>) -> Vec<Option<i64>> {
    while desk.tell_change(1, desk.lanes()[1].queue.try_reserve().unwrap()) {}
    let change = |event| match event {
        Event::AtEnd { offset, .. } => Some(offset),
        Event::Progress(progress) if !progress[0].at_end => None,
        other => panic!("{other:?}"),
    };
    std::iter::from_fn(|| queue.try_recv().ok()).map(change).collect()
}

fn fenced(lease: u64) -> Order {
    Order::Fenced { partition: access(), lease }
}

fn refused(desk: &Desk) -> bool {
    desk.metrics.render().contains("hexwatch_worker_chunks_total{outcome=\"fenced\"} 1")
}

#[test]
fn a_grant_says_what_to_read_from_where_and_of_which_cluster() {
    let (desk, _queues) = desk(ROOM);
    open(&desk, access(), 5);
    let mut guest = Guest::come(&desk, "a", 1);
    assert!(guest.note(&desk, Note::Claim(vec![access(), panic()])).is_none());
    let [Order::Welcome, Order::Grant(grant)] = &guest.heard()[..] else { panic!("one grant is expected") };
    assert_eq!((&grant.partition, grant.topic, grant.start), (&access(), Topic::Access, 5));
    assert!(grant.lease > 100, "leases of the process before are lower");
    assert_eq!(grant.cluster.as_deref(), Some("ours"));
    assert!(desk.unread().is_empty());
}

#[test]
fn a_chunk_by_a_lease_that_is_not_the_last_is_refused_and_its_worker_is_told() {
    let (desk, [_, mut queue]) = desk(ROOM);
    open(&desk, access(), 0);
    let (mut guest, old, _) = Guest::with_access(&desk, "a");
    guest.note(&desk, Note::Claim(vec![access()]));
    let [Order::Grant(grant)] = &guest.heard()[..] else { panic!("no grant") };
    let last = grant.lease;
    guest.bring(&desk, old, access(), (0, 4));
    assert_eq!((taken(&mut queue), guest.heard()), (vec![], vec![fenced(old)]));
    assert!(refused(&desk));
    guest.bring(&desk, last, access(), (0, 4));
    assert_eq!((taken(&mut queue), guest.heard()), (vec![(0, 4)], vec![]));
}

#[test]
fn whoever_claims_a_partition_that_another_reads_goes_on_where_that_one_was_taken() {
    let (desk, [_, mut queue]) = desk(ROOM);
    open(&desk, access(), 0);
    let (mut first, old, _) = Guest::with_access(&desk, "a");
    first.bring(&desk, old, access(), (0, 4));
    let (second, lease, start) = Guest::with_access(&desk, "b");
    assert_eq!((start, first.heard()), (4, vec![fenced(old)]));
    // It had these in its hands, and comes too late with them.
    first.bring(&desk, old, access(), (4, 6));
    second.bring(&desk, lease, access(), (4, 7));
    assert_eq!((taken(&mut queue), first.heard()), (vec![(0, 4), (4, 7)], vec![fenced(old)]));
    assert!(refused(&desk));
}

#[test]
fn a_zombie_whose_connection_was_given_up_brings_nothing_and_holds_nobody_up() {
    let (desk, [_, mut queue]) = desk(ROOM);
    open(&desk, access(), 0);
    let (mut zombie, old, _) = Guest::with_access(&desk, "a");
    desk.leave(zombie.member);
    zombie.bring(&desk, old, access(), (0, 4));
    zombie.note(&desk, Note::AtEnd { partition: access(), lease: old, offset: 4 });
    assert_eq!((taken(&mut queue), zombie.heard(), told(&desk, &mut queue)), (vec![], vec![], vec![]));
    assert!(refused(&desk));
    let (heir, lease, start) = Guest::with_access(&desk, "b");
    assert_eq!(start, 0);
    // It is gone for the second time.
    desk.leave(zombie.member);
    heir.bring(&desk, lease, access(), (0, 4));
    assert_eq!(taken(&mut queue), [(0, 4)]);
}

#[test]
fn what_a_worker_that_goes_away_has_read_is_behind_until_somebody_reads_it() {
    let (desk, [_, mut queue]) = desk(ROOM);
    open(&desk, access(), 0);
    assert_eq!(desk.unread(), [access()]);
    let (guest, lease, _) = Guest::with_access(&desk, "a");
    guest.bring(&desk, lease, access(), (0, 9));
    assert_eq!(taken(&mut queue), [(0, 9)]);
    guest.note(&desk, Note::AtEnd { partition: access(), lease, offset: 9 });
    assert_eq!((desk.unread(), told(&desk, &mut queue)), (vec![], vec![Some(9)]));
    desk.leave(guest.member);
    assert_eq!((desk.unread(), told(&desk, &mut queue)), (vec![access()], vec![None]));
    desk.ends_at(&[(access(), 30)].into());
    let progress = &desk.progress()[0];
    assert_eq!((progress.position, progress.end, progress.at_end), (9, 30, false));
    let (_, _, start) = Guest::with_access(&desk, "b");
    assert_eq!((start, desk.unread()), (9, vec![]));
}

#[test]
fn a_worker_that_says_nothing_for_long_is_behind_and_that_is_told_once() {
    let (desk, [_, mut queue]) = desk(ROOM);
    open(&desk, access(), 0);
    let (guest, lease, _) = Guest::with_access(&desk, "a");
    let (limit, now) = (Duration::from_secs(3), Instant::now());
    let at_end = Reach { partition: access(), lease, position: 9, end: 9, at_end: true };
    desk.note(guest.member, Note::Reach(vec![at_end.clone()]), now);
    desk.hush(limit, now + limit / 2);
    assert_eq!(told(&desk, &mut queue), [Some(9)]);
    desk.hush(limit, now + limit);
    desk.hush(limit, now + 2 * limit);
    assert_eq!(told(&desk, &mut queue), [None]);
    desk.note(guest.member, Note::Reach(vec![at_end]), now + 2 * limit);
    assert_eq!(told(&desk, &mut queue), [Some(9)], "it was stopped, and goes on");
}

#[test]
fn what_all_read_is_granted_to_whoever_comes_and_taken_once_whoever_goes() {
    let (desk, [mut queue, _]) = desk(ROOM);
    let mut first = Guest::come(&desk, "a", 0);
    assert_eq!(first.heard(), [Order::Welcome], "nothing is known yet");
    open(&desk, panic(), 3);
    let mut second = Guest::come(&desk, "b", 0);
    let lease = |orders: Vec<Order>| match orders.last() {
        Some(Order::Grant(grant)) => (grant.lease, grant.start),
        other => panic!("{other:?}"),
    };
    let (one, start) = lease(first.heard());
    let (other, _) = lease(second.heard());
    assert_eq!(start, 3);
    first.bring(&desk, one, panic(), (3, 5));
    second.bring(&desk, other, panic(), (3, 5));
    second.bring(&desk, other, panic(), (4, 8));
    assert_eq!(taken(&mut queue), [(3, 5), (5, 8)]);
    desk.leave(first.member);
    assert!(desk.unread().is_empty(), "the other reads on");
    second.bring(&desk, other, panic(), (8, 9));
    let mut third = Guest::come(&desk, "c", 0);
    assert_eq!((taken(&mut queue), lease(third.heard()).1), (vec![(8, 9)], 9));
    assert_eq!((first.heard(), second.heard()), (vec![], vec![]), "nobody is fenced");
}

#[test]
fn a_claim_of_what_is_not_known_yet_is_granted_when_it_is_unless_its_worker_has_gone() {
    let (desk, _queues) = desk(ROOM);
    let (mut stays, mut goes) = (Guest::come(&desk, "a", 1), Guest::come(&desk, "b", 1));
    for guest in [&stays, &goes] {
        guest.note(&desk, Note::Claim(vec![access()]));
    }
    desk.leave(goes.member);
    open(&desk, access(), 2);
    assert_eq!(goes.heard(), [Order::Welcome]);
    assert!(matches!(&stays.heard()[..], [Order::Welcome, Order::Grant(grant)] if grant.start == 2));
}

#[test]
fn a_chunk_before_which_records_are_missing_is_read_again_from_where_they_are() {
    let (desk, [_, mut queue]) = desk(ROOM);
    open(&desk, access(), 0);
    let (mut guest, lease, _) = Guest::with_access(&desk, "a");
    guest.bring(&desk, lease, access(), (5, 9));
    let [Order::Grant(anew)] = &guest.heard()[..] else { panic!("no grant") };
    assert_eq!((taken(&mut queue), anew.start), (vec![], 0));
    // It was on its way before its worker heard.
    guest.bring(&desk, lease, access(), (9, 12));
    guest.bring(&desk, anew.lease, access(), (0, 12));
    assert_eq!(taken(&mut queue), [(0, 12)]);
}

#[test]
fn a_worker_that_takes_no_orders_is_given_up() {
    let (desk, _queues) = desk(ROOM);
    open(&desk, access(), 0);
    let guest = Guest::come_with_room(&desk, "a", 1, 1);
    assert!(!guest.end.is_cancelled());
    guest.note(&desk, Note::Claim(vec![access()]));
    assert!(guest.end.is_cancelled(), "its grant found no room");
}

#[test]
fn a_worker_that_comes_again_takes_the_place_of_its_old_connection() {
    let (desk, _queues) = desk(ROOM);
    let (old, other_lane, another) =
        (Guest::come(&desk, "a", 1), Guest::come(&desk, "a", 0), Guest::come(&desk, "b", 1));
    let new = Guest::come(&desk, "a", 1);
    let is_ended = |guest: &Guest| guest.end.is_cancelled();
    assert_eq!([&old, &other_lane, &another, &new].map(is_ended), [true, false, false, false]);
}

#[test]
fn what_is_held_back_is_told_to_all_once_and_to_whoever_comes_later() {
    let (desk, _queues) = desk(ROOM);
    let mut there = Guest::come(&desk, "a", 1);
    desk.hold([access()].into());
    desk.hold([access()].into());
    let mut later = Guest::come(&desk, "b", 1);
    desk.hold(BTreeSet::new());
    let expected = [Order::Welcome, Order::Hold(vec![access()]), Order::Hold(vec![])];
    assert_eq!((there.heard(), later.heard()), (expected.to_vec(), expected.to_vec()));
}

#[test]
fn a_worker_that_cannot_go_on_ends_the_run_only_where_no_other_could() {
    let (desk, _queues) = desk(ROOM);
    let guest = Guest::come(&desk, "a", 1);
    let failed = |is_loss| guest.note(&desk, Note::Failed { is_loss, message: "gone".to_owned() });
    assert!(failed(false).is_none());
    let Some(Event::Failed(error)) = failed(true) else { panic!("records are lost") };
    assert!(error.to_string().contains("gone"), "{error}");
}
