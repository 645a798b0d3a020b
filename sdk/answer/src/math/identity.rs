//! Whether two expressions are equal for all values of their variables.
//!
//! Three ways, the first that decides: fractions of 128 bits; modulo three primes at random points, with the
//! roots of an [`Algebra`] and with π, e, ∞ and everything that is not algebraic (sin x, 2^x, √x) as one more
//! variable for each value of its arguments; rounded values at random points. The first two are exact (the second
//! but for a chance below 2^-150). The third is asked only where such a function stands in one of the two, and
//! says "equal" only for short numbers whose values can be trusted to 12 digits.

use super::algebra::{Algebra, Basis, Element, Radical, radical};
use super::budget::Budget;
use super::expr::{Expr, Function};
use super::field::FIELDS;
use super::float;
use super::number::Rational;

/// What is known of two answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Same,
    Different,
    Unknown,
}

impl Verdict {
    pub(super) fn of(same: bool) -> Self {
        if same { Self::Same } else { Self::Different }
    }
}

/// What the preparation of one algebra costs at least, in units of the budget.
const PREPARATION: u64 = 200;
/// Points at which rounded values are compared, and how many of them must give values that can be trusted.
const POINTS: u64 = 8;
const TRUSTED: usize = 3;
/// Significant digits that both sides may have together where rounded values are to show that they are equal: of
/// expressions with variables, and of constants, where a coincidence needs no more than one value. 3 ln(640320)/√163
/// is π to 16 digits, and has 9.
const MOST_DIGITS: usize = 12;
const MOST_DIGITS_OF_CONSTANTS: usize = 8;

/// Whether `a = b`.
pub(super) fn equal(a: &Expr, b: &Expr, budget: &mut Budget) -> Verdict {
    if let (Some(a), Some(b)) = (a.rational(), b.rational()) {
        return Verdict::of(a == b);
    }
    let basis = basis_of(&[a, b]);
    let mut exact = true;
    let mut same = true;
    for (salt, field) in (0..).zip(FIELDS) {
        let algebra = Algebra::new(field, &basis);
        if !budget.spend(algebra.cost() + PREPARATION) {
            return Verdict::Unknown;
        }
        let mut evaluation = Evaluation::new(&algebra, salt, budget);
        let (Some(left), Some(right)) = (evaluation.value(a), evaluation.value(b)) else {
            return Verdict::Unknown; // a division by zero, or too much work
        };
        exact &= !evaluation.opaque;
        same &= left == right;
    }
    match (same, exact) {
        (true, _) => Verdict::Same,
        (false, true) => Verdict::Different,
        (false, false) => near(a, b, budget),
    }
}

/// Whether `a = 0` and `b = 0` are the same equation: one is a multiple of the other by a constant. The sign is
/// that of the constant, 0 where it is not known.
pub(super) fn proportional(a: &Expr, b: &Expr, budget: &mut Budget) -> (Verdict, i8) {
    if a.names() != b.names() {
        return (Verdict::Unknown, 0);
    }
    let basis = basis_of(&[a, b]);
    let mut exact = true;
    for field in FIELDS {
        let algebra = Algebra::new(field, &basis);
        if !budget.spend(algebra.cost() + PREPARATION) {
            return (Verdict::Unknown, 0);
        }
        let mut values = Vec::new();
        for salt in [1, 2] {
            let mut evaluation = Evaluation::new(&algebra, salt, budget);
            let (Some(left), Some(right)) = (evaluation.value(a), evaluation.value(b)) else {
                return (Verdict::Unknown, 0);
            };
            exact &= !evaluation.opaque;
            values.push((left, right));
        }
        let [(a1, b1), (a2, b2)] = values.as_slice() else {
            return (Verdict::Unknown, 0);
        };
        let zero = algebra.scalar(0);
        if [a1, b1, a2, b2].contains(&&zero) {
            return (Verdict::Unknown, 0);
        }
        if algebra.times(a1, b2) != algebra.times(a2, b1) {
            return (if exact { Verdict::Different } else { Verdict::Unknown }, 0);
        }
    }
    if a == b {
        return (Verdict::Same, 1);
    }
    let sign = (0..POINTS).find_map(|salt| {
        let point = |name: &str| coordinate(name, salt);
        let quotient = float::value(a, &point)?.re / float::value(b, &point)?.re;
        if quotient > 0.0 {
            Some(1)
        } else if quotient < 0.0 {
            Some(-1)
        } else {
            None
        }
    });
    (Verdict::Same, sign.unwrap_or(0))
}

