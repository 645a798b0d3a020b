//! Low-rank adapters of a model: which matrices have one, their names as PEFT writes them, where they stand, how they
//! begin, and what a model is with them merged in.

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

use super::architecture::Architecture;
use super::error::ModelError;
use super::ops::gemm::{Mat, Threads, gemm};
use super::ops::lora::{Adapter, LoraShape, Site};
use crate::config::{self, LORA_TARGETS};
use crate::engine::{Arena, EngineError, Layout};
use crate::num::to_f32;

/// What PEFT puts before a parameter's name.
const PREFIX: &str = "base_model.model.";

/// Rank, scale and places of the adapters.
#[derive(Debug, Clone, PartialEq)]
pub struct Lora {
    /// r, above 0.
    pub rank: usize,
    /// α.
    pub alpha: f64,
    /// Whether the scale is α / √r (rsLoRA) and not α / r.
    pub rslora: bool,
    /// For each of `q_proj`, `k_proj`, `v_proj`, `o_proj`, `gate_proj`, `up_proj`, `down_proj`, whether it has one.
    pub targets: [bool; 7],
}

impl Lora {
    /// The adapters that a config asks for; none if it has no `[model.lora]`, or rank 0 there.
    #[must_use]
    pub fn of(config: &config::Model) -> Option<Self> {
        let lora = config.lora.as_ref().filter(|lora| lora.rank > 0)?;
        Some(Self {
            rank: lora.rank,
            alpha: lora.alpha,
            rslora: lora.rslora,
            targets: LORA_TARGETS.map(|target| lora.targets.iter().any(|name| name == target)),
        })
    }

    /// s: what the adapters' outputs are multiplied by.
    #[must_use]
    pub fn scale(&self) -> f64 {
        let r = self.rank as f64;
        self.alpha / if self.rslora { r.sqrt() } else { r }
    }

    /// The names of the matrices that have one.
    #[must_use]
    pub fn target_names(&self) -> Vec<&'static str> {
        let chosen = LORA_TARGETS.iter().zip(self.targets).filter(|(_, chosen)| *chosen);
        chosen.map(|(name, _)| *name).collect()
    }

    /// The layout of one layer's adapters, and their names there with shapes.
    fn layer(&self, architecture: &Architecture) -> (LoraShape, Vec<(String, Vec<usize>)>) {
        let (d, f, r) = (architecture.hidden, architecture.intermediate, self.rank);
        let (q, kv) = (
            architecture.heads * architecture.head_dim,
            architecture.kv_heads * architecture.head_dim,
        );
        let (mut at, mut names, mut chosen) = (0, Vec::new(), LORA_TARGETS.iter().zip(self.targets));
        let mut site = |inp: usize, room: &str, outs: &[usize]| {
            let (mut adapters, mut start, first) = (Vec::new(), 0, at);
            for out in outs {
                let columns = start..start + out;
                start = columns.end;
                if let Some((name, true)) = chosen.next() {
                    adapters.push((format!("{room}.{name}"), columns));
                }
            }
            for (name, _) in &adapters {
                names.push((format!("{name}.lora_A.weight"), vec![r, inp]));
                at += r * inp;
            }
            let a = first..at;
            let adapters = adapters.into_iter().map(|(name, columns)| {
                names.push((format!("{name}.lora_B.weight"), vec![columns.len(), r]));
                at += columns.len() * r;
                let b = at - columns.len() * r..at;
                Adapter { columns, b }
            });
            Site {
                adapters: adapters.collect(),
                a,
            }
        };
        let qkv = site(d, "self_attn", &[q, kv, kv]);
        let out = site(q, "self_attn", &[d]);
        let gate_up = site(d, "mlp", &[f, f]);
        let down = site(f, "mlp", &[d]);
        let shape = LoraShape {
            rank: r,
            scale: to_f32(self.scale()),
            qkv,
            out,
            gate_up,
            down,
            len: at,
        };
        (shape, names)
    }

    /// The layout of one layer's adapters.
    pub(super) fn shape(&self, architecture: &Architecture) -> LoraShape {
        self.layer(architecture).0
    }

    /// Every adapter of a model, layer by layer, under the name that PEFT gives it.
    #[must_use]
    pub fn layout(&self, architecture: &Architecture) -> Layout {
        let names = self.layer(architecture).1;
        let layers = (0..architecture.layers).flat_map(|layer| {
            let place = format!("{PREFIX}model.layers.{layer}.");
            names
                .iter()
                .map(move |(name, shape)| (format!("{place}{name}"), shape.clone()))
        });
        Layout::new(layers)
    }

    /// New adapters, which change nothing yet: A uniform in ±1/√in, as PEFT's Kaiming-uniform with a = √5 is, B zero. The
    /// same seed makes the same ones.
    ///
    /// # Errors
    /// None: the values fill the layout that they are made for.
    pub(super) fn init(&self, architecture: &Architecture, seed: u64) -> Result<Arena, EngineError> {
        let layout = self.layout(architecture);
        let mut key = [0; 32];
        key[..8].copy_from_slice(&seed.to_le_bytes());
        key[8..12].copy_from_slice(b"lora"); // no stream of a completion has this key
        let mut rng = ChaCha8Rng::from_seed(key);
        let mut values = Vec::with_capacity(layout.len());
        for slot in layout.slots() {
            if slot.name.ends_with("lora_B.weight") {
                values.resize(values.len() + slot.range.len(), 0.0);
                continue;
            }
            let bound = 1.0 / (slot.shape[1] as f64).sqrt();
            let uniform = |rng: &mut ChaCha8Rng| (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
            values.extend((0..slot.range.len()).map(|_| to_f32((2.0 * uniform(&mut rng) - 1.0) * bound)));
        }
        Arena::new(layout.into(), values)
    }

    /// The model's parameters with the adapters merged in, W + s B A: a copy of the model.
    ///
    /// # Errors
    /// The adapters are not of this model.
    pub(super) fn merge(&self, model: &Arena, adapters: &Arena) -> Result<Arena, ModelError> {
        let mut merged = model.clone();
        let values = merged.values_mut();
        for (slot, a) in adapters.iter() {
            let Some(name) = slot
                .name
                .strip_prefix(PREFIX)
                .and_then(|name| name.strip_suffix("lora_A.weight"))
            else {
                continue;
            };
            let b = adapters.get(&format!("{PREFIX}{name}lora_B.weight"));
            let place = model.layout().find(&format!("{name}weight"));
            let (Some(b), Some(place)) = (b, place) else {
                return Err(EngineError::Layout { what: "adapters" }.into());
            };
            let (r, inp) = (self.rank, slot.shape[1]);
            gemm(
                (place.shape[0], inp, r),
                &mut values[place.range.clone()],
                inp,
                true,
                to_f32(self.scale()),
                Mat::rows(b, r),
                Mat::rows(a, inp),
                Threads::All,
            );
        }
        Ok(merged)
    }
}
