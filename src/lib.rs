//! ister carries a JSON template to a disk image that is proven to boot. The modules in the order of the data:
//!
//! | decides, and does nothing | does what was decided |
//! | --- | --- |
//! | [`template`]: text to typed values with spans | [`host`]: runs programs, namespaces, atomic files |
//! | [`plan`]: everything decided, with bundles, layout and boot entries | [`content`]: fills root trees, keeps them |
//! | [`finding`]: rules and findings | |
//! | [`lint`]: what is wrong | [`disk`]: filesystems and LUKS, as bytes |
//! | [`report`]: values to text | [`image`]: a tree to an image, and to published formats |
//! | | [`verify`]: what an image holds, and whether it will boot |
//! | | [`boot`]: boots in QEMU, watches, judges |
//! | | [`imagetest`]: image types, and how their tests went |
//! | | [`lsp`]: the language server |
//! | | [`cli`]: one file per subcommand |
//!
//! Arrows point one way: nothing on the left knows anything on the right, nothing but `cli` prints, nothing but
//! `host` starts programs. `clippy.toml` lists what the pure modules must not call, and the `deny` lines below hold
//! them to it. So do the features in `Cargo.toml`: `lint` is the left side, `lsp` and their subcommands, without what builds and boots.

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

// Without `full`, some of what the subcommands share has no caller.
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
