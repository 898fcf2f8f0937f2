//! Stand-in until the crate `sql` has its parser.
#![allow(missing_docs)]
use std::collections::BTreeMap;
#[derive(Clone, Debug)]
pub struct QueryFile {
    pub path: String,
    pub text: String,
    pub header: BTreeMap<String, String>,
    pub params: BTreeMap<String, String>,
}
impl QueryFile {
    pub fn parse(path: &str, text: &str) -> Self {
        let (mut header, mut params) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines().take_while(|line| line.trim().is_empty() || line.starts_with("--")) {
            let Some((key, value)) = line.trim_start_matches("--").trim().split_once(": ") else { continue };
            if let Some(name) = key.strip_prefix("param ") {
                params.insert(name.trim().to_owned(), value.trim().to_owned());
            } else if key.chars().all(|c| c.is_ascii_lowercase()) {
                header.entry(key.to_owned()).or_insert_with(|| value.trim().to_owned());
            }
        }
        Self { path: path.to_owned(), text: text.to_owned(), header, params }
    }
}
