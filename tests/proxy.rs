//! A reverse proxy before a cloud: counts calls by action and makes them fail in chosen ways.
//!
//! Plain HTTP/1.1, one request per connection. `Host`, signed headers and the path go through as
//! they came. Several proxies share one [`Journal`], so the order of calls is known across clouds.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Which cloud is behind a proxy: decides how calls are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cloud {
    Aws,
    Databricks,
}

/// One request, in the order they arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Call {
    /// `ec2:CreateVpc`, `s3:PUT bucket?policy`, `databricks:GET /networks/{id}`.
    pub(crate) action: String,
    /// Whether it may change something.
    pub(crate) mutating: bool,
    /// The cloud's answer; none when the call did not get there or has not come back.
    pub(crate) status: Option<u16>,
}

/// What goes wrong with a call. The cloud does not see the call unless the fault says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too many requests, as this service says it.
    Throttle,
    /// A 503 with an empty body.
    Unavailable,
    /// The cloud acts and its answer is replaced with a 500.
    ErrorAfterEffect,
    /// The connection ends.
    DropRequest,
    /// The cloud acts, its answer gets lost.
    DropAnswer,
    /// The cloud acts, its answer comes half a minute later.
    HoldAnswer,
    /// A web page, as a proxy or a sign-in service answers, with 200.
    Page,
    /// The same with 500.
    ErrorPage,
    /// To a sign-in page.
    Redirect,
    /// A 409 and nothing else.
    EmptyConflict,
    /// The caller may not do this.
    Denied,
    /// The token is not good any more: only for `databricks`.
    TokenExpired,
    /// `POST /credentials` with a role that cannot be assumed, or not yet.
    RoleNotReady,
    /// After each change in the family, the next so many reads of each sort still show what there
    /// was before: an object that is new is not there, one that changed has its old values.
    Stale,
}

/// Which calls a fault is for. Those of a family count for each action by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Calls {
    Named(String),
    /// Those of one family (`ec2`, `iam`, `s3`, `sts`, `databricks`, `token`) that change something.
    Changing(&'static str),
    /// All others of a family.
    Reading(&'static str),
}

impl Calls {
    fn has(&self, action: &str, mutating: bool) -> bool {
        match self {
            Calls::Named(name) => name == action,
            Calls::Changing(family) => mutating && family_of(action) == *family,
            Calls::Reading(family) => !mutating && family_of(action) == *family,
        }
    }
}

/// Whose limits and whose ways of failing a call has.
pub(crate) fn family_of(action: &str) -> &str {
    match action.split(':').next() {
        Some("databricks") if action.contains("/oidc/") => "token",
        Some(family) => family,
        None => action,
    }
}

struct Rule {
    calls: Calls,
    fault: Fault,
    times: usize,
    /// How often each action has met it.
    met: BTreeMap<String, usize>,
}

/// A request under way.
struct Begun {
    place: usize,
    mutating: bool,
    latency: Duration,
    fault: Option<Fault>,
    kill: Option<Side>,
}

/// A read and what it last answered.
#[derive(Default)]
struct Remembered {
    /// How many changes that answer may know of.
    changes: usize,
    /// How many answers are still to come until there is a true one, with that one.
    left: usize,
    answer: Option<Vec<u8>>,
}

/// On which side of a call's effect the client is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Before,
    After,
}

/// What the proxies of one test have seen, and what they shall do.
#[derive(Default)]
pub(crate) struct Journal {
    state: Mutex<State>,
    victim_known: Condvar,
    quiet: Condvar,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    latency: Duration,
    rules: Vec<Rule>,
    /// Counts down mutating requests, or those of one action.
    kill: Option<(Option<String>, usize, Side)>,
    victim: Option<u32>,
    killed: bool,
    gaps: Vec<String>,
    under_way: usize,
    /// How often each family was changed.
    changes: BTreeMap<String, usize>,
    /// By method, target and body.
    remembered: BTreeMap<Vec<u8>, Remembered>,
}

