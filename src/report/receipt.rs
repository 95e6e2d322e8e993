//! The receipt, which proves that an image reached a login prompt.

use crate::boot::{FirmwareFile, Verdict};
use crate::template::Bytes;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// Version of the receipt format. Receipts of other versions are not accepted.
pub const RECEIPT_VERSION: u32 = 5;

/// Written to `<image>.receipt.json`, and only for an image that booted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Receipt {
    #[cfg_attr(test, schemars(extend("const" = RECEIPT_VERSION)))]
    pub version: u32,
    /// File name of the image.
    pub image: String,
    /// The format of the file: `raw`, `qcow2`, `xz`…
    pub format: String,
    /// In bytes.
    pub size: Bytes,
    /// Digest of the image, which the boot did not change.
    pub sha256: String,
    pub ister: String,
    /// Name and version of QEMU.
    pub emulator: String,
    pub firmware: FirmwareFile,
    pub verdict: Verdict,
    /// Boots of the same bytes on other machines, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Proof>,
}

/// A boot on another machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Proof {
    pub emulator: String,
    pub firmware: FirmwareFile,
    pub verdict: Verdict,
}

impl Receipt {
    /// The receipt for publication with the file name `image`. Directories of the host and answers of the guest are
    /// removed.
    pub fn public(mut self, image: &str) -> Receipt {
        let plain = |firmware: FirmwareFile| FirmwareFile {
            path: firmware.path.file_name().map(PathBuf::from).unwrap_or_default(),
            ..firmware
        };
        image.clone_into(&mut self.image);
        self.firmware = plain(self.firmware);
        self.verdict = self.verdict.public(image);
        let public = |proof: Proof| Proof {
            firmware: plain(proof.firmware),
            verdict: proof.verdict.public(image),
            ..proof
        };
        self.others = self.others.into_iter().map(public).collect();
        self
    }

    /// Adds the boots from an older receipt of the same bytes, if they were on other machines.
    pub fn with(mut self, older: Receipt) -> Receipt {
        if older.sha256 != self.sha256 {
            return self;
        }
        let first = Proof { emulator: older.emulator, firmware: older.firmware, verdict: older.verdict };
        let machine = |verdict: &Verdict| (verdict.firmware, verdict.hardware);
        let other = std::iter::once(first).chain(older.others);
        self.others = other.filter(|proof| machine(&proof.verdict) != machine(&self.verdict)).collect();
        self
    }
}

pub fn receipt_human(receipt: &Receipt) -> String {
    let verdict = &receipt.verdict;
    format!(
        "image        {}\nsize         {} ({} bytes)\nsha256       {}\nfirmware     {}\naccelerator  {} ({})\n\
         prompt after {:.1} s (`{}`)\n",
        verdict.image.display(),
        receipt.size,
        receipt.size.0,
        receipt.sha256,
        verdict.firmware,
        verdict.accelerator,
        verdict.accelerator_reason,
        verdict.last.seconds - verdict.last.dwelled,
        verdict.last.lines.last().map_or("", |line| line.trim_end()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn receipt(sha256: &str, firmware: &str, cpus: u32) -> Receipt {
        let verdict = json!({
            "version": 1, "image": "a.img", "outcome": "reached", "firmware": firmware, "accelerator": "tcg",
            "accelerator_reason": "asked for", "hardware": { "cpus": cpus }, "class": "login-prompt", "stage": "login",
            "witnessed": "serial", "stages": [], "seconds": 1.0, "lines": [], "earlier": [],
        });
        let text = json!({
            "version": RECEIPT_VERSION, "image": "a.img", "format": "raw", "size": 1, "sha256": sha256, "ister": "0.1.0",
            "emulator": "QEMU", "firmware": { "path": "f", "sha256": "f" }, "verdict": verdict,
        });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn receipts_of_the_same_bytes_are_merged_by_machine() {
        let machines = |receipt: &Receipt| -> Vec<(String, u32)> {
            let others = receipt.others.iter().map(|proof| &proof.verdict);
            let all = std::iter::once(&receipt.verdict).chain(others);
            all.map(|verdict| (verdict.firmware.to_string(), verdict.hardware.cpus)).collect()
        };
        let first = receipt("a", "bios", 1);
        let second = receipt("a", "uefi", 1).with(first.clone());
        let third = receipt("a", "bios", 1).with(second.clone());
        let machine = |firmware: &str| (firmware.to_owned(), 1);
        assert_eq!(machines(&second), [machine("UEFI"), machine("BIOS")]);
        assert_eq!(machines(&third), [machine("BIOS"), machine("UEFI")]);
        assert_eq!(machines(&receipt("b", "uefi", 2).with(third)), [("UEFI".to_owned(), 2)]);
    }
}
