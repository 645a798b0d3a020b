//! Words in answers: names of functions, units of measure and how they are written, words that are answers.

use super::expr::Function;

/// A function by its name, with or without a backslash.
pub(super) fn function(name: &str) -> Option<Function> {
    Some(match name {
        "sin" => Function::Sin,
        "cos" => Function::Cos,
        "tan" | "tg" => Function::Tan,
        "cot" | "ctg" => Function::Cot,
        "sec" => Function::Sec,
        "csc" | "cosec" => Function::Csc,
        "arcsin" | "asin" => Function::Arcsin,
        "arccos" | "acos" => Function::Arccos,
        "arctan" | "atan" | "arctg" => Function::Arctan,
        "sinh" => Function::Sinh,
        "cosh" => Function::Cosh,
        "tanh" => Function::Tanh,
        "log" | "lg" => Function::Log,
        "ln" => Function::Ln,
        _ => return None,
    })
}

/// Words that are never a unit or an answer in words.
pub(super) fn is_mathematical(word: &str) -> bool {
    function(word).is_some()
        || matches!(
            word,
            "sqrt" | "pi" | "exp" | "infinity" | "inf" | "infty" | "frac" | "cdot"
        )
}

/// Short words that are answers by themselves; longer ones need no list.
pub(super) fn is_answer(word: &str) -> bool {
    const WORDS: [&str; 12] = [
        "yes", "no", "odd", "all", "any", "red", "mon", "tue", "wed", "thu", "fri", "sat",
    ];
    WORDS.contains(&word.to_ascii_lowercase().as_str())
}

/// Units: the name, and other spellings of it.
const UNITS: &[(&str, &[&str])] = &[
    ("mm", &["millimeter", "millimeters", "millimetre", "millimetres"]),
    ("cm", &["centimeter", "centimeters", "centimetre", "centimetres", "cms"]),
    ("dm", &["decimeter", "decimeters", "decimetre", "decimetres"]),
    ("m", &["meter", "meters", "metre", "metres"]),
    ("km", &["kilometer", "kilometers", "kilometre", "kilometres", "kms"]),
    ("in", &["inch", "inches"]),
    ("ft", &["foot", "feet"]),
    ("yd", &["yard", "yards", "yds"]),
    ("mi", &["mile", "miles"]),
    ("s", &["second", "seconds", "sec", "secs"]),
    ("min", &["minute", "minutes", "mins"]),
    ("h", &["hour", "hours", "hr", "hrs"]),
    ("day", &["days"]),
    ("week", &["weeks", "wk"]),
    ("month", &["months"]),
    ("year", &["years", "yr", "yrs"]),
    ("mg", &["milligram", "milligrams"]),
    ("g", &["gram", "grams"]),
    ("kg", &["kilogram", "kilograms", "kgs", "kilo", "kilos"]),
    ("lb", &["pound", "pounds", "lbs"]),
    ("oz", &["ounce", "ounces"]),
    ("ton", &["tons", "tonne", "tonnes"]),
    ("ml", &["milliliter", "milliliters", "millilitre", "millilitres", "mL"]),
    ("l", &["liter", "liters", "litre", "litres", "L"]),
    ("gal", &["gallon", "gallons"]),
    ("qt", &["quart", "quarts"]),
    ("dollar", &["dollars", "usd", "USD"]),
    ("cent", &["cents", "¢"]),
    ("euro", &["euros", "€"]),
    ("£", &["gbp"]),
    ("¥", &["yen"]),
    ("deg", &["degree", "degrees", "°", "degs"]),
    ("rad", &["radian", "radians", "rads"]),
    ("%", &["percent", "percentage", "pct"]),
    ("unit", &["units"]),
    ("a.m.", &["am", "a.m", "AM"]),
    ("p.m.", &["pm", "p.m", "PM"]),
    ("N", &["newton", "newtons"]),
    ("J", &["joule", "joules"]),
    ("W", &["watt", "watts"]),
    ("V", &["volt", "volts"]),
    ("Hz", &["hertz"]),
    ("Pa", &["pascal", "pascals"]),
    ("°C", &["celsius"]),
    ("°F", &["fahrenheit"]),
    ("K", &["kelvin"]),
    ("mol", &["moles", "mole"]),
];

/// Units that may follow a number without a command, as two letters.
const PLAIN: [&str; 24] = [
    "mm", "cm", "dm", "km", "in", "ft", "yd", "mi", "sec", "min", "hr", "hrs", "mg", "kg", "lb", "lbs", "oz", "ml",
    "mL", "am", "pm", "mph", "deg", "yrs",
];

/// Whether a word without a command is a unit after a number; a few letters may be a product when they touch it.
pub(super) fn is_plain_unit(word: &str, touches: bool) -> bool {
    if touches {
        ["mm", "cm", "km", "kg", "mph", "am", "pm"].contains(&word)
    } else {
        PLAIN.contains(&word) || known(word).is_some() && word.len() > 2
    }
}

/// Whether a word after a number is no unit but makes another number or a condition of it: "and a half", "tenths",
/// "if x > 0".
pub(super) fn changes_the_value(word: &str) -> bool {
    const WORDS: &str = " half halves third thirds fourth fourths fifth fifths sixth sixths seventh eighth eighths ninth \
        tenth tenths hundredth hundredths thousandth thousandths millionth millionths dozen hundred thousand million billion \
        trillion k mod modulo base if when for where otherwise not less more fewer is are plus minus times negative or and \
        remainder r to squared cubed over choose than least most ";
    WORDS.contains(&format!(
        " {} ",
        word.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase()
    ))
}

