//! JSON of every shape, read by hand in one pass: what the reader of the common shape ([`super::scan`]) leaves. Fields go
//! into slots; everything else is only walked over, for a key that occurs twice and a field that must not be stored
//! count at any depth. A record that is no JSON at all is told by the place where it ceases to be: damage must cost the
//! others little, so nothing is built to describe it. Tests hold what is read here against serde.

use std::borrow::Cow;
use std::fmt;

use super::body::{Body, Shape, Slot};
use super::layout::{Layout, bit};
use super::parser::{Name, Parser};
use super::scan::special_letters;

/// So many lists and objects may stand within each other.
const LEVELS_MAX: usize = 127;

/// Where a text is no JSON, and what is missing there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Mistake {
    at: usize,
    what: &'static str,
}

impl fmt::Display for Mistake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} at byte {}", self.what, self.at)
    }
}

/// Reads `text` whole into `body`.
pub(super) fn read<'a>(
    parser: &mut Parser,
    layout: &Layout,
    text: &'a str,
    body: &mut Body<'a>,
) -> Result<(), Mistake> {
    let mut reader = Reader { parser, layout, body, text, bytes: text.as_bytes(), at: 0, levels: 0 };
    match reader.letter() {
        Some(b'{') => reader.within(Reader::root)?,
        _ => reader.other()?,
    }
    reader.letter().map_or(Ok(()), |_| reader.fail("the value has ended before"))
}

/// What is wrong with an object that was cut off, which is what most damage is: seen from its end alone. A text with
/// escapes is read all the same: what it must not say may be written in them.
pub(super) fn cut_off(text: &str) -> Option<Mistake> {
    let is_cut = text.starts_with('{') && !text.trim_ascii_end().ends_with('}') && !text.contains('\\');
    is_cut.then_some(Mistake { at: text.len(), what: TOO_EARLY })
}

const TOO_EARLY: &str = "the record ends too early";

/// A text in quotes.
enum Word<'a> {
    Plain(&'a str),
    /// It held escapes: what follows this place of `Parser::unescaped`.
    Escaped(usize),
}

struct Reader<'p, 'l, 'b, 'a> {
    parser: &'p mut Parser,
    layout: &'l Layout,
    body: &'b mut Body<'a>,
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    levels: usize,
}

