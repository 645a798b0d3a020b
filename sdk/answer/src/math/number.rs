//! Exact numbers: decimal literals of any length and fractions of 128-bit integers. Whatever does not fit is
//! `None`, never wrapped or rounded.

/// A number as it was written: `digits · 10^(-scale)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Literal {
    /// Decimal digits of the integer that is left without the point; at least one.
    pub(super) digits: String,
    /// Digits after the point; negative for `2e5`.
    pub(super) scale: i32,
    /// Whether it was written with a point.
    pub(super) point: bool,
}

impl Literal {
    /// The whole number with these digits.
    pub(super) fn whole(digits: &str) -> Self {
        Self {
            digits: digits.to_owned(),
            scale: 0,
            point: false,
        }
    }

    /// Its value as a fraction, where that fits.
    pub(super) fn rational(&self) -> Option<Rational> {
        let digits = self.digits.trim_start_matches('0');
        let whole = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        let power = 10_i128.checked_pow(self.scale.unsigned_abs())?;
        if self.scale >= 0 {
            Rational::new(whole, power)
        } else {
            Rational::new(i128::checked_mul(whole, power)?, 1)
        }
    }

    /// Its value, rounded.
    pub(super) fn float(&self) -> f64 {
        format!("{}e{}", self.digits, -self.scale).parse().unwrap_or(f64::NAN)
    }

    /// Digits between the first and the last that is not zero.
    pub(super) fn significant(&self) -> usize {
        self.digits.trim_matches('0').len()
    }
}

/// A fraction in lowest terms with a positive denominator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rational {
    num: i128,
    den: i128,
}

impl Rational {
    pub(super) const ZERO: Self = Self { num: 0, den: 1 };
    pub(super) const ONE: Self = Self { num: 1, den: 1 };

    /// `num / den` in lowest terms; `None` where `den` is 0 or it does not fit.
    pub(super) fn new(num: i128, den: i128) -> Option<Self> {
        if den == 0 || num == i128::MIN || den == i128::MIN {
            return None;
        }
        let divisor = i128::try_from(gcd(num.unsigned_abs(), den.unsigned_abs())).ok()? * den.signum();
        Some(Self {
            num: num / divisor,
            den: den / divisor,
        })
    }

    pub(super) fn whole(num: i128) -> Option<Self> {
        Self::new(num, 1)
    }

    pub(super) fn num(self) -> i128 {
        self.num
    }

    pub(super) fn den(self) -> i128 {
        self.den
    }

    /// The integer that it is.
    pub(super) fn integer(self) -> Option<i128> {
        (self.den == 1).then_some(self.num)
    }

    pub(super) fn is_negative(self) -> bool {
        self.num < 0
    }

    pub(super) fn negated(self) -> Self {
        Self {
            num: -self.num, // never i128::MIN
            den: self.den,
        }
    }

    pub(super) fn abs(self) -> Self {
        if self.is_negative() { self.negated() } else { self }
    }

    pub(super) fn plus(self, other: Self) -> Option<Self> {
        let left = self.num.checked_mul(other.den)?;
        let right = other.num.checked_mul(self.den)?;
        Self::new(left.checked_add(right)?, self.den.checked_mul(other.den)?)
    }

    pub(super) fn times(self, other: Self) -> Option<Self> {
        Self::new(self.num.checked_mul(other.num)?, self.den.checked_mul(other.den)?)
    }

    pub(super) fn over(self, other: Self) -> Option<Self> {
        self.times(Self::new(other.den, other.num)?)
    }

    /// `self ^ exponent`; `0^0` and `0^-1` are `None`.
    pub(super) fn power(self, exponent: i128) -> Option<Self> {
        if self.num == 0 {
            return (exponent > 0).then_some(Self::ZERO);
        }
        if self.abs() == Self::ONE {
            return Some(if exponent % 2 == 0 { Self::ONE } else { self });
        }
        let size = u32::try_from(exponent.unsigned_abs()).ok()?;
        let (num, den) = (self.num.checked_pow(size)?, self.den.checked_pow(size)?);
        if exponent < 0 {
            Self::new(den, num)
        } else {
            Self::new(num, den)
        }
    }

