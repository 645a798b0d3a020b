//! `#[derive(Params)]`: a schema and a strict parser from JSON, from the fields of a struct.

use proc_macro2::TokenStream;
use quote::quote;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Data, DeriveInput, Error, Expr, ExprLit, Field, Fields, Lit, Meta, Result, Token};

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
    let mut names = Vec::new();
    let mut needs_setup = vec![quote!(false)];
    let mut setup = quote!();
    for field in fields {
        let Some(ident) = &field.ident else { continue };
        let (key, ty) = (ident.to_string().trim_start_matches("r#").to_owned(), &field.ty);
        let (spec, read) = match Kind::of(field)? {
            Kind::State { init } => {
                needs_setup.push(quote!(true));
                let init = match init {
                    None => quote!(::core::default::Default::default()),
                    Some(init) => {
                        setup = the_setup();
                        quote!(#init)
                    }
                };
                (None, init)
            }
            Kind::Flatten => {
                needs_setup.push(quote!(<#ty as ::moa_sdk::Params>::NEEDS_SETUP));
                let spec = quote!(schema.extend(<#ty as ::moa_sdk::Params>::schema()););
                (Some(spec), quote!(<#ty as ::moa_sdk::Params>::from_fields(__fields)?))
            }
            Kind::Weights => {
                needs_setup.push(quote!(true));
                let doc = match doc_of(field) {
                    none if none.is_empty() => WEIGHTS.to_owned(),
                    doc => doc,
                };
                let of = quote!(::moa_sdk::ParamSpec::of::<::std::vec::Vec<f32>>);
                let spec = quote!(schema.push(#of(#key, &::std::vec::Vec::new(), #doc)););
                (Some(spec), quote!(__fields.take_weights(#key)?))
            }
            Kind::Value(value) => {
                let (default, spec) = (value.default_tokens()?, value.spec(&key, field)?);
                let read = match &value.per_objective {
                    None => quote!(__fields.take::<#ty>(#key, || #default)?),
                    Some(count) => {
                        needs_setup.push(quote!(true));
                        setup = the_setup();
                        quote!(__fields.take_per_objective::<#ty>(#key, #count, || #default)?)
                    }
                };
                (Some(quote!(schema.push(#spec);)), read)
            }
        };
        specs.extend(spec);
        reads.push(quote!(let #ident: #ty = #read;));
        names.push(ident);
    }
    // A field of this name would hide the run's from the fields behind it.
    if let Some(hides) = names.iter().find(|name| **name == "setup") {
        return Err(Error::new_spanned(
            hides,
            "`setup` is what the run is set up with: name the field otherwise",
        ));
    }

    Ok(quote! {
        impl ::moa_sdk::Params for #name {
            const NEEDS_SETUP: bool = #(#needs_setup)||*;

            fn schema() -> ::std::vec::Vec<::moa_sdk::ParamSpec> {
                #[allow(unused_mut, reason = "a struct without params has none")]
                let mut schema = ::std::vec::Vec::new();
                #(#specs)*
                schema
            }
            #[allow(unused_variables, reason = "a struct without fields reads none")]
            fn from_fields(__fields: &mut ::moa_sdk::ParamFields<'_>) -> ::moa_sdk::Result<Self> {
                #setup
                #(#reads)*
                ::core::result::Result::Ok(Self { #(#names),* })
            }
        }
    })
}

/// What the expressions of fields see.
fn the_setup() -> TokenStream {
    quote! {
        #[allow(unused_variables, reason = "an expression need not look at it")]
        let setup = __fields.setup()?;
    }
}

/// What weights are, where their field has no comment of its own.
const WEIGHTS: &str = "weight of each objective, in order; default: equal. They are >= 0 and sum to 1.";

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

/// What a field is.
enum Kind {
    /// A param.
    Value(Box<Value>),
    /// Weights on the simplex, one for each objective.
    Weights,
    /// Params of their own, beside the others.
    Flatten,
    /// No param: where the method starts from; `Default` without an expression.
    State { init: Option<Expr> },
}

impl Kind {
    fn of(field: &Field) -> Result<Self> {
        let (mut value, mut others) = (Value::default(), Vec::new());
        for attribute in &field.attrs {
            if attribute.path().is_ident("state") {
                others.push(Self::State {
                    init: init_of(attribute)?,
                });
            } else if attribute.path().is_ident("param") {
                attribute.parse_nested_meta(|meta| {
                    if meta.path.is_ident("weights") {
                        others.push(Self::Weights);
                        Ok(())
                    } else if meta.path.is_ident("flatten") {
                        others.push(Self::Flatten);
                        Ok(())
                    } else {
                        value.read(&meta)
                    }
                })?;
            }
        }
        match (others.pop(), others.is_empty() && value.is_plain()) {
            (None, _) => Ok(Self::Value(Box::new(value))),
            (Some(kind), true) => Ok(kind),
            (Some(_), false) => Err(Error::new_spanned(
                field,
                "`state`, `weights` and `flatten` stand alone: the field can be nothing else",
            )),
        }
    }
}

/// The expression of `#[state(init = …)]`.
fn init_of(attribute: &Attribute) -> Result<Option<Expr>> {
    let mut init = None;
    if !matches!(attribute.meta, Meta::Path(_)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("init") {
                return Err(meta.error("expected `init = …`"));
            }
            init = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    Ok(init)
}

/// What `#[param(…)]` says of a param.
#[derive(Default)]
struct Value {
    default: Option<Expr>,
    range: Option<Range>,
    choices: Option<Expr>,
    /// How many numbers there are, where one stands for all.
    per_objective: Option<TokenStream>,
}

impl Value {
    fn is_plain(&self) -> bool {
        self.default.is_none() && self.range.is_none() && self.choices.is_none() && self.per_objective.is_none()
    }

    fn read(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("default") {
            self.default = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("range") {
            self.range.get_or_insert_default().within(&meta.value()?.parse()?)?;
        } else if meta.path.is_ident("above") {
            self.range.get_or_insert_default().above(&meta.value()?.parse()?)?;
        } else if meta.path.is_ident("choices") {
            self.choices = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("per_objective") {
            self.per_objective = Some(if meta.input.peek(Token![=]) {
                let count: Expr = meta.value()?.parse()?;
                quote!(#count)
            } else {
                quote!(setup.m())
            });
        } else {
            return Err(meta.error(
                "expected `weights`, `per_objective`, `flatten`, or one of `default`, `range`, `above`, `choices` with `= …`",
            ));
        }
        Ok(())
    }

    /// The param as data. Error: a default outside the range.
    fn spec(&self, key: &str, field: &Field) -> Result<TokenStream> {
        let (ty, doc, default) = (&field.ty, doc_of(field), self.default_tokens()?);
        let mut spec = quote! {
            ::moa_sdk::ParamSpec::of::<#ty>(#key, &{ let default: #ty = #default; default }, #doc)
        };
        if let Some(range) = &self.range {
            let (at_least, above, at_most, below) = range.bounds();
            spec = quote! {{
                const { assert!(<#ty as ::moa_sdk::ParamValue>::IS_NUMBER, "a range is for numbers") };
                #spec.within(::moa_sdk::ParamRange {
                    at_least: #at_least, above: #above, at_most: #at_most, below: #below,
                })
            }};
        }
        if let Some(choices) = &self.choices {
            spec = quote! {{
                const { assert!(<#ty as ::moa_sdk::ParamValue>::IS_TEXT, "choices are for text") };
                #spec.one_of(&#choices)
            }};
        }
        Ok(spec)
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

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    #[test]
    fn contradictions_are_refused() {
        let message = |input: syn::DeriveInput| super::expand(&input).expect_err("must be refused").to_string();
        let twice = message(parse_quote!(
            struct X {
                #[param(weights, default = [1.0])]
                w: Vec<f32>,
            }
        ));
        assert!(twice.contains("stand alone"), "{twice}");
        let both = message(parse_quote!(
            struct X {
                #[state]
                #[param(flatten)]
                w: Y,
            }
        ));
        assert!(both.contains("stand alone"), "{both}");
        let start = message(parse_quote!(
            struct X {
                #[state(start = 1)]
                w: u32,
            }
        ));
        assert!(start.contains("expected `init = …`"), "{start}");
        assert!(
            message(parse_quote!(
                struct X {
                    setup: u32,
                }
            ))
            .contains("name the field otherwise")
        );
        assert!(
            message(parse_quote!(
                struct X {
                    #[param(wieghts)]
                    w: u32,
                }
            ))
            .contains("`weights`")
        );
    }
}
