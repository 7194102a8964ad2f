//! What happened, a line a step, for people: `  12.345 s  v2 -> v0  PREPARE view 3 height 17 ab12cd34`.

use std::collections::{BTreeSet, VecDeque};
use std::fmt::Write as _;

use chain_core::block::{Flags, Header};
use chain_core::certificate::{Cert, VoteKind};
use chain_core::crypto::Digest;
use consensus::message::{EntryProof, HighQc, Justification, Message, Proposal};

use super::parcel::Parcel;

/// Lines kept; older ones are forgotten.
const LINES_MAX: usize = 400_000;
/// Lines printed about the violation, before the last ones.
const ABOUT_MAX: usize = 60;

#[derive(Debug)]
struct Line {
    at_us: u64,
    text: String,
}

/// The lines of a run.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: VecDeque<Line>,
}

impl Transcript {
    fn push(&mut self, at_us: u64, text: String) {
        if self.lines.len() >= LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(Line { at_us, text });
    }

    /// A parcel arrived.
    pub fn arrived(&mut self, at_us: u64, from: &str, to: &str, parcel: &Parcel) {
        self.push(at_us, format!("{from} -> {to}  {}", of_parcel(parcel)));
    }

    /// Something happened to one node, or to the network.
    pub fn note(&mut self, at_us: u64, text: String) {
        self.push(at_us, text);
    }

