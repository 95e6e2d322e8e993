//! Pictures of the guest's screen, as text.

use super::super::qmp::Qmp;
use super::super::screen::{Font, Picture};
use super::AT_ONCE;
use crate::host::{Context, Failure, inherited_name};
use serde_json::json;
use std::fs::File;
use std::io::{Read, Seek};

/// Pictures of the guest's screen, as text.
pub(super) struct Screen {
    /// Unnamed; QEMU inherits it, and writes each picture into it.
    pub(super) file: File,
    pub(super) name: String,
    pub(super) font: Option<Font>,
}

impl Screen {
    /// Before QEMU is started.
    pub(super) fn new() -> Result<Screen, Failure> {
        let file = tempfile::tempfile().context(|| "could not make a file for the screen".to_owned())?;
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

    /// QEMU opens the file by a name of its own and truncates it.
    pub(super) fn dump(&self, qmp: &mut Qmp, arguments: serde_json::Value) -> Result<Vec<u8>, String> {
        qmp.execute("screendump", arguments, AT_ONCE)?;
        let mut bytes = Vec::new();
        let read = (&self.file).rewind().and_then(|()| (&self.file).read_to_end(&mut bytes));
        read.map(|_| bytes).map_err(|error| error.to_string())
    }
}
