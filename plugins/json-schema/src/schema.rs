//! A JSON schema, checked and flattened: every subschema is a node with a number, so that references may go in circles.
//!
//! Of draft 2020-12:
//! ```text
//! any value  type enum const allOf anyOf oneOf not if then else $ref $defs (and definitions)
//! numbers    minimum maximum exclusiveMinimum exclusiveMaximum multipleOf
//! texts      minLength maxLength pattern
//! arrays     items prefixItems contains minContains maxContains minItems maxItems uniqueItems
//! objects    properties patternProperties additionalProperties propertyNames required minProperties
//!            maxProperties dependentRequired dependentSchemas
//! ```
//! A `$ref` is `#` or a pointer into the same schema (`#/$defs/tree`). Patterns are those of the regex crate. Notes
//! without effect on validity are passed over: $schema, $id (at the root), $comment, title, description, default,
//! examples, deprecated, readOnly, writeOnly, format, contentEncoding, contentMediaType, and keys that begin with
//! `x-`. Every other keyword is refused, `unevaluatedProperties`, `unevaluatedItems` and `$dynamicRef` among them.

use std::collections::{BTreeMap, BTreeSet};

use moa_sdk::prelude::*;
use moa_sdk::regex::Regex;
use moa_sdk::serde_json::{Map, Number, Value};

use crate::canonical::canonical;

/// Place of a node.
pub(crate) type Index = usize;

/// A schema that is ready to be used.
pub(crate) struct Schema {
    /// The first is the root.
    pub(crate) nodes: Vec<Node>,
}

/// What a subschema asks for. The default asks for nothing.
#[derive(Default)]
pub(crate) struct Node {
    /// The schema `false`.
    pub(crate) never: bool,
    pub(crate) types: Option<Vec<Type>>,
    /// `enum`, as canonical texts.
    pub(crate) one_of_values: Option<BTreeSet<String>>,
    /// `const`, as a canonical text.
    pub(crate) constant: Option<String>,
    /// `allOf` and `$ref`.
    pub(crate) all_of: Vec<Index>,
    pub(crate) any_of: Option<Vec<Index>>,
    pub(crate) one_of: Option<Vec<Index>>,
    pub(crate) not: Option<Index>,
    pub(crate) condition: Option<Index>,
    pub(crate) then: Option<Index>,
    pub(crate) otherwise: Option<Index>,

    pub(crate) minimum: Option<Number>,
    pub(crate) maximum: Option<Number>,
    pub(crate) above: Option<Number>,
    pub(crate) below: Option<Number>,
    pub(crate) multiple_of: Option<Number>,

    pub(crate) length: Count,
    pub(crate) pattern: Option<Regex>,

    pub(crate) prefix_items: Vec<Index>,
    pub(crate) items: Option<Index>,
    pub(crate) contains: Option<Index>,
    pub(crate) contained: Count,
    pub(crate) item_count: Count,
    pub(crate) unique_items: bool,

    pub(crate) properties: BTreeMap<String, Index>,
    pub(crate) pattern_properties: Vec<(Regex, Index)>,
    pub(crate) additional_properties: Option<Index>,
    pub(crate) property_names: Option<Index>,
    pub(crate) required: Vec<String>,
    pub(crate) property_count: Count,
    pub(crate) dependent_required: BTreeMap<String, Vec<String>>,
    pub(crate) dependent_schemas: BTreeMap<String, Index>,
}

/// A least and a largest count.
#[derive(Default)]
pub(crate) struct Count {
    pub(crate) min: Option<u64>,
    pub(crate) max: Option<u64>,
}

/// The words of `type`.
#[derive(Choice, Clone, Copy)]
pub(crate) enum Type {
    Null,
    Boolean,
    Object,
    Array,
    Number,
    String,
    Integer,
}

/// For hints; those that [`Reading::keyword`] knows.
const KEYWORDS: &[&str] = &[
    "type",
    "enum",
    "const",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "if",
    "then",
    "else",
    "$ref",
    "$defs",
    "definitions",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "items",
    "prefixItems",
    "contains",
    "minContains",
    "maxContains",
    "minItems",
    "maxItems",
    "uniqueItems",
    "properties",
    "patternProperties",
    "additionalProperties",
    "propertyNames",
    "required",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
];

/// Keywords without effect on validity.
const NOTES: &[&str] = &[
    "$schema",
    "$comment",
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "format",
    "contentEncoding",
    "contentMediaType",
];

