//! Validators that all lie: what even a quorum cannot make anybody forget.

use chain_core::checkpoint::{Checkpoint, SignedCheckpoint};
use chain_core::committee::Validator;
use chain_core::crypto::SecretKey;
use chain_core::genesis::KeyRole;
use chain_core::keyfile::{Passphrase, decrypt};
use chain_core::merkle::Tree;
use chain_core::trust::TrustPolicy;

use super::Cluster;
use super::clerk::now_ms;

/// Another record log of so many leaves under the name of the true one, whose checkpoint every validator signed.
pub fn another_log(cluster: &Cluster, size: u64) -> (Tree, SignedCheckpoint) {
    let tree = Tree::from_leaves((0..size).map(|at| format!("another act {at}").into_bytes()));
    let policy = TrustPolicy::from_genesis(&cluster.genesis);
    let checkpoint = Checkpoint { origin: policy.origin().to_owned(), size: tree.size(), root: tree.root() };
    let keys = log_keys(cluster);
    let mut lines = vec![checkpoint.sign(&keys[0].1)];
    let time_s = now_ms() / 1_000;
    lines.extend(keys.iter().map(|(name, key)| checkpoint.cosign(time_s, key).line(name, &key.public())));
    (tree, SignedCheckpoint { checkpoint, lines })
}

/// The log key of every validator, by its name.
fn log_keys(cluster: &Cluster) -> Vec<(String, SecretKey)> {
    let passphrase = std::fs::read_to_string(cluster.keys.join("passphrase")).ok();
    let passphrase = passphrase
        .map(|text| Passphrase::new(text.trim_end().to_owned()).expect("the passphrase of a test city"));
    let key_of = |validator: &Validator| {
        let text = std::fs::read_to_string(cluster.keys.join(format!("{}-log.pem", validator.name)))
            .expect("a log key");
        (validator.name.clone(), decrypt(&text, KeyRole::Log, passphrase.as_ref()).expect("a log key").secret)
    };
    cluster.genesis.committee().validators().iter().map(key_of).collect()
}
