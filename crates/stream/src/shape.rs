//! Which shape a query has, and the reason where it has none that runs live.

use std::sync::Arc;

use datafusion::catalog::TableProvider;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{provider_as_source, source_as_provider};
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, TableScan, Volatility};

use crate::feed::{LiveTable, Source};
use crate::hop::{HOP_END, HOP_START, Windowing, scalar_micros};
use crate::reach::Unbounded;

/// How a query runs live.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    /// Each row on its own.
    Filter,
    /// An aggregate over windows that are assembled from panes.
    Panes(PaneShape),
    /// Everything else whose rows look back a bounded time.
    Lookback,
}

/// Where a windowed aggregate's group keys hold its windows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PaneShape {
    pub(crate) windowing: Windowing,
    /// Which group key is the window's start, for `hop` to be replaced by each window's own.
    pub(crate) start: Option<usize>,
    /// Which group key is the end of `hop`'s window.
    pub(crate) end: Option<usize>,
    pub(crate) sliding: bool,
}

/// The live table behind a scan; `None` for a reference table.
pub(crate) fn live_table(scan: &TableScan) -> Option<Source> {
    of_live_table(scan, LiveTable::source)
}

/// Which scan of a live table it is, as [`numbered`] counted; `None` for a reference table.
pub(crate) fn scan_number(scan: &TableScan) -> Option<usize> {
    of_live_table(scan, LiveTable::number)
}

fn of_live_table<T>(scan: &TableScan, what: impl FnOnce(&LiveTable) -> T) -> Option<T> {
    let provider = source_as_provider(&scan.source).ok()?;
    let provider: &dyn TableProvider = provider.as_ref();
    (provider as &dyn std::any::Any).downcast_ref::<LiveTable>().map(what)
}

/// `plan` with a number for each scan of a live table, so that its feed is found again.
pub(crate) fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let mut next = 0;
    let numbered = plan.transform_down_with_subqueries(|node| {
        let LogicalPlan::TableScan(mut scan) = node else { return Ok(Transformed::no(node)) };
        let Some(table) = of_live_table(&scan, |table| table.numbered(next)) else {
            return Ok(Transformed::no(LogicalPlan::TableScan(scan)));
        };
        next += 1;
        scan.source = provider_as_source(Arc::new(table));
        Ok(Transformed::yes(LogicalPlan::TableScan(scan)))
    });
    numbered.data()
}

/// Microseconds as a person writes them.
pub(crate) fn seconds(micros: i64) -> String {
    format!("{} s", micros as f64 / 1e6)
}

/// The word to point at and the reason for a node that no shape has.
pub(crate) fn unsupported(plan: &LogicalPlan) -> (&'static str, String) {
    let (near, what) = match plan {
        LogicalPlan::Limit(_) => ("LIMIT", "LIMIT: which rows come first is not known while they still come"),
        LogicalPlan::Sort(_) => {
            ("ORDER BY", "ORDER BY: a stream has no last row to sort by; sort when you read the view")
        }
        LogicalPlan::Distinct(_) => {
            ("DISTINCT", "DISTINCT without a window; group by date_bin(INTERVAL, time)")
        }
        LogicalPlan::RecursiveQuery(_) => ("RECURSIVE", "a recursive query"),
        LogicalPlan::Dml(_) | LogicalPlan::Copy(_) => {
            ("", "a statement that writes; a query file holds one SELECT")
        }
        LogicalPlan::Ddl(_) | LogicalPlan::Statement(_) => {
            ("", "a statement that is no query; a query file holds one SELECT")
        }
        LogicalPlan::Subquery(_) => ("SELECT", "a subquery in an expression; write a join with time bounds"),
        _ => ("", "an operator that no live shape has"),
    };
    (near, format!("{what} does not run live"))
}

