use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Tag};

use crate::{
    diagnostic::Diagnostic,
    source::{Sources, Span},
    suggest::closest,
    tree::{Entry, Env, Node, Scalar, Value},
};

/// Levels of nesting a spec may have; a real one has about ten.
pub(crate) const DEPTH: usize = 64;

/// Nodes a file may have once its aliases are expanded.
pub(crate) const NODES: usize = 50_000;

/// Reads one YAML (or JSON, which is YAML) document into a tree.
///
/// Everything wrong with it is added to `problems`; a tree comes back also when there are some,
/// unless the text could not be read to its end.
pub(crate) fn parse(
    sources: &Sources<'_>,
    source: usize,
    text: &str,
    problems: &mut Vec<Diagnostic>,
) -> Option<Node> {
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        emit_anchor_events: true,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut composer = Composer {
        sources,
        source,
        problems,
        stack: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        names: Vec::new(),
        documents: 0,
        nodes: 0,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        let go_on = match event {
            Ok((event, span)) => composer.event(event, span),
            Err(error) => {
                composer.syntax(&error, text);
                Err(Stop)
            }
        };
        if go_on.is_err() {
            return None;
        }
    }
    let root = composer.root;
    if root.is_none() {
        let span = Span { source, start: 0, end: 0 };
        problems.push(
            Diagnostic::error("the file is empty")
                .at(sources.place(span))
                .help("`dbxctl init` writes a spec to start from"),
        );
    }
    root
}

/// The rest of the file is not worth reading.
struct Stop;

struct Composer<'a> {
    sources: &'a Sources<'a>,
    source: usize,
    problems: &'a mut Vec<Diagnostic>,
    stack: Vec<Frame>,
    root: Option<Node>,
    /// Finished nodes with an anchor, by the parser's number for it.
    anchors: HashMap<usize, Node>,
    names: Vec<String>,
    documents: usize,
    nodes: usize,
}

struct Frame {
    start: usize,
    anchor: usize,
    inside: Inside,
}

enum Inside {
    List(Vec<Node>),
    Map(Map),
}

#[derive(Default)]
struct Map {
    entries: Vec<Entry>,
    seen: HashMap<String, Span>,
    key: Key,
    /// Maps to merge in (`<<`), the first wins.
    merges: Vec<Node>,
}

#[derive(Default)]
enum Key {
    #[default]
    Awaited,
    Text(String, Span),
    Merge(Span),
    /// Not usable and reported; its value is dropped.
    Bad,
}

