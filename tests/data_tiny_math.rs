//! tiny-math: the committed files are what the generator gives, and the supervised responses are as good, as
//! readable and as long as the recipe wants them. The expressions are those of the papers' rewards, written out here
//! so that the data does not depend on a plugin.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use minijinja::{Environment, context};
use moa_core::data::tiny_math::{self, Options, Style};
use moa_core::data::{Keys, PromptText, Row, read_rows};
use regex::Regex;
use tokenizers::Tokenizer;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/tiny-math")
}

fn text(row: &Row) -> &str {
    match &row.prompt {
        PromptText::Messages(messages) => &messages[0].content,
        PromptText::Text(text) => text,
    }
}

struct Judge {
    boxed: Regex,
    enumerator: Regex,
    bullet: Regex,
    ordinal: Regex,
}

impl Judge {
    fn new() -> Self {
        let regex = |pattern| Regex::new(pattern).expect("a valid expression");
        Self {
            boxed: regex(r"\\boxed\{([^{}]*)\}"),
            enumerator: regex(r"(?im)(?:(?:^|\s|\()(?:\bstep\s*)?(?:\d+|[a-z]|[ivxlcdm]+)[).:\-])"),
            bullet: regex(r"(?m)^\s*[-*\x{2022}]\s"),
            ordinal: regex(r"(?i)\b(?:first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth|next|then)\b"),
        }
    }

    fn answer(&self, response: &str) -> Option<String> {
        self.boxed
            .captures_iter(response)
            .last()
            .map(|c| c[1].trim().to_owned())
    }

    fn accurate(&self, response: &str, truth: &str) -> bool {
        self.answer(response).is_some_and(|answer| answer == truth)
    }

    /// Marks of structure: enumerators and bullets, ordinal words.
    fn marks(&self, response: &str) -> (usize, usize) {
        let lists = self.enumerator.find_iter(response).count() + self.bullet.find_iter(response).count();
        (lists, self.ordinal.find_iter(response).count())
    }

    fn clear(&self, response: &str) -> bool {
        let (lists, ordinals) = self.marks(response);
        self.answer(response).is_some_and(|answer| !answer.is_empty()) && (lists >= 2 || ordinals >= 2)
    }
}

#[test]
fn the_committed_files_are_what_the_generator_gives() {
    let out = tempfile::tempdir().expect("a folder");
    let options = Options {
        seed: tiny_math::SEED,
        supervised: None,
        tokenizer: true,
    };
    let written = tiny_math::generate(out.path(), options).expect("generated");
    assert_eq!(written.len(), 5);
    for path in written {
        let name = path.file_name().expect("a file");
        let committed = fs::read(folder().join(name)).expect("a committed file");
        assert!(
            committed == fs::read(&path).expect("a new file"),
            "data/tiny-math/{} differs",
            name.display()
        );
    }
}

#[test]
fn splits_have_their_sizes_and_share_no_prompt() {
    let splits = tiny_math::splits(tiny_math::SEED);
    let keys = Keys {
        require_ground_truth: true,
        ..Keys::default()
    };
    let mut all = BTreeSet::new();
    for (name, rows, expected) in [
        ("train", &splits.train, 4_000),
        ("validation", &splits.validation, 200),
        ("test", &splits.test, 200),
    ] {
        assert_eq!(rows.len(), expected);
        assert!(
            rows.iter().all(|row| all.insert(text(row))),
            "a prompt of {name} occurs twice"
        );
        assert_eq!(
            &read_rows(&folder().join(format!("{name}.parquet")), &keys).expect("a committed file"),
            rows
        );
    }
    assert_ne!(tiny_math::splits(1).test, splits.test);
}

#[test]
fn supervised_rows_repeat_and_leave_out_validation_and_test() {
    let rows = tiny_math::supervised(3, 30_000);
    assert_eq!(rows[..100], tiny_math::supervised(3, 100));
    let splits = tiny_math::splits(3);
    let held_out: BTreeSet<&str> = splits.validation.iter().chain(&splits.test).map(text).collect();
    assert!(rows.iter().all(|row| !held_out.contains(text(row))));
    // The check above says something only if such problems would come up: those of the training split do.
    let train: BTreeSet<&str> = splits.train.iter().map(text).collect();
    assert!(rows.iter().any(|row| train.contains(text(row))));
}

