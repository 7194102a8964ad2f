//! A record that holds passes; with any lie about it, the audit names the step, the rule and its weight.

use chain_core::code::Code;
use chain_core::committee::Committee;
use chain_core::crypto::Signature;
use chain_core::execute::AppendedLeaf;
use chain_core::id::{Height, RecordId};
use chain_core::leaf::{Leaf, RecoveryLeaf, SignedLeaf};
use chain_core::lifecycle::replay::Moment;
use chain_core::operation::{AmendReason, Operation};
use chain_core::record::governance::Role;
use chain_core::record::{Class, Details, Header, RecordType, SubjectKind};
use chain_core::state::Status;
use chain_core::transaction::Body;
use serde_json::json;

use super::authority::Rights;
use super::judge::{Asked, Trail, audit};
use super::types::Types;
use crate::commands::auditor::audit::finding::{Finding, Grade};
use crate::commands::auditor::audit::report::Report;
use crate::commands::auditor::audit::sample::record::{Given, changed};
use crate::commands::auditor::audit::sample::{Chain, secret};
use crate::commands::auditor::audit::verify::Stopped;
use crate::sets::Sets;

fn audited(given: &Given, record: RecordId, complete: bool) -> (Report, Result<(), Finding>) {
    let genesis = &given.chain.genesis;
    let mut report = Report::of_record(genesis, &record);
    let asked = Asked { genesis, sets: &given.chain.sets, record, complete };
    let result = match audit(given, &asked, &mut report, |_| {}) {
        Ok(()) => Ok(()),
        Err(Stopped::Found(finding, _)) => Err(*finding),
        Err(Stopped::Failed(error)) => panic!("no verdict: {error:?}"),
    };
    (report, result)
}

fn decided() -> (Given, RecordId, Vec<usize>) {
    let (chain, record) = Chain::decided();
    let own = chain.ledger.leaves().iter().enumerate().filter(|(_, leaf)| leaf.record == Some(record));
    let places = own.map(|(at, _)| at).collect();
    (Given::of(chain), record, places)
}

#[test]
fn a_record_holds_from_its_first_step_to_its_head() {
    let (given, record, places) = decided();
    assert_eq!(places.len(), 5);
    for complete in [false, true] {
        let (report, result) = audited(&given, record, complete);
        result.unwrap();
        let document: serde_json::Value = serde_json::from_str(&report.document().unwrap()).unwrap();
        assert_eq!((&document["verdict"], &document["complete"]), (&json!("PASS"), &json!(complete)));
        assert_eq!((&document["version"], &document["status"]), (&json!(2), &json!("effective")));
        assert_eq!(document["flags"], json!(["publication_stopped"]));
        assert_eq!(document["schema"], "city/v1/audit-record");
        let steps = document["steps"].as_array().unwrap();
        let told: Vec<String> = steps
            .iter()
            .map(|step| {
                format!("{} {} {}", step["operation"], step["version"], step["status"]).replace('"', "")
            })
            .collect();
        let want = [
            "submit 1 submitted",
            "countersign 1 effective",
            "amend 2 submitted",
            "countersign 2 effective",
            "stop_publication 2 effective",
        ];
        assert_eq!(told, want);
        assert!(steps.iter().all(|step| step["signature"] == "holds"), "{document:#}");
        assert_eq!(steps[0]["body"], "held, equal to its commitment");
        assert!(
            steps[1]["authority"].as_str().unwrap().starts_with("supervisor of register:CN-T:0 by record ")
        );
        let page = report.page().unwrap();
        assert!(page.contains("every step holds") && page.contains(&record.to_string()), "{page}");
    }
    // A member, an agency and a validator are records, too: laid down by the genesis.
    for (at, leaf) in given.chain.ledger.leaves().iter().enumerate().take(20) {
        if let Some(record) = leaf.record {
            audited(&given, record, false).1.unwrap_or_else(|finding| panic!("leaf {at}: {finding:?}"));
        }
    }
    let unknown = audit(
        &given,
        &Asked {
            genesis: &given.chain.genesis,
            sets: &Sets::of(&given.chain.genesis),
            record: RecordId::new(chain_core::crypto::Digest::ZERO),
            complete: false,
        },
        &mut Report::of_record(&given.chain.genesis, &record),
        |_| {},
    );
    match unknown {
        Err(Stopped::Failed(error)) => assert_eq!(error.code(), Code::RecordNotFound),
        other => panic!("{other:?}"),
    }
}

