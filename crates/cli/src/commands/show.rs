//! `dbxctl show`: a saved plan, or what a stack has.

use std::path::{Path, PathBuf};

use super::plan::open;
use crate::args::Global;
use crate::exit::{Exit, Result};
use crate::{render, setup};

pub(crate) async fn run(plan: Option<&Path>, files: &[PathBuf], global: &Global) -> Result {
    let text = match plan {
        Some(path) => {
            let file = open(path)?;
            render::plan(&file.plan, &file.used_by, &file.checked)
        }
        None => {
            let loaded = setup::load(files, global)?;
            let state = setup::state_place(&loaded.target).await?.read().await?;
            render::outputs(&state, loaded.target.sandbox)
        }
    };
    render::result(&text);
    Ok(Exit::Done)
}
