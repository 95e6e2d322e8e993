//! Builds disk images from JSON templates and verifies that they boot. The modules, in pipeline order:
//!
//! | pure: decides, without side effects | executes what was decided |
//! | --- | --- |
//! | [`template`]: text to typed values with spans | [`host`]: runs programs, namespaces, atomic files |
//! | [`plan`]: template to plan: bundles, layout, boot entries | [`content`]: installs packages into root trees, and caches the trees |
//! | [`finding`]: rules and findings, shared by `lint` and `verify` | |
//! | [`lint`]: findings about templates | [`disk`]: writes filesystems and LUKS volumes |
//! | [`report`]: values to text | [`image`]: root tree to image and published formats |
//! | | [`verify`]: checks the contents and the boot chain of an image |
//! | | [`boot`]: boots images in QEMU, monitors the console, gives a verdict |
//! | | [`imagetest`]: image types and their test results |
//! | | [`lsp`]: the language server |
//! | | [`cli`]: one file per subcommand |
//!
//! Dependencies point one way: modules on the left do not use modules on the right, only `cli` prints, and only
//! `host` starts programs. `clippy.toml` lists the functions that the pure modules must not call, and the `deny`
//! attributes below enforce it. So do the features in `Cargo.toml`: `lint` is the left column, `lsp` and their
//! subcommands, without building and booting.

#![warn(unreachable_pub)]
// See clippy.toml.
#![cfg_attr(not(test), warn(clippy::too_many_lines))]

#[deny(clippy::disallowed_methods)]
pub mod finding;
#[deny(clippy::disallowed_methods)]
pub mod lint;
#[deny(clippy::disallowed_methods)]
pub mod plan;
#[deny(clippy::disallowed_methods)]
pub mod report;
#[deny(clippy::disallowed_methods)]
pub mod template;

// Without `full`, some code that the subcommands share is unused.
#[cfg(feature = "lint")]
#[cfg_attr(not(feature = "full"), allow(dead_code))]
pub mod cli;
#[cfg(feature = "lint")]
pub mod host;
#[cfg(feature = "lint")]
pub(crate) mod lsp;

#[cfg(feature = "full")]
pub mod boot;
#[cfg(feature = "full")]
pub mod content;
#[cfg(feature = "full")]
pub mod disk;
#[cfg(feature = "full")]
pub mod image;
#[cfg(feature = "full")]
pub(crate) mod imagetest;
#[cfg(feature = "full")]
pub mod verify;
