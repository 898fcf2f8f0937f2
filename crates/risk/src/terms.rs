//! `queries/risk.toml`: which events count, how much, and for how long.

use std::time::Duration;

use hexwatch_contract::risk::{Hundredths, Level};
use hexwatch_contract::{Classified, Fault, Topic};
use serde::{Deserialize, Deserializer};

/// Everything the score depends on beside the events.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// The sliding windows.
    pub window: Windowing,
    score: Score,
    /// Where the levels begin.
    pub levels: Levels,
    coverage: Required,
    /// What counts, in the order of the file.
    #[serde(rename = "term", default)]
    pub terms: Vec<Term>,
}

/// Sliding windows `[start, start + size)`, one every `slide`, aligned to the epoch.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Windowing {
    /// How long a window is; a whole number of slides.
    #[serde(deserialize_with = "duration")]
    pub size: Duration,
    /// How far one window starts after the one before, and the width of a pane.
    #[serde(deserialize_with = "duration")]
    pub slide: Duration,
}

#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Score {
    saturation: f64,
}

#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Required {
    required: f64,
}

/// The scores from which on a cell is of a level.
#[derive(Clone, Copy, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Levels {
    /// From here on elevated, below it low.
    pub elevated: f64,
    /// From here on high.
    pub high: f64,
    /// From here on critical.
    pub critical: f64,
}

/// One kind of event that counts.
#[derive(Clone, PartialEq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Term {
    /// Its name, as contributions show it.
    pub name: String,
    /// The topic its events come from.
    pub topic: Topic,
    /// Which rows of the topic's table count: a SQL condition.
    #[serde(rename = "where")]
    pub condition: String,
    /// How much one fresh event counts.
    pub weight: f64,
    /// After how long it counts half.
    #[serde(deserialize_with = "duration")]
    pub half_life: Duration,
}

/// The query that selects a term's rows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TermQuery {
    /// The term's index in [`Terms::terms`].
    pub term: usize,
    /// The query's name, `risk_` and the term's.
    pub name: String,
    /// A complete query file: header and SQL.
    pub text: String,
}

/// Why a text is no list of terms.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum TermsError {
    /// Not TOML, or a key is missing, unknown or of the wrong type.
    #[error("reading risk.toml: {0}")]
    Format(String),
    /// A value is impossible.
    #[error("reading risk.toml: `{key}` is {value}; {fix}")]
    Value {
        /// The key, with the term's name where it is one's.
        key: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        fix: &'static str,
    },
}

impl Classified for TermsError {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl Terms {
    /// Reads `queries/risk.toml`.
    pub fn parse(text: &str) -> Result<Self, TermsError> {
        let terms: Self = toml::from_str(text).map_err(|error| TermsError::Format(error.to_string()))?;
        terms.check()?;
        Ok(terms)
    }

    fn check(&self) -> Result<(), TermsError> {
        let Windowing { size, slide } = self.window;
        demand(slide.as_millis() > 0, "window.slide", slide.as_millis(), "give it a millisecond at least")?;
        let is_whole = size >= slide && size.as_millis().is_multiple_of(slide.as_millis().max(1));
        demand(is_whole, "window.size", format!("{size:?}"), "make it a whole number of slides")?;
        demand(self.score.saturation > 0.0, "score.saturation", self.score.saturation, "make it positive")?;
        let Levels { elevated, high, critical } = self.levels;
        let rises = 0.0 < elevated && elevated < high && high < critical && critical <= 100.0;
        let levels = format!("{elevated}, {high}, {critical}");
        demand(rises, "levels", levels, "make elevated, high and critical rise between 0 and 100")?;
        let required = self.coverage.required;
        demand(
            (0.0..=1.0).contains(&required),
            "coverage.required",
            required,
            "make it a share from 0 to 1",
        )?;
        for (index, term) in self.terms.iter().enumerate() {
            term.check()?;
            let is_new = self.terms[..index].iter().all(|before| before.name != term.name);
            demand(is_new, "term.name", &term.name, "give each term a name of its own")?;
        }
        Ok(())
    }

    /// For each term that counts the query that selects its rows: live a filter of one table, over history the
    /// same. Columns: `cell`, `time`, `topic`, `partition`, `offset`, `id`. Exercises and tests never count.
    #[must_use]
    pub fn queries(&self) -> Vec<TermQuery> {
        let counted = self.terms.iter().enumerate().filter(|(_, term)| term.weight > 0.0);
        counted.map(|(index, term)| term.query(index)).collect()
    }

