//! Text that comes from a component, made fit for a message.

/// An error with its causes, in one line.
pub(super) fn line(error: &wasmtime::Error) -> String {
    one_line(&format!("{error:#}"))
}

/// Untrusted text for a one-line message: control characters become spaces, and a long text is cut.
pub(super) fn one_line(text: &str) -> String {
    const LONGEST: usize = 500;
    let mut line = String::new();
    let mut words = text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|w| !w.is_empty());
    for word in &mut words {
        if !line.is_empty() {
            line.push(' ');
        }
        let room = LONGEST.saturating_sub(line.len());
        if word.len() > room {
            line.extend(word.chars().take(room));
            line.push('…');
            break;
        }
        line.push_str(word);
    }
    line
}
