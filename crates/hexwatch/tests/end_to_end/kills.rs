//! A process that is killed at random and at every named point, under load, loses nothing and says nothing twice: a
//! recount by other code in another language says so.
//!
//! `HEXWATCH_KILLS=200` kills that often; without it, it is what fits into a continuous integration.

mod feed;
mod life;

use std::time::Duration;

use self::feed::Feed;
use self::life::{End, Life};
use crate::process::{fail, printed_account, succeed};
use crate::stand::Stand;
use crate::{recount, turn};

const KILLS: u32 = 25;

/// What the stand sets, and the recount is told: a shorter horizon leaves more to be too late, and less to be rebuilt.
const CORRECTION_HORIZON: Duration = Duration::from_mins(2);

/// Far more than a person would wait. What is promised of a release build on a machine of its own is measured by
/// `benches/kill`.
const FIRST_ALARM: Duration = Duration::from_secs(30);

#[test]
fn a_process_killed_again_and_again_under_load_loses_no_window_and_no_alarm_and_doubles_none() {
    let _turn = turn::alone();
    let kills = kills();
    let stand = stand();
    let points = named_points(&stand);
    assert!(points.len() > 15, "the points to die at are {points:?}");
    let mut chance = Chance(20_260_105);
    let mut feed = Feed::start(&stand, kills);
    let mut figures = Vec::new();
    let mut died_at = Vec::new();
    for number in 0..kills {
        // Every second death is at a named point, from the first to the last of them and over again.
        let end = if number % 2 == 1 {
            let point = &points[usize::try_from(number / 2).unwrap() % points.len()];
            End::AtPoint(format!("{point}:{}", chance.nth_time_of(point)))
        } else if number % 4 == 0 {
            End::AfterTheAlarm(Duration::from_millis(chance.below(1_500)))
        } else {
            End::After(Duration::from_millis(chance.below(2_500)))
        };
        died_at.push(format!("{end:?}"));
        let life = Life::start(&stand, &mut feed, number, &end);
        figures.extend(life.until_killed(&mut feed, &end));
    }
    // With few deaths the named points do not all get their turn above.
    let tried = usize::try_from(kills / 2).unwrap();
    for (point, number) in points.iter().skip(tried).zip(kills..) {
        let end = End::AtPoint(format!("{point}:1"));
        died_at.push(format!("{end:?}"));
        figures.extend(Life::start(&stand, &mut feed, number, &end).until_killed(&mut feed, &end));
    }
    feed.send_the_rest();
    let output = succeed(life::command(&stand, "127.0.0.1:0").arg("--until-end"));
    let read = printed_account(&output)["total"]["read"];

    eprintln!("{} deaths: {}", died_at.len(), died_at.join(", "));
    eprintln!("the last of them read {read} records to the end");
    recount::compare(&stand, CORRECTION_HORIZON);
    recount::differs(&stand, 5 * CORRECTION_HORIZON);
    // Last: what a slow machine does to figures must not hide what was lost.
    report(&mut figures);
}

fn kills() -> u32 {
    let asked = std::env::var_os("HEXWATCH_KILLS");
    asked.map_or(KILLS, |kills| {
        kills.to_str().and_then(|kills| kills.parse().ok()).expect("a number of kills")
    })
}

fn stand() -> Stand {
    let stand = Stand::new("kills");
    let horizon = CORRECTION_HORIZON.as_secs();
    stand.configure(&format!("[time]\ncorrection_horizon = \"{horizon}s\"\n"));
    stand.create_topics(2);
    recount::write_queries(&stand);
    stand
}

/// The points that the binary itself lists when it is asked for one that does not exist.
fn named_points(stand: &Stand) -> Vec<String> {
    let said = fail(stand.command(&["check"]).env("HEXWATCH__DEBUG__CRASH_AT", "nowhere"));
    let list = said.split("they are ").nth(1).and_then(|rest| rest.split(", each with").next());
    let list = list.unwrap_or_else(|| panic!("no list of points: {said}"));
    list.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// Prints how long the first alarm after a death took from the start of the next process.
#[allow(clippy::print_stderr, reason = "figures are for whoever runs the test")]
fn report(figures: &mut [Duration]) {
    figures.sort();
    let at = |share: usize| figures[(figures.len() - 1) * share / 100].as_millis();
    assert!(figures.len() >= 8, "only {} lives were long enough to see an alarm", figures.len());
    eprintln!(
        "first alarm after the start of a process: {} ms p50, {} ms p90, {} ms at most, of {} lives",
        at(50),
        at(90),
        at(100),
        figures.len()
    );
    assert!(figures.iter().all(|figure| *figure < FIRST_ALARM), "an alarm came after {figures:?}");
}

/// Chance that comes out the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    /// Points that a process reaches once are died at the first time; the others at one of the first three.
    fn nth_time_of(&mut self, point: &str) -> u64 {
        let once = ["take-over", "before-rebuild", "after-rebuild"].iter().any(|once| point.ends_with(once));
        if once { 1 } else { 1 + self.below(3) }
    }
}
