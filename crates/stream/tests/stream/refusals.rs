//! What does not run live is refused by name, with file and line, and the rest goes on.

use super::files::{self, QueryFile};
use super::world::try_engine;

fn refused(sql: &str) -> (usize, String) {
    let text = format!("-- kind: view\n-- key: id\n-- time: time\n{sql}");
    let good =
        files::parse("good.sql", "-- kind: view\n-- key: id\n-- time: time\nSELECT id, \"time\" FROM iot");
    let files: [QueryFile; 2] = [files::parse("bad.sql", &text), good];
    let (engine, refusals) = try_engine(&files);
    assert_eq!(engine.queries().collect::<Vec<_>>(), ["good"], "the others go on");
    let [refusal] = refusals.as_slice() else { panic!("{sql} gave {refusals:?}") };
    assert_eq!(refusal.file, "bad.sql");
    (refusal.line, refusal.reason.clone())
}

#[test]
fn each_unsupported_shape_is_refused_with_line_and_reason() {
    let cases: [(&str, usize, &str); 14] = [
        (
            "SELECT a.id, a.\"time\" FROM access a\nJOIN iot i ON i.cell = a.cell",
            5,
            "without a bound on the times",
        ),
        (
            "SELECT a.id, a.\"time\" FROM access a\nJOIN iot i ON i.cell = a.cell AND i.\"time\" > a.\"time\"",
            5,
            "without a bound",
        ),
        ("SELECT id, \"time\" FROM access\nORDER BY \"time\"", 5, "ORDER BY"),
        ("SELECT id, \"time\" FROM access\nLIMIT 3", 5, "LIMIT"),
        ("SELECT DISTINCT device AS id FROM access", 4, "DISTINCT without a window"),
        (
            "SELECT id, \"time\", count(*)\nOVER (PARTITION BY device ORDER BY \"time\") AS n FROM access",
            5,
            "RANGE interval frame",
        ),
        (
            "SELECT id, \"time\", lag(event)\nOVER (PARTITION BY device ORDER BY \"time\") AS n FROM access",
            5,
            "RANGE interval frame",
        ),
        ("SELECT id, \"time\" FROM access\nWHERE \"time\" > now()", 5, "`now`"),
        ("SELECT id, \"time\" FROM access\nWHERE random() > 0.5", 5, "`random`"),
        ("SELECT device AS id, count(*) AS n FROM access\nGROUP BY device", 5, "aggregate without a window"),
        ("SELECT count(*) AS id FROM access", 4, "aggregate without a window"),
        ("INSERT INTO access SELECT * FROM access", 4, "writes"),
        ("CREATE TABLE t AS SELECT * FROM access", 4, "no query"),
        ("SELECT nonsense AS id FROM access", 4, "nonsense"),
    ];
    for (sql, line, reason) in cases {
        let (found_line, found) = refused(sql);
        assert!(found.contains(reason), "{sql}\nwas refused because: {found}");
        assert_eq!(found_line, line, "{sql}\n{found}");
    }
}

#[test]
fn a_row_that_looks_past_its_own_result_time_is_refused() {
    let sql = "SELECT a.id, a.\"time\" FROM access a JOIN iot i ON i.cell = a.cell \
               AND i.\"time\" BETWEEN a.\"time\" AND a.\"time\" + INTERVAL '5 seconds'";
    let (line, reason) = refused(sql);
    assert!(reason.contains("5 s past its own result time"), "{reason}");
    assert_eq!(line, 3, "the header's `time:`");
}

#[test]
fn an_absence_cannot_be_immediate() {
    let file = files::parse(
        "bad.sql",
        "-- kind: view\n-- time: at\n-- emit: immediate\nSELECT device, \"at\" FROM absence('iot')",
    );
    let (_, refusals) = try_engine(&[file]);
    assert_eq!(refusals[0].line, 3);
    assert!(refusals[0].reason.contains("waits for its timer"));
}
