//! Networks: rows of workspaces, doors, and the lanes between them.

use super::{
    DOOR, DOOR_HEIGHT, Dot, Exit, GAP, LABEL, LANE, Line, MARGIN, NAME, NARROW, PAD, ROOMY, Rect,
    SMALL, Scene, Sure, Text, Who, ZONE, lane_class,
};
use crate::model::{Door, DoorKind, Group, Place, Subnet, Vpc, Way, Workspace};
use crate::text::{listed, shorten, width};

impl Scene {
    /// Draws one network and says where it ends.
    pub(super) fn vpc<'a>(
        &mut self,
        vpc: &'a Vpc,
        first: usize,
        (y, inside): (i32, i32),
        exits: &mut Vec<Exit<'a>>,
    ) -> i32 {
        let at = Rect { x: MARGIN, y, width: inside, height: 0 };
        let frame = self.frame(None, at, "vpc");
        let title = format!("{}VPC {}  {}", vpc.mark.sign(), vpc.name, vpc.cidrs);
        self.frames[frame].mark = vpc.mark;
        self.frames[frame].whole = vpc.key.clone();
        let room = vpc.room.as_deref().unwrap_or_default();
        self.say_both(frame, 20, (NAME + 1, SMALL), &title, room);
        let top = y + 32;
        let (rows, mut bottom) = self.rows(frame, vpc, first, (MARGIN + PAD, top));
        let left = at.right() - PAD - DOOR;
        let mut doors = Vec::new();
        let mut door_y = top;
        let users = self.door_users(vpc, first);
        for (door, who) in vpc.doors.iter().zip(&users) {
            let at = Rect { x: left, y: door_y, width: DOOR, height: DOOR_HEIGHT };
            doors.push(self.door(frame, at, door, who));
            door_y += DOOR_HEIGHT + GAP;
        }
        if !vpc.groups.is_empty() {
            door_y = self.groups(frame, (left, door_y), &vpc.groups) + GAP;
        }
        bottom = bottom.max(door_y - GAP);
        self.lanes(vpc, first, &rows, &doors);
        self.exits(vpc, &users, &doors, exits);
        self.frames[frame].at.height = bottom + PAD - y;
        bottom + PAD
    }

    /// Draws zones and the rows of workspaces and of other subnets; says where the rows of workspaces
    /// are, and where all of them end.
    fn rows(
        &mut self,
        frame: usize,
        vpc: &Vpc,
        first: usize,
        (x, mut y): (i32, i32),
    ) -> (Vec<Rect>, i32) {
        let zones_x = x + self.label;
        if !vpc.zones.is_empty() {
            for (number, zone) in (0..).zip(&vpc.zones) {
                let at = Rect { x: zones_x + number * ZONE, y, width: ZONE - GAP, height: 20 };
                let head = self.frame(Some(frame), at, "zone");
                self.frames[head].whole = zone.clone();
                self.say(head, 14, SMALL, "detail", zone);
            }
            y += 20 + GAP;
        }
        let width = row_width(vpc, self.label);
        let compact = vpc.workspaces.len() > ROOMY;
        let mut rows = Vec::new();
        for (number, workspace) in vpc.workspaces.iter().enumerate() {
            let at = Rect { x, y, width, height: 0 };
            let row = self.row(frame, at, vpc, workspace, compact);
            self.frames[row].picks = Some(first + number);
            let last = self.frames.len();
            for frame in &mut self.frames[row..last] {
                frame.who.insert(first + number);
            }
            rows.push(self.frames[row].at);
            y = self.frames[row].at.bottom() + if compact { 4 } else { GAP };
        }
        for (name, subnets) in &vpc.others {
            let at = Rect { x, y, width, height: 0 };
            let row = self.frame(Some(frame), at, "other");
            let title = other_title(name);
            let height = self.cells(row, vpc, subnets, true);
            self.frames[row].at.height = height;
            self.frames[row].whole = title.clone();
            self.label(row, 18, SMALL, "detail", &title);
            y += height + 4;
        }
        (rows, y - 4)
    }

    /// Text in the part of a row before its zones.
    fn label(&mut self, row: usize, y: i32, size: i32, class: &'static str, text: &str) {
        self.say_within(self.label - 2 * GAP, row, y, (size, class), text);
    }

    fn row(
        &mut self,
        parent: usize,
        at: Rect,
        vpc: &Vpc,
        workspace: &Workspace,
        compact: bool,
    ) -> usize {
        let row = self.frame(Some(parent), at, "workspace");
        let Workspace { name, mark, .. } = workspace;
        let details = said(workspace);
        let title = format!("{}{name}", mark.sign());
        let height = self.cells(row, vpc, &workspace.subnets, compact);
        let frame = &mut self.frames[row];
        frame.mark = *mark;
        frame.whole = format!("workspace {name}\n{}", details.join("\n"));
        if compact {
            let [nodes, ..] = details;
            frame.at.height = height;
            let room = self.label - 3 * GAP - width(&nodes, SMALL);
            self.say(row, 18, NAME, "name", &shorten(&title, NAME, room));
            if !nodes.is_empty() {
                let (x, y) = (at.x + self.label - GAP, at.y + 18);
                let text = Text { x, y, size: SMALL, class: "detail", end: true, text: nodes };
                self.frames[row].texts.push(text);
            }
            return row;
        }
        let details: Vec<&String> = details.iter().filter(|text| !text.is_empty()).collect();
        let lines = i32::try_from(details.len()).unwrap_or(0);
        frame.at.height = height.max(24 + 15 * lines);
        let lower = (frame.at.height - height) / 2;
        for cell in &mut self.frames[row + 1..] {
            cell.at.y += lower;
            cell.texts.iter_mut().for_each(|text| text.y += lower);
        }
        self.label(row, 17, NAME, "name", &title);
        for (number, text) in (0..).zip(details) {
            self.label(row, 33 + 15 * number, SMALL, "detail", text);
        }
        row
    }

    /// Draws the subnets of a row and says how high it has to be.
    fn cells(&mut self, row: usize, vpc: &Vpc, subnets: &[Subnet], compact: bool) -> i32 {
        let at = self.frames[row].at;
        let high = if compact { 20 } else { 36 };
        let mut most = 0;
        for (number, zone) in (0..).zip(&vpc.zones) {
            let here = subnets.iter().filter(|subnet| subnet.zone == *zone);
            for (count, subnet) in (0..).zip(here) {
                let cell = Rect {
                    x: at.x + self.label + number * ZONE,
                    y: at.y + 4 + count * (high + 4),
                    width: ZONE - GAP,
                    height: high,
                };
                let frame = self.frame(Some(row), cell, "subnet");
                let Subnet { key, cidr, nodes, mark, .. } = subnet;
                self.frames[frame].mark = *mark;
                let cidr = format!("{}{cidr}", mark.sign());
                let nodes = nodes.map_or(String::new(), |nodes| format!("{nodes} nodes"));
                self.frames[frame].whole = format!("{key}\n{cidr}\n{nodes}");
                if compact {
                    let nodes = nodes.trim_end_matches(" nodes");
                    self.say_both(frame, 14, (SMALL, SMALL), &cidr, nodes);
                } else {
                    self.say(frame, 15, SMALL, "plain", &cidr);
                    self.say(frame, 29, SMALL, "detail", &nodes);
                }
                most = most.max(count + 1);
            }
        }
        4 + most.max(1) * (high + 4)
    }

    /// Which workspaces take which door.
    fn door_users(&self, vpc: &Vpc, first: usize) -> Vec<Who> {
        let takes = |door: &Door| -> Who {
            let all = (first..).zip(&vpc.workspaces);
            let these =
                all.filter(|(_, w)| w.ways.iter().any(|way| way.door.as_ref() == Some(&door.key)));
            these.map(|(number, _)| number).collect()
        };
        let mut users: Vec<Who> = vpc.doors.iter().map(takes).collect();
        // What goes through a NAT gateway goes through the internet gateway, too.
        let nat = vpc.doors.iter().zip(&users).filter(|(door, _)| door.kind == DoorKind::Nat);
        let nat: Who = nat.flat_map(|(_, who)| who.iter().copied()).collect();
        for (door, who) in vpc.doors.iter().zip(&mut users) {
            if door.kind == DoorKind::Internet {
                who.extend(&nat);
            }
        }
        users
    }

    fn door(&mut self, parent: usize, at: Rect, door: &Door, who: &Who) -> Rect {
        let class = match door.kind {
            DoorKind::Blocked => "door nowhere",
            DoorKind::Unknown => "door unknown",
            _ => "door",
        };
        let frame = self.frame(Some(parent), at, class);
        self.frames[frame].who = who.clone();
        self.frames[frame].mark = door.mark;
        self.frames[frame].whole = format!("{}\n{}\n{}", door.key, door.name, door.detail);
        let y = if door.detail.is_empty() { 24 } else { 16 };
        self.say(frame, y, NAME, "name", &format!("{}{}", door.mark.sign(), door.name));
        if !door.detail.is_empty() {
            self.say(frame, 31, SMALL, "detail", &door.detail);
        }
        at
    }

    fn groups(&mut self, parent: usize, (x, y): (i32, i32), groups: &[Group]) -> i32 {
        let names: Vec<String> =
            groups.iter().map(|g| format!("{}{}", g.mark.sign(), g.name)).collect();
        let lines = listed(&names, SMALL, DOOR - 2 * GAP - 2, 4);
        let height = 22 + 15 * i32::try_from(lines.len()).unwrap_or(0);
        let at = Rect { x, y, width: DOOR, height };
        let frame = self.frame(Some(parent), at, "groups");
        self.frames[frame].mark = groups.iter().map(|group| group.mark).max().unwrap_or_default();
        self.frames[frame].whole = format!("security groups\n{}", names.join("\n"));
        self.say(frame, 15, SMALL, "detail", "security groups");
        for (number, line) in (0..).zip(&lines) {
            self.say(frame, 30 + 15 * number, SMALL, "plain", line);
        }
        at.bottom()
    }

    /// Draws the lanes between workspaces and doors.
    fn lanes(&mut self, vpc: &Vpc, first: usize, rows: &[Rect], doors: &[Rect]) {
        let taken: Vec<(usize, Vec<Tap>)> = (0..vpc.doors.len())
            .map(|door| (door, taps(vpc, door)))
            .filter(|(_, taps)| !taps.is_empty())
            .collect();
        let Some((top, bottom)) = rows.first().zip(rows.last()) else { return };
        let Some(right) = doors.first().map(|door| door.x - 20) else { return };
        let center = (top.middle() + bottom.middle()) / 2;
        // The nearest door has the lane next to it: so lines cross as little as can be.
        let mut order: Vec<usize> = (0..taken.len()).collect();
        order.sort_by_key(|index| (doors[taken[*index].0].middle() - center).abs());
        let mut lane_x = vec![0; taken.len()];
        for (place, index) in (0..).zip(order) {
            lane_x[index] = right - place * LANE;
        }
        let mut furthest = vec![0; rows.len()];
        for ((door_number, taps), x) in taken.iter().zip(&lane_x) {
            let door = &vpc.doors[*door_number];
            let y = port(doors[*door_number], rows);
            let class = lane_class(door);
            let who: Who = taps.iter().map(|tap| first + tap.workspace).collect();
            let ys = taps.iter().map(|tap| rows[tap.workspace].middle()).chain([y]);
            let (low, high) = ys.fold((y, y), |(low, high), y| (low.min(y), high.max(y)));
            let vertical = vec![(*x, low), (*x, high)];
            self.lines.push(Line { points: vertical, class, who: who.clone(), arrow: false });
            let leg = vec![(*x, y), (doors[*door_number].x, y)];
            let arrow = door.kind != DoorKind::Blocked && door.kind != DoorKind::Unknown;
            self.legs.push(Line { points: leg, class, who, arrow });
            for tap in taps {
                let at = (*x, rows[tap.workspace].middle());
                furthest[tap.workspace] = furthest[tap.workspace].max(*x);
                let Workspace { name, .. } = &vpc.workspaces[tap.workspace];
                let whole = format!("{name} → {}: {}", door.name, tap.names.join(", "));
                let who = Who::from([first + tap.workspace]);
                self.dots.push(Dot { at, sure: tap.sure, whole, who });
            }
        }
        for (number, (row, x)) in rows.iter().zip(furthest).enumerate() {
            if x > 0 {
                let points = vec![(row.right(), row.middle()), (x, row.middle())];
                let who = Who::from([first + number]);
                self.lines.push(Line { points, class: "tap", who, arrow: false });
            }
        }
    }

    /// Draws what leads from NAT gateways to the internet gateway, and says what leaves the network.
    fn exits<'a>(&mut self, vpc: &'a Vpc, users: &[Who], doors: &[Rect], all: &mut Vec<Exit<'a>>) {
        let gateway = vpc.doors.iter().position(|door| door.kind == DoorKind::Internet);
        let mut first = true;
        for ((door, who), at) in vpc.doors.iter().zip(users).zip(doors) {
            let from = (at.right(), at.middle());
            match (door.kind, gateway) {
                (DoorKind::Blocked | DoorKind::Unknown, _) => {}
                (DoorKind::Nat, Some(gateway)) => {
                    let (x, y) = (at.right(), doors[gateway].middle() - 8);
                    let mut points = vec![from, (x + 6, from.1)];
                    if first {
                        points.extend([(x + 6, y), (x, y)]);
                    }
                    let (class, who) = (lane_class(door), who.clone());
                    self.lines.push(Line { points, class, who, arrow: first });
                    first = false;
                }
                _ => all.push(Exit { from, who: who.clone(), to: &door.to }),
            }
            if door.users {
                let from = (at.right(), at.middle() - 9);
                all.push(Exit { from, who: who.clone(), to: &Place::Users });
            }
        }
    }

    /// Draws workspaces in networks that Databricks makes, and says where that box ends.
    pub(super) fn managed<'a>(
        &mut self,
        workspaces: &[Workspace],
        first: usize,
        (y, inside): (i32, i32),
        exits: &mut Vec<Exit<'a>>,
    ) -> i32 {
        let at = Rect { x: MARGIN, y, width: inside, height: 0 };
        let frame = self.frame(None, at, "vpc managed");
        self.frames[frame].whole = "networks that Databricks makes and manages".to_owned();
        self.say_both(frame, 20, (NAME + 1, SMALL), "networks that Databricks makes", "");
        let columns = usize::try_from((inside - 2 * PAD + GAP) / (LABEL + GAP)).unwrap_or(1).max(1);
        let mut bottom = y + 32;
        for (number, workspace) in workspaces.iter().enumerate() {
            let place = |n: usize| i32::try_from(n).unwrap_or(0);
            let at = Rect {
                x: MARGIN + PAD + place(number % columns) * (LABEL + GAP),
                y: y + 32 + place(number / columns) * (26 + GAP),
                width: LABEL,
                height: 26,
            };
            let cell = self.frame(Some(frame), at, "workspace");
            let Workspace { name, mark, users, .. } = workspace;
            let users = format!("users: {users}");
            self.frames[cell].mark = *mark;
            self.frames[cell].whole = format!("workspace {name}\n{users}");
            self.frames[cell].who.insert(first + number);
            self.frames[cell].picks = Some(first + number);
            self.say_both(cell, 17, (NAME, SMALL), &format!("{}{name}", mark.sign()), &users);
            bottom = at.bottom();
        }
        self.frames[frame].at.height = bottom + PAD - y;
        let from = (at.right(), self.frames[frame].at.middle());
        let who = (first..first + workspaces.len()).collect();
        exits.push(Exit { from, who, to: &Place::Databricks });
        bottom + PAD
    }
}

