#![allow(clippy::unwrap_used, reason = "a panic is the failure")]
//! The laws of the score, for any rows in any order.

use std::time::Duration;

use hexwatch_contract::alarm::Input;
use hexwatch_contract::risk::{CellRisk, GridShare, Hundredths, Level};
use hexwatch_contract::{Cell, EventTime};
use hexwatch_risk::{Ground, Scorer, Terms};
use proptest::prelude::*;

const TERMS: &str = r#"
[window]
size = "60s"
slide = "10s"
[score]
saturation = 10.0
[levels]
elevated = 25.0
high = 50.0
critical = 75.0
[coverage]
required = 1.0
[[term]]
name = "panic"
topic = "panic"
where = "true"
weight = 10.0
half_life = "30s"
[[term]]
name = "denied"
topic = "access"
where = "true"
weight = 0.7
half_life = "20s"
[[term]]
name = "patrol"
topic = "patrol"
where = "true"
weight = 0.0
half_life = "20s"
"#;
const PATROL: usize = 2;

/// Ten fine cells lie in each risk cell.
struct Tens;

impl Ground for Tens {
    fn risk_cell(&self, cell: Cell) -> Cell {
        Cell::from_index(cell.index() / 10)
    }
    fn grids(&self, _: Cell) -> Vec<GridShare> {
        vec![GridShare { grid: "g".into(), share: 1.0 }]
    }
}

#[derive(Clone, Debug)]
struct Row {
    term: usize,
    cell: u64,
    millis: i64,
    offset: i64,
}

impl Row {
    fn feed(&self, scorer: &mut Scorer) {
        let input = Input {
            topic: "t".into(),
            partition: 0,
            offset: self.offset,
            id: self.offset.to_string(),
            role: String::new(),
        };
        scorer.add(self.term, Cell::from_index(self.cell), at(self.millis), input);
    }
}

fn at(millis: i64) -> EventTime {
    EventTime::from_millis(millis)
}

fn scorer() -> Scorer {
    let mut scorer = Scorer::new(Terms::parse(TERMS).unwrap(), Duration::from_mins(10), Tens);
    scorer.sensor("smoke-1", Cell::from_index(10), Duration::from_secs(10));
    scorer
}

