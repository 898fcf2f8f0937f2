//! Rows of a view that Kafka was told of and that a restart does not find again.

use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::kafka::free_port;
use crate::process::{Running, path, succeed};
use crate::python::python;
use crate::stand::Stand;
use crate::turn;

const START: i64 = 1_767_571_200_000;

/// A late record can take a row of it back.
const ALONE: &str = "\
-- title: Signs of life with none in the 3 s before them
-- kind: view
-- output: topic
-- key: id
-- time: time
SELECT id, \"time\"
FROM (
  SELECT
    id, \"time\",
    count(*) OVER (
      PARTITION BY device ORDER BY \"time\" RANGE BETWEEN INTERVAL '3 seconds' PRECEDING AND CURRENT ROW
    ) AS signs
  FROM iot
)
WHERE signs = 1
";

struct Watched {
    stand: Stand,
    site: PathBuf,
    queries: PathBuf,
}

impl Watched {
    fn new() -> Self {
        let stand = Stand::new("told");
        let settings = std::fs::read_to_string(stand.file("hexwatch.toml")).unwrap();
        // Nothing is committed before it is killed.
        let settings = settings.replace("commit_interval = \"1s\"", "commit_interval = \"1h\"");
        std::fs::write(stand.file("hexwatch.toml"), settings).unwrap();
        let (site, queries) = (stand.file("site"), stand.file("queries"));
        std::fs::create_dir(&site).unwrap();
        std::fs::write(site.join("devices.csv"), "id,type,site,lon,lat,floor\n").unwrap();
        std::fs::create_dir(&queries).unwrap();
        std::fs::write(queries.join("alone.sql"), ALONE).unwrap();
        stand.create_topics(1);
        Self { stand, site, queries }
    }

    /// Sends signs of life of one device, each named by the millisecond in which it happened.
    fn send(&self, happened: &[i64], arrived: i64) {
        let record = |millis: &i64| {
            let value =
                json!({"id": millis.to_string(), "time": START + millis, "device": "d", "heartbeat": true});
            json!({"topic": "iot", "key": "d", "timestamp": START + arrived, "value": value}).to_string()
        };
        let file = self.stand.file("some.ndjson");
        std::fs::write(&file, happened.iter().map(record).collect::<Vec<_>>().join("\n")).unwrap();
        self.stand.replay(&file);
    }

    fn start(&self) -> Running {
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = self.stand.run(&self.site, &address);
        Running::start(command.args(["--queries", path(&self.queries)]), &address)
    }

    fn run_to_the_end(&self) {
        let mut command = self.stand.run(&self.site, "127.0.0.1:0");
        succeed(command.args(["--until-end", "--queries", path(&self.queries)]));
    }

    /// The rows that the topic has in the end.
    fn rows(&self) -> Vec<String> {
        let topic = format!("{}out.view.alone", self.stand.prefix());
        let said = succeed(python("latest_rows.py").args([self.stand.brokers(), &topic]));
        let last: Value = serde_json::from_str(&said).unwrap();
        let stand = last.as_object().unwrap().iter().filter(|(_, row)| !row.is_null());
        stand.map(|(key, _)| key.clone()).collect()
    }
}

#[test]
fn a_row_that_was_told_before_a_death_and_does_not_hold_is_taken_back() {
    let _turn = turn::together();
    let watched = Watched::new();
    watched.send(&[0, 10_000, 30_000], 30_000);
    watched.send(&[120_000], 120_000);
    let mut running = watched.start();
    running.wait_for("rows of the view", Duration::from_secs(30), |_| {
        watched.stand.count_records("out.view.alone") >= 3
    });
    running.kill();
    assert_eq!(watched.rows(), ["0", "10000", "30000"]);

    watched.send(&[9_000], 121_000);
    watched.run_to_the_end();
    assert_eq!(watched.rows(), ["0", "120000", "30000", "9000"]);
}
