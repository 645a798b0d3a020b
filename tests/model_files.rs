//! Model files: what is saved is what was loaded, and what is wrong with a file is said by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{Device, Tensor};
use moa_core::error::Report;
use moa_core::model::{Model, ModelError, Packed};

fn golden(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/golden/model")
        .join(name)
}

/// Two words, an end token and a chat template.
const TOKENIZER: &str = r#"{"version":"1.0","added_tokens":[{"id":2,"content":"<|end|>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"pre_tokenizer":{"type":"WhitespaceSplit"},"model":{"type":"WordLevel","vocab":{"a":0,"b":1,"<|end|>":2},"unk_token":"a"}}"#;
const TOKENIZER_CONFIG: &str = r#"{"eos_token":{"content":"<|end|>"},"chat_template":"{% for m in messages %}{{ m['content'] }}<|end|>{% endfor %}"}"#;

/// A copy of a golden model with a tokenizer.
fn folder(name: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(golden(name)).expect(name) {
        let path = entry.expect(name).path();
        std::fs::copy(&path, folder.path().join(path.file_name().expect("a file"))).expect("copied");
    }
    std::fs::write(folder.path().join("tokenizer.json"), TOKENIZER).expect("written");
    std::fs::write(folder.path().join("tokenizer_config.json"), TOKENIZER_CONFIG).expect("written");
    folder
}

fn load(path: &Path) -> Result<Model, ModelError> {
    Model::load(&path.display().to_string())
}

fn error(path: &Path) -> String {
    match load(path) {
        Ok(_) => panic!("{} loads", path.display()),
        Err(error) => error.to_string(),
    }
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).expect("read");
    assert!(text.contains(from), "{from}");
    std::fs::write(path, text.replace(from, to)).expect("written");
}

fn logits(model: &Model) -> Vec<f32> {
    let none: [Vec<u32>; 0] = [];
    let packed = Packed::new(&[vec![3, 1, 4, 1, 5]], &none, &[]).expect("packed");
    model.weights().logits(&packed).expect("logits")
}

fn bytes(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(folder)
        .expect("folder")
        .map(|entry| {
            let path = entry.expect("entry").path();
            (
                path.file_name().expect("name").to_string_lossy().into_owned(),
                std::fs::read(&path).expect("bytes"),
            )
        })
        .collect();
    files.sort();
    files
}

#[test]
fn save_and_load_are_stable() {
    for name in ["llama-rope-scaled", "qwen2-sharded", "qwen3", "qwen3-bf16"] {
        let source = folder(name);
        let first = load(source.path()).expect(name);
        let target = tempfile::tempdir().expect("a temporary folder");
        let (one, two) = (target.path().join("one"), target.path().join("two"));
        first.save(&one).expect("saved");
        let second = load(&one).expect("loads");
        assert_eq!(first.architecture, second.architecture, "{name}");
        assert_eq!(logits(&first), logits(&second), "{name}");
        second.save(&two).expect("saved");
        assert_eq!(bytes(&one), bytes(&two), "{name}");
        // over what it wrote itself: replaced as a whole, nothing left beside it
        second.save(&two).expect("saved again");
        std::fs::write(two.join("notes"), "x").expect("written");
        second.save(&two).expect_err("a file that it did not write");
        std::fs::remove_file(two.join("notes")).expect("still there");
        assert_eq!(bytes(&one), bytes(&two), "{name}");
        assert_eq!(std::fs::read_dir(target.path()).expect("folder").count(), 2);
        assert_eq!(second.tokenizer.eos_ids(), [2]);
        assert_eq!(second.tokenizer.render_text("b").expect("renders"), "b<|end|>");
    }
}

