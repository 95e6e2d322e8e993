//! Receipts: records that an image with a given checksum booted to its login prompt, and on which virtual machine.

use crate::boot::{self, Class, Verdict};
use crate::host::{Context, Failure, write_whole};
use crate::image::format::format_name;
use crate::image::sha256;
use crate::report::{RECEIPT_VERSION, Receipt};
use crate::template::Bytes;
use std::path::{Path, PathBuf};

/// The path of an image's receipt.
pub(super) fn path_of(image: &Path) -> PathBuf {
    let mut path = image.as_os_str().to_owned();
    path.push(".receipt.json");
    PathBuf::from(path)
}

/// Runs `boot` and hashes the image at the same time. Writes a receipt if the boot succeeds, and removes an old one
/// if it fails.
pub(super) fn booted(
    image: &Path,
    boot: impl FnOnce() -> Result<Verdict, Failure>,
) -> Result<(Verdict, Option<Receipt>), Failure> {
    let path = path_of(image);
    let (hash, verdict) = std::thread::scope(|scope| {
        let hashing = scope.spawn(|| sha256(image));
        let verdict = boot();
        let hash = hashing.join().unwrap_or_else(|_| Err(Failure::new("hashing was interrupted")));
        (hash, verdict)
    });
    let (hash, verdict) = (hash?, verdict?);
    if verdict.outcome != boot::Outcome::Reached {
        if verdict.outcome == boot::Outcome::Failed {
            let _ = std::fs::remove_file(&path);
        }
        return Ok((verdict, None));
    }
    let size =
        image.metadata().context(|| format!("could not read the size of `{}`", image.display()))?.len();
    let receipt = Receipt {
        version: RECEIPT_VERSION,
        image: image.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        format: format_name(image).context(|| format!("could not read `{}`", image.display()))?,
        size: Bytes(size),
        sha256: hash,
        ister: env!("CARGO_PKG_VERSION").to_owned(),
        emulator: boot::emulator_version()?,
        firmware: boot::firmware_file(verdict.firmware)?,
        verdict: verdict.clone(),
        others: Vec::new(),
    };
    let receipt = match read(&path) {
        Ok(older) => receipt.with(older),
        Err(_) => receipt,
    };
    write(image, &receipt)?;
    Ok((verdict, Some(receipt)))
}

/// Writes a receipt next to an image, atomically.
pub(super) fn write(image: &Path, receipt: &Receipt) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(receipt).expect("a receipt can be serialized") + "\n";
    write_whole(&path_of(image), text.as_bytes())
}

fn read(path: &Path) -> std::io::Result<Receipt> {
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

/// The receipt of an image, if it matches the current contents of the image.
pub(super) fn valid(image: &Path) -> Result<Receipt, Failure> {
    let path = path_of(image);
    let none = |why: String| {
        Failure::new(format!("no valid receipt for `{}`", image.display()))
            .detail(why)
            .help("create one with `ister boot --receipt` or `ister test`")
    };
    let receipt = read(&path).map_err(|error| none(format!("`{}`: {error}", path.display())))?;
    let name = image.file_name().unwrap_or_default().to_string_lossy();
    if receipt.version != RECEIPT_VERSION {
        return Err(none(format!("the receipt has version {}, expected {RECEIPT_VERSION}", receipt.version)));
    }
    if receipt.image != name {
        return Err(none(format!("the receipt is for `{}`", receipt.image)));
    }
    let hash = sha256(image)?;
    if receipt.sha256 != hash {
        return Err(none(format!(
            "the image has changed: the receipt is for SHA-256 {}, found {hash}",
            receipt.sha256
        )));
    }
    if receipt.verdict.outcome != boot::Outcome::Reached || receipt.verdict.last.class == Class::PoweredOff {
        return Err(none("the receipt is for a boot that did not reach the login prompt".to_owned()));
    }
    Ok(receipt)
}
