//! Which of a record's fields are there, which count, and what the engine adds.

use std::sync::Arc;

use hexwatch_contract::site::Place;
use hexwatch_contract::{EventTime, Stage};

use super::super::clock::{self, Told};
use super::super::layout::{DEVICE, FLOOR, ID, LAT, LON, RECORDED_TIME, SITE, TIME, bit};
use super::super::{check, privacy};
use super::{At, Attributes, Body, Refusal, Rows, Slot, members, refusal};

/// The site of records that name none, from devices that are not registered.
pub(super) const DEFAULT_SITE: &str = "default";

/// What was found out about a record that is no field of it.
pub(super) struct Settled {
    pub(super) device_time: Option<EventTime>,
    pub(super) suspect: bool,
    pub(super) site: Option<Arc<str>>,
    pub(super) place: Option<Place>,
}

impl Rows {
    pub(super) fn settle<'b>(
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
            match check::value(self.layout, field, body.slots[field], &self.parser) {
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
                return Err(refusal::missing_field(self.layout, entity));
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
            if !self.forgives() {
                return Err(refusal::missing_field(self.layout, field));
            }
            let name = self.layout.name(field);
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
}
