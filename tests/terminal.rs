//! What only happens at a terminal: the questions, the live tree, lines that fit.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::clouds::{binary, finish};
use crate::sandbox::Stack;

/// Runs dbxctl at a pseudo terminal of 80 columns and types the line. What was on the screen.
#[track_caller]
fn at_a_terminal(stack: &Stack, arguments: &str, typed: &str, code: i32) -> String {
    let dbxctl = binary("dbxctl");
    let folder = stack.folder.path().display();
    let line = format!(
        "stty cols 80 rows 24; {} {arguments} --cloud sandbox --state-dir {folder}",
        dbxctl.display()
    );
    // `script` of util-linux is on every Linux; its pseudo terminal is as real as any.
    let mut command = std::process::Command::new("script");
    command.args(["-qec", &line, "/dev/null"]).env_clear();
    command
        .env("PATH", "/usr/bin:/bin")
        .env("DBXCTL_SANDBOX_PROFILE", "quick")
        .env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("`script` can be started");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(format!("{typed}\n").as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    drop(stdin);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn spec(workspaces: &[&str], allow_deletion: &[&str]) -> Value {
    let workspaces = workspaces.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({
        "apiVersion": "dbxctl/v1", "name": "asked", "region": "ap-northeast-1",
        "aws": { "account": "123456789012" },
        "databricks": { "account": "3f8a1c52-7d40-4be1-9c6e-2b5d8e0f1a77" },
        "workspaces": Value::Object(workspaces), "allow_deletion": allow_deletion,
    })
}

#[test]
fn what_loses_data_is_confirmed_by_its_name() {
    let stack = Stack::new("instant");
    let file = stack.write("spec.json", &spec(&["wk1", "wk2"], &[]));
    let screen = at_a_terminal(&stack, &format!("apply {file}"), "yes", 0);
    assert!(screen.contains("type `yes`"), "{screen}");
    // One line may be on a real screen only once it has gone up; whatever is drawn fits.
    assert!(screen.contains("created") && !screen.contains("Lost for good"), "{screen}");

    let file = stack.write("spec.json", &spec(&["wk1"], &["wk2"]));
    let apply = format!("apply {file}");
    for word in ["yes", "wk1"] {
        let screen = at_a_terminal(&stack, &apply, word, 1);
        assert!(screen.contains("type `wk2`") && screen.contains("not confirmed"), "{screen}");
        assert!(screen.contains("databricks.workspace/wk2"), "{screen}");
    }
    assert!(stack.list(&file).iter().any(|(address, _)| address == "databricks.workspace/wk2"));
    at_a_terminal(&stack, &apply, "wk2", 0);
    assert!(!stack.list(&file).iter().any(|(address, _)| address == "databricks.workspace/wk2"));
    // Nobody is there, and nobody said yes beforehand: that is not agreement.
    let file = stack.write("spec.json", &spec(&[], &["wk1"]));
    let output = finish(stack.command(&["apply", &file])).expect(1);
    assert!(output.stderr.contains("nobody is there to confirm"), "{}", output.stderr);
    stack.run(&["apply", &file, "--yes"], 0);
}

#[test]
fn manual_pages_are_formatted_without_complaint() {
    let stack = Stack::new("instant");
    let folder = stack.folder.path().join("man");
    let out = folder.to_str().expect("a plain name");
    stack.run(&["man", "--out", out], 0);
    let pages: Vec<_> = std::fs::read_dir(&folder).expect("written").flatten().collect();
    assert!(pages.len() > 20, "{pages:?}");
    for page in pages {
        let mut command = std::process::Command::new("groff");
        command.args(["-man", "-Tutf8", "-ww", "-P-cbou"]).arg(page.path());
        let Ok(output) = command.output() else { return without("groff") };
        let (text, complaints) = (output.stdout, output.stderr);
        assert!(complaints.is_empty(), "{page:?}: {}", String::from_utf8_lossy(&complaints));
        assert!(String::from_utf8_lossy(&text).contains("EXIT STATUS"), "{page:?}");
    }
}

#[expect(clippy::print_stderr, reason = "the runner shows it with the test")]
#[expect(clippy::disallowed_methods, reason = "a pipeline has what it needs, a newcomer need not")]
fn without(program: &str) {
    let ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
    assert!(!ci, "`{program}` is not installed");
    eprintln!("`{program}` is not installed: the pages were not formatted");
}
