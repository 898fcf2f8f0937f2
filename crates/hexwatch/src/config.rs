//! Settings: the embedded `default.toml`, then a file, then the environment, then flags. Unknown keys are
//! refused with the list of those that exist.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use hexwatch_contract::Topic;
use hexwatch_relay::{Secret, hello};
use serde::Deserialize;
use toml::{Table, Value};

use crate::crash_point::CrashAt;

/// The complete and commented reference.
pub(crate) const DEFAULT: &str = include_str!("default.toml");
/// What every environment variable of ours starts with; `__` separates the levels.
const ENVIRONMENT_PREFIX: &str = "HEXWATCH__";

/// All settings.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    pub(crate) kafka: Kafka,
    pub(crate) time: Time,
    pub(crate) site: Site,
    pub(crate) queries: Queries,
    pub(crate) history: History,
    pub(crate) server: Server,
    pub(crate) workers: Workers,
    pub(crate) limits: Limits,
    pub(crate) debug: Debugging,
}

/// `[kafka]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kafka {
    pub(crate) brokers: String,
    pub(crate) group: String,
    pub(crate) input_prefix: String,
    pub(crate) output_prefix: String,
    pub(crate) publish: bool,
    pub(crate) safety_topics: Vec<String>,
    pub(crate) topics: BTreeMap<Topic, Vec<String>>,
    pub(crate) properties: BTreeMap<String, String>,
    #[serde(deserialize_with = "duration")]
    pub(crate) discover_every: Duration,
}

/// `[time]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Time {
    #[serde(deserialize_with = "duration")]
    pub(crate) lateness: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) correction_horizon: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) idle_timeout: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) skew_max: Duration,
    #[serde(deserialize_with = "duration")]
    pub(crate) future_max: Duration,
    pub(crate) clock: ClockKind,
    #[serde(deserialize_with = "durations")]
    pub(crate) lateness_by_topic: BTreeMap<Topic, Duration>,
}

/// Whose time is the present.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ClockKind {
    Wall,
    Event,
}

/// `[site]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Site {
    pub(crate) dir: PathBuf,
}

/// `[queries]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Queries {
    pub(crate) dir: PathBuf,
    pub(crate) rules: bool,
    pub(crate) views: bool,
    pub(crate) risk: bool,
    pub(crate) parameters: BTreeMap<String, String>,
}

/// `[history]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct History {
    pub(crate) data_dir: PathBuf,
    #[serde(deserialize_with = "duration")]
    pub(crate) commit_interval: Duration,
    pub(crate) commit_rows: usize,
    pub(crate) keep: Vec<Topic>,
}

/// `[server]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) open: bool,
    pub(crate) max_clients: usize,
}

/// `[workers]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Workers {
    pub(crate) listen: SocketAddr,
    pub(crate) serve: String,
    pub(crate) name: String,
    pub(crate) secret: String,
    pub(crate) group: String,
    #[serde(deserialize_with = "duration")]
    pub(crate) session_timeout: Duration,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Limits {
    pub(crate) max_record_bytes: usize,
    pub(crate) queue_chunks: usize,
}

/// `[debug]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Debugging {
    pub(crate) crash_at: CrashAt,
    pub(crate) freeze_at: u64,
}

fn duration<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text).map_err(serde::de::Error::custom)
}

fn durations<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<Topic, Duration>, D::Error> {
    let texts = BTreeMap::<Topic, String>::deserialize(deserializer)?;
    let parse = |(topic, text): (Topic, String)| Ok((topic, parse_duration(&text)?));
    texts.into_iter().map(parse).collect::<Result<_, String>>().map_err(serde::de::Error::custom)
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("`{text}` is no duration such as `10s`: {error}"))
}

impl Config {
    /// Reads the settings: the defaults, `file` (or `hexwatch.toml` where there is one), the environment,
    /// then `flags` as (dotted key, value) pairs.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: impl Iterator<Item = (String, String)>,
        flags: Vec<(&str, Value)>,
    ) -> Result<Self> {
        let mut table: Table = DEFAULT.parse().context("reading the embedded default.toml")?;
        if let Some(path) =
            file.or_else(|| Path::new("hexwatch.toml").exists().then(|| Path::new("hexwatch.toml")))
        {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("reading {}: check the path given to --config", path.display()))?;
            let over: Table = text.parse().with_context(|| format!("parsing {}", path.display()))?;
            overlay(&mut table, over);
        }
        for (name, text) in environment {
            if let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                set(&mut table, &key.to_lowercase().replace("__", "."), Value::String(text))
                    .with_context(|| format!("reading the environment variable {name}"))?;
            }
        }
        for (key, value) in flags {
            set(&mut table, key, value)?;
        }
        let config: Self = Value::Table(table)
            .try_into()
            .context("reading the settings; `hexwatch check --defaults` prints all that exist")?;
        config.check_kept()?;
        hello::check_listen(config.workers.listen, &config.workers.secret())?;
        Ok(config)
    }

    /// After a restart the risk of cells is rebuilt out of the records that were kept.
    fn check_kept(&self) -> Result<()> {
        let lacking = Topic::ALL.into_iter().find(|topic| !self.history.keep.contains(topic));
        match lacking.filter(|_| self.queries.risk) {
            Some(topic) => bail!(
                "`history.keep` lacks {topic}, of whose records risk is rebuilt after a restart: add it, or set \
                 `queries.risk = false`"
            ),
            None => Ok(()),
        }
    }
}

