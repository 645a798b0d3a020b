//! JSON values as texts that are equal exactly where JSON Schema calls the values equal: the order of keys does not
//! matter, and 1 is 1.0.

use moa_sdk::serde_json::{Number, Value};

/// The text of a value.
pub(crate) fn canonical(value: &Value) -> String {
    let mut out = String::new();
    write(value, &mut out);
    out
}

fn write(value: &Value, out: &mut String) {
    match value {
        Value::Number(number) => out.push_str(&of_number(number)),
        Value::Array(items) => {
            out.push('[');
            for item in items {
                write(item, out);
                out.push(',');
            }
            out.push(']');
        }
        Value::Object(object) => {
            let mut pairs: Vec<_> = object.iter().collect();
            pairs.sort_unstable_by_key(|(key, _)| *key);
            out.push('{');
            for (key, item) in pairs {
                write(&Value::String(key.clone()), out);
                out.push(':');
                write(item, out);
                out.push(',');
            }
            out.push('}');
        }
        plain => out.push_str(&plain.to_string()),
    }
}

/// Digits where it is whole and small enough for a float to hold it, the shortest text of the float elsewhere.
fn of_number(number: &Number) -> String {
    match whole(number) {
        Some(whole) => whole.to_string(),
        None => number.to_string(),
    }
}

/// The number, if it is whole.
pub(crate) fn whole(number: &Number) -> Option<i128> {
    const LARGEST: f64 = 1e38; // below 2^127
    if let Some(whole) = number.as_i128() {
        return Some(whole);
    }
    let float = number.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < LARGEST)?;
    #[allow(clippy::cast_possible_truncation, reason = "whole, and in range")]
    Some(float as i128)
}

#[cfg(test)]
mod tests {
    use super::canonical;
    use moa_sdk::serde_json::json;

    #[test]
    fn equal_values_have_equal_texts() {
        for (a, b) in [
            (json!(1), json!(1.0)),
            (json!(-0.0), json!(0)),
            (json!(1e3), json!(1000)),
            (json!({ "a": 1, "b": [2.0] }), json!({ "b": [2], "a": 1 })),
        ] {
            assert_eq!(canonical(&a), canonical(&b));
        }
        for (a, b) in [
            (json!(1), json!("1")),
            (json!(1), json!(true)),
            (json!(0), json!(false)),
            (json!(null), json!("null")),
            (json!(0.1), json!(0.2)),
            (json!([1, 2]), json!([2, 1])),
            (json!([[1], 2]), json!([[1, 2]])),
            (json!({ "a": "b" }), json!({ "b": "a" })),
            (json!(u64::MAX), json!(u64::MAX - 1)),
            (json!(1e300), json!(1e301)),
        ] {
            assert_ne!(canonical(&a), canonical(&b));
        }
    }
}
