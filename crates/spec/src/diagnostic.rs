use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::source::{Place, SourceFile};

/// How bad a message is: an error refuses the spec, a warning does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warning,
}

/// One message to the user: what is wrong, where, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// The rule that is broken, when it has a name: `DBX-NET-001`.
    pub rule: Option<String>,
    pub message: String,
    pub place: Option<Place>,
    /// Text beside the caret.
    pub label: Option<String>,
    pub notes: Vec<String>,
    pub help: Option<String>,
    pub related: Vec<Related>,
}

/// A second place a message is about, such as the first use of a duplicate key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Related {
    pub place: Place,
    pub label: String,
}

impl Diagnostic {
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            rule: None,
            message: message.into(),
            place: None,
            label: None,
            notes: Vec::new(),
            help: None,
            related: Vec::new(),
        }
    }

    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(message) }
    }

    pub fn at(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }

    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    pub fn note(mut self, note: impl Into<String>) -> Self {
        self.notes.push(note.into());
        self
    }

    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub fn related(mut self, place: Place, label: impl Into<String>) -> Self {
        self.related.push(Related { place, label: label.into() });
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

/// Messages as text: `file:line:column`, the lines concerned with carets, notes and help.
///
/// `sources` are the files given to [`load`](crate::load), in the same order; `width` is the
/// terminal's, in columns.
pub fn render(
    diagnostics: &[Diagnostic],
    sources: &[SourceFile],
    color: bool,
    width: usize,
) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.term_width(width);
    let mut text = String::new();
    for diagnostic in diagnostics {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&renderer.render(&[group(diagnostic, sources)]));
        text.push('\n');
    }
    text
}

fn group<'a>(diagnostic: &'a Diagnostic, sources: &'a [SourceFile]) -> Group<'a> {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let mut title = level.primary_title(diagnostic.message.as_str());
    if let Some(rule) = &diagnostic.rule {
        title = title.id(rule.as_str());
    }
    let mut group = Group::with_title(title);
    if let Some(place) = &diagnostic.place
        && let Some(source) = sources.get(place.source)
    {
        let mut first = snippet(source).annotation(
            AnnotationKind::Primary.span(clip(source, place)).label(diagnostic.label.as_deref()),
        );
        let mut others = Vec::new();
        for related in &diagnostic.related {
            let Some(source) = sources.get(related.place.source) else { continue };
            let note = AnnotationKind::Context
                .span(clip(source, &related.place))
                .label(related.label.as_str());
            if related.place.source == place.source {
                first = first.annotation(note);
            } else {
                others.push(snippet(source).annotation(note));
            }
        }
        group = group.element(first).elements(others);
    }
    for note in &diagnostic.notes {
        group = group.element(Level::NOTE.message(note.as_str()));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    group
}

fn snippet<'a, T: Clone>(source: &'a SourceFile) -> Snippet<'a, T> {
    Snippet::source(source.text.as_str()).path(source.name.as_str())
}

/// The span inside the text, whatever the caller passed.
fn clip(source: &SourceFile, place: &Place) -> std::ops::Range<usize> {
    let text = &source.text;
    let inside = |at: usize| {
        let at = at.min(text.len());
        (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
    };
    let start = inside(place.span.start);
    start..inside(place.span.end).max(start)
}
