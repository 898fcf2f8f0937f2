//! The header: leading lines `-- key: value`. It ends with the first line that is anything else, such as an
//! empty comment before prose.

use std::time::Duration;

use hexwatch_contract::alarm::Class;
use serde_json::Value;

use super::params::{duration_of, parse_value};
use super::{Emit, Kind, Output, Param, QueryFile, QueryFileError, RuleHeader};

const KEYS: [&str; 13] = [
    "name",
    "kind",
    "title",
    "output",
    "key",
    "time",
    "lateness",
    "emit",
    "lookback",
    "param NAME",
    "rule",
    "version",
    "class",
];

/// A line of the header.
struct Line<'a> {
    number: usize,
    key: &'a str,
    value: &'a str,
}

/// The header's lines; those after it are not looked at.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    (1..).zip(text.trim_start_matches('\u{feff}').lines()).map_while(|(number, line)| {
        let (key, value) = line.trim().strip_prefix("--")?.trim().split_once(':')?;
        // Prose may hold a colon; a key is one word, or `param` and one.
        let is_word =
            |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let words: Vec<&str> = key.split_whitespace().collect();
        let is_key = match words.as_slice() {
            [one] => is_word(one),
            ["param", name] => is_word(name),
            _ => false,
        };
        is_key.then(|| Line { number, key: key.trim(), value: value.trim() })
    })
}

pub(super) fn parse(file: &str, text: &str) -> Result<QueryFile, Vec<QueryFileError>> {
    let mut parsing =
        Parsing { query: blank(file, text), rule: Rule::default(), errors: Vec::new(), seen: Vec::new() };
    for line in lines(text) {
        parsing.take(&line);
    }
    parsing.finish()
}

fn blank(file: &str, text: &str) -> QueryFile {
    let stem = file.rsplit(['/', '\\']).next().unwrap_or(file);
    QueryFile {
        file: file.to_owned(),
        text: text.to_owned(),
        name: stem.strip_suffix(".sql").unwrap_or(stem).to_owned(),
        kind: kind_by_folder(file),
        title: None,
        output: Output::Table,
        key: Vec::new(),
        time: None,
        lateness: None,
        emit: Emit::OnClose,
        lookback: None,
        params: Vec::new(),
        rule: None,
    }
}

/// `rules/` holds rules and `analysis/` saved questions; what lies elsewhere is a view.
fn kind_by_folder(file: &str) -> Kind {
    let folders: Vec<&str> = file.split(['/', '\\']).rev().skip(1).collect();
    match folders.first() {
        Some(&"rules") => Kind::Rule,
        Some(&"analysis") => Kind::Analysis,
        _ => Kind::View,
    }
}

#[derive(Default)]
struct Rule {
    id: Option<String>,
    version: Option<u32>,
    class: Option<Class>,
}

struct Parsing {
    query: QueryFile,
    rule: Rule,
    errors: Vec<QueryFileError>,
    seen: Vec<String>,
}

impl Parsing {
    fn refuse(&mut self, line: &Line<'_>, problem: impl Into<String>, fix: &str) {
        self.errors.push(self.query.error(line.number, line.key, problem, fix));
    }

    fn take(&mut self, line: &Line<'_>) {
        if self.seen.iter().any(|key| key == line.key) {
            return self.refuse(line, "the key is there twice", "keep one of the lines");
        }
        self.seen.push(line.key.to_owned());
        if line.value.is_empty() {
            return self.refuse(line, "the value is empty", "give one, or take the line out");
        }
        match line.key.split_once(char::is_whitespace) {
            Some((_, name)) => self.take_param(line, name.trim()),
            None => self.take_key(line),
        }
    }

    fn take_param(&mut self, line: &Line<'_>, name: &str) {
        if let Some(value) = parse_value(line.value) {
            self.query.params.push(Param { name: name.to_owned(), value, line: line.number });
        } else {
            let problem = format!("`{}` is not a value", line.value);
            self.refuse(line, problem, "write INTERVAL '30 seconds', a number, 'a text', true or false");
        }
    }

