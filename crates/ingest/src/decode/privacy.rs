//! What must not be stored: recognised by a field's name, and by what a text looks like.

mod broken;
mod words;

use std::sync::LazyLock;

use rustc_hash::FxHashMap;

pub(super) use broken::may_name_forbidden;
use words::{FORBIDDEN, FORBIDDEN_WORDS, LONGEST, PERSONS, TOKENS};

/// The words of [`FORBIDDEN`], by what they give away.
static WORDS: LazyLock<FxHashMap<&'static [u8], &'static str>> = LazyLock::new(|| {
    let words = FORBIDDEN.iter().flat_map(|(what, words)| words.iter().map(|word| (word.as_bytes(), *what)));
    words.collect()
});

/// What a field of this name gives away; `None` for a name that is harmless.
pub(super) fn forbidden_name(name: &str) -> Option<&'static str> {
    if !name.is_ascii() {
        let word = FORBIDDEN_WORDS.iter().find(|(word, _)| name.contains(word));
        return word.map(|(_, what)| *what);
    }
    forbidden_word(name.as_bytes())
}

/// The same for a name of ASCII alone.
fn forbidden_word(name: &[u8]) -> Option<&'static str> {
    let (mut plain, mut length) = ([0; LONGEST], 0);
    for letter in name.iter().filter(|letter| letter.is_ascii_alphanumeric()) {
        *plain.get_mut(length)? = letter.to_ascii_lowercase();
        length += 1;
    }
    let plain = &plain[..length];
    if !may_end_a_word(plain) {
        return None;
    }
    let of = |word: &[u8]| WORDS.get(word).copied();
    of(plain).or_else(|| {
        PERSONS_BY_LETTER[usize::from(plain[0] & 31)]
            .iter()
            .find_map(|person| plain.strip_prefix(person.as_bytes()).and_then(of))
    })
}

/// [`PERSONS`] by the first letter, counted by its lower five bits.
static PERSONS_BY_LETTER: LazyLock<[Vec<&str>; 32]> = LazyLock::new(|| {
    let mut persons: [Vec<&str>; 32] = [const { Vec::new() }; 32];
    for person in PERSONS {
        persons[usize::from(person.as_bytes()[0] & 31)].push(person);
    }
    persons
});

/// How the words of [`FORBIDDEN`] end: for each two letters before the last one a set of last ones. A letter counts by its
/// lower five bits, which are the same for both cases; other signs may pass for one.
static ENDINGS: [u32; 1024] = {
    let mut endings = [0; 1024];
    let mut group = 0;
    while group < FORBIDDEN.len() {
        let words = FORBIDDEN[group].1;
        let mut word = 0;
        while word < words.len() {
            let [.., one, two, last] = words[word].as_bytes() else { panic!("a word of two letters") };
            endings[before_the_last(*one, *two)] |= 1 << (*last & 31);
            word += 1;
        }
        group += 1;
    }
    endings
};

const fn before_the_last(one: u8, two: u8) -> usize {
    (((one & 31) as usize) << 5) | (two & 31) as usize
}

/// Whether a word of [`FORBIDDEN`] may end as `plain` does: nearly every name is harmless already by that.
fn may_end_a_word(plain: &[u8]) -> bool {
    let [.., one, two, last] = plain else { return false };
    (ENDINGS[before_the_last(*one, *two)] >> (last & 31)) & 1 == 1
}

/// Whether `text` is an address that carries the means to open it, or an image itself.
pub(super) fn is_image_address_with_token(text: &str) -> bool {
    // Cheap first: nearly every text of a record is a word.
    if text.len() < 12 || !holds_colon(text.as_bytes()) {
        return false;
    }
    if text.starts_with("data:image") {
        return true;
    }
    let Some(rest) = after_scheme(text) else { return false };
    let (place, query) = rest.split_once('?').unwrap_or((rest, ""));
    let host = place.split('/').next().unwrap_or("");
    let carries_login = host.split_once('@').is_some_and(|(login, _)| login.contains(':'));
    carries_login || query.split(['&', '#', ';']).any(is_token)
}

