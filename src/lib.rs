//! ister carries a JSON template to a disk image that is proven to boot. The modules in the order of the data:
//!
//! | decides, and does nothing | does what was decided |
//! | --- | --- |
//! | [`template`]: text to typed values with spans | [`host`]: runs programs, namespaces, atomic files |
//! | [`plan`]: everything decided, with bundles, layout and boot entries | [`content`]: fills root trees, keeps them |
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
//! them to it.

#[deny(clippy::disallowed_methods)]
pub mod lint;
#[deny(clippy::disallowed_methods)]
pub mod plan;
#[deny(clippy::disallowed_methods)]
pub mod report;
#[deny(clippy::disallowed_methods)]
pub mod template;

pub mod boot;
pub mod cli;
pub mod content;
pub mod disk;
pub mod host;
pub mod image;
pub mod imagetest;
pub mod lsp;
pub mod verify;
