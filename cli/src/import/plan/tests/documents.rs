//! Documents in the formats of others: real files, each row with what becomes of it.

use super::*;
use crate::export::{Published, cap, ocds, sheet};

/// A built-in mapping with more text, and without its area where `anywhere`.
fn adapted(name: &str, more: &str, anywhere: bool) -> Mapping {
    let (_, mut text) = Mapping::load(name).unwrap();
    if anywhere {
        let from = text.find("[area]").unwrap();
        let to = from + text[from..].find("\n\n").unwrap();
        text.replace_range(from..to, "");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("map.toml");
    std::fs::write(&path, text + more).unwrap();
    Mapping::load(path.to_str().unwrap()).unwrap().0
}

fn read(desk: &Desk, mapping: &Mapping, path: &std::path::Path) -> Judged {
    let source = Source::read(path, mapping, 480).unwrap();
    judged_by(desk, mapping, &source, false, Some(&desk.ring))
}

/// Outcome and notes of each row.
fn verdicts(judged: &Judged) -> Vec<String> {
    table(judged).into_iter().map(|(_, outcome, notes)| format!("{outcome} {notes}")).collect()
}

/// What the ledger makes of the good rows, filed by the first clerk one after the other.
fn filed(desk: &Desk, judged: Judged) -> Vec<String> {
    let sent = sign(&desk.ring, &desk.genesis, judged.ready, ("clerk", 1), 1, NOW_MS).unwrap();
    let named = execute(&desk.genesis, &sent).into_iter().map(|(_, outcome)| match outcome.verdict {
        Verdict::Accepted { .. } => "accept".to_owned(),
        Verdict::Refused(refusal) => refusal.code.name().to_owned(),
    });
    named.collect()
}

fn published(judged: &Judged) -> Vec<Published> {
    let of = |(ready, _): &(Ready, String)| Published {
        header: ready.operation.header().unwrap().clone(),
        body: serde_json::from_str(&ready.body.json).unwrap(),
    };
    judged.ready.iter().map(of).collect()
}

/// Geneva, whose example names no town.
const GENEVA: &str = r#"
[area]
south = "46.1"
north = "46.3"
west = "6.0"
east = "6.3"
"#;

#[test]
fn swapped_coordinates_are_caught_in_four_of_four_entities_and_only_there() {
    let test = "swapped_coordinates_are_caught_in_four_of_four_entities_and_only_there";
    let Some(folder) = data_of(test, "fiware") else { return };
    let desk = desk();
    let mapping = adapted("fiware", GENEVA, true);
    let swapped = ["ACMeasurement", "DeviceMeasurement", "Organization", "PrivacyObject"];
    for name in swapped {
        for form in ["example.json", "example-normalized.jsonld"] {
            let judged = read(&desk, &mapping, &folder.join(name).join(form));
            let [refused] = &judged.refused[..] else { panic!("{name}/{form}: {:?}", judged.refused) };
            assert_eq!((refused.row, refused.refusal.code), (1, Code::GeoOutOfArea), "{name}/{form}");
            assert!(refused.refusal.detail.ends_with("are swapped"), "{}", refused.refusal.detail);
            // The same entity with its coordinates in order is not refused for its place.
            let text = std::fs::read_to_string(folder.join(name).join(form)).unwrap();
            let mut entity: serde_json::Value = serde_json::from_str(&text).unwrap();
            let location = &mut entity["location"];
            let point = if location.get("value").is_some() { &mut location["value"] } else { location };
            point["coordinates"].as_array_mut().unwrap().reverse();
            let again = desk.ring.folder().join("again.json");
            std::fs::write(&again, entity.to_string()).unwrap();
            let judged = read(&desk, &mapping, &again);
            let codes: Vec<Code> = judged.refused.iter().map(|row| row.refusal.code).collect();
            assert!(!codes.contains(&Code::GeoOutOfArea), "{name}/{form}: {codes:?}");
        }
    }
    // The examples of other towns lie where they say.
    for name in [
        "AirQualityObserved",
        "EVChargingStation",
        "OffStreetParking",
        "TrafficFlowObserved",
        "WeatherObserved",
    ] {
        let judged = read(&desk, &mapping, &folder.join(name).join("example.json"));
        let out = judged.refused.iter().any(|row| row.refusal.code == Code::GeoOutOfArea);
        assert!(!out, "{name}: {:?}", judged.refused);
    }
    // London at 100 E is no swap, and lies elsewhere all the same.
    let london = read(&desk, &mapping, &folder.join("Building/example.json"));
    let refusal = &london.refused[0].refusal;
    assert!(refusal.code == Code::GeoOutOfArea && !refusal.detail.contains("swapped"), "{}", refusal.detail);
}

#[test]
fn entities_are_judged_as_listed() {
    let Some(folder) = data_of("entities_are_judged_as_listed", "fiware") else { return };
    let desk = desk();
    let mapping = adapted("fiware", "", true);
    let list = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/imports/fiware_expected.csv");
    let list = std::fs::read_to_string(list).unwrap();
    let mut got = "model,key_value,normalized\n".to_owned();
    let mut models: Vec<String> =
        list.lines().skip(1).map(|line| line.split(',').next().unwrap().to_owned()).collect();
    models.sort();
    for model in &models {
        let forms = ["example.json", "example-normalized.jsonld"];
        let cells =
            forms.map(|form| verdicts(&read(&desk, &mapping, &folder.join(model).join(form))).join("|"));
        got.push_str(&format!("{model},{},{}\n", cells[0].trim(), cells[1].trim()));
    }
    assert_eq!(got, list);
    assert_eq!(models.len(), 18);
    // What was found good, the ledger takes.
    let judged = read(&desk, &mapping, &folder.join("WeatherObserved/example.json"));
    let bytes = std::fs::read(folder.join("WeatherObserved/example.json")).unwrap();
    let body = published(&judged)[0].body.clone();
    assert_eq!(body["sha256"], serde_json::json!(Digest::tagged(b"", &[&bytes])));
    assert_eq!(filed(&desk, judged), ["accept"]);
}

#[test]
fn entities_about_persons_are_refused_and_the_file_is_named() {
    let desk = desk();
    let (mapping, _) = Mapping::load("fiware").unwrap();
    let folder = desk.ring.folder().join("entities");
    std::fs::create_dir_all(&folder).unwrap();
    let good = r#"{"id": "urn:a:1", "type": "NoiseLevelObserved", "name": "x"}"#;
    let others = [
        r#"{"id": "urn:a:2", "type": "Person"}"#.to_owned(),
        r#"{"id": "urn:a:3", "type": "Vehicle"}"#.to_owned(),
        good.replace("\"x\"", "\"ask wang@x.example\""),
        good.replace("\"x\"", "{\"a\": [\"11010519491231002X\"]}"),
        good.replace("name", "owner"),
        "{".to_owned(),
    ];
    std::fs::write(folder.join("a.json"), format!("[{good}, {}]", others[..5].join(", "))).unwrap();
    std::fs::write(folder.join("b.jsonld"), &others[5]).unwrap();
    let judged = read(&desk, &mapping, &folder);
    let want = [
        "accept ",
        "reject DATA_FORBIDDEN",
        "reject DATA_FORBIDDEN",
        "reject PERSONAL_DATA_IN_CLEAR",
        "reject NATURAL_PERSON_ID",
        "reject PERSONAL_DATA_IN_CLEAR",
        "reject MALFORMED_JSON",
    ];
    assert_eq!(verdicts(&judged), want);
    let details: Vec<&str> = judged.refused.iter().map(|row| row.refusal.detail.as_str()).collect();
    assert!(details[..5].iter().all(|detail| detail.starts_with("a.json: ")), "{details:?}");
    assert!(details[5].starts_with("b.jsonld: "), "{details:?}");
    let said = details.join("");
    assert!(!said.contains("wang") && !said.contains("1949"), "{said}");
}

#[test]
fn a_release_of_another_buyer_is_refused() {
    let Some(folder) = data_of("a_release_of_another_buyer_is_refused", "ocds") else { return };
    let desk = desk();
    let path = folder.join("ocds-213czf-000-00001-02-tender.json");
    for (buyers, want) in [
        ("[\"GB-LAC-E09000003\"]", "accept STRIP_PERSONAL"),
        ("[\"GB-LAC-E09000004\"]", "reject AGENCY_NOT_COMPETENT"),
    ] {
        let mapping = adapted("ocds", &format!("buyers = {buyers}\n"), false);
        assert_eq!(verdicts(&read(&desk, &mapping, &path)), [want]);
    }
}

#[test]
fn a_request_of_an_entity_becomes_a_service_request() {
    let Some(folder) = data_of("a_request_of_an_entity_becomes_a_service_request", "fiware") else { return };
    let desk = desk();
    let mapping = adapted("fiware-requests", "", true);
    let judged = read(&desk, &mapping, &folder.join("service_requests/example.json"));
    assert_eq!(verdicts(&judged), ["accept "], "{:?}", judged.refused);
    let other = read(&desk, &mapping, &folder.join("Alert/example.json"));
    assert_eq!(verdicts(&other), ["reject SCHEMA_INVALID"]);
}

/// The values of all points of contact of a document.
fn contacts(value: &serde_json::Value, found: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                if name == "contactPoint" {
                    let texts = member.as_object().into_iter().flat_map(|one| one.values());
                    found.extend(texts.filter_map(|text| text.as_str()).map(str::to_owned));
                } else {
                    contacts(member, found);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| contacts(item, found)),
        _ => {}
    }
}

