//! Pictures of the examples and of specs of every size.

use std::fmt::Write as _;
use std::path::Path;

use check::topology::Topology;
use engine::{Action, Graph, PLAN_FORMAT, Plan, Role, Step, World};
use spec::{SourceFile, Spec};

use crate::scene::{Rect, Scene};
use crate::{Change, Mark, Picture, html, mermaid, svg};

fn loaded(text: &str) -> (Spec, Graph) {
    let source = SourceFile::from_bytes("spec.yaml".to_owned(), text.as_bytes().to_vec());
    let loaded = spec::load(&[source.expect("text")], &|_| None).expect("a spec");
    let graph = blueprint::expand(&loaded.spec);
    (loaded.spec, graph)
}

fn picture(text: &str) -> Picture {
    let (spec, graph) = loaded(text);
    let world = World::default();
    let report = check::check(&spec, &graph, &world);
    Picture::of(&spec, &Topology::of(&spec.region, &graph, &world), &report, None)
}

/// The picture of what leads from one spec to another, whatever a real plan would do besides.
fn changed(before: &str, after: &str) -> Picture {
    let (old_spec, old) = loaded(before);
    let (spec, graph) = loaded(after);
    let mut steps = Vec::new();
    let mut step = |action, graph: &Graph, address: &engine::Address| {
        steps.push(Step {
            step: steps.len() + 1,
            action,
            address: address.clone(),
            group: graph.nodes[address].group.clone(),
            after: [].into(),
            id: None,
            props: serde_json::Value::Null,
            needs: [].into(),
            generation: 1,
            replacing: false,
            create_first: false,
            precious: false,
            empties: false,
            changes: Vec::new(),
            because: None,
        });
    };
    for address in graph.nodes.keys() {
        match old.nodes.get(address) {
            None => step(Action::Create, &graph, address),
            Some(node) if *node != graph.nodes[address] => step(Action::Update, &graph, address),
            Some(_) => {}
        }
    }
    for (address, node) in &old.nodes {
        if !graph.nodes.contains_key(address) && matches!(node.role, Role::Managed { .. }) {
            step(Action::Delete, &old, address);
        }
    }
    let plan = Plan {
        format: PLAN_FORMAT,
        written_by: String::new(),
        stack: spec.name.clone(),
        lineage: String::new(),
        serial: 0,
        graph_sha256: String::new(),
        home: [].into(),
        steps,
        unchanged: 0,
        moved: Vec::new(),
        related: Vec::new(),
        headlines: Vec::new(),
        notes: Vec::new(),
    };
    let world = World::default();
    let before = Topology::of(&old_spec.region, &old, &world);
    let report = check::check(&spec, &graph, &world);
    let topology = Topology::of(&spec.region, &graph, &world);
    Picture::of(&spec, &topology, &report, Some(Change { plan: &plan, before: &before }))
}

fn example(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    std::fs::read_to_string(folder.join(format!("{name}.yaml"))).expect("an example")
}

fn examples() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let files = std::fs::read_dir(folder).expect("examples").map(|e| e.expect("a file").path());
    let mut names: Vec<String> = files
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    names.into_iter().map(|name| (name.clone(), example(&name))).collect()
}

