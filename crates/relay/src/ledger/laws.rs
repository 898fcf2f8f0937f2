//! What holds whatever workers do.

use proptest::prelude::*;

use super::*;

const SILENCE: Duration = Duration::from_secs(3);

fn iot() -> Partition {
    Partition::new("iot", 0)
}

fn opened(reading: Reading) -> (Ledger, Instant) {
    let mut ledger = Ledger::new(100);
    assert!(ledger.open(iot(), reading, 5, 5).is_empty());
    (ledger, Instant::now())
}

fn claim(ledger: &mut Ledger, member: Member, now: Instant) -> Lease {
    ledger.claim(member, &iot(), now).unwrap().lease
}

/// What may be news of the partition.
#[derive(PartialEq, Debug)]
enum News {
    AtEnd(i64),
    Behind,
}

fn told(ledger: &mut Ledger) -> Option<News> {
    ledger.change(|_| true).map(|change| change.at_end.map_or(News::Behind, News::AtEnd))
}

fn reach(lease: u64, position: i64, end: i64) -> Reach {
    Reach { partition: iot(), lease, position, end, at_end: position == end }
}

#[test]
fn a_worker_that_was_away_while_another_took_over_is_refused() {
    let (mut ledger, now) = opened(Reading::Alone);
    let old = claim(&mut ledger, 1, now);
    assert_eq!(ledger.admit(1, old.number, &iot(), (5, 8), now), Verdict::Take { from: 5 });
    ledger.at_end(1, old.number, &iot(), 8, now);
    assert_eq!(told(&mut ledger), Some(News::AtEnd(8)));
    let Claimed { lease: new, fenced } = ledger.claim(2, &iot(), now).unwrap();
    assert_eq!((new.start, fenced), (8, vec![(1, old.number)]));
    assert_eq!(told(&mut ledger), Some(News::Behind), "its new reader has not said how far it is");
    assert!(new.number > old.number);
    assert_eq!(ledger.admit(1, old.number, &iot(), (8, 9), now), Verdict::Fenced);
    ledger.at_end(1, old.number, &iot(), 9, now);
    assert_eq!(told(&mut ledger), None);
    assert_eq!(ledger.admit(2, new.number, &iot(), (8, 9), now), Verdict::Take { from: 8 });
    assert_eq!(ledger.admit(2, old.number, &iot(), (9, 10), now), Verdict::Fenced, "a lease is its reader's");
}

#[test]
fn a_partition_that_all_read_is_taken_from_whoever_is_first() {
    let (mut ledger, now) = opened(Reading::Together);
    let (one, other) = (claim(&mut ledger, 1, now), claim(&mut ledger, 2, now));
    let mut admit =
        |lease: &Lease, member, from, to| ledger.admit(member, lease.number, &iot(), (from, to), now);
    assert_eq!(admit(&one, 1, 5, 8), Verdict::Take { from: 5 });
    assert_eq!(admit(&other, 2, 5, 7), Verdict::AlreadyTaken);
    assert_eq!(admit(&other, 2, 7, 12), Verdict::Take { from: 8 });
    assert_eq!(admit(&one, 1, 8, 12), Verdict::AlreadyTaken);
}

#[test]
fn whoever_has_left_something_out_begins_anew_where_it_is_missing() {
    let (mut ledger, now) = opened(Reading::Together);
    let lease = claim(&mut ledger, 1, now);
    let Verdict::Gap(anew) = ledger.admit(1, lease.number, &iot(), (7, 9), now) else {
        panic!("it is taken")
    };
    assert_eq!(anew.start, 5);
    assert_eq!(ledger.admit(1, lease.number, &iot(), (9, 11), now), Verdict::Fenced, "it was on its way");
    assert_eq!(ledger.admit(1, anew.number, &iot(), (5, 9), now), Verdict::Take { from: 5 });
}

#[test]
fn what_nobody_reads_and_what_nobody_is_heard_of_is_behind() {
    let (mut ledger, now) = opened(Reading::Alone);
    let lease = claim(&mut ledger, 1, now);
    ledger.at_end(1, lease.number, &iot(), 4, now);
    assert_eq!(told(&mut ledger), None, "not all before its end is taken");
    ledger.reach(1, &[reach(lease.number, 5, 5)], now);
    assert_eq!(told(&mut ledger), Some(News::AtEnd(5)));
    ledger.hush(SILENCE, now);
    assert_eq!(told(&mut ledger), None);
    ledger.hush(SILENCE, now + SILENCE);
    assert_eq!(told(&mut ledger), Some(News::Behind));
    ledger.hush(SILENCE, now + SILENCE);
    assert_eq!(told(&mut ledger), None, "it is told once");
    ledger.reach(1, &[reach(lease.number, 5, 5)], now + SILENCE);
    assert_eq!(told(&mut ledger), Some(News::AtEnd(5)), "it is heard again");
    ledger.reach(1, &[reach(lease.number, 5, 6)], now + SILENCE);
    assert_eq!(told(&mut ledger), Some(News::Behind));
    ledger.reach(1, &[reach(lease.number, 6, 6)], now + SILENCE);
    ledger.leave(1);
    assert_eq!(told(&mut ledger), Some(News::Behind), "nobody reads it");
    assert_eq!(ledger.unread().collect::<Vec<_>>(), [&iot()]);
    ledger.ends_at(&iot(), 9);
    assert_eq!(
        ledger.standing().collect::<Vec<_>>(),
        [(&iot(), 5, 9, false)],
        "how much waits is known all the same"
    );
}

