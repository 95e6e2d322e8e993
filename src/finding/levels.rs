//! Levels set on the command line with `--allow`, `--warn` and `--deny`.

use super::{Finding, Level};
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
    /// All findings of this level: `warnings`, `notes`.
    Group(Level),
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this command has no rule `{name}`{}; `ister rules` lists all rules, and `warnings` and `notes` select all rules of that level", .meant.map(|m| format!("; did you mean `{m}`?")).unwrap_or_default())]
pub struct UnknownRule {
    name: String,
    meant: Option<&'static str>,
}

impl Selector {
    /// One of `rules`, or a group.
    pub fn parse(name: &str, rules: &[&'static str]) -> Result<Selector, UnknownRule> {
        match (name, rules.iter().find(|rule| **rule == name)) {
            (_, Some(rule)) => Ok(Selector::Rule(rule)),
            ("warnings", None) => Ok(Selector::Group(Level::Warning)),
            ("notes", None) => Ok(Selector::Group(Level::Note)),
            _ => Err(UnknownRule { name: name.to_owned(), meant: nearest(name, rules) }),
        }
    }
}

impl Levels {
    pub fn new(settings: Vec<(Selector, Setting)>) -> Levels {
        Levels(settings)
    }

    /// The level that a finding gets; `None` if it is not shown.
    pub fn level<P>(&self, finding: &Finding<P>) -> Option<Level> {
        let applies = |selector: &Selector| match selector {
            Selector::Rule(name) => *name == finding.rule,
            Selector::Group(level) => *level == finding.level,
        };
        match self.0.iter().rev().find(|(selector, _)| applies(selector)) {
            None => Some(finding.level),
            Some((_, Setting::Allow)) => None,
            Some((_, Setting::Warn)) => Some(Level::Warning),
            Some((_, Setting::Deny)) => Some(Level::Error),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The effective level of messages that belong to no rule; `None` if they are suppressed.
    pub fn of_group(&self, level: Level) -> Option<Level> {
        let setting = self.0.iter().rev().find(|(selector, _)| *selector == Selector::Group(level));
        match setting {
            None => Some(level),
            Some((_, Setting::Allow)) => None,
            Some((_, Setting::Warn)) => Some(Level::Warning),
            Some((_, Setting::Deny)) => Some(Level::Error),
        }
    }

    pub fn apply<P>(&self, findings: &mut Vec<Finding<P>>) {
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

    const RULES: [&str; 3] = ["hostname-long", "hook-missing", "unknown-key"];

    #[test]
    fn the_last_setting_wins() {
        let finding = |rule, level| Finding {
            rule,
            level,
            message: String::new(),
            place: (),
            labels: Vec::new(),
            help: None,
            fix: None,
        };
        let selector = |name| Selector::parse(name, &RULES).unwrap();
        let levels = Levels::new(vec![
            (selector("warnings"), Setting::Deny),
            (selector("unknown-key"), Setting::Allow),
            (selector("hook-missing"), Setting::Warn),
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
        let error = Selector::parse("hostname-lang", &RULES).unwrap_err();
        assert!(error.to_string().contains("did you mean `hostname-long`?"), "{error}");
    }
}
