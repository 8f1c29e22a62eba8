//! Where the queue is: an address, or somebody who knows the address.
//!
//! | URL | meaning |
//! |---|---|
//! | `redis://[user:password@]host[:port][/db]` | one server |
//! | `rediss://…` | the same over TLS (`SSL_CERT_FILE` names other roots, `#insecure` trusts anybody) |
//! | `unix:///path/to/socket` | one server, through its socket |
//! | `redis+cluster://host:port[,host:port …]` | a cluster: any of its nodes |
//! | `redis+sentinel://host:port[,host:port …]/master[/db]` | sentinels, and the name of what they watch |
//!
//! `rediss+cluster` and `rediss+sentinel` do all of it over TLS. A plain `redis://` address whose server
//! answers MOVED is from then on taken for a node of a cluster. Whom nodes and sentinels tell of is remembered, for when
//! those that the URL names are gone.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};

use redis::{Cmd, ConnectionAddr, ConnectionInfo, Value};

use super::PATIENCE;
use super::address::{nodes, sentinels, server, without_password};
use super::greeting::without_credentials;
use super::link::{Link, connect, unreachable};
use crate::error::{Brief, Error, Result};

/// So many nodes are remembered at most, those of the queue's own slot first.
const MOST_KNOWN: usize = 64;

/// Finds the server that serves one queue.
#[derive(Debug)]
pub struct Endpoint {
    /// Those that the URL names.
    seeds: Vec<ConnectionInfo>,
    /// Those of which somebody told the last time: any of the seeds may be gone for good by now.
    known: Mutex<Vec<ConnectionInfo>>,
    way: Way,
    queue: String,
    address: String,
}

/// How the seeds lead to the server.
#[derive(Debug)]
enum Way {
    /// The seed is the server; `true` once it answered MOVED and turned out to be a node of a cluster.
    Direct(AtomicBool),
    /// The seeds know who owns the queue's slot.
    Cluster,
    /// The seeds are sentinels, and know which server is this master.
    Sentinel { master: String, node: Box<ConnectionInfo> },
}

impl Endpoint {
    /// Reads the address `url`; `queue` is the key whose server is looked for. Nothing is connected yet.
    pub fn new(url: &str, queue: &str) -> Result<Self> {
        install_crypto_provider();
        let (scheme, rest) = url
            .split_once("://")
            .ok_or_else(|| Error::Address(format!("not a Redis URL: {}", without_password(url))))?;
        let (seeds, way) = match scheme.split_once('+') {
            Some((base @ ("redis" | "rediss"), "cluster")) => (nodes(base, rest)?, Way::Cluster),
            Some((base @ ("redis" | "rediss"), "sentinel")) => {
                let (seeds, master, node) = sentinels(base, rest)?;
                (seeds, Way::Sentinel { master, node: Box::new(node) })
            }
            _ => (vec![server(url)?], Way::Direct(AtomicBool::new(false))),
        };
        Ok(Self { seeds, known: Mutex::default(), way, queue: queue.to_owned(), address: without_password(url) })
    }

    /// The address as it may be shown: without a password.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The key whose server this finds.
    pub fn queue(&self) -> &str {
        &self.queue
    }

    /// Notes that a server sent us elsewhere: its address is that of a cluster node.
    pub fn redirected(&self) {
        if let Way::Direct(cluster) = &self.way {
            cluster.store(true, Ordering::Relaxed);
        }
    }

    /// The server to connect to at this moment. Errors: `Lost` when nobody could be asked, or nobody knows.
    pub(super) async fn resolve(&self) -> Result<ConnectionInfo> {
        match &self.way {
            Way::Direct(cluster) if !cluster.load(Ordering::Relaxed) => {
                self.seeds.first().cloned().ok_or_else(|| Error::Address("no address".to_owned()))
            }
            Way::Direct(_) | Way::Cluster => self.ask_seeds(Self::owner_of_slot).await,
            Way::Sentinel { .. } => self.ask_seeds(Self::master_of_sentinel).await,
        }
    }

    /// The first useful answer of any seed, or else of any that is known besides.
    async fn ask_seeds(
        &self,
        ask: impl AsyncFn(&Self, &ConnectionInfo) -> Result<ConnectionInfo>,
    ) -> Result<ConnectionInfo> {
        let mut last = Error::Address("no address".to_owned());
        let is_new = |info: &&ConnectionInfo| self.seeds.iter().all(|seed| seed.addr() != info.addr());
        let known: Vec<_> = self.known().iter().filter(is_new).cloned().collect();
        for seed in self.seeds.iter().chain(&known) {
            match ask(self, seed).await {
                Ok(info) => return Ok(info),
                Err(error) => {
                    tracing::debug!(seed = %seed.addr(), %error, "this address could not tell where the queue is");
                    // One of them that may answer later on is reason enough to ask again.
                    if !last.is_passing() {
                        last = error;
                    }
                }
            }
        }
        Err(last)
    }

