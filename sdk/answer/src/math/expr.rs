//! Expressions, and their exact value where it is a fraction.

use super::number::{Literal, Rational};

/// What a call computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    /// Of (number, base).
    Log,
    Ln,
    Abs,
    Floor,
    Ceil,
    Factorial,
    /// Of (n, k).
    Binomial,
    /// Degrees of an angle: its argument times π/180.
    Degrees,
    /// Of (radicand, degree).
    Root,
}

/// An expression. Its depth is bounded by the parser's, so that recursion over it is safe.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Expr {
    Number(Literal),
    /// A variable, by its name.
    Symbol(String),
    Pi,
    E,
    /// The imaginary unit.
    I,
    Infinity,
    Sum(Vec<Expr>),
    Product(Vec<Expr>),
    Negated(Box<Expr>),
    Quotient(Box<Expr>, Box<Expr>),
    Power(Box<Expr>, Box<Expr>),
    Call(Function, Vec<Expr>),
    /// `f(x)` of a function without a meaning of its own.
    Applied(String, Vec<Expr>),
    /// `±` (true) or `∓` (false) of an expression.
    PlusMinus(bool, Box<Expr>),
}

impl Expr {
    pub(super) fn whole(number: u64) -> Self {
        Self::Number(Literal::whole(&number.to_string()))
    }

    pub(super) fn negated(self) -> Self {
        Self::Negated(Box::new(self))
    }

    pub(super) fn over(self, other: Self) -> Self {
        Self::Quotient(Box::new(self), Box::new(other))
    }

    /// The expressions right below.
    pub(super) fn children(&self) -> Vec<&Self> {
        match self {
            Self::Number(_) | Self::Symbol(_) | Self::Pi | Self::E | Self::I | Self::Infinity => Vec::new(),
            Self::Sum(items) | Self::Product(items) | Self::Call(_, items) | Self::Applied(_, items) => {
                items.iter().collect()
            }
            Self::Negated(inner) | Self::PlusMinus(_, inner) => vec![inner],
            Self::Quotient(a, b) | Self::Power(a, b) => vec![a, b],
        }
    }

    /// Whether something in the expression, itself included, is so.
    pub(super) fn any(&self, is_so: &dyn Fn(&Self) -> bool) -> bool {
        is_so(self) || self.children().into_iter().any(|child| child.any(is_so))
    }

    /// Whether no variable is in it.
    pub(super) fn is_constant(&self) -> bool {
        !self.any(&|e| matches!(e, Self::Symbol(_) | Self::Applied(..)))
    }

    /// Names of the variables and functions, sorted, each once.
    pub(super) fn names(&self) -> Vec<&str> {
        fn collect<'a>(expr: &'a Expr, names: &mut Vec<&'a str>) {
            if let Expr::Symbol(name) | Expr::Applied(name, _) = expr {
                names.push(name);
            }
            for child in expr.children() {
                collect(child, names);
            }
        }
        let mut names = Vec::new();
        collect(self, &mut names);
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Significant digits of all numbers together: how much of a value may have been copied into it.
    pub(super) fn digits(&self) -> usize {
        match self {
            Self::Number(literal) => literal.significant(),
            Self::Call(Function::Root, arguments) => arguments.first().map_or(0, Self::digits),
            _ => self.children().into_iter().map(Self::digits).sum(),
        }
    }

    /// With `±` read as plus and `∓` as minus, or the other way round.
    pub(super) fn with_signs(&self, plus: bool) -> Self {
        let each = |items: &[Self]| items.iter().map(|item| item.with_signs(plus)).collect();
        let boxed = |item: &Self| Box::new(item.with_signs(plus));
        match self {
            Self::PlusMinus(positive, inner) if *positive == plus => inner.with_signs(plus),
            Self::PlusMinus(_, inner) => Self::Negated(boxed(inner)),
            Self::Sum(items) => Self::Sum(each(items)),
            Self::Product(items) => Self::Product(each(items)),
            Self::Call(function, items) => Self::Call(*function, each(items)),
            Self::Applied(name, items) => Self::Applied(name.clone(), each(items)),
            Self::Negated(inner) => Self::Negated(boxed(inner)),
            Self::Quotient(a, b) => Self::Quotient(boxed(a), boxed(b)),
            Self::Power(a, b) => Self::Power(boxed(a), boxed(b)),
            Self::Number(_) | Self::Symbol(_) | Self::Pi | Self::E | Self::I | Self::Infinity => self.clone(),
        }
    }

    /// The value, where it is a fraction that the rules here find and that fits 128 bits.
    pub(super) fn rational(&self) -> Option<Rational> {
        match self {
            Self::Number(literal) => literal.rational(),
            Self::Sum(items) => items
                .iter()
                .try_fold(Rational::ZERO, |sum, item| sum.plus(item.rational()?)),
            Self::Product(items) => items
                .iter()
                .try_fold(Rational::ONE, |product, item| product.times(item.rational()?)),
            Self::Negated(inner) => Some(inner.rational()?.negated()),
            Self::Quotient(a, b) => a.rational()?.over(b.rational()?),
            Self::Power(base, exponent) => {
                let exponent = exponent.rational()?;
                let degree = u32::try_from(exponent.den()).ok()?;
                base.rational()?.root(degree)?.power(exponent.num())
            }
            Self::Call(function, arguments) => called(*function, arguments),
            Self::Symbol(_)
            | Self::Pi
            | Self::E
            | Self::I
            | Self::Infinity
            | Self::Applied(..)
            | Self::PlusMinus(..) => None,
        }
    }

