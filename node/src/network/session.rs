//! One connection, from HELLO to its end.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chain_core::code::Refusal;
use chain_core::codec::Wire as _;
use chain_core::crypto::Digest;
use chain_core::id::ValidatorIx;
use chain_core::transaction::Batch;
use futures::io::{ReadHalf, WriteHalf};
use futures::{AsyncReadExt as _, AsyncWriteExt as _};
use libp2p::swarm::Stream;
use tokio::time::{sleep, timeout};

use super::hello::{self, HelloError, Terms};
use super::metrics::Counter;
use super::outbox::Outbox;
use super::peers::{Active, Slot};
use super::streams::{Channel, Ends};
use super::wire::{read_frame, write_frame};
use super::{Shared, WRITE_TIMEOUT};
use crate::link::{self, FRAME_BYTES_MAX, Frame};

/// Time for HELLO and for opening the other streams.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a sign of life is sent.
const BEAT: Duration = Duration::from_secs(1);
/// A connection on which nothing at all arrived for this long is dead. With the dialling pauses this keeps
/// healing under ten seconds.
const SILENCE_MAX: Duration = Duration::from_secs(6);
/// Most bytes of a frame on the votes stream: a view change with certificates of 100 validators fits.
const VOTES_FRAME_MAX: usize = 512 * 1024;
/// The sign of life.
const BEAT_BYTE: u8 = 1;

/// Why a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// A stream or the whole connection broke, or it was never complete.
    Broken(String),
    /// HELLO failed.
    Refused(Refusal),
    /// The peer sent what no correct validator sends.
    Malformed(String),
    /// The peer takes frames too slowly.
    Slow,
    /// The peer fell silent.
    Silent,
    /// Another connection to the same peer is preferred.
    Replaced,
}

/// A connection just established.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    pub(super) peer: ValidatorIx,
    /// Whether this node dialled.
    pub(super) dialer: bool,
    pub(super) ends: Ends,
}

impl Session {
    /// Runs the connection to its end.
    pub(super) async fn run(mut self) -> End {
        match timeout(OPEN_TIMEOUT, self.hello()).await {
            Err(_) => End::Broken("no HELLO in time".into()),
            Ok(Err(end)) => end,
            Ok(Ok((hello, process))) => self.use_streams(hello, process).await,
        }
    }

    async fn hello(&mut self) -> Result<(Stream, Digest), End> {
        let mut stream = self.stream(Channel::Hello).await?;
        let shared = &self.shared;
        let validator =
            shared.directory.get(self.peer).ok_or_else(|| End::Broken("no such validator".into()))?;
        let sign = |challenge| shared.inbox.hello(shared.network_key, challenge);
        let terms = Terms {
            chain_id: shared.chain_id,
            epoch: shared.directory.committee.epoch(),
            peer_network_key: validator.network_key,
            peer_consensus_key: validator.consensus_key,
            process: shared.process,
            admit: &|process| shared.slot(self.peer).admit(process, Instant::now()),
            sign: &sign,
        };
        match hello::exchange(&mut stream, &terms).await {
            Ok(process) => Ok((stream, process)),
            Err(HelloError::Refused(refusal)) => Err(End::Refused(refusal)),
            Err(HelloError::Io(error)) => Err(End::Broken(format!("HELLO: {error}"))),
        }
    }

    /// The stream of a channel: opened by the dialer, awaited by the listener.
    async fn stream(&mut self, want: Channel) -> Result<Stream, End> {
        if self.dialer {
            let _ = self.ends.open.send(want).await;
        }
        match self.ends.streams.recv().await {
            Some((channel, stream)) if channel == want => Ok(stream),
            Some((channel, _)) => Err(End::Malformed(format!("{channel:?} stream where {want:?} was due"))),
            None => Err(End::Broken("connection closed".into())),
        }
    }

    async fn use_streams(mut self, hello: Stream, process: Digest) -> End {
        let open = async {
            let votes = self.stream(Channel::Votes).await?;
            Ok((votes, self.stream(Channel::Data).await?))
        };
        let (votes, data) = match timeout(OPEN_TIMEOUT, open).await {
            Ok(Ok(streams)) => streams,
            Ok(Err(end)) => return end,
            Err(_) => return End::Broken("streams did not open in time".into()),
        };
        let shared = Arc::clone(&self.shared);
        let slot = shared.slot(self.peer);
        let preferred = self.dialer == (shared.directory.me < self.peer);
        let active = Arc::new(Active::new(preferred, process));
        if !slot.claim(&active) {
            return End::Replaced;
        }
        let _claim = Claim { slot, active: &active };
        self.take_turn(&shared, slot, &active, hello, votes, data).await
    }

