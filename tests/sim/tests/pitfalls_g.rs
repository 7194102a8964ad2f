//! Denial of service: what other systems let a peer fill up or break, each tried on ours
//! (docs/robustness/pitfalls.md, G2 and G3; floods are in `consensus_engine`, sieges in `siege`).

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use chain_core::block::Flags;
use chain_core::certificate::VoteKind;
use chain_core::codec::{decode, encode};
use chain_core::crypto::Digest;
use chain_core::id::{Height, View};
use city_sim::kit::table::Table;
use city_sim::kit::{Kit, ix, propose, rank};
use consensus::event::Event;
use consensus::message::{EntryProof, HighQc, Message, SYNC_BLOCKS_MAX, Status, VoteEcho};

fn fast(leader: u16) -> Kit {
    Kit { fast: true, ..Kit::led_by(4, leader) }
}

/// Hundreds of things are missing, waiting or about to be sent again: the engine still asks to be woken once,
/// within the same 50 ms as an idle one, and ticks do not multiply with what waits.
#[test]
fn g03_whatever_waits_there_is_one_deadline() {
    let mut table = Table::alone(fast(1));
    let kit = fast(1);
    for at in 0..400_u64 {
        let digest = Digest::tagged(b"missing", &[&at.to_be_bytes()]);
        let author = u16::try_from(1 + at % 3).unwrap();
        let vote = kit.vote(VoteKind::Prepare, rank(0, 1 + at % 30), digest, author);
        table.tell(author, 0, Message::Vote(vote, Height::ZERO));
        let mut header = kit.header(&kit.genesis(), 0, Flags::NONE);
        (header.height, header.parent) = (Height::new(2 + at % 30), digest);
        table.tell(1, 0, propose(&kit.propose(header, None)));
        table.feed(0, Event::BatchStored(kit.batch(author, at, digest, 1)));
        table.feed(0, Event::LocalBatch { token: at, payload_root: digest, bytes: 300, count: 1 });
        table.queue.clear();
    }
    let held = table.seats[0].engine.held();
    assert!(held.fetches >= 32 && held.blocks >= 32 && held.batches >= 300, "{held:?}");
    let mut woken = 0;
    let end = table.now_ms + 10_000;
    while table.now_ms < end {
        let deadline = table.seats[0].engine.deadline();
        assert!(deadline > table.now_ms || woken == 0, "woken again at once");
        assert!(deadline <= table.now_ms + 50);
        table.now_ms = deadline.max(table.now_ms + 1);
        table.feed(0, Event::Tick);
        table.queue.clear();
        woken += 1;
    }
    assert!(woken <= 10_000 / 50 + 2, "{woken} times in ten seconds");
}

/// One codec for all threads: it keeps nothing between two values.
#[test]
fn g03_many_threads_encode_and_decode_alike() {
    let kit = Kit::new(4);
    let messages: Vec<Message> = (0..40_u64)
        .flat_map(|at| {
            let digest = Digest::tagged(b"codec", &[&at.to_be_bytes()]);
            [
                Message::Certificate(Box::new(kit.cert(VoteKind::Commit, rank(at, at), digest))),
                Message::Echo(Box::new(VoteEcho {
                    lane: Some(kit.batch(0, at, digest, 1)),
                    ..VoteEcho::default()
                })),
                Message::GetProposal { digest },
            ]
        })
        .collect();
    let want: Vec<Vec<u8>> = messages.iter().map(|message| encode(message).unwrap()).collect();
    std::thread::scope(|scope| {
        for start in 0..8 {
            let (messages, want) = (&messages, &want);
            scope.spawn(move || {
                for step in 0..4_000 {
                    let at = (start * 17 + step * 7) % messages.len();
                    assert_eq!(encode(&messages[at]).unwrap(), want[at]);
                    assert_eq!(decode::<Message>(&want[at]).unwrap(), messages[at]);
                }
            });
        }
    });
}

