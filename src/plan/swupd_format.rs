//! The required format of swupd content.

use serde::{Deserialize, Serialize};
use std::fmt;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SwupdFormat {
    Number(u32),
    /// Accepts any format; for content that is not released yet.
    Staging,
}

impl SwupdFormat {
    pub fn parse(text: &str) -> Result<SwupdFormat, String> {
        if text == "staging" {
            return Ok(SwupdFormat::Staging);
        }
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse().ok().filter(|number| digits && *number > 0);
        number.map(SwupdFormat::Number).ok_or_else(|| "expected a positive number or `staging`".to_owned())
    }
}

impl fmt::Display for SwupdFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SwupdFormat::Number(number) => write!(f, "{number}"),
            SwupdFormat::Staging => f.write_str("staging"),
        }
    }
}
