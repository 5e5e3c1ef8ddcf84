//! The plan as one comment for a reviewer, who must be able to say yes or no from it alone.

mod fit;
mod objects;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use check::{Location, RoomChange};
use engine::{Action, Consequence, Group, Headline, Impact, Move, Plan, Step};
use kinds::users::User;

use super::expected;
use super::plan::{impact_words, workspaces_replaced};
use crate::commands::{Accepted, PlanFile, Warning};
use crate::exit::Fail;
use crate::setup::Target;
use fit::{Block, Worth, fit};
use objects::{Objects, Told};
use text::{alert, clip, code, details, fence, html_code, plain, prose, table};

/// A plan and what is needed to show it to a reviewer.
pub(crate) struct Review<'a> {
    pub(crate) file: &'a PlanFile,
    /// Whether it is about drift alone and cannot be applied.
    pub(crate) drift: bool,
    /// Where the spec says what a JSON pointer is about.
    pub(crate) locate: &'a dyn Fn(&str) -> Option<Location>,
    /// The topology as mermaid, in so many characters at most.
    pub(crate) diagram: &'a dyn Fn(usize) -> Option<String>,
}

/// Names are cut here, so that what is always told fits every budget.
const NAME: usize = 64;

impl Review<'_> {
    /// The comment, in at most `budget` characters.
    pub(crate) fn markdown(&self, budget: usize) -> String {
        let plan = &self.file.plan;
        let mut blocks = vec![Block::fixed(self.head())];
        if plan.is_empty() {
            blocks.push(self.checked());
            blocks.extend(self.remarks());
            blocks.push(Block::fixed(self.foot()));
            return fit(&blocks, budget, &self.elsewhere());
        }
        let told: Vec<usize> =
            plan.headlines.iter().flat_map(|h| h.steps.iter().copied()).collect();
        let rest = plan.steps.iter().filter(|step| !told.contains(&step.step));
        let (drift, asked): (Vec<&Step>, Vec<&Step>) = rest.partition(|step| step.is_drift());
        blocks.push(self.caution());
        blocks.extend(self.headlines());
        blocks.push(self.checked());
        blocks.push(self.users());
        blocks.push(self.picture(budget));
        blocks.push(self.drifted(&drift));
        blocks.extend(self.groups(&asked));
        blocks.push(self.moves());
        blocks.extend(self.remarks());
        blocks.push(Block::fixed(self.foot()));
        fit(&blocks, budget, &self.elsewhere())
    }

    /// The mark by which the next run finds the comment, the title, and the figures.
    fn head(&self) -> String {
        let PlanFile { target, plan, .. } = self.file;
        let what = if self.drift { "drift" } else { "plan" };
        let stack = clip(&plan.stack, NAME);
        format!(
            "{}\n### dbxctl {what}: {}\n\n**{}**\n\n{}",
            marker(what, &stack),
            code(&stack),
            self.figures(),
            place(target)
        )
    }

    fn figures(&self) -> String {
        let plan = &self.file.plan;
        if self.drift {
            return match plan.steps.len() {
                0 => {
                    format!("No drift: {} resources are as they were last applied", plan.unchanged)
                }
                1 => "1 resource is not as it was last applied".to_owned(),
                count => format!("{count} resources are not as they were last applied"),
            };
        }
        if plan.is_empty() {
            return format!("Nothing to do: {} resources are as the spec says", plan.unchanged);
        }
        let sum = plan.summary();
        let figures =
            format!("{} to add, {} to change, {} to destroy", sum.add, sum.change, sum.destroy);
        let replaced = format!("{} replaced", many(workspaces_replaced(plan), "workspace"));
        let deleted = lost(plan, false).get("workspace").copied().unwrap_or_default();
        let deleted = (deleted > 0).then(|| format!("{} deleted", many(deleted, "workspace")));
        let lasting = expected(&self.file.estimate);
        [Some(figures), Some(replaced), deleted, lasting]
            .into_iter()
            .flatten()
            .collect::<Vec<_>>()
            .join(" · ")
    }

    /// What is lost for good, and who is interrupted.
    fn caution(&self) -> Block {
        let plan = &self.file.plan;
        let hits: BTreeSet<Impact> = plan
            .headlines
            .iter()
            .flat_map(|headline| headline.impacts.iter().map(|consequence| consequence.impact))
            .filter(|impact| *impact != Impact::OneWay)
            .collect();
        let mut title: Vec<String> = [(false, "deleted"), (true, "replaced")]
            .into_iter()
            .filter_map(|(replaced, verb)| {
                let lost = lost(plan, replaced);
                let words: Vec<String> = lost.iter().map(|(what, n)| many(*n, what)).collect();
                let (is, it_holds) = match lost.values().sum() {
                    0 => return None,
                    1_usize => ("is", "it holds"),
                    _ => ("are", "they hold"),
                };
                Some(format!("{} {is} {verb}, with all {it_holds}.", words.join(" and ")))
            })
            .collect();
        title.extend(hits.iter().map(|impact| match impact {
            Impact::ComputeStops => "Running compute is interrupted.".to_owned(),
            Impact::UsersLoseAccess | Impact::OneWay => "Some users lose access.".to_owned(),
        }));
        if title.is_empty() {
            return Block::fixed(String::new());
        }
        let title = format!("**{}**", title.join(" "));
        let mut lines = vec![title.clone()];
        if removes_all(plan) {
            lines.push("Nothing that this stack has made is left.".to_owned());
        }
        let items = plan.steps.iter().filter_map(loss);
        let items = items.chain(plan.headlines.iter().flat_map(interruptions));
        lines.extend(items.map(|line| format!("- {line}")));
        Block::fixed(alert("CAUTION", &[title])).or(Worth::Losses, alert("CAUTION", &lines))
    }

    fn headlines(&self) -> Vec<Block> {
        self.file.plan.headlines.iter().map(|headline| self.headline(headline)).collect()
    }

    /// What happens to a living workspace or the like: what it does, why, and its steps.
    fn headline(&self, headline: &Headline) -> Block {
        /// Reasons that are told; the first ones are about most.
        const REASONS: usize = 3;
        let plan = &self.file.plan;
        let own: Vec<&Step> =
            plan.steps.iter().filter(|step| headline.steps.contains(&step.step)).collect();
        let title = format!("#### {}", prose(&headline.title));
        let mut lines = Vec::new();
        for Consequence { impact, words } in &headline.impacts {
            lines.push(format!("- **{}**: {}", impact_words(*impact), prose(words)));
        }
        if headline.impacts.is_empty() && own.iter().all(|step| loss(step).is_none()) {
            lines.push("- impact: none".to_owned());
        }
        for reason in headline.because.iter().take(REASONS) {
            lines.push(format!("- because {}", prose(reason)));
        }
        if headline.because.len() > REASONS {
            lines.push(format!("- and {} more reasons", headline.because.len() - REASONS));
        }
        let reasons = format!("{title}\n\n{}", lines.join("\n"));
        let objects = Objects { steps: own, told: Told::InOrder };
        let section = |body: &str| {
            let summary = format!("{}, in their order", many(objects.steps.len(), "step"));
            format!("{reasons}\n\n{}", details(&summary, false, body))
        };
        Block::fixed(String::new())
            .or(Worth::Headlines, title)
            .or(Worth::Reasons, reasons.clone())
            .or(Worth::Steps, section(&objects.table()))
            .or(Worth::Values, section(&objects.with_changes()))
            .or(Worth::NewValues, section(&objects.with_values()))
    }

    /// What the check found and does not stop the plan.
    fn checked(&self) -> Block {
        let checked = &self.file.checked;
        let (warnings, accepted) = (&checked.warnings, &checked.accepted);
        if warnings.is_empty() && accepted.is_empty() {
            return Block::fixed(String::new());
        }
        let figures =
            format!("#### Check: {}, {} accepted", many(warnings.len(), "warning"), accepted.len());
        let all: Vec<String> = warnings.iter().map(|warning| self.warning(warning)).collect();
        let all = match all.is_empty() {
            true => figures.clone(),
            false => format!("{figures}\n\n{}", all.join("\n")),
        };
        let block = Block::fixed(figures).or(Worth::Warnings, all.clone());
        if accepted.is_empty() {
            return block;
        }
        let lines: Vec<String> = accepted.iter().map(acceptance).collect();
        let lines = details("accepted in the spec", false, &lines.join("\n"));
        block.or(Worth::Accepted, format!("{all}\n\n{lines}"))
    }

    fn warning(&self, warning: &Warning) -> String {
        let Warning { rule, subject, pointer, message, fix, symptom } = warning;
        let at = match (self.locate)(pointer) {
            Some(Location { file, line, .. }) => format!("{file}:{line}"),
            None => subject.clone(),
        };
        let mut text = format!("- **{}** {}: {}", plain(rule), code(&at), prose(message));
        text += &format!("\n  - fix: {}", prose(fix));
        if let Some(symptom) = symptom {
            text += &format!("\n  - users would see: {}", prose(symptom));
        }
        text
    }

    /// Who stands on what is changed.
    fn users(&self) -> Block {
        /// Objects that are listed at once.
        const FEW: usize = 4;
        let mut objects: BTreeMap<Vec<&User>, Vec<&str>> = BTreeMap::new();
        for (address, users) in &self.file.used_by {
            objects.entry(users.iter().collect()).or_default().push(address.as_str());
        }
        if objects.is_empty() {
            return Block::fixed(String::new());
        }
        let mut all: Vec<&User> = objects.keys().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        let outside = match all.iter().filter(|user| user.address.is_none()).count() {
            0 => "all of this stack".to_owned(),
            count => format!("**{count} outside this stack**"),
        };
        let title = format!("#### Who stands on it: {}, {outside}", many(all.len(), "workspace"));
        let row = |(users, addresses): (&Vec<&User>, &Vec<&str>)| {
            let addresses: Vec<String> = addresses.iter().map(|address| code(address)).collect();
            [objects::users(users.iter().copied()), addresses.join("<br>")]
        };
        let rows: Vec<[String; 2]> = objects.iter().map(row).collect();
        let body = table(["Workspace", "What is changed under it"], &rows);
        let count = self.file.used_by.len();
        let body = match count {
            0..=FEW => body,
            _ => details(&many(count, "object"), false, &body),
        };
        let full = format!("{title}\n\n{body}");
        Block::fixed(String::new()).or(Worth::Users, title).or(Worth::Users, full)
    }

    /// The topology, in detail where there is room and it can still be read as wide as a comment.
    fn picture(&self, budget: usize) -> Block {
        const LARGEST: usize = 6_000;
        let drawn = |characters: usize| {
            let mermaid = (self.diagram)(characters)?;
            Some(details(
                "the network, with what changes",
                true,
                &fence("mermaid", mermaid.lines()),
            ))
        };
        let most = LARGEST.min(budget / 3);
        let sizes = [(Worth::Picture, most / 2), (Worth::LargePicture, most)];
        let drawn = sizes.into_iter().filter_map(|(worth, size)| Some((worth, drawn(size)?)));
        drawn.fold(Block::fixed(String::new()), |block, (worth, text)| block.or(worth, text))
    }

    /// What was changed outside dbxctl and is put back.
    fn drifted(&self, steps: &[&Step]) -> Block {
        if steps.is_empty() {
            return Block::fixed(String::new());
        }
        let title = match self.drift {
            true => "#### What differs".to_owned(),
            false => format!("#### Changed outside dbxctl, and put back: {}", steps.len()),
        };
        let objects = Objects { steps: steps.to_vec(), told: Told::Apart };
        Block::fixed(String::new())
            .or(Worth::Drift, title.clone())
            .or(Worth::Objects, format!("{title}\n\n{}", objects.table()))
            .or(Worth::Values, format!("{title}\n\n{}", objects.with_changes()))
            .or(Worth::NewValues, format!("{title}\n\n{}", objects.with_values()))
    }

    /// Everything else, by shared parts and workspaces.
    fn groups(&self, steps: &[&Step]) -> Vec<Block> {
        let mut groups: BTreeMap<&Group, Vec<&Step>> = BTreeMap::new();
        for step in steps {
            // The removal in a replacement is told together with the new object.
            if step.action == Action::Delete && step.replacing {
                continue;
            }
            groups.entry(&step.group).or_default().push(step);
        }
        groups.into_iter().map(|(group, steps)| self.group(group, steps)).collect()
    }

    fn group(&self, group: &Group, mut steps: Vec<&Step>) -> Block {
        steps.sort_by_key(|s| (s.action == Action::Create, s.action == Action::Delete, s.step));
        let (what, name) = match group {
            Group::Shared(name) => ("shared", name),
            Group::Workspace(name) => ("workspace", name),
        };
        let figures = counts(&steps);
        let only_new = steps.iter().all(|step| step.action == Action::Create);
        let objects = Objects { steps, told: Told::Apart };
        let section = |body: &str| {
            let summary = format!("<b>{what} {}</b>: {figures}", html_code(name));
            details(&summary, false, body)
        };
        let lists = if only_new { Worth::NewObjects } else { Worth::Objects };
        let block = Block::fixed(String::new())
            .or(Worth::Groups, format!("**{what} {}**: {figures}", code(name)));
        // A list of new objects goes before the values of changed ones.
        match only_new {
            true => block.or(lists, section(&objects.table())),
            false => block
                .or(lists, section(&objects.table()))
                .or(Worth::Values, section(&objects.with_changes())),
        }
        .or(Worth::NewValues, section(&objects.with_values()))
    }

    /// What changes in the state alone.
    fn moves(&self) -> Block {
        let plan = &self.file.plan;
        let mut parts = Vec::new();
        if !plan.moved.is_empty() {
            let line = |Move { from, to }: &Move| {
                format!("- {} → {}", code(from.as_str()), code(to.as_str()))
            };
            let lines: Vec<String> = plan.moved.iter().map(line).collect();
            let lines = lines.join("\n");
            parts
                .push(format!("#### Renamed here, nothing of it changes in the clouds\n\n{lines}"));
        }
        let left: Vec<String> =
            plan.left().map(|(at, id)| format!("- {} {}", code(at.as_str()), code(id))).collect();
        if !left.is_empty() {
            parts.push(format!("#### Forgotten, but not deleted\n\n{}", left.join("\n")));
        }
        Block::fixed(String::new()).or(Worth::Moves, parts.join("\n\n"))
    }

    /// What is only told: differences that stay, and room for nodes.
    fn remarks(&self) -> Option<Block> {
        let PlanFile { plan, checked, .. } = self.file;
        let note = |note: &engine::Note| {
            format!("- {}: {}", code(note.address.as_str()), prose(&note.message))
        };
        let room = |RoomChange { workspace, now, then }: &RoomChange| {
            format!("- {} has room for {now} nodes now and for {then} then", code(workspace))
        };
        let lines: Vec<String> =
            checked.room.iter().map(room).chain(plan.notes.iter().map(note)).collect();
        let text = format!("#### Notes\n\n{}", lines.join("\n"));
        (!lines.is_empty()).then(|| Block::fixed(String::new()).or(Worth::Notes, text))
    }

    fn foot(&self) -> String {
        let plan = &self.file.plan;
        let next = match (self.drift, plan.is_empty()) {
            (_, true) => "Nothing happens next.",
            (true, false) => {
                "This report changes nothing. The next `dbxctl apply` puts back what the spec still asks for."
            }
            (false, false) => {
                "Next: `dbxctl apply` of this saved plan does exactly this, or stops when the state has moved on."
            }
        };
        let sha = plan.sha256();
        let (serial, by) = (plan.serial, plain(&clip(&plan.written_by, NAME)));
        format!("---\n\n{next}\nPlan `{}`, state serial {serial}, {by}.", &sha[..12])
    }

    fn elsewhere(&self) -> String {
        match self.drift {
            true => "`dbxctl plan --drift-only` shows all.".to_owned(),
            false => "`dbxctl show` of the saved plan shows all.".to_owned(),
        }
    }
}

