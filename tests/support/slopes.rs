//! Gradients against finite differences.

use moa_core::engine::GradientSet;
use moa_core::model::Model;

/// The slope of `value` along a gradient, one parameter at a time: it is the gradient's squared norm.
pub fn assert_slopes(model: &mut Model, gradient: &GradientSet, size: f64, value: impl Fn(&Model) -> f64) {
    let before = model.params().trainable().clone();
    for (slot, gradient) in gradient.iter() {
        let norm2: f64 = gradient.iter().map(|g| f64::from(*g).powi(2)).sum();
        let h = size / norm2.sqrt();
        let mut step = |sign: f64| {
            let params = model.params_mut().trainable_mut();
            params.set(&before).expect("the same layout");
            let values = &mut params.values_mut()[slot.range.clone()];
            values
                .iter_mut()
                .zip(gradient)
                .for_each(|(v, g)| *v += (sign * h) as f32 * g);
            value(model)
        };
        let slope = (step(1.0) - step(-1.0)) / (2.0 * h);
        assert!(
            (slope - norm2).abs() < 1e-2 * norm2,
            "{}: slope {slope}, norm² {norm2}",
            slot.name
        );
    }
    model
        .params_mut()
        .trainable_mut()
        .set(&before)
        .expect("the same layout");
}
