//! Which columns tell a query's rows apart: rows that differ in them never meet in a window, a group or a join, so
//! that a new row can only change results that agree with it in those columns. A query over all devices that knows
//! this looks again at the devices that spoke, not at all of them.
//!
//! The proof follows columns through the optimised plan, by name: a column counts only as long as it is handed on as
//! it was scanned. Where nothing is proved, the query runs over everything; it is slower then, never wrong.

use std::collections::BTreeSet;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use datafusion::common::Result;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::{Aggregate, Expr, Join, JoinType, LogicalPlan, TableScan, Union, Window};
use rustc_hash::FxHashSet;

use crate::feed::Source;
use crate::possible::Outline;
use crate::shape::{live_table, scan_number};

/// A hash of the values that tell rows apart. Two shards that share one are looked at together.
pub(crate) type Shard = u64;

/// By which columns a query's rows fall apart.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ShardKey {
    /// The columns of every event table that is read.
    pub(crate) scanned: Vec<String>,
    /// The same in the query's result, in the same order.
    pub(crate) given: Vec<usize>,
}

impl ShardKey {
    /// The key of an optimised plan; `None` where no column is proved to be one.
    pub(crate) fn of(plan: &LogicalPlan) -> Option<Self> {
        let scope = visit(plan)?;
        let key = |name: &str| scope.columns.iter().position(|column| column.as_deref() == Some(name));
        let (scanned, given) =
            fit(scope.apart?).into_iter().filter_map(|name| key(&name).map(|at| (name, at))).unzip();
        let mut key = Self { scanned, given };
        // Fewer columns tell fewer rows apart, and never rows that meet.
        key.scanned.truncate(MOST_COLUMNS);
        key.given.truncate(MOST_COLUMNS);
        key.is_fine().then_some(key)
    }

    /// Whether it tells more apart than sites, of which most engines have one.
    fn is_fine(&self) -> bool {
        self.scanned.iter().any(|name| name != "site") && self.scanned.len() <= MOST_COLUMNS
    }

    /// The shard of each row that was scanned.
    pub(crate) fn of_scanned(&self, records: &RecordBatch) -> Result<Vec<Shard>> {
        let columns = self.scanned.iter().filter_map(|name| records.column_by_name(name));
        shards(columns, records.num_rows())
    }

    /// The shard of each row of the result.
    pub(crate) fn of_given(&self, rows: &RecordBatch) -> Result<Vec<Shard>> {
        shards(self.given.iter().map(|at| rows.column(*at)), rows.num_rows())
    }
}

/// A key of more columns is nearly a row's own: nothing is gained by it.
const MOST_COLUMNS: usize = 4;

/// Without the columns that are nearly a row's own. Any of those that tell rows apart may be left out.
fn fit(mut apart: Names) -> Names {
    apart.retain(|name| !["time", "device_time", "ingested_at", "offset"].contains(&name.as_str()));
    apart
}

/// A part of a plan whose rows fall apart, whatever becomes of what it gives.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) key: ShardKey,
    /// The numbers of its scans.
    pub(crate) scans: Vec<usize>,
    pub(crate) outline: Outline,
}

/// The largest parts of `plan` whose rows fall apart; the whole, where it has `key`.
pub(crate) fn parts(plan: &LogicalPlan, key: Option<&ShardKey>) -> Vec<Part> {
    let mut found = Vec::new();
    match key {
        Some(key) => found.push(Part::of(plan, key.clone())),
        None => collect_parts(plan, &mut found),
    }
    found
}

fn collect_parts(plan: &LogicalPlan, found: &mut Vec<Part>) {
    let scanned = visit(plan).and_then(|scope| scope.apart).map(|apart| fit(apart).into_iter().collect());
    let key = scanned.map(|scanned| ShardKey { scanned, given: Vec::new() });
    if let Some(key) = key.filter(ShardKey::is_fine) {
        found.push(Part::of(plan, key));
        return;
    }
    plan.inputs().into_iter().for_each(|input| collect_parts(input, found));
}

impl Part {
    fn of(plan: &LogicalPlan, key: ShardKey) -> Self {
        Self { key, scans: scan_numbers(plan), outline: Outline::of(plan) }
    }
}

fn scan_numbers(plan: &LogicalPlan) -> Vec<usize> {
    match plan {
        LogicalPlan::TableScan(scan) => scan_number(scan).into_iter().collect(),
        _ => plan.inputs().into_iter().flat_map(scan_numbers).collect(),
    }
}

