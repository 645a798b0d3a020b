//! {{project-name}}: the share of a length that the response leaves unused. {{paper}}.
//!
//! Say here what the reward measures, and what it gives to an empty and to a truncated response.
use moa_sdk::prelude::*;

/// What a config can set; `moa-host plugin inspect` shows these comments.
#[derive(Params)]
pub struct Params {
    /// length in characters from which on a response gets 0.
    #[param(default = 400, range = 1..)]
    characters: u32,
}

/// A reward has no state: the same completion gets the same score.
pub struct Measure(Params);

impl Reward for Measure {
    const NAME: &str = "{{project-name}}";
    const ABOUT: &str = "share of `characters` that the response leaves unused";
    type Params = Params;

    fn new(params: Params) -> Result<Self> {
        Ok(Self(params))
    }

    fn score(&self, completion: &Completion) -> Result<f32> {
        let used = completion.response.chars().count() as f32 / self.0.characters as f32;
        Ok((1.0 - used).max(0.0))
    }
}

moa_sdk::export!(rewards: [Measure]);

#[cfg(test)]
mod tests {
    use super::Measure;
    use moa_sdk::prelude::*;
    use moa_sdk::serde_json::json;

    #[test]
    fn it_has_the_properties_of_a_reward() -> Result<()> {
        moa_sdk::testing::check_reward::<Measure>(&json!({}), 0.0..=1.0)
    }

    #[test]
    fn half_of_the_length_is_half_of_the_score() -> Result<()> {
        let completion = Completion { response: "five ", ..Completion::default() };
        assert_eq!(moa_sdk::testing::score::<Measure>(&json!({ "characters": 10 }), &completion)?, 0.5);
        Ok(())
    }
}
