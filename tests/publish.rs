//! `ister publish`, and `ister verify` of published files: only images with valid receipts are published, under valid
//! names and with valid signatures. Images in these tests are a few bytes with matching receipts. The boot tests
//! publish real images.

use crate::common::tools::{host_program, tool};
use crate::common::{ister, need_tools, text};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    text(&output.stdout).split_whitespace().next().unwrap().to_owned()
}

/// Creates a directory with `kvm.img`, its plan and its receipt.
fn built(directory: &Path) -> PathBuf {
    std::fs::create_dir_all(directory).unwrap();
    let plan = ister(&["plan", "vm-tests/kvm/template.json", "--set", "Formats=[]", "--format", "json"]);
    let plan = { plan }.output().unwrap();
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    std::fs::write(directory.join("kvm.img.plan.json"), &plan.stdout).unwrap();
    let image = directory.join("kvm.img");
    std::fs::write(&image, "these bytes have booted").unwrap();
    let receipt = json!({
        "version": 5, "image": "kvm.img", "format": "raw", "size": 23, "sha256": sha256(&image), "ister": "0.1.0",
        "emulator": "QEMU", "firmware": { "path": "/home/me/code.fd", "sha256": "f" },
        "verdict": {
            "version": 1, "image": "kvm.img", "outcome": "reached", "firmware": "uefi", "accelerator": "tcg",
            "accelerator_reason": "asked for", "hardware": {}, "class": "login-prompt", "stage": "login",
            "stages": [], "seconds": 1.0, "lines": [], "serial_log": "/home/me/serial.log", "earlier": [{
                "class": "emulator-failed", "stage": "init", "stages": [], "seconds": 1.0, "lines": ["qemu /home/me/kvm.img"],
            }],
        },
    });
    std::fs::write(directory.join("kvm.img.receipt.json"), receipt.to_string()).unwrap();
    image
}

fn change(receipt: &Path, what: &dyn Fn(&mut Value)) {
    let mut value: Value = serde_json::from_str(&std::fs::read_to_string(receipt).unwrap()).unwrap();
    what(&mut value);
    std::fs::write(receipt, value.to_string()).unwrap();
}

fn only_files_with_a_valid_receipt_are_published() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    let image = built(&at("built"));
    let publish = |to: &str| {
        ister(&["publish", "--prefix", "clear"]).arg(at("built")).arg("-o").arg(at(to)).output().unwrap()
    };
    let output = publish("public");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let published = at("public").join("clear-bookworm-kvm.img");
    assert_eq!(std::fs::read_to_string(&published).unwrap(), "these bytes have booted");
    let receipt: Value = serde_json::from_str(
        &std::fs::read_to_string(at("public/clear-bookworm-kvm.img.receipt.json")).unwrap(),
    )
    .unwrap();
    assert_eq!(receipt["image"], "clear-bookworm-kvm.img");
    let verdict = &receipt["verdict"];
    assert_eq!((&verdict["image"], &verdict["serial_log"]), (&receipt["image"], &Value::Null));
    assert_eq!(
        (&receipt["firmware"]["path"], &verdict["earlier"][0]["lines"]),
        (&json!("code.fd"), &json!([]))
    );
    assert_eq!(receipt["sha256"], sha256(&published));

    let path = at("built/kvm.img.receipt.json");
    let good = std::fs::read_to_string(&path).unwrap();
    let power_off = |value: &mut Value| value["verdict"]["class"] = json!("powered-off");
    let version = |value: &mut Value| value["version"] = json!(99);
    let other = |value: &mut Value| value["image"] = json!("other.img");
    for (changed, expected) in [
        (&power_off as &dyn Fn(&mut Value), "did not reach the login prompt"),
        (&version, "the receipt has version 99"),
        (&other, "the receipt is for `other.img`"),
    ] {
        std::fs::write(&path, &good).unwrap();
        change(&path, changed);
        let output = publish("refused");
        assert_eq!(output.status.code(), Some(3));
        assert!(text(&output.stderr).contains(expected), "{expected}: {}", text(&output.stderr));
    }
    std::fs::write(&path, &good).unwrap();
    std::fs::write(&image, "these bytes have NOT").unwrap();
    let output = publish("refused");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("the image has changed"), "{}", text(&output.stderr));
    assert!(!at("refused").exists());
}

fn duplicate_and_unsafe_names_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    built(&at("one"));
    built(&at("two"));
    let refused = |args: &[&str], expected: &str| {
        let output = ister(&["publish", "-o", "public/deep"])
            .args(args)
            .current_dir(directory.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(expected), "{expected}: {}", text(&output.stderr));
        assert!(!at("public").exists());
    };
    refused(&["one", "two"], "would both be published as `kvm.img`");
    for prefix in ["sub/x", ".x", "a\nb", "\u{1b}[2K"] {
        refused(&["one", "--prefix", prefix], "invalid file name");
    }
    let plan = at("two/kvm.img.plan.json");
    let text = std::fs::read_to_string(&plan).unwrap().replace("\"kvm.img\"", "\"../one/kvm.img\"");
    std::fs::write(&plan, &text).unwrap();
    refused(&["two"], "invalid file name `../one/kvm.img`");
    std::fs::write(&plan, &text[..text.len() / 2]).unwrap();
    refused(&["two"], "is not a plan");
}

