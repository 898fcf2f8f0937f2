//! Times in expressions: which time an expression gives, and what a comparison of two says of their
//! distance.

use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

use super::distances::{FAR, Var, plus};
use super::{Scope, Time, Walk};
use crate::hop::{HOP_STARTS, scalar_micros};

/// A time that is one of several: `greatest`, `least`, `coalesce` or `CASE`.
#[derive(Debug)]
pub(super) struct Choice {
    which: Which,
    times: Vec<Time>,
    var: Var,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Which {
    Greatest,
    Least,
    Any,
}

impl Walk {
    /// Takes in what `predicate` says of the distances between times.
    pub(super) fn constrain(&mut self, predicate: &Expr, names: &[&DFSchema], scope: &Scope) {
        for part in split_conjunction(predicate) {
            match part {
                Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                    self.compare(left, *op, right, names, scope);
                }
                Expr::Between(between) if !between.negated => {
                    self.compare(&between.expr, Operator::GtEq, &between.low, names, scope);
                    self.compare(&between.expr, Operator::LtEq, &between.high, names, scope);
                }
                _ => {}
            }
        }
    }

    pub(super) fn compare(
        &mut self,
        left: &Expr,
        op: Operator,
        right: &Expr,
        names: &[&DFSchema],
        scope: &Scope,
    ) {
        let Some((left, right, apart)) = self.sides(left, right, names, scope) else { return };
        // left - right <= apart, or the other way round.
        let most = plus(apart.1, right.most - left.least);
        let least = plus(-apart.0, left.most - right.least);
        if matches!(op, Operator::Lt | Operator::LtEq | Operator::Eq) {
            self.distances.bound(left.var, right.var, most);
        }
        if matches!(op, Operator::Gt | Operator::GtEq | Operator::Eq) {
            self.distances.bound(right.var, left.var, least);
        }
    }

    /// `left op right` as a comparison of the difference of two times with a constant.
    fn sides(
        &mut self,
        left: &Expr,
        right: &Expr,
        names: &[&DFSchema],
        scope: &Scope,
    ) -> Option<(Time, Time, (i64, i64))> {
        if let (Some(left), Some(right)) =
            (self.time_of(left, names, scope), self.time_of(right, names, scope))
        {
            return Some((left, right, (0, 0)));
        }
        let Expr::BinaryExpr(BinaryExpr { left: a, op: Operator::Minus, right: b }) = uncast(left) else {
            return None;
        };
        let Expr::Literal(apart, _) = uncast(right) else { return None };
        let apart = scalar_micros(apart)?;
        Some((self.time_of(a, names, scope)?, self.time_of(b, names, scope)?, (apart, apart)))
    }

    /// The time that `expr` gives; `None` where it is not followed.
    pub(super) fn time_of(&mut self, expr: &Expr, names: &[&DFSchema], scope: &Scope) -> Option<Time> {
        match uncast(expr) {
            Expr::Column(column) => scope.columns[position(names, column)?],
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
                if let Some(micros) = literal_micros(right) {
                    return Some(shifted(self.time_of(left, names, scope)?, micros, micros));
                }
                Some(shifted(
                    self.time_of(right, names, scope)?,
                    literal_micros(left)?,
                    literal_micros(left)?,
                ))
            }
            Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
                let micros = literal_micros(right)?;
                Some(shifted(self.time_of(left, names, scope)?, -micros, -micros))
            }
            Expr::ScalarFunction(function) => self.time_of_function(function, names, scope),
            Expr::Case(case) => {
                let results = case
                    .when_then_expr
                    .iter()
                    .map(|(_, then)| then.as_ref())
                    .chain(case.else_expr.as_deref());
                let results: Vec<Expr> = results.filter(|result| !is_null(result)).cloned().collect();
                self.one_of(Which::Any, &results, names, scope)
            }
            _ => None,
        }
    }

    fn time_of_function(
        &mut self,
        function: &ScalarFunction,
        names: &[&DFSchema],
        scope: &Scope,
    ) -> Option<Time> {
        let args = &function.args;
        match function.name() {
            "date_bin" if args.len() == 2 => {
                let width = literal_micros(&args[0])?;
                Some(shifted(self.time_of(&args[1], names, scope)?, 1 - width, 0))
            }
            HOP_STARTS => {
                let Expr::Literal(size, _) = args.get(2)? else { return None };
                let size: i64 = size.clone().try_into().ok()?;
                Some(shifted(self.time_of(&args[0], names, scope)?, 1 - size, 0))
            }
            "greatest" => self.one_of(Which::Greatest, args, names, scope),
            "least" => self.one_of(Which::Least, args, names, scope),
            "coalesce" => self.one_of(Which::Any, args, names, scope),
            _ => None,
        }
    }

    /// One of several times. The same choice is the same time wherever the optimiser has copied it to.
    fn one_of(&mut self, which: Which, args: &[Expr], names: &[&DFSchema], scope: &Scope) -> Option<Time> {
        let times: Vec<Time> =
            args.iter().map(|arg| self.time_of(arg, names, scope)).collect::<Option<_>>()?;
        if let [only] = times[..] {
            return Some(only);
        }
        let known = self.choices.iter().find(|known| known.which == which && known.times == times);
        let var = if let Some(known) = known {
            known.var
        } else {
            let certain = times.iter().all(|time| self.distances.is_certain(time.var));
            let var = self.distances.add(certain);
            self.choices.push(Choice { which, times, var });
            var
        };
        self.settle();
        Some(Time { var, least: 0, most: 0 })
    }

    /// Joins all bounds, through choices too: what lies near each of several times lies near the one chosen.
    pub(super) fn settle(&mut self) {
        self.distances.close();
        for Choice { which, times, var } in &self.choices {
            for other in (0..self.distances.len()).filter(|other| other != var) {
                let after = times.iter().map(|time| self.after(*time, other)).max();
                let before = times.iter().map(|time| self.before(*time, other)).max();
                self.distances.bound(*var, other, after.unwrap_or(FAR));
                self.distances.bound(other, *var, before.unwrap_or(FAR));
            }
            for time in times {
                match which {
                    Which::Greatest => self.distances.bound(time.var, *var, -time.least),
                    Which::Least => self.distances.bound(*var, time.var, time.most),
                    Which::Any => {}
                }
            }
        }
        self.distances.close();
    }
}

fn shifted(time: Time, least: i64, most: i64) -> Time {
    Time { var: time.var, least: time.least + least, most: time.most + most }
}

fn literal_micros(expr: &Expr) -> Option<i64> {
    let Expr::Literal(value, _) = uncast(expr) else { return None };
    scalar_micros(value)
}

fn is_null(expr: &Expr) -> bool {
    matches!(uncast(expr), Expr::Literal(value, _) if value.is_null())
}

fn uncast(expr: &Expr) -> &Expr {
    match expr {
        Expr::Cast(cast) => uncast(&cast.expr),
        Expr::TryCast(cast) => uncast(&cast.expr),
        Expr::Alias(alias) => uncast(&alias.expr),
        other => other,
    }
}

/// Where `column` stands in the schemas laid end to end.
fn position(names: &[&DFSchema], column: &Column) -> Option<usize> {
    let mut before = 0;
    for schema in names {
        if let Some(index) = schema.maybe_index_of_column(column) {
            return Some(before + index);
        }
        before += schema.fields().len();
    }
    None
}