#[test]
fn a_worker_that_lags_does_not_put_behind_what_another_has_read() {
    let (mut ledger, now) = opened(Reading::Together);
    let (fast, slow) = (claim(&mut ledger, 1, now), claim(&mut ledger, 2, now));
    ledger.admit(1, fast.number, &iot(), (5, 60), now);
    ledger.at_end(1, fast.number, &iot(), 60, now);
    assert_eq!(told(&mut ledger), Some(News::AtEnd(60)));
    ledger.reach(2, &[reach(slow.number, 9, 60)], now);
    ledger.leave(2);
    assert_eq!(told(&mut ledger), None, "the other goes on reading");
    ledger.reach(1, &[reach(fast.number, 60, 61)], now);
    assert_eq!(told(&mut ledger), Some(News::Behind));
}

#[test]
fn a_partition_that_is_claimed_before_it_is_known_is_not_forgotten() {
    let mut ledger = Ledger::new(0);
    let now = Instant::now();
    assert!(ledger.claim(4, &iot(), now).is_none());
    assert!(ledger.claim(9, &iot(), now).is_none());
    ledger.leave(9);
    assert_eq!(ledger.open(iot(), Reading::Alone, 0, 0), [4]);
}

/// What happens to workers and what they do; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Act {
    Claim(Member),
    Release(Member),
    Leave(Member),
    /// The worker reads so many offsets on, and hands them over.
    Read(Member, i64),
    /// The network brings the last chunk once more.
    Again(Member),
    /// Some chunk from long ago comes.
    Stale(Member, u64, i64, i64),
    /// It forgets some records.
    Skip(Member, i64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let member = 0..3_u64;
    let act = prop_oneof![
        2 => member.clone().prop_map(Act::Claim),
        1 => member.clone().prop_map(Act::Release),
        1 => member.clone().prop_map(Act::Leave),
        8 => (member.clone(), 1..9_i64).prop_map(|(member, count)| Act::Read(member, count)),
        2 => member.clone().prop_map(Act::Again),
        2 => (member.clone(), 0..60_u64, 0..80_i64, 1..20_i64)
            .prop_map(|(member, lease, from, count)| Act::Stale(member, lease, from, count)),
        1 => (member, 1..5_i64).prop_map(|(member, count)| Act::Skip(member, count)),
    ];
    prop::collection::vec(act, 0..120)
}

/// A worker as it sees itself: it knows of no lease that has ended before it is told.
#[derive(Clone, Default)]
struct Worker {
    lease: Option<(u64, i64)>,
    last: Option<(u64, i64, i64)>,
}

struct World {
    ledger: Ledger,
    now: Instant,
    workers: Vec<Worker>,
    taken: Vec<i64>,
}

impl World {
    fn hand_over(&mut self, member: Member, lease: u64, first: i64, next: i64) {
        match self.ledger.admit(member, lease, &iot(), (first, next), self.now) {
            Verdict::Take { from } => {
                assert!((first..next).contains(&from), "{from} is not in {first}..{next}");
                self.taken.extend(from..next);
            }
            Verdict::Gap(lease) => self.worker(member).lease = Some((lease.number, lease.start)),
            Verdict::AlreadyTaken | Verdict::Fenced => {}
        }
    }

    fn worker(&mut self, member: Member) -> &mut Worker {
        &mut self.workers[usize::try_from(member).unwrap()]
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Claim(member) => {
                let lease = self.ledger.claim(member, &iot(), self.now).unwrap().lease;
                self.worker(member).lease = Some((lease.number, lease.start));
            }
            Act::Release(member) => {
                if let Some((lease, _)) = self.worker(member).lease {
                    self.ledger.release(member, &iot(), lease);
                }
            }
            Act::Leave(member) => self.ledger.leave(member),
            Act::Read(member, count) => {
                let Some((lease, position)) = self.worker(member).lease else { return };
                let next = position + count;
                let worker = self.worker(member);
                (worker.lease, worker.last) = (Some((lease, next)), Some((lease, position, next)));
                self.hand_over(member, lease, position, next);
            }
            Act::Again(member) => {
                if let Some((lease, first, next)) = self.worker(member).last {
                    self.hand_over(member, lease, first, next);
                }
            }
            Act::Stale(member, lease, first, count) => self.hand_over(member, lease, first, first + count),
            Act::Skip(member, count) => {
                if let Some((_, position)) = &mut self.worker(member).lease {
                    *position += count;
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn each_offset_is_taken_once_and_in_its_order(together in any::<bool>(), acts in acts()) {
        let (ledger, now) = opened(if together { Reading::Together } else { Reading::Alone });
        let mut world = World { ledger, now, workers: vec![Worker::default(); 3], taken: Vec::new() };
        for act in &acts {
            world.act(act);
            if !together {
                let readers = world.ledger.places[&iot()].readers.len();
                prop_assert!(readers <= 1, "{} read what one alone may read", readers);
            }
        }
        // Whatever has happened, whoever claims now reads on where the last one was.
        world.act(&Act::Claim(0));
        world.act(&Act::Read(0, 7));
        let count = i64::try_from(world.taken.len()).unwrap();
        prop_assert!(count >= 7);
        prop_assert_eq!(world.taken, (5..5 + count).collect::<Vec<_>>());
    }
}