/// Whether there is a colon in a text of eight letters or more. It is looked for in eight at once; the last eight may
/// have been looked at in part.
fn holds_colon(text: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let (eights, _) = text.as_chunks();
    eights.iter().chain(text.last_chunk()).any(|eight| {
        let zero_for_colon = u64::from_le_bytes(*eight) ^ (ONES * u64::from(b':'));
        zero_for_colon.wrapping_sub(ONES) & !zero_for_colon & TOPS != 0
    })
}

/// What follows `://`, found by way of the rare colon.
fn after_scheme(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(':') {
        if let Some(place) = after.strip_prefix("//") {
            return Some(place);
        }
        rest = after;
    }
    None
}

fn is_token(parameter: &str) -> bool {
    let name = parameter.split('=').next().unwrap_or("");
    TOKENS.iter().any(|token| name.eq_ignore_ascii_case(token))
}

/// Whether `text` holds a mobile number (11 digits from 13 to 19) or an identity number (18 places), standing free.
pub(super) fn holds_personal_number(text: &str) -> bool {
    holds_number(text.as_bytes())
}

/// The same for bytes of any kind. A number cannot step over every eleventh byte, and where one covers such a byte, there
/// are five more digits before or behind it.
fn holds_number(bytes: &[u8]) -> bool {
    const BESIDE: usize = SHORTEST_NUMBER / 2;
    let are_digits = |places: std::ops::RangeInclusive<usize>| {
        bytes.get(places).is_some_and(|stretch| stretch.iter().all(u8::is_ascii_digit))
    };
    let may_cover = |place: &usize| {
        bytes[*place].is_ascii_digit()
            && (are_digits(place - BESIDE..=*place) || are_digits(*place..=place + BESIDE))
    };
    let mut places = (SHORTEST_NUMBER - 1..bytes.len()).step_by(SHORTEST_NUMBER).filter(may_cover);
    places.any(|place| {
        let is_apart = |byte: &u8| !byte.is_ascii_alphanumeric();
        let start = bytes[..place].iter().rposition(is_apart).map_or(0, |before| before + 1);
        let end = bytes[place..].iter().position(is_apart).map_or(bytes.len(), |after| place + after);
        is_personal_number(&bytes[start..end])
    })
}

/// Digits of a mobile number.
const SHORTEST_NUMBER: usize = 11;

/// Whether letters and digits that stand together are such a number.
fn is_personal_number(run: &[u8]) -> bool {
    match run {
        [b'1', b'3'..=b'9', ..] if run.len() == SHORTEST_NUMBER => run.iter().all(u8::is_ascii_digit),
        [number @ .., last] if number.len() == 17 => {
            let month_and_day = &run[10..14];
            number.iter().all(u8::is_ascii_digit)
                && (last.is_ascii_digit() || last.eq_ignore_ascii_case(&b'x'))
                && (&b"0101"[..]..=&b"1231"[..]).contains(&month_and_day)
        }
        _ => false,
    }
}

/// The longest key that may be told, and how many digits may stand in it.
const TELLABLE: usize = 24;
const TELLABLE_DIGITS: usize = 4;

/// Whether a key that is no field may be told where a payload may not. A key is a name as a rule, but nothing keeps a
/// number of a person or a token from being one: what is told has to look like a name.
pub(super) fn is_tellable(key: &str) -> bool {
    let is_of_name = |letter: u8| letter.is_ascii_alphanumeric() || letter == b'_' || letter == b'-';
    key.len() <= TELLABLE
        && key.starts_with(|first: char| first.is_ascii_alphabetic())
        && key.bytes().all(is_of_name)
        && key.bytes().filter(u8::is_ascii_digit).count() <= TELLABLE_DIGITS
}

#[cfg(test)]
mod tests {
    use super::words::SHORTEST;
    use super::*;

