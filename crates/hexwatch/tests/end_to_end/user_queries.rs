//! Queries of one's own, dropped into a folder.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kafka::free_port;
use crate::process::{Running, fail, path, succeed};
use crate::stand::{Stand, site_beside};
use crate::turn;

const GOOD: &str = "-- title: Denials by minute
-- kind: view
-- key: site, window_start
-- time: window_end
SELECT
  site,
  date_bin(INTERVAL '1 minute', \"time\") AS window_start,
  date_bin(INTERVAL '1 minute', \"time\") + INTERVAL '1 minute' AS window_end,
  count(*) AS denials
FROM access
WHERE event = 'denied'
GROUP BY site, date_bin(INTERVAL '1 minute', \"time\")
";
const UNBOUNDED: &str = "-- title: A join without a bound
-- kind: view
-- time: time
SELECT a.id, a.\"time\"
FROM access a
JOIN camera_alert c ON c.site = a.site
";

fn queries(stand: &Stand) -> PathBuf {
    let folder = stand.file("queries");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("denials_by_minute.sql"), GOOD).unwrap();
    std::fs::write(folder.join("unbounded.sql"), UNBOUNDED).unwrap();
    folder
}

#[test]
fn a_query_dropped_into_a_folder_runs_and_a_wrong_one_is_refused_while_the_rest_goes_on() {
    let _turn = turn::together();
    let stand = Stand::new("queries");
    let folder = queries(&stand);
    let events = stand.simulate(&["--seed", "3", "--rate", "40", "--duration", "8m"]);
    stand.create_topics(2);
    stand.replay(&events);
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = stand.run(&site_beside(&events), &address);
    let mut running = Running::start(command.args(["--queries", path(&folder)]), &address);

    let (_, system) = running.get("/api/v1/system").unwrap();
    let system: Value = serde_json::from_str(&system).unwrap();
    let named = |name: &str| {
        let queries = system["queries"].as_array().unwrap();
        queries
            .iter()
            .find(|query| query["name"] == name)
            .unwrap_or_else(|| panic!("{name} is not in {queries:?}"))
    };
    assert_eq!(named("denials_by_minute")["state"], "live");
    assert_eq!(named("r10_panic")["state"], "live", "the others go on");
    let refused = named("unbounded");
    assert_eq!(refused["state"], "refused");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("unbounded.sql:") && reason.contains("bound"), "{reason}");

    // The clock stands with its records, so the last minutes stay open; each that is over counts right.
    running.wait_for("rows of the user's view", Duration::from_secs(30), |running| {
        rows(running, "SELECT * FROM view_denials_by_minute").is_some_and(|rows| !rows.is_empty())
    });
    let wrong = "SELECT v.* FROM view_denials_by_minute v LEFT JOIN (
        SELECT date_bin(INTERVAL '1 minute', \"time\") AS minute, count(*) AS denials
        FROM access WHERE event = 'denied' GROUP BY 1
    ) a ON a.minute = v.window_start WHERE a.denials IS NULL OR a.denials <> v.denials";
    assert_eq!(rows(&running, wrong), Some(Vec::new()));
}

/// Rows of a query over HTTP; none while the table is not there.
fn rows(running: &Running, sql: &str) -> Option<Vec<Value>> {
    let (status, body) = running.post("/api/v1/sql", &json!({"sql": sql}));
    let body: Value = serde_json::from_str(&body).unwrap();
    (status == 200).then(|| body["rows"].as_array().unwrap().clone())
}

#[test]
fn check_names_a_wrong_query_with_its_line_and_fails() {
    let _turn = turn::together();
    let stand = Stand::new("checked");
    let folder = queries(&stand);
    let said = fail(stand.command(&["check"]).args(["--queries", path(&folder)]));
    assert!(said.contains("unbounded.sql:") && said.contains("bound"), "{said}");
    assert!(!said.contains("denials_by_minute"), "{said}");
    std::fs::remove_file(folder.join("unbounded.sql")).unwrap();
    succeed(stand.command(&["check"]).args(["--queries", path(&folder)]));
}
