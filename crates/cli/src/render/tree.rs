//! What an apply is doing, as lines of a screen: a pure function of the events and the clock.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use engine::{Action, Address, Estimate, Event, Group, Plan};

use super::text::cut;
use super::{Ink, paint};

/// The steps of a run and how far each is. Times are since the start of the run.
pub(super) struct Tree {
    steps: BTreeMap<usize, Step>,
}

struct Step {
    address: Address,
    group: Group,
    action: Action,
    /// The steps it waits for.
    after: BTreeSet<usize>,
    /// How long it is thought to take; zero for unknown.
    estimate: Duration,
    state: State,
}

enum State {
    Waiting,
    Running {
        since: Duration,
        what: Option<String>,
    },
    Done,
    /// Failed, or skipped because another did.
    Lost,
}

/// A line below a group, and how much it matters when there is no room for all.
struct Row<'a> {
    group: &'a Group,
    rank: (u8, Reverse<Duration>, usize),
    text: String,
}

/// The size of the screen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) columns: usize,
    pub(super) rows: usize,
}

impl Tree {
    pub(super) fn new(plan: &Plan, estimate: &Estimate) -> Self {
        let step = |step: &engine::Step| Step {
            address: step.address.clone(),
            group: step.group.clone(),
            action: step.action,
            after: step.after.clone(),
            estimate: Duration::try_from_secs_f64(estimate.of_step(step.step).unwrap_or_default())
                .unwrap_or_default(),
            state: State::Waiting,
        };
        Tree { steps: plan.steps.iter().map(|one| (one.step, step(one))).collect() }
    }

    /// Takes note of an event. Whether a step waits for something it did not wait for before.
    pub(super) fn event(&mut self, event: &Event, now: Duration) -> bool {
        let (number, state) = match event {
            Event::Started { step, .. } => (step, State::Running { since: now, what: None }),
            Event::Waiting { step, what, .. } => return self.waits(*step, what, now),
            Event::Finished { step, .. } => (step, State::Done),
            Event::Failed { step, .. } | Event::Skipped { step, .. } => (step, State::Lost),
            Event::Retrying { step, error, .. } => {
                let reason = format!("again after {:?}", error.class).to_lowercase();
                return self.waits(*step, &reason, now);
            }
        };
        if let Some(step) = self.steps.get_mut(number) {
            step.state = state;
        }
        false
    }

    fn waits(&mut self, number: usize, reason: &str, now: Duration) -> bool {
        let Some(step) = self.steps.get_mut(&number) else { return false };
        let (since, before) = match &step.state {
            State::Running { since, what } => (*since, what.as_deref()),
            _ => (now, None),
        };
        let new = before != Some(reason);
        step.state = State::Running { since, what: Some(reason.to_owned()) };
        new
    }

    pub(super) fn total(&self) -> usize {
        self.steps.len()
    }

    pub(super) fn done(&self) -> usize {
        self.steps.values().filter(|step| matches!(step.state, State::Done)).count()
    }

    /// What has been running for longest, and how many others run.
    pub(super) fn oldest(&self, now: Duration) -> String {
        let running = self.steps.values().filter_map(|step| match &step.state {
            State::Running { since, what } => Some((since, what, &step.address)),
            _ => None,
        });
        let running: Vec<_> = running.collect();
        let Some((since, what, address)) = running.iter().min_by_key(|(since, ..)| *since) else {
            return String::new();
        };
        let what = what.as_ref().map(|what| format!(" ({what})")).unwrap_or_default();
        let others = match running.len() - 1 {
            0 => String::new(),
            n => format!(" and {n} more"),
        };
        format!("{address}{what} for {}s{others}", now.saturating_sub(**since).as_secs())
    }

