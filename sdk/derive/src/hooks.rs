//! `#[scalarizer]`: which hooks an `impl Scalarizer for …` holds, so that one that is written is called; and what the impl
//! leaves out because the struct says it.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, ImplItem, ImplItemFn, ItemImpl, Result, parse_quote};

/// `item` with `type Params = Self` and `new` where it has neither, and an implementation of `ImplementedHooks` with the
/// names of its methods; or an error at the offending token. Which names are hooks is the SDK's to say.
pub(crate) fn expand(item: &ItemImpl) -> Result<TokenStream> {
    let last = item.trait_.as_ref().and_then(|(_, path, _)| path.segments.last());
    if last.is_none_or(|segment| segment.ident != "Scalarizer") {
        return Err(Error::new_spanned(
            &item.self_ty,
            "the attribute belongs to `impl Scalarizer for …`",
        ));
    }
    let mut item = item.clone();
    let mut methods = Vec::new();
    for inner in &item.items {
        match inner {
            ImplItem::Fn(method) => {
                let name = method.sig.ident.to_string();
                let conditions = conditions(&method.attrs);
                methods.push(quote!(#(#conditions)* #name));
            }
            ImplItem::Macro(call) => {
                return Err(Error::new_spanned(
                    call,
                    "the attribute cannot see the methods that a macro writes: write the hooks themselves",
                ));
            }
            _ => {}
        }
    }
    let has_method = |name: &str| methods_of(&item).any(|method| method.sig.ident == name);
    if !has_method("scalarize") && !has_method("weigh_gradients") {
        return Err(Error::new_spanned(
            &item.self_ty,
            "a scalarizer has `scalarize`, or `weigh_gradients` where it weighs gradients",
        ));
    }
    let is_params = |inner: &ImplItem| matches!(inner, ImplItem::Type(ty) if ty.ident == "Params");
    if !item.items.iter().any(is_params) {
        let has_new = has_method("new");
        item.items.push(parse_quote!(
            type Params = Self;
        ));
        if !has_new {
            item.items.push(parse_quote! {
                fn new(_: &::moa_sdk::Setup, params: Self) -> ::moa_sdk::Result<Self> {
                    ::core::result::Result::Ok(params)
                }
            });
        }
    }
    let conditions = conditions(&item.attrs);
    let (generics, _, bounds) = item.generics.split_for_impl();
    let of = &item.self_ty;
    Ok(quote! {
        #item

        #(#conditions)*
        impl #generics ::moa_sdk::ImplementedHooks for #of #bounds {
            const HOOKS: ::moa_sdk::Hooks = ::moa_sdk::Hooks::of_methods(&[#(#methods),*]).scalarize();
        }
    })
}

fn methods_of(item: &ItemImpl) -> impl Iterator<Item = &ImplItemFn> {
    item.items.iter().filter_map(|inner| match inner {
        ImplItem::Fn(method) => Some(method),
        _ => None,
    })
}

/// The `#[cfg(…)]` among attributes: what is compiled under a condition is a hook under the same one.
fn conditions(attributes: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"))
}

#[cfg(test)]
mod tests {
    use syn::parse_quote;

    #[test]
    fn what_it_cannot_see_is_refused() {
        let message = |item: syn::ItemImpl| super::expand(&item).expect_err("must be refused").to_string();
        assert!(message(parse_quote!(impl Reward for X {})).contains("`impl Scalarizer for …`"));
        assert!(message(parse_quote!(impl X {})).contains("`impl Scalarizer for …`"));
        let hidden = parse_quote!(impl moa_sdk::Scalarizer for X { hooks!(); });
        assert!(message(hidden).contains("a macro writes"));
        assert!(message(parse_quote!(impl Scalarizer for X { fn metrics(&self) {} })).contains("`weigh_gradients`"));
    }

    #[test]
    fn what_the_impl_leaves_out_is_written() {
        let written = |item: syn::ItemImpl| super::expand(&item).expect("it holds").to_string();
        let short = written(parse_quote!(impl Scalarizer for X { fn scalarize() {} }));
        assert!(
            short.contains("type Params = Self") && short.contains("fn new"),
            "{short}"
        );
        let own = written(parse_quote!(impl Scalarizer for X { fn scalarize() {} fn new() {} }));
        assert_eq!(own.matches("fn new").count(), 1, "{own}");
        let old = written(parse_quote!(impl Scalarizer for X { type Params = (); fn scalarize() {} fn new() {} }));
        assert!(!old.contains("Self ;"), "{old}");
    }
}
