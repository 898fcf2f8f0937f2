//! What duplicates are told by.

use sha2::{Digest, Sha256};

/// A hash of (site, source, id): the first 128 bits of SHA-256 over the three with their lengths. The
/// same in every run and release, because a restart compares new records with what the history holds.
pub(super) fn of(site: &str, source: &str, id: &str) -> u128 {
    let mut hasher = Sha256::new();
    hasher.update((site.len() as u64).to_le_bytes());
    hasher.update((source.len() as u64).to_le_bytes());
    hasher.update(site);
    hasher.update(source);
    hasher.update(id);
    let digest = hasher.finalize();
    digest.iter().take(16).fold(0, |hash, byte| (hash << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(of("ab", "c", "d"), of("a", "bc", "d"));
        assert_ne!(of("a", "b", ""), of("a", "", "b"));
        assert_eq!(of("a", "b", "c"), of("a", "b", "c"));
    }
}
