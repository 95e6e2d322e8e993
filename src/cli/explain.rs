//! `ister explain`

use super::console::print;
use super::run::Outcome;
use crate::lint::{nearest_rule, rule};
use crate::report::explain;
use clap::Args;

/// Explain rules of `ister lint` and `ister verify`
///
/// Example: ister explain esp-small
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// Rule name, as shown in brackets in findings
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,
}

/// The explanation of a verification rule.
#[cfg(feature = "full")]
fn of_images(name: &str) -> Option<String> {
    crate::verify::rule(name).map(crate::report::explain_verification)
}

/// The lint-only build has no verification rules.
#[cfg(not(feature = "full"))]
fn of_images(_: &str) -> Option<String> {
    None
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<Outcome> {
    let mut texts = Vec::new();
    for name in &args.rules {
        let text = rule(name).map(explain).or_else(|| of_images(name));
        let Some(text) = text else {
            let help = match nearest_rule(name) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "run `ister rules` for a list".to_owned(),
            };
            anyhow::bail!("unknown rule `{name}`; {help}");
        };
        texts.push(text);
    }
    print(&texts.join("\n"));
    Ok(Outcome::Fine)
}
