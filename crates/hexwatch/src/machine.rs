//! The step machine: what happens to what was read, and in which order, without IO and without a clock.
//!
//! It joins the pure stages: the engine of `stream`, the book of `alarm`, the scorer of `risk`. Each step returns
//! [`Effect`]s, and whoever drives it executes them one after the other. Their order is the protocol, because a process
//! may die between any two of them (`tests/simulation` does so at each):
//!
//! - an alarm's change is in its log, synced, before anybody hears of it;
//! - rows gather in the ledger, and leave it together with the place in the records that they follow from;
//! - the key of a row that goes to Kafka is on the disk, synced, before it goes there;
//! - what went to Kafka is delivered before a commit says that its records are done: see [`Machine::commit`].

mod commits;
mod device_states;
mod effect;
mod ledger;
mod row_keys;
mod scores;
mod scoring;
mod state;
mod telling;
mod unconfirmed;
mod unsure;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use hexwatch_alarm::{Action, Book};
use hexwatch_contract::alarm::{Alarm, AlarmId, RuleHit, State as AlarmState};
use hexwatch_contract::{Chunk, DeadLetter, EventTime, Offsets, Partition, Topic};
use hexwatch_history::ToldSince;
use hexwatch_stream::{Due, Effects, Engine, Input, Loan, Output, Returned, ViewRows};

pub use commits::Point;
pub use device_states::signs_of_life;
pub use effect::Effect;
pub use row_keys::{RowShape, RowShapes};
pub use scores::Scores;
pub use scoring::Scoring;
pub use state::State;
pub use telling::ROWS_AT_ONCE;

use device_states::device_states;
use effect::tell;
use ledger::{Ledger, weight_of};
use telling::{Owed, Telling};
use unconfirmed::Unconfirmed;
use unsure::Unsure;

/// So many windows of cells are scored at once: some milliseconds' work, which a press for help may have to wait for.
const WINDOWS_AT_ONCE: usize = 1_024;

/// What a machine is made of.
pub struct Parts {
    /// The engine, restored.
    pub engine: Engine,
    /// The book, as the alarm log left it.
    pub book: Book,
    /// The scorer of risk, where risk is scored.
    pub scoring: Scoring,
    /// What identifies a row of each query.
    pub shapes: Arc<RowShapes>,
    /// The topics whose records are kept as rows of history.
    pub kept: BTreeSet<Topic>,
    /// Dead letters below these offsets were told before a restart.
    pub told_until: Offsets,
    /// The site that answers for what names none.
    pub default_site: String,
}

/// The machine. It owns all state between the reader and the outlets that is not on a disk.
pub struct Machine {
    engine: Engine,
    book: Book,
    scoring: Scoring,
    /// Whether a term of risk waits for more than its own rows.
    scoring_waits: bool,
    ledger: Ledger,
    /// Refused records of chunks that wait for the next commit: they belong to the one after it.
    waiting_letters: Vec<Arc<DeadLetter>>,
    /// What their payloads count for.
    waiting_weight: usize,
    told_until: Offsets,
    default_site: String,
    unsure: Unsure,
    shapes: Arc<RowShapes>,
    /// The views whose rows only grow: a restart finds each again, or more of it.
    growing: BTreeSet<Arc<str>>,
    unconfirmed: Unconfirmed,
    telling: Telling,
    rows_at_once: usize,
    /// What views tell Kafka of in a generation is covered by the commit that ends it.
    generation: u64,
    /// The generations that began with the last three commits, the last one last.
    began: [u64; 3],
    /// Up to here all that follows has been told; at first where the watermark began.
    told: Option<EventTime>,
}

