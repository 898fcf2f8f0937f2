//! How far a query's rows look back: for every scan the greatest distance between the time of a row that
//! can matter and the result time. A query whose distance has no bound cannot run live and is refused.
//!
//! The proof follows times through the optimised plan. Every time column is a variable plus an interval;
//! comparisons, frames, windows and group keys bound the distances between variables.

mod distances;
mod frames;
mod times;

use datafusion::common::{DFSchema, JoinType};
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan, Operator, TableScan, Union, Unnest};

use self::distances::{Distances, FAR, Var, plus};
use self::times::Choice;
use crate::shape::{live_table, unsupported};

/// How far back a query looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Lookback {
    /// Within this, in microseconds.
    Within(Reach),
    /// No bound was found; the sentence says where.
    Unbounded(&'static str),
}

/// The rows that can matter lie from `back` before to `ahead` after the result time, in microseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Reach {
    pub(crate) back: i64,
    pub(crate) ahead: i64,
}

/// A time column: `var` plus something within `[least, most]`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Time {
    var: Var,
    least: i64,
    most: i64,
}

/// What a node of the plan gives.
#[derive(Clone, Debug, Default)]
struct Scope {
    /// For each output column its time, where it has one.
    columns: Vec<Option<Time>>,
    /// The times of the scanned rows behind an output row.
    scanned: Vec<Var>,
}

/// Why a plan cannot run live: the reason, and a word of the query to point at.
pub(crate) struct Unbounded {
    pub(crate) reason: String,
    pub(crate) near: &'static str,
}

fn refuse<T>(near: &'static str, reason: impl Into<String>) -> Result<T, Unbounded> {
    Err(Unbounded { reason: reason.into(), near })
}

const JOIN: &str = "a join without a bound on the times of its sides; \
    write `a.time BETWEEN b.time - INTERVAL '30 seconds' AND b.time + INTERVAL '30 seconds'` or declare `lookback`";

/// How far the rows of `plan` look back from the result time in column `result_time`.
pub(crate) fn lookback(plan: &LogicalPlan, result_time: &str) -> Result<Lookback, Unbounded> {
    let mut walk = Walk::default();
    let scope = walk.visit(plan)?;
    let at = plan.schema().index_of_column_by_name(None, result_time);
    let Some(at) = at.and_then(|index| scope.columns[index]) else {
        return Ok(Lookback::Unbounded(
            "the result time cannot be traced to the time of an event; declare `lookback`",
        ));
    };
    walk.settle();
    let mut reach = Reach::default();
    for scanned in scope.scanned {
        let after = plus(walk.distances.most(scanned, at.var), -at.least);
        let before = plus(walk.distances.most(at.var, scanned), at.most);
        if after >= FAR || before >= FAR {
            return Ok(Lookback::Unbounded(JOIN));
        }
        reach = Reach { back: reach.back.max(before), ahead: reach.ahead.max(after) };
    }
    Ok(Lookback::Within(reach))
}

#[derive(Default)]
struct Walk {
    distances: Distances,
    choices: Vec<Choice>,
}