#[test]
fn no_point_of_contact_of_the_real_package_is_in_what_is_sent() {
    let test = "no_point_of_contact_of_the_real_package_is_in_what_is_sent";
    let Some(folder) = data_of(test, "ocds/real") else { return };
    let desk = desk();
    let path = folder.join("release-package-1.json");
    let mapping = adapted("ocds", "scheme = \"MX-RFC\"\n", false);
    // The values that the copy had replaced are put back, each its own, so that every one of them is a canary.
    let text = std::fs::read_to_string(&path).unwrap();
    let mut count = 0;
    let mut planted = String::new();
    for part in text.split_inclusive('\n') {
        let mut line = part.to_owned();
        for stand_in in ["PERSON REMOVED", "removed@example.org", "000-0000"] {
            if line.contains(stand_in) {
                count += 1;
                line = line.replace(stand_in, &format!("canary-{count:02}@person.example"));
            }
        }
        planted.push_str(&line);
    }
    assert_eq!(count, 38, "contact values of the real package");
    let copy = desk.ring.folder().join("planted.json");
    std::fs::write(&copy, &planted).unwrap();
    let mut values = Vec::new();
    contacts(&serde_json::from_str(&planted).unwrap(), &mut values);
    assert!(values.iter().filter(|value| value.starts_with("canary-")).count() == 38);
    let judged = read(&desk, &mapping, &copy);
    assert_eq!(verdicts(&judged), ["accept STRIP_PERSONAL|NORMALISED_PREFIX"; 2], "{:?}", judged.refused);
    let sent = sign(&desk.ring, &desk.genesis, judged.ready, ("clerk", 1), 1, NOW_MS).unwrap();
    let holds = |value: &str| {
        let within = |bytes: Vec<u8>| bytes.windows(value.len()).any(|part| part == value.as_bytes());
        sent.iter().any(|sent| within(sent.bytes().unwrap()))
    };
    for value in values.iter().filter(|value| value.starts_with("canary-")) {
        assert!(!holds(value), "{value} would be sent");
    }
    // The search finds what is there: the title.
    assert!(holds("ARRENDAMIENTO DE BIENES"));
    // A contact that the title repeats is refused, not sent.
    let repeated = planted.replacen("ARRENDAMIENTO DE BIENES", "canary-01@person.example", 1);
    std::fs::write(&copy, repeated).unwrap();
    let judged = read(&desk, &mapping, &copy);
    assert_eq!(verdicts(&judged)[0], "reject PERSONAL_DATA_IN_CLEAR");
    assert!(!format!("{:?}", judged.refused).contains("canary"));
}

