//! What is known of what an aggregate or window function gives.

use std::collections::BTreeSet;

use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
use datafusion::logical_expr::{Expr, WindowFunctionDefinition};

use super::known::Known;
use super::term::{Names, Term};

/// What an aggregate or window function gives.
#[derive(Clone, Debug)]
pub(super) enum Function {
    /// How often its arguments are not null.
    Count(Vec<Term>),
    /// One of its argument's values, or null.
    Member(Term),
    /// The same, and rows in which the argument is null count for nothing.
    Extreme(Term),
    /// A whole number from 1 on.
    Ordinal,
    Unfollowed,
}

impl Function {
    pub(super) fn over(&self, columns: &[Known]) -> Known {
        match self {
            Self::Count(arguments) => {
                let counts = arguments.iter().all(|argument| argument.over(columns).is_value());
                Known::between(0.0, if counts { f64::MAX } else { 0.0 })
            }
            Self::Member(argument) | Self::Extreme(argument) => argument.over(columns).or_null(),
            Self::Ordinal => Known::between(1.0, f64::MAX),
            Self::Unfollowed => Known::ANYTHING,
        }
    }

    pub(super) fn looks_at(&self, columns: &mut BTreeSet<usize>) {
        match self {
            Self::Count(arguments) => arguments.iter().for_each(|argument| argument.looks_at(columns)),
            Self::Member(argument) | Self::Extreme(argument) => argument.looks_at(columns),
            Self::Ordinal | Self::Unfollowed => {}
        }
    }
}

pub(super) fn windowed(function: &WindowFunction, names: &mut Names<'_>) -> Function {
    let arguments = &function.params.args;
    match (&function.fun, function.fun.name()) {
        (WindowFunctionDefinition::AggregateUDF(_), name) => named(name, arguments, names),
        (WindowFunctionDefinition::WindowUDF(_), "row_number" | "rank" | "dense_rank") => Function::Ordinal,
        (WindowFunctionDefinition::WindowUDF(_), "lag" | "lead" | "first_value" | "last_value") => {
            member(arguments, names).map_or(Function::Unfollowed, Function::Member)
        }
        _ => Function::Unfollowed,
    }
}

pub(super) fn aggregated(function: &AggregateFunction, names: &mut Names<'_>) -> Function {
    named(function.func.name(), &function.params.args, names)
}

fn named(name: &str, arguments: &[Expr], names: &mut Names<'_>) -> Function {
    match name {
        "count" => Function::Count(arguments.iter().map(|argument| names.term(argument)).collect()),
        "min" | "max" => member(arguments, names).map_or(Function::Unfollowed, Function::Extreme),
        "first_value" | "last_value" => {
            member(arguments, names).map_or(Function::Unfollowed, Function::Member)
        }
        _ => Function::Unfollowed,
    }
}

/// One of the values of the only argument: another one may be what is given where there is none.
fn member(arguments: &[Expr], names: &mut Names<'_>) -> Option<Term> {
    match arguments {
        [only] => Some(names.term(only)),
        _ => None,
    }
}
