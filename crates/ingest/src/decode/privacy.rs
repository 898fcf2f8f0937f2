//! What must not be stored: recognised by a field's name, and by what a text looks like.

use std::sync::LazyLock;

use rustc_hash::{FxHashMap, FxHashSet};

/// Names, with case and separators taken off, by what they give away.
const FORBIDDEN: &[(&str, &[&str])] = &[
    ("name", &["name", "xingming", "cardholder", "firstname", "lastname", "surname", "fullname", "realname"]),
    (
        "id_card",
        &[
            "idcard",
            "idcardno",
            "idcardnumber",
            "idnumber",
            "idno",
            "identitycard",
            "identitycardno",
            "identityno",
            "identitynumber",
            "certno",
            "certnumber",
            "certificateno",
            "nationalid",
            "citizenid",
            "ssn",
            "passport",
            "passportno",
            "passportnumber",
            "sfz",
            "sfzh",
            "shenfenzheng",
            "shenfenzhenghao",
        ],
    ),
    (
        "phone",
        &[
            "phone",
            "phoneno",
            "phonenum",
            "phonenumber",
            "mobile",
            "mobileno",
            "mobilenumber",
            "mobilephone",
            "cellphone",
            "tel",
            "telno",
            "telephone",
            "telephonenumber",
            "msisdn",
            "shouji",
            "shoujihao",
        ],
    ),
    (
        "card_number",
        &[
            "cardnumber",
            "cardno",
            "cardnum",
            "cardid",
            "carduid",
            "cardserial",
            "iccardno",
            "accesscardno",
            "kahao",
        ],
    ),
    (
        "plate",
        &[
            "plate",
            "plateno",
            "platenum",
            "platenumber",
            "licenseplate",
            "licenceplate",
            "licenseplatenumber",
            "licenceplatenumber",
            "licenseplateno",
            "carplate",
            "vehicleplate",
            "numberplate",
            "carno",
            "chepai",
            "chepaihao",
        ],
    ),
    (
        "face",
        &[
            "face",
            "facevector",
            "facefeature",
            "facefeatures",
            "faceembedding",
            "facetemplate",
            "facedata",
            "faceimage",
            "faceimg",
            "facepic",
            "facephoto",
            "facepicture",
            "faceurl",
            "embedding",
            "biometric",
            "biometrics",
            "fingerprint",
            "faceid",
        ],
    ),
    (
        "image",
        &[
            "image",
            "imagedata",
            "imagebase64",
            "imgbase64",
            "img",
            "picture",
            "pic",
            "photo",
            "photobase64",
            "snapshot",
            "snapshotdata",
            "thumbnail",
        ],
    ),
];

/// Words of Chinese names, wherever they stand in the name.
const FORBIDDEN_WORDS: &[(&str, &str)] = &[
    ("姓名", "name"),
    ("名字", "name"),
    ("身份证", "id_card"),
    ("证件号", "id_card"),
    ("护照", "id_card"),
    ("手机", "phone"),
    ("电话", "phone"),
    ("联系方式", "phone"),
    ("卡号", "card_number"),
    ("车牌", "plate"),
    ("人脸", "face"),
    ("指纹", "face"),
    ("照片", "image"),
    ("图片", "image"),
    ("图像", "image"),
];

/// Whose field it is, said before what it gives away (`visitorName`, `owner_phone`).
const PERSONS: &[&str] = &[
    "person",
    "visitor",
    "resident",
    "tenant",
    "owner",
    "householder",
    "holder",
    "cardholder",
    "user",
    "staff",
    "employee",
    "worker",
    "guest",
    "caller",
    "contact",
    "customer",
    "member",
    "driver",
    "officer",
    "guard",
    "patient",
    "child",
    "guardian",
    "subject",
    "real",
    "full",
    "first",
    "last",
    "given",
    "family",
    "middle",
    "nick",
    "legal",
    "maiden",
    "display",
];

/// Query parameters that open what an address points at.
const TOKENS: &[&str] = &[
    "token",
    "access_token",
    "accesstoken",
    "auth",
    "authorization",
    "sig",
    "signature",
    "sign",
    "secret",
    "key",
    "apikey",
    "api_key",
    "accesskeyid",
    "password",
    "passwd",
    "pwd",
    "ticket",
    "credential",
    "session",
    "x-amz-signature",
    "x-amz-credential",
    "x-oss-signature",
    "jwt",
];