impl Machine {
    /// A machine that has taken no step.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let grows = |view: &&Arc<str>| parts.engine.only_grows(view);
        let growing = parts.shapes.keys().filter(grows).cloned().collect();
        Self {
            growing,
            scoring_waits: parts.scoring.waits_for_more(&parts.engine),
            engine: parts.engine,
            book: parts.book,
            scoring: parts.scoring,
            ledger: Ledger::new(Arc::clone(&parts.shapes), parts.kept),
            shapes: parts.shapes,
            unconfirmed: Unconfirmed::default(),
            telling: Telling::default(),
            rows_at_once: ROWS_AT_ONCE,
            generation: 0,
            began: [0; 3],
            waiting_letters: Vec::new(),
            waiting_weight: 0,
            told_until: parts.told_until,
            default_site: parts.default_site,
            unsure: Unsure::default(),
            told: None,
        }
    }

    /// What a start owes to Kafka: of the log's `changes`, those that it may lack. Who has one already knows it by its
    /// `seq`. `told` are the rows of views that were [noted](Effect::Note) in the generation of the `last` commit and
    /// later. To be called once, before the first step.
    #[must_use]
    pub fn begin(&mut self, changes: &[Alarm], told: ToldSince, last: Option<&State>) -> Vec<Effect> {
        self.began = [last.map_or(0, |state| state.generation); 3];
        self.generation = told.next;
        self.unconfirmed = Unconfirmed::after(told.rows, last, &self.shapes);
        self.unsure = Unsure::after(changes, last, |rule| self.engine.runs(rule));
        self.unsure.unsettle(&mut self.book, changes);
        let is_there = |change: &Alarm| last.is_some_and(|state| state.has_told(&change.site, change.seq));
        let owed = changes.iter().filter(|change| !is_there(change));
        owed.map(|change| Effect::Republish(Box::new(change.clone()))).collect()
    }

    /// The refused records of `chunk`, which is to be stepped after it. A press for help among them is an alarm of its
    /// own, and waits for no query.
    pub fn refuse(&mut self, now: EventTime, chunk: &Chunk) -> Vec<Effect> {
        let told_until = self.told_until.get(&chunk.partition).copied().unwrap_or(i64::MIN);
        let letters = chunk.dead_letters.iter().filter(|letter| letter.position.offset >= told_until);
        let letters: Vec<Arc<DeadLetter>> = letters.cloned().collect();
        let press = |letter: &Arc<DeadLetter>| hexwatch_alarm::unreadable_press(letter, &self.default_site);
        let presses: Vec<RuleHit> = letters.iter().filter_map(press).collect();
        let mut effects = tell(self.book.apply_hits(&presses, now));
        if !letters.is_empty() {
            effects.push(Effect::Refuse(letters.clone()));
        }
        if self.engine.is_closing() {
            self.waiting_weight += letters.iter().map(|letter| weight_of(letter)).sum::<usize>();
            self.waiting_letters.extend(letters);
        } else {
            self.ledger.refuse(letters);
        }
        effects
    }

    /// Takes one input at `now`.
    pub fn step(&mut self, now: EventTime, input: Input) -> Result<Vec<Effect>> {
        self.unsure.note(&input);
        let stepped = self.engine.step(now, input)?;
        self.hand_on(now, stepped)
    }

    /// Takes one input at `now`, and leaves what looks at many rows for later: see [`Engine::step_ahead`].
    pub fn step_ahead(&mut self, now: EventTime, input: Input) -> Result<Vec<Effect>> {
        self.unsure.note(&input);
        let stepped = self.engine.step_ahead(now, input)?;
        self.hand_on(now, stepped)
    }

    /// The groups of queries of which something is due at `now`.
    pub fn due(&mut self, now: EventTime) -> Vec<Due> {
        self.engine.due(now)
    }

    /// Lends what is due, to be run by whoever has the time; `None` where it is not there.
    pub fn lend(&mut self, due: Due) -> Option<Loan> {
        self.engine.lend(due)
    }

    /// The names of the queries that are run together as `due`.
    #[must_use]
    pub fn names_of(&self, due: Due) -> String {
        self.engine.names_of(due)
    }

    /// Takes back what was lent, and what it found.
    pub fn take_back(&mut self, now: EventTime, returned: Returned) -> Result<Vec<Effect>> {
        let found = self.engine.take_back(now, returned)?;
        self.hand_on(now, found)
    }

    /// Does what a person asks.
    pub fn act(&mut self, now: EventTime, alarm: &AlarmId, action: &Action, actor: &str) -> Vec<Effect> {
        let done = self.book.act(alarm, action, actor, now);
        let mut effects = tell(done.iter().cloned().collect());
        effects.push(Effect::Answer(Box::new(done)));
        effects
    }

    /// Brings back what was shelved until now.
    pub fn tick(&mut self, now: EventTime) -> Vec<Effect> {
        tell(self.book.tick(now))
    }

    /// Everything has been read: closes every window and fires the timers that are due.
    pub fn finish(&mut self, now: EventTime) -> Result<Vec<Effect>> {
        let mut effects = self.reopen(now, usize::MAX)?;
        effects.extend(self.step(now, Input::Finished)?);
        effects.extend(tell(self.unsure.finish(&mut self.book, now)));
        self.score(now, EventTime::MAX, &mut effects);
        self.end_scoring(now, &mut effects);
        effects.extend(self.tell_of(usize::MAX)?);
        Ok(effects)
    }

    /// How many rows wait for a commit, for the one after it, or for scores without which there is none.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let beyond = self.engine.rows_beyond() + self.waiting_letters.len() + self.waiting_weight;
        (self.ledger.len() + beyond).max(self.scoring.waiting()).max(self.telling.rows())
    }

    /// Whether what a commit covers is still being read again.
    #[must_use]
    pub fn is_restoring(&self) -> bool {
        self.engine.is_restoring()
    }

    /// Whether rules that a life may hang on are still being rebuilt: see [`Engine::is_rebuilding_urgent`].
    #[must_use]
    pub fn is_rebuilding_urgent(&self) -> bool {
        self.engine.is_rebuilding_urgent()
    }

    /// How many rows wait for queries that have not taken them: see [`Engine::untaken`].
    #[must_use]
    pub fn untaken(&self) -> usize {
        self.engine.untaken()
    }

    /// How many of them wait for what is `due`.
    #[must_use]
    pub fn untaken_by(&self, due: Due) -> usize {
        self.engine.untaken_by(due)
    }

    /// By how much event time the rows that were taken are ahead of what was told of them. Nothing while what a commit
    /// covers is being read again.
    #[must_use]
    pub fn ahead(&self) -> Duration {
        match (self.told, self.engine.watermark()) {
            (Some(told), Some(taken)) if !self.is_restoring() => taken.since(told),
            _ => Duration::ZERO,
        }
    }

    /// Partitions of which so many rows wait for others that no more should be read: see [`Engine::overfull`].
    pub fn overfull(&self) -> impl Iterator<Item = &Partition> {
        self.engine.overfull()
    }

    /// How many registered sensors are silent.
    #[must_use]
    pub fn silent(&self) -> usize {
        self.scoring.silent()
    }

    /// Gives the scores that were [awaited](Scoring::awaiting). Before that nothing is committed.
    pub fn give_scores(&mut self, now: EventTime, scores: Scores) -> Vec<Effect> {
        self.scoring.give(scores);
        self.score_on(now)
    }

    /// Whether cells are still to be scored up to where that was begun.
    #[must_use]
    pub fn is_scoring(&self) -> bool {
        self.scoring.is_closing()
    }

    /// Goes on with that for some milliseconds.
    pub fn score_on(&mut self, now: EventTime) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (complete, risks) in self.scoring.go_on(WINDOWS_AT_ONCE) {
            if !risks.is_empty() {
                self.ledger.risks(&risks);
                effects.push(Effect::Risks(complete.min(now), risks));
            }
        }
        effects
    }

    /// The alarms that are not over, as they stand.
    #[must_use]
    pub fn standing(&self) -> Vec<Alarm> {
        self.book.alarms().filter(|alarm| alarm.state != AlarmState::Normal).cloned().collect()
    }

    /// Takes the machine apart; its engine can be [renewed](Engine::renewed).
    #[must_use]
    pub fn into_engine(self) -> Engine {
        self.engine
    }

    fn hand_on(&mut self, now: EventTime, stepped: Effects) -> Result<Vec<Effect>> {
        // What devices say of themselves comes before the hits of the same step are judged.
        for (device, state, at) in stepped.known.iter().chain(&stepped.admitted).flat_map(device_states) {
            self.book.device_state(device, state, at);
        }
        self.book.recall(&stepped.recalled);
        let mut hits_ahead = stepped.hits_ahead;
        hits_ahead.retain(|hit| self.book.alarm(&hit.alarm_id()).is_none());
        let mut changes = self.book.apply_hits(&hits_ahead, now);
        let hits = stepped.withdrawn_hits.iter().chain(&stepped.hits);
        let beyond = stepped.is_beyond.then(|| self.unsure.before_beyond(&self.book, hits));
        let revised = self.book.revise(&stepped.withdrawn_hits, &stepped.hits, now);
        if let Some(rules) = beyond {
            self.unsure.found_beyond(&rules, &revised);
        }
        changes.extend(revised);
        let mut effects = tell(changes);
        effects.extend(stepped.accounts.iter().map(|(topic, account)| Effect::Account(*topic, *account)));
        let given = stepped.watermark.or(self.told).unwrap_or(EventTime::MAX);
        let was_telling = self.is_telling();
        for rebuilt in stepped.rebuilt {
            for rows in self.unconfirmed.rebuilt(&rebuilt, &self.shapes)? {
                self.telling.push(Owed::Rows(rows, given));
            }
        }
        for rows in stepped.rows {
            self.view(rows, given)?;
        }
        stepped.admitted.iter().for_each(|batch| self.scoring.hear(&batch.records));
        if let Some(watermark) = stepped.watermark {
            self.unconfirmed.passed(watermark).into_iter().for_each(|gone| self.telling.push(gone));
            effects.push(Effect::Watermark(watermark));
            self.told = Some(watermark);
        }
        if let Some(complete) = if self.scoring_waits { stepped.watermark } else { stepped.filtered } {
            self.score(now, complete, &mut effects);
        }
        if !was_telling {
            effects.extend(self.tell_on()?);
        }
        self.told = self.told.or(self.engine.watermark());
        self.ledger.late(&stepped.late, self.engine.watermark().unwrap_or(EventTime::MIN))?;
        self.ledger.admit(stepped.admitted);
        Ok(effects)
    }

    /// Where rows of a view go, that are complete up to `given`.
    fn view(&mut self, rows: ViewRows, given: EventTime) -> Result<()> {
        if self.scoring.feeds(&rows.view) {
            self.scoring.take(&rows.view, &rows.records);
            return Ok(());
        }
        match rows.output {
            Output::Table => self.ledger.view(&rows)?,
            Output::Topic => {
                self.unconfirmed.note(&rows, &self.shapes)?;
                self.telling.push(Owed::Rows(rows, given));
            }
            Output::None => {}
        }
        Ok(())
    }

    /// Begins to score cells up to `watermark`. Where there are few it is done.
    fn score(&mut self, now: EventTime, watermark: EventTime, effects: &mut Vec<Effect>) {
        self.scoring.advance(watermark);
        effects.extend(self.score_on(now));
    }

    /// Scores all that was begun.
    fn end_scoring(&mut self, now: EventTime, effects: &mut Vec<Effect>) {
        while self.is_scoring() {
            effects.extend(self.score_on(now));
        }
    }
}
