//! The client finds its server: whatever the address says, whatever the server says first, and after changes of both.

use mq_tests::{Conn, Peer, Sentinel, Server, Waiter, skip, two_nodes, until};

fn pushed(c: &mut Conn) -> i64 {
    c.fields("MQ.INFO mq").int("pushed")
}

/// A peer at `url` generates, another one handles, `stats` and `getErrors` serve the same queue, and all end well.
#[track_caller]
fn everything_works(c: &mut Conn, url: &str) {
    let peers = ["generator --interval 1ms --limit 300", "handler --handler-delay 1ms"]
        .map(|role| Peer::spawn_bare(format!("--redis {url} --role {role}")));
    until(&format!("{url}: all are settled"), || {
        let info = c.fields("MQ.INFO mq");
        info.int("acked") + info.int("errors") == 300
    });
    for peer in peers {
        peer.terminate();
        let finished = peer.finish();
        assert_eq!(finished.status.code(), Some(0), "{url}: {finished:?}");
    }
    let errors = c.balanced("mq").int("errors");
    let stats = Peer::spawn_bare(format!("stats --redis {url}")).finish();
    assert_eq!(stats.status.code(), Some(0), "{url}: {stats:?}");
    assert!(stats.stdout.contains("pushed") && stats.stdout.contains("300"), "{url}: {stats:?}");
    let printed = Peer::spawn_bare(format!("getErrors --redis {url}")).finish();
    assert_eq!((printed.status.code(), printed.stdout.lines().count() as i64), (Some(0), errors), "{url}: {printed:?}");
    assert_eq!(c.balanced("mq").int("drained"), errors);
}

#[test]
fn a_unix_socket_is_an_address() {
    let server = Server::builder().config("unixsocket mq.sock").start();
    everything_works(&mut server.connect(), &format!("unix://{}", server.dir().join("mq.sock").display()));
}

