//! What `dbxctl check` found: a matrix per workspace, then what is wrong, worst first.

use std::collections::{BTreeMap, HashMap};

use check::proof::{Hop, Proof, Verdict, Via};
use check::{Capacity, Finding, Limit, Location, Report, Severity, VpcRoom, WorkspaceRoom};
use spec::Spec;

use super::text::{cut, wrapped};
use super::{Ink, paint, style};

/// A report and what is needed to show it.
pub(crate) struct View<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) report: &'a Report,
    pub(crate) locate: &'a dyn Fn(&str) -> Option<Location>,
    /// Whether what is only worth knowing is shown.
    pub(crate) info: bool,
}

/// The part of the matrix that is looked at closely.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chosen<'a> {
    pub(crate) workspace: Option<&'a str>,
    /// `D6`, or `relay`.
    pub(crate) class: Option<&'a str>,
}

impl Chosen<'_> {
    pub(crate) fn takes(&self, proof: &Proof) -> bool {
        let here = self.workspace.is_none_or(|name| name == proof.workspace);
        let class = |class: &str| {
            class.eq_ignore_ascii_case(proof.class) || class.eq_ignore_ascii_case(&proof.to)
        };
        here && self.class.is_none_or(class)
    }
}

impl View<'_> {
    /// Everything: matrices, findings, figures.
    pub(crate) fn matrices(&self) -> String {
        let mut text = String::new();
        for part in workspaces(self.spec, &self.report.proofs) {
            text += &part;
            text.push('\n');
        }
        text += &self.findings();
        text += &self.room();
        text += &self.limits();
        text += &self.closing();
        text
    }

    /// Every decision on the chosen ways.
    pub(crate) fn details(&self, chosen: &Chosen<'_>) -> String {
        let mut text = String::new();
        let proofs = self.report.proofs.iter().filter(|proof| chosen.takes(proof));
        for (proof, from) in together(proofs) {
            text += &details(self.spec, proof, &from);
            text.push('\n');
        }
        text += &self.closing();
        text
    }

    fn findings(&self) -> String {
        let shown = |f: &&Finding| self.info || f.severity > Severity::Info;
        let mut all: Vec<&Finding> = self.report.findings.iter().filter(shown).collect();
        // What is accepted stops nothing: it comes last, in the same order.
        all.sort_by_key(|finding| finding.accepted.is_some());
        let mut text = String::new();
        let alike = |a: &&Finding, b: &&Finding| {
            (a.rule, a.severity, &a.accepted) == (b.rule, b.severity, &b.accepted)
        };
        for group in all.chunk_by(alike) {
            text += &self.finding(group);
            text.push('\n');
        }
        text
    }

    /// What breaks one rule: the first in full, the others in a line each.
    fn finding(&self, group: &[&Finding]) -> String {
        /// Others of a rule that are told, unless they are errors.
        const OTHERS: usize = 3;
        let Some((first, others)) = group.split_first() else { return String::new() };
        let title = format!("{} {}", severity(first.severity), first.rule);
        let title = match first.accepted {
            Some(_) => paint(Ink::Dim, &format!("accepted {title}")),
            None => paint(ink(first.severity), &title),
        };
        let mut text = format!("{title}  {}\n", self.place(first));
        text += &wrapped("  ", "", &first.message);
        text += &wrapped("  ", "fix: ", &first.fix);
        if let Some(symptom) = &first.symptom {
            text += &wrapped("  ", "users see: ", symptom);
        }
        if let Some(reason) = &first.accepted {
            text += &wrapped("  ", "accepted: ", reason);
        }
        let told = match first.severity == Severity::Error && first.accepted.is_none() {
            true => others.len(),
            false => others.len().min(OTHERS),
        };
        for other in &others[..told] {
            text += &format!("  also {}\n", self.place(other));
            text += &wrapped("    ", "", &other.message);
            if other.fix != first.fix {
                text += &wrapped("    ", "fix: ", &other.fix);
            }
        }
        if told < others.len() {
            text += &format!("  and {} more (`--format json` has all)\n", others.len() - told);
        }
        text
    }

    /// Where the spec says it, or else what it is about.
    fn place(&self, finding: &Finding) -> String {
        match (self.locate)(&finding.pointer) {
            Some(Location { file, line, column }) => format!("{file}:{line}:{column}"),
            None => finding.subject.clone(),
        }
    }

    /// How many nodes fit, and how far the networks can grow.
    fn room(&self) -> String {
        let Capacity { workspaces, shortages, vpcs, overlaps, .. } = &self.report.capacity;
        let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for room in workspaces {
            let line = nodes(self.spec, room);
            let index = *known.entry(line.clone()).or_insert(lines.len());
            match lines.get_mut(index) {
                Some((_, names)) => names.push(&room.workspace),
                None => lines.push((line, vec![&room.workspace])),
            }
        }
        let mut text = String::new();
        for (line, names) in lines {
            text += &wrapped("  ", "", &format!("{}: {line}", names.join(", ")));
        }
        for room in vpcs {
            text += &wrapped("  ", &format!("{}: ", last(&room.vpc)), &growth(room));
        }
        for short in shortages {
            let names: Vec<&str> = short.workspaces.iter().map(String::as_str).collect();
            let line = format!("{} nodes asked for, room for {}", short.asked, short.nodes);
            let label = paint(Ink::Red, "too small for");
            text += &format!("  {label} {}: {line}\n", names.join(", "));
            text += &wrapped("    ", "", &short.next);
        }
        for overlap in overlaps {
            let (one, other) = &overlap.subnets;
            text += &format!("  {} {one} and {other}\n", paint(Ink::Red, "overlap:"));
        }
        match text.is_empty() {
            true => text,
            false => format!("{}\n{text}\n", paint(Ink::Bold, "room for nodes")),
        }
    }

    /// Limits that are nearly or more than used up.
    fn limits(&self) -> String {
        let line = |limit: &Limit| {
            let used = limit.used.as_ref()?;
            let Limit { id, what, limit, per, .. } = limit;
            // A limit of one is always used up by the one.
            let near = *limit > 1 && used.most * 10 >= limit * 8;
            let line = format!("{id}: {} of {limit} {what} per {per} ({})", used.most, used.at);
            (near || !used.over.is_empty()).then(|| wrapped("  ", "", &line))
        };
        let text: String = self.report.limits.iter().filter_map(line).collect();
        match text.is_empty() {
            true => text,
            false => format!("{}\n{text}\n", paint(Ink::Bold, "limits")),
        }
    }

    fn closing(&self) -> String {
        let Count { errors, warnings, accepted, infos } = Count::of(self.report);
        let mut ways = Ways::default();
        for proof in &self.report.proofs {
            match proof.verdict {
                Verdict::Proven { .. } => ways.proven += 1,
                Verdict::Blocked { .. } => ways.blocked += 1,
                Verdict::Unknown { .. } => ways.unknown += 1,
                Verdict::NotRequired { .. } => {}
            }
        }
        let Ways { proven, blocked, unknown } = ways;
        let mut found = vec![many(errors, "error"), many(warnings, "warning")];
        match infos {
            0 => {}
            _ if self.info => found.push(format!("{infos} info")),
            _ => found.push(format!("{infos} more with --info")),
        }
        found.push(format!("{accepted} accepted"));
        let ways = format!("{proven} ways proven, {blocked} blocked, {unknown} unknown");
        wrapped("", "", &format!("check: {}; {ways}", found.join(", ")))
    }
}

