//! Views whose rows only grow: one that was given stays, and never says again what it said before, whatever comes late. It
//! counts, or tells the least or the most of something, for keys that the events themselves name.

use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan, Projection};

/// The functions whose value never comes back to what it was when more rows come.
const GROWING: [&str; 3] = ["count", "min", "max"];

/// Whether the rows of an optimised `plan` only grow. Where it is not proved they may be taken back.
pub(crate) fn only_grows(plan: &LogicalPlan) -> bool {
    fixed(plan).is_some()
}

/// For each column whether it is the same for a row's key whatever comes; `None` where rows may do more than grow.
fn fixed(plan: &LogicalPlan) -> Option<Vec<bool>> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => fixed(&alias.input),
        LogicalPlan::Projection(projection) => projected(projection),
        LogicalPlan::Aggregate(aggregate) => aggregated(aggregate),
        _ => None,
    }
}

fn projected(projection: &Projection) -> Option<Vec<bool>> {
    let below = fixed(&projection.input)?;
    let schema = projection.input.schema();
    let is_fixed = |expr: &Expr| {
        let columns = expr.column_refs();
        let mut places = columns.iter().map(|column| schema.maybe_index_of_column(column));
        let all_fixed = places.all(|place| place.is_some_and(|place| below[place]));
        // What is made of something that grows may come back to what it was.
        (all_fixed || matches!(expr.clone().unalias_nested().data, Expr::Column(_))).then_some(all_fixed)
    };
    projection.expr.iter().map(is_fixed).collect()
}

fn aggregated(aggregate: &Aggregate) -> Option<Vec<bool>> {
    let grows = |expr: &Expr| match expr.clone().unalias_nested().data {
        Expr::AggregateFunction(function) => GROWING.contains(&function.func.name()),
        _ => false,
    };
    let is_plain = !aggregate.group_expr.iter().any(|expr| matches!(expr, Expr::GroupingSet(_)));
    let keys = aggregate.group_expr.len();
    let columns = keys + aggregate.aggr_expr.len();
    (is_plain && aggregate.aggr_expr.iter().all(grows))
        .then(|| (0..columns).map(|column| column < keys).collect())
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::{Topic, event};

    use super::*;

    async fn grows(sql: &str) -> bool {
        let session = hexwatch_sql::batch_session();
        let rows = arrow::array::RecordBatch::new_empty(event::schema(Topic::Iot));
        session.register_batch("iot", rows).unwrap();
        let plan = session.sql(sql).await.unwrap().into_optimized_plan().unwrap();
        only_grows(&plan)
    }

    #[tokio::test]
    async fn what_counts_by_a_key_only_grows_and_what_may_come_back_does_not() {
        let bin = "date_bin(INTERVAL '10 seconds', \"time\")";
        let by = format!("FROM iot WHERE cell IS NOT NULL GROUP BY cell, {bin}");
        assert!(
            grows(&format!("SELECT cell, {bin} + INTERVAL '10 seconds' AS until, count(*) AS n {by}")).await
        );
        assert!(
            grows(&format!("SELECT cell, {bin} AS t, max(result), min(result), count(DISTINCT device) {by}"))
                .await
        );
        assert!(!grows(&format!("SELECT cell, {bin} AS t, avg(result) {by}")).await);
        assert!(!grows(&format!("SELECT cell, {bin} AS t, count(*) % 2 {by}")).await);
        assert!(!grows(&format!("SELECT cell, {bin} AS t, count(*) {by} HAVING count(*) < 3")).await);
        assert!(!grows("SELECT id, count(*) OVER (PARTITION BY cell ORDER BY \"time\") FROM iot").await);
    }
}