/// What a reviewer is told when there is no plan.
pub(crate) fn refused(stack: &str, fail: &Fail, budget: usize) -> String {
    let stack = clip(stack, NAME);
    let head = format!("{}\n### dbxctl plan: {}", marker("plan", &stack), code(&stack));
    let title =
        "**There is no plan: the spec or a check refuses it. Nothing was touched.**".to_owned();
    let reasons = anstream::adapter::strip_str(fail.message.trim_end()).to_string();
    let lines: Vec<&str> = reasons.lines().chain(fail.hints.iter().map(String::as_str)).collect();
    let blocks = [
        Block::fixed(head),
        Block::fixed(alert("CAUTION", &[title])),
        Block::fixed(String::new()).or(Worth::Reasons, fence("text", lines)),
    ];
    fit(&blocks, budget, "`dbxctl plan` shows all.")
}

/// The line by which a pipeline finds the comment again; never shown.
fn marker(what: &str, stack: &str) -> String {
    let harmless = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let stack: String = stack.chars().map(|c| if harmless(c) { c } else { '_' }).collect();
    format!("<!-- dbxctl:{what} {stack} -->")
}

fn place(target: &Target) -> String {
    if target.sandbox {
        return format!("{} in the sandbox", code(&clip(&target.region, NAME)));
    }
    let Target { region, aws_account, databricks_account, .. } = target;
    let short = |text: &str| code(&clip(text, 36));
    format!(
        "{} · AWS {} · Databricks {}",
        short(region),
        short(aws_account),
        short(databricks_account)
    )
}

