//! Many stacks, two reconcilers, one bucket for all states: what is changed behind their backs is
//! put back, whoever dies meanwhile, and nobody writes where another does.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clouds::{ACCOUNT, AWS_ACCOUNT, Clouds, Moto, Verifier, Way, full};
use crate::proxy::{Calls, Fault, Side};

const BUCKET: &str = "acme-states";

/// How big the test is.
struct Size {
    stacks: usize,
    /// Every so-manieth stack has a VPC.
    vpc_every: usize,
    interval: Duration,
    lease: &'static str,
    /// How long there is trouble, and how often.
    trouble: Duration,
    pause: Duration,
    /// Every so-manieth trouble is a kill.
    kill_every: usize,
    /// How long everything may take to come into step.
    patience: Duration,
}

fn size() -> Size {
    match full() {
        true => Size {
            stacks: 50,
            vpc_every: 10,
            interval: Duration::from_secs(40),
            lease: "15",
            trouble: Duration::from_secs(600),
            pause: Duration::from_secs(3),
            kill_every: 20,
            patience: Duration::from_secs(600),
        },
        false => Size {
            stacks: 3,
            vpc_every: 3,
            interval: Duration::from_secs(3),
            lease: "4",
            trouble: Duration::from_secs(6),
            pause: Duration::from_millis(300),
            kill_every: 5,
            patience: Duration::from_secs(120),
        },
    }
}

#[test]
fn a_fleet_is_kept_in_step() {
    let size = size();
    let mut fleet = Fleet::start(&size);
    let began = Instant::now();
    fleet.wait_for_step(size.patience);
    let before = fleet.looks();
    tell(&format!("{} stacks made in {:.0?}", size.stacks, began.elapsed()));

    let (mut disturbed, mut kills, mut random) = (0, 0, Random(7));
    let names = fleet.verifier.ask(&["disturbances"]).expect("the names");
    let names: Vec<&str> = names.lines().collect();
    let began = Instant::now();
    let mut trouble = 0;
    while began.elapsed() < size.trouble {
        trouble += 1;
        if trouble % size.kill_every == 0 {
            kills += 1;
            let which = random.below(2);
            fleet.kill(which, random.below(2) == 0, 1 + random.below(3));
        } else {
            let spec = fleet.spec(random.below(size.stacks));
            let name = names[random.below(names.len())];
            // A reconciler may be just about to change the same object.
            if fleet.verifier.ask(&["disturb", &spec, name]).is_ok() {
                disturbed += 1;
            }
        }
        std::thread::sleep(size.pause);
    }
    let ended = Instant::now();
    // From here on nobody is killed, and some calls are one too many.
    for family in ["iam", "databricks"] {
        fleet.running[0].way.journal.fail_all(Calls::Reading(family), Fault::Throttle, 2);
    }
    fleet.wait_for_step(size.patience);
    tell(&format!("{disturbed} changes, {kills} kills; in step {:.0?} later", ended.elapsed()));
    let after = fleet.looks();
    for (number, (before, after)) in before.iter().zip(&after).enumerate() {
        assert_eq!(before, after, "stack {number} is not as it was");
    }
    assert!(disturbed >= size.trouble.as_secs() as usize / 6 && kills > 0, "too little trouble");

    fleet.a_spec_that_goes_is_left_alone(size.patience);
    let figures = fleet.stop();
    tell(&figures.to_string());
    assert!(figures.repaired > 0 && figures.applies > 0, "{figures}");
    let folder = fleet.folder.to_str().expect("a plain name");
    let once = ["reconcile", folder, "--once", "--policy", "report", "--log-format", "json"];
    let told = fleet.clouds.dbxctl(&once).expect(0);
    assert!(told.stdout.lines().all(|line| line.ends_with("in_step")), "{}", told.stdout);
}

struct Fleet {
    clouds: Clouds,
    verifier: Verifier,
    folder: PathBuf,
    stacks: usize,
    running: Vec<Reconciler>,
    /// Those that were killed: the log, and when they died.
    dead: Vec<(PathBuf, String)>,
    started: usize,
    peak_kib: u64,
    calls: usize,
}

/// One process.
struct Reconciler {
    child: Child,
    way: Way,
    log: PathBuf,
    address: SocketAddr,
}

