//! Completions for rewards: ordinary ones, and odd ones that a model can write all the same.

use crate::{Completion, MeanTokens, Rng};

/// A completion that owns its texts.
#[derive(Debug, Clone)]
pub struct Text {
    prompt: String,
    response: String,
    ground_truth: String,
    response_tokens: u32,
    means: MeanTokens,
    truncated: bool,
    extra: String,
}

impl Text {
    fn new(response: impl Into<String>) -> Self {
        let response = response.into();
        Self {
            prompt: "Ann has 2 apples and buys 3. How many has she?".to_owned(),
            ground_truth: "5".to_owned(),
            // About four bytes a token; a response has at least its end.
            response_tokens: u32::try_from(1 + response.len() / 4).unwrap_or(u32::MAX),
            means: MeanTokens {
                running: 12.0,
                batch: 11.0,
                group: 10.5,
            },
            truncated: false,
            extra: "{}".to_owned(),
            response,
        }
    }

    /// What a reward sees.
    pub fn view(&self) -> Completion<'_> {
        Completion {
            prompt: &self.prompt,
            response: &self.response,
            ground_truth: &self.ground_truth,
            data_source: "check",
            response_tokens: self.response_tokens,
            means: Some(self.means),
            truncated: self.truncated,
            extra: &self.extra,
        }
    }
}

/// `n` completions of random pieces, some with an answer, some cut.
pub fn ordinary(n: usize) -> Vec<Text> {
    const PIECES: [&str; 12] = [
        "2 + 3 = 5",
        "First, we add.",
        "Then ",
        "\n",
        "1) ",
        "2) ",
        "- ",
        "\\boxed{5}",
        "\\boxed{\\frac{1}{2}}",
        "Step 1: ",
        "the answer is ",
        "{",
    ];
    let mut rng = Rng::new(7);
    let one = |rng: &mut Rng| {
        let pieces = 1 + rng.below(12);
        let response: String = (0..pieces).map(|_| PIECES[rng.below(PIECES.len())]).collect();
        let truncated = rng.below(4) == 0;
        Text {
            truncated,
            ..Text::new(response)
        }
    };
    (0..n).map(|_| one(&mut rng)).collect()
}

/// One kind of completions.
pub struct CompletionFamily {
    /// kebab-case.
    pub name: &'static str,
    /// What gets a finite score.
    pub about: &'static str,
    /// The completions; made when they are needed, as some are long.
    pub make: fn() -> Vec<Text>,
}

/// Length of a long response in bytes.
const LONG: usize = 1_000_000;

impl CompletionFamily {
    /// All kinds.
    pub const ALL: &[CompletionFamily] = FAMILIES;
}

const FAMILIES: &[CompletionFamily] = &[
    CompletionFamily {
        name: "ordinary",
        about: "finite scores for 64 ordinary completions",
        make: || ordinary(64),
    },
    CompletionFamily {
        name: "empty",
        about: "a finite score for an empty response, and for one where everything is empty",
        make: || {
            let nothing = Text {
                prompt: String::new(),
                ground_truth: String::new(),
                response_tokens: 0,
                means: MeanTokens::default(),
                ..Text::new("")
            };
            vec![Text::new(""), nothing]
        },
    },
    CompletionFamily {
        name: "blank",
        about: "a finite score for a response of blanks",
        make: || vec![Text::new(" "), Text::new("\n\n\t \r\n")],
    },
    CompletionFamily {
        name: "no-ground-truth",
        about: "a finite score for a row without ground truth",
        make: || {
            let without = |response: &str| Text {
                ground_truth: String::new(),
                ..Text::new(response)
            };
            vec![without("so \\boxed{5}"), without("\\boxed{}")]
        },
    },
    CompletionFamily {
        name: "odd-ground-truth",
        about: "a finite score where the ground truth is no whole expression",
        make: || {
            let against = |ground_truth: &str| Text {
                ground_truth: ground_truth.to_owned(),
                ..Text::new("so \\boxed{\\frac{1}{2}}")
            };
            ["\\frac{1", "\\boxed{", "}", "\\", "1/0", "1e999", "\\sqrt", "\u{bd}"]
                .map(against)
                .to_vec()
        },
    },
    CompletionFamily {
        name: "long",
        about: "a finite score for 1 MB of text, of blanks and of digits",
        make: || {
            ["First, 2 + 3 = 5. ", " ", "7"]
                .map(|piece| Text::new(piece.repeat(LONG / piece.len())))
                .to_vec()
        },
    },
    CompletionFamily {
        name: "long-braces",
        about: "a finite score for 1 MB of braces that nothing closes",
        make: || {
            ["{", "}", "\\boxed{", "\\frac{"]
                .map(|piece| Text::new(piece.repeat(LONG / piece.len())))
                .to_vec()
        },
    },
    CompletionFamily {
        name: "unbalanced-braces",
        about: "finite scores for answers whose braces do not match",
        make: || {
            [
                "\\boxed{1 + {2",
                "}}}\\boxed{3}}",
                "\\boxed",
                "\\boxed}{",
                "{\\boxed{}",
                "\\boxed{\\frac{1}{}",
                "\\boxed{\\text{",
                "\\",
            ]
            .map(Text::new)
            .to_vec()
        },
    },
    CompletionFamily {
        name: "unicode",
        about: "finite scores for letters of several bytes, at every place of an answer",
        make: || {
            [
                "\\boxed{\u{bd}}",
                "\u{1f522}\u{fe0f} \\boxed{\u{1d7d3}}",
                "e\u{301}\\boxed{\u{661}\u{200f}}",
                "\u{feff}\\boxed{5}\u{0}",
                "\u{fffd}\u{fffd}",
                "\u{130}\u{df}\\frac\u{b2}\u{b3}",
                "\\boxed{5\u{a0}\u{2028}}",
                "\u{4e94}. \u{ff15}) \\boxed{\u{ff15}}",
            ]
            .map(Text::new)
            .to_vec()
        },
    },
    CompletionFamily {
        name: "truncated",
        about: "finite scores for responses that the length limit cut",
        make: || {
            let cut = |response: &str| Text {
                truncated: true,
                ..Text::new(response)
            };
            ["\\boxed{4", "2 + 3", "\\box", ""].map(cut).to_vec()
        },
    },
    CompletionFamily {
        name: "extra-columns",
        about: "finite scores whatever the row's other columns are",
        make: || {
            let with = |extra: &str| Text {
                extra: extra.to_owned(),
                ..Text::new("so \\boxed{5}")
            };
            ["{}", r#"{"level":3,"tags":["a",null],"nested":{"x":1.5}}"#]
                .map(with)
                .to_vec()
        },
    },
];
