//! The reading shared out over two workers of one group, which come, leave, are killed and are stopped while records and
//! presses for help come in: one process serves, every offset is taken once, and every press is told once and at once.
//!
//! `HEXWATCH_AWAY_SECONDS=60` stops the zombie for that long; without it, a little longer than its session lasts.

mod presses;
mod split;

use std::ffi::OsString;
use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use hexwatch_contract::{Clock as _, EventTime, SystemClock};

use self::presses::Presses;
use self::split::{Serving, Worker};
use crate::kafka::free_port;
use crate::process::{fail, path, printed_account, succeed};
use crate::stand::{Stand, beside, site_beside};
use crate::{recount, turn};

/// The least that a broker allows unless it is told otherwise.
const SESSION: Duration = Duration::from_secs(6);
const AWAY: Duration = Duration::from_secs(12);
const CORRECTION_HORIZON: Duration = Duration::from_mins(2);
/// How long anything may take that happens without our doing: far more than it does.
const PATIENCE: Duration = Duration::from_mins(1);
/// Lateness and idle time-out are 15 s together; a watermark that stands still is older than this soon enough.
const WATERMARK_AGE: Duration = Duration::from_secs(30);
/// Far more than a press may take; what it takes is printed.
const PRESS_TO_ALARM: Duration = Duration::from_secs(20);

#[test]
fn two_workers_that_come_leave_die_and_freeze_give_what_one_gives_and_presses_are_told_once() {
    let _turn = turn::alone();
    let stand = stand();
    let away = away();
    let start = now() + Duration::from_secs(15);
    // What there is to do takes about this long.
    let seconds = format!("{}s", 55 + away.as_secs());
    let events = stand.simulate(&[
        "--seed",
        "29",
        "--rate",
        "150",
        "--duration",
        &seconds,
        "--start",
        &start.to_string(),
    ]);
    leave_doors_shut_at_the_end(&events);
    let mut serving = Serving::start(&stand);
    let mut first = Worker::start(&stand, "first", 0);
    serving.wait_until_all_is_read();
    std::thread::sleep(start.since(now()));
    let mut replay =
        stand.command_on_kafka(&["replay", "--file", path(&events)]).spawn().expect("the recording is sent");
    let presses = Presses::begin(&stand);

    tell("the second worker comes");
    let mut second = Worker::start(&stand, "second", 0);
    serving.wait_for_lease_of("second", 0);

    let had = serving.leases_of("first");
    tell("it leaves");
    second.leave();
    serving.wait_for_lease_of("first", had);

    let had = serving.leases_of("second");
    tell("it comes back");
    let mut second = Worker::start(&stand, "second", 0);
    serving.wait_for_lease_of("second", had);

    let had = serving.leases_of("second");
    tell("the first is killed");
    first.kill();
    serving.wait_for_lease_of("second", had);
    serving.wait_until_all_is_read();

    // It comes back, and stops with a chunk in its hands that another will have read by the time it goes on.
    let mut zombie = Worker::start(&stand, "first", 2);
    tell("the first is back and stops");
    zombie.wait_until_it_is_stopped();
    let had = serving.fences_of("first");
    serving.wait_for_fence_of("first", had);
    std::thread::sleep(away.saturating_sub(SESSION));
    let (had, refused) = (serving.leases_of("first"), serving.refused());
    tell("it goes on");
    zombie.wake();
    serving.wait_until_refused(refused + 1);
    serving.wait_for_lease_of("first", had);

    serving.wait_until_windows_close();
    let sent = presses.end();
    // What was read and is in no commit yet is read again, by whoever has the leases then.
    serving.kill_and_start_again();
    serving.wait_until_all_is_read();

    assert!(replay.wait().expect("the recording").success());
    serving.wait_until_nothing_waits();
    serving.wait_until_windows_close();
    second.leave();
    zombie.leave();
    serving.stop();

    let output = succeed(finish(&stand).arg("--until-end"));
    assert!(printed_account(&output).contains_key("total"), "it has read to the end: {output}");
    presses::report(&stand, &sent, PRESS_TO_ALARM);
    recount::compare(&stand, CORRECTION_HORIZON);
}

