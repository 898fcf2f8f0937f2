//! What the simulator injected against what was alarmed.

use crate::accounts::assert_sums;
use crate::process::rows_of_csv;
use crate::stand::{Stand, beside, site_beside};
use crate::turn;

/// What both sides have to agree on: rule, key, cell, final priority.
type Finding = [String; 4];

fn findings(rows: &[std::collections::BTreeMap<String, String>]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = rows
        .iter()
        .map(|row| ["rule", "key", "cell", "priority"].map(|column| row[column].clone()))
        .collect();
    findings.sort();
    findings
}

fn compare(scenario: &str, duration: &str) {
    let _turn = turn::together();
    let stand = Stand::new(&format!("truth-{scenario}"));
    let scenario = ["--seed", "7", "--rate", "20", "--duration", duration, "--scenario", scenario];
    let events = stand.simulate(&scenario);
    stand.create_topics(3);
    stand.replay(&events);
    let account = stand.run_to_the_end(&site_beside(&events));
    assert_sums(&stand, &account);
    assert_eq!(account["total"]["read"], std::fs::read_to_string(&events).unwrap().lines().count() as u64);

    let truth = rows_of_csv(&std::fs::read_to_string(beside(&events, ".truth.csv")).unwrap());
    let alarms = stand.sql("SELECT rule, key, cell, priority, alarm_id FROM alarms");
    let (expected, found) = (findings(&truth), findings(&alarms));
    assert!(!expected.is_empty(), "the scenario injects nothing");
    let missed = without(&expected, &found);
    let false_alarms = without(&found, &expected);
    assert!(
        missed.is_empty() && false_alarms.is_empty(),
        "of {} situations missed: {missed:#?}\nof {} alarms false: {false_alarms:#?}",
        expected.len(),
        found.len(),
    );
}

/// What is left of `all` when each of `taken` takes one away.
fn without(all: &[Finding], taken: &[Finding]) -> Vec<Finding> {
    let mut left = all.to_vec();
    for one in taken {
        if let Some(place) = left.iter().position(|other| other == one) {
            left.remove(place);
        }
    }
    left
}

#[test]
fn every_situation_of_a_common_half_hour_is_alarmed_once_at_its_place_and_nothing_else_is() {
    compare("default", "30m");
}

#[test]
fn every_forced_door_is_alarmed_once() {
    compare("r01", "5m");
}

#[test]
fn every_entry_after_denials_is_alarmed_once() {
    compare("r06", "5m");
}

#[test]
fn every_denial_beside_somebody_who_loiters_is_alarmed_once() {
    compare("r07", "5m");
}

#[test]
fn every_press_for_help_is_alarmed_once() {
    compare("r10", "5m");
}

#[test]
fn every_gas_leak_is_alarmed_once() {
    compare("r13", "10m");
}

#[test]
fn every_fire_is_alarmed_once_and_confirmed_where_it_was() {
    compare("r15", "8m");
}

#[test]
fn every_silent_sensor_is_alarmed_once_and_a_gateway_as_one() {
    compare("r17", "10m");
}
