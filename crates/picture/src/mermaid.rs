//! The picture as a mermaid flowchart, for comments and documents.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use check::proof::Verdict;

use crate::model::{Door, DoorKind, Mark, Picture, Place, Subnet, Vpc, Way, Workspace};

/// Lines and nodes a reader can still follow; mermaid itself refuses more than 500 lines.
const MOST_LINES: usize = 120;
const MOST_NODES: usize = 60;

/// A flowchart of at most `budget` characters. Detail that does not fit is folded: first subnets, then
/// endpoints, then workspaces into one for each VPC. `None` when even that is too long.
pub fn mermaid(picture: &Picture, budget: usize) -> Option<String> {
    let fits = |fold: &Fold| {
        let (text, lines, nodes) = Writer::new(picture, *fold).write();
        let readable = lines <= MOST_LINES && nodes <= MOST_NODES || fold.workspaces;
        (readable && text.chars().count() <= budget).then_some(text)
    };
    Fold::ALL.iter().find_map(fits)
}

/// What is left out.
#[derive(Debug, Clone, Copy, Default)]
struct Fold {
    subnets: bool,
    endpoints: bool,
    workspaces: bool,
}

impl Fold {
    const ALL: [Fold; 4] = [
        Fold { subnets: false, endpoints: false, workspaces: false },
        Fold { subnets: true, endpoints: false, workspaces: false },
        Fold { subnets: true, endpoints: true, workspaces: false },
        Fold { subnets: true, endpoints: true, workspaces: true },
    ];
}

const CLASSES: &str = "  classDef vpc fill:#f6f8fa,stroke:#8c959f,color:#1f2328
  classDef zone fill:#ffffff,stroke:#c4ccd4,color:#1f2328
  classDef workspace fill:#eaf2fb,stroke:#3b6ea5,color:#16324f
  classDef subnet fill:#f7f7f4,stroke:#b8b8ae,color:#33332e
  classDef door fill:#f3eefa,stroke:#7a5ea8,color:#35244f
  classDef outside fill:#f5f5f5,stroke:#777,color:#222
  classDef blocked fill:#fdecea,stroke:#b3261e,color:#5f1412,stroke-width:2px
  classDef added fill:#e3f5e6,stroke:#2e7d32,color:#123d16,stroke-width:3px
  classDef changed fill:#fff4d6,stroke:#b26a00,color:#4a2c00,stroke-width:3px
  classDef replaced fill:#ffe5d0,stroke:#c4500c,color:#4f2000,stroke-width:3px
  classDef removed fill:#fde3e1,stroke:#b3261e,color:#5f1412,stroke-width:3px,stroke-dasharray:6 4
";

struct Writer<'a> {
    picture: &'a Picture,
    fold: Fold,
    text: String,
    lines: usize,
    nodes: usize,
    classes: BTreeMap<&'static str, Vec<String>>,
    places: BTreeSet<&'a Place>,
}

/// How sure a line is, the worst last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    Proven,
    Unknown,
    Blocked(&'static str),
}

/// The doors that workspaces take, by number, and how sure it is that they get through.
type Lines = Vec<(usize, Line)>;

/// A node that lines begin at, and the workspaces it stands for.
type Source<'a> = (String, Vec<&'a Workspace>);

/// What doors have in common that share their lines.
#[derive(PartialEq, Eq)]
struct Alike<'a> {
    kind: DoorKind,
    to: &'a Place,
    users: bool,
    /// The line of each source, if there is one.
    takers: Vec<Option<Line>>,
}

/// Text between quotes: nothing in it means anything to mermaid or to HTML.
fn quoted(text: &str) -> String {
    let mut safe = String::from("\"");
    for c in text.chars() {
        match c {
            '\n' => safe.push_str("<br/>"),
            c if c.is_alphanumeric() || " .,:/-_+~±·()…→".contains(c) => safe.push(c),
            c => {
                let _ = write!(safe, "#{};", u32::from(c));
            }
        }
    }
    safe.push('"');
    safe
}

impl<'a> Writer<'a> {
    fn new(picture: &'a Picture, fold: Fold) -> Self {
        Writer {
            picture,
            fold,
            text: String::new(),
            lines: 0,
            nodes: 0,
            classes: BTreeMap::new(),
            places: BTreeSet::new(),
        }
    }

