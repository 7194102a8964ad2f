//! `openssl` reads our key files and verifies our signatures: whoever runs a validator can open its keys without our
//! software, and a court needs none of it to see who signed.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

use std::io::Write as _;
use std::process::{Command, Stdio};

use chain_core::crypto::{Digest, SecretKey, Signable as _, Signature};
use chain_core::id::{ChainId, TxId};
use chain_core::keyfile::{self, KeyRole, Passphrase, Randomness, decrypt, development_plaintext, encrypt};
use chain_core::transaction::TransactionPreimage;

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

/// What stands before the 32 bytes of an Ed25519 key in a SubjectPublicKeyInfo (RFC 8410, section 10.1).
const SPKI_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

#[test]
fn openssl_verifies_what_we_sign_and_we_what_it_signs() {
    if !openssl("openssl_verifies_what_we_sign_and_we_what_it_signs") {
        return;
    }
    let secret = SecretKey::from_seed([11; 32]);
    let chain_id = ChainId::new(Digest::tagged(b"chain", &[]));
    let signed = TransactionPreimage { chain_id, id: TxId::new(Digest::tagged(b"transaction", &[])) };
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::write(path("key.pem"), development_plaintext(&secret, KeyRole::Member).as_bytes()).unwrap();
    std::fs::write(path("public.der"), [&SPKI_ED25519[..], secret.public().as_bytes()].concat()).unwrap();
    std::fs::write(path("message"), signed.preimage()).unwrap();
    let run = |args: &[&str]| {
        let output = Command::new("openssl").arg("pkeyutl").args(args).current_dir(directory.path()).output();
        output.unwrap().status.success()
    };
    let verify = ["-verify", "-pubin", "-keyform", "DER", "-inkey", "public.der", "-rawin", "-in", "message"];
    let verifies = |signature: &[u8]| {
        std::fs::write(path("signature"), signature).unwrap();
        run(&[&verify[..], &["-sigfile", "signature"]].concat())
    };
    let ours = secret.sign(&signed);
    assert!(verifies(ours.as_bytes()));
    for at in [0, 31, 32, 63] {
        let mut forged = *ours.as_bytes();
        forged[at] ^= 1;
        assert!(!verifies(&forged), "byte {at}");
    }
    std::fs::write(path("message"), [&signed.preimage()[..], b"."].concat()).unwrap();
    assert!(!verifies(ours.as_bytes()), "another message");

    std::fs::write(path("message"), signed.preimage()).unwrap();
    assert!(run(&["-sign", "-inkey", "key.pem", "-rawin", "-in", "message", "-out", "theirs"]));
    let theirs: [u8; 64] = std::fs::read(path("theirs")).unwrap().try_into().unwrap();
    assert!(secret.public().verify(&signed, &Signature::new(theirs)));
    assert_eq!(theirs, *ours.as_bytes(), "Ed25519 signatures are deterministic (RFC 8032)");
}
