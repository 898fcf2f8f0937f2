//! `hexwatch sql`: a query over history.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use hexwatch_sql::{Encoder, Format as Encoding, Guard, Limits};

use super::{path, runtime, settings};
use crate::cli::{Format, Sql};
use crate::{pipeline, site};

/// Memory for a query of somebody at the machine: a process of its own, so more than a server spares.
const MEMORY: usize = 4 * 1024 * 1024 * 1024;
/// How long a query may take.
const DEADLINE: Duration = Duration::from_mins(10);

pub(crate) fn run(file: Option<&Path>, arguments: &Sql) -> Result<()> {
    let flags = vec![
        ("history.data_dir", path(arguments.data_dir.as_deref())),
        ("site.dir", path(arguments.site.as_deref())),
    ];
    let config = settings(file, flags)?;
    let sql = text(arguments, &config.queries.parameters)?;
    let site = Arc::new(site::load(&config.site.dir)?);
    let data_dir = &config.history.data_dir;
    std::fs::read_dir(data_dir)
        .with_context(|| format!("opening the history {}: name it with --data-dir", data_dir.display()))?;
    let answer = runtime()?.block_on(async {
        let session = pipeline::session(data_dir, &site, MEMORY).await?;
        // Whoever is at the machine may wait longer than a request over the network, and ask for every row.
        let limits = Limits { rows: usize::MAX, deadline: DEADLINE, ..Limits::default() };
        let answer = Guard::new(limits).run(&session, &sql).await;
        answer.map_err(|error| anyhow!("{error}; {}", error.fix))
    })?;
    let encoding = match arguments.format {
        Format::Table => Encoding::Table,
        Format::Csv => Encoding::Csv,
        Format::Json => Encoding::Json,
        Format::Arrow => Encoding::Arrow,
    };
    let mut encoder = Encoder::new(encoding, &answer.schema, std::io::stdout().lock())?;
    for batch in &answer.batches {
        encoder.write(batch)?;
    }
    encoder.finish()?.flush()?;
    Ok(())
}

/// The query's text: as given, or out of a query file with its parameters filled in.
fn text(arguments: &Sql, parameters: &std::collections::BTreeMap<String, String>) -> Result<String> {
    let Some(path) = &arguments.file else { return Ok(arguments.query.clone().unwrap_or_default()) };
    let text = std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let file = pipeline::parse_query(&path.display().to_string(), &text, parameters)?;
    Ok(file.sql()?)
}
