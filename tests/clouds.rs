//! The two clouds of a wire test: moto for AWS, the account server for Databricks, each behind a
//! proxy, and dbxctl pointed at them.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::Arc;

use tempfile::TempDir;

use crate::proxy::{Cloud, Journal, Proxy, Side};

/// The account of moto's default credentials.
pub(crate) const AWS_ACCOUNT: &str = "123456789012";
/// The Databricks account the tests work in.
pub(crate) const ACCOUNT: &str = "00000000-0000-4000-8000-000000000001";

const CLIENT: &str = "dbxctl-test";
const SECRET: &str = "not-a-secret";

/// How moto behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moto {
    /// As published: permissive, everything is ready at once.
    AsIs,
    /// With its worst gaps closed, see `cloud/moto_patches.py`.
    Patched,
}

/// Running clouds with nothing in them; they end with the value.
pub(crate) struct Clouds {
    pub(crate) journal: Arc<Journal>,
    folder: TempDir,
    aws: Proxy,
    account: Proxy,
    variables: Vec<(String, String)>,
    moto: Server,
    account_server: Server,
}

/// Proxies before the clouds of a test.
pub(crate) struct Way {
    pub(crate) journal: Arc<Journal>,
    aws: Proxy,
    account: Proxy,
}

/// A dbxctl that runs.
pub(crate) struct Running(Child);

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Waits until it ends.
    pub(crate) fn finish(self) -> Output {
        Output::of(self.0.wait_with_output().expect("a child can be waited for"))
    }
}

