//! The GeoJSON files.

use std::fmt::Write as _;

use super::super::point::{Area, Point, Spot, write_degrees};
use super::super::{Community, SITE, plan};

/// A `FeatureCollection` being written.
struct Collection(String);

impl Collection {
    fn new() -> Self {
        Self("{\"type\":\"FeatureCollection\",\"features\":[".to_owned())
    }

    /// Adds a feature; `properties` are the members of a JSON object.
    fn add(&mut self, geometry: &str, line: &[Point], properties: &str) {
        let separator = if self.0.ends_with('[') { "\n" } else { ",\n" };
        let (open, close) = if geometry == "Polygon" { ("[[", "]]") } else { ("[", "]") };
        let _ = write!(
            self.0,
            "{separator}{{\"type\":\"Feature\",\"properties\":{{{properties},\"site\":\"{SITE}\"}},\
             \"geometry\":{{\"type\":\"{geometry}\",\"coordinates\":{open}"
        );
        for (index, &point) in line.iter().enumerate() {
            self.0.push_str(if index == 0 { "[" } else { ",[" });
            write_degrees(&mut self.0, point, ',');
            self.0.push(']');
        }
        let _ = write!(self.0, "{close}}}}}");
    }

    fn finish(mut self) -> String {
        self.0.push_str("\n]}\n");
        self.0
    }
}

pub(super) fn sites(community: &Community) -> String {
    let mut collection = Collection::new();
    let (columns, rows) =
        (i64::from(community.columns), i64::from(community.quarters.div_ceil(community.columns)));
    let whole =
        Area { corner: Spot::metres(0, 0), width: plan::PITCH.x * columns, depth: plan::PITCH.y * rows };
    let names =
        "\"name\":\"湖滨花园社区 Hubin Garden\",\"name_zh\":\"湖滨花园社区\",\"name_en\":\"Hubin Garden\"";
    collection.add(
        "Polygon",
        &whole.ring(),
        &format!("{names},\"time_zone\":\"Asia/Shanghai\",\"crs\":\"wgs84\""),
    );
    collection.finish()
}

pub(super) fn zones(community: &Community) -> String {
    let mut collection = Collection::new();
    for quarter in 0..community.quarters {
        for (index, zone) in plan::ZONES.iter().enumerate() {
            let properties = format!(
                "\"zone\":\"q{:02}-z{:02}\",\"name\":\"{} {}\",\"name_zh\":\"{}\",\"name_en\":\"{}\",\"class\":\"{}\",\
                 \"public\":{},\"calendar\":\"{}\"",
                quarter + 1,
                index + 1,
                zone.chinese,
                zone.name,
                zone.chinese,
                zone.name,
                zone.class,
                zone.public,
                zone.calendar
            );
            let area = zone.area.shifted(community.corner(quarter));
            let ring = if zone.class == "water" { area.octagon() } else { area.ring() };
            collection.add("Polygon", &ring, &properties);
        }
    }
    collection.finish()
}

/// A quarter's four grids: which part, its name in both languages, and how far it is from the corner in halves.
const GRIDS: [(&str, &str, &str, i64, i64); 4] = [
    ("sw", "西南网格", "South-west grid", 0, 0),
    ("se", "东南网格", "South-east grid", 1, 0),
    ("nw", "西北网格", "North-west grid", 0, 1),
    ("ne", "东北网格", "North-east grid", 1, 1),
];

/// The grids tile the whole site, streets included, so that each place has one who answers for it.
pub(super) fn grids(community: &Community) -> String {
    let mut collection = Collection::new();
    let (width, depth) = (plan::PITCH.x / 2, plan::PITCH.y / 2);
    let rows = community.quarters.div_ceil(community.columns);
    for quarter in 0..rows * community.columns {
        for (part, chinese, name, column, row) in GRIDS {
            let corner = community.corner(quarter).by(width * column, depth * row);
            let number = quarter + 1;
            let properties = format!(
                "\"grid\":\"q{number:02}-{part}\",\"name\":\"{chinese} {name}\",\"name_zh\":\"{chinese}\",\
                 \"name_en\":\"{name}\",\"officer_role\":\"grid_officer:q{number:02}-{part}\""
            );
            collection.add("Polygon", &Area { corner, width, depth }.ring(), &properties);
        }
    }
    collection.finish()
}

pub(super) fn buildings(community: &Community) -> String {
    let mut collection = Collection::new();
    for quarter in 0..community.quarters {
        let corner = community.corner(quarter);
        for (number, (x, y, floors)) in (1..).zip(plan::SLABS) {
            let area = Area::metres(x, y, plan::SLAB_SIZE.0, plan::SLAB_SIZE.1).shifted(corner);
            let id = format!("q{:02}-b{number:02}", quarter + 1);
            let name = (format!("{number}幢"), format!("Building {number}"));
            collection.add(
                "Polygon",
                &area.ring(),
                &building(&id, &name.0, &name.1, "residential", floors, 3),
            );
        }
        for (number, house) in (1..).zip(&plan::BUILDINGS) {
            let id = format!("q{:02}-p{number:02}", quarter + 1);
            let properties = building(&id, house.chinese, house.name, house.purpose, house.floors, 4);
            collection.add("Polygon", &house.area.shifted(corner).ring(), &properties);
        }
    }
    collection.finish()
}

fn building(id: &str, chinese: &str, name: &str, purpose: &str, floors: i64, metres: i64) -> String {
    format!(
        "\"building\":\"{id}\",\"name\":\"{chinese} {name}\",\"name_zh\":\"{chinese}\",\"name_en\":\"{name}\",\
         \"purpose\":\"{purpose}\",\"floors\":{floors},\"height\":{}",
        floors * metres
    )
}

pub(super) fn roads(community: &Community) -> String {
    let mut collection = Collection::new();
    for quarter in 0..community.quarters {
        let corner = community.corner(quarter);
        for (number, road) in (1..).zip(&plan::ROADS) {
            let line: Vec<Point> =
                road.line.iter().map(|&(x, y)| corner.by(x * 100, y * 100).point()).collect();
            let properties = format!(
                "\"road\":\"q{:02}-r{number:02}\",\"name\":\"{} {}\",\"name_zh\":\"{}\",\"name_en\":\"{}\",\
                 \"class\":\"{}\",\"width\":{}",
                quarter + 1,
                road.chinese,
                road.name,
                road.chinese,
                road.name,
                road.class,
                road.width
            );
            collection.add("LineString", &line, &properties);
        }
    }
    collection.finish()
}
