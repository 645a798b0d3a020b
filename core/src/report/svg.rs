//! Figures as static SVG: no script, no font, no file from elsewhere. Lines and text take the colour of the text around
//! them and the series take `--c0` to `--c7`, so that a page decides about dark mode; alone, a figure has its own
//! colours. The same numbers make the same bytes.

use std::fmt::Write;

/// Width of a figure in its own units. Small, so that its text can be read on a phone.
const WIDTH: f64 = 360.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 46.0;
const RIGHT: f64 = 8.0;
const TOP: f64 = 32.0;
const BOTTOM: f64 = 34.0;
/// A line has at most twice as many points: the lowest and the highest value of each piece.
const PIECES: usize = 180;
/// Colours that are told apart by people with colour blindness (Okabe and Ito), dark enough on white.
const COLOURS: [&str; 8] = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#a67c00", "#3a9bd0", "#6a51a3", "#555555",
];

/// A series of points.
#[derive(Clone, Debug, Default)]
pub(super) struct Series {
    /// Its name in the legend.
    pub(super) name: String,
    /// Points; one that is not finite leaves a gap.
    pub(super) points: Vec<[f64; 2]>,
    /// Joined by a line.
    pub(super) line: bool,
    /// Drawn as dots.
    pub(super) dots: bool,
    /// Dashed.
    pub(super) dashed: bool,
    /// A text at each point, where there is one.
    pub(super) labels: Vec<String>,
}

/// A plot with two axes.
#[derive(Clone, Debug, Default)]
pub(super) struct Plot {
    /// Above the plot.
    pub(super) title: String,
    /// Below the x axis.
    pub(super) x: String,
    /// Above the y axis.
    pub(super) y: String,
    /// The series, each with the next colour.
    pub(super) series: Vec<Series>,
}

/// Text that may stand in HTML and SVG, in an attribute too. Control characters and marks that turn the direction of
/// the text around are shown, not obeyed.
pub(super) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            '\'' => out += "&#39;",
            '\n' | '\t' => out.push(c),
            '\u{7f}' => out.push('\u{2421}'),
            c if u32::from(c) < 0x20 => out.extend(char::from_u32(0x2400 + u32::from(c))),
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' => {
                let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            '\u{80}'..='\u{9f}' => {
                let _ = write!(out, "⟨U+{:04X}⟩", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// A style that draws in the colour of series `i`.
fn colour(i: usize) -> String {
    let i = i % COLOURS.len();
    format!("var(--c{i},{})", COLOURS[i])
}

/// Places of round numbers over a range, three to six of them, and their decimals.
fn ticks(low: f64, high: f64) -> (Vec<f64>, usize) {
    let raw = (high - low) / 4.0;
    let power = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|nice| nice * power)
        .find(|&step| step >= raw * 0.999)
        .unwrap_or(raw);
    let decimals = (0..12)
        .find(|&d| {
            let scaled = step * 10_f64.powi(d);
            (scaled - scaled.round()).abs() < 1e-6 * scaled
        })
        .unwrap_or(3);
    let first = (low / step - 1e-9).ceil();
    let all = (0..8).map(|i| (first + f64::from(i)) * step);
    let decimals = usize::try_from(decimals).unwrap_or(3);
    (all.take_while(|&tick| tick <= high + step * 1e-9).collect(), decimals)
}

/// A tick's text, without a minus before zero.
fn tick_text(tick: f64, decimals: usize) -> String {
    let tick = if tick.abs() < 1e-12 { 0.0 } else { tick };
    match tick.abs() {
        size if size >= 1e6 || (size > 0.0 && size < 1e-4) => format!("{tick:.1e}"),
        size if size >= 1e4 => format!("{:.0}k", tick / 1e3),
        _ => format!("{tick:.decimals$}"),
    }
}

/// The range of finite numbers, widened a little; 0 to 1 without any.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|v| v.is_finite()) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return (0.0, 1.0);
    }
    let margin = match high - low {
        width if width > 1e-12 * high.abs().max(low.abs()) => 0.04 * width,
        _ if high == 0.0 => 0.5,
        _ => high.abs() * 0.5,
    };
    (low - margin, high + margin)
}

/// The lowest and the highest point of each piece, in their order: a line through them looks as one through all.
fn thinned(points: &[[f64; 2]]) -> Vec<[f64; 2]> {
    if points.len() <= 2 * PIECES {
        return points.to_vec();
    }
    let mut kept = Vec::new();
    for piece in points.chunks(points.len().div_ceil(PIECES)) {
        let finite = || (0..piece.len()).filter(|&i| piece[i][1].is_finite());
        let low = finite().min_by(|&a, &b| piece[a][1].total_cmp(&piece[b][1]));
        let high = finite().max_by(|&a, &b| piece[a][1].total_cmp(&piece[b][1]));
        match (low, high) {
            (Some(a), Some(b)) if a == b => kept.push(piece[a]),
            (Some(a), Some(b)) => kept.extend([piece[a.min(b)], piece[a.max(b)]]),
            _ => kept.push(piece[0]),
        }
    }
    kept
}

