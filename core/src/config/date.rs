//! The date that `strftime_now` shows: of the run, not of the moment, so that a resumed run has the same prompts.

use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

/// A day of the Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Date {
    year: i64,
    month: u32,
    day: u32,
}

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const DAYS: [&str; 7] = [
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
];

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_of(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

impl Date {
    /// Today in UTC, by the system's clock; 1970-01-01 if it stands before that.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "a run asks once, and writes the day into its config"
    )]
    pub fn today() -> Self {
        let seconds = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs());
        Self::of_days(i64::try_from(seconds / 86_400).unwrap_or_default())
    }

    /// The day `days` after 1970-01-01.
    fn of_days(mut days: i64) -> Self {
        let mut date = Date {
            year: 1970,
            month: 1,
            day: 1,
        };
        loop {
            let length = 365 + i64::from(is_leap(date.year));
            if days < length {
                break;
            }
            (days, date.year) = (days - length, date.year + 1);
        }
        while days >= i64::from(days_of(date.year, date.month)) {
            days -= i64::from(days_of(date.year, date.month));
            date.month += 1;
        }
        date.day += u32::try_from(days).unwrap_or_default();
        date
    }

    /// Days since January 1, from 1.
    fn day_of_year(self) -> u32 {
        self.day + (1..self.month).map(|month| days_of(self.year, month)).sum::<u32>()
    }

    /// 0 for Sunday (Sakamoto's rule).
    fn weekday(self) -> usize {
        const SHIFT: [i64; 12] = [0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4];
        let year = self.year - i64::from(self.month < 3);
        let shift = SHIFT[self.month as usize - 1];
        let day = year + year / 4 - year / 100 + year / 400 + shift + i64::from(self.day);
        usize::try_from(day.rem_euclid(7)).unwrap_or_default()
    }

    /// Python's `strftime` at midnight, for the signs that dates and times have.
    ///
    /// # Errors
    /// A sign that is not known.
    pub fn format(self, format: &str) -> Result<String, String> {
        let mut out = String::new();
        let mut letters = format.chars();
        while let Some(letter) = letters.next() {
            if letter != '%' {
                out.push(letter);
                continue;
            }
            let mut sign = letters.next();
            let padded = sign != Some('-'); // glibc's mark for no zeros in front
            if !padded {
                sign = letters.next();
            }
            let two = |number: u32| {
                if padded {
                    format!("{number:02}")
                } else {
                    number.to_string()
                }
            };
            let (month, day) = (MONTHS[self.month as usize - 1], DAYS[self.weekday()]);
            out.push_str(&match sign {
                Some('Y') => format!("{:04}", self.year),
                Some('y') => two(u32::try_from(self.year.rem_euclid(100)).unwrap_or_default()),
                Some('m') => two(self.month),
                Some('d') => two(self.day),
                Some('e') => format!("{:2}", self.day),
                Some('B') => month.to_owned(),
                Some('b' | 'h') => month[..3].to_owned(),
                Some('A') => day.to_owned(),
                Some('a') => day[..3].to_owned(),
                Some('j') if padded => format!("{:03}", self.day_of_year()),
                Some('j') => self.day_of_year().to_string(),
                Some('F') => format!("{:04}-{:02}-{:02}", self.year, self.month, self.day),
                Some('D' | 'x') => format!("{:02}/{:02}/{:02}", self.month, self.day, self.year.rem_euclid(100)),
                Some('H' | 'M' | 'S') => two(0),
                Some('I') => "12".to_owned(),
                Some('p') => "AM".to_owned(),
                Some('T' | 'X') => "00:00:00".to_owned(),
                Some('R') => "00:00".to_owned(),
                Some('f') => "000000".to_owned(),
                Some('Z' | 'z') => String::new(),
                Some('%') => "%".to_owned(),
                other => {
                    let sign = other.map(String::from).unwrap_or_default();
                    return Err(format!("strftime_now: the sign `%{sign}` is not known"));
                }
            });
        }
        Ok(out)
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

impl FromStr for Date {
    type Err = ();

    /// A date as `2026-11-24`.
    fn from_str(text: &str) -> Result<Self, ()> {
        let parts: Vec<&str> = text.split('-').collect();
        let [year, month, day] = parts[..] else {
            return Err(());
        };
        let is_number = |text: &str, len| text.len() == len && text.bytes().all(|b| b.is_ascii_digit());
        if !is_number(year, 4) || !is_number(month, 2) || !is_number(day, 2) {
            return Err(());
        }
        let date = Date {
            year: year.parse().map_err(|_| ())?,
            month: month.parse().map_err(|_| ())?,
            day: day.parse().map_err(|_| ())?,
        };
        if (1..=12).contains(&date.month) && (1..=days_of(date.year, date.month)).contains(&date.day) {
            Ok(date)
        } else {
            Err(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_count_as_the_calendar_does() {
        // `date -u -d @SECONDS`, days 0, leap day of 2000, and one of this year
        for (days, text, weekday) in [
            (0, "1970-01-01", "Thursday"),
            (11_016, "2000-02-29", "Tuesday"),
            (20_781, "2026-11-24", "Tuesday"),
            (19_723, "2024-01-01", "Monday"),
        ] {
            let date = Date::of_days(days);
            assert_eq!(date.to_string(), text);
            assert_eq!(text.parse(), Ok(date));
            assert_eq!(date.format("%A").as_deref(), Ok(weekday));
        }
        for wrong in [
            "",
            "2026",
            "2026-02-29",
            "2026-13-01",
            "2026-1-1",
            "+026-01-01",
            "2026-00-10",
        ] {
            assert_eq!(wrong.parse::<Date>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn formats_are_those_of_python() {
        let date: Date = "2026-03-04".parse().expect("a date");
        // datetime(2026, 3, 4).strftime(…)
        for (format, text) in [
            ("%d %b %Y", "04 Mar 2026"),
            ("%B %d, %Y.", "March 04, 2026."),
            ("%Y-%m-%d", "2026-03-04"),
            ("%-d %e %a %j %y %H:%M:%S %p %%", "4  4 Wed 063 26 00:00:00 AM %"),
        ] {
            assert_eq!(date.format(format).as_deref(), Ok(text));
        }
        assert!(date.format("%Q").is_err_and(|e| e.contains("%Q")));
    }
}