/// What training does not change is saved as it was read.
#[test]
fn a_saved_folder_keeps_what_was_read() {
    let source = folder("qwen3-bf16");
    let at = |name: &str| source.path().join(name);
    let mut config: serde_json::Value =
        serde_json::from_slice(&std::fs::read(at("config.json")).expect("read")).expect("JSON");
    config["initializer_range"] = serde_json::json!(0.013);
    config["max_window_layers"] = serde_json::json!(28);
    config["sliding_window"] = serde_json::Value::Null;
    config["of_a_later_version"] = serde_json::json!({"a": [1, 2]});
    std::fs::write(at("config.json"), config.to_string()).expect("written");
    let generation = r#"{"do_sample": true, "eos_token_id": [2, 1], "repetition_penalty": 1.05,
 "temperature": 0.7, "top_k": 20}"#;
    for (name, text) in [
        ("generation_config.json", generation),
        ("special_tokens_map.json", "{\"eos_token\": \"<|end|>\"}"),
        ("vocab.json", "{}"),
        ("merges.txt", "#version"),
        ("added_tokens.json", "{}"),
        ("tokenizer.model", "bytes"),
        ("LICENSE.txt", "the licence"),
        ("README.md", "about another model"),
        ("chat_template.jinja", "{{ messages[0].content }}!"),
    ] {
        std::fs::write(at(name), text).expect("written");
    }
    let model = load(source.path()).expect("loads");
    let saved = tempfile::tempdir().expect("a temporary folder");
    let saved = saved.path().join("saved");
    model.save(&saved).expect("saved");
    for name in [
        "generation_config.json",
        "special_tokens_map.json",
        "vocab.json",
        "merges.txt",
        "added_tokens.json",
        "tokenizer.model",
        "LICENSE.txt",
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    ] {
        assert_eq!(
            std::fs::read(saved.join(name)).expect(name),
            std::fs::read(at(name)).expect(name),
            "{name}"
        );
    }
    assert!(!saved.join("README.md").exists());
    let mut after: serde_json::Value =
        serde_json::from_slice(&std::fs::read(saved.join("config.json")).expect("read")).expect("JSON");
    let key = if config.get("dtype").is_some() {
        "dtype"
    } else {
        "torch_dtype"
    };
    assert_eq!(
        (&config[key], &after[key]),
        (&serde_json::json!("bfloat16"), &serde_json::json!("float32"))
    );
    after[key] = config[key].clone();
    assert_eq!(after, config);
    let again = load(&saved).expect("loads");
    assert_eq!(
        (logits(&again), again.tokenizer.eos_ids()),
        (logits(&model), &[1, 2][..])
    );
}

/// Claims that no weights stand behind are refused before memory is taken for them.
#[test]
fn a_config_cannot_claim_more_than_the_weights_have() {
    let source = folder("llama");
    let config = source.path().join("config.json");
    let text = std::fs::read_to_string(&config).expect("read");
    let original: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let start = std::time::Instant::now();
    for (key, claim) in [
        ("num_hidden_layers", 16_000_000u64),
        ("num_hidden_layers", 1 << 40),
        ("vocab_size", 16_000_000),
        ("intermediate_size", 16_000_000),
        ("hidden_size", 16_000_000),
    ] {
        let mut value = original.clone();
        value[key] = serde_json::json!(claim);
        std::fs::write(&config, value.to_string()).expect("written");
        let found = error(source.path());
        assert!(
            found.contains(key) || found.contains(&claim.to_string()),
            "{key}: {found}"
        );
    }
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
    let mut value = original;
    value["quantization_config"] = serde_json::json!({"quant_method": "gptq"});
    std::fs::write(&config, value.to_string()).expect("written");
    assert!(error(source.path()).contains("gptq"));
}

/// The golden Llama as `torch.save` writes it: golden/pickle/make.py.
#[test]
fn pytorch_files_give_the_same_model() {
    let source = folder("llama");
    let expected = logits(&load(source.path()).expect("loads"));
    std::fs::remove_file(source.path().join("model.safetensors")).expect("removed");
    let bin = source.path().join("pytorch_model.bin");
    std::fs::copy(golden("../pickle/pytorch_model.bin"), &bin).expect("copied");
    assert_eq!(logits(&load(source.path()).expect("loads")), expected);
    let whole = std::fs::read(&bin).expect("read");
    for len in [0, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&bin, &whole[..len]).expect("written");
        assert!(error(source.path()).contains("pytorch_model.bin"), "{len} bytes");
    }
}