/// So many workspaces in so many VPCs with so many zones, some with private connections, some with
/// long names, and some in networks of Databricks.
fn generated(workspaces: usize, vpcs: usize, zones: usize) -> String {
    let zones: Vec<&str> = ["us-east-1a", "us-east-1b", "us-east-1c"][..zones].to_vec();
    let mut text = "apiVersion: dbxctl/v1\nname: generated\nregion: us-east-1\n\
                    aws: { account: \"123456789012\" }\n\
                    databricks: { account: 3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77 }\nvpcs:\n"
        .to_owned();
    for vpc in 0..vpcs {
        let nat = ["single", "per_zone", "none"][vpc % 3];
        let link = vpc.is_multiple_of(2);
        let _ = writeln!(
            text,
            "  net{vpc}: {{ cidr: 10.{vpc}.0.0/16, zones: [{}], nat: {nat}, \
             private_link: {{ backend: {link}, frontend: {link} }} }}",
            zones.join(", ")
        );
    }
    text += "workspaces:\n";
    for number in 0..workspaces {
        let long = if number % 4 == 1 { "-of-the-data-platform-team" } else { "" };
        let vpc = number % vpcs;
        // One in ten has no VPC of ours.
        let body = match number % 10 {
            9 => String::new(),
            _ => {
                let public = !(vpc.is_multiple_of(2) && number.is_multiple_of(3));
                format!(
                    "vpc: net{vpc}, subnets: {{ prefix: /23, block: {} }}, public_access: {public}, ",
                    number / vpcs
                )
            }
        };
        let _ =
            writeln!(text, "  ws{number}{long}: {{ {body}storage: {{ bucket: gen-{number} }} }}");
    }
    text
}

fn sizes() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for workspaces in [1, 2, 5, 10, 30] {
        for (vpcs, zones) in [(1, 2), (1, 3), (3, 2), (3, 3)] {
            let name = format!("{workspaces} workspaces, {vpcs} VPCs, {zones} zones");
            all.push((name, generated(workspaces, vpcs.min(workspaces), zones)));
        }
    }
    all
}

fn overlap(a: Rect, b: Rect) -> bool {
    a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height
}

fn inside(inner: Rect, outer: Rect) -> bool {
    inner.x >= outer.x
        && inner.y >= outer.y
        && inner.x + inner.width <= outer.x + outer.width
        && inner.y + inner.height <= outer.y + outer.height
}

/// Everything that stands where something else does, or sticks out.
fn wrong(scene: &Scene) -> Vec<String> {
    let mut wrong = Vec::new();
    let whole = Rect { x: 0, y: 0, width: scene.width, height: scene.height };
    for (number, frame) in scene.frames.iter().enumerate() {
        let home = frame.parent.map_or(whole, |parent| scene.frames[parent].at);
        if !inside(frame.at, home) {
            wrong.push(format!("{:?} sticks out of {home:?}", frame));
        }
        for other in scene.frames[number + 1..].iter().filter(|f| f.parent == frame.parent) {
            if overlap(frame.at, other.at) {
                wrong.push(format!("{frame:?} overlaps {other:?}"));
            }
        }
        for (index, text) in frame.texts.iter().enumerate() {
            if text.text.is_empty() || !inside(text.at(), frame.at) {
                wrong.push(format!("{text:?} does not fit into {:?}", frame.at));
            }
            for other in &frame.texts[index + 1..] {
                if overlap(text.at(), other.at()) {
                    wrong.push(format!("{text:?} overlaps {other:?}"));
                }
            }
            let children = scene.frames.iter().filter(|child| child.parent == Some(number));
            for child in children.filter(|child| overlap(text.at(), child.at)) {
                wrong.push(format!("{text:?} overlaps {child:?}"));
            }
        }
    }
    let points = scene.lines.iter().flat_map(|line| &line.points);
    let points = points.chain(scene.dots.iter().map(|dot| &dot.at));
    for (x, y) in points.filter(|(x, y)| *x < 0 || *y < 0 || *x > scene.width || *y > scene.height)
    {
        wrong.push(format!("{x},{y} is outside"));
    }
    wrong.extend(mixed_up(scene));
    wrong
}

/// Vertical lines that lie on each other, so that nobody could tell where either of them leads.
fn mixed_up(scene: &Scene) -> Vec<String> {
    let vertical = scene.lines.iter().filter_map(|line| match line.points.as_slice() {
        [(x, from), (to_x, to)] if x == to_x => Some((*x, *from.min(to), *from.max(to))),
        _ => None,
    });
    let lines: Vec<(i32, i32, i32)> = vertical.collect();
    let mut wrong = Vec::new();
    for (index, one) in lines.iter().enumerate() {
        for other in &lines[index + 1..] {
            if one.0 == other.0 && one.1 <= other.2 && other.1 <= one.2 {
                wrong.push(format!("{one:?} lies on {other:?}"));
            }
        }
    }
    wrong
}