    /// The root of a degree, where it is rational; negative numbers have odd roots.
    pub(super) fn root(self, degree: u32) -> Option<Self> {
        if self.is_negative() {
            if degree.is_multiple_of(2) {
                return None;
            }
            return Some(self.negated().root(degree)?.negated());
        }
        Self::new(whole_root(self.num, degree)?, whole_root(self.den, degree)?)
    }

    /// The largest integer that is no larger.
    pub(super) fn floor(self) -> i128 {
        self.num.div_euclid(self.den)
    }

    #[allow(clippy::cast_precision_loss, reason = "what is asked for is a rounded value")]
    pub(super) fn float(self) -> f64 {
        self.num as f64 / self.den as f64
    }
}

/// The root of an integer, where it is one.
fn whole_root(number: i128, degree: u32) -> Option<i128> {
    if degree == 0 {
        return None;
    }
    if number < 2 || degree == 1 {
        return Some(number);
    }
    // Bisection: low^degree <= number < high^degree.
    let (mut low, mut high) = (1_i128, 1_i128 << (127 / degree + 1).min(126));
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        match middle.checked_pow(degree) {
            Some(power) if power <= number => low = middle,
            _ => high = middle,
        }
    }
    (low.checked_pow(degree)? == number).then_some(low)
}

fn gcd(mut a: u128, mut b: u128) -> u128 {
    while b != 0 {
        // Division of two 64-bit numbers is many times faster.
        (a, b) = match (u64::try_from(a), u64::try_from(b)) {
            (Ok(small_a), Ok(small_b)) => (b, u128::from(small_a % small_b)),
            _ => (b, a % b),
        };
    }
    a.max(1)
}

#[cfg(test)]
mod tests {
    use super::{Literal, Rational};

    fn ratio(num: i128, den: i128) -> Option<Rational> {
        Rational::new(num, den)
    }

    #[test]
    fn literals() {
        let literal = |digits: &str, scale| Literal {
            digits: digits.to_owned(),
            scale,
            point: scale > 0,
        };
        assert_eq!(literal("0250", 3).rational(), ratio(1, 4));
        assert_eq!(literal("25", -2).rational(), ratio(2500, 1));
        assert_eq!(literal("0", 0).rational(), ratio(0, 1));
        assert_eq!(literal("1", 39).rational(), None);
        assert_eq!(literal(&"9".repeat(39), 0).rational(), None);
        assert_eq!(literal("125", 2).float(), 1.25);
        assert_eq!(literal("00120", 1).significant(), 2);
    }

    #[test]
    fn fractions() {
        assert_eq!(ratio(6, -4), ratio(-3, 2));
        assert_eq!(ratio(1, 0), None);
        assert_eq!(ratio(i128::MIN, 1), None);
        let half = Rational { num: 1, den: 2 };
        assert_eq!(half.plus(half), Some(Rational::ONE));
        assert_eq!(half.over(Rational::ZERO), None);
        assert_eq!(half.power(-3), ratio(8, 1));
        assert_eq!(half.power(200), None);
        assert_eq!(Rational::ONE.negated().power(i128::MAX), ratio(-1, 1));
        assert_eq!(Rational::ZERO.power(0), None);
        assert_eq!(half.negated().floor(), -1);
    }

    #[test]
    fn roots() {
        assert_eq!(ratio(4, 9).and_then(|r| r.root(2)), ratio(2, 3));
        assert_eq!(ratio(-27, 8).and_then(|r| r.root(3)), ratio(-3, 2));
        assert_eq!(ratio(2, 1).and_then(|r| r.root(2)), None);
        assert_eq!(ratio(-4, 1).and_then(|r| r.root(2)), None);
        assert_eq!(ratio(1 << 126, 1).and_then(|r| r.root(126)), ratio(2, 1));
        assert_eq!(ratio(i128::MAX, 1).and_then(|r| r.root(2)), None);
        assert_eq!(
            ratio(10_i128.pow(38), 1).and_then(|r| r.root(2)),
            ratio(10_i128.pow(19), 1)
        );
        assert_eq!(ratio(5, 1).and_then(|r| r.root(0)), None);
    }
}
