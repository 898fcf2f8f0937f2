//! The common shape of a record, read by hand: one flat object of plain words and plain numbers. Decoding is
//! most of what the engine costs, and nearly every record that a device sends is of this shape. Whatever is not
//! — an escape, a nested value, an exponent, a mistake — is left to [`super::json`], which reads the record again
//! from its start and alone decides what is wrong with it. A property test holds the two against each other.

use super::body::{Body, Shape, Slot};
use super::digits::{TENS, leading_digits};
use super::layout::{Layout, bit};
use super::parser::{Name, Parser};

/// Digits of a number that is certainly below 2^63.
const DIGITS_MAX: usize = 18;
/// Whole numbers up to here are exact in a 64-bit float, and so is their quotient by an exact power of ten,
/// correctly rounded.
const EXACT: u64 = 1 << 53;
/// The powers of ten that are exact in a 64-bit float.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Reads `text` into `body` where it is of the common shape; `None` where it is not, and then `body` and what
/// the parser found are to be thrown away.
pub(super) fn scan<'a>(
    parser: &mut Parser,
    layout: &Layout,
    text: &'a str,
    body: &mut Body<'a>,
) -> Option<()> {
    let mut scanner = Scanner { text, bytes: text.as_bytes(), at: 0 };
    if scanner.next()? != b'{' {
        return None;
    }
    let (mut after, mut seen) = (0, 0);
    loop {
        let name = scanner.key(parser, layout, after)?;
        let slot = scanner.value()?;
        match name {
            Name::Field(number) if seen & bit(number) == 0 => {
                seen |= bit(number);
                after = number + 1;
                if slot != Slot::Absent {
                    body.set(number, slot);
                }
            }
            Name::Field(number) => {
                after = number + 1;
                parser.note_twice(layout.name(number));
            }
            other => {
                parser.note_name(other);
                if let Slot::Text(text) = slot {
                    parser.note_text(text);
                }
            }
        }
        match scanner.next()? {
            b',' => {}
            b'}' => break,
            _ => return None,
        }
    }
    body.shape = Shape::Object;
    scanner.is_at_end().then_some(())
}

/// A key with the quote and the colon behind it, to be compared at one stroke.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    letters: u128,
    mask: u128,
    length: usize,
}

impl Mark {
    /// The mark of a field's name; a name too long for one matches nothing.
    pub(super) fn of(name: &str) -> Self {
        let mut letters = [0; 16];
        let length = name.len() + 2;
        if length > letters.len() {
            return Self { letters: 1, mask: 0, length };
        }
        letters[..name.len()].copy_from_slice(name.as_bytes());
        letters[name.len()..length].copy_from_slice(b"\":");
        Self { letters: u128::from_le_bytes(letters), mask: u128::MAX >> (128 - 8 * length), length }
    }

    fn is(self, sixteen: u128) -> bool {
        sixteen & self.mask == self.letters
    }
}

