//! The council of a cluster, which says who validates.

use std::process::Output;

use super::{Cluster, Node, done, said};

/// The keys of the council's members in the ring of a cluster.
#[derive(Debug)]
pub struct Council {
    keys: Vec<String>,
    agency: String,
}

impl Council {
    /// That of a cluster.
    ///
    /// # Panics
    /// When the ring cannot be read.
    pub fn of(cluster: &Cluster) -> Self {
        let keys = done(&cluster.city(&["key", "list", "-o", "json"]));
        let keys = keys["items"].as_array().into_iter().flatten();
        let keys = keys.filter(|key| key["role"] == "council_member");
        let keys = keys.map(|key| key["name"].as_str().unwrap_or_default().to_owned()).collect();
        Self { keys, agency: cluster.genesis.document().agencies[0].id.clone() }
    }

    /// Name of the member who proposes.
    pub fn first(&self) -> &str {
        &self.keys[0]
    }

    /// Names of the members who approve what the first one proposes, as many as it takes.
    ///
    /// # Panics
    /// When the ring has fewer.
    pub fn others(&self, cluster: &Cluster) -> &[String] {
        &self.keys[1..usize::from(cluster.genesis.document().council.threshold)]
    }

    /// Runs `city validator`.
    pub fn validator(&self, cluster: &Cluster, args: &[&str]) -> Output {
        cluster.city(&[&["validator"], args, &["-o", "json", "--timeout", "100s"]].concat())
    }

    /// Proposes a change and has the council approve it.
    ///
    /// # Panics
    /// When a command fails, or the change still waits afterwards.
    pub fn decide(&self, cluster: &Cluster, propose: &[&str]) {
        let filed =
            done(&self.validator(cluster, &[&["propose"], propose, &["--key", self.first()]].concat()));
        let record = filed["items"][0]["record"].as_str().unwrap_or_default().to_owned();
        let waits = || {
            let open = done(&self.validator(cluster, &["proposals"]));
            open["items"].as_array().into_iter().flatten().any(|row| row["record"] == record.as_str())
        };
        for key in self.others(cluster) {
            assert!(waits(), "{record} waits");
            done(&self.validator(cluster, &["approve", &record, "--key", key]));
        }
        assert!(!waits(), "{record} is decided");
    }

    /// Writes the proof of a validator's keys, for the first agency unless told otherwise; gives its file.
    ///
    /// # Panics
    /// When the command fails.
    pub fn prove(
        &self,
        cluster: &Cluster,
        (name, keys): (&str, &str),
        p2p_port: u16,
        agency: Option<&str>,
    ) -> String {
        let (file, address) = (format!("{keys}.json"), format!("/ip4/127.0.0.1/tcp/{p2p_port}"));
        let agency = agency.unwrap_or(&self.agency);
        let args =
            ["prove", name, "--keys-of", keys, "--agency", agency, "--address", &address, "--out", &file];
        done(&self.validator(cluster, &args));
        file
    }

    /// Waits until a node has said that it is ready and the ledger has taken its word.
    ///
    /// # Panics
    /// When it has not.
    pub fn ready(&self, cluster: &Cluster, node: &Node) {
        let word = self.validator(cluster, &["ready", &node.name, "--from", &node.url()]);
        assert!(word.status.success(), "{}", said(&word));
    }
}
