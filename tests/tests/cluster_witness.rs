//! A witness that is not ours (PyPI aics-witness) cosigns the record log of a running network, again and again, and never a
//! log that forgot what it showed before, even when a quorum of validators signs it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use chain_core::api::Problem;
use chain_core::checkpoint::{SignedCheckpoint, VerifierKey};
use chain_core::code::{Code, Refusal};
use chain_core::crypto::SecretKey;
use chain_core::merkle::Tree;
use chain_core::merkle::tile::Tile;
use chain_core::trust::TrustPolicy;
use city_tests::cluster::clerk::officers;
use city_tests::cluster::forger::another_log;
use city_tests::cluster::{Cluster, done, http, said, wait_for};
use city_tests::python::judges;
use city_tests::skip;
use serde_json::Value;

/// Longest wait for a step.
const PATIENCE: Duration = Duration::from_secs(60);
const NAME: &str = "witness.example/w1";

/// The witness's process, and its key.
struct Witness {
    child: Child,
    url: String,
    key: VerifierKey,
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Witness {
    /// A witness that knows the logs of a policy.
    fn up(python: &Path, folder: &Path, policy: &TrustPolicy) -> Self {
        let config = folder.join("witness.json");
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let listen = format!("127.0.0.1:{port}");
        let run = |args: &[&str]| {
            let mut command = Command::new(python);
            command.args(["-m", "aics_witness", args[0], "--config"]).arg(&config).args(&args[1..]);
            command
        };
        let made = run(&["init", "--name", NAME, "--listen", &listen]).output().unwrap();
        assert!(made.status.success(), "{}", said(&made));
        let key = said(&made);
        let key = key.split_whitespace().find(|word| word.starts_with(&format!("{NAME}+"))).unwrap();
        for log in policy.logs() {
            let added = run(&["add-log", "--origin", policy.origin(), "--vkey", &log.to_string()]).output();
            let added = added.unwrap();
            assert!(added.status.success(), "{}", said(&added));
        }
        let child = run(&["serve"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let (url, key) = (format!("http://{listen}"), key.parse().unwrap());
        let witness = Self { child: child.unwrap(), url, key };
        wait_for("the witness answers", PATIENCE, || http::bytes(&format!("{}/healthz", witness.url)));
        witness
    }
}

fn file(cluster: &Cluster, name: &str, count: u32) {
    let clerk = officers(&cluster.genesis, &cluster.keys, "clerk", 1).remove(0);
    let one = |at: u32| {
        let (operation, body, _) = clerk.filing(&format!("{name}-{at}"), &at.to_string()).submit();
        (operation, body)
    };
    http::submit(&cluster.nodes[0].url(), &clerk.sign((0..count).map(one).collect())).unwrap();
    cluster.wait_agreed();
}

/// Leaves in the checkpoint that the witnesses cosigned.
fn size(path: &Path) -> u64 {
    SignedCheckpoint::parse(&std::fs::read_to_string(path).unwrap()).unwrap().checkpoint.size
}

fn row(output: &Output) -> Value {
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(output)));
    report["items"][0].clone()
}

/// A node that serves another log under the same name and the validators' own keys, until the test ends.
fn liar(tree: Tree, note: String) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tree, note) = (Arc::new(tree), Arc::new(note));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (tree, note) = (Arc::clone(&tree), Arc::clone(&note));
            std::thread::spawn(move || answer(stream, &tree, &note));
        }
    });
    url
}

fn answer(mut stream: TcpStream, tree: &Tree, note: &str) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().and_then(Result::ok).unwrap_or_default();
    while lines.next().and_then(Result::ok).is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
    let body = match path.as_str() {
        "checkpoint" => Some(note.as_bytes().to_vec()),
        _ => Tile::from_path(&path).map(|tile| tile.read(tree).unwrap_or_else(|never| match never {})),
    };
    let absent = || {
        let refusal = Refusal::new(Code::NotFound, path.clone());
        serde_json::to_vec(&Problem::new(404, &refusal)).unwrap()
    };
    let (status, body) = body.map_or_else(|| ("404 Not Found", absent()), |body| ("200 OK", body));
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

