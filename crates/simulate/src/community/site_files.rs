//! The site folder's files as text.

mod maps;
mod tables;

use super::Community;

/// One file of the site folder.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SiteFile {
    /// Its name within the folder.
    pub name: &'static str,
    /// What it says.
    pub content: String,
}

pub(super) fn all(community: &Community) -> Vec<SiteFile> {
    let file = |name, content| SiteFile { name, content };
    vec![
        file("sites.geojson", maps::sites(community)),
        file("zones.geojson", maps::zones(community)),
        file("grids.geojson", maps::grids(community)),
        file("buildings.geojson", maps::buildings(community)),
        file("roads.geojson", maps::roads(community)),
        file("devices.csv", tables::devices(community)),
        file("calendars.csv", tables::calendars()),
        file("routes.csv", tables::routes(community)),
        file("checkpoints.csv", tables::checkpoints(community)),
        file("patrol_plan.csv", tables::patrol_plan(community)),
        file("households.csv", tables::households(community)),
    ]
}
