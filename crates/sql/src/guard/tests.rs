use proptest::prelude::*;

use super::*;
use crate::analyst_session;

async fn problem(sql: &str) -> QueryError {
    let session = analyst_session(64 << 20).unwrap();
    Guard::default().run(&session, sql).await.unwrap_err()
}

async fn run(limits: Limits, sql: &str) -> Result<Answer, QueryError> {
    Guard::new(limits).run(&analyst_session(64 << 20).unwrap(), sql).await
}

#[tokio::test]
async fn reads_pass() {
    for sql in [
        "SELECT 1",
        "WITH a AS (SELECT 1) SELECT * FROM a;",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "SHOW TABLES",
        "(SELECT 1) UNION ALL (SELECT 2)",
        "VALUES (1)",
        "-- comment\nSELECT ';'",
    ] {
        let answer = run(Limits::default(), sql).await;
        assert!(answer.is_ok(), "{sql}: {answer:?}");
    }
}

#[tokio::test]
async fn whatever_writes_or_sets_is_refused() {
    for sql in [
        "CREATE TABLE t AS SELECT 1",
        "DROP TABLE t",
        "INSERT INTO t VALUES (1)",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SET datafusion.execution.batch_size = 1",
        "CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '/etc'",
        "SHOW ALL",
        "EXPLAIN CREATE TABLE t AS SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO t VALUES (1)",
        "PREPARE a AS SELECT 1",
        "SELECT 1; SELECT 2",
        "SELECT 1 INTO t",
        "DELETE FROM t",
        "UPDATE t SET a = 1",
    ] {
        let error = problem(sql).await;
        assert!(
            matches!(error.problem, QueryProblem::Refused | QueryProblem::Meaning | QueryProblem::Syntax),
            "{sql}: {error:?}"
        );
    }
}

#[tokio::test]
async fn files_and_addresses_are_no_tables() {
    for sql in
        ["SELECT * FROM '/etc/passwd'", "SELECT * FROM 'x.parquet'", "SELECT * FROM read_csv('/etc/passwd')"]
    {
        assert_eq!(problem(sql).await.problem, QueryProblem::Meaning, "{sql}");
    }
}

#[tokio::test]
async fn functions_that_make_much_out_of_little_are_refused_by_name() {
    for sql in [
        "SELECT range(1, 100000000000)",
        "SELECT * FROM generate_series(1, 10)",
        "SELECT \"repeat\"('a', 1)",
        "SELECT RPAD('a', 100, 'b')",
        "SELECT array_resize([1], 10, 0)",
    ] {
        let error = problem(sql).await;
        assert_eq!(error.problem, QueryProblem::Refused, "{sql}");
        assert_eq!(error.line, Some(1));
    }
}

#[tokio::test]
async fn long_chains_and_deep_nests_are_refused_before_they_are_parsed() {
    let plus = format!("SELECT 1{}", " + 1".repeat(20_000 / 4));
    let or = format!("SELECT 1 WHERE true{}", " OR true".repeat(2_000));
    let union = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(1_000));
    let parentheses = format!("SELECT {}1{}", "(".repeat(500), ")".repeat(500));
    let minus = format!("SELECT {}1", "- ".repeat(3_000));
    let subscripts = format!("SELECT a{}", "[1]".repeat(2_000));
    let cases = format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(300), " END".repeat(300));
    for sql in [plus, or, union, parentheses, minus, subscripts, cases, "x".repeat(70_000)] {
        let error = problem(&sql).await;
        assert_eq!(error.problem, QueryProblem::TooComplex, "{}", &sql[..40]);
    }
}

#[tokio::test]
async fn what_is_just_short_of_the_limits_runs() {
    let limits = Limits::default();
    let plus = format!("SELECT 1{}", " + 1".repeat(limits.operators - 10));
    let or = format!("SELECT 1 WHERE true{}", " OR random() > 2".repeat(limits.operators / 2 - 10));
    let union = format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(limits.parts));
    let parentheses = format!("SELECT {}1{}", "(".repeat(limits.depth), ")".repeat(limits.depth));
    for sql in [plus, or, union, parentheses] {
        let answer = run(limits, &sql).await;
        assert!(answer.is_ok(), "{}: {answer:?}", &sql[..40]);
    }
}

