//! Real engines, stores and executors, four in one process.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod common;

use chain_core::api::Stage;
use chain_core::certificate::VoteKind;
use chain_core::code::Code;
use chain_core::execute::Verdict;
use chain_core::id::Height;
use chain_core::receipt::Receipt;
use chain_core::trust::TrustPolicy;
use city_node::handle::{ReceiptForm, RecordFilter};
use rocksdb::{DB, IteratorMode, Options};

use common::{AGENCIES, City, PUBLIC, licence};

#[test]
fn a_record_filed_at_each_validator_is_final_everywhere_and_has_a_receipt() {
    let mut city = City::new();
    city.start_all();
    city.until("all vote", |city| (0..4).all(|ix| city.node(ix).status().voting));
    let mut records = Vec::new();
    for ix in 0..4 {
        let submission = licence(&city.genesis, ix, &format!("L-{ix}"));
        let tx = city.node(ix).submit(submission.clone()).unwrap();
        assert_eq!(city.node(ix).submit(submission).unwrap(), tx, "sending again is safe");
        let status = city.executed(ix, tx);
        assert_eq!(status.stage, Stage::Executed);
        let proof = status.proof.unwrap();
        let committee = city.genesis.committee();
        assert_eq!(proof.verify(city.genesis.chain_id(), committee, &tx).ok(), status.height);
        assert_eq!(proof.certificate.kind, VoteKind::Commit);
        let Verdict::Accepted { record, version: 1, .. } = status.outcomes[0].verdict else {
            panic!("{:?}", status.outcomes);
        };
        for other in 0..4 {
            assert_eq!(city.executed(other, tx).outcomes, status.outcomes);
        }
        records.push((record, status.height.unwrap()));
    }
    let policy = TrustPolicy::from_genesis(&city.genesis);
    for (ix, (record, filed_at)) in records.iter().enumerate() {
        let node = city.node((ix + 1) % 4);
        let view = node.record(*record).unwrap();
        assert_eq!((view.agency.as_str(), view.status.as_str()), (AGENCIES[ix], "submitted"));
        assert_eq!(view.missing, ["supervisor"]);
        // What waits for approval is not for the public.
        let public = (ix + 1) % 4 == PUBLIC;
        assert_eq!(view.body.is_some(), !public);
        assert_eq!(node.history(*record, None, 10).unwrap().items.len(), 1);
        let mine = RecordFilter {
            agency: Some(AGENCIES[ix].into()),
            record_type: Some("credit.licence".into()),
            ..RecordFilter::default()
        };
        assert_eq!(node.records(&mine, None, 10).unwrap().items.len(), 1);
        city.until("a receipt", |_| node.receipt(*record, None, ReceiptForm::Bundle).is_ok());
        let receipt = node.receipt(*record, Some(1), ReceiptForm::Bundle).unwrap();
        let receipt = Receipt::parse(std::str::from_utf8(&receipt).unwrap()).unwrap();
        let verified = receipt.verify(&policy, None).unwrap();
        assert!(receipt.validators.len() >= 3, "{verified:?}");
        // The receipt and the raw block show no more than the record's own page does.
        assert_eq!(receipt.body.is_some(), !public);
        let raw = node.raw_blocks(*filed_at, 1).unwrap();
        let submissions = raw.iter().flat_map(|block| &block.batches).flat_map(|batch| &batch.submissions);
        let mut bodies = submissions.flat_map(|one| &one.bodies).peekable();
        assert!(bodies.peek().is_some() && bodies.all(|body| body.is_some() != public));
        node.receipt(*record, None, ReceiptForm::TlogProof).unwrap();
    }
    // All four computed the same.
    let height = city.node(0).height();
    city.until("same height", |city| (0..4).all(|ix| city.node(ix).height() >= height));
    let roots: Vec<_> = (0..4).map(|ix| city.node(ix).raw_blocks(height, 1).unwrap()[0].exec_root).collect();
    assert!(roots.iter().all(|root| *root == roots[0]));
    let block = city.node(0).block(height).unwrap();
    assert_eq!(city.node(0).height_of(block.digest).unwrap(), height);
    let all: usize =
        city.node(0).raw_blocks(Height::new(1), 64).unwrap().iter().map(|block| block.outcomes.len()).sum();
    assert_eq!(all, 4);
    assert!(!city.node(2).checkpoint().unwrap().is_empty());
}

