//! A reward as a WebAssembly component: the world of `sdk/wit/reward.wit` on top of [`Reward`].
//!
//! Nothing of the host is there but `log`. A panic is logged with its place and then traps; the host makes a new
//! instance and gives the text to the user.

use std::sync::Once;

use bindings::exports::moa::reward::scorer;

use crate::{Completion, MeanTokens, Params, Performance, Result, Reward, RewardDescription};

/// The bindings of the world.
#[doc(hidden)]
#[allow(missing_docs, reason = "generated from the WIT file, which has the docs")]
pub mod bindings {
    wit_bindgen::generate!({
        world: "reward",
        path: "wit",
        pub_export_macro: true,
        export_macro_name: "export_bindings",
        default_bindings_module: "moa_sdk::abi::component::bindings",
        runtime_path: "::moa_sdk::abi::component::runtime",
    });
}

/// What the code of the bindings names in a plugin's crate.
#[doc(hidden)]
pub mod runtime {
    pub use wit_bindgen::rt::*;
}

pub use scorer::Guest;

/// What `score` gives: a score or an error for each completion, or one error for all of them.
pub type Scores = Result<Vec<Result<f32, String>>, String>;

static HOOK: Once = Once::new();

/// Panics become a line of the log, since a trap has no text of its own.
fn log_panics() {
    HOOK.call_once(|| std::panic::set_hook(Box::new(|info| bindings::moa::reward::host::log(&info.to_string()))));
}

/// `describe` of a reward.
pub fn describe<R: Reward>() -> scorer::Description {
    log_panics();
    let description = RewardDescription::of::<R>();
    scorer::Description {
        name: description.name,
        about: description.about,
        validation: match description.validation {
            Performance::Score => scorer::Performance::Score,
            Performance::ResponseTokens => scorer::Performance::ResponseTokens,
        },
        needs_means: description.needs_means,
        params: serde_json::json!(description.params).to_string(),
    }
}

/// `configure` of a reward.
pub fn configure<R: Reward>(params: &str) -> Result<R, String> {
    log_panics();
    let value = serde_json::from_str(params).map_err(|e| format!("the params are not JSON: {e}"))?;
    R::Params::from_json(&value)
        .and_then(R::new)
        .map_err(|error| match error.hint {
            Some(hint) => format!("{}; {hint}", error.message),
            None => error.message,
        })
}

/// `score` of a configured reward.
pub fn score<R: Reward>(reward: Option<&R>, completions: &[scorer::Completion]) -> Scores {
    let reward = reward.ok_or("score was called before configure")?;
    let completions: Vec<Completion<'_>> = completions.iter().map(view).collect();
    let scores = reward.score_all(&completions).map_err(|error| error.message)?;
    Ok(scores
        .into_iter()
        .map(|score| score.map_err(|error| error.message))
        .collect())
}

fn view(completion: &scorer::Completion) -> Completion<'_> {
    Completion {
        prompt: &completion.prompt,
        response: &completion.response,
        ground_truth: &completion.ground_truth,
        data_source: &completion.data_source,
        response_tokens: completion.response_tokens,
        means: completion.means.map(|means| MeanTokens {
            running: means.running,
            batch: means.batch,
            group: means.group,
        }),
        truncated: completion.truncated,
        extra: &completion.extra,
    }
}

/// Exports the reward of a component; scalarizers are native only, so they are left out of it, and a component
/// holds one reward.
#[macro_export]
macro_rules! export {
    (scalarizers: [$($scalarizer:ty),* $(,)?] $(,)?) => {};
    (rewards: [$($reward:ty),* $(,)?] $(,)?) => {
        $crate::export!(scalarizers: [], rewards: [$($reward),*]);
    };
    (scalarizers: [$($scalarizer:ty),* $(,)?], rewards: [] $(,)?) => {};
    (scalarizers: [$($scalarizer:ty),* $(,)?], rewards: [$reward:ty $(,)?] $(,)?) => {
        #[allow(unsafe_code, reason = "the exported functions of the world")]
        const _: () = {
            use $crate::abi::component::bindings::exports::moa::reward::scorer;

            static REWARD: ::std::sync::OnceLock<$reward> = ::std::sync::OnceLock::new();

            struct Exported;

            impl $crate::abi::component::Guest for Exported {
                fn describe() -> scorer::Description {
                    $crate::abi::component::describe::<$reward>()
                }
                fn configure(params: ::std::string::String) -> ::std::result::Result<(), ::std::string::String> {
                    let reward = $crate::abi::component::configure::<$reward>(&params)?;
                    REWARD
                        .set(reward)
                        .map_err(|_| "configure was called twice".to_owned())
                }
                fn score(
                    completions: ::std::vec::Vec<scorer::Completion>,
                ) -> $crate::abi::component::Scores {
                    $crate::abi::component::score(REWARD.get(), &completions)
                }
            }

            $crate::abi::component::bindings::export_bindings!(Exported with_types_in $crate::abi::component::bindings);
        };
    };
    (scalarizers: [$($scalarizer:ty),* $(,)?], rewards: [$($reward:ty),+ $(,)?] $(,)?) => {
        compile_error!("a component holds one reward: export each from a crate of its own");
    };
}
