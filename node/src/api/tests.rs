//! The API over real sockets. Behind it stands an implementation of [`Node`] that answers from constants:
//! what is tested here is what stands in front of the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chain_core::access::{Answer, DayRoot, SignedQuery};
use chain_core::api::{
    BlockView, Cursor, DeadlineView, EvidenceView, FeedEvent, FeedKind, HistoryEntry, NodeStatus, Page,
    PassageView, RawBlock, ReadyView, RecordView, Stage, TimelineView, TransactionStatus, ValidatorsView,
    Why,
};
use chain_core::code::{Code, Refusal};
use chain_core::codec;
use chain_core::crypto::{Digest, SecretKey};
use chain_core::date::Date;
use chain_core::execute::{Outcome, Verdict};
use chain_core::id::{ChainId, Epoch, Height, RecordId, TxId, View};
use chain_core::layout::Layout as _;
use chain_core::leaf::{Leaf, SealLeaf};
use chain_core::org::OrgId;
use chain_core::state::EntryName;
use chain_core::state_proof::StateProof;
use chain_core::subject::proof::SubjectProof;
use chain_core::transaction::{Submission, Transaction};
use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ApiConfig, ApiServer, Limits, TlsFiles, start};
use crate::handle::{AskedMoment, FeedPage, FeedQuery, Metric, Node, ReceiptForm, RecordFilter, Trial};

#[derive(Default)]
struct Constants {
    full: AtomicBool,
    last: AtomicU64,
}

fn refuse<T>(code: Code, detail: &str) -> Result<T, Refusal> {
    Err(Refusal::new(code, detail))
}

impl Node for Constants {
    fn submit(&self, submission: Submission) -> Result<TxId, Refusal> {
        if self.full.load(Ordering::Relaxed) {
            return refuse(Code::QueueFull, "the agency's queue is full");
        }
        self.last.store(submission.signed.transaction.valid_until_ms, Ordering::Relaxed);
        Ok(submission.signed.transaction.id())
    }

    fn check(&self, submission: &Submission) -> Result<Trial, Refusal> {
        if self.full.load(Ordering::Relaxed) {
            return refuse(Code::QueueFull, "2 dry runs are under way");
        }
        if !submission.signed.verify_signature() {
            return refuse(Code::BadSignature, "by the author");
        }
        let tx = submission.signed.transaction.id();
        let verdict = Verdict::Refused(Refusal::new(Code::DuplicateNaturalKey, "record 9be0 has it"));
        let outcomes = vec![Outcome { tx, operation: 0, verdict }];
        Ok(Trial { tx, passed: false, height: Height::new(42), outcomes })
    }

    fn access(&self, asked: &SignedQuery) -> Result<Answer, Refusal> {
        refuse(Code::RoleNotAllowed, &asked.query.purpose)
    }

    fn access_root(&self, _: &OrgId, _: Date) -> Result<DayRoot, Refusal> {
        refuse(Code::NotOwnNode, "no vault")
    }

    fn retry_after(&self) -> Duration {
        Duration::from_millis(2_500)
    }

    fn transaction(&self, tx: TxId) -> Result<TransactionStatus, Refusal> {
        Ok(TransactionStatus { tx, stage: Stage::Accepted, height: None, outcomes: Vec::new(), proof: None })
    }

