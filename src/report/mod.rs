//! Renderers for findings, plans, verdicts and receipts: text for users, and JSON for programs. They return strings and
//! JSON values; `cli` prints them.

#[cfg(feature = "full")]
mod attestation;
#[cfg(feature = "full")]
mod boot_paths;
#[cfg(feature = "full")]
mod difference;
mod explain;
mod findings;
#[cfg(feature = "full")]
mod image_tests;
mod plan;
mod plan_diff;
#[cfg(feature = "full")]
mod receipt;
#[cfg(feature = "full")]
mod sbom;
#[cfg(feature = "full")]
mod site;
mod source_root;
mod svg;
mod table;
mod template_reference;
#[cfg(feature = "full")]
mod verdict;
#[cfg(feature = "full")]
mod verification;

#[cfg(feature = "full")]
pub(crate) use attestation::{AttestationError, Attester, check_attestation};
#[cfg(feature = "full")]
pub use boot_paths::{boot_paths_svg, boot_paths_text};
#[cfg(all(test, feature = "full"))]
pub(crate) use difference::DiffOutput;
#[cfg(feature = "full")]
pub use difference::{differences_grouped, differences_html, differences_human, differences_json};
#[cfg(test)]
pub(crate) use explain::RulesOutput;
pub use explain::{explain, rule_names, rule_text, rules_markdown, rules_output, rules_table};
#[cfg(test)]
pub(crate) use findings::LintOutput;
pub use findings::{
    Checked, CheckedTemplates, Report, concise, findings_human, github, plan_errors_human, sarif, statistics,
};
#[cfg(feature = "full")]
pub(crate) use image_tests::image_tests_junit;
pub use plan::{PlanView, disk_title, plan_table};
pub use plan_diff::compare_plans;
#[cfg(feature = "full")]
pub use receipt::{RECEIPT_VERSION, Receipt, receipt_human};
#[cfg(feature = "full")]
pub use sbom::{Contents, PackageLine, cyclonedx, package_list, spdx};
#[cfg(feature = "full")]
pub use site::{BootFiles, ContentsFiles, Page, Site, pages};
pub use source_root::SourceRoot;
pub use svg::plan_svg;
pub use table::Table;
pub use template_reference::template_reference;
#[cfg(feature = "full")]
pub use verdict::verdict_human;
#[cfg(feature = "full")]
pub use verification::Verified;
#[cfg(all(test, feature = "full"))]
pub(crate) use verification::VerifyOutput;

/// A JSON document, as every command prints it.
pub fn document(value: &impl serde::Serialize) -> String {
    serde_json::to_string_pretty(value).expect("output types are plain data") + "\n"
}
