//! A run of final blocks with one thing wrong with it.

use chain_core::block::{Flags, Header};
use chain_core::crypto::Signature;
use chain_core::id::{Epoch, View};
use chain_core::lane::LaneAdvance;

use super::*;
use crate::snapshots::tests::{BASE, End, NEWEST, Plan, World};
use crate::snapshots::verify::{Trust, passage_of};
use crate::storage::ledger::LedgerStore;

/// The blocks after the snapshot of a world, and its first two epochs.
fn after_the_base(world: &World) -> (Run, Ladder, Follows) {
    let (_dir, consensus) = world.consensus(&Plan::default());
    let run = consensus.run_from(Height::new(BASE + 1)).unwrap().unwrap();
    assert_eq!(run.blocks.last().unwrap().header.height, Height::new(NEWEST));
    let ledger = LedgerStore::open_read_only(&world.data.ledger()).unwrap();
    let passage = passage_of(Epoch::ZERO, &ledger.snapshot().unwrap(), &consensus).unwrap().unwrap();
    let mut ladder = ground(world);
    ladder.climb(&trust(world), passage).unwrap();
    let (height, digest) = ladder.newest().base;
    (run, ladder, Follows::After(height, digest))
}

fn trust(world: &World) -> Trust<'_> {
    Trust { chain_id: world.chain_id, committee: &world.first, recovery_keys: None }
}

/// Epoch 0 alone.
fn ground(world: &World) -> Ladder {
    Ladder::new(&trust(world))
}

#[test]
fn a_run_is_taken_whole_in_order_and_signed_or_not_at_all() {
    let world = World::new(End::Closed);
    let (run, ladder, follows) = after_the_base(&world);
    check(&run, follows, &ladder).unwrap();
    let first = &run.blocks[0].header;
    check(&run, Follows::From(first.height, first.digest()), &ladder).unwrap();

    let second = Plan::default().second;
    let earlier = world.certificate(&run.blocks[1].header, &second, &[1, 2, 3]);
    let too_few = world.certificate(&run.blocks[2].header, &second, &[1, 2]);
    type Change<'a> = &'a dyn Fn(&mut Run);
    let cases: [(Change<'_>, &str); 12] = [
        (&|run| run.blocks.clear(), "no block"),
        (
            &|run| {
                let last = run.blocks[2].clone();
                run.blocks.resize(usize::try_from(SYNC_BLOCKS_MAX).unwrap() + 1, last);
            },
            "at most",
        ),
        (&|run| drop(run.blocks.remove(0)), "is not what was asked for"),
        (&|run| drop(run.blocks.remove(1)), "does not follow block"),
        (&|run| run.blocks[2].header.height = Height::new(NEWEST + 1), "does not follow block"),
        (&|run| run.blocks[2].header.epoch = Epoch::ZERO, "of another epoch or chain"),
        (&|run| run.blocks[2].header.chain_id = ChainId::new(Digest::ZERO), "of another epoch or chain"),
        (
            &|run| {
                let advance = LaneAdvance { author: ValidatorIx::new(0), seq: 1, tip: Digest::ZERO };
                run.blocks[1].advances.push(advance);
            },
            "its lanes are not those",
        ),
        (&|run| run.blocks[1].signature = Signature::ZERO, "its leader's signature"),
        (&|run| run.certificate = earlier.clone(), "the certificate is over another block"),
        (&|run| run.certificate = too_few.clone(), "CERTIFICATE_INVALID"),
        (&|run| run.suffixes.push(run.blocks[2].header.clone()), "CERTIFICATE_INVALID"),
    ];
    for (change, words) in cases {
        let mut changed = run.clone();
        change(&mut changed);
        let refusal = check(&changed, follows, &ladder).expect_err(words);
        assert!(refusal.to_string().contains(words), "wants {words}: {refusal}");
    }

    let height = Height::new(BASE);
    for (follows, ladder, words) in [
        (Follows::After(height, Digest::ZERO), &ladder, "is not what was asked for"),
        (Follows::From(height.next(), Digest::ZERO), &ladder, "is not what was asked for"),
        (follows, &ground(&world), "of epoch 1, which nothing proves"),
    ] {
        let refusal = check(&run, follows, ladder).expect_err(words);
        assert!(refusal.to_string().contains(words), "wants {words}: {refusal}");
    }
}

#[test]
fn a_closing_block_is_final_by_the_certificate_of_a_suffix_of_its_own() {
    let world = World::new(End::Closed);
    let (_dir, consensus) = world.consensus(&Plan::default());
    let mut run = consensus.run_from(Height::new(BASE)).unwrap().unwrap();
    let closing = run.blocks[0].header.clone();
    let follows = Follows::From(closing.height, closing.digest());
    check(&run, follows, &ground(&world)).unwrap();

    let suffix = Header {
        height: closing.height.next(),
        parent: closing.digest(),
        flags: Flags::SUFFIX.with(Flags::SEAL),
        view: View::new(1),
        time_ms: closing.time_ms + 1,
        ..closing
    };
    run.suffixes = vec![suffix.clone()];
    let refusal = check(&run, follows, &ground(&world)).expect_err("the certificate of the closing block");
    assert_eq!(refusal.code, Code::CertificateInvalid, "{refusal}");
    run.certificate = world.certificate(&suffix, &world.first, &[0, 1]);
    let refusal = check(&run, follows, &ground(&world)).expect_err("two signatures");
    assert_eq!(refusal.code, Code::CertificateInvalid, "{refusal}");
    run.certificate = world.certificate(&suffix, &world.first, &[0, 1, 2]);
    check(&run, follows, &ground(&world)).unwrap();
    run.suffixes[0].parent = Digest::ZERO;
    run.certificate = world.certificate(&run.suffixes[0], &world.first, &[0, 1, 2]);
    let refusal = check(&run, follows, &ground(&world)).expect_err("it follows another block");
    assert_eq!(refusal.code, Code::CertificateInvalid, "{refusal}");
}
