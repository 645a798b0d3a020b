//! What a scalarizer implements ([`Hooks`]) and what it wants the host to compute for it ([`Needs`]): two sets of
//! names, which cross the boundary in the library's description.

use crate::{Error, Result};

macro_rules! set_of_names {
    ($set:ident, $word:literal; $($(#[$doc:meta])* $bit:literal $flag:ident $name:ident),* $(,)?) => {
        impl $set {
            /// The empty set.
            pub const NONE: $set = $set { bits: 0 };
            $(
                #[doc = concat!("The set that holds `", stringify!($name), "` alone.")]
                pub const $flag: $set = $set { bits: 1 << $bit };
                $(#[$doc])*
                #[must_use]
                pub const fn $name(self) -> Self {
                    Self { bits: self.bits | Self::$flag.bits }
                }
            )*
            const ALL: &[(&str, $set)] = &[$((stringify!($name), $set::$flag)),*];

            /// Whether the set holds all of `other`.
            pub const fn has(self, other: $set) -> bool {
                self.bits & other.bits == other.bits
            }

            /// The names in the set, in the order of a step.
            pub fn names(self) -> Vec<String> {
                let held = Self::ALL.iter().filter(|(_, one)| self.has(*one));
                held.map(|(name, _)| (*name).to_owned()).collect()
            }

            /// The set of these names.
            ///
            /// # Errors
            /// A name that this version does not know.
            pub fn from_names(names: &[String]) -> Result<Self> {
                let mut set = Self::NONE;
                for name in names {
                    let Some((_, one)) = Self::ALL.iter().find(|(known, _)| known == name) else {
                        return Err(Error::new(format!(concat!("unknown ", $word, " `{}`"), name))
                            .hint("the plugin is newer than this host: update the host"));
                    };
                    set.bits |= one.bits;
                }
                Ok(set)
            }
        }
    };
}

/// The hooks that a scalarizer implements. The attribute [`crate::scalarizer`] makes the set from the methods that it
/// finds; the host calls these hooks and no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Hooks {
    bits: u32,
}

set_of_names! { Hooks, "hook";
    /// With [`crate::Scalarizer::on_validation`].
    0 ON_VALIDATION on_validation,
    /// With [`crate::Scalarizer::observe_gradients`].
    1 OBSERVE_GRADIENTS observe_gradients,
    /// With [`crate::Scalarizer::scalarize`], which every scalarizer has.
    2 SCALARIZE scalarize,
    /// With [`crate::Scalarizer::weigh_gradients`].
    3 WEIGH_GRADIENTS weigh_gradients,
    /// With [`crate::Scalarizer::after_update`].
    4 AFTER_UPDATE after_update,
}

impl Hooks {
    /// The hooks among the names of the methods of an impl; other names are passed over.
    #[doc(hidden)]
    pub const fn of_methods(methods: &[&str]) -> Self {
        let mut hooks = Self::NONE;
        let mut at = 0;
        while at < methods.len() {
            let mut known = 0;
            while known < Self::ALL.len() {
                let (name, one) = Self::ALL[known];
                if same(methods[at], name) {
                    hooks.bits |= one.bits;
                }
                known += 1;
            }
            at += 1;
        }
        hooks
    }
}

/// `==` of text in a constant.
const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    if a.len() != b.len() {
        return false;
    }
    let mut at = 0;
    while at < a.len() {
        if a[at] != b[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// Supplied by the attribute [`crate::scalarizer`], so that a scalarizer without it does not compile.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "`impl Scalarizer for {Self}` lacks the attribute `#[moa_sdk::scalarizer]`",
    label = "the host cannot know which hooks `{Self}` implements",
    note = "write `#[moa_sdk::scalarizer]` on the line above `impl Scalarizer for {Self}`"
)]
pub trait ImplementedHooks {
    /// The hooks of the impl.
    const HOOKS: Hooks;
}

/// Data that costs something, which a scalarizer wants beyond scores, groups and lengths. Hooks are not asked for: one
/// that is implemented is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Needs {
    bits: u32,
}

set_of_names! { Needs, "need";
    /// A validation after each step, not only at the configured interval.
    0 VALIDATION_EACH_STEP validation_each_step,
    /// [`crate::views::Batch::objective_advantages`]: one more estimate for each objective.
    1 OBJECTIVE_ADVANTAGES objective_advantages,
    /// [`crate::views::Batch::old_logprobs`]: one more forward pass, where the update makes none.
    2 OLD_LOGPROBS old_logprobs,
    /// [`crate::views::Batch::ref_logprobs`]: a reference policy and its forward pass.
    3 REF_LOGPROBS ref_logprobs,
}

#[cfg(test)]
mod tests {
    use super::{Hooks, Needs};
    use crate::prelude::*;

    #[test]
    fn sets_go_through_their_names() -> Result<()> {
        let needs = Needs::NONE.old_logprobs().validation_each_step();
        assert_eq!(needs.names(), ["validation_each_step", "old_logprobs"]);
        assert_eq!(Needs::from_names(&needs.names())?, needs);
        assert!(needs.has(Needs::OLD_LOGPROBS) && !needs.has(Needs::REF_LOGPROBS));
        let error = Hooks::from_names(&["more".to_owned()]).expect_err("no such hook");
        assert_eq!(error.message, "unknown hook `more`");
        Ok(())
    }

    #[derive(Serialize, Deserialize)]
    struct OneHook;
    #[crate::scalarizer]
    impl Scalarizer for OneHook {
        const NAME: &str = "x";
        const PAPER: &str = "none";
        type Params = ();
        fn new(_: &Setup, (): ()) -> Result<Self> {
            Ok(Self)
        }
        fn scalarize(&mut self, _: &Batch<'_>) -> Result<Signal> {
            Ok(Signal::gradient_weights())
        }
        fn weights(&self) -> Option<Vec<f32>> {
            None
        }
        #[cfg(not(test))]
        fn on_validation(&mut self, _: &Validation<'_>) -> Result<()> {
            Ok(())
        }
        #[cfg(test)]
        fn after_update(&mut self, _: &Update<'_>) -> Result<()> {
            Ok(())
        }
    }

    #[derive(Serialize, Deserialize)]
    struct AllHooks;
    #[crate::scalarizer]
    impl Scalarizer for AllHooks {
        const NAME: &str = "x";
        const PAPER: &str = "none";
        type Params = ();
        fn new(_: &Setup, (): ()) -> Result<Self> {
            Ok(Self)
        }
        fn on_validation(&mut self, _: &Validation<'_>) -> Result<()> {
            Ok(())
        }
        fn observe_gradients(&mut self, _: &Gradients<'_>) -> Result<()> {
            Ok(())
        }
        fn scalarize(&mut self, _: &Batch<'_>) -> Result<Signal> {
            Ok(Signal::gradient_weights())
        }
        fn weigh_gradients(&mut self, _: &Gradients<'_>) -> Result<Vec<f32>> {
            Ok(Vec::new())
        }
        fn after_update(&mut self, _: &Update<'_>) -> Result<()> {
            Ok(())
        }
    }

    /// Methods that are no hooks are passed over, and so is what a `cfg` takes out.
    #[test]
    fn the_attribute_finds_the_hooks_that_are_written() {
        use super::ImplementedHooks as _;
        assert_eq!(OneHook::HOOKS, Hooks::NONE.scalarize().after_update());
        let all: Vec<&str> = Hooks::ALL.iter().map(|(name, _)| *name).collect();
        assert_eq!(AllHooks::HOOKS.names(), all);
    }
}