#[derive(Default)]
struct Ways {
    proven: usize,
    blocked: usize,
    unknown: usize,
}

/// Findings by what they mean for a plan.
struct Count {
    errors: usize,
    warnings: usize,
    accepted: usize,
    infos: usize,
}

impl Count {
    fn of(report: &Report) -> Count {
        let open = |severity| {
            let open = |f: &&Finding| f.accepted.is_none() && f.severity == severity;
            report.findings.iter().filter(open).count()
        };
        Count {
            errors: open(Severity::Error),
            warnings: open(Severity::Warning),
            infos: open(Severity::Info),
            accepted: report.findings.iter().filter(|f| f.accepted.is_some()).count(),
        }
    }
}

/// The line that a plan has for what does not stop it.
pub(crate) fn counted(report: &Report) -> Option<String> {
    let Count { warnings, accepted, .. } = Count::of(report);
    let parts = [
        (warnings > 0).then(|| many(warnings, "warning")),
        (accepted > 0).then(|| format!("{accepted} accepted")),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| format!("check: {}; see `dbxctl check`", parts.join(", ")))
}

pub(crate) fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

fn ink(severity: Severity) -> Ink {
    match severity {
        Severity::Info => Ink::Dim,
        Severity::Warning => Ink::Yellow,
        Severity::Error => Ink::Red,
    }
}

