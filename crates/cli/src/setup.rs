//! From arguments and environment to what a command works with. The only place that reads the
//! environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use blueprint::expand;
use cloud::Meter;
use engine::{Cloud, Graph, Holder, Kinds, Leases, Limit, Live, Pace, Paced, Settings, StatePlace};
use kinds::Clients;
use sandbox::Sandbox;
use serde::{Deserialize, Serialize};
use spec::{Diagnostic, SourceFile, Spec};

use crate::args::{Accounts, CloudChoice, Global};
use crate::exit::{Exit, Fail, Result};
use crate::render;

/// A loaded spec and the graph it stands for.
pub(crate) struct Loaded {
    /// The spec, and where each of its values is written.
    pub(crate) written: spec::Loaded,
    pub(crate) sources: Vec<SourceFile>,
    pub(crate) graph: Graph,
    pub(crate) target: Target,
}

/// Which clouds and which state a run is about. Saved with a plan, so that apply needs no spec.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Target {
    pub(crate) stack: String,
    pub(crate) sandbox: bool,
    pub(crate) region: String,
    pub(crate) aws_account: String,
    pub(crate) databricks_account: String,
    pub(crate) state: StateLocation,
}

/// Where the state of a target is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StateLocation {
    /// In a folder, relative to where the plan was made.
    Folder(PathBuf),
    S3(spec::S3State),
}

