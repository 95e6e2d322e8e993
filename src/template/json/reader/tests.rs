//! Tests of parsing and error recovery.

use super::*;
use proptest::prelude::*;

fn faults(text: &str) -> Vec<String> {
    let (_, faults) = read(text);
    faults.iter().map(|f| format!("{}-{} {}", f.span.start, f.span.end, f.message)).collect()
}

#[test]
fn valid_json_is_parsed_like_serde_json() {
    let text = r#" {"a": [1, -2.5e3, "x\u00e4\ud83d\ude00\n", true, null], "b": {}} "#;
    let (node, faults) = read(text);
    assert_eq!(faults, []);
    let expect: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(node.to_plain(), expect);
    assert_eq!(&text[node.span.start..node.span.end], text.trim());
}

#[test]
fn each_mistake_is_one_error_and_the_rest_is_parsed() {
    for (text, fault) in [
        (r#"{"a": 1, "b": 2,}"#, "15-16 trailing comma after the last item"),
        (r#"{"a": 1 "b": 2}"#, "7-7 expected `,` before the next item"),
        (r#"{"a": 1,, "b": 2}"#, "8-9 unexpected comma"),
        ("{\"a\": 1, // one\n\"b\": 2}", "9-15 comments are not allowed in JSON"),
        (r#"{'a': 1, "b": 2}"#, "1-2 expected double quotes around the string"),
        (r#"{a: 1, "b": 2}"#, "1-2 expected a key in double quotes"),
        (r#"{"a" 1, "b": 2}"#, "1-4 expected `:` and a value after this key"),
        (r#"{"a": 1, "b": 2"#, "0-1 unclosed object"),
        (r#"{"a": 1, "b": 2} x"#, "17-18 unexpected text after the end of the template"),
        (r#"{"a": 1, "b": 02}"#, "14-16 invalid number"),
        (r#"{"a": 1, "c": "b": 2}"#, "9-13 missing value for this key"),
        (r#"{"a": (2G", "b": 2}"#, "6-10 missing quote at the beginning of the string"),
        (r#"{"a": 8G", "b": 2}"#, "6-9 missing quote at the beginning of the string"),
        ("{\"a\": 1, \"c\"\n \"b\": 2}", "9-12 expected `:` and a value after this key"),
        (r#"{"a": 1, :, "b": 2}"#, "9-10 expected a key in double quotes"),
    ] {
        assert_eq!(faults(text), [fault], "{text}");
        let (node, _) = read(text);
        let plain = node.to_plain();
        assert!(plain.get("a").is_some() && plain.get("b").is_some(), "{text}: {plain}");
    }
}

#[test]
fn a_missing_inner_bracket_does_not_affect_the_rest() {
    let (node, faults) = read(r#"{"a": [1, 2}"#);
    assert_eq!(faults.len(), 1);
    assert_eq!(node.to_plain(), serde_json::json!({"a": [1, 2]}));
}

/// After a guess, later fixes are not reliable. Only the first error has a fix, which is unsafe.
#[test]
fn a_missing_quote_has_one_unsafe_fix() {
    for text in [
        r#"{"a": [{ "disk: "kvm.img", "partition": 1, "size": "8G" }]}"#,
        r#"{"Bundles: ["bootloader", "kernel-kvm"]}"#,
        r#"{"a": [{ disk": "kvm.img", "partition": 1 }]}"#,
        "{\"Version\": \"bookworm,\n \"Bundles\": []\n}",
        r#"{"Hostname" = "kvm", "b": 'x', }"#,
    ] {
        let (_, faults) = read(text);
        let fixes: Vec<_> = faults.iter().filter_map(|fault| fault.fix.as_ref()).collect();
        assert!(
            fixes.len() <= 1 && fixes.iter().all(|fix| fix.safety == Safety::Unsafe),
            "{text}: {faults:#?}"
        );
    }
}

#[test]
fn an_unclosed_array_ends_before_the_next_key() {
    let text = "{\"a\": [1, 2\n \"b\": 3}";
    assert_eq!(
        faults(text),
        ["13-14 expected `]` to close the array", "11-11 expected `,` before the next item"]
    );
    assert_eq!(read(text).0.to_plain(), serde_json::json!({"a": [1, 2], "b": 3}));
    assert_eq!(faults("{\"a\": [1, 2,\n \"b\": 3}"), ["14-15 expected `]` to close the array"]);
}

#[test]
fn an_unclosed_object_ends_before_the_next_object() {
    let text = r#"{"a": [{"b": 1  {"b": 2}], "c": 3}"#;
    assert_eq!(
        faults(text),
        ["16-17 expected `}` to close the object", "14-14 expected `,` before the next item"]
    );
    assert_eq!(read(text).0.to_plain(), serde_json::json!({"a": [{"b": 1}, {"b": 2}], "c": 3}));
}

#[test]
fn deep_nesting_is_rejected_without_a_stack_overflow() {
    let text = "[".repeat(1_000_000);
    assert!(faults(&text).iter().any(|f| f.contains("nested more than")));
}

#[test]
fn an_empty_file_is_reported() {
    assert_eq!(faults(" \n"), ["2-2 the template is empty"]);
}

proptest! {
    /// For any text, the parser does not panic and all spans are valid. If serde_json accepts the text, the value is
    /// the same and there are no errors.
    #[test]
    fn any_text_is_parsed(text in r#"([{}\[\],:"'\\/ \n#*]|[a-z0-9.+-]{1,3}|"k"|\\u[0-9a-f]{2,5}|é){0,40}"#) {
        let (node, faults) = read(&text);
        for span in faults.iter().map(|f| f.span).chain([node.span]) {
            prop_assert!(text.is_char_boundary(span.start) && text.is_char_boundary(span.end));
        }
        match serde_json::from_str::<serde_json::Value>(&text) {
            Ok(value) => {
                prop_assert_eq!(&faults, &[]);
                prop_assert_eq!(node.to_plain(), value);
            }
            Err(error) => prop_assert!(!faults.is_empty(), "{error}"),
        }
    }
}
