//! Every record ends somewhere, and the sums say so.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use crate::stand::{Account, EVENT_TABLES, Stand};
use crate::turn;

#[derive(Deserialize)]
struct Case {
    #[serde(rename = "case")]
    title: String,
    topic: String,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    outcome: String,
    stage: Option<String>,
    code: Option<String>,
    field: Option<String>,
}

/// Where a record ended.
#[derive(PartialEq, Debug)]
enum End {
    Accepted,
    Suspect,
    Late,
    DeadLetter { stage: String, code: String, field: String },
}

#[test]
fn every_hostile_record_ends_where_it_should_and_the_tables_agree_with_the_account() {
    let _turn = turn::together();
    let stand = Stand::new("hostile");
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/hostile.ndjson");
    let site = stand.file("site");
    std::fs::create_dir(&site).unwrap();
    let devices = "id,type,site,lon,lat,floor\ngate-north,access_point,plum-court,121.5,31.25,2\n\
                   btn-hall,panic,plum-court,121.5,31.25,2\n";
    std::fs::write(site.join("devices.csv"), devices).unwrap();
    // One partition: the nth record of a topic in the file has the offset n.
    stand.create_topics(1);
    stand.replay(&fixture);
    let account = stand.run_to_the_end(&site);

    let text = std::fs::read_to_string(fixture).unwrap();
    let cases: Vec<Case> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let ends = ends(&stand);
    let mut offsets: BTreeMap<&str, u64> = BTreeMap::new();
    let mut wrong = Vec::new();
    for case in &cases {
        let offset = offsets.entry(&case.topic).or_default();
        let end = ends.get(&(format!("{}{}", stand.prefix(), case.topic), *offset));
        if !end.is_some_and(|end| is_as_expected(case, end)) {
            wrong.push(format!("{} ({} at {offset}): {end:?}", case.title, case.topic));
        }
        *offset += 1;
    }
    assert!(wrong.is_empty(), "{} of {} ended elsewhere:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    assert_eq!(account["total"]["read"], cases.len() as u64);
    assert_sums(&stand, &account);
}

/// Each record's end, by topic and offset, as the tables have it.
fn ends(stand: &Stand) -> BTreeMap<(String, u64), End> {
    let mut ends = BTreeMap::new();
    let mut put = |row: &BTreeMap<String, String>, end: End| {
        let place = (row["topic"].clone(), row["offset"].parse().unwrap());
        let before = ends.insert(place.clone(), end);
        assert!(before.is_none(), "the record at {place:?} ended twice: {before:?}");
    };
    for table in EVENT_TABLES {
        for row in stand.sql(&format!("SELECT topic, \"offset\", time_quality FROM {table}")) {
            put(&row, if row["time_quality"] == "suspect" { End::Suspect } else { End::Accepted });
        }
    }
    for row in stand.sql("SELECT topic, \"offset\" FROM late_events") {
        put(&row, End::Late);
    }
    for row in stand.sql("SELECT topic, \"offset\", stage, error_code, field FROM dead_letters") {
        let [stage, code, field] = ["stage", "error_code", "field"].map(|column| row[column].clone());
        put(&row, End::DeadLetter { stage, code, field });
    }
    ends
}

fn is_as_expected(case: &Case, end: &End) -> bool {
    let expect = &case.expect;
    let agrees = |wanted: &Option<String>, got: &str| wanted.as_deref().is_none_or(|wanted| wanted == got);
    match end {
        End::Accepted => expect.outcome == "accepted",
        End::Suspect => expect.outcome == "suspect",
        // The decoder takes a scan that was made offline hours ago; the engine's watermark is far past it by then.
        End::Late => case.title == "an old scan made offline",
        End::DeadLetter { stage, code, field } => {
            expect.outcome == "dead_letter"
                && agrees(&expect.stage, stage)
                && agrees(&expect.code, code)
                && agrees(&expect.field, field)
        }
    }
}

/// The account adds up, topic by topic and in all, and counts what the tables hold.
pub(crate) fn assert_sums(stand: &Stand, account: &Account) {
    for (topic, counts) in account {
        let parts = ["accepted", "duplicate", "late", "dead_letter"].map(|outcome| counts[outcome]);
        assert_eq!(
            counts["read"],
            parts.iter().sum::<u64>(),
            "the account of {topic} does not add up: {counts:?}"
        );
    }
    for table in EVENT_TABLES {
        let rows = stand.count(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(rows, account[&table.replace('_', "-")]["accepted"], "rows in {table}");
    }
    assert_eq!(stand.count("SELECT count(*) FROM late_events"), account["total"]["late"]);
    assert_eq!(stand.count("SELECT count(*) FROM dead_letters"), account["total"]["dead_letter"]);
}