impl Config {
    /// For printing: what may be a secret is not shown.
    pub(crate) fn with_secrets_masked(&self) -> Self {
        let mut shown = self.clone();
        let is_secret =
            |name: &str| ["password", "secret", "key", "token"].iter().any(|word| name.contains(word));
        for (_, value) in shown.kafka.properties.iter_mut().filter(|(name, _)| is_secret(name)) {
            "***".clone_into(value);
        }
        if !shown.workers.secret.is_empty() {
            "***".clone_into(&mut shown.workers.secret);
        }
        shown
    }
}

impl Workers {
    pub(crate) fn secret(&self) -> Secret {
        Secret::new(self.secret.as_str())
    }
}

/// Whose login of this machine the process runs under.
pub(crate) fn login_name() -> String {
    let named = ["USER", "LOGNAME"].into_iter().find_map(std::env::var_os);
    named.map_or_else(|| "unknown".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// Lays `over` on `under`, table by table.
fn overlay(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(inner)), Value::Table(value)) => overlay(inner, value),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// Sets a dotted key; a text takes the type of the value it replaces.
fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let Some((head, rest)) = key.split_once('.') else {
        let typed = match (table.get(key), &value) {
            (Some(Value::Boolean(_)), Value::String(text)) => Value::Boolean(text.parse()?),
            (Some(Value::Integer(_)), Value::String(text)) => Value::Integer(text.parse()?),
            (Some(Value::Array(_)), Value::String(text)) => list(text),
            _ => value,
        };
        table.insert(key.to_owned(), typed);
        return Ok(());
    };
    match table.get_mut(head) {
        Some(Value::Table(inner)) => set(inner, rest, value),
        _ => bail!("`{head}` is no section; the sections are {}", sections(table)),
    }
}

/// The members of a text such as `a, b`.
fn list(text: &str) -> Value {
    let members = text.split(',').map(str::trim).filter(|member| !member.is_empty());
    Value::Array(members.map(|member| Value::String(member.to_owned())).collect())
}

fn sections(table: &Table) -> String {
    table.keys().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(environment: &[(&str, &str)]) -> Result<Config> {
        let pairs = environment.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        Config::load(None, pairs, Vec::new())
    }

    #[test]
    fn the_defaults_are_complete() {
        let config = load(&[]).unwrap();
        assert_eq!(config.time.lateness, Duration::from_secs(10));
        assert!(config.server.listen.ip().is_loopback());
    }

    #[test]
    fn risk_needs_the_records_that_it_is_rebuilt_from() {
        let error = load(&[("HEXWATCH__HISTORY__KEEP", "panic, iot")]).unwrap_err().to_string();
        assert!(error.contains("`history.keep` lacks access"), "{error}");
        let without = [("HEXWATCH__HISTORY__KEEP", "panic"), ("HEXWATCH__QUERIES__RISK", "false")];
        assert_eq!(load(&without).unwrap().history.keep, [Topic::Panic]);
    }

    #[test]
    fn the_environment_overrides_with_the_type_of_the_default() {
        let config =
            load(&[("HEXWATCH__KAFKA__BROKERS", "a:1"), ("HEXWATCH__HISTORY__COMMIT_ROWS", "7")]).unwrap();
        assert_eq!(config.kafka.brokers, "a:1");
        let safety = |text| load(&[("HEXWATCH__KAFKA__SAFETY_TOPICS", text)]).unwrap().kafka.safety_topics;
        assert_eq!(safety("panic, smoke"), ["panic", "smoke"]);
        assert!(safety("").is_empty());
        assert_eq!(config.history.commit_rows, 7);
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let error = format!("{:#}", load(&[("HEXWATCH__KAFKA__BROKER", "a:1")]).unwrap_err());
        assert!(error.contains("broker") && error.contains("brokers"), "{error}");
    }

    #[test]
    fn a_point_to_die_at_that_does_not_exist_is_refused_with_those_that_do() {
        load(&[("HEXWATCH__DEBUG__CRASH_AT", "before-checkpoint:2")]).unwrap();
        let error = format!("{:#}", load(&[("HEXWATCH__DEBUG__CRASH_AT", "noon")]).unwrap_err());
        assert!(error.contains("noon") && error.contains("before-checkpoint"), "{error}");
    }

    #[test]
    fn workers_are_listened_for_where_others_reach_only_with_a_long_secret_and_it_is_not_shown() {
        let public = ("HEXWATCH__WORKERS__LISTEN", "0.0.0.0:7654");
        let error = format!("{:#}", load(&[public]).unwrap_err());
        assert!(error.contains("workers.secret"), "{error}");
        let secret = "0123456789abcdef0123456789abcdef";
        let config = load(&[public, ("HEXWATCH__WORKERS__SECRET", secret)]).unwrap();
        assert!(!format!("{:?}", config.with_secrets_masked()).contains(secret));
    }

    #[test]
    fn a_bad_duration_is_refused_with_an_example() {
        let error = format!("{:#}", load(&[("HEXWATCH__TIME__LATENESS", "soon")]).unwrap_err());
        assert!(error.contains("soon") && error.contains("10s"), "{error}");
    }
}