    /// Remembers whom `teller` has told of, and itself.
    fn get_to_know(&self, teller: &ConnectionInfo, others: impl Iterator<Item = ConnectionInfo>) {
        let others = others.filter(|other| other.addr() != teller.addr());
        *self.known() = std::iter::once(teller.clone()).chain(others).take(MOST_KNOWN).collect();
    }

    fn known(&self) -> MutexGuard<'_, Vec<ConnectionInfo>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn owner_of_slot(&self, seed: &ConnectionInfo) -> Result<ConnectionInfo> {
        let node = connect(seed.clone()).await?;
        let slot = answer(&node, redis::cmd("CLUSTER").arg("KEYSLOT").arg(&self.queue)).await?;
        let slots = answer(&node, redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let Value::Int(slot) = slot else {
            return Err(Error::Unexpected(format!("CLUSTER KEYSLOT: {}", Brief(&slot))));
        };
        let (owner, nodes) = nodes_for(slot, served_in(slots));
        // A node that does not know its own name answers an empty one: it is the node just asked.
        let at = |(host, port): Address| moved_to(seed, if host.is_empty() { host_of(seed) } else { host }, port);
        let Some(owner) = owner else {
            return Err(unreachable(seed, format!("it knows no node that serves the slot of {}", self.queue)));
        };
        self.get_to_know(seed, nodes.into_iter().map(at));
        Ok(at(owner))
    }

    async fn master_of_sentinel(&self, seed: &ConnectionInfo) -> Result<ConnectionInfo> {
        let Way::Sentinel { master, node } = &self.way else {
            return Err(Error::Address("not the address of a sentinel".to_owned()));
        };
        let sentinel = match connect(seed.clone()).await {
            // The password is the servers'; sentinels have often none, or another, and take it amiss.
            Err(error) if !error.is_passing() => {
                let stranger = without_credentials(seed.redis_settings());
                connect(seed.clone().set_redis_settings(stranger)).await?
            }
            connected => connected?,
        };
        let address = answer(&sentinel, redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master)).await?;
        self.ask_for_sentinels(seed, &sentinel, master).await;
        let (host, port): (String, u16) = redis::from_redis_value(address)
            .map_err(|_| unreachable(seed, format!("this sentinel knows no master named {master}")))?;
        Ok(moved_to(node, host, port))
    }

    /// Notes which other sentinels one of them knows. It need not tell.
    async fn ask_for_sentinels(&self, seed: &ConnectionInfo, sentinel: &Link, master: &str) {
        let answer = answer(sentinel, redis::cmd("SENTINEL").arg("SENTINELS").arg(master)).await;
        match answer.map(redis::from_redis_value::<Vec<HashMap<String, String>>>) {
            Ok(Ok(others)) => {
                let at = |other: &HashMap<String, String>| {
                    Some(moved_to(seed, other.get("ip")?.clone(), other.get("port")?.parse().ok()?))
                };
                self.get_to_know(seed, others.iter().filter_map(at));
            }
            other => tracing::debug!(?other, "this sentinel does not tell of others"),
        }
    }
}

/// What the server answers to a command for which it need not look far.
pub(super) async fn answer(link: &Link, command: &Cmd) -> Result<Value> {
    match tokio::time::timeout(PATIENCE, link.ask(command)).await {
        Ok(value) => Ok(value?),
        Err(_) => Err(Error::Unanswered(PATIENCE)),
    }
}

/// Host and port of a node.
type Address = (String, u16);

/// Who serves which slots.
type Served = (RangeInclusive<i64>, Vec<Address>);

/// An answer of CLUSTER SLOTS: `[first, last, [host, port, …], …]` per range, the primary before its replicas.
fn served_in(slots: Value) -> Vec<Served> {
    let range = |range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), nodes @ ..] = range.as_slice() else { return None };
        Some((*first..=*last, nodes.iter().map(address_of).collect::<Option<_>>()?))
    };
    match slots {
        Value::Array(ranges) => ranges.into_iter().filter_map(range).collect(),
        _ => Vec::new(),
    }
}

/// A node as `[host, port, …]`.
fn address_of(node: &Value) -> Option<Address> {
    let Value::Array(node) = node else { return None };
    let [host, Value::Int(port), ..] = node.as_slice() else { return None };
    let host = match host {
        Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
        Value::SimpleString(host) => host.clone(),
        _ => String::new(),
    };
    Some((host, u16::try_from(*port).ok()?))
}

/// The primary that serves `slot`, and all nodes that may know its successor, its own replicas first.
fn nodes_for(slot: i64, mut served: Vec<Served>) -> (Option<Address>, Vec<Address>) {
    served.sort_by_key(|(slots, _)| !slots.contains(&slot));
    let owner = served.first().filter(|(slots, _)| slots.contains(&slot)).and_then(|(_, nodes)| nodes.first().cloned());
    let mut seen = HashSet::new();
    let nodes = served.into_iter().flat_map(|(_, nodes)| nodes).filter(|node| seen.insert(node.clone()));
    (owner, nodes.collect())
}