    /// The screen: how far the run is, then the running steps and those that come next, by group.
    pub(super) fn lines(&self, now: Duration, size: Size) -> Vec<String> {
        let (left, critical) = self.longest(now);
        let (mut rows, far) = self.rows(now, &critical, size.columns);
        let all = rows.len() + far;
        rows.sort_by_key(|row| row.rank);
        // The total, and the line that counts what is not shown.
        let room = size.rows.saturating_sub(2).max(1);
        let height = |rows: &[Row<'_>]| {
            let groups: BTreeSet<&Group> = rows.iter().map(|row| row.group).collect();
            rows.len() + groups.len()
        };
        while !rows.is_empty() && height(&rows) > room {
            rows.pop();
        }
        let mut lines = vec![self.total_line(now, left, size.columns)];
        let mut groups: BTreeMap<&Group, Vec<&Row<'_>>> = BTreeMap::new();
        for row in &rows {
            groups.entry(row.group).or_default().push(row);
        }
        for (group, rows) in groups {
            let title = match group {
                Group::Shared(name) => format!("shared: {name}"),
                Group::Workspace(name) => format!("workspace: {name}"),
            };
            lines.push(paint(Ink::Bold, &cut(&title, size.columns)));
            lines.extend(rows.iter().map(|row| row.text.clone()));
        }
        if rows.len() < all {
            lines.push(cut(&format!("… and {} more", all - rows.len()), size.columns));
        }
        lines
    }

    /// `12/48 ━━━━━━──── 1m12s, ~3m20s left`
    fn total_line(&self, now: Duration, left: Option<Duration>, columns: usize) -> String {
        let done = self.done();
        let steps = format!("{done}/{}", self.total());
        let (time, part) = match left {
            Some(left) => (
                format!("{}, ~{} left", clock(now), clock(left)),
                now.as_secs_f64() / (now + left).as_secs_f64().max(f64::EPSILON),
            ),
            None => (clock(now), done as f64 / self.total().max(1) as f64),
        };
        let room = columns.saturating_sub(steps.len() + time.chars().count() + 2).min(40);
        if room < 8 {
            return cut(&format!("{steps} {time}"), columns);
        }
        let full = ((part.clamp(0.0, 1.0) * room as f64) as usize).min(room);
        let bar = "━".repeat(full) + &"─".repeat(room - full);
        format!("{steps} {bar} {time}")
    }

    /// Running steps, and those that wait for nothing but running ones. How many others there are.
    fn rows(
        &self,
        now: Duration,
        critical: &BTreeSet<usize>,
        columns: usize,
    ) -> (Vec<Row<'_>>, usize) {
        let (mut rows, mut far) = (Vec::new(), 0);
        for (number, step) in &self.steps {
            let decides = critical.contains(number);
            let (rank, what, time) = match &step.state {
                State::Done | State::Lost => continue,
                State::Running { since, what } => {
                    let elapsed = now.saturating_sub(*since);
                    let time = match step.estimate {
                        Duration::ZERO => clock(elapsed),
                        estimate => format!("{} of ~{}", clock(elapsed), clock(estimate)),
                    };
                    let what = what.as_ref().map(|what| format!(": {what}"));
                    let rank = (u8::from(!decides), Reverse(elapsed), *number);
                    (rank, what.unwrap_or_default(), time)
                }
                State::Waiting => {
                    let Some(last) = self.last_before(step, now) else {
                        far += 1;
                        continue;
                    };
                    let rank = (2 + u8::from(!decides), Reverse(Duration::ZERO), *number);
                    (rank, format!(" after {last}"), String::new())
                }
            };
            let symbol = match step.action {
                Action::Create | Action::Replace | Action::Finish => paint(Ink::Green, "+"),
                Action::Adopt => paint(Ink::Yellow, ">"),
                Action::Update => paint(Ink::Yellow, "~"),
                Action::Delete => paint(Ink::Red, "-"),
            };
            let mark = if decides { paint(Ink::Bold, "*") } else { " ".to_owned() };
            // Mark, symbol and the spaces around them.
            let room = columns.saturating_sub(4);
            let text = fit(step.address.as_str(), &what, &time, room);
            rows.push(Row { group: &step.group, rank, text: format!("{mark} {symbol} {text}") });
        }
        (rows, far)
    }

