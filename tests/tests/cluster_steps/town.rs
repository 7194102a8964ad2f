//! The posts of three agencies of the sample city, and how they send their steps.

use std::time::Duration;

use chain_core::api::RecordView;
use chain_core::code::Code;
use chain_core::crypto::SecretKey;
use chain_core::date::Date;
use chain_core::execute::Verdict;
use chain_core::id::RecordId;
use chain_core::operation::Operation;
use chain_core::org::OrgId;
use chain_core::record::BasisRef;
use chain_core::transaction::Body;
use city_tests::cluster::http::{self, Failed};
use city_tests::cluster::{Cluster, done, wait_for};
use city_tests::officer::{self, Officer, now_ms};
use serde_json::json;

use crate::steps::{Life, Post, Whose};
use crate::story::submitter;

/// Longest wait for a node that takes no more for the moment.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a transaction is valid.
const VALID_MS: u64 = 30 * 60 * 1000;

/// Somebody who signs.
pub(crate) struct Seat {
    /// E.g. `own clerk 1`.
    pub(crate) name: String,
    pub(crate) officer: Officer,
    whose: Whose,
    role: &'static str,
    /// Which of several in the same role, from 1.
    nth: usize,
}

/// The network with everybody who acts in it.
pub(crate) struct Town {
    urls: Vec<String>,
    pub(crate) seats: Vec<Seat>,
    /// The agency of the records.
    pub(crate) own: OrgId,
    /// Its day when the stories began.
    pub(crate) today: Date,
    /// How far the validators' clocks stand ahead.
    pub(crate) ahead: Duration,
}

/// Market Regulation, whose records they are, Ecology and Environment, and Housing and Construction, which opens reviews.
const AGENCIES: [&str; 3] = ["uscc:11320100MAXP23YC3L", "uscc:11320100MAX1N11L4Y", "uscc:11320100MAX78A442D"];
/// Roles of the record's own agency, of another one, and of the one that opens reviews.
const OWN: [&str; 9] = [
    "clerk",
    "supervisor",
    "legal_reviewer",
    "agency_admin",
    "privacy_officer",
    "auditor",
    "council_member",
    "gateway",
    "portal",
];
const OTHER: [&str; 8] = [
    "clerk",
    "supervisor",
    "legal_reviewer",
    "agency_admin",
    "privacy_officer",
    "auditor",
    "portal",
    "device",
];
const REVIEWER: [&str; 3] = ["clerk", "supervisor", "auditor"];

