//! The place: its devices, and its site folder.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use hexwatch_simulate::Community;
use serde_json::Value;

fn file(community: &Community, name: &str) -> String {
    community.site_files().into_iter().find(|file| file.name == name).unwrap().content
}

fn features(community: &Community, name: &str) -> Vec<Value> {
    let collection: Value = serde_json::from_str(&file(community, name)).unwrap();
    collection["features"].as_array().unwrap().clone()
}

type Ring = Vec<(f64, f64)>;

fn ring(feature: &Value) -> Ring {
    let corners = feature["geometry"]["coordinates"][0].as_array().unwrap();
    corners.iter().map(|corner| (corner[0].as_f64().unwrap(), corner[1].as_f64().unwrap())).collect()
}

/// Whether a point lies in a convex ring that runs counter-clockwise; a metre outside still counts as the edge.
fn holds(ring: &Ring, (lon, lat): (f64, f64)) -> bool {
    ring.windows(2).all(|edge| {
        let ((x1, y1), (x2, y2)) = (edge[0], edge[1]);
        let length = ((x2 - x1).powi(2) + (y2 - y1).powi(2)).sqrt();
        ((x2 - x1) * (lat - y1) - (y2 - y1) * (lon - x1)) / length >= -1e-6
    })
}

#[test]
fn a_community_has_the_devices_asked_for_and_never_fewer_than_400() {
    for (asked, built) in [(1, 400), (480, 480), (640, 640), (641, 641), (5_000, 5_000)] {
        assert_eq!(Community::build(7, asked).devices().len(), built, "asked for {asked}");
    }
}

#[test]
fn every_device_stands_within_the_site() {
    for size in [480, 3_000] {
        let community = Community::build(1, size);
        let site = ring(&features(&community, "sites.geojson")[0]);
        for device in community.devices() {
            assert!(holds(&site, (device.point.lon(), device.point.lat())), "{} is outside", device.id);
        }
    }
}

#[test]
fn every_zone_lies_in_the_grids() {
    for size in [480, 3_000] {
        let community = Community::build(1, size);
        let grids: Vec<Ring> = features(&community, "grids.geojson").iter().map(ring).collect();
        for zone in features(&community, "zones.geojson") {
            let corners = ring(&zone);
            for step in 0..=10 {
                for (from, to) in [(0, 2), (1, 3)] {
                    let share = f64::from(step) / 10.0;
                    let mix = |a: f64, b: f64| a + (b - a) * share;
                    let point = (mix(corners[from].0, corners[to].0), mix(corners[from].1, corners[to].1));
                    assert!(
                        grids.iter().any(|grid| holds(grid, point)),
                        "{zone} is not covered at {point:?}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_devices_file_has_the_columns_outsiders_rely_on() {
    let community = Community::build(1, 480);
    let csv = file(&community, "devices.csv");
    let mut lines = csv.lines();
    let header = "id,type,site,lon,lat,floor,footprint,expected_heartbeat_s,in_service,links,source";
    assert_eq!(lines.next(), Some(header));
    let ids: BTreeSet<&str> = community.devices().iter().map(|device| &*device.id).collect();
    assert_eq!(ids.len(), 480, "an id is used twice");
    assert_eq!(lines.clone().count(), 480);
    for line in lines {
        let bare = if let (Some(open), Some(close)) = (line.find('"'), line.rfind('"')) {
            format!("{}{}", &line[..open], &line[close + 1..])
        } else {
            line.to_owned()
        };
        let fields: Vec<&str> = bare.split(',').collect();
        assert_eq!(fields.len(), 11, "{line}");
        for link in fields[9].split(';').filter(|link| !link.is_empty()) {
            assert!(ids.contains(link), "{line} links to {link}");
        }
    }
}

#[test]
fn the_site_folder_is_read_without_a_complaint() {
    for size in [480, 3_000] {
        let community = Community::build(1, size);
        let files: BTreeMap<String, String> =
            community.site_files().into_iter().map(|file| (file.name.to_owned(), file.content)).collect();
        let site = hexwatch_grid::Site::parse(&files).unwrap();
        assert_eq!(site.devices().len(), size);
        for device in community.devices() {
            assert!(site.grid_of(device.cell).is_some(), "nobody answers for {}", device.id);
        }
    }
}

#[test]
fn the_same_seed_builds_the_same_place_and_another_seed_another() {
    let files = |seed| Community::build(seed, 480).site_files();
    assert!(files(3) == files(3));
    assert!(files(3) != files(4));
}
