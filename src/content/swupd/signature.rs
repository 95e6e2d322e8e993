//! Verifies CMS signatures (RFC 5652) and the certificates of their signers (RFC 5280). Pure.
//!
//! Supports signatures as made by mixer: detached, DER, over the exact bytes, RSA with PKCS #1 v1.5 or ECDSA. SHA-1 is
//! not accepted. A signer is trusted if its certificate is in the certificate file or was issued by a CA in it. Key
//! usages of the signer are not checked: mixer's own certificate is for code signing and is not a CA.
//!
//! Chains are validated here and not by rustls-webpki, which checks neither the key usage of issuers nor anything of
//! trusted certificates, and has no signers that are CAs.

use cms::cert::CertificateChoices;
use cms::content_info::ContentInfo;
use cms::signed_data::{SignedData, SignerIdentifier, SignerInfo};
use der::asn1::{ObjectIdentifier, OctetString};
use der::{Decode, DecodePem, Encode};
use ring::digest;
use ring::signature::{self as ring_signature, UnparsedPublicKey, VerificationAlgorithm};
use std::fmt;
use x509_cert::Certificate;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, NameConstraints, SubjectKeyIdentifier};
use x509_cert::spki::AlgorithmIdentifierOwned;

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");
const CONTENT_TYPE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.3");
const MESSAGE_DIGEST: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.4");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
const RSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.11");
const RSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.12");
const RSA_SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.13");
const EC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// Supported extensions, and extensions that do not affect signatures over files. Any other critical extension is
/// rejected.
const KNOWN_EXTENSIONS: [ObjectIdentifier; 6] = [
    // subjectKeyIdentifier, keyUsage, subjectAltName, basicConstraints, authorityKeyIdentifier, extKeyUsage
    ObjectIdentifier::new_unwrap("2.5.29.14"),
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.35"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
];

/// Maximum number of certificates between a signer and a trusted certificate.
const LONGEST_CHAIN: usize = 8;

/// Why a signature or a certificate is not accepted, as a sentence fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignatureError(String);

impl SignatureError {
    pub fn no_certificate() -> SignatureError {
        SignatureError("no certificate to verify signatures with".into())
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SignatureError {}

fn distrust<T>(why: impl Into<String>) -> Result<T, SignatureError> {
    Err(SignatureError(why.into()))
}

/// Whether an expired certificate of a signer is accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Refused,
    /// Accepted for the number of the newest release: otherwise old clients could not find the release that replaces
    /// the key.
    Tolerated,
}

/// The trusted certificates of a file.
#[derive(Clone, Debug)]
pub struct Trust {
    certificates: Vec<Certificate>,
}

impl Trust {
    /// Parses a PEM file; text around the certificates is ignored. The first certificate must be self-signed or issued
    /// by another certificate of the file, and be valid at `now` (seconds since 1970).
    pub fn from_pem(text: &[u8], now: u64) -> Result<Trust, SignatureError> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let text = String::from_utf8_lossy(text);
        let mut certificates = Vec::new();
        let mut rest: &str = &text;
        while let Some(start) = rest.find(BEGIN) {
            let Some(length) = rest[start..].find(END) else {
                return distrust("missing end of a certificate");
            };
            let end = start + length + END.len();
            let certificate = Certificate::from_pem(&rest[start..end])
                .map_err(|error| SignatureError(format!("invalid certificate: {error}")))?;
            certificates.push(certificate);
            rest = &rest[end..];
        }
        let trust = Trust { certificates };
        let Some(first) = trust.certificates.first() else {
            return distrust("no certificate in PEM format found");
        };
        check_dates(first, now)?;
        check_extensions(first)?;
        let issued = |issuer: &&Certificate| {
            issuer.tbs_certificate.subject == first.tbs_certificate.issuer
                && (*issuer == first || may_issue(issuer, 0).is_ok())
        };
        let issuers: Vec<&Certificate> = trust.certificates.iter().filter(issued).collect();
        match issuers.iter().any(|issuer| check_issued(first, issuer).is_ok()) {
            true => Ok(trust),
            false => distrust(
                "the first certificate is neither self-signed nor issued by another certificate in the file",
            ),
        }
    }

    /// Verifies that the content was signed by a trusted signer.
    pub fn check(
        &self,
        content: &[u8],
        signature: &[u8],
        expiry: Expiry,
        now: u64,
    ) -> Result<(), SignatureError> {
        let no_cms =
            |error: der::Error| SignatureError(format!("not a CMS signature in DER format: {error}"));
        let info = ContentInfo::from_der(signature).map_err(no_cms)?;
        if info.content_type != SIGNED_DATA {
            return distrust("the CMS message is not a signature");
        }
        let data: SignedData = info.content.decode_as().map_err(no_cms)?;
        if data.encap_content_info.econtent.is_some() {
            return distrust("the signature is not detached: it contains the content");
        }
        if data.encap_content_info.econtent_type != DATA {
            return distrust("not a signature over plain data");
        }
        if data.signer_infos.0.is_empty() {
            return distrust("the signature contains no signer");
        }
        let embedded: Vec<&Certificate> = data
            .certificates
            .iter()
            .flat_map(|set| set.0.iter())
            .filter_map(|choice| match choice {
                CertificateChoices::Certificate(certificate) => Some(certificate),
                CertificateChoices::Other(_) => None,
            })
            .collect();
        for signer in data.signer_infos.0.iter() {
            self.check_signer(signer, &embedded, content, expiry, now)?;
        }
        Ok(())
    }

