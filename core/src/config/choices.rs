//! Keys that take one of a few words, as enums. The string beside each variant is its spelling in files, messages and
//! the schema.

use serde::{Deserialize, Serialize};

/// Defines enums whose variants are written in config files as the given strings.
macro_rules! choices {
    ($(
        $(#[doc = $about:literal])*
        pub enum $name:ident { $( $(#[doc = $doc:literal])* $variant:ident = $text:literal, )+ }
    )+) => {$(
        $(#[doc = $about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
        pub enum $name { $( $(#[doc = $doc])* #[serde(rename = $text)] $variant, )+ }

        impl $name {
            /// Every variant, in the order of the documentation.
            pub const ALL: &'static [$name] = &[$($name::$variant),+];
            /// How the variants are written in a config file, in the same order.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// How this variant is written in a config file.
            pub const fn name(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }

        impl super::keys::Setting for $name {
            fn describe(key: String, doc: &str, keys: &mut Vec<super::keys::Key>) {
                keys.push(super::keys::Key::new(key, super::keys::Kind::Choice($name::NAMES), doc));
            }
        }
    )+};
}

choices! {
    /// Number type of the model's parameters. Others follow with other devices.
    pub enum Dtype {
        /// 32-bit floats.
        F32 = "f32",
    }

    /// Where tensors live. Others follow.
    pub enum Device {
        /// The CPU.
        Cpu = "cpu",
    }

    /// Which prompts the model's chat template renders.
    pub enum ChatTemplate {
        /// Messages are rendered. A text is taken as it is, with the tokenizer's begin token.
        Auto = "auto",
        /// A text is rendered as well, as one user message.
        Always = "always",
        /// Nothing is rendered; messages are joined by empty lines.
        Never = "never",
    }

    /// What happens to a prompt with more than `data.max_prompt_tokens` tokens.
    pub enum Overlong {
        /// The row is dropped and counted.
        Drop = "drop",
        /// The first tokens are cut; the end (question, assistant's turn) stays.
        Truncate = "truncate",
        /// The run stops before it starts.
        Error = "error",
    }

    /// Whether more of an objective is better.
    pub enum Direction {
        /// More is better.
        Maximize = "maximize",
        /// Less is better.
        Minimize = "minimize",
    }

    /// What happens to a completion whose reward fails.
    pub enum OnError {
        /// The run stops with the reward's message.
        Stop = "stop",
        /// The completion gets score 0 and is counted.
        Zero = "zero",
        /// The completion is dropped from the update and counted.
        Skip = "skip",
    }

    /// How rewards `[B]` become advantages. Exact formulas and sources: the `advantage` module.
    pub enum Estimator {
        /// Reward minus the group's mean, divided by its standard deviation.
        Grpo = "grpo",
        /// Reward minus the group's mean, without division by the standard deviation.
        DrGrpo = "dr-grpo",
        /// Reward minus the mean of the other completions in its group.
        Rloo = "rloo",
        /// Reward, whitened over the batch.
        ReinforcePlusPlus = "reinforce++",
        /// Reward minus the group's mean, then whitened over the batch.
        ReinforcePlusPlusBaseline = "reinforce++-baseline",
        /// Reward minus the length-weighted mean of its group.
        Opo = "opo",
        /// Only the best completion of a group has an advantage: best minus second best.
        GrpoPassk = "grpo-passk",
        /// z-scores per objective and group, weighted sum, z-score over the batch.
        Gdpo = "gdpo",
        /// Reward minus that of the greedy completion of the same prompt, decoded in each step.
        Remax = "remax",
    }

    /// The policy loss.
    pub enum PolicyLoss {
        /// PPO's clipped surrogate, with separate low and high ranges and dual clip.
        PpoClip = "ppo",
        /// The same with one ratio per response.
        Gspo = "gspo",
        /// Clipped importance weights without a gradient.
        Cispo = "cispo",
    }

    /// How the loss of tokens `[N]` becomes one number.
    pub enum Aggregation {
        /// Mean over all response tokens of the mini-batch.
        TokenMean = "token-mean",
        /// Sum over a response's tokens, mean over responses.
        SeqMeanTokenSum = "seq-mean-token-sum",
        /// Mean over a response's tokens, mean over responses.
        SeqMeanTokenMean = "seq-mean-token-mean",
        /// Sum over a response's tokens divided by `rollout.max_new_tokens`, mean over responses.
        SeqMeanTokenSumNorm = "seq-mean-token-sum-norm",
    }

    /// Estimator of the KL divergence to the reference model, from the log-probabilities of sampled tokens.
    pub enum KlEstimator {
        /// new − ref.
        K1 = "k1",
        /// |new − ref|.
        Abs = "abs",
        /// (new − ref)² / 2.
        K2 = "k2",
        /// exp(ref − new) − (ref − new) − 1.
        K3 = "k3",
    }

    /// Where the KL term goes.
    pub enum KlPlacement {
        /// It is added to the loss.
        Loss = "loss",
        /// Its sum over a completion's tokens is subtracted from the completion's reward, before the estimator.
        Reward = "reward",
    }

    /// How the learning rate changes after the warm-up.
    pub enum ScheduleKind {
        /// It stays constant.
        Constant = "constant",
        /// Linear decay to `min_lr_ratio`.
        Linear = "linear",
        /// Cosine decay to `min_lr_ratio`.
        Cosine = "cosine",
        /// Decay as (1 − progress)^`schedule_power` to `min_lr_ratio`.
        Polynomial = "polynomial",
    }

    /// What supervised fine-tuning starts from.
    pub enum SftStart {
        /// A new model with random weights and the sizes in `[sft.fresh]`.
        Fresh = "fresh",
        /// The model that `model.path` names.
        Model = "model",
    }

    /// Architecture of a new model.
    pub enum Family {
        /// Llama 1 to 3, SmolLM2.
        Llama = "llama",
        /// Mistral: Llama under another name, here without its sliding window.
        Mistral = "mistral",
        /// Qwen2: Llama with biases on query, key and value.
        Qwen2 = "qwen2",
        /// Qwen3: Llama with RMS norms on query and key.
        Qwen3 = "qwen3",
    }
}