    /// The fraction `q` where the value is `q·π`.
    fn multiple_of_pi(&self) -> Option<Rational> {
        match self {
            Self::Pi => Some(Rational::ONE),
            Self::Negated(inner) => Some(inner.multiple_of_pi()?.negated()),
            Self::Quotient(a, b) => a.multiple_of_pi()?.over(b.rational()?),
            Self::Sum(items) => items
                .iter()
                .try_fold(Rational::ZERO, |sum, item| sum.plus(item.multiple_of_pi()?)),
            Self::Product(items) => {
                // One factor has the π, the others are fractions. Each is looked at once: a second look would double
                // the work at every level.
                let mut product = Rational::ONE;
                let mut found = false;
                for item in items {
                    let factor = match item.multiple_of_pi() {
                        Some(multiple) if !found && multiple != Rational::ZERO => {
                            found = true;
                            multiple
                        }
                        _ => item.rational()?,
                    };
                    product = product.times(factor)?;
                }
                if !found && product != Rational::ZERO {
                    return None;
                }
                Some(product)
            }
            Self::Call(Function::Degrees, angle) => angle.first()?.rational()?.over(Rational::whole(180)?),
            _ => (self.rational()? == Rational::ZERO).then_some(Rational::ZERO),
        }
    }
}

/// The largest factorial that fits 128 bits is that of 33.
const MOST_FACTORIAL: i128 = 33;

/// The value of a call, where it is a fraction.
fn called(function: Function, arguments: &[Expr]) -> Option<Rational> {
    let first = arguments.first()?;
    match function {
        Function::Abs => Some(first.rational()?.abs()),
        Function::Floor => Rational::whole(first.rational()?.floor()),
        Function::Ceil => Rational::whole(-first.rational()?.negated().floor()),
        Function::Factorial => {
            let n = first.rational()?.integer()?;
            let fits = (0..=MOST_FACTORIAL).contains(&n);
            fits.then(|| Rational::whole((1..=n).product())).flatten()
        }
        Function::Binomial => {
            let n = first.rational()?.integer()?;
            let k = arguments.get(1)?.rational()?.integer()?;
            if n < 0 || k < 0 || k > n {
                return None;
            }
            let k = k.min(n - k);
            // Doubles with each factor at least, so the overflow ends this soon.
            (0..k).try_fold(Rational::ONE, |value, j| value.times(Rational::new(n - j, j + 1)?))
        }
        Function::Root => {
            let degree = u32::try_from(arguments.get(1)?.rational()?.integer()?).ok()?;
            first.rational()?.root(degree)
        }
        Function::Log => logarithm(first.rational()?, arguments.get(1)?.rational()?),
        Function::Ln => match first {
            Expr::E => Some(Rational::ONE),
            Expr::Power(base, exponent) if **base == Expr::E => exponent.rational(),
            _ => (first.rational()? == Rational::ONE).then_some(Rational::ZERO),
        },
        Function::Sin => sine(first.multiple_of_pi()?),
        Function::Cos => cosine(first.multiple_of_pi()?),
        Function::Tan => {
            let angle = first.multiple_of_pi()?;
            tangent_on_a_diagonal(angle).or_else(|| sine(angle)?.over(cosine(angle)?))
        }
        _ => None,
    }
}

/// The logarithm, where it is a fraction with a denominator of at most 4: 3/2 for 8 to base 4.
fn logarithm(number: Rational, base: Rational) -> Option<Rational> {
    if base.is_negative() || base == Rational::ONE || base == Rational::ZERO || number == Rational::ZERO {
        return None;
    }
    for den in 1..=4 {
        let target = number.power(den)?;
        for num in 0..=127 {
            let Some(power) = base.power(num) else { break };
            if power == target {
                return Rational::new(num, den);
            }
            if power.power(-1) == Some(target) {
                return Rational::new(-num, den);
            }
        }
    }
    None
}

/// `sin(q·π)` where it is a fraction (Niven: 0, ±1/2 or ±1).
fn sine(q: Rational) -> Option<Rational> {
    let sixths = q.times(Rational::whole(6)?)?.integer()?.rem_euclid(12);
    match sixths {
        0 | 6 => Some(Rational::ZERO),
        1 | 5 => Rational::new(1, 2),
        3 => Some(Rational::ONE),
        7 | 11 => Rational::new(-1, 2),
        9 => Some(Rational::ONE.negated()),
        _ => None,
    }
}

/// `cos(q·π)` where it is a fraction.
fn cosine(q: Rational) -> Option<Rational> {
    sine(q.plus(Rational::new(1, 2)?)?)
}

/// `tan(q·π)` on the diagonals, where sine and cosine are no fractions but ±1 is their quotient.
fn tangent_on_a_diagonal(q: Rational) -> Option<Rational> {
    match q.times(Rational::whole(4)?)?.integer()?.rem_euclid(4) {
        1 => Some(Rational::ONE),
        3 => Some(Rational::ONE.negated()),
        _ => None,
    }
}
