//! Accessors for the header's JSON. Errors name the path of the missing or invalid field.

use crate::disk::source::ReadError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// A JSON value and its path.
pub(super) struct Field<'a> {
    value: &'a Value,
    /// Names joined by dots, such as `keyslots.0.kdf.time`.
    path: String,
    /// Offset of the JSON area, in bytes from the partition's start.
    at: u64,
}

impl<'a> Field<'a> {
    pub(super) fn root(value: &'a Value, at: u64) -> Self {
        Self { value, path: String::new(), at }
    }

    pub(super) fn optional(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name)?;
        Some(self.child(name, value))
    }

    pub(super) fn get(&self, name: &str) -> Result<Self, ReadError> {
        self.optional(name).ok_or_else(|| self.child(name, self.value).wrong("missing"))
    }

    fn child(&self, name: &str, value: &'a Value) -> Self {
        let path = if self.path.is_empty() { name.into() } else { format!("{}.{name}", self.path) };
        Self { value, path, at: self.at }
    }

    /// The members of an object whose names are numbers.
    pub(super) fn numbered(&self) -> Result<Vec<(u32, Self)>, ReadError> {
        let members = self.value.as_object().ok_or_else(|| self.wrong("not an object"))?;
        let mut numbered = Vec::new();
        for (name, value) in members {
            let field = self.child(name, value);
            let number = name.parse().map_err(|_| field.wrong("the name is not a number"))?;
            numbered.push((number, field));
        }
        numbered.sort_by_key(|(number, _)| *number);
        Ok(numbered)
    }

    pub(super) fn list(&self) -> Result<Vec<Self>, ReadError> {
        let values = self.value.as_array().ok_or_else(|| self.wrong("not an array"))?;
        Ok(values.iter().enumerate().map(|(index, value)| self.child(&index.to_string(), value)).collect())
    }

    pub(super) fn text(&self) -> Result<&'a str, ReadError> {
        self.value.as_str().ok_or_else(|| self.wrong("not a string"))
    }

    /// Numbers of up to 32 bits are JSON numbers.
    pub(super) fn number(&self) -> Result<u32, ReadError> {
        let number = self.value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| self.wrong("not a 32-bit number"))
    }

    /// Numbers of 64 bits are strings, since not every JSON parser keeps their precision.
    pub(super) fn long(&self) -> Result<u64, ReadError> {
        let text = self.text()?;
        text.parse().map_err(|_| self.wrong("not a decimal 64-bit number"))
    }

    pub(super) fn base64(&self) -> Result<Vec<u8>, ReadError> {
        STANDARD.decode(self.text()?).map_err(|_| self.wrong("not valid base64"))
    }

    pub(super) fn wrong(&self, problem: impl Into<String>) -> ReadError {
        damaged(&format!("`{}` of the LUKS2 JSON area", self.path), self.at, problem.into())
    }

    pub(super) fn unsupported(&self, what: &str) -> ReadError {
        ReadError::Unsupported(format!("`{}` of the LUKS2 JSON area is not supported: {what}", self.path))
    }
}

pub(super) fn damaged(structure: &str, at: u64, problem: String) -> ReadError {
    ReadError::Damaged { structure: structure.into(), at, problem }
}
