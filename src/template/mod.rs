//! Templates: JSON text with spans, and the typed model.
//!
//! Parsing does not stop at the first error: [`parse`] always returns a [`Template`] and all [`DecodeError`]s. This module
//! does not check whether a template makes sense, which is the task of `lint`. It does not access files, the
//! environment or the clock.

mod boot;
mod decode;
mod edit;
mod format;
mod json;
pub(crate) mod keys;
pub mod limits;
mod location;
mod model;
mod node;
mod secret;
mod secrets;
mod set;
pub mod ssh_key;
mod text;
mod units;

pub use boot::{
    BootMethod, ESP_AS_BOOT, ESP_OF_GRUB, ESP_OF_KERNEL_INSTALL, Loader, boot_method,
    features_unreadable_by_grub,
};
pub use decode::{DecodeError, DecodeErrorKind, nearest, parse};
pub use edit::{Change, Edit, Fix, Safety, apply, json_string, resolve};
pub use format::format as format_json;
pub use json::read as read_json;
pub use keys::SCHEMA_TEXT;
pub use location::{Configuration, KernelRequests, display_url};
pub use model::*;
pub use node::{Member, Node, Value};
pub use secret::Secret;
pub use secrets::{for_message, mask_secrets, secret_places};
pub use set::{Override, OverrideError};
pub use text::{Encoding, Position, SourceText, Span, visible_name};
pub use units::{Bytes, Size, SizeError};
