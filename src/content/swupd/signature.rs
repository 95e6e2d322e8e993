//! Who signed a release: CMS signatures (RFC 5652) and the certificates that they are judged by (RFC 5280). Pure.
//!
//! As mixer signs: detached, DER, over the exact bytes; RSA with PKCS #1 v1.5 or ECDSA. SHA-1 is not enough any more.
//! A signer is trusted who stands in the certificate file, or whose certificate was issued by a CA that does. Key usages are
//! not asked for: mixer's own certificate is for code signing, and no CA.

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

/// Extensions that are understood, or whose meaning is none of a signature over files: any other critical one is refused.
const KNOWN_EXTENSIONS: [ObjectIdentifier; 6] = [
    // subjectKeyIdentifier, keyUsage, subjectAltName, basicConstraints, authorityKeyIdentifier, extKeyUsage
    ObjectIdentifier::new_unwrap("2.5.29.14"),
    ObjectIdentifier::new_unwrap("2.5.29.15"),
    ObjectIdentifier::new_unwrap("2.5.29.17"),
    ObjectIdentifier::new_unwrap("2.5.29.19"),
    ObjectIdentifier::new_unwrap("2.5.29.35"),
    ObjectIdentifier::new_unwrap("2.5.29.37"),
];

/// Certificates between a signer and one that is trusted.
const LONGEST_CHAIN: usize = 8;

/// Why a signature or a certificate is not good: a fragment of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Distrust(String);

impl Distrust {
    pub fn nobody() -> Distrust {
        Distrust("there is no certificate to check signatures with".into())
    }
}

impl fmt::Display for Distrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Distrust {}

fn distrust<T>(why: impl Into<String>) -> Result<T, Distrust> {
    Err(Distrust(why.into()))
}

/// Whether a signer whose certificate has expired still counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    Refused,
    /// As for the number of the newest release: it would be old news otherwise that a key was replaced.
    Tolerated,
}

/// The certificates of a file, good to judge by.
#[derive(Clone, Debug)]
pub struct Trust {
    certificates: Vec<Certificate>,
}

impl Trust {
    /// From PEM; what stands around the certificates is not looked at. The first certificate must have signed itself, or
    /// be issued by another one of the file, and be valid at `now` (seconds since 1970).
    pub fn from_pem(text: &[u8], now: u64) -> Result<Trust, Distrust> {
        const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
        const END: &str = "-----END CERTIFICATE-----";
        let text = String::from_utf8_lossy(text);
        let mut certificates = Vec::new();
        let mut rest: &str = &text;
        while let Some(start) = rest.find(BEGIN) {
            let Some(length) = rest[start..].find(END) else { return distrust("a certificate has no end") };
            let end = start + length + END.len();
            let certificate = Certificate::from_pem(&rest[start..end])
                .map_err(|error| Distrust(format!("it is no certificate: {error}")))?;
            certificates.push(certificate);
            rest = &rest[end..];
        }
        let trust = Trust { certificates };
        let Some(first) = trust.certificates.first() else {
            return distrust("there is no certificate in it, in PEM");
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
            false => {
                distrust("its first certificate is neither self-signed nor issued by another one of the file")
            }
        }
    }