/// One workspace at one lane.
struct Tap {
    workspace: usize,
    sure: Sure,
    names: Vec<String>,
}

fn taps(vpc: &Vpc, door: usize) -> Vec<Tap> {
    let key = &vpc.doors[door].key;
    let tap = |(workspace, all): (usize, &Workspace)| {
        let ways = all.ways.iter().filter(|way| way.door.as_ref() == Some(key));
        let ways: Vec<&Way> = ways.filter(|way| !way.is_of_users()).collect();
        let sure = ways.iter().map(|way| Sure::of(way)).max()?;
        let mut names = Vec::new();
        for way in ways {
            let name = format!("{} {}", way.to, Sure::of(way).word());
            if !names.contains(&name) {
                names.push(name);
            }
        }
        Some(Tap { workspace, sure, names })
    };
    vpc.workspaces.iter().enumerate().filter_map(tap).collect()
}

/// As much as the rows of a network have to say, within limits.
pub(super) fn label_width(vpc: &Vpc) -> i32 {
    let compact = vpc.workspaces.len() > ROOMY;
    let of_workspace = |workspace: &Workspace| {
        let name = width(&workspace.name, NAME) + width(workspace.mark.sign(), NAME);
        let details = said(workspace);
        let widest = details.iter().map(|text| width(text, SMALL)).max().unwrap_or(0);
        if compact { name + GAP + width(&details[0], SMALL) } else { name.max(widest) }
    };
    let others = vpc.others.iter().map(|(name, _)| width(&other_title(name), SMALL));
    let widest = vpc.workspaces.iter().map(of_workspace).chain(others).max().unwrap_or(0);
    (widest + 3 * GAP).clamp(NARROW, LABEL)
}