struct Scanner<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    #[inline]
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.at += 1;
        }
    }

    /// The next letter that is no space.
    #[inline]
    fn next(&mut self) -> Option<u8> {
        self.skip_space();
        let letter = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(letter)
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_space();
        self.at == self.bytes.len()
    }

    /// What the key that comes next means, with the colon behind it read. `after` as in [`Parser::name`].
    #[inline]
    fn key(&mut self, parser: &mut Parser, layout: &Layout, after: usize) -> Option<Name> {
        if self.next()? != b'"' {
            return None;
        }
        if let Some(number) = parser.expected(after)
            && let Some(sixteen) = self.bytes.get(self.at..self.at + 16)
            && layout.marks[number].is(u128::from_le_bytes(sixteen.try_into().ok()?))
        {
            self.at += layout.marks[number].length;
            return Some(Name::Field(number));
        }
        let key = self.rest_of_word()?;
        let name = parser.name(key, layout, after);
        if !matches!(name, Name::Field(_)) {
            parser.note_key(0, key);
        }
        (self.next()? == b':').then_some(name)
    }

    #[inline]
    fn value(&mut self) -> Option<Slot<'a>> {
        match self.next()? {
            b'"' => self.rest_of_word().map(Slot::Text),
            b't' => self.rest_of_literal(b"rue", Slot::True),
            b'f' => self.rest_of_literal(b"alse", Slot::False),
            b'n' => self.rest_of_literal(b"ull", Slot::Absent),
            b'-' => self.number(true),
            b'0'..=b'9' => {
                self.at -= 1;
                self.number(false)
            }
            _ => None,
        }
    }

    fn rest_of_literal(&mut self, rest: &[u8], slot: Slot<'a>) -> Option<Slot<'a>> {
        let end = self.at + rest.len();
        let is_it = self.bytes.get(self.at..end) == Some(rest);
        self.at = end;
        is_it.then_some(slot)
    }

    /// The text up to the closing quote; `None` where it holds an escape or a control character.
    #[inline]
    fn rest_of_word(&mut self) -> Option<&'a str> {
        let start = self.at;
        while let Some(eight) = self.bytes.get(self.at..self.at + 8) {
            let eight = u64::from_le_bytes(eight.try_into().ok()?);
            let special = special_letters(eight);
            if special != 0 {
                self.at += special.trailing_zeros() as usize / 8;
                return self.close(start);
            }
            self.at += 8;
        }
        while !matches!(self.bytes.get(self.at)?, b'"' | b'\\' | ..0x20) {
            self.at += 1;
        }
        self.close(start)
    }

    /// Ends a word at the letter that stopped it, which must be a quote.
    fn close(&mut self, start: usize) -> Option<&'a str> {
        let end = self.at;
        self.at += 1;
        (self.bytes.get(end) == Some(&b'"')).then(|| self.text.get(start..end))?
    }

    /// A number without an exponent, few enough digits to be exact, and written as JSON wants it.
    fn number(&mut self, negative: bool) -> Option<Slot<'a>> {
        let (mut mantissa, mut digits, start) = (0_u64, 0, self.at);
        self.digits(&mut mantissa, &mut digits);
        if digits == 0 || digits > DIGITS_MAX || (digits > 1 && self.bytes[start] == b'0') {
            return None;
        }
        let whole = digits;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits(&mut mantissa, &mut digits);
        }
        let is_more = matches!(self.bytes.get(self.at), Some(b'.' | b'e' | b'E' | b'+' | b'-'));
        // The sign of a zero is a float's.
        if is_more || (negative && mantissa == 0) {
            return None;
        }
        if self.bytes[self.at - 1] == b'.' || digits > DIGITS_MAX {
            return None;
        }
        if digits == whole {
            let number = i64::try_from(mantissa).ok()?;
            return Some(Slot::Whole(if negative { -number } else { number }));
        }
        if mantissa > EXACT {
            return None;
        }
        let number = mantissa as f64 / POWERS[digits - whole];
        Some(Slot::Number(if negative { -number } else { number }))
    }

    /// Reads digits; beyond what a number here may have they are counted, and added to no purpose.
    #[inline]
    fn digits(&mut self, mantissa: &mut u64, digits: &mut usize) {
        while let Some(eight) = self.bytes[self.at..].first_chunk() {
            let (number, count) = leading_digits(*eight);
            *mantissa = mantissa.wrapping_mul(TENS[count]).wrapping_add(number);
            *digits += count;
            self.at += count;
            if count < 8 {
                return;
            }
        }
        while let Some(digit @ b'0'..=b'9') = self.bytes.get(self.at) {
            *mantissa = mantissa.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            *digits += 1;
            self.at += 1;
        }
    }
}