/// Lets a server speak TLS on another port, with a certificate for `localhost` that is written into its directory; that port,
/// or `None` where there is no openssl or the server knows no TLS.
fn speak_tls(server: &Server, c: &mut Conn) -> Option<u16> {
    let (certificate, key) = (server.dir().join("cert.pem"), server.dir().join("key.pem"));
    let made = std::process::Command::new("openssl")
        .args("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext".split(' '))
        .args(["subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .output();
    made.ok().filter(|made| made.status.success())?;
    let port = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let (certificate, key) = (certificate.display(), key.display());
    let files = format!("tls-cert-file {certificate} tls-key-file {key} tls-ca-cert-file {certificate}");
    if !knows_tls(port, &files) {
        return None;
    }
    c.call(format!("CONFIG SET tls-auth-clients no {files} tls-port {port}")).ok().map(|_| port)
}

/// Whether the server was built with TLS: one that was not ends when it is started with it, and some crash when they are told
/// to speak it later.
fn knows_tls(port: u16, files: &str) -> bool {
    let program = std::env::var_os("MQ_SERVER").unwrap_or_else(|| "redis-server".into());
    let settings = format!("{files} port 0 tls-port {port}");
    let words: Vec<&str> = settings.split(' ').collect();
    let mut command = std::process::Command::new(program);
    for setting in words.chunks(2) {
        command.arg(format!("--{}", setting[0])).args(&setting[1..]);
    }
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let mut server = command.spawn().expect("the server that is tested");
    let mut listens = false;
    until("the server listens, or has ended", || {
        listens = std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        listens || server.try_wait().expect("its child").is_some()
    });
    server.kill().expect("it is a child");
    server.wait().expect("it is a child");
    listens
}

#[test]
fn tls_is_spoken_to_who_is_trusted_and_the_other_scheme_is_named_where_only_that_would_do() {
    let server = Server::start();
    let mut c = server.connect();
    let Some(port) = speak_tls(&server, &mut c) else { skip!("openssl, or a server with TLS") };
    everything_works(&mut c, &format!("rediss://127.0.0.1:{port}#insecure"));
    let certificate = server.dir().join("cert.pem");
    let stats = |url: String, roots: &std::path::Path| {
        let environment = [("SSL_CERT_FILE", roots.as_os_str())];
        Peer::spawn_with(format!("stats --redis {url}"), &environment).finish()
    };
    let trusted = stats(format!("rediss://localhost:{port}"), &certificate);
    assert_eq!(trusted.status.code(), Some(0), "{trusted:?}");
    let other_name = stats(format!("rediss://127.0.0.1:{port}"), &certificate);
    assert!(other_name.stderr.contains("invalid peer certificate"), "{other_name:?}");
    let no_root = stats(format!("rediss://localhost:{port}"), &server.dir().join("none.pem"));
    assert_eq!(no_root.status.code(), Some(1), "{no_root:?}");
    let plain = stats(format!("redis://127.0.0.1:{port}"), &certificate);
    assert!(plain.stderr.contains("write rediss:// in place of redis://"), "{plain:?}");
    let tls = stats(format!("rediss://127.0.0.1:{}", server.port()), &certificate);
    assert!(tls.stderr.contains("write redis:// in place of rediss://"), "{tls:?}");
}

#[test]
fn a_database_is_part_of_an_address() {
    let server = Server::start();
    everything_works(&mut server.connect_db(3), &format!("{}/3", server.url()));
}

#[test]
fn any_node_of_a_cluster_leads_to_the_one_that_serves_the_queue() {
    for scheme in ["redis+cluster", "redis"] {
        let nodes = two_nodes();
        // The second node serves no slot at all.
        let url = format!("{scheme}://127.0.0.1:{}", nodes[1].port());
        everything_works(&mut nodes[0].connect(), &url);
    }
}

#[test]
fn a_failover_is_followed_when_the_only_named_node_is_gone() {
    let [mut primary, replica] = two_nodes();
    let (mut old, mut new) = (primary.connect(), replica.connect());
    new.ok(format!("CLUSTER REPLICATE {}", old.text("CLUSTER MYID")));
    until("the replica's link is up", || new.server_info("replication", "master_link_status") == "up");
    let url = format!("redis+cluster://127.0.0.1:{}", primary.port());
    // It tells of none that has not received anything yet.
    old.ok("SET sign of-life");
    until("the primary tells of its replica", || {
        format!("{:?}", old.ok("CLUSTER SLOTS")).contains(&replica.port().to_string())
    });
    let peers = ["generator --interval 2ms", "handler --handler-delay 1ms"]
        .map(|role| Peer::spawn_bare(format!("--redis {url} --role {role}")));
    until("they are at work", || old.fields("MQ.INFO mq").int("acked") > 20);
    primary.kill9();
    new.ok("CLUSTER FAILOVER TAKEOVER");
    until("the cluster is whole", || new.text("CLUSTER INFO").contains("cluster_state:ok"));
    let before = new.fields("MQ.INFO mq").int("acked");
    until("they are at work again", || new.fields("MQ.INFO mq").int("acked") > before + 20);
    for peer in peers {
        peer.end_well();
    }
}

#[test]
fn the_other_sentinels_are_asked_when_the_only_named_one_is_gone() {
    let primary = Server::start();
    let mut c = primary.connect();
    let (named, other) = (Sentinel::watching(&primary, 0), Sentinel::watching(&primary, 0));
    until("they know each other", || named.knows_others(1) && other.knows_others(1));
    let _peers = ["generator --interval 2ms", "handler --handler-delay 1ms"]
        .map(|role| Peer::spawn_bare(format!("--redis {} --role {role}", named.url())));
    until("they are at work", || c.fields("MQ.INFO mq").int("acked") > 20);
    drop(named);
    c.int("CLIENT KILL TYPE normal SKIPME yes");
    let before = c.fields("MQ.INFO mq").int("acked");
    until("they are at work again", || c.fields("MQ.INFO mq").int("acked") > before + 20);
}

#[test]
fn a_user_without_a_password_is_who_the_address_says() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("ACL SETUSER worker on nopass ~w* +@all");
    for options in ["", "?protocol=resp3"] {
        let url = format!("redis://worker@127.0.0.1:{}{options}", server.port());
        let refused = Peer::spawn_bare(format!("stats --queue mq --redis {url}")).finish();
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(refused.stderr.contains("NOPERM"), "{refused:?}");
        let served = Peer::spawn_bare(format!("stats --queue work --redis {url}")).finish();
        assert_eq!(served.status.code(), Some(0), "{served:?}");
    }
}

#[test]
fn a_peer_outlives_a_password_that_is_wrong_for_a_while() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("CONFIG SET requirepass one");
    let url = format!("redis://:one@127.0.0.1:{}", server.port());
    let roles = ["auto --interval 5ms", "handler --handler-delay 1ms"];
    let mut peers = roles.map(|role| Peer::spawn_bare(format!("--redis {url} --role {role}")));
    until("they are at work", || c.fields("MQ.INFO mq").int("acked") > 0);
    c.ok("CONFIG SET requirepass two");
    c.int("CLIENT KILL TYPE normal SKIPME yes");
    for peer in &peers {
        until("it was refused", || peer.stderr().contains("WRONGPASS"));
    }
    assert!(!peers.iter_mut().any(Peer::has_ended));
    c.ok("CONFIG SET requirepass one");
    let before = c.fields("MQ.INFO mq").int("acked");
    until("they are at work again", || c.fields("MQ.INFO mq").int("acked") > before + 20);
    for peer in peers {
        peer.end_well();
    }
}

