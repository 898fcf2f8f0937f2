//! One process from its start to its violent end.

use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::feed::Feed;
use crate::kafka::free_port;
use crate::process::{Running, path};
use crate::stand::{Stand, site_beside};

/// How long a process may take to die where it was told to, and to tell of a press before it is killed.
const PATIENCE: Duration = Duration::from_mins(2);

/// How a process dies.
#[derive(Debug)]
pub(super) enum End {
    /// So long after its start.
    After(Duration),
    /// So long after it has told of a press that was made while nobody ran.
    AfterTheAlarm(Duration),
    /// By itself, at a named point.
    AtPoint(String),
}

/// A running process, and the press it owes an alarm for.
pub(super) struct Life {
    running: Running,
    press: String,
    began: Instant,
    /// When the alarm was seen, counted from the start.
    alarmed: Option<Duration>,
}

/// `hexwatch run` as each life is.
pub(super) fn command(stand: &Stand, address: &str) -> Command {
    let mut command = stand.run(&site_beside(&stand.file("events.ndjson")), address);
    command.args(["--queries", path(&stand.file("queries"))]);
    command.env("HEXWATCH__HISTORY__COMMIT_INTERVAL", "300ms");
    command
}

impl Life {
    /// A press comes in while nobody runs; then a process starts, while the feed goes on.
    pub(super) fn start(stand: &Stand, feed: &mut Feed<'_>, number: u32, end: &End) -> Self {
        let press = format!("press-{number}");
        feed.press(&press);
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = command(stand, &address);
        if let End::AtPoint(point) = end {
            command.env("HEXWATCH__DEBUG__CRASH_AT", point);
        }
        feed.go_on();
        let began = Instant::now();
        Self { running: Running::spawn(&mut command, &address), press, began, alarmed: None }
    }

    /// Waits for the end, or brings it about; gives how long the alarm took where it was seen.
    pub(super) fn until_killed(mut self, feed: &mut Feed<'_>, end: &End) -> Option<Duration> {
        while !self.is_over(end) {
            assert!(self.began.elapsed() < PATIENCE, "a process outlived {end:?}: {}", self.running.said());
            if self.alarmed.is_none() && self.tells_of_the_press() {
                self.alarmed = Some(self.began.elapsed());
            }
            feed.go_on();
            sleep(Duration::from_millis(10));
        }
        self.running.kill();
        self.alarmed
    }

    fn is_over(&mut self, end: &End) -> bool {
        if let End::AtPoint(_) = end {
            return self.running.was_killed();
        }
        assert!(!self.running.was_killed(), "somebody else killed the process");
        match end {
            End::After(life) => self.began.elapsed() >= *life,
            End::AfterTheAlarm(life) => {
                self.alarmed.is_some_and(|alarmed| self.began.elapsed() >= alarmed + *life)
            }
            End::AtPoint(_) => false,
        }
    }

    fn tells_of_the_press(&self) -> bool {
        let id = format!("kills/{}\"", self.press);
        self.running.get("/api/v1/alarms").is_ok_and(|(status, body)| status == 200 && body.contains(&id))
    }
}