#[test]
fn the_stages_of_a_process_are_filed_in_order_and_wait_for_their_approval() {
    let test = "the_stages_of_a_process_are_filed_in_order_and_wait_for_their_approval";
    let Some(folder) = data_of(test, "ocds") else { return };
    let desk = desk();
    let mapping = adapted("ocds", "", false);
    let whole = desk.ring.folder().join("releases");
    std::fs::create_dir_all(&whole).unwrap();
    for stage in
        ["01-planning", "02-tender", "03-tenderAmendment", "04-award", "05-contract", "06-implementation"]
    {
        let name = format!("ocds-213czf-000-00001-{stage}.json");
        std::fs::copy(folder.join(&name), whole.join(&name)).unwrap();
    }
    let judged = read(&desk, &mapping, &whole);
    let want = [
        "accept STRIP_PERSONAL",
        "accept STRIP_PERSONAL",
        "accept STRIP_PERSONAL",
        "accept STRIP_PERSONAL",
        "reject RELEASE_ORDER",
        "reject RELEASE_ORDER",
    ];
    assert_eq!(verdicts(&judged), want, "{:?}", judged.refused);
    // One clerk alone does not lead a procurement from the tender to the award.
    assert_eq!(filed(&desk, judged), ["accept", "accept", "accept", "SAME_PERSON"]);
    let record = read(&desk, &mapping, &folder.join("record-ocds-213czf-000-00001.json"));
    assert!(
        record.ready.is_empty() && record.refused.iter().all(|row| row.refusal.code == Code::MissingField)
    );
}