fn shards<'a>(columns: impl Iterator<Item = &'a ArrayRef>, rows: usize) -> Result<Vec<Shard>> {
    let mut hashes = vec![0; rows];
    // The seed is fixed: the same rows fall into the same shards in every run.
    create_hashes(columns, &RandomState::with_seed(0), &mut hashes)?;
    Ok(hashes)
}

/// The shards of a batch's rows, and where each one's rows stand.
#[derive(Debug)]
pub(crate) struct Shards {
    by_row: Vec<Shard>,
    /// Shard and row, sorted.
    sorted: Vec<(Shard, u32)>,
}

impl Shards {
    pub(crate) fn of(by_row: Vec<Shard>) -> Self {
        let mut sorted: Vec<(Shard, u32)> = by_row.iter().copied().zip(0..).collect();
        sorted.sort_unstable();
        Self { by_row, sorted }
    }

    pub(crate) fn concat(parts: Vec<&Self>) -> Self {
        Self::of(parts.into_iter().flat_map(|part| part.by_row.iter().copied()).collect())
    }

    pub(crate) fn filtered(&self, wanted: &BooleanArray) -> Self {
        let rows = self.by_row.iter().zip(wanted.values());
        Self::of(rows.filter(|(_, wanted)| *wanted).map(|(shard, _)| *shard).collect())
    }

    /// Their size in memory.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(self.by_row.as_slice()) + size_of_val(self.sorted.as_slice())
    }

    /// For each row whether its shard is `wanted`.
    pub(crate) fn are(&self, wanted: impl Fn(Shard) -> bool) -> BooleanArray {
        self.by_row.iter().map(|shard| Some(wanted(*shard))).collect()
    }

    /// The rows of each shard: never none.
    pub(crate) fn groups(&self) -> impl Iterator<Item = &[(Shard, u32)]> {
        self.sorted.chunk_by(|(a, _), (b, _)| a == b)
    }

    /// The rows of the shards in `among`, in their order.
    pub(crate) fn rows_of(&self, among: &FxHashSet<Shard>) -> Vec<u32> {
        let mut rows: Vec<u32> = Vec::new();
        if among.len() < self.sorted.len() / 16 {
            for shard in among {
                let first = self.sorted.partition_point(|(other, _)| other < shard);
                let own = self.sorted[first..].iter().take_while(|(other, _)| other == shard);
                rows.extend(own.map(|(_, row)| *row));
            }
            rows.sort_unstable();
        } else {
            let own = (0..).zip(&self.by_row).filter(|(_, shard)| among.contains(shard));
            rows.extend(own.map(|(row, _): (u32, _)| row));
        }
        rows
    }
}

/// Names of scanned columns.
type Names = BTreeSet<String>;

/// What a node of the plan gives.
#[derive(Clone, Debug)]
struct Scope {
    /// For each output column the scanned column that it is.
    columns: Vec<Option<String>>,
    /// The columns that tell the rows apart; `None` where no row comes from an event table.
    apart: Option<Names>,
}

impl Scope {
    fn untraced(columns: usize) -> Self {
        Self { columns: vec![None; columns], apart: None }
    }

    fn is_live(&self) -> bool {
        self.apart.is_some()
    }

    /// Keeps of the columns that tell rows apart those that `exprs` hand on.
    fn keep(&mut self, exprs: &[Expr], plan: &LogicalPlan) {
        let handed_on: Names = exprs.iter().filter_map(|expr| self.trace(expr, plan)).collect();
        if let Some(apart) = &mut self.apart {
            apart.retain(|name| handed_on.contains(name));
        }
    }

    /// The scanned column that `expr` is over `plan`, whose scope this is.
    fn trace(&self, expr: &Expr, plan: &LogicalPlan) -> Option<String> {
        let Expr::Column(column) = expr.clone().unalias() else { return None };
        let index = plan.schema().maybe_index_of_column(&column)?;
        self.columns[index].clone()
    }
}

/// `None` for a plan of which nothing is known.
fn visit(plan: &LogicalPlan) -> Option<Scope> {
    if plan.expressions().iter().any(asks_elsewhere) {
        return None;
    }
    match plan {
        LogicalPlan::TableScan(scan) => scanned(scan),
        LogicalPlan::Projection(projection) => {
            let input = visit(&projection.input)?;
            let columns = projection.expr.iter().map(|expr| input.trace(expr, &projection.input)).collect();
            Some(Scope { columns, apart: input.apart })
        }
        LogicalPlan::SubqueryAlias(alias) => visit(&alias.input),
        LogicalPlan::Filter(filter) => visit(&filter.input),
        LogicalPlan::Union(union) => united(union),
        LogicalPlan::Join(join) => joined(join),
        LogicalPlan::Aggregate(aggregate) => aggregated(aggregate),
        LogicalPlan::Window(window) => windowed(window),
        LogicalPlan::EmptyRelation(_) | LogicalPlan::Values(_) => {
            Some(Scope::untraced(plan.schema().fields().len()))
        }
        _ => None,
    }
}

