//! From a record to a row: opened, read, and laid into the columns.

mod settle;

use std::borrow::Cow;
use std::sync::Arc;

use hexwatch_contract::site::Places;
use hexwatch_contract::{EventTime, Partition, Position, Topic};

use super::body::{Body, Shape, Slot};
use super::cloud_event::{Attributes, Envelope};
use super::columns::{Added, Columns};
use super::layout::{Fields, ID, Layout, SITE, SOURCE, STATUS, TIME, bit};
use super::parser::Parser;
use super::place::PlaceMemory;
use super::refusal::{self, Refusal};
use super::{Record, Tolerances, identity, privacy};
use settle::{DEFAULT_SITE, Settled};

/// Where a record stands, and when Kafka says it came.
#[derive(Clone, Copy)]
pub(super) struct At<'r> {
    pub(super) partition: &'r Partition,
    pub(super) kafka_time: EventTime,
    pub(super) record: &'r Record<'r>,
}

/// Reads rows of one topic.
pub(super) struct Rows {
    layout: &'static Layout,
    parser: Parser,
    places: PlaceMemory,
    tolerances: Tolerances,
    oddity: String,
    /// The record at hand carries what must not be stored.
    private: bool,
}

impl Rows {
    pub(super) fn new(topic: Topic, tolerances: Tolerances, places: Arc<dyn Places>) -> Self {
        let layout = Layout::of(topic);
        Self {
            parser: Parser::new(layout),
            layout,
            places: PlaceMemory::new(places),
            tolerances,
            oddity: String::new(),
            private: false,
        }
    }

    /// A press is never refused for a detail: what is wrong is left out and noted.
    fn forgives(&self) -> bool {
        self.layout.topic == Topic::Panic
    }

