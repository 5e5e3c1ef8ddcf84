//! A scene as SVG.

use std::fmt::Write as _;

use crate::model::{Mark, Picture};
use crate::scene::{Dot, Frame, Line, Scene, Sure, Text, Who};
use crate::text::escaped;

pub(crate) const STYLE: &str = include_str!("picture.css");

/// The picture as one SVG file that needs nothing else.
pub fn svg(picture: &Picture) -> String {
    let scene = Scene::of(picture);
    let title = escaped(&format!("Topology of {} in {}", picture.stack, picture.region));
    let (width, height) = (scene.width, scene.height);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"picture\" width=\"{width}\" \
         height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"t\">\n\
         <title id=\"t\">{title}</title>\n<style>{STYLE}</style>\n{}</svg>\n",
        drawn(&scene, false)
    )
}

/// Everything in a scene, the boxes below. Workspaces can be picked where somebody listens.
pub(crate) fn drawn(scene: &Scene, interactive: bool) -> String {
    let mut svg = String::new();
    for (number, frame) in scene.frames.iter().enumerate() {
        if frame.parent.is_none() {
            nested(scene, number, interactive, &mut svg);
        }
    }
    for line in &scene.lines {
        self::line(line, &mut svg);
    }
    for leg in &scene.legs {
        if let [(x, y), (end, _)] = leg.points.as_slice() {
            let who = belongs(&leg.who);
            let points = format!("{},{y} {end},{y}", x + 4);
            let _ = writeln!(svg, "<polyline class=\"halo\"{who} points=\"{points}\"/>");
        }
        self::line(leg, &mut svg);
    }
    for dot in &scene.dots {
        self::dot(dot, &mut svg);
    }
    svg
}

fn nested(scene: &Scene, number: usize, interactive: bool, svg: &mut String) {
    let Frame { at, class, mark, whole, texts, who, picks, .. } = &scene.frames[number];
    let mark = if *mark == Mark::None { String::new() } else { format!(" {}", mark.word()) };
    let _ = write!(svg, "<g class=\"{class}{mark}\"{}", belongs(who));
    if let Some(picks) = picks.filter(|_| interactive) {
        let label = escaped(&whole.replace('\n', ", "));
        let _ = write!(
            svg,
            " data-picks=\"{picks}\" tabindex=\"0\" role=\"button\" aria-pressed=\"false\" \
             aria-label=\"{label}\""
        );
    }
    svg.push('>');
    if !whole.is_empty() {
        let _ = write!(svg, "<title>{}</title>", escaped(whole));
    }
    let _ = write!(
        svg,
        "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"/>",
        at.x, at.y, at.width, at.height
    );
    for Text { x, y, size, class, end, text } in texts {
        let anchor = if *end { " text-anchor=\"end\"" } else { "" };
        let _ = write!(
            svg,
            "<text class=\"{class}\" x=\"{x}\" y=\"{y}\" font-size=\"{size}\"{anchor}>{}</text>",
            escaped(text)
        );
    }
    for (child, frame) in scene.frames.iter().enumerate().skip(number + 1) {
        if frame.parent == Some(number) {
            nested(scene, child, interactive, svg);
        }
    }
    svg.push_str("</g>\n");
}

/// Whose it is, for those who pick a workspace.
fn belongs(who: &Who) -> String {
    if who.is_empty() {
        return String::new();
    }
    let numbers: Vec<String> = who.iter().map(ToString::to_string).collect();
    format!(" data-w=\"{}\"", numbers.join(" "))
}

fn line(line: &Line, svg: &mut String) {
    let Line { points, class, who, arrow } = line;
    let points: Vec<String> = points.iter().map(|(x, y)| format!("{x},{y}")).collect();
    let (points, who) = (points.join(" "), belongs(who));
    let _ = writeln!(svg, "<polyline class=\"{class}\"{who} points=\"{points}\"/>");
    if *arrow {
        tip(line, svg);
    }
}

/// An arrow at the end of a line.
fn tip(line: &Line, svg: &mut String) {
    let [.., (from_x, from_y), (x, y)] = line.points.as_slice() else { return };
    let (dx, dy) = ((x - from_x).signum(), (y - from_y).signum());
    let (back_x, back_y) = (x - 8 * dx, y - 8 * dy);
    let _ = writeln!(
        svg,
        "<polygon class=\"tip {}\"{} points=\"{x},{y} {},{} {},{}\"/>",
        line.class,
        belongs(&line.who),
        back_x - 4 * dy,
        back_y - 4 * dx,
        back_x + 4 * dy,
        back_y + 4 * dx
    );
}

fn dot(dot: &Dot, svg: &mut String) {
    let Dot { at: (x, y), sure, whole, who, .. } = dot;
    let word = sure.word();
    let _ = write!(svg, "<g{}><title>{}</title>", belongs(who), escaped(whole));
    let _ = match sure {
        Sure::Proven | Sure::Unknown => {
            write!(svg, "<circle class=\"dot {word}\" cx=\"{x}\" cy=\"{y}\" r=\"4\"/>")
        }
        // A cross in a box: it reads without colour.
        Sure::Blocked => write!(
            svg,
            "<path class=\"dot {word}\" d=\"M{} {}h12v12h-12zl12 12m0-12l-12 12\"/>",
            x - 6,
            y - 6
        ),
    };
    svg.push_str("</g>\n");
}