    async fn take_turn(
        &self,
        shared: &Shared,
        slot: &Slot,
        active: &Arc<Active>,
        hello: Stream,
        votes: Stream,
        data: Stream,
    ) -> End {
        let _turn = slot.turn.lock().await;
        if !slot.announce(active) {
            return End::Replaced;
        }
        active.heard();
        shared.inbox.connected(self.peer);
        let _announced = Announced { claim: Claim { slot, active }, shared, peer: self.peer };
        shared.metrics.connections.add(1);
        self.pump(shared, active, hello, votes, data).await
    }

    /// Moves frames both ways until something ends it.
    async fn pump(
        &self,
        shared: &Shared,
        active: &Active,
        hello: Stream,
        votes: Stream,
        data: Stream,
    ) -> End {
        let (hello_in, hello_out) = hello.split();
        let (votes_in, votes_out) = votes.split();
        let (data_in, data_out) = data.split();
        let metrics = &shared.metrics;
        tokio::select! {
            () = active.stop.notified() => End::Replaced,
            end = self.read(shared, active, votes_in, link::Stream::Votes, VOTES_FRAME_MAX) => end,
            end = self.read(shared, active, data_in, link::Stream::Data, FRAME_BYTES_MAX) => end,
            end = write(&active.votes, votes_out, &metrics.bytes_out) => end,
            end = write(&active.data, data_out, &metrics.bytes_out) => end,
            end = read_beats(active, hello_in) => end,
            end = write_beats(hello_out) => end,
            end = watch(active) => end,
        }
    }

    async fn read(
        &self,
        shared: &Shared,
        active: &Active,
        mut io: ReadHalf<Stream>,
        stream: link::Stream,
        max: usize,
    ) -> End {
        loop {
            let bytes = match read_frame(&mut io, max, || active.heard()).await {
                Ok(bytes) => bytes,
                Err(error) => return broken(&error),
            };
            shared.metrics.frames_in.add(1);
            shared.metrics.bytes_in.add(bytes.len() as u64);
            let frame = match Frame::from_bytes(&bytes) {
                Ok(frame) => frame,
                Err(error) => return End::Malformed(error.to_string()),
            };
            if frame.stream() != stream {
                return End::Malformed(format!("frame on the wrong stream, {stream:?}"));
            }
            if let Frame::Batch(batch) = &frame
                && batch.len() > Batch::LIMIT
            {
                return End::Malformed(format!("batch of {} bytes, at most {}", batch.len(), Batch::LIMIT));
            }
            shared.inbox.deliver(self.peer, frame).await;
        }
    }
}

/// Lets go of the slot however the connection's task ends, a panic included.
struct Claim<'a> {
    slot: &'a Slot,
    active: &'a Arc<Active>,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.slot.release(self.active);
    }
}

/// Tells the inbox that the connection is gone, after the slot was let go and before the next one's turn.
struct Announced<'a> {
    claim: Claim<'a>,
    shared: &'a Shared,
    peer: ValidatorIx,
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        self.claim.slot.release(self.claim.active);
        self.shared.inbox.disconnected(self.peer);
    }
}

fn broken(error: &io::Error) -> End {
    match error.kind() {
        ErrorKind::InvalidData => End::Malformed(error.to_string()),
        ErrorKind::TimedOut => End::Slow,
        _ => End::Broken(error.to_string()),
    }
}

async fn write(outbox: &Outbox, mut io: WriteHalf<Stream>, bytes_out: &Counter) -> End {
    loop {
        let frame = outbox.pop().await;
        if let Err(error) = write_frame(&mut io, &frame, WRITE_TIMEOUT).await {
            return broken(&error);
        }
        bytes_out.add(frame.len() as u64);
    }
}

async fn read_beats(active: &Active, mut io: ReadHalf<Stream>) -> End {
    let mut beats = [0; 16];
    loop {
        match io.read(&mut beats).await {
            Ok(0) => return End::Broken("closed by the peer".into()),
            Ok(n) if beats[..n].iter().all(|&byte| byte == BEAT_BYTE) => active.heard(),
            Ok(_) => return End::Malformed("not a sign of life".into()),
            Err(error) => return broken(&error),
        }
        // A peer that floods this stream gets no more attention than one that does not.
        sleep(BEAT / 4).await;
    }
}

async fn write_beats(mut io: WriteHalf<Stream>) -> End {
    loop {
        let beat = async {
            io.write_all(&[BEAT_BYTE]).await?;
            io.flush().await
        };
        match timeout(WRITE_TIMEOUT, beat).await {
            Ok(Ok(())) => sleep(BEAT).await,
            Ok(Err(error)) => return broken(&error),
            Err(_) => return End::Silent,
        }
    }
}

async fn watch(active: &Active) -> End {
    loop {
        sleep(BEAT / 2).await;
        if active.silence() > SILENCE_MAX {
            return End::Silent;
        }
        let now = Instant::now();
        if active.votes.stuck(now) || active.data.stuck(now) {
            return End::Slow;
        }
    }
}
