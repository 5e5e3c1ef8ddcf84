//! The picture as one page in which one can look at each workspace by itself.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::model::{Mark, Picture, Vpc, Way, Words, Workspace};
use crate::scene::Scene;
use crate::svg::{STYLE, drawn};
use crate::text::escaped;

const PAGE_STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// What the script knows.
#[derive(Serialize)]
struct Data<'a> {
    workspaces: Vec<Known<'a>>,
}

#[derive(Serialize)]
struct Known<'a> {
    name: &'a str,
    mark: Mark,
    facts: Vec<String>,
    /// In how many zones its nodes live.
    zones: usize,
    ways: Vec<KnownWay<'a>>,
    /// What to say when there are no ways.
    none: &'static str,
}

#[derive(Serialize)]
struct KnownWay<'a> {
    class: &'static str,
    to: &'a str,
    from: &'a [String],
    #[serde(flatten)]
    words: Words<'a>,
}

/// The picture as one HTML page that asks for nothing else: its policy lets only its own script and
/// style run, by their hashes, and nothing be loaded.
pub fn html(picture: &Picture) -> String {
    let scene = Scene::of(picture);
    let (width, height) = (scene.width, scene.height);
    let title = escaped(&format!("{}: topology", picture.stack));
    let style = format!("{STYLE}{PAGE_STYLE}");
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; img-src data:; base-uri 'none'; \
         form-action 'none'",
        hash(&style),
        hash(SCRIPT)
    );
    let data = data(picture);
    let changes = changes(picture);
    let label = escaped(&format!("Topology of {} in {}", picture.stack, picture.region));
    let picture = drawn(&scene, true);
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"referrer\" content=\"no-referrer\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{title}</title>\n<style>{style}</style>\n</head>\n\
         <body>\n<main>\n<div class=\"view\">\n\
         <svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"group\" aria-label=\"{label}\">\n\
         {picture}</svg>\n</div>\n<aside aria-label=\"Details\">\n<h1>{title}</h1>\n\
         <label for=\"search\">Find workspaces</label>\n\
         <input id=\"search\" type=\"search\" autocomplete=\"off\" \
         placeholder=\"name, VPC, verdict, rule, destination\">\n\
         <p id=\"said\" class=\"quiet\" role=\"status\"></p>\n<div id=\"panel\"></div>\n\
         <div id=\"list\">\n<h2>Workspaces</h2>\n\
         <p class=\"quiet\">Point at one to see its ways; pick it for every decision on them. \
         Escape lets go.</p>\n<ul id=\"names\"></ul>\n{changes}</div>\n</aside>\n</main>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>{SCRIPT}</script>\n</body>\n</html>\n"
    )
}

/// As a content security policy names a script or style.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64.encode(Sha256::digest(text.as_bytes())))
}

fn data(picture: &Picture) -> String {
    let inside =
        picture.vpcs.iter().flat_map(|vpc| vpc.workspaces.iter().map(move |w| (Some(vpc), w)));
    let managed = picture.managed.iter().map(|workspace| (None, workspace));
    let workspaces = inside.chain(managed).map(|(vpc, workspace)| known(vpc, workspace)).collect();
    let text = serde_json::to_string(&Data { workspaces }).expect("a picture is plain data");
    // Nothing in it may end the element it stands in.
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn known<'a>(vpc: Option<&Vpc>, workspace: &'a Workspace) -> Known<'a> {
    let Workspace { name, mark, subnets, groups, nodes, peak, users, ways } = workspace;
    let mut facts = Vec::new();
    facts.push(match vpc {
        Some(vpc) => format!("VPC {} ({})", vpc.name, vpc.cidrs),
        None => "a network that Databricks makes and manages".to_owned(),
    });
    if *mark != Mark::None {
        facts.push(format!("by the plan: {}", mark.word()));
    }
    if let Some(nodes) = nodes {
        let peak = peak.map_or(String::new(), |peak| format!(", {peak} asked for"));
        facts.push(format!("room for {nodes} nodes{peak}"));
    }
    for subnet in subnets {
        let nodes = subnet.nodes.map_or(String::new(), |nodes| format!(", {nodes} nodes"));
        facts.push(format!("{}{} in {}{nodes}", subnet.mark.sign(), subnet.cidr, subnet.zone));
    }
    for group in groups {
        facts.push(format!("{}security group {}", group.mark.sign(), group.key));
    }
    if !users.is_empty() {
        facts.push(format!("users: {users}"));
    }
    let none = match (mark, vpc) {
        (Mark::Removed, _) => "It will be gone.",
        (_, None) => "Its network is not of this spec: nothing is proven here.",
        _ => "Nothing is proven about it.",
    };
    let zones: BTreeSet<&str> = subnets.iter().map(|subnet| subnet.zone.as_str()).collect();
    let ways = ways.iter().map(known_way).collect();
    Known { name, mark: *mark, facts, zones: zones.len(), ways, none }
}

fn known_way(way: &Way) -> KnownWay<'_> {
    KnownWay { class: way.class, to: &way.to, from: &way.from, words: way.words() }
}

/// Everything a plan does, as a list.
fn changes(picture: &Picture) -> String {
    let mut text = String::new();
    if picture.changes.is_none() {
        return text;
    }
    text.push_str("<h2>Changes</h2>\n");
    if picture.marked.is_empty() {
        text.push_str("<p>Nothing changes.</p>\n");
    }
    for mark in [Mark::Added, Mark::Changed, Mark::Replaced, Mark::Removed] {
        let these: Vec<&String> =
            picture.marked.iter().filter(|(_, m)| **m == mark).map(|(key, _)| key).collect();
        if these.is_empty() {
            continue;
        }
        let _ = write!(
            text,
            "<details><summary><span class=\"mark\">{}</span><span>{}</span><span></span><span>{}</span>\
             </summary><div class=\"body\"><ul>",
            mark.sign(),
            mark.word(),
            these.len()
        );
        for key in these {
            let _ = write!(text, "<li><code>{}</code></li>", escaped(key));
        }
        text.push_str("</ul></div></details>\n");
    }
    text
}
