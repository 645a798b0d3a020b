//! Text from outside, as a terminal may have it: data, prompts, names and messages of plugins can hold escape sequences,
//! carriage returns and marks that turn the direction of writing. Everything that is printed for people goes through here.

use std::fmt::Write;

/// Letters of a line of a message beyond which its middle is left out.
const LONGEST: usize = 2000;
/// What stays of a longer line, at its beginning and at its end.
const KEPT: [usize; 2] = [1400, 400];
/// Lines of a message beyond which its end is left out.
const MOST_LINES: usize = 400;

/// `text` with every letter that a terminal obeys or that hides written out: `\u{1b}`. Line breaks and tabs stay.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\n' | '\t' => out.push(letter),
            letter if letter.is_control() || is_hidden(letter) => out.extend(letter.escape_default()),
            letter => out.push(letter),
        }
    }
    out
}

/// `text` as a message: escaped, lines after the first indented, so that none of them can pass for a message of its
/// own, and shortened where it is very long.
#[must_use]
pub fn message(text: &str) -> String {
    let mut out = String::new();
    let lines = text.trim_end().lines().count();
    for (number, line) in text.trim_end().lines().enumerate() {
        if number == MOST_LINES {
            // Writing to a String cannot fail.
            let _ = write!(out, "\n  … {} more lines", lines - MOST_LINES);
            break;
        }
        if number > 0 {
            out.push_str("\n  ");
        }
        out.push_str(&escaped(&shortened(line)));
    }
    out
}

fn shortened(line: &str) -> String {
    let letters = line.chars().count();
    if letters <= LONGEST {
        return line.to_owned();
    }
    let [first, last] = KEPT;
    let beginning: String = line.chars().take(first).collect();
    let end: String = line.chars().skip(letters - last).collect();
    format!("{beginning} … {} more letters … {end}", letters - first - last)
}

/// Marks and overrides of the direction of writing, separators of lines, the byte order mark.
fn is_hidden(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_gets_through() {
        let text = "a\u{1b}[31mred\u{1b}[0m\rb\u{202e}c\u{9b}d\u{7}\te";
        assert_eq!(
            escaped(text),
            "a\\u{1b}[31mred\\u{1b}[0m\\rb\\u{202e}c\\u{9b}d\\u{7}\te"
        );
        assert_eq!(
            escaped("Übung 数学 👩‍🔬 é\n"),
            "Übung 数学 👩‍🔬 é\n",
            "writing is left alone"
        );
    }

    #[test]
    fn a_message_cannot_forge_another_and_is_not_endless() {
        assert_eq!(
            message("it broke\nerror: all is lost\n"),
            "it broke\n  error: all is lost"
        );
        let long = message(&format!("found {}, expected less", "x".repeat(20_000)));
        assert!(long.chars().count() < 2100 && long.starts_with("found x") && long.ends_with("expected less"));
        assert!(long.contains("more letters"), "{long}");
        assert!(message(&"a\n".repeat(10_000)).ends_with("… 9600 more lines"));
    }
}
