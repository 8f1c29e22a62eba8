//! The harness itself, on servers without the module: what every other test leans on.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    panic,
    path::PathBuf,
    time::Duration,
};

use mq_tests::{Bulk, Conn, Crowd, Pings, Proxy, Server, Value, Waiter, median, skip, text_of, until};

fn plain() -> Server {
    Server::builder().without_module().start()
}

#[test]
fn two_servers_are_two() {
    let (one, other) = (plain(), plain());
    one.connect().ok("SET k one");
    assert!(other.connect().call("GET k").is_ok_and(|answer| text_of(&answer).is_none()));
}

#[test]
fn a_dropped_server_leaves_no_process_and_no_directory() {
    let server = plain();
    let dir = PathBuf::from(server.dir());
    let port = server.port();
    drop(server);
    assert!(!dir.exists());
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err());
}

#[test]
fn a_failing_test_leaves_none_either() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let failed = std::thread::spawn(move || {
        let server = plain();
        sender.send(PathBuf::from(server.dir())).expect("the test listens");
        panic!("on purpose");
    });
    assert!(failed.join().is_err());
    assert!(!receiver.recv().expect("a directory").exists());
}

#[test]
fn a_server_that_dies_by_itself_fails_its_test() {
    let mut server = plain();
    server.connect().call("SHUTDOWN NOSAVE").expect_err("it ends the connection");
    until("it is gone", || server.has_died());
    assert!(panic::catch_unwind(panic::AssertUnwindSafe(|| drop(server))).is_err());
}

#[test]
fn a_restart_keeps_what_was_saved_and_a_kill_does_not_save() {
    let mut server = Server::builder().without_module().config("save 3600 1").start();
    server.connect().ok("SET k kept");
    server.restart();
    assert_eq!(server.connect().text("GET k"), "kept");
    server.connect().ok("SET k lost");
    server.kill9();
    server.start_again();
    assert_eq!(server.connect().text("GET k"), "kept");
}

#[test]
fn a_replica_gets_in_step() {
    let primary = plain();
    let replica = Server::builder().without_module().replica_of(&primary);
    primary.connect().ok("SET k v");
    replica.until_in_step_with(&primary);
    assert_eq!(replica.connect().text("GET k"), "v");
}

#[test]
fn a_waiter_waits_until_it_is_served() {
    let server = plain();
    let waiter = Waiter::spawn(&server, "BLPOP list 0");
    assert!(waiter.waits());
    assert_eq!(server.blocked_clients(), 1);
    server.connect().int("RPUSH list x");
    assert_eq!(waiter.value(), Value::Array(["list", "x"].map(|s| Value::BulkString(s.into())).to_vec()));
}

#[test]
fn a_refusal_is_shown_as_it_stood_on_the_wire() {
    let server = plain();
    let mut c = server.connect();
    c.ok("SET k v");
    assert!(c.refusal("LPUSH k x").starts_with("WRONGTYPE Operation"));
    assert!(c.refusal("NOSUCH").starts_with("ERR unknown command"));
    assert!(c.eval("return redis.error_reply('MYCODE why')", "k", &[]).is_err_and(|e| e.code() == Some("MYCODE")));
}

#[test]
fn a_pipeline_keeps_each_answer_in_its_place() {
    let server = plain();
    let answers = server.connect().pipeline(&["SET k v", "LPUSH k x", "STRLEN k"]).expect("a whole connection");
    assert!(answers[0].is_ok() && answers[1].is_err() && answers[2].is_ok());
}

#[test]
fn the_middle_time_is_the_median() {
    assert_eq!(median([9, 1, 5].map(Duration::from_millis).to_vec()), Duration::from_millis(5));
}

#[test]
fn a_skip_ends_the_test_and_says_so() {
    skip!("on purpose: the harness shows how a skip looks");
    #[expect(unreachable_code, reason = "this is the claim")]
    {
        panic!("a skip goes on");
    }
}

#[test]
fn a_proxy_passes_everything_on_until_it_is_cut() {
    let server = plain();
    let proxy = Proxy::to(server.port());
    let mut c = Conn::to_port(proxy.port());
    let id = c.int("CLIENT ID");
    let large = "x".repeat(3 << 20);
    c.ok(["SET", "k", large.as_str()]);
    assert_eq!(c.text("GET k"), large);
    proxy.cut();
    assert!(c.call("PING").is_err());
    until("the server has noticed", || !server.has_client(id));
    let other = plain();
    proxy.point_to(other.port());
    Conn::to_port(proxy.port()).ok("SET k elsewhere");
    assert_eq!(other.connect().text("GET k"), "elsewhere");
    assert_eq!(proxy.accepted(), 2);
}

#[test]
fn a_proxy_stops_a_long_answer_half_way_and_lets_the_others_pass() {
    use std::io::{Read as _, Write as _};
    let server = plain();
    server.connect().ok(["SET", "k", &"x".repeat(200)]);
    let proxy = Proxy::to(server.port());
    proxy.stop_answers_at(100);
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", proxy.port())).expect("a connection");
    stream.write_all(b"PING\r\n").expect("it is open");
    stream.read_exact(&mut [0; 7]).expect("a short answer");
    stream.write_all(b"GET k\r\n").expect("it is open");
    stream.read_exact(&mut [0; 100]).expect("half of an answer");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let rest = stream.read(&mut [0; 1]).map_err(|error| error.kind());
    assert_eq!(rest, Err(std::io::ErrorKind::WouldBlock), "nothing, and no end");
}