/// Questions cost the asked one what it has, once a question, and nothing that lasts.
#[test]
fn g02_questions_are_answered_one_for_one_and_leave_nothing() {
    let mut table = Table::alone(fast(1));
    let block = table.kit.chain(&table.kit.genesis(), 0, 1).remove(0);
    table.tell(1, 0, propose(&block));
    table.queue.clear();
    let before = table.seats[0].engine.held();
    let sent = table.seats[0].sent.len();
    let questions = [
        Message::GetProposal { digest: block.header.digest() },
        Message::GetProposal { digest: Digest::ZERO },
        Message::GetCertificate,
        Message::GetBlocks { from: Height::ZERO },
        Message::GetBlocks { from: Height::new(u64::MAX) },
    ];
    for _ in 0..500 {
        for question in &questions {
            table.tell(3, 0, question.clone());
        }
    }
    let answers = table.seats[0].sent.len() - sent;
    assert_eq!(answers, 500, "the one block it has, for each time it was asked for");
    // Being behind, or saying so, is answered no more than ten times a second.
    let sent = table.seats[0].sent.len();
    for _ in 0..500 {
        let vote = table.kit.vote(VoteKind::Prepare, rank(7, 1), Digest::ZERO, 3);
        table.tell(3, 0, Message::Vote(vote, Height::ZERO));
        let change = table.kit.view_change(1, table.kit.base_qc(), None, 2);
        table.tell(3, 0, Message::ViewChange(Box::new(change)));
    }
    assert!(table.seats[0].sent.len() - sent <= 1, "{}", table.seats[0].sent.len() - sent);
    assert_eq!(table.seats[0].engine.held(), before);
}

/// Every message in shapes that a decoder lets through and no honest peer makes: empty, doubled, endless.
#[test]
fn g02_degenerate_messages_change_nothing() {
    let mut table = Table::alone(fast(1));
    let kit = fast(1);
    let blocks = kit.chain(&kit.genesis(), 0, 2);
    let mut bare = kit.cert(VoteKind::Commit, rank(0, 1), blocks[0].header.digest());
    bare.signatures.clear();
    let mut blank = bare.clone();
    blank.bitmap.clear();
    let mut endless = kit.cert(VoteKind::Commit, rank(0, 1), blocks[0].header.digest());
    endless.bitmap = vec![0xff; 4_000];
    endless.signatures = vec![endless.signatures[0]; 8_000];
    let mut nobody = kit.timeout_on_base(1);
    nobody.claims.clear();
    let mut crowd = kit.timeout_on_base(1);
    crowd.claims = (0..u16::MAX).map(|at| (ix(at), crowd.claims[0].1, crowd.claims[0].2)).collect();
    let many = kit.chain(&kit.genesis(), 0, 2 + usize::try_from(SYNC_BLOCKS_MAX).unwrap());
    let too_many = kit.cert_of(VoteKind::Commit, &many[many.len() - 1].header);
    let mut messages = vec![
        Message::Blocks { blocks: Vec::new(), suffixes: Vec::new(), certificate: Box::new(bare.clone()) },
        Message::Blocks {
            blocks: vec![blocks[0].clone(), blocks[0].clone()],
            suffixes: Vec::new(),
            certificate: Box::new(bare.clone()),
        },
        Message::Blocks { blocks: many, suffixes: Vec::new(), certificate: Box::new(too_many) },
        Message::Echo(Box::default()),
        Message::Echo(Box::new(VoteEcho {
            lane: Some(kit.batch(0, u64::MAX, Digest::ZERO, 0)),
            ..VoteEcho::default()
        })),
    ];
    for cert in [bare, blank, endless] {
        messages.push(Message::Certificate(Box::new(cert.clone())));
        messages.push(Message::Entry(EntryProof::Certificate(Box::new(cert.clone()))));
        messages.push(Message::Entry(EntryProof::TermEnd {
            certificate: Box::new(cert.clone()),
            header: Box::new(blocks[0].header.clone()),
        }));
        messages.push(Message::ViewChange(Box::new(kit.view_change(2, HighQc::Qc(cert.clone()), None, 3))));
        messages.push(Message::Status(Box::new(Status {
            epoch: kit.epoch,
            view: View::ZERO,
            committed: Height::new(1),
            executed: Height::ZERO,
            certificate: Some(Box::new(cert)),
            high_qc: None,
            awaits_echo: false,
        })));
    }
    for tc in [nobody, crowd] {
        messages.push(Message::Entry(EntryProof::Timeout(Box::new(tc.clone()))));
        let entry = EntryProof::Timeout(Box::new(tc));
        messages.push(Message::ViewChange(Box::new(kit.view_change(2, kit.base_qc(), Some(entry), 3))));
    }
    // The last but one of the fixed rows is genuine: a batch of its own that it has no memory of.
    let echo = messages.remove(4);
    for (at, message) in messages.into_iter().enumerate() {
        table.tell(3, 0, message);
        let engine = &table.seats[0].engine;
        assert_eq!((engine.view(), table.committed(0)), (View::ZERO, 0), "message {at}");
        assert!(table.seats[0].signed(ix(0)).is_empty() && table.seats[0].engine.voting(), "message {at}");
        assert_eq!(table.seats[0].engine.held().blocks, 0, "message {at}");
    }
    table.tell(3, 0, echo);
    assert!(!table.seats[0].engine.voting(), "what it did sign is believed of anybody");
}