#[test]
fn an_outside_witness_cosigns_the_log_and_never_another_history() {
    let python: PathBuf = match judges() {
        Ok(python) => python,
        Err(why) => {
            return skip(
                "cluster_witness::an_outside_witness_cosigns_the_log_and_never_another_history",
                &why,
            );
        }
    };
    let cluster = Cluster::up();
    let policy = TrustPolicy::from_genesis(&cluster.genesis);
    let witness = Witness::up(&python, cluster.dir(), &policy);
    let list = cluster.dir().join("witnesses.txt");
    std::fs::write(&list, format!("# outside\nwitness w1 {} {}/\n", witness.key, witness.url)).unwrap();
    let (list, out) = (list.to_string_lossy().into_owned(), cluster.dir().join("witnessed"));
    let submit = |more: &[&str]| {
        let out = out.to_string_lossy();
        let args = [&["witness", "submit", "--witnesses", &list, "--out", &out, "-o", "json"][..], more];
        cluster.city(&args.concat())
    };
    file(&cluster, "first", 20);
    assert_eq!(row(&submit(&[]))["verdict"], "COSIGNED");
    let first = size(&out);
    // From there to a longer log, past a whole tile, and again without what was kept.
    file(&cluster, "second", 300);
    let later = wait_for("a longer checkpoint", PATIENCE, || {
        done(&submit(&[]));
        Some(size(&out)).filter(|size| *size > first + 300)
    });
    std::fs::remove_file(&out).unwrap();
    assert_eq!(row(&submit(&[]))["verdict"], "COSIGNED");
    assert!(size(&out) >= later);
    // Its line is good for whoever wants validators and witness.
    let text = policy.to_text().replace("quorum validators\n", "");
    let both = format!("{text}witness w1 {}\ngroup both all validators w1\nquorum both\n", witness.key);
    let both = TrustPolicy::parse(&both).unwrap();
    let witnessed = SignedCheckpoint::parse(&std::fs::read_to_string(&out).unwrap()).unwrap();
    assert!(both.verify(&witnessed).unwrap().iter().any(|one| one.name == NAME));
    let plain = String::from_utf8(http::bytes(&format!("{}/checkpoint", cluster.nodes[0].url())).unwrap());
    assert!(both.verify(&SignedCheckpoint::parse(&plain.unwrap()).unwrap()).is_err());

    // Every validator signs another log, longer than the one that the witness saw.
    let (tree, signed) = another_log(&cluster, later + 500);
    policy.verify(&signed).unwrap();
    let before = std::fs::read(&out).unwrap();
    let url = liar(tree, signed.to_text());
    let refused = submit(&["--node", &url]);
    assert_eq!(refused.status.code(), Some(12), "{}", said(&refused));
    assert!(said(&refused).contains("HISTORY_ALTERED"), "{}", said(&refused));
    assert_eq!(std::fs::read(&out).unwrap(), before, "what was witnessed stays");
    // The true log goes on.
    file(&cluster, "third", 5);
    assert_eq!(row(&submit(&[]))["verdict"], "COSIGNED");

    // A key that is not the witness's, and a witness that is not there.
    let stranger = VerifierKey::cosigner(NAME, SecretKey::from_seed([9; 32]).public());
    let strangers = cluster.dir().join("strangers.txt");
    std::fs::write(&strangers, format!("witness w1 {stranger} {}\n", witness.url)).unwrap();
    let refused = cluster.city(&["witness", "submit", "--witnesses", &strangers.to_string_lossy()]);
    assert!(said(&refused).contains("no cosignature of its key"), "{}", said(&refused));
    std::fs::write(&strangers, format!("witness w1 {} http://127.0.0.1:9\n", witness.key)).unwrap();
    let refused = cluster.city(&["witness", "submit", "--witnesses", &strangers.to_string_lossy()]);
    assert!(said(&refused).contains("UNREACHABLE"), "{}", said(&refused));
    std::fs::write(&strangers, "log nothing\n").unwrap();
    let refused = cluster.city(&["witness", "submit", "--witnesses", &strangers.to_string_lossy()]);
    assert!(said(&refused).contains("names no witness"), "{}", said(&refused));
    cluster.assert_clean();
}