pub(crate) fn kinds() -> Kinds {
    kinds::facts()
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The spec files to read: those given, or the one lying here.
pub(crate) fn spec_files(given: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if !given.is_empty() {
        return Ok(given.to_vec());
    }
    let names = ["dbxctl.yaml", "dbxctl.yml", "dbxctl.json"];
    match names.iter().map(PathBuf::from).find(|path| path.exists()) {
        Some(path) => Ok(vec![path]),
        None => Err(Fail::new(Exit::Refused, "there is no spec here")
            .hint("name one, or write one with `dbxctl init`")),
    }
}

/// Reads, checks and expands the spec. Warnings go to stderr, mistakes into the failure.
pub(crate) fn load(files: &[PathBuf], global: &Global) -> Result<Loaded> {
    let files = spec_files(files)?.into_iter().map(|path| match std::fs::read(&path) {
        Ok(bytes) => Ok((path, bytes)),
        Err(error) => Err(Fail::file(Exit::Refused, "read", &path, &error)),
    });
    load_read(files.collect::<Result<_>>()?, global)
}

/// The same for files that have been read: their paths, the first of at least one says where the
/// stack is at home, and what is in them.
pub(crate) fn load_read(files: Vec<(PathBuf, Vec<u8>)>, global: &Global) -> Result<Loaded> {
    let style = render::style();
    let first = files.first().map(|(path, _)| path.clone()).unwrap_or_default();
    let refuse = |mistakes: &[Diagnostic], sources: &[SourceFile]| {
        Fail::rendered(Exit::Refused, spec::render(mistakes, sources, style.color, style.width))
    };
    let mut sources = Vec::new();
    for (path, bytes) in files {
        let source = SourceFile::from_bytes(path.display().to_string(), bytes);
        sources.push(source.map_err(|mistake| refuse(&[*mistake], &[]))?);
    }
    let loaded = spec::load(&sources, &environment).map_err(|all| refuse(&all, &sources))?;
    let mut found = loaded.warnings.clone();
    found.extend(loaded.explain(blueprint::mistakes(&loaded.spec)));
    if found.iter().any(Diagnostic::is_error) {
        return Err(refuse(&found, &sources));
    }
    if !found.is_empty() {
        render::note(&spec::render(&found, &sources, style.color, style.width));
    }
    let graph = expand(&loaded.spec);
    if let Err(errors) = graph.check() {
        let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
        return Err(Fail::bug(all.join("; ")));
    }
    let target = target(&loaded.spec, &first, global);
    Ok(Loaded { written: loaded, sources, graph, target })
}

pub(crate) fn target(spec: &Spec, first: &Path, global: &Global) -> Target {
    Target {
        stack: spec.name.clone(),
        sandbox: global.cloud == CloudChoice::Sandbox,
        region: spec.region.clone(),
        aws_account: spec.aws.account.clone(),
        databricks_account: spec.databricks.account.clone(),
        state: state_location(spec, first, global),
    }
}

/// The sandbox has a state of its own on this machine, so that a rehearsal never touches the real one.
fn state_location(spec: &Spec, first: &Path, global: &Global) -> StateLocation {
    match (&spec.state, local_state(first, global)) {
        (Some(store), StateLocation::Folder(folder)) if global.cloud == CloudChoice::Live => {
            let file = state_file(&folder, &spec.name);
            if file.exists() {
                render::note(&format!(
                    "note: `{}` is not used: the state is in the bucket `{}`; see `Sharing the state` in the README",
                    file.display(),
                    store.s3.bucket
                ));
            }
            StateLocation::S3(store.s3.clone())
        }
        (_, local) => local,
    }
}

/// Where the state is when it is on this machine.
fn local_state(first: &Path, global: &Global) -> StateLocation {
    let beside = || first.parent().unwrap_or(Path::new("")).join(".dbxctl");
    let folder = global.state_dir.clone().unwrap_or_else(beside);
    StateLocation::Folder(match global.cloud {
        CloudChoice::Sandbox => folder.join("sandbox"),
        CloudChoice::Live => folder,
    })
}

fn state_file(folder: &Path, stack: &str) -> PathBuf {
    folder.join(format!("{stack}.json"))
}

/// Signed in to the clouds of a target (nowhere, for the sandbox), with the way to its state.
pub(crate) struct Access {
    live: Option<(Clients, Paces)>,
    pub(crate) state: StatePlace,
}

/// How fast each service may be called.
type Paces = BTreeMap<&'static str, Arc<Pace>>;

/// Signs in to the clouds of the target, as nobody else than the spec says.
pub(crate) async fn sign_in(target: &Target) -> Result<Access> {
    SignIns::new(Arc::new(())).sign_in(target).await
}

/// The sign-ins of one process: targets in the same place share clients, tokens and limits.
pub(crate) struct SignIns {
    meter: Arc<dyn Meter>,
    clients: Mutex<BTreeMap<[String; 3], Clients>>,
    /// By service, and where its limit holds.
    paces: Mutex<BTreeMap<(&'static str, String), Arc<Pace>>>,
}

impl SignIns {
    /// None yet; requests are counted by `meter`.
    pub(crate) fn new(meter: Arc<dyn Meter>) -> Self {
        SignIns { meter, clients: Mutex::default(), paces: Mutex::default() }
    }

    /// Signs in to the clouds of the target, as nobody else than the spec says. Who AWS takes us for
    /// is asked every time: credentials may have been exchanged.
    pub(crate) async fn sign_in(&self, target: &Target) -> Result<Access> {
        if target.sandbox {
            return Ok(Access { live: None, state: state_place(target).await? });
        }
        let clients = self.clients(target).await?;
        check_aws_identity(target, &clients.aws).await?;
        check_databricks_account(target, &clients)?;
        let state = match &target.state {
            StateLocation::S3(s3) => shared_state(target, s3, &clients.aws)?,
            StateLocation::Folder(_) => state_place(target).await?,
        };
        Ok(Access { live: Some((clients, self.paces(target))), state })
    }

    async fn clients(&self, target: &Target) -> Result<Clients> {
        let Target { region, aws_account, databricks_account, .. } = target;
        let place = [region, aws_account, databricks_account].map(String::clone);
        let all = || self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all().get(&place).cloned();
        if let Some(clients) = known {
            return Ok(clients);
        }
        let new = clients(target, self.meter.clone()).await?;
        // Another turn may have been faster.
        Ok(all().entry(place).or_insert(new).clone())
    }

    fn paces(&self, target: &Target) -> Paces {
        let Target { region, aws_account, databricks_account, .. } = target;
        let mut paces = self.paces.lock().unwrap_or_else(PoisonError::into_inner);
        let pace = |service: &'static str| {
            let scope = match service {
                "databricks" => databricks_account.clone(),
                "iam" => aws_account.clone(),
                _ => format!("{aws_account} {region}"),
            };
            let pace = paces.entry((service, scope));
            (service, pace.or_insert_with(|| Arc::new(Pace::new(limit(service)))).clone())
        };
        kinds().0.iter().map(|kind| kind.service()).map(pace).collect()
    }
}

/// The way to the state of the target, signed in only where the state needs it.
pub(crate) async fn state_place(target: &Target) -> Result<StatePlace> {
    match &target.state {
        StateLocation::Folder(folder) => {
            Ok(StatePlace::file(&target.stack, state_file(folder, &target.stack)))
        }
        StateLocation::S3(s3) => {
            let aws = aws::Aws::connect(&target.region, Arc::new(())).await?;
            check_aws_identity(target, &aws).await?;
            shared_state(target, s3, &aws)
        }
    }
}

fn shared_state(target: &Target, s3: &spec::S3State, aws: &aws::Aws) -> Result<StatePlace> {
    let spec::S3State { bucket, prefix, kms_key } = s3;
    let objects = aws::StateBucket::new(aws, bucket, kms_key.as_deref());
    let prefix = prefix.as_deref().map(|p| format!("{}/", p.trim_end_matches('/')));
    let url = format!("s3://{bucket}/");
    let prefix = prefix.unwrap_or_default();
    Ok(StatePlace::shared(&target.stack, Arc::new(objects), &url, &prefix, leases()?))
}

fn leases() -> Result<Leases> {
    let Some(text) = environment("DBXCTL_LEASE_SECONDS") else { return Ok(Leases::default()) };
    match text.parse() {
        Ok(seconds @ 1..=3600) => {
            Ok(Leases { length: Duration::from_secs(seconds), ..Leases::default() })
        }
        _ => {
            let message =
                format!("`DBXCTL_LEASE_SECONDS` is `{text}`, not a number from 1 to 3600");
            Err(Fail::new(Exit::Error, message).hint("unset it for the usual lease"))
        }
    }
}

/// This run, for those who have to wait for it.
pub(crate) fn holder(command: &str) -> Holder {
    let named = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = named.or_else(|| environment("HOSTNAME")).unwrap_or_else(|| "?".to_owned());
    Holder { run_url: run_url(), ..Holder::new(command, host.trim()) }
}

/// Where the pipeline shows this run: GitHub Actions, GitLab or Jenkins.
fn run_url() -> Option<String> {
    let github = || {
        let [server, repository, run] =
            ["GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID"].map(environment);
        Some(format!("{}/{}/actions/runs/{}", server?, repository?, run?))
    };
    github().or_else(|| environment("CI_JOB_URL")).or_else(|| environment("BUILD_URL"))
}

/// A cloud to work on, and how patient to be with it.
pub(crate) struct Session {
    pub(crate) cloud: Box<dyn Cloud>,
    pub(crate) settings: Settings,
}

/// The clouds of the target, ready to be worked on.
pub(crate) fn connect(target: &Target, access: &Access, graph: Option<&Graph>) -> Result<Session> {
    let (clients, paces) = match (&access.live, &target.state) {
        (Some(live), _) => live.clone(),
        (None, StateLocation::Folder(folder)) => return open_sandbox(target, folder, graph),
        (None, StateLocation::S3(_)) => {
            return Err(Fail::new(
                Exit::Error,
                "the plan is for the sandbox, but its state is in S3",
            )
            .hint("plan again, with or without `--cloud sandbox`"));
        }
    };
    Ok(live(clients, |service| paces[service].clone()))
}

fn live(clients: Clients, pace: impl Fn(&str) -> Arc<Pace>) -> Session {
    let live = Live { env: clients, kinds: kinds::KINDS };
    let cloud = Box::new(Paced::new(live, kinds(), pace));
    Session { cloud, settings: run_settings(false) }
}

/// Where to look when no spec says it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Given {
    pub(crate) region: Option<String>,
    pub(crate) aws: Option<String>,
    pub(crate) databricks: Option<String>,
}

