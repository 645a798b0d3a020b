//! The plan of a backward pass: which columns of cotangents go through the layers together.
//!
//! A response token affects only its own response's loss. On policy, an objective's cotangent is one number for the
//! whole response: its advantage. So the response's gradient is (advantage) × (one shared vector), for every objective.
//! We backpropagate that vector once for all M objectives, and multiply by the advantages where a weight's gradient is
//! summed over rows: dW_k = Σ_rows f_k · dy ⊗ x.
//!
//! A prompt is different: its keys and values serve all its responses, whose advantages differ. Its gradient is a sum
//! that no single factor scales, so its rows go through the layers once for each objective.
//!
//! ```text
//! group of one prompt and two responses, objectives A and B with advantages a1, a2 and b1, b2
//!
//!   rows of the batch        rows of the pass            factor for A   for B
//!   prompt                   prompt, A's copy                  1          0
//!                            prompt, B's copy                  0          1
//!   response 1               response 1                        a1         b1
//!   response 2               response 2                        a2         b2
//! ```
//! Attention adds a response's share of the prompt's key and value gradients to each copy, times that copy's factor.
//! Columns of other kinds (clipped ratios, a KL or entropy term) have a pass of their own, with factor 1.

use super::ops::backward_pass::BackwardPass;
use super::packed::Packed;
use super::token_stats::Cotangent;

