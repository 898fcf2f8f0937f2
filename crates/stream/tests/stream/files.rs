//! The query files of the repository, and ones written here.

use std::path::{Path, PathBuf};

use datafusion::prelude::SessionContext;
pub(crate) use hexwatch_sql::QueryFile;

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../queries").join(name)
}

/// All files of `queries/<name>`, by path.
pub(crate) fn of_folder(name: &str) -> Vec<QueryFile> {
    let mut paths: Vec<_> =
        std::fs::read_dir(folder(name)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "sql"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            parse(&format!("{name}/{}", path.file_name().unwrap().to_str().unwrap()), &text)
        })
        .collect()
}

/// The worked examples of `docs/queries.md`.
pub(crate) fn of_the_documentation() -> Vec<QueryFile> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/queries.md");
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```sql\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let examples: Vec<_> = (1..)
        .zip(blocks)
        .map(|(number, block)| parse(&format!("docs/example_{number}.sql"), block))
        .collect();
    assert_eq!(examples.len(), 3);
    examples
}

pub(crate) fn parse(path: &str, text: &str) -> QueryFile {
    QueryFile::parse(path, text).unwrap()
}

pub(crate) fn history_session() -> SessionContext {
    hexwatch_sql::batch_session()
}
