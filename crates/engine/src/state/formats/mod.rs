//! Older formats of the state file and its log, brought up to the present one.
//!
//! One step for each number: it knows the difference to the next and nothing else. The files in the
//! folders beside this one were written by the programs of their time and never change.

use serde_json::Value;

use super::model::FORMAT;

/// From one format to the next.
struct Step {
    /// Changes the whole file, apart from its number.
    state: fn(&mut Value),
    /// Changes the entry of one line of the log.
    entry: fn(&mut Value),
}

/// `STEPS[n - 1]` leads from format n to n + 1.
const STEPS: [Step; FORMAT as usize - 1] = [
    // 2 has two entries more (`move`, `home`): programs that know only 1 must not go on from a log with them.
    Step { state: |_| (), entry: |_| () },
    // 3 adds `durations` and `runs`, and the entries `began` and `ended`.
    Step { state: |_| (), entry: |_| () },
];

/// The steps from format `from` on.
fn steps(from: u64) -> &'static [Step] {
    let done = usize::try_from(from).unwrap_or(usize::MAX).saturating_sub(1);
    STEPS.get(done..).unwrap_or_default()
}

/// Brings a state file of format `from` to the present one.
pub(super) fn upgrade_state(from: u64, state: &mut Value) {
    for step in steps(from) {
        (step.state)(state);
    }
    state["format"] = FORMAT.into();
}

/// Brings the entry of a log beside a file of format `from` to the present one.
pub(super) fn upgrade_entry(from: u64, entry: &mut Value) {
    for step in steps(from) {
        (step.entry)(entry);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::file::load;
    use super::super::{FORMAT, Holder, OpenState, StateFile, Status, Store};

    /// Every format that ever was is read, gone on from, and written in the present one.
    #[tokio::test]
    async fn files_of_every_format_are_read_and_rewritten() {
        let formats = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/state/formats");
        for format in 1..FORMAT {
            let frozen = formats.join(format.to_string());
            let folder = tempfile::tempdir().unwrap();
            for name in ["settled.json", "interrupted.json", "interrupted.log"] {
                std::fs::copy(frozen.join(name), folder.path().join(name)).unwrap();
            }

            let path = folder.path().join("settled.json");
            let settled = load(&path, "managed-vpc").unwrap();
            assert_eq!((settled.format, settled.resources.len()), (FORMAT, 6));
            assert!(settled.resources.values().all(|r| r.status == Status::Settled));

            let path = folder.path().join("interrupted.json");
            let file = StateFile::open(&path, "managed-vpc", &Holder::new("test", "here")).unwrap();
            let statuses = (&file as &dyn Store)
                .peek(|state| state.resources.values().map(|r| r.status).collect::<Vec<_>>());
            let settled =
                |n: usize| statuses.iter().filter(|s| **s == Status::Settled).count() == n;
            assert!(settled(4) && statuses.contains(&Status::Making), "{statuses:?}");
            Box::new(file).close().await.unwrap();
            let rewritten: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
            assert_eq!(rewritten["format"], FORMAT);
            assert_eq!(load(&path, "managed-vpc").unwrap().resources.len(), statuses.len());
        }
    }
}
