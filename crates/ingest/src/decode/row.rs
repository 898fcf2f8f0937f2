//! From a record's fields to a row: which are there, which count, and what the engine adds.

use std::borrow::Cow;
use std::sync::Arc;

use hexwatch_contract::site::{Place, Places};
use hexwatch_contract::{EventTime, Partition, Position, Stage, Topic};

use super::body::{Body, Shape, Slot};
use super::clock::{self, Told};
use super::cloud_event::{Attributes, Envelope};
use super::columns::{Added, Columns};
use super::layout::{
    DEVICE, FLOOR, Fields, ID, LAT, LON, Layout, RECORDED_TIME, SITE, SOURCE, STATUS, TIME, bit,
};
use super::parser::Parser;
use super::place::PlaceMemory;
use super::refusal::{self, Refusal};
use super::{Record, Tolerances, check, identity, privacy};

/// Where a record stands, and when Kafka says it came.
#[derive(Clone, Copy)]
pub(super) struct At<'r> {
    pub(super) partition: &'r Partition,
    pub(super) kafka_time: EventTime,
    pub(super) record: &'r Record<'r>,
}

/// Reads rows of one topic.
pub(super) struct Rows {
    layout: Layout,
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
            parser: Parser::new(&layout),
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
            if let Some(field) = self.address_in(&body) {
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
        let parsed = self.parser.parse(&self.layout, text, body);
        self.private |= self.parser.found.forbidden.is_some();
        parsed.map_err(|error| refusal::not_json(&error))?;
        let forgives = self.forgives();
        if let Some(name) = &self.parser.found.duplicate {
            if !forgives {
                self.private |= self.address_in(body).is_some();
                return Err(self.with_id(refusal::duplicate_key(name), body));
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
            Shape::Empty if forgives => Err(refusal::missing(self.layout.name(self.layout.entity))),
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
                let refusal = match self.address_in(body) {
                    // A field that holds no free text is looked into only here: nearly every record has none that does.
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

    /// The first field that holds an address with the means to open it.
    fn address_in(&self, body: &Body<'_>) -> Option<usize> {
        let opens = |field: &usize| {
            self.parser.text(body.slots[*field]).is_some_and(privacy::is_image_address_with_token)
        };
        members(body.given).find(opens)
    }

    fn settle<'b>(
        &mut self,
        body: &mut Body<'b>,
        attributes: &Attributes<'b>,
        at: &At<'b>,
    ) -> Result<Settled, Refusal> {
        self.check_privacy(body, attributes)?;
        if !self.forgives() {
            attributes.check()?;
        }
        let out_of_range = self.check_kinds(body)?;
        self.require(body, at)?;
        if let Some(refusal) = out_of_range {
            return Err(refusal);
        }
        let (device_time, suspect) = self.tell_time(body, at.kafka_time);
        let (site, place) = self.find_place(body)?;
        Ok(Settled { device_time, suspect, site, place })
    }

    /// Looks into texts for what must not be stored; names of fields were looked at while reading.
    fn check_privacy(&mut self, body: &mut Body<'_>, attributes: &Attributes<'_>) -> Result<(), Refusal> {
        if let Some(what) = attributes.forbidden {
            if !self.forgives() {
                return Err(refusal::forbidden(what));
            }
            self.note(what, "forbidden_field");
            self.private = true;
        }
        for field in members(body.given & self.layout.free_text) {
            let Some(text) = self.parser.text(body.slots[field]) else { continue };
            let personal = self.layout.personal & bit(field) != 0 && privacy::holds_personal_number(text);
            if !personal && !privacy::is_image_address_with_token(text) {
                continue;
            }
            let name = self.layout.name(field);
            if !self.forgives() {
                // The id may be what is forbidden; it must not reach the dead letter.
                body.clear(field);
                return Err(refusal::forbidden(name));
            }
            body.clear(field);
            self.note(name, "forbidden_field");
            self.private = true;
        }
        Ok(())
    }

    /// Brings every field to its kind. What is of no kind is refused at once; what is out of range is
    /// handed back, because a refusal at `schema` goes first.
    fn check_kinds(&mut self, body: &mut Body<'_>) -> Result<Option<Refusal>, Refusal> {
        let mut out_of_range = None;
        for field in members(body.given) {
            match check::value(&self.layout.columns[field], body.slots[field], &self.parser) {
                Ok(slot) => body.slots[field] = slot,
                Err(refusal) if self.forgives() => {
                    self.note(self.layout.name(field), refusal.code());
                    let text = self.parser.text(body.slots[field]);
                    self.private |= text.is_some_and(privacy::is_image_address_with_token);
                    body.clear(field);
                }
                Err(refusal) if refusal.stage() == Stage::Semantic => {
                    out_of_range.get_or_insert(refusal);
                }
                Err(refusal) => return Err(refusal),
            }
        }
        for field in [ID, SITE, DEVICE, self.layout.entity] {
            if self.parser.text(body.slots[field]).is_some_and(str::is_empty) {
                body.clear(field);
            }
        }
        Ok(out_of_range)
    }

    /// Sees to it that what is required is there; `device` and the topic's own name stand for each other.
    fn require<'b>(&mut self, body: &mut Body<'b>, at: &At<'b>) -> Result<(), Refusal> {
        let entity = self.layout.entity;
        for (absent, other) in [(DEVICE, entity), (entity, DEVICE)] {
            if body.given & bit(absent) == 0 && body.given & bit(other) != 0 {
                body.set(absent, body.slots[other]);
            }
        }
        if body.given & bit(entity) == 0 {
            let key =
                at.record.key.and_then(|key| std::str::from_utf8(key).ok()).filter(|key| !key.is_empty());
            let Some(key) = key.filter(|_| self.forgives()) else {
                return Err(refusal::missing(self.layout.name(entity)));
            };
            self.note(self.layout.name(entity), "taken_from_key");
            body.set(entity, Slot::Text(key));
            body.set(DEVICE, Slot::Text(key));
        }
        for place in 0..self.layout.required.len() {
            let field = self.layout.required[place];
            if body.given & bit(field) != 0 {
                continue;
            }
            let name = self.layout.name(field);
            if !self.forgives() {
                return Err(refusal::missing(name));
            }
            self.note(name, "missing_field");
            if name == "kind" {
                body.set(field, Slot::Text("panic"));
            }
        }
        if self.layout.any_of != 0 && body.given & self.layout.any_of == 0 {
            return Err(refusal::missing("property, state or heartbeat"));
        }
        Ok(())
    }

    /// Sets the time that counts; tells what the device said, and whether that is suspect.
    fn tell_time(&self, body: &mut Body<'_>, kafka: EventTime) -> (Option<EventTime>, bool) {
        let Slot::Whole(device) = body.slots[TIME] else {
            body.set(TIME, Slot::Whole(kafka.millis()));
            return (None, false);
        };
        let recorded = match body.slots[RECORDED_TIME] {
            Slot::Whole(millis) => Some(EventTime::from_millis(millis)),
            _ => None,
        };
        let offline = self.layout.offline.is_some_and(|field| body.slots[field] == Slot::True);
        let device = EventTime::from_millis(device);
        let (time, suspect) = clock::judge(Told { device, recorded, kafka, offline }, &self.tolerances);
        body.set(TIME, Slot::Whole(time.millis()));
        (check::is_date(device.millis()).then_some(device), suspect)
    }

    /// The site where the record names none, and the place.
    fn find_place(&mut self, body: &mut Body<'_>) -> Result<(Option<Arc<str>>, Option<Place>), Refusal> {
        let device = self.parser.text(body.slots[DEVICE]).unwrap_or_default();
        let entity = self.parser.text(body.slots[self.layout.entity]).unwrap_or_default();
        let number = self.places.number(device, entity);
        let registered = self.places.known(number).registered;
        let named = self.parser.text(body.slots[SITE]);
        let registered_site = if named.is_some() { None } else { self.places.known(number).site.clone() };
        let site = named.or(registered_site.as_deref()).unwrap_or(DEFAULT_SITE);
        let given = match (body.slots[LON], body.slots[LAT]) {
            (Slot::Absent, Slot::Absent) => Ok(None),
            (Slot::Number(0.0), Slot::Number(0.0)) => Err(("null_island", "`lon` and `lat` are both 0")),
            (Slot::Number(lon), Slot::Number(lat)) => {
                match self.places.of_coordinates(number, site, lon, lat) {
                    Some(place) => Ok(Some(place)),
                    None => Err(("out_of_range", "`lon` and `lat` are no place")),
                }
            }
            _ => Err(("half_a_place", "one of `lon` and `lat` is missing")),
        };
        let place = match given {
            Ok(place) => place.or(registered),
            Err((code, _)) if self.forgives() => {
                self.note("lon_lat", code);
                registered
            }
            Err((code, what)) => {
                let message = format!("{what}; send both, or neither for a registered device");
                return Err(Refusal::of_field(Stage::Semantic, code, "lon, lat", message));
            }
        };
        body.clear(LON);
        body.clear(LAT);
        if let Some(place) = place {
            body.set(LON, Slot::Number(place.lon));
            body.set(LAT, Slot::Number(place.lat));
        }
        let floor = place.and_then(|place| place.floor).or(registered.and_then(|place| place.floor));
        if let (Slot::Absent, Some(floor)) = (body.slots[FLOOR], floor) {
            body.set(FLOOR, Slot::Whole(floor));
        }
        Ok((registered_site, place))
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

/// The site of records that name none, from devices that are not registered.
const DEFAULT_SITE: &str = "default";

/// What was found out about a record that is no field of it.
struct Settled {
    device_time: Option<EventTime>,
    suspect: bool,
    site: Option<Arc<str>>,
    place: Option<Place>,
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
