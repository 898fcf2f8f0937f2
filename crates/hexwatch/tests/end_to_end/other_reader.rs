//! The history belongs to its owner: a reader that is not ours counts the same.

use std::collections::BTreeMap;
use std::path::Path;

use crate::process::{rows_of_csv, succeed};
use crate::python::python;
use crate::stand::{Stand, only_number, rows_of_sql, site_beside};
use crate::turn;

#[test]
fn deltalake_from_python_counts_what_sql_counts_in_every_table() {
    let _turn = turn::together();
    let stand = Stand::new("reader");
    let events = stand.simulate(&["--seed", "9", "--rate", "40", "--duration", "3m"]);
    stand.create_topics(2);
    stand.replay(&events);
    stand.run_to_the_end(&site_beside(&events));

    let output = succeed(python("count_tables.py").arg(stand.data()));
    let theirs: BTreeMap<String, u64> = rows_of_csv(&output)
        .into_iter()
        .map(|row| (row["table"].clone(), row["count"].parse().unwrap()))
        .collect();
    for table in ["access", "camera_alert", "iot", "alarm_changes", "risk_cells", "view_door_activity"] {
        assert!(theirs.get(table).is_some_and(|count| *count > 0), "{table} is not among {theirs:?}");
    }
    for (table, count) in theirs {
        assert_eq!(count, ours(&stand.data(), &table), "rows of {table}");
    }
}

/// All rows of a folder by our own SQL: a view's table shows the last row of each key, beside it stand all revisions.
fn ours(data: &Path, folder: &str) -> u64 {
    let name = match folder {
        "risk_cells" => "risk_cell_revisions".to_owned(),
        view if view.starts_with("view_") => format!("{view}_revisions"),
        table => table.to_owned(),
    };
    only_number(&rows_of_sql(data, &["sql", &format!("SELECT count(*) FROM {name}")]))
}
