//! Screenshots of the guest.

use super::super::qmp::Qmp;
use super::super::screen::{Font, Picture};
use super::AT_ONCE;
use crate::host::{Context, Failure, inherited_name};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek};

/// Takes screenshots, as text or PNG.
pub(super) struct Screen {
    /// An unnamed file that QEMU inherits and writes each screenshot to.
    pub(super) file: File,
    pub(super) name: String,
    pub(super) font: Option<Font>,
}

impl Screen {
    /// Must be called before QEMU is started.
    pub(super) fn new() -> Result<Screen, Failure> {
        let file = tempfile::tempfile()
            .context(|| "could not create a temporary file for screenshots".to_owned())?;
        Ok(Screen { name: inherited_name(&file), file, font: Font::of_host() })
    }

    pub(super) fn read(&self, qmp: &mut Qmp) -> Option<Vec<String>> {
        let font = self.font.as_ref()?;
        let bytes = self.dump(qmp, json!({ "filename": self.name })).ok()?;
        Some(font.read(&Picture::parse(&bytes)?))
    }

    pub(super) fn png(&self, qmp: &mut Qmp) -> Result<Vec<u8>, String> {
        self.dump(qmp, json!({ "filename": self.name, "format": "png" }))
    }

    /// QEMU opens the file under its own name and truncates it.
    pub(super) fn dump(&self, qmp: &mut Qmp, arguments: serde_json::Value) -> Result<Vec<u8>, String> {
        qmp.execute("screendump", arguments, AT_ONCE)?;
        let mut bytes = Vec::new();
        let read = (&self.file).rewind().and_then(|()| (&self.file).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|error| error.to_string())
    }
}
