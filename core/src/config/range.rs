//! The range of a numeric key, as data: the strict check, `config explain` and `config schema` read the same one.

use std::fmt;
use std::ops::{self, Bound};

/// Which finite numbers a key takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Lower end.
    pub least: Bound<f64>,
    /// Upper end.
    pub most: Bound<f64>,
    /// Whether 0 is taken too, although it lies outside: it disables the key.
    pub or_zero: bool,
}

impl Range {
    /// Numbers above `least`.
    pub const fn above(least: f64) -> Range {
        Range {
            least: Bound::Excluded(least),
            most: Bound::Unbounded,
            or_zero: false,
        }
    }

    /// The same range with `most` as its largest number.
    pub const fn up_to(self, most: f64) -> Range {
        Range {
            most: Bound::Included(most),
            ..self
        }
    }

    /// The same range and 0.
    pub const fn or_zero(self) -> Range {
        Range { or_zero: true, ..self }
    }

    /// Whether `number` is in the range. NaN never is.
    pub fn contains(&self, number: f64) -> bool {
        let reaches_least = match self.least {
            Bound::Included(least) => number >= least,
            Bound::Excluded(least) => number > least,
            Bound::Unbounded => !number.is_nan(),
        };
        let keeps_to_most = match self.most {
            Bound::Included(most) => number <= most,
            Bound::Excluded(most) => number < most,
            Bound::Unbounded => true,
        };
        reaches_least && keeps_to_most || self.or_zero && number == 0.0
    }
}

macro_rules! from_std {
    ($($number:ty),+) => {$(
        impl From<ops::RangeFrom<$number>> for Range {
            fn from(range: ops::RangeFrom<$number>) -> Range {
                Range { least: Bound::Included(range.start.into()), most: Bound::Unbounded, or_zero: false }
            }
        }

        impl From<ops::Range<$number>> for Range {
            fn from(range: ops::Range<$number>) -> Range {
                Range { most: Bound::Excluded(range.end.into()), ..Range::from(range.start..) }
            }
        }

        impl From<ops::RangeInclusive<$number>> for Range {
            fn from(range: ops::RangeInclusive<$number>) -> Range {
                let (least, most) = range.into_inner();
                Range::from(least..).up_to(most.into())
            }
        }
    )+};
}

from_std!(i32, f64);

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Bound::{Excluded, Included, Unbounded};
        if self.or_zero {
            f.write_str("0 or ")?;
        }
        match (self.least, self.most) {
            (Included(least), Included(most)) => write!(f, "from {least} to {most}"),
            (Included(least), Excluded(most)) => write!(f, "from {least} to below {most}"),
            (Included(least), Unbounded) => write!(f, "{least} or more"),
            (Excluded(least), Included(most)) => write!(f, "above {least} and at most {most}"),
            (Excluded(least), Excluded(most)) => write!(f, "between {least} and {most}"),
            (Excluded(least), Unbounded) => write!(f, "above {least}"),
            (Unbounded, Included(most)) => write!(f, "at most {most}"),
            (Unbounded, Excluded(most)) => write!(f, "below {most}"),
            (Unbounded, Unbounded) => f.write_str("any"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_says_and_takes_the_same_numbers() {
        let rows: [(Range, &str, &[f64], &[f64]); 7] = [
            ((1..).into(), "1 or more", &[1.0, 1e300], &[0.0, 0.999]),
            ((1..=8).into(), "from 1 to 8", &[1.0, 8.0], &[0.0, 9.0]),
            ((0.0..1.0).into(), "from 0 to below 1", &[0.0, 0.999], &[-0.1, 1.0]),
            (Range::above(0.0), "above 0", &[1e-300], &[0.0, -1.0]),
            (
                Range::above(0.0).up_to(1.0),
                "above 0 and at most 1",
                &[1.0],
                &[0.0, 1.1],
            ),
            (
                Range::above(1.0).or_zero(),
                "0 or above 1",
                &[0.0, 1.1],
                &[0.5, 1.0, -1.0],
            ),
            ((0.0..).into(), "0 or more", &[0.0, 0.5], &[-0.5]),
        ];
        for (range, text, inside, outside) in rows {
            assert_eq!(range.to_string(), text);
            assert!(inside.iter().all(|n| range.contains(*n)), "{text}");
            assert!(!outside.iter().any(|n| range.contains(*n)), "{text}");
            assert!(!range.contains(f64::NAN), "{text}");
        }
    }
}