impl Journal {
    /// All calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    /// How often each action was called.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for call in &self.lock().calls {
            *counts.entry(call.action.clone()).or_default() += 1;
        }
        counts
    }

    /// Forgets the calls so far, and their answers.
    pub(crate) fn clear(&self) {
        let mut state = self.lock();
        state.calls.clear();
        state.remembered.clear();
    }

    /// Delays every call from now on.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Lets the next `times` calls of an action fail.
    pub(crate) fn fail(&self, action: &str, fault: Fault, times: usize) {
        self.fail_all(Calls::Named(action.to_owned()), fault, times);
    }

    /// Lets the next `times` calls of each action fail.
    pub(crate) fn fail_all(&self, calls: Calls, fault: Fault, times: usize) {
        let mut state = self.lock();
        state.rules.push(Rule { calls, fault, times, met: BTreeMap::new() });
        // What was there before the rule is known everywhere.
        state.changes.clear();
        for remembered in state.remembered.values_mut() {
            (remembered.changes, remembered.left) = (0, 0);
        }
    }

    /// How many calls have failed so far because of [`Journal::fail`] and its like; lets no more fail.
    pub(crate) fn end_faults(&self) -> usize {
        let rules = std::mem::take(&mut self.lock().rules);
        rules.iter().flat_map(|rule| rule.met.values()).sum()
    }

    /// Kills the victim at the n-th mutating request from now, counted from 1; of that action only,
    /// if there is one.
    pub(crate) fn kill_at(&self, action: Option<&str>, n: usize, side: Side) {
        let mut state = self.lock();
        state.kill = Some((action.map(str::to_owned), n, side));
        state.victim = None;
        state.killed = false;
    }

    /// Waits until no request is under way: a killed client leaves some behind.
    pub(crate) fn wait_for_quiet(&self) {
        let deadline = Duration::from_secs(60);
        let busy = |state: &mut State| state.under_way > 0;
        let quiet = self.quiet.wait_timeout_while(self.lock(), deadline, busy);
        drop(quiet.expect("no thread panics while it holds the journal"));
    }

    /// Names the process to kill. A kill that is due waits for this.
    pub(crate) fn set_victim(&self, pid: u32) {
        self.lock().victim = Some(pid);
        self.victim_known.notify_all();
    }

    /// Ends the hunt and says whether it was successful.
    pub(crate) fn killed(&self) -> bool {
        let mut state = self.lock();
        state.kill = None;
        state.killed
    }

    /// Calls the cloud server itself could not handle: HTML answers with status 500.
    pub(crate) fn gaps(&self) -> Vec<String> {
        self.lock().gaps.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics while it holds the journal")
    }

    /// Notes a call; returns its place, and what shall happen to it.
    fn begin(&self, action: String, mutating: bool) -> Begun {
        let mut state = self.lock();
        let mut fault = None;
        for rule in &mut state.rules {
            if fault.is_none() && rule.fault != Fault::Stale && rule.calls.has(&action, mutating) {
                let met = rule.met.entry(action.clone()).or_default();
                if *met < rule.times {
                    *met += 1;
                    fault = Some(rule.fault);
                }
            }
        }
        let mut kill = None;
        if mutating
            && let Some((only, n, side)) = &mut state.kill
            && only.as_ref().is_none_or(|only| *only == action)
        {
            *n -= 1;
            if *n == 0 {
                kill = Some(*side);
                state.kill = None;
            }
        }
        state.under_way += 1;
        state.calls.push(Call { action, mutating, status: None });
        let (place, latency) = (state.calls.len() - 1, state.latency);
        Begun { place, mutating, latency, fault, kill }
    }

    /// The call is over, whatever came of it.
    fn leave(&self) {
        self.lock().under_way -= 1;
        self.quiet.notify_all();
    }

    /// The old answer that a read gets because reads are stale; the inner `None` stands for nothing.
    fn stale(&self, action: &str, request: &Request) -> Option<Option<Vec<u8>>> {
        let mut state = self.lock();
        let state = &mut *state;
        let is_stale =
            |rule: &&mut Rule| rule.fault == Fault::Stale && rule.calls.has(action, false);
        let rule = state.rules.iter_mut().find(is_stale)?;
        let changes = state.changes.get(family_of(action)).copied().unwrap_or_default();
        let remembered = state.remembered.entry(request.key()).or_default();
        if remembered.left == 0 && remembered.changes != changes {
            // One more than are stale: whoever keeps asking gets to see the truth.
            remembered.left = rule.times + 1;
        }
        if remembered.left <= 1 {
            (remembered.changes, remembered.left) = (changes, 0);
            return None;
        }
        remembered.left -= 1;
        *rule.met.entry(action.to_owned()).or_default() += 1;
        Some(remembered.answer.clone())
    }

    fn remember(&self, request: &Request, answer: &[u8]) {
        let mut state = self.lock();
        if state.rules.iter().any(|rule| rule.fault == Fault::Stale) {
            state.remembered.entry(request.key()).or_default().answer = Some(answer.to_vec());
        }
    }

    /// The cloud has answered.
    fn end(&self, begun: &Begun, action: &str, status: u16, gap: bool) {
        let mut state = self.lock();
        // The journal may have been cleared meanwhile.
        if let Some(call) = state.calls.get_mut(begun.place) {
            call.status = Some(status);
        }
        if begun.mutating {
            *state.changes.entry(family_of(action).to_owned()).or_default() += 1;
        }
        if gap {
            state.gaps.push(action.to_owned());
        }
    }

    fn kill(&self) {
        let deadline = Duration::from_secs(10);
        let wait = |state: &mut State| state.victim.is_none();
        let (mut state, _) = self
            .victim_known
            .wait_timeout_while(self.lock(), deadline, wait)
            .expect("no thread panics while it holds the journal");
        if let Some(pid) = state.victim {
            let status = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            state.killed = status.is_ok_and(|s| s.success());
        }
    }
}

