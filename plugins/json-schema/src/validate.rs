//! Whether a value satisfies a schema.
//!
//! A recursive schema with alternatives could look at the same value in exponentially many ways; what a node said of
//! an array or object is remembered, so that each pair is looked at once. Schemas are applied within each other at most
//! [`DEEPEST`] deep, so that no response overflows the stack; a value that needs more is not valid.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use moa_sdk::serde_json::{Map, Number, Value};

use crate::canonical::{canonical, whole};
use crate::schema::{Count, Index, Node, Schema, Type};

/// Four for each level of the deepest value that the parser lets through; less than 512 KiB of stack.
const DEEPEST: usize = 512;

/// Whether `value` satisfies `schema`.
pub(crate) fn is_valid(schema: &Schema, value: &Value) -> bool {
    let mut check = Check {
        schema,
        known: BTreeMap::new(),
        depth: 0,
        too_deep: false,
    };
    // Looked at last: under `not`, what was too deep to be valid would make a value valid.
    check.valid(0, value) && !check.too_deep
}

struct Check<'a> {
    schema: &'a Schema,
    /// By node and by the value's address, which stays for as long as the value is borrowed.
    known: BTreeMap<(Index, usize), bool>,
    /// Schemas that are being applied.
    depth: usize,
    too_deep: bool,
}

impl Check<'_> {
    fn valid(&mut self, index: Index, value: &Value) -> bool {
        let holds_others = match value {
            Value::Array(items) => !items.is_empty(),
            Value::Object(object) => !object.is_empty(),
            _ => false,
        };
        if !holds_others {
            return self.node(&self.schema.nodes[index], value);
        }
        let key = (index, std::ptr::from_ref(value).addr());
        if let Some(valid) = self.known.get(&key) {
            return *valid;
        }
        if self.depth >= DEEPEST {
            self.too_deep = true;
            return false;
        }
        self.depth += 1;
        let valid = self.node(&self.schema.nodes[index], value);
        self.depth -= 1;
        self.known.insert(key, valid);
        valid
    }

    fn node(&mut self, node: &Node, value: &Value) -> bool {
        !node.never
            && node
                .types
                .as_ref()
                .is_none_or(|types| types.iter().any(|t| is_of(*t, value)))
            && node
                .constant
                .as_ref()
                .is_none_or(|constant| *constant == canonical(value))
            && node
                .one_of_values
                .as_ref()
                .is_none_or(|values| values.contains(&canonical(value)))
            && match value {
                Value::Number(number) => in_range(node, number),
                Value::String(text) => is_text(node, text),
                Value::Array(items) => self.array(node, items),
                Value::Object(object) => self.object(node, object),
                Value::Null | Value::Bool(_) => true,
            }
            && self.combined(node, value)
    }

    /// Schemas that are applied to the same value.
    fn combined(&mut self, node: &Node, value: &Value) -> bool {
        if let Some(any_of) = &node.any_of
            && !any_of.iter().any(|index| self.valid(*index, value))
        {
            return false;
        }
        if let Some(one_of) = &node.one_of
            && one_of.iter().filter(|index| self.valid(**index, value)).take(2).count() != 1
        {
            return false;
        }
        let branch = match node.condition {
            Some(condition) if self.valid(condition, value) => node.then,
            Some(_) => node.otherwise,
            None => None,
        };
        let dependent = node.dependent_schemas.iter();
        node.all_of.iter().all(|index| self.valid(*index, value))
            && dependent
                .filter(|(key, _)| value.as_object().is_some_and(|object| object.contains_key(*key)))
                .all(|(_, index)| self.valid(*index, value))
            && branch.is_none_or(|index| self.valid(index, value))
            && node.not.is_none_or(|index| !self.valid(index, value))
    }

    fn array(&mut self, node: &Node, items: &[Value]) -> bool {
        if !in_count(&node.item_count, items.len()) {
            return false;
        }
        let rest = items.get(node.prefix_items.len()..).unwrap_or_default();
        let prefix = node
            .prefix_items
            .iter()
            .zip(items)
            .all(|(index, item)| self.valid(*index, item));
        if !prefix
            || !node
                .items
                .is_none_or(|index| rest.iter().all(|item| self.valid(index, item)))
        {
            return false;
        }
        if let Some(index) = node.contains {
            let contained = items.iter().filter(|item| self.valid(index, item)).count();
            let (min, max) = (node.contained.min.or(Some(1)), node.contained.max);
            if !in_count(&Count { min, max }, contained) {
                return false;
            }
        }
        !node.unique_items || items.iter().map(canonical).collect::<BTreeSet<_>>().len() == items.len()
    }

    fn object(&mut self, node: &Node, object: &Map<String, Value>) -> bool {
        let has = |key: &String| object.contains_key(key);
        if !in_count(&node.property_count, object.len()) || !node.required.iter().all(has) {
            return false;
        }
        let mut dependent = node.dependent_required.iter();
        if !dependent.all(|(key, names)| !has(key) || names.iter().all(has)) {
            return false;
        }
        for (key, value) in object {
            if let Some(names) = node.property_names
                && !self.valid(names, &Value::String(key.clone()))
            {
                return false;
            }
            let mut matched = false;
            let named = node.properties.get(key).into_iter();
            let patterns = node.pattern_properties.iter();
            for index in named.chain(
                patterns
                    .filter(|(regex, _)| regex.is_match(key))
                    .map(|(_, index)| index),
            ) {
                matched = true;
                if !self.valid(*index, value) {
                    return false;
                }
            }
            if !matched && !node.additional_properties.is_none_or(|index| self.valid(index, value)) {
                return false;
            }
        }
        true
    }
}