#[test]
fn a_worker_that_reads_otherwise_or_does_not_know_the_secret_is_not_let_in_and_says_why() {
    let _turn = turn::together();
    let stand = Stand::new("strangers");
    let serve = free_port();
    stand.configure(&format!("[workers]\nlisten = \"127.0.0.1:{serve}\"\nserve = \"127.0.0.1:{serve}\"\n"));
    stand.create_topics(1);
    let serving = Serving::start(&stand);
    let refused = |name: &str, value: &str| {
        let mut command = split::worker(&stand, "stranger", 0);
        fail(command.env(name, value))
    };
    let error = refused("HEXWATCH__WORKERS__SECRET", "guessed");
    assert!(error.contains("`workers.secret`"), "{error}");
    let error = refused("HEXWATCH__TIME__SKEW_MAX", "1s");
    assert!(error.contains("`time.skew_max`"), "{error}");
    let error = refused("HEXWATCH__WORKERS__NAME", "");
    assert!(error.contains("`workers.name`"), "{error}");
    for flag in ["--until-end", "--event-clock"] {
        let error = fail(split::worker(&stand, "stranger", 0).arg(flag));
        assert!(error.contains("--role ingest,serve"), "{error}");
    }
    drop(serving);
}

#[test]
fn a_process_that_cannot_listen_for_workers_says_where_and_what_to_do() {
    let _turn = turn::together();
    let stand = Stand::new("taken");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    stand.configure(&format!("[workers]\nlisten = \"{}\"\n", other.local_addr().unwrap()));
    stand.create_topics(1);
    let error = fail(split::serving(&stand).args(["--listen", "127.0.0.1:0"]));
    assert!(error.contains("error: listening for workers on"), "{error}");
    assert!(error.contains("choose another `workers.listen`"), "{error}");
}

/// Says what is being done when, for whoever wants to know what a press was up against.
#[allow(clippy::print_stderr, reason = "figures are for whoever runs the test")]
fn tell(what: &str) {
    eprintln!("{} {what}", now());
}

/// Takes out the doors that are opened in the last seconds: where a recording of now happens to end between a door and the
/// grant that was late for it, the door counts as forced, whoever reads it.
fn leave_doors_shut_at_the_end(events: &Path) {
    let text = std::fs::read_to_string(events).unwrap();
    let time_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["timestamp"].as_i64();
    let end = text.lines().filter_map(time_of).max().unwrap() - 15_000;
    let is_kept = |line: &&str| !line.contains("\"event\":\"door_open\"") || time_of(line) < Some(end);
    let kept: Vec<&str> = text.lines().filter(is_kept).collect();
    std::fs::write(events, kept.join("\n") + "\n").unwrap();

    let truth = beside(events, ".truth.csv");
    let text = std::fs::read_to_string(&truth).unwrap();
    let is_kept = |line: &&str| {
        let time = line.split(',').nth(5).and_then(EventTime::parse_rfc3339);
        !line.starts_with("opened_without_grant") || time < Some(EventTime::from_millis(end))
    };
    let kept: Vec<&str> = text.lines().filter(is_kept).collect();
    std::fs::write(&truth, kept.join("\n") + "\n").unwrap();
}

fn away() -> Duration {
    let asked = std::env::var_os("HEXWATCH_AWAY_SECONDS");
    let seconds = |text: OsString| text.to_str().and_then(|text| text.parse().ok());
    asked.map_or(AWAY, |text| Duration::from_secs(seconds(text).expect("a number of seconds")))
}

fn stand() -> Stand {
    let stand = Stand::new("workers");
    let serve = free_port();
    stand.configure(&format!(
        "[time]\ncorrection_horizon = \"{}s\"\n[workers]\nlisten = \"127.0.0.1:{serve}\"\nserve = \
         \"127.0.0.1:{serve}\"\ngroup = \"workers-of-a-test\"\nsession_timeout = \"{}s\"\n",
        CORRECTION_HORIZON.as_secs(),
        SESSION.as_secs()
    ));
    stand.create_topics(2);
    recount::write_queries(&stand);
    stand
}

/// One process that does everything reads to the end and closes what is open.
fn finish(stand: &Stand) -> std::process::Command {
    let mut command = stand.run(&site_beside(&stand.file("events.ndjson")), "127.0.0.1:0");
    command.args(["--queries", path(&stand.file("queries"))]);
    command
}

/// The test's own clock: what it sends is of now.
fn now() -> EventTime {
    SystemClock.now()
}