    /// Of the running steps that a step waits for, the one that will be done last; `None` while it
    /// waits for one that is not running yet, or for none.
    fn last_before(&self, step: &Step, now: Duration) -> Option<&Address> {
        let open = step.after.iter().filter_map(|number| self.steps.get(number));
        let open: Vec<&Step> = open.filter(|s| !matches!(s.state, State::Done)).collect();
        if !open.iter().all(|step| matches!(step.state, State::Running { .. })) {
            return None;
        }
        open.into_iter().max_by_key(|step| step.left(now)).map(|step| &step.address)
    }

    /// How long the rest will take at least, and the steps that decide it; no time without estimates.
    fn longest(&self, now: Duration) -> (Option<Duration>, BTreeSet<usize>) {
        // Steps wait for others of smaller and of larger numbers: each is looked at when it is asked for.
        let mut known: BTreeMap<usize, (Duration, Option<usize>)> = BTreeMap::new();
        for number in self.steps.keys() {
            self.until(*number, now, &mut known);
        }
        let last = known.iter().max_by_key(|(_, (until, _))| *until);
        let Some((last, (left, _))) = last.filter(|(_, (left, _))| !left.is_zero()) else {
            return (None, BTreeSet::new());
        };
        let mut critical = BTreeSet::new();
        let mut next = Some(*last);
        while let Some(number) = next {
            if !self.steps[&number].left(now).is_zero() {
                critical.insert(number);
            }
            next = known.get(&number).and_then(|(_, before)| *before);
        }
        (Some(*left), critical)
    }

    /// When a step will be done, from now, and which of those before it decides that.
    fn until(
        &self,
        number: usize,
        now: Duration,
        known: &mut BTreeMap<usize, (Duration, Option<usize>)>,
    ) -> Duration {
        if let Some((until, _)) = known.get(&number) {
            return *until;
        }
        let Some(step) = self.steps.get(&number) else { return Duration::ZERO };
        let before = step.after.iter().map(|before| (self.until(*before, now, known), *before));
        let longest = before.max().filter(|(until, _)| !until.is_zero());
        let until = longest.map_or(Duration::ZERO, |(until, _)| until) + step.left(now);
        known.insert(number, (until, longest.map(|(_, before)| before)));
        until
    }
}

impl Step {
    /// How much longer it is thought to take. One that is late is always about to be done.
    fn left(&self, now: Duration) -> Duration {
        match self.state {
            State::Waiting => self.estimate,
            State::Running { since, .. } if !self.estimate.is_zero() => {
                self.estimate.saturating_sub(now.saturating_sub(since)).max(Duration::from_secs(1))
            }
            _ => Duration::ZERO,
        }
    }
}

/// A name, what it is about, and a time at the right end, in so many columns. What it is about gives
/// way first, then the name.
fn fit(name: &str, what: &str, time: &str, columns: usize) -> String {
    let length = |text: &str| text.chars().count();
    // A name of which nothing is left says less than no time.
    let time = if columns < length(time) + 12 { "" } else { time };
    let room = columns.saturating_sub(if time.is_empty() { 0 } else { length(time) + 2 });
    let name = cut(name, room);
    let what = match room.saturating_sub(length(&name)) {
        few if few < 8 && length(what) > few => String::new(),
        room => cut(what, room),
    };
    if time.is_empty() {
        return name + &what;
    }
    let gap = columns.saturating_sub(length(&name) + length(&what) + length(time));
    format!("{name}{what}{}{}", " ".repeat(gap), paint(Ink::Dim, time))
}