fn is_of(kind: Type, value: &Value) -> bool {
    match kind {
        Type::Null => value.is_null(),
        Type::Boolean => value.is_boolean(),
        Type::Object => value.is_object(),
        Type::Array => value.is_array(),
        Type::Number => value.is_number(),
        Type::String => value.is_string(),
        Type::Integer => value.as_number().is_some_and(is_whole),
    }
}

/// 1.0 and 1e300 are whole numbers to JSON Schema.
fn is_whole(number: &Number) -> bool {
    whole(number).is_some() || number.as_f64().is_some_and(|x| x.fract() == 0.0)
}

fn in_count(count: &Count, found: usize) -> bool {
    let found = found as u64;
    count.min.is_none_or(|min| found >= min) && count.max.is_none_or(|max| found <= max)
}

fn in_range(node: &Node, number: &Number) -> bool {
    let is = |bound: &Option<Number>, allowed: &[Ordering]| match bound {
        Some(bound) => allowed.contains(&compare(number, bound)),
        None => true,
    };
    is(&node.minimum, &[Ordering::Greater, Ordering::Equal])
        && is(&node.maximum, &[Ordering::Less, Ordering::Equal])
        && is(&node.above, &[Ordering::Greater])
        && is(&node.below, &[Ordering::Less])
        && node.multiple_of.as_ref().is_none_or(|step| is_multiple(number, step))
}

/// Exact where both are whole; JSON has no NaN.
fn compare(a: &Number, b: &Number) -> Ordering {
    if let (Some(a), Some(b)) = (whole(a), whole(b)) {
        return a.cmp(&b);
    }
    let float = |number: &Number| number.as_f64().unwrap_or_default();
    float(a).total_cmp(&float(b))
}

/// Exact where both are whole; else to twelve digits, as 0.3 is meant to be a multiple of 0.1.
fn is_multiple(number: &Number, step: &Number) -> bool {
    if let (Some(number), Some(step)) = (whole(number), whole(step)) {
        return number % step == 0;
    }
    let (Some(number), Some(step)) = (number.as_f64(), step.as_f64()) else {
        return false;
    };
    ((number / step).round() * step - number).abs() <= 1e-12 * number.abs()
}

fn is_text(node: &Node, text: &str) -> bool {
    let bounded = node.length.min.is_some() || node.length.max.is_some();
    (!bounded || in_count(&node.length, text.chars().count()))
        && node.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
}

#[cfg(test)]
mod tests {
    use super::is_valid;
    use crate::schema::Schema;
    use moa_sdk::Result;
    use moa_sdk::serde_json::{self, Value, json};

