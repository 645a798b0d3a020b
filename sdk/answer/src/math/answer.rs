//! An answer as its parts.

use super::expr::Expr;
use super::words::Unit;

/// An answer, taken apart.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// A number or an expression, with what it is measured in.
    Value(Expr, Option<Unit>),
    /// Words: `\text{Evelyn}`, `(C)`; lower case, letters and digits only, one blank between.
    Words(String),
    /// `x = …` and `x \in …`.
    Named(Expr, Box<Answer>),
    /// `1, 2` without brackets, in any order; whether it was parted by "or".
    List(Vec<Answer>, bool),
    /// `\{…\}`.
    Set(Vec<Answer>),
    /// Points, intervals and vectors: `(`, `[` or `⟨`, the items, and what closes.
    Bracketed(char, Vec<Answer>, char),
    Union(Vec<Answer>),
    /// `\mathbb{R} \setminus …`
    Without(Box<Answer>, Box<Answer>),
    /// Rows; true for a determinant.
    Matrix(Vec<Vec<Answer>>, bool),
    /// `2:3`
    Ratio(Vec<Answer>),
    /// Expressions with `=` or `≠` between two of them.
    Equation(Expr, char, Expr),
    /// Expressions with `<` or `≤` between them, always upwards; true for strict.
    Order(Vec<Expr>, Vec<bool>),
}
