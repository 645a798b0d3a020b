//! Named numbers that a scalarizer reports each step, in the order in which it names them.

use std::borrow::Borrow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Ordered (name, value) pairs. A part of a name that differs by objective stands behind a slash:
/// `covariance/accuracy`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metrics {
    entries: Vec<Entry>,
}

/// One number. `of` is an objective whose name is still to follow `name`.
#[derive(Debug, Clone, PartialEq)]
struct Entry {
    name: String,
    of: Option<usize>,
    value: f64,
}

impl Metrics {
    /// No metrics.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same metrics and one more.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<f64>) -> Self {
        self.push(name, value);
        self
    }

    /// Adds one.
    pub fn push(&mut self, name: impl Into<String>, value: impl Into<f64>) {
        self.entries.push(Entry {
            name: name.into(),
            of: None,
            value: value.into(),
        });
    }

    /// The same metrics and `name/objective` for each objective, in order; an empty list adds nothing. The SDK puts the
    /// objectives' names in.
    /// ```
    /// # use moa_sdk::Metrics;
    /// let (rates, target) = (vec![0.5, 2.0], None::<Vec<f64>>);
    /// let metrics = Metrics::new().each("rate", &rates).each("target", target.iter().flatten());
    /// let metrics = metrics.of_objectives(&["accuracy".to_owned(), "brevity".to_owned()]);
    /// assert_eq!((metrics.get("rate/brevity"), metrics.get("target/brevity")), (Some(2.0), None));
    /// ```
    #[must_use]
    pub fn each(mut self, name: &str, values: impl IntoIterator<Item = impl Borrow<f64>>) -> Self {
        let entries = values.into_iter().enumerate().map(|(m, value)| Entry {
            name: name.to_owned(),
            of: Some(m),
            value: *value.borrow(),
        });
        self.entries.extend(entries);
        self
    }

    /// The same metrics, with the objectives named. What there is beyond the names is left out.
    #[must_use]
    pub fn of_objectives(mut self, objectives: &[String]) -> Self {
        self.entries.retain_mut(|entry| match entry.of.take() {
            None => true,
            Some(m) => objectives.get(m).is_some_and(|objective| {
                entry.name = format!("{}/{objective}", entry.name);
                true
            }),
        });
        self
    }

    /// The same metrics and `name/objective` for each objective, in order; values beyond the names are left out, and an
    /// empty list adds nothing.
    /// ```
    /// # use moa_sdk::Metrics;
    /// # let (names, rates, none) = (vec!["accuracy".to_owned(), "brevity".to_owned()], vec![0.5, 2.0], None::<Vec<f64>>);
    /// let metrics = Metrics::new().per_objective("rate", &names, &rates).per_objective("target", &names, none.iter().flatten());
    /// assert_eq!((metrics.get("rate/brevity"), metrics.get("target/brevity")), (Some(2.0), None));
    /// ```
    #[must_use]
    pub fn per_objective<'a>(
        mut self,
        name: &str,
        objectives: &[String],
        values: impl IntoIterator<Item = &'a f64>,
    ) -> Self {
        for (objective, value) in objectives.iter().zip(values) {
            self.push(format!("{name}/{objective}"), *value);
        }
        self
    }

    /// The value of a name.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(entry, _)| *entry == name).map(|(_, value)| value)
    }

    /// All pairs in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.entries.iter().map(|entry| (entry.name.as_str(), entry.value))
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The pairs themselves.
    pub fn into_vec(self) -> Vec<(String, f64)> {
        self.entries
            .into_iter()
            .map(|entry| (entry.name, entry.value))
            .collect()
    }
}

impl From<Vec<(String, f64)>> for Metrics {
    fn from(pairs: Vec<(String, f64)>) -> Self {
        let mut metrics = Self::new();
        pairs.into_iter().for_each(|(name, value)| metrics.push(name, value));
        metrics
    }
}

impl Serialize for Metrics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.entries.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metrics {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = Metrics;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table of names and numbers")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metrics, A::Error> {
                let mut metrics = Metrics::new();
                while let Some((name, value)) = map.next_entry::<String, f64>()? {
                    metrics.push(name, value);
                }
                Ok(metrics)
            }
        }
        deserializer.deserialize_map(Pairs)
    }
}