/// The words of [`FORBIDDEN`], by what they give away.
static WORDS: LazyLock<FxHashMap<&'static [u8], &'static str>> = LazyLock::new(|| {
    let words = FORBIDDEN.iter().flat_map(|(what, words)| words.iter().map(|word| (word.as_bytes(), *what)));
    words.collect()
});

/// The longest name that can give something away: the longest of [`PERSONS`] before the longest of [`FORBIDDEN`].
const LONGEST: usize = 32;
/// The shortest, in bytes.
const SHORTEST: usize = 3;

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
    let of_person = |person: &&str| plain.strip_prefix(person.as_bytes()).and_then(of);
    of(plain).or_else(|| PERSONS.iter().find_map(of_person))
}

/// The last two letters of the words of [`FORBIDDEN`].
static ENDINGS: LazyLock<FxHashSet<[u8; 2]>> =
    LazyLock::new(|| WORDS.keys().filter_map(|word| word.last_chunk().copied()).collect());

/// Whether a word of [`FORBIDDEN`] ends in the two letters in which `plain` ends: most names are harmless already by that.
fn may_end_a_word(plain: &[u8]) -> bool {
    plain.last_chunk().is_some_and(|ending: &[u8; 2]| ENDINGS.contains(ending))
}

/// Whether `text` is an address that carries the means to open it, or an image itself.
pub(super) fn is_image_address_with_token(text: &str) -> bool {
    // Cheap first: nearly every text of a record is a word.
    if text.len() < 12 {
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
    text.len() >= 11
        && text.as_bytes().split(|letter| !letter.is_ascii_alphanumeric()).any(|run| match run {
            [b'1', b'3'..=b'9', ..] if run.len() == 11 => run.iter().all(u8::is_ascii_digit),
            [number @ .., last] if number.len() == 17 => {
                let month_and_day = &run[10..14];
                number.iter().all(u8::is_ascii_digit)
                    && (last.is_ascii_digit() || last.eq_ignore_ascii_case(&b'x'))
                    && (&b"0101"[..]..=&b"1231"[..]).contains(&month_and_day)
            }
            _ => false,
        })
}

/// Whether bytes that could not be read name something forbidden. Coarse on purpose: withholding a broken
/// payload too often costs a look into Kafka, keeping one too often stores what must not be stored.
pub(super) fn may_name_forbidden(bytes: &[u8]) -> bool {
    let mut start = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        if IS_OF_WORD[usize::from(byte)] {
            continue;
        }
        if is_forbidden(&bytes[start..at]) {
            return true;
        }
        start = at + 1;
    }
    is_forbidden(&bytes[start..]) || may_hold_address(bytes)
}

/// Whether a byte belongs to a word: letters, digits, what joins them, and all beyond ASCII.
static IS_OF_WORD: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < u8::MAX {
        table[byte as usize] =
            byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-' || !byte.is_ascii();
        byte += 1;
    }
    table[255] = true;
    table
};

/// Whether a word of a text that could not be read says what must not be stored.
fn is_forbidden(word: &[u8]) -> bool {
    if word.len() < SHORTEST {
        return false;
    }
    if word.is_ascii() {
        return forbidden_word(word).is_some()
            || (word.len() >= 11 && std::str::from_utf8(word).is_ok_and(holds_personal_number));
    }
    let text = String::from_utf8_lossy(word);
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-')
        .any(|word| forbidden_name(word).is_some() || holds_personal_number(word))
}

/// Whether a piece between quotes is an address that opens; a slash may be written as `\/`.
fn may_hold_address(bytes: &[u8]) -> bool {
    let begins =
        |rest: &[u8]| [b"//".as_slice(), b"\\/", b"image"].iter().any(|start| rest.starts_with(start));
    if !bytes.split(|byte| *byte == b':').skip(1).any(begins) {
        return false;
    }
    let text = String::from_utf8_lossy(bytes).replace("\\/", "/");
    text.split('"').any(is_image_address_with_token)
}

#[cfg(test)]
mod tests {
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
    fn a_broken_payload_that_names_a_phone_is_known() {
        assert!(may_name_forbidden(br#"{"id":"u","phone":"138"#));
        assert!(!may_name_forbidden(br#"{"id":"u","event":"granted"#));
        assert!(may_name_forbidden(br#"{"evidence_ref":"https:\/\/nvr\/1.jpg?token=a","event":"gra"#));
        assert!(!may_name_forbidden(br#"{"evidence_ref":"nvr://7/42","event":"gra"#));
    }
}
