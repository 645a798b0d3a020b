//! What stands where in a flat buffer.

use std::ops::Range;

/// One named part of a buffer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slot {
    /// Its name, unique in the layout.
    pub name: String,
    /// Its shape, row-major.
    pub shape: Vec<usize>,
    /// Its values.
    pub range: Range<usize>,
}

/// Named parts, one after the other without gaps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Layout {
    slots: Vec<Slot>,
}

impl Layout {
    /// The layout of `parts`, names and shapes, in their order.
    #[must_use]
    pub fn new(parts: impl IntoIterator<Item = (String, Vec<usize>)>) -> Self {
        let mut end = 0;
        let slots = parts.into_iter().map(|(name, shape)| {
            let start = end;
            end += shape.iter().product::<usize>();
            Slot {
                name,
                shape,
                range: start..end,
            }
        });
        Self { slots: slots.collect() }
    }

    /// The parts, in order.
    #[must_use]
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// Values in all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.slots.last().map_or(0, |slot| slot.range.end)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The part with this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Slot> {
        self.slots.iter().find(|slot| slot.name == name)
    }

    /// For each part, whether its name contains one of `parts`; all of them if `parts` is empty.
    #[must_use]
    pub fn mask(&self, parts: &[String]) -> Vec<bool> {
        let chosen = |slot: &Slot| parts.is_empty() || parts.iter().any(|part| slot.name.contains(part.as_str()));
        self.slots.iter().map(chosen).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_follow_each_other_and_are_found_by_name() {
        let layout = Layout::new([("a".into(), vec![2, 3]), ("b".into(), vec![]), ("cb".into(), vec![4])]);
        let ranges: Vec<_> = layout.slots().iter().map(|slot| slot.range.clone()).collect();
        assert_eq!((ranges, layout.len()), (vec![0..6, 6..7, 7..11], 11));
        assert_eq!(layout.find("cb").map(|slot| slot.range.start), Some(7));
        assert!(layout.find("c").is_none() && Layout::default().is_empty());
        assert_eq!(layout.mask(&["b".into()]), [false, true, true]);
        assert_eq!(layout.mask(&[]), [true; 3]);
    }
}
