//! Showing things: findings, plans, verdicts, receipts, as text for people and as JSON for programs. Values in,
//! text out; printing is `cli`'s.

mod findings;
mod plan;
mod receipt;
mod table;
mod verdict;

pub use findings::{findings_human, findings_json, refusals_human};
pub use plan::plan_table;
pub use receipt::{Receipt, receipt_human};
pub use table::Table;
pub use verdict::verdict_human;
