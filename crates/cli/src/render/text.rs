//! Text in lines of the width of the screen.

use super::style;

/// Text in lines of the width of the screen, indented; the label stands before the first one.
pub(super) fn wrapped(indent: &str, label: &str, text: &str) -> String {
    let room = style().width.saturating_sub(indent.len() + label.len()).max(20);
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= room => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    let line = |(index, line): (usize, &String)| match index {
        0 => format!("{indent}{label}{line}\n"),
        _ => format!("{indent}{:1$}{line}\n", "", label.len()),
    };
    lines.iter().enumerate().map(line).collect()
}

/// The beginning of a text that is too long, with a sign that there is more.
pub(super) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
