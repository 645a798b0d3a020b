//! Prompts: what the chat template makes of messages, as transformers has it, and what is taken as it is.

use moa_core::config::{ChatTemplate, Date};
use moa_core::data::{Message, PromptText};
use moa_core::model::{PromptRules, Tokenizer, TokenizerFiles};
use serde_json::{Value, json};

use crate::support::golden;

/// Two words, a begin and an end token, which the begin token is put before every text.
const TOKENIZER: &str = r#"{"version":"1.0","added_tokens":[{"id":2,"content":"<s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},{"id":3,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],"pre_tokenizer":{"type":"WhitespaceSplit"},"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":1}}],"special_tokens":{"<s>":{"id":"<s>","ids":[2],"tokens":["<s>"]}}},"model":{"type":"WordLevel","vocab":{"a":0,"b":1,"<s>":2,"</s>":3},"unk_token":"a"}}"#;

fn tokenizer(template: Option<&str>) -> Tokenizer {
    let config = json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}).to_string();
    Tokenizer::from_bytes(&TokenizerFiles {
        tokenizer: TOKENIZER.as_bytes(),
        config: Some(config.as_bytes()),
        ..TokenizerFiles::default()
    })
    .expect("a good tokenizer")
}

fn text(text: &str) -> PromptText {
    PromptText::Text(text.to_owned())
}

fn user(content: &str) -> PromptText {
    PromptText::Messages(vec![Message {
        role: "user".to_owned(),
        content: content.to_owned(),
    }])
}

/// Every case of a file that golden/templates/make.py wrote: the same text, or an error in both. `MOA_TEMPLATES` names
/// another such file, made from templates that do not stand in the repository.
#[test]
fn templates_render_as_in_transformers() {
    let mut files = vec![golden("templates/cases.json")];
    files.extend(std::env::var_os("MOA_TEMPLATES").map(Into::into));
    for file in files {
        let page: Value = serde_json::from_slice(&std::fs::read(&file).expect("the file")).expect("JSON");
        let rules = PromptRules {
            chat_template: ChatTemplate::Auto,
            arguments: page["arguments"].as_object().expect("an object").clone(),
            date: page["date"].as_str().expect("a text").parse::<Date>().expect("a date"),
        };
        let (mut wrong, mut equal, mut raised) = (Vec::new(), 0, 0);
        for case in page["cases"].as_array().expect("a list") {
            let get = |value: &Value, key: &str| value[key].as_str().unwrap_or_default().to_owned();
            let messages: Vec<(String, String)> = case["messages"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|m| (get(m, "role"), get(m, "content")))
                .collect();
            let pairs: Vec<(&str, &str)> = messages.iter().map(|(r, c)| (r.as_str(), c.as_str())).collect();
            let config =
                json!({"bos_token": "<s>", "eos_token": "</s>", "chat_template": case["template"]}).to_string();
            let files = TokenizerFiles {
                tokenizer: TOKENIZER.as_bytes(),
                config: Some(config.as_bytes()),
                ..TokenizerFiles::default()
            };
            let found = Tokenizer::from_bytes(&files).and_then(|mut tokenizer| {
                tokenizer.set_rules(rules.clone());
                tokenizer.render_messages(&pairs)
            });
            match (case.get("text").and_then(Value::as_str), found) {
                (Some(expected), Ok(found)) if found == expected => equal += 1,
                (None, Err(_)) => raised += 1,
                (expected, found) => wrong.push(format!(
                    "{}: expected {expected:?} ({}), found {found:?}",
                    case["name"], case["error"]
                )),
            }
        }
        assert!(
            wrong.is_empty(),
            "{} of {}: {}",
            wrong.len(),
            wrong.len() + equal + raised,
            wrong.join("\n")
        );
        assert!(equal > 20, "{}: {equal} equal, {raised} raise in both", file.display());
    }
}

