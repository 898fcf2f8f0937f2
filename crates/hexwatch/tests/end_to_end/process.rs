//! The built binary as a subprocess: what outsiders run is what is tested.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// `hexwatch ARGUMENTS`, with nothing inherited that could change what it does.
pub(crate) fn hexwatch<A: AsRef<OsStr>>(arguments: &[A]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_hexwatch"));
    command.args(arguments).env_remove("HEXWATCH_LOG").stdin(Stdio::null());
    command
}

/// Runs to the end and gives the standard output; fails with the standard error where the command does.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = finish(command);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} failed\n{out}\n{err}");
    out
}

/// Runs to the end and gives the standard error of a command that must fail.
pub(crate) fn fail(command: &mut Command) -> String {
    let output = finish(command);
    assert!(!output.status.success(), "{command:?} should have failed\n{}", text(&output.stdout));
    text(&output.stderr)
}

fn finish(command: &mut Command) -> Output {
    command.output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What `kill -9` sends.
const SIGKILL: i32 = 9;

/// A running `hexwatch`, killed when dropped.
pub(crate) struct Running {
    child: Child,
    address: String,
    /// A file, not a pipe: nobody reads while it runs, and a full pipe would stop it.
    stderr: File,
}

impl Running {
    /// Starts the command and waits until the server at `address` says it is ready.
    pub(crate) fn start(command: &mut Command, address: &str) -> Self {
        let mut running = Self::spawn(command, address);
        running.wait_for("the server to be ready", Duration::from_mins(1), |running| {
            running.get("/readyz").is_ok_and(|(status, _)| status == 200)
        });
        running
    }

    /// Starts the command, whose server will be at `address`, and waits for nothing.
    pub(crate) fn spawn(command: &mut Command, address: &str) -> Self {
        let stderr = tempfile::tempfile().expect("a file for what the process says");
        let outlet = stderr.try_clone().expect("a second handle of it");
        let child = command.stdout(Stdio::null()).stderr(outlet).spawn().expect("the binary starts");
        Self { child, address: address.to_owned(), stderr }
    }

    /// Whether the process has been killed. It must not have ended in any other way.
    pub(crate) fn was_killed(&mut self) -> bool {
        match self.child.try_wait().expect("the process's state") {
            Some(status) if status.signal() == Some(SIGKILL) => true,
            Some(status) => panic!("the process ended by itself with {status}: {}", self.said()),
            None => false,
        }
    }

    /// Waits until the process has failed by itself, and gives what it said.
    pub(crate) fn wait_for_failure(&mut self, limit: Duration) -> String {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("the process's state") {
                assert!(!status.success(), "the process should have failed: {}", self.said());
                return self.said();
            }
            if begin.elapsed() > limit {
                self.kill();
                panic!("waited {limit:?} for the process to fail: {}", self.said());
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until `holds`, or fails saying what was waited for and what the process said.
    pub(crate) fn wait_for(&mut self, what: &str, limit: Duration, mut holds: impl FnMut(&Self) -> bool) {
        let begin = Instant::now();
        while !holds(self) {
            if let Some(status) = self.child.try_wait().expect("the process's state") {
                panic!("waiting for {what}, the process ended with {status}: {}", self.said());
            }
            if begin.elapsed() > limit {
                self.kill();
                panic!("waited {limit:?} for {what}: {}", self.said());
            }
            sleep(Duration::from_millis(50));
        }
    }

    /// Waits until what the process has said `holds`.
    pub(crate) fn wait_for_words(&mut self, what: &str, limit: Duration, holds: impl Fn(&str) -> bool) {
        let begin = Instant::now();
        while !holds(&self.said()) {
            assert!(begin.elapsed() < limit, "waited {limit:?} for {what}: {}", self.said());
            sleep(Duration::from_millis(50));
        }
    }

    /// What the process has said so far.
    pub(crate) fn said(&self) -> String {
        // Read at an offset of our own: where the process goes on writing is shared with this handle.
        let length = self.stderr.metadata().map_or(0, |file| file.len());
        let mut said = vec![0; usize::try_from(length).expect("a short text")];
        let _ = self.stderr.read_exact_at(&mut said, 0);
        text(&said)
    }

    /// Ends the process as a supervisor does, and waits until it has committed.
    pub(crate) fn stop(&mut self) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().expect("kill runs");
        assert!(status.success(), "the process had ended before: {}", self.said());
        let status = self.child.wait().expect("the process ends");
        assert!(status.success(), "the process ended with {status}: {}", self.said());
    }

    /// Sends a signal by its name, such as `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        let own = self.child.id().to_string();
        let status = Command::new("kill").args([&format!("-{name}"), &own]).status().expect("kill runs");
        assert!(status.success(), "the process could not be sent SIG{name}");
    }

    /// Whether the process is stopped by a signal.
    pub(crate) fn is_stopped(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("a process");
        // Behind the name, which stands in parentheses.
        stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
    }

    /// Kills the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// `GET path`: status and body.
    pub(crate) fn get(&self, path: &str) -> Result<(u16, String), reqwest::Error> {
        let answer = reqwest::blocking::get(format!("http://{}{path}", self.address))?;
        Ok((answer.status().as_u16(), answer.text()?))
    }

    /// `POST path` with JSON: status and body.
    pub(crate) fn post(&self, path: &str, body: &serde_json::Value) -> (u16, String) {
        let client = reqwest::blocking::Client::new();
        let request = client.post(format!("http://{}{path}", self.address));
        let request = request.header("content-type", "application/json").body(body.to_string());
        let answer = request.send().expect("the server answers");
        (answer.status().as_u16(), answer.text().expect("a body"))
    }

    /// The sum of those series in `/metrics` that begin with `start`.
    pub(crate) fn metric(&self, start: &str) -> u64 {
        let (_, metrics) = self.get("/metrics").expect("metrics");
        let series = metrics.lines().filter(|line| line.starts_with(start));
        let values = series.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        values.map(whole).sum()
    }

    /// The records by outcome, from `/metrics`: read, accepted, duplicate, late, `dead_letter`.
    pub(crate) fn account(&self) -> BTreeMap<String, u64> {
        let (_, metrics) = self.get("/metrics").expect("metrics");
        let mut account = BTreeMap::new();
        for line in metrics.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let count = value.parse::<f64>().map_or(0, whole);
            if series.starts_with("hexwatch_records_read_total") {
                *account.entry("read".to_owned()).or_default() += count;
            } else if series.starts_with("hexwatch_records_total") {
                let outcome = series.split("outcome=\"").nth(1).and_then(|rest| rest.split('"').next());
                *account.entry(outcome.expect("an outcome").to_owned()).or_default() += count;
            }
        }
        account
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A count that Prometheus writes as a float.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts of tests are small and positive"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

/// The account that `run --until-end` prints: topic -> outcome -> count, with `total`.
pub(crate) fn printed_account(output: &str) -> BTreeMap<String, BTreeMap<String, u64>> {
    let mut lines = output.lines().skip_while(|line| !line.starts_with("topic"));
    let head: Vec<&str> = lines.next().expect("the head of the account").split_whitespace().collect();
    let row = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let counts = head[1..].iter().zip(&words[1..]);
        let counts = counts.map(|(name, count)| ((*name).to_owned(), count.parse().expect("a count")));
        (words[0].to_owned(), counts.collect())
    };
    lines.take_while(|line| !line.is_empty()).map(row).collect()
}

/// The rows of a CSV text, by column name.
pub(crate) fn rows_of_csv(text: &str) -> Vec<BTreeMap<String, String>> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    reader.deserialize().map(|row| row.expect("a row of CSV")).collect()
}

/// A path as an argument.
pub(crate) fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}
