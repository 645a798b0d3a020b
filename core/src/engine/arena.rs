//! One flat buffer with its layout.

use std::sync::Arc;

use super::{EngineError, Layout, Slot};

/// f32 values in the order of a layout. A clone costs nothing and stays as it is: whoever writes while there is a clone
/// writes to a copy of its own. So a forward pass, a reference policy and an undo each hold the values that they began
/// with, and a copy is made only where one of them outlives a write.
#[derive(Debug, Clone)]
pub struct Arena {
    layout: Arc<Layout>,
    values: Arc<Vec<f32>>,
}

impl Arena {
    /// A buffer of zeros.
    #[must_use]
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let values = Arc::new(vec![0.0; layout.len()]);
        Self { layout, values }
    }

    /// A buffer of `values`.
    ///
    /// # Errors
    /// They do not fill the layout.
    pub fn new(layout: Arc<Layout>, values: Vec<f32>) -> Result<Self, EngineError> {
        if values.len() != layout.len() {
            return Err(EngineError::Length {
                what: "values of a buffer",
                found: values.len(),
                expected: layout.len(),
            });
        }
        let values = Arc::new(values);
        Ok(Self { layout, values })
    }

    /// What stands where.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// All values.
    #[must_use]
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// All values, to be written. If there is a clone, they are copied first.
    pub fn values_mut(&mut self) -> &mut [f32] {
        let values: &mut Vec<f32> = Arc::make_mut(&mut self.values);
        values
    }

    /// The parts with their values, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&Slot, &[f32])> {
        self.layout
            .slots()
            .iter()
            .map(|slot| (slot, &self.values[slot.range.clone()]))
    }

    /// The values of the part `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&[f32]> {
        self.layout.find(name).map(|slot| &self.values[slot.range.clone()])
    }

    /// The values of the part `name`, to be written; as [`Arena::values_mut`].
    pub fn get_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let range = self.layout.find(name)?.range.clone();
        Some(&mut self.values_mut()[range])
    }

    /// Takes the values of `other`; nothing is copied.
    ///
    /// # Errors
    /// Its names or shapes are others.
    pub fn set(&mut self, other: &Self) -> Result<(), EngineError> {
        if self.layout != other.layout {
            return Err(EngineError::Layout { what: "a buffer" });
        }
        self.values = other.values.clone();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_stays_as_it_was_and_a_write_without_one_copies_nothing() {
        let layout = Arc::new(Layout::new([("a".into(), vec![2]), ("b".into(), vec![1])]));
        let mut arena = Arena::new(layout.clone(), vec![1.0, 2.0, 3.0]).unwrap();
        let place = arena.values().as_ptr();
        arena.get_mut("b").unwrap()[0] = 4.0;
        assert_eq!(arena.values().as_ptr(), place);
        let before = arena.clone();
        arena.values_mut()[0] = 9.0;
        assert_eq!(
            (before.values(), arena.values()),
            (&[1.0, 2.0, 4.0][..], &[9.0, 2.0, 4.0][..])
        );
        arena.set(&before).unwrap();
        assert_eq!(arena.get("a"), Some(&[1.0, 2.0][..]));
        assert!(Arena::new(layout, vec![0.0]).is_err());
        let other = Arena::zeros(Arc::new(Layout::new([("a".into(), vec![3])])));
        assert!(arena.set(&other).is_err());
    }
}
