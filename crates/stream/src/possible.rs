//! Whether rows can give a result at all, by what is known of their columns: a query that looks for what is rare need
//! not look at the many rows that are ordinary.
//!
//! The plan is worked through with sets of values instead of values. A filter that holds for none of them lets
//! nothing through, a `max` is one of the values it is the greatest of, and so on; what is not followed may give
//! anything. So the answer "no row" is a proof, whichever of the rows are there, and "perhaps" is none.

mod function;
mod known;
mod lasting;
mod reached;
mod sight;
mod term;

use std::collections::BTreeSet;

use datafusion::common::JoinType;
use datafusion::logical_expr::{Aggregate, Expr, Join, LogicalPlan, Window};

use self::function::{Function, aggregated, windowed};
pub(crate) use self::known::{Known, Words};
pub(crate) use self::lasting::FAR;
use self::reached::{back, lag};
pub(crate) use self::sight::Sights;
use self::term::{Names, Term};
use crate::feed::Source;
use crate::shape::{live_table, scan_number};

/// A plan, as far as what it gives can be worked out.
#[derive(Clone, Debug)]
pub(crate) struct Outline {
    top: Node,
    /// The words that its expressions name.
    pub(crate) words: Words,
}

#[derive(Clone, Debug)]
enum Node {
    /// A scan of a live table, by its number.
    Scan {
        number: usize,
        columns: usize,
        /// Which of them is the time of its rows.
        time: Option<usize>,
    },
    /// Rows that are there whatever comes in, of so many columns.
    Fixed(usize),
    /// Of rows made of live ones nothing is known, not even that there are none without any of them.
    Unknown(usize),
    /// Of the rows of `Node` nothing is known but that there are none without any of its input.
    Unfollowed(Box<Node>, usize),
    Filter(Box<Node>, Term),
    Project(Box<Node>, Vec<Term>),
    /// A column more for each function.
    Window(Box<Node>, Vec<Windowed>),
    Group {
        input: Box<Node>,
        keys: Vec<Term>,
        functions: Vec<Function>,
    },
    Join {
        kind: JoinType,
        left: Box<Node>,
        right: Box<Node>,
        condition: Option<Term>,
        /// By how much the time of a left row may lie behind that of a right row that it is held against, in
        /// microseconds; `None` where that has no bound.
        lag: Option<i64>,
    },
    Union(Vec<Node>),
}

/// A window function.
#[derive(Clone, Debug)]
struct Windowed {
    function: Function,
    /// How far back the rows lie that it looks at, none of them later than its own, in microseconds; `None` where that
    /// has no bound.
    back: Option<i64>,
}

/// What is known of the columns of some rows; `None` where there are none.
pub(crate) type Columns = Option<Vec<Known>>;

impl Outline {
    pub(crate) fn of(plan: &LogicalPlan) -> Self {
        let mut words = Words::default();
        let top = Node::of(plan, &mut words);
        Self { top, words }
    }

    /// Whether it can give a row where the scans give what `scanned` knows, by their numbers.
    pub(crate) fn may_give(&self, scanned: &dyn Fn(usize, usize) -> Columns) -> bool {
        self.top.gives(scanned).is_some()
    }

    /// For how long rows matter to later ones where the scans give what `scanned` knows and [no row](Self::may_give)
    /// comes of it, in microseconds; [`FAR`] where no bound is found.
    pub(crate) fn lasting(&self, scanned: &dyn Fn(usize, usize) -> Columns) -> i64 {
        self.top.lasting(scanned).1
    }

    /// The columns of each scan on whose values it depends whether there are rows: number and column.
    pub(crate) fn looks_at(&self) -> BTreeSet<(usize, usize)> {
        let mut found = BTreeSet::new();
        self.top.looks_at(&BTreeSet::new(), &mut found);
        found
    }
}

