//! Arithmetic modulo a prime below 2^61, in Montgomery's form (P. L. Montgomery, "Modular multiplication without
//! trial division", 1985). An identity between rational functions that holds at a random point modulo such a
//! prime holds for all, but for a chance of its degree in 2^61 (Schwartz and Zippel).

/// The three largest primes below 2^61.
const PRIMES: [u64; 3] = [(1 << 61) - 1, (1 << 61) - 31, (1 << 61) - 45];

/// Their fields.
pub(super) const FIELDS: [Field; 3] = [Field::new(PRIMES[0]), Field::new(PRIMES[1]), Field::new(PRIMES[2])];

/// The field of one prime. Its elements are `u64` in Montgomery's form, below the prime.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    prime: u64,
    /// `-1 / prime` modulo 2^64.
    inverse: u64,
    /// `2^128` modulo the prime, which brings a number into the form.
    square: u64,
}

impl Field {
    /// The field of an odd prime below 2^63.
    pub(super) const fn new(prime: u64) -> Self {
        // Newton's iteration doubles the correct bits: 3, 6, 12, 24, 48, 96.
        let mut inverse = prime;
        let mut step = 0;
        while step < 5 {
            inverse = inverse.wrapping_mul(2_u64.wrapping_sub(prime.wrapping_mul(inverse)));
            step += 1;
        }
        let mut square = 1 % prime;
        let mut power = 0;
        while power < 128 {
            square = (square << 1) % prime;
            power += 1;
        }
        Self {
            prime,
            inverse: inverse.wrapping_neg(),
            square,
        }
    }

    pub(super) fn plus(self, a: u64, b: u64) -> u64 {
        let sum = a + b; // below 2^64
        if sum >= self.prime { sum - self.prime } else { sum }
    }

    pub(super) fn negated(self, a: u64) -> u64 {
        if a == 0 { 0 } else { self.prime - a }
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the lower 64 bits are what is wanted, and the upper ones fit"
    )]
    pub(super) fn times(self, a: u64, b: u64) -> u64 {
        let product = u128::from(a) * u128::from(b);
        let factor = (product as u64).wrapping_mul(self.inverse);
        let reduced = ((product + u128::from(factor) * u128::from(self.prime)) >> 64) as u64;
        if reduced >= self.prime {
            reduced - self.prime
        } else {
            reduced
        }
    }

    /// Any number as an element.
    pub(super) fn element(self, number: u64) -> u64 {
        self.times(number % self.prime, self.square)
    }

    /// An integer as an element.
    pub(super) fn integer(self, number: i128) -> u64 {
        let remainder = number.unsigned_abs() % u128::from(self.prime);
        let size = self.element(u64::try_from(remainder).unwrap_or(0));
        if number < 0 { self.negated(size) } else { size }
    }

    /// The integer with these decimal digits.
    pub(super) fn decimal(self, digits: &str) -> u64 {
        let ten = self.element(10);
        digits.bytes().fold(0, |value, byte| {
            self.plus(
                self.times(value, ten),
                self.element(u64::from(byte.saturating_sub(b'0'))),
            )
        })
    }

    pub(super) fn power(self, base: u64, mut exponent: u128) -> u64 {
        let (mut result, mut square) = (self.element(1), base);
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.times(result, square);
            }
            square = self.times(square, square);
            exponent >>= 1;
        }
        result
    }

    /// `1 / a`; `None` for 0.
    pub(super) fn inverse(self, a: u64) -> Option<u64> {
        (a != 0).then(|| self.power(a, u128::from(self.prime) - 2))
    }
}

#[cfg(test)]
mod tests {
    use super::{FIELDS, PRIMES};

    #[test]
    fn arithmetic_is_that_of_the_prime() {
        for (prime, field) in PRIMES.into_iter().zip(FIELDS) {
            let (a, b) = (prime - 3, 0x1234_5678_9abc_def0_u64);
            let expected = u64::try_from(u128::from(a) * u128::from(b) % u128::from(prime)).ok();
            let product = field.times(field.element(a), field.element(b));
            assert_eq!(Some(field.times(product, 1)), expected, "{prime}");
            let inverse = field.inverse(product).unwrap_or(0);
            assert_eq!(field.times(inverse, product), field.element(1), "{prime}");
            assert_eq!(field.integer(-1), field.negated(field.element(1)));
            assert_eq!(
                field.decimal("123456789012345678901234567890"),
                field.integer(123_456_789_012_345_678_901_234_567_890)
            );
            assert_eq!(field.inverse(0), None);
            // Fermat's test to several bases.
            for base in [2, 3, 5, 7, 11, 13] {
                assert_eq!(
                    field.power(field.element(base), u128::from(prime) - 1),
                    field.element(1),
                    "{prime}"
                );
            }
        }
    }
}
