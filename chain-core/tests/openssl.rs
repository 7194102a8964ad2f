//! `openssl pkey` reads our key files: whoever runs a validator can open its keys without our software.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use chain_core::crypto::SecretKey;
use chain_core::keyfile::{self, KeyRole, Passphrase, Randomness, decrypt, development_plaintext, encrypt};

const PASSPHRASE: &str = "correct horse battery";

/// Says on the real stderr, past the harness's capture, that a test could not run.
fn skipped(name: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "skipped: {name}: {why}");
}

fn openssl(name: &str) -> bool {
    let found = Command::new("openssl").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_ok_and(|status| status.success()) {
        return true;
    }
    skipped(name, "openssl is not installed");
    false
}

/// The public key that openssl reads out of a file: the last 32 bytes of its SubjectPublicKeyInfo.
fn public_by_openssl(text: &str, passphrase: &str) -> Result<Vec<u8>, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pem");
    std::fs::write(&path, text).unwrap();
    let output = Command::new("openssl")
        .args(["pkey", "-pubout", "-outform", "DER", "-passin", "env:KEY_PASSPHRASE", "-in"])
        .arg(&path)
        .env("KEY_PASSPHRASE", passphrase)
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    Ok(output.stdout[output.stdout.len() - 32..].to_vec())
}

#[test]
fn openssl_opens_an_encrypted_key_file() {
    if !openssl("openssl_opens_an_encrypted_key_file") {
        return;
    }
    let secret = SecretKey::from_seed([11; 32]);
    let passphrase = Passphrase::new(PASSPHRASE).unwrap();
    let randomness = Randomness::from_bytes([42; 32]);
    let text = encrypt(&secret, KeyRole::Log, &passphrase, randomness).unwrap();
    assert_eq!(public_by_openssl(&text, PASSPHRASE).unwrap(), secret.public().as_bytes());
    assert!(public_by_openssl(&text, "another phrase").is_err());
    let open = development_plaintext(&secret, KeyRole::Log);
    assert_eq!(public_by_openssl(&open, "").unwrap(), secret.public().as_bytes());
}

#[test]
fn we_open_what_openssl_wrote() {
    if !openssl("we_open_what_openssl_wrote") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    for kdf in [&["-scrypt"][..], &["-v2prf", "hmacWithSHA256", "-iter", "100000"]] {
        let plain = directory.path().join("plain.pem");
        let sealed = directory.path().join("sealed.pem");
        let made =
            Command::new("openssl").args(["genpkey", "-algorithm", "ed25519", "-out"]).arg(&plain).status();
        assert!(made.unwrap().success());
        let wrapped = Command::new("openssl")
            .args(["pkcs8", "-topk8", "-v2", "aes-256-cbc", "-passout", "env:KEY_PASSPHRASE"])
            .args(kdf)
            .arg("-in")
            .arg(&plain)
            .arg("-out")
            .arg(&sealed)
            .env("KEY_PASSPHRASE", PASSPHRASE)
            .status();
        assert!(wrapped.unwrap().success(), "{kdf:?}");
        let text = std::fs::read_to_string(&sealed).unwrap();
        let opened = decrypt(&text, KeyRole::Member, Some(&Passphrase::new(PASSPHRASE).unwrap())).unwrap();
        assert!(opened.encrypted && opened.role.is_none());
        assert_eq!(public_by_openssl(&text, PASSPHRASE).unwrap(), opened.secret.public().as_bytes());
        assert!(keyfile::label(&text).unwrap().encrypted);
    }
}
