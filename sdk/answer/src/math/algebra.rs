//! Numbers with roots, modulo a prime: `GF(p)[r₁, r₂, …]` with `rⱼ^Lⱼ = qⱼ` for primes `qⱼ`, and `i² = -1`.
//!
//! Over the fractions these rings are fields: roots of distinct primes are independent (Besicovitch 1940), so
//! that an expression of numbers, roots of fractions, i and variables is 0 exactly if its image is 0 for almost
//! all primes. This is how `2√5 = √20` and `1/√3 = √3/3` are decided without rounding.

use super::field::Field;
use super::number::Rational;

/// The largest number of coefficients of an element: four square roots and i.
const MOST_COEFFICIENTS: usize = 32;
/// Factors of a radicand are sought up to here; what is left over is taken as if it was prime.
const LARGEST_FACTOR: u128 = 5000;

/// `base^exponent` as a fraction times roots of primes.
pub(super) struct Radical {
    /// The power of i, 0 to 3, of a negative base.
    pub(super) turns: usize,
    /// (prime, exponent).
    pub(super) powers: Vec<(u128, Rational)>,
    /// Whether all of the bases are known to be primes.
    pub(super) proven: bool,
}

/// `base^exponent` taken apart. A negative base has its real root where the degree is odd, the principal one of
/// square roots, and none here for other even degrees.
pub(super) fn radical(base: Rational, exponent: Rational) -> Option<Radical> {
    let turns = match (base.is_negative(), exponent.den() % 2) {
        (false, _) => 0,
        (true, 1) => usize::try_from(2 * exponent.num().rem_euclid(2)).ok()?,
        (true, _) if exponent.den() == 2 => usize::try_from(exponent.num().rem_euclid(4)).ok()?,
        (true, _) => return None,
    };
    let mut powers = Vec::new();
    let above = factors(base.num().unsigned_abs(), exponent, &mut powers)?;
    let below = factors(base.den().unsigned_abs(), exponent.negated(), &mut powers)?;
    Some(Radical {
        turns,
        powers,
        proven: above && below,
    })
}

/// Appends the prime factors of `number`, raised to `exponent`; whether all are primes for sure. `None` for 0.
fn factors(mut number: u128, exponent: Rational, powers: &mut Vec<(u128, Rational)>) -> Option<bool> {
    if number == 0 {
        return None;
    }
    let mut factor = 2;
    while factor <= LARGEST_FACTOR && factor * factor <= number {
        let mut times = 0;
        while number.is_multiple_of(factor) {
            number /= factor;
            times += 1;
        }
        if times > 0 {
            powers.push((factor, exponent.times(Rational::whole(times)?)?));
        }
        factor += if factor == 2 { 1 } else { 2 };
    }
    let proven = number <= LARGEST_FACTOR * LARGEST_FACTOR;
    if number > 1 {
        let left = Rational::whole(i128::try_from(number).ok()?)?;
        // √(p²) of a large prime is p.
        match (2..=4).find_map(|degree| Some((degree, left.root(degree)?))) {
            Some((degree, root)) if !proven => {
                let degree = Rational::whole(i128::from(degree))?;
                powers.push((root.num().unsigned_abs(), exponent.times(degree)?));
            }
            _ => powers.push((number, exponent)),
        }
    }
    Some(proven)
}

/// Which roots an algebra needs: (prime, degree), and i as (0, 2).
#[derive(Debug, Clone, Default)]
pub(super) struct Basis {
    roots: Vec<(u128, usize)>,
}

/// Stands for i among the primes.
const IMAGINARY: u128 = 0;

impl Basis {
    fn size(&self) -> usize {
        self.roots.iter().map(|(_, degree)| degree).product()
    }

    fn add(&mut self, prime: u128, degree: usize) -> bool {
        let mut wider = self.clone();
        match wider.roots.iter_mut().find(|(known, _)| *known == prime) {
            Some((_, known)) => *known = lcm(*known, degree),
            None => wider.roots.push((prime, degree)),
        }
        let fits = wider.size() <= MOST_COEFFICIENTS;
        if fits {
            *self = wider;
        }
        fits
    }

    /// Makes room for i.
    pub(super) fn add_imaginary(&mut self) {
        self.add(IMAGINARY, 2);
    }

