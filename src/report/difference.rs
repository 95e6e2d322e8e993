//! Differences of two images.

use crate::compare::Difference;
use serde_json::{Value, json};

/// A block for each difference: the way to it, and what each side has. Empty if there is none.
pub fn differences_human(a: &str, b: &str, differences: &[Difference]) -> String {
    let mut out = String::new();
    for difference in differences {
        out.push_str(&format!("{}\n", difference.place.join(" > ")));
        if difference.a == difference.b {
            out.push_str(&format!("  {}\n", difference.a));
        } else {
            out.push_str(&format!("  {a}: {}\n  {b}: {}\n", difference.a, difference.b));
        }
    }
    out
}

/// `{"version": 1, "same": …, "differences": […]}`.
pub fn differences_json(differences: &[Difference]) -> Value {
    json!({ "version": 1, "same": differences.is_empty(), "differences": differences })
}
