//! What the client does about a server that refuses: it says what is wrong and what helps, ends where nothing will pass by
//! itself at its beginning, and else goes on as soon as it can.

use std::{fs, thread};

use mq_tests::{Conn, Peer, Server, Waiter, until};

/// Everything that does its work and ends.
const ERRANDS: [&str; 5] = ["getErrors", "errors", "errors redrive --all", "stats", "stats --watch"];

/// Whatever the client is started as, it ends with 1 and these words.
#[track_caller]
fn all_end_saying(url: &str, words: &[&str]) {
    let roles = ["--role auto", "--role handler", "--role generator"];
    for arguments in roles.into_iter().chain(ERRANDS) {
        let finished = Peer::spawn_bare(format!("{arguments} --redis {url}")).finish();
        assert_eq!(finished.status.code(), Some(1), "{arguments}: {finished:?}");
        for word in words {
            assert!(finished.stderr.contains(word), "{arguments} does not say {word}: {finished:?}");
        }
    }
}

fn with_user(server: &Server, user: &str) -> String {
    format!("redis://{user}@127.0.0.1:{}", server.port())
}

/// A generator and a handler at work.
struct Pair {
    generator: Peer,
    handler: Peer,
}

impl Pair {
    fn at_work(server: &Server) -> Self {
        let options = "--interval 5ms --handler-delay 5ms --queue mq";
        let pair = Self {
            generator: Peer::spawn(server, &format!("--role generator {options}")),
            handler: Peer::spawn(server, &format!("--role handler {options}")),
        };
        until_they_work(&mut server.connect());
        pair
    }

    #[track_caller]
    fn until_both_say(&self, words: &str) {
        for (who, peer) in [("the generator", &self.generator), ("the handler", &self.handler)] {
            until(&format!("{who} says: {words}"), || peer.stderr().contains(words));
        }
    }

    #[track_caller]
    fn end(self) {
        for peer in [self.generator, self.handler] {
            peer.end_well();
        }
    }
}

/// Messages come, and are handled.
#[track_caller]
fn until_they_work(c: &mut Conn) {
    let done = |c: &mut Conn| c.fields("MQ.INFO mq").int("acked");
    let before = done(c);
    until("they are at work", || done(c) > before + 10);
}

#[test]
fn without_the_module_everybody_ends_and_says_how_to_load_it() {
    let server = Server::builder().without_module().start();
    all_end_saying(&server.url(), &["runs without the module", "load it with: redis-server --loadmodule /"]);
}

#[test]
fn without_the_right_password_everybody_ends_and_says_where_it_goes() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok("CONFIG SET requirepass secret");
    all_end_saying(&server.url(), &["NOAUTH", "--redis redis://:PASSWORD@host"]);
    all_end_saying(&with_user(&server, ":wrong"), &["WRONGPASS", "the password in --redis"]);
    c.ok("ACL SETUSER nobody on >secret ~* +@all -mq.info -mq.drainerrors -mq.peek -mq.redrive");
    all_end_saying(&with_user(&server, "nobody:secret"), &["NOPERM", "ACL SETUSER"]);
}

#[test]
fn a_key_that_is_no_queue_is_named_with_what_it_holds() {
    let server = Server::start();
    server.connect().int("RPUSH mq a");
    all_end_saying(&server.url(), &["the key mq holds a list, not a queue", "--queue"]);
    assert_eq!(server.connect().text("LPOP mq"), "a");
}

#[test]
fn where_nobody_listens_errands_end_and_peers_wait_and_both_name_the_address() {
    let mut server = Server::start();
    let (url, address) = (server.url(), format!("cannot reach 127.0.0.1:{}: Connection refused", server.port()));
    server.kill9();
    for errand in ERRANDS {
        let finished = Peer::spawn_bare(format!("{errand} --redis {url}")).finish();
        assert_eq!(finished.status.code(), Some(1), "{errand}: {finished:?}");
        assert!(finished.stderr.contains(&address), "{errand}: {finished:?}");
    }
    let peer = Peer::spawn_bare(format!("--role generator --interval 5ms --redis {url}"));
    until("the peer says so", || peer.stderr().contains(&address));
    server.start_again();
    let mut c = server.connect();
    until("it generates", || c.fields("MQ.INFO mq").int("pushed") > 0);
}

#[test]
fn what_does_not_speak_the_protocol_is_called_so() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("redis://{}", listener.local_addr().expect("a bound address"));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            stream.read_exact(&mut [0]).expect("the client speaks first");
            stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("a socket has room");
        }
    });
    let finished = Peer::spawn_bare(format!("stats --redis {url}")).finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("does not speak the protocol of Redis"), "{finished:?}");
    assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
}