    /// Makes room for a radical, as far as there is some.
    pub(super) fn add_radical(&mut self, radical: &Radical) {
        if radical.turns % 2 == 1 {
            self.add_imaginary();
        }
        for (prime, exponent) in &radical.powers {
            // More than the most coefficients is refused by `add`.
            let degree = usize::try_from(exponent.den()).unwrap_or(usize::MAX);
            if degree > 1 && degree <= MOST_COEFFICIENTS {
                self.add(*prime, degree);
            }
        }
    }
}

fn lcm(a: usize, b: usize) -> usize {
    let (mut x, mut y) = (a, b);
    while y != 0 {
        (x, y) = (y, x % y);
    }
    a / x.max(1) * b
}

/// An element: its coefficients for the products of the roots' powers, the first for 1.
pub(super) type Element = Vec<u64>;

/// The algebra of one prime and one basis.
pub(super) struct Algebra {
    pub(super) field: Field,
    basis: Basis,
    /// For each pair of basis products: which one their product is, and the factor before it.
    table: Vec<(usize, u64)>,
    size: usize,
}

impl Algebra {
    pub(super) fn new(field: Field, basis: &Basis) -> Self {
        let size = basis.size();
        let mut table = Vec::with_capacity(size * size);
        for a in 0..size {
            for b in 0..size {
                table.push(product(field, basis, a, b));
            }
        }
        Self {
            field,
            basis: basis.clone(),
            table,
            size,
        }
    }

    /// What a product costs, in units of multiplications of the field.
    pub(super) fn cost(&self) -> u64 {
        (self.size * self.size) as u64
    }

    pub(super) fn scalar(&self, value: u64) -> Element {
        let mut element = vec![0; self.size];
        element[0] = value;
        element
    }

    pub(super) fn one(&self) -> Element {
        self.scalar(self.field.element(1))
    }

    pub(super) fn plus(&self, a: &Element, b: &Element) -> Element {
        a.iter().zip(b).map(|(a, b)| self.field.plus(*a, *b)).collect()
    }

    pub(super) fn negated(&self, a: &Element) -> Element {
        a.iter().map(|a| self.field.negated(*a)).collect()
    }

    pub(super) fn times(&self, a: &Element, b: &Element) -> Element {
        let mut result = vec![0; self.size];
        for (row, left) in a.iter().enumerate().filter(|(_, left)| **left != 0) {
            for (column, right) in b.iter().enumerate().filter(|(_, right)| **right != 0) {
                let (at, factor) = self.table[row * self.size + column];
                let term = self.field.times(self.field.times(*left, *right), factor);
                result[at] = self.field.plus(result[at], term);
            }
        }
        result
    }

    pub(super) fn power(&self, base: &Element, mut exponent: u128) -> Element {
        let (mut result, mut square) = (self.one(), base.clone());
        while exponent > 0 {
            if exponent & 1 == 1 {
                result = self.times(&result, &square);
            }
            exponent >>= 1;
            if exponent > 0 {
                square = self.times(&square, &square);
            }
        }
        result
    }

    /// `1 / a`, by elimination on the matrix of the multiplication by `a`; `None` where there is none.
    pub(super) fn inverse(&self, a: &Element) -> Option<Element> {
        let (size, field) = (self.size, self.field);
        if a.iter().skip(1).all(|coefficient| *coefficient == 0) {
            return Some(self.scalar(field.inverse(*a.first()?)?));
        }
        // Row `at`: the coefficients of x in the `at`-th coefficient of a·x, and what that is to be.
        let mut rows = vec![vec![0; size + 1]; size];
        for (row, left) in a.iter().enumerate() {
            for (column, (at, factor)) in self.table[row * size..(row + 1) * size].iter().enumerate() {
                rows[*at][column] = field.plus(rows[*at][column], field.times(*left, *factor));
            }
        }
        rows[0][size] = field.element(1);
        for column in 0..size {
            let pivot = (column..size).find(|row| rows[*row][column] != 0)?;
            rows.swap(column, pivot);
            let inverse = field.inverse(rows[column][column])?;
            let pivot_row: Vec<u64> = rows[column].iter().map(|value| field.times(*value, inverse)).collect();
            for (index, row) in rows.iter_mut().enumerate() {
                let factor = field.negated(row[column]);
                if index != column && factor != 0 {
                    for (value, above) in row.iter_mut().zip(&pivot_row) {
                        *value = field.plus(*value, field.times(factor, *above));
                    }
                }
            }
            rows[column] = pivot_row;
        }
        Some(rows.iter().map(|row| row[size]).collect())
    }

