//! Showing things: findings, plans, verdicts, receipts, as text for people and as JSON for programs. Values in,
//! text out; printing is `cli`'s.

mod boot_paths;
mod difference;
mod explain;
mod findings;
mod plan;
mod plan_diff;
mod receipt;
mod sbom;
mod site;
mod source_root;
mod svg;
mod table;
mod verdict;
mod verification;

pub use boot_paths::{boot_paths_svg, boot_paths_text};
pub use difference::{differences_grouped, differences_html, differences_human, differences_json};
pub use explain::{explain, explain_verification, rules_json, rules_markdown, rules_table};
pub use findings::{
    Checked, concise, findings_human, findings_json, github, junit, refusals_human, sarif, statistics,
};
pub use plan::{disk_title, plan_table};
pub use plan_diff::compare_plans;
pub use receipt::{RECEIPT_VERSION, Receipt, receipt_human};
pub use sbom::{Contents, PackageLine, package_list, spdx};
pub use site::{BootFiles, Page, Site, pages};
pub use source_root::SourceRoot;
pub use svg::plan_svg;
pub use table::Table;
pub use verdict::verdict_human;
pub use verification::{
    Verified, verification_concise, verification_github, verification_human, verification_json,
    verification_junit, verification_sarif,
};
