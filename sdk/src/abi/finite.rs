//! Finds numbers that JSON cannot hold. serde_json writes NaN and infinities as `null`, which comes back as an
//! error, or in an `Option` as `None` without one; so the state is walked once before it is written.

use std::fmt::Display;

use serde::ser::{
    Error as _, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant, Serializer,
};

use crate::{Error, Result};

/// Error: names the first field that holds a NaN or an infinity.
pub(crate) fn check<T: Serialize>(value: &T) -> Result<()> {
    value.serialize(Finite).map_err(|error| {
        Error::new(format!("the state cannot be saved: {error}"))
            .hint("a checkpoint has no NaN and no infinity: keep them out of the state")
    })
}

/// Writes nothing; gives an error for a number that is not finite.
struct Finite;

type Json = serde_json::Error;

fn finite(number: f64) -> Result<(), Json> {
    if number.is_finite() {
        Ok(())
    } else {
        Err(Json::custom(format!("is {number}")))
    }
}

/// `name is NaN`, or `outer.name is NaN` where the error already names a field.
fn named(name: impl Display, error: &Json) -> Json {
    let error = error.to_string();
    let between = if error.starts_with("is ") { " " } else { "." };
    Json::custom(format!("{name}{between}{error}"))
}

macro_rules! nothing_to_check {
    ($($method:ident($($type:ty),*)),* $(,)?) => {
        $(fn $method(self $(, _: $type)*) -> Result<(), Json> { Ok(()) })*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Json;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    nothing_to_check! {
        serialize_bool(bool), serialize_i8(i8), serialize_i16(i16), serialize_i32(i32), serialize_i64(i64),
        serialize_i128(i128), serialize_u8(u8), serialize_u16(u16), serialize_u32(u32), serialize_u64(u64),
        serialize_u128(u128), serialize_char(char), serialize_str(&str), serialize_bytes(&[u8]),
        serialize_none(), serialize_unit(), serialize_unit_struct(&'static str),
        serialize_unit_variant(&'static str, u32, &'static str),
    }

    fn serialize_f32(self, number: f32) -> Result<(), Json> {
        finite(f64::from(number))
    }
    fn serialize_f64(self, number: f64) -> Result<(), Json> {
        finite(number)
    }
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Json> {
        value.serialize(Finite)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Json> {
        value.serialize(Finite)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), Json> {
        value.serialize(Finite)
    }
    fn serialize_seq(self, _: Option<usize>) -> Result<Self, Json> {
        Ok(self)
    }
    fn serialize_tuple(self, _: usize) -> Result<Self, Json> {
        Ok(self)
    }
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Json> {
        Ok(self)
    }
    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Json> {
        Ok(self)
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Self, Json> {
        Ok(self)
    }
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Json> {
        Ok(self)
    }
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Self, Json> {
        Ok(self)
    }
}

macro_rules! values {
    ($($trait:ident $method:ident),*) => {$(
        impl $trait for Finite {
            type Ok = ();
            type Error = Json;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Json> {
                value.serialize(Finite)
            }
            fn end(self) -> Result<(), Json> { Ok(()) }
        }
    )*};
}
values!(
    SerializeSeq serialize_element,
    SerializeTuple serialize_element,
    SerializeTupleStruct serialize_field,
    SerializeTupleVariant serialize_field
);

macro_rules! fields {
    ($($trait:ident),*) => {$(
        impl $trait for Finite {
            type Ok = ();
            type Error = Json;
            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Json> {
                value.serialize(Finite).map_err(|error| named(name, &error))
            }
            fn end(self) -> Result<(), Json> { Ok(()) }
        }
    )*};
}
fields!(SerializeStruct, SerializeStructVariant);

impl SerializeMap for Finite {
    type Ok = ();
    type Error = Json;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Json> {
        key.serialize(Finite)
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Json> {
        value.serialize(Finite)
    }
    fn end(self) -> Result<(), Json> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Serialize;

    use super::check;

    #[derive(Serialize, Default)]
    struct Inner {
        list: Vec<f32>,
        maybe: Option<f64>,
        pair: (u8, f64),
        table: BTreeMap<String, f64>,
    }

    #[derive(Serialize, Default)]
    struct Outer {
        inner: Inner,
    }

    #[test]
    fn the_field_is_named_wherever_the_number_hides() {
        let message = |change: fn(&mut Inner)| {
            let mut outer = Outer::default();
            change(&mut outer.inner);
            check(&outer).err().map(|error| error.message)
        };
        let text = |field: &str, number: &str| Some(format!("the state cannot be saved: inner.{field} is {number}"));
        assert_eq!(message(|_| {}), None);
        assert_eq!(message(|i| i.list = vec![0.0, f32::NAN]), text("list", "NaN"));
        assert_eq!(message(|i| i.maybe = Some(f64::NAN)), text("maybe", "NaN"));
        assert_eq!(message(|i| i.pair.1 = f64::INFINITY), text("pair", "inf"));
        assert_eq!(
            message(|i| i.table = BTreeMap::from([("x".to_owned(), f64::NEG_INFINITY)])),
            text("table", "-inf")
        );
    }
}
