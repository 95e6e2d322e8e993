//! What is read of published files that are no disks.

use super::system::System;
use crate::filesystem::Window;
use crate::format::{Medium, MediumKind, Start};
use crate::tool::{Context, Failure};

pub struct MediumFacts {
    pub kind: MediumKind,
    /// What is wrong with it as an archive.
    pub damage: Vec<String>,
    /// What starts it; nothing for what never boots.
    pub start: Option<Start>,
    pub system: Option<System>,
    /// Why there is no system to look at.
    pub unreadable: Option<String>,
}

/// `host_marks` are texts that only the build host would have put there.
pub fn examine_medium(medium: Medium, host_marks: Vec<String>) -> Result<MediumFacts, Failure> {
    /// There is one tree and no partition.
    const WHOLE: u32 = 0;
    let Medium { kind, root, damage, start } = medium;
    let (system, unreadable) = match root {
        Err(why) => (None, Some(why)),
        Ok(root) => {
            let context = || "could not read the root tree".to_owned();
            let size = root.file.metadata().context(context)?.len();
            let mut system = System::new(WHOLE, root.tree);
            system.host_marks = host_marks;
            system
                .read_texts(|_| Some(Window { file: &root.file, offset: 0, size }))
                .map_err(|error| Failure::new(context()).caused_by(&error))?;
            (Some(system), None)
        }
    };
    Ok(MediumFacts { kind, damage, start, system, unreadable })
}