impl Fleet {
    fn start(size: &Size) -> Fleet {
        let mut clouds = Clouds::start(Moto::Patched);
        clouds.set("DBXCTL_LEASE_SECONDS", size.lease);
        clouds.verify(&["bucket", BUCKET]).expect(0);
        let folder = clouds.folder().join("fleet");
        fs::create_dir(&folder).expect("the folder is ours");
        for number in 0..size.stacks {
            let spec = spec(number, number % size.vpc_every == 0);
            fs::write(folder.join(format!("{}.json", name(number))), spec.to_string())
                .expect("the folder is ours");
        }
        let verifier = clouds.start_verifier();
        let mut fleet = Fleet {
            clouds,
            verifier,
            folder,
            stacks: size.stacks,
            running: Vec::new(),
            dead: Vec::new(),
            started: 0,
            peak_kib: 0,
            calls: 0,
        };
        fleet.configure(size.interval);
        fleet.running = (0..2).map(|_| fleet.begin()).collect();
        fleet
    }

    fn configure(&self, interval: Duration) {
        let config = format!("policy: all\ninterval: {}s\n", interval.as_secs());
        fs::write(self.folder.join("reconcile.yaml"), config).expect("the folder is ours");
    }

    fn begin(&mut self) -> Reconciler {
        self.started += 1;
        let (way, file) = (self.clouds.way(), format!("reconciler-{}.log", self.started));
        let folder = self.folder.to_str().expect("a plain name");
        let arguments = [
            "reconcile",
            folder,
            "--listen",
            "127.0.0.1:0",
            "--poll",
            "1s",
            "--parallel",
            "4",
            "--log-format",
            "json",
        ];
        let child = self.clouds.start_on(&way, &arguments, &file);
        let log = self.clouds.folder().join(file);
        let address = wait_for(Duration::from_secs(30), || {
            lines(&log).iter().find_map(|line| line["address"].as_str()?.parse().ok())
        });
        let address = address.expect("it says where it listens");
        Reconciler { child, way, log, address }
    }

    /// The path of a spec.
    fn spec(&self, number: usize) -> String {
        let path = self.folder.join(format!("{}.json", name(number)));
        path.to_str().expect("a plain name").to_owned()
    }

    /// What the stacks look like to others.
    fn looks(&mut self) -> Vec<String> {
        let stacks = self.stacks;
        let look = |number| {
            let spec = self.spec(number);
            self.verifier.ask(&["look", &spec]).expect("everything is there")
        };
        (0..stacks).map(look).collect()
    }

    /// Waits until each reconciler has found every stack in step, from now on.
    fn wait_for_step(&self, patience: Duration) {
        let now = now_in_seconds();
        let in_step = || {
            let all = self.running.iter().all(|reconciler| {
                let metrics = reconciler.metrics();
                (0..self.stacks).map(name).all(|stack| {
                    let figure = |what: &str| metrics.get(&format!("{what}{{stack=\"{stack}\"}}"));
                    let since = figure("dbxctl_last_success_timestamp_seconds");
                    since.is_some_and(|at| *at > now)
                        && figure("dbxctl_changes_pending") == Some(&0.0)
                })
            });
            all.then_some(())
        };
        if wait_for(patience, in_step).is_none() {
            let ends: Vec<String> = self.running.iter().map(|r| end_of(&r.log)).collect();
            panic!("not in step after {patience:?}:\n{}", ends.join("\n---\n"));
        }
        for reconciler in &self.running {
            assert!(reconciler.get("/healthz").starts_with("HTTP/1.1 200"));
            assert!(reconciler.get("/readyz").starts_with("HTTP/1.1 200"));
        }
    }

    /// Kills one, at once or at its n-th change from now, and starts another in its place.
    fn kill(&mut self, which: usize, at_once: bool, n: usize) {
        let mut killed = self.running.remove(which);
        self.peak_kib = self.peak_kib.max(killed.peak_kib());
        if !at_once {
            killed.way.journal.kill_at(None, n, Side::After);
            killed.way.journal.set_victim(killed.child.id());
            let dead = || killed.child.try_wait().expect("it is our child");
            let _ = wait_for(Duration::from_secs(5), dead);
            killed.way.journal.killed();
        }
        let _ = killed.child.kill();
        killed.child.wait().expect("it is our child");
        self.dead.push((killed.log, timestamp()));
        let successor = self.begin();
        self.running.push(successor);
    }