impl Plot {
    /// The plot as an `svg` element.
    pub(super) fn render(&self) -> String {
        let names: Vec<&str> = self.series.iter().map(|s| s.name.as_str()).collect();
        let legend = legend_rows(&names);
        let height = HEIGHT + 14.0 * legend.len() as f64;
        let all = || self.series.iter().flat_map(|s| &s.points);
        let (x0, x1) = range(all().map(|p| p[0]));
        let (y0, y1) = range(all().map(|p| p[1]));
        let at_x = |x: f64| LEFT + (x - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT);
        let at_y = |y: f64| HEIGHT - BOTTOM - (y - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM);
        let mut svg = begin(&self.title, WIDTH, height);
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let (x_ticks, decimals) = ticks(x0, x1);
        for tick in x_ticks {
            let (x, text) = (at_x(tick), tick_text(tick, decimals));
            let _ = write!(
                svg,
                "<path d=\"M{x:.1} {TOP}V{bottom}\" class=\"g\"/><text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                bottom + 12.0
            );
        }
        let (y_ticks, decimals) = ticks(y0, y1);
        for tick in y_ticks {
            let (y, text) = (at_y(tick), tick_text(tick, decimals));
            let _ = write!(
                svg,
                "<path d=\"M{LEFT} {y:.1}H{right}\" class=\"g\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
                LEFT - 4.0,
                y + 3.5
            );
        }
        let _ = write!(
            svg,
            "<path d=\"M{LEFT} {TOP}V{bottom}H{right}\" class=\"a\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text><text x=\"4\" y=\"24\">{}</text>",
            (LEFT + right) / 2.0,
            HEIGHT - 8.0,
            escape(&self.x),
            escape(&self.y)
        );
        for (i, series) in self.series.iter().enumerate() {
            series.draw(i, &at_x, &at_y, &mut svg);
        }
        for (row, entries) in legend.iter().enumerate() {
            let y = HEIGHT + 14.0 * row as f64 + 7.0;
            for &(i, x) in entries {
                let dash = if self.series[i].dashed {
                    ";stroke-dasharray:4 3"
                } else {
                    ""
                };
                let _ = write!(
                    svg,
                    "<path d=\"M{x:.1} {:.1}h14\" class=\"l\" style=\"stroke:{}{dash}\"/><text x=\"{:.1}\" y=\"{y:.1}\">{}</text>",
                    y - 3.5,
                    colour(i),
                    x + 18.0,
                    escape(&self.series[i].name)
                );
            }
        }
        svg + "</svg>"
    }
}

impl Series {
    fn draw(&self, i: usize, at_x: &dyn Fn(f64) -> f64, at_y: &dyn Fn(f64) -> f64, svg: &mut String) {
        let points = thinned(&self.points);
        if self.line {
            let mut path = String::new();
            let mut open = false;
            for [x, y] in &points {
                if x.is_finite() && y.is_finite() {
                    let _ = write!(path, "{}{:.1} {:.1}", if open { "L" } else { "M" }, at_x(*x), at_y(*y));
                }
                open = x.is_finite() && y.is_finite();
            }
            let dash = if self.dashed { ";stroke-dasharray:4 3" } else { "" };
            let _ = write!(
                svg,
                "<path d=\"{path}\" class=\"l\" style=\"stroke:{}{dash}\"/>",
                colour(i)
            );
        }
        if self.dots {
            for [x, y] in points.iter().filter(|p| p[0].is_finite() && p[1].is_finite()) {
                let _ = write!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" style=\"fill:{}\"/>",
                    at_x(*x),
                    at_y(*y),
                    colour(i)
                );
            }
        }
        let finite = |p: &[f64; 2]| p[0].is_finite() && p[1].is_finite();
        for ([x, y], label) in self
            .points
            .iter()
            .zip(&self.labels)
            .filter(|(p, text)| finite(p) && !text.is_empty())
        {
            let (x, y) = (at_x(*x), at_y(*y));
            let anchor = if x > WIDTH * 0.75 { "end" } else { "start" };
            let dx = if anchor == "end" { -5.0 } else { 5.0 };
            let _ = write!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{}</text>",
                x + dx,
                y - 5.0,
                escape(label)
            );
        }
    }
}

/// The opening tag, the styles of a figure that stands alone, and the title.
fn begin(title: &str, width: f64, height: f64) -> String {
    let title = escape(title);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"{title}\" \
         font-family=\"system-ui,sans-serif\" font-size=\"10\" fill=\"currentColor\"><style>.g{{stroke:currentColor;\
         stroke-opacity:.13;fill:none}}.a{{stroke:currentColor;stroke-opacity:.6;fill:none}}.l{{fill:none;stroke-width:1.6;\
         stroke-linejoin:round}}</style><text x=\"{:.0}\" y=\"11\" font-size=\"11.5\" font-weight=\"600\" \
         text-anchor=\"middle\">{title}</text>",
        width / 2.0
    )
}

