//! What all clients heard, counted as it comes: nothing is kept a message but when those of cells came.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use hexwatch_contract::time::millis_of;
use hexwatch_contract::{Clock as _, EventTime, SystemClock};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::arguments::Arguments;
use crate::metrics::Cuts;

/// Ages from here on count as this one.
const OLDEST_MS: usize = 60_000;

/// Ages in whole milliseconds.
struct Ages {
    counts: Vec<u64>,
}

impl Default for Ages {
    fn default() -> Self {
        Self { counts: vec![0; OLDEST_MS + 1] }
    }
}

impl Ages {
    fn add(&mut self, from: EventTime) {
        let age = millis_of(SystemClock.now().since(from));
        self.counts[usize::try_from(age).unwrap_or(0).min(OLDEST_MS)] += 1;
    }

    fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The age that so many per mille of all do not exceed.
    fn at(&self, per_mille: u64) -> usize {
        let wanted = (self.count() * per_mille).div_ceil(1_000).max(1);
        let mut passed = 0;
        let age = self.counts.iter().position(|count| {
            passed += count;
            passed >= wanted
        });
        age.unwrap_or(0)
    }

    fn line(&self, name: &str) {
        if self.count() == 0 {
            println!("{name:<28}{:>10}", 0);
            return;
        }
        let [p50, p99, p999, most] = [500, 990, 999, 1_000].map(|share| self.at(share));
        println!("{name:<28}{:>10}{p50:>10}{p99:>10}{p999:>10}{most:>10}", self.count());
    }
}

/// What one client has heard.
#[derive(Default)]
pub(crate) struct Heard {
    /// The last change of each site; `None` before `resumed`.
    seqs: Option<BTreeMap<String, u64>>,
}

#[derive(Default)]
struct Counted {
    heartbeats: Ages,
    cells: Ages,
    alarms: Ages,
    /// By rule, what its records said of when they were sent.
    sent: BTreeMap<String, Ages>,
    cells_bytes: u64,
    /// When each message of cells came, and its watermark.
    closings: Vec<(EventTime, EventTime)>,
    lost_changes: u64,
    failures: BTreeMap<String, u64>,
    cut_after: Vec<Duration>,
    codes: BTreeMap<Option<u16>, u64>,
}

#[derive(Default)]
pub(crate) struct Figures {
    counted: RefCell<Counted>,
    reading: Cell<usize>,
}

#[derive(Deserialize)]
struct Heartbeat {
    now: EventTime,
}

#[derive(Deserialize)]
struct Cells {
    watermark: EventTime,
}

#[derive(Deserialize)]
struct Alarm {
    site: String,
    seq: u64,
    rule: String,
    transition: String,
    key: String,
    emitted_at: EventTime,
}

#[derive(Deserialize)]
struct Resumed {
    latest_seq: BTreeMap<String, u64>,
}

/// The kind of a message: the server says it first, and no message is read further than it has to be.
fn kind(message: &[u8]) -> Option<&[u8]> {
    message.strip_prefix(b"{\"type\":\"")?.split(|byte| *byte == b'"').next()
}

impl Figures {
    /// Takes one message of a client.
    pub(crate) fn hear(&self, heard: &mut Heard, message: &[u8], arguments: &Arguments) {
        match kind(message) {
            Some(b"hello") => self.reading.set(self.reading.get() + 1),
            Some(b"heartbeat") => self.heartbeat(message),
            // The first of a subscription is what stands, and comes before `resumed`.
            Some(b"cells") if heard.seqs.is_some() => self.cells(message, arguments.lateness),
            Some(b"alarm") => self.alarm(heard, message),
            Some(b"resumed") => {
                heard.seqs = serde_json::from_slice(message).ok().map(|resumed: Resumed| resumed.latest_seq);
            }
            _ => {}
        }
    }

    fn heartbeat(&self, message: &[u8]) {
        if let Ok(heartbeat) = serde_json::from_slice::<Heartbeat>(message) {
            self.counted.borrow_mut().heartbeats.add(heartbeat.now);
        }
    }