    /// The imaginary unit, where the basis has it.
    pub(super) fn imaginary(&self) -> Option<Element> {
        self.root(IMAGINARY, 1)
    }

    /// The value of a radical, where the basis has its roots.
    pub(super) fn radical(&self, radical: &Radical) -> Option<Element> {
        let mut value = match radical.turns {
            0 => self.one(),
            2 => self.negated(&self.one()),
            turns => self.power(&self.imaginary()?, turns as u128),
        };
        for (prime, exponent) in &radical.powers {
            let whole = exponent.floor();
            let rest = exponent.plus(Rational::whole(-whole)?)?;
            let base = self.field.integer(i128::try_from(*prime).ok()?);
            let mut factor = self.field.power(base, whole.unsigned_abs());
            if whole < 0 {
                factor = self.field.inverse(factor)?;
            }
            value = self.times(&value, &self.scalar(factor));
            if rest != Rational::ZERO {
                let degree = self.basis.roots.iter().find(|(known, _)| known == prime)?.1;
                let steps = rest.times(Rational::whole(i128::try_from(degree).ok()?)?)?.integer()?;
                value = self.times(&value, &self.root(*prime, usize::try_from(steps).ok()?)?);
            }
        }
        Some(value)
    }

    /// The `steps`-th power, below its degree, of the root of a prime.
    fn root(&self, prime: u128, steps: usize) -> Option<Element> {
        let mut at = 1;
        for (known, degree) in &self.basis.roots {
            if *known == prime {
                let mut element = vec![0; self.size];
                *element.get_mut(at * steps)? = self.field.element(1);
                return Some(element);
            }
            at *= degree;
        }
        None
    }
}

/// The product of two basis products, whose powers are the digits of `a` and `b`: which one, and its factor.
fn product(field: Field, basis: &Basis, mut a: usize, mut b: usize) -> (usize, u64) {
    let (mut at, mut place, mut factor) = (0, 1, field.element(1));
    for (prime, degree) in &basis.roots {
        let mut power = a % degree + b % degree;
        if power >= *degree {
            power -= degree;
            let carried = match *prime {
                IMAGINARY => field.integer(-1),
                prime => field.integer(i128::try_from(prime).unwrap_or(i128::MAX)),
            };
            factor = field.times(factor, carried);
        }
        at += power * place;
        place *= degree;
        a /= degree;
        b /= degree;
    }
    (at, factor)
}

#[cfg(test)]
mod tests {
    use super::{Algebra, Basis, radical};
    use crate::math::field::FIELDS;
    use crate::math::number::Rational;

    /// √2·√8 = 4, ∛(-2)³ = -2, √(-3)² = -3, and 1/(1 + √2 + i) times its inverse is 1.
    #[test]
    fn roots_multiply_as_they_should() -> Result<(), &'static str> {
        let number = |n| Rational::whole(n).ok_or("number");
        let part = |n, d| Rational::new(n, d).ok_or("fraction");
        let mut radicals = Vec::new();
        for (base, exponent) in [(2, part(1, 2)?), (8, part(1, 2)?), (-2, part(1, 3)?), (-3, part(1, 2)?)] {
            radicals.push(radical(number(base)?, exponent).ok_or("radical")?);
        }
        let mut basis = Basis::default();
        radicals.iter().for_each(|radical| basis.add_radical(radical));
        for field in FIELDS {
            let algebra = Algebra::new(field, &basis);
            let mut values = Vec::new();
            for radical in &radicals {
                values.push(algebra.radical(radical).ok_or("value")?);
            }
            let whole = |n| algebra.scalar(algebra.field.integer(n));
            assert_eq!(algebra.times(&values[0], &values[1]), whole(4));
            assert_eq!(algebra.power(&values[2], 3), whole(-2));
            assert_eq!(algebra.power(&values[3], 2), whole(-3));
            let sum = algebra.plus(
                &algebra.plus(&algebra.one(), &values[0]),
                &algebra.imaginary().ok_or("i")?,
            );
            let inverse = algebra.inverse(&sum).ok_or("inverse")?;
            assert_eq!(algebra.times(&sum, &inverse), algebra.one());
            assert_eq!(algebra.inverse(&whole(0)), None);
        }
        Ok(())
    }
}
