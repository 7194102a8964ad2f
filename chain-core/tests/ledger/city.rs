//! A small city: two agencies, a notary, their officers, a council of three, and a ledger to act on.

use chain_core::block::{Flags, HEADER_VERSION, Header};
use chain_core::build::{self, Filed, Filing};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::{Digest, PublicKey, SecretKey, Signature};
use chain_core::date::Date;
use chain_core::execute::{
    BlockResult, ChainParams, GenesisState, OrderedBatch, OrderedBlock, Outcome, ReadError, Verdict,
    execute_block,
};
use chain_core::id::{ChainId, Epoch, Height, RecordId, ValidatorIx, View};
use chain_core::lane::{BatchHeader, SignedBatchHeader};
use chain_core::ledger::MemoryLedger;
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::calendar::CalendarDetails;
use chain_core::record::governance::{
    AgencyDetails, BasisDetails, Instrument, MemberDetails, NewKey, PublicationRules, RepairRules, Role, Term,
};
use chain_core::record::{BasisRef, Class, RecordType, SubjectKind};
use chain_core::state::RecordHead;
use chain_core::subject::{Index, SubjectKey};
use chain_core::transaction::{Batch, Body, Submission};
use chain_core::vrf::VrfSecret;
use serde_json::{Value, json};

/// The secret that officers of an agency share.
pub(crate) const DEDUPE_KEY: &[u8] = b"dedupe key of the test agencies";
/// China Standard Time.
pub(crate) const OFFSET_MINUTES: i16 = 480;

/// Codes of the agencies, by short name.
pub(crate) fn agency(name: &str) -> OrgId {
    let code = match name {
        "A1" => "11320100MAXP23YC3L",
        "A2" => "11320100MAX1N11L4Y",
        "N" => "11320100MAX78A442D",
        _ => "11320100MAXEYHTT33",
    };
    format!("uscc:{code}").parse().unwrap()
}

/// The key of a post, e.g. `A1/clerk1`.
pub(crate) fn secret(post: &str) -> SecretKey {
    SecretKey::from_seed(*Digest::tagged(b"test-post", &[post.as_bytes()]).as_bytes())
}

/// The public key of a post.
pub(crate) fn public(post: &str) -> PublicKey {
    secret(post).public()
}

pub(crate) fn date(text: &str) -> Date {
    text.parse().unwrap()
}

/// Milliseconds since 1970 of an instant, or of the beginning of a local day.
pub(crate) fn instant(text: &str) -> u64 {
    let text = if text.len() == 10 { format!("{text}T00:00:00+08:00") } else { text.to_owned() };
    chain_core::record::body::parse_instant(&text).unwrap()
}

pub(crate) fn chain() -> ChainParams {
    ChainParams {
        chain_id: ChainId::new(Digest::tagged(b"test-chain", &[])),
        utc_offset_minutes: OFFSET_MINUTES,
        council_threshold: 2,
    }
}

pub(crate) fn new_key(post: &str) -> NewKey {
    NewKey { key: public(post), label: post.replace('/', " "), possession: Signature::ZERO }
}

pub(crate) fn agency_details(name: &str, types: &[RecordType]) -> AgencyDetails {
    AgencyDetails {
        id: agency(name),
        name: format!("Agency {name}"),
        types: types.to_vec(),
        areas: vec!["320100".to_owned()],
        admins: [1, 2].map(|at| new_key(&format!("{name}/admin{at}"))).to_vec(),
        from: date("2020-01-01"),
        to: None,
    }
}

fn role(post: &str) -> Role {
    match post.trim_end_matches(|c: char| c.is_ascii_digit()) {
        "clerk" => Role::Clerk,
        "supervisor" => Role::Supervisor,
        "legal" => Role::LegalReviewer,
        "auditor" => Role::Auditor,
        "privacy" => Role::PrivacyOfficer,
        "portal" => Role::Portal,
        "gateway" => Role::Gateway,
        _ => Role::CouncilMember,
    }
}

