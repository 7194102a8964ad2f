//! Helpers of the network's tests.

use chain_core::crypto::{Digest, SecretKey};
use futures::{AsyncRead, AsyncWrite};

/// A key that only tests use.
pub(super) fn secret(n: u64) -> SecretKey {
    SecretKey::from_seed(*Digest::tagged(b"network-test", &[&n.to_be_bytes()]).as_bytes())
}

/// Two ends of one byte stream.
pub(super) fn duplex() -> (impl AsyncRead + AsyncWrite + Unpin, impl AsyncRead + AsyncWrite + Unpin) {
    let (a, b) = tokio::io::duplex(1024);
    (Compat(a), Compat(b))
}

struct Compat(tokio::io::DuplexStream);

mod compat {
    use std::io;
    use std::pin::Pin;
    use std::task::{Context, Poll, ready};

    use futures::{AsyncRead, AsyncWrite};
    use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};

    use super::Compat;

    impl AsyncRead for Compat {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &mut [u8],
        ) -> Poll<io::Result<usize>> {
            let mut buf = ReadBuf::new(buf);
            ready!(Pin::new(&mut self.0).poll_read(cx, &mut buf))?;
            Poll::Ready(Ok(buf.filled().len()))
        }
    }

    impl AsyncWrite for Compat {
        fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }
}
