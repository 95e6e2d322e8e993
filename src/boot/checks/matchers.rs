//! Matchers of goss: plain values, patterns for lines, and operators.

use super::unknown;
use regex::Regex;
use serde_json::Value;
use std::fmt;

/// An actual value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Actual {
    Boolean(bool),
    Number(f64),
    Text(String),
    List(Vec<String>),
    /// Text whose lines are searched for patterns.
    Lines(String),
}

const OPERATORS: [&str; 16] = [
    "and",
    "consist-of",
    "contain-element",
    "contain-elements",
    "contain-substring",
    "equal",
    "ge",
    "gt",
    "have-len",
    "have-prefix",
    "have-suffix",
    "le",
    "lt",
    "match-regexp",
    "not",
    "or",
];

/// Longest value that a message shows.
const MOST_SHOWN: usize = 300;

impl fmt::Display for Actual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = match self {
            Actual::Boolean(value) => Value::from(*value),
            Actual::Number(value) if value.fract() == 0.0 && value.abs() < 1e15 => Value::from(*value as i64),
            Actual::Number(value) => Value::from(*value),
            Actual::Text(text) | Actual::Lines(text) => Value::from(text.as_str()),
            Actual::List(list) => Value::from(list.clone()),
        };
        let text = value.to_string();
        match text.char_indices().nth(MOST_SHOWN) {
            Some((end, _)) => write!(f, "{}…", &text[..end]),
            None => f.write_str(&text),
        }
    }
}

impl Actual {
    fn text(&self) -> String {
        match self {
            Actual::Text(text) | Actual::Lines(text) => text.clone(),
            Actual::Boolean(value) => value.to_string(),
            Actual::Number(value) => value.to_string(),
            Actual::List(list) => list.join("\n"),
        }
    }

    fn number(&self) -> Option<f64> {
        match self {
            Actual::Number(value) => Some(*value),
            Actual::Boolean(_) => None,
            other => other.text().trim().parse().ok(),
        }
    }

    fn list(&self) -> Vec<Actual> {
        match self {
            Actual::List(list) => list.iter().cloned().map(Actual::Text).collect(),
            Actual::Text(text) | Actual::Lines(text) => {
                text.lines().map(|line| Actual::Text(line.to_owned())).collect()
            }
            other => vec![other.clone()],
        }
    }
}

/// Checks that an expected value is valid.
pub(super) fn check(expected: &Value) -> Result<(), String> {
    match expected {
        Value::Null => Err("expected a value".to_owned()),
        Value::Bool(_) | Value::Number(_) => Ok(()),
        Value::String(_) => pattern_regex(expected).map(|_| ()),
        Value::Array(items) => items.iter().try_for_each(check),
        Value::Object(operators) if operators.is_empty() => Err("expected a matcher".to_owned()),
        Value::Object(operators) => operators.iter().try_for_each(|(name, operand)| operator(name, operand)),
    }
}

fn operator(name: &str, operand: &Value) -> Result<(), String> {
    let invalid = |what: &str| Err(format!("{name}: expected {what}"));
    match name {
        "gjson" | "have-key" | "semver-constraint" => Err(format!("the matcher `{name}` is not supported")),
        "not" | "contain-element" | "equal" => check(operand),
        "and" | "or" if operand.as_array().is_some_and(Vec::is_empty) => invalid("a list that is not empty"),
        "and" | "or" | "consist-of" | "contain-elements" if operand.is_array() => check(operand),
        "and" | "or" | "consist-of" | "contain-elements" => invalid("a list"),
        "gt" | "ge" | "lt" | "le" | "have-len" if operand.is_number() => Ok(()),
        "gt" | "ge" | "lt" | "le" | "have-len" => invalid("a number"),
        "match-regexp" => match operand.as_str() {
            Some(text) => Regex::new(text).map(|_| ()).map_err(|error| error.to_string()),
            None => invalid("a regular expression"),
        },
        "have-prefix" | "have-suffix" | "contain-substring" if operand.is_string() => Ok(()),
        "have-prefix" | "have-suffix" | "contain-substring" => invalid("a string"),
        _ => Err(unknown("matcher", name, &OPERATORS)),
    }
}

