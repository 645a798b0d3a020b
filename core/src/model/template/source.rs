//! The text of a template before it is compiled: `{% generation %}` marks what the assistant says, for masks that are
//! not made here. In transformers it is a block with variables of its own, as `{% with %}` is.

/// The text with `generation` and `endgeneration` tags as `with` and `endwith`. Lines stay where they are.
pub(super) fn without_generation(text: &str) -> String {
    if !text.contains("generation") {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    // What was opened is what has to be closed: a comment ends at `#}`, whatever stands in it.
    while let Some(at) = rest.find("{%").into_iter().chain(rest.find("{#")).min() {
        let is_comment = rest[at..].starts_with("{#");
        let end = rest[at..].find(if is_comment { "#}" } else { "%}" });
        let end = end.map_or(rest.len(), |end| at + end + 2);
        let (before, tag) = rest[..end].split_at(at);
        out.push_str(before);
        match tag_name(tag).filter(|_| !is_comment) {
            Some("generation") => out.push_str(&tag.replacen("generation", "with", 1)),
            Some("endgeneration") => out.push_str(&tag.replacen("endgeneration", "endwith", 1)),
            Some("raw") => {
                let raw = rest[at..].find("endraw").map_or(rest.len(), |end| at + end);
                out.push_str(&rest[at..raw]);
                rest = &rest[raw..];
                continue;
            }
            _ => out.push_str(tag),
        }
        rest = &rest[end..];
    }
    out.push_str(rest);
    out
}

/// The word of a tag: `{%- generation -%}` has `generation`. None where more than a word stands in it.
fn tag_name(tag: &str) -> Option<&str> {
    let inner = tag.strip_prefix("{%")?.strip_suffix("%}")?;
    let inner = inner.strip_prefix(['-', '+']).unwrap_or(inner);
    let inner = inner.strip_suffix(['-', '+']).unwrap_or(inner);
    Some(inner.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_keep_their_marks_and_other_text_stays() {
        let text = "{% for m in x %}{%- generation -%}\na{% endgeneration %}{# {% generation %} #}generation{% endfor %}\
                    {% set generation = 1 %}{% raw %}{% generation %}{% endraw %}";
        let expected = "{% for m in x %}{%- with -%}\na{% endwith %}{# {% generation %} #}generation{% endfor %}\
                        {% set generation = 1 %}{% raw %}{% generation %}{% endraw %}";
        assert_eq!(without_generation(text), expected);
        assert_eq!(without_generation("{% generation"), "{% generation");
    }
}
