//! Where everything stands: boxes in boxes, and lines between them.
//!
//! From left to right: networks with a row for each workspace and a column for each zone; a vertical
//! lane for each door, with a dot where a workspace takes it; the doors; a lane for each place outside;
//! those places.

mod around;
mod network;

use std::collections::BTreeSet;

use check::proof::Verdict;

use self::network::{inner_width, label_width};
use crate::model::{Door, DoorKind, Mark, Picture, Place, Way};
use crate::text::{shorten, width};

/// Around everything, and between networks.
const MARGIN: i32 = 24;
/// Between a box and what is in it.
const PAD: i32 = 12;
const GAP: i32 = 6;
const LANE: i32 = 18;
const HEAD: i32 = 58;
/// The part of a row before its zones, at most and at least.
const LABEL: i32 = 226;
const NARROW: i32 = 140;
const ZONE: i32 = 178;
const DOOR: i32 = 204;
const DOOR_HEIGHT: i32 = 38;
const PLACE: i32 = 244;
/// More workspaces than this in one network get one line each.
const ROOMY: usize = 6;

pub(crate) const TITLE: i32 = 18;
pub(crate) const NAME: i32 = 12;
pub(crate) const SMALL: i32 = 11;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rect {
    pub(crate) x: i32,
    pub(crate) y: i32,
    pub(crate) width: i32,
    pub(crate) height: i32,
}

impl Rect {
    fn right(self) -> i32 {
        self.x + self.width
    }

    fn bottom(self) -> i32 {
        self.y + self.height
    }

    fn middle(self) -> i32 {
        self.y + self.height / 2
    }
}

/// Numbers of the workspaces something belongs to.
pub(crate) type Who = BTreeSet<usize>;

/// A box with text.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The box it stands in, by number.
    pub(crate) parent: Option<usize>,
    pub(crate) at: Rect,
    pub(crate) class: &'static str,
    pub(crate) mark: Mark,
    /// Everything it says, without cuts.
    pub(crate) whole: String,
    pub(crate) texts: Vec<Text>,
    pub(crate) who: Who,
    /// The workspace that one picks with it.
    pub(crate) picks: Option<usize>,
}

#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) x: i32,
    /// Of the line it stands on.
    pub(crate) y: i32,
    pub(crate) size: i32,
    pub(crate) class: &'static str,
    /// Whether `x` is its end.
    pub(crate) end: bool,
    pub(crate) text: String,
}

impl Text {
    /// The room it takes at most.
    #[cfg(test)]
    pub(crate) fn at(&self) -> Rect {
        let width = width(&self.text, self.size);
        let x = if self.end { self.x - width } else { self.x };
        Rect { x, y: self.y - self.size, width, height: self.size + self.size / 4 + 1 }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) points: Vec<(i32, i32)>,
    pub(crate) class: &'static str,
    pub(crate) who: Who,
    /// Whether an arrow stands at its end.
    pub(crate) arrow: bool,
}

/// Where a workspace takes a lane, and how well.
#[derive(Debug, Clone)]
pub(crate) struct Dot {
    pub(crate) at: (i32, i32),
    pub(crate) sure: Sure,
    pub(crate) whole: String,
    pub(crate) who: Who,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sure {
    Proven,
    Unknown,
    Blocked,
}

impl Sure {
    fn of(way: &Way) -> Sure {
        match way.verdict {
            Verdict::Proven { .. } | Verdict::NotRequired { .. } => Sure::Proven,
            Verdict::Unknown { .. } => Sure::Unknown,
            Verdict::Blocked { .. } => Sure::Blocked,
        }
    }