/// The regular expression of a pattern `/…/` or `!/…/`.
fn pattern_regex(pattern: &Value) -> Result<Option<Regex>, String> {
    let text = pattern.as_str().unwrap_or_default();
    let text = text.strip_prefix('!').unwrap_or(text);
    match text.strip_prefix('/').and_then(|text| text.strip_suffix('/')) {
        // A path such as `/etc/` would be one too, but as a regular expression it finds the same and more.
        Some(regex) => Regex::new(regex).map(Some).map_err(|error| error.to_string()),
        None => Ok(None),
    }
}

/// Whether a value is as expected. A value that is missing, as of a file that does not exist, matches nothing.
pub(super) fn matches(expected: &Value, actual: Option<&Actual>) -> bool {
    let Some(actual) = actual else { return is_empty_list(expected) };
    match expected {
        Value::Null => false,
        Value::Bool(value) => *actual == Actual::Boolean(*value),
        Value::Number(value) => actual.number().is_some_and(|number| value.as_f64() == Some(number)),
        Value::String(text) => match actual {
            Actual::Lines(lines) => lines == text || lines.strip_suffix('\n') == Some(text),
            Actual::List(list) => list.len() == 1 && list[0] == *text,
            other => other.text() == *text,
        },
        Value::Array(items) => match actual {
            Actual::Lines(lines) => items.iter().all(|item| line_matches(item, lines)),
            other => are_contained(items, &other.list()),
        },
        Value::Object(operators) => {
            operators.iter().all(|(name, operand)| operator_matches(name, operand, actual))
        }
    }
}

fn is_empty_list(expected: &Value) -> bool {
    expected.as_array().is_some_and(Vec::is_empty)
}

/// A pattern: part of a line, `/regular expression/`, or one of them after `!` if no line may match.
fn line_matches(item: &Value, text: &str) -> bool {
    let Some(pattern) = item.as_str() else {
        let lines = text.lines().map(|line| Actual::Text(line.to_owned()));
        return lines.into_iter().any(|line| matches(item, Some(&line)));
    };
    let (pattern, negated) = match pattern.strip_prefix('!') {
        Some(rest) => (rest, true),
        None => (pattern.strip_prefix("\\!").map_or(pattern, |_| &pattern[1..]), false),
    };
    let found = match pattern_regex(&Value::from(pattern)) {
        Ok(Some(regex)) => text.lines().any(|line| regex.is_match(line)),
        _ => text.lines().any(|line| line.contains(pattern)),
    };
    found != negated
}

fn operator_matches(name: &str, operand: &Value, actual: &Actual) -> bool {
    let compares = |holds: fn(f64, f64) -> bool| {
        actual.number().zip(operand.as_f64()).is_some_and(|(actual, operand)| holds(actual, operand))
    };
    let items = operand.as_array().map(Vec::as_slice).unwrap_or_default();
    let text = operand.as_str().unwrap_or_default();
    match name {
        "and" => items.iter().all(|item| matches(item, Some(actual))),
        "or" => items.iter().any(|item| matches(item, Some(actual))),
        "not" => !matches(operand, Some(actual)),
        "equal" => match operand {
            Value::Array(_) => {
                let list = actual.list();
                list.len() == items.len()
                    && list.iter().zip(items).all(|(actual, item)| matches(item, Some(actual)))
            }
            other => matches(other, Some(actual)),
        },
        "gt" => compares(|a, b| a > b),
        "ge" => compares(|a, b| a >= b),
        "lt" => compares(|a, b| a < b),
        "le" => compares(|a, b| a <= b),
        "have-len" => {
            let length = match actual {
                Actual::List(list) => list.len(),
                other => other.text().chars().count(),
            };
            operand.as_f64() == Some(length as f64)
        }
        "have-prefix" => actual.text().starts_with(text),
        "have-suffix" => actual.text().trim_end_matches('\n').ends_with(text),
        "contain-substring" => actual.text().contains(text),
        "match-regexp" => Regex::new(text).is_ok_and(|regex| regex.is_match(&actual.text())),
        "contain-element" => actual.list().iter().any(|element| matches(operand, Some(element))),
        "contain-elements" => are_contained(items, &actual.list()),
        "consist-of" => actual.list().len() == items.len() && are_contained(items, &actual.list()),
        _ => false,
    }
}

