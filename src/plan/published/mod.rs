//! The image types that Clear Linux published, as templates to start from.
//!
//! A type is a row of a table: partitions, bundles, options. Nothing here reads a file.

mod template;
mod types;

pub use template::{NewTemplate, new_template};
pub use types::{Firmware, ImageType, TYPES};
