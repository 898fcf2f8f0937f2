//! Cells as a binary frame, for clients that ask for `"format":"binary"`. Little-endian throughout:
//!
//! | bytes | what |
//! |---|---|
//! | 0 | version of this format: 1 |
//! | 1 | bit 0: full (cells that are not listed are gone) |
//! | 2..4 | zero |
//! | 4..8 | count of cells, u32 |
//! | 8..16 | watermark, epoch milliseconds, i64 |
//! | 16 bytes a cell: 0..8 | cell, u64 |
//! | 8..10 | score in hundredths, u16; 65535 = unknown |
//! | 10 | level, u8: 0 unknown, 1 low, 2 elevated, 3 high, 4 critical |
//! | 11 | coverage in per cent, rounded down, u8 |
//! | 12..16 | events that count, u32, saturating |

use bytes::{BufMut, Bytes, BytesMut};
use hexwatch_contract::EventTime;
use hexwatch_contract::live::CellUpdate;
use hexwatch_contract::risk::Level;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 16;
const CELL_BYTES: usize = 16;
const UNKNOWN_SCORE: u16 = u16::MAX;

pub(super) fn encode(watermark: EventTime, full: bool, cells: &[CellUpdate]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + cells.len() * CELL_BYTES);
    frame.put_u8(VERSION);
    frame.put_u8(u8::from(full));
    frame.put_u16_le(0);
    frame.put_u32_le(u32::try_from(cells.len()).unwrap_or(u32::MAX));
    frame.put_i64_le(watermark.millis());
    for cell in cells {
        frame.put_u64_le(cell.cell.index());
        frame.put_u16_le(cell.score.map_or(UNKNOWN_SCORE, |score| u16::try_from(score.0).unwrap_or(10_000)));
        frame.put_u8(level_code(cell.level));
        frame.put_u8(per_cent(cell.coverage));
        frame.put_u32_le(u32::try_from(cell.n_events).unwrap_or(u32::MAX));
    }
    frame.freeze()
}

const fn level_code(level: Level) -> u8 {
    match level {
        Level::Unknown => 0,
        Level::Low => 1,
        Level::Elevated => 2,
        Level::High => 3,
        Level::Critical => 4,
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped to 0..=100")]
fn per_cent(share: f64) -> u8 {
    (share * 100.0).clamp(0.0, 100.0) as u8
}

#[cfg(test)]
mod tests {
    use hexwatch_contract::Cell;
    use hexwatch_contract::risk::Hundredths;

    use super::*;

    #[test]
    fn a_frame_holds_sixteen_bytes_a_cell_after_a_header_of_sixteen() {
        let cell = |score, level, coverage| CellUpdate {
            cell: Cell::from_index(0x08b2_a107_2b59_afff),
            score,
            level,
            coverage,
            n_events: 7,
        };
        let known = cell(Some(Hundredths(4_125)), Level::Elevated, 0.5);
        let unknown = cell(None, Level::Unknown, 0.0);
        let frame = encode(EventTime::from_millis(1_000), true, &[known, unknown]);

        assert_eq!(frame.len(), 48);
        assert_eq!(frame[..8], [1, 1, 0, 0, 2, 0, 0, 0]);
        assert_eq!(frame[8..16], 1_000_i64.to_le_bytes());
        assert_eq!(frame[16..24], 0x08b2_a107_2b59_afff_u64.to_le_bytes());
        assert_eq!(frame[24..26], 4_125_u16.to_le_bytes());
        assert_eq!(frame[26..32], [2, 50, 7, 0, 0, 0]);
        assert_eq!(frame[40..44], [0xff, 0xff, 0, 0]);
    }
}
