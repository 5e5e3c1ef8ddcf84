//! `dbxctl adopt`: from running workspaces to a spec and a state.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use adopt::{Adoption, GatherError, Wishes};
use engine::{Plan, State, StatePlace, World};
use spec::{Diagnostic, SourceFile};

use super::apply::{act, with_state};
use super::events::Events;
use crate::args::Global;
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{Given, Session, environment, explore, holder, kinds, state_place, target};

pub(crate) struct Options {
    pub(crate) workspaces: Vec<String>,
    pub(crate) out: PathBuf,
    pub(crate) given: Given,
    pub(crate) wishes: Wishes,
    pub(crate) partial: bool,
    pub(crate) dry_run: bool,
    pub(crate) yes: bool,
}

pub(crate) async fn run(options: Options, global: &Global) -> Result {
    let out = options.out.display().to_string();
    if options.out.exists() && !options.dry_run {
        return Err(
            Fail::new(Exit::Error, format!("`{out}` exists")).hint("choose another with `--out`")
        );
    }
    let (mut adoption, session) = survey(&options, global).await?;
    let text = adopt::text(&adoption);
    let mistakes = read_back(&out, &text, &adoption)?;
    let target = target(&adoption.spec, &options.out, global);
    let place = state_place(&target).await?;
    let state = place.read().await?;
    free(&state, &adoption)?;
    let plan = adoption.plan(&state, kinds()).map_err(|problems| {
        let text = render::misfits(&adoption) + &render::problems(&problems);
        Fail::rendered(Exit::Refused, text)
    })?;
    render::note(&render::adoption(&adoption, &plan));
    let sayable = mistakes.is_empty() && adoption.misfits.is_empty();
    if !sayable && !options.partial {
        render::note(&mistakes);
        return Err(Fail::new(
            Exit::Refused,
            "not everything can be said in a spec; nothing was written",
        )
        .hint(
            "see above; `--use ID` leaves an object to others, `--partial` writes what can be said",
        ));
    }
    if options.dry_run {
        render::result(&text);
        return Ok(Exit::Done);
    }
    let question = "To own this from now on, type `yes`: ".to_owned();
    if !options.yes && !render::confirm(question, "yes".to_owned()).await? {
        return Err(Fail::new(Exit::Error, "not confirmed; nothing was touched"));
    }
    take_over(&place, &plan, &session).await?;
    write(&options.out, &text)?;
    render::note(&format!("wrote {out}\n{}", next(&adoption, &out)));
    Ok(if adoption.misfits.is_empty() { Exit::Done } else { Exit::Partial })
}

/// Reads both clouds: first the account, which tells where the rest lies.
async fn survey(options: &Options, global: &Global) -> Result<(Adoption, Session)> {
    let (first, _) = explore(&options.given, global).await?;
    let account = adopt::account(first.cloud.as_ref(), first.settings, &options.workspaces);
    let mut gathered = account.await.map_err(|error| match error {
        GatherError::Cloud(error) => Fail::from(error),
        other => Fail::new(Exit::Refused, other),
    })?;
    let given = Given {
        region: Some(gathered.region()),
        aws: options.given.aws.clone().or_else(|| gathered.aws_account()),
        ..options.given.clone()
    };
    let (session, mut accounts) = explore(&given, global).await?;
    adopt::reach(session.cloud.as_ref(), session.settings, &mut gathered).await?;
    if accounts.databricks.is_empty() {
        accounts.databricks = gathered.databricks_account().unwrap_or_default();
    }
    Ok((adopt::adopt(&gathered, &accounts, &options.wishes), session))
}

/// What to do with the spec: plan, or first look at what would be refused.
fn next(adoption: &Adoption, out: &str) -> String {
    let graph = blueprint::expand(&adoption.spec);
    let report = check::check(&adoption.spec, &graph, &World::default());
    match report.refusals().count() {
        0 => format!("next: dbxctl plan {out}"),
        errors => format!(
            "next: dbxctl check {out}   (plan refuses it until {errors} errors are mended or accepted)"
        ),
    }
}

/// The text must say what was meant. Returns what the language itself has against it.
fn read_back(out: &str, text: &str, adoption: &Adoption) -> Result<String> {
    let sources = [SourceFile { name: out.to_owned(), text: text.to_owned() }];
    let style = render::style();
    let show = |found: &[Diagnostic]| spec::render(found, &sources, style.color, style.width);
    let loaded = match spec::load(&sources, &environment) {
        Ok(loaded) => loaded,
        Err(mistakes) => return Ok(show(&mistakes)),
    };
    if loaded.spec != adoption.spec {
        return Err(Fail::bug("the spec as text is not the spec that was meant"));
    }
    let mut found = loaded.explain(blueprint::mistakes(&loaded.spec));
    found.retain(Diagnostic::is_error);
    Ok(if found.is_empty() { String::new() } else { show(&found) })
}

/// A state that exists may only hold what an earlier try has taken over.
fn free(state: &State, adoption: &Adoption) -> Result<()> {
    let same = state.resources.iter().all(|(address, record)| {
        record.id.is_some() && adoption.owned.get(address) == record.id.as_ref()
    });
    if same {
        return Ok(());
    }
    let message =
        format!("there is a state of stack `{}` already, with other objects", state.stack);
    Err(Fail::new(Exit::Refused, message)
        .hint("name the stack otherwise with `--name`, or extend the spec of that stack"))
}

/// Marks what is owned and remembers it.
async fn take_over(place: &StatePlace, plan: &Plan, session: &Session) -> Result {
    with_state(place, &holder("dbxctl adopt"), async |held| {
        engine::check_fresh(plan, held.store).map_err(|stale| {
            Fail::new(Exit::Stale, stale)
                .hint("something was applied in between: run the command again")
        })?;
        let outcome = act(plan, held, session, &Events::default()).await?;
        if outcome.complete() && held.peek(|state| !state.resources.is_empty()) {
            return Ok(Exit::Done);
        }
        render::note(&render::unfinished(&outcome));
        Err(Fail::new(Exit::Partial, "not everything is taken over; no spec was written")
            .hint("run the same command again: it goes on from here"))
    })
    .await
}

fn write(out: &std::path::Path, text: &str) -> Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Fail::file(Exit::Error, "write", out, &error))
}

/// Ids that are only to be used.
pub(crate) fn wishes(stack: Option<String>, own_shared: bool, leave: Vec<String>) -> Wishes {
    Wishes { stack, own_shared, leave: leave.into_iter().collect::<BTreeSet<_>>() }
}