fn host_of(info: &ConnectionInfo) -> String {
    match info.addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => "127.0.0.1".to_owned(),
    }
}

/// The same greeting and transport, another address.
fn moved_to(like: &ConnectionInfo, host: String, port: u16) -> ConnectionInfo {
    let addr = match like.addr() {
        ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host, port, insecure: *insecure, tls_params: tls_params.clone() }
        }
        _ => ConnectionAddr::Tcp(host, port),
    };
    like.clone().set_addr(addr)
}

/// Chooses the TLS implementation for this process once; a program that chose before keeps its own.
fn install_crypto_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        if rustls::crypto::ring::default_provider().install_default().is_err() {
            tracing::debug!("the program has a TLS provider of its own");
        }
    });
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::net::TcpListener;

    use super::*;

    fn addresses(endpoint: &Endpoint) -> Vec<String> {
        endpoint.seeds.iter().map(|seed| seed.addr().to_string()).collect()
    }

    #[test]
    fn one_server_is_its_own_address() {
        for (url, address) in [
            ("redis://localhost:7001/2", "localhost:7001"),
            ("rediss://user:secret@host:7002", "host:7002"),
            ("unix:///run/redis.sock", "/run/redis.sock"),
        ] {
            assert_eq!(addresses(&Endpoint::new(url, "q").unwrap()), [address], "{url}");
        }
    }

    #[test]
    fn a_cluster_is_a_list_of_nodes() {
        let endpoint = Endpoint::new("redis+cluster://user:secret@a:7001,b,[::1]:7003", "q").unwrap();
        assert!(matches!(endpoint.way, Way::Cluster));
        assert_eq!(addresses(&endpoint), ["a:7001", "b:6379", "::1:7003"]);
        assert_eq!(endpoint.seeds[1].redis_settings().password(), Some("secret"));
    }

    #[test]
    fn sentinels_watch_a_master_with_a_database() {
        let endpoint = Endpoint::new("redis+sentinel://a,b:5000/mymaster/3", "q").unwrap();
        assert_eq!(addresses(&endpoint), ["a:26379", "b:5000"]);
        assert_eq!(endpoint.seeds[0].redis_settings().db(), 0);
        let Way::Sentinel { master, node } = &endpoint.way else { panic!("{endpoint:?}") };
        assert_eq!((master.as_str(), node.redis_settings().db()), ("mymaster", 3));
        assert!(Endpoint::new("redis+sentinel://a,b:5000", "q").is_err());
    }

    #[test]
    fn a_wrong_address_is_reported_without_its_password() {
        for url in ["localhost:7001", "user:secret@host", "http://user:secret@host", "redis+ring://user:secret@host"] {
            let message = Endpoint::new(url, "q").unwrap_err().to_string();
            assert!(!message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn the_owner_of_a_slot_is_the_primary_of_its_range_and_its_replicas_are_known_first() {
        let node = |host: &str, port| {
            Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString("id".into())])
        };
        let slots = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(99), node("a", 7001), node("b", 7002)]),
            Value::Array(vec![Value::Int(100), Value::Int(16383), node("", 7003), node("d", 7004)]),
            Value::Array(vec![Value::Int(16384), Value::Int(16390), node("a", 7001)]),
        ]);
        let address = |host: &str, port| (host.to_owned(), port);
        let for_slot = |slot| nodes_for(slot, served_in(slots.clone()));
        let (owner, known) = for_slot(100);
        assert_eq!(owner, Some(address("", 7003)));
        assert_eq!(known, [address("", 7003), address("d", 7004), address("a", 7001), address("b", 7002)]);
        assert_eq!(for_slot(99).0, Some(address("a", 7001)));
        let (owner, known) = for_slot(20_000);
        assert_eq!((owner, known.len()), (None, 4));
    }

    /// Answers every command by its name, on one connection after the other; its port.
    fn server_that(answer: impl Fn(&str) -> &'static str + Send + 'static) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::io::Result::ok);
                while let Some(count) = lines.next() {
                    let words = 2 * count[1..].parse::<usize>().unwrap();
                    let words: Vec<String> = lines.by_ref().take(words).collect();
                    stream.write_all(answer(&words[1]).as_bytes()).unwrap();
                }
            }
        });
        port
    }

    #[tokio::test]
    async fn a_sentinel_that_refuses_the_servers_password_is_asked_without() {
        let sentinel = server_that(|command| match command {
            "AUTH" => "-ERR AUTH <password> called without any password configured for the default user\r\n",
            "SENTINEL" => "*2\r\n$9\r\n127.0.0.1\r\n$4\r\n7001\r\n",
            _ => "+OK\r\n",
        });
        let url = format!("redis+sentinel://:secret@127.0.0.1:{sentinel}/mymaster/3");
        let node = Endpoint::new(&url, "q").unwrap().resolve().await.unwrap();
        assert_eq!(node.addr().to_string(), "127.0.0.1:7001");
        assert_eq!((node.redis_settings().password(), node.redis_settings().db()), (Some("secret"), 3));
    }
}
