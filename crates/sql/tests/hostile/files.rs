//! Query files.

use hexwatch_sql::QueryFile;

use super::mutate::Damage;

const FILE: &str = "-- title: Denied, and then in\n-- kind: rule\n-- rule: R06\n-- version: 2\n-- class: access\n-- key: key, window_start\n\
    -- time: at\n-- emit: immediate\n-- lookback: 120s\n-- lateness: 5min\n-- param hold: INTERVAL '30 seconds'\n-- param share: -0.6\n\
    -- param word: 'it''s'\n--\n-- Prose: it costs $money.\nSELECT '$hold' AS a, \"$hold\", $hold, $share AS d, $word -- $hold\n/* $hold */ FROM t";

const HEADER_WORDS: &[&str] = &[
    "--",
    "-- ",
    ":",
    "\n",
    "\r\n",
    "param",
    "-- param x: 1\n",
    "-- param 测: 1\n",
    "INTERVAL",
    "INTERVAL '1",
    "interval 测试时间",
    "'",
    "''",
    "'\u{0}'",
    "$",
    "$x",
    "$hold",
    "$测",
    "99999999999999999999s",
    "1e308d",
    "-1",
    ".",
    "..5s",
    "0.0.1h",
    "inf",
    "NaN",
    "infinity",
    "4294967296",
    "rule",
    "view",
    "-- kind: view\n",
    "-- lookback: 1s\n",
    "\u{feff}",
    "/*",
    "*/",
    "\"",
    ";",
    "-- name: a/b\n",
    "-- output: topic\n",
    "2 days",
    "120 ms",
];

#[test]
fn a_query_file_is_read_or_every_wrong_line_is_named() {
    let brackets = &[("(", ")"), ("'", "'"), ("-- ", "\n")];
    let damage = Damage { inputs: 100_000, block: 250, texts: &[FILE], words: HEADER_WORDS, brackets };
    damage.each(|| (), |(), text| check_file(text));
}

fn check_file(text: &str) {
    let lines = text.lines().count().max(1);
    match QueryFile::parse("rules/r.sql", text) {
        Err(errors) => {
            assert!(!errors.is_empty(), "refused without a reason: {text:?}");
            for error in errors {
                assert!((1..=lines).contains(&error.line), "{error} of {lines} lines in {text:?}");
                assert!(
                    !error.field.is_empty() && !error.problem.is_empty() && !error.fix.is_empty(),
                    "{text:?}"
                );
            }
        }
        Ok(file) => {
            assert!(
                !file.name.is_empty() && file.name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
                "{text:?}"
            );
            if let Ok(sql) = file.sql() {
                assert_eq!(
                    sql.matches('\n').count(),
                    file.text.trim_start_matches('\u{feff}').matches('\n').count(),
                    "lines move in {text:?}"
                );
            }
        }
    }
}