/// Where a lane comes to a door: in its middle, or beside it when a row would come too near.
fn port(door: Rect, rows: &[Rect]) -> i32 {
    let near = |y: i32| rows.iter().any(|row| (row.middle() - y).abs() < 6);
    let y = door.middle();
    [y, y + 8, y - 8].into_iter().find(|y| !near(*y)).unwrap_or(y)
}

fn other_title(name: &str) -> String {
    format!("{} subnets", name.strip_suffix("endpoints").map_or(name, |_| "endpoint"))
}

/// What is told of a workspace besides its name: room for nodes, users, security groups.
fn said(workspace: &Workspace) -> [String; 3] {
    let Workspace { nodes, peak, users, groups, .. } = workspace;
    let groups: Vec<String> =
        groups.iter().map(|g| format!("{}{}", g.mark.sign(), g.name)).collect();
    [
        match (nodes, peak) {
            (Some(nodes), Some(peak)) => format!("{nodes} nodes, {peak} asked"),
            (Some(nodes), None) => format!("{nodes} nodes"),
            (None, _) => String::new(),
        },
        if users.is_empty() { String::new() } else { format!("users: {users}") },
        if groups.is_empty() { String::new() } else { format!("group: {}", groups.join(", ")) },
    ]
}

fn row_width(vpc: &Vpc, label: i32) -> i32 {
    label + i32::try_from(vpc.zones.len()).unwrap_or(0).max(1) * ZONE
}

pub(super) fn inner_width(vpc: &Vpc, label: i32) -> i32 {
    let lanes = (0..vpc.doors.len()).filter(|door| !taps(vpc, *door).is_empty()).count();
    let lanes = i32::try_from(lanes).unwrap_or(0);
    PAD + row_width(vpc, label) + 16 + lanes * LANE + 20 + DOOR + PAD
}
