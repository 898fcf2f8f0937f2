//! `hexwatch check`: are the settings, the site folder and the query files right?

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Result, bail};
use hexwatch_stream::{Engine, EngineConfig, Registry};

use super::{path, say, settings};
use crate::cli::Check;
use crate::config::DEFAULT;
use crate::pipeline::parse_query;
use crate::{queries, site};

pub(crate) fn run(file: Option<&Path>, check: &Check) -> Result<()> {
    if check.defaults {
        say(DEFAULT.trim_end());
        return Ok(());
    }
    let flags =
        vec![("site.dir", path(check.site.as_deref())), ("queries.dir", path(check.queries.as_deref()))];
    let config = settings(file, flags)?;
    let mut wrong = Vec::new();
    let registry = match site::load(&config.site.dir) {
        Ok(site) => site,
        Err(error) => {
            wrong.push(format!("{error:#}"));
            hexwatch_grid::Site::default()
        }
    };
    let mut files = Vec::new();
    for (path, text) in queries::live(&config.queries)? {
        match parse_query(&path, &text, &config.queries.parameters) {
            Ok(file) => files.push(file),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    if let Err(error) = queries::terms(&config.queries.dir) {
        wrong.push(format!("{error:#}"));
    }
    let tables = hexwatch_sql::catalog::site_rows(&registry)?;
    let places = std::sync::Arc::new(registry);
    let registry = Registry {
        devices: places.devices().to_vec(),
        places: places.clone(),
        tables: tables.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect::<BTreeMap<_, _>>(),
    };
    let (engine, refusals) = Engine::new(EngineConfig::default(), &registry, &files)?;
    wrong.extend(refusals.iter().map(ToString::to_string));
    if !wrong.is_empty() {
        bail!("{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }
    say(&format!("{:#?}", config.with_secrets_masked()));
    say(&format!("{} devices, {} queries run live", places.devices().len(), engine.queries().count()));
    Ok(())
}
