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
//! answers MOVED is from then on taken for a node of a cluster.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{Cmd, ConnectionAddr, ConnectionInfo, IntoConnectionInfo, Value};

use super::greeting::without_credentials;
use super::{PATIENCE, connect, unreachable};
use crate::error::{Error, Result};

/// A silent connection is probed after this time …
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// … then this often …
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
/// … and given up after so many unanswered probes.
const KEEPALIVE_PROBES: u32 = 3;
/// Sent data that nobody acknowledges for this long means that the connection is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The port of a sentinel that the URL gives none.
const SENTINEL_PORT: u16 = 26379;

/// Finds the server that serves one queue.
#[derive(Debug)]
pub struct Endpoint {
    seeds: Vec<ConnectionInfo>,
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
            Some((base @ ("redis" | "rediss"), "cluster")) => (seeds(base, rest, "", 6379)?, Way::Cluster),
            Some((base @ ("redis" | "rediss"), "sentinel")) => sentinels(base, rest)?,
            _ => (vec![server(url)?], Way::Direct(AtomicBool::new(false))),
        };
        Ok(Self { seeds, way, queue: queue.to_owned(), address: without_password(url) })
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

    /// The first useful answer of any seed.
    async fn ask_seeds<'a, F>(&'a self, ask: impl Fn(&'a Self, &'a ConnectionInfo) -> F) -> Result<ConnectionInfo>
    where
        F: Future<Output = Result<ConnectionInfo>>,
    {
        let mut last = Error::Address("no address".to_owned());
        for seed in &self.seeds {
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

    async fn owner_of_slot(&self, seed: &ConnectionInfo) -> Result<ConnectionInfo> {
        let mut node = connect(seed.clone()).await?;
        let slot = answer(&mut node, redis::cmd("CLUSTER").arg("KEYSLOT").arg(&self.queue)).await?;
        let slots = answer(&mut node, redis::cmd("CLUSTER").arg("SLOTS")).await?;
        let (host, port) = owner_in(&slot, &slots)
            .ok_or_else(|| unreachable(seed, format!("it knows no node that serves the slot of {}", self.queue)))?;
        // A node that does not know its own name answers an empty one: it is the node just asked.
        let host = if host.is_empty() { host_of(seed) } else { host };
        Ok(moved_to(seed, host, port))
    }

    async fn master_of_sentinel(&self, seed: &ConnectionInfo) -> Result<ConnectionInfo> {
        let Way::Sentinel { master, node } = &self.way else {
            return Err(Error::Address("not the address of a sentinel".to_owned()));
        };
        let mut sentinel = match connect(seed.clone()).await {
            // The password is the servers'; sentinels have often none, or another, and take it amiss.
            Err(error) if !error.is_passing() => {
                let stranger = without_credentials(seed.redis_settings());
                connect(seed.clone().set_redis_settings(stranger)).await?
            }
            connected => connected?,
        };
        let address = answer(&mut sentinel, redis::cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(master)).await?;
        let (host, port): (String, u16) = redis::from_redis_value(address)
            .map_err(|_| unreachable(seed, format!("this sentinel knows no master named {master}")))?;
        Ok(moved_to(node, host, port))
    }
}

/// What the server answers to a command for which it need not look far.
pub(super) async fn answer(connection: &mut redis::aio::MultiplexedConnection, command: &Cmd) -> Result<Value> {
    match tokio::time::timeout(PATIENCE, command.query_async(connection)).await {
        Ok(value) => Ok(value?),
        Err(_) => Err(Error::Unanswered(PATIENCE)),
    }
}

/// The primary of `slot` in an answer of CLUSTER SLOTS: `[first, last, [host, port, …], …]` per range.
fn owner_in(slot: &Value, slots: &Value) -> Option<(String, u16)> {
    let (Value::Int(slot), Value::Array(ranges)) = (slot, slots) else { return None };
    ranges.iter().find_map(|range| {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(primary), ..] = range.as_slice() else { return None };
        let [host, Value::Int(port), ..] = primary.as_slice() else { return None };
        let host = match host {
            Value::BulkString(host) => String::from_utf8_lossy(host).into_owned(),
            Value::SimpleString(host) => host.clone(),
            _ => String::new(),
        };
        (first..=last).contains(&slot).then_some(())?;
        Some((host, u16::try_from(*port).ok()?))
    })
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

/// Reads the URL of one server, and arms its connections against a peer that vanishes without a word.
fn server(url: &str) -> Result<ConnectionInfo> {
    let info =
        url.into_connection_info().map_err(|error| Error::Address(format!("{}: {error}", without_password(url))))?;
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE_AFTER).with_interval(KEEPALIVE_EVERY);
    #[cfg(not(target_os = "windows"))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    let settings = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
    #[cfg(target_os = "linux")]
    let settings = settings.set_user_timeout(USER_TIMEOUT);
    Ok(info.set_tcp_settings(settings))
}

/// `[user:password@]host[:port][,host[:port] …]`, each as the URL of one server with `path` behind it.
fn seeds(base: &str, list: &str, path: &str, default_port: u16) -> Result<Vec<ConnectionInfo>> {
    let (list, fragment) = list.split_once('#').map_or((list, ""), |(list, fragment)| (list, fragment));
    let list = list.trim_end_matches('/');
    let (credentials, hosts) = list.rsplit_once('@').map_or(("", list), |(credentials, hosts)| (credentials, hosts));
    let at = if credentials.is_empty() { "" } else { "@" };
    let hash = if fragment.is_empty() { "" } else { "#" };
    hosts
        .split(',')
        .map(|host| {
            // An IPv6 address stands in brackets, so that a colon behind them begins the port.
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port { String::new() } else { format!(":{default_port}") };
            server(&format!("{base}://{credentials}{at}{host}{port}{path}{hash}{fragment}"))
        })
        .collect()
}

/// `[user:password@]host[:port][,…]/master[/db]`. The credentials are those of the servers; a sentinel that refuses
/// them is asked without any. Sentinels know no databases.
fn sentinels(base: &str, rest: &str) -> Result<(Vec<ConnectionInfo>, Way)> {
    let (list, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err(Error::Address(format!("{base}+sentinel://host:port/MASTER: the name of the master is missing")));
    }
    let path = if db.is_empty() { String::new() } else { format!("/{db}") };
    let node = seeds(base, list, &path, SENTINEL_PORT)?
        .into_iter()
        .next()
        .ok_or_else(|| Error::Address("no address of a sentinel".to_owned()))?;
    Ok((seeds(base, list, "", SENTINEL_PORT)?, Way::Sentinel { master: master.to_owned(), node: Box::new(node) }))
}

/// The URL as it may stand in a log.
fn without_password(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://…@{hosts}"),
        (None, Some((_, hosts))) => format!("…@{hosts}"),
        (_, None) => url.to_owned(),
    }
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
    fn the_owner_of_a_slot_is_the_primary_of_its_range() {
        let node = |host: &str, port| {
            Value::Array(vec![Value::BulkString(host.into()), Value::Int(port), Value::BulkString("id".into())])
        };
        let slots = Value::Array(vec![
            Value::Array(vec![Value::Int(0), Value::Int(99), node("a", 7001), node("b", 7002)]),
            Value::Array(vec![Value::Int(100), Value::Int(16383), node("", 7003)]),
        ]);
        assert_eq!(owner_in(&Value::Int(99), &slots), Some(("a".to_owned(), 7001)));
        assert_eq!(owner_in(&Value::Int(100), &slots), Some((String::new(), 7003)));
        assert_eq!(owner_in(&Value::Int(20000), &slots), None);
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
