//! `dbxctl graph`: the topology of a spec, or of what a plan makes of it.

use std::path::{Path, PathBuf};

use check::topology::Topology;
use engine::{Plan, State, World};
use picture::{Change, Picture};

use super::check::examine;
use super::plan::{decide, read_world};
use crate::args::{Global, GraphFormat};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{Loaded, connect, load, sign_in, state_place};

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
    let text = match options.format {
        GraphFormat::Mermaid => mermaid(&loaded, change, usize::MAX).unwrap_or_default(),
        GraphFormat::Svg => picture::svg(&draw(&loaded, change)),
        GraphFormat::Html => picture::html(&draw(&loaded, change)),
    };
    match &options.out {
        Some(path) => save(path, &text)?,
        None => render::result(&text),
    }
    Ok(Exit::Done)
}

/// A mermaid flowchart of at most `budget` characters, with what changes highlighted; `None` when it
/// cannot be that short.
pub(crate) fn mermaid(
    loaded: &Loaded,
    change: Option<(&Plan, &State, &World)>,
    budget: usize,
) -> Option<String> {
    picture::mermaid(&draw(loaded, change), budget)
}

fn draw(loaded: &Loaded, change: Option<(&Plan, &State, &World)>) -> Picture {
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
    let Loaded { graph, target, .. } = loaded;
    let (state, world) = if offline {
        let state = state_place(target).await?.read().await?;
        let world = World::remembered(&state);
        (state, world)
    } else {
        let access = sign_in(target).await?;
        let state = access.state.read().await?;
        let session = connect(target, &access, Some(graph))?;
        let world = read_world(&session, graph, &state).await?;
        (state, world)
    };
    Ok((decide(graph, &state, &world)?, state, world))
}

fn save(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).map_err(|error| Fail::file(Exit::Error, "write", path, &error))
}
