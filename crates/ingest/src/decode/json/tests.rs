//! What is read by hand, held against serde.

use hexwatch_contract::Topic;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

/// Reads `text` as a record of iot would be; fails where serde says anything else.
fn agrees_with_serde(text: &str) {
    let layout = Layout::of(Topic::Iot);
    let (mut parser, mut body) = (Parser::new(layout), Body::new());
    let read = read(&mut parser, layout, text, &mut body);
    let expected = serde_json::from_str::<Value>(text);
    assert_eq!(read.is_ok(), expected.is_ok(), "{text}: {read:?}, serde says {expected:?}");
    let Ok(Value::Object(members)) = expected else { return };
    if parser.found.duplicate.is_some() {
        return;
    }
    for (number, column) in layout.columns.iter().enumerate() {
        let slot = body.slots[number];
        let value = members.get(column.name).unwrap_or(&Value::Null);
        let is_same = match (slot, value) {
            (Slot::Absent, Value::Null) | (Slot::Nested, Value::Array(_) | Value::Object(_)) => true,
            (Slot::True, value) => *value == Value::Bool(true),
            (Slot::False, value) => *value == Value::Bool(false),
            (Slot::Whole(number), value) => value.as_i64() == Some(number),
            // serde may round the last digit the other way; the least numbers have few digits.
            (Slot::Number(number), value) => {
                let expected = value.as_f64().unwrap();
                let digit = f64::MIN_POSITIVE * f64::EPSILON;
                !value.is_i64() && (number - expected).abs() <= digit.max(expected.abs() * 1e-15)
            }
            (slot, value) => parser.text(slot).is_some() && parser.text(slot) == value.as_str(),
        };
        assert!(is_same, "`{}` of {text} is {slot:?}", column.name);
    }
}

#[test]
fn mistakes_are_told_by_their_place() {
    let layout = Layout::of(Topic::Iot);
    for (text, told) in [
        ("", "the record ends too early at byte 0"),
        (r#"{"id""#, "expected a colon at byte 5"),
        (r#"{"id":}"#, "expected a value at byte 6"),
        (r#"{"id":"a" "x":1}"#, "expected a comma or a closing bracket at byte 10"),
        (r#"{"id":"a",}"#, "expected a key at byte 10"),
        (r#"{"id":"a"} 1"#, "the value has ended before at byte 11"),
        (r#"{"result":01}"#, "a number begins with a zero too many at byte 11"),
        (r#"{"id":"a"#, "the record ends too early at byte 8"),
    ] {
        let mut parser = Parser::new(layout);
        let mistake = read(&mut parser, layout, text, &mut Body::new()).unwrap_err();
        assert_eq!(mistake.to_string(), told, "{text}");
    }
}

#[test]
fn what_serde_takes_is_taken_and_nothing_else() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for levels in [1, 126, 127, 128, 129] {
        agrees_with_serde(&nested(levels));
        agrees_with_serde(&format!(r#"{{"x":{}}}"#, nested(levels)));
    }
    for text in [
        "null",
        " 1 ",
        "\"a\"",
        "[]",
        "{}",
        "{ }",
        "[ ]",
        "[,]",
        "[1,]",
        "[1 2]",
        "{,}",
        "nul",
        "tru",
        "truex",
        "+1",
        "-",
        "-0",
        "-0.0",
        "0",
        "00",
        "1.",
        ".5",
        "1e",
        "1e+",
        "1e5",
        "1E-5",
        "1e400",
        "-1e400",
        "1e-400",
        "1.5e308",
        r#"{"result":8.9341735073985e-310}"#,
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "NaN",
        "Infinity",
        "\u{feff}1",
        "// a",
        "'a'",
    ] {
        agrees_with_serde(text);
        agrees_with_serde(&format!(r#"{{"result":{text}}}"#));
    }
    for escape in [
        r"\n",
        r"\/",
        r"\x",
        r"\",
        r"\u",
        r"\u12",
        r"\u00e9",
        r"\u00E9",
        r"\ud83d",
        r"\ud83d\ude00",
        r"\ude00",
        r"\ud83dx",
        r"\ud83d\n",
        r"\ud83d\ud83d",
        r"\u0000",
        r"\u+123",
        "\u{1}",
        "\u{7f}",
        "测",
        r#"12345678\t12345678\"x"#,
    ] {
        agrees_with_serde(&format!(r#"{{"id":"{escape}","\u0064evice":"{escape}"}}"#));
    }
}

fn piece() -> impl Strategy<Value = String> {
    let known = vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"",
        "\\",
        " ",
        "\n",
        "\"id\"",
        "\"result\":",
        "\"floor\":1",
        "\"x\":",
        "null",
        "true",
        "false",
        "-",
        "0",
        "1",
        ".",
        "e",
        "E+",
        "12.5",
        "1e5",
        "\\u00e9",
        "\\ud83d\\ude00",
        "\\u",
        "测",
        "\t",
        "\u{1}",
    ];
    prop_oneof![9 => prop::sample::select(known).prop_map(str::to_owned), 1 => "\\PC{0,3}"]
}

fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        "[a-zé测 ]{0,10}".prop_map(|text| format!("\"{text}\"")),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        prop::sample::select(vec!["true", "null", "0.1", "\"\\u0041\\n\""]).prop_map(str::to_owned),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let member =
            (prop::sample::select(vec!["id", "time", "device", "result", "x", "\\u0069d"]), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            prop::collection::vec(member.prop_map(|(key, value)| format!("\"{key}\" : {value}")), 0..5)
                .prop_map(|members| format!("{{ {} }}", members.join(", "))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_thrown_together_is_taken_where_serde_takes_it(pieces in prop::collection::vec(piece(), 0..12)) {
        agrees_with_serde(&pieces.concat());
    }

    #[test]
    fn what_is_well_formed_is_read_as_serde_reads_it(text in value(), cut in any::<prop::sample::Index>(), whole in any::<bool>()) {
        let at = (0..=cut.index(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        agrees_with_serde(if whole { &text } else { &text[..at] });
    }
}
