//! `#[derive(Params)]`: a schema and a strict parser from JSON, from the fields of a struct.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, Meta, Result};

use crate::range::Range;

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
        let attributes = Attributes::of(field)?;
        if attributes.flatten {
            specs.push(quote!(schema.extend(<#ty as ::moa_sdk::Params>::schema());));
            reads.push(quote!(#ident: <#ty as ::moa_sdk::Params>::from_fields(fields)?));
            continue;
        }
        let default = attributes.default_tokens()?;
        let mut spec = quote! {
            ::moa_sdk::ParamSpec::of::<#ty>(#key, &{ let default: #ty = #default; default }, #doc)
        };
        if let Some(range) = attributes.range {
            let (at_least, above, at_most, below) = range.bounds();
            spec = quote! {{
                const { assert!(<#ty as ::moa_sdk::ParamValue>::IS_NUMBER, "a range is for numbers") };
                #spec.within(::moa_sdk::ParamRange {
                    at_least: #at_least, above: #above, at_most: #at_most, below: #below,
                })
            }};
        }
        if let Some(choices) = attributes.choices {
            spec = quote! {{
                const { assert!(<#ty as ::moa_sdk::ParamValue>::IS_TEXT, "choices are for text") };
                #spec.one_of(&#choices)
            }};
        }
        specs.push(quote!(schema.push(#spec);));
        reads.push(quote! {
            #ident: fields.take::<#ty>(#key, || #default)?
        });
    }

    Ok(quote! {
        impl ::moa_sdk::Params for #name {
            fn schema() -> ::std::vec::Vec<::moa_sdk::ParamSpec> {
                #[allow(unused_mut, reason = "a struct without fields has none")]
                let mut schema = ::std::vec::Vec::new();
                #(#specs)*
                schema
            }
            #[allow(unused_variables, reason = "a struct without fields reads none")]
            fn from_fields(fields: &mut ::moa_sdk::ParamFields<'_>) -> ::moa_sdk::Result<Self> {
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

/// What `#[param(…)]` says of a field.
#[derive(Default)]
struct Attributes {
    default: Option<Expr>,
    range: Option<Range>,
    choices: Option<Expr>,
    flatten: bool,
}

impl Attributes {
    fn of(field: &Field) -> Result<Self> {
        let mut found = Self::default();
        for attribute in &field.attrs {
            if !attribute.path().is_ident("param") {
                continue;
            }
            attribute.parse_nested_meta(|meta| {
                if meta.path.is_ident("flatten") {
                    found.flatten = true;
                } else if meta.path.is_ident("default") {
                    found.default = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("range") {
                    found.range.get_or_insert_default().within(&meta.value()?.parse()?)?;
                } else if meta.path.is_ident("above") {
                    found.range.get_or_insert_default().above(&meta.value()?.parse()?)?;
                } else if meta.path.is_ident("choices") {
                    found.choices = Some(meta.value()?.parse()?);
                } else {
                    return Err(
                        meta.error("expected `flatten`, or one of `default`, `range`, `above`, `choices` with `= …`")
                    );
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// The default as an expression of the field's type. Text and array literals become `String` and `Vec`;
    /// everything else stands as it is written. Error: a number outside the range.
    fn default_tokens(&self) -> Result<TokenStream> {
        if let (Some(range), Some(default)) = (&self.range, &self.default) {
            range.check_default(default)?;
        }
        Ok(match &self.default {
            None => quote!(::core::default::Default::default()),
            Some(text @ Expr::Lit(ExprLit { lit: Lit::Str(_), .. })) => quote!(::std::string::String::from(#text)),
            Some(array @ Expr::Array(_)) => quote!(::std::vec::Vec::from(#array)),
            Some(other) => quote!(#other),
        })
    }
}
