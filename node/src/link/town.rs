//! Validators that answer at once, in place of a network: for tests of whoever asks them.

use chain_core::id::ValidatorIx;
use consensus::Peers;
use futures::FutureExt as _;
use futures::future::BoxFuture;

use super::{Frame, Network, NoAnswer, PeerConnection, SyncRequest, SyncResponse};

/// How one of them answers.
pub(crate) trait Answers: Send + Sync {
    /// What it says.
    fn answer(&self, request: &SyncRequest) -> SyncResponse;
}

/// Validators in the order of their indices, all connected.
pub(crate) struct Town<V>(pub(crate) Vec<V>);

impl<V: Answers + 'static> Network for Town<V> {
    fn send(&self, _: Peers, _: Frame) {}

    fn request(
        &self,
        to: ValidatorIx,
        request: SyncRequest,
    ) -> BoxFuture<'static, Result<SyncResponse, NoAnswer>> {
        let answer = self.0.get(to.index()).map(|one| one.answer(&request));
        async move { answer.ok_or(NoAnswer) }.boxed()
    }

    fn peers(&self) -> Vec<PeerConnection> {
        let peer = |validator| PeerConnection {
            validator,
            connected: true,
            refused: None,
            unreached: None,
            twin: false,
        };
        (0..).map(ValidatorIx::new).take(self.0.len()).map(peer).collect()
    }
}
