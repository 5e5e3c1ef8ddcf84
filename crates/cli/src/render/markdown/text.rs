//! Text from specs and clouds, made harmless in Markdown: it can end no table, fence, section or comment,
//! start no markup, and mention nobody.

/// Inline code, also inside tables.
pub(super) fn code(text: &str) -> String {
    let text = visible(text);
    if text.is_empty() {
        return "(empty)".to_owned();
    }
    // Code spans know no escapes, and a backslash before a pipe is read in two ways.
    match text.contains(['`', '|', '\\']) || text.starts_with(' ') || text.ends_with(' ') {
        true => format!("<code>{}</code>", entities(&text)),
        false => format!("`{text}`"),
    }
}

/// A sentence of ours with names in it; what stands between backticks becomes code.
pub(super) fn prose(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    if parts.len().is_multiple_of(2) {
        return plain(text);
    }
    let part = |(index, part): (usize, &&str)| match index % 2 {
        0 => plain(part),
        _ => code(part),
    };
    parts.iter().enumerate().map(part).collect()
}

/// Words without any markup.
pub(super) fn plain(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    let mut last = ' ';
    while let Some(letter) = letters.next() {
        let inside = last.is_alphanumeric() && letters.peek().is_some_and(|c| c.is_alphanumeric());
        match letter {
            '_' if inside => safe.push(letter),
            // An invisible space behind it, and it is no mention or reference.
            '@' => safe += "@&#8203;",
            '#' if letters.peek().is_some_and(char::is_ascii_digit) => safe += "#&#8203;",
            '\\' | '`' | '*' | '_' | '[' | ']' | '<' | '>' | '|' | '~' | '&' | '$' | '#' => {
                safe += &format!("&#{};", u32::from(letter));
            }
            letter if letter.is_whitespace() => safe.push(' '),
            letter => safe.push(letter),
        }
        last = letter;
    }
    visible(&safe)
}

/// Code inside HTML, where Markdown is not read.
pub(super) fn html_code(text: &str) -> String {
    format!("<code>{}</code>", entities(&visible(text)))
}

/// A block of code.
pub(super) fn fence<'a>(language: &str, lines: impl IntoIterator<Item = &'a str>) -> String {
    let lines: Vec<String> = lines.into_iter().map(visible).collect();
    let ticks = "`".repeat(longest_run(&lines).max(2) + 1);
    format!("{ticks}{language}\n{}\n{ticks}", lines.join("\n"))
}

/// A section that opens on request; `summary` is HTML.
pub(super) fn details(summary: &str, open: bool, body: &str) -> String {
    let open = if open { " open" } else { "" };
    format!("<details{open}><summary>{summary}</summary>\n\n{body}\n\n</details>")
}

/// A table; the cells are Markdown without line breaks.
pub(super) fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> String {
    let row = |cells: &[String]| format!("| {} |", cells.join(" | "));
    let mut lines = vec![row(&head.map(str::to_owned)), row(&head.map(|_| "---".to_owned()))];
    lines.extend(rows.iter().map(|cells| row(cells)));
    lines.join("\n")
}

/// A quote that hosts with alerts show as one.
pub(super) fn alert(kind: &str, lines: &[String]) -> String {
    let lines = lines.iter().map(|line| format!("> {line}"));
    let lines: Vec<String> = std::iter::once(format!("> [!{kind}]")).chain(lines).collect();
    lines.join("\n")
}

/// At most that many letters, with a mark where it was cut.
pub(super) fn clip(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The text with everything that is not seen, or turns the writing around, spelled out.
fn visible(text: &str) -> String {
    let hidden = |letter: char| {
        letter.is_control()
            || matches!(letter, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match hidden(letter) {
            true => safe.extend(letter.escape_default()),
            false => safe.push(letter),
        }
    }
    safe
}

fn entities(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter.is_ascii_punctuation() && !matches!(letter, '-' | '.' | '/' | ',') {
            true => safe += &format!("&#{};", u32::from(letter)),
            false => safe.push(letter),
        }
    }
    safe
}

fn longest_run(lines: &[String]) -> usize {
    let runs = lines.iter().flat_map(|line| line.split(|letter| letter != '`'));
    runs.map(str::len).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVIL: &[&str] = &[
        "@team/admins please approve #77",
        "a | b \\| c",
        "``` ```` \n```",
        "</details></summary> <!-- --> -->",
        "*bold* _it_ [a](b) ![i](u) ~~no~~ $x$",
        "one\ntwo\r\n\u{202e}three\u{0}",
        "`odd",
        "",
        " ",
    ];

    #[test]
    fn nothing_gets_out() {
        let mut all = String::new();
        for text in EVIL {
            let fenced = fence("diff", [*text]);
            let ticks = fenced.chars().take_while(|letter| *letter == '`').count();
            assert_eq!(fenced.matches(&"`".repeat(ticks)).count(), 2, "{fenced}");
            assert_eq!(fenced.lines().count(), 3, "{fenced}");
            for line in [code(text), prose(text), plain(text), html_code(text)] {
                assert!(!line.contains(['\n', '\r', '\u{202e}', '\u{0}', '|']), "{line}");
                all += &format!("{line}\n");
            }
            for line in [plain(text), html_code(text)] {
                assert!(!line.contains("</details") && !line.contains("-->"), "{line}");
            }
            assert!(!prose(text).contains("@t") && !plain(text).contains("#7"));
            all.push('\n');
        }
        insta::assert_snapshot!(all);
    }

    #[test]
    fn what_is_cut_says_so() {
        assert_eq!(clip("wörk", 4), "wörk");
        assert_eq!(clip("wörks", 4), "wörk…");
    }
}
