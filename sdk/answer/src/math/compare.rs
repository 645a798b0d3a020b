//! Answers against answers, kind by kind.

use super::answer::Answer;
use super::budget::Budget;
use super::expr::Expr;
use super::identity::{self, Verdict};
use super::number::Rational;
use super::words::Unit;

/// Whether two answers are the same, with a budget of its own: for the steps of `x = 10/2 = 5`.
pub(super) fn are_equal(a: &Answer, b: &Answer) -> bool {
    compare(a, b, &mut Budget::new()) == Verdict::Same
}

/// What is known of two answers. Symmetric. `Unknown` where they are of kinds that cannot be compared.
pub(super) fn compare(a: &Answer, b: &Answer, budget: &mut Budget) -> Verdict {
    match (a, b) {
        (Answer::Value(a, unit_a), Answer::Value(b, unit_b)) => values(a, unit_a.as_ref(), b, unit_b.as_ref(), budget),
        (Answer::Words(a), Answer::Words(b)) => Verdict::of(a.replace(' ', "") == b.replace(' ', "")),
        (Answer::Words(words), Answer::Value(expr, None)) | (Answer::Value(expr, None), Answer::Words(words)) => {
            match letters(expr) {
                Some(letters) => Verdict::of(letters == words.replace(' ', "")),
                None => Verdict::Unknown,
            }
        }
        (Answer::Named(name_a, a), Answer::Named(name_b, b)) => named(name_a, a, name_b, b, budget),
        (Answer::Named(name, inner), Answer::Equation(left, '=', right))
        | (Answer::Equation(left, '=', right), Answer::Named(name, inner)) => match &**inner {
            Answer::Value(value, None) => equations((name, value), (left, right), budget),
            _ => Verdict::Unknown,
        },
        (Answer::Equation(la, sign_a, ra), Answer::Equation(lb, sign_b, rb)) => {
            if sign_a == sign_b {
                equations((la, ra), (lb, rb), budget)
            } else {
                Verdict::Different
            }
        }
        (Answer::Order(a, strict_a), Answer::Order(b, strict_b)) => orders(a, strict_a, b, strict_b, budget),
        (Answer::List(a, _), Answer::List(b, _)) => lists(a, b, budget),
        (Answer::Set(a), Answer::Set(b)) => unordered(&distinct(a, budget), &distinct(b, budget), budget),
        (Answer::List(list, _), Answer::Set(set)) | (Answer::Set(set), Answer::List(list, _)) => {
            unordered(list, set, budget)
        }
        (Answer::Bracketed(open_a, a, close_a), Answer::Bracketed(open_b, b, close_b)) => {
            let verdict = ordered(a, b, budget);
            if (open_a, close_a) == (open_b, close_b) || verdict != Verdict::Same {
                verdict
            } else {
                Verdict::Different
            }
        }
        (Answer::Matrix(a, determinant_a), Answer::Matrix(b, determinant_b)) => {
            if determinant_a != determinant_b {
                return Verdict::Unknown;
            }
            if a.len() != b.len() {
                return Verdict::Different;
            }
            all(a.iter().zip(b).map(|(a, b)| ordered(a, b, budget)))
        }
        (Answer::Ratio(a), Answer::Ratio(b)) => ordered(a, b, budget),
        // Strings would drop the `xy =` of `xy = 6`.
        (Answer::Equation(..) | Answer::Order(..), Answer::Value(..))
        | (Answer::Value(..), Answer::Equation(..) | Answer::Order(..)) => Verdict::Different,
        // One value in a set, and `x =` on one side only.
        (Answer::Set(set), other) | (other, Answer::Set(set))
            if set.len() == 1 && matches!(other, Answer::Value(..) | Answer::Named(..)) =>
        {
            compare(&set[0], other, budget)
        }
        (Answer::Named(_, inner), other) | (other, Answer::Named(_, inner)) => compare(inner, other, budget),
        _ => match (region(a), region(b)) {
            // Something must have been rewritten, or this would not end.
            (Some(parts_a), Some(parts_b)) if parts_a != [a.clone()] || parts_b != [b.clone()] => {
                unordered(&parts_a, &parts_b, budget)
            }
            _ => Verdict::Unknown,
        },
    }
}

/// All the same, or one different, or not known.
fn all(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut result = Verdict::Same;
    for verdict in verdicts {
        match verdict {
            Verdict::Different => return Verdict::Different,
            Verdict::Unknown => result = Verdict::Unknown,
            Verdict::Same => {}
        }
    }
    result
}

fn ordered(a: &[Answer], b: &[Answer], budget: &mut Budget) -> Verdict {
    if a.len() != b.len() {
        return Verdict::Different;
    }
    all(a.iter().zip(b).map(|(a, b)| compare(a, b, budget)))
}