pub(crate) fn member_details(agency_name: &str, post: &str) -> MemberDetails {
    MemberDetails {
        key: new_key(&format!("{agency_name}/{post}")),
        agency: agency(agency_name),
        role: role(post),
        from: date("2020-01-01"),
        to: None,
    }
}

pub(crate) fn basis_details(id: &str) -> BasisDetails {
    let term = |min_months, max_months| Term { min_months, max_months };
    BasisDetails {
        id: id.to_owned(),
        version: 1,
        title: "中华人民共和国食品安全法".to_owned(),
        instrument: Instrument::Law,
        issuer: "National People's Congress".to_owned(),
        doc_no: String::new(),
        article: "art. 124".to_owned(),
        text: Digest::tagged(b"text", &[id.as_bytes()]),
        in_force: date("2015-10-01"),
        ends: None,
        types: vec![
            RecordType::Licence,
            RecordType::Penalty,
            RecordType::Decision,
            RecordType::DocFingerprint,
        ],
        subject_kinds: SubjectKind::ALL.to_vec(),
        max_class: Class::P3,
        publication: PublicationRules {
            allowed: true,
            minor: term(0, Some(3)),
            ordinary: term(3, Some(12)),
            serious: term(12, Some(36)),
            unclassified: term(0, None),
        },
        repair: RepairRules { allowed: true, after_months: 3 },
        deadlines: Vec::new(),
        supervisor: false,
        legal_review: false,
        hearing: false,
        expiry_required: false,
        retention_years: 5,
        codes: Vec::new(),
    }
}

/// The key of the index of subjects.
pub(crate) fn index_key() -> SubjectKey {
    SubjectKey::new(chain().chain_id, VrfSecret::from_seed(&[9; 32]))
}

/// The calendars of the sample city: 2024 to 2026.
pub(crate) fn calendars() -> Vec<CalendarDetails> {
    let text = include_str!("../../../genesis/example-city.toml");
    let draft = chain_core::genesis::Draft::parse(text).unwrap();
    draft.document().calendars.iter().map(|calendar| calendar.details().unwrap()).collect()
}

pub(crate) fn genesis() -> GenesisState {
    let types = [RecordType::Licence, RecordType::Penalty, RecordType::Decision, RecordType::DocFingerprint];
    let posts = ["clerk1", "clerk2", "clerk3", "supervisor1", "supervisor2", "legal1"];
    let mut members: Vec<MemberDetails> =
        ["A1", "A2"].iter().flat_map(|name| posts.map(|post| member_details(name, post))).collect();
    members.push(member_details("N", "clerk1"));
    members.push(member_details("N", "auditor1"));
    members.extend(["A1", "A2", "N"].map(|name| member_details(name, "council1")));
    GenesisState {
        agencies: vec![
            agency_details("A1", &types),
            agency_details("A2", &types),
            agency_details("N", &[RecordType::DocFingerprint]),
        ],
        members,
        bases: vec![
            basis_details("food-safety"),
            BasisDetails { types: vec![RecordType::Penalty], ..basis_details("penalties-only") },
            BasisDetails { in_force: date("2026-07-01"), ..basis_details("new-law") },
            BasisDetails { legal_review: true, expiry_required: true, ..basis_details("strict") },
            BasisDetails { max_class: Class::P1, ..basis_details("public-only") },
            BasisDetails {
                subject_kinds: vec![SubjectKind::None, SubjectKind::Organisation],
                max_class: Class::P1,
                ..basis_details("organisations-only")
            },
        ],
        schemas: Vec::new(),
        calendars: Vec::new(),
        validators: Vec::new(),
        recovery: None,
        index: None,
    }
}

/// What an accepted operation gave.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Accepted {
    pub(crate) record: RecordId,
    pub(crate) version: u32,
    pub(crate) leaf_index: u64,
    pub(crate) duplicate: bool,
}

pub(crate) fn verdict(outcome: &Outcome) -> Result<Accepted, Refusal> {
    match &outcome.verdict {
        Verdict::Accepted { record, version, leaf_index, duplicate } => Ok(Accepted {
            record: *record,
            version: *version,
            leaf_index: *leaf_index,
            duplicate: *duplicate,
        }),
        Verdict::Refused(refusal) => Err(refusal.clone()),
    }
}