impl<'a> Reader<'_, '_, '_, 'a> {
    fn fail<T>(&self, what: &'static str) -> Result<T, Mistake> {
        Err(Mistake { at: self.at, what })
    }

    /// The next letter that is no space; it stays to be read.
    fn letter(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    /// Reads `letter` where it comes next.
    fn take(&mut self, letter: u8) -> bool {
        let is_next = self.bytes.get(self.at) == Some(&letter);
        self.at += usize::from(is_next);
        is_next
    }

    /// Reads what an opening bracket begins.
    fn within(&mut self, read: fn(&mut Self) -> Result<(), Mistake>) -> Result<(), Mistake> {
        if self.levels == LEVELS_MAX {
            return self.fail("more levels than are read");
        }
        self.at += 1;
        self.levels += 1;
        read(self)?;
        self.levels -= 1;
        Ok(())
    }

    /// Whether a list or an object goes on before it is closed.
    fn goes_on(&mut self, closing: u8, is_first: bool) -> Result<bool, Mistake> {
        match self.letter() {
            Some(letter) if letter == closing => {
                self.at += 1;
                Ok(false)
            }
            Some(_) if is_first => Ok(true),
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(_) => self.fail("expected a comma or a closing bracket"),
            None => self.fail(TOO_EARLY),
        }
    }

    /// The outermost object, whose keys may be fields.
    fn root(&mut self) -> Result<(), Mistake> {
        self.body.shape = Shape::Empty;
        let (mut after, mut seen) = (0, 0);
        while self.goes_on(b'}', self.body.shape == Shape::Empty)? {
            self.body.shape = Shape::Object;
            let key = self.key()?;
            let name = self.parser.name(&key, self.layout, after);
            if let Name::Field(number) = name {
                after = number + 1;
                // A key given twice, once as null, is given twice.
                let is_new = seen & bit(number) == 0;
                seen |= bit(number);
                self.field(number, is_new)?;
            } else {
                self.parser.note_key(0, &key);
                self.parser.note_name(name);
                self.other()?;
            }
        }
        Ok(())
    }

    fn field(&mut self, number: usize, is_new: bool) -> Result<(), Mistake> {
        let slot = self.slot()?;
        if !is_new {
            self.parser.note_twice(self.layout.name(number));
        } else if slot != Slot::Absent {
            self.body.set(number, slot);
        }
        Ok(())
    }

    /// The value of a field.
    fn slot(&mut self) -> Result<Slot<'a>, Mistake> {
        match self.letter() {
            Some(b'"') => Ok(match self.word()? {
                Word::Plain(text) => Slot::Text(text),
                Word::Escaped(start) => Slot::Unescaped(start, self.parser.unescaped.len()),
            }),
            Some(b'{' | b'[') => self.other().map(|()| Slot::Nested),
            _ => self.scalar(),
        }
    }

    /// A value that is not kept.
    fn other(&mut self) -> Result<(), Mistake> {
        match self.letter() {
            Some(b'"') => {
                match self.word()? {
                    Word::Plain(text) => self.parser.note_text(text),
                    Word::Escaped(start) => self.parser.note_unescaped(start),
                }
                Ok(())
            }
            Some(b'{') => self.within(Self::object),
            Some(b'[') => self.within(Self::list),
            _ => self.scalar().map(|_| ()),
        }
    }

    fn object(&mut self) -> Result<(), Mistake> {
        let object = self.parser.keys.next_object();
        let mut is_first = true;
        while self.goes_on(b'}', is_first)? {
            is_first = false;
            let key = self.key()?;
            self.parser.note_key(object, &key);
            if let name @ Name::Forbidden(_) = self.parser.look_up(&key) {
                self.parser.note_name(name);
            }
            self.other()?;
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(), Mistake> {
        let mut is_first = true;
        while self.goes_on(b']', is_first)? {
            is_first = false;
            self.other()?;
        }
        Ok(())
    }

    /// A key with the colon behind it.
    fn key(&mut self) -> Result<Cow<'a, str>, Mistake> {
        if self.letter() != Some(b'"') {
            return self.fail("expected a key");
        }
        let key = match self.word()? {
            Word::Plain(key) => Cow::Borrowed(key),
            Word::Escaped(start) => Cow::Owned(self.parser.unescaped.split_off(start)),
        };
        if self.letter() != Some(b':') {
            return self.fail("expected a colon");
        }
        self.at += 1;
        Ok(key)
    }

    /// A value that is neither text nor nested.
    fn scalar(&mut self) -> Result<Slot<'a>, Mistake> {
        match self.letter() {
            Some(b't') => self.literal("true", Slot::True),
            Some(b'f') => self.literal("false", Slot::False),
            Some(b'n') => self.literal("null", Slot::Absent),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.fail("expected a value"),
            None => self.fail(TOO_EARLY),
        }
    }

    fn literal(&mut self, word: &str, slot: Slot<'a>) -> Result<Slot<'a>, Mistake> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return self.fail("expected a value");
        }
        self.at += word.len();
        Ok(slot)
    }

    fn number(&mut self) -> Result<Slot<'a>, Mistake> {
        let start = self.at;
        let is_negative = self.take(b'-');
        if !self.take(b'0') {
            self.digits()?;
        } else if self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            return self.fail("a number begins with a zero too many");
        }
        let whole = self.at;
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _is_signed = self.take(b'+') || self.take(b'-');
            self.digits()?;
        }
        let written = &self.text[start..self.at];
        // The zero below zero is a float's.
        if whole == self.at
            && let Ok(number) = written.parse::<i64>()
            && !(is_negative && number == 0)
        {
            return Ok(Slot::Whole(number));
        }
        match written.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Slot::Number(number)),
            _ => self.fail("a number is out of range"),
        }
    }

    /// Digits, one at the least.
    fn digits(&mut self) -> Result<(), Mistake> {
        let start = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == start { self.fail("expected a digit") } else { Ok(()) }
    }

    /// A text from its opening quote to its closing one.
    fn word(&mut self) -> Result<Word<'a>, Mistake> {
        self.at += 1;
        let start = self.at;
        self.skip_plain();
        if self.take(b'"') {
            return Ok(Word::Plain(&self.text[start..self.at - 1]));
        }
        let unescaped = self.parser.unescaped.len();
        self.parser.unescaped.push_str(&self.text[start..self.at]);
        while !self.take(b'"') {
            if !self.take(b'\\') {
                let is_end = self.at == self.bytes.len();
                return self.fail(if is_end { TOO_EARLY } else { "a control character in a text" });
            }
            let letter = self.escape()?;
            self.parser.unescaped.push(letter);
            let start = self.at;
            self.skip_plain();
            self.parser.unescaped.push_str(&self.text[start..self.at]);
        }
        Ok(Word::Escaped(unescaped))
    }

    /// Goes on to the next quote, backslash or control character.
    fn skip_plain(&mut self) {
        while let Some(eight) = self.bytes[self.at..].first_chunk() {
            let special = special_letters(u64::from_le_bytes(*eight));
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.bytes.get(self.at).is_some_and(|letter| !matches!(letter, b'"' | b'\\' | ..0x20)) {
            self.at += 1;
        }
    }

    /// What an escape behind its backslash stands for.
    fn escape(&mut self) -> Result<char, Mistake> {
        let Some(letter) = self.bytes.get(self.at) else { return self.fail(TOO_EARLY) };
        let plain = match letter {
            b'"' | b'\\' | b'/' => char::from(*letter),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => return self.unicode(),
            _ => return self.fail("an unknown escape"),
        };
        self.at += 1;
        Ok(plain)
    }

    /// A character by its number, or by two of them.
    fn unicode(&mut self) -> Result<char, Mistake> {
        let first = self.four_digits()?;
        if let Some(letter) = char::from_u32(first) {
            return Ok(letter);
        }
        let second = if self.take(b'\\') { self.four_digits()? } else { 0 };
        let is_pair = (0xd800..0xdc00).contains(&first) && (0xdc00..0xe000).contains(&second);
        let pair = is_pair.then(|| 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
        pair.and_then(char::from_u32).map_or_else(|| self.fail("half a character"), Ok)
    }

    /// The `u` of an escape and its four digits.
    fn four_digits(&mut self) -> Result<u32, Mistake> {
        let digits = self.bytes.get(self.at + 1..self.at + 5).filter(|_| self.take(b'u'));
        let number = digits.and_then(|digits| {
            digits.iter().try_fold(0, |number, digit| Some(number * 16 + char::from(*digit).to_digit(16)?))
        });
        let Some(number) = number else { return self.fail("an escape lacks its digits") };
        self.at += 4;
        Ok(number)
    }
}

#[cfg(test)]
mod tests;
