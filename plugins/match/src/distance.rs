//! Similarity of two texts by their Levenshtein distance, with a bound on time and memory.
//!
//! A common beginning and a common end are left out first; they belong to some best alignment. What is left, of m and
//! n characters, takes a table of m × n cells. Where that is more than [`CELLS`], only alignments that stay within a
//! band around the diagonal are looked at, as wide as the cells allow, and where not even the diagonals of the two
//! corners fit, every character counts as an edit. Both give at least the true distance.

/// Cells of the table that are filled at most: about 20 ms.
const CELLS: usize = 10_000_000;

/// 1 less the edits for each character of the longer text, 0 to 1; 1 where both are empty.
#[allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a share, rounded to f32"
)]
pub(crate) fn similarity(a: &str, b: &str) -> f32 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let longer = a.len().max(b.len());
    if longer == 0 {
        return 1.0;
    }
    (1.0 - distance(&a, &b, CELLS) as f64 / longer as f64) as f32
}

/// The edit distance, or a number above it where `cells` do not allow to know it.
fn distance(a: &[char], b: &[char], cells: usize) -> usize {
    let same = |pairs: &mut dyn Iterator<Item = (&char, &char)>| pairs.take_while(|(x, y)| x == y).count();
    let start = same(&mut a.iter().zip(b));
    let (a, b) = (&a[start..], &b[start..]);
    let end = same(&mut a.iter().rev().zip(b.iter().rev()));
    let (a, b) = (&a[..a.len() - end], &b[..b.len() - end]);
    let (short, long) = if a.len() < b.len() { (a, b) } else { (b, a) };
    if short.is_empty() {
        return long.len();
    }
    if short.len().saturating_mul(long.len()) <= cells {
        return banded(short, long, short.len(), long.len());
    }
    // In row i the columns from i − below to i + above are filled; the table's last cell is `apart` off the diagonal.
    let width = cells / short.len();
    let apart = long.len() - short.len();
    if width > apart {
        let below = ((width - apart - 1) / 2).min(short.len());
        banded(short, long, below, (apart + below).min(long.len()))
    } else {
        long.len()
    }
}

/// The least number of edits of alignments that pair character i of `short` with i − below … i + above of `long`.
fn banded(short: &[char], long: &[char], below: usize, above: usize) -> usize {
    const OUTSIDE: usize = usize::MAX / 2;
    let mut row: Vec<usize> = (0..=long.len()).map(|j| if j <= above { j } else { OUTSIDE }).collect();
    for (i, x) in (1_usize..).zip(short) {
        let (first, last) = (i.saturating_sub(below).max(1), (i + above).min(long.len()));
        // The cell to the upper left of the first, and to its left: the border column, or outside of the band.
        let mut diagonal = row[first - 1];
        row[first - 1] = if first == 1 && i <= below { i } else { OUTSIDE };
        for j in first..=last {
            let replaced = diagonal + usize::from(*x != long[j - 1]);
            diagonal = row[j];
            row[j] = replaced.min(row[j] + 1).min(row[j - 1] + 1);
        }
    }
    row[long.len()]
}

#[cfg(test)]
mod tests {
    use super::{CELLS, distance, similarity};
    use moa_sdk::Rng;

    /// The whole table, row by row.
    fn plain(a: &[char], b: &[char]) -> usize {
        let mut table = vec![vec![0; b.len() + 1]; a.len() + 1];
        for i in 0..=a.len() {
            for j in 0..=b.len() {
                table[i][j] = match (i, j) {
                    (0, _) => j,
                    (_, 0) => i,
                    _ => (table[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]))
                        .min(table[i - 1][j] + 1)
                        .min(table[i][j - 1] + 1),
                };
            }
        }
        table[a.len()][b.len()]
    }

    #[test]
    fn known_distances() {
        for (a, b, expected) in [
            ("kitten", "sitting", 3),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abcd", "bcda", 2),
            ("½é", "½e", 1),
        ] {
            let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
            assert_eq!(distance(&a, &b, CELLS), expected, "{a:?}, {b:?}");
        }
        assert_eq!(similarity("", ""), 1.0);
    }

    /// With enough cells the distance is the table's; with fewer it is never below it nor above the longer length, and
    /// more cells never make it worse.
    #[test]
    fn the_band_gives_the_distance_or_more() {
        let mut rng = Rng::new(5);
        let (mut exact, mut bounded) = (0, 0);
        for _ in 0..2000 {
            let mut text = |most: usize| -> Vec<char> {
                let length = rng.below(most);
                (0..length).map(|_| ['a', 'b', 'c'][rng.below(3)]).collect()
            };
            let (a, b) = (text(20), text(30));
            let expected = plain(&a, &b);
            assert_eq!(distance(&a, &b, CELLS), expected, "{a:?}, {b:?}");
            let mut last = usize::MAX;
            for cells in [0, 10, 40, 100, 200, 400] {
                let found = distance(&a, &b, cells);
                assert!(
                    (expected..=a.len().max(b.len())).contains(&found),
                    "{a:?}, {b:?}: {found}"
                );
                assert!(found <= last, "{a:?}, {b:?}: {cells} cells give {found}, fewer {last}");
                last = found;
                exact += usize::from(found == expected);
                bounded += usize::from(found > expected);
            }
        }
        assert!(exact > 1000 && bounded > 1000, "{exact} exact, {bounded} bounded");
    }
}
