//! Reads tokens as an answer of one kind: a value with its unit, a name, words, a list, brackets, a set, a union, a
//! matrix, a ratio or a relation.

use super::answer::Answer;
use super::compare;
use super::expr::{Expr, Function};
use super::lexer::{Kind, Token};
use super::parser;
use super::words::{self, Unit};

/// Items of a list, a set or a matrix, all in all; longer answers are compared as strings.
const MOST_ITEMS: usize = 200;
/// Steps of `x = 10/2 = 5`.
const MOST_STEPS: usize = 8;
/// Brackets, sets and lists within each other.
const MOST_DEPTH: usize = 8;

/// The answer that the tokens are.
pub(super) fn answer(tokens: &[Token]) -> Option<Answer> {
    read(tokens, MOST_DEPTH)
}

fn is_mark(token: &Token, marks: &[char]) -> bool {
    matches!(&token.kind, Kind::Mark(mark) if marks.contains(mark))
}

/// Positions outside of all brackets, as (index, token).
fn outside(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
    let mut depth = 0_usize;
    let mut bars = false;
    tokens.iter().enumerate().filter(move |(_, token)| {
        match &token.kind {
            Kind::Begin(_) => depth += 1,
            Kind::End(_) => depth = depth.saturating_sub(1),
            Kind::Mark('(' | '[' | '{' | '⦃' | '⟨' | '⌊' | '⌈') => depth += 1,
            Kind::Mark(')' | ']' | '}' | '⦄' | '⟩' | '⌋' | '⌉') => depth = depth.saturating_sub(1),
            Kind::Mark('|') => bars = !bars,
            _ => return depth == 0,
        }
        false
    })
}

/// The pieces between the tokens, outside of brackets, that `parts` picks.
fn split<'a>(tokens: &'a [Token], parts: &dyn Fn(&Token) -> bool) -> Vec<&'a [Token]> {
    let mut pieces = Vec::new();
    let mut start = 0;
    for (at, token) in outside(tokens) {
        if parts(token) {
            pieces.push(&tokens[start..at]);
            start = at + 1;
        }
    }
    pieces.push(&tokens[start..]);
    pieces
}