#[test]
fn gguf_headers_that_cannot_be_read_are_named() {
    let source = load(folder("llama").path()).expect("loads");
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("model.gguf");
    write_gguf(&path, &source, |metadata| {
        metadata.insert("general.alignment", gguf_file::Value::U32(0));
    });
    let found = error(&path);
    assert!(found.contains("damaged") && !found.contains('\n'), "{found}");
    write_gguf(&path, &source, |_| {});
    let mut bytes = std::fs::read(&path).expect("read");
    let name = b"output_norm.weight";
    let at = bytes.windows(name.len()).position(|w| w == name).expect("there");
    let kind = at + name.len() + 4 + 8; // behind one dimension
    for (number, word) in [(20u32, "IQ4_NL"), (39, "MXFP4"), (35, "TQ2_0"), (99, "number 99")] {
        bytes[kind..kind + 4].copy_from_slice(&number.to_le_bytes());
        std::fs::write(&path, &bytes).expect("written");
        let refused = load(&path).err().expect("refused");
        assert!(
            refused.to_string().contains(word) && refused.to_string().contains("Q6_K"),
            "{refused}"
        );
        assert!(refused.hint().is_some_and(|hint| hint.contains("llama-quantize")));
    }
    for pre in ["olmo", "deepseek-r1-qwen", "smaug-bpe", "refact"] {
        write_gguf(&path, &source, |metadata| {
            metadata.insert("tokenizer.ggml.pre", gguf_file::Value::String(pre.to_string()));
        });
        load(&path).unwrap_or_else(|e| panic!("{pre}: {e}"));
    }
}

#[test]
fn tokenizer_round_trip() {
    let model = load(folder("llama").path()).expect("loads");
    let ids = model.tokenizer.encode("b a b<|end|>", false).expect("encodes");
    assert_eq!(ids, [1, 0, 1, 2]);
    assert_eq!(model.tokenizer.decode(&ids).expect("decodes"), "b a b");
}

#[test]
fn wrong_folders_are_named() {
    let source = folder("llama");
    let (config, tokenizer) = (source.path().join("config.json"), source.path().join("tokenizer.json"));

    std::fs::rename(&tokenizer, source.path().join("other")).expect("moved");
    let found = load(source.path()).err().expect("no tokenizer");
    assert!(
        found.to_string().contains("tokenizer.json") && found.hint().is_some(),
        "{found}"
    );
    std::fs::write(&tokenizer, "{").expect("written");
    assert!(error(source.path()).contains("tokenizer.json"));
    std::fs::write(&tokenizer, TOKENIZER.replace("\"b\":1", "\"b\":1000")).expect("written");
    assert!(error(source.path()).contains("1000"), "ids beyond the vocabulary");
    std::fs::write(&tokenizer, TOKENIZER).expect("written");

    edit(&config, "LlamaForCausalLM", "MambaForCausalLM");
    let found = error(source.path());
    assert!(
        found.contains("MambaForCausalLM") && found.contains("Qwen3ForCausalLM"),
        "{found}"
    );
    edit(&config, "MambaForCausalLM", "LlamaForCausalLM");

    edit(&config, "\"intermediate_size\": 48", "\"intermediate_size\": 40");
    let found = error(source.path());
    assert!(
        found.contains("mlp.") && found.contains("40") && found.contains("48"),
        "{found}"
    );
    edit(&config, "\"intermediate_size\": 40", "\"intermediate_size\": 48");

    edit(&config, "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
    assert!(error(source.path()).contains("model.layers.2.input_layernorm.weight"));
    edit(&config, "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1");
    let found = error(source.path());
    assert!(
        found.contains("model.layers.1.") && found.contains("does not have"),
        "{found}"
    );
    edit(&config, "\"num_hidden_layers\": 1", "\"num_hidden_layers\": 2");
    load(source.path()).expect("as it was");

    let weights = source.path().join("model.safetensors");
    let whole = std::fs::read(&weights).expect("bytes");
    for len in [0, 4, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&weights, &whole[..len]).expect("written");
        assert!(error(source.path()).contains("model.safetensors"), "{len} bytes");
    }
    std::fs::remove_file(&weights).expect("removed");
    assert!(error(source.path()).contains("model.safetensors.index.json"));
    assert!(matches!(Model::load("no such place"), Err(ModelError::NotFound { .. })));
}

