//! `#[derive(Serialize, Deserialize)]` for a plugin that depends on moa-sdk only.
//!
//! serde's derive names the crate `serde`, which such a plugin does not have. A derive macro cannot add
//! `#[serde(crate = …)]` to the type it stands on, so it derives for a hidden twin of the type with serde's
//! `remote` attribute, and forwards the implementation on the type itself to the twin.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Data, DeriveInput, Error, Result};

/// Which of the two traits to implement.
pub(crate) enum Direction {
    /// `Serialize`
    Serialize,
    /// `Deserialize`
    Deserialize,
}

/// The implementation of one of serde's traits for `input`, or an error at the offending token.
pub(crate) fn expand(input: &DeriveInput, direction: Direction) -> Result<TokenStream> {
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(
            &input.generics,
            "a type with generics needs serde's own derive: add serde to the plugin's dependencies",
        ));
    }
    let mut twin = input.clone();
    twin.ident = format_ident!("{}Twin", name);
    twin.vis = syn::Visibility::Inherited;
    keep_serde(&mut twin.attrs);
    match &mut twin.data {
        Data::Struct(data) => data.fields.iter_mut().for_each(|field| keep_serde(&mut field.attrs)),
        Data::Enum(data) => {
            for variant in &mut data.variants {
                keep_serde(&mut variant.attrs);
                variant.fields.iter_mut().for_each(|field| keep_serde(&mut field.attrs));
            }
        }
        Data::Union(_) => return Err(Error::new_spanned(name, "a union has no state format")),
    }
    let remote = name.to_string();
    let twin_name = &twin.ident;
    let (derive, forward) = match direction {
        Direction::Serialize => (
            quote!(::moa_sdk::serde::Serialize),
            quote! {
                impl ::moa_sdk::serde::Serialize for #name {
                    fn serialize<S: ::moa_sdk::serde::Serializer>(
                        &self, serializer: S,
                    ) -> ::core::result::Result<S::Ok, S::Error> {
                        #twin_name::serialize(self, serializer)
                    }
                }
            },
        ),
        Direction::Deserialize => (
            quote!(::moa_sdk::serde::Deserialize),
            quote! {
                impl<'de> ::moa_sdk::serde::Deserialize<'de> for #name {
                    fn deserialize<D: ::moa_sdk::serde::Deserializer<'de>>(
                        deserializer: D,
                    ) -> ::core::result::Result<Self, D::Error> {
                        #twin_name::deserialize(deserializer)
                    }
                }
            },
        ),
    };
    Ok(quote! {
        #[allow(dead_code, reason = "the twin is a description for serde, never a value")]
        const _: () = {
            #[derive(#derive)]
            #[serde(crate = "::moa_sdk::serde", remote = #remote)]
            #twin
            #forward
        };
    })
}

/// Drops every attribute but serde's: defaults of enums, params and docs mean nothing on the twin.
fn keep_serde(attributes: &mut Vec<Attribute>) {
    attributes.retain(|attribute| attribute.path().is_ident("serde"));
}
