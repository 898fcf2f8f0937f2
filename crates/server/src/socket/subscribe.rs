//! What a client says.

use serde_json::Value;

use crate::live::{Cursor, Format};

/// What a client wants to hear.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Subscription {
    pub(super) cells: bool,
    pub(super) alarms: bool,
    pub(super) health: bool,
    pub(super) format: Format,
    pub(super) after: After,
}

/// Which alarms come first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum After {
    /// Those that are not over: the client knows none.
    Standing,
    /// Every change above this number, in every site.
    All(u64),
    /// Every change above the number of its site; a site that is not named is new to the client.
    Each(Cursor),
}

/// A message that is not understood: which member, and what to send instead.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{field}` {wrong}; {fix}")]
pub(super) struct Misunderstood {
    pub(super) field: &'static str,
    pub(super) wrong: String,
    pub(super) fix: &'static str,
}

const EXAMPLE: &str =
    r#"send {"type":"subscribe","channels":["cells","alarms","health"],"format":"json","after":0}"#;

/// Reads a client's message. Unknown members are left alone, so that newer clients work with older servers.
pub(super) fn read(text: &str) -> Result<Subscription, Misunderstood> {
    let wrong = |field, wrong: String, fix| Misunderstood { field, wrong, fix };
    let message: Value = serde_json::from_str(text)
        .map_err(|error| wrong("message", format!("is not JSON: {error}"), EXAMPLE))?;
    if message["type"] != "subscribe" {
        return Err(wrong("type", format!("is {}", message["type"]), EXAMPLE));
    }
    let mut subscription = Subscription {
        cells: false,
        alarms: false,
        health: false,
        format: format(&message["format"])?,
        after: after(&message["after"])?,
    };
    let fix = "give a list of \"cells\", \"alarms\" and \"health\"";
    let channels =
        message["channels"].as_array().ok_or_else(|| wrong("channels", "is not a list".into(), fix))?;
    for channel in channels {
        match channel.as_str() {
            Some("cells") => subscription.cells = true,
            Some("alarms") => subscription.alarms = true,
            Some("health") => subscription.health = true,
            _ => return Err(wrong("channels", format!("names {channel}, which is no channel"), fix)),
        }
    }
    Ok(subscription)
}

fn format(given: &Value) -> Result<Format, Misunderstood> {
    match given {
        Value::Null => Ok(Format::Json),
        Value::String(text) if text == "json" => Ok(Format::Json),
        Value::String(text) if text == "binary" => Ok(Format::Binary),
        other => Err(Misunderstood {
            field: "format",
            wrong: format!("is {other}"),
            fix: "give \"json\" or \"binary\"",
        }),
    }
}

fn after(given: &Value) -> Result<After, Misunderstood> {
    let wrong = || Misunderstood {
        field: "after",
        wrong: format!("is {given}"),
        fix: "give the last seq you have, or an object of site and seq; leave it out to get the alarms that stand",
    };
    match given {
        Value::Null => Ok(After::Standing),
        Value::Object(sites) if sites.is_empty() => Ok(After::Standing),
        Value::Object(sites) => {
            let cursor: Option<Cursor> =
                sites.iter().map(|(site, seq)| Some((site.clone(), seq.as_u64()?))).collect();
            cursor.map(After::Each).ok_or_else(wrong)
        }
        number => number.as_u64().map(After::All).ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_names_channels_format_and_where_to_resume() {
        let read =
            read(r#"{"type":"subscribe","channels":["alarms"],"format":"binary","after":{"a":7},"new":1}"#);
        let expected = Subscription {
            cells: false,
            alarms: true,
            health: false,
            format: Format::Binary,
            after: After::Each(Cursor::from([("a".into(), 7)])),
        };
        assert_eq!(read, Ok(expected));
    }

    #[test]
    fn without_a_number_the_alarms_that_stand_come_first() {
        for after in ["", r#","after":{}"#, r#","after":null"#] {
            let text = format!(r#"{{"type":"subscribe","channels":[]{after}}}"#);
            assert_eq!(read(&text).unwrap().after, After::Standing, "{text}");
        }
        assert_eq!(read(r#"{"type":"subscribe","channels":[],"after":0}"#).unwrap().after, After::All(0));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_member() {
        for (text, field) in [
            ("hello", "message"),
            ("[]", "type"),
            (r#"{"type":"subscribe"}"#, "channels"),
            (r#"{"type":"subscribe","channels":["heat"]}"#, "channels"),
            (r#"{"type":"subscribe","channels":[],"format":"xml"}"#, "format"),
            (r#"{"type":"subscribe","channels":[],"after":-1}"#, "after"),
            (r#"{"type":"subscribe","channels":[],"after":{"a":"x"}}"#, "after"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.field, field, "{text}");
            assert!(error.to_string().starts_with(&format!("`{field}` ")), "{error}");
        }
    }
}