impl Node {
    fn of(plan: &LogicalPlan, words: &mut Words) -> Self {
        let columns = plan.schema().fields().len();
        let input = |input: &LogicalPlan, words: &mut Words| Box::new(Self::of(input, words));
        match plan {
            LogicalPlan::TableScan(scan) => match scan_number(scan) {
                Some(number) => {
                    let time = live_table(scan).map(Source::time_column);
                    let time =
                        time.and_then(|name| scan.projected_schema.index_of_column_by_name(None, name));
                    Self::Scan { number, columns, time }
                }
                None => Self::Fixed(columns),
            },
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input, words),
            LogicalPlan::Filter(filter) => {
                let mut names = Names { schemas: &[filter.input.schema()], words };
                let predicate = names.term(&filter.predicate);
                Self::Filter(input(&filter.input, words), predicate)
            }
            LogicalPlan::Projection(projection) => {
                let mut names = Names { schemas: &[projection.input.schema()], words };
                let exprs = projection.expr.iter().map(|expr| names.term(expr)).collect();
                Self::Project(input(&projection.input, words), exprs)
            }
            LogicalPlan::Window(window) => Self::window(window, words),
            LogicalPlan::Aggregate(aggregate) => Self::group(aggregate, words),
            LogicalPlan::Join(join) => Self::join(join, words),
            LogicalPlan::Union(union) => {
                Self::Union(union.inputs.iter().map(|input| Self::of(input, words)).collect())
            }
            LogicalPlan::Unnest(unnest) => Self::Unfollowed(input(&unnest.input, words), columns),
            _ => Self::unknown(plan),
        }
    }

    fn unknown(plan: &LogicalPlan) -> Self {
        let columns = plan.schema().fields().len();
        if is_live(plan) { Self::Unknown(columns) } else { Self::Fixed(columns) }
    }

    fn window(window: &Window, words: &mut Words) -> Self {
        let input = Box::new(Self::of(&window.input, words));
        let mut names = Names { schemas: &[window.input.schema()], words };
        let functions = window.window_expr.iter().map(|expr| match unaliased(expr) {
            Expr::WindowFunction(function) => Windowed {
                back: input.time().and_then(|time| back(function, &names, time)),
                function: windowed(function, &mut names),
            },
            _ => Windowed { function: Function::Unfollowed, back: None },
        });
        let functions = functions.collect();
        Self::Window(input, functions)
    }

    fn group(aggregate: &Aggregate, words: &mut Words) -> Self {
        let is_plain = !aggregate.group_expr.is_empty()
            && aggregate.group_expr.iter().all(|key| !matches!(unaliased(key), Expr::GroupingSet(_)));
        if !is_plain {
            // Without keys there is a row even of nothing.
            return Self::unknown(&LogicalPlan::Aggregate(aggregate.clone()));
        }
        let mut names = Names { schemas: &[aggregate.input.schema()], words };
        let keys = aggregate.group_expr.iter().map(|key| names.term(key)).collect();
        let functions = aggregate.aggr_expr.iter().map(|expr| match unaliased(expr) {
            Expr::AggregateFunction(function) => aggregated(function, &mut names),
            _ => Function::Unfollowed,
        });
        let functions = functions.collect();
        Self::Group { input: Box::new(Self::of(&aggregate.input, words)), keys, functions }
    }

    fn join(join: &Join, words: &mut Words) -> Self {
        let schemas = [join.left.schema().as_ref(), join.right.schema().as_ref()];
        let mut names = Names { schemas: &schemas, words };
        let condition = join.filter.as_ref().map(|condition| names.term(condition));
        let (left, right) = (Self::of(&join.left, words), Self::of(&join.right, words));
        let lag = left.time().zip(right.time()).and_then(|(own, other)| {
            let names = Names { schemas: &schemas, words };
            lag(join.filter.as_ref()?, &names, own, left.columns() + other)
        });
        Self::Join { kind: join.join_type, left: Box::new(left), right: Box::new(right), condition, lag }
    }

    fn columns(&self) -> usize {
        match self {
            Self::Scan { columns, .. }
            | Self::Fixed(columns)
            | Self::Unknown(columns)
            | Self::Unfollowed(_, columns) => *columns,
            Self::Filter(input, _) => input.columns(),
            Self::Project(_, exprs) => exprs.len(),
            Self::Window(input, functions) => input.columns() + functions.len(),
            Self::Group { keys, functions, .. } => keys.len() + functions.len(),
            Self::Join { kind, left, right, .. } => match kind {
                JoinType::LeftSemi | JoinType::LeftAnti => left.columns(),
                JoinType::RightSemi | JoinType::RightAnti => right.columns(),
                JoinType::LeftMark => left.columns() + 1,
                JoinType::RightMark => right.columns() + 1,
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                    left.columns() + right.columns()
                }
            },
            Self::Union(inputs) => inputs.first().map_or(0, Self::columns),
        }
    }

    fn gives(&self, scanned: &dyn Fn(usize, usize) -> Columns) -> Columns {
        match self {
            Self::Scan { number, columns, .. } => scanned(*number, *columns),
            Self::Fixed(columns) | Self::Unknown(columns) => Some(vec![Known::ANYTHING; *columns]),
            Self::Unfollowed(input, columns) => input.gives(scanned).map(|_| vec![Known::ANYTHING; *columns]),
            Self::Filter(input, predicate) => {
                input.gives(scanned).filter(|columns| predicate.over(columns).may_be_true())
            }
            Self::Project(input, exprs) => {
                let columns = input.gives(scanned)?;
                Some(exprs.iter().map(|expr| expr.over(&columns)).collect())
            }
            Self::Window(input, functions) => {
                let mut columns = input.gives(scanned)?;
                let more: Vec<Known> =
                    functions.iter().map(|windowed| windowed.function.over(&columns)).collect();
                columns.extend(more);
                Some(columns)
            }
            Self::Group { input, keys, functions } => {
                let columns = input.gives(scanned)?;
                let keys = keys.iter().map(|key| key.over(&columns));
                Some(keys.chain(functions.iter().map(|function| function.over(&columns))).collect())
            }
            Self::Join { kind, left, right, condition, .. } => {
                let (left_columns, right_columns) = (left.gives(scanned), right.gives(scanned));
                let widths = (left.columns(), right.columns());
                joined(*kind, left_columns, right_columns, widths, condition.as_ref())
            }
            Self::Union(inputs) => inputs.iter().filter_map(|input| input.gives(scanned)).reduce(either),
        }
    }

    /// Which scanned columns decide whether there are rows, and what is known of the columns `wanted`.
    fn looks_at(&self, wanted: &BTreeSet<usize>, found: &mut BTreeSet<(usize, usize)>) {
        match self {
            Self::Scan { number, .. } => found.extend(wanted.iter().map(|column| (*number, *column))),
            Self::Fixed(_) | Self::Unknown(_) => {}
            Self::Unfollowed(input, _) => input.looks_at(&BTreeSet::new(), found),
            Self::Filter(input, predicate) => {
                let mut below = wanted.clone();
                predicate.looks_at(&mut below);
                input.looks_at(&below, found);
            }
            Self::Project(input, exprs) => {
                let mut below = BTreeSet::new();
                for column in wanted {
                    exprs[*column].looks_at(&mut below);
                }
                input.looks_at(&below, found);
            }
            Self::Window(input, functions) => {
                let own = input.columns();
                let mut below: BTreeSet<usize> = wanted.range(..own).copied().collect();
                wanted.range(own..).for_each(|column| functions[column - own].function.looks_at(&mut below));
                input.looks_at(&below, found);
            }
            Self::Group { input, keys, functions } => {
                let mut below = BTreeSet::new();
                for column in wanted {
                    match keys.get(*column) {
                        Some(key) => key.looks_at(&mut below),
                        None => functions[column - keys.len()].looks_at(&mut below),
                    }
                }
                input.looks_at(&below, found);
            }
            Self::Join { kind, left, right, condition, .. } => {
                let left_columns = left.columns();
                let is_right_alone =
                    matches!(kind, JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark);
                let shift = if is_right_alone { left_columns } else { 0 };
                let mut both: BTreeSet<usize> = wanted.iter().map(|column| column + shift).collect();
                if let Some(condition) = condition {
                    condition.looks_at(&mut both);
                }
                let all = left_columns + right.columns();
                left.looks_at(&both.range(..left_columns).copied().collect(), found);
                right.looks_at(
                    &both.range(left_columns..all).map(|column| column - left_columns).collect(),
                    found,
                );
            }
            Self::Union(inputs) => inputs.iter().for_each(|input| input.looks_at(wanted, found)),
        }
    }
}

