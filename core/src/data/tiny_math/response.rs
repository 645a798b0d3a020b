//! The supervised responses: ten styles, a mixture for each item, and errors put in on purpose.

use super::problem::{Op, Problem, Step};
use crate::data::draw::Draw;

/// A way of answering. `e` stands for an equation such as `3 * 4 = 12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `It is 7`
    Bare,
    /// `\boxed{7}`
    BareBoxed,
    /// `e, e, \boxed{7}`
    EquationsBoxed,
    /// `e, e, it is 7`
    Equations,
    /// `1) e`, `2) e`, `\boxed{7}`, a line each
    NumberedBoxed,
    /// `1) e`, `2) e`, `It is 7`, a line each
    Numbered,
    /// `First e pens. Next e pens. The answer is \boxed{7}`
    OrdinalBoxed,
    /// `Step 1: we add 3, so e pens. … So the final answer is \boxed{7}`
    StepsBoxed,
    /// `Here we add 3, so e pens. … So the final answer is \boxed{7}`
    ProseBoxed,
    /// `Here we add 3, so e pens. … So Tom has 7 pens`
    Prose,
}

impl Style {
    /// All styles, in the order of the mixtures below.
    pub const ALL: [Self; 10] = [
        Self::Bare,
        Self::BareBoxed,
        Self::EquationsBoxed,
        Self::Equations,
        Self::NumberedBoxed,
        Self::Numbered,
        Self::OrdinalBoxed,
        Self::StepsBoxed,
        Self::ProseBoxed,
        Self::Prose,
    ];
}

/// Weights of [`Style::ALL`]. One style dominates each mixture, so that the most likely answer, too, depends on the
/// item: long and plain, long and numbered, long without a box, a bare box.
const MIXTURES: [[u32; 10]; 4] = [
    [4, 6, 6, 4, 6, 4, 6, 12, 48, 4],
    [4, 6, 6, 4, 6, 4, 10, 52, 4, 4],
    [10, 4, 4, 8, 5, 5, 4, 4, 4, 52],
    [8, 50, 8, 6, 6, 4, 4, 4, 6, 4],
];
/// The mixture of each item.
const MIXTURE_OF_ITEM: [usize; 12] = [0, 1, 2, 3, 0, 1, 2, 3, 1, 1, 2, 3];

/// How often of 100 an equation is wrong; the wrong value is carried on.
const WRONG_EQUATION: u32 = 6;
/// How often of 100 an answer without equations is wrong.
const WRONG_BARE_ANSWER: u32 = 25;
/// What a wrong number is off by.
const ERRORS: [i32; 5] = [-1, 1, -2, 2, 10];

const OPENING: &str = "Let me read the problem with care.";
const CLOSINGS: [&str; 2] = [
    "I have checked this and it looks good.",
    "This is what we were asked to find.",
];

/// A response in the mixture of the problem's item, with errors.
pub(super) fn draw_response(draw: &mut Draw, problem: &Problem) -> (Style, String) {
    let style = Style::ALL[draw.weighted(&MIXTURES[MIXTURE_OF_ITEM[problem.item]])];
    let bare = matches!(style, Style::Bare | Style::BareBoxed);
    let mut error = |percent: u32| match draw.percent(percent) {
        true => *draw.pick(&ERRORS),
        false => 0,
    };
    let response = if bare {
        write(
            style,
            problem,
            &[],
            off(problem.answer, error(WRONG_BARE_ANSWER)),
            None,
            None,
        )
    } else {
        let errors: Vec<i32> = problem.steps.iter().map(|_| error(WRONG_EQUATION)).collect();
        let equations = equations(problem, &errors);
        let answer = equations.last().map_or(problem.answer, |e| e.result);
        let opening = draw.percent(60).then_some(OPENING);
        let closing = draw.percent(50).then(|| *draw.pick(&CLOSINGS));
        write(style, problem, &equations, answer, opening, closing)
    };
    (style, response)
}

/// A correct response without needless sentences: what each style looks like.
pub fn clean_response(style: Style, problem: &Problem) -> String {
    let equations = equations(problem, &vec![0; problem.steps.len()]);
    write(style, problem, &equations, problem.answer, None, None)
}

/// One equation of a response.
struct Equation {
    left: u32,
    op: Op,
    right: u32,
    result: u32,
}

impl Equation {
    /// Blanks around the operators: " 12-5" would read as an enumerator, and so would a number before `.`, `)`, `:`.
    fn text(&self) -> String {
        format!("{} {} {} = {}", self.left, self.op.sign(), self.right, self.result)
    }

    /// What is done, in words.
    fn sentence(&self, items: &str) -> String {
        let verb = match self.op {
            Op::Plus => "add",
            Op::Minus => "take away",
            Op::Times => "multiply by",
            Op::Over => "divide by",
        };
        format!("we {verb} {}, so {} {items}.", self.right, self.text())
    }
}

/// The solution with `errors` added to the results; each equation goes on from the one before.
fn equations(problem: &Problem, errors: &[i32]) -> Vec<Equation> {
    let mut value = problem.steps.first().map_or(0, |step| step.left);
    let mut equation = |(step, &error): (&Step, &i32)| {
        let left = value;
        value = off(step.op.apply(left, step.right), error);
        Equation {
            left,
            op: step.op,
            right: step.right,
            result: value,
        }
    };
    problem.steps.iter().zip(errors).map(&mut equation).collect()
}

/// A number that is off by `error`, not below zero.
fn off(value: u32, error: i32) -> u32 {
    value.saturating_add_signed(error)
}

fn write(
    style: Style,
    problem: &Problem,
    equations: &[Equation],
    answer: u32,
    opening: Option<&str>,
    closing: Option<&str>,
) -> String {
    let items = problem.item_name();
    let boxed = format!("\\boxed{{{answer}}}");
    let joined = |between: &str, each: &dyn Fn(usize, &Equation) -> String| {
        let parts: Vec<_> = equations.iter().enumerate().map(|(i, e)| each(i, e)).collect();
        parts.join(between)
    };
    let listed = || joined(", ", &|_, e| e.text());
    let numbered = || joined("\n", &|i, e| format!("{}) {}", i + 1, e.text()));
    let told = |lead: &dyn Fn(usize) -> String, ending: String| {
        let body = joined(" ", &|i, e| format!("{} {}", lead(i), e.sentence(items)));
        let parts = [
            opening.map(str::to_owned),
            Some(body),
            closing.map(str::to_owned),
            Some(ending),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let here = |_| "Here".to_owned();
    match style {
        Style::Bare => format!("It is {answer}"),
        Style::BareBoxed => boxed,
        Style::EquationsBoxed => format!("{}, {boxed}", listed()),
        Style::Equations => format!("{}, it is {answer}", listed()),
        Style::NumberedBoxed => format!("{}\n{boxed}", numbered()),
        Style::Numbered => format!("{}\nIt is {answer}", numbered()),
        Style::OrdinalBoxed => {
            let word = |i| ["First", "Next", "Then"].get(i).unwrap_or(&"Next").to_owned();
            format!(
                "{} The answer is {boxed}",
                joined(" ", &|i, e| format!("{} {} {items}.", word(i), e.text()))
            )
        }
        Style::StepsBoxed => told(
            &|i| format!("Step {}:", i + 1),
            format!("So the final answer is {boxed}"),
        ),
        Style::ProseBoxed => told(&here, format!("So the final answer is {boxed}")),
        Style::Prose => told(&here, format!("So {} has {answer} {items}", problem.name)),
    }
}
