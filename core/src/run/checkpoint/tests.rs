//! Checkpoints on disk: exact both ways, whole or passed over, and the right ones removed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::*;
use crate::{
    engine::{Arena, GradientSet, Layout},
    error::Report,
    model::Model,
    update::AdamWSettings,
};

/// The embedded model after one update, so that moments are not all zero.
fn trained() -> (Model, AdamW) {
    let mut model = Model::embedded().unwrap();
    let params = model.params_mut().trainable_mut();
    let mut optimizer = AdamW::new(AdamWSettings::default(), params);
    let sines = params.values().iter().map(|value| value.sin()).collect();
    let gradient = GradientSet::new(params.layout().clone(), sines).unwrap();
    optimizer.step(params, &gradient, 1e-3).unwrap();
    (model, optimizer)
}

fn state(step: u64) -> State {
    let mut state = State::new(step, 1);
    state.put("number", &0.1f32).unwrap();
    state
}

fn run_with(steps: &[u64], keep: usize) -> (tempfile::TempDir, Model, AdamW, Checkpoints) {
    let run = tempfile::tempdir().unwrap();
    let (model, optimizer) = trained();
    let mut store = Checkpoints::new(run.path(), keep, None);
    for &step in steps {
        store.write(&state(step), &model, &optimizer).unwrap();
    }
    (run, model, optimizer, store)
}

fn names(run: &Path) -> Vec<String> {
    let entries = fs::read_dir(run.join(FOLDER)).unwrap();
    let mut names: Vec<String> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn found_step(run: &Path) -> u64 {
    newest(run).unwrap().checkpoint.state.step()
}

fn bits(buffer: &Arena) -> Vec<(String, Vec<u32>)> {
    let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect();
    buffer
        .iter()
        .map(|(slot, values)| (slot.name.clone(), bits(values)))
        .collect()
}

fn params(model: &Model) -> &Arena {
    model.params().all()
}

#[test]
fn everything_comes_back_bit_for_bit_and_the_folder_opens_as_a_model() {
    let (run, model, optimizer, _) = run_with(&[40], 2);
    let checkpoint = newest(run.path()).unwrap().checkpoint;
    let (path, state) = (checkpoint.path(), &checkpoint.state);
    assert!(path.ends_with("checkpoints/step-000040"));
    assert_eq!(
        (state.step(), state.updates(), state.part("number").ok()),
        (40, 1, Some(0.1f32))
    );

    let mut fresh = Model::embedded().unwrap();
    let mut other = AdamW::new(AdamWSettings::default(), fresh.params().trainable());
    assert_ne!(bits(params(&fresh)), bits(params(&model)));
    checkpoint.load_parameters(&mut fresh).unwrap();
    checkpoint.load_optimizer(&mut other).unwrap();
    assert_eq!(bits(params(&fresh)), bits(params(&model)));
    assert_eq!(other.steps(), 1);
    let (other, optimizer) = (other.state(), optimizer.state());
    assert_eq!(bits(&other.moment1), bits(&optimizer.moment1));
    assert_eq!(bits(&other.moment2), bits(&optimizer.moment2));

    let opened = Model::load(&path.to_string_lossy()).unwrap();
    assert_eq!(bits(params(&opened)), bits(params(&model)));
}

/// Each file in turn, cut short, with one bit turned, and gone.
#[test]
fn damage_to_any_file_is_noticed_and_the_one_before_is_taken() {
    let (run, ..) = run_with(&[1, 2], 2);
    let folder = run.path().join("checkpoints/step-000002");
    let files: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() >= 6, "{files:?}");
    assert_eq!(found_step(run.path()), 2);
    for file in files {
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[whole.len() / 2] ^= 1;
        for damaged in [&whole[..whole.len() - 1], &whole[..0], &flipped] {
            fs::write(&file, damaged).unwrap();
            let found = newest(run.path()).unwrap();
            assert_eq!(found.checkpoint.state.step(), 1, "{}", file.display());
            let text = found.passed_over[0].to_string();
            assert!(text.contains("step-000002") && !text.contains('\n'), "{text}");
        }
        fs::remove_file(&file).unwrap();
        assert_eq!(found_step(run.path()), 1, "without {}", file.display());
        fs::write(&file, whole).unwrap();
        assert_eq!(found_step(run.path()), 2);
    }
    fs::write(folder.join("more.txt"), "not written by moa").unwrap();
    assert_eq!(found_step(run.path()), 1, "a file too many");
}

