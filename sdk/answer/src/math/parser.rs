//! From tokens to an expression, by recursive descent of bounded depth. What can be read in two ways is `None`:
//! `1/2x`, `\frac123`, `\sqrt10`, `\sin x/2`, `2 3`.

use super::expr::{Expr, Function};
use super::lexer::{Kind, Token};
use super::number::Literal;

/// How deep brackets, fractions, roots and powers may nest; each level takes some kilobytes of stack, and a
/// plugin in WebAssembly has a megabyte.
const MOST_DEPTH: usize = 40;
/// Bases that numerals may be written in.
const BASES: std::ops::RangeInclusive<u32> = 2..=36;

/// The expression that all of the tokens are.
pub(super) fn expression(tokens: &[Token]) -> Option<Expr> {
    let mut parser = Parser {
        tokens,
        at: 0,
        depth: 0,
        digits: None,
        in_bars: false,
    };
    let expr = parser.sum()?;
    let expr = parser.stacked(expr)?;
    (parser.at == tokens.len() && parser.digits.is_none()).then_some(expr)
}

struct Parser<'a> {
    tokens: &'a [Token],
    at: usize,
    depth: usize,
    /// What is left of the digits of the number at `at`, of which `\frac12` has taken the first.
    digits: Option<String>,
    in_bars: bool,
}

