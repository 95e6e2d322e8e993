//! Content of an untrusted swupd mirror: arbitrary bytes never cause a panic, and accepted data is valid. The first byte
//! selects the parser: a release manifest, a bundle manifest, a tar of objects, or a signature. Nothing here is signed.

#![no_main]

use ister::content::swupd::hash::{ObjectHash, object_hash};
use ister::content::swupd::manifest::{Bundle, Release};
use ister::content::swupd::object::{Member, ObjectContent, each_member, only_member};
use ister::content::swupd::signature::{Expiry, Trust};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_800_000_000;
const SIGNER: &[u8] = include_bytes!("../corpus/swupd-signer.pem");

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    match choice % 4 {
        0 => {
            let Ok(release) = Release::parse(bytes) else { return };
            for line in &release.bundles {
                assert!(!line.name.as_str().contains('/') && !line.name.as_str().starts_with('.'));
                assert_eq!(release.bundle(line.name.as_str()), Some(line));
                assert!(line.version > 0 && line.hash != ObjectHash::NONE);
            }
        }
        1 => {
            let Ok(bundle) = Bundle::parse(bytes.to_vec()) else { return };
            for line in &bundle.files {
                let path = bundle.path(line);
                assert!(path.starts_with(b"/") && !path.ends_with(b"/"));
                assert!(path[1..].split(|b| *b == b'/').all(|part| !matches!(part, b"" | b"." | b"..")));
            }
        }
        2 => {
            let mut hashes = Vec::new();
            let _ = each_member(bytes, |_, member, data| {
                if let Member::Object(object) = member {
                    let mut content = object.target.clone();
                    data.read_to_end(&mut content)?;
                    hashes.push(object_hash(&object.attributes, &content));
                }
                Ok(())
            });
            for hash in hashes {
                let _ = only_member(bytes, &hash, |object, data| {
                    if let ObjectContent::Whole(content) = object.take(&hash, data)? {
                        assert_eq!(object_hash(&object.attributes, &content), hash);
                    }
                    Ok(())
                });
            }
        }
        _ => {
            let trust = Trust::from_pem(SIGNER, NOW).expect("the certificate is valid for a hundred years");
            assert!(trust.check(b"content", bytes, Expiry::Refused, NOW).is_err());
            let _ = Trust::from_pem(bytes, NOW);
        }
    }
});
