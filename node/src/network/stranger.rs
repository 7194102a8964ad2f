//! A libp2p host outside the validator set, for tests of refusal: it speaks the right transport and tries
//! the right protocols with a key nobody knows.

use std::time::Duration;

use futures::StreamExt as _;
use libp2p::swarm::SwarmEvent;
use libp2p::swarm::dial_opts::DialOpts;
use libp2p::{Multiaddr, SwarmBuilder, identity, noise, tcp, yamux};

use super::streams;

/// How a validator treated the stranger.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Treatment {
    /// The connection was closed and no application stream ever opened.
    RefusedBeforeProtocols,
    /// A stream opened: the validator let a stranger speak.
    StreamOpened,
    /// Nobody answered at the address.
    Unreachable(String),
    /// The connection neither closed nor opened a stream in time.
    LeftWaiting,
}

/// Dials a validator with a fresh key, asks for the HELLO stream at once, and reports what happened.
pub async fn knock(address: Multiaddr, patience: Duration) -> Treatment {
    knock_with(identity::Keypair::generate_ed25519(), address, patience).await
}

async fn knock_with(key: identity::Keypair, address: Multiaddr, patience: Duration) -> Treatment {
    let transport = SwarmBuilder::with_existing_identity(key).with_tokio().with_tcp(
        tcp::Config::default(),
        noise::Config::new,
        yamux::Config::default,
    );
    let Ok(Ok(builder)) = transport.map(|one| one.with_behaviour(|_| streams::Behaviour::default())) else {
        return Treatment::Unreachable("no transport".into());
    };
    let mut swarm = builder.build();
    let opts = DialOpts::unknown_peer_id().address(address).build();
    if let Err(error) = swarm.dial(opts) {
        return Treatment::Unreachable(error.to_string());
    }
    let mut ends = None;
    let story = async {
        loop {
            let opened = async {
                match &mut ends {
                    Some(streams::Ends { streams, .. }) => streams.recv().await.is_some(),
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                event = swarm.select_next_some() => event,
                true = opened => return Treatment::StreamOpened,
            };
            match event {
                SwarmEvent::ConnectionEstablished { connection_id, .. } => {
                    ends = swarm.behaviour_mut().take(connection_id);
                    if let Some(ends) = &ends {
                        let _ = ends.open.try_send(streams::Channel::Hello);
                    }
                }
                SwarmEvent::ConnectionClosed { .. } => return Treatment::RefusedBeforeProtocols,
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    return Treatment::Unreachable(error.to_string());
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(patience, story).await.unwrap_or(Treatment::LeftWaiting)
}
