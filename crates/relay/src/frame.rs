//! Frames on a connection: a length, a checksum, and so many bytes.
//!
//! The checksum is there for the reader of Arrow's format, which trusts lengths that it finds inside: bytes that were
//! damaged on their way must not come that far.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// No frame is longer. A chunk holds 2 MiB of payload at most, and its rows take several times as much.
pub const LONGEST: u32 = 64 * 1024 * 1024;

/// Why a frame could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed or ended within a frame.
    #[error("on the connection: {0}")]
    Connection(#[from] io::Error),
    /// Longer than allowed.
    #[error(
        "a frame of {length} bytes, and {limit} are allowed: the other side is no hexwatch, or of another version"
    )]
    TooLong {
        /// How long it says it is, or would be.
        length: u64,
        /// How long it may be.
        limit: u32,
    },
    /// Other bytes than were sent.
    #[error("a frame of {length} bytes was damaged on its way")]
    Damaged {
        /// How long it is.
        length: u32,
    },
}

/// The next frame of `source`; `None` where the connection has ended between two. Memory follows the bytes that come,
/// not the length that is claimed.
///
/// # Errors
/// Where the connection fails, the frame is longer than `limit`, or it is damaged.
pub async fn read<R: AsyncRead + Unpin>(source: &mut R, limit: u32) -> Result<Option<Vec<u8>>, FrameError> {
    let Some(length) = read_length(source).await? else { return Ok(None) };
    if length > limit {
        return Err(FrameError::TooLong { length: length.into(), limit });
    }
    let checksum = source.read_u32().await?;
    let mut bytes = Vec::new();
    let read = source.take(length.into()).read_to_end(&mut bytes).await?;
    if read < usize::try_from(length).unwrap_or(usize::MAX) {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    if crc32fast::hash(&bytes) == checksum { Ok(Some(bytes)) } else { Err(FrameError::Damaged { length }) }
}

async fn read_length<R: AsyncRead + Unpin>(source: &mut R) -> Result<Option<u32>, FrameError> {
    let mut bytes = [0; 4];
    if source.read(&mut bytes[..1]).await? == 0 {
        return Ok(None);
    }
    source.read_exact(&mut bytes[1..]).await?;
    Ok(Some(u32::from_be_bytes(bytes)))
}

/// Writes `bytes` as a frame; what is buffered is not flushed.
///
/// # Errors
/// Where the connection fails, or there are more bytes than a frame may hold.
pub async fn write<W: AsyncWrite + Unpin>(sink: &mut W, bytes: &[u8]) -> Result<(), FrameError> {
    let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= LONGEST);
    let Some(length) = length else {
        return Err(FrameError::TooLong { length: bytes.len() as u64, limit: LONGEST });
    };
    sink.write_u32(length).await?;
    sink.write_u32(crc32fast::hash(bytes)).await?;
    sink.write_all(bytes).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    fn framed(bytes: &[u8]) -> Vec<u8> {
        let mut sink = Vec::new();
        block_on(write(&mut sink, bytes)).unwrap();
        sink
    }

    #[test]
    fn a_length_that_is_claimed_and_not_sent_takes_no_memory_and_is_an_error() {
        let mut claimed = LONGEST.to_be_bytes().to_vec();
        claimed.extend([0; 9]);
        let error = block_on(read(&mut &claimed[..], LONGEST)).unwrap_err();
        assert!(matches!(error, FrameError::Connection(_)), "{error}");
        let error = block_on(read(&mut &claimed[..], 1_000)).unwrap_err();
        assert!(matches!(error, FrameError::TooLong { limit: 1_000, .. }), "{error}");
    }

    proptest! {
        #[test]
        fn frames_come_as_they_were_sent(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5)) {
            let stream: Vec<u8> = frames.iter().flat_map(|frame| framed(frame)).collect();
            let mut source = &stream[..];
            for frame in &frames {
                let come = block_on(read(&mut source, LONGEST)).unwrap();
                prop_assert_eq!(come.as_ref(), Some(frame));
            }
            prop_assert!(block_on(read(&mut source, LONGEST)).unwrap().is_none());
        }

        #[test]
        fn a_frame_that_is_cut_short_or_changed_is_an_error(
            bytes in prop::collection::vec(any::<u8>(), 1..200),
            at in any::<prop::sample::Index>(),
            change in 1..=255_u8,
        ) {
            let whole = framed(&bytes);
            let at = at.index(whole.len());
            let mut changed = whole.clone();
            changed[at] ^= change;
            prop_assert!(block_on(read(&mut &changed[..], LONGEST)).is_err());
            if at > 0 {
                prop_assert!(block_on(read(&mut &whole[..at], LONGEST)).is_err());
            }
        }
    }
}