fn concurrent_publishing_lists_all_files() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    built(&at("built"));
    let prefixes = ["a", "b", "c", "d", "e", "f"];
    let running = prefixes.map(|prefix| {
        ister(&["publish", "-q", "--prefix", prefix])
            .arg(at("built"))
            .arg("-o")
            .arg(at("public"))
            .spawn()
            .unwrap()
    });
    for mut process in running {
        assert!(process.wait().unwrap().success());
    }
    let list = std::fs::read_to_string(at("public/SHA512SUMS")).unwrap();
    let names: Vec<&str> = list.lines().filter_map(|line| line.split("  ").nth(1)).collect();
    assert_eq!(names, prefixes.map(|prefix| format!("{prefix}-bookworm-kvm.img")));
}

/// gpg with a separate home directory.
struct Keys {
    home: tempfile::TempDir,
}

impl Keys {
    fn gpg(&self, args: &[&str]) -> String {
        let output = Command::new("gpg")
            .env("GNUPGHOME", self.home.path())
            .args(["--batch", "--yes", "--quiet", "--pinentry-mode", "loopback", "--passphrase", ""])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "gpg {args:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Exports a public key to a file.
    fn exported(&self, name: &str, directory: &Path) -> PathBuf {
        let path = directory.join(format!("{name}.asc"));
        std::fs::write(&path, self.gpg(&["--armor", "--export", name])).unwrap();
        path
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _ =
            Command::new("gpgconf").arg("--homedir").arg(self.home.path()).args(["--kill", "all"]).output();
    }
}

fn invalid_keys_and_signatures_are_rejected() {
    need_tools(&["gpg", "gpgconf"]);
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    built(&at("built"));
    let keys = Keys { home: tempfile::tempdir().unwrap() };
    keys.gpg(&["--quick-gen-key", "good@example.org", "ed25519", "sign", "1d"]);
    keys.gpg(&[
        "--faked-system-time",
        "20200101T000000",
        "--quick-gen-key",
        "old@example.org",
        "ed25519",
        "sign",
        "1d",
    ]);
    let publish = |key: &str, to: &str| -> Output {
        ister(&["publish", "--sign", key])
            .arg(at("built"))
            .arg("-o")
            .arg(at(to))
            .env("GNUPGHOME", keys.home.path())
            .output()
            .unwrap()
    };
    for key in ["old@example.org", "nobody@example.org"] {
        let output = publish(key, "none");
        assert_eq!(output.status.code(), Some(3), "{key}");
        assert!(text(&output.stderr).contains("could not sign"), "{}", text(&output.stderr));
        assert!(!at("none").exists(), "published although {key} cannot sign");
    }
    let output = publish("good@example.org", "public");
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));

    // An entry added by someone else is not signed.
    let list = at("public/SHA512SUMS");
    let before = std::fs::read_to_string(&list).unwrap();
    std::fs::write(&list, format!("{before}{}  evil.img\n", "ab".repeat(64))).unwrap();
    let output = publish("good@example.org", "public");
    assert_eq!(output.status.code(), Some(3));
    let expected = "is not signed by `good@example.org`: the signature does not match the list";
    assert!(text(&output.stderr).contains(expected), "{}", text(&output.stderr));
    // A list signed with a different key of the same name is not signed again.
    let others = Keys { home: tempfile::tempdir().unwrap() };
    others.gpg(&["--quick-gen-key", "good@example.org", "ed25519", "sign", "1d"]);
    keys.gpg(&["--import", others.exported("good@example.org", directory.path()).to_str().unwrap()]);
    let (signature, path) = (at("public/SHA512SUMS.asc"), list.to_str().unwrap());
    let own = std::fs::read(&signature).unwrap();
    others.gpg(&["--armor", "--output", signature.to_str().unwrap(), "--detach-sign", path]);
    let output = publish("good@example.org", "public");
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("the signature is by the key "), "{}", text(&output.stderr));
    std::fs::write(&list, before).unwrap();
    std::fs::write(&signature, own).unwrap();

    let verify = |by: &Path| {
        ister(&["verify"]).arg(at("public/SHA512SUMS")).arg("--signed-by").arg(by).output().unwrap()
    };
    let good = keys.exported("good@example.org", directory.path());
    assert_eq!(verify(&good).status.code(), Some(0), "{}", text(&verify(&good).stdout));
    let expect_finding = |by: &Path, what: &str| {
        let output = verify(by);
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        assert!(text(&output.stdout).contains(what), "{}", text(&output.stdout));
    };
    expect_finding(
        &keys.exported("old@example.org", directory.path()),
        "the key of the signature is not in the keyring",
    );
    let nothing = verify(&at("typo.asc"));
    assert_eq!(nothing.status.code(), Some(3));
    assert!(text(&nothing.stderr).contains("could not import public keys from"), "{}", text(&nothing.stderr));

    // gpg creates a revocation certificate for each key. A colon prevents its accidental use.
    let listed = keys.gpg(&["--with-colons", "--list-keys", "good@example.org"]);
    let print = listed.lines().find_map(|line| line.strip_prefix("fpr:::::::::")).unwrap();
    let print = print.trim_end_matches(':');
    let certificate =
        std::fs::read_to_string(keys.home.path().join(format!("openpgp-revocs.d/{print}.rev"))).unwrap();
    std::fs::write(at("revocation"), certificate.replace(":-----BEGIN", "-----BEGIN")).unwrap();
    keys.gpg(&["--import", at("revocation").to_str().unwrap()]);
    expect_finding(
        &keys.exported("good@example.org", directory.path()),
        "the key of the signature was revoked",
    );

    std::fs::write(at("public/SHA512SUMS.asc"), "nothing\n").unwrap();
    expect_finding(&good, "invalid signature file");
    // Publishing without a key changes the list and removes the old signature.
    let output = ister(&["publish"]).arg(at("built")).arg("-o").arg(at("public")).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("removed the outdated signature"), "{}", text(&output.stderr));
    assert!(!at("public/SHA512SUMS.asc").exists());
    expect_finding(&good, "the signature is missing");
}

