//! The problems: a beginning, two to four steps, a question. The numbers and sentences make a task that a model of 0.3
//! million parameters can learn.

use crate::data::draw::Draw;

/// Who the problems are about.
pub const NAMES: [&str; 12] = [
    "Tom", "Ana", "Ben", "Mia", "Leo", "Eva", "Sam", "Zoe", "Max", "Ida", "Ray", "Lin",
];
/// What is counted.
pub const ITEMS: [&str; 12] = [
    "pens", "apples", "books", "coins", "cards", "shells", "stamps", "eggs", "cups", "toys", "keys", "nuts",
];

const CONTAINERS: [&str; 3] = ["boxes", "bags", "jars"];
/// The papers' sentence at the end of every prompt.
const SENTENCE: &str = "Let's think step by step and output the final answer within \\boxed{}.";
/// Steps of a problem, and in how many problems of 100.
const STEPS: [usize; 3] = [2, 3, 4];
const STEPS_WEIGHTS: [u32; 3] = [60, 33, 7];
/// No value on the way may be larger.
const LARGEST: u32 = 30;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Addition.
    Plus,
    /// Subtraction.
    Minus,
    /// Multiplication.
    Times,
    /// Division without remainder.
    Over,
}

impl Op {
    /// The sign in an equation.
    pub fn sign(self) -> char {
        match self {
            Self::Plus => '+',
            Self::Minus => '-',
            Self::Times => '*',
            Self::Over => '/',
        }
    }

    /// The result. After an error that was put in on purpose, a difference may fall below zero and a quotient may
    /// have a remainder: then 0 and the whole part.
    pub fn apply(self, left: u32, right: u32) -> u32 {
        match self {
            Self::Plus => left + right,
            Self::Minus => left.saturating_sub(right),
            Self::Times => left * right,
            Self::Over => left.checked_div(right).unwrap_or_default(),
        }
    }
}

/// One step: what stood before, what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The value before.
    pub left: u32,
    /// The operation.
    pub op: Op,
    /// The second operand.
    pub right: u32,
}

/// A word problem with its solution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The person.
    pub name: &'static str,
    /// Index into [`ITEMS`].
    pub item: usize,
    /// Two to four.
    pub steps: Vec<Step>,
    /// The last step's result.
    pub answer: u32,
    /// The whole text, with the papers' sentence.
    pub prompt: String,
}

impl Problem {
    /// The counted thing.
    pub fn item_name(&self) -> &'static str {
        ITEMS[self.item]
    }

    /// The next problem of a stream: attempts until all values lie in 0..=30.
    pub(super) fn draw(draw: &mut Draw) -> Self {
        loop {
            if let Some(problem) = Self::attempt(draw) {
                return problem;
            }
        }
    }

    fn attempt(draw: &mut Draw) -> Option<Self> {
        let name = *draw.pick(&NAMES);
        let item = draw.below(12) as usize;
        let items = ITEMS[item];
        let count = STEPS[draw.weighted(&STEPS_WEIGHTS)];
        let mut story = Story {
            text: String::new(),
            steps: Vec::new(),
            value: 0,
        };
        if draw.percent(45) {
            let (boxes, each) = (draw.between(2, 5), draw.between(2, 6));
            let container = draw.pick(&CONTAINERS);
            story.say(&format!("{name} has {boxes} {container} with {each} {items} in each."));
            story.value = boxes;
            story.step(Op::Times, each);
        } else {
            story.value = draw.between(2, 12);
            story.say(&format!("{name} has {} {items}.", story.value));
        }
        let mut multiplied = false;
        let mut question = format!("How many {items} does {name} have now?");
        while story.steps.len() < count {
            let last = story.steps.len() + 1 == count;
            let choice = draw.below(100);
            let divisors: Vec<u32> = (2..=5)
                .filter(|d| story.value.is_multiple_of(*d) && story.value > *d)
                .collect();
            if last && choice < 15 && !divisors.is_empty() {
                let piles = *draw.pick(&divisors);
                question =
                    format!("{name} packs the {items} into {piles} equal piles. How many {items} are in one pile?");
                story.step(Op::Over, piles);
            } else if choice < 27 && story.value * 3 <= LARGEST && !multiplied {
                let (factor, word) = *draw.pick(&[(2, "doubles"), (3, "triples")]);
                story.say(&format!("The number of {items} then {word}."));
                story.step(Op::Times, factor);
                multiplied = true;
            } else if choice < 63 || story.value < 4 {
                let more = draw.between(2, 9);
                story.say(&match draw.below(3) {
                    0 => format!("{name} buys {more} more."),
                    1 => format!("{name} finds {more} more."),
                    _ => format!("A friend gives {name} {more} more."),
                });
                story.step(Op::Plus, more);
            } else {
                let fewer = draw.between(2, 9.min(story.value - 1));
                let verb = draw.pick(&["gives away", "loses", "sells"]);
                story.say(&format!("{name} {verb} {fewer}."));
                story.step(Op::Minus, fewer);
            }
            if story.value > LARGEST {
                return None;
            }
        }
        Some(Self {
            name,
            item,
            prompt: format!("{} {question} {SENTENCE}", story.text),
            answer: story.value,
            steps: story.steps,
        })
    }
}

/// A problem being told.
struct Story {
    text: String,
    steps: Vec<Step>,
    value: u32,
}

impl Story {
    fn say(&mut self, sentence: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(sentence);
    }

    fn step(&mut self, op: Op, right: u32) {
        let left = self.value;
        self.steps.push(Step { left, op, right });
        self.value = op.apply(left, right);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_keep_to_the_recipe() {
        let mut draw = Draw::new(5, 0);
        let problems: Vec<_> = (0..10_000).map(|_| Problem::draw(&mut draw)).collect();
        for problem in &problems {
            let mut value = problem.steps[0].left;
            let mut seen_factor = false;
            for (i, step) in problem.steps.iter().enumerate() {
                assert_eq!(step.left, value, "{}", problem.prompt);
                value = step.op.apply(value, step.right);
                assert!(value <= LARGEST, "{}", problem.prompt);
                match step.op {
                    Op::Over => assert!(
                        i + 1 == problem.steps.len() && step.left % step.right == 0,
                        "{}",
                        problem.prompt
                    ),
                    Op::Minus => assert!(step.left > step.right, "{}", problem.prompt),
                    Op::Times if i > 0 || !problem.prompt.contains("in each") => {
                        assert!(!seen_factor, "multiplied twice: {}", problem.prompt);
                        seen_factor = true;
                    }
                    _ => {}
                }
            }
            assert_eq!(value, problem.answer);
            assert!(problem.prompt.contains(problem.name) && problem.prompt.contains(problem.item_name()));
            assert!(problem.prompt.ends_with("within \\boxed{}."));
        }
        // Rejection of large values favours short problems a little: 60/33/7 before it.
        let share = |n| problems.iter().filter(|p| p.steps.len() == n).count() as f64 / 10_000.0;
        assert!(
            (share(2) - 0.62).abs() < 0.03 && (share(3) - 0.31).abs() < 0.03,
            "{} {}",
            share(2),
            share(3)
        );
    }
}
