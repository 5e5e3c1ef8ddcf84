//! `dbxctl state`: what is remembered.

use std::path::Path;

use engine::{Address, State, StatePlace};

use crate::args::{Global, StateCommand};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{holder, load, state_place};

pub(crate) async fn run(command: StateCommand, global: &Global) -> Result {
    let place = state_place(&load(specs(&command), global)?.target).await?;
    match command {
        StateCommand::List { .. } => render::result(&render::state_list(&place.read().await?)),
        StateCommand::Show { address, .. } => show(&place.read().await?, &address.into())?,
        StateCommand::Pull { .. } => render::result(&json(&place.read().await?)),
        StateCommand::Push { file, force, .. } => push(&place, &file, force).await?,
        StateCommand::Unlock { owner, .. } => unlock(&place, owner.as_deref()).await?,
    }
    Ok(Exit::Done)
}

fn specs(command: &StateCommand) -> &[std::path::PathBuf] {
    match command {
        StateCommand::List { specs }
        | StateCommand::Pull { specs }
        | StateCommand::Unlock { specs, .. } => &specs.files,
        StateCommand::Show { specs, .. } | StateCommand::Push { specs, .. } => &specs.files,
    }
}

fn json(value: &impl serde::Serialize) -> String {
    let text = serde_json::to_string_pretty(value).expect("the state is plain data");
    format!("{text}\n")
}

fn show(state: &State, address: &Address) -> Result<()> {
    let Some(record) = state.resources.get(address) else {
        return Err(Fail::new(Exit::Error, format!("the state has no `{address}`"))
            .hint("list what it has with `dbxctl state list`"));
    };
    render::result(&json(record));
    Ok(())
}

async fn push(place: &StatePlace, file: &Path, force: bool) -> Result<()> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|error| Fail::new(Exit::Error, format!("cannot read `{name}`: {error}")))?;
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
