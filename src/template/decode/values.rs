//! Decodes single values, and reports nodes of the wrong type.

use super::super::edit::{Change, Fix, Safety};
use super::super::model::*;
use super::super::node::{Node, Value};
use super::super::text::Span;
use super::super::units::{Size, SizeError};
use super::{DecodeError, DecodeErrorKind, DecodeErrors, Fields, keys};

pub(super) fn wrong_type(node: &Node, faults: &mut DecodeErrors, expected: &str) {
    wrong_type_with(node, faults, expected, None);
}

pub(super) fn wrong_type_with(node: &Node, faults: &mut DecodeErrors, expected: &str, fix: Option<Fix>) {
    if node.value != Value::Broken {
        faults.push(DecodeError {
            kind: DecodeErrorKind::WrongType,
            span: node.span,
            message: format!("expected {expected}, found {}", node.kind()),
            help: fix.as_ref().map(|fix| fix.title.clone()),
            related: Vec::new(),
            fix,
        });
    }
}

pub(super) fn spanned<T>(node: &Node, value: T) -> Option<Spanned<T>> {
    Some(Spanned { value, span: node.span })
}

pub(super) fn list<T>(
    node: &Node,
    faults: &mut DecodeErrors,
    read: impl Fn(&Node, &mut DecodeErrors) -> Option<T>,
) -> Option<Spanned<Vec<T>>> {
    let Value::Array(items) = &node.value else {
        let fix = matches!(node.value, Value::String(_) | Value::Object(_)).then(|| Fix {
            title: "put it in an array".to_owned(),
            safety: Safety::Safe,
            changes: [(node.span.start, "["), (node.span.end, "]")]
                .map(|(at, bracket)| Change::Replace(Span::new(at, at), bracket.to_owned()))
                .into(),
        });
        wrong_type_with(node, faults, "an array, [ … ]", fix);
        return None;
    };
    spanned(node, items.iter().filter_map(|item| read(item, faults)).collect())
}

pub(super) fn text(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<String>> {
    let Value::String(text) = &node.value else {
        let fix = match &node.value {
            Value::Number(digits) => Some(Fix::safe("put it in quotes", Change::string(node.span, digits))),
            // A published guide uses an array for IsterCloudInitSvc.
            Value::Array(items) if let [Node { value: Value::String(text), .. }] = &items[..] => {
                Some(Fix::safe("replace the array with its only item", Change::string(node.span, text)))
            }
            _ => None,
        };
        wrong_type_with(node, faults, "a string", fix);
        return None;
    };
    spanned(node, text.clone())
}

pub(super) fn boolean(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<bool>> {
    let Value::Bool(value) = node.value else {
        let meant = match &node.value {
            Value::String(text) => [("true", "true"), ("yes", "true"), ("false", "false"), ("no", "false")]
                .into_iter()
                .find(|(word, _)| text.eq_ignore_ascii_case(word)),
            _ => None,
        };
        let fix = meant.map(|(_, value)| {
            Fix::safe(
                format!("write `{value}`, without quotes"),
                Change::Replace(node.span, value.to_owned()),
            )
        });
        wrong_type_with(node, faults, "true or false", fix);
        return None;
    };
    spanned(node, value)
}

pub(super) fn name<T: Names>(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<Named<T>>> {
    let text = text(node, faults)?;
    spanned(node, T::named(&text))
}

pub(super) fn size(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<Result<Size, SizeError>>> {
    match &node.value {
        Value::Number(number) => spanned(node, Err(SizeError::NoUnit(number.clone()))),
        _ => spanned(node, Size::parse(&text(node, faults)?)),
    }
}

pub(super) fn integer(node: &Node, faults: &mut DecodeErrors, expected: &str) -> Option<Spanned<i128>> {
    let digits = match &node.value {
        Value::Number(digits) | Value::String(digits) => digits.parse().ok(),
        _ => None,
    };
    match digits {
        Some(value) => spanned(node, value),
        None => {
            wrong_type(node, faults, expected);
            None
        }
    }
}

pub(super) fn partition_number(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<u32>> {
    let expected = "a partition number from 1, as an integer or a string of digits";
    let number = integer(node, faults, expected)?;
    match u32::try_from(number.value) {
        Ok(value @ 1..) => spanned(node, value),
        _ => {
            faults.push(DecodeError {
                kind: DecodeErrorKind::WrongType,
                span: node.span,
                message: format!("expected {expected}, found {}", number.value),
                help: None,
                related: Vec::new(),
                fix: None,
            });
            None
        }
    }
}

pub(super) fn version(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<Version>> {
    match &node.value {
        Value::String(text) => spanned(node, Version::Name(text.clone())),
        _ => {
            let number = integer(node, faults, "a release number, \"latest\" or a suite name")?;
            spanned(node, Version::Number(number.value))
        }
    }
}

pub(super) fn secret(node: &Node, faults: &mut DecodeErrors) -> Option<Spanned<SecretSource>> {
    match &node.value {
        Value::String(text) => spanned(node, SecretSource::Inline(text.clone())),
        Value::Object(_) => {
            let mut fields = Fields::of(node, &keys::SECRET, faults)?;
            match (fields.get("file", text), fields.get("env", text)) {
                (Some(path), None) => spanned(node, SecretSource::File(path.value)),
                (None, Some(name)) => spanned(node, SecretSource::Env(name.value)),
                _ => {
                    wrong_type(node, faults, "either {\"file\": PATH} or {\"env\": NAME}");
                    None
                }
            }
        }
        _ => {
            wrong_type(node, faults, "a string, {\"file\": PATH} or {\"env\": NAME}");
            None
        }
    }
}
