//! Templates as transformers renders them, and templates that nobody should run.

use super::*;

fn message(role: &str, content: &str) -> Message {
    Message {
        role: role.to_owned(),
        content: content.to_owned(),
    }
}

fn render(source: &str, messages: &[Message]) -> Result<String, ModelError> {
    let arguments = serde_json::json!({"enable_thinking": false});
    let context = Context {
        bos: "<s>",
        eos: "</s>",
        date: "2026-11-24".parse().expect("a date"),
        arguments: arguments.as_object().expect("an object"),
    };
    Template::new(source)?.render(messages, &context)
}

const CHATML: &str = "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

#[test]
fn chatml_as_transformers_renders_it() {
    let text = render(CHATML, &[message("user", "Hi")]).expect("renders");
    assert_eq!(
        text,
        "<|im_start|>system\nYou are helpful<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    );
}

#[test]
fn blocks_methods_and_exceptions() {
    let source = "{%- for m in messages %}\n    {%- if m.content.strip().startswith('a') %}\n{{ m.content.split('|')[-1].upper() }}{% continue %}\n    {% endif %}\n{{ m.get('x', 'none') }}\n{%- endfor %}";
    let two = [message("user", " a|b"), message("user", "c")];
    assert_eq!(render(source, &two).expect("renders"), "Bnone");
    let error = render("{{ raise_exception('Only user roles') }}", &[]).expect_err("raises");
    assert!(error.to_string().contains("Only user roles"), "{error}");
    let error = render("{{ 'x'.encode() }}", &[]).expect_err("unknown");
    assert!(error.to_string().contains("encode"), "{error}");
}

/// The texts are what `apply_chat_template` of transformers 5.24 returns; tests/golden/templates has more.
#[test]
fn what_a_run_says_reaches_the_template() {
    for (source, text) in [
        ("{{ strftime_now('%d %b %Y') }}", "24 Nov 2026"),
        (
            "{{ enable_thinking }}{{ enable_thinking is false }}{{ bos_token }}",
            "FalseTrue<s>",
        ),
        ("{% if not tools %}{{ tools is none }}{% endif %}", "True"),
        (
            "{% for m in messages %}{% generation %}\n{{ m.content }}{% endgeneration %}{% endfor %}",
            "a < b",
        ),
        (
            "{% set x = 1 %}{% generation %}{% set x = 2 %}{% endgeneration %}{{ x }}",
            "1",
        ),
        (
            "{{ {'a': '<é>', 'b': [1, none, true]} | tojson }}",
            r#"{"a": "<é>", "b": [1, null, true]}"#,
        ),
        (
            "{{ [1, {'a': 2}] | tojson(indent=2) }}",
            "[\n  1,\n  {\n    \"a\": 2\n  }\n]",
        ),
        ("{{ 'user name'.capitalize() }}{{ 'ab'.swapcase() }}", "User nameAB"),
        (
            "{{ messages[0].content is iterable }}{{ messages[0].content is sequence }}{{ none is iterable }}",
            "TrueTrueFalse",
        ),
    ] {
        let found = render(source, &[message("user", "a < b")]);
        assert_eq!(found.map_err(|e| e.to_string()), Ok(text.to_owned()), "{source}");
    }
}

#[test]
fn a_template_cannot_run_away() {
    let long_loop = "{% for i in range(100000) %}{% for j in range(100000) %}{% set x = i %}{% endfor %}{% endfor %}";
    for (source, word) in [
        (long_loop, "instructions"),
        ("{{ '%100000000000s' | format('x') }}", "format"),
        ("{{ 'x' * 100000000000 }}", "too large"),
        ("{{ 'x'.center(100000000000) }}", "letters"),
        ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(0) }}", "recursion"),
    ] {
        let error = render(source, &[]).expect_err(source).to_string();
        assert!(error.contains(word) && !error.contains('\n'), "{source}: {error}");
    }
    let nested = format!("{{{{ {}1{} }}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(Template::new(&nested).is_err());
    assert!(Template::new(&" ".repeat(LONGEST_SOURCE + 1)).is_err());
}
