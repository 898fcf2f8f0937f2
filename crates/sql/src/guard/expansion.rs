//! How much a text becomes. A name of a WITH stands for its whole query wherever it is said, so twenty short ones that
//! say each other twice are a million tables before any of them is read; and each table of a FROM joins all before it.

use std::collections::HashMap;

use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan};

/// What ends the list of a FROM.
const AFTER_FROM: [&str; 11] =
    ["SELECT", "WHERE", "GROUP", "HAVING", "WINDOW", "QUALIFY", "ORDER", "LIMIT", "OFFSET", "FETCH", "UNION"];

/// A parenthesis that is open: the query it names where it is one of a WITH, and how often it says others.
#[derive(Default)]
struct Open {
    name: Option<String>,
    size: usize,
    in_from: bool,
}

/// What a text would become.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Expansion {
    /// Queries, each name of a WITH replaced by what it stands for.
    pub(super) size: usize,
    /// Commas between the tables of a FROM.
    pub(super) commas: usize,
}

/// Counts from the words alone, so a column called like a query of a WITH counts as one: too much, never too little.
pub(super) fn of(tokens: &[TokenWithSpan]) -> Expansion {
    let mut sizes: HashMap<String, usize> = HashMap::new();
    let mut open = vec![Open::default()];
    let mut commas = 0;
    for (place, token) in tokens.iter().enumerate() {
        let is_nested = open.len() > 1;
        let Some(inner) = open.last_mut() else { break };
        match &token.token {
            Token::LParen => open.push(Open { name: named(tokens, place), ..Open::default() }),
            Token::RParen if is_nested => close(&mut open, &mut sizes),
            Token::Comma if inner.in_from => commas += 1,
            Token::Word(word) => {
                let size = sizes.get(&word.value.to_ascii_lowercase()).copied().unwrap_or(0);
                inner.size = inner.size.saturating_add(size);
                let word = word.value.to_ascii_uppercase();
                if word == "FROM" {
                    inner.in_from = true;
                } else if AFTER_FROM.contains(&word.as_str()) {
                    inner.in_from = false;
                }
            }
            _ => {}
        }
    }
    let size = open.iter().fold(0_usize, |size, part| size.saturating_add(part.size));
    Expansion { size, commas }
}

fn close(open: &mut Vec<Open>, sizes: &mut HashMap<String, usize>) {
    let Some(closed) = open.pop() else { return };
    match (closed.name, open.last_mut()) {
        (Some(name), _) => {
            let size = sizes.entry(name).or_default();
            *size = size.saturating_add(closed.size).saturating_add(1);
        }
        (None, Some(outer)) => outer.size = outer.size.saturating_add(closed.size),
        (None, None) => {}
    }
}

/// The name that the parenthesis at `place` defines: `name AS (` or `name (columns) AS (`, and MATERIALIZED or not.
fn named(tokens: &[TokenWithSpan], place: usize) -> Option<String> {
    let word = |at: usize| match &tokens.get(at)?.token {
        Token::Word(word) => Some(word.value.as_str()),
        _ => None,
    };
    let mut at = place.checked_sub(1)?;
    while word(at)
        .is_some_and(|word| ["MATERIALIZED", "NOT"].iter().any(|skip| word.eq_ignore_ascii_case(skip)))
    {
        at = at.checked_sub(1)?;
    }
    if !word(at)?.eq_ignore_ascii_case("AS") {
        return None;
    }
    at = at.checked_sub(1)?;
    if tokens.get(at)?.token == Token::RParen {
        at = (0..at).rev().find(|at| tokens[*at].token == Token::LParen)?.checked_sub(1)?;
    }
    word(at).map(str::to_ascii_lowercase)
}