    /// The score at which `sum`, the weighted sum of all terms, arrives: it saturates towards 100.
    #[must_use]
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0..=10,000")]
    pub fn saturate(&self, sum: f64) -> Hundredths {
        Hundredths((10_000.0 * (1.0 - (-sum / self.score.saturation).exp())).round() as u32)
    }

    /// What a score means where `coverage` of the sensors was heard. A cell whose sensors are silent is never
    /// low, it is unknown; what is known to be dangerous stays so, since silence makes it no safer.
    #[must_use]
    pub fn level(&self, score: Hundredths, coverage: f64) -> Level {
        let score = f64::from(score.0) / 100.0;
        match score {
            _ if score >= self.levels.critical => Level::Critical,
            _ if score >= self.levels.high => Level::High,
            _ if score >= self.levels.elevated => Level::Elevated,
            _ if coverage < self.coverage.required => Level::Unknown,
            _ => Level::Low,
        }
    }
}

impl Term {
    fn check(&self) -> Result<(), TermsError> {
        let key = |field: &str| format!("{field}` of term `{}", self.name);
        let is_name = !self.name.is_empty()
            && self
                .name
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        demand(is_name, "term.name", &self.name, "use lower case letters, digits and _")?;
        let is_weight = self.weight.is_finite() && self.weight >= 0.0;
        demand(is_weight, &key("weight"), self.weight, "make it zero or more")?;
        let is_patrol = self.topic == Topic::Patrol && self.weight > 0.0;
        let fix = "make it 0: patrol-made reports never raise the score that sends patrols";
        demand(!is_patrol, &key("weight"), self.weight, fix)?;
        let half_life = self.half_life.as_millis();
        demand(half_life > 0, &key("half_life"), half_life, "give it a millisecond at least")?;
        demand(!self.condition.trim().is_empty(), &key("where"), "empty", "write `true` to count every row")
    }

    fn query(&self, index: usize) -> TermQuery {
        let name = format!("risk_{}", self.name);
        let text = format!(
            "-- name: {name}\n-- kind: view\n-- title: Rows of the risk term {term}\n-- output: none\n\
             -- key: topic, partition, offset\n-- time: time\n\
             SELECT cell, \"time\", topic, \"partition\", \"offset\", id\nFROM {table}\n\
             WHERE cell IS NOT NULL AND status = 'actual' AND ({condition})\n",
            term = self.name,
            table = self.topic.table(),
            condition = self.condition.trim(),
        );
        TermQuery { term: index, name, text }
    }
}

fn demand(
    holds: bool,
    key: &str,
    value: impl std::fmt::Display,
    fix: &'static str,
) -> Result<(), TermsError> {
    if holds {
        return Ok(());
    }
    Err(TermsError::Value { key: key.to_owned(), value: value.to_string(), fix })
}

/// A duration as people write it: `90s`, `10m`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|_| {
        serde::de::Error::custom(format!("`{text}` is no duration; write for example \"10m\" or \"90s\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHIPPED: &str = include_str!("../../../queries/risk.toml");

    #[test]
    fn the_shipped_terms_are_read_and_count_every_topic_but_patrol() {
        let terms = Terms::parse(SHIPPED).unwrap();
        for topic in Topic::ALL {
            let counts = terms.terms.iter().any(|term| term.topic == topic && term.weight > 0.0);
            assert_eq!(counts, topic != Topic::Patrol, "{topic}");
        }
        assert!(terms.queries().iter().all(|query| query.text.contains("status = 'actual'")));
    }

    #[test]
    fn a_patrol_term_with_a_weight_is_refused_by_name() {
        let text = format!(
            "{SHIPPED}\n[[term]]\nname = \"zeal\"\ntopic = \"patrol\"\nwhere = \"true\"\nweight = 1.0\nhalf_life = \"1m\"\n"
        );
        let message = Terms::parse(&text).unwrap_err().to_string();
        assert!(message.contains("`weight` of term `zeal` is 1; make it 0"), "{message}");
    }

    #[test]
    fn an_unknown_key_and_a_wrong_duration_are_named() {
        let message = Terms::parse(&SHIPPED.replace("slide", "slid")).unwrap_err().to_string();
        assert!(message.contains("slid"), "{message}");
        let message =
            Terms::parse(&SHIPPED.replace("slide = \"10s\"", "slide = \"fast\"")).unwrap_err().to_string();
        assert!(message.contains("`fast` is no duration"), "{message}");
    }
}
