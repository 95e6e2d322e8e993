//! The image types published by Clear Linux, as templates to start from.
//!
//! Each type is an entry of a table with partitions, bundles and options. This module does no I/O.

mod template;
mod types;

pub use template::{NewOptions, NewTemplate, new_template};
pub use types::{Firmware, ImageType, TYPES};
