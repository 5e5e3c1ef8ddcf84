//! Something nodes call: `HOST:PORT`, `ADDRESS:PORT` or `CIDR:PORT`.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// A port at a host or in a range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Remote {
    pub host: Host,
    pub port: u16,
}

/// Where that port is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// One address is a range with one in it.
    Range(Ipv4Net),
    /// A name that is public unless something in the VPC answers it.
    Name(String),
}

impl Remote {
    /// Reads it; `None` when it is none of the three.
    pub fn parse(text: &str) -> Option<Remote> {
        let (host, port) = text.rsplit_once(':')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        let address = || host.parse::<Ipv4Addr>().ok().map(Ipv4Net::from);
        let range = || host.parse::<Ipv4Net>().ok().map(|net| net.trunc());
        let host = match range().or_else(address) {
            Some(range) => Host::Range(range),
            None if is_name(host) => Host::Name(host.to_ascii_lowercase()),
            None => return None,
        };
        Some(Remote { host, port })
    }
}

/// Labels of letters, digits and hyphens, the last one with a letter in it.
fn is_name(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    let good = |label: &&str| {
        let hyphens = label.starts_with('-') || label.ends_with('-');
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && plain && !hyphens
    };
    let named = labels.last().is_some_and(|l| l.bytes().any(|b| b.is_ascii_alphabetic()));
    text.len() <= 253 && named && labels.iter().all(good)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_addresses_and_ranges_with_a_port() {
        let range = |text: &str, port| {
            Some(Remote { host: Host::Range(text.parse().expect("a range")), port })
        };
        assert_eq!(Remote::parse("10.1.2.3:9092"), range("10.1.2.3/32", 9092));
        assert_eq!(Remote::parse("10.1.2.3/16:9092"), range("10.1.0.0/16", 9092));
        let name = Remote { host: Host::Name("pypi.org".to_owned()), port: 443 };
        assert_eq!(Remote::parse("PyPI.org:443"), Some(name));
        for bad in
            ["pypi.org", "pypi.org:0", "pypi.org:70000", ":443", "a b:1", "10.1.2:1", "-a.b:1"]
        {
            assert_eq!(Remote::parse(bad), None, "{bad}");
        }
    }
}