fn rows(terms: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Row>> {
    let row = (terms, 10u64..30, 0i64..120_000, 0i64..1_000_000)
        .prop_map(|(term, cell, millis, offset)| Row { term, cell, millis, offset });
    prop::collection::vec(row, 0..40)
}

fn run(rows: &[Row], heard: &[i64]) -> Vec<CellRisk> {
    let mut scorer = scorer();
    for millis in heard {
        scorer.heard("smoke-1", at(*millis));
    }
    for row in rows {
        row.feed(&mut scorer);
    }
    scorer.advance(at(400_000))
}

/// What somebody who read all `rows` believes of each window in the end.
fn believed(rows: &[CellRisk]) -> Vec<(EventTime, Cell, CellRisk)> {
    let mut last = std::collections::BTreeMap::new();
    for row in rows {
        let mut row = row.clone();
        (row.rev, row.watermark) = (0, at(0));
        last.insert((row.window_end, row.cell), row);
    }
    last.into_iter().map(|((end, cell), row)| (end, cell, row)).collect()
}

proptest! {
    #[test]
    fn contributions_sum_exactly_to_the_score(rows in rows(0..3)) {
        for row in run(&rows, &[]) {
            let parts: u32 = row.contrib.iter().map(|part| part.share.0).sum();
            prop_assert_eq!(parts, row.score.map_or(0, |score| score.0));
            prop_assert!(row.contrib.iter().all(|part| part.top_inputs.len() == usize::try_from(part.n.min(5)).unwrap()));
        }
    }

    #[test]
    fn the_order_of_rows_does_not_matter(rows in rows(0..3), heard in prop::collection::vec(0i64..120_000, 0..5), seed in any::<u64>()) {
        let mut shuffled = rows.clone();
        shuffled.sort_by_key(|row| row.offset.cast_unsigned().wrapping_mul(seed | 1));
        let mut heard_backwards = heard.clone();
        heard_backwards.reverse();
        prop_assert_eq!(run(&rows, &heard), run(&shuffled, &heard_backwards));
    }

    #[test]
    fn a_late_row_corrects_to_what_would_have_been_said_in_time(rows in rows(0..2), split in 0usize..40) {
        let heard: Vec<i64> = (0..13).map(|step| step * 10_000).collect();
        let in_time = run(&rows, &heard);
        let mut late = scorer();
        for millis in &heard {
            late.heard("smoke-1", at(*millis));
        }
        let split = split.min(rows.len());
        let mut said = Vec::new();
        for row in &rows[..split] {
            row.feed(&mut late);
        }
        said.extend(late.advance(at(130_000)));
        for row in &rows[split..] {
            row.feed(&mut late);
        }
        said.extend(late.advance(at(400_000)));
        for (end, cell, row) in believed(&in_time) {
            let found = believed(&said).into_iter().rfind(|other| other.1 == cell && other.0 <= end).unwrap().2;
            prop_assert_eq!((row.score, row.n_events, row.contrib), (found.score, found.n_events, found.contrib));
        }
    }

    #[test]
    fn a_restart_goes_on_counting_corrections(rows in rows(0..2), splits in (0usize..40, 0usize..40)) {
        let splits = (splits.0.min(rows.len()), splits.1.min(rows.len()));
        let (first, second) = (splits.0.min(splits.1), splits.0.max(splits.1));
        let mut straight = scorer();
        let mut said = Vec::new();
        for (part, watermark) in [(&rows[..first], 100_000), (&rows[first..second], 110_000)] {
            for row in part {
                row.feed(&mut straight);
            }
            said.extend(straight.advance(at(watermark)));
        }
        let mut restarted = scorer();
        for row in &rows[..second] {
            row.feed(&mut restarted);
        }
        restarted.advance(at(110_000));
        for row in &said {
            restarted.resume(row.cell, row.window_end, row.rev);
        }
        for scorer in [&mut straight, &mut restarted] {
            for row in &rows[second..] {
                row.feed(scorer);
            }
        }
        prop_assert_eq!(straight.advance(at(120_000)), restarted.advance(at(120_000)));
    }

    #[test]
    fn every_window_says_what_happened_in_it_whenever_rows_come(
        rows in rows(0..2), splits in prop::collection::vec((0usize..40, 0i64..300_000), 0..4),
    ) {
        let mut scorer = scorer();
        let mut said = Vec::new();
        let (mut fed, mut watermark) = (0, 0);
        for (split, until) in splits {
            for row in rows.get(fed..split.min(rows.len())).unwrap_or_default() {
                row.feed(&mut scorer);
            }
            (fed, watermark) = (fed.max(split.min(rows.len())), watermark.max(until));
            said.extend(scorer.advance(at(watermark)));
        }
        for row in &rows[fed..] {
            row.feed(&mut scorer);
        }
        said.extend(scorer.advance(at(400_000)));
        let believed = believed(&said);
        for (cell, end) in (1..3).flat_map(|cell| (1..40).map(move |step| (cell, step * 10_000))) {
            let pane = |row: &Row| row.millis - row.millis % 10_000;
            let happened = |row: &&Row| row.cell / 10 == cell && (end - 60_000..end).contains(&pane(row));
            let count = rows.iter().filter(happened).count() as u64;
            let stands = believed.iter().rfind(|said| said.1 == Cell::from_index(cell) && said.0 <= at(end));
            prop_assert_eq!(stands.map_or(0, |said| said.2.n_events), count, "cell {} at {}", cell, end);
        }
    }

    #[test]
    fn windows_that_are_closed_a_few_at_a_time_say_the_same(rows in rows(0..3), few in 1usize..9) {
        let (mut at_once, mut in_pieces) = (scorer(), scorer());
        for row in &rows {
            row.feed(&mut at_once);
            row.feed(&mut in_pieces);
        }
        let (mut said, mut complete, mut is_all) = (Vec::new(), at(0), false);
        while !is_all {
            let piece = in_pieces.advance_by(at(400_000), &mut few.clone());
            prop_assert!(piece.rows.iter().all(|row| row.window_end > complete), "{} was complete", complete);
            (complete, is_all) = (piece.complete, piece.is_all);
            said.extend(piece.rows);
        }
        prop_assert_eq!(complete, at(400_000));
        prop_assert_eq!(at_once.advance(at(400_000)), said);
    }

    #[test]
    fn patrol_rows_change_nothing(rows in rows(0..2), patrol in rows(PATROL..PATROL + 1)) {
        let both: Vec<Row> = rows.iter().chain(&patrol).cloned().collect();
        prop_assert_eq!(run(&rows, &[]), run(&both, &[]));
    }

    #[test]
    fn a_cell_whose_sensor_is_silent_is_unknown_and_never_low(rows in rows(0..3), heard in prop::collection::vec(0i64..120_000, 0..4)) {
        for row in run(&rows, &heard) {
            let end = row.window_end.millis();
            let is_heard = heard.iter().any(|millis| *millis < end && end - millis < 90_000);
            if row.cell == Cell::from_index(1) && !is_heard {
                prop_assert!(row.coverage < 1.0);
                prop_assert_ne!(row.level, Level::Low);
            } else {
                prop_assert_ne!(row.level, Level::Unknown);
            }
            prop_assert_eq!(row.score.is_none(), row.level == Level::Unknown);
        }
    }
}

#[test]
fn a_silent_sensor_takes_its_cell_out_of_low_and_a_sign_of_life_brings_it_back() {
    let mut scorer = scorer();
    scorer.heard("smoke-1", at(0));
    scorer.heard("someone-else", at(200_000));
    let rows = scorer.advance(at(200_000));
    let told: Vec<_> =
        rows.iter().map(|row| (row.window_end.millis(), row.level, row.score.is_none())).collect();
    assert_eq!(told, [(10_000, Level::Low, false), (90_000, Level::Unknown, true)]);
    scorer.heard("smoke-1", at(205_000));
    let back = scorer.advance(at(210_000));
    assert_eq!((back.len(), back[0].level), (1, Level::Low));
}

#[test]
fn a_correction_of_a_closed_window_counts_up_its_revision() {
    let mut scorer = scorer();
    let row = |millis, offset| Row { term: 0, cell: 20, millis, offset };
    row(5_000, 1).feed(&mut scorer);
    let first = scorer.advance(at(10_000));
    assert_eq!((first.iter().find(|row| row.n_events > 0).unwrap().rev, first.len()), (0, 2));
    row(6_000, 2).feed(&mut scorer);
    let corrected = scorer.advance(at(10_000));
    assert_eq!(corrected.len(), 1);
    assert_eq!((corrected[0].rev, corrected[0].n_events), (1, 2));
    assert!(scorer.advance(at(10_000)).is_empty());
}

#[test]
fn a_score_fades_until_its_events_leave_the_window() {
    let mut scorer = scorer();
    Row { term: 0, cell: 20, millis: 0, offset: 1 }.feed(&mut scorer);
    let faded: Vec<u32> = scorer
        .advance(at(500_000))
        .iter()
        .filter(|row| row.cell == Cell::from_index(2))
        .map(|row| row.score.unwrap().0)
        .collect();
    assert!(faded.is_sorted_by(|earlier, later| earlier > later), "{faded:?}");
    assert_eq!((faded.len(), faded.last()), (7, Some(&0)));
}

#[test]
fn the_end_of_the_input_closes_the_last_record_and_nothing_after_it() {
    let mut scorer = scorer();
    Row { term: 0, cell: 20, millis: 12_000, offset: 1 }.feed(&mut scorer);
    let rows = scorer.advance(EventTime::MAX);
    assert!(rows.iter().all(|row| row.window_end == at(20_000) && row.watermark == at(20_000)));
    assert!(rows.iter().any(|row| row.n_events == 1));
}

#[test]
fn a_cell_of_the_site_is_said_to_be_calm_once_and_stays_known() {
    let mut scorer = scorer();
    scorer.watch(Cell::from_index(9));
    scorer.heard("smoke-1", at(5_000));
    let calm: Vec<CellRisk> = scorer.advance(at(30_000));
    let of_nine: Vec<&CellRisk> = calm.iter().filter(|row| row.cell == Cell::from_index(9)).collect();
    assert_eq!(of_nine.len(), 1, "calm is said once, not in every window");
    assert_eq!((of_nine[0].level, of_nine[0].score), (Level::Low, Some(Hundredths(0))));
    scorer.advance(at(4_000_000));
    let input = Input { topic: "t".into(), partition: 0, offset: 1, id: "1".into(), role: String::new() };
    scorer.add(0, Cell::from_index(90), at(4_000_500), input);
    assert!(scorer.advance(at(4_100_000)).iter().any(|row| row.cell == Cell::from_index(9)));
}

#[test]
fn a_sensor_counts_as_silent_once_its_patience_is_over() {
    let mut scorer = scorer();
    assert_eq!(scorer.silent(), 0, "nothing is known before the first watermark");
    scorer.heard("smoke-1", at(0));
    scorer.advance(at(80_000));
    assert_eq!(scorer.silent(), 0);
    scorer.advance(at(100_000));
    assert_eq!(scorer.silent(), 1);
}
