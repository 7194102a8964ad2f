//! Stores that are deleted, strangers, and networks that do not belong together.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use chain_core::api::Condition;
use chain_core::code::Code;
use chain_core::genesis::Genesis;
use city_node::network::stranger::{Treatment, knock};
use city_tests::cluster::clerk::{Officer, officers};
use city_tests::cluster::{Cluster, PATIENCE, http, run_city, wait_for};

fn clerk(cluster: &Cluster) -> Officer {
    officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0)
}

/// Files records through the first validator that takes them.
fn file(cluster: &Cluster, clerk: &Officer, name: &str, count: usize) {
    for number in 0..count {
        let key = format!("{name}-{number}");
        let submission = clerk.file(&key, &key);
        wait_for("a record filed", PATIENCE, || {
            let urls = cluster.nodes.iter().map(|node| node.url());
            urls.into_iter()
                .find_map(|url| http::submit(&url, &submission).ok().filter(|one| !one.outcomes.is_empty()))
        });
    }
}

#[test]
fn a_deleted_ledger_store_is_built_again_and_the_validator_votes() {
    let mut cluster = Cluster::up();
    let clerk = clerk(&cluster);
    file(&cluster, &clerk, "before", 5);
    cluster.nodes[2].kill();
    cluster.nodes[2].delete_ledger();
    file(&cluster, &clerk, "while-away", 5);
    let votes = cluster.nodes[2].recorded().len();
    cluster.nodes[2].start();
    cluster.wait_one_voting(2);
    file(&cluster, &clerk, "after", 3);
    cluster.wait_agreed();
    let since = cluster.nodes[2].recorded().split_off(votes);
    assert!(since.iter().any(|line| line.kind == "commit"), "it votes again");
    cluster.assert_clean();
}

#[test]
fn a_deleted_directory_makes_a_follower_that_signs_nothing_and_says_why() {
    let mut cluster = Cluster::up();
    let clerk = clerk(&cluster);
    file(&cluster, &clerk, "before", 5);
    cluster.nodes[3].kill();
    cluster.nodes[3].delete_data();
    // An empty directory is not taken for a new validator's.
    cluster.nodes[3].start();
    let status = cluster.nodes[3].ended_within(PATIENCE).expect("it refuses to start");
    assert!(!status.success());
    let said = cluster.nodes[3].log();
    assert!(said.contains("init"), "it says what to do: {said}");
    let init = cluster.nodes[3].run("init");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    let votes = cluster.nodes[3].recorded().len();
    cluster.nodes[3].start();
    file(&cluster, &clerk, "after", 5);
    let agreed = cluster.wait_agreed();
    assert!(agreed.log_size > 10);
    let status = cluster.nodes[3].status().unwrap();
    assert!(!status.voting);
    let why = status.not_voting_because.expect("a reason");
    assert_eq!(why.code, Code::SafetyLost, "{why}");
    // Nor after a restart, nor when its turn to lead would come.
    cluster.nodes[3].kill();
    cluster.nodes[3].start();
    let leader = cluster.leader().unwrap();
    cluster.nodes[leader].kill();
    cluster.nodes[leader].start();
    cluster.wait_one_voting(leader);
    file(&cluster, &clerk, "later", 5);
    cluster.wait_agreed();
    assert!(!cluster.nodes[3].status().unwrap().voting);
    let lines = cluster.nodes[3].recorded().split_off(votes);
    assert!(lines.is_empty(), "it signed {lines:?}");
    cluster.assert_clean();
}

/// The sample city's agencies by the validator they are at home at, the one that runs it first.
fn seats(draft: &toml::Table) -> Vec<(String, String, Vec<String>)> {
    let mut seats: Vec<(String, String, Vec<String>)> = Vec::new();
    let slug = |name: &str| name.to_ascii_lowercase().replace(" and ", "-").replace(' ', "-");
    for agency in draft["agency"].as_array().unwrap() {
        let field = |name: &str| agency[name].as_str().unwrap().to_owned();
        let (id, home) = (field("id"), field("home_validator"));
        match seats.iter_mut().find(|(name, ..)| *name == home) {
            Some((_, runner, all)) => {
                all.push(id.clone());
                if slug(&field("name_en")) == home {
                    *runner = id;
                }
            }
            None => seats.push((home, id.clone(), vec![id])),
        }
    }
    seats
}

