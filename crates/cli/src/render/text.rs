//! Text in lines of the width of the screen.

use console::measure_text_width;

use super::{Style, style};

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

/// Lines no longer than the screen is wide; what goes on stands further in than its line begins.
/// Elsewhere lines stay whole, for those who search in them.
pub(super) fn flowed(text: &str) -> String {
    let Style { width, screen: true, .. } = style() else { return text.to_owned() };
    let line = |line: &str| flow(line.trim_end(), width);
    let lines: Vec<String> = text.split('\n').map(line).collect();
    lines.join("\n")
}

fn flow(line: &str, width: usize) -> String {
    let begins = line.len() - line.trim_start().len();
    let indent = " ".repeat((begins + 4).min(width / 2));
    let (mut text, mut column) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        let length = measure_text_width(word.trim_end());
        if column + length > width && column > indent.len() {
            text.truncate(text.trim_end().len());
            text += &format!("\n{indent}");
            column = indent.len();
        }
        text += word;
        column += measure_text_width(word);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_on_further_in() {
        let line = "  + aws.subnet/wk1.a  cidr 10.0.0.0/24, zone a";
        assert_eq!(flow(line, 30), "  + aws.subnet/wk1.a  cidr\n      10.0.0.0/24, zone a");
        assert_eq!(flow(line, 80), line);
        let long = "x".repeat(40);
        assert_eq!(flow(&long, 30), long, "a name is never broken");
        let painted = "\x1b[31mred words\x1b[0m and more";
        assert_eq!(flow(painted, 18), painted, "colour takes no room");
    }
}
