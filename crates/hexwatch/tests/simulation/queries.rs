//! What looks at a world: the product's own rules, and the smallest of the other shapes.

use std::sync::{Arc, LazyLock};

use hexwatch::machine::{RowShape, RowShapes};
use hexwatch_sql::QueryFile;

const GAS: &str = "\
-- title: Too much gas
-- kind: rule
-- rule: R13
-- version: 1
-- class: gas
-- key: key, window_start, transition
-- time: at
-- emit: immediate
SELECT
  device || '/' || id AS key, \"time\" AS window_start, \"time\" AS at, 'raise' AS transition, 2 AS priority,
  site, device, cell, make_array(input(topic, \"partition\", \"offset\", id, 'gas')) AS inputs
FROM iot
WHERE result > 20
";

const SILENT: &str = "\
-- title: A sensor is silent
-- kind: rule
-- rule: R17
-- version: 1
-- class: equipment
-- key: key, window_start, transition
-- time: at
SELECT
  device AS key, last_seen AS window_start, \"at\",
  CASE WHEN state = 'silent' THEN 'raise' ELSE 'return' END AS transition, 3 AS priority, site, device, cell
FROM absence('iot')
";

const FIRE: [(&str, &str); 3] = [
    ("r15_smoke", include_str!("../../../../queries/rules/r15_smoke.sql")),
    ("r15_smoke_confirmed", include_str!("../../../../queries/rules/r15_smoke_confirmed.sql")),
    ("r15_smoke_not_reset", include_str!("../../../../queries/rules/r15_smoke_not_reset.sql")),
];

const HEAT: &str = "\
-- title: Events per cell in 20 s
-- kind: view
-- output: OUTPUT
-- key: cell, window_start
-- time: window_end
SELECT
  cell,
  date_bin(INTERVAL '20 seconds', \"time\") AS window_start,
  date_bin(INTERVAL '20 seconds', \"time\") + INTERVAL '20 seconds' AS window_end,
  count(*) AS events
FROM (SELECT cell, \"time\" FROM iot UNION ALL SELECT cell, \"time\" FROM panic)
GROUP BY cell, date_bin(INTERVAL '20 seconds', \"time\")
";

/// Looks back, and waits for the watermark: a late row is said, and changes what was said of the seconds after it or takes it
/// away.
const FEW: &str = "\
-- title: An event with at most one more in the 3 s before it
-- kind: view
-- output: OUTPUT
-- key: id
-- time: time
-- lookback: 3s
SELECT id, \"time\", events
FROM (
  SELECT
    id, \"time\",
    count(*) OVER (
      PARTITION BY cell ORDER BY \"time\" RANGE BETWEEN INTERVAL '3 seconds' PRECEDING AND CURRENT ROW
    ) AS events
  FROM (SELECT id, cell, \"time\" FROM iot UNION ALL SELECT id, cell, \"time\" FROM panic)
)
WHERE events <= 2
";

/// Windows whose rows a late one takes back, and no result time in its header.
const SCARCE: &str = "\
-- title: Cells with one event in 20 s
-- kind: view
-- output: OUTPUT
-- key: cell, window_start
SELECT cell, date_bin(INTERVAL '20 seconds', \"time\") AS window_start, count(*) AS events
FROM (SELECT cell, \"time\" FROM iot UNION ALL SELECT cell, \"time\" FROM panic)
GROUP BY cell, date_bin(INTERVAL '20 seconds', \"time\")
HAVING count(*) = 1
";

/// The views. A row of each is a count.
pub(crate) const VIEWS: [&str; 3] = ["heat", "few", "scarce"];

/// What identifies the rows of each query.
pub(crate) fn shapes() -> &'static Arc<RowShapes> {
    static SHAPES: LazyLock<Arc<RowShapes>> = LazyLock::new(|| {
        let shape = |file: &QueryFile| (file.name.as_str().into(), RowShape::of(file));
        let files = [Kind::Table, Kind::LateTable].map(files);
        Arc::new(files.iter().flatten().map(shape).collect())
    });
    &SHAPES
}

/// What happens in a world, and which queries look at it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// Gas and silence, by the smallest of rules; the view's rows go to a table.
    Table,
    /// The same, and they go to a topic.
    Topic,
    /// Views beside it whose rows late ones take back, in tables.
    LateTable,
    /// The same, and in topics.
    LateTopic,
    /// Fire, by the product's own rules, which look back far and cost accordingly.
    Fire,
}

/// The rules as the product has them, and the smallest of the other shapes.
pub(crate) fn files(kind: Kind) -> Vec<QueryFile> {
    let panic = include_str!("../../../../queries/rules/r10_panic.sql");
    let to_topic = matches!(kind, Kind::Topic | Kind::LateTopic);
    let [heat, few, scarce] =
        [HEAT, FEW, SCARCE].map(|view| view.replace("OUTPUT", if to_topic { "topic" } else { "table" }));
    let mut files = vec![("r10_panic", panic), ("heat", heat.as_str())];
    match kind {
        Kind::Fire => files.extend(FIRE),
        Kind::Table | Kind::Topic => files.extend([("r13_gas", GAS), ("r17_silent", SILENT)]),
        Kind::LateTable | Kind::LateTopic => {
            files.extend([("few", few.as_str()), ("scarce", scarce.as_str())]);
        }
    }
    files.iter().map(|(name, text)| QueryFile::parse(&format!("{name}.sql"), text).unwrap()).collect()
}