#[tokio::test]
async fn an_error_says_where_and_what_to_do() {
    let syntax = problem("SELECT 1\nFROM t WHERE (").await;
    assert_eq!(syntax.problem, QueryProblem::Syntax);
    assert_eq!((syntax.line, syntax.column), (Some(2), Some(15)), "{syntax:?}");
    let unknown = problem("SELECT nothing\nFROM (SELECT 1 AS a) AS t").await;
    assert_eq!((unknown.problem, unknown.line, unknown.column), (QueryProblem::Meaning, Some(1), Some(8)));
    assert_eq!(problem("SELECT * FROM nowhere").await.problem, QueryProblem::Meaning);
    assert_eq!(problem("  ").await.problem, QueryProblem::Syntax);
}

#[tokio::test]
async fn rows_beyond_the_limit_are_cut_off_and_the_answer_says_so() {
    let limits = Limits { rows: 2, ..Limits::default() };
    let answer = run(limits, "VALUES (1), (2), (3)").await.unwrap();
    assert!(answer.truncated);
    assert_eq!(answer.batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 2);
    assert!(!run(limits, "VALUES (1), (2)").await.unwrap().truncated);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_takes_too_long_is_ended() {
    let thousand =
        format!("(VALUES {})", (0..1_000).map(|n| format!("({n})")).collect::<Vec<_>>().join(", "));
    let sql = format!(
        "SELECT count(*) FROM {thousand} AS a(x), {thousand} AS b(y), {thousand} AS c(z) WHERE sin(x * y + z) > 2"
    );
    let limits = Limits {
        deadline: Duration::from_millis(300),
        operators: 100_000,
        tokens: 100_000,
        ..Limits::default()
    };
    let error = run(limits, &sql).await.unwrap_err();
    assert_eq!(error.problem, QueryProblem::Deadline);
}

#[tokio::test]
async fn a_query_that_needs_too_much_memory_is_ended() {
    let session = analyst_session(64 << 10).unwrap();
    let rows = (0..1_500)
        .map(|n| format!("({n}, 'a text that takes some room {n}')"))
        .collect::<Vec<_>>()
        .join(", ");
    let sql = format!(
        "SELECT a.column1, array_agg(b.column2) FROM (VALUES {rows}) a, (VALUES {rows}) b GROUP BY a.column1"
    );
    let limits = Limits { bytes: 1 << 20, operators: 100_000, tokens: 100_000, ..Limits::default() };
    let error = Guard::new(limits).run(&session, &sql).await.unwrap_err();
    assert_eq!(error.problem, QueryProblem::Memory, "{error:?}");
}

#[tokio::test]
async fn a_person_and_a_risk_do_not_come_together() {
    let session = analyst_session(64 << 20).unwrap();
    crate::catalog::register_missing(&session).unwrap();
    let guard = Guard::default();
    for sql in [
        "SELECT a.credential_ref, r.score FROM access a JOIN risk_cells r ON h3_cell_to_parent(a.cell, 11) = r.cell",
        "SELECT a.credential_ref AS who, r.score AS how FROM access a, risk_cells r",
        "SELECT * FROM access a, risk_cells r",
        "SELECT count(*) FROM risk_cells WHERE cell IN (SELECT cell FROM access WHERE credential_ref = 'x')",
        "SELECT credential_ref, match_score AS score FROM access",
    ] {
        let error = guard.run(&session, sql).await.unwrap_err();
        assert_eq!(error.problem, QueryProblem::Refused, "{sql}: {error}");
    }
    for sql in [
        "SELECT * FROM access",
        "SELECT * FROM risk_cells",
        "SELECT r.score, count(*) FROM risk_cells r JOIN access a ON h3_cell_to_parent(a.cell, 11) = r.cell GROUP BY r.score",
    ] {
        assert!(guard.run(&session, sql).await.is_ok(), "{sql}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_the_guard_panic(text in ".{0,200}") {
        let _ = Guard::default().check(&text);
    }

    #[test]
    fn no_heap_of_sql_words_makes_the_guard_panic(words in prop::collection::vec(
        prop::sample::select(vec!["SELECT", "(", ")", "'", "\"", "--", "/*", "*/", "$", ";", "[", "CASE", "END", "FROM",
            "1", "é", "range", "EXPLAIN", "\n", "$$", "E'", "::"]), 0..60)) {
        let _ = Guard::default().check(&words.join(" "));
    }
}
