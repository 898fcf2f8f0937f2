//! What people write, against damage: the guard, what it lets through, and the headers of query files. A failure names
//! its seed: `HEXWATCH_SEED=<seed> cargo test -p hexwatch-sql --test hostile <test>`.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests are sentences, and a panic in one is its failure"
)]

#[path = "../../ingest/tests/hostile/mutate.rs"]
mod mutate;
#[allow(dead_code, reason = "shared with other tests, which use other parts")]
#[path = "../../ingest/tests/hostile/seeds.rs"]
mod seeds;

use std::fmt::Write as _;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use datafusion::sql::sqlparser::parser::Parser;
use hexwatch_sql::{Guard, Limits, QueryError, QueryFile, QueryProblem, analyst_session};
use seeds::Dice;
use tokio::runtime::Runtime;

const INPUTS: u64 = 100_000;
const BLOCK: u64 = 250;

const QUERIES: &[&str] = &[
    "SELECT 1",
    "SELECT device, count(*) AS n FROM access WHERE event = 'denied' GROUP BY device ORDER BY n DESC LIMIT 5",
    "WITH a AS (SELECT cell, \"time\" FROM iot), b (x) AS (SELECT cell FROM a) SELECT * FROM a, b WHERE a.cell = b.x",
    "SELECT r.score, count(*) FROM risk_cells r JOIN access a ON h3_cell_to_parent(a.cell, 11) = r.cell GROUP BY r.score",
    "(SELECT 1 AS x) UNION ALL (SELECT 2) EXCEPT SELECT 3",
    "EXPLAIN ANALYZE SELECT max(\"time\") FROM panic",
    "SHOW TABLES",
    "DESCRIBE alarms",
    "VALUES (1, 'a'), (2, NULL)",
    "SELECT CASE WHEN score > 0.5 THEN 'h' ELSE NULL END, -score, CAST(count AS TEXT), count::int FROM camera_alert",
    "SELECT id, lag(result) OVER (PARTITION BY device ORDER BY \"time\") FROM iot WHERE \"time\" > now() - INTERVAL '1 hour'",
    "SELECT * FROM alarms WHERE alarm_id IN (SELECT alarm_id FROM dispatch WHERE leg = 'arrived' AND NOT manual)",
];

const WORDS: &[&str] = &[
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "(",
    ")",
    "'",
    "\"",
    "`",
    "--",
    "/*",
    "*/",
    "/* /* */",
    ";",
    "; DROP TABLE access",
    ",",
    "*",
    "[",
    "]",
    "{",
    "}",
    "[1]",
    "CASE",
    "END",
    "UNION ALL SELECT 1",
    "JOIN iot USING (id)",
    "CROSS JOIN access",
    "range(1, 9)",
    "repeat('a', 9)",
    "\"repeat\"",
    "generate_series(1, 2)",
    "INTO t",
    "FOR UPDATE",
    "INSERT INTO access",
    "COPY",
    "SET x = 1",
    "CREATE TABLE t AS",
    "EXPLAIN",
    "$1",
    "$name",
    "$$",
    "$a$ x $a$",
    "E'\\x'",
    "U&'\\0041'",
    "X'0g'",
    "N'é'",
    "1e400",
    "0x1F",
    "9223372036854775808",
    "99999999999999999999999999999999999999999",
    ".5",
    "1..2",
    "::",
    "::int",
    "->",
    "->>",
    "@>",
    "||",
    "!",
    "~",
    "?",
    "&&",
    "<=>",
    ":=",
    "=>",
    "NULL",
    "TRUE",
    "INTERVAL '1' DAY",
    "INTERVAL '999999999 years'",
    "DATE '0000-00-00'",
    "AT TIME ZONE 'x'",
    "COLLATE x",
    "IN (1)",
    "LIKE '%'",
    "SIMILAR TO 'a'",
    "EXISTS (SELECT 1)",
    "LATERAL",
    "UNNEST([1])",
    "TABLESAMPLE (1)",
    "credential_ref",
    "AS score",
    "risk_cells",
    "access",
    "absence('iot')",
    "hop('iot', INTERVAL '1 minute', INTERVAL '2 minutes')",
    "é",
    "\u{feff}",
    "\u{0}",
    "WITH RECURSIVE a AS (SELECT 1 UNION ALL SELECT 1)",
    "GROUPING SETS ((1), ())",
    "CUBE (1, 2)",
    "FETCH FIRST 1 ROW ONLY",
    "LIMIT -1",
    "OFFSET 1e9",
];

const BRACKETS: &[(&str, &str)] = &[
    ("(", ")"),
    ("(SELECT ", ")"),
    ("CASE WHEN ", " THEN 1 END"),
    ("[", "]"),
    ("abs(", ")"),
    ("/*", "*/"),
    ("NOT ", ""),
    ("- ", ""),
];

struct Door {
    runtime: Runtime,
    session: SessionContext,
}

impl Door {
    fn open() -> Self {
        let session = analyst_session(64 << 20).unwrap();
        hexwatch_sql::catalog::register_missing(&session).unwrap();
        Self { runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(), session }
    }

    fn plan(&self, sql: &str) -> Result<LogicalPlan, QueryError> {
        self.runtime.block_on(Guard::default().plan(&self.session, sql))
    }
}

#[test]
fn what_the_guard_lets_through_reads_and_does_nothing_else() {
    seeds::run(INPUTS / BLOCK, |seed| {
        let (mut dice, door) = (Dice::new(seed), Door::open());
        for _ in 0..BLOCK {
            let query = dice.pick(QUERIES).as_bytes();
            let bytes = mutate::mutate(&mut dice, query, WORDS, BRACKETS);
            check(&door, &String::from_utf8_lossy(&bytes));
        }
    });
}