/// Whether `expr` holds a query of its own: what that gives hangs on rows of every shard.
fn asks_elsewhere(expr: &Expr) -> bool {
    let is_query = |expr: &Expr| {
        Ok(matches!(
            expr,
            Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_)
        ))
    };
    expr.exists(is_query).unwrap_or(true)
}

fn scanned(scan: &TableScan) -> Option<Scope> {
    let names = scan.projected_schema.fields().iter().map(|field| field.name().clone());
    match live_table(scan) {
        None => Some(Scope::untraced(names.len())),
        // A silence is no row of its device: it comes and goes with time.
        Some(Source::Absence(_)) => None,
        Some(Source::Events(_)) => {
            Some(Scope { columns: names.clone().map(Some).collect(), apart: Some(names.collect()) })
        }
    }
}

/// Each row comes from one branch. One without events would stand beside every shard.
fn united(union: &Union) -> Option<Scope> {
    let branches: Vec<Scope> = union.inputs.iter().map(|input| visit(input)).collect::<Option<_>>()?;
    let mut branches = branches.into_iter();
    let mut all = branches.next()?;
    for branch in branches {
        let theirs = branch.apart?;
        all.apart.as_mut()?.retain(|name| theirs.contains(name));
        for (column, other) in all.columns.iter_mut().zip(branch.columns) {
            if *column != other {
                *column = None;
            }
        }
    }
    Some(all)
}

fn joined(join: &Join) -> Option<Scope> {
    use JoinType as J;
    let (mut left, mut right) = (visit(&join.left)?, visit(&join.right)?);
    let keeps_left = matches!(join.join_type, J::Inner | J::Left | J::LeftSemi | J::LeftAnti | J::LeftMark);
    let keeps_right =
        matches!(join.join_type, J::Inner | J::Right | J::RightSemi | J::RightAnti | J::RightMark);
    let apart = match (left.apart.take(), right.apart.take()) {
        (Some(ours), Some(theirs)) => {
            let pairs = join.on.iter().filter_map(|(ours, theirs)| {
                let name = left.trace(ours, &join.left)?;
                (right.trace(theirs, &join.right)? == name).then_some(name)
            });
            Some(pairs.filter(|name| ours.contains(name) && theirs.contains(name)).collect())
        }
        // What stands on the side of the reference data may not hang on which events there are.
        (Some(ours), None) if keeps_left => Some(ours),
        (None, Some(theirs)) if keeps_right => Some(theirs),
        (None, None) => None,
        _ => return None,
    };
    // A side that lacks a match is null, and no longer what was scanned.
    if matches!(join.join_type, J::Right | J::Full) {
        left.columns.fill(None);
    }
    if matches!(join.join_type, J::Left | J::Full) {
        right.columns.fill(None);
    }
    let mark = std::iter::once(None);
    let columns = match join.join_type {
        J::LeftSemi | J::LeftAnti => left.columns,
        J::RightSemi | J::RightAnti => right.columns,
        J::LeftMark => left.columns.into_iter().chain(mark).collect(),
        J::RightMark => right.columns.into_iter().chain(mark).collect(),
        J::Inner | J::Left | J::Right | J::Full => left.columns.into_iter().chain(right.columns).collect(),
    };
    Some(Scope { columns, apart })
}

fn aggregated(aggregate: &Aggregate) -> Option<Scope> {
    let mut scope = visit(&aggregate.input)?;
    if !scope.is_live() {
        return Some(Scope::untraced(aggregate.schema.fields().len()));
    }
    scope.keep(&aggregate.group_expr, &aggregate.input);
    let groups = aggregate.group_expr.iter().map(|expr| scope.trace(expr, &aggregate.input));
    let columns = groups.chain(aggregate.aggr_expr.iter().map(|_| None)).collect();
    Some(Scope { columns, apart: scope.apart })
}

fn windowed(window: &Window) -> Option<Scope> {
    let mut scope = visit(&window.input)?;
    for expr in &window.window_expr {
        let Expr::WindowFunction(function) = expr.clone().unalias() else { return None };
        scope.keep(&function.params.partition_by, &window.input);
    }
    scope.columns.extend(window.window_expr.iter().map(|_| None));
    Some(scope)
}