/// Marks the quotes, backslashes and control characters among eight letters, in the top bit of each; the lowest
/// mark is always right.
pub(super) const fn special_letters(eight: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let quote = eight ^ (ONES * b'"' as u64);
    let backslash = eight ^ (ONES * b'\\' as u64);
    let is_quote = quote.wrapping_sub(ONES) & !quote;
    let is_backslash = backslash.wrapping_sub(ONES) & !backslash;
    let is_control = eight.wrapping_sub(ONES * 0x20) & !eight;
    (is_quote | is_backslash | is_control) & TOPS
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::Topic;
    use proptest::prelude::*;

    use super::*;

    /// Whether `text` was of the common shape; fails where the reader of every shape then reads anything else.
    fn agrees_with_any(text: &str) -> bool {
        let layout = Layout::of(Topic::Iot);
        let (mut scanning, mut parsing) = (Parser::new(layout), Parser::new(layout));
        let (mut body, mut expected) = (Body::new(), Body::new());
        if scan(&mut scanning, layout, text, &mut body).is_none() {
            return false;
        }
        let read = parsing.parse_any(layout, text, &mut expected);
        assert!(read.is_ok(), "`{text}` is no JSON: {read:?}");
        assert_eq!(
            (body.slots, body.given, body.shape),
            (expected.slots, expected.given, expected.shape),
            "{text}"
        );
        assert_eq!(scanning.found, parsing.found, "{text}");
        true
    }

    #[test]
    fn what_devices_send_is_of_the_common_shape() {
        let texts = [
            r#"{"id":"a","time":1767261600000,"device":"d","heartbeat":true,"result":-0.25,"floor":null}"#,
            "{ \"id\": \"a\",\n\t\"device\" : \"d\", \"unit\": \"%LEL\", \"x\": 1, \"native_code\": \"烟感\" }\r\n",
            r#"{"credential_class":"visitor","a-name-that-no-topic-knows-and-that-is-long":"x","result":0}"#,
            r#"{"id":"a","id":"b"}"#,
            r#"{"x":1,"x":2}"#,
            r#"{"x":1,"phone":"1","specversion":"1.0","data":1,"phone":2}"#,
            r#"{"x":"https://nvr/1.jpg?token=a"}"#,
        ];
        for text in texts {
            assert!(agrees_with_any(text), "{text}");
        }
    }

    #[test]
    fn everything_else_is_left_to_the_reader_of_every_shape() {
        let texts = [
            "",
            "{",
            "{}",
            "[]",
            "null",
            "{\"id\"",
            "{\"id\":",
            r#"{"id":"a"}}"#,
            r#"{"id":"a",}"#,
            r#"{"id":"a" "b":1}"#,
            r#"{"id":"a\u0041"}"#,
            r#"{"id":["a"]}"#,
            r#"{"id":{"a":1}}"#,
            r#"{"result":1e3}"#,
            r#"{"result":01}"#,
            r#"{"result":1.}"#,
            r#"{"result":.5}"#,
            r#"{"result":-}"#,
            r#"{"result":-0}"#,
            r#"{"result":+1}"#,
            r#"{"result":1.2.3}"#,
            r#"{"result":12345678901234567890}"#,
            r#"{"result":0.12345678901234567}"#,
            r#"{"result":NaN}"#,
            r#"{"heartbeat":tru}"#,
            r#"{"heartbeat":truex}"#,
            "{\"id\":\"a\nb\"}",
            "{\"id\":\"a",
        ];
        for text in texts {
            assert!(!agrees_with_any(text), "{text}");
        }
    }

    fn member() -> impl Strategy<Value = String> {
        let key = prop_oneof![
            8 => prop::sample::select(vec!["id", "time", "device", "result", "unit", "state", "lon", "floor"]),
            2 => prop::sample::select(vec!["x", "firmware", "a_key_of_more_than_sixteen", "电量", "phone", "data", "a\\\"b"]),
        ];
        let value = prop_oneof![
            4 => "[a-zA-Z0-9:/._ -]{0,24}".prop_map(|text| format!("\"{text}\"")),
            1 => "\\PC{0,12}".prop_map(|text| format!("\"{text}\"")),
            2 => any::<i64>().prop_map(|number| number.to_string()),
            3 => (any::<i32>(), 0..20_usize).prop_map(|(number, places)| format!("{:.places$}", f64::from(number) / 977.0)),
            1 => any::<f64>().prop_map(|number| format!("{number:e}")),
            1 => prop::sample::select(vec!["true", "false", "null", "-0", "-0.0", "1.", "00", "{}", "[1,{\"a\":2}]", "\"\\u00e9\""])
                .prop_map(str::to_owned),
        ];
        let space = "[ \n\t]{0,2}";
        (key, value, space, space)
            .prop_map(|(key, value, one, two)| format!("{one}\"{key}\"{two}:{one}{value}{two}"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]

        #[test]
        fn a_record_of_the_common_shape_is_read_as_every_other_one_is(
            members in prop::collection::vec(member(), 0..8), cut in any::<prop::sample::Index>(), flaw in 0..12_u8,
        ) {
            let mut text = format!("{{{}}}", members.join(","));
            if flaw == 0 {
                let at = cut.index(text.len());
                text.truncate((0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0));
            }
            agrees_with_any(&text);
        }
    }
}
