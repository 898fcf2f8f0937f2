//! Topics that an administrator has changed behind a history's back: refused loudly, and gone on with on purpose.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::json;

use crate::kafka::free_port;
use crate::process::{Running, fail, succeed};
use crate::python::python;
use crate::stand::Stand;
use crate::turn;

/// When the records begin.
const START: i64 = 1_767_571_200_000;

/// A stand whose topic `iot` has been changed by `topics.py`.
struct Changed {
    stand: Stand,
    site: PathBuf,
}

impl Changed {
    fn new(name: &str, partitions: u8) -> Self {
        let stand = Stand::new(name);
        let site = stand.file("site");
        std::fs::create_dir(&site).unwrap();
        std::fs::write(site.join("devices.csv"), "id,type,site,lon,lat,floor\n").unwrap();
        stand.create_topics(partitions);
        Self { stand, site }
    }

    fn topic(&self) -> String {
        format!("{}iot", self.stand.prefix())
    }

    fn change(&self, action: &str, numbers: &[&str]) {
        let mut command = python("topics.py");
        succeed(command.args([self.stand.brokers(), action, &self.topic()]).args(numbers));
    }

    /// Sends signs of life number `from` to `to`, one a second.
    fn send(&self, from: i64, to: i64) {
        let mut lines = String::new();
        for number in from..to {
            let (key, time) = (format!("d-{}", number % 7), START + number * 1_000);
            let value = json!({"id": format!("e-{number}"), "time": time, "device": key, "heartbeat": true});
            let record = json!({"topic": "iot", "key": key, "timestamp": time, "value": value});
            let _ = writeln!(lines, "{record}");
        }
        let file = self.stand.file("some.ndjson");
        std::fs::write(&file, lines).unwrap();
        self.stand.replay(&file);
    }

    fn read(&self) {
        self.stand.run_to_the_end(&self.site);
    }

    /// What a run says that must fail, and changes nothing.
    fn refused(&self) -> String {
        let before = self.rows();
        let said = fail(self.stand.run(&self.site, "127.0.0.1:0").arg("--until-end"));
        assert_eq!(self.rows(), before, "a refused run has written rows");
        assert!(said.contains(&self.topic()) && said.contains("--accept-gap"), "{said}");
        said
    }

    fn accept(&self) {
        succeed(self.stand.run(&self.site, "127.0.0.1:0").args(["--until-end", "--accept-gap"]));
    }

    fn rows(&self) -> u64 {
        let rows = self.stand.count("SELECT count(*) FROM iot");
        assert_eq!(self.stand.count("SELECT count(DISTINCT id) FROM iot"), rows, "a record stands twice");
        rows
    }

    /// Partition, first offset, offset of going on, and reason of each gap, as the history tells them.
    fn gaps(&self) -> Vec<[String; 4]> {
        let rows = self.stand.sql("SELECT * FROM gaps ORDER BY \"partition\"");
        assert!(rows.iter().all(|row| row["topic"] == self.topic() && !row["accepted_by"].is_empty()));
        let columns = ["partition", "from_offset", "to_offset", "reason"];
        rows.iter().map(|row| columns.map(|column| row[column].clone())).collect()
    }
}

fn gap(partition: &str, from: &str, to: &str, reason: &str) -> [String; 4] {
    [partition, from, to, reason].map(str::to_owned)
}

#[test]
fn a_topic_made_anew_and_shorter_is_refused_and_read_from_its_beginning_on_request() {
    let _turn = turn::together();
    let changed = Changed::new("shorter", 1);
    changed.send(0, 100);
    changed.read();
    changed.change("remake", &["1"]);
    changed.send(100, 120);
    let said = changed.refused();
    assert!(said.contains("100") && said.contains("0 to 20"), "{said}");

    changed.accept();
    assert_eq!(changed.rows(), 120);
    assert_eq!(changed.gaps(), [gap("0", "100", "0", "topic_remade")]);
    // From here on it is a topic like any other, and accepting finds nothing to accept.
    changed.send(120, 130);
    changed.read();
    changed.accept();
    assert_eq!(changed.rows(), 130);
    assert_eq!(changed.gaps().len(), 1);
}

