//! Digits by the eight.

/// The powers of ten by which up to eight more digits move a number.
pub(super) const TENS: [u64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

/// The number that the digits at the beginning of eight letters are, and how many they are: without a step for each, for how
/// many there will be is guessed wrong as often as not.
#[inline]
pub(super) fn leading_digits(letters: [u8; 8]) -> (u64, usize) {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let digits = u64::from_le_bytes(letters) ^ (ONES * 0x30);
    // Of what is no digit the top bit gets set; a sum that runs over into the next letter comes from such a one.
    let others = (digits.wrapping_add(ONES * 0x76) | digits) & (ONES * 0x80);
    let count = others.trailing_zeros() / 8;
    // Zeros go before the digits, and what follows them falls off.
    let digits = digits.unbounded_shl(8 * (8 - count));
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    ((fours * 10_000 + (fours >> 32)) & 0xffff_ffff, count as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_read_up_to_the_first_letter_that_is_none() {
        for number in ["00000000", "00000001", "12345678", "90000009", "99999999"] {
            let letters = *number.as_bytes().first_chunk().unwrap();
            assert_eq!(leading_digits(letters), (number.parse().unwrap(), 8));
            for other in 0..=255_u8 {
                for place in (0..8).filter(|_| !other.is_ascii_digit()) {
                    let mut letters = letters;
                    letters[place] = other;
                    let read = number[..place].parse().unwrap_or(0);
                    assert_eq!(leading_digits(letters), (read, place), "{other} at {place} of {number}");
                }
            }
        }
    }
}