    fn a_spec_that_goes_is_left_alone(&mut self, patience: Duration) {
        let spec = self.spec(0);
        let before = self.verifier.ask(&["look", &spec]);
        let kept = self.clouds.folder().join("kept.json");
        fs::rename(&spec, &kept).expect("the folder is ours");
        for reconciler in &self.running {
            let gone = || {
                let all = lines(&reconciler.log);
                all.iter().any(|line| line["event"] == "stack_removed").then_some(())
            };
            wait_for(patience, gone).expect("it is said");
        }
        let kept = kept.to_str().expect("a plain name");
        assert_eq!(self.verifier.ask(&["look", kept]), before);
    }

    /// Ends all and looks at what they have left behind.
    fn stop(&mut self) -> Figures {
        // So that there are moments without a call.
        self.configure(Duration::from_secs(3600));
        let throttled = self.running[0].way.journal.end_faults();
        // Calls that are given up because one beside them has failed get no answer: the process may
        // know of fewer.
        let counted =
            || Some(self.running[0].throttled()).filter(|counted| 2 * counted >= throttled);
        let counted = wait_for(Duration::from_secs(30), counted)
            .unwrap_or_else(|| panic!("{} of {throttled}", self.running[0].throttled()));
        assert!(throttled > 0 && counted <= throttled, "{counted} of {throttled}");
        for reconciler in &self.running {
            self.calls += reconciler.metrics_agree_with_the_proxy();
            self.peak_kib = self.peak_kib.max(reconciler.peak_kib());
        }
        let mut logs = std::mem::take(&mut self.dead);
        for Reconciler { mut child, log, .. } in self.running.drain(..) {
            let pid = child.id().to_string();
            assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill").success());
            let status = child.wait().expect("it is our child");
            assert_eq!(status.code(), Some(0), "{}", end_of(&log));
            logs.push((log, timestamp()));
        }
        let mut figures = Figures::of(&logs);
        (figures.peak_mib, figures.calls) = (self.peak_kib / 1024, self.calls);
        figures
    }
}

/// What has not ended by itself, since something was not as it should be.
impl Drop for Fleet {
    fn drop(&mut self) {
        for reconciler in &mut self.running {
            let _ = reconciler.child.kill();
            let _ = reconciler.child.wait();
        }
    }
}

impl Reconciler {
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("it listens");
        write!(stream, "GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            .expect("it reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }

    /// Every figure by its name with labels.
    fn metrics(&self) -> BTreeMap<String, f64> {
        let answer = self.get("/metrics");
        let figures = answer.lines().filter_map(|line| line.rsplit_once(' '));
        figures.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
    }

    /// Calls by service and action, as the process itself counts them.
    fn calls(&self) -> BTreeMap<String, usize> {
        let mut calls = BTreeMap::new();
        for (figure, value) in self.metrics() {
            let Some(labels) = figure.strip_prefix("dbxctl_calls_total{service=\"") else {
                continue;
            };
            let labels = labels.trim_end_matches("\"}");
            let (service, operation) = labels.split_once("\",operation=\"").expect("two labels");
            *calls.entry(action(service, operation)).or_default() += value as usize;
        }
        calls
    }

    /// How many calls were throttled, as the process itself counts them.
    fn throttled(&self) -> usize {
        let errors = self.metrics().into_iter().filter(|(figure, _)| {
            figure.starts_with("dbxctl_call_errors_total{")
                && figure.contains("class=\"throttled\"")
        });
        errors.map(|(_, count)| count as usize).sum()
    }

    /// Compares when no call is under way; how many calls there were.
    fn metrics_agree_with_the_proxy(&self) -> usize {
        let mut last = None;
        let agreed = wait_for(Duration::from_secs(120), || {
            let seen = || {
                let mut counts: BTreeMap<String, usize> = BTreeMap::new();
                for (name, count) in self.way.journal.counts() {
                    let (service, operation) = name.split_once(':').expect("a service");
                    *counts.entry(action(service, operation)).or_default() += count;
                }
                counts
            };
            let before = seen();
            let own = self.calls();
            let agree = own == before && before == seen();
            last = Some((before, own));
            agree.then_some(())
        });
        let (seen, own) = last.expect("it was compared");
        assert!(agreed.is_some(), "the proxy counts {seen:#?}, the reconciler {own:#?}");
        own.values().sum()
    }

