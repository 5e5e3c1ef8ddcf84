//! How much room text takes, and how to make it fit.

/// The width of a character of a monospace font, in hundredths of its size; the widest of those in use
/// have 60.2.
const WIDTH: i32 = 61;
/// Other characters may come from a font that is not monospace.
const WIDE: i32 = 110;

/// The most room that a line of text takes, in pixels.
pub(crate) fn width(text: &str, size: i32) -> i32 {
    let hundredths: i32 = text.chars().map(|c| if c.is_ascii() { WIDTH } else { WIDE }).sum();
    (hundredths * size + 99) / 100
}

/// The text if it fits, else its beginning and its end.
pub(crate) fn shorten(text: &str, size: i32, room: i32) -> String {
    if width(text, size) <= room {
        return text.to_owned();
    }
    let chars: Vec<char> = text.chars().collect();
    for kept in (0..chars.len()).rev() {
        let head = kept.div_ceil(2);
        let tail = chars.len() - (kept - head);
        let short: String = chars[..head].iter().chain(&['…']).chain(&chars[tail..]).collect();
        if width(&short, size) <= room {
            return short;
        }
    }
    String::new()
}

/// Words, parted by commas, in as many lines as they need, at most `most`; what is left is counted.
pub(crate) fn listed(words: &[String], size: i32, room: i32, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for (number, word) in words.iter().enumerate() {
        let comma = if number + 1 < words.len() { "," } else { "" };
        let word = format!("{}{comma}", shorten(word, size, room - width(",", size)));
        let full = lines.len() == most;
        match lines.last_mut() {
            Some(line) if width(&format!("{line} {word}"), size) <= room => {
                line.push(' ');
                line.push_str(&word);
            }
            Some(line) if full => {
                // The count is worth more than the words before it.
                let more = format!(" and {} more", words.len() - number);
                let kept = shorten(line, size, room - width(&more, size));
                *line = kept + &more;
                return lines;
            }
            _ => lines.push(word),
        }
    }
    lines
}

/// Text as the content or an attribute of an element.
pub(crate) fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            // XML has no way to say them.
            c if c.is_control() => safe.push(' '),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_keeps_both_ends() {
        assert_eq!(shorten("analytics", 10, 100), "analytics");
        let short = shorten("a-very-long-name-of-a-workspace-eu", 10, 100);
        assert!(short.starts_with("a-very") && short.ends_with("e-eu"), "{short}");
        assert!(width(&short, 10) <= 100);
        assert_eq!(shorten("anything", 10, 5), "");
    }

    #[test]
    fn lists_tell_how_much_they_leave_out() {
        let words: Vec<String> = (0..40).map(|n| format!("word{n}")).collect();
        let lines = listed(&words, 10, 150, 3);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("more"), "{lines:?}");
        assert!(lines.iter().all(|line| width(line, 10) <= 150));
    }

    #[test]
    fn nothing_gets_out_of_an_element() {
        let safe = escaped("</text><script>alert('\"&\u{1}')</script>");
        assert!(!safe.contains(['<', '>', '"', '\'', '\u{1}']), "{safe}");
    }
}