#[test]
fn a_shard_cannot_point_outside() {
    let source = folder("qwen2-sharded");
    edit(
        &source.path().join("model.safetensors.index.json"),
        "model-00001",
        "../model-00001",
    );
    assert!(error(source.path()).contains("without folders"));
}

/// The golden Llama as llama.cpp's converter would write it: rows of queries and keys permuted, its own names.
fn write_gguf(path: &Path, model: &Model, edit: impl Fn(&mut BTreeMap<&str, gguf_file::Value>)) {
    use gguf_file::Value::{self, Array, F32, I32, String as Text, U32};
    let spec = &model.architecture;
    let texts = |list: &[&str]| Array(list.iter().map(|t| Text((*t).to_string())).collect());
    let mut metadata: BTreeMap<&str, Value> = BTreeMap::from([
        ("general.architecture", Text("llama".into())),
        ("llama.embedding_length", U32(spec.hidden as u32)),
        ("llama.block_count", U32(spec.layers as u32)),
        ("llama.feed_forward_length", U32(spec.intermediate as u32)),
        ("llama.attention.head_count", U32(spec.heads as u32)),
        ("llama.attention.head_count_kv", U32(spec.kv_heads as u32)),
        ("llama.attention.layer_norm_rms_epsilon", F32(spec.rms_eps as f32)),
        ("llama.rope.freq_base", F32(spec.rope_theta as f32)),
        ("llama.context_length", U32(spec.max_positions as u32)),
        ("tokenizer.ggml.model", Text("gpt2".into())),
        ("tokenizer.ggml.pre", Text("smollm".into())),
        (
            "tokenizer.ggml.tokens",
            texts(&["a", "b", "ab", "<|end|>", "1", "2", "Ġ"]),
        ),
        ("tokenizer.ggml.merges", texts(&["a b"])),
        (
            "tokenizer.ggml.token_type",
            Array([1, 1, 1, 3, 1, 1, 1].map(I32).to_vec()),
        ),
        ("tokenizer.ggml.eos_token_id", U32(3)),
        (
            "tokenizer.chat_template",
            Text("{{ messages[0]['content'] }}<|end|>".into()),
        ),
    ]);
    edit(&mut metadata);
    let rename = |name: &str| {
        let layers = [
            ("input_layernorm", "attn_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("self_attn.q_proj", "attn_q"),
            ("self_attn.k_proj", "attn_k"),
            ("self_attn.v_proj", "attn_v"),
            ("self_attn.o_proj", "attn_output"),
            ("mlp.gate_proj", "ffn_gate"),
            ("mlp.up_proj", "ffn_up"),
            ("mlp.down_proj", "ffn_down"),
            ("model.layers.", "blk."),
            ("model.embed_tokens", "token_embd"),
            ("model.norm", "output_norm"),
            ("lm_head", "output"),
        ];
        layers
            .iter()
            .fold(name.to_string(), |name, (from, to)| name.replace(from, to))
    };
    let tensors: Vec<(String, QTensor)> = model
        .params()
        .all()
        .iter()
        .map(|(slot, values)| {
            let name = slot.name.as_str();
            let mut tensor = Tensor::from_slice(values, slot.shape.as_slice(), &Device::Cpu).expect("fits");
            let heads = if name.contains("q_proj") {
                spec.heads
            } else {
                spec.kv_heads
            };
            if name.contains("q_proj") || name.contains("k_proj") {
                let width = spec.hidden;
                tensor = tensor
                    .reshape((heads, 2, spec.head_dim / 2, width))
                    .and_then(|t| t.transpose(1, 2)?.contiguous()?.reshape((heads * spec.head_dim, width)))
                    .expect("permuted");
            }
            (rename(name), QTensor::quantize(&tensor, GgmlDType::F32).expect("f32"))
        })
        .collect();
    let metadata: Vec<(&str, &Value)> = metadata.iter().map(|(k, v)| (*k, v)).collect();
    let tensors: Vec<(&str, &QTensor)> = tensors.iter().map(|(k, v)| (k.as_str(), v)).collect();
    let mut file = std::fs::File::create(path).expect("created");
    gguf_file::write(&mut file, &metadata, &tensors).expect("written");
}

#[test]
fn gguf_gives_the_same_model() {
    let source = load(folder("llama-legacy").path()).expect("loads");
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("model.gguf");
    write_gguf(&path, &source, |_| {});
    let model = load(&path).expect("loads");
    assert_eq!(logits(&model), logits(&source));
    assert_eq!(model.architecture, source.architecture);
    let tokenizer = &model.tokenizer;
    assert_eq!(
        tokenizer.encode("ab12 a<|end|>", false).expect("encodes"),
        [2, 4, 5, 6, 0, 3]
    );
    assert_eq!(tokenizer.decode(&[2, 4, 6, 0, 3]).expect("decodes"), "ab1 a");
    assert_eq!(
        (
            tokenizer.eos_ids(),
            tokenizer.render_text("b").expect("renders").as_str()
        ),
        (&[3][..], "b<|end|>")
    );
    // and on as a folder
    let saved = place.path().join("saved");
    model.save(&saved).expect("saved");
    let again = load(&saved).expect("loads");
    assert_eq!(logits(&again), logits(&source));
    assert_eq!(
        again.tokenizer.encode("ab12 a<|end|>", false).expect("encodes"),
        [2, 4, 5, 6, 0, 3]
    );
    assert_eq!(again.tokenizer.eos_ids(), [3]);
}

#[test]
fn wrong_ggufs_are_named() {
    let source = load(folder("llama").path()).expect("loads");
    let place = tempfile::tempdir().expect("a temporary folder");
    let path = place.path().join("model.gguf");
    let text = |s: &str| gguf_file::Value::String(s.to_string());
    for (key, value, words) in [
        ("general.architecture", Some(text("mamba")), "mamba"),
        ("llama.block_count", None, "llama.block_count"),
        ("llama.embedding_length", Some(text("x")), "llama.embedding_length"),
        (
            "llama.attention.head_count_kv",
            Some(gguf_file::Value::U32(3)),
            "head_count_kv",
        ),
        ("tokenizer.ggml.model", Some(text("llama")), "tokenizer.ggml.model"),
        ("tokenizer.ggml.pre", Some(text("other")), "other"),
        ("tokenizer.ggml.eos_token_id", Some(gguf_file::Value::U32(99)), "99"),
        ("tokenizer.ggml.merges", None, "tokenizer.ggml.merges"),
    ] {
        write_gguf(&path, &source, |metadata| {
            metadata.remove(key);
            if let Some(value) = value.clone() {
                metadata.insert(key, value);
            }
        });
        let found = error(&path);
        assert!(found.contains(words) && found.contains("model.gguf"), "{key}: {found}");
        assert_eq!(found.lines().count(), 1, "{found}");
    }
    write_gguf(&path, &source, |_| {});
    let whole = std::fs::read(&path).expect("bytes");
    for len in (0..whole.len()).step_by(997).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).expect("written");
        assert!(error(&path).contains("model.gguf"), "{len} bytes");
    }
}
