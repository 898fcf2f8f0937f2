//! What duplicates are told by.

/// Numbers whose bits look like chance, and of which no two are alike.
const KEYS: [u64; 4] =
    [0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93];

/// A hash of (site, source, id) in 128 bits. The same in every run, because a restart reads again what was read before.
/// No secret is in it: whoever can write a record can write another's id as well, and needs no other that looks like
/// it. So it has to tell apart what nobody chose, and every record pays for it.
pub(super) fn of(site: &str, source: &str, id: &str) -> u128 {
    let lengths = [site.len() as u64 ^ ((source.len() as u64) << 32), id.len() as u64];
    let mut lanes = mixed([KEYS[0], KEYS[2]], lengths);
    for part in [site, source, id] {
        let (pairs, rest) = part.as_bytes().as_chunks();
        for pair in pairs {
            lanes = mixed(lanes, words(pair));
        }
        if !rest.is_empty() {
            lanes = mixed(lanes, words_of_rest(rest));
        }
    }
    let [one, other] = lanes;
    let halves = [folded(one ^ KEYS[1], other ^ KEYS[3]), folded(one ^ KEYS[2], other ^ KEYS[0])];
    (u128::from(halves[0]) << 64) | u128::from(halves[1])
}

/// The words of fewer than sixteen letters with zeros behind them. They are not copied to where there is room for sixteen:
/// what was just written in pieces is read at one stroke only after a wait, and names are short.
fn words_of_rest(rest: &[u8]) -> [u64; 2] {
    match rest.split_first_chunk() {
        Some((first, others)) => [u64::from_le_bytes(*first), word_of_rest(others)],
        None => [word_of_rest(rest), 0],
    }
}

/// The same of fewer than eight. Their pieces overlap where they are not of four or two, and say the same there.
fn word_of_rest(rest: &[u8]) -> u64 {
    if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        return u64::from(u32::from_le_bytes(*first))
            | (u64::from(u32::from_le_bytes(*last)) << (8 * (rest.len() - 4)));
    }
    let at = |place: usize| rest.get(place).map_or(0, |letter| u64::from(*letter) << (8 * place));
    at(0) | at(1) | at(2)
}

fn words(pair: &[u8; 16]) -> [u64; 2] {
    let pair = u128::from_le_bytes(*pair);
    [low(pair), low(pair >> 64)]
}

fn mixed([one, other]: [u64; 2], [first, second]: [u64; 2]) -> [u64; 2] {
    [folded(first ^ KEYS[1], second ^ one), folded(second ^ KEYS[3], first ^ other)]
}

/// Both halves of the product: each of its bits hangs on every bit of the factors.
fn folded(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    low(product) ^ low(product >> 64)
}

#[allow(clippy::cast_possible_truncation, reason = "the lower half is wanted")]
const fn low(number: u128) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_words_of_a_rest_are_those_of_its_letters_and_zeros() {
        let letters: Vec<u8> = (0xf0..=0xff).collect();
        for length in 0..16 {
            let mut padded = [0; 16];
            padded[..length].copy_from_slice(&letters[..length]);
            assert_eq!(words_of_rest(&letters[..length]), words(&padded), "{length} letters");
        }
    }

    #[test]
    fn parts_do_not_run_into_each_other() {
        assert_ne!(of("ab", "c", "d"), of("a", "bc", "d"));
        assert_ne!(of("a", "b", ""), of("a", "", "b"));
        assert_ne!(of("a", "b", "c"), of("a", "b", "c\0"));
        assert_eq!(of("a", "b", "c"), of("a", "b", "c"));
    }

    #[test]
    fn ids_that_are_counted_up_are_told_apart_by_half_of_the_bits_either_half() {
        let hashes = || (0..200_000).map(|number| of("hubin", "vms", &format!("mk0e96o0-{number:x}")));
        assert_eq!(hashes().map(low).collect::<BTreeSet<_>>().len(), 200_000);
        assert_eq!(hashes().map(|hash| low(hash >> 64)).collect::<BTreeSet<_>>().len(), 200_000);
    }

    #[test]
    fn one_bit_of_a_record_changes_half_of_the_hash() {
        let text = "an-id-that-is-longer-than-one-pair-of-words";
        let hash = of("s", "acs", text);
        for place in 0..text.len() {
            let mut other = text.as_bytes().to_vec();
            other[place] ^= 1;
            let changed = (of("s", "acs", std::str::from_utf8(&other).unwrap()) ^ hash).count_ones();
            assert!((32..=96).contains(&changed), "{changed} bits change with the letter at {place}");
        }
    }

    #[test]
    fn it_is_the_same_in_every_run() {
        assert_eq!(of("hubin", "acs", "mk0e96o0-3"), 0xbef1_4be9_8554_2a0e_e1f8_cf5b_0e7f_15b5);
    }
}
