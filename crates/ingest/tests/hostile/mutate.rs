//! Damage to a text: to its bytes, to its words, and to how they nest.

use std::ops::Range;

use super::seeds::{self, Dice};

/// A damaged text grows no longer than this.
const LONGEST: usize = 32 * 1024;

/// Bytes that are not UTF-8, or only just.
const DAMAGE: [&[u8]; 8] = [
    b"\xff",
    b"\xc3",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf5\x80\x80\x80",
    b"\x00",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x9a\xa8",
];

/// What is done to texts, and how often.
pub struct Damage {
    pub inputs: u64,
    /// Damaged texts of one seed.
    pub block: u64,
    pub texts: &'static [&'static str],
    /// Put in place of other words.
    pub words: &'static [&'static str],
    /// Put around others.
    pub brackets: &'static [(&'static str, &'static str)],
}

impl Damage {
    /// Gives every damaged text to `read`, with what `open` made for its seed.
    pub fn each<S>(&self, open: impl Fn() -> S + Sync, read: impl Fn(&S, &str) + Sync) {
        seeds::run(self.inputs.div_ceil(self.block), |seed| {
            let (mut dice, opened) = (Dice::new(seed), open());
            for _ in 0..self.block {
                let text = dice.pick(self.texts).as_bytes();
                let bytes = mutate(&mut dice, text, self.words, self.brackets);
                read(&opened, &String::from_utf8_lossy(&bytes));
            }
        });
    }
}

/// `text` with a few things wrong with it. `words` are put in place of others, `brackets` around others.
pub fn mutate(dice: &mut Dice, text: &[u8], words: &[&str], brackets: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = text.to_vec();
    for _ in 0..=dice.below(4) {
        once(dice, &mut bytes, words, brackets);
        bytes.truncate(LONGEST);
    }
    bytes
}

fn once(dice: &mut Dice, bytes: &mut Vec<u8>, words: &[&str], brackets: &[(&str, &str)]) {
    let at = dice.below(bytes.len() + 1);
    match dice.below(12) {
        0 => {
            let (bit, place) = (dice.below(8), dice.below(bytes.len()));
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= 1 << bit;
            }
        }
        1 => bytes.insert(at, u8::try_from(dice.below(256)).unwrap()),
        2 => insert(bytes, at, dice.pick(&DAMAGE)),
        3 => bytes.truncate(at),
        4 => {
            let end = (at + 1 + dice.below(12)).min(bytes.len());
            bytes.drain(at..end);
        }
        5 => {
            let end = (at + 1 + dice.below(24)).min(bytes.len());
            let piece = bytes[at..end].repeat(1 + dice.below(6));
            insert(bytes, at, &piece);
        }
        6..=8 => {
            let word = dice.pick(words).as_bytes();
            if let Some(token) = any_token(dice, bytes) {
                bytes.splice(token, word.iter().copied());
            }
        }
        9 => {
            if let Some(token) = any_token(dice, bytes) {
                bytes.drain(token);
            }
        }
        10 => {
            let word = dice.pick(words).as_bytes();
            let place = any_token(dice, bytes).map_or(at, |token| token.start);
            insert(bytes, place, word);
        }
        _ => {
            let (open, close) = brackets[dice.below(brackets.len())];
            // Around what parsers allow: 127 and 128 levels, or a few, or far too many.
            let levels = [1, 2, 3, 30, 126, 127, 128, 129, 1_000][dice.below(9)];
            if let Some(token) = any_token(dice, bytes) {
                insert(bytes, token.end, close.repeat(levels).as_bytes());
                insert(bytes, token.start, open.repeat(levels).as_bytes());
            }
        }
    }
}

/// Puts `piece` into `bytes` at `at`.
pub fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    bytes.splice(at..at, piece.iter().copied());
}

fn any_token(dice: &mut Dice, bytes: &[u8]) -> Option<Range<usize>> {
    let tokens = tokens(bytes);
    let place = dice.below(tokens.len());
    tokens.into_iter().nth(place)
}

/// Where the words of a text lie: what is quoted, what is of letters and digits, and every other sign.
pub fn tokens(bytes: &[u8]) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let end = at + length(&bytes[at..]);
        if !bytes[at].is_ascii_whitespace() {
            found.push(at..end);
        }
        at = end;
    }
    found
}

fn length(rest: &[u8]) -> usize {
    let is_word = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'+' | b'-') || *byte >= 0x80
    };
    match rest[0] {
        b'"' => {
            let mut escaped = false;
            let end = rest[1..].iter().position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            });
            end.map_or(rest.len(), |end| end + 2)
        }
        first if is_word(&first) => rest.iter().position(|byte| !is_word(byte)).unwrap_or(rest.len()),
        _ => 1,
    }
}