/// Each of one with some of the other.
fn unordered(a: &[Answer], b: &[Answer], budget: &mut Budget) -> Verdict {
    if a.len() != b.len() {
        return Verdict::Different;
    }
    let mut left: Vec<&Answer> = b.iter().collect();
    let mut unknown = false;
    for item in a {
        let mut found = None;
        for (at, other) in left.iter().enumerate() {
            match compare(item, other, budget) {
                Verdict::Same => {
                    found = Some(at);
                    break;
                }
                Verdict::Unknown => unknown = true,
                Verdict::Different => {}
            }
        }
        match found {
            Some(at) => {
                left.swap_remove(at);
            }
            None if unknown => return Verdict::Unknown,
            None => return Verdict::Different,
        }
    }
    Verdict::Same
}

/// A set has each of its members once.
fn distinct(items: &[Answer], budget: &mut Budget) -> Vec<Answer> {
    let mut kept: Vec<Answer> = Vec::new();
    for item in items {
        if !kept.iter().any(|known| compare(known, item, budget) == Verdict::Same) {
            kept.push(item.clone());
        }
    }
    kept
}

/// `x = 1, 2` is `1, 2`; but `x = 1, y = 2` is not, whatever the order.
fn lists(a: &[Answer], b: &[Answer], budget: &mut Budget) -> Verdict {
    let names = |items: &[Answer]| -> Vec<Expr> {
        let mut names: Vec<Expr> = Vec::new();
        for item in items {
            if let Answer::Named(name, _) = item
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    };
    let (names_a, names_b) = (names(a), names(b));
    let named_alike = (names_a.len() > 1) == (names_b.len() > 1);
    if named_alike {
        unordered(a, b, budget)
    } else {
        Verdict::Unknown
    }
}

fn named(name_a: &Expr, a: &Answer, name_b: &Expr, b: &Answer, budget: &mut Budget) -> Verdict {
    if name_a == name_b {
        return compare(a, b, budget);
    }
    match (a, b) {
        (Answer::Value(value_a, _), Answer::Value(value_b, _)) => {
            equations((name_a, value_a), (name_b, value_b), budget).or_different()
        }
        _ => Verdict::Different,
    }
}

impl Verdict {
    fn or_different(self) -> Self {
        if self == Self::Unknown { Self::Different } else { self }
    }
}

fn difference(left: &Expr, right: &Expr) -> Expr {
    Expr::Sum(vec![left.clone(), right.clone().negated()])
}

/// `left = right` twice: one a multiple of the other.
fn equations(a: (&Expr, &Expr), b: (&Expr, &Expr), budget: &mut Budget) -> Verdict {
    identity::proportional(&difference(a.0, a.1), &difference(b.0, b.1), budget).0
}

/// Chains of `<` and `≤`: step by step, each a positive multiple of the other.
fn orders(a: &[Expr], strict_a: &[bool], b: &[Expr], strict_b: &[bool], budget: &mut Budget) -> Verdict {
    if strict_a.len() != strict_b.len() {
        return Verdict::Unknown;
    }
    if strict_a != strict_b {
        return Verdict::Different;
    }
    let steps = a.windows(2).zip(b.windows(2)).map(|(a, b)| {
        let [(low_a, high_a), (low_b, high_b)] = [(&a[0], &a[1]), (&b[0], &b[1])];
        match identity::proportional(&difference(high_a, low_a), &difference(high_b, low_b), budget) {
            (Verdict::Same, 1) => Verdict::Same,
            (Verdict::Same, -1) | (Verdict::Different, _) => Verdict::Different,
            _ => Verdict::Unknown,
        }
    });
    all(steps)
}

fn values(a: &Expr, unit_a: Option<&Unit>, b: &Expr, unit_b: Option<&Unit>, budget: &mut Budget) -> Verdict {
    let verdict = identity::equal(a, b, budget);
    match (unit_a, unit_b) {
        (Some(unit_a), Some(unit_b)) if !unit_a.agrees(unit_b) => Verdict::Different,
        // 50% is 1/2 as well as 50: the question says which is meant.
        (Some(unit), None) if unit.is("%") && verdict != Verdict::Same => identity::equal(&hundredth(a), b, budget),
        (None, Some(unit)) if unit.is("%") && verdict != Verdict::Same => identity::equal(a, &hundredth(b), budget),
        (Some(unit), None) if verdict != Verdict::Same => match without_letter(b, unit) {
            Some(b) => identity::equal(a, &b, budget),
            None => verdict,
        },
        (None, Some(unit)) if verdict != Verdict::Same => match without_letter(a, unit) {
            Some(a) => identity::equal(&a, b, budget),
            None => verdict,
        },
        _ => verdict,
    }
}

/// The number of `5 m`, read as a product, beside a number of metres.
fn without_letter(expr: &Expr, unit: &Unit) -> Option<Expr> {
    match (expr, unit.letter()) {
        (Expr::Product(factors), Some(letter)) => match factors.as_slice() {
            [number, Expr::Symbol(last)] if last == letter && number.is_constant() => Some(number.clone()),
            _ => None,
        },
        _ => None,
    }
}

fn hundredth(expr: &Expr) -> Expr {
    expr.clone().over(Expr::whole(100))
}

/// A set of real numbers as intervals and points that do not touch: unions, `x > 2`, `ℝ`, `ℝ ∖ {2}`, "x < 1 or
/// x > 2".
fn region(answer: &Answer) -> Option<Vec<Answer>> {
    match answer {
        Answer::Bracketed('(' | '[', items, ')' | ']') if items.len() == 2 => Some(vec![answer.clone()]),
        Answer::Set(items) => (!items.is_empty()).then(|| vec![answer.clone()]),
        Answer::Union(parts) => {
            let mut found = Vec::new();
            for part in parts {
                found.extend(region(part)?);
            }
            Some(found)
        }
        Answer::List(items, true) if items.iter().all(|item| matches!(item, Answer::Order(..))) => {
            let variables: Vec<_> = items.iter().map(variable).collect::<Option<_>>()?;
            if variables.windows(2).any(|pair| pair[0] != pair[1]) {
                return None;
            }
            items.iter().map(|item| region(item)?.pop()).collect()
        }
        Answer::Order(exprs, strict) => {
            variable(answer)?;
            let constants: Vec<bool> = exprs.iter().map(Expr::is_constant).collect();
            let value = |at: usize| Answer::Value(exprs[at].clone(), None);
            let infinite = Answer::Value(Expr::Infinity, None);
            let open = |strict: bool| if strict { '(' } else { '[' };
            let close = |strict: bool| if strict { ')' } else { ']' };
            Some(vec![match (constants.as_slice(), strict.as_slice()) {
                ([true, false], [strict]) => Answer::Bracketed(open(*strict), vec![value(0), infinite], ')'),
                ([false, true], [strict]) => {
                    let least = Answer::Value(Expr::Infinity.negated(), None);
                    Answer::Bracketed('(', vec![least, value(1)], close(*strict))
                }
                ([true, false, true], [low, high]) => {
                    Answer::Bracketed(open(*low), vec![value(0), value(2)], close(*high))
                }
                _ => return None,
            }])
        }
        Answer::Value(Expr::Symbol(name), None) if name == "ℝ" => {
            let ends = [Expr::Infinity.negated(), Expr::Infinity];
            Some(vec![interval(ends)])
        }
        Answer::Without(from, points) => {
            let [whole] = region(from)?.try_into().ok()?;
            let (Answer::Set(points), true) =
                (&**points, whole == interval([Expr::Infinity.negated(), Expr::Infinity]))
            else {
                return None;
            };
            let mut exprs = Vec::new();
            for point in points {
                let Answer::Value(expr, None) = point else { return None };
                exprs.push((identity::real(expr)?, expr));
            }
            exprs.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut found = Vec::new();
            let mut low = Expr::Infinity.negated();
            for (_, expr) in exprs {
                found.push(interval([low, expr.clone()]));
                low = expr.clone();
            }
            found.push(interval([low, Expr::Infinity]));
            Some(found)
        }
        _ => None,
    }
}

fn interval(ends: [Expr; 2]) -> Answer {
    Answer::Bracketed('(', ends.map(|end| Answer::Value(end, None)).to_vec(), ')')
}

/// The only variable of an inequality, where it stands alone.
fn variable(answer: &Answer) -> Option<&Expr> {
    let Answer::Order(exprs, _) = answer else { return None };
    let mut alone = exprs.iter().filter(|expr| !expr.is_constant());
    let only = alone.next()?;
    (alone.next().is_none() && matches!(only, Expr::Symbol(_) | Expr::Applied(..))).then_some(only)
}

/// Whether a fraction is all that an answer is: the fast way for most answers.
pub(super) fn fraction(answer: &Answer) -> Option<Rational> {
    match answer {
        Answer::Value(expr, None) => expr.rational(),
        _ => None,
    }
}

/// The letters of a product of variables, as a word: what `C` and `VW` are beside `\text{(C)}` and `\text{VW}`.
fn letters(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Symbol(name) if name.len() == 1 => Some(name.to_lowercase()),
        Expr::E => Some("e".to_owned()),
        Expr::I => Some("i".to_owned()),
        Expr::Product(factors) => factors.iter().map(letters).collect(),
        _ => None,
    }
}
