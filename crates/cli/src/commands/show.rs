//! `dbxctl show`: a saved plan, or what a stack has.

use std::path::{Path, PathBuf};

use super::plan::{json, open};
use crate::args::{Global, Length, ShowFormat};
use crate::exit::{Exit, Fail, Result};
use crate::{render, setup};

pub(crate) async fn plan(path: &Path, format: ShowFormat, length: Length) -> Result {
    let file = open(path)?;
    render::result(&match format {
        ShowFormat::Human => render::plan(&file.plan, &file.used_by, &file.checked),
        ShowFormat::Json => json(&file),
        ShowFormat::Markdown => {
            let review =
                render::Review { file: &file, drift: false, locate: &|_| None, diagram: &|_| None };
            review.markdown(length.max_chars)
        }
        ShowFormat::TerraformJson => {
            let state = setup::state_place(&file.target).await?.read().await?;
            engine::fresh(&file.plan, &state).map_err(|stale| Fail::stale(&stale))?;
            let plan = render::terraform(&file, &state);
            serde_json::to_string_pretty(&plan).expect("a plan is plain data") + "\n"
        }
    });
    Ok(Exit::Done)
}

pub(crate) async fn outputs(files: &[PathBuf], global: &Global) -> Result {
    let loaded = setup::load(files, global)?;
    let state = setup::state_place(&loaded.target).await?.read().await?;
    render::result(&render::outputs(&state, loaded.target.sandbox));
    Ok(Exit::Done)
}