/// The ledger, its clock and what it takes to send something.
pub(crate) struct City {
    pub(crate) ledger: MemoryLedger,
    pub(crate) time_ms: u64,
    counter: u64,
    /// The key of the index of subjects, where the city keeps one.
    pub(crate) index: Option<SubjectKey>,
    /// Records whose bodies the newest block ordered to be destroyed.
    pub(crate) erased: Vec<RecordId>,
}

impl City {
    pub(crate) fn new() -> Self {
        Self::with(&genesis())
    }

    pub(crate) fn with(genesis: &GenesisState) -> Self {
        let ledger = MemoryLedger::new(chain(), genesis).unwrap();
        let index = genesis.index.map(|_| index_key());
        Self { ledger, time_ms: instant("2026-05-06T09:00:00+08:00"), counter: 0, index, erased: Vec::new() }
    }

    /// With an index of subjects.
    pub(crate) fn indexed() -> Self {
        Self::with(&GenesisState { index: Some(index_key().public()), ..genesis() })
    }

    /// Sets block time.
    pub(crate) fn at(&mut self, text: &str) -> &mut Self {
        self.time_ms = instant(text);
        self
    }

    pub(crate) fn header(&self) -> Header {
        let zero = Digest::ZERO;
        Header {
            version: HEADER_VERSION,
            chain_id: chain().chain_id,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            height: self.ledger.height().next(),
            parent: zero,
            proposer: ValidatorIx::new(0),
            time_ms: self.time_ms,
            flags: Flags::NONE,
            lanes_root: zero,
            batches_root: zero,
            n_batches: 1,
            n_records: 0,
            n_bytes: 0,
            exec_height: Height::ZERO,
            exec_root: zero,
            history_root: zero,
            validators_hash: zero,
            next_validators_hash: zero,
        }
    }

    /// Executes one block with one batch of submissions.
    pub(crate) fn block(&mut self, submissions: Vec<Submission>) -> Vec<Outcome> {
        self.block_with(submissions, None)
    }

    pub(crate) fn block_with(
        &mut self,
        submissions: Vec<Submission>,
        recorded: Option<&[Outcome]>,
    ) -> Vec<Outcome> {
        let header = self.header();
        self.execute(&header, submissions, recorded).unwrap()
    }

    /// Executes one block under a header.
    pub(crate) fn execute(
        &mut self,
        header: &Header,
        submissions: Vec<Submission>,
        recorded: Option<&[Outcome]>,
    ) -> Result<Vec<Outcome>, ReadError> {
        let mut result = self.result_of(header, submissions, recorded)?;
        self.erased = std::mem::take(&mut result.erased);
        let outcomes = std::mem::take(&mut result.outcomes);
        self.ledger.apply(result);
        Ok(outcomes)
    }

    /// What a block would bring.
    fn result_of(
        &self,
        header: &Header,
        submissions: Vec<Submission>,
        recorded: Option<&[Outcome]>,
    ) -> Result<BlockResult, ReadError> {
        let signatures_ok: Vec<bool> =
            submissions.iter().map(|submission| submission.signed.verify_signature()).collect();
        let batch = batch(submissions);
        let ordered = OrderedBatch { batch: &batch, signatures_ok: &signatures_ok, recorded };
        let index = self.index.as_ref().map_or(Index::None, Index::Computed);
        let block = OrderedBlock { header, batches: vec![ordered], index };
        execute_block(&self.ledger, &chain(), self.ledger.exec_state(), &block)
    }

    /// The verdict on an operation in a block that is executed and not kept.
    pub(crate) fn judge(
        &mut self,
        post: &str,
        operation: Operation,
        body: Option<Body>,
    ) -> Result<Accepted, Refusal> {
        let submission = self.sign(post, vec![(operation, body)]);
        let result = self.result_of(&self.header(), vec![submission], None).unwrap();
        verdict(&result.outcomes[0])
    }

