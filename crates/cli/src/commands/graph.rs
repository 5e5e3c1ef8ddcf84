//! `dbxctl graph`: the topology of a spec, or of what a plan makes of it.

use std::path::{Path, PathBuf};

use check::topology::Topology;
use engine::{Plan, State, World};
use picture::{Change, Picture};

use super::check::examine;
use super::plan::{begin, decide, look};
use crate::args::{Global, GraphFormat};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{Loaded, load};

pub(crate) struct Options {
    pub(crate) format: GraphFormat,
    pub(crate) out: Option<PathBuf>,
    pub(crate) changes: bool,
    pub(crate) offline: bool,
}

pub(crate) async fn run(files: &[PathBuf], options: &Options, global: &Global) -> Result {
    let loaded = load(files, global)?;
    let compared = match options.changes {
        true => Some(compare(&loaded, options.offline).await?),
        false => None,
    };
    let change = compared.as_ref().map(|(plan, state, world)| (plan, state, world));
    let picture = draw(&loaded, change);
    let text = match options.format {
        GraphFormat::Mermaid => picture::mermaid(&picture, usize::MAX).unwrap_or_default(),
        GraphFormat::Svg => picture::svg(&picture),
        GraphFormat::Html => picture::html(&picture),
    };
    match &options.out {
        Some(path) => save(path, &text)?,
        None => render::result(&text),
    }
    Ok(Exit::Done)
}

/// What the spec asks for, with what changes marked.
pub(super) fn draw(loaded: &Loaded, change: Option<(&Plan, &State, &World)>) -> Picture {
    let spec = &loaded.written.spec;
    let nothing = World::default();
    let world = change.map_or(&nothing, |(_, _, world)| world);
    let report = examine(loaded, world);
    let topology = Topology::of(&spec.region, &loaded.graph, world);
    let before =
        change.map(|(_, state, world)| Topology::of(&spec.region, &state.as_used(), world));
    let change = change.zip(before.as_ref()).map(|((plan, _, _), before)| Change { plan, before });
    Picture::of(spec, &topology, &report, change)
}

/// What is between the spec and the clouds, or what was last seen of them. Unlike a plan it is made
/// whatever the check finds: what is blocked is drawn.
async fn compare(loaded: &Loaded, offline: bool) -> Result<(Plan, State, World)> {
    let (session, state) = begin(loaded, offline).await?;
    let world = look(session.as_ref(), &loaded.graph, &state).await?;
    Ok((decide(&loaded.graph, &state, &world)?, state, world))
}

fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| Fail::file(Exit::Error, "write", path, &error))
}
