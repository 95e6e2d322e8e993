//! The receipt: proof that these bytes reached a login prompt.

use crate::template::Bytes;
use crate::vm::{FirmwareFile, Verdict};
use serde::{Deserialize, Serialize};

/// Written to `<image>.receipt.json`, and only for an image that booted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    pub version: u32,
    /// The image's file name.
    pub image: String,
    /// How it is packed: `raw`, `qcow2`, `xz`…
    pub format: String,
    /// In bytes.
    pub size: Bytes,
    /// Of the image as it is, which the boot did not change.
    pub sha256: String,
    pub ister: String,
    /// QEMU's name and version.
    pub emulator: String,
    pub firmware: FirmwareFile,
    pub verdict: Verdict,
    /// Other machines on which the same bytes have booted, newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Proof>,
}

/// One boot more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Proof {
    pub emulator: String,
    pub firmware: FirmwareFile,
    pub verdict: Verdict,
}

impl Receipt {
    /// What an older receipt of the same bytes proves on other machines stays proven.
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
        verdict.last.seconds,
        verdict.last.lines.last().map_or("", |line| line.trim_end()),
    )
}