    /// An empty block: time passes.
    pub(crate) fn tick(&mut self, text: &str) {
        self.at(text).block(Vec::new());
    }

    /// Signs operations of one post as one transaction.
    pub(crate) fn sign(&mut self, post: &str, operations: Vec<(Operation, Option<Body>)>) -> Submission {
        self.counter += 1;
        // The counter keeps repeated transactions apart.
        let valid_until_ms = self.time_ms + 60_000 + self.counter;
        build::submission(chain().chain_id, &secret(post), valid_until_ms, false, operations)
    }

    /// Sends operations in a block of their own.
    pub(crate) fn send_all(
        &mut self,
        post: &str,
        operations: Vec<(Operation, Option<Body>)>,
    ) -> Vec<Result<Accepted, Refusal>> {
        let submission = self.sign(post, operations);
        self.block(vec![submission]).iter().map(verdict).collect()
    }

    /// Sends one operation in a block of its own.
    pub(crate) fn send(&mut self, post: &str, operation: Operation) -> Result<Accepted, Code> {
        self.send_with(post, operation, None)
    }

    pub(crate) fn send_with(
        &mut self,
        post: &str,
        operation: Operation,
        body: Option<Body>,
    ) -> Result<Accepted, Code> {
        self.send_all(post, vec![(operation, body)]).remove(0).map_err(|refusal| refusal.code)
    }

    /// What an act would come to; the ledger is as it was before.
    pub(crate) fn attempt<T>(&mut self, act: impl FnOnce(&mut Self) -> T) -> T {
        let before = self.ledger.clone();
        let outcome = act(self);
        self.ledger = before;
        outcome
    }

    /// Submits a filed record.
    pub(crate) fn submit(&mut self, post: &str, filed: Filed) -> Result<Accepted, Code> {
        let (operation, body, _) = filed.submit();
        self.send_with(post, operation, body)
    }

    /// Countersigns what waits.
    pub(crate) fn countersign(&mut self, post: &str, record: RecordId) -> Result<Accepted, Code> {
        let operation = approval(record, &self.head(record));
        self.send(post, operation)
    }

    pub(crate) fn head(&self, record: RecordId) -> RecordHead {
        self.ledger.head(&record).unwrap()
    }

    pub(crate) fn status(&self, record: RecordId) -> &'static str {
        self.head(record).current.status.name()
    }

    /// An effective licence, countersigned by a supervisor.
    pub(crate) fn effective_licence(&mut self, key: &str) -> RecordId {
        let record = self.submit("A1/clerk1", licence(key)).unwrap().record;
        self.countersign("A1/supervisor1", record).unwrap();
        record
    }
}

/// The approval of what waits: a pending step, else the waiting version, else the first one.
pub(crate) fn approval(record: RecordId, head: &RecordHead) -> Operation {
    let (version, header_digest) = match (&head.pending, &head.next) {
        (Some(pending), _) => (head.current.version, pending.digest),
        (None, Some(next)) => (next.version, next.header_digest),
        (None, None) => (head.current.version, head.current.header_digest),
    };
    Operation::Countersign { record, version, header_digest }
}

pub(crate) fn batch(submissions: Vec<Submission>) -> Batch {
    let header = BatchHeader {
        chain_id: chain().chain_id,
        epoch: Epoch::ZERO,
        author: ValidatorIx::new(0),
        seq: 0,
        prev: Digest::ZERO,
        payload_root: Digest::ZERO,
        bytes: 0,
        count: 0,
        time_ms: 0,
    };
    Batch { signed: SignedBatchHeader { header, signature: Signature::ZERO }, submissions }
}