    #[test]
    fn aliases_of_forbidden_names_are_found() {
        let names = [
            "name",
            "Name",
            "person_name",
            "visitorName",
            "idCard",
            "ID-Card-No",
            "mobile",
            "ownerPhone",
            "card_no",
            "licensePlate",
            "faceFeature",
            "face_image",
            "holdername",
            "姓名",
            "访客姓名",
            "手机号码",
            "车牌号",
        ];
        for name in names {
            assert!(forbidden_name(name).is_some(), "`{name}` should be forbidden");
        }
    }

    #[test]
    fn every_word_is_found_by_itself_and_said_of_a_person_and_none_is_longer_than_looked_at() {
        for (what, words) in FORBIDDEN {
            for word in *words {
                assert!(word.len() >= SHORTEST, "`{word}`");
                assert_eq!(forbidden_name(word), Some(*what), "`{word}`");
                assert_eq!(forbidden_name(&format!("_{word}-")), Some(*what), "`{word}`");
                assert_eq!(forbidden_name(&word.to_ascii_uppercase()), Some(*what), "`{word}`");
                for person in PERSONS {
                    assert!(person.len() + word.len() <= LONGEST, "`{person}{word}`");
                    assert!(forbidden_name(&format!("{person}_{word}")).is_some(), "`{person}_{word}`");
                    assert!(may_name_forbidden(format!("x,{person}{word}:1").as_bytes()), "`{person}{word}`");
                }
            }
        }
        assert!(
            may_name_forbidden("{，phone，".as_bytes()) && may_name_forbidden("{\"访客姓名\":".as_bytes())
        );
    }

    #[test]
    fn names_of_things_are_not_names_of_persons() {
        let names = [
            "device_name",
            "site_name",
            "hostname",
            "filename",
            "template",
            "image_quality",
            "cell",
            "id",
            "card",
            "telemetry",
            "interface",
            "surface",
            "native_code",
            "officer_ref",
            "evidence_ref",
            "名称",
            "设备名称",
        ];
        for name in names {
            assert_eq!(forbidden_name(name), None, "`{name}` should be accepted");
        }
    }

    #[test]
    fn an_address_counts_where_it_opens_by_itself() {
        assert!(is_image_address_with_token("https://nvr.example/1.jpg?size=2&Token=abc"));
        assert!(is_image_address_with_token("rtsp://admin:secret@10.0.0.1/stream"));
        assert!(is_image_address_with_token("data:image/jpeg;base64,/9j/4AAQ"));
        assert!(!is_image_address_with_token("nvr://7/2026-05-11T09:00:00/42"));
        assert!(!is_image_address_with_token("https://nvr.example/1.jpg?size=2"));
    }

    #[test]
    fn a_free_standing_number_of_a_person_is_found() {
        assert!(holds_personal_number("张三 13800000000"));
        assert!(holds_personal_number("330106199001010000"));
        assert!(!holds_personal_number("a3f19c5577d0e214"));
        assert!(!holds_personal_number("onvif:AccessControl/AccessGranted"));
        assert!(!holds_personal_number("1778461200000"));
    }

    #[test]
    fn a_key_that_looks_like_a_name_may_be_told_and_no_other() {
        for key in ["fw", "firmware_version", "x-9", "battery2", "a"] {
            assert!(is_tellable(key), "`{key}`");
        }
        let hidden =
            ["", "13800000000", "x13800000000", "张三", "a b", "https://a", "a3f19c5577d0e214", "_x", "a.b"];
        for key in hidden.into_iter().chain(["a_key_of_more_than_twenty_four"]) {
            assert!(!is_tellable(key), "`{key}`");
        }
    }

    #[test]
    fn a_broken_payload_that_names_a_phone_is_known() {
        assert!(may_name_forbidden(br#"{"id":"u","phone":"138"#));
        assert!(!may_name_forbidden(br#"{"id":"u","event":"granted"#));
        assert!(may_name_forbidden(br#"{"evidence_ref":"https:\/\/nvr\/1.jpg?token=a","event":"gra"#));
        assert!(!may_name_forbidden(br#"{"evidence_ref":"nvr://7/42","event":"gra"#));
    }
}
