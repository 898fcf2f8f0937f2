//! Why a record is no row.

use std::borrow::Cow;

use hexwatch_contract::Stage;

use super::json::Mistake;
use super::layout::Layout;
use super::parser::Twice;

/// The verdict on a record that is refused. One word wide: refusals are rare, and rows travel the same way.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Refusal(Box<Verdict>);

/// What is said of a refused record.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Verdict {
    pub(super) stage: Stage,
    pub(super) code: &'static str,
    pub(super) field: Option<Cow<'static, str>>,
    pub(super) message: Cow<'static, str>,
    /// The record's own id, where it was read.
    pub(super) id: Option<String>,
    /// The record carries what must not be stored, whatever it is refused for.
    pub(super) private: bool,
}

impl Refusal {
    pub(super) fn new(stage: Stage, code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Verdict {
            stage,
            code,
            field: None,
            message: message.into(),
            id: None,
            private: false,
        }))
    }

    pub(super) fn of_field(
        stage: Stage,
        code: &'static str,
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let mut refusal = Self::new(stage, code, message);
        refusal.0.field = Some(field.into());
        refusal
    }

    pub(super) fn with_id(mut self, id: Option<&str>) -> Self {
        self.0.id = id.map(str::to_owned);
        self
    }

    pub(super) fn privately(mut self, private: bool) -> Self {
        self.0.private = private;
        self
    }

    pub(super) fn stage(&self) -> Stage {
        self.0.stage
    }

    pub(super) fn code(&self) -> &'static str {
        self.0.code
    }

    pub(super) fn into_verdict(self) -> Verdict {
        *self.0
    }
}

pub(super) fn tombstone() -> Refusal {
    Refusal::new(Stage::Decode, "tombstone", "the record has no value; input topics carry one event a record")
}

pub(super) fn too_large(size: usize, largest: usize) -> Refusal {
    let message = format!("the record has {size} bytes, more than {largest}; raise the limit or send less");
    Refusal::new(Stage::Size, "too_large", message)
}

pub(super) fn not_utf8(valid_up_to: usize) -> Refusal {
    let message = format!("byte {valid_up_to} is not UTF-8; input topics carry JSON in UTF-8");
    Refusal::new(Stage::Decode, "not_utf8", message)
}

pub(super) fn not_json(mistake: Mistake) -> Refusal {
    Refusal::new(Stage::Decode, "not_json", format!("the record is not one JSON value: {mistake}"))
}

pub(super) fn duplicate_key(twice: &Twice) -> Refusal {
    let message = "a key occurs twice, so two readers would see two events; send each key once";
    let mut refusal = Refusal::new(Stage::Decode, "duplicate_key", message);
    refusal.0.field.clone_from(&twice.0);
    refusal
}

pub(super) fn forbidden(field: impl Into<Cow<'static, str>>) -> Refusal {
    let message =
        "the record carries what must not be stored; remove the field, or send a keyed hash as a `_ref`";
    Refusal::of_field(Stage::Privacy, "forbidden_field", field, message)
}

pub(super) fn not_an_object() -> Refusal {
    let message = "the record is JSON, but not an object; send one event object a record";
    Refusal::new(Stage::Schema, "not_an_object", message)
}

pub(super) fn missing(field: impl Into<Cow<'static, str>>) -> Refusal {
    let field = field.into();
    let message = format!("`{field}` is missing; it is required");
    Refusal::of_field(Stage::Schema, "missing_field", field, message)
}

/// The same, in words that are written once.
pub(super) fn missing_field(layout: &'static Layout, field: usize) -> Refusal {
    let message = layout.faults[field].missing.as_str();
    Refusal::of_field(Stage::Schema, "missing_field", layout.name(field), message)
}
