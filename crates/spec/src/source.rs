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

/// The files being loaded, with their line starts.
pub(crate) struct Sources<'a> {
    files: Vec<(&'a str, Arc<str>, Vec<usize>)>,
}

impl<'a> Sources<'a> {
    pub(crate) fn new(files: &'a [SourceFile]) -> Self {
        let index = |file: &'a SourceFile| {
            let breaks = file.text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
            let lines = std::iter::once(0).chain(breaks.map(|(at, _)| at + 1)).collect();
            (file.text.as_str(), Arc::from(file.name.as_str()), lines)
        };
        Self { files: files.iter().map(index).collect() }
    }

    /// The source text under a span.
    pub(crate) fn text(&self, span: Span) -> &'a str {
        self.files.get(span.source).and_then(|file| file.0.get(span.start..span.end)).unwrap_or("")
    }

    pub(crate) fn place(&self, span: Span) -> Place {
        let Some((text, name, lines)) = self.files.get(span.source) else {
            return Place { file: "".into(), line: 1, column: 1, span: 0..0, source: span.source };
        };
        let start = floor(text, span.start);
        let end = floor(text, span.end).max(start);
        let line = lines.partition_point(|at| *at <= start).max(1);
        let before = &text[lines[line - 1]..start];
        let column = 1 + before.chars().filter(|c| *c != '\u{feff}').count();
        Place { file: name.clone(), line, column, span: start..end, source: span.source }
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
