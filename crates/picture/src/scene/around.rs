//! What stands around the networks: places outside, title, legend.

use std::collections::BTreeMap;

use super::{
    Dot, Exit, GAP, HEAD, LANE, Line, MARGIN, NAME, PAD, PLACE, Rect, SMALL, Scene, Sure, TITLE,
    Text, Who, place_class,
};
use crate::model::{Mark, Picture, Place, Tally, Workspace};
use crate::text::{listed, width};

impl Scene {
    /// Draws the places outside and the lanes to them, and says where the last of them ends.
    pub(super) fn places(&mut self, picture: &Picture, right: i32, exits: &[Exit<'_>]) -> i32 {
        let all = || picture.vpcs.iter().flat_map(|v| &v.workspaces).chain(&picture.managed);
        let public: Who =
            (0..).zip(all()).filter(|(_, w)| w.users == "public").map(|w| w.0).collect();
        let mut places: BTreeMap<&Place, Vec<&Exit<'_>>> = BTreeMap::new();
        for exit in exits {
            places.entry(exit.to).or_default().push(exit);
        }
        if all().any(|workspace| !workspace.users.is_empty()) {
            places.entry(&Place::Users).or_default();
        }
        if !public.is_empty() {
            places.entry(&Place::Databricks).or_default();
        }
        let lanes = i32::try_from(places.len()).unwrap_or(0);
        let left = right + 20 + lanes * LANE + 10;
        let mut y = MARGIN + HEAD;
        let mut boxes: BTreeMap<&Place, Rect> = BTreeMap::new();
        for (number, (place, exits)) in (0..).zip(&places) {
            let said = self.about(place, picture, &public);
            let lines = listed(&said, SMALL, PLACE - 2 * GAP - 2, 6);
            let height = 28 + 15 * i32::try_from(lines.len()).unwrap_or(0);
            let mut ys: Vec<i32> = exits.iter().map(|exit| exit.from.1).collect();
            ys.sort_unstable();
            y = y.max(ys.get(ys.len() / 2).map_or(y, |middle| middle - height / 2));
            let at = Rect { x: left, y, width: PLACE, height };
            let frame = self.frame(None, at, "place");
            let title = place.title();
            self.frames[frame].whole = format!("{title}\n{}", said.join(", "));
            self.say(frame, 18, NAME, "name", &title);
            for (number, line) in (0..).zip(&lines) {
                self.say(frame, 35 + 15 * number, SMALL, "detail", line);
            }
            let mut who: Who = exits.iter().flat_map(|exit| exit.who.iter().copied()).collect();
            if matches!(place, Place::Users | Place::Databricks) {
                who.extend(&public);
            }
            self.frames[frame].who = who;
            boxes.insert(place, at);
            self.outside(place, at, right + 20 + number * LANE, exits);
            y = at.bottom() + 22;
        }
        if let (Some(users), Some(databricks), false) =
            (boxes.get(&Place::Users), boxes.get(&Place::Databricks), public.is_empty())
        {
            let x = users.x + users.width / 2;
            let points = vec![(x, users.bottom()), (x, databricks.y)];
            self.lines.push(Line { points, class: "lane internet", who: public, arrow: true });
        }
        y - 22
    }

    /// The lane of one place, and what leads to it.
    fn outside(&mut self, place: &Place, at: Rect, x: i32, exits: &[&Exit<'_>]) {
        let class = place_class(place);
        let ys = exits.iter().map(|exit| exit.from.1);
        let Some((low, high)) = ys.fold(None, |range: Option<(i32, i32)>, y| {
            Some(range.map_or((y, y), |(low, high)| (low.min(y), high.max(y))))
        }) else {
            return;
        };
        let y = at.middle();
        let who: Who = exits.iter().flat_map(|exit| exit.who.iter().copied()).collect();
        let points = vec![(x, low.min(y)), (x, high.max(y))];
        self.lines.push(Line { points, class, who: who.clone(), arrow: false });
        let inward = *place == Place::Users;
        self.lines.push(Line { points: vec![(x, y), (at.x, y)], class, who, arrow: !inward });
        for exit in exits {
            let mut points = vec![exit.from, (x, exit.from.1)];
            if inward {
                points.reverse();
            }
            self.lines.push(Line { points, class, who: exit.who.clone(), arrow: inward });
        }
    }

    /// What a place outside is there for.
    fn about(&self, place: &Place, picture: &Picture, public: &Who) -> Vec<String> {
        if *place != Place::Users {
            return picture.reached.get(place).cloned().unwrap_or_default();
        }
        let all = picture.vpcs.iter().flat_map(|v| &v.workspaces).chain(&picture.managed);
        let all: Vec<&Workspace> = all.collect();
        let mut ways = Vec::new();
        for word in ["private", "blocked", "unknown"] {
            let names: Vec<&str> =
                all.iter().filter(|w| w.users == word).map(|w| w.name.as_str()).collect();
            ways.extend(counted(word, &names));
        }
        let names: Vec<&str> = public.iter().map(|n| all[*n].name.as_str()).collect();
        ways.extend(counted("public", &names));
        ways
    }

    pub(super) fn head(&mut self, picture: &Picture) {
        let at = Rect { x: MARGIN, y: MARGIN, width: self.width - 2 * MARGIN, height: HEAD - 14 };
        let frame = self.frame(None, at, "head");
        let Tally { proven, blocked, unknown } = picture.tally;
        let all: usize = picture.vpcs.iter().map(|vpc| vpc.workspaces.len()).sum();
        let workspaces = all + picture.managed.len();
        let many = if workspaces == 1 { "workspace" } else { "workspaces" };
        let mut line = format!(
            "{workspaces} {many}; {proven} ways proven, {blocked} blocked, {unknown} unknown"
        );
        if let Some(sum) = picture.changes {
            line = format!(
                "plan: {} to add, {} to change, {} to destroy; {line}",
                sum.add, sum.change, sum.destroy
            );
        }
        let title = format!("{}  {}", picture.stack, picture.region);
        self.frames[frame].whole = format!("{title}\n{line}");
        self.say(frame, 18, TITLE, "title", &title);
        self.say(frame, 37, SMALL, "detail", &line);
    }

    pub(super) fn legend(&mut self, picture: &Picture, y: i32) {
        let at = Rect { x: MARGIN, y, width: self.width - 2 * MARGIN, height: 0 };
        let frame = self.frame(None, at, "legend");
        let lanes = [
            ("lane databricks", "to Databricks"),
            ("lane aws", "to AWS services"),
            ("lane internet", "through the internet"),
            ("lane peering", "peering"),
            ("lane users", "users, privately"),
        ];
        let dots = [
            (Sure::Proven, "way proven"),
            (Sure::Unknown, "not known"),
            (Sure::Blocked, "blocked"),
        ];
        let (mut x, mut line) = (at.x + PAD, 0);
        let mut place = |scene: &mut Scene, sample: i32, text: &str| -> (i32, i32) {
            let needed = sample + 6 + width(text, SMALL) + 18;
            if x + needed > at.right() {
                (x, line) = (at.x + PAD, line + 1);
            }
            let spot = (x, at.y + 16 + line * 20);
            let text = Text {
                x: x + sample + 6,
                y: spot.1 + 4,
                size: SMALL,
                class: "detail",
                end: false,
                text: text.to_owned(),
            };
            scene.frames[frame].texts.push(text);
            scene.frames[frame].at.height = 32 + line * 20;
            x += needed;
            spot
        };
        let drawn = |class: &str| {
            let mut lines = self.lines.iter().chain(&self.legs);
            lines.any(|line| line.class == class)
        };
        let lanes: Vec<_> = lanes.into_iter().filter(|(class, _)| drawn(class)).collect();
        let known = |sure: Sure| self.dots.iter().any(|dot| dot.sure == sure);
        let dots: Vec<_> = dots.into_iter().filter(|(sure, _)| known(*sure)).collect();
        for (class, text) in lanes {
            let (x, y) = place(self, 34, text);
            let points = vec![(x, y), (x + 34, y)];
            self.lines.push(Line { points, class, who: Who::new(), arrow: true });
        }
        for (sure, text) in dots {
            let (x, y) = place(self, 10, text);
            let (whole, who) = (text.to_owned(), Who::new());
            self.dots.push(Dot { at: (x + 5, y), sure, whole, who });
        }
        if picture.changes.is_some() {
            for mark in [Mark::Added, Mark::Changed, Mark::Replaced, Mark::Removed] {
                let (x, y) = place(self, 16, &format!("{}{}", mark.sign(), mark.word()));
                let at = Rect { x, y: y - 6, width: 16, height: 12 };
                let sample = self.frame(Some(frame), at, "sample");
                self.frames[sample].mark = mark;
            }
        }
    }
}

/// `private: wk1`, or how many there are.
fn counted(word: &str, names: &[&str]) -> Option<String> {
    match names {
        [] => None,
        [one] => Some(format!("{word}: {one}")),
        many => Some(format!("{word}: {} workspaces", many.len())),
    }
}