#[test]
fn a_kill_while_writing_leaves_the_one_before_and_the_next_write_cleans_up() {
    let (run, model, optimizer, _) = run_with(&[1], 2);
    // What a kill leaves: some files, the last one cut short, nothing renamed.
    let half = run.path().join("checkpoints/.step-000002.new");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("model.safetensors"), [1, 2, 3]).unwrap();
    assert_eq!(found_step(run.path()), 1);
    let mut resumed = Checkpoints::new(run.path(), 2, Some(1));
    resumed.write(&state(3), &model, &optimizer).unwrap();
    assert_eq!(names(run.path()), ["step-000001", "step-000003"]);
    assert_eq!(found_step(run.path()), 3);
}

#[test]
fn only_the_newest_stay_and_a_damaged_one_of_a_later_step_does_not_count() {
    let (run, model, optimizer, _) = run_with(&[1, 2, 3], 2);
    assert_eq!(names(run.path()), ["step-000002", "step-000003"]);
    fs::write(run.path().join("checkpoints/notes.txt"), "mine").unwrap();
    fs::write(run.path().join("checkpoints/step-000003/state.json"), "{}").unwrap();
    // The run goes on from 2, and comes to 3 again.
    let mut store = Checkpoints::new(run.path(), 2, Some(2));
    assert_eq!(store.newest(), Some(run.path().join("checkpoints/step-000002")));
    store.write(&state(3), &model, &optimizer).unwrap();
    assert_eq!(names(run.path()), ["notes.txt", "step-000002", "step-000003"]);
    assert_eq!(found_step(run.path()), 3);
    // Or it stops before it: the damaged one must not push the new one out.
    fs::write(run.path().join("checkpoints/step-000003/state.json"), "{}").unwrap();
    let mut store = Checkpoints::new(run.path(), 1, Some(1));
    store.write(&state(2), &model, &optimizer).unwrap();
    assert_eq!(names(run.path()), ["notes.txt", "step-000002"]);
}

#[test]
fn a_checkpoint_that_is_there_already_is_not_written_again() {
    let (run, model, optimizer, mut store) = run_with(&[5], 2);
    let file = run.path().join("checkpoints/step-000005/state.json");
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    store.write(&state(5), &model, &optimizer).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
}

#[test]
fn what_cannot_be_gone_on_from_is_one_line_with_a_hint() {
    let run = tempfile::tempdir().unwrap();
    let error = newest(run.path()).unwrap_err();
    assert!(error.to_string().contains("no checkpoint") && error.hint().unwrap().contains("config.toml"));

    let (run, ..) = run_with(&[1], 2);
    let sums = run.path().join("checkpoints/step-000001/checksums.txt");
    let text = fs::read_to_string(&sums).unwrap();
    fs::write(&sums, text.replacen("moa-checkpoint 1", "moa-checkpoint 2", 1)).unwrap();
    let error = newest(run.path()).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("moa-checkpoint 2") && !text.contains('\n'), "{text}");
    assert!(error.hint().is_some());
}

#[test]
fn tensors_of_another_model_are_refused_by_name() {
    let (run, model, ..) = run_with(&[1], 2);
    let checkpoint = newest(run.path()).unwrap().checkpoint;
    let fewer = params(&model).layout().slots()[1..].iter();
    let fewer = Layout::new(fewer.map(|slot| (slot.name.clone(), slot.shape.clone())));
    let mut fewer = AdamW::new(AdamWSettings::default(), &Arena::zeros(fewer.into()));
    let error = checkpoint.load_optimizer(&mut fewer).unwrap_err();
    assert!(error.to_string().contains("embed_tokens"), "{error}");
    assert_eq!(fewer.steps(), 0);
}

#[test]
fn a_part_is_named_when_it_is_missing_or_something_else() {
    let state = state(1);
    assert!(
        state
            .part::<f32>("other")
            .unwrap_err()
            .to_string()
            .contains("`other` of state.json is missing")
    );
    assert!(
        state
            .part::<String>("number")
            .unwrap_err()
            .to_string()
            .contains("`number`")
    );
}

/// The sum tells apart what a run would see differently.
#[test]
fn a_fingerprint_depends_on_every_weight() {
    let mut model = Model::embedded().unwrap();
    let before = fingerprint(&model);
    assert_eq!(before, fingerprint(&Model::embedded().unwrap()));
    if let Some(last) = model.params_mut().trainable_mut().values_mut().last_mut() {
        *last *= 1.0 + 1e-6;
    }
    assert_ne!(before, fingerprint(&model));
}
