//! What JSON with slips in it is read as.

use super::*;
use proptest::prelude::*;

fn faults(text: &str) -> Vec<String> {
    let (_, faults) = read(text);
    faults.iter().map(|f| format!("{}-{} {}", f.span.start, f.span.end, f.message)).collect()
}

#[test]
fn plain_json_is_read_as_serde_reads_it() {
    let text = r#" {"a": [1, -2.5e3, "x\u00e4\ud83d\ude00\n", true, null], "b": {}} "#;
    let (node, faults) = read(text);
    assert_eq!(faults, []);
    let expect: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(node.to_plain(), expect);
    assert_eq!(&text[node.span.start..node.span.end], text.trim());
}

#[test]
fn each_slip_is_one_fault_and_the_rest_is_read() {
    for (text, fault) in [
        (r#"{"a": 1, "b": 2,}"#, "15-16 a comma after the last item"),
        (r#"{"a": 1 "b": 2}"#, "7-7 expected `,` before the next item"),
        (r#"{"a": 1,, "b": 2}"#, "8-9 a comma too many"),
        ("{\"a\": 1, // one\n\"b\": 2}", "9-15 JSON has no comments"),
        (r#"{'a': 1, "b": 2}"#, "1-2 strings stand in double quotes"),
        (r#"{a: 1, "b": 2}"#, "1-2 expected a key in double quotes"),
        (r#"{"a" 1, "b": 2}"#, "1-4 expected `:` and a value after this key"),
        (r#"{"a": 1, "b": 2"#, "0-1 the object that starts here is not closed"),
        (r#"{"a": 1, "b": 2} x"#, "17-18 text after the end of the template"),
        (r#"{"a": 1, "b": 02}"#, "14-16 this is not a number"),
        (r#"{"a": 1, "c": "b": 2}"#, "9-13 this key has no value"),
        (r#"{"a": (2G", "b": 2}"#, "6-10 the string does not begin with a quote"),
        (r#"{"a": 8G", "b": 2}"#, "6-9 the string does not begin with a quote"),
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
fn a_missing_bracket_inside_does_not_swallow_the_rest() {
    let (node, faults) = read(r#"{"a": [1, 2}"#);
    assert_eq!(faults.len(), 1);
    assert_eq!(node.to_plain(), serde_json::json!({"a": [1, 2]}));
}

/// Behind a guess no fix can be trusted: the first fault gets one, which is no safe one, and the others wait.
#[test]
fn a_lost_quote_gets_one_fix_and_no_safe_one() {
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
fn an_array_that_is_not_closed_ends_where_the_next_key_begins() {
    let text = "{\"a\": [1, 2\n \"b\": 3}";
    assert_eq!(
        faults(text),
        ["13-14 expected `]` to close the array", "11-11 expected `,` before the next item"]
    );
    assert_eq!(read(text).0.to_plain(), serde_json::json!({"a": [1, 2], "b": 3}));
    assert_eq!(faults("{\"a\": [1, 2,\n \"b\": 3}"), ["14-15 expected `]` to close the array"]);
}

#[test]
fn an_object_that_is_not_closed_ends_where_the_next_begins() {
    let text = r#"{"a": [{"b": 1  {"b": 2}], "c": 3}"#;
    assert_eq!(
        faults(text),
        ["16-17 expected `}` to close the object", "14-14 expected `,` before the next item"]
    );
    assert_eq!(read(text).0.to_plain(), serde_json::json!({"a": [{"b": 1}, {"b": 2}], "c": 3}));
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    let text = "[".repeat(1_000_000);
    assert!(faults(&text).iter().any(|f| f.contains("nested more than")));
}

#[test]
fn an_empty_file_says_so() {
    assert_eq!(faults(" \n"), ["2-2 the template is empty"]);
}

proptest! {
    /// Any text: no panic, spans inside the text and on character boundaries, and where serde_json
    /// accepts the text, the same value without a fault.
    #[test]
    fn any_text_is_read(text in r#"([{}\[\],:"'\\/ \n#*]|[a-z0-9.+-]{1,3}|"k"|\\u[0-9a-f]{2,5}|é){0,40}"#) {
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