    fn peak_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.unwrap_or_default();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak.and_then(|peak| peak.trim().trim_end_matches(" kB").parse().ok()).unwrap_or_default()
    }
}

/// One name for what both sides count. The proxy does not know S3's operations by name, and calls
/// the account in a path `{id}`.
fn action(service: &str, operation: &str) -> String {
    match service {
        "s3" => "s3".to_owned(),
        _ => format!("{service}:{}", operation.replace('…', "{id}")),
    }
}

/// What the logs of all processes tell.
#[derive(Default)]
struct Figures {
    turns: BTreeMap<String, usize>,
    /// Applies, and steps of plans that put drift back.
    applies: usize,
    repaired: usize,
    locked: usize,
    calls: usize,
    peak_mib: u64,
}

impl Figures {
    /// Also proves that no two applies of one stack overlap. `logs` are with when their writer ended.
    fn of(logs: &[(PathBuf, String)]) -> Figures {
        let mut figures = Figures::default();
        let mut applies: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for (log, end) in logs {
            let mut open: BTreeMap<String, String> = BTreeMap::new();
            for line in lines(log) {
                let text = |field: &str| line[field].as_str().unwrap_or_default().to_owned();
                match line["event"].as_str().unwrap_or_default() {
                    "turn_ended" => *figures.turns.entry(text("result")).or_default() += 1,
                    "locked" => figures.locked += 1,
                    "planned" => {
                        let drift = line["drift"].as_u64().unwrap_or_default();
                        figures.repaired += usize::try_from(drift).expect("a few");
                    }
                    "apply_began" => {
                        figures.applies += 1;
                        open.insert(text("stack"), text("at"));
                    }
                    "apply_ended" => {
                        let began = open.remove(&text("stack")).expect("it began");
                        applies.entry(text("stack")).or_default().push((began, text("at")));
                    }
                    _ => {}
                }
            }
            for (stack, began) in open {
                applies.entry(stack).or_default().push((began, end.clone()));
            }
        }
        for (stack, mut times) in applies {
            times.sort();
            for pair in times.windows(2) {
                assert!(pair[0].1 <= pair[1].0, "two wrote {stack} at once: {pair:?}");
            }
        }
        figures
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Figures { turns, applies, repaired, locked, calls, peak_mib } = self;
        write!(
            f,
            "turns {turns:?}, {applies} applies, {repaired} differences put back, {locked} met a \
             lock, {calls} calls counted alike, peak {peak_mib} MiB"
        )
    }
}

fn spec(number: usize, vpc: bool) -> Value {
    let name = name(number);
    let mut spec = json!({
        "apiVersion": "dbxctl/v1",
        "name": name,
        "region": "us-east-1",
        "aws": { "account": AWS_ACCOUNT },
        "databricks": { "account": ACCOUNT },
        "tags": { "owner": "platform" },
        "state": { "s3": { "bucket": BUCKET } },
        "workspaces": { "wk1": { "storage": { "bucket": format!("acme-{name}-root") } } },
    });
    if vpc {
        spec["vpcs"] = json!({
            "main": { "cidr": "10.0.0.0/16", "zones": ["us-east-1a", "us-east-1b"] }
        });
        spec["workspaces"]["wk1"]["vpc"] = json!("main");
    }
    spec
}

fn name(number: usize) -> String {
    format!("fleet{number:02}")
}

/// The lines of a log, each of which is JSON; the last may be cut off.
fn lines(log: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(log).expect("it is there");
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

fn end_of(log: &PathBuf) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(15)..].join("\n")
}

/// Asks again and again until there is an answer.
fn wait_for<T>(patience: Duration, mut ask: impl FnMut() -> Option<T>) -> Option<T> {
    let began = Instant::now();
    loop {
        match ask() {
            None if began.elapsed() < patience => std::thread::sleep(Duration::from_millis(100)),
            answer => return answer,
        }
    }
}

/// Now, as the logs and the metrics have it.
fn timestamp() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn now_in_seconds() -> f64 {
    jiff::Timestamp::now().as_duration().as_secs_f64()
}

/// Numbers that look random and are the same every time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % end
    }
}

#[expect(clippy::print_stderr, reason = "the figures are the result; the runner shows them")]
fn tell(line: &str) {
    eprintln!("{line}");
}