impl Schema {
    /// Reads a schema. Errors name the place in it: a keyword that is not known, a value of a wrong type, a reference
    /// to nothing, references that go in a circle without going into a value.
    pub(crate) fn new(schema: &Value) -> Result<Self> {
        let mut reading = Reading {
            schema,
            places: BTreeMap::new(),
            todo: Vec::new(),
        };
        reading.index(String::new());
        let mut nodes = Vec::new();
        // Reading a node may add others; a loop, as references would make a recursion endless.
        while let Some(pointer) = reading.todo.get(nodes.len()).cloned() {
            nodes.push(reading.node(&pointer)?);
        }
        let schema = Self { nodes };
        schema.refuse_circles(&reading.todo)?;
        Ok(schema)
    }

    /// Takes out the nodes that no other applies to the same value, again and again; what stays goes in a circle.
    fn refuse_circles(&self, pointers: &[String]) -> Result<()> {
        let mut users = vec![0_usize; self.nodes.len()];
        for next in self.nodes.iter().flat_map(Node::in_place) {
            users[next] += 1;
        }
        let mut free: Vec<Index> = (0..users.len()).filter(|index| users[*index] == 0).collect();
        while let Some(index) = free.pop() {
            for next in self.nodes[index].in_place() {
                users[next] -= 1;
                if users[next] == 0 {
                    free.push(next);
                }
            }
        }
        match users.iter().position(|users| *users > 0) {
            Some(index) => Err(at(&pointers[index], "refers to itself for the same value")
                .hint("a reference back may stand under items, properties and the like")),
            None => Ok(()),
        }
    }
}

impl Node {
    /// The nodes that are applied to the same value as this one.
    fn in_place(&self) -> impl Iterator<Item = Index> + '_ {
        let lists = [Some(&self.all_of), self.any_of.as_ref(), self.one_of.as_ref()];
        let single = [self.not, self.condition, self.then, self.otherwise];
        let dependent = self.dependent_schemas.values();
        let many = lists.into_iter().flatten().flatten().chain(dependent).copied();
        many.chain(single.into_iter().flatten())
    }
}

/// An error at a place of the schema.
fn at(pointer: &str, what: impl std::fmt::Display) -> Error {
    let place = if pointer.is_empty() { "its root" } else { pointer };
    Error::new(format!("param `schema`, at {place}: {what}"))
}

/// A schema that is being read.
struct Reading<'a> {
    schema: &'a Value,
    /// Numbers of the pointers that were met.
    places: BTreeMap<String, Index>,
    /// The pointers, by number.
    todo: Vec<String>,
}

