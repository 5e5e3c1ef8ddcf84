//! How long a plan will take: its steps, each as long as such steps took before, scheduled as apply
//! schedules them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::plan::{Plan, Step};
use crate::state::State;
use crate::world::Kinds;

/// A step of two to four calls and no wait.
const CALLS: Duration = Duration::from_millis(500);

/// How long a plan will take.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Estimate {
    /// From the first call to the last.
    pub seconds: u64,
    /// Seconds of each step, in the order of the plan's steps.
    pub steps: Vec<f64>,
    /// The steps that decide the total, in their order: each starts when the one before it ends.
    pub critical: Vec<usize>,
    /// How many steps have a duration learned from this stack's own runs.
    pub learned: usize,
}

impl Estimate {
    /// Whether it says nothing, as for a plan that cannot be applied.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Seconds of the step of that number; they count from 1.
    pub fn of_step(&self, number: usize) -> Option<f64> {
        self.steps.get(number.checked_sub(1)?).copied()
    }
}

/// How long the steps of the plan will take with `parallel` of them side by side.
///
/// Pure. A step takes as long as the last ones of its kind and action did in this stack, else as its
/// kind says.
pub fn estimate(plan: &Plan, state: &State, kinds: Kinds, parallel: usize) -> Estimate {
    let mut learned = 0;
    let mut lasting = BTreeMap::new();
    for step in &plan.steps {
        let samples = state.durations_of(step.address.kind(), step.action);
        let known = median(samples).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let duration = known.inspect(|_| learned += 1).unwrap_or_else(|| {
            let kind = kinds.get(step.address.kind());
            kind.and_then(|kind| kind.typical(step.action)).unwrap_or(CALLS)
        });
        lasting.insert(step.step, millis(duration));
    }
    let (total, critical) = schedule(&plan.steps, &lasting, parallel);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of hours")]
    let seconds = |ms: &u64| *ms as f64 / 1000.0;
    Estimate {
        seconds: total.div_ceil(1000),
        steps: plan.steps.iter().map(|step| seconds(&lasting[&step.step])).collect(),
        critical,
        learned,
    }
}

/// The middle of what was measured: one that had to wait for something unusual does not move it.
pub fn median(seconds: &[f64]) -> Option<f64> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) =
        (sorted.get(sorted.len().checked_sub(1)? / 2)?, sorted.get(sorted.len() / 2)?);
    Some(f64::midpoint(*low, *high))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Lets the steps run as apply does: of those that wait for nothing, the lowest number first. When the
/// last one ends, and the chain of steps that leads there.
fn schedule(steps: &[Step], lasting: &BTreeMap<usize, u64>, parallel: usize) -> (u64, Vec<usize>) {
    let mut blocking: BTreeMap<usize, usize> =
        steps.iter().map(|step| (step.step, step.after.len())).collect();
    let mut blocked: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for step in steps {
        for before in &step.after {
            blocked.entry(*before).or_default().push(step.step);
        }
    }
    let free = steps.iter().filter(|step| step.after.is_empty());
    let mut ready: BTreeSet<usize> = free.map(|step| step.step).collect();
    let mut running: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    // The step whose end let each of them start: one it waits for, or one that gave up its place.
    let mut waited: BTreeMap<usize, usize> = BTreeMap::new();
    let mut last: Option<(u64, usize)> = None;
    loop {
        while running.len() < parallel.max(1)
            && let Some(step) = ready.pop_first()
        {
            waited.extend(last.map(|(_, ended)| (step, ended)));
            let now = last.map_or(0, |(at, _)| at);
            running.push(Reverse((now.saturating_add(lasting[&step]), step)));
        }
        let Some(Reverse((at, step))) = running.pop() else { break };
        for number in blocked.get(&step).into_iter().flatten() {
            if let Some(left) = blocking.get_mut(number) {
                *left -= 1;
                if *left == 0 {
                    ready.insert(*number);
                }
            }
        }
        last = Some((at, step));
    }
    let Some((total, last)) = last else { return (0, Vec::new()) };
    let mut chain: Vec<usize> =
        std::iter::successors(Some(last), |step| waited.get(step).copied()).collect();
    chain.reverse();
    (total, chain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plan::Action;
    use crate::state::{Entry, Took};
    use crate::value::Address;

    /// A plan of steps with the names of their kinds and what they wait for, numbered from 1.
    fn plan(steps: &[(&str, &[usize])]) -> Plan {
        let step = |(n, (kind, after)): (usize, &(&str, &[usize]))| {
            json!({
                "step": n + 1, "action": "create", "address": format!("{kind}/{n}"),
                "group": {"shared": "g"}, "after": after, "props": {}, "needs": [],
                "generation": 1, "changes": [],
            })
        };
        let steps: Vec<_> = steps.iter().enumerate().map(step).collect();
        serde_json::from_value(json!({
            "format": 1, "written_by": "", "stack": "s", "lineage": "", "serial": 0,
            "graph_sha256": "", "steps": steps, "unchanged": 0, "moved": [], "related": [],
        }))
        .unwrap()
    }

    /// A state that has seen steps of each kind take so long.
    fn state(seconds: &[(&str, f64)]) -> State {
        let mut state = State::new("s", "l".into());
        for (kind, seconds) in seconds {
            let took = Some(Took { action: Action::Create, seconds: *seconds });
            state.apply(&Entry::Removed { address: Address::new(kind, "x"), id: None, took });
        }
        state
    }

    fn of(plan: &Plan, state: &State, parallel: usize) -> Estimate {
        estimate(plan, state, Kinds(&[]), parallel)
    }

    #[test]
    fn steps_wait_for_each_other_and_for_a_place() {
        let state = state(&[("t.slow", 60.0), ("t.mid", 40.0), ("t.quick", 1.0)]);
        // A diamond, and one beside it.
        let plan = plan(&[
            ("t.quick", &[]),
            ("t.slow", &[1]),
            ("t.mid", &[1]),
            ("t.quick", &[2, 3]),
            ("t.mid", &[]),
        ]);
        let wide = of(&plan, &state, 16);
        assert_eq!((wide.seconds, wide.critical), (62, vec![1, 2, 4]));
        // Two places: 1 and 5 begin, 2 takes the place of 1, 3 that of 5.
        let narrow = of(&plan, &state, 2);
        assert_eq!((narrow.seconds, narrow.critical), (81, vec![5, 3, 4]));
        let alone = of(&plan, &state, 1);
        assert_eq!((alone.seconds, alone.critical), (142, vec![1, 2, 3, 4, 5]));
    }

    #[test]
    fn what_was_learned_goes_before_what_is_believed_and_outliers_do_not_count() {
        let plan = plan(&[("t.a", &[]), ("t.b", &[])]);
        let before = of(&plan, &state(&[]), 16);
        assert_eq!((before.learned, before.steps.as_slice()), (0, [0.5, 0.5].as_slice()));
        let seen = [30.0, 600.0, 31.0, 29.0, 30.5].map(|seconds| ("t.a", seconds));
        let after = of(&plan, &state(&seen), 16);
        assert_eq!((after.learned, after.steps.as_slice()), (1, [30.5, 0.5].as_slice()));
        assert_eq!(
            (after.of_step(1), after.of_step(0), after.of_step(3)),
            (Some(30.5), None, None)
        );
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn a_plan_without_steps_takes_no_time() {
        assert!(of(&plan(&[]), &state(&[]), 16).is_empty());
    }
}