    /// The lines about what a violation names (its validators' votes and blocks at the heights and digests in
    /// it, and their crashes), then the last `last` lines.
    pub fn about(&self, violation: &str, last: usize) -> String {
        let words: Vec<&str> = violation
            .split(|one: char| !one.is_ascii_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let numbers = |name: &str| -> BTreeSet<u64> {
            words
                .windows(2)
                .filter(|pair| pair[0].eq_ignore_ascii_case(name))
                .filter_map(|pair| pair[1].parse().ok())
                .collect()
        };
        let heights: BTreeSet<String> =
            numbers("height").into_iter().map(|height| format!(" height {height} ")).collect();
        let digests: Vec<&str> = words
            .iter()
            .filter(|word| word.len() == 64 && word.chars().all(|one| one.is_ascii_hexdigit()))
            .map(|word| &word[..8])
            .collect();
        let who = words.iter().find(|word| word.starts_with('v') && word[1..].parse::<u16>().is_ok());
        let matters = |line: &Line| {
            let text = &line.text;
            let named = digests.iter().any(|digest| text.contains(digest))
                || heights.iter().any(|height| text.contains(height.as_str()));
            let by = who.is_some_and(|who| text.starts_with(&format!("{who} ")));
            let life = by && !text.contains("->");
            life || (named && (by || text.contains("PROPOSE")))
        };
        let end = self.lines.len().saturating_sub(last);
        let about: Vec<&Line> = self.lines.iter().take(end).filter(|line| matters(line)).collect();
        let mut out = String::new();
        let skipped = about.len().saturating_sub(ABOUT_MAX);
        if skipped > 0 {
            let _ = writeln!(out, "  ({skipped} earlier lines about it)");
        }
        for line in about.into_iter().skip(skipped) {
            print(&mut out, line);
        }
        let _ = writeln!(out, "  the last {} steps:", last.min(self.lines.len()));
        for line in self.lines.iter().skip(end) {
            print(&mut out, line);
        }
        out
    }
}

fn print(out: &mut String, line: &Line) {
    let (seconds, millis) = (line.at_us / 1_000_000, line.at_us / 1_000 % 1_000);
    let _ = writeln!(out, "{seconds:>6}.{millis:03} s  {}", line.text);
}

fn short(digest: &Digest) -> String {
    digest.to_string().chars().take(8).collect()
}

fn of_parcel(parcel: &Parcel) -> String {
    match parcel {
        Parcel::Message(message) => of_message(message),
        Parcel::Batch(batch) => {
            let header = &batch.header;
            format!("BATCH {} of {} {}", header.seq, header.author, short(&header.digest()))
        }
        Parcel::GetBatches { from, tip } => {
            format!("GET-BATCHES {from} to {} of {} {}", tip.seq, tip.author, short(&tip.digest))
        }
    }
}

fn of_message(message: &Message) -> String {
    match message {
        Message::Propose(proposal) => of_proposal(proposal),
        Message::Vote(vote, executed) => {
            let kind = if vote.kind == VoteKind::Prepare { "PREPARE" } else { "COMMIT" };
            let (view, height, digest) = (vote.view, vote.height, short(&vote.digest));
            format!("{kind} view {view} height {height} {digest} by {} executed {executed}", vote.signer)
        }
        Message::ViewChange(one) => {
            format!("VIEW-CHANGE {} claims {}", one.new_view, of_high_qc(&one.high_qc))
        }
        Message::Entry(EntryProof::Timeout(tc)) => {
            format!("ENTRY view {} by timeout, best {}", tc.new_view, of_high_qc(&tc.best))
        }
        Message::Entry(EntryProof::TermEnd { certificate, .. }) => {
            format!("ENTRY view {} by term end {}", certificate.view.next(), of_cert(certificate))
        }
        Message::Entry(EntryProof::Certificate(cert)) => {
            format!("ENTRY view {} by {}", cert.view, of_cert(cert))
        }
        Message::Certificate(cert) => of_cert(cert),
        Message::Status(status) => format!(
            "STATUS view {} committed {} executed {} high {:?}",
            status.view,
            status.committed,
            status.executed,
            status.high_qc.map(|rank| (rank.view.get(), rank.height.get())),
        ),
        Message::Executed(height) => format!("EXECUTED {height}"),
        Message::Echo(echo) => format!(
            "ECHO prepare {:?} commit {:?} view change {:?} batch {:?}",
            echo.prepare.map(|vote| (vote.view.get(), vote.height.get())),
            echo.commit.map(|vote| (vote.view.get(), vote.height.get())),
            echo.view_change.map(|(view, ..)| view.get()),
            echo.lane.as_ref().map(|batch| batch.header.seq),
        ),
        Message::GetProposal { digest } => format!("GET-PROPOSAL {}", short(digest)),
        Message::GetCertificate => "GET-CERTIFICATE".to_owned(),
        Message::GetBlocks { from } => format!("GET-BLOCKS from {from}"),
        Message::Blocks { blocks, certificate, .. } => {
            let first = blocks.first().map(|block| block.header.height.get());
            format!("BLOCKS {} from {first:?} under {}", blocks.len(), of_cert(certificate))
        }
        Message::Have { lanes } => {
            let lanes: Vec<(u16, u64)> = lanes.iter().map(|(author, seq)| (author.get(), *seq)).collect();
            format!("HAVE below {lanes:?}")
        }
        Message::Closing(proof) => {
            format!("CLOSING {} headers under {}", proof.headers.len(), of_cert(&proof.certificate))
        }
    }
}

fn of_proposal(proposal: &Proposal) -> String {
    let Header { view, height, parent, proposer, flags, n_batches, exec_height, .. } = &proposal.header;
    let mut text = format!(
        "PROPOSE view {view} height {height} {} on {} by {proposer}, {n_batches} batches, executed {exec_height}",
        short(&proposal.header.digest()),
        short(parent),
    );
    for (flag, name) in [(Flags::TERM_END, "term end"), (Flags::CLOSING, "closing"), (Flags::SEAL, "seal")] {
        if flags.contains(flag) {
            let _ = write!(text, ", {name}");
        }
    }
    match &proposal.justification {
        None => {}
        Some(Justification::Timeout(tc)) => {
            let _ = write!(text, ", after time-out, best {}", of_high_qc(&tc.best));
        }
        Some(Justification::TermEnd(cert)) => {
            let _ = write!(text, ", after {}", of_cert(cert));
        }
        #[allow(unreachable_patterns, reason = "justifications that are newer than this notation")]
        Some(other) => {
            let _ = write!(text, ", {}", format!("{other:?}").chars().take(80).collect::<String>());
        }
    }
    text
}

fn of_high_qc(high_qc: &HighQc) -> String {
    match high_qc {
        HighQc::Base { height, .. } => format!("the base at {height}"),
        HighQc::Qc(cert) => of_cert(cert),
    }
}

fn of_cert(cert: &Cert) -> String {
    let kind = if cert.kind == VoteKind::Prepare { "PREPARE-QC" } else { "COMMIT-QC" };
    format!("{kind} view {} height {} {}", cert.view, cert.height, short(&cert.digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_the_violation_is_kept_and_the_rest_is_not() {
        let mut transcript = Transcript::default();
        let digest = Digest::tagged(b"block", &[]);
        let get = |digest| Parcel::Message(Box::new(Message::GetProposal { digest }));
        transcript.note(1_234_567, "v2 crashes".to_owned());
        transcript.arrived(2_000_000, "v2", "v0", &get(digest));
        for at in 0..100 {
            transcript.arrived(3_000_000 + at, "v1", "v0", &get(Digest::ZERO));
        }
        let text = transcript.about(&format!("v2 delivered {digest} at height 17"), 5);
        assert!(text.contains("     1.234 s  v2 crashes\n"), "{text}");
        assert!(text.contains(&format!("v2 -> v0  GET-PROPOSAL {}", short(&digest))), "{text}");
        assert_eq!(text.lines().count(), 2 + 1 + 5, "{text}");
    }
}