#[test]
fn exported_releases_are_read_as_the_same_records() {
    let Some(folder) = data_of("exported_releases_are_read_as_the_same_records", "ocds") else { return };
    let desk = desk();
    let mapping = adapted("ocds", "", false);
    for stage in ["01-planning", "02-tender", "04-award", "05-contract", "06-implementation"] {
        let path = folder.join(format!("ocds-213czf-000-00001-{stage}.json"));
        let with_method = adapted("ocds", "method = \"open\"\n", false);
        let before = published(&read(&desk, &with_method, &path));
        let publisher = ocds::Publisher {
            name: "example-city",
            uri: "urn:x".to_owned(),
            published: "2026-11-23T10:00:00+08:00".to_owned(),
            name_of: &|_| None,
        };
        let package = ocds::package(&before, &publisher).unwrap();
        let copy = desk.ring.folder().join("exported.json");
        std::fs::write(&copy, package.to_string()).unwrap();
        let after = published(&read(&desk, &mapping, &copy));
        let said = |record: &Published| {
            let mut body = record.body.as_object().unwrap().clone();
            body.remove("package");
            body
        };
        assert_eq!(before.len(), 1, "{stage}");
        assert_eq!(before.iter().map(said).collect::<Vec<_>>(), after.iter().map(said).collect::<Vec<_>>());
    }
}

#[test]
fn alerts_of_others_are_judged_as_listed_and_our_own_comes_back_as_it_went() {
    let test = "alerts_of_others_are_judged_as_listed_and_our_own_comes_back_as_it_went";
    let Some(folder) = data_of(test, "cap") else { return };
    let desk = desk();
    let anywhere = adapted("cap", "", true);
    let here = adapted("cap", "", false);
    for (name, anyhow, in_area) in [
        // The same language twice.
        ("australia.cap", "reject SCHEMA_INVALID", "reject GEO_OUT_OF_AREA"),
        // Its times end before they begin for the city's day, or it is good: see the list.
        ("canada.cap", "accept LEFT_OUT", "reject GEO_OUT_OF_AREA"),
        // CAP 1.1, without instruction and level.
        ("earthquake.cap", "reject MISSING_FIELD", "reject GEO_OUT_OF_AREA"),
    ] {
        for (mapping, want) in [(&anywhere, anyhow), (&here, in_area)] {
            let judged = read(&desk, mapping, &folder.join(name));
            assert_eq!(verdicts(&judged), [want], "{name}: {:?}", judged.refused);
        }
    }
    let judged = read(&desk, &anywhere, &folder.join("canada.cap"));
    let before = published(&judged);
    let mut alone = before.clone();
    for record in &mut alone {
        // What it updates is not among the records here.
        let body = record.body.as_object_mut().unwrap();
        body.remove("references");
        body.insert("msg_type".to_owned(), "alert".into());
    }
    let alerts = cap::alerts(&alone, &[], 480).unwrap();
    let path = desk.ring.folder().join(&alerts[0].0);
    std::fs::write(&path, &alerts[0].1).unwrap();
    let after = published(&read(&desk, &anywhere, &path));
    assert_eq!(after[0].body, alone[0].body);
    assert!(cap::alerts(&before, &[], 480).unwrap_err().code == Code::NotFound);
}