impl Walk {
    fn visit(&mut self, plan: &LogicalPlan) -> Result<Scope, Unbounded> {
        match plan {
            LogicalPlan::TableScan(scan) => Ok(self.scan(scan)),
            LogicalPlan::Projection(projection) => {
                let input = self.visit(&projection.input)?;
                let columns = projection.expr.iter();
                let columns =
                    columns.map(|expr| self.time_of(expr, &[projection.input.schema()], &input)).collect();
                Ok(Scope { columns, scanned: input.scanned })
            }
            LogicalPlan::SubqueryAlias(alias) => self.visit(&alias.input),
            LogicalPlan::Filter(filter) => {
                let input = self.visit(&filter.input)?;
                self.constrain(&filter.predicate, &[filter.input.schema()], &input);
                Ok(input)
            }
            LogicalPlan::Unnest(unnest) => self.unnest(unnest),
            LogicalPlan::Union(union) => self.union(union),
            LogicalPlan::Join(join) => self.join(join),
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Window(window) => self.window(window),
            LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
                Ok(Scope { columns: vec![None; plan.schema().fields().len()], scanned: vec![] })
            }
            other => {
                let (near, reason) = unsupported(other);
                refuse(near, reason)
            }
        }
    }

    fn scan(&mut self, scan: &TableScan) -> Scope {
        let columns = scan.projected_schema.fields();
        let Some(source) = live_table(scan) else {
            return Scope { columns: vec![None; columns.len()], scanned: vec![] };
        };
        let var = self.distances.add(true);
        let time = Time { var, least: 0, most: 0 };
        let columns =
            columns.iter().map(|field| (field.name() == source.time_column()).then_some(time)).collect();
        Scope { columns, scanned: vec![var] }
    }

    fn unnest(&mut self, unnest: &Unnest) -> Result<Scope, Unbounded> {
        let input = self.visit(&unnest.input)?;
        let columns = unnest.dependency_indices.iter().map(|index| input.columns[*index]).collect();
        Ok(Scope { columns, scanned: input.scanned })
    }

    /// A row comes from one branch: a column's time lies as that branch says.
    fn union(&mut self, union: &Union) -> Result<Scope, Unbounded> {
        let branches: Vec<Scope> =
            union.inputs.iter().map(|input| self.visit(input)).collect::<Result<_, _>>()?;
        self.settle();
        let mut columns = Vec::new();
        for index in 0..union.schema.fields().len() {
            let times: Option<Vec<Time>> = branches.iter().map(|branch| branch.columns[index]).collect();
            columns.push(times.map(|times| {
                let either = self.distances.add(true);
                for (branch, time) in branches.iter().zip(times) {
                    self.place(either, time, time, &branch.scanned);
                }
                Time { var: either, least: 0, most: 0 }
            }));
        }
        self.settle();
        Ok(Scope { columns, scanned: branches.into_iter().flat_map(|branch| branch.scanned).collect() })
    }

    /// Places `var` between the earliest of `low` and the latest of `high`, as seen from each of `others`.
    fn place(&mut self, var: Var, low: Time, high: Time, others: &[Var]) {
        for &other in others {
            let (after, before) = (self.after(high, other), self.before(low, other));
            self.distances.bound(var, other, after);
            self.distances.bound(other, var, before);
        }
    }

    /// The most by which `time` lies after `other`.
    fn after(&self, time: Time, other: Var) -> i64 {
        plus(self.distances.most(time.var, other), time.most)
    }

    /// The most by which `time` lies before `other`.
    fn before(&self, time: Time, other: Var) -> i64 {
        plus(self.distances.most(other, time.var), -time.least)
    }

    fn join(&mut self, join: &Join) -> Result<Scope, Unbounded> {
        use JoinType as J;
        let start = self.distances.len();
        let left = self.visit(&join.left)?;
        let middle = self.distances.len();
        let right = self.visit(&join.right)?;
        let end = self.distances.len();
        let names: &[&DFSchema] = &[join.left.schema(), join.right.schema()];
        let both = Scope {
            columns: left.columns.iter().chain(&right.columns).copied().collect(),
            scanned: left.scanned.iter().chain(&right.scanned).copied().collect(),
        };
        self.settle();
        let before = self.distances.clone();
        for (a, b) in &join.on {
            self.compare(a, Operator::Eq, b, names, &both);
        }
        if let Some(filter) = &join.filter {
            self.constrain(filter, names, &both);
        }
        self.settle();
        // A row that the other side need not match says nothing about what is on its own side.
        match join.join_type {
            J::Left | J::LeftAnti | J::LeftMark => {
                self.distances.forget_match(&before, start..middle, middle..end);
            }
            J::Right | J::RightAnti | J::RightMark => {
                self.distances.forget_match(&before, middle..end, start..middle);
            }
            J::Full => {
                self.distances.forget_match(&before, start..middle, middle..end);
                self.distances.forget_match(&before, middle..end, start..middle);
            }
            J::Inner | J::LeftSemi | J::RightSemi => {}
        }
        let mark = std::iter::once(None);
        let columns = match join.join_type {
            J::LeftSemi | J::LeftAnti => left.columns,
            J::RightSemi | J::RightAnti => right.columns,
            J::LeftMark => left.columns.into_iter().chain(mark).collect(),
            J::RightMark => right.columns.into_iter().chain(mark).collect(),
            J::Inner | J::Left | J::Right | J::Full => both.columns,
        };
        Ok(Scope { columns, scanned: both.scanned })
    }

    /// The rows of a group share nothing but the group's keys: their times are related through those alone.
    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<Scope, Unbounded> {
        let input = self.visit(&aggregate.input)?;
        let names: &[&DFSchema] = &[aggregate.input.schema()];
        let keys: Vec<Option<Time>> =
            aggregate.group_expr.iter().map(|key| self.time_of(key, names, &input)).collect();
        self.settle();
        if !input.scanned.is_empty() && keys.iter().all(Option::is_none) {
            let distinct = aggregate.aggr_expr.is_empty() && !aggregate.group_expr.is_empty();
            return if distinct {
                refuse(
                    "DISTINCT",
                    "DISTINCT without a window; group by date_bin(INTERVAL, time) or by a time column",
                )
            } else {
                refuse(
                    "GROUP BY",
                    "an aggregate without a window; group by date_bin(INTERVAL, time), by hop's window_start, or by a time column",
                )
            };
        }
        let pinned: Vec<Option<(Time, Var)>> =
            keys.iter().map(|key| key.map(|time| (time, self.distances.add(true)))).collect();
        let mut scanned = Vec::new();
        for &row in &input.scanned {
            let member = self.distances.add(self.distances.is_certain(row));
            for &(time, key) in pinned.iter().flatten() {
                let (after, before) = (self.after(time, row), self.before(time, row));
                self.distances.bound(key, member, after);
                self.distances.bound(member, key, before);
            }
            scanned.push(member);
        }
        let mut columns: Vec<_> =
            pinned.iter().map(|pinned| pinned.map(|(_, var)| Time { var, least: 0, most: 0 })).collect();
        let keys: Vec<(Time, Var)> = pinned.into_iter().flatten().collect();
        for aggregated in &aggregate.aggr_expr {
            columns.push(self.aggregated(aggregated, names, &input, &scanned, &keys));
        }
        self.settle();
        Ok(Scope { columns, scanned })
    }

    /// The time that an aggregate of times gives: it is one of the group's.
    fn aggregated(
        &mut self,
        expr: &Expr,
        names: &[&DFSchema],
        input: &Scope,
        members: &[Var],
        keys: &[(Time, Var)],
    ) -> Option<Time> {
        let Expr::AggregateFunction(AggregateFunction { func, params }) = expr.clone().unalias() else {
            return None;
        };
        if !["min", "max", "first_value", "last_value"].contains(&func.name()) {
            return None;
        }
        let time = self.time_of(params.args.first()?, names, input)?;
        let var = self.distances.add(true);
        for &(key, pinned) in keys {
            let (after, before) = (self.after(time, key.var), self.before(time, key.var));
            self.distances.bound(var, pinned, plus(after, -key.least));
            self.distances.bound(pinned, var, plus(before, key.most));
        }
        let own = input.scanned.iter().position(|row| *row == time.var);
        if let (Some(own), "max") = (own, func.name()) {
            self.distances.bound(members[own], var, -time.least);
        }
        if let (Some(own), "min") = (own, func.name()) {
            self.distances.bound(var, members[own], time.most);
        }
        Some(Time { var, least: 0, most: 0 })
    }

    /// A variable that is exactly `time`.
    fn pin(&mut self, time: Time, others: &[Var]) -> Var {
        if time.least == 0 && time.most == 0 {
            return time.var;
        }
        let var = self.distances.add(self.distances.is_certain(time.var));
        self.place(var, time, time, others);
        self.settle();
        var
    }
}
