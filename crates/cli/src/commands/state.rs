//! `dbxctl state`: what is remembered.

use engine::{Address, Lock, State};

use crate::args::{Global, StateCommand};
use crate::exit::{Exit, Fail, Result};
use crate::render;
use crate::setup::{Target, load};

pub(crate) fn run(command: StateCommand, global: &Global) -> Result {
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

fn read(target: &Target) -> Result<State> {
    Ok(engine::load(&target.state_path(), &target.stack)?)
}