    fn take_key(&mut self, line: &Line<'_>) {
        let value = line.value.to_owned();
        match line.key {
            "name" if is_name(&value) => self.query.name = value,
            "name" => {
                self.refuse(line, format!("`{value}` is not a name"), "use letters, digits and underscores");
            }
            "title" => self.query.title = Some(value),
            "kind" => match one_of(
                &value,
                &[("view", Kind::View), ("rule", Kind::Rule), ("analysis", Kind::Analysis)],
            ) {
                Some(kind) => self.query.kind = kind,
                None => {
                    self.refuse(line, format!("there is no kind `{value}`"), "write view, rule or analysis");
                }
            },
            "output" => {
                match one_of(
                    &value,
                    &[("topic", Output::Topic), ("table", Output::Table), ("none", Output::None)],
                ) {
                    Some(output) => self.query.output = output,
                    None => self.refuse(
                        line,
                        format!("there is no output `{value}`"),
                        "write topic, table or none",
                    ),
                }
            }
            "emit" => match one_of(&value, &[("on_close", Emit::OnClose), ("immediate", Emit::Immediate)]) {
                Some(emit) => self.query.emit = emit,
                None => {
                    self.refuse(line, format!("there is no emit `{value}`"), "write on_close or immediate");
                }
            },
            "key" => self.query.key = value.split(',').map(|column| column.trim().to_owned()).collect(),
            "time" => self.query.time = Some(value),
            "lateness" => self.query.lateness = self.duration(line),
            "lookback" => self.query.lookback = self.duration(line),
            _ => self.take_rule_key(line, value),
        }
    }

    fn take_rule_key(&mut self, line: &Line<'_>, value: String) {
        match line.key {
            "rule" => self.rule.id = Some(value),
            "version" => match value.parse() {
                Ok(version) => self.rule.version = Some(version),
                Err(_) => {
                    self.refuse(line, format!("`{value}` is not a version"), "write a whole number from 1");
                }
            },
            "class" => self.take_class(line, value),
            unknown => {
                let fix = format!(
                    "use one of {}; or part prose from the header by an empty comment line",
                    KEYS.join(", ")
                );
                self.refuse(line, format!("there is no key `{unknown}`"), &fix);
            }
        }
    }

    fn take_class(&mut self, line: &Line<'_>, value: String) {
        let problem = format!("there is no class `{value}`");
        if let Ok(class) = serde_json::from_value(Value::String(value)) {
            self.rule.class = Some(class);
        } else {
            let fix = "write fire, gas, intrusion, access, panic, medical, perimeter, crowd, hazard, welfare, patrol, \
                       equipment, risk or system";
            self.refuse(line, problem, fix);
        }
    }

    fn duration(&mut self, line: &Line<'_>) -> Option<Duration> {
        let duration = duration_of(line.value);
        if duration.is_none() {
            self.refuse(
                line,
                format!("`{}` is not a time span", line.value),
                "write one such as 10s, 5min or 2h",
            );
        }
        duration
    }

    fn finish(mut self) -> Result<QueryFile, Vec<QueryFileError>> {
        let says_rule = self.seen.iter().any(|key| key == "rule");
        let says_kind = self.seen.iter().any(|key| key == "kind");
        if says_rule && !says_kind && self.query.kind == Kind::View {
            self.query.kind = Kind::Rule;
        }
        if self.query.kind == Kind::Rule {
            self.finish_rule();
        } else if says_rule {
            self.errors.push(self.query.error(1, "rule", "only a rule has one", "write `-- kind: rule`"));
        }
        if self.query.text.lines().all(|line| line.trim().is_empty() || line.trim().starts_with("--")) {
            self.errors.push(self.query.error(
                1,
                "sql",
                "the file holds no SQL",
                "write a SELECT below the header",
            ));
        }
        if self.errors.is_empty() { Ok(self.query) } else { Err(self.errors) }
    }

    fn finish_rule(&mut self) {
        let Rule { id: rule, version, class } = std::mem::take(&mut self.rule);
        let missing = |key: &str, example: &str| self.query.error(1, key, "a rule needs the line", example);
        match (rule, class) {
            (Some(rule), Some(class)) => {
                self.query.rule = Some(RuleHeader { rule, version: version.unwrap_or(1), class });
            }
            (rule, class) => {
                // An error that named the line is enough for a class that could not be read.
                let told = |key: &str| self.errors.iter().any(|error| error.field == key);
                let mut lacking = Vec::new();
                if rule.is_none() && !told("rule") {
                    lacking.push(missing("rule", "write such as `-- rule: R06`"));
                }
                if class.is_none() && !told("class") {
                    lacking.push(missing("class", "write such as `-- class: access`"));
                }
                self.errors.extend(lacking);
            }
        }
    }
}

/// A name becomes part of a table's and of a topic's.
fn is_name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn one_of<T: Copy>(value: &str, members: &[(&str, T)]) -> Option<T> {
    members.iter().find(|(name, _)| *name == value).map(|(_, member)| *member)
}
