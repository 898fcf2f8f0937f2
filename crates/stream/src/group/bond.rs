//! Which queries give together.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::feed::Source;
use crate::query::{Query, Told};

/// What keeps queries together.
#[derive(PartialEq, Eq)]
pub(super) enum Bond {
    Silences,
    Rule(Arc<str>),
    View(Arc<str>),
}

/// Those of `queries` that one bond keeps together, in the order of their first ones. A rule of several files is one, and
/// all that read silences stand together.
pub(super) fn together(queries: Vec<Query>) -> Vec<(Bond, Vec<Query>)> {
    let silent_rules: BTreeSet<Arc<str>> =
        queries.iter().filter(|query| reads_absence(query)).filter_map(rule_of).collect();
    let bond = |query: &Query| match rule_of(query) {
        _ if reads_absence(query) => Bond::Silences,
        Some(rule) if silent_rules.contains(&rule) => Bond::Silences,
        Some(rule) => Bond::Rule(rule),
        None => Bond::View(Arc::clone(&query.name)),
    };
    let mut groups: Vec<(Bond, Vec<Query>)> = Vec::new();
    for query in queries {
        let bond = bond(&query);
        match groups.iter_mut().find(|(other, _)| *other == bond) {
            Some((_, members)) => members.push(query),
            None => groups.push((bond, vec![query])),
        }
    }
    groups
}

fn rule_of(query: &Query) -> Option<Arc<str>> {
    match &query.told {
        Told::Rule(rule) => Some(Arc::clone(&rule.name)),
        Told::View(_) => None,
    }
}

fn reads_absence(query: &Query) -> bool {
    query.sources.iter().any(|source| matches!(source, Source::Absence(_)))
}
