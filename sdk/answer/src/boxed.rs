//! Where the answer of a text stands: the contents of `\boxed{…}` and `\fbox{…}`.

/// Contents of the last `\boxed{…}`, with balanced braces; a brace after a backslash does not count.
/// `\boxed x$` gives what stands before the `$` or the line's end. Without any `\boxed`, the last `\fbox`.
/// `None` where there is neither, or where the last one never closes (a truncated response).
pub fn last_boxed(text: &str) -> Option<&str> {
    let after = ["\\boxed", "\\fbox"]
        .iter()
        .find_map(|command| text.rfind(command).map(|at| &text[at + command.len()..]))?;
    let inner = after.trim_start();
    if let Some(inner) = inner.strip_prefix('{') {
        return closing_brace(inner).map(|end| inner[..end].trim());
    }
    if inner.len() == after.len() {
        return None; // `\boxedx` is another command
    }
    let end = inner.find(['$', '\n']).unwrap_or(inner.len());
    Some(inner[..end].trim())
}

/// Whether some `\boxed{…}` in the text closes and holds more than blanks.
pub fn has_boxed(text: &str) -> bool {
    const OPEN: &[u8] = b"\\boxed{";
    let bytes = text.as_bytes();
    let mut open = Vec::new(); // for each open brace: where the contents of its box start, if it is one
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' if bytes[at..].starts_with(OPEN) => {
                at += OPEN.len();
                open.push(Some(at));
                continue;
            }
            b'\\' => at += 1, // what follows is not a brace of its own
            b'{' => open.push(None),
            b'}' => {
                if let Some(Some(start)) = open.pop()
                    && bytes[start..at].iter().any(|byte| !byte.is_ascii_whitespace())
                {
                    return true;
                }
            }
            _ => {}
        }
        at += 1;
    }
    false
}

/// Where the brace closes that opened before `text`.
pub(crate) fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 1_usize;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}
