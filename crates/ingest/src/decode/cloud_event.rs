//! CloudEvents 1.0 over Kafka: attributes in headers (binary mode) or an envelope around the body
//! (structured mode). Where they are there, they win over the body.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hexwatch_contract::Stage;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::privacy;
use super::refusal::{self, Refusal};

/// What the transport says of an event.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Attributes<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) source: Option<&'a str>,
    pub(super) time: Option<&'a str>,
    /// The content type announces an envelope.
    pub(super) structured: bool,
    /// A header's name gives away what must not be stored.
    pub(super) forbidden: Option<&'static str>,
    flaw: Option<&'static str>,
}

impl<'a> Attributes<'a> {
    /// Reads a record's headers.
    pub(super) fn of_headers(headers: &[(&'a str, &'a [u8])]) -> Self {
        let mut attributes = Self::default();
        for &(name, value) in headers {
            attributes.take(name, value);
        }
        attributes
    }

    fn take(&mut self, name: &'a str, value: &'a [u8]) {
        let text = std::str::from_utf8(value).ok();
        let attribute = name.strip_prefix("ce_").unwrap_or(name);
        if let Some(what) = privacy::forbidden_name(attribute) {
            self.forbidden.get_or_insert(what);
        }
        match (name, text) {
            ("ce_id", Some(text)) => self.id = Some(text),
            ("ce_source", Some(text)) => self.source = Some(text),
            ("ce_time", Some(text)) => self.time = Some(text),
            ("ce_specversion", version) if version != Some("1.0") => self.flaw = Some("ce_specversion"),
            ("ce_id" | "ce_source" | "ce_time", None) => self.flaw = Some("ce_id, ce_source or ce_time"),
            (_, Some(text)) if name.eq_ignore_ascii_case("content-type") => {
                let kind = text.split(';').next().unwrap_or("").trim();
                self.structured = kind.eq_ignore_ascii_case("application/cloudevents+json");
            }
            _ => {}
        }
    }

    /// Refuses headers that are not those of CloudEvents 1.0.
    pub(super) fn check(&self) -> Result<(), Refusal> {
        match self.flaw {
            None => Ok(()),
            Some(field) => {
                let message = "the headers are not CloudEvents 1.0 in UTF-8; send `ce_specversion: 1.0`";
                Err(Refusal::of_field(Stage::Schema, "not_cloudevents_1_0", field, message))
            }
        }
    }
}

/// An envelope, opened.
#[derive(Debug)]
pub(super) struct Envelope<'a> {
    id: Cow<'a, str>,
    source: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    /// The event itself, JSON.
    pub(super) data: Cow<'a, str>,
}

#[derive(Deserialize)]
struct Written<'a> {
    #[serde(borrow)]
    specversion: Option<Cow<'a, str>>,
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    source: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<Cow<'a, str>>,
}

impl<'a> Envelope<'a> {
    /// Opens `text`, which has been read as JSON before.
    pub(super) fn open(text: &'a str) -> Result<Self, Refusal> {
        // What serde says names the value that it met, and that may be anything.
        let written: Written<'a> =
            serde_json::from_str(text).map_err(|_| flawed("data", "an attribute is of the wrong type"))?;
        if written.specversion.as_deref() != Some("1.0") {
            return Err(flawed("specversion", "`specversion` is not 1.0"));
        }
        let id = written.id.filter(|id| !id.is_empty()).ok_or_else(|| refusal::missing("id"))?;
        let data = match (written.data, written.data_base64) {
            (Some(data), None) => Cow::Borrowed(data.get()),
            (None, Some(encoded)) => Cow::Owned(
                STANDARD
                    .decode(encoded.as_bytes())
                    .ok()
                    .and_then(|bytes| String::from_utf8(bytes).ok())
                    .ok_or_else(|| flawed("data_base64", "`data_base64` is not base64 of UTF-8"))?,
            ),
            _ => return Err(refusal::missing("data")),
        };
        Ok(Self { id, source: written.source, time: written.time, data })
    }

    pub(super) fn attributes(&self) -> Attributes<'_> {
        Attributes {
            id: Some(&self.id),
            source: self.source.as_deref(),
            time: self.time.as_deref(),
            ..Attributes::default()
        }
    }
}

fn flawed(field: &'static str, what: &str) -> Refusal {
    let message = format!("the CloudEvents envelope cannot be opened: {what}");
    Refusal::of_field(Stage::Schema, "not_cloudevents_1_0", field, message)
}
