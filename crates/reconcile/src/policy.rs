//! What a plan may do without anybody looking at it.

use engine::{Action, Address, Plan, Step};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is done about the differences a turn finds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Nothing: they are counted and logged.
    #[default]
    Report,
    /// A plan is carried out when it only adds objects and changes others in place, and nobody who
    /// uses them notices; any other waits as a whole.
    Safe,
    /// Every plan is carried out. What the spec must say in words for `apply`, it must say here too.
    All,
}

/// A part of a plan that must not be carried out without anybody looking at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Withheld {
    pub address: Address,
    pub why: String,
}

/// What keeps a plan from being safe; nothing does when all its steps are.
pub fn withheld(plan: &Plan) -> Vec<Withheld> {
    plan.steps.iter().filter_map(unsafe_step).collect()
}

fn unsafe_step(step: &Step) -> Option<Withheld> {
    let why = match step.action {
        Action::Delete if step.replacing => "the old object is deleted".to_owned(),
        Action::Delete => "it is deleted".to_owned(),
        Action::Replace => "it is replaced by a new object".to_owned(),
        Action::Create if step.precious && step.is_drift() => {
            "it was deleted outside dbxctl, and a new one does not have what was in it".to_owned()
        }
        Action::Create | Action::Adopt | Action::Update | Action::Finish => {
            let impacts = step.changes.iter().flat_map(|change| &change.meaning.impacts);
            let words: Vec<&str> = impacts.map(|impact| impact.words.as_str()).collect();
            if words.is_empty() {
                return None;
            }
            words.join("; ")
        }
    };
    Some(Withheld { address: step.address.clone(), why })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn plan(steps: &[serde_json::Value]) -> Plan {
        let step = |(number, given): (usize, &serde_json::Value)| {
            let mut step = json!({
                "step": number, "address": "toy.thing/main", "group": { "shared": "main" },
                "after": [], "props": null, "needs": [], "generation": 0, "changes": [],
            });
            let fields = given.as_object().expect("a step's own fields");
            step.as_object_mut().expect("an object").extend(fields.clone());
            step
        };
        let steps: Vec<_> = steps.iter().enumerate().map(step).collect();
        serde_json::from_value(json!({
            "format": 1, "written_by": "test", "stack": "test", "lineage": "", "serial": 0,
            "graph_sha256": "", "steps": steps, "unchanged": 0, "moved": [], "related": [],
        }))
        .expect("a plan")
    }

    fn why(steps: &[serde_json::Value]) -> Vec<String> {
        withheld(&plan(steps)).into_iter().map(|withheld| withheld.why).collect()
    }

    fn change(impacts: serde_json::Value) -> serde_json::Value {
        json!([{
            "field": "soft", "effect": "update", "before": 1, "after": 2, "why": "drift",
            "meaning": { "headline": "it changes", "impacts": impacts },
        }])
    }

    #[test]
    fn what_adds_or_changes_in_place_is_safe() {
        let steps = [
            json!({ "action": "create", "precious": true }),
            json!({ "action": "update", "precious": true, "changes": change(json!([])) }),
            json!({ "action": "create", "because": "it was deleted outside dbxctl" }),
            json!({ "action": "adopt" }),
            json!({ "action": "finish" }),
        ];
        assert_eq!(why(&steps), Vec::<String>::new());
    }

    #[test]
    fn what_loses_something_or_hurts_somebody_is_not() {
        let stops = json!([{ "impact": "compute_stops", "words": "compute must be stopped" }]);
        let cases = [
            (json!({ "action": "delete" }), "it is deleted"),
            (json!({ "action": "delete", "replacing": true }), "the old object is deleted"),
            (json!({ "action": "replace", "replacing": true }), "it is replaced by a new object"),
            (json!({ "action": "update", "changes": change(stops) }), "compute must be stopped"),
            (
                json!({
                    "action": "create", "precious": true,
                    "because": "it was deleted outside dbxctl",
                }),
                "it was deleted outside dbxctl, and a new one does not have what was in it",
            ),
        ];
        for (step, expected) in cases {
            let safe = json!({ "action": "create" });
            assert_eq!(why(&[safe, step]), [expected]);
        }
    }
}