    fn cells(&self, message: &[u8], lateness: Duration) {
        let Ok(cells) = serde_json::from_slice::<Cells>(message) else { return };
        let mut counted = self.counted.borrow_mut();
        counted.cells.add(cells.watermark + lateness);
        counted.cells_bytes += message.len() as u64;
        counted.closings.push((SystemClock.now(), cells.watermark));
    }

    /// Writes a line for each message of cells: when it came and its watermark, in milliseconds.
    pub(crate) fn write_cells(&self, path: &Path) -> std::io::Result<()> {
        let mut lines = String::new();
        for (came, watermark) in &self.counted.borrow().closings {
            // A String takes everything.
            let _ = writeln!(lines, "{} {}", came.millis(), watermark.millis());
        }
        std::fs::write(path, lines)
    }

    fn alarm(&self, heard: &mut Heard, message: &[u8]) {
        // Those before `resumed` are what stands, in an order of their own.
        let Some(seqs) = &mut heard.seqs else { return };
        let Ok(alarm) = serde_json::from_slice::<Alarm>(message) else { return };
        let mut counted = self.counted.borrow_mut();
        let last = seqs.insert(alarm.site, alarm.seq).unwrap_or(0);
        counted.lost_changes += alarm.seq.abs_diff(last + 1);
        counted.alarms.add(alarm.emitted_at);
        let sent = alarm.key.rsplit("sent-").next().and_then(|sent| sent.parse().ok());
        if let Some(sent) = sent.filter(|_| alarm.transition == "raise") {
            counted.sent.entry(alarm.rule).or_default().add(EventTime::from_millis(sent));
        }
    }

    pub(crate) fn failed(&self, error: &str) {
        *self.counted.borrow_mut().failures.entry(error.to_owned()).or_default() += 1;
    }

    /// A client that never read was cut.
    pub(crate) fn cut(&self, after: Duration, code: Option<u16>) {
        let mut counted = self.counted.borrow_mut();
        counted.cut_after.push(after);
        *counted.codes.entry(code).or_default() += 1;
    }

    /// How many clients have been heard.
    pub(crate) fn reading(&self) -> usize {
        self.reading.get()
    }

    pub(crate) async fn settle_within(&self, patience: Duration, expected: usize) {
        let until = Instant::now() + patience;
        while self.reading.get() < expected && Instant::now() < until {
            sleep(Duration::from_millis(50)).await;
        }
    }

    /// Forgets the ages of the opening.
    pub(crate) fn begin(&self) {
        let mut counted = self.counted.borrow_mut();
        let failures = std::mem::take(&mut counted.failures);
        let (cut_after, codes) = (std::mem::take(&mut counted.cut_after), std::mem::take(&mut counted.codes));
        *counted = Counted { failures, cut_after, codes, ..Counted::default() };
    }

    pub(crate) fn print(&self, arguments: &Arguments, cuts: &Cuts) {
        let mut counted = self.counted.borrow_mut();
        println!("{:<28}{:>10}{:>10}{:>10}{:>10}{:>10}", "age in ms", "count", "p50", "p99", "p99.9", "most");
        counted.heartbeats.line("heartbeat");
        counted.cells.line("cells, after the watermark");
        counted.alarms.line("alarm, after emitting");
        for (rule, ages) in &counted.sent {
            ages.line(&format!("{rule}, after sending"));
        }
        let bytes = counted.cells_bytes.checked_div(counted.cells.count()).unwrap_or(0);
        println!("cells message: {bytes} bytes on average");
        println!("alarm changes lost or doubled: {}", counted.lost_changes);
        for (failure, count) in &counted.failures {
            println!("{count} clients ended: {failure}");
        }
        if arguments.stalled > 0 {
            counted.cut_after.sort_unstable();
            let seconds = |at: Option<&Duration>| at.map_or(f64::NAN, Duration::as_secs_f64);
            println!(
                "{} of {} that never read saw their end, after {:.1} to {:.1} s, with {:?}",
                counted.cut_after.len(),
                arguments.stalled,
                seconds(counted.cut_after.first()),
                seconds(counted.cut_after.last()),
                counted.codes,
            );
            println!("{cuts}");
        }
    }
}
