//! The libp2p behaviour that carries the three long-lived streams of a connection.
//!
//! The dialer opens them, HELLO first; the listener takes at most one of each per connection. Both ends
//! speak on all of them. The published `libp2p-stream` does nearly this, but it does not say which
//! connection a stream belongs to and drops incoming streams while its reader is busy; with simultaneous
//! dials both matter.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use libp2p::PeerId;
use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::handler::{
    ConnectionEvent, DialUpgradeError, FullyNegotiatedInbound, FullyNegotiatedOutbound,
};
use libp2p::swarm::{
    ConnectionClosed, ConnectionDenied, ConnectionHandler, ConnectionHandlerEvent, ConnectionId, FromSwarm,
    NetworkBehaviour, Stream, StreamProtocol, SubstreamProtocol, THandler, THandlerInEvent, THandlerOutEvent,
    ToSwarm,
};
use tokio::sync::mpsc;

/// The streams of a connection.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Channel {
    /// HELLO, then one byte a second as a sign of life.
    Hello,
    /// Small urgent frames.
    Votes,
    /// Large frames.
    Data,
}

impl Channel {
    const ALL: [Self; 3] = [Self::Hello, Self::Votes, Self::Data];

    fn protocol(self) -> StreamProtocol {
        StreamProtocol::new(match self {
            Self::Hello => "/city/1/hello",
            Self::Votes => "/city/1/votes",
            Self::Data => "/city/1/data",
        })
    }
}

/// The ends that a connection's owner holds.
pub(super) struct Ends {
    /// Streams as they open; at most one of each.
    pub(super) streams: mpsc::Receiver<(Channel, Stream)>,
    /// Asks for the next stream; the dialer's side only.
    pub(super) open: mpsc::Sender<Channel>,
}

/// Hands each new connection's [`Ends`] to the owner of the swarm.
#[derive(Default)]
pub(super) struct Behaviour {
    waiting: BTreeMap<ConnectionId, Ends>,
}

impl Behaviour {
    /// The ends of a connection, once.
    pub(super) fn take(&mut self, connection: ConnectionId) -> Option<Ends> {
        self.waiting.remove(&connection)
    }

    fn handler(&mut self, connection: ConnectionId, dialer: bool) -> Handler {
        let (to_owner, streams) = mpsc::channel(Channel::ALL.len());
        let (open, wanted) = mpsc::channel(Channel::ALL.len());
        self.waiting.insert(connection, Ends { streams, open });
        Handler { dialer, to_owner, wanted, seen: Vec::new() }
    }
}

impl NetworkBehaviour for Behaviour {
    type ConnectionHandler = Handler;
    type ToSwarm = Infallible;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection, false))
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        _: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        Ok(self.handler(connection, true))
    }

    fn on_swarm_event(&mut self, event: FromSwarm<'_>) {
        match event {
            FromSwarm::ConnectionClosed(ConnectionClosed { connection_id, .. }) => {
                self.waiting.remove(&connection_id);
            }
            FromSwarm::DialFailure(failure) => {
                self.waiting.remove(&failure.connection_id);
            }
            FromSwarm::ListenFailure(failure) => {
                self.waiting.remove(&failure.connection_id);
            }
            _ => {}
        }
    }

    fn on_connection_handler_event(&mut self, _: PeerId, _: ConnectionId, event: THandlerOutEvent<Self>) {
        match event {}
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        Poll::Pending
    }
}

/// One connection's part of the behaviour.
pub(super) struct Handler {
    dialer: bool,
    to_owner: mpsc::Sender<(Channel, Stream)>,
    wanted: mpsc::Receiver<Channel>,
    seen: Vec<Channel>,
}

impl Handler {
    /// Passes a stream on; a second one of a kind is dropped, which resets it.
    fn on_stream(&mut self, stream: Stream, protocol: &StreamProtocol) {
        let Some(channel) = Channel::ALL.into_iter().find(|one| one.protocol() == *protocol) else { return };
        if !self.seen.contains(&channel) {
            self.seen.push(channel);
            // The channel holds one of each kind, so it is never full; a gone owner needs no stream.
            let _ = self.to_owner.try_send((channel, stream));
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Infallible;
    type ToBehaviour = Infallible;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = ();

    fn listen_protocol(&self) -> SubstreamProtocol<Self::InboundProtocol> {
        let offered = if self.dialer { &[][..] } else { &Channel::ALL[..] };
        let offered = offered.iter().filter(|channel| !self.seen.contains(channel));
        SubstreamProtocol::new(Upgrade(offered.map(|channel| channel.protocol()).collect()), ())
    }

    /// As long as the owner wants the connection; silence is judged by the owner, not by the swarm.
    fn connection_keep_alive(&self) -> bool {
        !self.to_owner.is_closed()
    }

    fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Self::OutboundProtocol, (), Self::ToBehaviour>> {
        match self.wanted.poll_recv(cx) {
            Poll::Ready(Some(channel)) => Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(Upgrade(vec![channel.protocol()]), ()),
            }),
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn on_behaviour_event(&mut self, event: Self::FromBehaviour) {
        match event {}
    }

    fn on_connection_event(
        &mut self,
        event: ConnectionEvent<'_, Self::InboundProtocol, Self::OutboundProtocol>,
    ) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol: (stream, protocol),
                ..
            }) => self.on_stream(stream, &protocol),
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, protocol),
                ..
            }) => self.on_stream(stream, &protocol),
            ConnectionEvent::DialUpgradeError(DialUpgradeError { error, .. }) => {
                // The owner is timing the stream and gives up on the connection.
                tracing::debug!(%error, "stream did not open");
            }
            _ => {}
        }
    }
}

/// Negotiates a protocol name and leaves the stream as it is.
pub(super) struct Upgrade(Vec<StreamProtocol>);

impl UpgradeInfo for Upgrade {
    type Info = StreamProtocol;
    type InfoIter = std::vec::IntoIter<StreamProtocol>;

    fn protocol_info(&self) -> Self::InfoIter {
        self.0.clone().into_iter()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, StreamProtocol);
    type Error = Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, protocol: Self::Info) -> Self::Future {
        ready(Ok((stream, protocol)))
    }
}
