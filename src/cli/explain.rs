//! `ister explain`

use super::console::print;
use super::run::Outcome;
use crate::lint::{nearest_rule, rule};
use crate::report::explain;
use clap::Args;

/// Say what a rule of `lint` or `verify` means, why, and what to write instead
///
/// Example: ister explain esp-small
#[derive(Args, Debug)]
pub(super) struct ExplainArgs {
    /// The rule, as findings name it in brackets
    #[arg(value_name = "RULE", required = true)]
    rules: Vec<String>,
}

/// A rule of verification.
#[cfg(feature = "full")]
fn of_images(name: &str) -> Option<String> {
    crate::verify::rule(name).map(crate::report::explain_verification)
}

/// The linter alone has none.
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
                None => "`ister rules` lists them all".to_owned(),
            };
            anyhow::bail!("there is no rule `{name}`; {help}");
        };
        texts.push(text);
    }
    print(&texts.join("\n"));
    Ok(Outcome::Fine)
}