    /// Whether somebody trusted signed exactly these bytes.
    pub fn check(&self, content: &[u8], signature: &[u8], expiry: Expiry, now: u64) -> Result<(), Distrust> {
        let no_cms = |error: der::Error| Distrust(format!("it is no CMS signature in DER: {error}"));
        let info = ContentInfo::from_der(signature).map_err(no_cms)?;
        if info.content_type != SIGNED_DATA {
            return distrust("it is CMS, but no signature");
        }
        let data: SignedData = info.content.decode_as().map_err(no_cms)?;
        if data.encap_content_info.econtent.is_some() {
            return distrust("it carries its own content; a detached signature is expected");
        }
        if data.encap_content_info.econtent_type != DATA {
            return distrust("it is no signature over plain data");
        }
        if data.signer_infos.0.is_empty() {
            return distrust("nobody signed it");
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
    ) -> Result<(), Distrust> {
        let known = self.certificates.iter().chain(embedded.iter().copied());
        let certificate = known
            .clone()
            .find(|certificate| is_meant(&signer.sid, certificate))
            .ok_or_else(|| Distrust("the signer's certificate is neither in it nor trusted".into()))?;
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
                let said = one(MESSAGE_DIGEST).and_then(|value| value.decode_as::<OctetString>().ok());
                if said.is_none_or(|said| said.as_bytes() != digested.as_ref()) {
                    return distrust("it was made over other content");
                }
                let kind = one(CONTENT_TYPE).and_then(|value| value.decode_as::<ObjectIdentifier>().ok());
                if kind != Some(DATA) {
                    return distrust("its signed attributes do not say that it is over plain data");
                }
                // As a SET OF, not with the tag that it has in the message. Source: RFC 5652, 5.4.
                attributes.to_der().map_err(|error| Distrust(error.to_string()))?
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
            None => Distrust(format!("{why}, or it was made over other content")),
            Some(_) => why,
        })
    }

    /// From a certificate to one of ours.
    fn check_chain(&self, signer: &Certificate, embedded: &[&Certificate], now: u64) -> Result<(), Distrust> {
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

fn is_meant(signer: &SignerIdentifier, certificate: &Certificate) -> bool {
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

fn check_begin(certificate: &Certificate, now: u64) -> Result<(), Distrust> {
    let tbs = &certificate.tbs_certificate;
    if now < tbs.validity.not_before.to_unix_duration().as_secs() {
        return distrust(format!(
            "the certificate `{}` is not valid before {}",
            tbs.subject, tbs.validity.not_before
        ));
    }
    Ok(())
}

fn check_dates(certificate: &Certificate, now: u64) -> Result<(), Distrust> {
    check_begin(certificate, now)?;
    let tbs = &certificate.tbs_certificate;
    if now > tbs.validity.not_after.to_unix_duration().as_secs() {
        return distrust(format!("the certificate `{}` expired at {}", tbs.subject, tbs.validity.not_after));
    }
    Ok(())
}

fn check_extensions(certificate: &Certificate) -> Result<(), Distrust> {
    let tbs = &certificate.tbs_certificate;
    let unknown = tbs
        .extensions
        .iter()
        .flatten()
        .find(|extension| extension.critical && !KNOWN_EXTENSIONS.contains(&extension.extn_id));
    match unknown {
        None => Ok(()),
        Some(extension) => distrust(format!(
            "the certificate `{}` has the critical extension {}, which is not known here",
            tbs.subject, extension.extn_id
        )),
    }
}

/// Whether a certificate may issue others, with so many issuers below it already. Source: RFC 5280, 4.2.1.3, 4.2.1.9,
/// 4.2.1.10.
fn may_issue(certificate: &Certificate, below: usize) -> Result<(), Distrust> {
    let tbs = &certificate.tbs_certificate;
    let refused = |why: &str| {
        distrust(format!("the signer's certificate was issued by `{}`, which {why}", tbs.subject))
    };
    let unreadable =
        |_| Distrust(format!("the certificate `{}` has an extension that makes no sense", tbs.subject));
    let constraints = tbs.get::<BasicConstraints>().map_err(unreadable)?;
    let Some((_, constraints)) = constraints.filter(|(_, constraints)| constraints.ca) else {
        return refused("is no CA");
    };
    if constraints.path_len_constraint.is_some_and(|most| below > usize::from(most)) {
        return refused("may not have so many CAs below it");
    }
    let usage = tbs.get::<KeyUsage>().map_err(unreadable)?;
    if usage.is_some_and(|(_, usage)| !usage.key_cert_sign()) {
        return refused("may not sign certificates");
    }
    if tbs.get::<NameConstraints>().map_err(unreadable)?.is_some() {
        return refused("is for certain names only, which is not understood here");
    }
    Ok(())
}

fn check_issued(certificate: &Certificate, issuer: &Certificate) -> Result<(), Distrust> {
    if certificate.signature_algorithm != certificate.tbs_certificate.signature {
        return distrust("a certificate names two algorithms");
    }
    let tbs = certificate.tbs_certificate.to_der().map_err(|error| Distrust(error.to_string()))?;
    let signature = certificate.signature.as_bytes();
    let signature = signature.ok_or_else(|| Distrust("a certificate's signature is cut".into()))?;
    check_signature(issuer, &certificate.signature_algorithm, None, &tbs, signature)
}

fn digest(algorithm: &AlgorithmIdentifierOwned, content: &[u8]) -> Result<digest::Digest, Distrust> {
    let known = match algorithm.oid {
        SHA256 => &digest::SHA256,
        SHA384 => &digest::SHA384,
        SHA512 => &digest::SHA512,
        other => {
            return distrust(format!("its digest {other} is not trusted; SHA-256, SHA-384 and SHA-512 are"));
        }
    };
    Ok(digest::digest(known, content))
}

/// Where the algorithm says only "RSA", the digest is said elsewhere.
fn check_signature(
    certificate: &Certificate,
    algorithm: &AlgorithmIdentifierOwned,
    digest: Option<&AlgorithmIdentifierOwned>,
    signed: &[u8],
    signature: &[u8],
) -> Result<(), Distrust> {
    let key = &certificate.tbs_certificate.subject_public_key_info;
    let curve = || key.algorithm.parameters.as_ref().and_then(|p| p.decode_as::<ObjectIdentifier>().ok());
    let rsa = match algorithm.oid {
        RSA_SHA256 => Some(SHA256),
        RSA_SHA384 => Some(SHA384),
        RSA_SHA512 => Some(SHA512),
        RSA => digest.map(|digest| digest.oid),
        _ => None,
    };
    // What the signature's own name says has to be what the content was digested with.
    let named = match algorithm.oid {
        ECDSA_SHA256 => Some(SHA256),
        ECDSA_SHA384 => Some(SHA384),
        _ => rsa,
    };
    if digest.is_some_and(|digest| Some(digest.oid) != named) {
        return distrust("the signature and its digest are of different kinds");
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
        return distrust(format!("signatures of the kind {} are not known here", algorithm.oid));
    };
    let bytes = key.subject_public_key.as_bytes().unwrap_or_default();
    UnparsedPublicKey::new(known, bytes)
        .verify(signed, signature)
        .map_err(|_| Distrust(format!("the signature is not by `{}`", certificate.tbs_certificate.subject)))
}