    /// Each keyword with values that satisfy it and values that do not.
    #[test]
    fn keyword_by_keyword() -> Result<()> {
        for (schema, valid, invalid) in [
            (json!(true), json!([1, null]), json!([])),
            (
                json!({ "type": "integer" }),
                json!([1, 1.0, 1e300, -3]),
                json!([1.5, "1", null]),
            ),
            (json!({ "type": "number" }), json!([1, 1.5]), json!(["1", true])),
            (
                json!({ "type": ["null", "boolean"] }),
                json!([null, false]),
                json!([0, ""]),
            ),
            (json!({ "type": "array" }), json!([[]]), json!([{}])),
            (
                json!({ "enum": [1, "a", { "b": [2] }] }),
                json!([1.0, "a", { "b": [2.0] }]),
                json!([2, "A", {}]),
            ),
            (json!({ "const": null }), json!([null]), json!([0, false])),
            (json!({ "not": { "type": "null" } }), json!([0]), json!([null])),
            (
                json!({ "allOf": [{ "minimum": 1 }, { "maximum": 2 }] }),
                json!([1, 2, "a"]),
                json!([0, 3]),
            ),
            (
                json!({ "anyOf": [{ "maximum": 1 }, { "minimum": 3 }] }),
                json!([1, 3]),
                json!([2]),
            ),
            (
                json!({ "oneOf": [{ "minimum": 1 }, { "minimum": 3 }] }),
                json!([1, 2]),
                json!([0, 3]),
            ),
            (
                json!({ "if": { "minimum": 5 }, "then": { "maximum": 9 }, "else": { "maximum": 1 } }),
                json!([5, 9, 1]),
                json!([10, 2]),
            ),
            (json!({ "then": false, "else": false }), json!([1]), json!([])),
            (
                json!({ "minimum": 1.5, "maximum": 2 }),
                json!([1.5, 2, "x"]),
                json!([1.4, 2.1]),
            ),
            (
                json!({ "exclusiveMinimum": 1, "exclusiveMaximum": 2 }),
                json!([1.5]),
                json!([1, 2]),
            ),
            (
                json!({ "minimum": 9_007_199_254_740_993_u64 }),
                json!([9_007_199_254_740_993_u64]),
                json!([9_007_199_254_740_992_u64]),
            ),
            (json!({ "multipleOf": 3 }), json!([0, 3, -6, 9.0]), json!([1, 3.5])),
            (json!({ "multipleOf": 0.1 }), json!([0.3, 1, -0.7]), json!([0.35])),
            (
                json!({ "minLength": 2, "maxLength": 3 }),
                json!(["éé", "abc", 1]),
                json!(["é", "abcd"]),
            ),
            (json!({ "pattern": "^a+$" }), json!(["aa", 1]), json!(["", "ab"])),
            (
                json!({ "items": { "type": "null" } }),
                json!([[], [null], {}]),
                json!([[null, 1]]),
            ),
            (
                json!({ "prefixItems": [{ "const": 1 }], "items": { "const": 2 } }),
                json!([[], [1], [1, 2, 2]]),
                json!([[2], [1, 1]]),
            ),
            (
                json!({ "contains": { "const": 1 } }),
                json!([[0, 1], "a"]),
                json!([[], [0]]),
            ),
            (
                json!({ "contains": { "const": 1 }, "minContains": 0, "maxContains": 1 }),
                json!([[], [1]]),
                json!([[1, 1]]),
            ),
            (
                json!({ "minItems": 1, "maxItems": 2 }),
                json!([[0], [0, 0]]),
                json!([[], [0, 0, 0]]),
            ),
            (
                json!({ "uniqueItems": true }),
                json!([[1, "1", true, [1], { "a": 1 }]]),
                json!([[1, 1.0], [{ "a": 1, "b": 2 }, { "b": 2, "a": 1 }]]),
            ),
            (
                json!({ "properties": { "a": { "const": 1 } }, "patternProperties": { "^x": { "type": "null" } },
                    "additionalProperties": { "type": "boolean" } }),
                json!([{}, { "a": 1, "x1": null, "b": true }, []]),
                json!([{ "a": 2 }, { "x": 1 }, { "b": 1 }]),
            ),
            (
                json!({ "properties": { "x": { "type": "integer" } }, "patternProperties": { "x": { "minimum": 1 } },
                    "additionalProperties": false }),
                json!([{ "x": 1 }]),
                json!([{ "x": 0 }, { "x": 1.5 }, { "y": 1 }]),
            ),
            (
                json!({ "propertyNames": { "maxLength": 1 } }),
                json!([{ "a": 1 }]),
                json!([{ "ab": 1 }]),
            ),
            (
                json!({ "required": ["a", "b"] }),
                json!([{ "a": 1, "b": 2 }, 3]),
                json!([{ "a": 1 }]),
            ),
            (
                json!({ "minProperties": 1, "maxProperties": 1 }),
                json!([{ "a": 1 }]),
                json!([{}, { "a": 1, "b": 1 }]),
            ),
            (
                json!({ "dependentRequired": { "a": ["b"] } }),
                json!([{}, { "b": 1 }, { "a": 1, "b": 1 }]),
                json!([{ "a": 1 }]),
            ),
            (
                json!({ "dependentSchemas": { "a": { "maxProperties": 1 } } }),
                json!([{ "a": 1 }, { "b": 1, "c": 1 }, 1]),
                json!([{ "a": 1, "b": 1 }]),
            ),
            (
                json!({ "$defs": { "p/q": { "const": 1 } }, "items": { "$ref": "#/%24defs/p~1q" }, "minItems": 1 }),
                json!([[1]]),
                json!([[], [2]]),
            ),
            (
                json!({ "$id": "https://a.example/tree", "properties": { "left": { "$ref": "#" },
                    "right": { "$ref": "https://a.example/tree#" } }, "additionalProperties": false }),
                json!([{}, { "left": { "right": {} } }]),
                json!([{ "left": { "right": { "up": {} } } }]),
            ),
            (
                json!({ "title": "x", "format": "email", "x-y": 1 }),
                json!(["not an address"]),
                json!([]),
            ),
        ] {
            let compiled = Schema::new(&schema)?;
            for (values, expected) in [(valid, true), (invalid, false)] {
                for value in values.as_array().into_iter().flatten() {
                    assert_eq!(is_valid(&compiled, value), expected, "{schema}: {value}");
                }
            }
        }
        let nothing = Schema::new(&json!(false))?;
        assert!(!is_valid(&nothing, &Value::Null));
        Ok(())
    }

