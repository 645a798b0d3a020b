//! {{project-name}}: r_b = Σ_m w_m s_bm, for scores s `[B, M]` and weights w `[M]`. {{paper}}.
//!
//! Say here what the method does: its formula, the equation it comes from, and where you depart from it.
use moa_sdk::prelude::*;

/// What a config can set (`moa-host plugin inspect` shows these comments) and, with `#[state]`, what the method remembers. All of
/// it goes into checkpoints.
#[derive(Params, Serialize, Deserialize)]
pub struct Method {
    /// weight of each objective, in order; default: equal. They are >= 0 and sum to 1.
    #[param(weights)]
    weights: Vec<f32>,
}

#[scalarizer]
impl Scalarizer for Method {
    const NAME: &str = "{{project-name}}";
    const PAPER: &str = "{{paper}}";
    // What the host should compute for you, e.g. Needs::NONE.old_logprobs(). Hooks need no entry: write one, it is called.
    const NEEDS: Needs = Needs::NONE;

    fn scalarize(&mut self, _batch: &Batch) -> Result<Signal> {
        Ok(Signal::weights(&self.weights))
    }
}

moa_sdk::export!(scalarizers: [Method]);

#[cfg(test)]
mod tests {
    use super::Method;
    use moa_sdk::prelude::*;
    use moa_sdk::serde_json::json;

    #[test]
    fn it_has_the_properties_of_a_scalarizer() -> Result<()> {
        moa_sdk::testing::check_properties::<Method>(3, &json!({}))
    }
}