fn invalid_lists_are_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    std::fs::write(at("a.img"), "abc").unwrap();
    let list = |text: &str, more: &[&str]| {
        std::fs::write(at("SHA512SUMS"), text).unwrap();
        ister(&["verify"]).arg(at("SHA512SUMS")).args(more).output().unwrap()
    };
    let sum = Command::new("sha512sum").arg("a.img").current_dir(directory.path()).output().unwrap();
    let sum = text(&sum.stdout);
    assert_eq!(list(&sum, &[]).status.code(), Some(0));
    for (bad, expected) in [
        (String::new(), "the list is empty"),
        (format!("{}  a.img\n{sum}", "ab".repeat(64)), "duplicate entry for `a.img`"),
        (sum.replace("a.img", "\u{1b}[2K"), "line 1"),
    ] {
        let output = list(&bad, &[]);
        assert_eq!(output.status.code(), Some(1), "{bad}");
        assert!(text(&output.stdout).contains(expected), "{}", text(&output.stdout));
    }
    for more in [["--format", "json"], ["--plan", "x"], ["-t", "x"]] {
        assert_eq!(list(&sum, &more).status.code(), Some(2), "{more:?}");
    }
    let image = ister(&["verify", "--signed-by", "x"]).arg(at("a.img")).output().unwrap();
    assert_eq!(image.status.code(), Some(2));
}

/// Verifies an envelope with a public key, and prints its subject.
const VERIFY: &str = r"
import json, sys
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey
envelope = json.load(open(sys.argv[1]))
public = load_pem_public_key(open(sys.argv[2], 'rb').read())
key = SSlibKey.from_crypto(public, keyid=envelope['signatures'][0]['keyid'])
parsed = Envelope.from_dict(envelope)
parsed.verify([key], 1)
print(json.loads(parsed.payload)['subject'][0]['digest']['sha256'])
";

fn attestation_is_accepted_by_securesystemslib() {
    let python = tool("python/bin/python");
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    built(&at("built"));
    let openssl = |args: &[&str]| {
        let output =
            Command::new(host_program("openssl")).args(args).current_dir(directory.path()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
    };
    openssl(&["genpkey", "-algorithm", "ed25519", "-out", "a.pem"]);
    openssl(&["pkey", "-in", "a.pem", "-pubout", "-out", "a.pub"]);
    let publish = ister(&["publish", "built", "-o", "public", "--attest", "a.pem"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(publish.status.code(), Some(0), "{}", text(&publish.stderr));
    let output = Command::new(python)
        .args(["-c", VERIFY])
        .args([at("public/kvm.img.intoto.json"), at("a.pub")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stdout).trim(), sha256(&at("public/kvm.img")));
    // A private key is not a public one, and a public key cannot sign.
    let publish = ister(&["publish", "built", "-o", "other", "--attest", "a.pub"])
        .current_dir(directory.path())
        .output()
        .unwrap();
    assert_eq!(publish.status.code(), Some(2));
    assert!(text(&publish.stderr).contains("openssl genpkey"), "{}", text(&publish.stderr));
    assert!(!at("other").exists());
}

crate::tests! {
    attestation_is_accepted_by_securesystemslib,
    only_files_with_a_valid_receipt_are_published,
    duplicate_and_unsafe_names_are_refused,
    concurrent_publishing_lists_all_files,
    invalid_keys_and_signatures_are_rejected,
    invalid_lists_are_rejected,
}