    /// Reads one record's value into the next row of `columns`, or refuses it and leaves them as they were.
    pub(super) fn read<'r>(
        &mut self,
        value: &'r [u8],
        at: &At<'r>,
        columns: &mut Columns,
    ) -> Result<(), Refusal> {
        self.oddity.clear();
        self.private = false;
        self.read_value(value, at, columns).map_err(|refusal| refusal.privately(self.private))
    }

    fn read_value<'r>(&mut self, value: &'r [u8], at: &At<'r>, columns: &mut Columns) -> Result<(), Refusal> {
        let text = std::str::from_utf8(value).map_err(|error| refusal::not_utf8(error.valid_up_to()))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let attributes = Attributes::of_headers(at.record.headers);
        let mut body = Body::new();
        self.parse(text, &mut body)?;
        if self.is_envelope(&attributes) {
            // The fields of the body are not those of the envelope, but stand in it all the same.
            if let Some(field) = self.address_in(&body, Fields::MAX) {
                self.private = true;
                if !self.forgives() {
                    return Err(refusal::forbidden(self.layout.name(field)));
                }
            }
            match Envelope::open(text) {
                Ok(envelope) => {
                    let mut inner = Body::new();
                    match self.parse(&envelope.data, &mut inner) {
                        Ok(()) => return self.row(&mut inner, &envelope.attributes(), at, columns),
                        Err(refusal) if self.forgives() => self.note("data", refusal.code()),
                        Err(refusal) => {
                            // In base64 nothing shows from outside.
                            self.private |= privacy::may_name_forbidden(envelope.data.as_bytes());
                            return Err(refusal);
                        }
                    }
                    // The envelope itself is an object, and that is a press.
                    body = Body::new();
                    self.parse(text, &mut body)?;
                }
                Err(_) if self.forgives() => self.note("envelope", "not_cloudevents_1_0"),
                Err(refusal) => return Err(refusal),
            }
        }
        self.row(&mut body, &attributes, at, columns)
    }

    fn is_envelope(&self, attributes: &Attributes<'_>) -> bool {
        attributes.structured || (self.parser.found.spec_version && self.parser.found.data)
    }

    /// Reads JSON and settles what no field's check would see: keys given twice, what is forbidden, and
    /// values that are no object.
    fn parse<'a>(&mut self, text: &'a str, body: &mut Body<'a>) -> Result<(), Refusal> {
        let parsed = self.parser.parse(self.layout, text, body);
        self.private |= self.parser.found.forbidden.is_some();
        parsed.map_err(refusal::not_json)?;
        let forgives = self.forgives();
        if let Some(twice) = &self.parser.found.duplicate {
            if !forgives {
                self.private |= self.address_in(body, Fields::MAX).is_some();
                return Err(self.with_id(refusal::duplicate_key(twice), body));
            }
            note(&mut self.oddity, "key", "duplicate_key");
        }
        if let Some(what) = self.parser.found.forbidden {
            if !forgives || body.shape == Shape::NotAnObject {
                return Err(self.with_id(refusal::forbidden(what), body));
            }
            note(&mut self.oddity, what, "forbidden_field");
        }
        match body.shape {
            Shape::NotAnObject => Err(refusal::not_an_object()),
            // With headers an empty body can still say something, but a press says at least one thing.
            Shape::Empty if forgives => Err(refusal::missing_field(self.layout, self.layout.entity)),
            Shape::Empty | Shape::Object => Ok(()),
        }
    }

    fn row<'b>(
        &mut self,
        body: &mut Body<'b>,
        attributes: &Attributes<'b>,
        at: &At<'b>,
        columns: &mut Columns,
    ) -> Result<(), Refusal> {
        let given = [(ID, attributes.id), (SOURCE, attributes.source), (TIME, attributes.time)];
        for (field, text) in given {
            if let Some(text) = text {
                // What a header takes the place of is not kept, but it came.
                let opens =
                    self.parser.text(body.slots[field]).is_some_and(privacy::is_image_address_with_token);
                if opens && !self.forgives() {
                    return Err(refusal::forbidden(self.layout.name(field)).with_id(attributes.id));
                }
                self.private |= opens;
                body.set(field, Slot::Text(text));
            }
        }
        match self.settle(body, attributes, at) {
            Ok(settled) => {
                self.append(body, &settled, at, columns);
                Ok(())
            }
            Err(refusal) => {
                // A field that holds no free text is looked into only here: nearly every record has none that does.
                let refusal = match self.address_in(body, !self.layout.free_text) {
                    Some(field) if !self.forgives() => refusal::forbidden(self.layout.name(field)),
                    found => {
                        self.private |= found.is_some();
                        refusal
                    }
                };
                Err(self.with_id(refusal, body))
            }
        }
    }

    /// Says which record was refused, unless its id is what must not be stored.
    fn with_id(&self, refusal: Refusal, body: &Body<'_>) -> Refusal {
        let id = self.parser.text(body.slots[ID]);
        refusal.with_id(id.filter(|id| !privacy::is_image_address_with_token(id)))
    }

    /// The first of `fields` that holds an address with the means to open it.
    fn address_in(&self, body: &Body<'_>, fields: Fields) -> Option<usize> {
        let opens = |field: &usize| {
            self.parser.text(body.slots[*field]).is_some_and(privacy::is_image_address_with_token)
        };
        members(body.given & fields).find(opens)
    }

    fn append(&self, body: &Body<'_>, settled: &Settled, at: &At<'_>, columns: &mut Columns) {
        let text = |field: usize| self.parser.text(body.slots[field]);
        let id = text(ID).map_or_else(
            || Position { partition: at.partition.clone(), offset: at.record.offset }.to_string().into(),
            Cow::Borrowed,
        );
        let site = text(SITE).or(settled.site.as_deref()).unwrap_or(DEFAULT_SITE);
        let source = text(SOURCE).unwrap_or_default();
        columns.text(ID, &id);
        columns.text(SITE, site);
        columns.text(SOURCE, source);
        columns.text(STATUS, text(STATUS).unwrap_or("actual"));
        for field in members(body.given & !(bit(ID) | bit(SITE) | bit(SOURCE) | bit(STATUS))) {
            match body.slots[field] {
                Slot::Whole(number) => columns.whole(field, number),
                Slot::Number(number) => columns.float(field, number),
                Slot::True => columns.bool(field, true),
                Slot::False => columns.bool(field, false),
                slot => {
                    if let Some(text) = self.parser.text(slot) {
                        columns.text(field, text);
                    }
                }
            }
        }
        columns.end_row(&Added {
            device_time: settled.device_time,
            suspect: settled.suspect,
            cell: settled.place.map(|place| place.cell),
            oddity: &self.oddity,
            offset: at.record.offset,
            identity: identity::of(site, source, &id),
        });
    }

    fn note(&mut self, field: &str, code: &str) {
        note(&mut self.oddity, field, code);
    }
}

/// The fields of a set, in table order.
fn members(mut fields: Fields) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let field = fields.trailing_zeros();
        fields &= fields.wrapping_sub(1);
        (field < Fields::BITS).then_some(field as usize)
    })
}

/// Notes a flaw that was forgiven; of a field's flaws the first counts.
fn note(oddity: &mut String, field: &str, code: &str) {
    if oddity.split(';').any(|noted| noted.strip_prefix(field).is_some_and(|rest| rest.starts_with(':'))) {
        return;
    }
    if !oddity.is_empty() {
        oddity.push(';');
    }
    oddity.push_str(field);
    oddity.push(':');
    oddity.push_str(code);
}