/// Whether each item matches an element of its own.
fn are_contained(items: &[Value], elements: &[Actual]) -> bool {
    // Augmenting paths, because a matcher may match several elements.
    fn place(
        item: usize,
        items: &[Value],
        elements: &[Actual],
        taken: &mut [Option<usize>],
        tried: &mut [bool],
    ) -> bool {
        for at in 0..elements.len() {
            if tried[at] || !matches(&items[item], Some(&elements[at])) {
                continue;
            }
            tried[at] = true;
            if taken[at].is_none_or(|other| place(other, items, elements, taken, tried)) {
                taken[at] = Some(item);
                return true;
            }
        }
        false
    }
    let mut taken = vec![None; elements.len()];
    (0..items.len()).all(|item| place(item, items, elements, &mut taken, &mut vec![false; elements.len()]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_match_by_their_type() {
        let text = |text: &str| Actual::Text(text.to_owned());
        let list = |items: &[&str]| Actual::List(items.iter().map(|item| (*item).to_owned()).collect());
        for (expected, actual, good) in [
            (json!(true), Actual::Boolean(true), true),
            (json!(true), Actual::Boolean(false), false),
            (json!("0644"), text("0644"), true),
            (json!(128), text("128"), true),
            (json!("128"), Actual::Number(128.0), true),
            (json!({ "gt": 100, "lt": 200 }), text("128"), true),
            (json!({ "ge": 129 }), text("128"), false),
            (json!({ "not": "root" }), text("ada"), true),
            (json!(["b", "a"]), list(&["a", "b", "c"]), true),
            (json!(["a", "a"]), list(&["a", "b"]), false),
            (json!([{ "have-prefix": "a" }, "ab"]), list(&["ab", "ac"]), true),
            (json!({ "consist-of": ["b", { "have-prefix": "a" }] }), list(&["ab", "b"]), true),
            (json!({ "consist-of": ["b"] }), list(&["ab", "b"]), false),
            (json!({ "equal": ["a", "b"] }), list(&["b", "a"]), false),
            (json!({ "have-len": 2 }), list(&["b", "a"]), true),
            (json!({ "contain-element": { "match-regexp": "^b." } }), list(&["a", "bc"]), true),
            (json!({ "or": ["x", { "have-suffix": "c" }] }), text("abc"), true),
            (json!({ "and": [{ "contain-substring": "b" }, "x"] }), text("abc"), false),
            (json!("1.2"), list(&["1.2"]), true),
        ] {
            assert_eq!(matches(&expected, Some(&actual)), good, "{expected} {actual}");
        }
    }

    #[test]
    fn patterns_are_searched_in_lines() {
        let found = Actual::Lines("user nginx;\nworker 4;\n!important\n".to_owned());
        for (pattern, good) in [
            (json!(["nginx", "/^worker [0-9]+;$/"]), true),
            (json!(["!apache"]), true),
            (json!(["!nginx"]), false),
            (json!(["!/^worker/"]), false),
            (json!(["\\!important"]), true),
            (json!([]), true),
            (json!("user nginx;"), false),
            (
                json!({ "and": [{ "contain-element": "worker 4;" }, { "not": { "contain-element": "x" } }] }),
                true,
            ),
        ] {
            assert_eq!(matches(&pattern, Some(&found)), good, "{pattern}");
        }
        assert!(matches(&json!("hello"), Some(&Actual::Lines("hello\n".to_owned()))));
    }

    #[test]
    fn missing_values_do_not_match() {
        assert!(!matches(&json!("a"), None) && !matches(&json!({ "lt": 3 }), None));
        assert!(!matches(&json!({ "not": "a" }), None) && matches(&json!([]), None));
    }

    #[test]
    fn invalid_matchers_are_rejected() {
        assert_eq!(
            check(&json!({ "have-prefx": "a" })).unwrap_err(),
            "unknown matcher `have-prefx`; did you mean `have-prefix`?"
        );
        assert_eq!(check(&json!({ "gt": "a" })).unwrap_err(), "gt: expected a number");
        assert!(check(&json!(["/(/"])).is_err() && check(&json!({ "match-regexp": "(" })).is_err());
        assert_eq!(check(&json!({ "gjson": {} })).unwrap_err(), "the matcher `gjson` is not supported");
    }
}
