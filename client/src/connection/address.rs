//! Reading the URL of a server, of a cluster's nodes, of sentinels.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{ConnectionInfo, IntoConnectionInfo};

use crate::error::{Error, Result};

/// A silent connection is probed after this time …
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
/// … then this often …
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
/// … and given up after so many unanswered probes.
const KEEPALIVE_PROBES: u32 = 3;
/// Sent data that nobody acknowledges for this long means that the connection is dead.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// The port of a node that the URL gives none.
const NODE_PORT: u16 = 6379;
/// The port of a sentinel that the URL gives none.
const SENTINEL_PORT: u16 = 26379;

/// Reads the URL of one server, and arms its connections against a peer that vanishes without a word.
pub(super) fn server(url: &str) -> Result<ConnectionInfo> {
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

/// `[user:password@]host[:port][,…]/master[/db]`: the sentinels, the name of the master, and how to talk to it. The
/// credentials are those of the servers; a sentinel that refuses them is asked without any. Sentinels know no databases.
pub(super) fn sentinels(base: &str, rest: &str) -> Result<(Vec<ConnectionInfo>, String, ConnectionInfo)> {
    let (rest, tail) = split_tail(rest);
    let (list, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (master, db) = path.split_once('/').unwrap_or((path, ""));
    if master.is_empty() {
        return Err(Error::Address(format!("{base}+sentinel://host:port/MASTER: the name of the master is missing")));
    }
    let sentinels = each(base, list, tail, SENTINEL_PORT)?;
    let path = if db.is_empty() { String::new() } else { format!("/{db}") };
    let node = each(base, list, &format!("{path}{tail}"), SENTINEL_PORT)?
        .into_iter()
        .next()
        .ok_or_else(|| Error::Address("no address of a sentinel".to_owned()))?;
    Ok((sentinels, master.to_owned(), node))
}

/// `[user:password@]host[:port][,host[:port] …][/]`: the nodes of a cluster.
pub(super) fn nodes(base: &str, rest: &str) -> Result<Vec<ConnectionInfo>> {
    let (list, tail) = split_tail(rest);
    each(base, list.trim_end_matches('/'), tail, NODE_PORT)
}

/// Splits `?query#fragment` off, which belongs to each address of a list.
fn split_tail(rest: &str) -> (&str, &str) {
    let hosts = rest.rfind('@').map_or(0, |at| at + 1);
    let tail = rest[hosts..].find(['?', '#']).map_or(rest.len(), |at| hosts + at);
    rest.split_at(tail)
}

/// `[user:password@]host[:port][,host[:port] …]`, each as the URL of one server that ends in `tail`.
fn each(base: &str, list: &str, tail: &str, default_port: u16) -> Result<Vec<ConnectionInfo>> {
    let (credentials, hosts) = list.rsplit_once('@').map_or(("", list), |(credentials, hosts)| (credentials, hosts));
    let at = if credentials.is_empty() { "" } else { "@" };
    hosts
        .split(',')
        .map(|host| {
            // An IPv6 address stands in brackets, so that a colon behind them begins the port.
            let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
            let port = if has_port { String::new() } else { format!(":{default_port}") };
            server(&format!("{base}://{credentials}{at}{host}{port}{tail}"))
        })
        .collect()
}

/// The URL as it may stand in a log: what may be a password is left out.
pub(super) fn without_password(url: &str) -> String {
    // A socket's path and query may hold an @; elsewhere a password may hold what looks like a query.
    match url.starts_with("unix:") || url.starts_with("redis+unix:") || url.starts_with("valkey+unix:") {
        true => without_user(&without_pass(url)),
        false => without_pass(&without_user(url)),
    }
}

/// Without `user:password@`.
fn without_user(url: &str) -> String {
    match (url.split_once("://"), url.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, hosts))) => format!("{scheme}://…@{hosts}"),
        (None, Some((_, hosts))) => format!("…@{hosts}"),
        (_, None) => url.to_owned(),
    }
}

/// Without the value of `?pass=` or `&pass=`.
fn without_pass(url: &str) -> String {
    let Some((front, query)) = url.split_once('?') else { return url.to_owned() };
    let shown = |pair| if str::starts_with(pair, "pass=") { "pass=…" } else { pair };
    let pairs: Vec<_> = query.split('&').map(shown).collect();
    format!("{front}?{}", pairs.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_is_shown_without_its_password() {
        for (url, shown) in [
            ("unix:///run/redis.sock?pass=se@cr:et&db=1", "unix:///run/redis.sock?pass=…&db=1"),
            ("unix:///run/redis.sock?db=1&user=u&pass=secret", "unix:///run/redis.sock?db=1&user=u&pass=…"),
            ("redis+unix:///run/r@dis.sock?db=1", "redis+unix://…@dis.sock?db=1"),
            ("redis://:se?pass=cret@host", "redis://…@host"),
            ("redis://host/3?protocol=resp3", "redis://host/3?protocol=resp3"),
        ] {
            assert_eq!(without_password(url), shown);
        }
    }

    #[test]
    fn a_query_and_a_fragment_belong_to_every_address_of_a_list() {
        let shown = |info: &ConnectionInfo| {
            let settings = info.redis_settings();
            format!("{} {:?} {}", info.addr(), settings.protocol(), settings.db())
        };
        let nodes = nodes("redis", "user:secret@a,b:7001/?protocol=resp3").unwrap();
        assert_eq!(nodes.iter().map(shown).collect::<Vec<_>>(), ["a:6379 RESP3 0", "b:7001 RESP3 0"]);
        let (sentinels, master, node) = sentinels("rediss", "a,b/main/3?protocol=resp3#insecure").unwrap();
        assert_eq!((master.as_str(), shown(&node).as_str()), ("main", "a:26379 RESP3 3"));
        assert_eq!(sentinels.iter().map(shown).collect::<Vec<_>>(), ["a:26379 RESP3 0", "b:26379 RESP3 0"]);
        assert!(matches!(node.addr(), redis::ConnectionAddr::TcpTls { insecure: true, .. }));
    }
}
