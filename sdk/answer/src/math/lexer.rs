//! From the text of an answer, in LaTeX or plain, to tokens. Spacing, sizes and `\left`/`\right` go; `\text{…}` and
//! words become one token each; what it does not know is `None`, and such answers are compared as strings.

use super::expr::Function;
use super::number::Literal;
use super::words;

/// What a token is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    Number(Literal),
    /// A variable: a letter, or a command such as `\alpha`.
    Name(String),
    Function(Function),
    Pi,
    E,
    I,
    Infinity,
    /// Words, from `\text{…}` or plain.
    Text(String),
    /// A command with arguments that the parser reads: frac, sqrt, binom, choose, over, overline, accent, exp.
    Command(&'static str),
    /// `\begin{…}` and `\end{…}`.
    Begin(String),
    End(String),
    /// Anything of one character. Of its own kind: `⦃ ⦄` for `\{ \}`, `⏎` for a row's end, `＄` for money.
    Mark(char),
}

/// A token, and whether a blank stood before it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) spaced: bool,
}

/// The tokens of an answer; `None` where something in it is not known.
pub(super) fn lex(text: &str) -> Option<Vec<Token>> {
    lex_within(text, 0)
}

fn lex_within(text: &str, within: usize) -> Option<Vec<Token>> {
    let mut lexer = Lexer {
        text,
        at: 0,
        tokens: Vec::new(),
        spaced: false,
        brackets: 0,
        within,
    };
    while lexer.at < text.len() {
        lexer.next()?;
    }
    Some(lexer.tokens)
}

