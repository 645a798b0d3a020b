//! `settings!`: structs that are tables of the config, and the list of their keys with them. Everything about a key
//! stands at its field:
//!
//! ```text
//! /// What it means.                       shown by `config explain` and `config schema`
//! #[serde(default)]                        may be left out of a list entry
//! #[formerly("old")]                       its last name, refused with a hint
//! #[range(1..=8)]                          anything that converts to a `Range`
//! pub field as "name": usize = 4,          the name in TOML if it is another, and the default
//! ```

macro_rules! settings {
    ($(
        $(#[doc = $about:literal])*
        pub struct $name:ident {
            $(
                $(#[doc = $doc:literal])*
                $(#[serde($($serde:tt)*)])?
                $(#[formerly($formerly:literal)])?
                $(#[range($range:expr)])?
                pub $field:ident $(as $key:literal)? : $type:ty $(= $default:expr)?,
            )+
        }
    )+) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            $( $(#[doc = $doc])* $(#[serde($($serde)*)])? $(#[serde(rename = $key)])? pub $field: $type, )+
        }

        impl $crate::config::keys::Setting for $name {
            fn describe(key: String, _doc: &str, keys: &mut Vec<$crate::config::keys::Key>) {$(
                let own = [stringify!($field) $(, $key)?];
                let path = $crate::config::keys::join(&key, own[own.len() - 1]);
                let first = keys.len();
                <$type as $crate::config::keys::Setting>::describe(path, concat!($($doc),*), keys);
                let has_default = [$(stringify!($($serde)*))?].iter().any(|attribute: &&str| attribute.contains("default"));
                keys[first..].iter_mut().for_each(|key| key.optional |= has_default);
                let default: Option<$type> = None $(.or(Some($default)))?;
                // A table has none of these, and its first key, which has its own, stands here then.
                let at = &mut keys[first];
                at.formerly = None $(.or(Some($formerly)))? .or(at.formerly);
                at.range = None $(.or(Some($crate::config::range::Range::from($range))))? .or(at.range);
                at.default = default.and_then(|value| toml::Value::try_from(value).ok()).or(at.default.take());
            )+}
        }
    )+};
}

pub(super) use settings;
