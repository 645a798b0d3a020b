//! Rounded values, for what exact arithmetic cannot decide: sines, logarithms, roots of roots. A value comes only
//! where it can be trusted to almost all of its digits; anything else is `None`.

use super::expr::{Expr, Function};

/// A complex number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Complex {
    pub(super) re: f64,
    pub(super) im: f64,
}

/// No value on the way may be larger, or as small as 1 over it: `e^(π√163)` and `640320³` agree to 14 digits.
const LARGEST: f64 = 1e9;
/// A sum may lose this factor to cancellation: f64 has 16 digits, 12 are compared.
const CANCELLATION: f64 = 1e-3;
/// A term this much smaller than the largest of its sum would hardly be seen.
const ABSORPTION: f64 = 1e-6;
/// Arguments of functions and exponents are at least this, or 0.
const SMALLEST_ARGUMENT: f64 = 0.01;
/// Relative difference up to which two values are the same.
const TOLERANCE: f64 = 1e-12;
/// Relative difference from which two values are different for sure.
const DIFFERENCE: f64 = 1e-9;

impl Complex {
    const ONE: Self = Self { re: 1.0, im: 0.0 };

    fn real(re: f64) -> Self {
        Self { re, im: 0.0 }
    }

    pub(super) fn size(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn plus(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    fn negated(self) -> Self {
        Self {
            re: -self.re,
            im: -self.im,
        }
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn over(self, other: Self) -> Option<Self> {
        let norm = other.re * other.re + other.im * other.im;
        (norm > 0.0).then(|| {
            self.times(Self {
                re: other.re / norm,
                im: -other.im / norm,
            })
        })
    }

    fn exp(self) -> Self {
        let size = self.re.exp();
        Self {
            re: size * self.im.cos(),
            im: size * self.im.sin(),
        }
    }

    /// The principal logarithm; `None` where rounding may have put the number on the wrong side of the cut.
    fn ln(self) -> Option<Self> {
        let near_cut = self.re < 0.0 && self.im != 0.0 && self.im.abs() < DIFFERENCE * -self.re;
        // Both zeros are on the upper side.
        let im = if self.im == 0.0 { 0.0 } else { self.im };
        (self.size() > 0.0 && !near_cut).then(|| Self {
            re: self.size().ln(),
            im: im.atan2(self.re),
        })
    }

    fn power(self, exponent: Self) -> Option<Self> {
        if self.size() == 0.0 {
            return (exponent.im == 0.0 && exponent.re > 0.0).then_some(self);
        }
        if exponent.im == 0.0 && exponent.re.fract() == 0.0 && exponent.re.abs() <= 64.0 {
            let mut value = Self::ONE;
            let mut left = exponent.re.abs();
            while left > 0.0 {
                value = value.times(self);
                left -= 1.0;
            }
            return if exponent.re < 0.0 {
                Self::ONE.over(value)
            } else {
                Some(value)
            };
        }
        if self.im == 0.0 && self.re > 0.0 && exponent.im == 0.0 {
            return Some(Self::real(self.re.powf(exponent.re)));
        }
        Some(self.ln()?.times(exponent).exp())
    }

    /// Whether both are the same to almost all digits; `None` where they are too near to be told apart.
    pub(super) fn same(self, other: Self) -> Option<bool> {
        let largest = self.size().max(other.size());
        let difference = self.plus(other.negated()).size();
        if difference <= TOLERANCE * largest {
            Some(true)
        } else {
            (difference > DIFFERENCE * largest).then_some(false)
        }
    }
}

/// The value of an expression, with the variables as `point` has them.
pub(super) fn value(expr: &Expr, point: &dyn Fn(&str) -> f64) -> Option<Complex> {
    let result = match expr {
        Expr::Number(literal) => Complex::real(literal.float()),
        Expr::Symbol(name) => Complex::real(point(name)),
        Expr::Pi => Complex::real(std::f64::consts::PI),
        Expr::E => Complex::real(std::f64::consts::E),
        Expr::I => Complex { re: 0.0, im: 1.0 },
        Expr::Sum(items) => sum(items, point)?,
        Expr::Product(items) => items
            .iter()
            .try_fold(Complex::ONE, |product, item| Some(product.times(value(item, point)?)))?,
        Expr::Negated(inner) => value(inner, point)?.negated(),
        Expr::Quotient(a, b) => value(a, point)?.over(value(b, point)?)?,
        Expr::Power(base, exponent) => power(value(base, point)?, exponent, point)?,
        Expr::Call(function, arguments) => call(*function, arguments, point)?,
        Expr::Infinity | Expr::Applied(..) | Expr::PlusMinus(..) => return None,
    };
    let size = result.size();
    (size == 0.0 || (1.0 / LARGEST..=LARGEST).contains(&size)).then_some(result)
}

fn sum(items: &[Expr], point: &dyn Fn(&str) -> f64) -> Option<Complex> {
    let mut total = Complex::real(0.0);
    let (mut largest, mut smallest) = (0.0_f64, f64::INFINITY);
    for item in items {
        let term = value(item, point)?;
        if term.size() > 0.0 {
            largest = largest.max(term.size());
            smallest = smallest.min(term.size());
        }
        total = total.plus(term);
    }
    let seen = largest == 0.0 || (total.size() >= CANCELLATION * largest && smallest >= ABSORPTION * largest);
    seen.then_some(total)
}

/// Real roots of odd degree for real bases, as schools have them; otherwise the principal value.
fn power(base: Complex, exponent: &Expr, point: &dyn Fn(&str) -> f64) -> Option<Complex> {
    if base.im == 0.0
        && base.re < 0.0
        && let Some(fraction) = exponent.rational()
        && fraction.den() > 1
        && fraction.den() % 2 == 1
    {
        let size = Complex::real(-base.re).power(Complex::real(fraction.float()))?;
        return Some(if fraction.num() % 2 == 0 { size } else { size.negated() });
    }
    let exponent = value(exponent, point)?;
    telling(exponent.size())?;
    base.power(exponent)
}

/// Near 0, sin x is x, cos x is 1 and e^x is 1 + x, to all digits: such arguments tell nothing.
fn telling(argument: f64) -> Option<()> {
    (argument == 0.0 || argument.abs() >= SMALLEST_ARGUMENT).then_some(())
}

fn call(function: Function, arguments: &[Expr], point: &dyn Fn(&str) -> f64) -> Option<Complex> {
    let first = value(arguments.first()?, point)?;
    if !matches!(
        function,
        Function::Abs | Function::Degrees | Function::Root | Function::Ln | Function::Log
    ) {
        telling(first.size())?;
    }
    let real = (first.im == 0.0).then_some(first.re);
    // An angle of many turns has lost its digits; sinh x and cosh x become the same.
    let angle = real.filter(|angle| angle.abs() < 1000.0);
    let small = real.filter(|real| real.abs() < 8.0);
    let result = match function {
        Function::Abs => first.size(),
        Function::Degrees => return Some(first.times(Complex::real(std::f64::consts::PI / 180.0))),
        Function::Root => {
            let one = Expr::whole(1);
            let degree = arguments.get(1)?.clone();
            return power(first, &one.over(degree), point);
        }
        Function::Ln => return first.ln(),
        Function::Log => return first.ln()?.over(value(arguments.get(1)?, point)?.ln()?),
        Function::Sin => angle?.sin(),
        Function::Cos => angle?.cos(),
        Function::Tan => angle?.tan(),
        Function::Cot => 1.0 / angle?.tan(),
        Function::Sec => 1.0 / angle?.cos(),
        Function::Csc => 1.0 / angle?.sin(),
        Function::Arcsin => real?.asin(),
        Function::Arccos => real?.acos(),
        Function::Arctan => real?.atan(),
        Function::Sinh => small?.sinh(),
        Function::Cosh => small?.cosh(),
        Function::Tanh => small?.tanh(),
        Function::Floor | Function::Ceil | Function::Factorial | Function::Binomial => {
            Expr::Call(function, arguments.to_vec()).rational()?.float()
        }
    };
    Some(Complex::real(result))
}

#[cfg(test)]
mod tests {
    use super::{Complex, value};
    use crate::math::expr::{Expr, Function};

    #[test]
    fn only_what_can_be_trusted_has_a_value() {
        let point = |_: &str| 2.0;
        let number = |n| Expr::whole(n);
        let root = |n| Expr::Call(Function::Root, vec![number(n), number(2)]);
        // √2 + 1
        let fine = Expr::Sum(vec![root(2), number(1)]);
        assert_eq!(
            value(&fine, &point),
            Some(Complex {
                re: 2_f64.sqrt() + 1.0,
                im: 0.0
            })
        );
        // √2·√2 - 2 cancels, √2 + 1/10⁹ absorbs, 10¹⁰ is large, a root of degree 0 is none.
        let square = Expr::Product(vec![root(2), root(2)]);
        let cancels = Expr::Sum(vec![square, number(2).negated()]);
        let absorbs = Expr::Sum(vec![root(2), number(1).over(number(1_000_000_000))]);
        let none = Expr::Call(Function::Root, vec![number(2), number(0)]);
        for expr in [cancels, absorbs, number(10_000_000_000), none, Expr::Infinity] {
            assert_eq!(value(&expr, &point), None, "{expr:?}");
        }
    }

    #[test]
    fn near_values_are_neither_the_same_nor_different() {
        let real = Complex::real;
        assert_eq!(real(1.0).same(real(1.0 + 1e-14)), Some(true));
        assert_eq!(real(1.0).same(real(1.0 + 1e-11)), None);
        assert_eq!(real(1.0).same(real(1.0 + 1e-6)), Some(false));
    }
}
