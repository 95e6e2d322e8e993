//! Levels set on the command line with `--allow`, `--warn` and `--deny`.

use super::finding::{Finding, Level};
use super::rules::{RULES, rule};
use crate::template::nearest;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    Allow,
    Warn,
    Deny,
}

/// Settings in command-line order; a later setting overrides an earlier one for the same rule.
#[derive(Clone, Debug, Default)]
pub struct Levels(Vec<(Selector, Setting)>);

/// The rules that a setting applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    Rule(&'static str),
    /// All rules with this default level: `warnings`, `notes`.
    Group(Level),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown lint rule `{name}`{}; `ister rules` lists all rules, and `warnings` and `notes` select all rules of that level", .meant.map(|m| format!("; did you mean `{m}`?")).unwrap_or_default())]
pub struct UnknownRule {
    name: String,
    meant: Option<&'static str>,
}

impl std::str::FromStr for Selector {
    type Err = UnknownRule;

    fn from_str(name: &str) -> Result<Self, UnknownRule> {
        match (name, rule(name)) {
            (_, Some(rule)) => Ok(Selector::Rule(rule.name)),
            ("warnings", _) => Ok(Selector::Group(Level::Warning)),
            ("notes", _) => Ok(Selector::Group(Level::Note)),
            _ => Err(UnknownRule { name: name.to_owned(), meant: nearest_rule(name) }),
        }
    }
}

/// The rule with the most similar name, if one is close enough.
pub fn nearest_rule(name: &str) -> Option<&'static str> {
    let names: Vec<&'static str> = RULES.iter().map(|rule| rule.name).collect();
    nearest(name, &names)
}

impl Levels {
    pub fn new(settings: Vec<(Selector, Setting)>) -> Levels {
        Levels(settings)
    }

    /// The effective level of a finding; `None` if it is suppressed.
    pub fn level(&self, finding: &Finding) -> Option<Level> {
        let about = |selector: &Selector| match selector {
            Selector::Rule(name) => *name == finding.rule,
            Selector::Group(level) => *level == finding.level,
        };
        match self.0.iter().rev().find(|(selector, _)| about(selector)) {
            None => Some(finding.level),
            Some((_, Setting::Allow)) => None,
            Some((_, Setting::Warn)) => Some(Level::Warning),
            Some((_, Setting::Deny)) => Some(Level::Error),
        }
    }

    pub fn apply(&self, findings: &mut Vec<Finding>) {
        if self.0.is_empty() {
            return;
        }
        findings.retain_mut(|finding| match self.level(finding) {
            Some(level) => {
                finding.level = level;
                true
            }
            None => false,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::template::Span;

    #[test]
    fn the_last_setting_wins() {
        let finding = |rule, level| Finding {
            rule,
            level,
            message: String::new(),
            span: Span::default(),
            labels: Vec::new(),
            help: None,
            fix: None,
        };
        let levels = Levels::new(vec![
            ("warnings".parse().unwrap(), Setting::Deny),
            ("unknown-key".parse().unwrap(), Setting::Allow),
            ("hook-missing".parse().unwrap(), Setting::Warn),
        ]);
        let mut findings = vec![
            finding("unknown-key", Level::Warning),
            finding("hostname-long", Level::Warning),
            finding("hook-missing", Level::Error),
            finding("syntax", Level::Error),
        ];
        levels.apply(&mut findings);
        let left: Vec<_> = findings.iter().map(|f| (f.rule, f.level)).collect();
        assert_eq!(
            left,
            [("hostname-long", Level::Error), ("hook-missing", Level::Warning), ("syntax", Level::Error)]
        );
    }

    #[test]
    fn suggests_the_nearest_rule_name() {
        let error = "hostname-lang".parse::<Selector>().unwrap_err();
        assert!(error.to_string().contains("did you mean `hostname-long`?"), "{error}");
    }
}
