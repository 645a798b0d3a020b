//! Equivalence as a whole: a list of pairs written by hand for this crate, hostile texts, growth with the length,
//! and mutations.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::{is_correct, is_equivalent, last_boxed};

/// SplitMix64: which mutations are tried, the same ones on every machine.
struct Rng(u64);

impl Rng {
    /// A number in 0..n, nearly uniform.
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).expect("below n")
    }
}

/// The pairs of tests/golden/answers.jsonl: kind, answer, truth, and whether they are the same.
fn pairs() -> Vec<(String, String, String, bool)> {
    let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/golden/answers.jsonl"));
    let field =
        |row: &serde_json::Value, key: &str| row[key].as_str().unwrap_or_else(|| panic!("{key} in {row}")).to_owned();
    text.lines()
        .map(|line| {
            let row: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"));
            let same = row["same"].as_bool().unwrap_or_else(|| panic!("same in {row}"));
            (field(&row, "kind"), field(&row, "answer"), field(&row, "truth"), same)
        })
        .collect()
}

#[test]
fn every_pair_of_the_list() {
    let pairs = pairs();
    let different = pairs.iter().filter(|(.., same)| !same).count();
    assert!(
        pairs.len() >= 500 && different * 5 >= pairs.len() * 2,
        "{} pairs, {different} different",
        pairs.len()
    );
    let mut wrong = Vec::new();
    for (kind, answer, truth, same) in &pairs {
        for (a, b) in [(answer, truth), (truth, answer)] {
            if is_equivalent(a, b) != *same {
                wrong.push(format!(
                    "{kind}: {a} and {b} are {}the same",
                    if *same { "" } else { "not " }
                ));
            }
        }
        // In a box that its braces leave whole.
        if answer.matches('{').count() == answer.matches('}').count() && *same {
            let response = format!("so \\boxed{{{answer}}}");
            assert!(
                last_boxed(&response).is_some_and(|boxed| is_equivalent(boxed, truth)),
                "{answer}"
            );
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        pairs.len(),
        wrong.join("\n")
    );
}

/// Every answer of the list that can be read is equal to itself by its value, not only by its text.
#[test]
fn everything_is_itself() {
    for (_, answer, truth, _) in pairs() {
        for text in [answer, truth] {
            let same = super::same(&text, &text);
            assert_ne!(same, Some(false), "{text}");
        }
    }
}

/// Texts of `size` bytes that repeat one piece, alone and in a box that closes.
fn hostile(size: usize) -> Vec<(String, String)> {
    [
        "\\boxed{",
        "\\boxed{}",
        "\\boxed ",
        "\\fbox{",
        "{",
        "}",
        "{}",
        "(",
        ")",
        "[",
        "\\{",
        "\\frac",
        "\\frac{1}{",
        "\\sqrt{",
        "\\sqrt",
        "^",
        "9^",
        "9^{",
        "_",
        "-",
        "\\left",
        "\\left(",
        "\\text{ ",
        "\\text{a}",
        "\\begin{pmatrix}",
        "&",
        "\\\\",
        ",",
        "1,",
        "1,000",
        "=",
        "x=",
        "<",
        "|",
        "\\cup",
        "\\pm",
        "!",
        "9!",
        "7",
        ".",
        "e9",
        "\u{fffd}",
        "\\",
        "$",
        "%",
        " ",
        "\n",
        "x+",
        "1\\frac12",
        "\\ln ",
        "½",
        "(1,2)\\cup",
        "\\sqrt{2}+",
    ]
    .map(|piece| {
        let text = piece.repeat(size / piece.len());
        let boxed = format!("\\boxed{{{text}}}");
        (text, boxed)
    })
    .to_vec()
}

/// How long this thread has worked: its time on a processor where the system tells, so that a busy machine does not
/// count; the clock's otherwise.
fn worked() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    let clock = || START.get_or_init(Instant::now).elapsed();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split_whitespace().next().and_then(|first| first.parse().ok());
    nanoseconds.map_or_else(clock, Duration::from_nanos)
}

/// A megabyte of anything takes no more than linear time, in both modes: ten times the text at most thirty times as
/// long, where that is more than a second; what is quadratic takes minutes.
#[test]
fn time_grows_with_the_length() {
    let truth = r"\frac{1}{2}";
    let clock = |text: &str| {
        let start = worked();
        is_correct(text, truth);
        let _ = last_boxed(text).is_some_and(|boxed| is_equivalent(boxed, truth));
        is_equivalent(truth, text);
        worked().saturating_sub(start)
    };
    for ((short, short_boxed), (long, long_boxed)) in hostile(100_000).into_iter().zip(hostile(1_000_000)) {
        for (short, long) in [(short, long), (short_boxed, long_boxed)] {
            let piece: String = long.chars().take(30).collect();
            let before = clock(&short);
            assert!(before <= Duration::from_secs(1), "{piece}…: {before:?} for 100 kB");
            let after = clock(&long);
            let limit = (before * 30).max(Duration::from_secs(1));
            assert!(after <= limit, "{piece}…: {before:?}, then {after:?}");
        }
    }
}