    /// What jsonschema 4.26 (Python, draft 2020-12) says of random schemas and values, as many valid as not; a line is
    /// `[schema, value, whether it is valid]`.
    #[test]
    fn answers_are_those_of_another_validator() -> Result<()> {
        let mut lines = 0;
        for line in include_str!("../../../tests/golden/json-schema.jsonl").lines() {
            let (schema, value, expected): (Value, Value, bool) =
                serde_json::from_str(line).expect("a line of the table");
            assert_eq!(is_valid(&Schema::new(&schema)?, &value), expected, "{line}");
            lines += 1;
        }
        assert_eq!(lines, 400);
        Ok(())
    }

    /// Each level of the value is looked at in two ways: 2^100 without a memory.
    #[test]
    fn alternatives_of_a_recursive_schema_are_looked_at_once() -> Result<()> {
        let schema = Schema::new(&json!({
            "anyOf": [{ "items": { "$ref": "#" } }, { "items": { "$ref": "#" }, "minItems": 1 }],
            "type": "array",
        }))?;
        let mut value = json!(1);
        for _ in 0..100 {
            value = json!([value]);
        }
        assert!(!is_valid(&schema, &value));
        Ok(())
    }

    /// The deepest value that the parser lets through, on a small stack; and one whose schemas go too deep.
    #[test]
    fn a_deep_value_needs_little_stack() -> Result<()> {
        let few = json!({ "anyOf": [{ "items": { "allOf": [{ "$ref": "#" }] } }], "type": "array" });
        let mut many = json!({ "items": { "$ref": "#" } });
        for _ in 0..10 {
            many = json!({ "not": { "not": many } });
        }
        many = json!({ "$ref": "#/$defs/start", "$defs": { "start": many } });
        for (schema, expected) in [(few, true), (many, false)] {
            let schema = Schema::new(&schema)?;
            let deep = "[".repeat(127) + &"]".repeat(127);
            let valid = move || serde_json::from_str(&deep).is_ok_and(|value: Value| is_valid(&schema, &value));
            let thread = std::thread::Builder::new().stack_size(512 << 10).spawn(valid);
            let found = thread.expect("a thread starts").join().expect("it has enough stack");
            assert_eq!(found, expected);
        }
        Ok(())
    }
}