/// The tokens within a pair of brackets that holds all of them.
fn within<'a>(tokens: &'a [Token], open: &[char], close: &[char]) -> Option<&'a [Token]> {
    let [first, inner @ .., last] = tokens else { return None };
    if !is_mark(first, open) || !is_mark(last, close) {
        return None;
    }
    // The first one must close with the last, not before.
    let mut depth = 0_usize;
    for token in inner {
        match token.kind {
            Kind::Mark('(' | '[' | '{' | '⦃' | '⟨') => depth += 1,
            Kind::Mark(')' | ']' | '}' | '⦄' | '⟩') => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then_some(inner)
}

fn parts_items(token: &Token) -> bool {
    is_mark(token, &[',', ';']) || matches!(&token.kind, Kind::Text(word) if word == "and" || word == "or")
}

fn read(tokens: &[Token], depth: usize) -> Option<Answer> {
    let depth = depth.checked_sub(1)?;
    if let Some(inner) = within(tokens, &['{'], &['}']) {
        return read(inner, depth);
    }
    let pieces = split(tokens, &parts_items);
    if pieces.len() > 1 {
        let or = outside(tokens).any(|(_, token)| token.kind == Kind::Text("or".to_owned()));
        return Some(Answer::List(items(tokens, depth)?, or));
    }
    one(tokens, depth)
}

/// The items of a list, `\pm` written out.
fn items(tokens: &[Token], depth: usize) -> Option<Vec<Answer>> {
    let mut found = Vec::new();
    for piece in split(tokens, &parts_items) {
        // "1, and 2" has nothing between its two signs.
        if piece.is_empty() {
            continue;
        }
        match one(piece, depth)? {
            Answer::List(pair, _) => found.extend(pair),
            Answer::Named(name, inner) if matches!(*inner, Answer::List(..)) => {
                if let Answer::List(pair, _) = *inner {
                    found.extend(pair.into_iter().map(|item| Answer::Named(name.clone(), Box::new(item))));
                }
            }
            item => found.push(item),
        }
        if found.len() > MOST_ITEMS {
            return None;
        }
    }
    Some(found)
}

/// An answer without commas outside of brackets.
fn one(tokens: &[Token], depth: usize) -> Option<Answer> {
    let depth = depth.checked_sub(1)?;
    let relations = ['=', '≠', '≈', '<', '>', '≤', '≥', '∈'];
    if outside(tokens).any(|(_, token)| is_mark(token, &relations)) {
        return relation(tokens, &relations, depth);
    }
    let pieces = split(tokens, &|token| is_mark(token, &['∪']));
    if pieces.len() > 1 {
        return pieces
            .into_iter()
            .map(|piece| one(piece, depth))
            .collect::<Option<_>>()
            .map(Answer::Union);
    }
    if let [from, without] = split(tokens, &|token| is_mark(token, &['∖'])).as_slice() {
        return Some(Answer::Without(
            Box::new(one(from, depth)?),
            Box::new(one(without, depth)?),
        ));
    }
    let pieces = split(tokens, &|token| is_mark(token, &[':']));
    if pieces.len() > 1 {
        return pieces
            .into_iter()
            .map(|piece| one(piece, depth))
            .collect::<Option<_>>()
            .map(Answer::Ratio);
    }
    if let [
        Token {
            kind: Kind::Mark('∅'),
        ..
        },
    ] = tokens
    {
        return Some(Answer::Set(Vec::new()));
    }
    if let Some(inner) = within(tokens, &['⦃'], &['⦄']) {
        // `\{x \mid x > 2\}`
        if let [
            Token {
                kind: Kind::Name(_), ..
            },
            bar,
            condition @ ..,
        ] = inner
            && is_mark(bar, &['|', ':'])
        {
            let condition = one(condition, depth)?;
            return matches!(condition, Answer::Order(..) | Answer::Named(..)).then_some(condition);
        }
        return items(inner, depth).map(Answer::Set);
    }
    if let Some(inner) = within(tokens, &['(', '[', '⟨'], &[')', ']', '⟩'])
        && let (Kind::Mark(open), Kind::Mark(close)) = (&tokens[0].kind, &tokens[tokens.len() - 1].kind)
    {
        let pieces = split(inner, &|token| is_mark(token, &[',', ';']));
        if pieces.len() > 1 {
            let found = pieces
                .into_iter()
                .map(|piece| one(piece, depth))
                .collect::<Option<Vec<_>>>()?;
            return if found.len() <= MOST_ITEMS {
                bracketed(*open, found, *close)
            } else {
                None
            };
        }
        if let Some(matrix) = matrix(inner, depth) {
            return Some(matrix);
        }
    }
    if let Some(matrix) = matrix(tokens, depth) {
        return Some(matrix);
    }
    if let Some(words) = in_words(tokens) {
        let reals = ["all real numbers", "all reals", "real numbers", "the real numbers"].contains(&words.as_str());
        return Some(if reals {
            Answer::Value(Expr::Symbol("ℝ".to_owned()), None)
        } else {
            Answer::Words(words)
        });
    }
    value(tokens)
}

/// Brackets with their items; a `\pm` in them makes two.
fn bracketed(open: char, items: Vec<Answer>, close: char) -> Option<Answer> {
    if !items.iter().any(|item| matches!(item, Answer::List(..))) {
        return Some(Answer::Bracketed(open, items, close));
    }
    // All signs go together: the upper ones, then the lower ones.
    let side = |which: usize| {
        let pick = |item: &Answer| match item {
            Answer::List(pair, _) => pair.get(which).cloned(),
            item => Some(item.clone()),
        };
        let picked = items.iter().map(pick).collect::<Option<Vec<_>>>()?;
        Some(Answer::Bracketed(open, picked, close))
    };
    Some(Answer::List(vec![side(0)?, side(1)?], false))
}

/// Only words, perhaps in brackets: the words.
fn in_words(tokens: &[Token]) -> Option<String> {
    let marks = ['(', ')', '{', '}', '-', '\'', '[', ']'];
    let has_text = tokens.iter().any(|token| matches!(token.kind, Kind::Text(_)));
    let all = tokens
        .iter()
        .all(|token| matches!(token.kind, Kind::Text(_)) || is_mark(token, &marks));
    // "June 20": words first.
    let words = |kind: &Kind| matches!(kind, Kind::Text(words) if words.contains(char::is_alphabetic));
    let begins = tokens.first().is_some_and(|token| words(&token.kind))
        && tokens
            .iter()
            .all(|token| matches!(token.kind, Kind::Text(_) | Kind::Number(_) | Kind::Name(_)));
    if !has_text || !(all || begins) {
        return None;
    }
    let mut text = String::new();
    for token in tokens {
        match &token.kind {
            Kind::Text(words) => text.push_str(words),
            Kind::Number(literal) if literal.scale == 0 => text.push_str(&literal.digits),
            Kind::Name(name) => text.push_str(name),
            Kind::Mark(_) => {}
            _ => return None,
        }
        text.push(' ');
    }
    plain_words(&text)
}

/// Lower case, letters and digits, one blank between words; `None` where nothing is left.
pub(super) fn plain_words(text: &str) -> Option<String> {
    // A point between digits and a minus that is no hyphen mean something.
    let chars: Vec<char> = text.chars().collect();
    let is = |at: Option<usize>, kind: fn(&char) -> bool| at.and_then(|at| chars.get(at)).is_some_and(kind);
    let mut cleaned = String::with_capacity(text.len());
    for (at, c) in chars.iter().enumerate() {
        let (before, after) = (at.checked_sub(1), Some(at + 1));
        match c {
            '.' if is(before, char::is_ascii_digit) && is(after, char::is_ascii_digit) => cleaned.push('.'),
            '.' | '\'' => {}
            '-' if !(is(before, |c| c.is_alphabetic()) && is(after, |c| c.is_alphabetic())) => cleaned.push('-'),
            c if c.is_alphanumeric() || "+<>=%/*$".contains(*c) => cleaned.push(*c),
            _ => cleaned.push(' '),
        }
    }
    let words: Vec<String> = cleaned.split_whitespace().map(str::to_lowercase).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

fn matrix(tokens: &[Token], depth: usize) -> Option<Answer> {
    let (Kind::Begin(environment), Kind::End(end)) = (&tokens.first()?.kind, &tokens.last()?.kind) else {
        return None;
    };
    let known = [
        "pmatrix",
        "bmatrix",
        "Bmatrix",
        "vmatrix",
        "matrix",
        "smallmatrix",
        "array",
    ];
    if environment != end || !known.contains(&environment.as_str()) || tokens.len() < 3 {
        return None;
    }
    let mut rows = Vec::new();
    let mut count = 0;
    for row in split(&tokens[1..tokens.len() - 1], &|token| is_mark(token, &['⏎'])) {
        if row.is_empty() {
            continue; // a line's end after the last row
        }
        let cells = split(row, &|token| is_mark(token, &['&']));
        count += cells.len();
        if count > MOST_ITEMS {
            return None;
        }
        rows.push(
            cells
                .into_iter()
                .map(|cell| one(cell, depth))
                .collect::<Option<Vec<_>>>()?,
        );
    }
    Some(Answer::Matrix(rows, environment == "vmatrix"))
}

/// A number or an expression with its unit.
fn value(tokens: &[Token]) -> Option<Answer> {
    let mut tokens = tokens;
    let mut unit = None;
    if let [first, rest @ ..] = tokens {
        match &first.kind {
            Kind::Mark('＄') => (unit, tokens) = (Some(Unit::named("dollar")), rest),
            Kind::Text(sign) if "€£¥".contains(sign.as_str()) => (unit, tokens) = (Unit::read(sign), rest),
            _ => {}
        }
    }
    // `-\$5`
    let negative = matches!(tokens, [minus, money, ..] if is_mark(minus, &['-']) && is_mark(money, &['＄']));
    if negative {
        (unit, tokens) = (Some(Unit::named("dollar")), &tokens[2..]);
    }
    let (tokens, factor) = without_factor(tokens);
    let (tokens, after) = trailing_unit(&tokens)?;
    if let Some(after) = after {
        // "$5 million" would be something else; "$5 dollars" is not.
        match &unit {
            Some(money) if *money != after => return None,
            _ => unit = Some(after),
        }
    }
    let mut expr = parser::expression(tokens)?;
    if let Expr::Call(Function::Degrees, arguments) = &expr
        && unit.is_none()
    {
        unit = Some(Unit::named("deg"));
        expr = arguments.first()?.clone();
    }
    if let Some(factor) = factor {
        expr = Expr::Product(vec![expr, Expr::whole(factor)]);
    }
    if negative {
        expr = expr.negated();
    }
    if !expr.any(&|e| matches!(e, Expr::PlusMinus(..))) {
        return Some(Answer::Value(expr, unit));
    }
    let signs = [true, false].map(|plus| Answer::Value(expr.with_signs(plus), unit.clone()));
    Some(Answer::List(signs.to_vec(), false))
}

/// Without the "million" of `5 \text{ million dollars}`, and its value.
fn without_factor(tokens: &[Token]) -> (Vec<Token>, Option<u64>) {
    let mut tokens = tokens.to_vec();
    let at = outside(&tokens)
        .find(|(_, token)| matches!(token.kind, Kind::Text(_)))
        .map(|(at, _)| at);
    let Some(at) = at else { return (tokens, None) };
    let Kind::Text(text) = &tokens[at].kind else {
        return (tokens, None);
    };
    let (first, rest) = text.split_once(' ').unwrap_or((text, ""));
    let factor = match first.to_lowercase().as_str() {
        "dozen" => 12,
        "hundred" => 100,
        "thousand" => 1000,
        "million" => 1_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        _ => return (tokens, None),
    };
    if rest.is_empty() {
        tokens.remove(at);
    } else {
        tokens[at].kind = Kind::Text(rest.to_owned());
    }
    (tokens, Some(factor))
}

/// What stands before a unit, and the unit: words, `%`, with a power.
fn trailing_unit(tokens: &[Token]) -> Option<(&[Token], Option<Unit>)> {
    if let [before @ .., last] = tokens
        && is_mark(last, &['%'])
    {
        return Some((before, Some(Unit::named("%"))));
    }
    let Some(start) = outside(tokens)
        .find(|(_, token)| matches!(token.kind, Kind::Text(_)))
        .map(|(at, _)| at)
    else {
        return Some((tokens, None));
    };
    if start == 0 {
        return None;
    }
    let mut text = String::new();
    for token in &tokens[start..] {
        match &token.kind {
            Kind::Text(words) => text.push_str(&format!(" {words}")),
            Kind::Mark('^') => text.push('^'),
            Kind::Mark('/') => text.push_str(" / "),
            Kind::Mark('-') if text.ends_with('^') => text.push('-'),
            Kind::Number(literal) if literal.scale == 0 && text.ends_with(['^', '-']) => text.push_str(&literal.digits),
            Kind::Mark('{' | '}' | '*' | '(' | ')') => {}
            _ => return None,
        }
    }
    let before = &tokens[..start];
    if text.split_whitespace().any(words::changes_the_value) {
        return None;
    }
    // `5^\circ C`
    if let [before @ .., degree] = before
        && is_mark(degree, &['°'])
    {
        return Some((before, Unit::read(&format!("°{}", text.trim()))));
    }
    Some((before, Some(Unit::read(&text)?)))
}

/// What stands left of `=` and only names what is right of it.
fn is_name(tokens: &[Token]) -> Option<Expr> {
    if let Some(words) = in_words(tokens) {
        return Some(Expr::Symbol(words));
    }
    let capitals = |token: &Token| matches!(&token.kind, Kind::Name(name) if name == "\\angle" || name == "\\triangle" || name.starts_with(|c: char| c.is_ascii_uppercase()));
    if tokens.len() > 1 && tokens.iter().all(capitals) {
        return Some(Expr::Symbol(format!(
            "{:?}",
            tokens.iter().map(|token| &token.kind).collect::<Vec<_>>()
        )));
    }
    if let Some(inner) = within(tokens, &['('], &[')']) {
        // `(x, y) = (1, 2)`
        let variable = |piece: &&[Token]| {
            matches!(
                piece,
                [Token {
                    kind: Kind::Name(_),
                    ..
                }]
            )
        };
        let pieces = split(inner, &|token| is_mark(token, &[',']));
        if pieces.len() > 1 && pieces.iter().all(variable) {
            return Some(Expr::Symbol(format!(
                "{:?}",
                inner.iter().map(|token| &token.kind).collect::<Vec<_>>()
            )));
        }
    }
    let expr = parser::expression(tokens)?;
    match &expr {
        Expr::Symbol(_) | Expr::Applied(..) => Some(expr),
        // `P(x)`
        Expr::Product(factors) => match factors.as_slice() {
            [Expr::Symbol(function), Expr::Symbol(_)] if function.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Some(expr)
            }
            _ => None,
        },
        _ => None,
    }
}

fn relation(tokens: &[Token], relations: &[char], depth: usize) -> Option<Answer> {
    let sides = split(tokens, &|token| is_mark(token, relations));
    let signs: Vec<char> = outside(tokens)
        .filter_map(|(_, token)| match token.kind {
            Kind::Mark(mark) if relations.contains(&mark) => Some(mark),
            _ => None,
        })
        .collect();
    match (signs.as_slice(), sides.as_slice()) {
        (['≈' | '='], [[], right]) => one(right, depth),
        (['∈'], [left, right]) => Some(Answer::Named(is_name(left)?, Box::new(one(right, depth)?))),
        (['=' | '≈'], [left, right]) => {
            if let Some(name) = is_name(left) {
                return Some(Answer::Named(name, Box::new(one(right, depth)?)));
            }
            if let Some(name) = is_name(right) {
                return Some(Answer::Named(name, Box::new(one(left, depth)?)));
            }
            if signs == ['≈'] {
                return None;
            }
            Some(Answer::Equation(
                parser::expression(left)?,
                '=',
                parser::expression(right)?,
            ))
        }
        (['≠'], [left, right]) => Some(Answer::Equation(
            parser::expression(left)?,
            '≠',
            parser::expression(right)?,
        )),
        (signs, sides) if signs.iter().all(|sign| *sign == '=') && signs.len() <= MOST_STEPS => {
            // `x = 10/2 = 5`: the steps must be equal, which the comparison sees to.
            let [left, middle @ .., last] = sides else { return None };
            let name = is_name(left)?;
            let last = one(last, depth)?;
            for side in middle {
                if !compare::are_equal(&one(side, depth)?, &last) {
                    return None;
                }
            }
            Some(Answer::Named(name, Box::new(last)))
        }
        (signs, sides) => {
            let up = signs.iter().all(|sign| matches!(sign, '<' | '≤'));
            let down = signs.iter().all(|sign| matches!(sign, '>' | '≥'));
            let mut exprs = sides
                .iter()
                .map(|side| parser::expression(side))
                .collect::<Option<Vec<_>>>()?;
            let mut strict: Vec<bool> = signs.iter().map(|sign| matches!(sign, '<' | '>')).collect();
            if down {
                exprs.reverse();
                strict.reverse();
            }
            (up || down).then_some(Answer::Order(exprs, strict))
        }
    }
}
