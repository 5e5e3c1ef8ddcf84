//! `dbxctl state`: what is remembered, putting it right, and moving it.

use std::path::{Path, PathBuf};

use engine::{Address, Entry, State, StatePlace, Store};

use super::apply::with_state;
use super::plan::read_world;
use crate::args::{Global, StateCommand};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{Loaded, connect, holder, kinds, load, sign_in, state_place};

pub(crate) async fn run(command: StateCommand, global: &Global) -> Result {
    let loaded = load(specs(&command), global)?;
    let place = state_place(&loaded.target).await?;
    match command {
        StateCommand::List { .. } => render::result(&render::state_list(&place.read().await?)),
        StateCommand::Show { address, .. } => show(&place.read().await?, &address.into())?,
        StateCommand::Mv { from, to, .. } => rename(&place, from.into(), to.into()).await?,
        StateCommand::Forget { addresses, .. } => {
            forget(&place, addresses.into_iter().map(Address::from).collect()).await?;
        }
        StateCommand::Rebuild { .. } => return rebuild(&loaded).await,
        StateCommand::Pull { .. } => render::result(&json(&place.read().await?)),
        StateCommand::Push { file, force, .. } => push(&place, &file, force).await?,
        StateCommand::Unlock { owner, .. } => unlock(&place, owner.as_deref()).await?,
    }
    Ok(Exit::Done)
}

fn specs(command: &StateCommand) -> &[PathBuf] {
    match command {
        StateCommand::List { specs }
        | StateCommand::Pull { specs }
        | StateCommand::Rebuild { specs }
        | StateCommand::Unlock { specs, .. } => &specs.files,
        StateCommand::Show { specs, .. }
        | StateCommand::Mv { specs, .. }
        | StateCommand::Forget { specs, .. }
        | StateCommand::Push { specs, .. } => &specs.files,
    }
}

fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("the state is plain data");
    format!("{text}\n")
}

fn show(state: &State, address: &Address) -> Result<()> {
    known(state, address)?;
    render::result(&json(&state.resources[address]));
    Ok(())
}

fn known(state: &State, address: &Address) -> Result<()> {
    if state.resources.contains_key(address) {
        return Ok(());
    }
    Err(Fail::new(Exit::Error, format!("the state has no `{address}`"))
        .hint("list what it has with `dbxctl state list`"))
}

async fn rename(place: &StatePlace, from: Address, to: Address) -> Result<()> {
    let text = format!("{from} is now {to}\n");
    let choose = |state: &State| {
        known(state, &from)?;
        if from.kind() != to.kind() {
            let message = format!("`{from}` and `{to}` are different kinds of things");
            return Err(Fail::new(Exit::Error, message));
        }
        if state.resources.contains_key(&to) {
            return Err(Fail::new(Exit::Error, format!("the state has a `{to}` already")));
        }
        Ok(vec![Entry::Move { from, to }])
    };
    add(place, "dbxctl state mv", choose).await?;
    render::result(&text);
    Ok(())
}

async fn forget(place: &StatePlace, addresses: Vec<Address>) -> Result<()> {
    let text: String = addresses.iter().map(|a| format!("{a} is forgotten\n")).collect();
    let choose = |state: &State| {
        addresses.iter().try_for_each(|address| known(state, address))?;
        Ok(addresses.into_iter().map(|address| Entry::Forget { address }).collect())
    };
    add(place, "dbxctl state forget", choose).await?;
    render::result(&text);
    Ok(())
}

/// Adds the entries that `choose` makes of the state.
async fn add(
    place: &StatePlace,
    command: &str,
    choose: impl FnOnce(&State) -> Result<Vec<Entry>>,
) -> Result<()> {
    with_state(place, &holder(command), async |held| {
        let entries = held.peek(choose)?;
        append(held.store, entries).await?;
        Ok(Exit::Done)
    })
    .await?;
    Ok(())
}

async fn append(store: &dyn Store, entries: Vec<Entry>) -> Result<()> {
    for entry in entries {
        store.append(entry).await?;
    }
    Ok(())
}

/// Looks for everything the spec asks for and makes the state know what is there.
async fn rebuild(loaded: &Loaded) -> Result {
    let Loaded { graph, target, .. } = loaded;
    let access = sign_in(target).await?;
    with_state(&access.state, &holder("dbxctl state rebuild"), async |held| {
        let session = connect(target, &access, Some(graph))?;
        let state = held.peek(State::clone);
        let world = held.unless_stopped(read_world(&session, graph, &state)).await?;
        let rebuilt = engine::rebuild(graph, &state, &world, kinds());
        append(held.store, rebuilt.entries.clone()).await?;
        render::result(&render::rebuilt(&rebuilt));
        Ok(if rebuilt.ambiguous.is_empty() { Exit::Done } else { Exit::Error })
    })
    .await
}

async fn push(place: &StatePlace, file: &Path, force: bool) -> Result<()> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Fail::file(Exit::Error, "read", file, &error))?;
    let state = engine::parse_state(&name, &text)?;
    let open = place.open(&holder("dbxctl state push"), &render::notice).await?;
    let pushed = engine::push(open.as_ref(), state, force);
    open.close().await?;
    match pushed {
        Ok(true) => render::result("the state is what the file says\n"),
        Ok(false) => render::result("nothing to do: the state is what the file says\n"),
        Err(error @ engine::PushError::OtherStack(..)) => {
            return Err(Fail::new(Exit::Refused, format!("`{name}` was not pushed: {error}")));
        }
        Err(error) => {
            return Err(Fail::new(Exit::Refused, format!("`{name}` was not pushed: {error}"))
                .hint("compare it with `dbxctl state pull`; `--force` takes it all the same"));
        }
    }
    Ok(())
}

async fn unlock(place: &StatePlace, owner: Option<&str>) -> Result<()> {
    let me = holder("dbxctl state unlock");
    let Some((holder, expires)) = place.holder(&me).await? else {
        render::result("the state is not locked\n");
        return Ok(());
    };
    let held =
        format!("locked by {holder}\nits lease runs until {expires:.0} unless it is renewed\n");
    match owner {
        Some(owner) if owner == holder.owner => {
            place.evict(owner, &me, &render::notice).await?;
            render::result(&format!("was {held}the state is not locked any more\n"));
            Ok(())
        }
        Some(owner) => Err(Fail::new(Exit::Locked, format!("`{owner}` does not hold the lock"))
            .hint(format!("it is {}", held.trim_end()))),
        None => {
            render::result(&held);
            Err(Fail::new(Exit::Locked, "the state is locked").hint(format!(
                "if that run is dead, wait until then, or `dbxctl state unlock --owner {}`",
                holder.owner
            )))
        }
    }
}