#[test]
fn four_separately_made_parts_form_one_network() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_owned();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../genesis/example-city.toml");
    let draft = root.join("draft.toml");
    let run = |args: &[&str]| run_city(&root, args, &[], Stdio::null());
    run(&["genesis", "new", "--network", "four-parts", "--from", &text(&example), "--out", &text(&draft)]);
    let seats = seats(&toml::from_str(&std::fs::read_to_string(&draft).unwrap()).unwrap());
    assert_eq!(seats.len(), 4, "the sample city has four validators");
    let port = Cluster::free_ports();
    let mut parts = Vec::new();
    // Each agency alone, in a folder of its own, with a passphrase of its own.
    for (at, (name, agency, guests)) in (0_u16..).zip(&seats) {
        let home = root.join(name);
        std::fs::create_dir(&home).unwrap();
        secret(&home.join("passphrase"), &format!("the passphrase of {name}"));
        let address = format!("/ip4/127.0.0.1/tcp/{}", port + 10 * at + 1);
        let mut members = Vec::new();
        for guest in guests {
            for role in ["clerk", "supervisor", "agency_admin", "agency_admin"] {
                members.push(format!("--member={role}@{guest}"));
            }
        }
        members.push(format!("--member=council_member@{agency}"));
        let (draft, keys, passphrase) =
            (text(&draft), text(&home.join("keys")), text(&home.join("passphrase")));
        let part = text(&home.join("part.toml"));
        let mut args = vec![
            "--keys",
            &keys,
            "--passphrase-file",
            &passphrase,
            "genesis",
            "join",
            &draft,
            "--validator",
            name,
            "--agency",
            agency,
            "--address",
            &address,
            "--out",
            &part,
        ];
        args.extend(members.iter().map(String::as_str));
        run(&args);
        parts.push(part.clone());
    }
    let genesis = text(&root.join("genesis.toml"));
    let draft = text(&draft);
    let mut args = vec!["genesis", "assemble", &draft];
    args.extend(parts.iter().map(String::as_str));
    args.extend(["--out", &genesis]);
    run(&args);
    let signatures = text(&root.join("genesis.sigs"));
    for (name, ..) in &seats {
        let home = root.join(name);
        let (keys, passphrase) = (text(&home.join("keys")), text(&home.join("passphrase")));
        let key = format!("{name}-consensus");
        run(&[
            "--keys",
            &keys,
            "--passphrase-file",
            &passphrase,
            "genesis",
            "sign",
            &genesis,
            "--key",
            &key,
            "--signatures",
            &signatures,
        ]);
    }
    run(&["genesis", "verify", &genesis, "--signatures", &signatures]);
    let mut nodes = Vec::new();
    for (at, (name, ..)) in (0_u16..).zip(&seats) {
        let home = root.join(name);
        let api = port + 10 * at;
        secret(&home.join("vault.key"), &"5a".repeat(32));
        let config = format!(
            "genesis = \"../genesis.toml\"\ndata_dir = \"data\"\n\
             [keys]\nconsensus = \"keys/{name}-consensus.pem\"\nnetwork = \"keys/{name}-network.pem\"\n\
             log = \"keys/{name}-log.pem\"\npassphrase_file = \"passphrase\"\n\
             [p2p]\nlisten = \"/ip4/127.0.0.1/tcp/{}\"\n[api]\nlisten = \"127.0.0.1:{api}\"\n\
             [vault]\nkey = \"vault.key\"\n",
            api + 1
        );
        std::fs::write(home.join("node.toml"), config).unwrap();
        nodes.push((name.clone(), home, api));
    }
    let parsed = Genesis::parse(&std::fs::read_to_string(&genesis).unwrap()).unwrap();
    let mut cluster = Cluster::of(dir, nodes, parsed, root.join("keys"));
    for node in &cluster.nodes {
        let init = node.run("init");
        assert!(init.status.success(), "{}: {}", node.name, String::from_utf8_lossy(&init.stderr));
    }
    cluster.start_all();
    wait_for("a first block", PATIENCE, || (cluster.height() > 0).then_some(()));
    let agreed = cluster.wait_agreed();
    assert_eq!(agreed.chain_id, cluster.genesis.chain_id());
    cluster.assert_clean();
}

