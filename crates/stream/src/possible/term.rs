//! Expressions, as far as what they may give can be worked out; what cannot may give anything.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{Case, InList, ScalarFunction};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use super::known::{Comparison, Known, Words};

#[derive(Clone, Debug)]
pub(super) enum Term {
    Column(usize),
    Fixed(Known),
    And(Box<Self>, Box<Self>),
    Or(Box<Self>, Box<Self>),
    Not(Box<Self>),
    Compared(Box<Self>, Comparison, Box<Self>),
    IsNull(Box<Self>),
    /// True where it is; else false, not null.
    IsTrue(Box<Self>),
    Coalesce(Vec<Self>),
    Case(Vec<(Self, Self)>, Box<Self>),
    Sum {
        left: Box<Self>,
        right: Box<Self>,
        is_minus: bool,
    },
}

/// Where expressions find their columns: schemas laid end to end.
pub(super) struct Names<'a> {
    pub(super) schemas: &'a [&'a DFSchema],
    pub(super) words: &'a mut Words,
}

impl Names<'_> {
    pub(super) fn position(&self, column: &Column) -> Option<usize> {
        let mut before = 0;
        for schema in self.schemas {
            if let Some(index) = schema.maybe_index_of_column(column) {
                return Some(before + index);
            }
            before += schema.fields().len();
        }
        None
    }

    fn type_of(&self, expr: &Expr) -> Option<DataType> {
        self.schemas.iter().find_map(|schema| expr.get_type(*schema).ok())
    }

    pub(super) fn term(&mut self, expr: &Expr) -> Term {
        match expr {
            Expr::Column(column) => self.position(column).map_or(ANYTHING, Term::Column),
            Expr::Alias(alias) => self.term(&alias.expr),
            Expr::Literal(value, _) => Term::Fixed(Known::of_scalar(value, self.words)),
            Expr::BinaryExpr(BinaryExpr { left, op, right }) => self.binary(expr, left, *op, right),
            Expr::Not(inner) => not(self.term(inner)),
            Expr::IsNull(inner) => Term::IsNull(Box::new(self.term(inner))),
            Expr::IsNotNull(inner) => not(Term::IsNull(Box::new(self.term(inner)))),
            Expr::IsTrue(inner) => Term::IsTrue(Box::new(self.term(inner))),
            Expr::IsNotTrue(inner) => not(Term::IsTrue(Box::new(self.term(inner)))),
            Expr::IsFalse(inner) => Term::IsTrue(Box::new(not(self.term(inner)))),
            Expr::IsNotFalse(inner) => not(Term::IsTrue(Box::new(not(self.term(inner))))),
            Expr::Between(between) => {
                let (value, low, high) =
                    (self.term(&between.expr), self.term(&between.low), self.term(&between.high));
                let above = compared(low, Comparison::LessOrEqual, value.clone());
                let within =
                    Term::And(Box::new(above), Box::new(compared(value, Comparison::LessOrEqual, high)));
                if between.negated { not(within) } else { within }
            }
            Expr::InList(list) => self.listed(list),
            Expr::Case(case) => self.case(case),
            Expr::Cast(cast) => self.cast(&cast.expr, cast.field.data_type()),
            Expr::ScalarFunction(function) => self.function(function),
            _ => ANYTHING,
        }
    }

    fn binary(&mut self, whole: &Expr, left: &Expr, op: Operator, right: &Expr) -> Term {
        if matches!(op, Operator::Plus | Operator::Minus) && self.type_of(whole) != Some(DataType::Float64) {
            return ANYTHING;
        }
        let (left, right) = (self.term(left), self.term(right));
        let is_minus = op == Operator::Minus;
        match op {
            Operator::And => Term::And(Box::new(left), Box::new(right)),
            Operator::Or => Term::Or(Box::new(left), Box::new(right)),
            Operator::Eq => compared(left, Comparison::Equal, right),
            Operator::NotEq => not(compared(left, Comparison::Equal, right)),
            Operator::Lt => compared(left, Comparison::Less, right),
            Operator::LtEq => compared(left, Comparison::LessOrEqual, right),
            Operator::Gt => compared(right, Comparison::Less, left),
            Operator::GtEq => compared(right, Comparison::LessOrEqual, left),
            Operator::Plus | Operator::Minus => {
                Term::Sum { left: Box::new(left), right: Box::new(right), is_minus }
            }
            _ => ANYTHING,
        }
    }

    fn listed(&mut self, list: &InList) -> Term {
        let value = self.term(&list.expr);
        let mut any = Term::Fixed(Known::truth(false, true, false));
        for member in &list.list {
            let equal = compared(value.clone(), Comparison::Equal, self.term(member));
            any = Term::Or(Box::new(any), Box::new(equal));
        }
        if list.negated { not(any) } else { any }
    }

    fn case(&mut self, case: &Case) -> Term {
        let subject = case.expr.as_ref().map(|expr| self.term(expr));
        let branches = case.when_then_expr.iter().map(|(when, then)| {
            let when = self.term(when);
            let holds = match &subject {
                Some(subject) => compared(subject.clone(), Comparison::Equal, when),
                None => when,
            };
            (holds, self.term(then))
        });
        let branches = branches.collect();
        let otherwise = case.else_expr.as_ref().map_or(Term::Fixed(Known::NULL), |expr| self.term(expr));
        Term::Case(branches, Box::new(otherwise))
    }

    /// A cast that changes no value, beyond rounding a whole number.
    fn cast(&mut self, inner: &Expr, to: &DataType) -> Term {
        let Some(from) = self.type_of(inner) else { return ANYTHING };
        let is_text =
            |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
        let keeps = from == *to
            || (is_text(&from) && is_text(to))
            || (from.is_integer() && matches!(to, DataType::Int64 | DataType::Float64));
        if keeps { self.term(inner) } else { ANYTHING }
    }

    fn function(&mut self, function: &ScalarFunction) -> Term {
        match function.name() {
            "coalesce" => Term::Coalesce(function.args.iter().map(|arg| self.term(arg)).collect()),
            _ => ANYTHING,
        }
    }
}