    fn check_signer(
        &self,
        signer: &SignerInfo,
        embedded: &[&Certificate],
        content: &[u8],
        expiry: Expiry,
        now: u64,
    ) -> Result<(), SignatureError> {
        let known = self.certificates.iter().chain(embedded.iter().copied());
        let certificate =
            known.clone().find(|certificate| matches_signer(&signer.sid, certificate)).ok_or_else(|| {
                SignatureError("the signer's certificate is neither trusted nor part of the signature".into())
            })?;
        match expiry {
            Expiry::Refused => check_dates(certificate, now)?,
            Expiry::Tolerated => check_begin(certificate, now)?,
        }
        check_extensions(certificate)?;
        self.check_chain(certificate, embedded, now)?;

        let digested = digest(&signer.digest_alg, content)?;
        let signed = match &signer.signed_attrs {
            None => content.to_vec(),
            Some(attributes) => {
                let one = |kind: ObjectIdentifier| {
                    let mut found = attributes.iter().filter(|attribute| attribute.oid == kind);
                    let attribute = found.next().filter(|attribute| attribute.values.len() == 1)?;
                    attribute.values.get(0).filter(|_| found.next().is_none())
                };
                let message_digest =
                    one(MESSAGE_DIGEST).and_then(|value| value.decode_as::<OctetString>().ok());
                if message_digest.is_none_or(|message_digest| message_digest.as_bytes() != digested.as_ref())
                {
                    return distrust("the signature is for different content");
                }
                let kind = one(CONTENT_TYPE).and_then(|value| value.decode_as::<ObjectIdentifier>().ok());
                if kind != Some(DATA) {
                    return distrust("the signed attributes do not have the content type `data`");
                }
                // Encoded as SET OF, not with the tag used in the message. Source: RFC 5652, 5.4.
                attributes.to_der().map_err(|error| SignatureError(error.to_string()))?
            }
        };
        check_signature(
            certificate,
            &signer.signature_algorithm,
            Some(&signer.digest_alg),
            &signed,
            signer.signature.as_bytes(),
        )
        .map_err(|why| match signer.signed_attrs {
            None => SignatureError(format!("{why}, or it is for different content")),
            Some(_) => why,
        })
    }

    /// Verifies the chain from a certificate to a trusted one.
    fn check_chain(
        &self,
        signer: &Certificate,
        embedded: &[&Certificate],
        now: u64,
    ) -> Result<(), SignatureError> {
        if self.certificates.contains(signer) {
            return Ok(());
        }
        let mut current = signer;
        for below in 0..LONGEST_CHAIN {
            let named = |issuer: &&Certificate| {
                issuer.tbs_certificate.subject == current.tbs_certificate.issuer
                    && check_issued(current, issuer).is_ok()
            };
            if let Some(issuer) = self.certificates.iter().find(named) {
                check_dates(issuer, now)?;
                check_extensions(issuer)?;
                return may_issue(issuer, below);
            }
            match embedded.iter().copied().find(|issuer| named(issuer) && may_issue(issuer, below).is_ok()) {
                Some(issuer) if issuer != current => {
                    check_dates(issuer, now)?;
                    check_extensions(issuer)?;
                    current = issuer;
                }
                _ => break,
            }
        }
        distrust(format!("the signer `{}` is not trusted", signer.tbs_certificate.subject))
    }
}

fn matches_signer(signer: &SignerIdentifier, certificate: &Certificate) -> bool {
    let tbs = &certificate.tbs_certificate;
    match signer {
        SignerIdentifier::IssuerAndSerialNumber(name) => {
            tbs.issuer == name.issuer && tbs.serial_number == name.serial_number
        }
        SignerIdentifier::SubjectKeyIdentifier(wanted) => {
            tbs.get::<SubjectKeyIdentifier>().ok().flatten().is_some_and(|(_, id)| id == *wanted)
        }
    }
}

fn check_begin(certificate: &Certificate, now: u64) -> Result<(), SignatureError> {
    let tbs = &certificate.tbs_certificate;
    if now < tbs.validity.not_before.to_unix_duration().as_secs() {
        return distrust(format!(
            "the certificate `{}` is not valid before {}",
            tbs.subject, tbs.validity.not_before
        ));
    }
    Ok(())
}

fn check_dates(certificate: &Certificate, now: u64) -> Result<(), SignatureError> {
    check_begin(certificate, now)?;
    let tbs = &certificate.tbs_certificate;
    if now > tbs.validity.not_after.to_unix_duration().as_secs() {
        return distrust(format!("the certificate `{}` expired on {}", tbs.subject, tbs.validity.not_after));
    }
    Ok(())
}

