//! The macros of moa-sdk: the attribute `scalarizer` for hooks, `Params` and `Choice` for what a plugin is configured
//! with, `Serialize` and `Deserialize` for its state. The last two are serde's own, pointed at moa-sdk's copy of serde,
//! so that a plugin needs no dependency but moa-sdk.

use proc_macro::TokenStream;

mod choice;
mod hooks;
mod params;
mod range;
mod state;

/// Stands on `impl Scalarizer for …` and tells the host which hooks the impl holds: a hook that is written is called,
/// one that is not costs nothing. Without the attribute the impl does not compile.
///
/// Where the impl has no `type Params`, the struct itself is its params and its state (see the derive of `Params`):
/// the attribute writes `type Params = Self`, and a `new` that returns the params unless the impl has one.
///
/// ```text
/// #[moa_sdk::scalarizer]
/// impl Scalarizer for Mine { … }
/// ```
#[proc_macro_attribute]
pub fn scalarizer(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let item = syn::parse_macro_input!(item as syn::ItemImpl);
    let expanded = match proc_macro2::TokenStream::from(arguments) {
        none if none.is_empty() => hooks::expand(&item),
        some => Err(syn::Error::new_spanned(some, "the attribute takes no arguments")),
    };
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Implements `moa_sdk::Params` for a struct with named fields. Doc comments become the documentation of the params.
///
/// `#[param(…)]` takes, in any order:
/// - `default = 0.1`; without it a param's default is `Default::default()`.
/// - `range = 0.0..`, `0.0..=1.0` or `..1.0`: the bounds of a number, of each number of a list, or of an optional one.
/// - `above = 0.0`: an exclusive lower bound, alone or with `range = ..=1.0`.
/// - `choices = ["a", "b"]`: the only texts that are accepted.
/// - `weights`: weights `[M]` of the objectives, `Vec<f32>` or `Vec<f64>`: >= 0, of sum 1, equal where none are given.
/// - `per_objective`: `Vec<f64>`, or an option of it: one number for each objective, or one for all. `per_objective = n`:
///   n of them.
/// - `flatten`: the field is a Params struct of its own, whose params stand beside the others.
///
/// A scalarizer's struct may hold its params and its state: `#[state]` marks a field that is no param. It starts as
/// `Default::default()`, or as `#[state(init = …)]` says. That expression sees `setup` and the fields above it, and may
/// use `?`.
///
/// A default outside its range does not compile. A value outside is an error that names key, value and range;
/// `plugin inspect` shows the range.
#[proc_macro_derive(Params, attributes(param, state))]
pub fn derive_params(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    params::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// Implements `moa_sdk::ParamValue` and `moa_sdk::Choice` for an enum of unit variants; each variant is
/// written in kebab-case (`RunningMax` is `"running-max"`).
#[proc_macro_derive(Choice)]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    choice::expand(&input)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// serde's `Serialize`, through moa-sdk's copy of serde. Attributes `#[serde(…)]` work as usual.
#[proc_macro_derive(Serialize, attributes(serde))]
pub fn derive_serialize(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    state::expand(&input, state::Direction::Serialize)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}

/// serde's `Deserialize`, through moa-sdk's copy of serde. Attributes `#[serde(…)]` work as usual.
#[proc_macro_derive(Deserialize, attributes(serde))]
pub fn derive_deserialize(input: TokenStream) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    state::expand(&input, state::Direction::Deserialize)
        .unwrap_or_else(|error| error.to_compile_error())
        .into()
}