pub(crate) fn filing(record_type: RecordType, key: &str) -> Filing<'_> {
    Filing {
        chain_id: chain().chain_id,
        agency: agency("A1"),
        dedupe_key: DEDUPE_KEY,
        idempotency_key: key,
        record_type,
        version: 1,
        class: if record_type == RecordType::Decision { Class::P0 } else { Class::P1 },
        subject_kind: match record_type {
            RecordType::Decision | RecordType::DocFingerprint => SubjectKind::None,
            _ => SubjectKind::Organisation,
        },
        legal_basis: Some(BasisRef { id: "food-safety".to_owned(), version: 1 }),
        salt: Digest::tagged(b"salt", &[key.as_bytes()]),
        officers: Vec::new(),
        refs: Vec::new(),
        publication: [None, None, None],
        dispose_on: None,
    }
}

fn text(text: &str) -> Value {
    json!([{ "lang": "zh-Hans", "text": text }])
}

fn origin() -> Value {
    json!({ "system": "permit-desk", "method": "import" })
}

pub(crate) fn organisation() -> Value {
    json!({ "id": "uscc:91440300100012316L", "kind": "organisation", "name": "示例食品有限公司" })
}

pub(crate) fn licence_body(number: &str) -> Value {
    json!({
        "subject": organisation(),
        "decision_no": number,
        "decision_title": text("食品经营许可决定书"),
        "licence_class": "ordinary",
        "certificate_name": "食品经营许可证",
        "certificate_no": "JY132019900000",
        "content": text("准予食品经营许可"),
        "decided_on": "2026-05-06",
        "valid_from": "2026-05-06",
        "valid_to": "2027-05-06",
        "issuer": agency("A1").to_string(),
        "data_source": agency("A1").to_string(),
        "origin": origin(),
    })
}

pub(crate) fn penalty_body(number: &str) -> Value {
    json!({
        "subject": organisation(),
        "decision_no": number,
        "violation_type": text("未按规定公示"),
        "facts": text("经查明，当事人存在上述行为。"),
        "penalty_kinds": ["fine"],
        "content": text("罚款0.05万元"),
        "fine": { "currency": "CNY", "minor": 50_000 },
        "severity": "ordinary",
        "procedure": "ordinary",
        "hearing": "not_required",
        "conduct_on": "2026-03-01",
        "decided_on": "2026-05-06",
        "publish_from": "2026-05-06",
        "publish_until": "2027-05-06",
        "issuer": agency("A1").to_string(),
        "data_source": agency("A1").to_string(),
        "origin": origin(),
    })
}

pub(crate) fn decision_body(number: &str) -> Value {
    json!({
        "doc_no": number,
        "title": text("示例市停车管理办法"),
        "kind": "rule",
        "body": agency("A1").to_string(),
        "adopted": "2026-04-01",
        "published": "2026-04-10",
        "in_force": "2026-05-01",
        "uri": "https://example.org/rules/1",
        "text": {
            "sha256": Digest::tagged(b"rule", &[]).to_string(),
            "size": 1024,
            "media_type": "application/pdf",
            "name": "rule.pdf",
            "class": "P0",
        },
        "languages": ["zh-Hans"],
        "origin": origin(),
    })
}

pub(crate) fn fingerprint_body() -> Value {
    json!({
        "sha256": Digest::tagged(b"deed", &[]).to_string(),
        "size": 4096,
        "media_type": "application/pdf",
        "purpose": "evidence",
        "custody": text("由当事人提交"),
        "origin": origin(),
    })
}

/// A licence whose number is its idempotency key.
pub(crate) fn licence(key: &str) -> Filed {
    build::file(&filing(RecordType::Licence, key), &licence_body(key).to_string()).unwrap()
}

/// A penalty with `A1/clerk1` and `A1/clerk2` as officers.
pub(crate) fn penalty(key: &str) -> Filed {
    penalty_with(key, |_| {})
}

/// A penalty whose body was changed before filing.
pub(crate) fn penalty_with(key: &str, change: impl FnOnce(&mut Value)) -> Filed {
    let mut body = penalty_body(key);
    change(&mut body);
    build::file(&penalty_filing(key), &body.to_string()).unwrap()
}

pub(crate) fn penalty_filing(key: &str) -> Filing<'_> {
    let officers = vec![public("A1/clerk1"), public("A1/clerk2")];
    Filing { officers, ..filing(RecordType::Penalty, key) }
}
