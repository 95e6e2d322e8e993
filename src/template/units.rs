//! Sizes in templates, and byte counts for people.

use super::limits::LARGEST_FILE;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl Bytes {
    pub const KIB: u64 = 1 << 10;
    pub const MIB: u64 = 1 << 20;
    pub const GIB: u64 = 1 << 30;
    pub const TIB: u64 = 1 << 40;

    pub const fn mib(count: u64) -> Bytes {
        Bytes(count * Self::MIB)
    }
}

impl Bytes {
    /// The exact size in the largest possible unit, for messages where rounding would hide a difference.
    pub fn exact(self) -> String {
        const UNITS: [(u64, &str); 4] =
            [(Bytes::TIB, "TiB"), (Bytes::GIB, "GiB"), (Bytes::MIB, "MiB"), (Bytes::KIB, "KiB")];
        match UNITS.iter().find(|(unit, _)| self.0.is_multiple_of(*unit)) {
            Some((unit, name)) => format!("{} {name}", self.0 / unit),
            None => format!("{} bytes", self.0),
        }
    }
}

impl fmt::Display for Bytes {
    /// Whole units have no decimals (`512 MiB`), other sizes have one (`10.3 MiB`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            n if n >= Self::TIB => (Self::TIB, "TiB"),
            n if n >= Self::GIB => (Self::GIB, "GiB"),
            n if n >= Self::MIB => (Self::MIB, "MiB"),
            n if n >= Self::KIB => (Self::KIB, "KiB"),
            n => return write!(f, "{n} bytes"),
        };
        if self.0.is_multiple_of(unit) {
            write!(f, "{} {name}", self.0 / unit)
        } else {
            write!(f, "{:.1} {name}", self.0 as f64 / unit as f64)
        }
    }
}

/// `size` of a partition: an exact size, or the rest of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Exact(Bytes),
    Rest,
}

/// Why a size is invalid.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    #[error("missing unit in size `{0}`: expected M (MiB), G (GiB) or T (TiB) after the number")]
    NoUnit(String),
    #[error("invalid size `{0}`: expected an integer followed by M, G or T")]
    NotAnInteger(String),
    #[error("invalid size `{0}`: must be greater than zero")]
    NotPositive(String),
    #[error("size `{0}` exceeds the maximum file size of 2^63 - 1 bytes")]
    TooLarge(String),
}

impl Size {
    /// Parses `size` and `DiskSize`: an integer followed by M, G or T (MiB, GiB, TiB), or `rest`.
    pub fn parse(text: &str) -> Result<Size, SizeError> {
        if text == "rest" {
            return Ok(Size::Rest);
        }
        let fault = |kind: fn(String) -> SizeError| Err(kind(text.to_owned()));
        let Some((number, unit)) = [('M', Bytes::MIB), ('G', Bytes::GIB), ('T', Bytes::TIB)]
            .iter()
            .find_map(|&(letter, unit)| Some((text.strip_suffix(letter)?, unit)))
        else {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            return fault(if digits { SizeError::NoUnit } else { SizeError::NotAnInteger });
        };
        let negative = number.starts_with('-');
        let digits = number.strip_prefix('-').unwrap_or(number);
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return fault(SizeError::NotAnInteger);
        }
        if negative || digits.bytes().all(|b| b == b'0') {
            return fault(SizeError::NotPositive);
        }
        match digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit)).filter(|n| *n <= LARGEST_FILE) {
            Some(bytes) => Ok(Size::Exact(Bytes(bytes))),
            None => fault(SizeError::TooLarge),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Size::Exact(bytes) => bytes.fmt(f),
            Size::Rest => f.write_str("rest"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_binary_units() {
        assert_eq!(Size::parse("512M"), Ok(Size::Exact(Bytes(512 << 20))));
        assert_eq!(Size::parse("8G"), Ok(Size::Exact(Bytes(8 << 30))));
        assert_eq!(Size::parse("1T"), Ok(Size::Exact(Bytes(1 << 40))));
        assert_eq!(Size::parse("rest"), Ok(Size::Rest));
    }

    #[test]
    fn invalid_sizes_are_reported() {
        let fault = |text: &str| Size::parse(text).unwrap_err();
        assert_eq!(fault("512"), SizeError::NoUnit("512".into()));
        for text in ["", "M", "1.5G", "8g", "G8", "+8G", "8 G", "--8G", "rest "] {
            assert_eq!(fault(text), SizeError::NotAnInteger(text.into()));
        }
        assert_eq!(fault("0M"), SizeError::NotPositive("0M".into()));
        assert_eq!(fault("-8G"), SizeError::NotPositive("-8G".into()));
        assert_eq!(fault("16777216T"), SizeError::TooLarge("16777216T".into()));
        assert_eq!(fault("99999999999999999999M"), SizeError::TooLarge("99999999999999999999M".into()));
    }

    #[test]
    fn byte_counts_are_readable() {
        let shown = |n| Bytes(n).to_string();
        assert_eq!(shown(512 << 20), "512 MiB");
        assert_eq!(shown(8706 << 20), "8.5 GiB");
        assert_eq!(shown(12), "12 bytes");
    }
}
