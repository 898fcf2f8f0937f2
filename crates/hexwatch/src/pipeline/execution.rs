//! How the machine's effects are executed: in their order, each to its end before the next begins.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result};
use hexwatch::machine::Effect;
use hexwatch_contract::alarm::{Alarm, Transition};
use hexwatch_contract::{DeadLetter, Stage, Topic};
use hexwatch_stream::ViewRows;

use super::rows::json_lines;
use super::worker::Worker;

impl Worker {
    /// Executes `effects` in their order, each to its end before the next begins.
    pub(crate) fn execute(&mut self, effects: Vec<Effect>) -> Result<()> {
        effects.into_iter().try_for_each(|effect| self.execute_one(effect))
    }

    fn execute_one(&mut self, effect: Effect) -> Result<()> {
        match effect {
            Effect::Log(changes) => {
                let began = Instant::now();
                self.log
                    .append(&changes)
                    .context("writing the alarm log: free the disk, then start again")?;
                self.metrics.alarms_logged(began.elapsed());
                self.alarm_changes += changes.len() as u64;
            }
            Effect::Tell(change) => {
                // Sockets first: Kafka's queue may be full, and then it waits.
                self.live.alarm((*change).clone());
                self.note_latency(&change);
                self.outlet.alarm(&change);
            }
            Effect::Republish(change) => self.outlet.alarm(&change),
            Effect::Answer(done) => {
                if let Some(answer) = self.answer.take() {
                    // Whoever asked may have gone; the change stands either way.
                    let _ = answer.send(*done);
                }
            }
            Effect::Refuse(letters) => self.refuse(&letters),
            Effect::Account(topic, account) => {
                *self.totals.entry(topic).or_default() += account;
                self.metrics.records_accounted(topic.name(), &account);
                self.sources.accounted(topic, &account);
            }
            Effect::Note(generation, told) => {
                if self.outlet.is_open() {
                    self.told_rows.append(generation, &told)?;
                }
            }
            Effect::Publish(rows) => self.publish(&rows)?,
            Effect::Withdraw(view, keys) => {
                for key in keys {
                    self.outlet.withdraw(&view, &key);
                }
            }
            Effect::Watermark(watermark) => self.live.watermark_advanced(watermark),
            Effect::Risks(watermark, risks) => {
                for risk in &risks {
                    self.outlet.risk(risk);
                }
                self.live.cells(watermark, false, risks);
            }
        }
        Ok(())
    }

    /// How long the records behind a raise have been with Kafka; a recording's say nothing about that.
    fn note_latency(&self, change: &Alarm) {
        if change.transition == Transition::Raise
            && self.event_clock.is_none()
            && let Some(in_kafka_since) = self.arrivals.of(&change.inputs)
        {
            self.metrics.alarm_pushed(self.wall_clock.now().since(in_kafka_since));
        }
    }

    /// Counts and publishes refused records.
    fn refuse(&mut self, letters: &[Arc<DeadLetter>]) {
        let mut counts = BTreeMap::<(Topic, Stage), u64>::new();
        for letter in letters {
            *counts.entry((letter.meant_for, letter.stage)).or_default() += 1;
            self.sources.refused(letter);
            // A payload refused for privacy is not in the letter; its reason may be told.
            debug_assert!(letter.stage != Stage::Privacy || letter.payload.is_none());
        }
        for ((topic, stage), count) in counts {
            self.metrics.records_refused(topic.name(), stage, count);
        }
        self.outlet.dead_letters(letters);
    }

    /// Tells Kafka of rows of a view, and which no longer hold.
    fn publish(&mut self, rows: &ViewRows) -> Result<()> {
        if !self.outlet.is_open() {
            return Ok(());
        }
        let shape = self.shapes.get(&rows.view).cloned().unwrap_or_default();
        for key in shape.keys(&rows.withdrawn)? {
            self.outlet.withdraw(&rows.view, &key);
        }
        for (key, json) in shape.keys(&rows.records)?.iter().zip(json_lines(&rows.records)?) {
            self.outlet.view(&rows.view, key, &json);
        }
        Ok(())
    }
}
