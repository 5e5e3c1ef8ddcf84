//! `dbxctl plan`: what would be done, and the file a plan is saved in.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use engine::{Action, Address, Estimate, Graph, LastAsked, Plan, Problem, State, World};
use kinds::users::{User, Users};
use serde::{Deserialize, Serialize};

use super::check::{Checked, locate, pass};
use super::graph::draw;
use crate::args::{Global, Length, PlanFormat};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{
    Loaded, Session, Target, connect, kinds, load, run_settings, sign_in, state_place,
};

pub(crate) struct Options {
    pub(crate) out: Option<PathBuf>,
    pub(crate) format: PlanFormat,
    pub(crate) length: Length,
    pub(crate) destroy: bool,
    pub(crate) detailed_exitcode: bool,
    pub(crate) offline: bool,
    pub(crate) drift_only: bool,
}

/// A saved plan, with what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PlanFile {
    pub(crate) target: Target,
    pub(crate) plan: Plan,
    /// How long it will take; nothing for a plan that cannot be applied.
    #[serde(default, skip_serializing_if = "Estimate::is_empty")]
    pub(crate) estimate: Estimate,
    /// Who stands on what is changed, when that are more than the object's own workspace.
    #[serde(default, skip_serializing_if = "Touched::is_empty")]
    pub(crate) used_by: Touched,
    /// What the check tells besides.
    #[serde(default, skip_serializing_if = "Checked::is_empty")]
    pub(crate) checked: Checked,
}

pub(crate) async fn run(files: &[PathBuf], options: &Options, global: &Global) -> Result {
    let loaded = load(files, global)?;
    let made = match options.drift_only {
        true => drift(&loaded).await,
        false => compare(&loaded, options).await,
    };
    let Made { file, state, world } = made.inspect_err(|fail| {
        // A reviewer must not be left with the comment on an earlier plan.
        if options.format == PlanFormat::Markdown && fail.exit == Exit::Refused {
            let budget = options.length.max_chars;
            render::result(&render::refused(&loaded.target.stack, fail, budget));
        }
    })?;
    let changes = !file.plan.is_empty();
    render::result(&match options.format {
        PlanFormat::Human if options.drift_only => render::drift(&file.plan),
        PlanFormat::Human => render::plan(&file.plan, &file.used_by, &file.checked),
        PlanFormat::Json => json(&file),
        PlanFormat::Markdown => {
            // Drawn once, however often it is shortened.
            let picture = LazyCell::new(|| draw(&loaded, Some((&file.plan, &state, &world))));
            let review = render::Review {
                file: &file,
                drift: options.drift_only,
                locate: &|pointer| locate(&loaded, pointer),
                diagram: &|budget| match options.drift_only {
                    true => None,
                    false => picture::mermaid(&picture, budget),
                },
            };
            review.markdown(options.length.max_chars)
        }
    });
    if options.format == PlanFormat::Human
        && let Some(time) = render::expected(&file.estimate)
    {
        render::note(&format!("it takes {time} to apply"));
    }
    if let Some(path) = &options.out {
        save(path, &file)?;
        render::note(&format!("saved: dbxctl apply {}", path.display()));
    }
    let tell = options.detailed_exitcode || options.drift_only;
    Ok(if changes && tell { Exit::Changes } else { Exit::Done })
}

/// A plan, and what it was made from.
struct Made {
    file: PlanFile,
    state: State,
    world: World,
}

/// What is between the spec and the clouds, or what was last seen of them.
async fn compare(loaded: &Loaded, options: &Options) -> Result<Made> {
    // What only removes is not checked.
    let passed = if options.destroy { None } else { Some(pass(loaded)?) };
    let Loaded { target, .. } = loaded;
    let (session, state) = begin(loaded, options.offline).await?;
    let graph = match options.destroy {
        true => &nothing(loaded, &state),
        false => &loaded.graph,
    };
    let world = look(session.as_ref(), graph, &state).await?;
    let checked = match passed {
        Some(passed) => passed.again(loaded, &world)?.told(loaded, &state),
        None => Checked::default(),
    };
    let plan = decide(graph, &state, &world)?;
    let used_by = match &session {
        Some(session) => touched(session, &plan, graph, &state).await?,
        None => Touched::new(),
    };
    let estimate = estimate(&plan, &state, target);
    let file = PlanFile { target: target.clone(), plan, estimate, used_by, checked };
    Ok(Made { file, state, world })
}

/// Reads the state, and signs in unless nobody is to be asked.
pub(super) async fn begin(loaded: &Loaded, offline: bool) -> Result<(Option<Session>, State)> {
    let target = &loaded.target;
    if offline {
        return Ok((None, state_place(target).await?.read().await?));
    }
    let access = sign_in(target).await?;
    let state = access.state.read().await?;
    Ok((Some(connect(target, &access, Some(&loaded.graph))?), state))
}