/// Lies, and asks for code, grade and block of the finding.
#[track_caller]
fn refused(what: &str, complete: bool, want: (Code, Grade), lie: impl FnOnce(&mut Given, &[usize])) {
    let (mut given, record, places) = decided();
    lie(&mut given, &places);
    let finding = audited(&given, record, complete).1.expect_err(what);
    assert_eq!((finding.refusal.code, finding.grade), want, "{what}: {finding:?}");
}

#[test]
fn what_is_hidden_of_a_record_is_missed() {
    for complete in [false, true] {
        for at in 0..5 {
            let (mut given, record, places) = decided();
            given.hidden = vec![places[at] as u64];
            let finding = audited(&given, record, complete).1.expect_err("a hidden step goes unnoticed");
            assert_eq!(finding.grade, Grade::Wrong, "{finding:?}");
        }
        refused(
            "a version is hidden",
            complete,
            (if complete { Code::LeafMismatch } else { Code::BadState }, Grade::Wrong),
            |given, places| {
                given.hidden = vec![places[1] as u64];
            },
        );
        refused("all of it is hidden", complete, (Code::LeafMismatch, Grade::Wrong), |given, places| {
            given.hidden = places.iter().map(|place| *place as u64).collect();
        });
        refused("its steps are named backwards", complete, (Code::ProofInvalid, Grade::Wrong), |given, _| {
            given.backwards = true;
        });
    }
}

#[test]
fn what_is_altered_leads_to_no_root() {
    for complete in [false, true] {
        refused("an altered leaf", complete, (Code::ProofInvalid, Grade::Wrong), |given, places| {
            changed(&mut given.leaves, places[0], |leaf| {
                if let Leaf::Signed(leaf) = leaf {
                    leaf.status = Status::Effective;
                }
            });
        });
        refused("a leaf dated anew", complete, (Code::ProofInvalid, Grade::Wrong), |given, places| {
            changed(&mut given.leaves, places[2], |leaf| {
                if let Leaf::Signed(leaf) = leaf {
                    leaf.time_ms -= 86_400_000;
                }
            });
        });
        refused(
            "two leaves have changed places",
            complete,
            (Code::ProofInvalid, Grade::Wrong),
            |given, places| {
                given.leaves.swap(places[0], places[1]);
            },
        );
    }
}

#[test]
fn a_block_is_the_one_that_the_log_names_and_carries_what_its_leaves_say() {
    refused("an altered body", false, (Code::BodyCommitment, Grade::Wrong), |given, _| {
        let body = given.blocks[7].batches[0].submissions[0].bodies[0].as_mut().unwrap();
        body.json = body.json.replace("2026-12-01", "2026-12-02");
    });
    refused("another signature", false, (Code::BadSignature, Grade::Wrong), |given, _| {
        given.blocks[8].batches[0].submissions[0].signed.signature = Signature::ZERO;
    });
    refused("a block dated anew", false, (Code::BadSignature, Grade::Wrong), |given, _| {
        given.blocks[9].header.time_ms -= 1;
    });
    refused("another block", false, (Code::ChainBroken, Grade::Wrong), |given, _| {
        given.blocks[9] = given.blocks[8].clone();
    });
    // An erased or withheld body is no lie.
    let (mut given, record, _) = decided();
    given.blocks[7].batches[0].submissions[0].bodies[0] = None;
    let (report, result) = audited(&given, record, false);
    result.unwrap();
    let document: serde_json::Value = serde_json::from_str(&report.document().unwrap()).unwrap();
    assert_eq!(document["steps"][0]["body"], "not held: erased or withheld");
}

#[test]
fn a_quorum_that_lies_is_found_out_by_the_rules() {
    type Change = fn(&mut Leaf);
    let lies: [(&str, usize, Code, Change); 5] = [
        ("who may approve", 1, Code::RoleNotAllowed, |leaf| {
            if let Leaf::Signed(leaf) = leaf {
                leaf.role = Role::Clerk;
            }
        }),
        ("for whom", 1, Code::AgencyNotCompetent, |leaf| {
            if let Leaf::Signed(leaf) = leaf {
                leaf.agency = "register:CN-T:1".parse().unwrap();
            }
        }),
        ("what came of it", 3, Code::LeafMismatch, |leaf| {
            if let Leaf::Signed(leaf) = leaf {
                leaf.status = Status::Submitted;
            }
        }),
        ("when it was", 2, Code::LeafMismatch, |leaf| {
            if let Leaf::Signed(leaf) = leaf {
                leaf.time_ms += 1;
            }
        }),
        ("in which block", 4, Code::ChainBroken, |leaf| {
            if let Leaf::Signed(leaf) = leaf {
                leaf.height = Height::new(13);
            }
        }),
    ];
    for (what, at, code, lie) in lies {
        let (mut given, record, places) = decided();
        changed(&mut given.leaves, places[at], lie);
        given.cosign_lies();
        let finding = audited(&given, record, false).1.expect_err(what);
        assert_eq!(finding.refusal.code, code, "{what}: {finding:?}");
    }
    // The signer of a step is the author of its transaction, whatever the leaf says.
    let (mut given, record, places) = decided();
    changed(&mut given.leaves, places[4], |leaf| {
        if let Leaf::Signed(leaf) = leaf {
            leaf.author = secret(9, 1).public();
        }
    });
    given.cosign_lies();
    let finding = audited(&given, record, false).1.expect_err("another signer");
    assert_eq!(finding.refusal.code, Code::LeafMismatch, "{finding:?}");
}

