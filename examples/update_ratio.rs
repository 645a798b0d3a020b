//! What the update phase costs with each scalarizer, beside linear's:
//! `cargo build --release && cargo run --release --example update_ratio [STEPS [SCALARIZER…]]`.
//!
//! Linear trains the embedded default for STEPS steps (40 unless given). In each of them every scalarizer named (linear,
//! mgda, gradnorm, gradient, dynamic unless given) makes its update from the same parameters on the same completions, one
//! after the other in an order that rotates; the time is that of `time.update` in metrics.jsonl. A table goes to stdout:
//! median seconds, the median over steps of the time divided by linear's in the same step, and the same of the processor
//! time of all steps together (on Linux), which other programs on the machine disturb less.

#![allow(clippy::print_stdout, reason = "a program that prints times")]

use std::{error::Error, path::PathBuf, sync::atomic::AtomicUsize, time::Instant};

use moa_core::{
    advantage::{Advantages, Estimation},
    config::{self, Request},
    plugin::{BatchInput, Needs, UpdateInput},
    reward::{EarlyScores, Scores},
    rollout::{Rollouts, Stream},
    train::Run,
    update::{UpdateBatch, batch_gramian, update_policy},
};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Libraries that a build of the workspace left beside the folder of this program.
fn library(name: &str) -> Result<String> {
    use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
    let program = std::env::current_exe()?;
    let folder: PathBuf = program.ancestors().nth(2).map(PathBuf::from).unwrap_or_default();
    Ok(folder
        .join(format!("{DLL_PREFIX}{name}{DLL_SUFFIX}"))
        .to_string_lossy()
        .into_owned())
}

fn open(scalarizer: &str) -> Result<Run> {
    let names = [scalarizer, "accuracy", "conciseness", "clarity"];
    let request = Request {
        plugins: names.iter().map(|name| library(name)).collect::<Result<_>>()?,
        ..Request::default()
    };
    Ok(Run::open(config::resolve(&request)?.config, true)?)
}

/// The update phase of a step as `train` makes it, without a KL term: what `time.update` counts.
fn update(
    run: &mut Run,
    step: u64,
    rollouts: &Rollouts,
    scores: &Scores,
) -> std::result::Result<(), moa_core::error::Error> {
    let (wants, needs, m) = (run.setup.wants, run.scalarizer.needs(), scores.m);
    let layers = run.scalarizer.gradient_layers().to_vec();
    let (lengths, offsets) = (rollouts.lengths(), &rollouts.offsets);
    let old = if wants.old_logprobs {
        Some(run.policy.logprobs(rollouts)?)
    } else {
        None
    };
    let estimation = Estimation {
        scalarizer: "of this program",
        estimator: run.setup.config.algorithm.estimator,
        rollouts,
        scores,
        kl_penalty: None,
        greedy: None,
    };
    let of_objectives = if wants.objective_advantages {
        Some(estimation.of_objectives()?)
    } else {
        None
    };
    let lr = run.setup.learning_rate(step - 1);
    let mut forward = None;
    if let (true, Some(of_objectives)) = (wants.batch_gramian, &of_objectives) {
        let advantages = Advantages::of_objectives(of_objectives.clone(), m);
        let batch = batch_gramian(&run.policy, rollouts, &advantages, &layers, &run.setup.update)?;
        run.scalarizer.observe_gradients(step, lr, &batch.gram, &batch.losses)?;
        forward = batch.forward;
    }
    let signal = run.scalarizer.scalarize(&BatchInput {
        step,
        m,
        scores: &scores.values,
        groups: &rollouts.groups,
        lengths: &lengths,
        objective_advantages: of_objectives
            .as_deref()
            .filter(|_| needs.has(Needs::OBJECTIVE_ADVANTAGES)),
        old_logprobs: old.as_deref().filter(|_| needs.has(Needs::OLD_LOGPROBS)),
        ref_logprobs: None,
        offsets,
    })?;
    let advantages = estimation.of_signal(&signal, of_objectives)?;
    let batch = UpdateBatch {
        rollouts,
        advantages: &advantages,
        old: old.as_deref().filter(|_| wants.off_policy),
        reference: None,
        gradient_layers: &layers,
    };
    let (setup, scalarizer) = (&run.setup, &mut run.scalarizer);
    update_policy(
        &mut run.policy,
        &mut run.optimizer,
        batch,
        &setup.update,
        forward,
        lr,
        &mut |minibatch, gram, losses| scalarizer.weigh_gradients(step, minibatch, lr, gram, losses),
    )?;
    if let (true, Some(old)) = (wants.after_update, &old) {
        let algorithm = &setup.config.algorithm;
        scalarizer.after_update(&UpdateInput {
            step,
            m,
            groups: &rollouts.groups,
            scores: &scores.values,
            advantages: &advantages.of_completions(offsets),
            old_logprobs: old,
            new_logprobs: &run.policy.logprobs(rollouts)?,
            offsets,
            clip_low: algorithm.clip_low,
            clip_high: algorithm.clip_high,
        })?;
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Processor time of this process so far, in ticks of 1/100 s; 0 where the system does not say.
fn processor_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // fields 14 and 15, user and system time, counted behind the name in brackets, which is the second
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum()
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let steps: u64 = arguments.next().map_or(Ok(40), |text| text.parse())?;
    let mut names: Vec<String> = arguments.filter(|name| name != "linear").collect();
    if names.is_empty() {
        names = ["mgda", "gradnorm", "gradient", "dynamic"].map(str::to_owned).to_vec();
    }
    names.insert(0, "linear".to_owned());
    let mut runs: Vec<Run> = names.iter().map(|name| open(name)).collect::<Result<_>>()?;
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let mut ticks = vec![0; names.len()];
    let mut tokens = 0;
    for step in 0..=steps {
        let driver = &mut runs[0];
        let prompts = driver.next_prompts();
        let config = &driver.setup.config;
        let (stream, group_size) = (Stream::training(config.train.seed, step), config.rollout.group_size);
        let rollouts = driver
            .policy
            .sample(prompts, group_size, &driver.setup.sampling, stream)?;
        driver.mean_length.add(&rollouts);
        let (early, done) = (EarlyScores::default(), AtomicUsize::new(0));
        let scores = driver
            .setup
            .objectives
            .score(&rollouts, &driver.mean_length, early, &done)?;
        let params = driver.policy.model().params().trainable().clone();
        for turn in 0..names.len() {
            let at = (turn + usize::try_from(step)?) % names.len();
            let run = &mut runs[at];
            run.policy.params_mut().trainable_mut().set(&params)?;
            let (start, ticks_before) = (Instant::now(), processor_ticks());
            update(run, step + 1, &rollouts, &scores)?;
            // the first step warms caches and buffers up
            if step > 0 {
                seconds[at].push(start.elapsed().as_secs_f64());
                ticks[at] += processor_ticks() - ticks_before;
            }
        }
        tokens += rollouts.tokens.len();
    }
    println!("scalarizer\tupdate_seconds\tratio_to_linear\tratio_of_processor_time");
    for ((name, times), own_ticks) in names.iter().zip(&seconds).zip(&ticks) {
        let ratios = times
            .iter()
            .zip(&seconds[0])
            .map(|(time, linear)| time / linear)
            .collect();
        let processor = *own_ticks as f64 / ticks[0].max(1) as f64;
        println!(
            "{name}\t{:.4}\t{:.2}\t{processor:.2}",
            median(times.clone()),
            median(ratios)
        );
    }
    println!(
        "# {steps} steps of {:.0} response tokens on average",
        tokens as f64 / (steps + 1) as f64
    );
    Ok(())
}
