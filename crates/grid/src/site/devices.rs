//! `devices.csv`.

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, Trim};
use hexwatch_contract::site::Device;

use super::features::{datum_of, only_site};
use super::{FileError, SiteInfo};
use crate::area::Area;
use crate::cell::is_place;
use crate::datum::to_wgs84;

const FILE: &str = "devices.csv";
const REQUIRED: [&str; 4] = ["id", "type", "lon", "lat"];

/// The devices of the file; wrong rows are among `errors`, all of them.
pub(super) fn parse(text: Option<&str>, sites: &[SiteInfo], errors: &mut Vec<FileError>) -> Vec<Device> {
    let Some(text) = text else { return Vec::new() };
    let text = text.trim_start_matches('\u{feff}');
    let mut reader = ReaderBuilder::new().trim(Trim::All).from_reader(text.as_bytes());
    let columns = match reader.headers() {
        Ok(headers) => headers.iter().enumerate().map(|(number, name)| (name.to_owned(), number)).collect(),
        Err(error) => {
            errors.push(FileError::whole(FILE, error.to_string(), "mend the header row").at(1));
            return Vec::new();
        }
    };
    let missing = missing_columns(&columns);
    if !missing.is_empty() {
        errors.extend(missing);
        return Vec::new();
    }
    let mut devices: Vec<Device> = Vec::new();
    let mut lines: HashMap<String, u64> = HashMap::new();
    for record in reader.records() {
        let record = match record {
            Ok(record) => record,
            Err(error) => {
                errors.push(unreadable(&error));
                continue;
            }
        };
        let row = Row { line: record.position().map_or(0, csv::Position::line), record, columns: &columns };
        match row.device(sites) {
            Ok(device) => match lines.insert(device.id.clone(), row.line) {
                Some(first) => {
                    let problem = format!("`{}` is already on line {first}", device.id);
                    errors.push(row.error("id", problem, "keep one of the two rows"));
                }
                None => devices.push(device),
            },
            Err(wrong) => errors.extend(wrong),
        }
    }
    devices
}

fn missing_columns(columns: &HashMap<String, usize>) -> Vec<FileError> {
    let missing = REQUIRED.into_iter().filter(|name| !columns.contains_key(*name));
    missing
        .map(|name| {
            FileError::whole(FILE, "the column is missing", "add it to the header row").at(1).field(name)
        })
        .collect()
}

fn unreadable(error: &csv::Error) -> FileError {
    let line = error.position().map_or(0, csv::Position::line);
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the row has {len} fields and the header {expected_len}")
        }
        _ => error.to_string(),
    };
    FileError::whole(FILE, problem, "give the row one field for each column, empty where there is nothing")
        .at(line)
}

struct Row<'a> {
    line: u64,
    record: StringRecord,
    columns: &'a HashMap<String, usize>,
}

impl Row<'_> {
    fn error(&self, field: &str, problem: impl Into<String>, fix: &str) -> FileError {
        FileError::whole(FILE, problem, fix).at(self.line).field(field)
    }

    /// A field's text; `None` where it is empty or the column is not there.
    fn text(&self, name: &str) -> Option<&str> {
        let text = self.record.get(*self.columns.get(name)?)?;
        (!text.is_empty()).then_some(text)
    }

    fn required(&self, name: &str) -> Result<String, FileError> {
        let text = self.text(name).map(str::to_owned);
        text.ok_or_else(|| self.error(name, "the field is empty", "fill it in"))
    }

    fn number<T: std::str::FromStr>(&self, name: &str, fix: &str) -> Result<Option<T>, FileError> {
        let parse = |text: &str| {
            text.parse().map_err(|_| self.error(name, format!("`{text}` is not a number of that kind"), fix))
        };
        self.text(name).map(parse).transpose()
    }

    fn coordinate(&self, name: &str) -> Result<f64, FileError> {
        let number = self.number(name, "write degrees such as 120.1551")?;
        number.ok_or_else(|| self.error(name, "the field is empty", "write degrees such as 120.1551"))
    }

    fn place(&self, sites: &[SiteInfo], site: &str) -> Result<(f64, f64), FileError> {
        let (lon, lat) = (self.coordinate("lon")?, self.coordinate("lat")?);
        if !is_place(lon, lat) {
            let field = if (-180.0..=180.0).contains(&lon) && lon != 0.0 { "lat" } else { "lon" };
            let problem = format!("({lon}, {lat}) is not a place");
            return Err(self.error(field, problem, "write lon within -180..180 and lat within -90..90"));
        }
        Ok(to_wgs84(datum_of(sites, site), (lon, lat)))
    }

    fn heartbeat(&self) -> Result<Option<f64>, FileError> {
        let fix = "write seconds above 0, or nothing where none is expected";
        let seconds: Option<f64> = self.number("expected_heartbeat_s", fix)?;
        match seconds {
            Some(seconds) if !(seconds > 0.0 && seconds.is_finite()) => {
                Err(self.error("expected_heartbeat_s", format!("`{seconds}` is not a time span"), fix))
            }
            seconds => Ok(seconds),
        }
    }

    fn in_service(&self) -> Result<bool, FileError> {
        match self.text("in_service").map(str::to_ascii_lowercase).as_deref() {
            None | Some("true" | "yes" | "1") => Ok(true),
            Some("false" | "no" | "0") => Ok(false),
            Some(other) => {
                Err(self.error("in_service", format!("`{other}` is neither"), "write true or false"))
            }
        }
    }

    fn footprint(&self, sites: &[SiteInfo], site: &str) -> Result<Option<String>, FileError> {
        let parse = |text: &str| {
            let area = Area::from_wkt(text, datum_of(sites, site));
            area.map(|area| area.to_wkt())
                .map_err(|error| self.error("footprint", error.to_string(), "write a WKT polygon in degrees"))
        };
        self.text("footprint").map(parse).transpose()
    }

    fn links(&self) -> Vec<String> {
        let links = self.text("links").unwrap_or_default().split(';').map(str::trim);
        links.filter(|link| !link.is_empty()).map(str::to_owned).collect()
    }

    /// The row's device, or everything that is wrong with the row.
    fn device(&self, sites: &[SiteInfo]) -> Result<Device, Vec<FileError>> {
        let site = self.text("site").map_or_else(|| only_site(sites), str::to_owned);
        let mut errors = Vec::new();
        let id = kept(self.required("id"), &mut errors);
        let kind = kept(self.required("type"), &mut errors);
        let place = kept(self.place(sites, &site), &mut errors);
        let floor = kept(self.number("floor", "write a whole number, or nothing"), &mut errors);
        let footprint = kept(self.footprint(sites, &site), &mut errors);
        let heartbeat = kept(self.heartbeat(), &mut errors);
        let in_service = kept(self.in_service(), &mut errors);
        let (
            Some(id),
            Some(kind),
            Some((lon, lat)),
            Some(floor),
            Some(footprint),
            Some(heartbeat),
            Some(in_service),
        ) = (id, kind, place, floor, footprint, heartbeat, in_service)
        else {
            return Err(errors);
        };
        let source = self.text("source").map(str::to_owned);
        let links = self.links();
        Ok(Device {
            id,
            kind,
            site,
            lon,
            lat,
            floor,
            footprint,
            expected_heartbeat_s: heartbeat,
            in_service,
            links,
            source,
        })
    }
}

fn kept<T>(result: Result<T, FileError>, errors: &mut Vec<FileError>) -> Option<T> {
    result.map_err(|error| errors.push(error)).ok()
}
