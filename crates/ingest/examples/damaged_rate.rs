//! What damaged records cost the others: the decoder's throughput with one record in ten damaged, beside that without.
//!
//! `cargo run --release -p hexwatch-ingest --example damaged_rate [-- RECORDS]`
//!
//! Each kind of damage is measured by itself and then all of them mixed, in alternating runs of one process, so that what
//! else the machine does falls on both.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the terminal")]

mod load;

use load::{DAMAGES, Damage, body, decode};

/// One in so many is damaged.
const EVERY: usize = 10;
const ROUNDS: usize = 7;

fn damaged(kinds: &[Damage]) -> Vec<String> {
    let damage = |number: usize| match number % EVERY {
        0 => kinds[number / EVERY % kinds.len()](body(number)),
        _ => body(number),
    };
    (0..4_000).map(damage).collect()
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let records: usize = std::env::args().nth(1).map_or(1_000_000, |records| records.parse().unwrap());
    let clean: Vec<String> = (0..4_000).map(body).collect();
    let mut kinds: Vec<(&str, Vec<String>)> =
        DAMAGES.iter().map(|(name, damage)| (*name, damaged(&[*damage]))).collect();
    kinds.push(("all of them", damaged(&DAMAGES.map(|(_, damage)| damage))));
    for (name, bodies) in kinds {
        let (mut without, mut with) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            without.push(decode(&clean, records).seconds);
            let decoded = decode(&bodies, records);
            assert_eq!(decoded.refused, records / EVERY, "{name}");
            with.push(decoded.seconds);
        }
        let (without, with) = (median(without), median(with));
        println!(
            "{name}: {:.0} records/s beside {:.0} undamaged, {:+.1} %; a damaged one costs {:.2} of a good one",
            records as f64 / with,
            records as f64 / without,
            (without / with - 1.0) * 100.0,
            1.0 + (with / without - 1.0) * EVERY as f64,
        );
    }
}