/// The rounded real value of a constant, for ordering.
pub(super) fn real(expr: &Expr) -> Option<f64> {
    if let Some(value) = expr.rational() {
        return Some(value.float());
    }
    let value = float::value(expr, &|_| f64::NAN)?;
    (value.im == 0.0 && value.re.is_finite()).then_some(value.re)
}

/// Comparison by rounded values.
fn near(a: &Expr, b: &Expr, budget: &mut Budget) -> Verdict {
    let constant = a.is_constant() && b.is_constant();
    let points = if constant { 1 } else { POINTS };
    let mut agreeing = 0;
    for salt in 0..points {
        if !budget.spend(a.digits() as u64 + b.digits() as u64 + 50) {
            return Verdict::Unknown;
        }
        let point = |name: &str| coordinate(name, salt);
        let (Some(left), Some(right)) = (float::value(a, &point), float::value(b, &point)) else {
            continue;
        };
        match left.same(right) {
            Some(true) => agreeing += 1,
            Some(false) => return Verdict::Different,
            None => return Verdict::Unknown,
        }
    }
    let (enough, most) = if constant {
        (1, MOST_DIGITS_OF_CONSTANTS)
    } else {
        (TRUSTED, MOST_DIGITS)
    };
    if agreeing >= enough && a.digits() + b.digits() <= most {
        Verdict::Same
    } else {
        Verdict::Unknown
    }
}

/// Where a variable is taken at a point: ±(0.5 to 2).
#[allow(clippy::cast_precision_loss, reason = "53 bits fit an f64")]
fn coordinate(name: &str, salt: u64) -> f64 {
    let bits = mixed(name, salt);
    let size = 0.5 + 1.5 * ((bits >> 11) as f64 / 9_007_199_254_740_992.0); // 2^53
    if bits & 1 == 0 { size } else { -size }
}