impl Town {
    /// Registers the posts that the sample city lacks, and takes a seat for each.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let [own, other, reviewer] = AGENCIES.map(|id| id.parse::<OrgId>().unwrap());
        for (agency, name, role) in [
            (&own, "clerk-three", "clerk"),
            (&own, "supervisor-two", "supervisor"),
            (&own, "own-portal", "portal"),
            (&other, "other-portal", "portal"),
        ] {
            register(cluster, agency, name, role);
        }
        register_device(cluster, &other);
        let mut seats = Vec::new();
        let all: [(&OrgId, Whose, &str, &[&'static str]); 3] = [
            (&own, Whose::Own, "own", &OWN),
            (&other, Whose::Other, "other", &OTHER),
            (&reviewer, Whose::Reviewer, "reviewing", &REVIEWER),
        ];
        for (agency, whose, word, roles) in all {
            for role in roles {
                let wanted = |_: &[Officer], of: &OrgId| of == agency;
                let found = officer::officers(&cluster.genesis, &cluster.keys, role, wanted).unwrap();
                // Of other agencies one in each role: the table treats them alike.
                let most = if whose == Whose::Own { found.len() } else { 1 };
                for (at, officer) in found.into_iter().take(most).enumerate() {
                    let whose = if *role == "device" { Whose::Nobody } else { whose };
                    let (name, nth) = (format!("{word} {role} {}", at + 1), at + 1);
                    seats.push(Seat { name, officer, whose, role, nth });
                }
            }
        }
        let stranger = Seat {
            name: "stranger".to_owned(),
            officer: Officer { key: SecretKey::from_seed([0x77; 32]), ..copy(&seats[0].officer) },
            whose: Whose::Stranger,
            role: "none",
            nth: 1,
        };
        seats.push(stranger);
        let status = cluster.wait_agreed();
        let today = Date::of_time(status.block_time_ms, 480);
        let urls = cluster.nodes.iter().map(|node| node.url()).collect();
        Self { urls, seats, own, today, ahead: Duration::ZERO }
    }

    /// The place of a seat of the record's own agency.
    pub(crate) fn own(&self, role: &str, nth: usize) -> usize {
        self.seat(Whose::Own, role, nth)
    }

    /// The place of a seat.
    pub(crate) fn seat(&self, whose: Whose, role: &str, nth: usize) -> usize {
        let found =
            self.seats.iter().position(|seat| (seat.whose, seat.role, seat.nth) == (whose, role, nth));
        found.unwrap_or_else(|| panic!("no {role} {nth} of {whose:?}"))
    }

    /// A seat as the table sees it, beside a record of a life.
    pub(crate) fn post(&self, life: Life, seat: usize) -> Post {
        let filed_it = seat == submitter(life, self);
        let Seat { whose, role, nth, .. } = self.seats[seat];
        let mut words = vec![role];
        if filed_it {
            words.push("submitter");
        }
        let own = whose == Whose::Own;
        if own && (role, nth) == ("clerk", 2) {
            words.push("officer");
        }
        let approved = own && nth == 1 && life.approvals().contains(&"supervisor");
        if role == "supervisor" && !approved {
            words.push("other_supervisor");
        }
        Post { whose, words, filed_it }
    }

    /// Sends one step to one of the nodes and waits until it has executed it.
    pub(crate) fn send(
        &self,
        node: usize,
        seat: usize,
        operation: Operation,
        body: Option<Body>,
    ) -> Result<(), Code> {
        let officer = &self.seats[seat].officer;
        let ahead_ms = u64::try_from(self.ahead.as_millis()).unwrap();
        let submission = officer.sign_until(now_ms() + ahead_ms + VALID_MS, vec![(operation, body)]);
        let url = &self.urls[node % self.urls.len()];
        wait_for("a verdict", PATIENCE, || match http::submit(url, &submission) {
            Ok(status) => match &status.outcomes.first()?.verdict {
                Verdict::Accepted { .. } => Some(Ok(())),
                Verdict::Refused(refusal) => Some(Err(refusal.code)),
            },
            Err(Failed::Problem(problem)) if matches!(problem.name, Code::QueueFull | Code::NotReady) => None,
            Err(Failed::Problem(problem)) => Some(Err(problem.name)),
            Err(Failed::Other(_)) => None,
        })
    }

    /// A record as one of the nodes shows it.
    pub(crate) fn view(&self, node: usize, record: RecordId) -> RecordView {
        let url = format!("{}/v1/records/{record}", self.urls[node % self.urls.len()]);
        wait_for("a record", PATIENCE, || http::get(&url).ok())
    }
}

/// A legal basis of the sample city by its id.
pub(crate) fn basis(id: &str) -> Option<BasisRef> {
    Some(BasisRef { id: id.to_owned(), version: 1 })
}

fn copy(officer: &Officer) -> Officer {
    Officer {
        chain_id: officer.chain_id,
        agency: officer.agency.clone(),
        key: SecretKey::from_seed([0; 32]),
        basis: officer.basis.clone(),
    }
}

/// Makes a key and has two administrators register it.
fn register(cluster: &Cluster, agency: &OrgId, name: &str, role: &str) {
    let id = agency.to_string();
    done(&cluster.city(&["key", "new", name, "--agency", &id, "--role", role]));
    let keys = done(&cluster.city(&["key", "list", "-o", "json"]));
    let admin = keys["items"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["agency"] == id.as_str() && key["role"] == "agency_admin");
    let admin = admin.unwrap()["name"].as_str().unwrap();
    let added = done(&cluster.city(&[
        "agency",
        "member",
        "add",
        "--agency",
        &id,
        "--role",
        role,
        "--member-key",
        name,
        "--key",
        admin,
        "-o",
        "json",
    ]));
    let record = added["items"][0]["record"].as_str().unwrap();
    done(&cluster.city(&[
        "record",
        "countersign",
        record,
        "--role",
        "agency_admin",
        "--nth",
        "2",
        "-o",
        "json",
    ]));
}

/// Registers a device, whose key signs batches and nothing else.
fn register_device(cluster: &Cluster, agency: &OrgId) {
    let id = agency.to_string();
    done(&cluster.city(&["key", "new", "a-device", "--agency", &id, "--role", "device"]));
    let proof = done(&cluster.city(&["gateway", "prove-key", "a-device", "-o", "json"]));
    let stream = json!({
        "id": "s1", "property": "traffic", "unit": "C62", "scale": 0, "period_s": 3_600, "tolerance_pct": 50,
        "batch_within_s": 86_400,
    });
    let draft = json!({
        "type": "device.registration", "agency": agency, "legal_basis": "cn-metrology",
        "body": {
            "device_id": "a-device", "model": "loop detector", "owner": agency, "key": proof["key"],
            "possession": proof["possession"], "streams": [stream], "installed": "2026-01-01", "personal_data": false,
            "place": { "longitude_e7": 1_187_969_000, "latitude_e7": 320_603_000, "datum": "WGS84" },
            "purpose": [{ "lang": "en", "text": "traffic" }],
        },
    });
    let path = cluster.dir().join("device.json");
    std::fs::write(&path, draft.to_string()).unwrap();
    let filed = done(&cluster.city(&["record", "submit", path.to_str().unwrap(), "-o", "json"]));
    let record = filed["items"][0]["record"].as_str().unwrap();
    done(&cluster.city(&["record", "countersign", record, "--role", "supervisor", "-o", "json"]));
}
