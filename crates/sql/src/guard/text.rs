//! What can be said of a text by its words alone. Tokens come one after the other, so no text is too deep here.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Location, Token, TokenWithSpan, Tokenizer};

use super::{Limits, QueryError, QueryProblem, expansion};

/// Functions that make much out of little, outside of any memory limit.
pub const BLOCKED: [&str; 10] = [
    "range",
    "generate_series",
    "repeat",
    "rpad",
    "lpad",
    "array_resize",
    "list_resize",
    "array_repeat",
    "list_repeat",
    "gen_series",
];

/// What a query may begin with.
const READS: [&str; 4] = ["SELECT", "WITH", "VALUES", "("];
/// Words after which an expression is within another.
const OPERATOR_WORDS: [&str; 24] = [
    "AND", "OR", "NOT", "IS", "LIKE", "ILIKE", "BETWEEN", "DIV", "XOR", "IN", "AT", "COLLATE", "SIMILAR",
    "RLIKE", "REGEXP", "GLOB", "MATCH", "OVERLAPS", "MEMBER", "ISNULL", "NOTNULL", "INTERVAL", "PRIOR",
    "OPERATOR",
];
const PARTS: [&str; 9] =
    ["JOIN", "UNION", "EXCEPT", "INTERSECT", "MINUS", "APPLY", "STRAIGHT_JOIN", "VIEW", "PIVOT"];

pub(super) fn check(sql: &str, limits: &Limits) -> Result<(), QueryError> {
    if sql.len() > limits.bytes {
        return Err(too_complex("the query is longer than", limits.bytes, "bytes"));
    }
    let tokens = tokens(sql)?;
    if tokens.len() > limits.tokens {
        return Err(too_complex("the query has more than", limits.tokens, "words and signs"));
    }
    check_statement(&tokens)?;
    check_shape(&tokens, limits)?;
    check_functions(&tokens)
}

fn too_complex(what: &str, limit: usize, unit: &str) -> QueryError {
    let message = format!("{what} {limit} {unit}");
    QueryError::new(QueryProblem::TooComplex, message, "write it shorter, or split it into several queries")
}

/// The tokens without spaces, comments, and what ends the statement.
fn tokens(sql: &str) -> Result<Vec<TokenWithSpan>, QueryError> {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize_with_location().map_err(|error| {
        QueryError::new(QueryProblem::Syntax, error.message, "mend the SQL at the place named")
            .located(error.location.line, error.location.column)
    })?;
    let mut kept: Vec<TokenWithSpan> = tokens
        .into_iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .collect();
    while kept.last().is_some_and(|token| token.token == Token::SemiColon) {
        kept.pop();
    }
    Ok(kept)
}

/// A word without quotes, in capitals.
fn word(token: &TokenWithSpan) -> Option<String> {
    match &token.token {
        Token::Word(word) if word.quote_style.is_none() => Some(word.value.to_ascii_uppercase()),
        Token::LParen => Some("(".to_owned()),
        _ => None,
    }
}

fn check_statement(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    let refused = |place: Location, message: String, fix: &str| {
        Err(QueryError::new(QueryProblem::Refused, message, fix).located(place.line, place.column))
    };
    if let Some(second) = tokens.iter().find(|token| token.token == Token::SemiColon) {
        let message = "the text holds more than one statement".to_owned();
        return refused(second.span.start, message, "send one statement at a time");
    }
    let Some(first) = tokens.first() else {
        return Err(QueryError::new(QueryProblem::Syntax, "the text holds no query", "write a SELECT"));
    };
    let words: Vec<String> = tokens.iter().take(6).map(|token| word(token).unwrap_or_default()).collect();
    let allowed = match words[0].as_str() {
        "EXPLAIN" => {
            let about = words[1..].iter().find(|word| {
                !matches!(
                    word.as_str(),
                    "ANALYZE" | "VERBOSE" | "FORMAT" | "TREE" | "INDENT" | "PGJSON" | "GRAPHVIZ"
                )
            });
            about.is_some_and(|word| READS.contains(&word.as_str()))
        }
        "SHOW" => words.get(1).is_some_and(|word| word == "TABLES" || word == "COLUMNS"),
        "DESCRIBE" | "DESC" => true,
        word => READS.contains(&word),
    };
    if allowed {
        return Ok(());
    }
    let message = format!("`{}` is not allowed: this door only reads", first.token);
    refused(first.span.start, message, "begin with SELECT, WITH, EXPLAIN, SHOW TABLES or DESCRIBE")
}

fn check_shape(tokens: &[TokenWithSpan], limits: &Limits) -> Result<(), QueryError> {
    let (mut depth, mut operators, mut parts) = (0_usize, 0, 0);
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBrace => depth += 1,
            // A chain of subscripts is one expression within another.
            Token::LBracket => {
                depth += 1;
                operators += 1;
            }
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            Token::Word(_) => match word(token).as_deref() {
                Some("CASE") => depth += 1,
                Some("END") => depth = depth.saturating_sub(1),
                Some(word) if PARTS.contains(&word) => parts += 1,
                Some(word) if OPERATOR_WORDS.contains(&word) => operators += 1,
                _ => {}
            },
            other => operators += usize::from(is_operator(other)),
        }
        if depth > limits.depth {
            let error = too_complex("the query is nested deeper than", limits.depth, "levels");
            return Err(error.located(token.span.start.line, token.span.start.column));
        }
    }
    if operators > limits.operators {
        return Err(too_complex("the query has more than", limits.operators, "operators"));
    }
    let expansion = expansion::of(tokens);
    if parts + expansion.commas > limits.parts {
        return Err(too_complex("the query has more than", limits.parts, "joins and unions"));
    }
    if expansion.size > limits.expansion {
        return Err(too_complex(
            "with its WITH spelled out the query holds more than",
            limits.expansion,
            "queries",
        ));
    }
    Ok(())
}

/// Whatever is neither a value nor a sign that only parts values.
fn is_operator(token: &Token) -> bool {
    !matches!(
        token,
        Token::Comma
            | Token::Period
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_)
    )
}

fn check_functions(tokens: &[TokenWithSpan]) -> Result<(), QueryError> {
    for pair in tokens.windows(2) {
        let (Token::Word(name), Token::LParen) = (&pair[0].token, &pair[1].token) else { continue };
        if BLOCKED.contains(&name.value.to_ascii_lowercase().as_str()) {
            let message =
                format!("the function `{}` is not allowed: it makes much out of little", name.value);
            let place = pair[0].span.start;
            return Err(QueryError::new(QueryProblem::Refused, message, "take rows from a table")
                .located(place.line, place.column));
        }
    }
    Ok(())
}
