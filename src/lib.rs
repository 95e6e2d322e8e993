//! ister carries a JSON template to a disk image that is proven to boot. The modules in the order of the data:
//!
//! | decides, and does nothing | does what was decided |
//! | --- | --- |
//! | [`template`]: text to typed values with spans | [`tool`]: runs programs, namespaces, drafts |
//! | [`lint`]: what is wrong | [`content`]: fills root trees, keeps them |
//! | [`bls`], [`command_line`]: which entry starts, how its line arrives | |
//! | [`bundle`]: names to packages | [`customize`]: users, files, hooks |
//! | [`layout`]: sizes to block ranges | [`image`]: table, filesystems, loaders |
//! | [`published`]: templates to start from | [`format`]: published formats, written and read |
//! | [`plan`]: everything decided | [`build`]: the conductor |
//! | [`report`]: values to text | [`vm`]: boots, watches, judges |
//! | | [`trial`]: types proven by commands; [`history`]: how it went before |
//! | | [`lsp`]: the language server |
//! | | [`cli`]: one file per subcommand |
//!
//! Arrows point one way: nothing on the left knows anything on the right, nothing but `cli` prints, nothing but
//! `tool` starts programs. `clippy.toml` lists what the pure modules must not call, and the `deny` lines below hold
//! them to it.

#[deny(clippy::disallowed_methods)]
pub mod bls;
#[deny(clippy::disallowed_methods)]
pub mod bundle;
#[deny(clippy::disallowed_methods)]
pub mod command_line;
#[deny(clippy::disallowed_methods)]
pub mod layout;
#[deny(clippy::disallowed_methods)]
pub mod lint;
#[deny(clippy::disallowed_methods)]
pub mod plan;
#[deny(clippy::disallowed_methods)]
pub mod published;
#[deny(clippy::disallowed_methods)]
pub mod report;
#[deny(clippy::disallowed_methods)]
pub mod template;

pub mod build;
pub mod cli;
pub mod compare;
pub mod content;
pub mod customize;
pub mod device;
pub mod fetch;
pub mod filesystem;
pub mod format;
pub mod history;
pub mod image;
pub mod lsp;
pub mod provision;
pub mod swupd;
pub mod tool;
pub mod trial;
pub mod verify;
pub mod vm;