#[test]
fn a_topic_made_anew_and_grown_past_our_place_is_told_by_its_records() {
    let _turn = turn::together();
    let changed = Changed::new("longer", 1);
    changed.send(0, 100);
    changed.read();
    changed.change("remake", &["1"]);
    changed.send(100, 350);
    let said = changed.refused();
    assert!(said.contains("not the one that was read") && said.contains("99"), "{said}");

    changed.accept();
    assert_eq!(changed.rows(), 350);
    assert_eq!(changed.gaps(), [gap("0", "100", "0", "topic_remade")]);
    changed.read();
    assert_eq!(changed.rows(), 350);
}

#[test]
fn a_topic_made_anew_with_fewer_partitions_is_refused() {
    let _turn = turn::together();
    let changed = Changed::new("fewer", 2);
    changed.send(0, 100);
    changed.read();
    let of_second = "SELECT count(*) FROM iot WHERE \"partition\" = 1";
    let (second, first) = (changed.stand.count(of_second), 100 - changed.stand.count(of_second));
    changed.change("remake", &["1"]);
    changed.send(100, 130);
    let said = changed.refused();
    assert!(said.contains("has 1 partitions now"), "{said}");

    changed.accept();
    assert_eq!(changed.rows(), 130);
    let remade = gap("0", &first.to_string(), "0", "topic_remade");
    let gone = gap("1", &second.to_string(), "", "partition_gone");
    assert_eq!(changed.gaps(), [remade, gone]);
    changed.read();
    assert_eq!(changed.rows(), 130);
}

#[test]
fn records_deleted_before_they_were_read_are_refused_and_noted_on_request() {
    let _turn = turn::together();
    let changed = Changed::new("retention", 1);
    changed.send(0, 60);
    changed.read();
    changed.send(60, 120);
    changed.change("trim", &["0", "90"]);
    let said = changed.refused();
    assert!(said.contains("90 to 120"), "{said}");

    changed.accept();
    assert_eq!(changed.rows(), 90);
    assert_eq!(changed.gaps(), [gap("0", "60", "90", "retention")]);
}

#[test]
fn a_topic_made_anew_under_a_running_process_ends_it_with_a_word_about_the_topic() {
    let _turn = turn::together();
    let changed = Changed::new("under", 1);
    changed.send(0, 100);
    // Committed, so that there is a place to be lost.
    changed.read();
    let address = format!("127.0.0.1:{}", free_port());
    let mut running = Running::start(&mut changed.stand.run(&changed.site, &address), &address);
    changed.change("remake", &["1"]);
    changed.send(100, 120);
    let said = running.wait_for_failure(Duration::from_mins(1));
    assert!(said.contains("reading"), "{said}");
    changed.refused();
    changed.accept();
    assert_eq!(changed.rows(), 120);
}

#[test]
fn partitions_that_are_added_while_a_process_runs_are_read_from_their_beginning() {
    let _turn = turn::together();
    let changed = Changed::new("added", 1);
    changed.send(0, 100);
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = changed.stand.run(&changed.site, &address);
    let mut running = Running::start(command.env("HEXWATCH__KAFKA__DISCOVER_EVERY", "2s"), &address);
    changed.change("grow", &["3"]);
    changed.send(100, 400);
    running.wait_for("every record to be read", Duration::from_secs(40), |running| {
        running.account().get("read") == Some(&400)
    });
    running.stop();
    assert_eq!(changed.rows(), 400);
    let partitions = "SELECT count(DISTINCT \"partition\") FROM iot";
    assert_eq!(changed.stand.count(partitions), 3, "no key went to a new partition");
    // A restart takes up in all of them.
    changed.send(400, 450);
    changed.read();
    assert_eq!(changed.rows(), 450);
}
