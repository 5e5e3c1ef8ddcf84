//! Comments on random plans: whatever is in them, they fit and are whole.

use engine::{
    Consequence, Effect, Estimate, Move, Note, PLAN_FORMAT, PlannedChange, Relation, Why,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::commands::{Checked, Touched};
use crate::setup::StateLocation;

/// Pieces of text, most of them with a will to get out of where they are put.
const TEXTS: &[&str] = &[
    "wk1",
    "aws.subnet/wk1.eu-central-1a",
    "a plain sentence about `aws.vpc/main` and 10.0.0.0/16",
    "@team/admins approve #77",
    "a | b \\| c |",
    "``` ````\n```",
    "</details></summary> <!-- --> -->",
    "*b* _i_ [a](b) ![i](u) ~~n~~ $x$ `odd",
    "one\ntwo\r\n| --- |\n\u{202e}three\u{0}",
    "",
];

fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(TEXTS);
    prop_oneof![
        8 => piece.clone().prop_map(str::to_owned),
        1 => piece.prop_map(|piece| piece.repeat(60)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        text().prop_map(Value::from),
        text()
            .prop_map(|at| json!({ "$output": { "address": format!("t.k/{at}"), "field": "id" } })),
    ];
    leaf.prop_recursive(2, 8, 4, |inner| {
        let fields = prop::collection::vec((text(), inner.clone()), 0..4);
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::Array),
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

fn action() -> impl Strategy<Value = Action> {
    use Action::{Adopt, Create, Delete, Finish, Replace, Update};
    prop::sample::select(vec![Create, Create, Replace, Adopt, Update, Update, Finish, Delete])
}

fn change() -> impl Strategy<Value = PlannedChange> {
    let why = prop::sample::select(vec![Why::Spec, Why::Drift, Why::Unfinished]);
    let effect = prop::sample::select(vec![Effect::Update, Effect::Replace]);
    (text(), effect, value(), value(), why).prop_map(|(field, effect, before, after, why)| {
        PlannedChange { field, effect, before, after, why, meaning: engine::Meaning::default() }
    })
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop::sample::select(vec!["aws.subnet", "aws.bucket", "databricks.workspace"]);
    let group = (any::<bool>(), text()).prop_map(|(shared, name)| match shared {
        true => Group::Shared(name),
        false => Group::Workspace(name),
    });
    let fields = prop::collection::vec((text(), value()), 0..5);
    let changes = prop::collection::vec(change(), 0..3);
    let words = (action(), kind, text(), group, any::<[bool; 4]>());
    (words, fields, changes, prop::option::of(text())).prop_map(
        |(
            (action, kind, name, group, [replacing, create_first, precious, empties]),
            fields,
            changes,
            because,
        )| Step {
            step: 0,
            action,
            address: engine::Address::new(kind, &name),
            group,
            after: BTreeSet::new(),
            id: because.clone(),
            props: Value::Object(fields.into_iter().collect()),
            needs: BTreeSet::new(),
            generation: 1,
            replacing,
            create_first,
            precious,
            empties,
            changes,
            because,
        },
    )
}

fn plan() -> impl Strategy<Value = Plan> {
    let steps = prop::collection::vec(step(), 0..25);
    let words = prop::collection::vec(text(), 0..6);
    let notes = prop::collection::vec((text(), text()), 0..4);
    (text(), steps, words, notes, 0..3_usize).prop_map(
        |(stack, mut steps, words, notes, headlines)| {
            for (index, step) in steps.iter_mut().enumerate() {
                step.step = index + 1;
            }
            let address = |text: &str| engine::Address::new("aws.vpc", text);
            let headlines = (0..headlines).map(|number| Headline {
                title: words.join(" "),
                subjects: BTreeSet::new(),
                impacts: words
                    .iter()
                    .map(|words| Consequence { impact: Impact::ComputeStops, words: words.clone() })
                    .collect(),
                because: words.clone(),
                steps: steps.iter().map(|s| s.step).filter(|s| s % 5 == number).collect(),
            });
            Plan {
                format: PLAN_FORMAT,
                written_by: "dbxctl 1.2.3".to_owned(),
                stack,
                lineage: String::new(),
                serial: 1,
                graph_sha256: String::new(),
                home: BTreeMap::new(),
                headlines: headlines.collect(),
                steps,
                unchanged: 3,
                moved: notes
                    .iter()
                    .map(|(a, b)| Move { from: address(a), to: address(b) })
                    .collect(),
                related: notes
                    .iter()
                    .map(|(at, id)| Relation {
                        address: address(at),
                        group: Group::Shared(String::new()),
                        needs: BTreeSet::new(),
                        forget: true,
                        leaves: Some(id.clone()),
                    })
                    .collect(),
                notes: notes
                    .iter()
                    .map(|(at, message)| Note { address: address(at), message: message.clone() })
                    .collect(),
            }
        },
    )
}

fn file() -> impl Strategy<Value = PlanFile> {
    let users = prop::collection::vec((text(), any::<bool>()), 0..4);
    let words = prop::collection::vec(text(), 0..4);
    (plan(), users, words, 0..9_999_u64).prop_map(|(plan, users, words, seconds)| {
        let users: Vec<User> = users
            .into_iter()
            .map(|(name, ours)| User {
                id: name.clone(),
                address: ours.then(|| engine::Address::new("databricks.workspace", &name)),
                name,
            })
            .collect();
        let warning = |text: &String| Warning {
            rule: text.clone(),
            subject: text.clone(),
            pointer: text.clone(),
            message: text.clone(),
            fix: text.clone(),
            symptom: Some(text.clone()),
        };
        let accepted = |text: &String| Accepted {
            rule: text.clone(),
            severity: "error".to_owned(),
            subject: text.clone(),
            message: text.clone(),
            reason: text.clone(),
        };
        PlanFile {
            target: Target {
                stack: plan.stack.clone(),
                sandbox: false,
                region: "eu-central-1".to_owned(),
                aws_account: "111122223333".to_owned(),
                databricks_account: "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77".to_owned(),
                state: StateLocation::Folder(".dbxctl".into()),
            },
            estimate: Estimate { seconds, steps: vec![1.0], ..Estimate::default() },
            used_by: Touched::from_iter(
                plan.steps.iter().map(|step| (step.address.clone(), users.clone())),
            ),
            checked: Checked {
                warnings: words.iter().map(warning).collect(),
                accepted: words.iter().map(accepted).collect(),
                room: Vec::new(),
            },
            plan,
        }
    })
}

/// What is left of the lines outside of fences, without inline code.
fn words_outside_code(comment: &str) -> String {
    let mut words = String::new();
    let mut fence = None;
    for line in comment.lines() {
        let ticks = line.chars().take_while(|letter| *letter == '`').count();
        match fence {
            Some(length) if ticks >= length && line.len() == ticks => fence = None,
            Some(_) => {}
            None if ticks >= 3 => fence = Some(ticks),
            None => {
                let outside = line.split('`').step_by(2);
                words.extend(outside);
                words.push('\n');
            }
        }
    }
    assert_eq!(fence, None, "a fence does not end:\n{comment}");
    words
}

fn whole(comment: &str, details: usize) -> Result<(), TestCaseError> {
    let words = words_outside_code(comment);
    prop_assert_eq!(words.matches("<details").count(), words.matches("</details>").count());
    prop_assert!(words.matches("<details").count() <= details, "{}", comment);
    prop_assert_eq!(words.matches("<!--").count(), 1, "{}", comment);
    prop_assert_eq!(words.matches("-->").count(), 1, "{}", comment);
    for (at, _) in words.match_indices('@') {
        prop_assert!(words[at..].starts_with("@&#8203;"), "{}", &words[at..]);
    }
    let mut columns = None;
    for line in words.lines() {
        let cells = line.starts_with('|').then(|| line.matches('|').count());
        prop_assert!(columns.is_none() || cells.is_none() || columns == cells, "{}", comment);
        columns = cells;
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..Default::default() })]

    #[test]
    fn a_comment_fits_and_is_whole(file in file(), budget in 2_000..70_000_usize, drift: bool) {
        let diagram = |budget: usize| Some(format!("flowchart\n{}", "x".repeat(budget - 20)));
        let locate = |_: &str| None;
        let review = Review { file: &file, drift, locate: &locate, diagram: &diagram };
        let comment = review.markdown(budget);
        prop_assert!(comment.encode_utf16().count() <= budget, "{} of {}", comment.len(), budget);
        whole(&comment, file.plan.steps.len() + 10)?;
        let all = review.markdown(5_000_000);
        prop_assert!(!all.contains("**Shortened to fit.**"));
    }
}
