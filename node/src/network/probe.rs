//! Tells a host that is down from a process that hangs, after a dial has failed.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use libp2p::swarm::DialError;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::link::Unreached;

/// Longest wait for a host to take a connection.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether the host itself said that nothing listens.
pub(super) fn closed(error: &DialError) -> bool {
    let DialError::Transport(attempts) = error else { return false };
    let refused = |error: &(dyn Error + 'static)| {
        let mut cause = Some(error);
        while let Some(error) = cause {
            let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
            if kind == Some(io::ErrorKind::ConnectionRefused) {
                return true;
            }
            cause = error.source();
        }
        false
    };
    attempts.iter().any(|(_, error)| refused(error))
}

/// Opens a connection to a host and says nothing on it.
pub(super) async fn probe(address: SocketAddr) -> Unreached {
    match timeout(PATIENCE, TcpStream::connect(address)).await {
        Ok(Ok(_)) => Unreached::Mute,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Unreached::Closed,
        Ok(Err(_)) | Err(_) => Unreached::NoAnswer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[tokio::test]
    async fn a_port_that_listens_and_says_nothing_is_mute_and_a_free_one_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(probe(address).await, Unreached::Mute);
        drop(listener);
        assert_eq!(probe(address).await, Unreached::Closed);
    }
}
