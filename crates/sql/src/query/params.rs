//! Parameters: `$name` in the SQL, with a default of a type in the header.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{QueryFile, QueryFileError};

/// A parameter.
#[derive(Clone, PartialEq, Debug)]
pub struct Param {
    /// Its name, without the `$`.
    pub name: String,
    /// Its default.
    pub value: ParamValue,
    /// The header's line, from 1.
    pub line: usize,
}

/// A parameter's value.
#[derive(Clone, PartialEq, Debug)]
pub enum ParamValue {
    /// A span of time, as SQL reads it between the quotes: `30 seconds`.
    Interval(String),
    /// A number, as it was written.
    Number(String),
    /// A text.
    Text(String),
    /// True or false.
    Boolean(bool),
}

impl ParamValue {
    /// As a SQL literal.
    #[must_use]
    pub fn to_sql(&self) -> String {
        match self {
            Self::Interval(span) => format!("INTERVAL '{span}'"),
            // A minus after another would begin a comment.
            Self::Number(number) if number.starts_with('-') => format!("({number})"),
            Self::Number(number) => number.clone(),
            Self::Text(text) => format!("'{}'", text.replace('\'', "''")),
            Self::Boolean(value) => value.to_string(),
        }
    }

    /// `text` as a value of the type of `self`.
    fn retyped(&self, text: &str) -> Option<Self> {
        let text = text.trim();
        match (self, parse_value(text)) {
            (Self::Interval(_), Some(Self::Interval(span))) => Some(Self::Interval(span)),
            (Self::Interval(_), _) => {
                duration_of(text).map(|span| Self::Interval(format!("{} milliseconds", span.as_millis())))
            }
            (Self::Number(_), Some(Self::Number(number))) => Some(Self::Number(number)),
            (Self::Boolean(_), Some(Self::Boolean(value))) => Some(Self::Boolean(value)),
            (Self::Text(_), Some(Self::Text(text))) => Some(Self::Text(text)),
            (Self::Text(_), _) => Some(Self::Text(text.to_owned())),
            _ => None,
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Interval(_) => "a time span such as 45s",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::Boolean(_) => "true or false",
        }
    }
}

/// A literal of the header.
pub(super) fn parse_value(text: &str) -> Option<ParamValue> {
    let quoted = |text: &str| {
        let inner = text.strip_prefix('\'')?.strip_suffix('\'')?.replace("''", "\u{0}");
        (!inner.contains('\'')).then(|| inner.replace('\u{0}', "'"))
    };
    if text.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("interval")) {
        let span = quoted(text[8..].trim())?;
        let is_plain =
            !span.is_empty() && span.chars().all(|c| c.is_ascii_alphanumeric() || " .:-+".contains(c));
        return is_plain.then_some(ParamValue::Interval(span));
    }
    if let Some(text) = quoted(text) {
        return Some(ParamValue::Text(text));
    }
    match text {
        "true" | "TRUE" => Some(ParamValue::Boolean(true)),
        "false" | "FALSE" => Some(ParamValue::Boolean(false)),
        _ => text.parse::<f64>().is_ok_and(f64::is_finite).then(|| ParamValue::Number(text.to_owned())),
    }
}

/// `10s`, `500 ms`, `5 minutes`, `1h`, `2 days`.
pub(super) fn duration_of(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..digits].parse().ok()?;
    let seconds = match text[digits..].trim() {
        "ms" | "milliseconds" => 0.001,
        "s" | "sec" | "second" | "seconds" => 1.0,
        "m" | "min" | "minute" | "minutes" => 60.0,
        "h" | "hour" | "hours" => 3_600.0,
        "d" | "day" | "days" => 86_400.0,
        _ => return None,
    };
    Duration::try_from_secs_f64(number * seconds).ok()
}

pub(super) fn substitute(
    query: &QueryFile,
    overrides: &BTreeMap<String, String>,
) -> Result<String, QueryFileError> {
    let mut values = BTreeMap::new();
    for param in &query.params {
        let value = match overrides.get(&param.name) {
            None => param.value.clone(),
            Some(text) => param.value.retyped(text).ok_or_else(|| {
                let problem = format!("`{text}` does not fit the parameter");
                query.error(param.line, &param.name, problem, &format!("set it to {}", param.value.kind()))
            })?,
        };
        values.insert(param.name.as_str(), value.to_sql());
    }
    if let Some(unknown) = overrides.keys().find(|name| !values.contains_key(name.as_str())) {
        let known: Vec<&str> = values.keys().copied().collect();
        let fix = format!("it has: {}", if known.is_empty() { "none".to_owned() } else { known.join(", ") });
        return Err(query.error(1, unknown, "the query has no such parameter", &fix));
    }
    fill(query, &values)
}

/// Where in a SQL text one stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Inside {
    Code,
    Quote(char),
    LineComment,
    BlockComment,
}

/// Fills in `$name` wherever it is code, and nothing in texts, quoted names and comments.
fn fill(query: &QueryFile, values: &BTreeMap<&str, String>) -> Result<String, QueryFileError> {
    let mut filled = String::with_capacity(query.text.len() + 64);
    let (mut inside, mut line) = (Inside::Code, 1);
    let mut rest = query.text.trim_start_matches('\u{feff}');
    while let Some(character) = rest.chars().next() {
        line += usize::from(character == '\n');
        if inside == Inside::Code && character == '$' {
            let name_end = rest[1..]
                .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .map_or(rest.len(), |at| at + 1);
            let name = &rest[1..name_end];
            let value = values.get(name).ok_or_else(|| {
                query.error(
                    line,
                    &format!("${name}"),
                    "the header has no such parameter",
                    "add `-- param NAME: VALUE`",
                )
            })?;
            filled.push_str(value);
            rest = &rest[name_end..];
            continue;
        }
        inside = next(inside, character, rest);
        filled.push(character);
        rest = &rest[character.len_utf8()..];
    }
    Ok(filled)
}

fn next(inside: Inside, character: char, rest: &str) -> Inside {
    match (inside, character) {
        (Inside::Code, '\'' | '"') => Inside::Quote(character),
        (Inside::Code, _) if rest.starts_with("--") => Inside::LineComment,
        (Inside::Code, _) if rest.starts_with("/*") => Inside::BlockComment,
        (Inside::Quote(open), _) if character == open => Inside::Code,
        (Inside::LineComment, '\n') => Inside::Code,
        // The comment has ended when its last sign is taken; the slash itself harms nobody as code.
        (Inside::BlockComment, '*') if rest.starts_with("*/") => Inside::Code,
        (same, _) => same,
    }
}