impl From<Accounts> for Given {
    fn from(accounts: Accounts) -> Self {
        let Accounts { region, aws_account, databricks_account } = accounts;
        Given { region, aws: aws_account, databricks: databricks_account }
    }
}

/// Connects to the accounts of the sign-in, which must be those given; without a spec.
pub(crate) async fn explore(given: &Given, global: &Global) -> Result<(Session, adopt::Accounts)> {
    let region = given.region.clone().or_else(|| environment("AWS_REGION"));
    let databricks = given.databricks.clone().or_else(|| environment("DATABRICKS_ACCOUNT_ID"));
    let mut target = Target {
        stack: String::new(),
        sandbox: global.cloud == CloudChoice::Sandbox,
        // Until the account has told where the workspaces are.
        region: region.unwrap_or_else(|| "us-east-1".to_owned()),
        aws_account: given.aws.clone().unwrap_or_default(),
        databricks_account: databricks.unwrap_or_default(),
        state: local_state(Path::new(""), global),
    };
    let accounts = |target: &Target| adopt::Accounts {
        aws: target.aws_account.clone(),
        databricks: target.databricks_account.clone(),
    };
    if let (true, StateLocation::Folder(folder)) = (target.sandbox, &target.state) {
        return Ok((open_sandbox(&target, folder, None)?, accounts(&target)));
    }
    let clients = clients(&target, Arc::new(())).await?;
    if given.aws.is_none() {
        target.aws_account = identity(&clients.aws).await?.account;
    } else {
        check_aws_identity(&target, &clients.aws).await?;
    }
    if given.databricks.is_none() {
        target.databricks_account = clients.databricks.config().account_id().to_owned();
    }
    check_databricks_account(&target, &clients)?;
    Ok((live(clients, |service| Arc::new(Pace::new(limit(service)))), accounts(&target)))
}

