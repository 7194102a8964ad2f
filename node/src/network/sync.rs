//! Request and response: one stream per question, both sides capped before anything is allocated.

use std::io;

use chain_core::codec::Wire as _;
use futures::{AsyncRead, AsyncWrite};
use libp2p::StreamProtocol;
use libp2p::request_response::{self as rr, ProtocolSupport};

use super::wire::{read_frame, write_frame};
use super::{SYNC_TIMEOUT, WRITE_TIMEOUT};
use crate::link::{SyncRequest, SyncResponse};

/// Streams of requests, both ways, at once on one connection.
const STREAMS_MAX: usize = 2 * super::peers::REQUESTS_MAX;

/// Moves encoded questions and answers. Decoding is the work of who asked, off the connection's task.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Codec;

/// The behaviour and its events.
pub(super) type Behaviour = rr::Behaviour<Codec>;

/// The behaviour with our limits.
pub(super) fn behaviour() -> Behaviour {
    let protocol = (StreamProtocol::new("/city/1/sync"), ProtocolSupport::Full);
    let config =
        rr::Config::default().with_request_timeout(SYNC_TIMEOUT).with_max_concurrent_streams(STREAMS_MAX);
    Behaviour::new([protocol], config)
}

impl rr::Codec for Codec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, SyncRequest::LIMIT, || ()).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        read_frame(io, SyncResponse::LIMIT, || ()).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &bytes, WRITE_TIMEOUT).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, bytes: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        write_frame(io, &bytes, WRITE_TIMEOUT).await
    }
}