/// The longest answers that are read at all, in a stack of a quarter of what WebAssembly has.
#[test]
fn deep_and_heavy_answers_end() {
    let mut texts: Vec<(String, String)> = hostile(super::LONGEST - 20);
    for depth in [10, 19, 38, 60, 500] {
        for (open, close) in [
            ("(", ")"),
            ("{", "}"),
            ("\\frac{1}{1+", "}"),
            ("\\sqrt{2+", "}"),
            ("2^{", "}"),
            ("\\tan(", ")"),
            ("2(", ")"),
            ("|1+(", ")|"),
            ("\\log_2(", ")"),
            ("f(", ")"),
            ("\\{", "\\}"),
            ("(1,", ")"),
            ("x_{", "}"),
            ("-(", ")"),
            ("\\text{", "}"),
            ("\\left(\\begin{array}{c}", "\\end{array}\\right)"),
        ] {
            let nested = |core: &str| format!("{}{core}{}", open.repeat(depth), close.repeat(depth));
            texts.push((nested("x"), nested("y")));
            texts.push((nested("3"), nested("5")));
        }
    }
    let inverse = "\\frac{1}{1+\\sqrt2+\\sqrt3+\\sqrt5+\\sqrt7+i}+".repeat(80);
    texts.push((format!("{inverse}1"), format!("{inverse}2")));
    let roots: Vec<String> = (2..192).map(|n| format!("\\sqrt{{{n}}}")).collect();
    let reversed: Vec<String> = roots.iter().rev().cloned().collect();
    texts.push((roots.join(","), reversed.join(",")));
    texts.push(("9".repeat(100_000), "9".repeat(100_001)));
    texts.push(("9^{9^{9^{9}}}".to_owned(), "9^{9^{9^{8}}}".to_owned()));
    texts.push((format!("x^{{{}}}", "9".repeat(300)), "x".to_owned()));
    let run = move || {
        for (a, b) in texts {
            let start = worked();
            assert_eq!(is_equivalent(&a, &b), is_equivalent(&b, &a), "{a}\n{b}");
            let took = worked().saturating_sub(start);
            assert!(took < Duration::from_secs(2), "{took:?} for {a}\n{b}");
        }
    };
    let thread = std::thread::Builder::new().stack_size(256 * 1024).spawn(run);
    assert!(thread.is_ok_and(|thread| thread.join().is_ok()));
}

/// Answers with a few characters changed: no panic, and the same verdict both ways.
#[test]
fn mutations() {
    const PIECES: [&str; 40] = [
        "{",
        "}",
        "(",
        ")",
        "[",
        "]",
        ",",
        "\\",
        "^",
        "_",
        "-",
        "+",
        "/",
        "|",
        " ",
        "1",
        "0",
        "x",
        "i",
        "e",
        ".",
        "!",
        "%",
        "=",
        "<",
        "\\frac",
        "\\sqrt",
        "\\text{",
        "\\pm",
        "\\cup",
        "\\pi",
        "\\sin ",
        "\\{",
        "\\}",
        "$",
        "\\circ",
        "½",
        "\u{fffd}",
        "\\begin{pmatrix}",
        "&",
    ];
    let mut rng = Rng(7);
    let pairs = pairs();
    for _ in 0..20_000 {
        let (_, one, other, _) = &pairs[rng.below(pairs.len())];
        let mut text: Vec<char> = one.chars().collect();
        for _ in 0..=rng.below(3) {
            let at = rng.below(text.len() + 1);
            match rng.below(3) {
                0 if at < text.len() => {
                    text.remove(at);
                }
                1 if at < text.len() => text.truncate(at.max(1)),
                _ => {
                    let piece = PIECES[rng.below(PIECES.len())].chars();
                    text.splice(at..at, piece);
                }
            }
        }
        let text: String = text.into_iter().collect();
        let verdict = is_equivalent(&text, other);
        assert_eq!(is_equivalent(other, &text), verdict, "{text} and {other}");
        assert_eq!(is_equivalent(&text, &text), !text.trim().is_empty(), "{text}");
    }
}
