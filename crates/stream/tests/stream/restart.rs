//! Straight = restored in the middle.

use std::time::Duration;

use super::files;
use super::world::{Outcome, Reading, again, begin, deliveries, end, engine, happenings, proceed, read};

#[test]
fn a_restart_anywhere_gives_the_same_rows_and_counts_no_record_twice() {
    let files: Vec<_> = files::of_folder("views").into_iter().chain(files::of_folder("rules")).collect();
    for seed in 0..2 {
        let disorder = Duration::from_secs(if seed % 2 == 0 { 9 } else { 60 });
        let reading = Reading { seed, disorder, duplicates: 6, chunk: 20, uneven: false };
        let records = happenings(seed);
        let deliveries = deliveries(&records, reading);
        let straight = read(&files, &deliveries, true);

        let cut = deliveries.len() * (usize::try_from(seed).unwrap() + 2) / 5;
        let mut outcome = Outcome::default();
        let mut before = engine(&files);
        begin(&mut before, true);
        proceed(&mut before, &deliveries[..cut], &files, &mut outcome);
        let checkpoint = before.checkpoint().unwrap();
        drop(before);
        let told = outcome.told;

        let text = serde_json::to_string(&checkpoint).unwrap();
        let checkpoint = serde_json::from_str(&text).unwrap();
        let rest = again(&deliveries, &checkpoint);
        let read_again = rest.len() - (deliveries.len() - cut);
        let mut resumed = engine(&files);
        resumed.restore(checkpoint);
        begin(&mut resumed, false);
        proceed(&mut resumed, &rest[..read_again], &files, &mut outcome);
        assert!(read_again > 0 && outcome.told == told, "what was told before is told again");
        assert!(!resumed.is_restoring(), "all that was read before has been read again");
        for (partition, _) in super::world::partitions() {
            let caught_up = hexwatch_stream::Input::AtEnd(partition);
            outcome.fold(resumed.step(rest[read_again].now, caught_up).unwrap(), &files);
        }
        proceed(&mut resumed, &rest[read_again..], &files, &mut outcome);
        end(&mut resumed, &deliveries, &files, &mut outcome);

        assert_eq!(outcome.accounts, straight.accounts, "seed {seed}");
        let differences = super::equality::differences(&outcome.results, &straight.results);
        assert!(differences.is_empty(), "seed {seed}, live is the restarted:\n{}", differences.join("\n"));
    }
}
