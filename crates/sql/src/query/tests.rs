use proptest::prelude::*;

use super::*;

const RULE: &str = "\
-- title: Denied, and then in
-- rule: R06
-- version: 2
-- class: access
-- key: key, window_start, transition
-- time: at
-- emit: immediate
-- lookback: 120s
-- param hold: INTERVAL '30 seconds'
-- param share: 0.6
-- param word: 'it''s'
--
-- This is prose: nobody reads it as a key. It costs $money.
SELECT '$hold' AS a, \"$hold\" AS b, $hold AS c, $share AS d, $word AS e -- $hold
/* $hold */ FROM t WHERE x > $share";

fn error(file: &str, text: &str) -> String {
    let errors = QueryFile::parse(file, text).unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_rule_says_what_it_is_in_its_header() {
    let query = QueryFile::parse("queries/rules/r06.sql", RULE).unwrap();
    assert_eq!((query.name.as_str(), query.kind, query.emit), ("r06", Kind::Rule, Emit::Immediate));
    assert_eq!(query.rule, Some(RuleHeader { rule: "R06".into(), version: 2, class: Class::Access }));
    assert_eq!(query.key, ["key", "window_start", "transition"]);
    assert_eq!(query.lookback, Some(Duration::from_mins(2)));
}

#[test]
fn parameters_are_filled_in_where_they_are_code_and_lines_stay() {
    let query = QueryFile::parse("r.sql", RULE).unwrap();
    let sql = query.sql().unwrap();
    let expected = "SELECT '$hold' AS a, \"$hold\" AS b, INTERVAL '30 seconds' AS c, 0.6 AS d, 'it''s' AS e -- $hold\n\
        /* $hold */ FROM t WHERE x > 0.6";
    assert!(sql.ends_with(expected), "{sql}");
    assert_eq!(sql.lines().count(), RULE.lines().count());
}

#[test]
fn an_override_has_to_be_of_the_type_of_the_default() {
    let query = QueryFile::parse("r.sql", RULE).unwrap();
    let with =
        |name: &str, value: &str| query.sql_with(&BTreeMap::from([(name.to_owned(), value.to_owned())]));
    assert!(with("hold", "45s").unwrap().contains("INTERVAL '45000 milliseconds' AS c"));
    assert!(with("hold", "INTERVAL '1 minute'").unwrap().contains("INTERVAL '1 minute' AS c"));
    assert!(with("share", "-0.7").unwrap().contains("(-0.7) AS d"));
    assert!(with("word", "x'; DROP").unwrap().contains("'x''; DROP' AS e"));
    assert_eq!(
        with("share", "1 OR true").unwrap_err().to_string(),
        "r.sql:10: `share`: `1 OR true` does not fit the parameter; set it to a number"
    );
    assert!(with("nothing", "1").unwrap_err().to_string().contains("it has: hold, share, word"));
}

#[test]
fn a_parameter_that_the_header_does_not_know_is_named_with_its_line() {
    let query = QueryFile::parse("v.sql", "-- title: t\n\nSELECT $x").unwrap();
    assert!(query.sql().unwrap_err().to_string().starts_with("v.sql:3: `$x`"));
}

#[test]
fn the_folder_says_the_kind_unless_the_header_does() {
    let kind = |file: &str, text: &str| QueryFile::parse(file, text).unwrap().kind;
    assert_eq!(kind("q/views/a.sql", "SELECT 1"), Kind::View);
    assert_eq!(kind("q/analysis/a.sql", "SELECT 1"), Kind::Analysis);
    assert_eq!(kind("a.sql", "SELECT 1"), Kind::View);
    assert_eq!(kind("q/views/a.sql", "-- kind: analysis\nSELECT 1"), Kind::Analysis);
    assert_eq!(kind("a.sql", "-- rule: R01\n-- class: access\nSELECT 1"), Kind::Rule);
}

#[test]
fn everything_wrong_with_a_header_is_said_at_once() {
    let text = "-- titel: x\n-- emit: later\n-- lateness: soon\n-- class: weather\n-- emit: on_close\n-- param a: b\n";
    let said = error("queries/rules/x.sql", text);
    for expected in [
        "queries/rules/x.sql:1: `titel`: there is no key `titel`",
        "queries/rules/x.sql:2: `emit`: there is no emit `later`",
        "queries/rules/x.sql:3: `lateness`: `soon` is not a time span",
        "queries/rules/x.sql:4: `class`: there is no class `weather`",
        "queries/rules/x.sql:5: `emit`: the key is there twice",
        "queries/rules/x.sql:6: `param a`: `b` is not a value",
        "queries/rules/x.sql:1: `rule`: a rule needs the line",
        "queries/rules/x.sql:1: `sql`: the file holds no SQL",
    ] {
        assert!(said.contains(expected), "{expected} is not in\n{said}");
    }
    assert_eq!(said.lines().count(), 8, "{said}");
}

#[test]
fn one_bad_file_stops_no_other() {
    let set = QuerySet::read([
        ("q/views/b.sql", "SELECT 1"),
        ("q/views/bad.sql", "-- emit: later\nSELECT 1"),
        ("q/analysis/b.sql", "SELECT 2"),
        ("q/views/c.sql", "-- name: b\nSELECT 3"),
    ]);
    assert_eq!(
        set.files.iter().map(|query| query.file.as_str()).collect::<Vec<_>>(),
        ["q/views/b.sql", "q/analysis/b.sql"]
    );
    assert_eq!(set.refused.len(), 2);
    assert_eq!(set.get(Kind::Analysis, "b").unwrap().text, "SELECT 2");
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in "(-- [a-z]{1,8}( [a-z])?:? ?.{0,20}\n){0,4}.{0,80}") {
        if let Ok(query) = QueryFile::parse("views/x.sql", &text) {
            let _ = query.sql();
        }
    }
}