impl<'a> Parser<'a> {
    fn kind(&self) -> Option<&'a Kind> {
        self.tokens.get(self.at).map(|token| &token.kind)
    }

    fn mark(&self) -> Option<char> {
        match self.kind() {
            Some(Kind::Mark(mark)) => Some(*mark),
            _ => None,
        }
    }

    fn take(&mut self, mark: char) -> bool {
        let found = self.mark() == Some(mark);
        self.at += usize::from(found);
        found
    }

    /// Runs a rule one level deeper.
    fn deeper<T>(&mut self, rule: impl FnOnce(&mut Self) -> Option<T>) -> Option<T> {
        if self.depth >= MOST_DEPTH {
            return None;
        }
        self.depth += 1;
        let result = rule(self);
        self.depth -= 1;
        result
    }

    fn sum(&mut self) -> Option<Expr> {
        self.deeper(|parser| {
            let mut terms = Vec::new();
            loop {
                let sign = parser.mark();
                match sign {
                    Some('+' | '-' | '±' | '∓') => parser.at += 1,
                    _ if terms.is_empty() => {}
                    _ => break,
                }
                // `--5` and `+-5`
                let mut minus = sign == Some('-');
                while let Some('-' | '+') = parser.mark() {
                    minus ^= parser.take('-') || !parser.take('+');
                }
                let mut term = parser.term()?;
                if minus {
                    term = term.negated();
                }
                terms.push(match sign {
                    Some('±') => Expr::PlusMinus(true, Box::new(term)),
                    Some('∓') => Expr::PlusMinus(false, Box::new(term)),
                    _ => term,
                });
            }
            if terms.len() == 1 {
                terms.pop()
            } else {
                Some(Expr::Sum(terms))
            }
        })
    }

    fn term(&mut self) -> Option<Expr> {
        if let Some(mixed) = self.mixed_number() {
            return self.factors_after(mixed?);
        }
        let first = self.power()?;
        self.factors_after(first)
    }

    /// The rest of a product whose first factor is known.
    fn factors_after(&mut self, first: Expr) -> Option<Expr> {
        let mut product = vec![first];
        // Whether a `/` stands before the last factor, which makes a factor without a sign ambiguous.
        let mut divided = false;
        loop {
            match self.mark() {
                Some('*') => {
                    self.at += 1;
                    product.push(self.signed_power()?);
                    divided = false;
                }
                Some('/') => {
                    self.at += 1;
                    let below = self.signed_power()?;
                    let above = if product.len() == 1 {
                        product.pop()?
                    } else {
                        Expr::Product(std::mem::take(&mut product))
                    };
                    product = vec![above.over(below)];
                    divided = true;
                }
                _ if self.starts_factor() => {
                    // `\pi 4` and `\sqrt2 3`, but not `2 3` or `x2`.
                    let number = matches!(self.kind(), Some(Kind::Number(_)));
                    let apart = self.tokens.get(self.at).is_some_and(|token| token.spaced)
                        && !matches!(
                            product.last(),
                            Some(Expr::Number(_) | Expr::Symbol(_) | Expr::Quotient(..))
                        );
                    let imaginary = matches!(self.kind(), Some(Kind::I));
                    if (number && !apart) || (divided && !imaginary) {
                        return None;
                    }
                    product.push(self.power()?);
                }
                _ => break,
            }
        }
        if product.len() == 1 {
            product.pop()
        } else {
            Some(Expr::Product(product))
        }
    }

    fn starts_factor(&self) -> bool {
        match self.kind() {
            Some(Kind::Mark(mark)) => matches!(mark, '(' | '[' | '{' | '⌊' | '⌈') || (*mark == '|' && !self.in_bars),
            Some(Kind::Command(command)) => matches!(*command, "frac" | "sqrt" | "binom" | "exp" | "overline"),
            Some(
                Kind::Number(_) | Kind::Name(_) | Kind::Function(_) | Kind::Pi | Kind::E | Kind::I | Kind::Infinity,
            ) => true,
            _ => false,
        }
    }

    fn signed_power(&mut self) -> Option<Expr> {
        if self.take('-') {
            return Some(self.power()?.negated());
        }
        self.power()
    }

    /// `2\frac13` and `2 1/3`: a whole number before a proper fraction. `Some(None)` where the fraction is none
    /// that may stand there; nothing is taken where there is no such pair.
    fn mixed_number(&mut self) -> Option<Option<Expr>> {
        let whole = match self.kind()? {
            Kind::Number(literal) if !literal.point && literal.scale == 0 && self.digits.is_none() => literal.clone(),
            _ => return None,
        };
        let start = self.at;
        self.at += 1;
        let fraction = match self.kind() {
            Some(Kind::Command("frac")) => {
                self.at += 1;
                self.fraction()
            }
            Some(Kind::Number(above)) if !above.point => {
                self.at += 1;
                let divides = self.take('/');
                match self.kind() {
                    Some(Kind::Number(below)) if divides && !below.point => {
                        self.at += 1;
                        Some(Expr::Number(above.clone()).over(Expr::Number(below.clone())))
                    }
                    _ => None,
                }
            }
            _ => {
                self.at = start;
                return None;
            }
        };
        let Some(Expr::Quotient(above, below)) = fraction else {
            self.at = start;
            return Some(None);
        };
        if !matches!((&*above, &*below), (Expr::Number(_), Expr::Number(_))) {
            // `2\frac{x}{3}` is a product.
            self.at = start;
            return None;
        }
        let value = |expr: &Expr| expr.rational().and_then(|value| value.integer());
        let proper = value(&above)
            .zip(value(&below))
            .is_some_and(|(above, below)| 0 < above && above < below);
        if !proper || matches!(self.mark(), Some('^' | '!')) || whole.digits.trim_start_matches('0').is_empty() {
            return Some(None);
        }
        Some(Some(Expr::Sum(vec![Expr::Number(whole), Expr::Quotient(above, below)])))
    }

    /// A factor with what stands behind it: powers, factorials, degrees.
    fn power(&mut self) -> Option<Expr> {
        let base = self.atom()?;
        self.after_atom(base)
    }

    fn after_atom(&mut self, mut base: Expr) -> Option<Expr> {
        loop {
            if self.take('!') {
                if self.mark() == Some('!') {
                    return None; // the double factorial
                }
                base = Expr::Call(Function::Factorial, vec![base]);
            } else if self.take('°') {
                base = Expr::Call(Function::Degrees, vec![base]);
            } else if self.mark() == Some('^') {
                self.at += 1;
                let exponent = self.exponent()?;
                return match self.mark() {
                    Some('^' | '!') => None, // `2^3^2` without braces
                    _ => Some(Expr::Power(Box::new(base), Box::new(exponent))),
                };
            } else {
                return Some(base);
            }
        }
    }

    /// What stands after `^`: a group, or a number with its sign, or a single letter.
    fn exponent(&mut self) -> Option<Expr> {
        self.deeper(|parser| {
            if parser.take('-') {
                return Some(parser.exponent()?.negated());
            }
            match parser.kind()? {
                Kind::Number(literal) => {
                    parser.at += 1;
                    Some(Expr::Number(literal.clone()))
                }
                Kind::Function(_) => None,
                _ => parser.atom(),
            }
        })
    }

    fn atom(&mut self) -> Option<Expr> {
        self.deeper(Self::atom_here)
    }

    fn atom_here(&mut self) -> Option<Expr> {
        let kind = self.kind()?;
        self.at += 1;
        match kind {
            Kind::Number(literal) => match self.kind() {
                Some(Kind::Command("overline")) if literal.point => self.repeating(literal),
                Some(Kind::Mark('_')) => self.numeral(literal),
                _ => Some(Expr::Number(literal.clone())),
            },
            Kind::Name(name) => self.variable(name),
            Kind::Pi => Some(Expr::Pi),
            Kind::E => Some(Expr::E),
            Kind::I => Some(Expr::I),
            Kind::Infinity => Some(Expr::Infinity),
            Kind::Function(function) => self.function(*function),
            Kind::Command(command) => self.command(command),
            Kind::Mark(mark) => match self.bracketed(*mark)? {
                Expr::Number(literal) if *mark == '{' && self.mark() == Some('_') => self.numeral(&literal),
                inner => Some(inner),
            },
            Kind::Text(_) | Kind::Begin(_) | Kind::End(_) => None,
        }
    }

    fn bracketed(&mut self, open: char) -> Option<Expr> {
        let close = match open {
            '(' => ')',
            '[' => ']',
            '{' => '}',
            '|' => '|',
            '⌊' => '⌋',
            '⌈' => '⌉',
            _ => return None,
        };
        let bars = std::mem::replace(&mut self.in_bars, open == '|');
        let mut inner = self.sum();
        if open == '{' {
            inner = self.stacked(inner?);
        }
        self.in_bars = bars;
        let inner = inner?;
        if !self.take(close) {
            return None;
        }
        Some(match open {
            '|' => Expr::Call(Function::Abs, vec![inner]),
            '⌊' => Expr::Call(Function::Floor, vec![inner]),
            '⌈' => Expr::Call(Function::Ceil, vec![inner]),
            _ => inner,
        })
    }

    /// `{n \choose k}` and `{a \over b}`, after the upper one.
    fn stacked(&mut self, above: Expr) -> Option<Expr> {
        let Some(Kind::Command(command @ ("choose" | "over"))) = self.kind() else {
            return Some(above);
        };
        self.at += 1;
        let below = self.sum()?;
        Some(match *command {
            "over" => above.over(below),
            _ => Expr::Call(Function::Binomial, vec![above, below]),
        })
    }

    fn command(&mut self, command: &str) -> Option<Expr> {
        match command {
            "frac" => self.fraction(),
            "sqrt" => {
                let degree = if self.take('[') {
                    let degree = self.sum()?;
                    if !self.take(']') {
                        return None;
                    }
                    degree
                } else {
                    Expr::whole(2)
                };
                let radicand = if self.mark() == Some('(') {
                    self.atom()?
                } else {
                    self.argument()?
                };
                self.digits
                    .is_none()
                    .then(|| Expr::Call(Function::Root, vec![radicand, degree]))
            }
            "binom" => {
                let (n, k) = (self.argument()?, self.argument()?);
                self.digits
                    .is_none()
                    .then(|| Expr::Call(Function::Binomial, vec![n, k]))
            }
            "exp" => {
                let exponent = match self.mark() {
                    Some('(' | '[' | '{') => self.atom()?,
                    _ => return None,
                };
                Some(Expr::Power(Box::new(Expr::E), Box::new(exponent)))
            }
            "overline" => {
                // The name of a segment.
                let start = self.at;
                let expr = self.argument()?;
                let letters = expr.any(&|e| matches!(e, Expr::Symbol(_))) && expr.digits() == 0;
                (letters && self.at > start).then(|| Expr::Symbol(format!("overline {expr:?}")))
            }
            _ => None,
        }
    }

    fn fraction(&mut self) -> Option<Expr> {
        let above = self.argument()?;
        let below = self.argument()?;
        self.digits.is_none().then(|| above.over(below))
    }

    /// An argument of a command: a group, or one character.
    fn argument(&mut self) -> Option<Expr> {
        match self.kind()? {
            Kind::Mark('{') => self.atom(),
            Kind::Number(literal) if !literal.point && literal.scale == 0 => {
                let digits = self.digits.take().unwrap_or_else(|| literal.digits.clone());
                let (first, rest) = digits.split_at_checked(1)?;
                if rest.is_empty() {
                    self.at += 1;
                } else {
                    self.digits = Some(rest.to_owned());
                }
                Some(Expr::Number(Literal::whole(first)))
            }
            Kind::Name(_) | Kind::Pi | Kind::E | Kind::I => {
                let kind = self.kind()?;
                self.at += 1;
                Some(match kind {
                    Kind::Name(name) => Expr::Symbol(name.clone()),
                    Kind::Pi => Expr::Pi,
                    Kind::E => Expr::E,
                    _ => Expr::I,
                })
            }
            Kind::Command(command @ ("sqrt" | "frac")) => {
                self.at += 1;
                self.deeper(|parser| parser.command(command))
            }
            _ => None,
        }
    }

    /// `0.1\overline{6}`.
    fn repeating(&mut self, literal: &Literal) -> Option<Expr> {
        self.at += 1;
        let braced = self.take('{');
        let Some(Kind::Number(period)) = self.kind() else {
            return None;
        };
        self.at += 1;
        if period.point || period.scale != 0 || (braced && !self.take('}')) || (!braced && period.digits.len() > 1) {
            return None;
        }
        // The period is its digits over 99…9, moved behind the decimals before it.
        let nines = "9".repeat(period.digits.len());
        let shift = Literal {
            digits: "1".to_owned(),
            scale: literal.scale,
            point: false,
        };
        let part = Expr::Number(period.clone()).over(Expr::Number(Literal::whole(&nines)));
        let shifted = Expr::Product(vec![part, Expr::Number(shift)]);
        Some(Expr::Sum(vec![Expr::Number(literal.clone()), shifted]))
    }

    /// `2516_8`: its value.
    fn numeral(&mut self, literal: &Literal) -> Option<Expr> {
        self.at += 1;
        let base = match self.argument_whole()? {
            base if BASES.contains(&base) && !literal.point && literal.scale == 0 => base,
            _ => return None,
        };
        let mut value = 0_u64;
        for digit in literal.digits.chars() {
            let digit = digit.to_digit(base)?;
            value = value.checked_mul(u64::from(base))?.checked_add(u64::from(digit))?;
        }
        Some(Expr::whole(value))
    }

    /// A whole number in braces or without.
    fn argument_whole(&mut self) -> Option<u32> {
        let braced = self.take('{');
        let Some(Kind::Number(literal)) = self.kind() else {
            return None;
        };
        self.at += 1;
        if literal.point || (braced && !self.take('}')) {
            return None;
        }
        literal.digits.parse().ok()
    }

    /// A variable with its index and primes; `f(…)` is an application.
    fn variable(&mut self, name: &str) -> Option<Expr> {
        let mut name = name.to_owned();
        if self.take('_') {
            let start = self.at;
            match self.mark() {
                Some('{') => {
                    self.at += 1;
                    while self.mark() != Some('}') {
                        // The index is no expression; a group in it would be.
                        if self.kind()? == &Kind::Mark('{') {
                            return None;
                        }
                        self.at += 1;
                    }
                    self.at += 1;
                }
                _ => self.at += 1,
            }
            let index: Vec<&Kind> = self
                .tokens
                .get(start..self.at)?
                .iter()
                .map(|token| &token.kind)
                .collect();
            let index: Vec<_> = index
                .into_iter()
                .filter(|kind| !matches!(kind, Kind::Mark('{' | '}')))
                .collect();
            name.push_str(&format!("_{index:?}"));
        }
        while self.take('\'') {
            name.push('\'');
        }
        let applied = matches!(name.trim_end_matches('\''), "f" | "g" | "h") && self.mark() == Some('(');
        if !applied {
            return Some(Expr::Symbol(name));
        }
        self.at += 1;
        let mut arguments = vec![self.sum()?];
        while self.take(',') {
            arguments.push(self.sum()?);
        }
        self.take(')').then_some(Expr::Applied(name, arguments))
    }

    /// `\sin`, `\log_2` and the like with their argument.
    fn function(&mut self, function: Function) -> Option<Expr> {
        let mut base = None;
        if function == Function::Log {
            base = Some(Expr::whole(10));
            if self.take('_') {
                base = Some(match self.kind()? {
                    Kind::Number(literal) => {
                        self.at += 1;
                        Expr::Number(literal.clone())
                    }
                    _ => self.argument()?,
                });
            }
        }
        let mut power = None;
        if self.take('^') {
            power = Some(self.exponent()?);
        }
        let argument = self.function_argument()?;
        let mut function = function;
        if let Some(exponent) = &power
            && exponent.rational().is_some_and(super::number::Rational::is_negative)
        {
            // `\sin^{-1}` is the inverse function, and other negative powers are nothing.
            function = match function {
                Function::Sin => Function::Arcsin,
                Function::Cos => Function::Arccos,
                Function::Tan => Function::Arctan,
                _ => return None,
            };
            if exponent.rational()? != super::number::Rational::ONE.negated() {
                return None;
            }
            power = None;
        }
        let call = Expr::Call(function, std::iter::once(argument).chain(base).collect());
        Some(match power {
            Some(exponent) => Expr::Power(Box::new(call), Box::new(exponent)),
            None => call,
        })
    }

    /// The argument of a function: brackets, or the factors that follow up to a sign or another function.
    fn function_argument(&mut self) -> Option<Expr> {
        if let Some('(' | '[' | '{' | '|') = self.mark() {
            let inner = self.atom()?;
            return match self.mark() {
                Some('^' | '!') => None, // `\sin(x)^2`: of which?
                _ => Some(inner),
            };
        }
        let mut factors = Vec::new();
        while self.starts_factor() && !matches!(self.kind(), Some(Kind::Function(_))) {
            let bracket = matches!(self.mark(), Some('(' | '[' | '|'));
            let number = matches!(self.kind(), Some(Kind::Number(_)));
            if !factors.is_empty() && (bracket || number) {
                return None; // `\sin x(1+y)`
            }
            factors.push(self.power()?);
        }
        if factors.is_empty() {
            let Some(Kind::Function(inner)) = self.kind() else {
                return None;
            };
            self.at += 1;
            return self.deeper(|parser| parser.function(*inner)); // `\ln \ln x`
        }
        match self.mark() {
            Some('/') => None,
            _ if factors.len() == 1 => factors.pop(),
            _ => Some(Expr::Product(factors)),
        }
    }
}