    fn wait(&self, _: TxId, _: Stage) -> BoxFuture<'static, ()> {
        futures::future::pending().boxed()
    }

    fn record(&self, record: RecordId) -> Result<RecordView, Refusal> {
        match record.digest().as_bytes()[0] {
            0 => refuse(Code::RecordNotFound, "no such record"),
            1 => refuse(Code::NotDisclosed, "not published"),
            2 => refuse(Code::StorageFailed, "/var/lib/city/ledger/000123.sst: I/O error"),
            3 => panic!("a bug"),
            _ => {
                std::thread::sleep(Duration::from_secs(3));
                refuse(Code::RecordNotFound, "late")
            }
        }
    }

    fn timeline(&self, _: RecordId, moment: AskedMoment) -> Result<TimelineView, Refusal> {
        refuse(Code::RecordNotFound, &format!("{moment:?}"))
    }

    fn history(&self, _: RecordId, _: Option<&str>, _: usize) -> Result<Page<HistoryEntry>, Refusal> {
        refuse(Code::RecordNotFound, "no such record")
    }

    fn records(
        &self,
        filter: &RecordFilter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<RecordView>, Refusal> {
        let RecordFilter { record_type, from, to, number, .. } = filter;
        let days = [from, to].map(|day| day.map_or_else(String::new, |day| day.to_string())).join("..");
        let asked = format!("{record_type:?} {cursor:?} {limit} {days} {number:?}");
        Ok(Page { items: Vec::new(), next_cursor: Some(asked), height: self.height() })
    }

    fn deadlines(
        &self,
        agency: Option<&OrgId>,
        overdue: bool,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page<DeadlineView>, Refusal> {
        let asked = format!("{:?} {overdue} {cursor:?} {limit}", agency.map(ToString::to_string));
        Ok(Page { items: Vec::new(), next_cursor: cursor.is_none().then_some(asked), height: self.height() })
    }

    fn receipt(&self, _: RecordId, version: Option<u32>, form: ReceiptForm) -> Result<Vec<u8>, Refusal> {
        match version {
            Some(9) => refuse(Code::ReceiptPending, "2 of 3 cosignatures"),
            _ => Ok(format!("{form:?}").into_bytes()),
        }
    }

    fn state_proof(&self, entry: EntryName, at: Option<Height>) -> Result<StateProof, Refusal> {
        refuse(Code::StatePruned, &format!("{entry} at {at:?}"))
    }

    fn subject_proof(&self, subject: OrgId, _: Option<Height>) -> Result<SubjectProof, Refusal> {
        refuse(Code::NoSubjectIndex, &subject.to_string())
    }

    fn feed(&self, query: &FeedQuery, limit: usize) -> Result<FeedPage, Refusal> {
        let chain = ChainId::new(Digest::ZERO);
        let from = query.cursor.map_or(0, |cursor| cursor.leaf);
        if query.cursor.is_some_and(|cursor| !cursor.is_of(chain)) {
            return refuse(Code::GenesisMismatch, "another chain");
        }
        // Seven leaves, and one more with each block.
        let size = (7 + self.height().get() - 42).min(from + limit as u64);
        let seal = |at: u64| {
            let zero = Digest::ZERO;
            let seal = SealLeaf {
                height: Height::new(at),
                header_digest: zero,
                state_root: zero,
                epoch: Epoch::ZERO,
            };
            let leaf = Leaf::Seal(seal);
            FeedEvent::new(chain, at, &leaf.to_canonical(), &leaf, Some(at), query.whole)
        };
        let wanted = query.kinds.is_empty() || query.kinds.contains(&FeedKind::Block);
        let events = (from..size).filter(|_| wanted).map(seal).collect();
        Ok(FeedPage { events, next: Cursor::new(chain, size.max(from)) })
    }

    fn feed_from(&self, height: Height) -> Result<Cursor, Refusal> {
        Ok(Cursor::new(ChainId::new(Digest::ZERO), height.get()))
    }

    fn block(&self, height: Height) -> Result<BlockView, Refusal> {
        refuse(Code::NotYetExecuted, &height.to_string())
    }

    fn height_of(&self, _: Digest) -> Result<Height, Refusal> {
        refuse(Code::NotFound, "no such block")
    }

    fn blocks(&self, _: Option<&str>, _: usize) -> Result<Page<BlockView>, Refusal> {
        Ok(Page { items: Vec::new(), next_cursor: None, height: self.height() })
    }

    fn raw_blocks(&self, _: Height, _: usize) -> Result<Vec<RawBlock>, Refusal> {
        Ok(Vec::new())
    }

    fn height(&self) -> Height {
        Height::new(42)
    }

    fn validators(&self) -> Result<ValidatorsView, Refusal> {
        panic!("a bug in a list")
    }

    fn hand_over(&self, epoch: Epoch) -> Result<PassageView, Refusal> {
        refuse(Code::NotYetExecuted, &format!("epoch {epoch}"))
    }

    fn say_ready(&self) -> Result<ReadyView, Refusal> {
        refuse(Code::ReadyNotNeeded, "v0 takes part")
    }

    fn evidence(&self, cursor: Option<&str>, limit: usize) -> Result<Page<EvidenceView>, Refusal> {
        assert_eq!((cursor, limit), (Some("00ff"), 7), "as the client asked");
        Ok(Page { items: Vec::new(), next_cursor: None, height: Height::new(42) })
    }

    fn status(&self) -> NodeStatus {
        NodeStatus {
            version: "0".into(),
            chain_id: ChainId::new(Digest::ZERO),
            name: "v0".into(),
            voting: true,
            not_voting_because: None,
            epoch: Epoch::ZERO,
            view: View::ZERO,
            leader: "v0".into(),
            committed: Height::new(43),
            executed: Height::new(42),
            committed_digest: Digest::ZERO,
            exec_root: Digest::ZERO,
            log_size: 0,
            block_time_ms: 0,
            queued: 0,
            recovery: None,
            peers: Vec::new(),
        }
    }

    fn why(&self) -> Why {
        Why {
            node: "v0".into(),
            progress: false,
            verdict: "No progress.".into(),
            next: "start v1".into(),
            height: Height::new(43),
            still_ms: 9,
            view: View::ZERO,
            leader: "v0".into(),
            voters: 2,
            quorum: 3,
            waiting_for: None,
            gave_up: None,
            recovery: None,
            validators: Vec::new(),
        }
    }

    fn ready(&self) -> Result<(), Refusal> {
        refuse(Code::NotReady, "catching up")
    }

    fn genesis(&self) -> Arc<str> {
        Arc::from("name = \"city\"\n")
    }

    fn checkpoint(&self) -> Result<String, Refusal> {
        Ok("city\n0\n\n".into())
    }

    fn tile(&self, level: u8, index: u64, width: u16) -> Result<Vec<u8>, Refusal> {
        Ok(format!("{level} {index} {width}").into_bytes())
    }

    fn entries(&self, index: u64, width: u16) -> Result<Vec<u8>, Refusal> {
        Ok(format!("entries {index} {width}").into_bytes())
    }

    fn metrics(&self) -> Vec<Metric> {
        Vec::new()
    }
}

fn quick() -> Limits {
    Limits {
        connections: 16,
        header_time: Duration::from_millis(800),
        body_time: Duration::from_millis(1_500),
        chunk_time: Duration::from_millis(600),
        write_time: Duration::from_millis(800),
        answer_time: Duration::from_millis(1_000),
        readers: 4,
        ..Limits::default()
    }
}

async fn server_with(limits: Limits, tls: Option<TlsFiles>) -> (ApiServer, Arc<Constants>) {
    let node = Arc::new(Constants::default());
    let config = ApiConfig { listen: ([127, 0, 0, 1], 0).into(), tls, limits };
    let handle: Arc<dyn Node> = node.clone();
    (start(config, handle).await.unwrap(), node)
}

async fn server() -> (ApiServer, Arc<Constants>) {
    server_with(quick(), None).await
}

#[derive(Debug)]
struct Reply {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let split = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a whole head");
        let head = String::from_utf8(bytes[..split].to_vec()).unwrap().to_ascii_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Self { status, head, body: bytes[split + 4..].to_vec() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    fn name(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem["name"].as_str().unwrap().to_owned()
    }
}

async fn raw(server: &ApiServer, request: &[u8]) -> Reply {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(request).await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(10), socket.read_to_end(&mut bytes)).await.unwrap();
    Reply::parse(&bytes)
}

async fn get(server: &ApiServer, path: &str, headers: &str) -> Reply {
    raw(server, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n").as_bytes())
        .await
}

async fn post(server: &ApiServer, path: &str, content_type: &str, body: &[u8]) -> Reply {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    raw(server, &[head.as_bytes(), body].concat()).await
}

fn submission() -> Submission {
    let key = SecretKey::from_seed([7; 32]);
    let transaction = Transaction {
        version: 1,
        chain_id: ChainId::new(Digest::ZERO),
        author: key.public(),
        valid_until_ms: 77,
        atomic: false,
        operations: Vec::new(),
    };
    Submission { signed: transaction.sign(&key), bodies: Vec::new() }
}

fn record(first: u8) -> String {
    format!("/v1/records/{first:02x}{}", "ab".repeat(31))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn submissions_arrive_in_both_encodings_and_answers_carry_the_height() {
    let (server, node) = server().await;
    let json = serde_json::to_vec(&submission()).unwrap();
    let bytes = codec::encode(&submission()).unwrap();
    let tx = submission().signed.transaction.id();
    for path in ["/v1/records", "/v1/batches", "/v1/transactions"] {
        for (media_type, body) in
            [("application/json; charset=utf-8", &json), ("application/octet-stream", &bytes)]
        {
            node.last.store(0, Ordering::Relaxed);
            let reply = post(&server, path, media_type, body).await;
            assert_eq!(reply.status, 202, "{reply:?}");
            assert_eq!(node.last.load(Ordering::Relaxed), 77);
            assert_eq!(reply.header("city-height"), Some("42"));
            assert_eq!(reply.header("location"), Some(format!("/v1/transactions/{tx}").as_str()));
            let status: TransactionStatus = serde_json::from_slice(&reply.body).unwrap();
            assert_eq!((status.tx, status.stage), (tx, Stage::Accepted));
        }
    }
    let since = Instant::now();
    let reply = post(&server, "/v1/records?wait=final&timeout_ms=300", "application/json", &json).await;
    assert_eq!(reply.status, 202);
    assert!(since.elapsed() >= Duration::from_millis(300));
    let reply = post(&server, "/v1/records:dry-run", "application/json", &json).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let trial: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    let refused = serde_json::json!({ "code": "DUPLICATE_NATURAL_KEY", "detail": "record 9be0 has it" });
    let outcome = serde_json::json!({ "tx": tx, "operation": 0, "verdict": { "Refused": refused } });
    let wanted = serde_json::json!({ "tx": tx, "passed": false, "height": 42, "outcomes": [outcome] });
    assert_eq!(trial, wanted);
    let text = String::from_utf8(json).unwrap().replace("\"valid_until_ms\":77", "\"valid_until_ms\":78");
    assert_eq!(
        post(&server, "/v1/records:dry-run", "application/json", text.as_bytes()).await.name(),
        "BAD_SIGNATURE"
    );

    node.full.store(true, Ordering::Relaxed);
    for path in ["/v1/records", "/v1/records:dry-run"] {
        let reply = post(&server, path, "application/json", text.as_bytes()).await;
        assert_eq!((reply.status, reply.name().as_str()), (429, "QUEUE_FULL"), "{path}");
        assert_eq!(reply.header("retry-after"), Some("3"), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_refusal_is_a_problem_with_its_own_code() {
    let (server, _) = server().await;
    let deep = "[".repeat(100_000);
    let posts: [(&str, &str, &[u8], u16, &str); 11] = [
        ("/v1/records", "text/csv", b"a,b", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/v1/records", "", b"{}", 415, "UNSUPPORTED_MEDIA_TYPE"),
        ("/v1/records", "application/json", b"{", 400, "MALFORMED_JSON"),
        ("/v1/records", "application/json", b"{\"a\":\"\xff\"}", 400, "MALFORMED_JSON"),
        ("/v1/records", "application/json", deep.as_bytes(), 400, "MALFORMED_JSON"),
        ("/v1/records", "application/json", br#"{"bodies":[],"bodies":[]}"#, 400, "MALFORMED_JSON"),
        ("/v1/records", "application/json", br#"{"signed_by":"me"}"#, 400, "UNKNOWN_FIELD"),
        ("/v1/records", "application/octet-stream", &[1, 2, 3], 400, "MALFORMED_BYTES"),
        ("/v1/records?wait=forever", "application/json", b"{}", 400, "BAD_PARAMETER"),
        ("/v1/status", "application/json", b"{}", 405, "METHOD_NOT_ALLOWED"),
        ("/v2/records", "application/json", b"{}", 404, "NOT_FOUND"),
    ];
    for (path, media_type, body, status, name) in posts {
        let reply = post(&server, path, media_type, body).await;
        assert_eq!((reply.status, reply.name().as_str()), (status, name), "{path} {media_type}");
        assert_eq!(reply.header("city-height"), Some("42"));
    }
    let gets = [
        (record(0), 404, "RECORD_NOT_FOUND"),
        (record(1), 403, "NOT_DISCLOSED"),
        ("/v1/records/xyz".into(), 400, "BAD_PARAMETER"),
        ("/v1/records/%ff".into(), 404, "NOT_FOUND"),
        (format!("{}/history?limit=501", record(9)), 400, "BAD_PARAMETER"),
        (format!("{}?at=0", record(9)), 400, "BAD_PARAMETER"),
        (format!("{}?at=-1", record(9)), 400, "BAD_PARAMETER"),
        (format!("{}?at=7&as_of=2026-05-06", record(9)), 400, "BAD_PARAMETER"),
        (format!("{}?known_at=2026-05-06", record(9)), 400, "BAD_PARAMETER"),
        (format!("{}?as_of=2026-02-30", record(9)), 400, "BAD_DATE"),
        (format!("{}?as_of=2026-05-06&known_at=tomorrow", record(9)), 400, "BAD_DATE"),
        (format!("/v1/state/record:{}/proof?at=7", Digest::ZERO), 410, "STATE_PRUNED"),
        ("/v1/state/records/proof".to_owned(), 400, "BAD_PARAMETER"),
        ("/v1/subjects/uscc:91440300100012316L/proof".to_owned(), 404, "NO_SUBJECT_INDEX"),
        ("/v1/subjects/91440300100012316L/proof".to_owned(), 400, "BAD_IDENTIFIER"),
        ("/v1/state/epoch/proof?at=-1".to_owned(), 400, "BAD_PARAMETER"),
        (format!("{}/receipt?version=9", record(9)), 503, "RECEIPT_PENDING"),
        (format!("{}/receipt?form=pdf", record(9)), 400, "BAD_PARAMETER"),
        ("/v1/records?limit=0".into(), 400, "BAD_PARAMETER"),
        ("/v1/evidence?limit=501".into(), 400, "BAD_PARAMETER"),
        ("/v1/records?limit=1000000000".into(), 400, "BAD_PARAMETER"),
        ("/v1/records?sort=name".into(), 400, "BAD_PARAMETER"),
        ("/v1/records?from=2026-02-30".into(), 400, "BAD_DATE"),
        ("/v1/records?to=today".into(), 400, "BAD_DATE"),
        ("/v1/deadlines?limit=501".into(), 400, "BAD_PARAMETER"),
        ("/v1/deadlines?overdue=maybe".into(), 400, "BAD_PARAMETER"),
        ("/v1/deadlines?agency=uscc:11320100MAXP23YC3X".into(), 400, "USCC_CHECK_CHAR"),
        ("/v1/deadlines.ics?overdue=true".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?limit=0".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?limit=501".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?cursor=7".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?cursor=0000000000000000-1&from_height=1".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?types=record,tree".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?payload=body".into(), 400, "BAD_PARAMETER"),
        ("/v1/feed?cursor=00000000000000ff-1".into(), 409, "GENESIS_MISMATCH"),
        ("/v1/feed?cursor=00000000000000ff-1&follow=true".into(), 409, "GENESIS_MISMATCH"),
        ("/v1/blocks/7".into(), 404, "NOT_YET_EXECUTED"),
        (format!("/v1/blocks/{}", "ab".repeat(32)), 404, "NOT_FOUND"),
        ("/v1/blocks/-1".into(), 400, "BAD_PARAMETER"),
        ("/v1/blocks/7/raw".into(), 404, "NOT_YET_EXECUTED"),
        ("/v1/raw-blocks?from=1&limit=65".into(), 400, "BAD_PARAMETER"),
        ("/v1/raw-blocks".into(), 400, "BAD_PARAMETER"),
        ("/tile/0/1".into(), 404, "NOT_FOUND"),
        ("/tile/../../etc/passwd".into(), 404, "NOT_FOUND"),
        ("/v1/epochs/7/handover".into(), 404, "NOT_YET_EXECUTED"),
        ("/v1/epochs/x/handover".into(), 400, "BAD_PARAMETER"),
        ("/v1/node/ready".into(), 409, "READY_NOT_NEEDED"),
        ("/v1/node/ready?sign=1".into(), 400, "BAD_PARAMETER"),
        ("/readyz".into(), 503, "NOT_READY"),
    ];
    for (path, status, name) in gets {
        let reply = get(&server, &path, "").await;
        assert_eq!((reply.status, reply.name().as_str()), (status, name), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deadlines_are_asked_for_as_the_client_says() {
    let (server, _) = server().await;
    let agency = "uscc:11320100MAXP23YC3L";
    for (path, want) in [
        ("/v1/deadlines".to_owned(), "None false None 50".to_owned()),
        (
            format!("/v1/deadlines?agency={agency}&overdue=true&limit=500"),
            format!("Some({agency:?}) true None 500"),
        ),
    ] {
        let reply = get(&server, &path, "").await;
        let page: Page<DeadlineView> = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(page.next_cursor, Some(want), "{path}");
    }
    // The second page, by the cursor that the first one named, is the last.
    let reply = get(&server, &format!("/v1/deadlines.ics?agency={agency}"), "").await;
    assert_eq!(reply.header("content-type"), Some("text/calendar; charset=utf-8"));
    assert!(reply.text().starts_with("BEGIN:VCALENDAR"), "{}", reply.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_moment_of_a_record_names_a_block_or_one_or_two_days() {
    let (server, _) = server().await;
    for (asked, want) in [
        ("at=7", "At(Height(7))"),
        ("as_of=2026-05-06", "AsOf { day: 2026-05-06, known_at: 2026-05-06 }"),
        ("as_of=2026-05-06&known_at=2026-08-01", "AsOf { day: 2026-05-06, known_at: 2026-08-01 }"),
    ] {
        let reply = get(&server, &format!("{}?{asked}", record(9)), "").await;
        let problem: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
        assert_eq!(problem["detail"], want, "{asked}");
    }
}

/// Ids of the events in a page of lines.
fn ids(text: &str) -> Vec<String> {
    text.lines().map(|line| serde_json::from_str::<FeedEvent>(line).unwrap().id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_comes_page_by_page_and_each_event_once() {
    let (server, _) = server().await;
    let mut seen = Vec::new();
    let mut path = "/v1/feed?limit=3".to_owned();
    for _ in 0..4 {
        let page = get(&server, &path, "").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("application/x-ndjson")));
        seen.extend(ids(page.text()));
        path = format!("/v1/feed?limit=3&cursor={}", page.header("city-cursor").unwrap());
    }
    let all: Vec<String> = (0..7).map(|at| format!("{at}:{at}")).collect();
    assert_eq!((seen, path.as_str()), (all.clone(), "/v1/feed?limit=3&cursor=0000000000000000-7"));
    assert_eq!(ids(get(&server, "/v1/feed?from_height=5", "").await.text()), all[5..]);
    // What is passed over is not looked at again.
    let none = get(&server, "/v1/feed?types=record", "").await;
    assert_eq!((none.text(), none.header("city-cursor")), ("", Some("0000000000000000-7")));
    let leaf = |reply: &Reply| serde_json::from_str::<FeedEvent>(reply.text().trim()).unwrap().data.leaf;
    let hashes = get(&server, "/v1/feed?payload=hash&limit=1", "").await;
    let whole = get(&server, "/v1/feed?limit=1", "").await;
    assert!(leaf(&hashes).is_none() && leaf(&whole).is_some(), "{} {}", hashes.text(), whole.text());
    // A page that waits for what does not come ends after its time.
    let since = Instant::now();
    let late = get(&server, "/v1/feed?cursor=0000000000000000-7&wait_ms=300", "").await;
    assert_eq!(late.text(), "");
    assert!((250..5_000).contains(&since.elapsed().as_millis()), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_gets_events_and_may_go_on_from_the_last() {
    let (server, _) = server().await;
    for (request, first) in [
        ("GET /v1/feed?follow=true HTTP/1.1\r\nhost: x\r\n\r\n", "{\"specversion\":\"1.0\",\"id\":\"0:0\""),
        ("GET /v1/feed HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\n\r\n", "id: 0000000000000000-1\n"),
        (
            "GET /v1/feed HTTP/1.1\r\nhost: x\r\naccept: text/event-stream\r\nlast-event-id: 0000000000000000-5\r\n\r\n",
            "id: 0000000000000000-6\n",
        ),
    ] {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        while !text.contains("\"id\":\"6:6\"") {
            let mut bytes = [0; 4_096];
            let read = tokio::time::timeout(Duration::from_secs(5), stream.read(&mut bytes)).await.unwrap();
            let read = read.unwrap();
            assert!(read > 0, "{text}");
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        assert!(text.contains(first), "{request}: {text}");
        assert_eq!(text.matches("\"specversion\"").count(), if first.ends_with("-6\n") { 2 } else { 7 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bugs_and_storage_errors_tell_nothing_about_the_machine() {
    let (server, _) = server().await;
    let reply = get(&server, &record(2), "").await;
    assert_eq!((reply.status, reply.name().as_str()), (500, "STORAGE_FAILED"));
    assert!(!reply.text().contains("/var"), "{}", reply.text());
    let reply = get(&server, &record(3), "").await;
    assert_eq!((reply.status, reply.name().as_str()), (500, "INTERNAL"));
    let reply = get(&server, "/v1/validators", "").await;
    assert_eq!((reply.status, reply.name().as_str()), (500, "INTERNAL"));
    let since = Instant::now();
    let reply = get(&server, &record(9), "").await;
    assert_eq!((reply.status, reply.name().as_str()), (503, "REQUEST_TIMEOUT"));
    assert!(since.elapsed() < Duration::from_millis(2_500));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchanging_answers_are_cached_and_not_sent_twice() {
    let (server, _) = server().await;
    for (path, cache) in [
        ("/v1/genesis", "public, max-age=31536000, immutable"),
        ("/tile/1/x001/234.p/5", "public, max-age=31536000, immutable"),
        ("/checkpoint", "no-cache"),
        ("/v1/errors", "no-cache"),
    ] {
        let first = get(&server, path, "").await;
        assert_eq!((first.status, first.header("cache-control")), (200, Some(cache)), "{path}");
        let tag = first.header("etag").unwrap().to_owned();
        let again = get(&server, path, &format!("if-none-match: \"x\", {tag}\r\n")).await;
        assert_eq!((again.status, again.body.len()), (304, 0), "{path}");
    }
    assert_eq!(get(&server, "/tile/1/x001/234.p/5", "").await.text(), "1 1234 5");
    assert_eq!(get(&server, "/tile/entries/x001/234", "").await.text(), "entries 1234 256");
    assert_eq!(get(&server, "/v1/status", "").await.header("cache-control"), Some("no-store"));
    let why = get(&server, "/v1/node/why", "").await;
    assert_eq!((why.status, why.header("cache-control")), (200, Some("no-store")));
    let why: Why = serde_json::from_slice(&why.body).unwrap();
    assert_eq!((why.progress, why.next.as_str()), (false, "start v1"));
    let receipt = format!("{}/receipt", record(9));
    let proof = get(&server, &receipt, "accept: text/html, application/vnd.c2sp.tlog-proof;q=0.9\r\n").await;
    assert_eq!(proof.text(), "TlogProof");
    assert_eq!(get(&server, &receipt, "").await.text(), "Bundle");
    assert_eq!(get(&server, &format!("{receipt}?form=tlog-proof"), "").await.text(), "TlogProof");
    let page = get(&server, "/v1/evidence?limit=7&cursor=00ff", "").await;
    assert_eq!((page.status, page.header("city-height")), (200, Some("42")), "{page:?}");
    let page = get(&server, "/v1/agencies?limit=500&cursor=a%20b", "").await;
    assert!(page.text().contains(r#"Some(\"gov.agency\") Some(\"a b\") 500"#), "{}", page.text());
    assert!(get(&server, "/metrics", "").await.text().contains("city_http_requests_total{class=\"3xx\"} 4"));
    assert_eq!(get(&server, "/healthz", "").await.text(), "ok\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn huge_bodies_are_refused_before_they_are_read() {
    let (server, _) = server().await;
    let head = "POST /v1/records HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let declared = raw(&server, format!("{head}content-length: 1073741824\r\n\r\n{{").as_bytes()).await;
    assert_eq!((declared.status, declared.name().as_str()), (413, "SIZE_LIMIT"));

    // The same in pieces without a declared length: cut off at the limit.
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    socket.write_all(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await.unwrap();
    let piece = [&b"10000\r\n"[..], &vec![b' '; 65_536], b"\r\n"].concat();
    let mut sent = 0_usize;
    while sent < 1 << 30 && socket.write_all(&piece).await.is_ok() {
        sent += 65_536;
    }
    assert!(sent < 64 * 1024 * 1024, "{sent} bytes were taken");
    let bomb = "POST /v1/records HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-encoding: gzip\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    assert_eq!(raw(&server, bomb.as_bytes()).await.name(), "UNSUPPORTED_MEDIA_TYPE");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_silent_clients_are_cut_off() {
    let (server, _) = server().await;
    let limit = Duration::from_secs(4);
    let mut rest = Vec::new();

    // Silent, idle after a request, and dripping headers: closed after the header time.
    for opening in ["", "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n", "GET /healthz HTTP/1.1\r\nx: "] {
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        socket.write_all(opening.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = socket.into_split();
        let drip = tokio::spawn(async move {
            while opening.ends_with("x: ") && writer.write_all(b"y").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            writer
        });
        let closed = tokio::time::timeout(limit, reader.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{opening:?} was left open");
        drip.abort();
    }

    // A body that stops, and one that drips below the limits of single pieces: 408.
    let head = "POST /v1/records HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n";
    for drips in [0, 1_000] {
        let socket = TcpStream::connect(server.address()).await.unwrap();
        let (mut reader, mut writer) = socket.into_split();
        writer.write_all(head.as_bytes()).await.unwrap();
        let drip = tokio::spawn(async move {
            for _ in 0..drips {
                if writer.write_all(b" ").await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            writer
        });
        let mut bytes = vec![0; 4096];
        let n = tokio::time::timeout(limit, reader.read(&mut bytes)).await.unwrap().unwrap();
        assert!(bytes[..n].starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&bytes[..n]));
        drip.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_loses_its_connection() {
    let (server, _) = server().await;
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let request = b"GET /v1/errors HTTP/1.1\r\nhost: x\r\n\r\n".repeat(64);
    let since = Instant::now();
    // Pipelined requests whose answers nobody takes: the sockets' buffers fill, then the server gives up.
    while socket.write_all(&request).await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(20), "still writing after 20 s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_bounded_and_freed() {
    let (server, _) = server_with(Limits { connections: 2, ..quick() }, None).await;
    let _idle = [
        TcpStream::connect(server.address()).await.unwrap(),
        TcpStream::connect(server.address()).await.unwrap(),
    ];
    let since = Instant::now();
    assert_eq!(get(&server, "/healthz", "").await.status, 200);
    assert!(since.elapsed() >= Duration::from_millis(500), "the third had to wait for room");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_lets_a_running_request_end() {
    let (server, _) = server().await;
    let json = serde_json::to_vec(&submission()).unwrap();
    let address = server.address();
    let head = format!(
        "POST /v1/records?wait=final&timeout_ms=700 HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        json.len()
    );
    let mut socket = TcpStream::connect(address).await.unwrap();
    socket.write_all(&[head.as_bytes(), &json].concat()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let (_, reply) = tokio::join!(server.shutdown(), async {
        let mut bytes = Vec::new();
        socket.read_to_end(&mut bytes).await.unwrap();
        Reply::parse(&bytes)
    });
    assert_eq!(reply.status, 202);
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

/// The certificate is made by `openssl`, as an operator would; without it the test says so and ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_serves_http_1_1_and_nothing_in_clear() {
    let dir = tempfile::tempdir().unwrap();
    let files = TlsFiles { certificate: dir.path().join("cert.pem"), key: dir.path().join("key.pem") };
    let made = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "2", "-subj", "/CN=localhost"])
        .args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"])
        .arg("-keyout")
        .arg(&files.key)
        .arg("-out")
        .arg(&files.certificate)
        .output();
    if !made.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED tls_serves_http_1_1_and_nothing_in_clear: no openssl");
        return;
    }
    use rustls::pki_types::pem::PemObject as _;
    let certificate = rustls::pki_types::CertificateDer::from_pem_file(&files.certificate).unwrap();
    let (server, _) = server_with(quick(), Some(files)).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let socket = TcpStream::connect(server.address()).await.unwrap();
    let mut socket = connector.connect("localhost".try_into().unwrap(), socket).await.unwrap();
    assert_eq!(socket.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    socket.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = socket.read_to_end(&mut bytes).await;
    let reply = Reply::parse(&bytes);
    assert_eq!((reply.status, reply.header("strict-transport-security")), (200, Some("max-age=31536000")));

    let mut clear = TcpStream::connect(server.address()).await.unwrap();
    clear.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), clear.read_to_end(&mut bytes)).await.unwrap();
    assert!(!bytes.starts_with(b"HTTP"), "answered in clear");
}
