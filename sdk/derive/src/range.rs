//! `range = 0.0..=1.0` and `above = 0.0` of a param. Rust's ranges have no exclusive start, so that has a word of
//! its own.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Error, Expr, ExprLit, ExprUnary, Lit, RangeLimits, Result, UnOp};

/// The bounds of a number; a bound that is `None` is open.
#[derive(Default)]
pub(crate) struct Range {
    at_least: Option<f64>,
    above: Option<f64>,
    at_most: Option<f64>,
    below: Option<f64>,
}

impl Range {
    /// Reads `a..`, `a..b`, `a..=b`, `..b` or `..=b`. Error: something else, or a range that is empty.
    pub(crate) fn within(&mut self, expr: &Expr) -> Result<()> {
        let Expr::Range(range) = expr else {
            return Err(Error::new_spanned(
                expr,
                "expected a range such as `0.0..` or `0.0..=1.0`",
            ));
        };
        if let Some(start) = &range.start {
            self.at_least = Some(number(start)?);
        }
        if let Some(end) = &range.end {
            match range.limits {
                RangeLimits::HalfOpen(_) => self.below = Some(number(end)?),
                RangeLimits::Closed(_) => self.at_most = Some(number(end)?),
            }
        }
        self.check(expr)
    }

    /// Reads the exclusive lower bound. Error: not a number, or the range is empty.
    pub(crate) fn above(&mut self, expr: &Expr) -> Result<()> {
        self.above = Some(number(expr)?);
        self.check(expr)
    }

    fn check(&self, expr: &Expr) -> Result<()> {
        let (low, high) = (self.above.or(self.at_least), self.at_most.or(self.below));
        if let (Some(low), Some(high)) = (low, high) {
            let both_included = self.above.is_none() && self.below.is_none();
            if low > high || low == high && !both_included {
                return Err(Error::new_spanned(expr, "no number is in this range"));
            }
        }
        if self.above.is_some() && self.at_least.is_some() {
            return Err(Error::new_spanned(
                expr,
                "`above` and the start of `range` are both lower bounds",
            ));
        }
        Ok(())
    }

    /// Error: a literal number, or one in a literal list, that is outside.
    pub(crate) fn check_default(&self, default: &Expr) -> Result<()> {
        if let Expr::Array(list) = default {
            return list.elems.iter().try_for_each(|element| self.check_default(element));
        }
        let Ok(value) = number(default) else { return Ok(()) };
        let inside = self.at_least.is_none_or(|low| value >= low)
            && self.above.is_none_or(|low| value > low)
            && self.at_most.is_none_or(|high| value <= high)
            && self.below.is_none_or(|high| value < high);
        if inside {
            Ok(())
        } else {
            Err(Error::new_spanned(default, "the default is outside the param's range"))
        }
    }

    /// `at_least`, `above`, `at_most`, `below`, each as the tokens of an `Option<f64>`.
    pub(crate) fn bounds(&self) -> (TokenStream, TokenStream, TokenStream, TokenStream) {
        let bound = |bound: Option<f64>| match bound {
            Some(value) => quote!(::core::option::Option::Some(#value)),
            None => quote!(::core::option::Option::None),
        };
        (
            bound(self.at_least),
            bound(self.above),
            bound(self.at_most),
            bound(self.below),
        )
    }
}

/// The number of a literal, with or without a minus sign.
fn number(expr: &Expr) -> Result<f64> {
    match expr {
        Expr::Lit(ExprLit {
            lit: Lit::Float(number),
            ..
        }) => number.base10_parse(),
        Expr::Lit(ExprLit {
            lit: Lit::Int(number), ..
        }) => number.base10_parse(),
        Expr::Unary(ExprUnary {
            op: UnOp::Neg(_), expr, ..
        }) => Ok(-number(expr)?),
        Expr::Group(group) => number(&group.expr),
        Expr::Paren(group) => number(&group.expr),
        other => Err(Error::new_spanned(other, "expected a number")),
    }
}

#[cfg(test)]
mod tests {
    use syn::{Expr, parse_str};

    use super::Range;

    fn range(text: &str) -> Result<Range, String> {
        let mut range = Range::default();
        let expr: Expr = parse_str(text).map_err(|error| error.to_string())?;
        range.within(&expr).map_err(|error| error.to_string())?;
        Ok(range)
    }

    #[test]
    fn bounds_are_read_and_empty_ranges_refused() -> Result<(), String> {
        let all = range("-1.5..2")?;
        assert_eq!((all.at_least, all.below), (Some(-1.5), Some(2.0)));
        assert_eq!(range("..=1e-3")?.at_most, Some(1e-3));
        assert!(range("1.0..=1.0").is_ok());
        for empty in ["1.0..1.0", "2..=1"] {
            assert_eq!(
                range(empty).err().as_deref(),
                Some("no number is in this range"),
                "{empty}"
            );
        }
        assert!(
            range("1.0")
                .err()
                .is_some_and(|error| error.contains("expected a range"))
        );
        let zero: Expr = parse_str("0").map_err(|error| error.to_string())?;
        assert!(range("0..")?.above(&zero).is_err());
        Ok(())
    }

    #[test]
    fn a_default_outside_is_refused() -> Result<(), String> {
        let expr = |text: &str| parse_str::<Expr>(text).map_err(|error| error.to_string());
        let range = range("0.0..1.0")?;
        for (default, fits) in [
            ("0.0", true),
            ("1.0", false),
            ("-0.1", false),
            ("[0.5, 2.0]", false),
            ("f()", true),
        ] {
            assert_eq!(range.check_default(&expr(default)?).is_ok(), fits, "{default}");
        }
        Ok(())
    }
}
