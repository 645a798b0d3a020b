//! `#[derive(Choice)]`: an enum of unit variants as a param, each variant a kebab-case name.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Fields, Result};

/// The implementations of `Choice` and `ParamValue` for `input`, or an error at the offending token.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    let Data::Enum(data) = &input.data else {
        return Err(Error::new_spanned(name, "Choice is derived for enums"));
    };
    let mut names = Vec::new();
    let mut variants = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            return Err(Error::new_spanned(variant, "a variant of a Choice has no fields"));
        }
        names.push(kebab(&variant.ident.to_string()));
        variants.push(&variant.ident);
    }
    Ok(quote! {
        impl ::moa_sdk::Choice for #name {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            fn name(&self) -> &'static str {
                match self { #(Self::#variants => #names),* }
            }
            fn from_name(name: &str) -> ::core::option::Option<Self> {
                match name {
                    #(#names => ::core::option::Option::Some(Self::#variants),)*
                    _ => ::core::option::Option::None,
                }
            }
        }
        impl ::moa_sdk::ParamValue for #name {
            fn kind() -> ::std::string::String { ::moa_sdk::choice_kind::<Self>() }
            fn choices() -> ::std::vec::Vec<::std::string::String> {
                <Self as ::moa_sdk::Choice>::NAMES.iter().map(|name| (*name).to_owned()).collect()
            }
            fn from_value(value: &::moa_sdk::serde_json::Value) -> ::core::option::Option<Self> {
                <Self as ::moa_sdk::Choice>::from_name(value.as_str()?)
            }
            fn to_value(&self) -> ::moa_sdk::serde_json::Value {
                ::moa_sdk::serde_json::Value::from(<Self as ::moa_sdk::Choice>::name(self))
            }
        }
    })
}

/// `RunningMax` -> `running-max`; a digit stays with the word before it.
fn kebab(name: &str) -> String {
    let mut out = String::new();
    for (index, character) in name.trim_start_matches("r#").chars().enumerate() {
        if character.is_uppercase() && index > 0 {
            out.push('-');
        }
        out.extend(character.to_lowercase());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::kebab;

    #[test]
    fn variants_become_kebab_case_words() {
        assert_eq!(kebab("RunningMax"), "running-max");
        assert_eq!(kebab("Covariance"), "covariance");
        assert_eq!(kebab("Top2"), "top2");
    }
}