#[test]
fn a_feed_becomes_one_record_with_the_digests_of_its_files() {
    let test = "a_feed_becomes_one_record_with_the_digests_of_its_files";
    let Some(folder) = data_of(test, "gtfs/sample-feed-1") else { return };
    let desk = desk();
    let judged = read(&desk, &adapted("gtfs", "", false), &folder);
    assert_eq!(verdicts(&judged), ["reject GEO_OUT_OF_AREA"], "the sample lies in Nevada");
    let anywhere = adapted("gtfs", "", true);
    let judged = read(&desk, &anywhere, &folder);
    assert_eq!(verdicts(&judged), ["accept "], "{:?}", judged.refused);
    let body = published(&judged)[0].body.clone();
    assert_eq!(
        [&body["routes"], &body["stops"], &body["trips"]].map(|count| count.as_u64()),
        [Some(5), Some(9), Some(11)]
    );
    assert_eq!((&body["valid_from"], &body["valid_to"]), (&"2007-01-01".into(), &"2010-12-31".into()));
    // The archive that agencies publish gives the record that its files give.
    let archive = desk.ring.folder().join("feed.zip");
    let mut writer = zip::ZipWriter::new(std::fs::File::create(&archive).unwrap());
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        writer.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        std::io::copy(&mut std::fs::File::open(&path).unwrap(), &mut writer).unwrap();
    }
    writer.finish().unwrap();
    let packed = read(&desk, &anywhere, &archive);
    assert_eq!(verdicts(&packed), ["accept "], "{:?}", packed.refused);
    assert_eq!(published(&packed)[0].body["feed"], body["feed"]);
    // A trip of no route, and a feed without its stops.
    let copy = desk.ring.folder().join("feed");
    std::fs::create_dir_all(&copy).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let trips = std::fs::read_to_string(copy.join("trips.txt")).unwrap();
    std::fs::write(copy.join("trips.txt"), format!("{}\nGONE,FULLW,T99\n", trips.trim_end())).unwrap();
    assert_eq!(verdicts(&read(&desk, &anywhere, &copy)), ["reject SCHEMA_INVALID"]);
    std::fs::remove_file(copy.join("stops.txt")).unwrap();
    assert_eq!(verdicts(&read(&desk, &anywhere, &copy)), ["reject MISSING_FIELD"]);
}

#[test]
fn licences_and_penalties_are_written_as_the_cells_that_they_were_read_from() {
    let test = "licences_and_penalties_are_written_as_the_cells_that_they_were_read_from";
    let Some(folder) = data(test) else { return };
    let desk = desk();
    let mut compared = 0;
    for name in ["licences", "penalties"] {
        let (mapping, _) = Mapping::load(name).unwrap();
        let source = Sheet::read(&folder.join(format!("{name}.csv"))).unwrap();
        let mut judged = judged(&desk, name, &source, false, Some(&desk.ring));
        judged.ready.retain(|(ready, _)| ready.class.body_is_shared());
        let names = sheet::Names { title_of: &|_| None, name_of: &|_| None };
        let text = sheet::csv(&published(&judged), &mapping, &names).unwrap();
        let written = Sheet::parse("written", text.as_bytes()).unwrap();
        assert!(source.headings().eq(written.headings()), "{name}");
        assert_eq!(written.len(), judged.ready.len());
        for ((ready, _), row) in judged.ready.iter().zip(written.rows()) {
            let original = source.rows().nth(usize::try_from(ready.row).unwrap() - 1).unwrap();
            let read = [original, row].map(|row| {
                let mapped = mapping.map(row, false).unwrap();
                format!(
                    "{:?} {:?} {:?} {:?}",
                    mapped.authority, mapped.subject, mapped.basis_title, mapped.fields
                )
            });
            assert_eq!(read[0], read[1], "{name} row {}", ready.row);
            compared += 1;
        }
    }
    assert!(compared > 40, "{compared} rows");
}

#[test]
fn health_documents_become_a_root_that_only_a_gateway_files() {
    let Some(folder) = data_of("health_documents_become_a_root_that_only_a_gateway_files", "fhir") else {
        return;
    };
    let desk = desk();
    let (mapping, _) = Mapping::load("fhir").unwrap();
    let source = Source::read(&folder, &mapping, 480).unwrap();
    // The organisation is of no day, so of today.
    let judged = judged_by(&desk, &mapping, &source, false, None);
    assert_eq!(verdicts(&judged), ["accept ", "accept "], "{:?}", judged.refused);
    let (ready, _) = &judged.ready[0];
    let header = ready.operation.header().unwrap();
    assert!(!ready.class.body_is_shared() && header.natural_key.is_none() && header.subject_commit.is_none());
    let with_gateway = judged_by(&desk, &mapping, &source, false, Some(&desk.ring));
    assert_eq!(verdicts(&with_gateway), ["accept ", "accept "]);
    let health = "uscc:11320100MAXWCL3B8Y";
    let locked = judged_by(&desk, &mapping, &source, false, Some(&ring_without(&desk, health, "gateway")));
    assert_eq!(verdicts(&locked), ["reject NO_KEY_FOR_AUTHORITY"; 2]);
}
