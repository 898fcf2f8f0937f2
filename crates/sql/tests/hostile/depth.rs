//! Queries that are too deep, or that grow.

use std::fmt::Write as _;

use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;
use hexwatch_sql::{Guard, Limits, QueryProblem};

use super::door::Door;

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
