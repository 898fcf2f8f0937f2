//! A device's signs of life, kept as spans: runs of rows with no gap above its allowed silence. They are the same in
//! whatever order the rows came, so a late row takes back exactly the silence it fills.

use serde::{Deserialize, Serialize};

/// What a device did at the beginning of an episode: fell silent, or was heard again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum State {
    Silent,
    Returned,
}

impl State {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Silent => "silent",
            Self::Returned => "returned",
        }
    }
}

/// An episode as its device sees it: when, in microseconds, what, and the last sign of life before it.
pub(super) type Known = (i64, State, i64);

/// A device's spans, earliest first, in microseconds.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(super) struct Track {
    spans: Vec<(i64, i64)>,
    /// Whether spans before these were dropped: then the first does not follow the table's first row.
    dropped: bool,
}

impl Track {
    /// Adds a sign of life; joins the spans it bridges.
    pub(super) fn hear(&mut self, time: i64, silence: i64) {
        let from = self.spans.partition_point(|span| span.1 < time - silence);
        let to = self.spans.partition_point(|span| span.0 <= time + silence);
        let joined = self.spans[from..to.max(from)]
            .iter()
            .fold((time, time), |(first, last), span| (first.min(span.0), last.max(span.1)));
        self.spans.splice(from..to.max(from), [joined]);
    }

    /// Its silences. The last is a timer that may not have run out.
    pub(super) fn episodes(&self, started: i64, silence: i64) -> Vec<Known> {
        let mut found = Vec::new();
        let mut last = if self.dropped { None } else { Some(started) };
        for span in &self.spans {
            if let Some(last) = last
                && span.0 - last > silence
            {
                found.push((last + silence, State::Silent, last));
                found.push((span.0, State::Returned, last));
            }
            last = Some(span.1);
        }
        found.extend(last.map(|last| (last + silence, State::Silent, last)));
        found
    }

    /// Forgets spans before `floor`: no row can touch them any more.
    pub(super) fn drop_before(&mut self, floor: i64) {
        let passed = self.spans.iter().skip(1).take_while(|span| span.0 < floor).count();
        if passed > 0 {
            self.spans.drain(..passed);
            self.dropped = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SILENCE: i64 = 90;

    fn heard(times: &[i64]) -> Track {
        let mut track = Track::default();
        for time in times {
            track.hear(*time, SILENCE);
        }
        track
    }

    #[test]
    fn a_gap_above_the_silence_is_an_episode_and_the_last_one_is_a_timer() {
        let episodes = heard(&[0, 50, 200, 210]).episodes(0, SILENCE);
        assert_eq!(
            episodes,
            [(140, State::Silent, 50), (200, State::Returned, 50), (300, State::Silent, 210)]
        );
    }

    #[test]
    fn a_late_sign_of_life_takes_back_the_silence_it_fills() {
        let mut track = heard(&[0, 150]);
        assert_eq!(track.episodes(0, SILENCE).len(), 3);
        track.hear(75, SILENCE);
        assert_eq!(track.spans, [(0, 150)]);
        assert_eq!(track.episodes(0, SILENCE), [(240, State::Silent, 150)]);
    }

    #[test]
    fn a_device_never_heard_counts_from_the_tables_first_row() {
        assert_eq!(Track::default().episodes(1_000, SILENCE), [(1_090, State::Silent, 1_000)]);
    }

    proptest! {
        #[test]
        fn the_order_of_the_signs_of_life_does_not_matter(
            mut times in proptest::collection::vec(0..2_000_i64, 1..40), turn in 0..40_usize
        ) {
            let track = heard(&times);
            let turn = turn % times.len();
            times.rotate_left(turn);
            prop_assert_eq!(&heard(&times), &track);
            times.sort_unstable();
            let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] > SILENCE).count();
            prop_assert_eq!(track.episodes(times[0], SILENCE).len(), 2 * gaps + 1);
        }
    }
}