/// `\textbf{…}` may hold mathematics again, this deep.
const MOST_WITHIN: usize = 3;

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    tokens: Vec<Token>,
    spaced: bool,
    /// Open brackets, in which a comma parts items.
    brackets: usize,
    within: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn push(&mut self, kind: Kind) {
        let spaced = std::mem::take(&mut self.spaced);
        self.tokens.push(Token { kind, spaced });
    }

    fn mark(&mut self, mark: char) {
        match mark {
            '(' | '[' | '⦃' | '⟨' => self.brackets += 1,
            ')' | ']' | '⦄' | '⟩' => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.push(Kind::Mark(mark));
    }

    fn take(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn skip_blanks(&mut self) {
        self.at += self.rest().len() - self.rest().trim_start().len();
    }

    fn next(&mut self) -> Option<()> {
        let rest = self.rest();
        let c = rest.chars().next()?;
        let digit_next = rest[c.len_utf8()..].starts_with(|c: char| c.is_ascii_digit());
        match c {
            c if c.is_whitespace() || c == '~' => {
                self.at += c.len_utf8();
                self.spaced = true;
            }
            '0'..='9' => self.number()?,
            '.' if digit_next => self.number()?,
            '\\' => self.command()?,
            'a'..='z' | 'A'..='Z' => self.word()?,
            _ => {
                self.at += c.len_utf8();
                self.character(c)?;
            }
        }
        Some(())
    }

    fn character(&mut self, c: char) -> Option<()> {
        match c {
            '^' => {
                self.skip_blanks();
                let degrees = ["\\circ", "{\\circ}", "{\\circ }", "\\degree", "{\\degree}", "°", "{°}"];
                let found = degrees.iter().any(|degree| self.take(degree));
                self.mark(if found { '°' } else { '^' });
            }
            '*' if self.take("*") => self.mark('^'),
            '<' if self.take("=") => self.mark('≤'),
            '>' if self.take("=") => self.mark('≥'),
            '!' if self.take("=") => self.mark('≠'),
            '=' if self.take("=") => self.mark('='),
            '$' if self
                .rest()
                .starts_with(|c: char| c.is_ascii_digit() || c == '.' || c == ' ') =>
            {
                self.mark('＄')
            }
            '+' | '-' | '*' | '/' | '_' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '!' | '%' | '°' | '=' | '<'
            | '>' | '≤' | '≥' | '≠' | '≈' | '±' | '∓' | ',' | ';' | ':' | '∪' | '∩' | '∈' | '∖' | '&' | '\'' | '∅'
            | '⟨' | '⟩' | '⌊' | '⌋' | '⌈' | '⌉' => self.mark(c),
            '−' | '–' | '‐' | '‑' => self.mark('-'),
            '×' | '·' | '⋅' | '∗' | '∙' => self.mark('*'),
            '÷' | '∕' | '⁄' => self.mark('/'),
            '≃' | '≅' => self.mark('≈'),
            '⩽' => self.mark('≤'),
            '⩾' => self.mark('≥'),
            '，' => self.mark(','),
            '’' | '′' => self.mark('\''),
            '√' => self.push(Kind::Command("sqrt")),
            'π' => self.push(Kind::Pi),
            '∞' => self.push(Kind::Infinity),
            'ℝ' => self.push(Kind::Name("ℝ".to_owned())),
            '⁰' | '¹' | '²' | '³' | '⁴'..='⁹' => {
                let power = "⁰¹²³⁴⁵⁶⁷⁸⁹".chars().position(|digit| digit == c)?;
                self.mark('^');
                self.push(Kind::Number(Literal::whole(&power.to_string())));
            }
            '½' => self.fraction("1", "2"),
            '⅓' => self.fraction("1", "3"),
            '⅔' => self.fraction("2", "3"),
            '¼' => self.fraction("1", "4"),
            '¾' => self.fraction("3", "4"),
            '€' | '£' | '¥' | '¢' => self.push(Kind::Text(c.to_string())),
            'α'..='ω' | 'Γ' | 'Δ' | 'Θ' | 'Λ' | 'Σ' | 'Φ' | 'Ψ' | 'Ω' => self.push(Kind::Name(c.to_string())),
            '\u{200b}' | '\u{feff}' | '\u{2061}'..='\u{2063}' => {}
            _ => return None,
        }
        Some(())
    }

    fn fraction(&mut self, above: &str, below: &str) {
        self.push(Kind::Command("frac"));
        for digits in [above, below] {
            self.push(Kind::Mark('{'));
            self.push(Kind::Number(Literal::whole(digits)));
            self.push(Kind::Mark('}'));
        }
    }

    /// A number, with its thousands and its power of ten.
    fn number(&mut self) -> Option<()> {
        let mut digits = self.digits().to_owned();
        if (1..=3).contains(&digits.len()) && !digits.starts_with('0') {
            while let Some(group) = self.thousands() {
                digits.push_str(group);
            }
        }
        let after = self.rest().strip_prefix('.');
        let repeats = after.is_some_and(|after| after.starts_with("\\overline") || after.starts_with("\\bar"));
        let point = repeats || after.is_some_and(|after| after.starts_with(|c: char| c.is_ascii_digit()));
        let mut scale = 0;
        if point {
            self.at += 1;
            let decimals = self.digits();
            digits.push_str(decimals);
            scale = i32::try_from(decimals.len()).ok()?;
        }
        if digits.is_empty() {
            digits.push('0');
        }
        scale -= self.power_of_ten(&digits, point)?;
        self.push(Kind::Number(Literal { digits, scale, point }));
        Some(())
    }

    fn digits(&mut self) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    /// `,000` and the like: exactly three digits after a mark that parts thousands here.
    fn thousands(&mut self) -> Option<&'a str> {
        const MARKS: [&str; 12] = [
            "{,}", ",\\!\\!", ",\\!", "\\!,\\!", "\\!,", "\\,", "\\:", "\\;", "\\ ", "\\!", "~", "{\\,}",
        ];
        let rest = self.rest();
        let after = MARKS
            .iter()
            .find_map(|mark| rest.strip_prefix(mark))
            .map(str::trim_start)
            .or_else(|| rest.strip_prefix(',').filter(|_| self.brackets == 0))
            .or_else(|| rest.strip_prefix(' '))?;
        let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        let next = after[end..].trim_start();
        // `1 125/1000` is one and an eighth.
        if end != 3 || (rest.starts_with([' ', '\\', '~']) && next.starts_with('/')) {
            return None;
        }
        self.at += rest.len() - after.len() + end;
        Some(&after[..end])
    }

    /// The exponent of `1.5e3`, `1e-5` or `2E-4`, after the mantissa. `2e-4` may as well be `2·e - 4`: `None`.
    fn power_of_ten(&mut self, digits: &str, point: bool) -> Option<i32> {
        let rest = self.rest();
        let Some(after) = rest.strip_prefix(['e', 'E']) else {
            return Some(0);
        };
        let unsigned = after.strip_prefix(['-', '+']).unwrap_or(after);
        let end = unsigned.find(|c: char| !c.is_ascii_digit()).unwrap_or(unsigned.len());
        if end == 0 {
            return Some(0);
        }
        if rest.starts_with('e') && unsigned.len() < after.len() && !point && digits != "1" {
            return None;
        }
        let exponent: i32 = unsigned[..end].parse().ok()?;
        self.at += rest.len() - unsigned.len() + end;
        let signed = if after.starts_with('-') { -exponent } else { exponent };
        (exponent <= 400).then_some(signed)
    }

    /// Letters without a backslash: a function, a unit, a word, or a product of variables.
    fn word(&mut self) -> Option<()> {
        let rest = self.rest();
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let word = &rest[..end];
        for (spelled, name) in [("a.m.", "a.m."), ("p.m.", "p.m."), ("a.m", "a.m."), ("p.m", "p.m.")] {
            if rest.starts_with(spelled) && !self.tokens.is_empty() {
                self.at += spelled.len();
                self.push(Kind::Text(name.to_owned()));
                return Some(());
            }
        }
        self.at += end;
        let last = self.tokens.last().map(|token| &token.kind);
        let after_value = matches!(last, Some(Kind::Number(_) | Kind::Mark(')' | '}' | '%') | Kind::Pi));
        let after_text = matches!(last, Some(Kind::Text(word)) if word != "and" && word != "or")
            || (last == Some(&Kind::Mark('/')) && self.text_before_slash());
        let touches = last.is_some() && !self.spaced;
        let lower = word.to_ascii_lowercase();
        let joins = lower == "and" || lower == "or";
        let goes_on = after_text && (word.len() > 1 || self.spaced || last == Some(&Kind::Mark('/')));
        let measures = after_value && words::is_plain_unit(word, touches);
        let stands_alone = word.len() >= 4 && (!touches || last == Some(&Kind::Mark('(')));
        if let Some(function) = words::function(word) {
            self.push(Kind::Function(function));
        } else if word == "sqrt" || word == "exp" {
            self.push(Kind::Command(if word == "sqrt" { "sqrt" } else { "exp" }));
        } else if word == "pi" || word == "Pi" {
            self.push(Kind::Pi);
        } else if ["infinity", "inf", "infty", "oo"].contains(&lower.as_str()) {
            self.push(Kind::Infinity);
        } else if joins || goes_on || measures || words::is_answer(word) || stands_alone {
            self.push(Kind::Text(word.to_owned()));
        } else {
            for letter in word.chars() {
                self.letter(letter);
            }
        }
        Some(())
    }

    fn text_before_slash(&self) -> bool {
        let before = self.tokens.len().checked_sub(2).and_then(|at| self.tokens.get(at));
        before.is_some_and(|token| matches!(token.kind, Kind::Text(_)))
    }

    fn letter(&mut self, letter: char) {
        self.push(match letter {
            'e' => Kind::E,
            'i' => Kind::I,
            letter => Kind::Name(letter.to_string()),
        });
    }

    /// What stands in the braces that follow, or the next character.
    fn group(&mut self) -> Option<&'a str> {
        self.skip_blanks();
        let rest = self.rest();
        let Some(inner) = rest.strip_prefix('{') else {
            let first = rest.chars().next()?;
            self.at += first.len_utf8();
            return Some(&rest[..first.len_utf8()]);
        };
        let end = crate::boxed::closing_brace(inner)?;
        self.at += end + 2;
        Some(&inner[..end])
    }

    fn command(&mut self) -> Option<()> {
        let rest = &self.rest()[1..];
        let end = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
        if end == 0 {
            let c = rest.chars().next()?;
            self.at += 1 + c.len_utf8();
            match c {
                ',' | ';' | ':' | ' ' | '>' | '\n' => self.spaced = true,
                '!' | '(' | ')' | '[' | ']' | '/' => {}
                '{' => self.mark('⦃'),
                '}' => self.mark('⦄'),
                '$' => self.mark('＄'),
                '\\' => self.mark('⏎'),
                '%' | '&' | '_' => self.mark(c),
                _ => return None,
            }
            return Some(());
        }
        self.at += 1 + end;
        self.named_command(&rest[..end])
    }

    fn named_command(&mut self, name: &str) -> Option<()> {
        match name {
            "quad" | "qquad" | "thinspace" | "enspace" | "space" => self.spaced = true,
            "hspace" | "phantom" | "hphantom" | "vphantom" | "color" => {
                self.group()?;
                self.spaced = true;
            }
            "displaystyle" | "textstyle" | "scriptstyle" | "limits" | "nolimits" | "big" | "Big" | "bigg" | "Bigg"
            | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl" | "biggr" | "boxed" | "fbox" | "mathopen" | "mathclose"
            | "rm" | "bf" => {}
            "left" | "right" | "middle" => {
                self.skip_blanks();
                self.take(".");
            }
            "text" | "mbox" | "textbf" | "textit" | "textrm" | "textsf" | "texttt" | "textnormal" | "hbox" | "emph"
            | "mathrm" | "operatorname" | "mathsf" | "mathit" | "mathtt" | "mathnormal" => {
                let inner = self.group()?;
                self.words(name, inner)?;
            }
            "mathbf" | "boldsymbol" | "bm" | "pmb" => {
                let inner = self.group()?.trim();
                if inner.chars().all(|c| c.is_ascii_alphabetic()) {
                    self.push(Kind::Name(format!("\\mathbf {inner}")));
                } else {
                    self.nested(inner)?;
                }
            }
            "mathbb" => {
                let set = self.group()?.trim();
                self.push(Kind::Name(if set == "R" {
                    "ℝ".to_owned()
                } else {
                    format!("\\mathbb {set}")
                }));
            }
            "frac" | "dfrac" | "tfrac" | "cfrac" => self.push(Kind::Command("frac")),
            "sqrt" => self.push(Kind::Command("sqrt")),
            "binom" | "dbinom" | "tbinom" => self.push(Kind::Command("binom")),
            "choose" => self.push(Kind::Command("choose")),
            "over" => self.push(Kind::Command("over")),
            "overline" | "bar" => self.push(Kind::Command("overline")),
            "exp" => self.push(Kind::Command("exp")),
            "vec" | "hat" | "tilde" | "overrightarrow" | "widehat" | "mathcal" | "widetilde" => {
                let inner = self.group()?.trim();
                self.push(Kind::Name(format!("\\{name} {inner}")));
            }
            "begin" => {
                let environment = self.group()?.trim_end_matches('*').to_owned();
                if environment == "array" {
                    self.group()?; // its columns
                }
                self.brackets += 1;
                self.push(Kind::Begin(environment));
            }
            "end" => {
                let environment = self.group()?.trim_end_matches('*').to_owned();
                self.brackets = self.brackets.saturating_sub(1);
                self.push(Kind::End(environment));
            }
            "pi" => self.push(Kind::Pi),
            "infty" => self.push(Kind::Infinity),
            "imath" => self.push(Kind::I),
            "prime" => self.mark('\''),
            _ => match (words::function(name), sign(name)) {
                (Some(function), _) => self.push(Kind::Function(function)),
                (None, Some(mark)) => self.mark(mark),
                (None, None) if is_letter(name) => self.push(Kind::Name(greek(name))),
                (None, None) => return None,
            },
        }
        Some(())
    }

    /// The contents of `\text{…}` and of what sets letters upright.
    fn words(&mut self, command: &str, inner: &str) -> Option<()> {
        let trimmed = inner.trim();
        let letters = !trimmed.is_empty() && trimmed.bytes().all(|byte| byte.is_ascii_alphabetic());
        if letters && words::is_mathematical(trimmed) {
            return self.nested(trimmed);
        }
        if trimmed.is_empty() {
            self.spaced = true;
            return Some(());
        }
        let upright = command.starts_with("math") || command == "operatorname";
        if upright && trimmed.len() == 1 && letters {
            // `\mathrm{e}`, but `5\,\mathrm{m}` after a number.
            let last = self.tokens.last().map(|token| &token.kind);
            let after_number = matches!(last, Some(Kind::Number(_) | Kind::Text(_)))
                || (last == Some(&Kind::Mark('/')) && self.text_before_slash());
            if !after_number || trimmed == "i" || trimmed == "e" {
                return self.nested(trimmed);
            }
        }
        let value = trimmed.starts_with(|c: char| c.is_ascii_digit() || "\\$-+".contains(c));
        if value && !trimmed.starts_with("\\text") && self.tokens.is_empty() {
            return self.nested(trimmed);
        }
        let listing = trimmed.trim_matches(|c: char| c == ',' || c == ';' || c.is_whitespace());
        if ["and", "or"].contains(&listing) || listing.is_empty() {
            if listing.is_empty() {
                self.mark(',');
            } else {
                self.push(Kind::Text(listing.to_owned()));
            }
            return Some(());
        }
        self.spaced |= inner.starts_with(char::is_whitespace);
        self.push(Kind::Text(trimmed.to_owned()));
        Some(())
    }

    fn nested(&mut self, inner: &str) -> Option<()> {
        if self.within >= MOST_WITHIN {
            return None;
        }
        self.tokens.extend(lex_within(inner, self.within + 1)?);
        Some(())
    }
}