#[test]
fn a_blocked_proxy_holds_back_everything_and_closes_nothing() {
    let server = plain();
    let proxy = Proxy::to(server.port());
    let mut c = Conn::to_port(proxy.port());
    let id = c.int("CLIENT ID");
    proxy.block();
    let writing = std::thread::spawn(move || c.call("SET k v"));
    let mut newcomer = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it hangs, but is not refused");
    newcomer.write_all(b"PING\r\n").expect("a socket has room");
    newcomer.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket has a timeout");
    let silence = newcomer.read(&mut [0; 7]).expect_err("nothing comes back");
    assert!(matches!(silence.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{silence}");
    assert!(!writing.is_finished() && server.has_client(id));
    assert_eq!(server.connect().int("EXISTS k"), 0);
    proxy.unblock();
    assert!(writing.join().expect("no panic").is_ok());
    newcomer.set_read_timeout(None).expect("a socket has none");
    let mut pong = [0; 7];
    newcomer.read_exact(&mut pong).expect("an answer");
    assert_eq!((&pong, server.connect().int("EXISTS k")), (b"+PONG\r\n", 1));
}

#[test]
fn a_cutting_proxy_cuts_after_exactly_as_many_bytes_as_its_seed_says() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let echo = listener.local_addr().expect("a bound address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut half = stream.try_clone().expect("another handle");
            // Cut in the middle: that is what happens here.
            let _ = std::io::copy(&mut half, &mut stream);
        }
    });
    let echoed = |seed| -> Vec<usize> {
        let proxy = Proxy::cutting(echo, seed, 200);
        let lives = (0..20).map(|_| {
            let mut client = TcpStream::connect(("127.0.0.1", proxy.port())).expect("a proxy that listens");
            let mut bytes = 0;
            // One byte there and one back, until it is cut.
            while client.write_all(b"x").is_ok() && matches!(client.read(&mut [0]), Ok(1)) {
                bytes += 1;
            }
            bytes
        });
        lives.collect()
    };
    let lives = echoed(7);
    assert_eq!(lives, echoed(7));
    assert_ne!(lives, echoed(8));
    assert!(lives.iter().all(|bytes| *bytes <= 100) && lives.iter().any(|bytes| *bytes > 50), "{lives:?}");
}

#[test]
fn pings_see_how_long_a_server_is_silent_and_for_how_much_of_it_it_works() {
    let ms = Duration::from_millis;
    let server = plain();
    let mut c = server.connect();
    let mut seen_during = |command: &[&str]| {
        let pings = Pings::start(env!("CARGO_BIN_EXE_ping"), &server);
        c.ok(command);
        pings.end()
    };
    let sleeps = seen_during(&["DEBUG", "SLEEP", "0.2"]);
    assert!(sleeps.worst > ms(150) && sleeps.p99 > ms(150), "{sleeps:?}");
    let works = seen_during(&["EVAL", "for i = 1, 50000000 do end", "0"]);
    assert!(works.worst > ms(50) && works.at_work > ms(50), "{works:?}");
    if cfg!(target_os = "linux") {
        assert!(sleeps.at_work < ms(50), "{sleeps:?}");
    }
}

#[test]
fn bulk_commands_are_carried_out_in_order_and_their_refusal_is_told() {
    let server = plain();
    let mut bulk = Bulk::open(&server);
    (0..100_000).for_each(|n| bulk.send(&format!("SET k {n}")));
    bulk.send_with("RPUSH list", 0..3);
    bulk.done();
    let mut c = server.connect();
    assert_eq!(c.text("GET k"), "99999");
    assert_eq!(c.int("LLEN list"), 3);
    assert_eq!(bulk.ask_with("RPUSH list", 0..10_000), Ok(()));
    assert_eq!(bulk.ask("LRANGE list 0 -1"), Ok(()));
    assert!(bulk.ask("INCR list").is_err_and(|refusal| refusal.starts_with("WRONGTYPE ")));
    assert_eq!(bulk.ask("INCR n"), Ok(()));
}

#[test]
fn a_crowd_sends_a_command_on_each_of_its_connections() {
    let server = plain();
    let crowd = Crowd::send(&server, 500, |n| format!("INCRBY sum {n}\nBLPOP nothing 0"));
    server.until_blocked(500);
    let mut c = server.connect();
    assert_eq!(c.int("INCRBY sum 0"), 499 * 500 / 2);
    drop(crowd);
    server.until_blocked(0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_dropped_proxy_leaves_no_thread_and_no_connection() {
    let server = plain();
    let mut c = server.connect();
    let proxy = Proxy::to(server.port());
    let name = format!("proxy {}", proxy.port());
    let threads = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("a process has threads");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.filter(|other| other.trim_end() == name).count()
    };
    let open: Vec<_> = (0..3).map(|_| Conn::to_port(proxy.port())).collect();
    assert_eq!((threads(), c.server_count("clients", "connected_clients")), (7, 4), "one listens, two per connection");
    proxy.block();
    let hanging = TcpStream::connect(("127.0.0.1", proxy.port())).expect("it hangs, but is not refused");
    until("it hangs", || threads() == 8);
    drop(proxy);
    // The system lists a thread for a moment after its end.
    until("no thread is left", || threads() == 0);
    until("no connection is left", || c.server_count("clients", "connected_clients") == 1);
    drop((open, hanging));
}
