//! A receipt as a signed attestation. Sources: in-toto Attestation Framework 1.0, Statement and Envelope; DSSE
//! (Dead Simple Signing Envelope) 1.0; RFC 8410 for Ed25519 keys in PEM.

use super::Receipt;
use crate::template::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const STATEMENT: &str = "https://in-toto.io/Statement/v1";
const PAYLOAD: &str = "application/vnd.in-toto+json";
/// Begin of an Ed25519 SubjectPublicKeyInfo; the 32 bytes of the key follow. Source: RFC 8410, 4.
const PUBLIC_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The type of the predicate, with the version of the receipt format.
fn predicate_type() -> String {
    format!("urn:ister:receipt:{}", super::RECEIPT_VERSION)
}

/// Why an attestation does not prove anything about an image.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AttestationError {
    Key(String),
    Envelope(String),
    /// No signature is by this key.
    Signature,
    /// It is about another file: the digests of its subjects.
    Subject(Vec<String>),
}

impl std::fmt::Display for AttestationError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AttestationError::Key(why) => write!(f, "invalid key: {why}"),
            AttestationError::Envelope(why) => {
                write!(f, "not an in-toto attestation in a DSSE envelope: {why}")
            }
            AttestationError::Signature => f.write_str("it is not signed with this key, or was modified"),
            AttestationError::Subject(digests) => {
                write!(f, "it is for another file, with SHA-256 {}", digests.join(", "))
            }
        }
    }
}

/// A private key.
pub(crate) struct Attester(Ed25519KeyPair);

impl Attester {
    /// Reads a key as `openssl genpkey -algorithm ed25519` writes it.
    pub(crate) fn of_pem(pem: &Secret) -> Result<Attester, AttestationError> {
        let der = pem_body(pem.expose(), "PRIVATE KEY")?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der);
        pair.map(Attester)
            .map_err(|error| AttestationError::Key(format!("{error}; expected Ed25519 in PKCS #8")))
    }

    /// The envelope with a statement about the receipt's image.
    pub(crate) fn attest(&self, receipt: &Receipt) -> String {
        let statement = json!({
            "_type": STATEMENT,
            "subject": [{ "name": receipt.image, "digest": { "sha256": receipt.sha256 } }],
            "predicateType": predicate_type(),
            "predicate": receipt,
        });
        let payload = statement.to_string();
        let signature = self.0.sign(&pre_authentication(PAYLOAD, payload.as_bytes()));
        let envelope = json!({
            "payloadType": PAYLOAD,
            "payload": STANDARD.encode(payload),
            "signatures": [{
                "keyid": key_id(self.0.public_key().as_ref()),
                "sig": STANDARD.encode(signature.as_ref()),
            }],
        });
        format!("{envelope:#}\n")
    }
}

/// Checks that an envelope is signed with the public key and is about a file with this digest.
pub(crate) fn check_attestation(envelope: &str, public: &str, sha256: &str) -> Result<(), AttestationError> {
    let der = pem_body(public, "PUBLIC KEY")?;
    let key = der
        .strip_prefix(&PUBLIC_PREFIX)
        .filter(|key| key.len() == 32)
        .ok_or_else(|| AttestationError::Key("expected an Ed25519 public key".to_owned()))?;
    let invalid = |why: &str| AttestationError::Envelope(why.to_owned());
    let envelope: Value = serde_json::from_str(envelope).map_err(|error| invalid(&error.to_string()))?;
    let kind = envelope["payloadType"].as_str().unwrap_or_default();
    if kind != PAYLOAD {
        return Err(invalid("another `payloadType`"));
    }
    let decoded = |value: &Value| value.as_str().and_then(|text| STANDARD.decode(text).ok());
    let payload = decoded(&envelope["payload"]).ok_or_else(|| invalid("no `payload`"))?;
    let signatures = envelope["signatures"].as_array().map(Vec::as_slice).unwrap_or_default();
    let message = pre_authentication(kind, &payload);
    let verifier = UnparsedPublicKey::new(&ED25519, key);
    let is_signed = signatures
        .iter()
        .filter_map(|signature| decoded(&signature["sig"]))
        .any(|signature| verifier.verify(&message, &signature).is_ok());
    if !is_signed {
        return Err(AttestationError::Signature);
    }
    let statement: Value = serde_json::from_slice(&payload).map_err(|error| invalid(&error.to_string()))?;
    if statement["_type"] != STATEMENT || statement["predicateType"] != predicate_type() {
        return Err(invalid("another statement or predicate type"));
    }
    let subjects = statement["subject"].as_array().into_iter().flatten();
    let digests: Vec<String> =
        subjects.filter_map(|subject| subject["digest"]["sha256"].as_str().map(str::to_owned)).collect();
    if digests.iter().any(|digest| digest == sha256) {
        Ok(())
    } else {
        Err(AttestationError::Subject(digests))
    }
}

