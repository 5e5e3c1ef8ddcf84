//! `dbxctl validate`: the spec by itself.

use std::path::PathBuf;

use crate::args::Global;
use crate::exit::{Exit, Fail, Result};
use crate::{render, setup};

pub(crate) fn run(files: &[PathBuf], effective: bool, global: &Global) -> Result {
    let loaded = setup::load(files, global)?;
    if effective {
        let text =
            serde_json::to_string_pretty(&loaded.written.spec.effective()).map_err(Fail::bug)?;
        render::result(&format!("{text}\n"));
    } else {
        render::result(&format!(
            "{}: valid, {} workspaces, {} resources\n",
            loaded.written.spec.name,
            loaded.written.spec.workspaces.len(),
            loaded.graph.nodes.len(),
        ));
    }
    Ok(Exit::Done)
}
