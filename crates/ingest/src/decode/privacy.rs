//! What must not be stored: recognised by a field's name, and by what a text looks like.

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

/// What a field of this name gives away; `None` for a name that is harmless.
pub(super) fn forbidden_name(name: &str) -> Option<&'static str> {
    if !name.is_ascii() {
        let word = FORBIDDEN_WORDS.iter().find(|(word, _)| name.contains(word));
        return word.map(|(_, what)| *what);
    }
    let plain: String =
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect();
    FORBIDDEN
        .iter()
        .find(|(_, words)| words.iter().any(|word| gives_away(&plain, word)))
        .map(|(what, _)| *what)
}

fn gives_away(plain: &str, word: &str) -> bool {
    plain.strip_suffix(word).is_some_and(|whose| whose.is_empty() || PERSONS.contains(&whose))
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
        && text.split(|letter: char| !letter.is_ascii_alphanumeric()).any(|run| match run.as_bytes() {
            number @ [b'1', b'3'..=b'9', ..] if number.len() == 11 => number.iter().all(u8::is_ascii_digit),
            [number @ .., last] if number.len() == 17 => {
                let month_and_day = &run[10..14];
                number.iter().all(u8::is_ascii_digit)
                    && (last.is_ascii_digit() || last.eq_ignore_ascii_case(&b'x'))
                    && ("0101"..="1231").contains(&month_and_day)
            }
            _ => false,
        })
}

/// Whether bytes that could not be read name something forbidden. Coarse on purpose: withholding a broken
/// payload too often costs a look into Kafka, keeping one too often stores what must not be stored.
pub(super) fn may_name_forbidden(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    text.split(|letter: char| !letter.is_alphanumeric() && letter != '_' && letter != '-')
        .any(|word| forbidden_name(word).is_some() || holds_personal_number(word))
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
    }
}
