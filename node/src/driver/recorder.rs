//! A line for every signed message, written before it reaches the network, for a judge outside the process.
//!
//! `CITY_VOTE_RECORDER` names a file to append to, or a Unix socket to write to. A line survives a crash of
//! this process because it is in the kernel before the message is; it need not survive a power cut.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use chain_core::certificate::VoteKind;
use chain_core::crypto::{Digest, Signature};
use chain_core::id::{Epoch, Height, ValidatorIx, View};
use chain_core::lane::SignedBatchHeader;
use consensus::message::Message;
use serde::Serialize;

/// Where lines go.
pub(crate) struct Recorder {
    out: Option<Box<dyn Write + Send>>,
    me: Option<ValidatorIx>,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Recorder({})", if self.out.is_some() { "on" } else { "off" })
    }
}

#[derive(Debug, Serialize)]
struct Line<'a> {
    signer: ValidatorIx,
    kind: &'a str,
    epoch: Epoch,
    view: Option<View>,
    height: Option<Height>,
    /// Of a view change: the view of the certificate it claims.
    claim_view: Option<View>,
    /// Of a batch.
    seq: Option<u64>,
    digest: Digest,
    signature: Signature,
}

impl Recorder {
    /// Opens what `CITY_VOTE_RECORDER` names.
    ///
    /// # Errors
    /// When it is set and cannot be opened.
    pub(crate) fn from_env(me: Option<ValidatorIx>) -> std::io::Result<Self> {
        let Some(path) = std::env::var_os("CITY_VOTE_RECORDER") else {
            return Ok(Self { out: None, me });
        };
        Self::open(Path::new(&path), me)
    }

    fn open(path: &Path, me: Option<ValidatorIx>) -> std::io::Result<Self> {
        let socket = std::fs::metadata(path).is_ok_and(|found| found.file_type().is_socket());
        let out: Box<dyn Write + Send> = if socket {
            Box::new(UnixStream::connect(path)?)
        } else {
            Box::new(OpenOptions::new().create(true).append(true).open(path)?)
        };
        Ok(Self { out: Some(out), me })
    }

    /// Another index is this validator's from here on.
    pub(crate) fn begin_epoch(&mut self, me: Option<ValidatorIx>) {
        self.me = me;
    }

    /// Records what this validator signed in a message; others' words and unsigned ones are not recorded.
    ///
    /// # Errors
    /// When the judge does not take the line: the message must not leave then.
    pub(crate) fn message(&mut self, message: &Message) -> std::io::Result<()> {
        if self.out.is_none() {
            return Ok(());
        }
        let line = match message {
            Message::Propose(proposal) => Line {
                signer: proposal.header.proposer,
                kind: "propose",
                epoch: proposal.header.epoch,
                view: Some(proposal.header.view),
                height: Some(proposal.header.height),
                claim_view: None,
                seq: None,
                digest: proposal.header.digest(),
                signature: proposal.signature,
            },
            Message::Vote(vote, _) => Line {
                signer: vote.signer,
                kind: match vote.kind {
                    VoteKind::Prepare => "prepare",
                    VoteKind::Commit => "commit",
                },
                epoch: vote.epoch,
                view: Some(vote.view),
                height: Some(vote.height),
                claim_view: None,
                seq: None,
                digest: vote.digest,
                signature: vote.signature,
            },
            Message::ViewChange(change) => Line {
                signer: change.signer,
                kind: "view_change",
                epoch: change.epoch,
                view: Some(change.new_view),
                height: Some(change.high_qc.height()),
                claim_view: change.high_qc.rank().map(|rank| rank.view),
                seq: None,
                digest: change.high_qc.digest(),
                signature: change.signature,
            },
            _ => return Ok(()),
        };
        self.write(&line)
    }

    /// Records a batch of the own lane.
    ///
    /// # Errors
    /// As [`Self::message`].
    pub(crate) fn batch(&mut self, batch: &SignedBatchHeader) -> std::io::Result<()> {
        self.write(&Line {
            signer: batch.header.author,
            kind: "batch",
            epoch: batch.header.epoch,
            view: None,
            height: None,
            claim_view: None,
            seq: Some(batch.header.seq),
            digest: batch.header.digest(),
            signature: batch.signature,
        })
    }

    fn write(&mut self, line: &Line<'_>) -> std::io::Result<()> {
        let Some(out) = self.out.as_mut().filter(|_| Some(line.signer) == self.me) else {
            return Ok(());
        };
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        out.write_all(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::message::Vote;

    #[test]
    fn own_votes_become_lines_and_others_do_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("votes");
        let mut recorder = Recorder::open(&path, Some(ValidatorIx::new(2))).unwrap();
        for signer in [2, 1] {
            let vote = Vote {
                kind: VoteKind::Commit,
                epoch: Epoch::ZERO,
                view: View::new(3),
                height: Height::new(9),
                digest: Digest::ZERO,
                signer: ValidatorIx::new(signer),
                signature: Signature::ZERO,
            };
            recorder.message(&Message::Vote(vote, Height::ZERO)).unwrap();
        }
        recorder.message(&Message::GetCertificate).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 1);
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((&line["signer"], &line["kind"]), (&2.into(), &"commit".into()));
        assert_eq!((&line["view"], &line["height"]), (&3.into(), &9.into()));
    }
}