/// What is deleted, or replaced, with all it holds: how many of which kind.
fn lost(plan: &Plan, replaced: bool) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for step in plan.steps.iter().filter(|step| step.precious) {
        let counted = match step.action {
            Action::Delete => !replaced && !step.replacing,
            Action::Replace => replaced,
            Action::Create | Action::Adopt | Action::Update | Action::Finish => false,
        };
        if counted {
            let kind = step.address.kind();
            *counts.entry(kind.rsplit_once('.').map_or(kind, |(_, kind)| kind)).or_default() += 1;
        }
    }
    counts
}

/// What is lost with a step.
fn loss(step: &Step) -> Option<String> {
    if !step.precious {
        return None;
    }
    let address = code(step.address.as_str());
    match step.action {
        Action::Replace => Some(format!("{address} is replaced, and what it holds is lost")),
        Action::Delete if step.replacing => None,
        Action::Delete if step.empties => {
            Some(format!("{address} is deleted with every object and version it holds"))
        }
        Action::Delete => Some(format!("{address} is deleted, and what it holds is lost")),
        Action::Create | Action::Adopt | Action::Update | Action::Finish => None,
    }
}

/// Whom a headline interrupts, and how.
fn interruptions(headline: &Headline) -> Vec<String> {
    let felt = |c: &&Consequence| c.impact != Impact::OneWay;
    let line = |consequence: &Consequence| {
        format!("{}: **{}**", prose(&headline.title), impact_words(consequence.impact))
    };
    let mut lines: Vec<String> = headline.impacts.iter().filter(felt).map(line).collect();
    lines.dedup();
    lines
}

fn removes_all(plan: &Plan) -> bool {
    let removes = |step: &Step| step.action == Action::Delete && !step.replacing;
    plan.unchanged == 0 && !plan.steps.is_empty() && plan.steps.iter().all(removes)
}

fn acceptance(accepted: &Accepted) -> String {
    let Accepted { rule, severity, message, reason, .. } = accepted;
    format!(
        "- {} **{}**: {}\n  - because {}",
        plain(severity),
        plain(rule),
        prose(message),
        prose(reason)
    )
}

fn counts(steps: &[&Step]) -> String {
    let mut counts = [0; 4];
    for step in steps {
        counts[match step.action {
            Action::Create => 0,
            Action::Update | Action::Adopt | Action::Finish => 1,
            Action::Replace => 2,
            Action::Delete => 3,
        }] += 1;
    }
    let words = ["add", "change", "replace", "destroy"];
    let told = counts.iter().zip(words).filter(|(count, _)| **count > 0);
    let told: Vec<String> = told.map(|(count, word)| format!("{count} to {word}")).collect();
    told.join(", ")
}

fn many(count: usize, what: &str) -> String {
    match count {
        0 => format!("0 {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{count} {what}s"),
    }
}
