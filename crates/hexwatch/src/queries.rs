//! Query files: those of `queries/`, which the binary carries, and those of a user's folder.

use std::path::Path;

use anyhow::{Context as _, Result};
use hexwatch_risk::Terms;
use hexwatch_server::QueryStatus;
use rust_embed::RustEmbed;

use crate::config::Queries;

/// `queries/` as it was when the binary was built.
#[derive(RustEmbed)]
#[folder = "../../queries"]
struct BuiltIn;

/// A query file's path and text.
pub(crate) type Text = (String, String);

/// The built-in files below `folder` (`views`, `rules`, `analysis`).
pub(crate) fn built_in(folder: &str) -> Vec<Text> {
    let prefix = format!("{folder}/");
    let mut files: Vec<Text> = BuiltIn::iter()
        .filter(|path| path.starts_with(&prefix) && path.ends_with(".sql"))
        .filter_map(|path| Some((format!("queries/{path}"), text(&BuiltIn::get(&path)?.data))))
        .collect();
    files.sort();
    files
}

/// The built-in risk terms, or those of `risk.toml` in the user's folder.
pub(crate) fn terms(user: &Path) -> Result<Terms> {
    let own = user.join("risk.toml");
    let source = if !user.as_os_str().is_empty() && own.exists() {
        std::fs::read_to_string(&own).with_context(|| format!("reading {}", own.display()))?
    } else {
        let built_in = BuiltIn::get("risk.toml").context("the binary carries no queries/risk.toml")?;
        text(&built_in.data)
    };
    Ok(Terms::parse(&source)?)
}

/// What runs live by the settings: built-in rules and views, and every `.sql` file of the user's folder and the
/// folders right below it. A user's file takes the place of the built-in one of the same name.
pub(crate) fn live(settings: &Queries) -> Result<Vec<Text>> {
    let mut files = Vec::new();
    if settings.rules {
        files.extend(built_in("rules"));
    }
    if settings.views {
        files.extend(built_in("views"));
    }
    let own = users(&settings.dir)?;
    let name = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    files.retain(|(path, _)| !own.iter().any(|(other, _)| name(other) == name(path)));
    files.extend(own);
    Ok(files)
}

fn users(dir: &Path) -> Result<Vec<Text>> {
    if dir.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder)
            .with_context(|| format!("opening the queries folder {}", folder.display()))?;
        for entry in entries {
            let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
            if path.is_dir() && folder == dir {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "sql") {
                let text =
                    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                files.push((path.display().to_string(), text));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A file that cannot run, for the system page; the others go on.
pub(crate) fn refused(path: &str, reason: String) -> QueryStatus {
    let name = path.rsplit('/').next().unwrap_or(path).trim_end_matches(".sql").to_owned();
    QueryStatus {
        name,
        kind: "view".to_owned(),
        title: String::new(),
        state: "refused".to_owned(),
        reason: Some(reason),
    }
}