#[test]
fn what_passes_by_itself_is_waited_for_and_told_with_what_helps() {
    let server = Server::builder().config("busy-reply-threshold 50").start();
    let mut c = server.connect();
    for (fault, mended, words) in [
        ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", ["OOM", "raise its maxmemory"]),
        ("CONFIG SET min-replicas-to-write 1", "CONFIG SET min-replicas-to-write 0", ["NOREPLICAS", "replicas"]),
        ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", ["READONLY", "--redis must lead to the primary"]),
        ("RENAME mq elsewhere", "RENAME elsewhere mq", ["holds a string", "another --queue"]),
        ("CLIENT KILL TYPE normal SKIPME yes", "PING", ["connection lost", "connection"]),
    ] {
        let pair = Pair::at_work(&server);
        c.ok(fault);
        if fault.starts_with("RENAME") {
            // Somebody may be quicker to make a new queue there.
            c.ok("SET mq text");
        }
        for word in words {
            match fault.contains("maxmemory") {
                // Handlers go on: what is full can be emptied.
                true => until("the generator says it", || pair.generator.stderr().contains(word)),
                false => pair.until_both_say(word),
            }
        }
        c.ok(mended);
        until_they_work(&mut c);
        until("the generator says that it is over", || {
            let said = pair.generator.stderr();
            let trouble = said.rfind(words[0]).expect("it was told");
            ["publishing again", "first push accepted"].iter().any(|words| said[trouble..].contains(words))
        });
        pair.end();
    }
}

#[test]
fn a_script_that_runs_for_ever_is_waited_for_and_told_with_what_ends_it() {
    let server = Server::builder().config("busy-reply-threshold 50").start();
    let mut c = server.connect();
    let pair = Pair::at_work(&server);
    let script = Waiter::send(server.connect(), ["EVAL", "while true do end", "0"]);
    pair.until_both_say("BUSY");
    pair.until_both_say("SCRIPT KILL or FUNCTION KILL ends it");
    let finished = Peer::spawn(&server, "getErrors").finish();
    assert!(finished.stderr.contains("SCRIPT KILL") && finished.status.code() == Some(1), "{finished:?}");
    c.ok("SCRIPT KILL");
    assert!(script.answer().1.is_err());
    until_they_work(&mut c);
    pair.end();
}

#[test]
fn a_peer_at_a_replica_says_so_and_works_once_that_is_promoted() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let finished = Peer::spawn(&replica, "getErrors").finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("this server is a replica"), "{finished:?}");
    let peers = ["generator --interval 5ms", "handler --handler-delay 5ms"]
        .map(|role| Peer::spawn(&replica, &format!("--role {role}")));
    for peer in &peers {
        until("it says so", || peer.stderr().contains("this server is a replica"));
    }
    let mut c = replica.connect();
    c.ok("REPLICAOF NO ONE");
    until_they_work(&mut c);
    for peer in peers {
        assert!(peer.stderr().matches("WARN").count() <= 3, "not at every attempt: {}", peer.stderr());
    }
}

#[test]
fn a_server_that_comes_back_loading_and_then_without_the_module_is_waited_for() {
    let mut server = Server::builder()
        .config("save 3600 1")
        .config("key-load-delay 300")
        .config("loading-process-events-interval-bytes 1024")
        .start();
    let mut c = server.connect();
    c.eval("for i = 1, 3000 do redis.call('SET', 'key' .. i, i) end", "key", &[]).expect("a script");
    let pair = Pair::at_work(&server);
    let url = server.url();
    server.stop();
    let newcomer = Peer::spawn_bare(format!("--role handler --name newcomer --redis {url}"));
    // It is there again when it has loaded; that takes long enough for everybody to ask in vain.
    server.start_again();
    pair.until_both_say("LOADING");
    until("the newcomer says so", || newcomer.stderr().contains("it serves once its data is loaded"));
    let mut c = server.connect();
    until_they_work(&mut c);
    c.ok("FLUSHALL");
    server.kill9();
    let conf = server.dir().join("server.conf");
    let whole = fs::read_to_string(&conf).expect("a configuration");
    let without: Vec<_> = whole.lines().filter(|line| !line.starts_with("loadmodule")).collect();
    fs::write(&conf, without.join("\n") + "\n").expect("a directory to write to");
    fs::remove_file(server.dir().join("dump.rdb")).expect("it was saved");
    server.start_again();
    pair.until_both_say("load it with");
    server.kill9();
    fs::write(&conf, whole).expect("a directory to write to");
    server.start_again();
    until_they_work(&mut server.connect());
    pair.end();
}