/// What a run of a command left.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Output {
    fn of(output: std::process::Output) -> Output {
        Output {
            status: output.status,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Fails the test unless the exit code is this one; shows what the command said.
    #[track_caller]
    pub(crate) fn expect(self, code: i32) -> Output {
        let Output { status, stdout, stderr } = &self;
        assert_eq!(
            status.code(),
            Some(code),
            "{status}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        );
        self
    }
}

impl Clouds {
    /// Starts both clouds.
    pub(crate) fn start(moto: Moto) -> Clouds {
        let folder = TempDir::new().expect("there is a place for temporary files");
        let mut command = Command::new(python());
        command.arg("-B").arg(top().join("tests/cloud/launch_moto.py"));
        if moto == Moto::Patched {
            command.arg("--patched");
        }
        let moto = Server::start(command, &folder.path().join("moto.log"));
        let mut command = Command::new(binary("dbxctl-account-server"));
        command
            .args(["--account", ACCOUNT, "--client-id", CLIENT, "--client-secret", SECRET])
            .args(["--aws", &format!("http://{}", moto.address), "--exit-with-stdin"]);
        let account_server = Server::start(command, &folder.path().join("account-server.log"));
        let journal = Arc::new(Journal::default());
        Clouds {
            aws: Proxy::start(Cloud::Aws, moto.address, &journal),
            account: Proxy::start(Cloud::Databricks, account_server.address, &journal),
            journal,
            folder,
            variables: Vec::new(),
            moto,
            account_server,
        }
    }

    /// The folder of this test, with the state in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Runs dbxctl to its end.
    pub(crate) fn dbxctl(&self, arguments: &[&str]) -> Output {
        finish(self.dbxctl_command(arguments))
    }

    /// Sets a variable for every dbxctl from now on.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Starts dbxctl.
    pub(crate) fn begin(&self, arguments: &[&str]) -> Running {
        let mut command = self.dbxctl_command(arguments);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Running(child.expect("dbxctl can be started"))
    }

    /// Runs dbxctl and kills it at the n-th mutating request, or the n-th of one action; false when
    /// it made fewer.
    pub(crate) fn dbxctl_killed(
        &self,
        arguments: &[&str],
        action: Option<&str>,
        n: usize,
        side: Side,
    ) -> bool {
        self.journal.kill_at(action, n, side);
        let mut child = self.start_dbxctl(arguments, "killed.log");
        self.journal.set_victim(child.id());
        child.wait().expect("a child can be waited for");
        self.journal.killed()
    }

    /// Runs `cloud/verify.py`, which looks at both clouds with other clients. Its calls do not
    /// pass the proxies.
    pub(crate) fn verify(&self, arguments: &[&str]) -> Output {
        self.python("verify.py", arguments)
    }

    /// Runs a script of the folder `cloud` in the same way.
    pub(crate) fn python(&self, script: &str, arguments: &[&str]) -> Output {
        let mut command = self.script(script);
        command.args(arguments);
        finish(command)
    }

    /// The same, in a process that answers many times: starting one takes seconds.
    pub(crate) fn start_verifier(&self) -> Verifier {
        let mut command = self.script("verify.py");
        command.arg("serve").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        Verifier { child, answers }
    }

    fn script(&self, name: &str) -> Command {
        let mut command = Command::new(python());
        command.arg("-B").arg(top().join("tests/cloud").join(name));
        let aws = format!("http://{}", self.moto.address);
        let account = format!("http://{}", self.account_server.address);
        self.environment(&mut command, &aws, &account);
        command
    }

    /// Starts dbxctl, with what it says in the file `name` of the folder.
    pub(crate) fn start_dbxctl(&self, arguments: &[&str], name: &str) -> Child {
        let log = File::create(self.folder().join(name)).expect("a log file");
        let twin = log.try_clone().expect("a file can be shared");
        let mut command = self.dbxctl_command(arguments);
        command.stdout(log).stderr(twin).spawn().expect("dbxctl can be started")
    }

    /// Starts dbxctl on a way of its own to the same clouds, with its log in the file `name`.
    pub(crate) fn start_on(&self, way: &Way, arguments: &[&str], name: &str) -> Child {
        let log = File::create(self.folder().join(name)).expect("a log file");
        let mut command = self.command_on(&way.aws.url(), &way.account.url(), arguments);
        command.stdout(Stdio::null()).stderr(log).spawn().expect("dbxctl can be started")
    }

    /// Another way to the same clouds, whose calls are counted by themselves.
    pub(crate) fn way(&self) -> Way {
        let journal = Arc::new(Journal::default());
        Way {
            aws: Proxy::start(Cloud::Aws, self.moto.address, &journal),
            account: Proxy::start(Cloud::Databricks, self.account_server.address, &journal),
            journal,
        }
    }

    /// Changes how the account server behaves.
    pub(crate) fn set_account(&self, settings: &serde_json::Value) {
        post(self.account_server.address, "/_control/settings", &settings.to_string());
    }

    /// Empties both clouds and forgets the state, faults and calls.
    pub(crate) fn reset(&self) {
        self.journal.wait_for_quiet();
        post(self.moto.address, "/moto-api/reset", "");
        post(self.account_server.address, "/_control/reset", "");
        self.journal.end_faults();
        self.journal.clear();
        let state = self.folder().join("state");
        if state.exists() {
            std::fs::remove_dir_all(state).expect("the folder is ours");
        }
    }

    /// Steers the account server: `POST /_control/{what}`.
    pub(crate) fn control(&self, what: &str, body: &serde_json::Value) {
        let body = body.to_string();
        let request = format!(
            "POST /_control/{what} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(self.account_server.address).expect("it listens");
        stream.write_all(request.as_bytes()).expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        assert!(answer.starts_with("HTTP/1.1 20"), "{answer}");
    }

    fn dbxctl_command(&self, arguments: &[&str]) -> Command {
        self.command_on(&self.aws.url(), &self.account.url(), arguments)
    }

    fn command_on(&self, aws: &str, account: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary("dbxctl"));
        command.args(arguments).arg("--state-dir").arg(self.folder().join("state"));
        self.environment(&mut command, aws, account);
        command.envs(self.variables.iter().cloned());
        command
    }

    fn environment(&self, command: &mut Command, aws: &str, account: &str) {
        // Nothing of the developer's own accounts may get in.
        command
            .current_dir(top())
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("HOME", self.folder())
            .env("AWS_ENDPOINT_URL", aws)
            .env("AWS_REGION", "us-east-1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("DATABRICKS_HOST", account)
            .env("DATABRICKS_ACCOUNT_ID", ACCOUNT)
            .env("DATABRICKS_CLIENT_ID", CLIENT)
            .env("DATABRICKS_CLIENT_SECRET", SECRET)
            .stdin(Stdio::null());
    }
}

impl Drop for Clouds {
    fn drop(&mut self) {
        let gaps = self.journal.gaps();
        if std::thread::panicking() {
            for log in ["moto.log", "account-server.log"] {
                show_end(&self.folder().join(log));
            }
        } else {
            assert!(gaps.is_empty(), "moto cannot do these: {gaps:?}");
        }
    }
}

/// A `verify.py` that goes on answering.
pub(crate) struct Verifier {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Verifier {
    /// What it prints; the error is what it finds wrong.
    pub(crate) fn ask(&mut self, arguments: &[&str]) -> Result<String, String> {
        let question = serde_json::to_string(arguments).expect("plain text");
        let stdin = self.child.stdin.as_mut().expect("stdin is piped");
        writeln!(stdin, "{question}").map_err(|e| e.to_string())?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|e| e.to_string())?;
        let (code, text): (i32, String) =
            serde_json::from_str(&line).map_err(|e| format!("verify.py said {line:?}: {e}"))?;
        if code == 0 { Ok(text) } else { Err(text) }
    }
}

impl Drop for Verifier {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server in a process of its own that ends when its stdin closes.
struct Server {
    child: Child,
    address: SocketAddr,
}

impl Server {
    /// Starts it and waits for the line that says where it listens.
    fn start(mut command: Command, log: &Path) -> Server {
        let log = File::create(log).expect("a log file");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let mut line = String::new();
        let stdout = child.stdout.take().expect("stdout is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it writes text");
        let address = line.split("http://").nth(1).map(|a| a.trim().trim_end_matches('/'));
        let Some(address) = address.and_then(|a| a.parse().ok()) else {
            panic!("{command:?} said {line:?}, not where it listens")
        };
        Server { child, address }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a POST to a server of ours, which must accept it.
fn post(address: SocketAddr, path: &str, body: &str) {
    let (kind, length) = ("content-type: application/json", body.len());
    let head = format!("POST {path} HTTP/1.1\r\nhost: {address}\r\n{kind}\r\nconnection: close");
    let request = format!("{head}\r\ncontent-length: {length}\r\n\r\n{body}");
    let mut stream = TcpStream::connect(address).expect("the server runs");
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 20"), "{path}: {answer}");
}

pub(crate) fn finish(mut command: Command) -> Output {
    Output::of(command.output().unwrap_or_else(|e| panic!("{command:?}: {e}")))
}

#[expect(clippy::print_stderr, reason = "the runner shows it with the failed test")]
fn show_end(log: &Path) {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().filter(|l| !l.contains("\" 200 -")).collect();
    eprintln!("--- end of {}", log.display());
    for line in &lines[lines.len().saturating_sub(40)..] {
        eprintln!("{line}");
    }
}

/// The top of the repository.
pub(crate) fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("tests is below the top").to_path_buf()
}

/// The specs a user could start from, in order of their names.
pub(crate) fn examples() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(top().join("examples"))
        .expect("there are examples")
        .map(|entry| entry.expect("it can be read").path())
        .filter(|path| path.extension().is_some_and(|e| e == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "there are no examples");
    files
}

/// A binary of the workspace: they lie one folder above the test's own.
pub(crate) fn binary(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a test knows where it is");
    let path = own.ancestors().nth(2).expect("tests are built into deps").join(name);
    assert!(path.exists(), "{} is not built; run `cargo xtask test`", path.display());
    path
}

#[expect(clippy::disallowed_methods, reason = "says where the test environment's python is")]
pub(crate) fn python() -> PathBuf {
    match std::env::var_os("DBXCTL_TEST_PYTHON") {
        Some(python) => python.into(),
        None => top().join(".venv/bin/python"),
    }
}

/// Whether tests may take as long as they need; otherwise an evenly spread sample has to do.
#[expect(clippy::disallowed_methods, reason = "the one switch of the long tests")]
pub(crate) fn full() -> bool {
    std::env::var_os("DBXCTL_TEST_FULL").is_some_and(|value| value == "1")
}
