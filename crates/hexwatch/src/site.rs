//! A site folder's files, read for the crate `grid`, which parses them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use hexwatch_grid::{FILES, Site};

/// The registry of the site folder `dir`; an empty path is a site without a registry.
pub(crate) fn load(dir: &Path) -> Result<Site> {
    if dir.as_os_str().is_empty() {
        return Ok(Site::default());
    }
    std::fs::read_dir(dir).with_context(|| format!("opening the site folder {}", dir.display()))?;
    let mut files = BTreeMap::new();
    for name in FILES {
        let path = dir.join(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                files.insert(name.to_owned(), text);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        }
    }
    Site::parse(&files).with_context(|| format!("reading the site folder {}", dir.display()))
}

/// The registry out of files in memory, as a simulated community has them.
pub(crate) fn parse(files: impl IntoIterator<Item = (String, String)>) -> Result<Site> {
    Site::parse(&files.into_iter().collect()).context("reading the community's site files")
}
