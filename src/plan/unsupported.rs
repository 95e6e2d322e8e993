//! What this version cannot build yet.

use super::inputs::Refusal;
use crate::template::{Format, Named, Span, Template};

/// What this version cannot build yet, though the template may be right.
pub fn unsupported(template: &Template) -> Vec<Refusal> {
    let mut refusals = Vec::new();
    let mut refuse = |span: Span, message: &str, help: &str| {
        refusals.push(Refusal { span, message: message.to_owned(), help: help.to_owned() });
    };
    let keeps = template.disabled_new_partitions.as_ref().is_some_and(|kept| kept.value);
    for entry in template.filesystems() {
        let Some(span) = entry.disable_format else { continue };
        if !template.is_physical() {
            refuse(span, "an image has no filesystem that could be kept", "leave `disable_format` out");
        } else if !keeps {
            refuse(
                span,
                "nothing can be kept: a new partition table is made",
                "add `\"DisabledNewPartitions\": true`, or leave `disable_format` out",
            );
        } else if entry.encryption.is_some() {
            refuse(span, "an encrypted filesystem cannot be kept", "leave `disable_format` out");
        }
    }
    for mirror in [&template.mirror_url, &template.version_url].into_iter().flatten() {
        if url::Url::parse(mirror).is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
            refuse(
                mirror.span,
                "a user name or password here would be readable for everybody on the installed system",
                "give the package manager its own file for it (apt: /etc/apt/auth.conf.d), with a hook",
            );
        }
    }
    if let Some(kept) = &template.disabled_new_partitions
        && kept.value
        && !template.is_physical()
    {
        refuse(
            kept.span,
            "a new image has no partitions that could be kept",
            "leave DisabledNewPartitions out",
        );
    }
    for format in template.formats.iter().flat_map(|formats| &formats.value) {
        if matches!(format.value, Named::Known(Format::Iso)) {
            refuse(format.span, "this version of ister does not make that yet", "leave it out of `Formats`");
        }
    }
    refusals
}