/// `1h05m`, `1m12s` or `12s`.
pub(super) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(steps: &[(usize, &str, &str, &[usize])]) -> Plan {
        let step = |(number, address, group, after): &(usize, &str, &str, &[usize])| {
            let (kind, name) = group.split_once(' ').expect("a group");
            json!({
                "step": number, "action": "create", "address": address, "group": { kind: name },
                "after": after, "props": null, "needs": [], "generation": 1, "changes": [],
            })
        };
        let plan = json!({
            "format": 1, "written_by": "test", "stack": "s", "lineage": "l", "serial": 1,
            "graph_sha256": "", "steps": steps.iter().map(step).collect::<Vec<_>>(),
            "unchanged": 0, "moved": [], "related": [],
        });
        serde_json::from_value(plan).expect("a plan")
    }

    fn sample() -> (Tree, Vec<(u64, Event)>) {
        let plan = plan(&[
            (1, "aws.vpc/main", "shared main", &[]),
            (2, "aws.nat_gateway/main.ap-northeast-1a", "shared main", &[1]),
            (3, "aws.vpc_endpoint/main.rest", "shared main", &[1]),
            (4, "databricks.vpc_endpoint/main.rest", "shared main", &[3]),
            (5, "aws.subnet/wk1.ap-northeast-1a", "workspace wk1", &[1]),
            (6, "databricks.network/wk1", "workspace wk1", &[4, 5]),
            (7, "databricks.workspace/wk1", "workspace wk1", &[2, 6]),
            (8, "aws.bucket/wk1.root", "workspace wk1", &[]),
        ]);
        let steps = vec![2.0, 90.0, 60.0, 10.0, 2.0, 2.0, 150.0, 3.0];
        let estimate = Estimate { steps, ..Estimate::default() };
        let address = |number: usize| plan.steps[number - 1].address.clone();
        let action = Action::Create;
        let started = |step| Event::Started { step, address: address(step), action };
        let finished = |step| Event::Finished {
            step,
            address: address(step),
            action,
            id: None,
            elapsed: Duration::from_secs(2),
        };
        let waiting = |step, what: &str| Event::Waiting {
            step,
            address: address(step),
            what: what.to_owned(),
            elapsed: Duration::ZERO,
        };
        let events = vec![
            (0, started(1)),
            (0, started(8)),
            (2, finished(1)),
            (2, started(2)),
            (2, started(3)),
            (2, started(5)),
            (3, finished(8)),
            (3, waiting(2, "pending")),
            (4, waiting(3, "pendingAcceptance, seen by a reader far away")),
            (5, finished(5)),
        ];
        (Tree::new(&plan, &estimate), events)
    }

    fn screens(columns: usize, rows: usize) -> String {
        let (mut tree, events) = sample();
        let mut text = String::new();
        let mut show = |tree: &Tree, now| {
            let lines = tree.lines(Duration::from_secs(now), Size { columns, rows });
            assert!(lines.len() <= rows, "{lines:#?}");
            for line in &lines {
                assert!(line.chars().count() <= columns, "{line}");
            }
            text += &format!("--- after {now} s\n{}\n", lines.join("\n"));
        };
        show(&tree, 0);
        for (at, event) in &events {
            tree.event(event, Duration::from_secs(*at));
        }
        show(&tree, 5);
        show(&tree, 74);
        show(&tree, 130);
        text
    }

    #[test]
    fn a_run_is_told_in_80_columns() {
        insta::assert_snapshot!(screens(80, 24));
    }

    #[test]
    fn a_run_is_told_in_40_columns() {
        insta::assert_snapshot!(screens(40, 24));
    }

    #[test]
    fn the_smallest_screen_is_not_left() {
        for columns in 4..40 {
            screens(columns, 24);
        }
    }

    #[test]
    fn a_low_screen_shows_what_decides() {
        insta::assert_snapshot!(screens(80, 5));
    }

    #[test]
    fn a_step_says_once_what_it_waits_for() {
        let (mut tree, events) = sample();
        let new: Vec<bool> =
            events.iter().map(|(at, e)| tree.event(e, Duration::from_secs(*at))).collect();
        assert_eq!(new.iter().filter(|new| **new).count(), 2);
        let (_, again) = &events[7];
        assert!(!tree.event(again, Duration::from_secs(9)));
        let oldest = tree.oldest(Duration::from_secs(12));
        assert_eq!(oldest, "aws.nat_gateway/main.ap-northeast-1a (pending) for 10s and 1 more");
    }
}