impl Composer<'_> {
    fn report(&mut self, span: Span, diagnostic: Diagnostic) {
        let place = self.sources.place(span);
        self.problems.push(diagnostic.at(place));
    }

    fn event(&mut self, event: Event<'_>, at: granit_parser::Span) -> Result<(), Stop> {
        let span = Span {
            source: self.source,
            start: at.start.byte_offset().unwrap_or(0),
            end: at.end.byte_offset().unwrap_or(0),
        };
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let help = "put the second one in its own file; several files are merged in \
                                the order given: `dbxctl plan base.yaml production.yaml`";
                    let text = "a second document begins here";
                    self.report(
                        span,
                        Diagnostic::error(text).label("one spec is one document").help(help),
                    );
                    return Err(Stop);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.tag(tag.as_deref(), at, span);
                let quoted = style != ScalarStyle::Plain;
                // The parser writes `~` where there is nothing at all.
                let nothing = !quoted && span.start == span.end;
                let text = if nothing { String::new() } else { text.into_owned() };
                let scalar = Scalar { text, quoted, env: Env::No };
                self.count(1, 1, span)?;
                self.finish(Node::new(Value::Scalar(scalar), span), anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), at, span);
                self.count(1, 1, span)?;
                let inside = Inside::List(Vec::new());
                self.stack.push(Frame { start: span.start, anchor, inside });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tag(tag.as_deref(), at, span);
                self.count(1, 1, span)?;
                let inside = Inside::Map(Map::default());
                self.stack.push(Frame { start: span.start, anchor, inside });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(frame) = self.stack.pop() {
                    let anchor = frame.anchor;
                    let node = self.close(frame, span);
                    self.finish(node, anchor);
                }
            }
            Event::Anchor(_, name) => self.names.push(name.into_owned()),
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnresolvedAlias(name) => {
                let help = match closest(&name, self.names.iter().map(String::as_str)) {
                    Some(near) => format!("did you mean `*{near}`?"),
                    None => format!("mark the value to repeat with `&{name}`, above this line"),
                };
                self.report(
                    span,
                    Diagnostic::error(format!("no `&{name}` before `*{name}`")).help(help),
                );
                self.dropped();
            }
            _ => {}
        }
        Ok(())
    }

    /// Refuses tags that change what a value is; the core schema's own say nothing new.
    fn tag(&mut self, tag: Option<&Tag>, at: granit_parser::Span, span: Span) {
        let Some(tag) = tag else { return };
        let bytes = at.tag_span().map_or(span, |tag| Span {
            source: self.source,
            start: tag.start.byte_offset().unwrap_or(span.start),
            end: tag.end.byte_offset().unwrap_or(span.start),
        });
        let text = format!("the tag `{}` is not understood here", tag.original());
        let help = if tag.is_yaml_core_schema() {
            "leave the tag away; write text in quotes and numbers without"
        } else {
            "leave the tag away; the only substitution is `${env:NAME}`"
        };
        self.report(bytes, Diagnostic::error(text).help(help));
    }

    /// Counts nodes about to be added, `levels` deep, below the open frames.
    fn count(&mut self, nodes: usize, levels: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes > NODES {
            let text = format!("more than {NODES} values, aliases (`*name`) expanded");
            let help = "repeat less by alias: each use counts as if it were written out";
            self.report(span, Diagnostic::error(text).help(help));
            return Err(Stop);
        }
        if self.stack.len() + levels > DEPTH {
            let text = format!("nested more than {DEPTH} levels deep");
            self.report(span, Diagnostic::error(text).help("a spec needs about ten levels"));
            return Err(Stop);
        }
        Ok(())
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some(node) = self.anchors.get(&id) else {
            let name = self.sources.text(span).to_owned();
            let text = format!("`{name}` stands inside the value that it repeats");
            let help = "an alias can only repeat a value that ends before it";
            self.report(span, Diagnostic::error(text).help(help));
            self.dropped();
            return Ok(());
        };
        let (nodes, levels) = node.extent();
        self.count(nodes, levels, span)?;
        let Some(node) = self.anchors.get(&id) else { return Ok(()) };
        let mut node = node.clone();
        node.used_at = Some(span);
        self.finish(node, 0);
        Ok(())
    }

    /// Takes a finished node to where it belongs.
    fn finish(&mut self, node: Node, anchor: usize) {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(frame) = self.stack.last_mut() else {
            self.root.get_or_insert(node);
            return;
        };
        let map = match &mut frame.inside {
            Inside::List(items) => {
                items.push(node);
                return;
            }
            Inside::Map(map) => map,
        };
        match std::mem::take(&mut map.key) {
            Key::Awaited => {
                let span = node.used_at.unwrap_or(node.span);
                let problem = match node.value {
                    Value::Scalar(scalar) if scalar.text == "<<" && !scalar.quoted => {
                        map.key = Key::Merge(span);
                        None
                    }
                    Value::Scalar(scalar) if scalar.text.is_empty() => Some(
                        Diagnostic::error("a key is missing before `:`").help("write `key: value`"),
                    ),
                    Value::Scalar(scalar) => {
                        map.key = Key::Text(scalar.text, span);
                        None
                    }
                    Value::Map(_) => Some(Diagnostic::error("a map cannot be a key").help(
                        "what begins with `{` is a map: put text in quotes, also `\"${env:NAME}\"`",
                    )),
                    Value::List(_) => Some(
                        Diagnostic::error("a list cannot be a key")
                            .help("what begins with `[` is a list: put text in quotes"),
                    ),
                };
                if let Some(problem) = problem {
                    map.key = Key::Bad;
                    self.report(span, problem);
                }
            }
            Key::Text(key, key_span) => match map.seen.get(&key) {
                Some(first) => {
                    let first = self.sources.place(*first);
                    let text = format!("`{key}` is given twice");
                    let problem = Diagnostic::error(text)
                        .label("given again here")
                        .related(first, "first given here")
                        .help("keep one of the two, or put both contents under one key");
                    self.report(key_span, problem);
                }
                None => {
                    map.seen.insert(key.clone(), key_span);
                    map.entries.push(Entry { key, key_span, value: node });
                }
            },
            Key::Merge(span) => {
                let maps = match node.value {
                    Value::List(items) => items,
                    _ => vec![node],
                };
                if maps.iter().all(|node| matches!(node.value, Value::Map(_))) {
                    map.merges.extend(maps);
                } else {
                    let problem = Diagnostic::error("`<<` merges maps, and this is none")
                        .help("give it an alias of a map (`<<: *name`) or a list of such aliases");
                    self.report(span, problem);
                }
            }
            Key::Bad => {}
        }
    }

    /// A node that is not there, because something was wrong with it.
    fn dropped(&mut self) {
        if let Some(Frame { inside: Inside::Map(map), .. }) = self.stack.last_mut() {
            map.key = match map.key {
                Key::Awaited => Key::Bad,
                _ => Key::Awaited,
            };
        } else if self.stack.is_empty() {
            // Something must stand for the document, or it would be called empty as well.
            let span = Span { source: self.source, start: 0, end: 0 };
            self.root.get_or_insert(Node::new(Value::Map(Vec::new()), span));
        }
    }

    fn close(&mut self, frame: Frame, end: Span) -> Node {
        let span = Span { source: self.source, start: frame.start, end: end.end };
        match frame.inside {
            Inside::List(items) => Node::new(Value::List(items), trimmed(self.sources, span)),
            Inside::Map(map) => {
                let (mut entries, mut seen) = (map.entries, map.seen);
                for node in map.merges {
                    let used_at = node.used_at;
                    let Value::Map(merged) = node.value else { continue };
                    for mut entry in merged {
                        if !seen.contains_key(&entry.key) {
                            seen.insert(entry.key.clone(), entry.key_span);
                            entry.value.used_at = entry.value.used_at.or(used_at);
                            entries.push(entry);
                        }
                    }
                }
                Node::new(Value::Map(entries), trimmed(self.sources, span))
            }
        }
    }

    fn syntax(&mut self, error: &ScanError, text: &str) {
        let at = floor(text, error.marker().byte_offset().unwrap_or(text.len()));
        let one = text[at..].chars().next();
        let width = one.filter(|c| !matches!(c, '\n' | '\r')).map_or(0, char::len_utf8);
        let mut span = Span { source: self.source, start: at, end: at + width };
        let start_of_line = text[..at].rfind('\n').map_or(0, |line| line + 1);
        let before = &text[start_of_line..at];
        let (mut message, mut help) = explain(error.kind());
        if message.contains("tab") && before.ends_with('\t') {
            span.start = start_of_line + before.trim_end_matches('\t').len();
            span.end = at;
        }
        // A substitution between braces reads as a map to YAML, with errors far from the cause.
        let line = text[start_of_line..].lines().next().unwrap_or("");
        let bare = line.match_indices("${").find(|(at, _)| {
            let before = &line[..*at];
            before.contains('{')
                && !before.contains('#')
                && before.matches(['"', '\'']).count().is_multiple_of(2)
        });
        // A key in the middle of a text or list: the mistake is further up.
        let first_key = !before.trim_start().contains(": ") && start_of_line > 0;
        let key = matches!(
            error.kind(),
            ErrorKind::MappingValueNotAllowed | ErrorKind::InvalidColonPlacement
        );
        let opened = self.stack.last().map(|frame| Span {
            source: self.source,
            start: frame.start,
            end: frame.start + 1,
        });
        let opened = opened.filter(|span| {
            let above = span.start < start_of_line;
            above && matches!(self.sources.text(*span), "[" | "{")
        });
        let mut related = None;
        if let Some((bare, _)) = bare {
            span.start = start_of_line + bare;
            span.end = span.start + line[bare..].find('}').map_or(2, |end| end + 1);
            message = "between `{ }`, a substitution needs quotes".to_owned();
            help = Some("write `\"${env:NAME}\"`");
        } else if ["<<<<<<< ", "=======", ">>>>>>> "].iter().any(|mark| line.starts_with(mark)) {
            span.start = start_of_line;
            span.end = start_of_line + 7;
            message = "a merge conflict that is not resolved".to_owned();
            help = Some("choose one side, and remove the marks `<<<<<<<`, `=======` and `>>>>>>>`");
        } else if let Some(opened) = opened {
            let bracket = self.sources.text(opened);
            related = Some((self.sources.place(opened), format!("this `{bracket}` is still open")));
            if key && bracket == "[" {
                message = "a key in the middle of a list".to_owned();
                help = Some("close the list with `]`");
            }
        } else if key && first_key {
            message = "a key in the middle of a text".to_owned();
            help =
                Some("the line above is not complete: write it as `key: value`, or quote its text");
        }
        let mut problem = Diagnostic::error(message);
        problem.help = help.map(str::to_owned);
        if let Some((place, label)) = related {
            problem = problem.related(place, label);
        }
        self.report(span, problem);
    }
}

fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0)
}

/// A collection's span without the blank space the parser counts at its end.
fn trimmed(sources: &Sources<'_>, span: Span) -> Span {
    let text = sources.text(span);
    Span { end: span.start + text.trim_end().len(), ..span }
}

/// What a syntax error means to somebody writing a spec, and what to do.
fn explain(kind: &ErrorKind) -> (String, Option<&'static str>) {
    use ErrorKind as E;
    let (message, help) = match kind {
        E::TabNotAllowed
        | E::TabInBlockIndentation
        | E::TabInIndentation
        | E::TabAtBlockScalarStart => {
            ("a tab in the indentation", "YAML indents with spaces only: use two per level")
        }
        E::InvalidIndentation | E::ExpectedBlockMappingKey | E::ExpectedBlockSequenceEntry => (
            "the indentation does not fit the lines above",
            "keys of one map start in the same column, and so do the `-` of one list",
        ),
        E::UnclosedQuotedScalar | E::DocumentIndicatorInQuotedScalar => {
            ("a quote is not closed", "close the text with the same quote it begins with")
        }
        E::InvalidQuotedScalarIndent => (
            "a quote is not closed, or its text continues too far left",
            "close the text with the same quote it begins with",
        ),
        E::InvalidTrailingSingleQuotedScalar | E::InvalidTrailingDoubleQuotedScalar => (
            "something follows the closing quote",
            "put the whole text in quotes; write a quote inside as `\\\"`, or `''` in single quotes",
        ),
        E::UnclosedFlowCollection { open: '[' } | E::UnexpectedEofFlowSequence => {
            ("this `[` is not closed", "close the list with `]`")
        }
        E::UnclosedFlowCollection { .. }
        | E::UnexpectedEofFlowMapping
        | E::UnexpectedEofImplicitFlowMapping => {
            ("this `{` is not closed", "close the map with `}`")
        }
        E::MismatchedFlowCollectionEnd { .. } | E::MisplacedFlowCollectionEnd => {
            ("a closing bracket that closes nothing", "every `[` ends with `]`, every `{` with `}`")
        }
        E::ExpectedFlowMappingSeparator => (
            "expected `,` or `}` here",
            "separate the entries with commas, and close the map with `}`",
        ),
        E::ExpectedFlowSequenceSeparator => (
            "expected `,` or `]` here",
            "separate the entries with commas, and close the list with `]`",
        ),
        E::MappingValueNotAllowed | E::InvalidColonPlacement | E::InvalidMappingValueWhitespace => {
            (
                "a `:` is not allowed here",
                "start a new line for a new key; put text that contains `: ` in quotes",
            )
        }
        E::SimpleKeyExpected | E::InvalidSimpleKey => {
            ("this line is not `key: value`", "write a `:` and a space after the key")
        }
        E::BlockSequenceEntryNotAllowed | E::BlockEntryInFlowCollection => (
            "a `-` is not allowed here",
            "start a list on the line after its key: `key:`, then `- entry`",
        ),
        E::UnexpectedCharacter { character: '@' | '`' | '%' } => {
            ("a value cannot begin with this character", "put the value in quotes")
        }
        E::UnexpectedCharacter { .. } => (
            "this character is not allowed here",
            "put the value in quotes, or remove the character",
        ),
        E::UnknownQuotedScalarEscape
        | E::InvalidQuotedScalarHexEscape
        | E::InvalidLowSurrogateHexEscape
        | E::InvalidLowSurrogate
        | E::MissingLowSurrogate
        | E::UnpairedLowSurrogate
        | E::InvalidUnicodeEscape => (
            "an escape that does not exist",
            "write a backslash as `\\\\`, or use single quotes: nothing is escaped in them",
        ),
        E::RecursionLimitExceeded => {
            ("nested more than 64 levels deep", "a spec needs about ten levels")
        }
        E::CommentNotSeparated => {
            ("no space before `#`", "put a space before the comment, or quote the text")
        }
        E::UndeclaredTagHandle => {
            ("a tag (`!…`) is not understood here", "put text that begins with `!` in quotes")
        }
        E::InvalidDocumentEnd | E::ExpectedDocumentStart => (
            "the document has ended before this",
            "indent the line to be part of a value above, or write it as `key: value`",
        ),
        E::CommentInterceptedScalar => (
            "a comment in the middle of a text",
            "put the comment above the text, or the text in quotes",
        ),
        other => return (format!("this cannot be read as YAML: {other}"), None),
    };
    (message.to_owned(), Some(help))
}