fn many(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}

/// One part for every workspace that is not like an earlier one.
fn workspaces(spec: &Spec, proofs: &[Proof]) -> Vec<String> {
    let mut by_workspace: BTreeMap<&str, Vec<&Proof>> = BTreeMap::new();
    for proof in proofs {
        by_workspace.entry(&proof.workspace).or_default().push(proof);
    }
    let mut parts: Vec<(String, Vec<&str>)> = Vec::new();
    let mut known: HashMap<(Option<&str>, Matrix<'_>), usize> = HashMap::new();
    let mut managed = Vec::new();
    for (name, workspace) in &spec.workspaces {
        let Some(proofs) = by_workspace.get(name.as_str()) else {
            managed.push(name.as_str());
            continue;
        };
        let matrix = Matrix::of(spec, proofs);
        let vpc = workspace.vpc.as_deref();
        if let Some(first) = known.get(&(vpc, matrix.clone())) {
            parts[*first].1.push(name);
            continue;
        }
        let title = match vpc {
            Some(vpc) => format!("{name} in {vpc}"),
            None => name.clone(),
        };
        known.insert((vpc, matrix.clone()), parts.len());
        parts.push((matrix.text(&title), vec![name]));
    }
    let mut texts: Vec<String> = parts
        .into_iter()
        .map(|(text, names)| match names.split_first() {
            Some((first, others)) if !others.is_empty() => {
                text + &wrapped("", "", &format!("{}: as {first}", others.join(", ")))
            }
            _ => text,
        })
        .collect();
    if !managed.is_empty() {
        let line = format!("{}: in a network that Databricks makes", managed.join(", "));
        texts.push(wrapped("", "", &line));
    }
    texts
}

/// What one workspace reaches: rows are destinations, columns are subnets that do not differ.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Matrix<'a> {
    columns: Vec<Vec<String>>,
    rows: Vec<Row<'a>>,
    /// Those of users, who come from no subnet.
    users: Vec<Row<'a>>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Row<'a> {
    class: &'static str,
    to: &'a str,
    cells: Vec<Cell>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Cell {
    /// It works, in that way.
    Way(&'static str),
    Blocked(&'static str, Severity),
    Unknown,
    NotNeeded,
    /// Nothing was asked.
    Nothing,
}

impl Cell {
    fn of(verdict: &Verdict) -> Cell {
        match verdict {
            Verdict::Proven { via, .. } => Cell::Way(word(*via)),
            Verdict::Blocked { block, .. } => Cell::Blocked(block.rule, block.severity),
            Verdict::Unknown { .. } => Cell::Unknown,
            Verdict::NotRequired { .. } => Cell::NotNeeded,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Cell::Way(word) => word,
            Cell::Blocked(..) => "BLOCKED",
            Cell::Unknown => "UNKNOWN",
            Cell::NotNeeded => "-",
            Cell::Nothing => "",
        }
    }

    fn painted(self, width: usize) -> String {
        let text = format!("{:width$}", self.word());
        match self {
            Cell::Blocked(_, severity) => paint(ink(severity), &text),
            Cell::Unknown => paint(Ink::Yellow, &text),
            Cell::NotNeeded => paint(Ink::Dim, &text),
            Cell::Way(_) | Cell::Nothing => text,
        }
    }
}

fn word(via: Via) -> &'static str {
    match via {
        Via::Endpoint => "endpoint",
        Via::Gateway => "gateway",
        Via::Nat => "nat",
        Via::Peering => "peering",
        Via::Local => "local",
        Via::Public => "public",
    }
}

impl<'a> Matrix<'a> {
    fn of(spec: &Spec, proofs: &[&'a Proof]) -> Matrix<'a> {
        let mut subnets: Vec<&str> = Vec::new();
        let mut rows: Vec<(&'static str, &str)> = Vec::new();
        let mut cells: HashMap<(&str, &str, &str), Cell> = HashMap::new();
        let mut users = Vec::new();
        for proof in proofs {
            let Proof { from, class, to, verdict, .. } = *proof;
            let cell = Cell::of(verdict);
            if from.is_empty() {
                users.push(Row { class, to, cells: vec![cell] });
                continue;
            }
            if !subnets.contains(&from.as_str()) {
                subnets.push(from);
            }
            if cells.insert((from, class, to), cell).is_none()
                && !rows.contains(&(*class, to.as_str()))
            {
                rows.push((class, to));
            }
        }
        rows.sort_by_key(|(class, _)| number(class));
        let mut columns: Vec<(Vec<String>, Vec<Cell>)> = Vec::new();
        for from in subnets {
            let cell = |(class, to): &(&str, &str)| {
                cells.get(&(from, *class, *to)).copied().unwrap_or(Cell::Nothing)
            };
            let column: Vec<Cell> = rows.iter().map(cell).collect();
            match columns.iter_mut().find(|(_, cells)| *cells == column) {
                Some((names, _)) => names.push(short(spec, from)),
                None => columns.push((vec![short(spec, from)], column)),
            }
        }
        let row = |(index, (class, to)): (usize, (&'static str, &'a str))| {
            let cells = columns.iter().map(|(_, cells)| cells[index]).collect();
            Row { class, to, cells }
        };
        let rows = rows.into_iter().enumerate().map(row).collect();
        Matrix { columns: columns.into_iter().map(|(names, _)| names).collect(), rows, users }
    }

    fn text(&self, title: &str) -> String {
        const MARGIN: usize = 2;
        /// Between columns.
        const GAP: usize = 2;
        /// `DBX-NET-001`
        const RULE: usize = 11;
        let all = || self.rows.iter().chain(&self.users);
        let room = style().width;
        let name = all().map(|row| row.name().chars().count()).max().unwrap_or(0);
        let name = name.max(title.chars().count().saturating_sub(MARGIN)).min(room / 2);
        let mut text = String::new();
        let heading = |names: &Vec<String>| match names.join(", ") {
            // Ids of subnets take more room than all that is said of them.
            all if MARGIN + name + GAP + all.chars().count() > room => {
                format!("{} subnets", names.len())
            }
            all => all,
        };
        let headings: Vec<String> = self.columns.iter().map(heading).collect();
        let width = |column: usize| {
            let cells = all().filter_map(|row| row.cells.get(column)).map(|cell| cell.word().len());
            let widest = cells.max().unwrap_or(0);
            // A heading may be as long as it likes when nothing stands beside it.
            if headings.len() < 2 { widest } else { widest.max(headings[column].chars().count()) }
        };
        let widths: Vec<usize> = (0..headings.len().max(1)).map(width).collect();
        let mut columns = 0..0;
        while columns.end < widths.len() {
            let mut taken = MARGIN + name + GAP + RULE;
            columns = columns.end..columns.end + 1;
            taken += widths[columns.start] + GAP;
            while let Some(width) = widths.get(columns.end).filter(|w| taken + *w <= room) {
                taken += width + GAP;
                columns.end += 1;
            }
            let title = format!("{:1$}", cut(title, name + MARGIN), name + MARGIN);
            let mut head = paint(Ink::Bold, &title);
            for column in columns.clone() {
                let heading = headings.get(column).map_or("", String::as_str);
                head += &format!("  {heading:0$}", widths[column]);
            }
            text += head.trim_end();
            text.push('\n');
            for row in &self.rows {
                text += &row.text(name, columns.clone(), &widths);
            }
        }
        for row in &self.users {
            text += &row.text(name, 0..1, &widths);
        }
        text
    }
}

impl Row<'_> {
    fn name(&self) -> String {
        format!("{:3} {}", self.class, self.to)
    }

    /// The row, with the rules that block its cells at the end.
    fn text(&self, name: usize, columns: std::ops::Range<usize>, widths: &[usize]) -> String {
        let mut line = format!("  {:name$}", cut(&self.name(), name));
        let mut rules = Vec::new();
        for (column, cell) in columns.clone().zip(&self.cells[columns]) {
            line += &format!("  {}", cell.painted(widths[column]));
            if let Cell::Blocked(rule, _) = cell
                && !rules.contains(rule)
            {
                rules.push(rule);
            }
        }
        if !rules.is_empty() {
            line += &format!("  {}", rules.join(", "));
        }
        format!("{}\n", line.trim_end())
    }
}

/// The order of `D2` and `D10`, with users last.
fn number(class: &str) -> (bool, u32) {
    let digits = class.trim_start_matches(|c: char| !c.is_ascii_digit());
    (class.starts_with('U'), digits.parse().unwrap_or(u32::MAX))
}

/// A subnet by its zone, or by its id: `1a`.
fn short(spec: &Spec, subnet: &str) -> String {
    let name = last(subnet);
    match name.strip_prefix(spec.region.as_str()) {
        // The digit of the region belongs to what people call a zone.
        Some(letter) if !letter.is_empty() => {
            let digit = spec.region.rsplit('-').next().unwrap_or_default();
            format!("{digit}{letter}")
        }
        _ => name.to_owned(),
    }
}

/// How many nodes one workspace has room for.
fn nodes(spec: &Spec, room: &WorkspaceRoom) -> String {
    if room.zones.is_empty() {
        return "its subnets have not been read".to_owned();
    }
    let zones: Vec<String> = room
        .zones
        .iter()
        .map(|(zone, nodes)| format!("{nodes} in {}", short(spec, zone)))
        .collect();
    let most = if room.exact { "" } else { "at most " };
    let peak = room.peak.map_or(String::new(), |peak| format!(", {peak} asked for"));
    let shared = if room.shared { ", shared with others" } else { "" };
    format!("{most}{} nodes ({}){peak}{shared}", room.nodes, zones.join(", "))
}

/// How far one VPC can still grow.
fn growth(room: &VpcRoom) -> String {
    let VpcRoom { addresses, free, exact, prefix, workspaces, next, .. } = room;
    let most = if *exact { "" } else { "at most " };
    let free = format!("{most}{free} of {addresses} addresses free");
    match next {
        Some(next) => format!("{free}; {next}"),
        None => {
            format!("{free}, room for {workspaces} more workspaces with a /{prefix} in each zone")
        }
    }
}

/// The last word of an address.
fn last(key: &str) -> &str {
    key.rsplit(['.', '/']).next().unwrap_or(key)
}

/// Ways of one workspace that end alike, with the subnets they are from.
fn together<'a>(proofs: impl Iterator<Item = &'a Proof>) -> Vec<(&'a Proof, Vec<&'a str>)> {
    let mut all: Vec<(&Proof, Vec<&str>)> = Vec::new();
    let mut known: HashMap<(&str, &str, &str), Vec<usize>> = HashMap::new();
    for proof in proofs {
        let same = known.entry((&proof.workspace, proof.class, &proof.to)).or_default();
        match same.iter().find(|index| all[**index].0.verdict == proof.verdict) {
            Some(index) => all[*index].1.push(&proof.from),
            None => {
                same.push(all.len());
                all.push((proof, vec![&proof.from]));
            }
        }
    }
    all.sort_by_key(|(proof, _)| (&proof.workspace, number(proof.class)));
    all
}

/// One way, decision by decision.
fn details(spec: &Spec, proof: &Proof, from: &[&str]) -> String {
    let Proof { workspace, class, to, verdict, .. } = proof;
    let from: Vec<String> = from.iter().filter(|f| !f.is_empty()).map(|f| short(spec, f)).collect();
    let from = if from.is_empty() { String::new() } else { format!(" from {}", from.join(", ")) };
    let title = format!("{workspace}: {class} {to}{from}");
    let (path, ink, end): (&[Hop], _, _) = match verdict {
        Verdict::Proven { via, path } => (path, Ink::Green, format!("PROVEN by {}", word(*via))),
        Verdict::Blocked { path, block } => {
            // The last decision is told below, with what to do about it.
            let told = match path.split_last() {
                Some((last, before)) if last.what == block.message => before,
                _ => path.as_slice(),
            };
            (told, ink(block.severity), format!("BLOCKED {}", block.rule))
        }
        Verdict::Unknown { path, .. } => (path, Ink::Yellow, "UNKNOWN".to_owned()),
        Verdict::NotRequired { .. } => (&[], Ink::Dim, "not needed".to_owned()),
    };
    let mut text = format!("{}  {}\n", paint(Ink::Bold, &title), paint(ink, &end));
    for hop in path {
        let what = match hop.at.is_empty() || hop.what.contains(&hop.at) {
            true => hop.what.clone(),
            false => format!("{} ({})", hop.what, hop.at),
        };
        text += &wrapped("  ", &format!("{:9}", hop.step.word()), &what);
    }
    match verdict {
        Verdict::Blocked { block, .. } => {
            text += &wrapped("  ", "blocked: ", &block.message);
            text += &wrapped("  ", "fix:     ", &block.fix);
            if let Some(symptom) = &block.symptom {
                text += &wrapped("  ", "symptom: ", symptom);
            }
        }
        Verdict::Unknown { why, .. } | Verdict::NotRequired { why } => {
            text += &wrapped("  ", "because: ", why);
        }
        Verdict::Proven { .. } => {}
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use check::CHECK_FORMAT;
    use check::proof::{Block, Step};
    use spec::SourceFile;

    use super::*;

    const SPEC: &str = r#"
apiVersion: dbxctl/v1
name: analytics
region: ap-northeast-1
aws: { account: "123456789012" }
databricks: { account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }
vpcs:
  main: { cidr: 10.0.0.0/16, zones: [ap-northeast-1a, ap-northeast-1c] }
workspaces:
  wk1: { vpc: main }
  wk2: { vpc: main }
  wk3: { vpc: main }
  wk4: {}
"#;

    pub(crate) fn loaded() -> spec::Loaded {
        spec::load(&[SourceFile::new("dbxctl.yaml", SPEC)], &|_| None).expect("a spec")
    }

    fn proven(via: Via, what: &str) -> Verdict {
        let hop = Hop { step: Step::Name, at: String::new(), what: what.to_owned() };
        Verdict::Proven { via, path: vec![hop] }
    }

    fn blocked(workspace: &str) -> Verdict {
        let at = format!("aws.route_table/{workspace}");
        let table = format!("no route to 0.0.0.0/0 in `{workspace}`");
        Verdict::Blocked {
            path: vec![
                Hop {
                    step: Step::Name,
                    at: String::new(),
                    what: "sts.ap-northeast-1.amazonaws.com → a public address: the endpoint \
                           `main.sts` has no private DNS"
                        .to_owned(),
                },
                Hop { step: Step::Route, at: at.clone(), what: "no default route".to_owned() },
            ],
            block: Block {
                rule: "DBX-EPT-002",
                severity: Severity::Error,
                at,
                message: table,
                fix: "turn on private DNS of the endpoint, or set `nat: single` in `vpcs.main`"
                    .to_owned(),
                symptom: Some("AWS_INSUFFICIENT_INSTANCE_CAPACITY_FAILURE".to_owned()),
            },
        }
    }

    fn finding(rule: &'static str, severity: Severity, workspace: &str) -> Finding {
        Finding {
            rule,
            severity,
            subject: format!("aws.subnet/{workspace}.ap-northeast-1a"),
            pointer: format!("/workspaces/{workspace}"),
            message: format!("the subnets of `{workspace}` have no way to STS (D13)"),
            fix: "turn on private DNS of the endpoint `main.sts`".to_owned(),
            symptom: None,
            accepted: None,
        }
    }

    pub(crate) fn report() -> Report {
        let mut proofs = Vec::new();
        for workspace in ["wk1", "wk2", "wk3"] {
            let mut add = |from: &str, class, to: &str, verdict| {
                let from = match from {
                    "" => String::new(),
                    zone => format!("aws.subnet/{workspace}.ap-northeast-1{zone}"),
                };
                let (workspace, to) = (workspace.to_owned(), to.to_owned());
                proofs.push(Proof { workspace, from, class, to, verdict });
            };
            for zone in ["a", "c"] {
                let why = "an appliance that is not yours decides".to_owned();
                add(zone, "D1", "control plane", proven(Via::Endpoint, "→ endpoint `main.rest`"));
                add(zone, "D7", "root bucket", proven(Via::Gateway, "→ gateway endpoint"));
                match (workspace, zone) {
                    ("wk3", "c") => add(zone, "D13", "sts", proven(Via::Nat, "→ public")),
                    _ => add(zone, "D13", "sts", blocked(workspace)),
                }
                add(zone, "D20", "pypi.org:443", Verdict::Unknown { path: Vec::new(), why });
                let why = "legacy access is disabled".to_owned();
                add(zone, "D16", "built-in metastore", Verdict::NotRequired { why });
            }
            add("", "U1", "users", proven(Via::Public, "→ public"));
        }
        let mut findings: Vec<Finding> =
            ["wk1", "wk2"].map(|w| finding("DBX-EPT-002", Severity::Error, w)).into();
        findings.extend(
            ["wk1", "wk2", "wk3", "wk4", "wk1"]
                .map(|w| finding("DBX-NET-027", Severity::Warning, w)),
        );
        findings.push(Finding {
            accepted: Some("the network team has opened it".to_owned()),
            ..finding("DBX-SGR-020", Severity::Warning, "wk1")
        });
        findings.push(finding("DBX-WSP-017", Severity::Info, "wk4"));
        let (stack, limits) = ("analytics".to_owned(), Vec::new());
        let capacity = Capacity::default();
        Report { format: CHECK_FORMAT, stack, findings, proofs, capacity, limits }
    }

    #[test]
    fn a_report_is_readable_in_80_columns() {
        let _ = crate::render::STYLE.set(crate::render::Style {
            color: false,
            width: 80,
            screen: true,
        });
        let (loaded, report) = (loaded(), report());
        let locate = |pointer: &str| {
            let place = loaded.places.find(pointer)?;
            Some(Location { file: place.file.to_string(), line: place.line, column: place.column })
        };
        let view = View { spec: &loaded.spec, report: &report, locate: &locate, info: false };
        let chosen = Chosen { workspace: Some("wk3"), class: Some("sts") };
        let all = [
            view.matrices(),
            view.details(&chosen),
            View { info: true, ..view }.closing(),
            counted(&report).unwrap_or_default(),
        ];
        let text = all.join("\n----\n");
        let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > 80).collect();
        assert!(long.is_empty(), "{long:#?}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn subnets_are_called_by_their_zone() {
        let spec = loaded().spec;
        assert_eq!(short(&spec, "aws.subnet/wk1.ap-northeast-1a"), "1a");
        assert_eq!(short(&spec, "aws.subnet/wk1.subnet-0a1b"), "subnet-0a1b");
        assert_eq!(short(&spec, "aws.subnet/wk1.us-east-1a"), "us-east-1a");
    }
}
