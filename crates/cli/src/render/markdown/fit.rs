//! A comment in as many characters as its host takes: whole parts are told shorter or left out, what
//! matters least first.

/// What goes when a comment is too long, from the first to go to the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Worth {
    NewValues,
    LargePicture,
    NewObjects,
    Picture,
    Moves,
    Notes,
    Accepted,
    Users,
    Values,
    Objects,
    Groups,
    Warnings,
    Steps,
    Drift,
    Reasons,
    Headlines,
    Losses,
}

impl Worth {
    fn words(self) -> &'static str {
        match self {
            Worth::NewValues => "values of new objects",
            Worth::LargePicture => "details of the picture",
            Worth::NewObjects => "lists of new objects",
            Worth::Picture => "the picture",
            Worth::Moves => "objects that are renamed or forgotten",
            Worth::Notes => "notes",
            Worth::Accepted => "accepted findings",
            Worth::Users => "who uses what is changed",
            Worth::Values => "changed values",
            Worth::Objects => "lists of changed objects",
            Worth::Groups => "workspaces and shared parts",
            Worth::Warnings => "warnings",
            Worth::Steps => "steps of what happens to workspaces",
            Worth::Drift => "what was changed outside dbxctl",
            Worth::Reasons => "reasons",
            Worth::Headlines => "what happens to workspaces",
            Worth::Losses => "what is lost",
        }
    }
}

/// A part of a comment that can be told in several ways.
#[derive(Debug, Clone)]
pub(super) struct Block {
    /// From the fullest on, each with what goes without it.
    fuller: Vec<(Worth, String)>,
    /// What always stays; may be empty.
    rest: String,
}

impl Block {
    /// A part that is always told.
    pub(super) fn fixed(text: String) -> Block {
        Block { fuller: Vec::new(), rest: text }
    }

    /// A fuller way to tell it. `worth` is no less than that of those added later.
    pub(super) fn or(mut self, worth: Worth, text: String) -> Block {
        if text != *self.fullest() {
            self.fuller.insert(0, (worth, text));
        }
        self
    }

    fn fullest(&self) -> &String {
        self.fuller.first().map_or(&self.rest, |(_, text)| text)
    }

    fn text(&self, skipped: usize) -> &str {
        self.fuller.get(skipped).map_or(&self.rest, |(_, text)| text)
    }
}

/// The length of a text as the strictest hosts count it: in UTF-16 units, never less than characters.
pub(super) fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

/// The blocks one below the other, as full as `budget` allows; `elsewhere` says where the rest is.
pub(super) fn fit(blocks: &[Block], budget: usize, elsewhere: &str) -> String {
    const GAP: usize = 2;
    let cost = |text: &str| if text.is_empty() { 0 } else { length(text) + GAP };
    // What is given up, in order: of equals the last first, of one block the fullest first.
    let mut order: Vec<(Worth, usize, usize)> = Vec::new();
    for (place, block) in blocks.iter().enumerate() {
        let steps = block.fuller.iter().enumerate();
        order.extend(steps.map(|(level, (worth, _))| (*worth, blocks.len() - place, level)));
    }
    order.sort_unstable();
    let mut skipped = vec![0; blocks.len()];
    let mut total: usize = blocks.iter().map(|block| cost(block.text(0))).sum();
    let (mut note, mut lost) = (String::new(), Vec::new());
    for (worth, from_end, level) in order {
        if total + cost(&note) <= budget {
            break;
        }
        let place = blocks.len() - from_end;
        let block = &blocks[place];
        total = total - cost(block.text(level)) + cost(block.text(level + 1));
        skipped[place] = level + 1;
        if lost.last() != Some(&worth) {
            lost.push(worth);
            note = left_out(&lost, elsewhere);
        }
    }
    let texts = blocks.iter().zip(&skipped).map(|(block, skipped)| block.text(*skipped));
    let texts: Vec<&str> =
        texts.chain(std::iter::once(note.as_str())).filter(|text| !text.is_empty()).collect();
    texts.join("\n\n") + "\n"
}

/// What is missing, the worthiest first.
fn left_out(lost: &[Worth], elsewhere: &str) -> String {
    const TOLD: usize = 4;
    let mut words: Vec<&str> = lost.iter().rev().take(TOLD).map(|worth| worth.words()).collect();
    if lost.len() > TOLD {
        words.push("more");
    }
    format!(
        "**Shortened to fit.** Left out, in part or in whole: {}. {elsewhere}",
        words.join(", ")
    )
}