/// What a record's steps are held against.
fn trail<'a>(given: &'a Given, sets: &'a Sets, record: RecordId) -> Trail<'a, Given> {
    let genesis = &given.chain.genesis;
    let asked = Asked { genesis, sets, record, complete: false };
    Trail::begin(given, &asked, &mut Report::of_record(genesis, &record), |_| {}).unwrap().0
}

/// The code of a finding; there must be a verdict.
fn code_of<T>(judged: Result<T, Stopped>) -> Result<T, Code> {
    judged.map_err(|stopped| match stopped {
        Stopped::Found(finding, _) => finding.refusal.code,
        Stopped::Failed(error) => panic!("{error:?}"),
    })
}

#[test]
fn a_key_must_have_been_a_members_in_that_role_then() {
    let (given, record, places) = decided();
    let sets = Sets::of(&given.chain.genesis);
    let trail = trail(&given, &sets, record);
    let rights = Rights::new(&trail, given.chain.genesis.chain_params());
    let Leaf::Signed(leaf) = Leaf::decode(&given.leaves[places[0]]).unwrap() else {
        panic!("a member's step")
    };
    let place = places[0] as u64;
    let day = |text: &str| Moment { height: leaf.height, time_ms: leaf.time_ms, day: text.parse().unwrap() };
    let check = |place: u64, moment: Moment, change: &dyn Fn(&mut SignedLeaf)| {
        let mut changed = (*leaf).clone();
        change(&mut changed);
        code_of(rights.check(place, moment, &changed))
    };
    let words = check(place, day("2026-11-23"), &|_| {}).unwrap();
    assert!(words.starts_with("clerk of register:CN-T:0 by record "), "{words}");
    type Change = fn(&mut SignedLeaf);
    let lies: [(&str, u64, &str, Code, Change); 8] = [
        ("another role", place, "2026-11-23", Code::RoleNotAllowed, |leaf| leaf.role = Role::Supervisor),
        ("another agency", place, "2026-11-23", Code::RoleNotAllowed, |leaf| {
            leaf.agency = "register:CN-T:1".parse().unwrap();
        }),
        ("nobody's key", place, "2026-11-23", Code::UnknownAuthor, |leaf| {
            leaf.author = secret(14, 0).public();
        }),
        ("a validator's key", place, "2026-11-23", Code::UnknownAuthor, |leaf| {
            leaf.author = secret(3, 0).public();
        }),
        ("before its first day", place, "2025-12-31", Code::MemberSuspended, |_| {}),
        ("before it was a member", 3, "2026-11-23", Code::UnknownAuthor, |_| {}),
        ("a type that its agency may not file", place, "2026-11-23", Code::AgencyNotCompetent, |leaf| {
            if let Operation::Submit(header) = &mut leaf.operation {
                header.record_type = RecordType::Penalty;
            }
        }),
        ("a colleague's key", place, "2026-11-23", Code::RoleNotAllowed, |leaf| {
            leaf.author = secret(9, 0).public();
        }),
    ];
    for (what, place, on, code, change) in lies {
        assert_eq!(check(place, day(on), &change), Err(code), "{what}");
    }
}

/// The manifest of an export, of a registered type.
fn manifested() -> (Given, RecordId, u64) {
    let (chain, record) = Chain::manifested();
    let place = chain.ledger.leaves().iter().position(|leaf| leaf.record == Some(record)).unwrap();
    (Given::of(chain), record, place as u64)
}