/// A running proxy; dropping it ends it.
pub(crate) struct Proxy {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
}

impl Proxy {
    /// Listens on a free port before `upstream`.
    pub(crate) fn start(cloud: Cloud, upstream: SocketAddr, journal: &Arc<Journal>) -> Proxy {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound socket has an address");
        let stop = Arc::new(AtomicBool::new(false));
        let (journal, stopped) = (journal.clone(), stop.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                let journal = journal.clone();
                // A client that goes away in the middle is normal here.
                thread::spawn(move || client.and_then(|c| serve(cloud, upstream, &journal, c)));
            }
        });
        Proxy { address, stop }
    }

    /// Where clients go.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        // Wakes the listener.
        drop(TcpStream::connect(self.address));
    }
}

fn serve(
    cloud: Cloud,
    upstream: SocketAddr,
    journal: &Journal,
    mut client: TcpStream,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    let Some(request) = Request::read(&mut client)? else { return Ok(()) };
    let (action, mutating) = request.action(cloud);
    let begun = journal.begin(action.clone(), mutating);
    let result = exchange(upstream, journal, &request, &action, &begun, &mut client);
    journal.leave();
    result
}

fn exchange(
    upstream: SocketAddr,
    journal: &Journal,
    request: &Request,
    action: &str,
    begun: &Begun,
    client: &mut TcpStream,
) -> io::Result<()> {
    thread::sleep(begun.latency);
    if begun.kill == Some(Side::Before) {
        journal.kill();
        return Ok(());
    }
    let head_only = request.method == "HEAD";
    let instead = match begun.fault {
        Some(Fault::DropRequest) => return Ok(()),
        Some(Fault::DropAnswer | Fault::HoldAnswer | Fault::ErrorAfterEffect | Fault::Stale) => {
            None
        }
        Some(fault) => Some(refusal(fault, action, head_only)),
        None if begun.mutating => None,
        None => match journal.stale(action, request) {
            Some(Some(old)) => Some(old),
            Some(None) => nothing(action, head_only),
            None => None,
        },
    };
    if let Some(answer) = instead {
        client.write_all(&answer)?;
        return client.shutdown(Shutdown::Write);
    }

    let mut server = TcpStream::connect(upstream)?;
    server.set_nodelay(true)?;
    server.write_all(&request.bytes())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    as_s3_spells_it(&mut answer);
    let status = answer.get(9..12).and_then(|s| std::str::from_utf8(s).ok()?.parse().ok());
    let Some(status) = status else { return Ok(()) };
    let html = answer.windows(14).any(|w| w.eq_ignore_ascii_case(b"<!doctype html"));
    journal.end(begun, action, status, status == 500 && html);
    let answer = closing(&answer);
    journal.remember(request, &answer);

    if begun.kill == Some(Side::After) {
        journal.kill();
        return Ok(());
    }
    match begun.fault {
        Some(Fault::DropAnswer) => return Ok(()),
        Some(Fault::HoldAnswer) => {
            thread::sleep(Duration::from_secs(30));
            client.write_all(&answer)?;
        }
        Some(fault @ Fault::ErrorAfterEffect) => {
            client.write_all(&refusal(fault, action, head_only))?;
        }
        _ => client.write_all(&answer)?,
    }
    client.shutdown(Shutdown::Write)
}