const ANYTHING: Term = Term::Fixed(Known::ANYTHING);

fn not(term: Term) -> Term {
    Term::Not(Box::new(term))
}

fn compared(left: Term, comparison: Comparison, right: Term) -> Term {
    Term::Compared(Box::new(left), comparison, Box::new(right))
}

impl Term {
    /// Whether it is this column as it is.
    pub(super) fn is_column(&self, index: usize) -> bool {
        matches!(self, Self::Column(own) if *own == index)
    }

    /// What it may give in rows of which `columns` is known.
    pub(super) fn over(&self, columns: &[Known]) -> Known {
        match self {
            Self::Column(index) => columns[*index],
            Self::Fixed(known) => *known,
            Self::And(left, right) => left.over(columns).and(right.over(columns)),
            Self::Or(left, right) => left.over(columns).either(right.over(columns)),
            Self::Not(inner) => inner.over(columns).negated(),
            Self::Compared(left, comparison, right) => {
                left.over(columns).compared(*comparison, right.over(columns))
            }
            Self::IsNull(inner) => {
                let inner = inner.over(columns);
                Known::truth(inner.null, inner.is_value(), false)
            }
            Self::IsTrue(inner) => {
                let inner = inner.over(columns);
                Known::truth(inner.may_be_true(), inner.may_be_false() || inner.null, false)
            }
            Self::Coalesce(terms) => {
                let mut found = Known::NO_ROW;
                for term in terms {
                    let known = term.over(columns);
                    found = found.or(Known { null: false, ..known });
                    if !known.null {
                        return found;
                    }
                }
                found.or_null()
            }
            Self::Case(branches, otherwise) => {
                let mut found = Known::NO_ROW;
                for (when, then) in branches {
                    let when = when.over(columns);
                    if when.may_be_true() {
                        found = found.or(then.over(columns));
                    }
                    if when.is_true() {
                        return found;
                    }
                }
                found.or(otherwise.over(columns))
            }
            Self::Sum { left, right, is_minus } => left.over(columns).plus(right.over(columns), *is_minus),
        }
    }

    /// Adds the columns that it looks at.
    pub(super) fn looks_at(&self, columns: &mut BTreeSet<usize>) {
        match self {
            Self::Column(index) => {
                columns.insert(*index);
            }
            Self::Fixed(_) => {}
            Self::Not(inner) | Self::IsNull(inner) | Self::IsTrue(inner) => inner.looks_at(columns),
            Self::And(left, right)
            | Self::Or(left, right)
            | Self::Compared(left, _, right)
            | Self::Sum { left, right, .. } => {
                left.looks_at(columns);
                right.looks_at(columns);
            }
            Self::Coalesce(terms) => terms.iter().for_each(|term| term.looks_at(columns)),
            Self::Case(branches, otherwise) => {
                for (when, then) in branches {
                    when.looks_at(columns);
                    then.looks_at(columns);
                }
                otherwise.looks_at(columns);
            }
        }
    }
}