/// The passes that together return the gradients of all columns.
pub(crate) fn plan<'a>(whole: &'a Packed, columns: &[Cotangent<'_>]) -> Vec<BackwardPass<'a>> {
    let (constant, other): (Vec<usize>, Vec<usize>) =
        (0..columns.len()).partition(|&m| columns[m].is_constant_over_responses(whole.offsets()));
    // one column has nothing to share
    let (shared, single) = match constant.len() {
        0 | 1 => (Vec::new(), (0..columns.len()).collect()),
        _ => (constant, other),
    };
    let mut passes: Vec<_> = single.into_iter().map(|m| of_column(whole, m, &columns[m])).collect();
    if !shared.is_empty() {
        passes.push(of_constant_columns(whole, shared, columns));
    }
    passes
}

/// The pass of one column of any kind.
fn of_column<'a>(whole: &'a Packed, m: usize, column: &Cotangent<'_>) -> BackwardPass<'a> {
    let mut active = vec![false; whole.groups().len()];
    for (i, &row) in whole.predictors().iter().enumerate() {
        if column.is_nonzero_at(i) {
            active[whole.group_of(row as usize)] = true;
        }
    }
    BackwardPass::for_column(whole, m, &active)
}

/// The pass of columns that are each constant over every response.
fn of_constant_columns<'a>(whole: &'a Packed, columns: Vec<usize>, cotangents: &[Cotangent<'_>]) -> BackwardPass<'a> {
    let m = columns.len();
    let mut copies = vec![Vec::new(); whole.groups().len()];
    let mut factors = vec![0f32; whole.tokens().len() * m]; // [T, M]; a prompt's are not used
    for tokens in whole.offsets().windows(2).filter(|tokens| tokens[0] < tokens[1]) {
        let of_response: Vec<f32> = columns.iter().map(|&c| cotangents[c].logprobs[tokens[0]]).collect();
        let predictors = &whole.predictors()[tokens[0]..tokens[1]];
        let copies: &mut Vec<usize> = &mut copies[whole.group_of(predictors[0] as usize)];
        copies.extend((0..m).filter(|&k| of_response[k] != 0.0));
        for &row in &predictors[1..] {
            factors[row as usize * m..(row as usize + 1) * m].copy_from_slice(&of_response);
        }
    }
    for copies in &mut copies {
        copies.sort_unstable();
        copies.dedup();
    }
    BackwardPass::shared(whole, columns, copies, &factors)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;
    use crate::model::packed::tests::batches;

    /// Two prompts of 2 and 1 tokens with two responses each.
    fn packed() -> Packed {
        Packed::new(
            &[vec![1, 2], vec![3]],
            &[vec![4, 5, 6], vec![7, 8], vec![9, 10], vec![11]],
            &[0, 0, 1, 1],
        )
        .expect("valid")
    }

    #[test]
    fn columns_that_are_constant_over_responses_share_a_pass() {
        let packed = packed();
        let first = [0.5, 0.5, 0.5, -1.0, -1.0, 0.0, 0.0, 0.0];
        let second = [2.0, 2.0, 2.0, 0.0, 0.0, 3.0, 3.0, -3.0];
        let uneven = [0.5, 0.5, 0.4, -1.0, -1.0, 0.0, 0.0, 0.0];
        let columns = [&first, &uneven, &second].map(|column| Cotangent::of(column));
        let passes = plan(&packed, &columns);
        let of: Vec<&[usize]> = passes.iter().map(BackwardPass::columns).collect();
        assert_eq!(of, [&[1][..], &[0, 2]]);
        let shared = &passes[1];
        // the first prompt twice, the second once, as only the second column reaches it
        assert_eq!(shared.packed().tokens(), [1, 2, 1, 2, 4, 5, 7, 3, 9]);
        let factors: Vec<[f32; 2]> = shared.factors().chunks(2).map(|f| [f[0], f[1]]).collect();
        assert_eq!(factors[..4], [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]);
        assert_eq!(
            factors[4..],
            [[0.5, 2.0], [0.5, 2.0], [-1.0, 0.0], [0.0, 1.0], [0.0, 3.0]]
        );
        let copies: Vec<_> = shared.prompt_copies(0, 4).expect("shared").collect();
        assert_eq!(copies, [(0, 0.5), (1, 2.0)]);
        // the prompt's last row, which predicts both first tokens, in each copy; a response's own row
        let mut to = vec![0f32; 9];
        shared.scatter(1, &[10.0], |m| columns[m].logprobs[0], &mut to);
        shared.scatter(3, &[7.0], |m| columns[m].logprobs[2], &mut to);
        assert_eq!(to, [0.0, 5.0, 0.0, 20.0, 0.0, 7.0, 0.0, 0.0, 0.0]);
        let values: Vec<f32> = (0..9).map(|row| row as f32).collect();
        assert_eq!(shared.active_rows_of(1, &values, 1)[..], [2.0, 3.0, 4.0, 5.0, 7.0, 8.0]);
        assert_eq!(
            shared.scaled_rows_of(1, &values, 1)[..],
            [2.0, 3.0, 8.0, 10.0, 7.0, 24.0]
        );
        // one column, or one with an entropy, has a pass of its own
        assert!(!plan(&packed, &columns[..1])[0].is_shared());
        let entropy = Cotangent {
            logprobs: &first,
            entropy: Some(&second),
        };
        let single = plan(&packed, &[entropy, columns[0]]);
        assert!(single.len() == 2 && single.iter().all(|pass| !pass.is_shared()));
    }

    /// A value for each response and column: 0 in about half of them, so that passes leave rows out.
    fn advantage() -> impl Strategy<Value = f32> {
        prop_oneof![Just(0.0), -2.0f32..2.0]
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            cases: 64,
            failure_persistence: None,
            rng_seed: RngSeed::Fixed(9),
            ..ProptestConfig::default()
        })]

        /// Without layers between, the gradient of a row is the sum over the tokens that it predicts, in every column and
        /// whatever passes the columns go through.
        #[test]
        fn passes_add_up_to_the_plain_sum(
            (batch, values, kinds) in (batches(), prop::collection::vec(advantage(), 40), prop::collection::vec(0..3u8, 4)),
        ) {
            let (prompts, responses, groups) = batch;
            let packed = Packed::new(&prompts, &responses, &groups).expect("valid");
            let n = packed.targets().len();
            let dx = |i: usize| (i as f32 * 0.7).sin();
            // columns of kind 0 differ from token to token, the others are constant over each response
            let mut columns = vec![vec![0f32; n]; kinds.len()];
            for (m, column) in columns.iter_mut().enumerate() {
                for (b, tokens) in packed.offsets().windows(2).enumerate() {
                    for (i, g) in column.iter_mut().enumerate().take(tokens[1]).skip(tokens[0]) {
                        *g = values[b * 4 + m] * if kinds[m] == 0 { dx(i + m) } else { 1.0 };
                    }
                }
            }
            let cotangents: Vec<Cotangent<'_>> = columns.iter().map(|column| Cotangent::of(column)).collect();
            let mut seen = Vec::new();
            for pass in plan(&packed, &cotangents) {
                let m = pass.columns().len();
                let rows = pass.packed().tokens().len();
                let mut dhidden = vec![0f32; rows];
                for (i, &row) in packed.predictors().iter().enumerate() {
                    pass.scatter(row as usize, &[dx(i)], |column| columns[column][i], &mut dhidden);
                }
                let whole = 0..packed.tokens().len();
                let origins: Vec<usize> = match pass.ranges() {
                    None => whole.collect(),
                    Some(ranges) => ranges.iter().cloned().flatten().collect(),
                };
                prop_assert_eq!(origins.len(), rows);
                for (k, &column) in pass.columns().iter().enumerate() {
                    seen.push(column);
                    let mut found = vec![0f32; packed.tokens().len()];
                    for (row, &origin) in origins.iter().enumerate() {
                        found[origin] += pass.factors()[row * m + k] * dhidden[row];
                    }
                    let mut expected = vec![0f32; packed.tokens().len()];
                    (0..n).for_each(|i| expected[packed.predictors()[i] as usize] += columns[column][i] * dx(i));
                    for (found, expected) in found.iter().zip(&expected) {
                        prop_assert!((found - expected).abs() < 1e-5, "column {}: {} and {}", column, found, expected);
                    }
                }
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..columns.len()).collect::<Vec<_>>());
        }
    }
}