impl Reading<'_> {
    /// The number of the subschema at a pointer; it is read later if it was not met before.
    fn index(&mut self, pointer: String) -> Index {
        let next = self.todo.len();
        let index = *self.places.entry(pointer.clone()).or_insert(next);
        if index == next {
            self.todo.push(pointer);
        }
        index
    }

    fn node(&mut self, pointer: &str) -> Result<Node> {
        let mut node = Node::default();
        match self.schema.pointer(pointer) {
            Some(Value::Bool(any)) => node.never = !any,
            Some(Value::Object(object)) => {
                for (key, value) in object {
                    self.keyword(&mut node, pointer, key, value)?;
                }
            }
            Some(other) => {
                return Err(at(
                    pointer,
                    format!("found {other}, expected a schema: a table, true or false"),
                ));
            }
            None => return Err(at(pointer, "there is no such place, but a `$ref` to it")),
        }
        Ok(node)
    }

    fn keyword(&mut self, node: &mut Node, pointer: &str, key: &str, value: &Value) -> Result<()> {
        let here = format!("{pointer}/{}", escaped(key));
        let wrong = |expected: &str| at(&here, format!("found {value}, expected {expected}"));
        let number = || value.as_number().cloned().ok_or_else(|| wrong("a number"));
        let count = || value.as_u64().ok_or_else(|| wrong("a whole number >= 0"));
        match key {
            "type" => node.types = Some(types(value).ok_or_else(|| wrong(&choice_kind()))?),
            "enum" => {
                let values = value.as_array().ok_or_else(|| wrong("a list of values"))?;
                node.one_of_values = Some(values.iter().map(canonical).collect());
            }
            "const" => node.constant = Some(canonical(value)),
            "$ref" => {
                let target = value.as_str().and_then(|text| local(text, self.schema));
                let target = target.ok_or_else(|| wrong("a reference into the same schema, \"#/…\""))?;
                node.all_of.push(self.index(target));
            }
            "allOf" => node.all_of.extend(self.list(&here, value)?),
            "anyOf" => node.any_of = Some(self.list(&here, value)?),
            "oneOf" => node.one_of = Some(self.list(&here, value)?),
            "not" => node.not = Some(self.index(here)),
            "if" => node.condition = Some(self.index(here)),
            "then" => node.then = Some(self.index(here)),
            "else" => node.otherwise = Some(self.index(here)),
            "$defs" | "definitions" => drop(self.table(&here, value)?),

            "minimum" => node.minimum = Some(number()?),
            "maximum" => node.maximum = Some(number()?),
            "exclusiveMinimum" => node.above = Some(number()?),
            "exclusiveMaximum" => node.below = Some(number()?),
            "multipleOf" => {
                let positive = number()?.as_f64().is_some_and(|x| x > 0.0);
                node.multiple_of = positive.then(number).transpose()?;
                if !positive {
                    return Err(wrong("a number > 0"));
                }
            }

            "minLength" => node.length.min = Some(count()?),
            "maxLength" => node.length.max = Some(count()?),
            "pattern" => node.pattern = Some(regex(&here, value.as_str().ok_or_else(|| wrong("a text"))?)?),

            "items" if value.is_array() => {
                return Err(
                    wrong("one schema for all items").hint("a list of schemas is called prefixItems since 2020")
                );
            }
            "items" => node.items = Some(self.index(here)),
            "prefixItems" => node.prefix_items = self.list(&here, value)?,
            "contains" => node.contains = Some(self.index(here)),
            "minContains" => node.contained.min = Some(count()?),
            "maxContains" => node.contained.max = Some(count()?),
            "minItems" => node.item_count.min = Some(count()?),
            "maxItems" => node.item_count.max = Some(count()?),
            "uniqueItems" => node.unique_items = value.as_bool().ok_or_else(|| wrong("true or false"))?,

            "properties" => node.properties = self.table(&here, value)?,
            "patternProperties" => {
                let table = self.table(&here, value)?;
                let one = |(pattern, index): (String, Index)| Ok((regex(&here, &pattern)?, index));
                node.pattern_properties = table.into_iter().map(one).collect::<Result<_>>()?;
            }
            "additionalProperties" => node.additional_properties = Some(self.index(here)),
            "propertyNames" => node.property_names = Some(self.index(here)),
            "required" => node.required = texts(value).ok_or_else(|| wrong("a list of texts"))?,
            "minProperties" => node.property_count.min = Some(count()?),
            "maxProperties" => node.property_count.max = Some(count()?),
            "dependentRequired" => {
                let expected = "a table of lists of texts";
                for (key, names) in value.as_object().ok_or_else(|| wrong(expected))? {
                    let names = texts(names).ok_or_else(|| wrong(expected))?;
                    node.dependent_required.insert(key.clone(), names);
                }
            }
            "dependentSchemas" => node.dependent_schemas = self.table(&here, value)?,

            "$id" if pointer.is_empty() => {}
            note if NOTES.contains(&note) || note.starts_with("x-") => {}
            _ => {
                let error = at(pointer, format!("unknown keyword `{key}`"));
                return Err(match moa_sdk::nearest(key, KEYWORDS) {
                    Some(known) => error.hint(format!("did you mean `{known}`?")),
                    None => error.hint("a key that is to be passed over begins with `x-`"),
                });
            }
        }
        Ok(())
    }

    /// The numbers of a list of schemas, which must not be empty.
    fn list(&mut self, here: &str, value: &Value) -> Result<Vec<Index>> {
        let length = value.as_array().map_or(0, Vec::len);
        if length == 0 {
            return Err(at(
                here,
                format!("found {value}, expected a list of one schema or more"),
            ));
        }
        Ok((0..length).map(|place| self.index(format!("{here}/{place}"))).collect())
    }

    /// The numbers of a table of schemas.
    fn table(&mut self, here: &str, value: &Value) -> Result<BTreeMap<String, Index>> {
        let object: &Map<String, Value> = value
            .as_object()
            .ok_or_else(|| at(here, format!("found {value}, expected a table of schemas")))?;
        let one = |key: &String| (key.clone(), self.index(format!("{here}/{}", escaped(key))));
        Ok(object.keys().map(one).collect())
    }
}

fn choice_kind() -> String {
    format!("{}, or a list of these", moa_sdk::choice_kind::<Type>())
}

fn types(value: &Value) -> Option<Vec<Type>> {
    let one = |value: &Value| <Type as moa_sdk::Choice>::from_name(value.as_str()?);
    match value {
        Value::Array(words) => words.iter().map(one).collect(),
        word => one(word).map(|one| vec![one]),
    }
}

fn texts(value: &Value) -> Option<Vec<String>> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    value.as_array()?.iter().map(text).collect()
}

