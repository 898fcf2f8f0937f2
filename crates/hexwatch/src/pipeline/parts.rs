//! What the engine's thread is made of: the queries that can run, and who scores risk, as the last commit left them.

use std::sync::Arc;

use anyhow::Result;
use hexwatch::machine::{RowShape, RowShapes, Scores, Scoring};
use hexwatch_contract::{EventTime, Offsets};
use hexwatch_grid::Site;
use hexwatch_history::Resume;
use hexwatch_risk::Terms;
use hexwatch_sql::{Kind, Output, QueryFile};
use hexwatch_stream::{Checkpoint, Engine, EngineConfig, Registry};

use super::health::Sources;
use super::past::Past;
use super::{Ground, Plan, doors, restore};
use crate::config::Config;
use crate::queries;

/// The engine, and what belongs to its queries.
pub(super) struct EngineParts {
    pub(super) engine: Engine,
    pub(super) scoring: Scoring,
    pub(super) past: Past,
    pub(super) sources: Sources,
    /// What identifies a row of each query.
    pub(super) shapes: Arc<RowShapes>,
    /// The views whose rows go to a topic.
    pub(super) topic_views: Vec<String>,
}

/// The engine with every query that can run, taken up where the last commit left it.
pub(super) fn engine(
    plan: &Plan,
    ground: &Ground,
    resume: &Resume,
    checkpoint: Option<&Checkpoint>,
) -> Result<EngineParts> {
    let settings = &plan.config;
    let terms: Option<Terms> =
        if settings.queries.risk { Some(queries::terms(&settings.queries.dir)?) } else { None };
    let scores =
        terms.map(|terms| Scores::new(terms, settings.time.correction_horizon, &ground.site)).transpose()?;
    let (files, mut statuses) = parse(queries::live(&settings.queries)?, settings);
    let risk_queries = scores.as_ref().map(|scores| scores.queries().to_vec()).unwrap_or_default();
    let all: Vec<QueryFile> = files.iter().cloned().chain(risk_queries).collect();
    let registry = registry(&ground.site)?;
    // The engine plans its queries on a runtime of its own, which must not begin within this one.
    let built = tokio::task::block_in_place(|| Engine::new(engine_config(settings), &registry, &all));
    let (mut engine, refusals) = built?;
    for refusal in refusals {
        tracing::warn!("{refusal}");
        statuses.push(queries::refused(&refusal.file, refusal.to_string()));
    }
    let refused: Vec<String> = statuses.iter().map(|status| status.name.clone()).collect();
    statuses.extend(files.iter().filter(|file| !refused.contains(&file.name)).map(doors::status));
    if let Some(checkpoint) = checkpoint {
        engine.restore(checkpoint.clone());
    }
    if let Some(scores) = &scores {
        ground.live.keep_cells(scores.own_cells(), scores.corrected_for());
    }
    let watermark = checkpoint.and_then(|checkpoint| checkpoint.watermark);
    let (scoring, past) = scoring(plan, ground, scores, watermark, &resume.offsets);
    let goes_to_a_topic = |file: &&QueryFile| file.kind == Kind::View && file.output == Output::Topic;
    Ok(EngineParts {
        engine,
        scoring,
        past,
        sources: Sources::new(statuses, ground.outlet.clone()),
        shapes: Arc::new(all.iter().map(|file| (file.name.as_str().into(), RowShape::of(file))).collect()),
        topic_views: all.iter().filter(goes_to_a_topic).map(|file| file.name.clone()).collect(),
    })
}

/// Who scores risk, and the past that the last commit at `watermark` left of it, with all records below `done`.
fn scoring(
    plan: &Plan,
    ground: &Ground,
    scores: Option<Scores>,
    watermark: Option<EventTime>,
    done: &Offsets,
) -> (Scoring, Past) {
    let Some(mut scores) = scores else { return (Scoring::default(), Past::default()) };
    let Some(watermark) = watermark else { return (Scoring::by(scores), Past::default()) };
    let scoring = Scoring::awaiting(&scores);
    let (folder, site, done) = (plan.config.history.data_dir.clone(), Arc::clone(&ground.site), done.clone());
    let past = async move {
        let session = doors::session(&folder, &site, doors::SERVER_QUERY_MEMORY).await?;
        restore::restore_scores(&mut scores, &session, watermark, &done).await?;
        Ok(scores)
    };
    (scoring, Past::of(past))
}

/// Parses files; those whose header is wrong are told of, and the others go on.
fn parse(texts: Vec<queries::Text>, config: &Config) -> (Vec<QueryFile>, Vec<hexwatch_server::QueryStatus>) {
    let (mut files, mut refused) = (Vec::new(), Vec::new());
    for (path, text) in texts {
        match doors::parse(&path, &text, &config.queries.parameters) {
            Ok(file) => files.push(file),
            Err(error) => {
                tracing::warn!("{error}");
                refused.push(queries::refused(&path, error.to_string()));
            }
        }
    }
    (files, refused)
}

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig {
        lateness: config.time.lateness_by_topic.clone(),
        default_lateness: config.time.lateness,
        correction_horizon: config.time.correction_horizon,
        idle_timeout: config.time.idle_timeout,
    }
}

fn registry(site: &Arc<Site>) -> Result<Registry> {
    let tables = hexwatch_sql::catalog::site_rows(site)?;
    Ok(Registry {
        devices: site.devices().to_vec(),
        places: Arc::<Site>::clone(site),
        tables: tables.into_iter().map(|(name, rows)| (name.to_owned(), rows)).collect(),
    })
}
