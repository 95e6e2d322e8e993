//! Showing things: findings, plans, verdicts, receipts, as text for people and as JSON for programs. Values in,
//! text out; printing is `cli`'s.

mod explain;
mod findings;
mod plan;
mod receipt;
mod table;
mod verdict;

pub use explain::{explain, rules_json, rules_markdown, rules_table};
pub use findings::{
    Checked, concise, findings_human, findings_json, github, junit, refusals_human, sarif, statistics,
};
pub use plan::plan_table;
pub use receipt::{Receipt, receipt_human};
pub use table::Table;
pub use verdict::verdict_human;
