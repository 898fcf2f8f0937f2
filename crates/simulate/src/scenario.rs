//! Named scenarios.

use std::str::FromStr;

use hexwatch_contract::{Classified, Fault};

/// What is played.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Scenario {
    /// Ordinary life, with situations for every rule and near misses: one each 15 s through the first round, the
    /// first after 15 s, then one each 90 s.
    #[default]
    Default,
    /// Ordinary life alone.
    Quiet,
    /// A situation each 4 s.
    Storm,
    /// The benchmark's load: three topics, full records, no situations, no faults.
    Heat,
    /// The situations and near misses of one rule, one each 20 s.
    Rule(&'static str),
}

/// The rules that have situations.
const RULES: [&str; 7] = ["R01", "R06", "R07", "R10", "R13", "R15", "R17"];

/// A name that is no scenario.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownScenario(String);

impl std::fmt::Display for UnknownScenario {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "choosing a scenario: `{}` is none; use default, quiet, storm, heat, r01, r06, r07, r10, r13, r15 or r17",
            self.0
        )
    }
}

impl std::error::Error for UnknownScenario {}

impl Classified for UnknownScenario {
    fn fault(&self) -> Fault {
        Fault::Input
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Self, UnknownScenario> {
        match name {
            "default" => Ok(Self::Default),
            "quiet" => Ok(Self::Quiet),
            "storm" => Ok(Self::Storm),
            "heat" => Ok(Self::Heat),
            _ => RULES
                .into_iter()
                .find(|rule| rule.eq_ignore_ascii_case(name))
                .map(Self::Rule)
                .ok_or_else(|| UnknownScenario(name.to_owned())),
        }
    }
}
