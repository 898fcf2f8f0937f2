//! Cells, areas, grids (网格), datums, and the site's registry. No IO: the binary reads the files of a site
//! folder and hands their texts to [`Site::parse`].
//!
//! Sole owner of h3o and geo.

pub mod area;
pub mod cell;
pub mod datum;
pub mod outline;
pub mod share;
pub mod site;

pub use area::{Area, InvalidArea};
pub use share::GridCell;
pub use site::{FILES, FileError, Grid, Site, SiteErrors, SiteInfo, Zone};