/// The sign that a command stands for.
fn sign(command: &str) -> Option<char> {
    Some(match command {
        "cdot" | "times" | "ast" | "bullet" => '*',
        "div" | "slash" => '/',
        "pm" => '±',
        "mp" => '∓',
        "le" | "leq" | "leqslant" => '≤',
        "ge" | "geq" | "geqslant" => '≥',
        "lt" => '<',
        "gt" => '>',
        "ne" | "neq" => '≠',
        "approx" | "simeq" | "approxeq" => '≈',
        "in" => '∈',
        "cup" | "bigcup" => '∪',
        "cap" | "bigcap" => '∩',
        "setminus" | "backslash" | "smallsetminus" => '∖',
        "mid" | "vert" | "lvert" | "rvert" => '|',
        "lfloor" => '⌊',
        "rfloor" => '⌋',
        "lceil" => '⌈',
        "rceil" => '⌉',
        "langle" => '⟨',
        "rangle" => '⟩',
        "lbrace" => '⦃',
        "rbrace" => '⦄',
        "lbrack" => '[',
        "rbrack" => ']',
        "colon" => ':',
        "emptyset" | "varnothing" => '∅',
        "degree" => '°',
        _ => return None,
    })
}

/// Whether a command is a letter of some alphabet.
fn is_letter(command: &str) -> bool {
    const LETTERS: &str = " alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi \
        rho varrho sigma varsigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi \
        Omega ell angle triangle hbar ";
    LETTERS.contains(&format!(" {command} "))
}

/// Greek letters have one name, whether as a command or as a character.
fn greek(command: &str) -> String {
    let letter = match command {
        "alpha" => 'α',
        "beta" => 'β',
        "gamma" => 'γ',
        "delta" => 'δ',
        "theta" => 'θ',
        "lambda" => 'λ',
        "mu" => 'μ',
        "sigma" => 'σ',
        "phi" => 'φ',
        "omega" => 'ω',
        "Delta" => 'Δ',
        "Omega" => 'Ω',
        _ => return format!("\\{command}"),
    };
    letter.to_string()
}