/// Writes a file that only its owner may read.
fn secret(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_stranger_is_refused_before_any_protocol() {
    let cluster = Cluster::up();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    for node in &cluster.nodes {
        let address = format!("/ip4/127.0.0.1/tcp/{}", node.p2p_port).parse().unwrap();
        let treatment = runtime.block_on(knock(address, Duration::from_secs(10)));
        assert_eq!(treatment, Treatment::RefusedBeforeProtocols, "{}", node.name);
    }
    cluster.assert_clean();
}

#[test]
fn a_node_with_another_genesis_is_refused_by_name_on_both_sides() {
    let mut cluster = Cluster::up();
    let clerk = clerk(&cluster);
    file(&cluster, &clerk, "before", 2);
    cluster.nodes[3].kill();
    // The same validators with the same keys, made a day later.
    let text = std::fs::read_to_string(cluster.genesis_file()).unwrap();
    let created = text.lines().find(|line| line.starts_with("created")).unwrap();
    let other = text.replace(created, "created = \"2025-01-01T00:00:00Z\"");
    assert_ne!(Genesis::parse(&other).unwrap().chain_id(), cluster.genesis.chain_id());
    std::fs::write(cluster.dir().join("net/other.toml"), other).unwrap();
    let config = std::fs::read_to_string(&cluster.nodes[3].config).unwrap();
    let config = config.replace("../genesis.toml", "../other.toml");
    std::fs::write(&cluster.nodes[3].config, &config).unwrap();
    // Its own data is of another chain: it does not even start.
    let check = cluster.nodes[3].run("start");
    let said = String::from_utf8_lossy(&check.stderr);
    assert_eq!(check.status.code(), Some(3), "{said}");
    assert!(said.contains("GENESIS_MISMATCH"), "{said}");
    // With fresh data it starts, and nobody talks to it.
    let config = config.replace("data_dir = \"data\"", "data_dir = \"other-data\"");
    std::fs::write(&cluster.nodes[3].config, config).unwrap();
    let init = cluster.nodes[3].run("init");
    assert!(init.status.success(), "{}", String::from_utf8_lossy(&init.stderr));
    cluster.nodes[3].start();
    let refused = |at: usize, of: Option<&str>| {
        let status = cluster.nodes[at].status()?;
        let peer = status.peers.into_iter().filter(|peer| of.is_none_or(|name| peer.name == name));
        let codes: Vec<Code> = peer.filter_map(|peer| peer.refused.map(|refusal| refusal.code)).collect();
        codes.contains(&Code::PeerOtherGenesis).then_some(())
    };
    wait_for("the odd one out to be told", PATIENCE, || refused(3, None));
    let name = cluster.nodes[3].name.clone();
    wait_for("the others to say whom they refuse", PATIENCE, || refused(0, Some(&name)));
    wait_for("the others to name it in their diagnosis", PATIENCE, || {
        let by = |at: usize| {
            let why = cluster.nodes[at].why()?;
            let state = why.validators.into_iter().find(|one| one.name == name)?.state;
            (why.progress && state == Condition::OtherChain).then_some(())
        };
        (0..3).all(|at| by(at).is_some()).then_some(())
    });
    let why = wait_for("the odd one out to see that it is alone", PATIENCE, || {
        cluster.nodes[3].why().filter(|why| why.verdict.contains("runs another genesis than this node"))
    });
    assert!(!why.progress && why.next.contains("city genesis hash"), "{why:?}");
    let status = cluster.nodes[3].status().unwrap();
    assert_eq!(status.committed.get(), 0, "it got no block");
    file(&cluster, &clerk, "after", 2);
    let log = cluster.nodes[0].log();
    assert!(log.contains("PEER_OTHER_GENESIS"), "the log says so, too");
}