#[test]
fn a_text_is_taken_as_it_is_and_messages_are_rendered() {
    let template = "{{ bos_token }} b {% for m in messages %}{{ m.content }} {% endfor %}b";
    let mut with = tokenizer(Some(template));
    // TRL: tokenizer(prompt) for a text, apply_chat_template for messages
    let as_it_is = ("a".to_owned(), vec![2, 0]);
    let rendered = ("<s> b a b".to_owned(), vec![2, 1, 0, 1]);
    assert_eq!(with.prompt(&text("a")).expect("auto"), as_it_is);
    assert_eq!(with.prompt(&user("a")).expect("auto"), rendered);
    with.set_rules(PromptRules {
        chat_template: ChatTemplate::Always,
        ..PromptRules::default()
    });
    assert_eq!(with.prompt(&text("a")).expect("always"), rendered);
    assert_eq!(with.prompt(&user("a")).expect("always"), rendered);
    with.set_rules(PromptRules {
        chat_template: ChatTemplate::Never,
        ..PromptRules::default()
    });
    assert_eq!(with.prompt(&text("a")).expect("never"), as_it_is);
    assert_eq!(with.prompt(&user("a")).expect("never"), as_it_is);
    let without = tokenizer(None);
    assert_eq!(without.prompt(&user("a")).expect("no template"), as_it_is);
    assert_eq!(without.prompt(&text("")).expect("no text"), (String::new(), vec![2]));
}

#[test]
fn prompts_are_in_order_and_the_first_failure_is_named() {
    let template =
        "{% if messages[0].content == 'no' %}{{ raise_exception('no such role') }}{% endif %}{{ messages[0].content }}";
    let tokenizer = tokenizer(Some(template));
    let mut prompts: Vec<PromptText> = (0..500).map(|i| user(if i % 3 == 0 { "a" } else { "b" })).collect();
    let encoded = tokenizer.prompts(prompts.clone()).expect("all render");
    assert!(
        encoded
            .iter()
            .enumerate()
            .all(|(i, (_, tokens))| tokens == &[u32::from(i % 3 != 0)])
    );
    prompts[77] = user("no");
    prompts[400] = user("no");
    let (at, error) = tokenizer.prompts(prompts).expect_err("row 77");
    assert!(at == 77 && error.to_string().contains("no such role"), "{at}: {error}");
}

/// Templates of strangers: each is an error in seconds, and none takes the program with it.
#[test]
fn a_hostile_template_is_an_error() {
    for source in [
        "{% set ns = namespace(x='aaaaaaaaaaaaaaaa') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
        "{% set ns = namespace(x=[]) %}{% for i in range(90000) %}{% set ns.x = [ns.x] %}{% endfor %}{{ ns.x }}{{ raise_exception('end') }}",
        "{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}",
    ] {
        // the first grows until the watch sees it; its thread stays behind, so it runs in a process of its own
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("t.json"), json!({"t": source}).to_string()).expect("written");
        let start = std::time::Instant::now();
        let outcome = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["model_prompts::one_template", "--exact", "--ignored", "--nocapture"])
            .env("MOA_ONE_TEMPLATE", folder.path().join("t.json"))
            .output()
            .expect("runs");
        let said = String::from_utf8_lossy(&outcome.stdout);
        assert!(
            outcome.status.success() && said.contains("refused:"),
            "{source}: {:?} {said} {}",
            outcome.status,
            String::from_utf8_lossy(&outcome.stderr)
        );
        assert!(start.elapsed().as_secs() < 60, "{source}: {:?}", start.elapsed());
    }
}

/// The child of [`a_hostile_template_is_an_error`].
#[test]
#[ignore = "started by another test"]
#[allow(clippy::print_stdout, reason = "the other test reads it")]
fn one_template() {
    let path = std::env::var_os("MOA_ONE_TEMPLATE").expect("started by another test");
    let page: Value = serde_json::from_slice(&std::fs::read(path).expect("the file")).expect("JSON");
    let error = tokenizer(page["t"].as_str()).prompt(&user("a")).expect_err("hostile");
    println!("refused: {error}");
    std::process::exit(0);
}
