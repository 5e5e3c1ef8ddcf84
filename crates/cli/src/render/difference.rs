//! The lines of a difference as a person reads them: words that differ inside a line are marked, long
//! lists are folded on a screen.

use similar::{ChangeTag, TextDiff};

use super::plan::Line;
use super::{Ink, paint, style};

/// Members of a list that a screen shows.
const SHOWN: usize = 12;
/// Lines that have less than this in common are told one after the other.
const ALIKE: f32 = 0.5;

/// The lines as text. The marks stand with and without colour: `[-gone-]`, `{+new+}`.
pub(super) fn laid_out(lines: &[Line]) -> Vec<String> {
    let removed = |line: &Line| matches!(line, Line::Removed(_));
    let added = |line: &Line| matches!(line, Line::Added(_));
    let mut text = Vec::new();
    let mut rest = lines;
    while let Some((first, others)) = rest.split_first() {
        let gone = rest.iter().take_while(|line| removed(line)).count();
        let new = rest[gone..].iter().take_while(|line| added(line)).count();
        if gone + new == 0 {
            text.push(first.painted());
            rest = others;
            continue;
        }
        let (both, after) = rest.split_at(gone + new);
        let (gone, new) = both.split_at(gone);
        let pairs = gone.iter().zip(new).map(|(gone, new)| words(gone, new));
        match pairs.collect::<Option<Vec<String>>>() {
            Some(pairs) if gone.len() == new.len() => text.extend(pairs),
            _ => text.extend([gone, new].into_iter().flat_map(folded)),
        }
        rest = after;
    }
    text
}

fn folded(lines: &[Line]) -> Vec<String> {
    let shown = if style().screen && lines.len() > SHOWN + 1 { SHOWN } else { lines.len() };
    let mut text: Vec<String> = lines[..shown].iter().map(Line::painted).collect();
    if shown < lines.len() {
        text.push(format!("  … and {} more (`--format json` has all)", lines.len() - shown));
    }
    text
}

/// One line for two that are alike.
fn words(gone: &Line, new: &Line) -> Option<String> {
    let (Line::Removed(gone), Line::Added(new)) = (gone, new) else { return None };
    // An id is another id, however much the two have in common.
    if !(gone.contains(' ') && new.contains(' ')) {
        return None;
    }
    let diff = TextDiff::from_unicode_words(gone.as_str(), new.as_str());
    if diff.ratio() < ALIKE {
        return None;
    }
    let mut parts: Vec<(ChangeTag, String)> = Vec::new();
    for change in diff.iter_all_changes() {
        match parts.last_mut() {
            Some((tag, part)) if *tag == change.tag() => part.push_str(change.value()),
            _ => parts.push((change.tag(), change.value().to_owned())),
        }
    }
    let part = |(tag, part): &(ChangeTag, String)| match tag {
        ChangeTag::Equal => part.clone(),
        ChangeTag::Delete => paint(Ink::Red, &format!("[-{part}-]")),
        ChangeTag::Insert => paint(Ink::Green, &format!("{{+{part}+}}")),
    };
    Some(format!("~ {}", parts.iter().map(part).collect::<String>()))
}