fn regex(here: &str, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        let message = error.to_string();
        at(
            here,
            format!("{pattern:?}: {}", message.lines().last().unwrap_or_default()),
        )
        .hint("expressions are those of the regex crate: no look-around, no back-references")
    })
}

/// A key as a step of a JSON pointer.
fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

/// The pointer of a reference into the same schema (RFC 6901, section 6). `None` for any other reference. A pointer
/// that is written in another way than this file writes it (`%24defs`) must give the same text, or a node is read twice.
fn local(reference: &str, schema: &Value) -> Option<String> {
    let own = schema.get("$id").and_then(Value::as_str);
    let rest = own
        .and_then(|id| reference.strip_prefix(id.trim_end_matches('#')))
        .unwrap_or(reference);
    let pointer = decoded(rest.strip_prefix('#').or_else(|| rest.is_empty().then_some(rest))?)?;
    (pointer.is_empty() || pointer.starts_with('/')).then_some(pointer)
}

/// `%24` to `$`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{KEYWORDS, NOTES, Schema};
    use moa_sdk::serde_json::{Value, json};

    fn refused(schema: &Value) -> (String, String) {
        let error = Schema::new(schema).err().unwrap_or_else(|| panic!("{schema} is taken"));
        (error.message, error.hint.unwrap_or_default())
    }

    #[test]
    fn what_is_no_schema_is_refused_with_its_place() {
        for (schema, place, what) in [
            (json!({ "typ": "object" }), "its root", "unknown keyword `typ`"),
            (
                json!({ "properties": { "a/b": { "typ": 1 } } }),
                "/properties/a~1b",
                "`typ`",
            ),
            (json!({ "unevaluatedItems": false }), "its root", "`unevaluatedItems`"),
            (json!({ "not": { "$id": "x" } }), "/not", "`$id`"),
            (json!({ "type": "text" }), "/type", "one of \"null\""),
            (json!({ "type": ["null", 1] }), "/type", "or a list of these"),
            (json!({ "items": [true] }), "/items", "one schema"),
            (json!({ "items": 3 }), "/items", "a table, true or false"),
            (json!({ "allOf": [] }), "/allOf", "one schema or more"),
            (json!({ "anyOf": [1] }), "/anyOf/0", "expected a schema"),
            (json!({ "properties": [] }), "/properties", "a table of schemas"),
            (json!({ "required": "a" }), "/required", "a list of texts"),
            (json!({ "minItems": -1 }), "/minItems", "a whole number >= 0"),
            (json!({ "multipleOf": 0 }), "/multipleOf", "> 0"),
            (json!({ "exclusiveMinimum": true }), "/exclusiveMinimum", "a number"),
            (json!({ "pattern": "(?=a)" }), "/pattern", "look-around"),
            (
                json!({ "patternProperties": { "(": true } }),
                "/patternProperties",
                "unclosed group",
            ),
            (json!({ "$ref": "other.json" }), "/$ref", "into the same schema"),
            (json!({ "$ref": "#name" }), "/$ref", "into the same schema"),
            (json!({ "$ref": "#/%zz" }), "/$ref", "into the same schema"),
            (json!({ "$ref": "#/$defs/a" }), "/$defs/a", "no such place"),
            (json!({ "$ref": "#" }), "its root", "refers to itself"),
            (json!({ "$defs": { "a": { "typ": 1 } } }), "/$defs/a", "`typ`"),
            (
                json!({ "items": { "anyOf": [{ "not": { "$ref": "#/items" } }] } }),
                "/items",
                "refers to itself",
            ),
        ] {
            let (message, hint) = refused(&schema);
            assert!(
                message.starts_with(&format!("param `schema`, at {place}: ")),
                "{schema}: {message}"
            );
            assert!(message.contains(what), "{schema}: {message}");
            assert!(!hint.is_empty() || !what.contains("unknown"), "{schema}");
        }
        assert_eq!(refused(&json!({ "requird": [] })).1, "did you mean `required`?");
    }

    #[test]
    fn every_keyword_of_the_hints_is_known_and_notes_are_passed_over() {
        for keyword in KEYWORDS {
            // Whatever is wrong with the value 3, it is not the keyword.
            if let Err(error) = Schema::new(&json!({ *keyword: 3 })) {
                assert!(!error.message.contains("unknown keyword"), "{error}");
            }
        }
        for note in NOTES.iter().chain(&["$id", "x-mine"]) {
            assert!(Schema::new(&json!({ *note: "a" })).is_ok(), "{note}");
        }
    }
}