#[test]
fn a_wrong_password_at_the_beginning_is_an_error() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("CONFIG SET requirepass one");
    for url in [format!("redis://:two@127.0.0.1:{}", server.port()), server.url()] {
        let finished = Peer::spawn_bare(format!("--redis {url}")).finish();
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains("WRONGPASS") || finished.stderr.contains("NOAUTH"), "{finished:?}");
    }
}

#[test]
fn a_peer_waits_at_the_beginning_for_a_server_that_is_busy_with_a_script() {
    let server = Server::builder().config("busy-reply-threshold 50").start();
    let mut c = server.connect_db(1);
    let script = Waiter::send(server.connect(), ["EVAL", "while true do end", "0"]);
    until("the server is busy", || c.call("GET k").is_err_and(|error| error.code() == Some("BUSY")));
    let peer = Peer::spawn_bare(format!("--redis {}/1 --role generator --interval 5ms", server.url()));
    until("it waits", || peer.stderr().contains("BUSY"));
    c.ok("SCRIPT KILL");
    assert!(script.answer().1.is_err());
    until("it generates", || pushed(&mut c) > 0);
}

#[test]
fn a_peer_waits_at_the_beginning_for_a_server_that_has_no_room_for_it() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("CONFIG SET maxclients 1");
    for (n, options) in ["", "/0?protocol=resp3", "/1"].into_iter().enumerate() {
        let url = format!("redis://default:any@127.0.0.1:{}{options}", server.port());
        let peer = Peer::spawn_bare(format!("--redis {url} --role generator --queue q{n} --interval 5ms"));
        until("it waits", || peer.stderr().contains("cannot be served yet"));
        c.ok("CONFIG SET maxclients 100");
        let db = if options == "/1" { 1 } else { 0 };
        let mut there = server.connect_db(db);
        until("it generates", || there.int(format!("EXISTS q{n}")) == 1);
        peer.terminate();
        assert!(peer.finish().status.success());
        drop(there);
        until("all are gone", || c.server_count("clients", "connected_clients") == 1);
        c.ok("CONFIG SET maxclients 1");
    }
}