#[test]
fn a_record_of_a_registered_type_holds_by_the_schema_of_its_type() {
    let (mut given, record, _) = manifested();
    for (held, told) in [(true, "held, equal to its commitment"), (false, "not held: erased or withheld")] {
        if !held {
            given.blocks[7].batches[0].submissions[0].bodies[0] = None;
        }
        for complete in [false, true] {
            let (report, result) = audited(&given, record, complete);
            result.unwrap();
            let document: serde_json::Value = serde_json::from_str(&report.document().unwrap()).unwrap();
            assert_eq!(
                (&document["status"], &document["steps"][0]["body"]),
                (&json!("effective"), &json!(told))
            );
        }
    }
}

#[test]
fn header_and_body_of_a_registered_type_are_judged_by_what_its_record_said_then() {
    let (given, record, place) = manifested();
    let sets = Sets::of(&given.chain.genesis);
    let trail = trail(&given, &sets, record);
    let rights = Rights::new(&trail, given.chain.genesis.chain_params());
    let types = Types::new(&trail, &rights);
    let check = |place: u64, day: &str, (operation, body, _): (Operation, Option<Body>, Option<Body>)| {
        let moment = Moment { height: Height::new(8), time_ms: 0, day: day.parse().unwrap() };
        code_of(types.check(place, moment, &operation, body.as_ref()))
    };
    let filed = |patch: serde_json::Value| given.chain.manifest(&patch);
    let changed = |change: fn(&mut Header)| {
        let mut filed = filed(json!({}));
        change(&mut filed.header);
        filed
    };
    let today = "2026-11-23";
    assert_eq!(check(place, today, filed(json!({})).submit()), Ok(()));
    let lies = [
        ("no file", filed(json!({ "files": [] })), Code::SchemaInvalid),
        ("a number that is none", filed(json!({ "withheld": -1 })), Code::BadNumber),
        ("a member too many", filed(json!({ "beside": 1 })), Code::UnknownField),
        (
            "a day in the header that the body does not name",
            changed(|header| header.decided_on = Some("2026-01-01".parse().unwrap())),
            Code::HeaderMismatch,
        ),
        (
            "a class that the type has not",
            changed(|header| header.class = Class::P1),
            Code::ClassNotPermitted,
        ),
        (
            "a subject that the type has not",
            changed(|header| header.subject_kind = SubjectKind::Thing),
            Code::SubjectKindNotPermitted,
        ),
        ("terms of another type", changed(|header| header.details = Details::None), Code::HeaderMismatch),
        ("a version that there is not", changed(|header| header.schema_version = 2), Code::SchemaNotInForce),
        (
            "a legal basis of another kind",
            changed(|header| header.legal_basis.as_mut().unwrap().id = "notice".into()),
            Code::TypeNotPermittedByBasis,
        ),
        ("another body", changed(|header| header.body_commit = None), Code::BodyCommitment),
    ];
    for (what, filed, code) in lies {
        assert_eq!(check(place, today, filed.submit()), Err(code), "{what}");
    }
    assert_eq!(
        check(place, "2025-12-31", filed(json!({})).submit()),
        Err(Code::SchemaNotInForce),
        "before its first day"
    );
    let of_type = |leaf: &AppendedLeaf| {
        Leaf::decode(&leaf.bytes).unwrap().header().is_some_and(|one| one.record_type == RecordType::Schema)
    };
    let laid_down = given.chain.ledger.leaves().iter().position(of_type).unwrap() as u64;
    assert_eq!(check(laid_down + 1, today, filed(json!({})).submit()), Ok(()));
    let before = check(laid_down, today, filed(json!({})).submit());
    assert_eq!(before, Err(Code::SchemaNotInForce), "before the type was there");
    // Suspended since, it takes no new records; those that it has may still be corrected.
    let after = given.leaves.len() as u64;
    assert_eq!(check(after, today, filed(json!({})).submit()), Err(Code::SchemaNotInForce));
    assert_eq!(check(after, today, filed(json!({})).amend(AmendReason::Clerical)), Ok(()));
}

/// The record of the first validator, which two acts in one block, or one, moved.
fn moved(acts: u64) -> (Given, RecordId) {
    let chain = Chain::recovered(acts);
    let known = chain_core::execute::validators(&chain.ledger).unwrap();
    let record = known.iter().find(|one| one.validator.name == "v0").unwrap().record;
    (Given::of(chain), record)
}

/// The leaves of the acts.
fn acts(given: &Given) -> Vec<usize> {
    let recover = |leaf: &Vec<u8>| matches!(Leaf::decode(leaf), Ok(Leaf::Recovery(_)));
    given.leaves.iter().enumerate().filter(|(_, leaf)| recover(leaf)).map(|(at, _)| at).collect()
}

