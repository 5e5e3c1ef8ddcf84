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

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Too many requests, as this service says it. The cloud does not see the call.
    Throttle,
    /// A 503 with an empty body. The cloud does not see the call.
    Unavailable,
    /// The cloud acts, its answer gets lost.
    DropAnswer,
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
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    latency: Duration,
    faults: Vec<(String, Fault, usize)>,
    /// Counts down mutating requests.
    kill: Option<(usize, Side)>,
    victim: Option<u32>,
    killed: bool,
    gaps: Vec<String>,
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

    /// Forgets the calls so far.
    pub(crate) fn clear(&self) {
        self.lock().calls.clear();
    }

    /// Delays every call from now on.
    pub(crate) fn set_latency(&self, latency: Duration) {
        self.lock().latency = latency;
    }

    /// Lets the next `times` calls of an action fail.
    pub(crate) fn fail(&self, action: &str, fault: Fault, times: usize) {
        self.lock().faults.push((action.to_owned(), fault, times));
    }

    /// Kills the victim at the n-th mutating request from now, counted from 1.
    pub(crate) fn kill_at(&self, n: usize, side: Side) {
        let mut state = self.lock();
        state.kill = Some((n, side));
        state.victim = None;
        state.killed = false;
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
    fn begin(
        &self,
        action: String,
        mutating: bool,
    ) -> (usize, Duration, Option<Fault>, Option<Side>) {
        let mut state = self.lock();
        let mut fault = None;
        for (name, kind, times) in &mut state.faults {
            if fault.is_none() && *times > 0 && *name == action {
                *times -= 1;
                fault = Some(*kind);
            }
        }
        let mut kill = None;
        if mutating && let Some((n, side)) = &mut state.kill {
            *n -= 1;
            if *n == 0 {
                kill = Some(*side);
                state.kill = None;
            }
        }
        state.calls.push(Call { action, mutating, status: None });
        (state.calls.len() - 1, state.latency, fault, kill)
    }

    fn end(&self, place: usize, status: u16, gap: bool) {
        let mut state = self.lock();
        // The journal may have been cleared meanwhile.
        let Some(call) = state.calls.get_mut(place) else { return };
        call.status = Some(status);
        let action = call.action.clone();
        if gap {
            state.gaps.push(action);
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
    let (place, latency, fault, kill) = journal.begin(action.clone(), mutating);
    thread::sleep(latency);
    if kill == Some(Side::Before) {
        journal.kill();
        return Ok(());
    }
    if let Some(answer) = fault.and_then(|fault| refusal(fault, &action)) {
        client.write_all(answer.as_bytes())?;
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
    journal.end(place, status, status == 500 && html);

    if kill == Some(Side::After) {
        journal.kill();
        return Ok(());
    }
    if fault == Some(Fault::DropAnswer) {
        return Ok(());
    }
    client.write_all(&closing(&answer))?;
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

fn refusal(fault: Fault, action: &str) -> Option<String> {
    let service = action.split(':').next().unwrap_or_default();
    let (status, kind, body) = match (fault, service) {
        (Fault::DropAnswer, _) => return None,
        (Fault::Unavailable, _) => ("503 Service Unavailable", "text/plain", String::new()),
        (Fault::Throttle, "databricks") => (
            "429 Too Many Requests",
            "application/json",
            r#"{"error_code":"REQUEST_LIMIT_EXCEEDED","message":"too many requests"}"#.to_owned(),
        ),
        (Fault::Throttle, "s3") => (
            "503 Slow Down",
            "application/xml",
            "<Error><Code>SlowDown</Code><Message>slow down</Message></Error>".to_owned(),
        ),
        (Fault::Throttle, "ec2") => (
            "503 Service Unavailable",
            "text/xml",
            "<Response><Errors><Error><Code>RequestLimitExceeded</Code><Message>too many requests\
             </Message></Error></Errors><RequestID>proxy</RequestID></Response>"
                .to_owned(),
        ),
        (Fault::Throttle, _) => (
            "400 Bad Request",
            "text/xml",
            "<ErrorResponse><Error><Type>Sender</Type><Code>Throttling</Code><Message>Rate \
             exceeded</Message></Error><RequestId>proxy</RequestId></ErrorResponse>"
                .to_owned(),
        ),
    };
    let mut answer = format!("HTTP/1.1 {status}\r\ncontent-type: {kind}\r\nconnection: close\r\n");
    let _ = write!(answer, "content-length: {}\r\n\r\n{body}", body.len());
    Some(answer)
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
    fn kills_at_the_request_asked_for() {
        let (upstream, count) = echo();
        let journal = Arc::new(Journal::default());
        let proxy = Proxy::start(Cloud::Aws, upstream, &journal);
        for (side, reached) in [(Side::Before, 1), (Side::After, 3)] {
            let mut victim = Command::new("sleep").arg("60").spawn().unwrap();
            journal.kill_at(2, side);
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