/// Refuses what can be seen in the plan as written: an optimised plan has lost some of it.
pub(crate) fn refuse_as_written(plan: &LogicalPlan) -> Result<(), Unbounded> {
    let mut found = None;
    let seen = plan.apply_with_subqueries(|node| {
        if matches!(
            node,
            LogicalPlan::Limit(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::RecursiveQuery(_)
                | LogicalPlan::Dml(_)
                | LogicalPlan::Copy(_)
                | LogicalPlan::Ddl(_)
                | LogicalPlan::Statement(_)
                | LogicalPlan::Explain(_)
                | LogicalPlan::Analyze(_)
        ) {
            let (near, reason) = unsupported(node);
            found = Some(Unbounded { reason, near });
            return Ok(TreeNodeRecursion::Stop);
        }
        node.apply_expressions(|expr| {
            expr.apply(|expr| {
                if let Some(near) = unrepeatable(expr) {
                    let reason = format!("`{near}` gives another answer each time: history could not repeat it, so it does not run live");
                    found = Some(Unbounded { reason, near });
                    return Ok(TreeNodeRecursion::Stop);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    match (found, seen) {
        (Some(refusal), _) => Err(refusal),
        (None, Err(error)) => Err(Unbounded { near: "", reason: error.strip_backtrace() }),
        (None, Ok(_)) => Ok(()),
    }
}

/// The function in `expr` whose answer is not made of the rows alone.
fn unrepeatable(expr: &Expr) -> Option<&'static str> {
    const CLOCKS: [&str; 6] = ["now", "current_timestamp", "current_date", "current_time", "today", "random"];
    let Expr::ScalarFunction(function) = expr else { return None };
    let named = CLOCKS.into_iter().find(|name| *name == function.name());
    named.or_else(|| {
        (function.func.signature().volatility == Volatility::Volatile).then_some("a volatile function")
    })
}

/// The shape of an optimised plan in which `hop` gives panes.
pub(crate) fn classify(plan: &LogicalPlan) -> Result<Shape, Unbounded> {
    if branches(plan).is_some() {
        return Ok(Shape::Filter);
    }
    let Some(aggregate) = lone_aggregate(plan) else { return Ok(Shape::Lookback) };
    Ok(panes(aggregate)?.map_or(Shape::Lookback, Shape::Panes))
}

/// The aggregate of a plan that has nothing but projections and filters above it.
fn lone_aggregate(plan: &LogicalPlan) -> Option<&Aggregate> {
    match plan {
        LogicalPlan::Aggregate(aggregate) => Some(aggregate),
        LogicalPlan::Projection(projection) => lone_aggregate(&projection.input),
        LogicalPlan::Filter(filter) => lone_aggregate(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => lone_aggregate(&alias.input),
        _ => None,
    }
}

/// How many scans of event tables feed `plan`, where each row passes on its own; `None` for other plans.
fn branches(plan: &LogicalPlan) -> Option<usize> {
    match plan {
        LogicalPlan::TableScan(scan) => matches!(live_table(scan)?, Source::Events(_)).then_some(1),
        LogicalPlan::Projection(projection) => branches(&projection.input),
        LogicalPlan::Filter(filter) => branches(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => branches(&alias.input),
        LogicalPlan::Union(union) => union.inputs.iter().map(|input| branches(input)).sum(),
        _ => None,
    }
}

fn panes(aggregate: &Aggregate) -> Result<Option<PaneShape>, Unbounded> {
    if branches(&aggregate.input).is_none() {
        return Ok(None);
    }
    let mut shape: Option<PaneShape> = None;
    let mut marked = Vec::new();
    for (index, key) in aggregate.group_expr.iter().enumerate() {
        let Some(Window { windowing, role }) = window_key(key, &aggregate.input) else {
            marked.push(key);
            continue;
        };
        let found =
            shape.get_or_insert(PaneShape { windowing, start: None, end: None, sliding: role != Role::Bin });
        match role {
            Role::Bin if found.sliding || found.start.is_some() => {}
            Role::Bin | Role::Start => found.start = Some(index),
            Role::End => found.end = Some(index),
        }
        if found.sliding && found.windowing != windowing {
            return Err(Unbounded {
                near: "hop",
                reason: "windows of different slides or sizes in one aggregate do not run live".into(),
            });
        }
    }
    let inside = marked.into_iter().chain(&aggregate.aggr_expr);
    let misused = inside
        .map(|expr| substitute(expr, &aggregate.input))
        .any(|found| found.iter().flatten().any(has_marker));
    if misused || filters_marker(&aggregate.input) {
        let reason =
            "window_start and window_end of hop can only be grouped by, and be used above the aggregate"
                .into();
        return Err(Unbounded { near: "hop", reason });
    }
    Ok(shape)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Role {
    Bin,
    Start,
    End,
}

#[derive(PartialEq)]
struct Window {
    windowing: Windowing,
    role: Role,
}

/// The window that a group key is, where every branch agrees on it.
fn window_key(key: &Expr, input: &LogicalPlan) -> Option<Window> {
    let mut found = substitute(key, input)?.into_iter().map(|expr| window(&expr));
    let first = found.next()??;
    found.all(|other| other.as_ref() == Some(&first)).then_some(first)
}

fn window(expr: &Expr) -> Option<Window> {
    let function = match expr {
        Expr::Cast(cast) => return window(&cast.expr),
        Expr::Alias(alias) => return window(&alias.expr),
        Expr::ScalarFunction(function) => function,
        _ => return None,
    };
    let number = |index: usize| match function.args.get(index) {
        Some(Expr::Literal(value, _)) => i64::try_from(value.clone()).ok().or_else(|| scalar_micros(value)),
        _ => None,
    };
    let (role, time) = match function.name() {
        "date_bin" if function.args.len() == 2 => (Role::Bin, &function.args[1]),
        HOP_START => (Role::Start, &function.args[0]),
        HOP_END => (Role::End, &function.args[0]),
        _ => return None,
    };
    if !is_time(time) {
        return None;
    }
    let windowing = match role {
        Role::Bin => Windowing::tumbling(number(0).filter(|width| *width > 0)?),
        Role::Start | Role::End => Windowing { slide: number(1)?, size: number(2)? },
    };
    Some(Window { windowing, role })
}

fn is_time(expr: &Expr) -> bool {
    match expr {
        Expr::Cast(cast) => is_time(&cast.expr),
        Expr::Column(column) => column.name == "time",
        _ => false,
    }
}

fn has_marker(expr: &Expr) -> bool {
    let marker = |expr: &Expr| {
        Ok(matches!(expr, Expr::ScalarFunction(function) if [HOP_START, HOP_END].contains(&function.name())))
    };
    expr.exists(marker).unwrap_or(true)
}

/// Whether a filter below the aggregate looks at the windows of `hop`.
fn filters_marker(plan: &LogicalPlan) -> bool {
    let looks = |node: &LogicalPlan| {
        let LogicalPlan::Filter(filter) = node else { return Ok(false) };
        let found = substitute(&filter.predicate, &filter.input);
        Ok(found.iter().flatten().any(has_marker))
    };
    plan.exists(looks).unwrap_or(true)
}

/// `expr` over the columns of the scans below `plan`, once for each branch.
fn substitute(expr: &Expr, plan: &LogicalPlan) -> Option<Vec<Expr>> {
    (0..branches(plan)?)
        .map(|branch| {
            let replaced = expr.clone().transform_down(|expr| match &expr {
                Expr::Column(column) => {
                    let index = plan.schema().index_of_column(column)?;
                    let origin = origin(plan, index, branch);
                    Ok(origin.map_or_else(
                        || Transformed::no(expr),
                        |origin| Transformed::new(origin, true, TreeNodeRecursion::Jump),
                    ))
                }
                _ => Ok(Transformed::no(expr)),
            });
            replaced.ok().map(|replaced| replaced.data)
        })
        .collect()
}

/// What output column `index` of `plan` is in its `branch`-th scan.
fn origin(plan: &LogicalPlan, index: usize, branch: usize) -> Option<Expr> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let field = scan.projected_schema.field(index);
            Some(Expr::Column(datafusion::common::Column::new_unqualified(field.name())))
        }
        LogicalPlan::Projection(projection) => {
            let expr = projection.expr.get(index)?.clone().unalias();
            substitute(&expr, &projection.input)?.into_iter().nth(branch)
        }
        LogicalPlan::Filter(filter) => origin(&filter.input, index, branch),
        LogicalPlan::SubqueryAlias(alias) => origin(&alias.input, index, branch),
        LogicalPlan::Union(union) => {
            let mut before = 0;
            for input in &union.inputs {
                let here = branches(input)?;
                if branch < before + here {
                    return origin(input, index, branch - before);
                }
                before += here;
            }
            None
        }
        _ => None,
    }
}