#[test]
fn nothing_overlaps_and_all_text_fits() {
    for (name, text) in examples().into_iter().chain(sizes()) {
        let wrong = wrong(&Scene::of(&picture(&text)));
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[test]
fn the_same_spec_is_the_same_picture() {
    let text = generated(10, 3, 3);
    let (one, other) = (picture(&text), picture(&text));
    assert_eq!(svg(&one), svg(&other));
    assert_eq!(html(&one), html(&other));
    assert_eq!(mermaid(&one, 60_000), mermaid(&other, 60_000));
}

#[test]
fn flowcharts_of_examples() {
    for name in ["closed-network", "shared-vpc"] {
        let text = mermaid(&picture(&example(name)), 60_000).expect("short enough");
        insta::assert_snapshot!(name, text);
    }
}

#[test]
fn a_flowchart_is_folded_until_it_fits() {
    let picture = picture(&generated(30, 3, 3));
    let mut before = usize::MAX;
    for budget in [50_000, 4_000, 3_000, 2_500] {
        let text = mermaid(&picture, budget).expect("short enough");
        let length = text.chars().count();
        assert!(length <= budget && length <= before, "{length} of {budget}");
        assert!(text.lines().filter(|line| line.contains("-->")).count() <= 120);
        before = length;
    }
    assert_eq!(mermaid(&picture, 100), None);
}

#[test]
fn what_changes_is_marked_and_what_goes_is_kept() {
    let two = example("shared-vpc");
    let one = two.split("  wk2:").next().expect("a beginning").to_owned();
    let mark = |picture: &Picture, name: &str| {
        let mut all = picture.vpcs[0].workspaces.iter();
        all.find(|workspace| workspace.name == name).map(|workspace| workspace.mark)
    };
    let added = changed(&one, &two);
    assert_eq!(mark(&added, "wk1"), Some(Mark::None));
    assert_eq!(mark(&added, "wk2"), Some(Mark::Added));
    let s3 = added.vpcs[0].doors.iter().find(|door| door.name == "s3").expect("an endpoint");
    assert_eq!(s3.mark, Mark::Changed, "it gets another route table");
    let removed = changed(&two, &one);
    assert_eq!(mark(&removed, "wk2"), Some(Mark::Removed));
    let gone = removed.vpcs[0].workspaces.iter().find(|w| w.name == "wk2").expect("still drawn");
    assert!(gone.subnets.iter().all(|subnet| subnet.mark == Mark::Removed), "{gone:?}");
    let groups: Vec<&str> = removed.vpcs[0].groups.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(groups, ["endpoints"], "a group of a workspace is drawn with it");
    for picture in [&added, &removed] {
        let wrong = wrong(&Scene::of(picture));
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    let text = mermaid(&removed, 60_000).expect("short enough");
    assert!(text.contains("- wk2") && text.contains("removed"), "{text}");
}

#[test]
fn nothing_that_a_spec_says_is_markup() {
    let mut picture = picture(&example("shared-vpc"));
    let hostile = "</script><img src=x onerror=\"alert(1)\">]]>\"'`&#;";
    picture.stack = hostile.to_owned();
    let vpc = &mut picture.vpcs[0];
    vpc.name = hostile.to_owned();
    vpc.workspaces[0].name = hostile.to_owned();
    vpc.workspaces[0].ways[0].to = hostile.to_owned();
    vpc.doors[0].name = hostile.to_owned();
    let flowchart = mermaid(&picture, 60_000).expect("short enough");
    for text in [svg(&picture), html(&picture), flowchart] {
        assert!(!text.contains("<img") && !text.contains("</script><"), "{text}");
    }
}
