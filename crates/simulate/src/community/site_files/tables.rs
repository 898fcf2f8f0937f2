//! The CSV files.

use std::fmt::Write as _;

use super::super::point::write_degrees;
use super::super::{Community, Device, SITE, plan};

/// The columns are those that outsiders rely on, in their order.
pub(super) fn devices(community: &Community) -> String {
    let mut csv =
        "id,type,site,lon,lat,floor,footprint,expected_heartbeat_s,in_service,links,source\n".to_owned();
    for device in &community.devices {
        device_row(&mut csv, community, device);
    }
    csv
}

fn device_row(csv: &mut String, community: &Community, device: &Device) {
    let _ = write!(csv, "{},{},{SITE},", device.id, device.kind.name());
    write_degrees(csv, device.point, ',');
    let _ = write!(csv, ",{},", device.floor);
    if let Some(ring) = &device.footprint {
        csv.push_str("\"POLYGON ((");
        for (index, &point) in ring.iter().enumerate() {
            csv.push_str(if index == 0 { "" } else { ", " });
            write_degrees(csv, point, ' ');
        }
        csv.push_str("))\"");
    }
    csv.push(',');
    if let Some(seconds) = device.heartbeat_s {
        let _ = write!(csv, "{seconds}");
    }
    csv.push_str(",true,");
    for (index, &link) in device.links.iter().enumerate() {
        csv.push_str(if index == 0 { "" } else { ";" });
        csv.push_str(&community.devices[link as usize].id);
    }
    let _ = writeln!(csv, ",{}", device.kind.source());
}

pub(super) fn calendars() -> String {
    "calendar,days,opens,closes\n\
     always,mon;tue;wed;thu;fri;sat;sun,00:00,24:00\n\
     daytime,mon;tue;wed;thu;fri;sat;sun,06:00,21:30\n\
     working_hours,mon;tue;wed;thu;fri;sat,06:30,20:00\n\
     shopping_hours,mon;tue;wed;thu;fri;sat;sun,07:00,22:30\n\
     school_hours,mon;tue;wed;thu;fri,07:30,17:30\n\
     staff_only,mon;tue;wed;thu;fri,08:00,18:00\n"
        .to_owned()
}

pub(super) fn routes(community: &Community) -> String {
    let mut csv = "route,name,name_zh,site,class,rounds_per_day\n".to_owned();
    for quarter in 1..=community.quarters {
        for (number, route) in (1..).zip(&plan::ROUTES) {
            let (name, chinese, class) = (route.name, route.chinese, route.class);
            let _ = writeln!(
                csv,
                "q{quarter:02}-route-{number},{name},{chinese},{SITE},{class},{}",
                route.slots.len()
            );
        }
    }
    csv
}

pub(super) fn checkpoints(community: &Community) -> String {
    let mut csv = "checkpoint,route,position,site,lon,lat,method\n".to_owned();
    for quarter in 0..community.quarters {
        let corner = community.corner(quarter);
        for (number, route) in (1..).zip(&plan::ROUTES) {
            for (position, &(x, y)) in (1..).zip(route.stops) {
                let name = format!("q{:02}-route-{number}", quarter + 1);
                let _ = write!(csv, "{name}-c{position},{name},{position},{SITE},");
                write_degrees(&mut csv, corner.by(x * 100, y * 100).point(), ',');
                let _ = writeln!(csv, ",{}", if position % 4 == 0 { "qr" } else { "nfc" });
            }
        }
    }
    csv
}

pub(super) fn patrol_plan(community: &Community) -> String {
    let mut csv = "route,slot,due_from,due_until,days,site\n".to_owned();
    for quarter in 1..=community.quarters {
        for (number, route) in (1..).zip(&plan::ROUTES) {
            for (slot, hour) in (1..).zip(route.slots) {
                let _ = writeln!(
                    csv,
                    "q{quarter:02}-route-{number},{slot},{hour:02}:00,{hour:02}:40,mon;tue;wed;thu;fri;sat;sun,{SITE}"
                );
            }
        }
    }
    csv
}

pub(super) fn households(community: &Community) -> String {
    let mut csv = "household,site,building,unit,floor,residents\n".to_owned();
    for (number, household) in (1..).zip(&community.households) {
        let unit = &community.units[household.unit as usize];
        let building = format!("q{:02}-b{:02}", unit.quarter + 1, unit.building % 14 + 1);
        let (unit, floor, residents) = (unit.number, household.floor, household.people.len());
        let _ = writeln!(csv, "h{number:06},{SITE},{building},{unit},{floor},{residents}");
    }
    csv
}