/// Which series stand in which row of the legend, and where; one series needs none.
fn legend_rows(names: &[&str]) -> Vec<Vec<(usize, f64)>> {
    let (mut rows, mut x) = (Vec::<Vec<(usize, f64)>>::new(), WIDTH);
    if names.len() < 2 && names.iter().all(|name| name.is_empty()) {
        return rows;
    }
    for (i, name) in names.iter().enumerate() {
        let width = 30.0 + 5.6 * name.chars().count() as f64;
        if x + width > WIDTH {
            rows.push(Vec::new());
            x = 8.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((i, x));
        }
        x += width;
    }
    rows
}

/// A matrix of numbers from -1 to 1 as coloured squares with their numbers.
pub(super) fn matrix(title: &str, names: &[String], values: &[Vec<f64>]) -> String {
    let n = names.len() as f64;
    let cell = ((WIDTH - 90.0) / n.max(1.0)).min(48.0);
    let mut svg = begin(title, WIDTH, 40.0 + cell * n);
    for (i, name) in names.iter().enumerate() {
        let middle = cell * (i as f64 + 0.5);
        let name: String = name.chars().take(14).collect();
        let _ = write!(
            svg,
            "<text x=\"84\" y=\"{:.1}\" text-anchor=\"end\">{}</text><text x=\"{:.1}\" y=\"28\" text-anchor=\"middle\" \
             font-size=\"8\">{}</text>",
            34.0 + middle + 3.5,
            escape(&name),
            90.0 + middle,
            escape(&name.chars().take(9).collect::<String>())
        );
        for (j, value) in values[i].iter().enumerate() {
            let (x, y) = (90.0 + cell * j as f64, 34.0 + cell * i as f64);
            let fill = colour(usize::from(*value < 0.0)); // the colour of the first series, or of the second below 0
            let strength = if value.is_finite() {
                value.abs().min(1.0) * 0.75
            } else {
                0.0
            };
            let text = if value.is_finite() {
                format!("{value:.2}")
            } else {
                "–".into()
            };
            let _ = write!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{cell:.1}\" height=\"{cell:.1}\" style=\"fill:{fill}\" \
                 fill-opacity=\"{strength:.2}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{text}</text>",
                x + cell / 2.0,
                y + cell / 2.0 + 3.5
            );
        }
    }
    svg + "</svg>"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(points: Vec<[f64; 2]>) -> String {
        let series = Series {
            name: "</script>".into(),
            points,
            line: true,
            ..Series::default()
        };
        let plot = Plot {
            title: "a <b>".into(),
            series: vec![series],
            ..Plot::default()
        };
        plot.render()
    }

    #[test]
    fn a_line_has_a_gap_where_a_number_is_not_finite() {
        let svg = line(vec![[0.0, 1.0], [1.0, f64::NAN], [2.0, 3.0], [3.0, 2.0]]);
        let path = svg.split("class=\"l\"").next().unwrap();
        let path = &path[path.rfind("d=\"").unwrap()..];
        assert_eq!(path.matches('M').count(), 2, "{path}");
        assert!(!svg.contains("NaN") && !svg.contains("</script>") && svg.contains("a &lt;b&gt;"));
    }

    #[test]
    fn many_points_keep_their_extremes_and_few_are_drawn() {
        let mut points: Vec<[f64; 2]> = (0..10_000).map(|i| [f64::from(i), 0.0]).collect();
        points[4_321][1] = 7.0;
        let kept = thinned(&points);
        assert!(kept.len() <= 2 * PIECES && kept.contains(&[4_321.0, 7.0]));
        assert!(line(points).len() < 10_000);
    }

    #[test]
    fn ticks_are_round_and_cover_the_range() {
        assert_eq!(ticks(0.0, 60.0), (vec![0.0, 20.0, 40.0, 60.0], 0));
        let (found, decimals) = ticks(0.31, 0.99);
        assert!(found.len() >= 3 && decimals <= 2, "{found:?}");
        assert!(found.iter().all(|t| (0.31..=0.99).contains(t)));
        let (low, high) = range([5.0, 5.0].into_iter());
        assert!(low < 5.0 && high > 5.0);
    }

    #[test]
    fn marks_that_turn_text_around_and_control_characters_are_shown() {
        assert_eq!(escape("\u{1b}[31m"), "\u{241b}[31m");
        assert_eq!(escape("a\u{202e}b"), "a⟨U+202E⟩b");
        assert_eq!(escape("</script>'\""), "&lt;/script&gt;&#39;&quot;");
    }
}
