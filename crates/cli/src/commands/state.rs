//! `dbxctl state`: what is remembered, and putting it right.

use std::path::PathBuf;

use engine::{Address, Entry, Lock, State, StateFile, Store};

use super::apply::{open_state as open, peek};
use super::plan::read_world;
use crate::args::{Global, StateCommand};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{Loaded, Target, connect, kinds, load};

pub(crate) async fn run(command: StateCommand, global: &Global) -> Result {
    match command {
        StateCommand::List { specs } => {
            let state = read(&load(&specs.files, global)?.target)?;
            render::result(&render::state_list(&state));
        }
        StateCommand::Show { address, specs } => {
            let state = read(&load(&specs.files, global)?.target)?;
            let address = Address::from(address);
            let Some(record) = state.resources.get(&address) else {
                return Err(Fail::new(Exit::Error, format!("the state has no `{address}`"))
                    .hint("list what it has with `dbxctl state list`"));
            };
            let text = serde_json::to_string_pretty(record).expect("a record is plain data");
            render::result(&format!("{text}\n"));
        }
        StateCommand::Mv { from, to, specs } => {
            let (from, to) = (Address::from(from), Address::from(to));
            let store = open(&load(&specs.files, global)?.target, "dbxctl state mv")?;
            known(&store, &from)?;
            if from.kind() != to.kind() {
                let message = format!("`{from}` and `{to}` are different kinds of things");
                return Err(Fail::new(Exit::Error, message));
            }
            if knows(&store, &to) {
                return Err(Fail::new(Exit::Error, format!("the state has a `{to}` already")));
            }
            let text = format!("{from} is now {to}\n");
            append(store, [Entry::Move { from, to }]).await?;
            render::result(&text);
        }
        StateCommand::Forget { addresses, specs } => {
            let addresses: Vec<Address> = addresses.into_iter().map(Address::from).collect();
            let store = open(&load(&specs.files, global)?.target, "dbxctl state forget")?;
            addresses.iter().try_for_each(|address| known(&store, address))?;
            let text: String = addresses.iter().map(|a| format!("{a} is forgotten\n")).collect();
            append(store, addresses.into_iter().map(|address| Entry::Forget { address })).await?;
            render::result(&text);
        }
        StateCommand::Rebuild { specs } => return rebuild(&specs.files, global).await,
        StateCommand::Unlock { specs } => {
            let target = load(&specs.files, global)?.target;
            let path = target.state_path().with_extension("lock");
            if path.exists() {
                // The lock belongs to a living process or to nobody: taking it tells which.
                Lock::take(&path, "dbxctl state unlock").map_err(engine::StateError::from)?;
            }
            render::result("the state is not locked\n");
        }
    }
    Ok(Exit::Done)
}

/// Looks for everything the spec asks for and makes the state know what is there.
async fn rebuild(files: &[PathBuf], global: &Global) -> Result {
    let Loaded { graph, target, .. } = load(files, global)?;
    let store = open(&target, "dbxctl state rebuild")?;
    let session = connect(&target, Some(&graph)).await?;
    let state = peek(&store, State::clone);
    let world = read_world(&session, &graph, &state).await?;
    let rebuilt = engine::rebuild(&graph, &state, &world, kinds());
    append(store, rebuilt.entries.iter().cloned()).await?;
    render::result(&render::rebuilt(&rebuilt));
    Ok(if rebuilt.ambiguous.is_empty() { Exit::Done } else { Exit::Error })
}

fn known(store: &StateFile, address: &Address) -> Result<()> {
    if knows(store, address) {
        return Ok(());
    }
    Err(Fail::new(Exit::Error, format!("the state has no `{address}`"))
        .hint("list what it has with `dbxctl state list`"))
}

fn knows(store: &StateFile, address: &Address) -> bool {
    peek(store, |state| state.resources.contains_key(address))
}

/// Adds the entries and closes the state.
async fn append(store: StateFile, entries: impl IntoIterator<Item = Entry>) -> Result<()> {
    for entry in entries {
        store.append(entry).await?;
    }
    Ok(store.close()?)
}

fn read(target: &Target) -> Result<State> {
    Ok(engine::load(&target.state_path(), &target.stack)?)
}
