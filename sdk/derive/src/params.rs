//! `#[derive(Params)]`: a schema and a strict parser from JSON, from the fields of a struct.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, Meta, Result};

/// The implementation of `Params` for `input`, or an error at the offending token.
pub(crate) fn expand(input: &DeriveInput) -> Result<TokenStream> {
    let name = &input.ident;
    if !input.generics.params.is_empty() {
        return Err(Error::new_spanned(&input.generics, "a Params struct has no generics"));
    }
    let Data::Struct(data) = &input.data else {
        return Err(Error::new_spanned(
            name,
            "Params is derived for structs; for an enum of names use Choice",
        ));
    };
    let none = syn::punctuated::Punctuated::new();
    let fields = match &data.fields {
        Fields::Named(fields) => &fields.named,
        Fields::Unit => &none,
        Fields::Unnamed(fields) => {
            return Err(Error::new_spanned(fields, "the fields of a Params struct have names"));
        }
    };

    let mut specs = Vec::new();
    let mut reads = Vec::new();
    for field in fields {
        let Some(ident) = &field.ident else { continue };
        let key = ident.to_string().trim_start_matches("r#").to_owned();
        let ty = &field.ty;
        let doc = doc_of(field);
        let default = default_of(field)?;
        specs.push(quote! {
            ::moa_sdk::ParamSpec::of::<#ty>(#key, &{ let default: #ty = #default; default }, #doc)
        });
        reads.push(quote! {
            #ident: fields.take::<#ty>(#key, || #default)?
        });
    }

    Ok(quote! {
        impl ::moa_sdk::Params for #name {
            fn schema() -> ::std::vec::Vec<::moa_sdk::ParamSpec> {
                ::std::vec![#(#specs),*]
            }
            fn from_json(value: &::moa_sdk::serde_json::Value) -> ::moa_sdk::Result<Self> {
                #[allow(unused_variables, unused_mut, reason = "a struct without fields reads none")]
                let mut fields = ::moa_sdk::ParamFields::new(
                    value,
                    &<Self as ::moa_sdk::Params>::schema(),
                )?;
                ::core::result::Result::Ok(Self { #(#reads),* })
            }
        }
    })
}

/// The doc comment of a field, lines joined by a blank.
fn doc_of(field: &Field) -> String {
    let mut lines = Vec::new();
    for attribute in &field.attrs {
        if !attribute.path().is_ident("doc") {
            continue;
        }
        if let Meta::NameValue(meta) = &attribute.meta
            && let Expr::Lit(ExprLit {
                lit: Lit::Str(text), ..
            }) = &meta.value
        {
            lines.push(text.value().trim().to_owned());
        }
    }
    lines.join(" ").trim().to_owned()
}

/// The default of a field as an expression of the field's type. Text and array literals are turned into
/// `String` and `Vec`, everything else stands as it is written.
fn default_of(field: &Field) -> Result<TokenStream> {
    let mut default = None;
    for attribute in &field.attrs {
        if !attribute.path().is_ident("param") {
            continue;
        }
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("default") {
                default = Some(meta.value()?.parse::<Expr>()?);
                Ok(())
            } else {
                Err(meta.error("expected `default = …`"))
            }
        })?;
    }
    Ok(match default {
        None => quote!(::core::default::Default::default()),
        Some(text @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => quote!(::std::string::String::from(#text)),
        Some(array @ Expr::Array(_)) => quote!(::std::vec::Vec::from(#array)),
        Some(other) => quote!(#other),
    })
}