/// moto names the root of one S3 answer after the operation, which only lenient clients accept. The
/// name of the API is shorter; spaces keep the length.
fn as_s3_spells_it(answer: &mut [u8]) {
    const MOTO: &[u8] = b"GetBucketVersioningResponse";
    const S3: &[u8] = b"VersioningConfiguration    ";
    let places = answer.windows(MOTO.len()).enumerate().filter(|(_, w)| *w == MOTO);
    let places: Vec<usize> = places.map(|(place, _)| place).collect();
    for place in places {
        answer[place..place + MOTO.len()].copy_from_slice(S3);
    }
}

/// The answer, saying that the connection ends with it.
fn closing(answer: &[u8]) -> Vec<u8> {
    let Some(end) = head_end(answer) else { return answer.to_vec() };
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let mut lines: Vec<&str> = head.split("\r\n").collect();
    lines.retain(|line| !named(line, "connection"));
    let mut bytes = format!("{}\r\nconnection: close\r\n\r\n", lines.join("\r\n")).into_bytes();
    bytes.extend_from_slice(&answer[end + 4..]);
    bytes
}

/// What the client gets instead of the cloud's answer.
fn refusal(fault: Fault, action: &str, head_only: bool) -> Vec<u8> {
    const HTML: &str = "text/html";
    let page = "<!doctype html><html><head><title>Sign in</title></head></html>";
    let family = family_of(action);
    let error = |status, code, message| refused(family, status, code, message);
    let (status, kind, extra, body) = match (fault, family) {
        (Fault::Throttle, "databricks") => {
            let (status, kind, body) =
                error("429 Too Many Requests", "REQUEST_LIMIT_EXCEEDED", "too many requests");
            (status, kind, "retry-after: 1\r\n", body)
        }
        (Fault::Page, _) => ("200 OK", HTML, "", page.to_owned()),
        (Fault::ErrorPage, _) => ("500 Internal Server Error", HTML, "", page.to_owned()),
        (Fault::Redirect, _) => {
            ("302 Found", HTML, "location: https://login.example.com/sign-in\r\n", page.to_owned())
        }
        (Fault::EmptyConflict, _) => ("409 Conflict", "text/plain", "", String::new()),
        (Fault::Unavailable, _) => ("503 Service Unavailable", "text/plain", "", String::new()),
        _ => {
            let (status, kind, body) = match (fault, family) {
                (Fault::Throttle, "token") => error(
                    "400 Bad Request",
                    "invalid_request",
                    "Temporarily throttled, too many requests",
                ),
                (Fault::Throttle, "s3") => error("503 Slow Down", "SlowDown", "slow down"),
                (Fault::Throttle, "ec2") => {
                    error("503 Service Unavailable", "RequestLimitExceeded", "too many requests")
                }
                (Fault::Throttle, _) => error("400 Bad Request", "Throttling", "Rate exceeded"),
                (Fault::RoleNotReady, _) => error(
                    "400 Bad Request",
                    "MALFORMED_REQUEST",
                    "Failed credential validation checks: please use a valid cross account IAM \
                     role with permissions setup correctly",
                ),
                (Fault::TokenExpired, _) => {
                    error("401 Unauthorized", "UNAUTHENTICATED", "the token is not valid any more")
                }
                (Fault::Denied, "databricks") => {
                    error("403 Forbidden", "PERMISSION_DENIED", "the caller may not do this")
                }
                (Fault::Denied, "token") => {
                    error("401 Unauthorized", "invalid_client", "Client authentication failed")
                }
                (Fault::Denied, "ec2") => {
                    error("403 Forbidden", "UnauthorizedOperation", "the caller may not do this")
                }
                (Fault::Denied, _) => {
                    error("403 Forbidden", "AccessDenied", "the caller may not do this")
                }
                (_, "databricks") => {
                    error("500 Internal Server Error", "INTERNAL_ERROR", "it broke")
                }
                _ => error("500 Internal Server Error", "InternalError", "it broke"),
            };
            (status, kind, "", body)
        }
    };
    whole(status, kind, extra, if head_only { "" } else { &body })
}

