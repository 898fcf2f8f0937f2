//! What Kafka alone takes for dead letters, which is the least that a damaged record can cost: letters that are written
//! already are published as the engine publishes them, and nothing else is done.
//!
//! `benches/letters` runs it: `letter_rate BROKERS TOPIC LETTERS`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example speaks to the terminal")]

mod load;

use std::sync::Arc;
use std::time::{Duration, Instant};

use hexwatch_ingest::{Brokers, Outgoing, Publisher};
use load::{DAMAGES, body, cpu_seconds, letters};

const PATIENCE: Duration = Duration::from_mins(1);
/// So many are made, and sent again and again.
const DIFFERENT: usize = 20_000;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, count] = &arguments[..] else { panic!("expected BROKERS TOPIC LETTERS") };
    let count: usize = count.parse().unwrap();
    let damaged = |number: usize| DAMAGES[number % DAMAGES.len()].1(body(number));
    let letters = letters(&(0..DIFFERENT).map(damaged).collect::<Vec<_>>());
    let bytes = letters.iter().map(Vec::len).sum::<usize>() / letters.len();

    let lost = Arc::new(|topic: &str| panic!("{topic}: a letter was not taken"));
    let publisher = Publisher::lasting(&Brokers::at(brokers), lost).unwrap();
    let row = |json| Outgoing { in_bulk: true, ..Outgoing::row(topic, "smoke", json) };
    // Connected and told of the topic before anything is measured.
    publisher.send(&row(b"{}"), PATIENCE).unwrap();
    publisher.flush(PATIENCE).unwrap();

    let (began, cpu) = (Instant::now(), cpu_seconds());
    for json in letters.iter().cycle().take(count) {
        publisher.send(&row(json), PATIENCE).unwrap();
    }
    publisher.flush(PATIENCE).unwrap();
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    println!(
        "{count} letters of {bytes} bytes: {seconds:.2} s, {:.2} us of this process each",
        cpu / count as f64 * 1e6
    );
}