/// 64 bits that depend on a name and a salt: FNV-1a, then the finalizer of SplitMix64.
fn mixed(name: &str, salt: u64) -> u64 {
    let seed = 0xcbf2_9ce4_8422_2325 ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = name.bytes().fold(seed, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    finalized(hash)
}

fn finalized(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// The roots that stand in the expressions.
fn basis_of(exprs: &[&Expr]) -> Basis {
    fn collect(expr: &Expr, basis: &mut Basis) {
        if *expr == Expr::I {
            basis.add_imaginary();
        }
        if let Some(radical) = radical_of(expr) {
            basis.add_radical(&radical);
        }
        for child in expr.children() {
            collect(child, basis);
        }
    }
    let mut basis = Basis::default();
    exprs.iter().for_each(|expr| collect(expr, &mut basis));
    basis
}

/// A root or a broken power of a fraction.
fn radical_of(expr: &Expr) -> Option<Radical> {
    let (base, exponent) = base_and_exponent(expr)?;
    if exponent.den() == 1 {
        return None;
    }
    radical(base.rational()?, exponent)
}

fn base_and_exponent(expr: &Expr) -> Option<(&Expr, Rational)> {
    match expr {
        Expr::Power(base, exponent) => Some((base, exponent.rational()?)),
        Expr::Call(Function::Root, arguments) => {
            let [base, degree] = arguments.as_slice() else {
                return None;
            };
            Some((base, Rational::ONE.over(degree.rational()?)?))
        }
        _ => None,
    }
}

/// Values modulo one prime, at one point.
struct Evaluation<'a> {
    algebra: &'a Algebra,
    salt: u64,
    budget: &'a mut Budget,
    /// Whether something was met that is not algebraic, so that a difference proves nothing.
    opaque: bool,
}

impl<'a> Evaluation<'a> {
    fn new(algebra: &'a Algebra, salt: u64, budget: &'a mut Budget) -> Self {
        Self {
            algebra,
            salt,
            budget,
            opaque: false,
        }
    }

    fn named(&self, name: &str) -> Element {
        self.algebra.scalar(self.algebra.field.element(mixed(name, self.salt)))
    }

    /// A value that depends on nothing but a name and the values of the arguments.
    fn unknown(&mut self, name: &str, arguments: &[Element]) -> Element {
        self.opaque = true;
        let hash = arguments
            .iter()
            .flatten()
            .fold(mixed(name, self.salt), |hash, coefficient| {
                finalized(hash.rotate_left(7) ^ coefficient)
            });
        self.algebra.scalar(self.algebra.field.element(hash))
    }

    fn value(&mut self, expr: &Expr) -> Option<Element> {
        if !self.budget.spend(self.algebra.cost() + 3) {
            return None;
        }
        let algebra = self.algebra;
        Some(match expr {
            Expr::Number(literal) => {
                let field = algebra.field;
                let mut value = field.decimal(&literal.digits);
                let power = field.power(field.element(10), u128::from(literal.scale.unsigned_abs()));
                let power = if literal.scale > 0 {
                    field.inverse(power)?
                } else {
                    power
                };
                value = field.times(value, power);
                algebra.scalar(value)
            }
            Expr::Symbol(name) => self.named(name),
            Expr::Pi => self.named("\\pi"),
            Expr::E => self.named("\\e"),
            Expr::Infinity => self.named("\\infty"),
            Expr::I => algebra.imaginary()?,
            Expr::Sum(items) => {
                let mut total = algebra.scalar(0);
                for item in items {
                    total = algebra.plus(&total, &self.value(item)?);
                }
                total
            }
            Expr::Product(items) => {
                let mut product = algebra.one();
                for item in items {
                    product = algebra.times(&product, &self.value(item)?);
                }
                product
            }
            Expr::Negated(inner) => algebra.negated(&self.value(inner)?),
            Expr::Quotient(a, b) => {
                let (a, b) = (self.value(a)?, self.value(b)?);
                algebra.times(&a, &self.inverse(&b)?)
            }
            Expr::Power(base, exponent) => self.power(expr, base, exponent)?,
            Expr::Call(Function::Root, arguments) => {
                let [base, degree] = arguments.as_slice() else {
                    return None;
                };
                let exponent = Expr::whole(1).over(degree.clone());
                self.power(expr, base, &exponent)?
            }
            Expr::Call(Function::Degrees, arguments) => {
                let degrees = self.value(arguments.first()?)?;
                let factor = algebra.field.inverse(algebra.field.element(180))?;
                algebra.times(&algebra.times(&degrees, &algebra.scalar(factor)), &self.named("\\pi"))
            }
            Expr::Call(function, arguments) => {
                if let Some(value) = expr.rational() {
                    return self.fraction(value);
                }
                if *function == Function::Factorial
                    && let Some(n) = arguments.first()?.rational()
                    && let Some(n) = n.integer().filter(|n| (0..=1000).contains(n))
                    && self.budget.spend(5000)
                {
                    let field = algebra.field;
                    let factors = (1..=n).map(|factor| field.integer(factor));
                    return Some(algebra.scalar(factors.fold(field.element(1), |a, b| field.times(a, b))));
                }
                let arguments = self.values(arguments)?;
                self.unknown(&format!("\\{function:?}"), &arguments)
            }
            Expr::Applied(name, arguments) => {
                let arguments = self.values(arguments)?;
                self.unknown(name, &arguments)
            }
            Expr::PlusMinus(..) => return None,
        })
    }

    fn fraction(&self, value: Rational) -> Option<Element> {
        let field = self.algebra.field;
        let below = field.inverse(field.integer(value.den()))?;
        Some(self.algebra.scalar(field.times(field.integer(value.num()), below)))
    }

    fn values(&mut self, exprs: &[Expr]) -> Option<Vec<Element>> {
        exprs.iter().map(|expr| self.value(expr)).collect()
    }

    fn inverse(&mut self, element: &Element) -> Option<Element> {
        // Elimination takes as many steps as the size cubed.
        let cost = self.algebra.cost() * element.len() as u64;
        if !self.budget.spend(cost + 60) {
            return None;
        }
        self.algebra.inverse(element)
    }

    fn power(&mut self, whole: &Expr, base: &Expr, exponent: &Expr) -> Option<Element> {
        let fraction = exponent.rational();
        if let Some(integer) = fraction.and_then(Rational::integer) {
            if !self
                .budget
                .spend(self.algebra.cost() * u64::from(128 - integer.unsigned_abs().leading_zeros()))
            {
                return None;
            }
            let base = self.value(base)?;
            if integer <= 0 && base.iter().all(|coefficient| *coefficient == 0) {
                return None; // 0^0 and 0^-1
            }
            let power = self.algebra.power(&base, integer.unsigned_abs());
            return if integer < 0 { self.inverse(&power) } else { Some(power) };
        }
        if let Some(value) = whole.rational() {
            return self.fraction(value);
        }
        if let Some(radical) = radical_of(whole)
            && let Some(value) = self.algebra.radical(&radical)
        {
            self.opaque |= !radical.proven;
            return Some(value);
        }
        let arguments = [self.value(base)?, self.value(exponent)?];
        Some(self.unknown("\\power", &arguments))
    }
}
