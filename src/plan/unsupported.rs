//! What this version cannot build yet.

use super::inputs::Refusal;
use crate::template::{Format, Named, SoftwareManager, Span, Template, boot_method};

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
    let boots = boot_method(template).is_some();
    for format in template.formats.iter().flat_map(|formats| &formats.value) {
        let Named::Known(known) = format.value else { continue };
        let starts = matches!(known, Format::Iso | Format::Pxe);
        if starts && !boots {
            let help =
                "add an EFI partition, or `\"LegacyBios\": true`: that is what says that a kernel is there";
            refuse(format.span, "nothing boots here, so nothing could start from this format", help);
        } else if known == Format::Iso && template.manager() != Some(SoftwareManager::Apt) {
            let help = "leave it out of `Formats`, or take Debian content (`\"SoftwareManager\": \"apt\"`)";
            refuse(format.span, "only Debian content can find itself on a CD, by live-boot", help);
        }
    }
    refusals
}
