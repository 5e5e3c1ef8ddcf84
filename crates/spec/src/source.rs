use std::{ops::Range, sync::Arc};

use crate::diagnostic::Diagnostic;

/// One spec file: the name shown to the user and its whole text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFile {
    pub name: String,
    pub text: String,
}

impl SourceFile {
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// A file from the bytes on disk; the error says where the text stops being UTF-8.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Box<Diagnostic>> {
        let name = name.into();
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self { name, text }),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let bytes = error.as_bytes();
                let line = 1 + bytes[..valid].iter().filter(|byte| **byte == b'\n').count();
                let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
                let help = if utf16 {
                    "the file looks like UTF-16; save it as UTF-8"
                } else {
                    "save the file as UTF-8"
                };
                let message = format!("{name}: line {line} is not UTF-8 text");
                Err(Box::new(Diagnostic::error(message).help(help)))
            }
        }
    }
}

/// A range of bytes in one spec file, with the line and column (both from 1, in characters) of
/// its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub file: Arc<str>,
    pub line: usize,
    pub column: usize,
    /// Bytes of the file's text.
    pub span: Range<usize>,
    /// Index of the file among those loaded.
    pub source: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// A range of bytes in the file with index `source`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) source: usize,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

/// The files being loaded.
pub(crate) struct Sources<'a> {
    files: Vec<Indexed<'a>>,
}

/// A file and what finds places in it quickly, also when it is one long line.
struct Indexed<'a> {
    text: &'a str,
    name: Arc<str>,
    /// Where each line starts.
    lines: Vec<usize>,
    /// The characters that start before each [`STRIDE`] bytes.
    characters: Vec<usize>,
}

/// Bytes from one count of characters to the next.
const STRIDE: usize = 1024;

impl<'a> Indexed<'a> {
    fn new(file: &'a SourceFile) -> Self {
        let text = file.text.as_str();
        let breaks = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
        let (mut characters, mut count) = (Vec::new(), 0);
        for (at, character) in text.char_indices() {
            while characters.len() * STRIDE <= at {
                characters.push(count);
            }
            count += shown(character);
        }
        Indexed { text, name: Arc::from(file.name.as_str()), lines, characters }
    }

    /// The characters before a place.
    fn before(&self, at: usize) -> usize {
        let Some(stride) = (at / STRIDE).min(self.characters.len()).checked_sub(1) else {
            return self.text[..at].chars().map(shown).sum();
        };
        // The character in which a stride begins is counted before it.
        let mut from = stride * STRIDE;
        while !self.text.is_char_boundary(from) {
            from += 1;
        }
        self.characters[stride] + self.text[from..at].chars().map(shown).sum::<usize>()
    }
}

/// Whether a character has a column: a byte order mark has none.
fn shown(character: char) -> usize {
    usize::from(character != '\u{feff}')
}

impl<'a> Sources<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        Self { files: files.iter().map(Indexed::new).collect() }
    }

    /// The source text under a span.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.files
            .get(span.source)
            .and_then(|file| file.text.get(span.start..span.end))
            .unwrap_or("")
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        let Some(file) = self.files.get(span.source) else {
            return Place { file: "".into(), line: 1, column: 1, span: 0..0, source: span.source };
        };
        let start = floor(file.text, span.start);
        let end = floor(file.text, span.end).max(start);
        let line = file.lines.partition_point(|at| *at <= start).max(1);
        let column = 1 + file.before(start) - file.before(file.lines[line - 1]);
        Place { file: file.name.clone(), line, column, span: start..end, source: span.source }
    }
}

/// The nearest character boundary at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As one would count by hand, wherever strides and characters begin.
    #[test]
    fn columns_count_characters() {
        let mut text = "\u{feff}".to_owned();
        for n in 0..900 {
            text += if n % 7 == 0 { "é" } else { "ab𝄞c" };
            if n % 450 == 449 {
                text.push('\n');
            }
        }
        let files = [SourceFile { name: "f".to_owned(), text: text.clone() }];
        let sources = Sources::new(&files);
        let (mut line, mut column) = (1, 1);
        for (at, character) in text.char_indices() {
            let place = sources.place(Span { source: 0, start: at, end: at });
            assert_eq!((place.line, place.column), (line, column), "{at}");
            match character {
                '\n' => (line, column) = (line + 1, 1),
                '\u{feff}' => {}
                _ => column += 1,
            }
        }
    }
}