#[test]
fn a_restarted_validator_catches_up_and_so_does_one_without_its_ledger() {
    let mut city = City::new();
    city.start_all();
    let tx = city.node(0).submit(licence(&city.genesis, 0, "before")).unwrap();
    city.executed(3, tx);
    city.stop(3);
    let mut last = tx;
    for n in 0..20 {
        last = city.node(0).submit(licence(&city.genesis, 0, &format!("down-{n}"))).unwrap();
        city.executed(0, last);
    }
    city.start(3);
    city.executed(3, last);
    city.until("v3 votes", |city| city.node(3).status().voting);

    city.stop(3);
    std::fs::remove_dir_all(city.data(3).ledger()).unwrap();
    city.start(3);
    city.executed(3, last);
    city.until("v3 votes again", |city| city.node(3).status().voting);
    let root = |ix: usize| city.node(ix).raw_blocks(Height::new(5), 1).unwrap()[0].exec_root;
    assert_eq!(root(3), root(0));
    let tx = city.node(3).submit(licence(&city.genesis, 3, "after")).unwrap();
    city.executed(1, tx);
}

#[test]
fn a_validator_that_lost_everything_follows_without_voting_and_says_why() {
    let mut city = City::new();
    city.start_all();
    let tx = city.node(1).submit(licence(&city.genesis, 1, "one")).unwrap();
    city.executed(2, tx);
    city.stop(2);
    std::fs::remove_dir_all(city.data(2).path()).unwrap();
    city.init(2);
    let later = city.node(1).submit(licence(&city.genesis, 1, "two")).unwrap();
    city.executed(1, later);
    city.start(2);
    city.executed(2, later);
    let status = city.node(2).status();
    assert!(!status.voting);
    assert_eq!(status.not_voting_because.unwrap().code, Code::SafetyLost);
    let refusal = city.node(2).submit(licence(&city.genesis, 2, "three")).unwrap_err();
    assert_eq!(refusal.code, Code::NotReady);
    // The other three go on without it.
    let tx = city.node(0).submit(licence(&city.genesis, 0, "four")).unwrap();
    city.executed(2, tx);
}

/// Changes a bit in what a stopped validator says that its newest blocks came to.
fn miscount(city: &City, ix: usize) {
    let path = city.data(ix).ledger();
    let families = DB::list_cf(&Options::default(), &path).unwrap();
    let db = DB::open_cf(&Options::default(), &path, families).unwrap();
    let summaries = db.cf_handle("summaries").unwrap();
    let newest: Vec<_> = db.iterator_cf(summaries, IteratorMode::End).take(16).map(Result::unwrap).collect();
    for (key, value) in newest {
        let mut value = value.into_vec();
        *value.last_mut().unwrap() ^= 1;
        db.put_cf(summaries, key, value).unwrap();
    }
}

#[test]
fn a_validator_whose_execution_is_not_the_certified_one_ends_and_says_so() {
    let mut city = City::new();
    city.start_all();
    let tx = city.node(0).submit(licence(&city.genesis, 0, "before")).unwrap();
    city.executed(3, tx);
    city.stop(3);
    miscount(&city, 3);
    city.start(3);
    for n in 0..3 {
        let tx = city.node(0).submit(licence(&city.genesis, 0, &format!("after-{n}"))).unwrap();
        city.executed(1, tx);
    }
    let refusal = city.ended(3).unwrap_err();
    assert_eq!(refusal.code, Code::StateDivergence, "{refusal}");
    assert!(refusal.detail.contains("certified by block"), "{refusal}");
    // The others go on.
    let tx = city.node(0).submit(licence(&city.genesis, 0, "without it")).unwrap();
    city.executed(2, tx);
}