/// Calls a service may take. EC2 and IAM publish token buckets that these stay below; the account
/// API publishes nothing, and Databricks' own SDK limits itself to 15 a second.
fn limit(service: &str) -> Limit {
    let (concurrent, per_second) = match service {
        "databricks" => (4, 15),
        "iam" => (4, 10),
        "s3" => (8, 50),
        _ => (8, 20),
    };
    Limit { concurrent, interval: Duration::from_secs(1) / per_second }
}

fn open_sandbox(target: &Target, folder: &Path, graph: Option<&Graph>) -> Result<Session> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Fail::file(Exit::Error, "create", folder, &error))?;
    let mut settings = sandbox::Settings {
        account: target.aws_account.clone(),
        partition: facts::regions::partition(&target.region).arn_partition.clone(),
        ..sandbox::Settings::default()
    };
    if let Some(profile) = environment("DBXCTL_SANDBOX_PROFILE") {
        settings.profile = serde_json::from_value(profile.clone().into()).map_err(|_| {
            Fail::new(Exit::Error, format!("`DBXCTL_SANDBOX_PROFILE` is `{profile}`"))
                .hint("set it to `instant`, `quick` or `realistic`")
        })?;
    }
    if let Some(faults) = environment("DBXCTL_SANDBOX_FAULTS") {
        settings = settings.with_faults(&faults).map_err(|error| {
            Fail::new(Exit::Error, format!("`DBXCTL_SANDBOX_FAULTS` cannot be read: {error}"))
                .hint("unset it, or correct what it says")
        })?;
    }
    let cloud = Sandbox::open(&folder.join("cloud.json"), settings)
        .map_err(|error| Fail::new(Exit::Error, error))?;
    if let Some(graph) = graph {
        cloud.adopt_used(graph)?;
    }
    Ok(Session { cloud: Box::new(cloud), settings: run_settings(true) })
}

/// How a run behaves in the clouds of a target.
pub(crate) fn run_settings(sandbox: bool) -> Settings {
    if sandbox { sandbox::run_settings() } else { Settings::default() }
}

pub(crate) async fn clients(target: &Target, meter: Arc<dyn Meter>) -> Result<Clients> {
    let aws = aws::Aws::connect(&target.region, meter.clone()).await?;
    let databricks = databricks::Account::connect(databricks_config(target)?, meter)?;
    Ok(Clients { aws, databricks })
}

pub(crate) fn databricks_config(target: &Target) -> Result<databricks::Config> {
    let path = databricks::Config::file_path(&environment);
    let file = path.and_then(|path| std::fs::read_to_string(path).ok());
    // The spec names the account; the environment may leave it out, but not contradict it.
    let given = databricks::Given {
        account_id: environment("DATABRICKS_ACCOUNT_ID")
            .is_none()
            .then(|| target.databricks_account.clone()),
        ..databricks::Given::default()
    };
    databricks::Config::resolve(&given, &environment, file.as_deref()).map_err(|error| {
        Fail::new(Exit::Error, error.message)
            .hint("see `Credentials` in the README, or rehearse without any: `--cloud sandbox`")
    })
}

async fn identity(aws: &aws::Aws) -> Result<aws::Identity> {
    // The first call of a run: what is wrong here for long is more likely a wrong address.
    let settings = Settings { patience: Duration::from_secs(30), ..Settings::default() };
    Ok(engine::patiently(settings, || aws.identity()).await?)
}

async fn check_aws_identity(target: &Target, aws: &aws::Aws) -> Result<()> {
    let identity = identity(aws).await?;
    if identity.account != target.aws_account {
        return Err(Fail::new(
            Exit::Refused,
            format!(
                "signed in to AWS account `{}` as `{}`, but the spec is for account `{}`",
                identity.account, identity.arn, target.aws_account
            ),
        )
        .hint("use other AWS credentials, or correct `aws.account` in the spec"));
    }
    Ok(())
}

fn check_databricks_account(target: &Target, clients: &Clients) -> Result<()> {
    let account = clients.databricks.config().account_id();
    if account != target.databricks_account {
        return Err(Fail::new(
            Exit::Refused,
            format!(
                "signed in to Databricks account `{account}`, but the spec is for account `{}`",
                target.databricks_account
            ),
        )
        .hint("use other Databricks credentials, or correct `databricks.account` in the spec"));
    }
    Ok(())
}