    /// The text, and how many lines and nodes it has.
    fn write(mut self) -> (String, usize, usize) {
        self.line(0, "flowchart LR");
        for (number, vpc) in self.picture.vpcs.iter().enumerate() {
            self.vpc(&format!("v{number}"), vpc);
        }
        if !self.picture.managed.is_empty() {
            self.managed();
        }
        self.outside();
        self.text += CLASSES;
        let classes = std::mem::take(&mut self.classes);
        for (class, ids) in classes {
            self.line(1, &format!("class {} {class}", ids.join(",")));
        }
        (self.text, self.lines, self.nodes)
    }

    fn line(&mut self, depth: usize, text: &str) {
        let _ = writeln!(self.text, "{:1$}{text}", "", depth * 2);
    }

    fn arrow(&mut self, text: &str) {
        self.lines += 1;
        self.line(1, text);
    }

    fn node(&mut self, depth: usize, id: &str, label: &str, class: &'static str, mark: Mark) {
        self.nodes += 1;
        self.line(depth, &format!("{id}[{}]", quoted(&format!("{}{label}", mark.sign()))));
        let class = if mark == Mark::None { class } else { mark.word() };
        self.classes.entry(class).or_default().push(id.to_owned());
    }

    /// Begins a box; what is in it stands one below the other.
    fn open(&mut self, depth: usize, id: &str, title: &str, class: &'static str, mark: Mark) {
        let title = quoted(&format!("{}{title}", mark.sign()));
        self.line(depth, &format!("subgraph {id}[{title}]"));
        self.line(depth + 1, "direction LR");
        let class = if mark == Mark::None { class } else { mark.word() };
        self.classes.entry(class).or_default().push(id.to_owned());
    }

    fn vpc(&mut self, id: &str, vpc: &'a Vpc) {
        let Vpc { mark, name, cidrs, .. } = vpc;
        self.open(1, id, &format!("VPC {name} {cidrs}"), "vpc", *mark);
        let sources = self.workspaces(id, vpc);
        if !self.fold.subnets {
            self.zones(id, vpc);
        }
        let doors = self.doors(id, vpc, &sources);
        self.line(1, "end");
        if !self.fold.subnets {
            // Without a line, zones would stand anywhere: so they stand before the workspaces.
            for zone in 0..vpc.zones.len() {
                for (source, _) in &sources {
                    self.line(1, &format!("{id}z{zone} ~~~ {source}"));
                }
            }
        }
        self.ways(vpc, &sources, &doors);
    }