#[test]
fn what_needs_no_ledger_is_refused_at_once() {
    let mut city = City::new();
    city.start_all();
    city.until("all vote", |city| (0..4).all(|ix| city.node(ix).status().voting));
    let node = city.node(0);
    let refused = |change: &dyn Fn(&mut chain_core::transaction::Submission)| {
        let mut submission = licence(&city.genesis, 0, "bad");
        change(&mut submission);
        node.submit(submission).unwrap_err().code
    };
    let other = chain_core::id::ChainId::new(chain_core::crypto::Digest::ZERO);
    assert_eq!(refused(&|one| one.signed.transaction.chain_id = other), Code::WrongChain);
    assert_eq!(refused(&|one| one.signed.transaction.version = 9), Code::UnsupportedVersion);
    assert_eq!(refused(&|one| one.signed.transaction.valid_until_ms += 1), Code::BadSignature);
    assert_eq!(refused(&|one| one.signed.transaction.valid_until_ms = u64::MAX), Code::ValidityTooLong);
    assert_eq!(refused(&|one| one.signed.transaction.valid_until_ms = 1), Code::Expired);
    assert_eq!(refused(&|one| one.bodies = vec![None]), Code::BodyMissing);
    assert_eq!(refused(&|one| one.bodies.clear()), Code::BodyMissing);
    assert_eq!(refused(&|one| one.bodies[0].as_mut().unwrap().json.push(' ')), Code::BodyCommitment);
    let mut stranger = licence(&city.genesis, 0, "stranger");
    stranger.signed = stranger.signed.transaction.clone().sign(&common::clerk(0));
    stranger.signed.transaction.author = common::secret(9, 9).public();
    stranger.signed = stranger.signed.transaction.sign(&common::secret(9, 9));
    assert_eq!(node.submit(stranger).unwrap_err().code, Code::UnknownAuthor);
    // Another agency's record, rightly signed, is for the ledger to refuse: an outcome, never a bad block.
    let mut wrong = licence(&city.genesis, 1, "wrong agency");
    wrong.signed.transaction.author = common::clerk(0).public();
    wrong.signed = wrong.signed.transaction.sign(&common::clerk(0));
    let tx = node.submit(wrong).unwrap();
    let outcome = city.executed(0, tx).outcomes.remove(0).verdict;
    assert!(
        matches!(outcome, Verdict::Refused(ref refusal) if refusal.code == Code::AgencyNotCompetent),
        "{outcome:?}"
    );
    assert!(node.metrics().iter().any(|metric| metric.name == "operations_refused" && metric.value >= 1.0));
}

/// What this process has open: files and sockets, and threads.
fn open_now() -> (usize, usize) {
    let count = |folder: &str| std::fs::read_dir(folder).map_or(0, Iterator::count);
    (count("/proc/self/fd"), count("/proc/self/task"))
}

/// No file, socket, timer or thread belongs to a record, a batch or a block: hundreds of them leave nothing open.
#[test]
fn g03_work_leaves_no_thread_and_no_open_file_behind() {
    let mut city = City::alone();
    city.start_all();
    city.until("all vote", |city| (0..4).all(|ix| city.node(ix).status().voting));
    let file = |city: &City, round: u32, each: u32| {
        for at in 0..each {
            let ix = at as usize % 4;
            let tx = city.node(ix).submit(licence(&city.genesis, ix, &format!("L-{round}-{at}"))).unwrap();
            if at % 8 == 7 {
                city.executed(ix, tx);
            }
        }
    };
    file(&city, 0, 40);
    let before = open_now();
    file(&city, 1, 320);
    let after = open_now();
    // A store may have begun another file or two of its own.
    assert!(after.0 <= before.0 + 24 && after.1 <= before.1 + 4, "{before:?} became {after:?}");
}
