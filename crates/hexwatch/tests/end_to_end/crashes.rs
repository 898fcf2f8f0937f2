//! A process that is killed again and again loses nothing and says nothing twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use crate::kafka::free_port;
use crate::process::{Running, path};
use crate::stand::{EVENT_TABLES, Rows, Stand, rows_of_sql, site_beside};
use crate::turn;

/// Site, source and id: what tells one record from another, beside its topic.
type Identity = (String, String, String, String);

/// Milliseconds that each process lives after it is ready; uneven, so that each dies at another point of its work.
const LIVES: [u64; 3] = [1_150, 3_770, 2_480];

#[test]
fn a_process_killed_three_times_loses_no_record_and_repeats_no_alarm() {
    let _turn = turn::together();
    let stand = Stand::new("crashes");
    let events = stand.simulate(&["--seed", "11", "--rate", "40", "--duration", "10m"]);
    let site = site_beside(&events);
    stand.create_topics(2);
    let mut feed = stand
        .command_on_kafka(&["replay", "--speed", "30", "--file", path(&events)])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    for life in LIVES {
        let address = format!("127.0.0.1:{}", free_port());
        let mut running = Running::start(&mut stand.run(&site, &address), &address);
        sleep(Duration::from_millis(life));
        running.kill();
    }
    assert!(feed.wait().unwrap().success(), "the recording was not sent");
    stand.run_to_the_end(&site);

    assert_every_record_is_there_once(&stand, &events);
    assert_alarms_are_told_once_and_without_gaps(&stand);
    assert_a_view_is_what_history_gives(&stand);
}

fn assert_every_record_is_there_once(stand: &Stand, events: &Path) {
    let (sent, unreadable) = identities_of_file(events);
    let mut found = BTreeSet::new();
    let mut rows = 0;
    for table in EVENT_TABLES {
        for row in stand.sql(&format!("SELECT site, source, id FROM {table}")) {
            found.insert(identity(&table.replace('_', "-"), &row));
            rows += 1;
        }
    }
    assert_eq!(rows, found.len(), "a record stands twice in the tables of events");
    let refused = stand.sql("SELECT topic, id FROM dead_letters");
    let refused_ids: BTreeSet<&str> = refused.iter().map(|row| row["id"].as_str()).collect();
    let late = stand.sql("SELECT id FROM late_events");
    let late_ids: BTreeSet<&str> = late.iter().map(|row| row["id"].as_str()).collect();
    let elsewhere = |id: &str| refused_ids.contains(id) || late_ids.contains(id);
    let lost: Vec<&Identity> = sent.difference(&found).filter(|(.., id)| !elsewhere(id)).collect();
    let invented: Vec<&Identity> = found.difference(&sent).collect();
    assert!(lost.is_empty(), "{} records are nowhere, such as {:?}", lost.len(), lost[0]);
    assert!(invented.is_empty(), "{} records were never sent, such as {:?}", invented.len(), invented[0]);
    let positions =
        "SELECT count(*) FROM (SELECT DISTINCT topic, \"partition\", \"offset\" FROM dead_letters)";
    assert_eq!(stand.count(positions), refused.len() as u64, "a dead letter was written twice");
    assert!(
        refused.len() >= unreadable,
        "{unreadable} records cannot be read, {} were refused",
        refused.len()
    );
}

/// The records of a recording by what identifies them, and how many cannot be read.
fn identities_of_file(events: &Path) -> (BTreeSet<Identity>, usize) {
    let text = std::fs::read_to_string(events).unwrap();
    let mut unreadable = 0;
    let mut identities = BTreeSet::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let member = |name: &str| line["value"][name].as_str().unwrap_or_default().to_owned();
        if line["value"].is_object() && !member("id").is_empty() {
            identities.insert((
                line["topic"].as_str().unwrap().to_owned(),
                member("site"),
                member("source"),
                member("id"),
            ));
        } else {
            unreadable += 1;
        }
    }
    (identities, unreadable)
}

fn identity(topic: &str, row: &BTreeMap<String, String>) -> Identity {
    (topic.to_owned(), row["site"].clone(), row["source"].clone(), row["id"].clone())
}

fn assert_alarms_are_told_once_and_without_gaps(stand: &Stand) {
    let changes = stand.sql("SELECT site, seq, alarm_id, transition FROM alarm_changes ORDER BY site, seq");
    assert!(changes.len() > 10, "only {} changes: the recording has more to tell", changes.len());
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    let mut raised = BTreeSet::new();
    for change in &changes {
        let seq: u64 = change["seq"].parse().unwrap();
        let last = last.entry(change["site"].as_str()).or_default();
        assert_eq!(seq, *last + 1, "the numbers of {} have a gap", change["site"]);
        *last = seq;
        if change["transition"] == "raise" {
            assert!(raised.insert(&change["alarm_id"]), "{} was raised twice", change["alarm_id"]);
        }
    }
}

fn assert_a_view_is_what_history_gives(stand: &Stand) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries/views/door_activity.sql");
    let batch = rows_of_sql(&stand.data(), &["sql", "--file", path(&file)]);
    let columns: Vec<String> = batch[0].keys().map(|column| format!("\"{column}\"")).collect();
    let live = stand.sql(&format!("SELECT {} FROM view_door_activity", columns.join(", ")));
    assert_eq!(live.len(), batch.len(), "the view has other rows than the batch");
    assert_eq!(sorted(live), sorted(batch));
}

fn sorted(mut rows: Rows) -> Rows {
    rows.sort();
    rows
}
