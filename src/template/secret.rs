//! A passphrase, password or password hash in memory.

use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// A secret text. Debug output does not contain it, and its memory is overwritten on drop.
///
/// It is serialized in plain text, but only to the pipe to the namespace in which the image is built.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Removes the line end that text files have.
    pub fn without_line_end(self) -> Secret {
        match self.expose().strip_suffix('\n') {
            Some(text) => Secret::new(text.to_owned()),
            None => self,
        }
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_serialized_but_not_in_debug_output() {
        let secret = Secret::new("tulip\n".into()).without_line_end();
        assert_eq!(format!("{secret:?}"), "Secret(…)");
        let job = serde_json::to_string(&secret).unwrap();
        assert_eq!(job, "\"tulip\"");
        assert_eq!(serde_json::from_str::<Secret>(&job).unwrap(), secret);
    }
}