/// What a read answers about what is not there; none where the question makes no sense without it.
fn nothing(action: &str, head_only: bool) -> Option<Vec<u8>> {
    let (family, name) = (family_of(action), action.split_once(':')?.1);
    let missing = |code| refused(family, "404 Not Found", code, "it does not exist");
    let (status, kind, body) = match family {
        "databricks" if action.contains("{id}") => missing("RESOURCE_DOES_NOT_EXIST"),
        "databricks" => ("200 OK", "application/json", "[]".to_owned()),
        "iam" => missing("NoSuchEntity"),
        "s3" => missing("NoSuchBucket"),
        "ec2" if name.ends_with("Attribute") => {
            refused(family, "400 Bad Request", "InvalidVpcID.NotFound", "it does not exist")
        }
        "ec2" => {
            let space = "http://ec2.amazonaws.com/doc/2016-11-15/";
            ("200 OK", "text/xml", format!("<{name}Response xmlns=\"{space}\"/>"))
        }
        _ => return None,
    };
    Some(whole(status, kind, "", if head_only { "" } else { &body }))
}

/// An error in the words of its family: status, content type, body.
fn refused(
    family: &str,
    status: &'static str,
    code: &str,
    message: &str,
) -> (&'static str, &'static str, String) {
    let error = format!("<Code>{code}</Code><Message>{message}</Message>");
    let id = "<RequestId>from-the-proxy</RequestId>";
    match family {
        "databricks" => {
            let body = format!(r#"{{"error_code":"{code}","message":"{message}"}}"#);
            (status, "application/json", body)
        }
        "token" => {
            let body = format!(r#"{{"error":"{code}","error_description":"{message}"}}"#);
            (status, "application/json", body)
        }
        "s3" => (status, "application/xml", format!("<Error>{error}{id}</Error>")),
        "ec2" => {
            let id = "<RequestID>from-the-proxy</RequestID>";
            let body = format!("<Response><Errors><Error>{error}</Error></Errors>{id}</Response>");
            (status, "text/xml", body)
        }
        _ => {
            let error = format!("<Error><Type>Sender</Type>{error}</Error>");
            (status, "text/xml", format!("<ErrorResponse>{error}{id}</ErrorResponse>"))
        }
    }
}

fn whole(status: &str, kind: &str, extra: &str, body: &str) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\n{extra}");
    // Both clouds name each answer, and people quote the name.
    answer += "x-request-id: from-the-proxy\r\nx-amzn-requestid: from-the-proxy\r\n";
    answer += "connection: close\r\n";
    let _ = write!(answer, "content-length: {}\r\n\r\n{body}", body.len());
    answer.into_bytes()
}

struct Request {
    method: String,
    target: String,
    /// Without those that speak about the connection or the length.
    headers: Vec<String>,
    body: Vec<u8>,
}

impl Request {
    /// Reads one request; `None` when the client went away first.
    fn read(client: &mut TcpStream) -> io::Result<Option<Request>> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = head_end(&bytes) {
                break end;
            }
            if !more(client, &mut bytes)? {
                return Ok(None);
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut rest = bytes.split_off(end + 4);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let (method, target) = (first.next().unwrap_or_default(), first.next().unwrap_or_default());
        let (mut headers, mut length, mut chunked) = (Vec::new(), 0, false);
        for line in lines {
            if named(line, "content-length") {
                length = value(line).parse().unwrap_or(0);
            } else if named(line, "transfer-encoding") {
                chunked = value(line).eq_ignore_ascii_case("chunked");
            } else if named(line, "expect") {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            } else if !named(line, "connection") {
                headers.push(line.to_owned());
            }
        }
        let body = loop {
            if chunked {
                if let Some(body) = unchunked(&rest) {
                    break body;
                }
            } else if rest.len() >= length {
                rest.truncate(length);
                break rest;
            }
            if !more(client, &mut rest)? {
                return Ok(None);
            }
        };
        Ok(Some(Request { method: method.into(), target: target.into(), headers, body }))
    }

    /// What makes two reads the same question.
    fn key(&self) -> Vec<u8> {
        [self.method.as_bytes(), b" ", self.target.as_bytes(), b" ", &self.body].concat()
    }

    /// As it goes to the cloud.
    fn bytes(&self) -> Vec<u8> {
        let Request { method, target, headers, body } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\n");
        for header in headers {
            let _ = write!(text, "{header}\r\n");
        }
        let _ = write!(text, "content-length: {}\r\nconnection: close\r\n\r\n", body.len());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }

    /// The name of the call, and whether it may change something.
    fn action(&self, cloud: Cloud) -> (String, bool) {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let reading = matches!(self.method.as_str(), "GET" | "HEAD");
        if cloud == Cloud::Databricks {
            let path = path_class(path);
            let mutating = !reading && !path.starts_with("/oidc/");
            return (format!("databricks:{} {path}", self.method), mutating);
        }
        let service = self.service();
        if service == "s3" {
            let place = match path.trim_matches('/') {
                "" => "service",
                path if path.contains('/') => "object",
                _ => "bucket",
            };
            let mut keys: Vec<&str> = query
                .split('&')
                .map(|pair| pair.split('=').next().unwrap_or_default())
                .filter(|key| !key.is_empty() && *key != "x-id")
                .collect();
            keys.sort_unstable();
            let mark = if keys.is_empty() { "" } else { "?" };
            return (format!("s3:{} {place}{mark}{}", self.method, keys.join("&")), !reading);
        }
        let body = String::from_utf8_lossy(&self.body);
        let action = body.split('&').find_map(|pair| pair.strip_prefix("Action=")).unwrap_or("?");
        let reading = ["Describe", "Get", "List", "Assume"].iter().any(|p| action.starts_with(p));
        (format!("{service}:{action}"), !reading)
    }

    /// From the signature's scope: `Credential=KEY/DATE/REGION/SERVICE/aws4_request`.
    fn service(&self) -> String {
        self.headers
            .iter()
            .find(|line| named(line, "authorization"))
            .and_then(|line| line.split("Credential=").nth(1)?.split('/').nth(3))
            .unwrap_or("unsigned")
            .to_owned()
    }
}

/// A path with its ids replaced, and without the account's own prefix.
fn path_class(path: &str) -> String {
    let id = |segment: &str| {
        let uuid = segment.len() == 36 && segment.matches('-').count() == 4;
        let number = !segment.is_empty() && segment.bytes().all(|b| b.is_ascii_digit());
        uuid || number
    };
    let segments: Vec<&str> = path.split('/').map(|s| if id(s) { "{id}" } else { s }).collect();
    let path = segments.join("/");
    match path.strip_prefix("/api/2.0/accounts/{id}/") {
        Some(rest) => format!("/{rest}"),
        None => path,
    }
}

/// Adds what is there to `bytes`; false at the end of the stream.
fn more(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = [0; 16 * 1024];
    let n = stream.read(&mut buffer)?;
    bytes.extend_from_slice(&buffer[..n]);
    Ok(n > 0)
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|w| w == b"\r\n\r\n")
}