fn check(door: &Door, sql: &str) {
    if let Err(error) = Guard::default().check(sql) {
        assert!(!error.message.is_empty() && !error.fix.is_empty(), "{sql}");
        return;
    }
    // What is one statement for the guard is one for the parser, or none.
    let statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap_or_default();
    assert!(statements.len() <= 1, "{} statements: {sql}", statements.len());
    let Ok(plan) = door.plan(sql) else { return };
    if let Some(statement) = statements.first() {
        assert!(reads(statement), "{sql}");
    }
    plan.apply_with_subqueries(|node| {
        let does = matches!(
            node,
            LogicalPlan::Ddl(_) | LogicalPlan::Dml(_) | LogicalPlan::Copy(_) | LogicalPlan::Statement(_)
        );
        assert!(!does, "{sql}");
        Ok(TreeNodeRecursion::Continue)
    })
    .unwrap();
    let given: Vec<&str> = plan.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let person = given.iter().any(|name| name.ends_with("_ref"));
    let judged = given.iter().any(|name| ["score", "risk", "level"].contains(name));
    assert!(!(person && judged), "a person and a judgement: {sql}");
}

fn reads(statement: &Statement) -> bool {
    match statement {
        Statement::Query(_)
        | Statement::ShowTables { .. }
        | Statement::ShowColumns { .. }
        | Statement::ExplainTable { .. } => true,
        Statement::Explain { statement, .. } => reads(statement),
        _ => false,
    }
}

/// On a thread as small as those that serve people.
fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    std::thread::Builder::new().stack_size(2 << 20).spawn(work).unwrap().join().unwrap();
}

const SIGNS: &[&str] = &[
    "+",
    "-",
    "*",
    "/",
    "%",
    "||",
    "->",
    "::int",
    "=",
    "<",
    "&",
    "|",
    "^",
    "~",
    "[1]",
    ".a",
    "(1)",
    "IN (1)",
    ",",
    "UNION ALL",
];

fn plan_chains_of(words: &[&str], counts: &[usize]) {
    let door = Door::open();
    for word in words {
        for (start, piece) in [
            ("SELECT 1", format!(" {word} 1")),
            ("SELECT 1", format!(" {word}")),
            ("SELECT 1", format!(" {word} SELECT 1")),
            ("SELECT 1 FROM access", format!(" {word} access")),
            ("SELECT", format!(" {word}")),
        ] {
            for count in counts {
                let _ = door.plan(&format!("{start}{}", piece.repeat(*count)));
            }
        }
    }
}

#[test]
fn no_chain_of_any_word_is_too_deep_for_a_thread() {
    let (some, others) = ALL_KEYWORDS.split_at(ALL_KEYWORDS.len() / 2);
    // Deep enough for any stack, were it not refused.
    let first = std::thread::spawn(|| on_a_small_stack(|| plan_chains_of(some, &[1_300])));
    on_a_small_stack(|| plan_chains_of(others, &[1_300]));
    first.join().unwrap();
}

#[test]
fn no_chain_of_any_sign_is_too_deep_for_a_thread() {
    on_a_small_stack(|| plan_chains_of(SIGNS, &[30, 390, 3_900]));
}

#[test]
fn a_short_text_that_becomes_a_long_query_is_refused() {
    let mut doubling = "WITH a0 AS (SELECT 1 AS x)".to_owned();
    for level in 1..30 {
        let before = level - 1;
        write!(doubling, ", a{level} AS (SELECT l.x FROM a{before} l JOIN a{before} r ON l.x = r.x)")
            .unwrap();
    }
    let unions = (1..30).fold("WITH a0 AS (SELECT 1 AS x)".to_owned(), |text, level| {
        let before = level - 1;
        text + &format!(", \"A{level}\" (x) AS MATERIALIZED (TABLE a{before} UNION ALL SELECT (SELECT max(x) FROM a{before}))")
    });
    let tables = format!(
        "SELECT 1 FROM access a0{}",
        (1..900).fold(String::new(), |tables, n| tables + &format!(", access a{n}"))
    );
    for sql in [format!("{doubling} SELECT * FROM a29"), format!("{unions} SELECT * FROM a29"), tables] {
        let error = Guard::default().check(&sql).unwrap_err();
        assert_eq!(error.problem, QueryProblem::TooComplex, "{}: {error}", &sql[..60]);
    }
}

#[test]
fn a_query_at_the_limits_of_its_expansion_is_planned() {
    on_a_small_stack(|| {
        let door = Door::open();
        let mut sql = "WITH a0 AS (SELECT 1 AS x)".to_owned();
        for level in 1..8 {
            let before = level - 1;
            write!(sql, ", a{level} AS (SELECT l.x FROM a{before} l JOIN a{before} r ON l.x = r.x)").unwrap();
        }
        door.runtime
            .block_on(Guard::default().run(&door.session, &format!("{sql} SELECT * FROM a7")))
            .unwrap();
        let tables = (1..32).fold(String::new(), |tables, n| tables + &format!(", panic a{n}"));
        let sql = format!("SELECT a0.id FROM panic a0{tables}");
        door.runtime.block_on(Guard::default().run(&door.session, &sql)).unwrap();
        assert!(
            Guard::default()
                .check(&format!("SELECT abs(1, 2){}", ", 1".repeat(Limits::default().parts + 1)))
                .is_ok()
        );
    });
}

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
    seeds::run(INPUTS / BLOCK, |seed| {
        let mut dice = Dice::new(seed);
        for _ in 0..BLOCK {
            let bytes = mutate::mutate(
                &mut dice,
                FILE.as_bytes(),
                HEADER_WORDS,
                &[("(", ")"), ("'", "'"), ("-- ", "\n")],
            );
            check_file(&String::from_utf8_lossy(&bytes));
        }
    });
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