    pub(crate) fn word(self) -> &'static str {
        match self {
            Sure::Proven => "proven",
            Sure::Unknown => "unknown",
            Sure::Blocked => "blocked",
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Scene {
    pub(crate) width: i32,
    pub(crate) height: i32,
    /// How wide the part of a row before its zones is.
    label: i32,
    pub(crate) frames: Vec<Frame>,
    pub(crate) lines: Vec<Line>,
    /// Lines that go over those they cross, with a gap on both sides.
    pub(crate) legs: Vec<Line>,
    pub(crate) dots: Vec<Dot>,
}

/// A line that leaves a network: from where, whose, and to which place.
struct Exit<'a> {
    from: (i32, i32),
    who: Who,
    to: &'a Place,
}

impl Scene {
    pub(crate) fn of(picture: &Picture) -> Scene {
        let label = picture.vpcs.iter().map(label_width).max().unwrap_or(LABEL);
        let mut scene = Scene { label, ..Scene::default() };
        let mut exits = Vec::new();
        let inside = picture.vpcs.iter().map(|vpc| inner_width(vpc, label)).max();
        let inside = inside.unwrap_or(2 * LABEL);
        let mut y = MARGIN + HEAD;
        let mut first = 0;
        for vpc in &picture.vpcs {
            y = scene.vpc(vpc, first, (y, inside), &mut exits) + MARGIN;
            first += vpc.workspaces.len();
        }
        if !picture.managed.is_empty() {
            y = scene.managed(&picture.managed, first, (y, inside), &mut exits) + MARGIN;
        }
        let right = MARGIN + inside;
        let bottom = scene.places(picture, right, &exits);
        scene.width = scene.frames.iter().map(|f| f.at.right()).max().unwrap_or(right) + MARGIN;
        scene.head(picture);
        scene.legend(picture, y.max(bottom + MARGIN));
        scene.height = scene.frames.iter().map(|f| f.at.bottom()).max().unwrap_or(y) + MARGIN;
        scene
    }

    fn frame(&mut self, parent: Option<usize>, at: Rect, class: &'static str) -> usize {
        self.frames.push(Frame {
            parent,
            at,
            class,
            mark: Mark::None,
            whole: String::new(),
            texts: Vec::new(),
            who: Who::new(),
            picks: None,
        });
        self.frames.len() - 1
    }

    /// Text in a frame, from its left side, in a line of its own.
    fn say(&mut self, frame: usize, y: i32, size: i32, class: &'static str, text: &str) {
        let room = self.frames[frame].at.width - 2 * GAP - 2;
        self.say_within(room, frame, y, (size, class), text);
    }

    /// The same in a part of its width.
    fn say_within(
        &mut self,
        room: i32,
        frame: usize,
        y: i32,
        (size, class): (i32, &'static str),
        text: &str,
    ) {
        let text = shorten(text, size, room);
        let Frame { at, texts, .. } = &mut self.frames[frame];
        if !text.is_empty() {
            texts.push(Text { x: at.x + GAP + 1, y: at.y + y, size, class, end: false, text });
        }
    }

    /// Two texts in one line of a frame, the second at its right side; the first gives way.
    fn say_both(&mut self, frame: usize, y: i32, size: (i32, i32), left: &str, right: &str) {
        let at = self.frames[frame].at;
        let right = shorten(right, size.1, at.width / 2 + 20);
        let room = at.width - 3 * GAP - 2 - width(&right, size.1);
        let class = if size.0 > SMALL { "name" } else { "detail" };
        let (y, left) = (at.y + y, shorten(left, size.0, room));
        let texts = &mut self.frames[frame].texts;
        let x = at.x + GAP + 1;
        texts.push(Text { x, y, size: size.0, class, end: false, text: left });
        if !right.is_empty() {
            let x = at.right() - GAP - 1;
            texts.push(Text { x, y, size: size.1, class: "detail", end: true, text: right });
        }
    }
}

fn lane_class(door: &Door) -> &'static str {
    match door.kind {
        DoorKind::Blocked => "lane nowhere",
        DoorKind::Unknown => "lane unclear",
        _ => place_class(&door.to),
    }
}

fn place_class(place: &Place) -> &'static str {
    match place {
        Place::Users => "lane users",
        Place::Databricks => "lane databricks",
        Place::Aws => "lane aws",
        Place::Internet => "lane internet",
        Place::Peer(_) => "lane peering",
        Place::Nowhere => "lane nowhere",
    }
}