/// What is signed. Source: DSSE 1.0, "Signature Definition", PAE.
fn pre_authentication(kind: &str, payload: &[u8]) -> Vec<u8> {
    let mut message = format!("DSSEv1 {} {kind} {} ", kind.len(), payload.len()).into_bytes();
    message.extend_from_slice(payload);
    message
}

/// The SHA-256 digest of the SubjectPublicKeyInfo.
fn key_id(public: &[u8]) -> String {
    let digest = Sha256::new().chain_update(PUBLIC_PREFIX).chain_update(public).finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes of a PEM block. Source: RFC 7468.
fn pem_body(text: &str, label: &str) -> Result<Vec<u8>, AttestationError> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let missing = || AttestationError::Key(format!("there is no `{begin}`"));
    let body = text.split_once(&begin).and_then(|(_, rest)| rest.split_once(&end)).ok_or_else(missing)?.0;
    let body: String = body.split_whitespace().collect();
    STANDARD.decode(body).map_err(|error| AttestationError::Key(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::RECEIPT_VERSION;

    /// Test key of RFC 8410, 10.3.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\n\
        MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    /// RFC 8410, 10.1.
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn receipt() -> Receipt {
        let verdict = json!({
            "version": 1, "image": "a.img", "outcome": "reached", "firmware": "uefi", "accelerator": "tcg",
            "accelerator_reason": "asked for", "hardware": {}, "class": "login-prompt", "stage": "login",
            "stages": [], "seconds": 1.0, "lines": [], "earlier": [],
        });
        let receipt = json!({
            "version": RECEIPT_VERSION, "image": "a.img", "format": "raw", "size": 1, "sha256": "abc", "ister": "0.1.0",
            "emulator": "QEMU", "firmware": { "path": "f", "sha256": "f" }, "verdict": verdict,
        });
        serde_json::from_value(receipt).unwrap()
    }

    #[test]
    fn attestation_holds_only_for_its_file_and_key() {
        let attester = Attester::of_pem(&Secret::new(PRIVATE.to_owned())).unwrap();
        let envelope = attester.attest(&receipt());
        assert_eq!(check_attestation(&envelope, PUBLIC, "abc"), Ok(()));
        assert_eq!(
            check_attestation(&envelope, PUBLIC, "abd"),
            Err(AttestationError::Subject(vec!["abc".to_owned()]))
        );
        let other = PUBLIC.replace("GVAwZuE=", "GVAwZuF=").replace("Gb9E", "Hb9E");
        assert_eq!(check_attestation(&envelope, &other, "abc"), Err(AttestationError::Signature));
        let mut modified: Value = serde_json::from_str(&envelope).unwrap();
        let payload = STANDARD.decode(modified["payload"].as_str().unwrap()).unwrap();
        let payload = String::from_utf8(payload).unwrap().replace("abc", "abd");
        modified["payload"] = STANDARD.encode(payload).into();
        assert_eq!(check_attestation(&modified.to_string(), PUBLIC, "abd"), Err(AttestationError::Signature));
        for (text, key) in [("{}", PUBLIC), ("nonsense", PUBLIC)] {
            assert!(matches!(check_attestation(text, key, "abc"), Err(AttestationError::Envelope(_))));
        }
        assert!(matches!(check_attestation(&envelope, PRIVATE, "abc"), Err(AttestationError::Key(_))));
        assert!(Attester::of_pem(&Secret::new(PUBLIC.to_owned())).is_err());
    }
}