/// The name of a known unit. Short ones differ by case: mW and MW.
fn known(word: &str) -> Option<&'static str> {
    let lower = if word.chars().count() > 2 {
        word.to_lowercase()
    } else {
        word.to_owned()
    };
    UNITS
        .iter()
        .find(|(name, others)| [word, &lower].iter().any(|word| name == word || others.contains(word)))
        .map(|(name, _)| *name)
}

/// A unit: its parts with their powers, sorted. `m/s²` is `m¹ s⁻²`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Unit {
    parts: Vec<(String, i32)>,
}

impl Unit {
    /// The unit of a known name.
    pub(super) fn named(name: &str) -> Self {
        Self {
            parts: vec![(name.to_owned(), 1)],
        }
    }

    /// The letter that it is, if it is one: `5 m` may be read as a product.
    pub(super) fn letter(&self) -> Option<&str> {
        match self.parts.as_slice() {
            [(own, 1)] if own.len() == 1 => Some(own),
            _ => None,
        }
    }

    pub(super) fn is(&self, name: &str) -> bool {
        matches!(self.parts.as_slice(), [(own, 1)] if own == name)
    }

    /// The unit that words after a number are; `None` where there is no letter in them.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut unit = Self::default();
        let (mut sign, mut power) = (1, 1);
        // Letters, then digits: `cm2`; marks that part words.
        let spaced = text
            .replace('/', " / ")
            .replace(['-', ',', '(', ')', '~', '$', '{', '}'], " ")
            .replace('^', " ^");
        for word in spaced.split_whitespace() {
            match word.to_lowercase().as_str() {
                "/" | "per" => sign = -1,
                "square" | "sq" | "sq." => power = 2,
                "cubic" | "cu" | "cu." => power = 3,
                "squared" => unit.raise(2),
                "cubed" => unit.raise(3),
                "of" | "the" | "a" | "an" | "total" | "about" | "exactly" => {}
                lower if lower.starts_with('^') => unit.raise(lower[1..].parse().ok()?),
                _ => {
                    let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
                    let letters_only = letters.trim_end_matches('.');
                    match letters_only {
                        "mph" => unit.add("mi", 1).add("h", -1),
                        "kph" | "kmph" => unit.add("km", 1).add("h", -1),
                        _ => unit.add(&canonical(letters_only), sign * power),
                    };
                    if let Ok(digits) = word[letters.len()..].parse() {
                        unit.raise(digits);
                    }
                    (sign, power) = (sign, 1);
                }
            }
        }
        unit.parts.sort();
        (!unit.parts.is_empty()).then_some(unit)
    }

    fn add(&mut self, name: &str, power: i32) -> &mut Self {
        self.parts.push((name.to_owned(), power));
        self
    }

    /// Raises what was added last.
    pub(super) fn raise(&mut self, power: i32) {
        if let Some((_, own)) = self.parts.last_mut() {
            *own = own.saturating_mul(power);
        }
    }

    /// Whether two units may stand for the same: equal, or one says more in words that are no units (`65 tickets`
    /// and `65 children tickets`).
    pub(super) fn agrees(&self, other: &Self) -> bool {
        let (short, long) = if self.parts.len() <= other.parts.len() {
            (self, other)
        } else {
            (other, self)
        };
        let extra: Vec<_> = long.parts.iter().filter(|part| !short.parts.contains(part)).collect();
        short.parts.iter().all(|part| long.parts.contains(part))
            && extra.len() + short.parts.len() == long.parts.len()
            && extra.iter().all(|(name, power)| *power == 1 && known(name).is_none())
    }
}

fn canonical(word: &str) -> String {
    if let Some(name) = known(word) {
        return name.to_owned();
    }
    let lower = if word.chars().count() > 2 {
        word.to_lowercase()
    } else {
        word.to_owned()
    };
    match lower.strip_suffix('s') {
        Some(singular) if lower.len() > 3 && !singular.ends_with('s') => singular.to_owned(),
        _ => lower,
    }
}

#[cfg(test)]
mod tests {
    use super::Unit;

    #[test]
    fn units_are_the_same_however_they_are_written() {
        for (a, b, agree) in [
            ("cm", "centimeters", true),
            ("square inches", "in^2", true),
            ("sq cm", "cm2", true),
            ("cubic feet", "ft^3", true),
            ("miles per hour", "mph", true),
            ("m/s^2", "meters per second squared", true),
            ("students", "student", true),
            ("tickets", "children tickets", true),
            ("cm", "m", false),
            ("cm", "cm^2", false),
            ("apples", "oranges", false),
            ("a.m.", "p.m.", false),
            ("dollars", "cents", false),
            ("MW", "mW", false),
            ("KM", "km", false),
            ("m", "m/s", false),
            ("inches", "square inches", false),
            ("hours", "work hours", true),
        ] {
            let units = (Unit::read(a), Unit::read(b));
            let (Some(left), Some(right)) = units else {
                panic!("{a} {b}")
            };
            assert_eq!(left.agrees(&right), agree, "{left:?} {right:?}");
            assert_eq!(right.agrees(&left), agree, "{left:?} {right:?}");
        }
        assert_eq!(Unit::read(" "), None);
    }
}