fn check_extensions(certificate: &Certificate) -> Result<(), SignatureError> {
    let tbs = &certificate.tbs_certificate;
    let unknown = tbs
        .extensions
        .iter()
        .flatten()
        .find(|extension| extension.critical && !KNOWN_EXTENSIONS.contains(&extension.extn_id));
    match unknown {
        None => Ok(()),
        Some(extension) => distrust(format!(
            "the certificate `{}` has the unsupported critical extension {}",
            tbs.subject, extension.extn_id
        )),
    }
}

/// Checks that a certificate may issue others, with `below` issuers below it already. Source: RFC 5280, 4.2.1.3,
/// 4.2.1.9, 4.2.1.10.
fn may_issue(certificate: &Certificate, below: usize) -> Result<(), SignatureError> {
    let tbs = &certificate.tbs_certificate;
    let refused = |why: &str| {
        distrust(format!("the signer's certificate was issued by `{}`, which {why}", tbs.subject))
    };
    let unreadable =
        |_| SignatureError(format!("the certificate `{}` has an invalid extension", tbs.subject));
    let constraints = tbs.get::<BasicConstraints>().map_err(unreadable)?;
    let Some((_, constraints)) = constraints.filter(|(_, constraints)| constraints.ca) else {
        return refused("is not a CA");
    };
    if constraints.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
        return refused("exceeds its path length constraint");
    }
    let usage = tbs.get::<KeyUsage>().map_err(unreadable)?;
    if usage.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
        return refused("may not sign certificates");
    }
    if tbs.get::<NameConstraints>().map_err(unreadable)?.is_some() {
        return refused("has name constraints, which are not supported");
    }
    Ok(())
}

fn check_issued(certificate: &Certificate, issuer: &Certificate) -> Result<(), SignatureError> {
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return distrust("a certificate has two different signature algorithms");
    }
    let tbs = certificate.tbs_certificate.to_der().map_err(|error| SignatureError(error.to_string()))?;
    let signature = certificate.signature.as_bytes();
    let signature =
        signature.ok_or_else(|| SignatureError("the signature of a certificate is truncated".into()))?;
    check_signature(issuer, &certificate.signature_algorithm, None, &tbs, signature)
}

fn digest(algorithm: &AlgorithmIdentifierOwned, content: &[u8]) -> Result<digest::Digest, SignatureError> {
    let known = match algorithm.oid {
        SHA256 => &digest::SHA256,
        SHA384 => &digest::SHA384,
        SHA512 => &digest::SHA512,
        other => {
            return distrust(format!("unsupported digest {other} (expected SHA-256, SHA-384 or SHA-512)"));
        }
    };
    Ok(digest::digest(known, content))
}

/// Verifies a signature. If the algorithm is just "RSA", `digest` specifies the digest.
fn check_signature(
    certificate: &Certificate,
    algorithm: &AlgorithmIdentifierOwned,
    digest: Option<&AlgorithmIdentifierOwned>,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let key = &certificate.tbs_certificate.subject_public_key_info;
    let curve = || key.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
    let rsa = match algorithm.oid {
        RSA_SHA256 => Some(SHA256),
        RSA_SHA384 => Some(SHA384),
        RSA_SHA512 => Some(SHA512),
        RSA => digest.map(|digest| digest.oid),
        _ => None,
    };
    // The digest in the signature algorithm must match the digest of the content.
    let named = match algorithm.oid {
        ECDSA_SHA256 => Some(SHA256),
        ECDSA_SHA384 => Some(SHA384),
        _ => rsa,
    };
    if digest.is_some_and(|digest| Some(digest.oid) != named) {
        return distrust("the signature algorithm does not match the digest");
    }
    let known: Option<&dyn VerificationAlgorithm> = match (key.algorithm.oid, rsa, algorithm.oid) {
        (RSA, Some(SHA256), _) => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA256),
        (RSA, Some(SHA384), _) => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA384),
        (RSA, Some(SHA512), _) => Some(&ring_signature::RSA_PKCS1_2048_8192_SHA512),
        (EC_KEY, None, ECDSA_SHA256) => match curve() {
            Some(P256) => Some(&ring_signature::ECDSA_P256_SHA256_ASN1),
            Some(P384) => Some(&ring_signature::ECDSA_P384_SHA256_ASN1),
            _ => None,
        },
        (EC_KEY, None, ECDSA_SHA384) => match curve() {
            Some(P256) => Some(&ring_signature::ECDSA_P256_SHA384_ASN1),
            Some(P384) => Some(&ring_signature::ECDSA_P384_SHA384_ASN1),
            _ => None,
        },
        _ => None,
    };
    let Some(known) = known else {
        return distrust(format!("unsupported signature algorithm {}", algorithm.oid));
    };
    let bytes = key.subject_public_key.as_bytes().unwrap_or_default();
    UnparsedPublicKey::new(known, bytes).verify(signed, signature).map_err(|_| {
        SignatureError(format!("the signature was not made by `{}`", certificate.tbs_certificate.subject))
    })
}