#[test]
fn supervised_responses_are_right_and_clear_as_often_as_the_recipe_says() {
    let judge = Judge::new();
    let rows = tiny_math::supervised(tiny_math::SEED, 20_000);
    let share = |good: &dyn Fn(&Row, &str) -> bool| {
        let count = rows
            .iter()
            .filter(|row| good(row, row.response.as_deref().unwrap_or_default()))
            .count();
        count as f64 / rows.len() as f64
    };
    // Standard error .0035; 56 % and 33 % in the recipe.
    let accuracy = share(&|row, response| judge.accurate(response, &row.ground_truth));
    let clarity = share(&|_, response| judge.clear(response));
    assert!((accuracy - 0.56).abs() < 0.015, "accuracy {accuracy}");
    assert!((clarity - 0.33).abs() < 0.015, "clarity {clarity}");
    // With openings, closings and errors, too, only the styles that mean to be structured look so.
    for row in &rows {
        let response = row.response.as_deref().unwrap_or_default();
        let structured = ["1) ", "Step 1:", "First "].iter().any(|mark| response.contains(mark));
        assert_eq!(judge.marks(response) != (0, 0), structured, "{response}");
    }
}

#[test]
fn each_style_is_boxed_and_structured_as_it_should_be() {
    use Style::{BareBoxed, EquationsBoxed, Numbered, NumberedBoxed, OrdinalBoxed, ProseBoxed, StepsBoxed};
    let judge = Judge::new();
    for problem in tiny_math::problems(11).take(500) {
        for style in Style::ALL {
            let response = tiny_math::clean_response(style, &problem);
            let boxed = matches!(
                style,
                BareBoxed | EquationsBoxed | NumberedBoxed | OrdinalBoxed | StepsBoxed | ProseBoxed
            );
            assert_eq!(
                judge.accurate(&response, &problem.answer.to_string()),
                boxed,
                "{style:?}: {response}"
            );
            let (lists, ordinals) = judge.marks(&response);
            let steps = problem.steps.len();
            let expected = match style {
                NumberedBoxed | Numbered | StepsBoxed => (steps, 0),
                OrdinalBoxed => (0, steps),
                _ => (0, 0), // plain styles must not trip the expression
            };
            assert_eq!((lists, ordinals), expected, "{style:?}: {response}");
        }
    }
}

#[test]
fn the_tokenizer_fits_the_chat_template_and_the_lengths_of_the_recipe() {
    let tokenizer = Tokenizer::from_file(folder().join("tokenizer.json")).expect("a committed file");
    assert!((500..=544).contains(&tokenizer.get_vocab_size(true)));
    for (id, token) in (0..).zip(tiny_math::SPECIAL_TOKENS) {
        assert_eq!(tokenizer.token_to_id(token), Some(id));
    }
    let config: serde_json::Value = serde_json::from_str(&tiny_math::tokenizer_config()).expect("JSON");
    let template = config["chat_template"].as_str().expect("a template");
    let render = |row: &Row, response: Option<&str>| {
        let turn = |role: &str, content: &str| {
            let fields = [("role", role.to_owned()), ("content", content.to_owned())];
            BTreeMap::from(fields)
        };
        let mut messages = vec![turn("user", text(row))];
        messages.extend(response.map(|content| turn("assistant", content)));
        let values = context! { messages, add_generation_prompt => response.is_none() };
        Environment::new().render_str(template, values).expect("rendered")
    };
    let encode = |text: &str| tokenizer.encode(text, false).expect("encoded").get_ids().to_vec();

    let rows = tiny_math::supervised(tiny_math::SEED, 5_000);
    let (mut prompts, mut responses) = (0, 0);
    for row in &rows {
        let response = row.response.as_deref().expect("a response");
        let prompt = encode(&render(row, None));
        assert_eq!((prompt.first(), prompt.last()), (Some(&2), Some(&3)));
        let whole = encode(&render(row, Some(response)));
        assert_eq!((whole.get(..prompt.len()), whole.last()), (Some(&prompt[..]), Some(&1)));
        let reply = &whole[prompt.len()..];
        assert_eq!(tokenizer.decode(reply, true).expect("decoded"), response);
        prompts += prompt.len();
        responses += reply.len();
    }
    let mean = |total: usize| total as f64 / rows.len() as f64;
    assert!((mean(prompts) - 47.0).abs() < 1.0, "prompt {}", mean(prompts));
    assert!((mean(responses) - 44.0).abs() < 1.0, "response {}", mean(responses));
    assert_eq!(encode("128").len(), 3, "digits are single");
    assert!(!encode("é → 木").is_empty());
    assert_eq!(tokenizer.decode(&encode("é → 木"), true).expect("decoded"), "é → 木"); // any bytes
}