    /// Draws workspaces and says which of them each node stands for. Those that take the same ways
    /// stand together and share their lines.
    fn workspaces(&mut self, id: &str, vpc: &'a Vpc) -> Vec<Source<'a>> {
        let mut alike: BTreeMap<Lines, Vec<(usize, &Workspace)>> = BTreeMap::new();
        for (number, workspace) in vpc.workspaces.iter().enumerate() {
            alike.entry(lines(vpc, &[workspace])).or_default().push((number, workspace));
        }
        let mut sources = Vec::new();
        for (group, all) in alike.into_values().enumerate() {
            let workspaces = all.iter().map(|(_, workspace)| *workspace).collect();
            if self.fold.workspaces {
                let source = format!("{id}g{group}");
                self.counted(&source, &workspaces);
                sources.push((source, workspaces));
                continue;
            }
            let [(number, one)] = all.as_slice() else {
                let source = format!("{id}g{group}");
                let title = format!("{} workspaces", all.len());
                self.open(2, &source, &title, "zone", Mark::None);
                for (number, workspace) in &all {
                    self.workspace(3, &format!("{id}w{number}"), workspace);
                }
                self.line(2, "end");
                sources.push((source, workspaces));
                continue;
            };
            let source = format!("{id}w{number}");
            self.workspace(2, &source, one);
            sources.push((source, workspaces));
        }
        sources
    }

    fn workspace(&mut self, depth: usize, id: &str, workspace: &Workspace) {
        let mut label = workspace.name.clone();
        if let Some(nodes) = workspace.nodes {
            let _ = write!(label, "\n{nodes} nodes");
        }
        if !workspace.users.is_empty() {
            let _ = write!(label, "\nusers: {}", workspace.users);
        }
        self.node(depth, id, &label, "workspace", workspace.mark);
    }

    /// One node for many workspaces.
    fn counted(&mut self, id: &str, workspaces: &Vec<&Workspace>) {
        let mut marks: BTreeMap<Mark, usize> = BTreeMap::new();
        for workspace in workspaces {
            *marks.entry(workspace.mark).or_default() += 1;
        }
        let mut label = match workspaces.as_slice() {
            [one] => one.name.clone(),
            all => format!("{} workspaces", all.len()),
        };
        for (mark, count) in marks.iter().filter(|(mark, _)| **mark != Mark::None) {
            let _ = write!(label, "\n{count} {}", mark.word());
        }
        let only = if marks.len() == 1 { workspaces[0].mark } else { Mark::None };
        self.node(2, id, &label, "workspace", only);
    }

    fn zones(&mut self, id: &str, vpc: &Vpc) {
        for (number, zone) in vpc.zones.iter().enumerate() {
            self.open(2, &format!("{id}z{number}"), zone, "zone", Mark::None);
            let mut here = 0;
            let of_workspaces = vpc.workspaces.iter().map(|w| (&w.name, &w.subnets));
            let all = of_workspaces.chain(vpc.others.iter().map(|(name, subnets)| (name, subnets)));
            for (name, subnets) in all {
                for subnet in subnets.iter().filter(|subnet| subnet.zone == *zone) {
                    let Subnet { cidr, nodes, mark, .. } = subnet;
                    let nodes = nodes.map_or(String::new(), |nodes| format!("\n{nodes} nodes"));
                    let node = format!("{id}z{number}s{here}");
                    self.node(3, &node, &format!("{name}\n{cidr}{nodes}"), "subnet", *mark);
                    here += 1;
                }
            }
            self.line(2, "end");
        }
    }

    /// Draws the doors and says to which node the lines to each of them go. Those that the same
    /// workspaces take to the same place stand together and share their lines.
    fn doors(&mut self, id: &str, vpc: &'a Vpc, sources: &[Source<'_>]) -> Vec<String> {
        let mut alike: Vec<(Alike<'_>, Vec<usize>)> = Vec::new();
        for (number, door) in vpc.doors.iter().enumerate() {
            let endpoint = matches!(door.kind, DoorKind::Interface | DoorKind::Gateway);
            let kind = if endpoint { DoorKind::Interface } else { door.kind };
            let mut key = Alike { kind, to: &door.to, users: false, takers: Vec::new() };
            if !(self.fold.endpoints && endpoint) {
                let taken = |(_, workspaces): &Source<'_>| {
                    let mut lines = lines(vpc, workspaces).into_iter();
                    lines.find(|(taken, _)| *taken == number).map(|(_, line)| line)
                };
                key.users = door.users;
                key.takers = sources.iter().map(taken).collect();
            }
            match alike.iter_mut().find(|(known, _)| *known == key) {
                Some((_, doors)) => doors.push(number),
                None => alike.push((key, vec![number])),
            }
        }
        let mut ids = vec![String::new(); vpc.doors.len()];
        for (Alike { kind, .. }, numbers) in alike {
            let target = format!("{id}d{}", numbers[0]);
            let doors: Vec<&Door> = numbers.iter().map(|number| &vpc.doors[*number]).collect();
            let what = if kind == DoorKind::Nat { "NAT gateways" } else { "endpoints" };
            match doors.as_slice() {
                [door] => self.door(2, &target, door),
                doors if self.fold.endpoints && kind == DoorKind::Interface => {
                    let names: Vec<&str> = doors.iter().map(|door| door.name.as_str()).collect();
                    let label = format!("{} {what}\n{}", doors.len(), names.join(", "));
                    let mark = doors.iter().map(|door| door.mark).max().unwrap_or_default();
                    self.node(2, &target, &label, "door", mark);
                }
                doors => {
                    self.open(2, &target, what, "zone", Mark::None);
                    for (number, door) in doors.iter().enumerate() {
                        self.door(3, &format!("{target}n{number}"), door);
                    }
                    self.line(2, "end");
                }
            }
            for number in numbers {
                ids[number].clone_from(&target);
            }
        }
        ids
    }

