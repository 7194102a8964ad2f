//! Length-prefixed frames on a byte stream: four big-endian bytes, then the content.

use std::io::{Error, ErrorKind, Result};
use std::time::Duration;

use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// Frames are read and written in pieces of this many bytes, so that memory grows with what arrived (never
/// with what a prefix claims) and progress can be timed.
pub(super) const CHUNK: usize = 64 * 1024;

/// Reads one frame of at most `max` bytes. The limit is checked before anything is allocated. `progress` is
/// called for each piece that arrives.
///
/// # Errors
/// `InvalidData` for a length over the limit; otherwise what the stream says.
pub(super) async fn read_frame<R>(io: &mut R, max: usize, progress: impl Fn()) -> Result<Vec<u8>>
where
    R: AsyncRead + Unpin,
{
    let mut prefix = [0; 4];
    io.read_exact(&mut prefix).await?;
    progress();
    let len = u32::from_be_bytes(prefix) as usize;
    if len > max {
        return Err(Error::new(ErrorKind::InvalidData, format!("frame of {len} bytes, at most {max}")));
    }
    let mut bytes = Vec::with_capacity(len.min(CHUNK));
    while bytes.len() < len {
        let start = bytes.len();
        bytes.resize(len.min(start + CHUNK), 0);
        io.read_exact(&mut bytes[start..]).await?;
        progress();
    }
    Ok(bytes)
}

/// Writes one frame and flushes it; each piece must be taken within `patience`.
///
/// # Errors
/// `TimedOut` when a piece was not taken in time; `InvalidInput` when the length does not fit the prefix;
/// otherwise what the stream says.
pub(super) async fn write_frame<W>(io: &mut W, bytes: &[u8], patience: Duration) -> Result<()>
where
    W: AsyncWrite + Unpin,
{
    let len = u32::try_from(bytes.len()).map_err(|error| Error::new(ErrorKind::InvalidInput, error))?;
    timeout(patience, io.write_all(&len.to_be_bytes())).await??;
    for chunk in bytes.chunks(CHUNK) {
        timeout(patience, io.write_all(chunk)).await??;
    }
    timeout(patience, io.flush()).await?
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::io::Cursor;

    #[tokio::test]
    async fn frames_survive_and_liars_are_refused_before_allocation() {
        let frame: Vec<u8> = (0..200_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut wire = Cursor::new(Vec::new());
        write_frame(&mut wire, &frame, Duration::MAX).await.unwrap();
        write_frame(&mut wire, b"", Duration::MAX).await.unwrap();
        wire.set_position(0);
        assert_eq!(read_frame(&mut wire, frame.len(), || ()).await.unwrap(), frame);
        assert_eq!(read_frame(&mut wire, 0, || ()).await.unwrap(), b"");

        let mut liar = Cursor::new(u32::MAX.to_be_bytes().to_vec());
        let error = read_frame(&mut liar, 1024, || ()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData);
        let mut cut = Cursor::new([&10_u32.to_be_bytes()[..], b"short"].concat());
        assert_eq!(read_frame(&mut cut, 1024, || ()).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }
}