fn named(line: &str, name: &str) -> bool {
    line.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name))
}

fn value(line: &str) -> &str {
    line.split_once(':').map_or("", |(_, value)| value.trim())
}

/// The body of a chunked transfer, or `None` while it is not complete. Trailers are dropped.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&bytes[..end]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        bytes = &bytes[end + 2..];
        if size == 0 {
            let complete = bytes.starts_with(b"\r\n") || head_end(bytes).is_some();
            return complete.then_some(body);
        }
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cloud that counts and answers with what it got, `/gap` with moto's way of failing.
    fn echo() -> (SocketAddr, Arc<Mutex<usize>>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let count = Arc::new(Mutex::new(0));
        let counter = count.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let mut client = client.unwrap();
                let Ok(Some(request)) = Request::read(&mut client) else { continue };
                *counter.lock().unwrap() += 1;
                let (status, mut body) = ("200 OK", request.body);
                if request.target == "/gap" {
                    body = b"<!DOCTYPE html><title>500</title>".to_vec();
                }
                let status = if request.target == "/gap" { "500 Oops" } else { status };
                let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
                client.write_all(head.as_bytes()).unwrap();
                client.write_all(&body).unwrap();
            }
        });
        (address, count)
    }

    fn send(proxy: &Proxy, request: &str) -> String {
        let mut stream = TcpStream::connect(proxy.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        answer
    }

    const CREATE: &str = "POST / HTTP/1.1\r\nHost: ec2\r\nAuthorization: AWS4-HMAC-SHA256 \
        Credential=AKIA/20260101/us-east-1/ec2/aws4_request, Signature=0\r\n\
        Content-Length: 33\r\n\r\nVersion=2016-11-15&Action=MakeVpc";

    #[test]
    fn actions_have_names() {
        let uuid = "01234567-89ab-cdef-0123-456789abcdef";
        let cases = [
            (
                Cloud::Databricks,
                "GET",
                format!("/api/2.0/accounts/{uuid}/networks/{uuid}"),
                "",
                "",
                "databricks:GET /networks/{id}",
                false,
            ),
            (
                Cloud::Databricks,
                "PATCH",
                format!("/api/2.0/accounts/{uuid}/workspaces/12?update_mask=a"),
                "",
                "",
                "databricks:PATCH /workspaces/{id}",
                true,
            ),
            (
                Cloud::Databricks,
                "POST",
                format!("/oidc/accounts/{uuid}/v1/token"),
                "",
                "",
                "databricks:POST /oidc/accounts/{id}/v1/token",
                false,
            ),
            (
                Cloud::Aws,
                "POST",
                "/".into(),
                "ec2",
                "Action=DescribeVpcs&Version=1",
                "ec2:DescribeVpcs",
                false,
            ),
            (
                Cloud::Aws,
                "POST",
                "/".into(),
                "iam",
                "Version=1&Action=CreateRole",
                "iam:CreateRole",
                true,
            ),
            (
                Cloud::Aws,
                "PUT",
                "/bucket?policy&x-id=1".into(),
                "s3",
                "",
                "s3:PUT bucket?policy",
                true,
            ),
            (Cloud::Aws, "GET", "/bucket/a/b".into(), "s3", "", "s3:GET object", false),
        ];
        for (cloud, method, target, service, body, action, mutating) in cases {
            let scope = format!("Authorization: x Credential=K/D/R/{service}/aws4_request");
            let request =
                Request { method: method.into(), target, headers: vec![scope], body: body.into() };
            assert_eq!(request.action(cloud), (action.to_owned(), mutating));
        }
    }

    #[test]
    fn passes_counts_and_fails_calls() {
        let (upstream, count) = echo();
        let journal = Arc::new(Journal::default());
        let proxy = Proxy::start(Cloud::Aws, upstream, &journal);
        let seen = || *count.lock().unwrap();

        assert!(send(&proxy, CREATE).ends_with("Action=MakeVpc"));
        let chunked = "PUT /b/k HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n";
        assert!(send(&proxy, chunked).ends_with("\r\n\r\nabcd"));
        assert_eq!(seen(), 2);

        journal.fail("ec2:MakeVpc", Fault::Throttle, 1);
        assert!(send(&proxy, CREATE).contains("RequestLimitExceeded"));
        assert_eq!(seen(), 2);
        journal.fail("ec2:MakeVpc", Fault::DropAnswer, 1);
        assert_eq!(send(&proxy, CREATE), "");
        assert_eq!(seen(), 3);

        assert!(journal.gaps().is_empty());
        send(&proxy, "GET /gap HTTP/1.1\r\n\r\n");
        assert_eq!(journal.gaps(), ["unsigned:?"]);
        assert_eq!(journal.counts()["ec2:MakeVpc"], 3);
        let statuses: Vec<_> = journal.calls().iter().map(|c| c.status).collect();
        assert_eq!(statuses, [Some(200), Some(200), None, Some(200), Some(500)]);
    }

    #[test]
    fn reads_are_stale_after_a_change_and_then_true() {
        let (upstream, count) = echo();
        let journal = Arc::new(Journal::default());
        let proxy = Proxy::start(Cloud::Aws, upstream, &journal);
        journal.fail_all(Calls::Reading("ec2"), Fault::Stale, 2);
        let read = CREATE.replace("Action=MakeVpc", "Action=GetVpcs");
        let fresh = |request: &str| {
            let before = *count.lock().unwrap();
            let answer = send(&proxy, request);
            assert!(answer.ends_with("Action=GetVpcs"), "what was there before: {answer}");
            *count.lock().unwrap() > before
        };
        assert!(fresh(&read), "nothing changed yet");
        send(&proxy, CREATE);
        assert_eq!([(); 4].map(|()| fresh(&read)), [false, false, true, true]);
        send(&proxy, CREATE);
        assert!(!fresh(&read));
        // What was never asked for shows nothing.
        let other = send(&proxy, &read.replace("2016-11-15", "2016-11-16"));
        assert!(other.contains("<GetVpcsResponse"), "{other}");
        assert_eq!(journal.end_faults(), 4);
        assert!(fresh(&read));
    }

    #[test]
    fn kills_at_the_request_asked_for() {
        let (upstream, count) = echo();
        let journal = Arc::new(Journal::default());
        let proxy = Proxy::start(Cloud::Aws, upstream, &journal);
        for (side, reached) in [(Side::Before, 1), (Side::After, 3)] {
            let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
            journal.kill_at(None, 2, side);
            journal.set_victim(victim.id());
            assert!(!send(&proxy, CREATE).is_empty());
            assert!(victim.try_wait().unwrap().is_none());
            assert_eq!(send(&proxy, CREATE), "");
            assert!(!victim.wait().unwrap().success());
            assert!(journal.killed());
            assert_eq!(*count.lock().unwrap(), reached);
        }
    }
}
