//! What a payload that could not be read may give away. Coarse on purpose: withholding a broken payload too often costs
//! a look into Kafka, keeping one too often stores what must not be stored. But damage may come by the million, so that
//! a text of ASCII is looked through in strides.
#![allow(
    clippy::needless_bitwise_bool,
    reason = "without branches the compiler looks at a whole stride at once"
)]

use super::words::SHORTEST;
use super::{forbidden_name, forbidden_word, holds_number, is_image_address_with_token, may_end_a_word};

/// Whether bytes that could not be read name something forbidden.
pub(in crate::decode) fn may_name_forbidden(bytes: &[u8]) -> bool {
    let names = if bytes.is_ascii() { names_in_ascii(bytes) } else { names_in_any(bytes) };
    names || holds_number(bytes) || may_hold_address(bytes)
}

/// Letters that are looked at in one stride.
const STRIDE: usize = 64;

/// Looks at each word of ASCII that ends as a forbidden one may.
fn names_in_ascii(bytes: &[u8]) -> bool {
    let (strides, rest) = bytes.as_chunks::<STRIDE>();
    let mut last = [0; STRIDE];
    last[..rest.len()].copy_from_slice(rest);
    // What the letter before the stride was.
    let (mut was_within, mut was_last) = (0, 0);
    for (number, stride) in strides.iter().chain([&last]).enumerate() {
        let (within, may_be_last) = (marks(stride, is_of_word), marks(stride, may_be_last));
        let mut ends = !within & ((within << 1) | was_within) & ((may_be_last << 1) | was_last);
        (was_within, was_last) = (within >> (STRIDE - 1), may_be_last >> (STRIDE - 1));
        while ends != 0 {
            let end = number * STRIDE + ends.trailing_zeros() as usize;
            if ends_forbidden(&bytes[..end]) {
                return true;
            }
            ends &= ends - 1;
        }
    }
    false
}

/// One bit for each letter: whether it is of a kind.
fn marks(letters: &[u8; STRIDE], is_marked: fn(u8) -> bool) -> u64 {
    // Eight bytes that are 0 or 1, multiplied, meet as eight bits in the topmost byte.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    let mut marks = [0; STRIDE];
    for (mark, letter) in marks.iter_mut().zip(letters) {
        *mark = u8::from(is_marked(*letter));
    }
    let (eights, _) = marks.as_chunks::<8>();
    eights
        .iter()
        .rev()
        .fold(0, |bits, eight| (bits << 8) | (u64::from_le_bytes(*eight).wrapping_mul(GATHER) >> 56))
}

/// Whether a letter of ASCII belongs to a word: letters, digits, and what joins them.
fn is_of_word(letter: u8) -> bool {
    may_be_last(letter) | (letter.wrapping_sub(b'0') < 10)
}

/// Whether a word that is forbidden may end so: in a letter, in `base64`, or in what joins words.
fn may_be_last(letter: u8) -> bool {
    ((letter | 0x20).wrapping_sub(b'a') < 26) | (letter == b'4') | is_joint(letter)
}

fn is_joint(letter: u8) -> bool {
    (letter == b'_') | (letter == b'-')
}

/// Whether the word that `text` ends in is forbidden.
fn ends_forbidden(text: &[u8]) -> bool {
    let Some(ending) = text.last_chunk::<SHORTEST>() else { return false };
    // What joins letters is no ending.
    let is_joined = is_joint(ending[0]) | is_joint(ending[1]) | is_joint(ending[2]);
    if !(is_joined | may_end_a_word(ending)) {
        return false;
    }
    let start = text.iter().rposition(|letter| !is_of_word(*letter)).map_or(0, |before| before + 1);
    forbidden_word(&text[start..]).is_some()
}

/// The same for words of any script.
fn names_in_any(bytes: &[u8]) -> bool {
    let is_between = |byte: &u8| byte.is_ascii() && !is_of_word(*byte);
    bytes.split(is_between).filter(|word| word.len() >= SHORTEST).any(|word| {
        let text = String::from_utf8_lossy(word);
        text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-')
            .any(|word| forbidden_name(word).is_some())
    })
}

/// Whether a piece between quotes is an address that opens; a slash may be written as `\/`.
fn may_hold_address(bytes: &[u8]) -> bool {
    let after = bytes.get(1..).unwrap_or_default();
    let may_begin = |found: bool, (one, next): (&u8, &u8)| {
        found | ((*one == b':') & ((*next == b'/') | (*next == b'\\') | (*next == b'i')))
    };
    if !bytes.iter().zip(after).fold(false, may_begin) {
        return false;
    }
    let text = String::from_utf8_lossy(bytes).replace("\\/", "/");
    text.split('"').any(is_image_address_with_token)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::words::{FORBIDDEN, PERSONS};
    use super::*;

    /// The same, letter by letter.
    fn names_one_by_one(bytes: &[u8]) -> bool {
        let is_of_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte == b'-';
        bytes.split(|byte| !is_of_word(byte)).any(|word| forbidden_word(word).is_some())
    }

    fn word() -> impl Strategy<Value = String> {
        let words: Vec<&str> = FORBIDDEN.iter().flat_map(|(_, words)| words.iter().copied()).collect();
        let known = (prop::sample::select(PERSONS), prop::sample::select(words));
        prop_oneof![
            1 => known.prop_map(|(person, word)| format!("{person}_{word}")),
            1 => prop::sample::select(vec!["na-me", "Phone_", "-tel", "i-d_c_ard", "PHONE", "e", "ne", "x_e"])
                .prop_map(str::to_owned),
            6 => "[a-zA-Z0-9_-]{0,20}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2048))]

        #[test]
        fn strides_find_what_is_found_letter_by_letter(
            words in prop::collection::vec((word(), "[ -/:-@{-~\u{0}-\u{1f}]{1,4}"), 0..24), end in word(),
        ) {
            let mut text: String = words.into_iter().map(|(word, between)| word + &between).collect();
            text.push_str(&end);
            prop_assert_eq!(names_in_ascii(text.as_bytes()), names_one_by_one(text.as_bytes()), "{}", text);
        }

        #[test]
        fn a_number_of_a_person_is_found_wherever_it_stands(
            before in "[a-z:\"{ ]{0,30}", number in "1[3-9][0-9]{9}|[1-9][0-9]{9}(0[1-9]|1[0-2])(0[1-9]|[12][0-9])[0-9]{3}[0-9X]",
            after in "[a-z:\"} ]{0,30}",
        ) {
            let text = format!("{before},{number},{after}");
            prop_assert!(holds_number(text.as_bytes()), "{}", text);
        }
    }

    #[test]
    fn a_number_within_a_longer_one_is_none() {
        assert!(!holds_number(b"{\"time\":1778461200000,\"x\":138000000001,\"y\":\"a13800000000\"}"));
    }

    #[test]
    fn an_address_is_found_with_its_slashes_escaped_or_not() {
        assert!(may_hold_address(br#"{"a":"https://nvr/1?token=x""#));
        assert!(may_hold_address(br#"{"a":"https:\/\/nvr\/1?token=x""#));
        assert!(may_hold_address(br#"{"a":"data:image/png;base64,AAAA""#));
        assert!(!may_hold_address(br#"{"a":"https://nvr/1.jpg","b":1"#));
        assert!(!may_hold_address(b":"));
    }
}
