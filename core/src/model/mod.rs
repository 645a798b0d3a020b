//! Hugging Face and GGUF models: tokenizer, weights, differentiable decoder, KV cache.
