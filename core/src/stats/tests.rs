//! What scipy, statsmodels, rliable and moocore answer, and enumerations: `tests/golden/stats`.

use serde_json::Value;

use super::{
    answers::{maj_at_k, pass_at_k},
    front::{attained, on_front, volume},
    permutation::{sign_flip, unpaired},
    summary::{holm, probability_of_improvement, summary, t_below, t_quantile},
};

/// The cases of a golden file.
fn cases(name: &str) -> Vec<Value> {
    let path = format!("{}/../tests/golden/stats/{name}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let file: Value = serde_json::from_str(&text).unwrap();
    let cases = file["cases"].as_array().unwrap().clone();
    assert_eq!(cases.len(), 200, "{name}");
    cases
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn size(value: &Value) -> usize {
    usize::try_from(value.as_u64().unwrap()).unwrap()
}

#[track_caller]
fn close(found: f64, expected: &Value, tolerance: f64, case: &Value) {
    let expected = number(expected);
    let off = (found - expected).abs();
    assert!(
        off <= tolerance * expected.abs().max(1.0),
        "found {found}, expected {expected}: {case}"
    );
}

#[test]
fn student_is_scipys() {
    for case in cases("student") {
        let df = number(&case["df"]);
        close(t_quantile(number(&case["p"]), df), &case["quantile"], 1e-8, &case);
        close(t_below(number(&case["t"]), df), &case["below"], 1e-10, &case);
    }
}

#[test]
fn mean_interval_and_interquartile_mean_are_scipys_and_rliables() {
    for case in cases("summary") {
        let found = summary(&numbers(&case["x"])).unwrap();
        close(found.mean, &case["mean"], 1e-12, &case);
        close(found.sd, &case["sd"], 1e-12, &case);
        close(found.half.unwrap(), &case["half"], 1e-9, &case);
        close(found.iqm, &case["iqm"], 1e-12, &case);
    }
    assert!(summary(&[]).is_none());
    let one = summary(&[3.0]).unwrap();
    assert_eq!((one.mean, one.iqm, one.half), (3.0, 3.0, None));
}

#[test]
fn permutation_tests_are_scipys() {
    for case in cases("permutation") {
        let (a, b) = (numbers(&case["a"]), numbers(&case["b"]));
        let differences: Vec<f64> = a.iter().zip(&b).map(|(a, b)| a - b).collect();
        let paired = sign_flip(&differences).unwrap();
        close(paired.p, &case["paired"], 1e-12, &case);
        assert!(paired.exact && paired.p >= paired.least);
        let found = unpaired(&a, &numbers(&case["c"])).unwrap();
        close(found.p, &case["unpaired"], 1e-12, &case);
        assert!(found.exact && found.p >= found.least);
    }
}

/// The designs of Colas et al.: five seeds a method can reach 0.0079 unpaired and 0.0625 paired.
#[test]
fn the_least_p_is_that_of_the_design() {
    let apart: Vec<f64> = (0..5).map(|i| 10.0 + f64::from(i)).collect();
    let near: Vec<f64> = (0..5).map(f64::from).collect();
    let test = unpaired(&apart, &near).unwrap();
    assert_eq!((test.p, test.least, test.difference), (2.0 / 252.0, 2.0 / 252.0, 10.0));
    let test = sign_flip(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
    assert_eq!((test.p, test.least), (0.0625, 0.0625));
    assert!(sign_flip(&[]).is_none() && unpaired(&[], &[1.0]).is_none());
}

/// Many values: drawn labellings come near the normal approximation, and each call draws the same.
#[test]
fn drawn_labellings_agree_with_the_normal_distribution_and_with_themselves() {
    let x: Vec<f64> = (0..200).map(|i| f64::from(i % 7) - 2.8).collect();
    let test = sign_flip(&x).unwrap();
    let norm = x.iter().map(|v| v * v).sum::<f64>().sqrt();
    let z = x.iter().sum::<f64>() / norm;
    let normal = 2.0 * t_below(-z.abs(), 1e7);
    assert!(!test.exact && (test.p - normal).abs() < 0.02, "{test:?} {normal}");
    assert_eq!(sign_flip(&x), Some(test));
    let y: Vec<f64> = x.iter().map(|v| v + 0.4).collect();
    let test = unpaired(&x, &y).unwrap();
    assert!(!test.exact && (0.02..0.12).contains(&test.p), "{test:?}");
    assert!((test.difference + 0.4).abs() < 1e-12 && test.least == 2e-4);
}

#[test]
fn holm_is_statsmodels() {
    for case in cases("holm") {
        let found = holm(&numbers(&case["p"]));
        for (found, expected) in found.iter().zip(case["adjusted"].as_array().unwrap()) {
            close(*found, expected, 1e-12, &case);
        }
    }
}

#[test]
fn probability_of_improvement_is_rliables() {
    for case in cases("improvement") {
        let found = probability_of_improvement(&numbers(&case["x"]), &numbers(&case["y"])).unwrap();
        close(found, &case["probability"], 1e-12, &case);
    }
}

#[test]
fn fronts_and_volumes_are_moocores() {
    for case in cases("front") {
        let list = |key: &str| case[key].as_array().unwrap().clone();
        let points: Vec<Vec<f64>> = list("points").iter().map(numbers).collect();
        let higher: Vec<bool> = list("higher").iter().map(|v| v.as_bool().unwrap()).collect();
        let front: Vec<bool> = list("front").iter().map(|v| v.as_bool().unwrap()).collect();
        assert_eq!(on_front(&points, &higher), front, "{case}");
        let found = volume(&points, &numbers(&case["reference"]), &higher).unwrap();
        close(found, &case["volume"], 1e-12, &case);
    }
}

/// moocore minimizes: both objectives are turned.
#[test]
fn attainment_surfaces_are_moocores() {
    let turned = |points: &Value| -> Vec<[f64; 2]> {
        let turn = |point: &Value| [-number(&point[0]), -number(&point[1])];
        points.as_array().unwrap().iter().map(turn).collect()
    };
    for case in cases("attainment") {
        let fronts: Vec<Vec<[f64; 2]>> = case["fronts"].as_array().unwrap().iter().map(turned).collect();
        for (level, surface) in case["surfaces"].as_object().unwrap() {
            let mut expected = turned(surface);
            expected.reverse();
            assert_eq!(attained(&fronts, level.parse().unwrap()), expected, "{case}");
        }
    }
}

#[test]
fn pass_and_majority_are_those_of_an_enumeration() {
    for case in cases("pass_at_k") {
        let [n, c, k] = ["n", "c", "k"].map(|key| size(&case[key]));
        close(pass_at_k(n, c, k).unwrap(), &case["pass"], 1e-12, &case);
    }
    for case in cases("maj_at_k") {
        let others: Vec<usize> = case["others"].as_array().unwrap().iter().map(size).collect();
        let found = maj_at_k(size(&case["right"]), &others, size(&case["k"])).unwrap();
        close(found, &case["majority"], 1e-12, &case);
    }
    assert!(pass_at_k(3, 1, 4).is_none() && pass_at_k(3, 1, 0).is_none() && maj_at_k(1, &[2], 4).is_none());
}
