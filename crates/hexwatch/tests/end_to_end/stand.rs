//! What one test stands on: a folder, settings with topics of its own, and a broker.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use tempfile::TempDir;

use crate::kafka::Kafka;
use crate::process::{hexwatch, path, printed_account, rows_of_csv, succeed};

/// Rows of a query, by column name.
pub(crate) type Rows = Vec<BTreeMap<String, String>>;
/// Topic -> outcome -> count, with `total`.
pub(crate) type Account = BTreeMap<String, BTreeMap<String, u64>>;

/// The tables of events.
pub(crate) const EVENT_TABLES: [&str; 6] = ["access", "camera_alert", "iot", "panic", "patrol", "dispatch"];

/// A test's folder, topics and broker.
pub(crate) struct Stand {
    folder: TempDir,
    brokers: String,
    prefix: String,
}

impl Stand {
    /// On the broker that the tests share; `name` keeps their topics apart.
    pub(crate) fn new(name: &str) -> Self {
        static SHARED: OnceLock<Kafka> = OnceLock::new();
        Self::on(&SHARED.get_or_init(|| Kafka::start("shared")).brokers(), name)
    }

    /// On the broker at `brokers`.
    pub(crate) fn on(brokers: &str, name: &str) -> Self {
        let stand = Self {
            folder: TempDir::new().expect("a folder for the test"),
            brokers: brokers.to_owned(),
            prefix: format!("{name}."),
        };
        stand.configure("");
        stand
    }

    /// Writes the settings, with `more` lines of TOML after them.
    pub(crate) fn configure(&self, more: &str) {
        let prefix = &self.prefix;
        let mut text = format!("[kafka]\ninput_prefix = \"{prefix}\"\noutput_prefix = \"{prefix}out.\"\n");
        let _ = writeln!(text, "[history]\ncommit_interval = \"1s\"\n{more}");
        std::fs::write(self.file("hexwatch.toml"), text).expect("the settings are written");
    }

    /// A file of the test's folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The history's folder.
    pub(crate) fn data(&self) -> PathBuf {
        self.file("data")
    }

    /// The prefix of the input topics.
    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The brokers' addresses.
    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    /// `hexwatch ARGUMENTS --config ...`.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = hexwatch(arguments);
        command.args(["--config", path(&self.file("hexwatch.toml"))]).current_dir(self.folder.path());
        command
    }

    /// `hexwatch ARGUMENTS --brokers ...`.
    pub(crate) fn command_on_kafka(&self, arguments: &[&str]) -> Command {
        let mut command = self.command(arguments);
        command.args(["--brokers", &self.brokers]);
        command
    }

    /// Makes the topics, which keep records of any age.
    pub(crate) fn create_topics(&self, partitions: u8) {
        let partitions = partitions.to_string();
        succeed(&mut self.command_on_kafka(&["topics", "create", "--partitions", &partitions]));
    }

    /// Simulates a community into a file; its truth and its site stand beside.
    pub(crate) fn simulate(&self, arguments: &[&str]) -> PathBuf {
        let out = self.file("events.ndjson");
        succeed(self.command(&["simulate", "--out", path(&out)]).args(arguments));
        out
    }

    /// Sends a recording to Kafka at once.
    pub(crate) fn replay(&self, file: &Path) {
        succeed(&mut self.command_on_kafka(&["replay", "--as-fast-as-possible", "--file", path(file)]));
    }

    /// `hexwatch run` by the records' clock, listening at `listen`.
    pub(crate) fn run(&self, site: &Path, listen: &str) -> Command {
        let mut command = self.command_on_kafka(&["run", "--event-clock", "--listen", listen]);
        command.args(["--site", path(site), "--data-dir", path(&self.data())]);
        command
    }

    /// Runs to the ends of the topics, and gives the account that is printed.
    pub(crate) fn run_to_the_end(&self, site: &Path) -> Account {
        let output = succeed(self.run(site, "127.0.0.1:0").arg("--until-end"));
        printed_account(&output)
    }

    /// How many records the broker has in the input topics.
    pub(crate) fn records_in_kafka(&self) -> u64 {
        EVENT_TABLES.iter().map(|table| self.count_records(&table.replace('_', "-"))).sum()
    }

    /// How many records the broker has in a topic, which is named without the prefix.
    pub(crate) fn count_records(&self, topic: &str) -> u64 {
        let topic = format!("{}{topic}", self.prefix);
        let said = succeed(&mut hexwatch(&["bare-consumer", "--brokers", &self.brokers, "--topics", &topic]));
        let count = said.split_whitespace().next().expect("a count");
        count.parse().expect("a number")
    }

    /// Rows of a query over the history.
    pub(crate) fn sql(&self, query: &str) -> Rows {
        rows_of_sql(&self.data(), &["sql", query])
    }

    /// The first column of the first row of a query over the history, as a number.
    pub(crate) fn count(&self, query: &str) -> u64 {
        only_number(&self.sql(query))
    }
}

/// Rows of `hexwatch sql ...` over a data folder.
pub(crate) fn rows_of_sql(data: &Path, arguments: &[&str]) -> Rows {
    let output = succeed(hexwatch(arguments).args(["--format", "csv", "--data-dir", path(data)]));
    rows_of_csv(&output)
}

/// The only number of an answer.
pub(crate) fn only_number(rows: &Rows) -> u64 {
    rows[0].values().next().expect("a column").parse().expect("a number")
}

/// The site folder that `simulate` writes beside its events.
pub(crate) fn site_beside(events: &Path) -> PathBuf {
    beside(events, ".site")
}

/// A file beside another, by its suffix.
pub(crate) fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}
