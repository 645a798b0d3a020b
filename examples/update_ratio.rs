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
    config::{self, Request},
    reward::Early,
    rollout::Stream,
    train::Session,
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

fn session(scalarizer: &str) -> Result<Session> {
    let names = [scalarizer, "accuracy", "conciseness", "clarity"];
    let request = Request {
        plugins: names.iter().map(|name| library(name)).collect::<Result<_>>()?,
        ..Request::default()
    };
    Ok(Session::open(config::resolve(&request)?.config, true)?)
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
    let mut sessions: Vec<Session> = names.iter().map(|name| session(name)).collect::<Result<_>>()?;
    let mut seconds: Vec<Vec<f64>> = vec![Vec::new(); names.len()];
    let mut ticks = vec![0; names.len()];
    let mut tokens = 0;
    for step in 0..=steps {
        let driver = &mut sessions[0];
        let prompts = driver.next_prompts();
        let stream = Stream::training(driver.config.train.seed, step);
        let group_size = driver.config.rollout.group_size;
        let rollouts = driver.policy.sample(prompts, group_size, &driver.sampling, stream)?;
        driver.baseline.add(&rollouts);
        let scores = driver
            .objectives
            .score(&rollouts, &driver.baseline, Early::default(), &AtomicUsize::new(0))?;
        let params: Vec<_> = driver
            .policy
            .model()
            .params()
            .iter()
            .map(|(_, var)| var.as_tensor().copy())
            .collect::<std::result::Result<_, _>>()?;
        for turn in 0..names.len() {
            let at = (turn + usize::try_from(step)?) % names.len();
            let session = &mut sessions[at];
            session.policy.model().set_params(&params)?;
            let lr = session.learning_rate();
            let (start, ticks_before) = (Instant::now(), processor_ticks());
            session.improve(step + 1, &rollouts, &scores, None, lr)?;
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
