//! All query files of a folder.

use std::collections::BTreeMap;

use super::{Kind, QueryFile, QueryFileError};

/// The files that can be used, and what is wrong with the others: one bad file stops no other.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct QuerySet {
    /// The usable files, by kind and name.
    pub files: Vec<QueryFile>,
    /// What is wrong, in the order of the files.
    pub refused: Vec<QueryFileError>,
}

impl QuerySet {
    /// Reads pairs of a file's path (with its folder, which says the kind) and its text.
    pub fn read<'a>(files: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut set = Self::default();
        let mut seen: BTreeMap<(Kind, String), String> = BTreeMap::new();
        for (path, text) in files {
            match QueryFile::parse(path, text) {
                Ok(query) => match seen.insert((query.kind, query.name.clone()), query.file.clone()) {
                    None => set.files.push(query),
                    Some(first) => {
                        let problem = format!("`{}` is the name of {first}, too", query.name);
                        set.refused.push(query.error(1, "name", problem, "give one of the two another name"));
                    }
                },
                Err(errors) => set.refused.extend(errors),
            }
        }
        set.files.sort_by(|one, other| (one.kind, &one.name).cmp(&(other.kind, &other.name)));
        set
    }

    /// The files of one kind, by name.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &QueryFile> {
        self.files.iter().filter(move |query| query.kind == kind)
    }

    /// The file of that kind and name.
    #[must_use]
    pub fn get(&self, kind: Kind, name: &str) -> Option<&QueryFile> {
        self.of(kind).find(|query| query.name == name)
    }
}