/// What is known of rows of either kind.
fn either(ours: Vec<Known>, theirs: Vec<Known>) -> Vec<Known> {
    ours.into_iter().zip(theirs).map(|(our, their)| our.or(their)).collect()
}

fn joined(
    kind: JoinType,
    left: Columns,
    right: Columns,
    (left_width, right_width): (usize, usize),
    condition: Option<&Term>,
) -> Columns {
    let meets = |left: &[Known], right: &[Known]| {
        condition.is_none_or(|condition| condition.over(&[left, right].concat()).may_be_true())
    };
    let meet = matches!((&left, &right), (Some(left), Some(right)) if meets(left, right));
    let or_nulls = |columns: Columns, width: usize| match columns {
        Some(columns) if meet => columns.into_iter().map(Known::or_null).collect(),
        _ => vec![Known::NULL; width],
    };
    let marked = |mut columns: Vec<Known>| {
        columns.push(Known::truth(meet, true, true));
        columns
    };
    match kind {
        JoinType::Inner => meet.then(|| [left, right].into_iter().flatten().flatten().collect()),
        JoinType::LeftSemi => left.filter(|_| meet),
        JoinType::RightSemi => right.filter(|_| meet),
        JoinType::LeftAnti => left,
        JoinType::RightAnti => right,
        JoinType::LeftMark => left.map(marked),
        JoinType::RightMark => right.map(marked),
        JoinType::Left => left.map(|left| [left, or_nulls(right, right_width)].concat()),
        JoinType::Right => right.map(|right| [or_nulls(left, left_width), right].concat()),
        JoinType::Full => {
            (left.is_some() || right.is_some()).then(|| vec![Known::ANYTHING; left_width + right_width])
        }
    }
}

fn is_live(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::TableScan(scan) => live_table(scan).is_some(),
        _ => plan.inputs().into_iter().any(is_live),
    }
}

fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}
