//! The decoder written the slow, obvious way: plain candle operations, one sequence at a time, in the precision of the
//! parameters. Autograd does the backward pass.

use std::collections::BTreeMap;

use candle_core::{D, Device, Tensor};
use moa_core::model::Architecture;

/// Log-probabilities and entropies of the tokens of `response` after `prompt`, each `[T]`.
pub fn score(
    params: &BTreeMap<String, Tensor>,
    spec: &Architecture,
    prompt: &[u32],
    response: &[u32],
    temperature: f64,
) -> candle_core::Result<(Tensor, Tensor)> {
    let p = |name: &str| -> &Tensor { &params[name] };
    let dtype = p("model.norm.weight").dtype();
    let rms = |x: &Tensor, w: &Tensor| -> candle_core::Result<Tensor> {
        let scale = (x.sqr()?.mean_keepdim(D::Minus1)? + spec.rms_eps)?.sqrt()?;
        x.broadcast_div(&scale)?.broadcast_mul(w)
    };
    let ids = [prompt, response].concat();
    let t = ids.len();
    let dim = spec.head_dim;
    let angles: Vec<f64> = (0..t)
        .flat_map(|pos| {
            (0..dim).map(move |i| pos as f64 * spec.rope_theta.powf(-2.0 * (i % (dim / 2)) as f64 / dim as f64))
        })
        .collect();
    let angles = Tensor::from_vec(angles, (t, dim), &Device::Cpu)?.to_dtype(dtype)?;
    let (cos, sin) = (angles.cos()?, angles.sin()?);
    let rope = |x: &Tensor| -> candle_core::Result<Tensor> {
        let (a, b) = (x.narrow(D::Minus1, 0, dim / 2)?, x.narrow(D::Minus1, dim / 2, dim / 2)?);
        let turned = Tensor::cat(&[&b.neg()?, &a], D::Minus1)?;
        x.broadcast_mul(&cos)? + turned.broadcast_mul(&sin)?
    };
    let mask: Vec<f64> = (0..t * t)
        .map(|i| if i % t > i / t { f64::NEG_INFINITY } else { 0.0 })
        .collect();
    let mask = Tensor::from_vec(mask, (t, t), &Device::Cpu)?.to_dtype(dtype)?;
    let mut x = p("model.embed_tokens.weight").index_select(&Tensor::new(&ids[..], &Device::Cpu)?, 0)?;
    for layer in 0..spec.layers {
        let w = |name: &str| p(&format!("model.layers.{layer}.{name}"));
        let h = rms(&x, w("input_layernorm.weight"))?;
        let project = |name: &str, heads: usize| -> candle_core::Result<Tensor> {
            let mut y = h.matmul(&w(&format!("self_attn.{name}_proj.weight")).t()?)?;
            if spec.qkv_bias {
                y = y.broadcast_add(w(&format!("self_attn.{name}_proj.bias")))?;
            }
            let mut y = y.reshape((t, heads, dim))?.transpose(0, 1)?;
            if spec.qk_norm && name != "v" {
                y = rms(&y, w(&format!("self_attn.{name}_norm.weight")))?;
            }
            Ok(y)
        };
        let q = rope(&project("q", spec.heads)?)?;
        let (k, v) = (rope(&project("k", spec.kv_heads)?)?, project("v", spec.kv_heads)?);
        let mut heads = Vec::new();
        for head in 0..spec.heads {
            let kv = head * spec.kv_heads / spec.heads;
            let scores = (q.get(head)?.contiguous()?.matmul(&k.get(kv)?.t()?)? / (dim as f64).sqrt())?;
            let scores = scores.broadcast_add(&mask)?;
            let e = scores.broadcast_sub(&scores.max_keepdim(1)?.detach())?.exp()?;
            let p = e.broadcast_div(&e.sum_keepdim(1)?)?;
            heads.push(p.matmul(&v.get(kv)?.contiguous()?)?);
        }
        let mixed = Tensor::cat(&heads, 1)?;
        x = (x + mixed.matmul(&w("self_attn.o_proj.weight").t()?)?)?;
        let h = rms(&x, w("post_attention_layernorm.weight"))?;
        let gate = h.matmul(&w("mlp.gate_proj.weight").t()?)?;
        let up = h.matmul(&w("mlp.up_proj.weight").t()?)?;
        let s = (&gate / (gate.neg()?.exp()? + 1.0)? * up)?;
        x = (x + s.matmul(&w("mlp.down_proj.weight").t()?)?)?;
    }
    let x = rms(&x, p("model.norm.weight"))?;
    let head = if spec.tied {
        "model.embed_tokens.weight"
    } else {
        "lm_head.weight"
    };
    let logits = (x.matmul(&p(head).t()?)? / temperature)?;
    let logits = logits.narrow(0, prompt.len() - 1, response.len())?;
    let shifted = logits.broadcast_sub(&logits.max_keepdim(1)?.detach())?;
    let all = shifted.broadcast_sub(&shifted.exp()?.sum_keepdim(1)?.log()?)?;
    let logprobs = all.gather(&Tensor::new(response, &Device::Cpu)?.unsqueeze(1)?, 1)?;
    let entropies = (all.exp()? * &all)?.sum(1)?.neg()?;
    Ok((logprobs.squeeze(1)?, entropies))
}