#[test]
fn what_an_act_of_recovery_makes_of_a_validator_follows_from_the_act() {
    for acts in [1, 2] {
        let (given, record) = moved(acts);
        for complete in [false, true] {
            let (report, result) = audited(&given, record, complete);
            result.unwrap();
            let document: serde_json::Value = serde_json::from_str(&report.document().unwrap()).unwrap();
            assert_eq!(
                (&document["verdict"], &document["version"]),
                (&json!("PASS"), &json!(acts + 1)),
                "{document:#}"
            );
            let steps = document["steps"].as_array().unwrap();
            let told: Vec<(&str, u64)> = steps
                .iter()
                .map(|step| (step["operation"].as_str().unwrap(), step["version"].as_u64().unwrap()))
                .collect();
            let want = [("genesis", 1), ("recover", 2), ("recover", 3)];
            assert_eq!(told, want[..=usize::try_from(acts).unwrap()]);
            assert_eq!(steps[1]["authority"], "recovery keys safe-0, safe-2");
            assert_eq!(steps[1]["signature"], "holds");
        }
    }
    // Whom the act leaves as it was has no such step; the act itself is a record, too.
    let (given, _) = moved(1);
    let known = chain_core::execute::validators(&given.chain.ledger).unwrap();
    let act = Leaf::decode(&given.leaves[acts(&given)[0]]).unwrap().record().unwrap();
    for record in [known[1].record, act] {
        let (report, result) = audited(&given, record, true);
        result.unwrap();
        let document: serde_json::Value = serde_json::from_str(&report.document().unwrap()).unwrap();
        assert_eq!(document["steps"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn an_act_that_is_hidden_or_not_genuine_gives_a_validator_no_version() {
    for complete in [false, true] {
        let (mut given, record) = moved(1);
        given.hidden = acts(&given).iter().map(|at| *at as u64).collect();
        let finding = audited(&given, record, complete).1.expect_err("a hidden act");
        let code = if complete { Code::LeafMismatch } else { Code::StateMismatch };
        assert_eq!((finding.refusal.code, finding.grade), (code, Grade::Wrong), "{finding:?}");
    }
    // The quorum cosigns a log whose act the agencies did not sign, or one of another block.
    type Lie = fn(&mut RecoveryLeaf);
    let lies: [(&str, Code, Lie); 4] = [
        ("one signature of the two", Code::RecoveryInvalid, |leaf| leaf.recovery.signatures.truncate(1)),
        ("signed by others", Code::RecoveryInvalid, |leaf| {
            let act = &leaf.recovery.act;
            leaf.recovery.signatures = [0, 2].map(|ix| act.sign(&secret(4, ix))).to_vec();
        }),
        ("another address", Code::StateMismatch, |leaf| {
            let (epoch, mut set) =
                (leaf.recovery.act.next.epoch(), leaf.recovery.act.next.validators().to_vec());
            set[0].address = "/ip4/10.9.9.9/tcp/7101".to_owned();
            leaf.recovery.act.next = Committee::new(epoch, set).unwrap();
        }),
        ("dated anew", Code::LeafMismatch, |leaf| leaf.time_ms += 1),
    ];
    for (what, code, lie) in lies {
        let (mut given, record) = moved(1);
        let at = acts(&given)[0];
        changed(&mut given.leaves, at, |leaf| {
            if let Leaf::Recovery(leaf) = leaf {
                lie(leaf);
            }
        });
        given.cosign_lies();
        let finding = audited(&given, record, false).1.expect_err(what);
        assert_eq!(finding.refusal.code, code, "{what}: {finding:?}");
    }
    // A second leaf of the same act in a later block moves nothing: it is not the block that the act is of.
    let (mut given, record) = moved(1);
    let (first, places) = (given.leaves[acts(&given)[0]].clone(), given.leaves.len());
    let at =
        (0..places).rev().find(|at| matches!(Leaf::decode(&given.leaves[*at]), Ok(Leaf::Signed(_)))).unwrap();
    let (height, time_ms) = Leaf::decode(&given.leaves[at]).unwrap().moment();
    given.leaves[at] = first;
    changed(&mut given.leaves, at, |leaf| {
        if let Leaf::Recovery(leaf) = leaf {
            (leaf.height, leaf.time_ms) = (height, time_ms);
            leaf.recovery.signatures.clear();
        }
    });
    given.hidden = vec![acts(&given)[0] as u64];
    given.cosign_lies();
    let finding = audited(&given, record, false).1.expect_err("an act in another block");
    assert_eq!(finding.refusal.code, Code::RecoveryInvalid, "{finding:?}");
}
