//! What is used wrongly says so in one clear line, and fails.

use std::path::Path;

use crate::process::{fail, hexwatch, path};
use crate::stand::Stand;
use crate::turn;

/// The line that says what is wrong; it is the only one of its kind.
fn complaint(said: &str) -> &str {
    let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(lines.len(), 1, "one line should say what is wrong: {said}");
    lines[0]
}

fn assert_complains(arguments: &[&str], about: &[&str]) {
    let said = fail(&mut hexwatch(arguments));
    let line = complaint(&said);
    for word in about {
        assert!(line.contains(word), "{arguments:?} should name `{word}`: {line}");
    }
}

#[test]
fn a_wrong_flag_or_a_missing_one_is_named() {
    assert_complains(&["run", "--frobnicate"], &["--frobnicate"]);
    assert_complains(&["run"], &["--brokers"]);
    assert_complains(&["replay", "--brokers", "127.0.0.1:1"], &["required arguments"]);
    assert_complains(&["simulate", "--seed", "1", "--rate", "1", "--events", "1"], &["required arguments"]);
    let nonsense =
        ["simulate", "--seed", "1", "--rate", "1", "--events", "1", "--scenario", "nonsense", "--out", "x"];
    assert_complains(&nonsense, &["nonsense", "default"]);
    assert_complains(&["run", "--brokers", "127.0.0.1:1", "--role", "ingest"], &["`workers.name`"]);
}

#[test]
fn a_wrong_row_of_a_site_file_is_named_by_file_and_line() {
    let folder = tempfile::TempDir::new().unwrap();
    let devices = "id,type,site,lon,lat\ngate,door,yard,121.5,31.2\nroof,camera,yard,east,31.2\n";
    std::fs::write(folder.path().join("devices.csv"), devices).unwrap();
    let (site, data) = (path(folder.path()), folder.path().join("data"));
    let run = [
        "run",
        "--brokers",
        "127.0.0.1:1",
        "--listen",
        "127.0.0.1:0",
        "--site",
        site,
        "--data-dir",
        path(&data),
    ];
    assert_complains(&run, &["devices.csv:3", "lon", "east"]);
    let said = fail(&mut hexwatch(&["check", "--site", site]));
    assert!(said.contains("devices.csv:3"), "{said}");
    assert_complains(&["check", "--queries", path(&folder.path().join("none"))], &["none"]);
}

#[test]
fn a_broken_line_of_a_recording_is_named_and_those_before_it_are_kept() {
    let _turn = turn::together();
    let stand = Stand::new("broken");
    stand.create_topics(1);
    let file = stand.file("broken.ndjson");
    let good = r#"{"topic":"iot","key":"d","timestamp":1767261601000,"value":{"id":"a","time":1767261601000,"device":"d","heartbeat":true}}"#;
    std::fs::write(&file, format!("{good}\n{good}\n{{\"topic\":\"iot\"\n")).unwrap();
    let said = fail(&mut stand.command_on_kafka(&["replay", "--as-fast-as-possible", "--file", path(&file)]));
    let line = complaint(&said);
    assert!(line.contains("broken.ndjson line 3"), "{line}");
    let site = stand.file("site");
    std::fs::create_dir(&site).unwrap();
    assert_eq!(
        stand.run_to_the_end(&site)["total"]["read"],
        2,
        "what stands before the broken line was sent"
    );
    let said =
        fail(&mut stand.command_on_kafka(&["replay", "--as-fast-as-possible", "--file", "nowhere.ndjson"]));
    assert_eq!(complaint(&said).matches("No such file").count(), 1, "{said}");
}

#[test]
fn sql_that_does_not_read_is_refused_and_a_wrong_name_is_named() {
    let folder = tempfile::TempDir::new().unwrap();
    let data = path(folder.path());
    assert_complains(&["sql", "DELETE FROM access", "--data-dir", data], &["DELETE", "only reads"]);
    assert_complains(&["sql", "SELECT 1; DROP TABLE access", "--data-dir", data], &["error"]);
    assert_complains(&["sql", "SELECT nonsense FROM access", "--data-dir", data], &["nonsense", "line 1"]);
    let nowhere = Path::new(data).join("nowhere");
    assert_complains(&["sql", "SELECT 1", "--data-dir", path(&nowhere)], &["nowhere", "--data-dir"]);
}