    fn door(&mut self, depth: usize, id: &str, door: &Door) {
        let class = if door.kind == DoorKind::Blocked { "blocked" } else { "door" };
        let label = match door.detail.as_str() {
            "" => door.name.clone(),
            detail => format!("{}\n{detail}", door.name),
        };
        self.node(depth, id, &label, class, door.mark);
    }

    fn ways(&mut self, vpc: &'a Vpc, sources: &[Source<'_>], doors: &[String]) {
        for (source, workspaces) in sources {
            let mut drawn: BTreeMap<&String, Line> = BTreeMap::new();
            for (door, line) in lines(vpc, workspaces) {
                let worst = drawn.entry(&doors[door]).or_insert(Line::Proven);
                *worst = line.max(worst.clone());
            }
            for (door, line) in drawn {
                self.arrow(&match line {
                    Line::Proven => format!("{source} --> {door}"),
                    Line::Unknown => format!("{source} -.->|unknown| {door}"),
                    Line::Blocked(rule) => format!("{source} --x|{rule}| {door}"),
                });
            }
        }
        let gateway = vpc.doors.iter().position(|door| door.kind == DoorKind::Internet);
        let (mut drawn, mut entered) = (BTreeSet::new(), BTreeSet::new());
        for (door, id) in vpc.doors.iter().zip(doors) {
            if door.to != Place::Nowhere && drawn.insert(id) {
                let to = match (door.kind, gateway) {
                    (DoorKind::Nat, Some(gateway)) => doors[gateway].clone(),
                    _ => {
                        self.places.insert(&door.to);
                        place_id(&door.to)
                    }
                };
                self.arrow(&format!("{id} --> {to}"));
            }
            if door.users && entered.insert(id) {
                self.places.insert(&Place::Users);
                self.arrow(&format!("users --> {id}"));
            }
        }
    }

    fn managed(&mut self) {
        self.open(1, "managed", "networks that Databricks makes", "vpc", Mark::None);
        let workspaces: Vec<&Workspace> = self.picture.managed.iter().collect();
        if self.fold.workspaces {
            self.counted("managedg", &workspaces);
        } else {
            for (number, workspace) in workspaces.into_iter().enumerate() {
                self.workspace(2, &format!("m{number}"), workspace);
            }
        }
        self.line(1, "end");
        self.places.insert(&Place::Databricks);
        self.arrow("managed --> databricks");
    }

    fn outside(&mut self) {
        let all = self.picture.vpcs.iter().flat_map(|vpc| &vpc.workspaces);
        if all.chain(&self.picture.managed).any(|w| w.users == "public") {
            self.places.extend([&Place::Users, &Place::Databricks]);
            self.arrow("users -->|internet| databricks");
        }
        for place in std::mem::take(&mut self.places) {
            self.node(1, &place_id(place), &place.title(), "outside", Mark::None);
        }
    }
}

/// The lines from workspaces to the doors of their VPC.
fn lines(vpc: &Vpc, workspaces: &[&Workspace]) -> Lines {
    let mut lines: BTreeMap<usize, Line> = BTreeMap::new();
    let ways = workspaces.iter().flat_map(|workspace| &workspace.ways);
    for way in ways.filter(|way| !way.is_of_users()) {
        let door = vpc.doors.iter().position(|door| Some(&door.key) == way.door.as_ref());
        let Some(door) = door else { continue };
        let line = sure(way);
        let worst = lines.entry(door).or_insert_with(|| line.clone());
        *worst = line.max(worst.clone());
    }
    lines.into_iter().collect()
}

fn sure(way: &Way) -> Line {
    match &way.verdict {
        Verdict::Proven { .. } | Verdict::NotRequired { .. } => Line::Proven,
        Verdict::Unknown { .. } => Line::Unknown,
        Verdict::Blocked { block, .. } => Line::Blocked(block.rule),
    }
}

fn place_id(place: &Place) -> String {
    match place {
        Place::Users => "users".to_owned(),
        Place::Databricks => "databricks".to_owned(),
        Place::Aws => "aws".to_owned(),
        Place::Internet => "internet".to_owned(),
        Place::Peer(vpc) => {
            let safe = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
            format!("peer_{}", vpc.chars().map(safe).collect::<String>())
        }
        Place::Nowhere => "nowhere".to_owned(),
    }
}
