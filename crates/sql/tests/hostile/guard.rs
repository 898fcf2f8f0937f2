//! What the guard lets through.

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;
use hexwatch_sql::Guard;

use super::door::Door;
use super::mutate::Damage;

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

#[test]
fn what_the_guard_lets_through_reads_and_does_nothing_else() {
    let damage = Damage { inputs: 100_000, block: 250, texts: QUERIES, words: WORDS, brackets: BRACKETS };
    damage.each(Door::open, check);
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
