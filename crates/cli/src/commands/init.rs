//! `dbxctl init`: a commented spec to start from.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use crate::args::Template;
use crate::exit::{Exit, Fail, Result};
use crate::render;

/// The starters are the examples, so what a user starts from is what the tests apply.
pub(crate) fn run(template: Template, out: &Path) -> Result {
    let text = match template {
        Template::Simple => include_str!("../../../../examples/managed-vpc.yaml"),
        Template::SharedVpc => include_str!("../../../../examples/shared-vpc.yaml"),
        Template::Privatelink => include_str!("../../../../examples/closed-network.yaml"),
    };
    // The schema lies beside the examples; a spec elsewhere gets its own with `dbxctl schema spec`.
    let text = text.replace("$schema=../schemas/spec.schema.json", "$schema=spec.schema.json");
    let path = out.display();
    let cannot = |error: std::io::Error| Fail::file(Exit::Error, "write", out, &error);
    let file = OpenOptions::new().write(true).create_new(true).open(out);
    let mut file = file.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Fail::new(Exit::Error, format!("`{path}` exists")).hint("choose another with `--out`")
        }
        _ => cannot(error),
    })?;
    file.write_all(text.as_bytes()).map_err(cannot)?;
    render::note(&format!(
        "wrote {path}\nnext: dbxctl apply {path} --cloud sandbox   (a rehearsal without any account)"
    ));
    Ok(Exit::Done)
}