/// What is there; without a session, what was last seen of it.
pub(super) async fn look(session: Option<&Session>, graph: &Graph, state: &State) -> Result<World> {
    match session {
        Some(session) => read_world(session, graph, state).await,
        None => Ok(World::remembered(state)),
    }
}

/// What is wanted when everything is to go.
pub(crate) fn nothing(loaded: &Loaded, state: &State) -> Graph {
    let mut nothing = Graph::new(&loaded.target.stack);
    nothing.home.clone_from(&loaded.graph.home);
    // The command itself is the consent.
    nothing.deletion_allowed =
        state.resources.values().map(|record| record.group.clone()).collect();
    // To empty a bucket takes words in the spec, also here.
    nothing.emptying_allowed.clone_from(&loaded.graph.emptying_allowed);
    nothing
}

pub(crate) async fn read_world(session: &Session, graph: &Graph, state: &State) -> Result<World> {
    let late = engine::late(graph, state, kinds());
    if let Some(longest) = late.values().max() {
        render::note(&format!(
            "an earlier run stopped while making {}; waiting up to {} s for what it made to show",
            render::some_of(late.keys()),
            longest.as_secs() + 1
        ));
    }
    let _reading = render::Reading::begin(&format!("reading {} resources", graph.nodes.len()));
    Ok(engine::refresh(graph, state, kinds(), session.cloud.as_ref(), session.settings).await?)
}

/// Workspaces by what they stand on.
pub(crate) type Touched = BTreeMap<Address, Vec<User>>;

/// Who stands on what the plan changes, in this stack or not. Two calls, if it changes anything.
pub(crate) async fn touched(
    session: &Session,
    plan: &Plan,
    graph: &Graph,
    state: &State,
) -> Result<Touched> {
    if plan.steps.iter().all(|step| step.action == Action::Create) {
        return Ok(Touched::new());
    }
    let users = engine::patiently(session.settings, || Users::read(session.cloud.as_ref())).await?;
    Ok(users.touched(plan, graph, state))
}

/// How long the plan will take.
pub(crate) fn estimate(plan: &Plan, state: &State, target: &Target) -> Estimate {
    engine::estimate(plan, state, kinds(), run_settings(target.sandbox).parallel)
}

/// The plan, or all reasons why there is none.
pub(crate) fn decide(graph: &Graph, state: &State, world: &World) -> Result<Plan> {
    engine::plan(graph, state, world, kinds()).map_err(|problems| refused(&problems))
}

/// What is not as it was last asked for. What the spec says now does not matter, so it is not checked.
async fn drift(loaded: &Loaded) -> Result<Made> {
    let target = loaded.target.clone();
    let access = sign_in(&target).await?;
    let state = access.state.read().await?;
    let session = connect(&target, &access, Some(&loaded.graph))?;
    let asked = LastAsked::of(&state, kinds()).map_err(|problems| refused(&problems))?;
    let world = read_world(&session, &asked.graph, &asked.state).await?;
    let plan = engine::drift(&asked, &world, kinds()).map_err(|problems| refused(&problems))?;
    let (estimate, used_by, checked) = Default::default();
    let file = PlanFile { target, plan, estimate, used_by, checked };
    Ok(Made { file, state, world })
}

fn refused(problems: &[Problem]) -> Fail {
    Fail::rendered(Exit::Refused, render::problems(problems))
}

pub(crate) fn json(file: &PlanFile) -> String {
    let mut text = serde_json::to_string_pretty(file).expect("a plan is plain data");
    text.push('\n');
    text
}

fn save(path: &Path, file: &PlanFile) -> Result<()> {
    let cannot = |error: std::io::Error| Fail::file(Exit::Error, "write", path, &error);
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(folder).map_err(cannot)?;
    temporary.write_all(json(file).as_bytes()).map_err(cannot)?;
    temporary.persist(path).map_err(|error| cannot(error.error))?;
    Ok(())
}

/// Reads a saved plan.
pub(crate) fn open(path: &Path) -> Result<PlanFile> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Fail::file(Exit::Error, "read", path, &error))?;
    serde_json::from_str(&text).map_err(|error| {
        Fail::new(Exit::Error, format!("`{}` is not a saved plan: {error}", path.display()))
            .hint("make one with `dbxctl plan --out FILE`")
    })
}

/// Whether the file is a saved plan rather than a spec in JSON.
pub(crate) fn is_saved(path: &Path) -> bool {
    let json = path.extension().is_some_and(|e| e == "json");
    let text = if json { std::fs::read_to_string(path).ok() } else { None };
    let value = text.and_then(|text| serde_json::from_str::<serde_json::Value>(&text).ok());
    value.is_some_and(|v| v.get("plan").is_some() && v.get("target").is_some())
}
