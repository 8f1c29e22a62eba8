//! What others wrote does nothing to a terminal, and goes into pipes as it is.

use mq_tests::{Conn, FakeServer, Peer, Server, Terminal, until};

const SIZE: (u16, u16) = (24, 150);

/// Clears the screen, names the window, turns what follows, colours it in C1, ends a line.
const EVIL: &str = "17\u{1b}[2J\u{1b}]0;owned\u{7}\u{202e}x\u{9b}5m\u{200b}y\r\n18";

/// The same as a terminal may show it: on one line, with what stands for each of these.
const TAME: &str = "17·[2J·]0;owned··x·5m·y";

/// An error of the queue `mq` whose payload, reason and consumer are evil.
fn make_error(c: &mut Conn) {
    c.int(["MQ.PUSH", "mq", "MSG", EVIL]);
    let receipt = c.claims(["MQ.CLAIM", "mq", EVIL])[0].receipt.to_string();
    c.int(["MQ.FAIL", "mq", &receipt, "REASON", EVIL]);
}

#[test]
fn a_payload_that_get_errors_prints_does_nothing_to_a_terminal_and_is_whole_in_a_pipe() {
    for (format, shown) in
        [("text", format!("{TAME}\\r\\n18")), ("json", "17\\u001b[2J\\u001b]0;owned\\u0007\\u202ex".into())]
    {
        let server = Server::start();
        let mut c = server.connect();
        make_error(&mut c);
        let mut terminal = Terminal::spawn(&server, &format!("getErrors --format {format}"), SIZE);
        terminal.until_shows(&shown);
        let warned = "a payload has a line break in it";
        if format == "text" {
            terminal.until_shows(warned);
        }
        assert!(terminal.until_ended().success());
        assert!(format == "text" || !terminal.text().contains(warned), "{}", terminal.text());
        make_error(&mut c);
        let finished = Peer::spawn(&server, &format!("getErrors --format {format}")).finish();
        match format {
            "text" => assert_eq!(finished.stdout, format!("{EVIL}\n")),
            _ => {
                let object: serde_json::Value = serde_json::from_str(&finished.stdout).expect("JSON");
                assert_eq!((&object["payload"], &object["reason"]), (&EVIL.into(), &EVIL.into()));
            }
        }
        assert_eq!(
            finished.stderr.contains("--format json prints one object for each"),
            format == "text",
            "{finished:?}"
        );
    }
}

#[test]
fn payloads_on_lines_of_their_own_are_not_warned_of() {
    let server = Server::start();
    let mut c = server.connect();
    c.int("MQ.PUSH mq MSG a b");
    for claim in c.claims("MQ.CLAIM mq w COUNT 2") {
        c.int(format!("MQ.FAIL mq {}", claim.receipt));
    }
    let finished = Peer::spawn(&server, "getErrors").finish();
    assert_eq!((finished.stdout.as_str(), finished.stderr.as_str()), ("a\nb\n", ""));
}

#[test]
fn a_list_of_errors_does_nothing_to_a_terminal() {
    let server = Server::start();
    make_error(&mut server.connect());
    for (format, shown) in
        [("text", TAME), ("json", "\\u001b[2J\\u001b]0;owned\\u0007\\u202ex\\u009b5m\\u200by\\r\\n18")]
    {
        let mut terminal = Terminal::spawn(&server, &format!("errors --format {format}"), (24, 250));
        terminal.until_shows(shown);
        assert!(terminal.until_ended().success());
    }
}

#[test]
fn figures_and_names_do_nothing_to_a_terminal() {
    let server = Server::start();
    let mut c = server.connect();
    c.ok(["MQ.LEADER", "mq", EVIL, "LEASE", "3600000"]);
    for format in ["text", "prometheus"] {
        let mut terminal = Terminal::spawn(&server, &format!("stats --format {format}"), (200, 150));
        terminal.until_shows(TAME);
        assert!(terminal.until_ended().success());
    }
    let view = Terminal::spawn(&server, "stats --watch", SIZE);
    view.until_shows("17·[2J·]0;owned");
    let fields = "*4\r\n$5\r\nready\r\n:5\r\n$9\r\nnew\u{1b}[2J\u{7}x\r\n:7\r\n";
    let later = FakeServer::answering(move |words| (words[0] == "MQ.INFO").then(|| fields.into()));
    for arguments in ["stats", "stats --watch"] {
        let terminal = Terminal::spawn_bare(format!("{arguments} --redis {}", later.url()), SIZE);
        terminal.until_shows("new·[2J·x");
    }
}

#[test]
fn errors_and_logs_do_nothing_to_a_terminal_and_are_whole_in_a_pipe() {
    let refusing =
        FakeServer::answering(|words| (words[0] == "MQ.INFO").then(|| "-ERR no \u{1b}[2J\u{202e}way\r\n".into()));
    let refused = format!("--redis {}", refusing.url());
    let cases = [
        (vec!["stats".to_owned()], refused.as_str(), "no ·[2J·way", "no \u{1b}[2J\u{202e}way"),
        (vec!["stats".to_owned()], "--redis redis:/\u{1b}[2Jhost", "redis:/·[2Jhost", "redis:/\u{1b}[2Jhost"),
        (vec!["--role".to_owned(), "\u{1b}[2Jboss\u{9b}".to_owned()], "--queue mq", "invalid value 'boss·'", "boss"),
    ];
    for (mut words, rest, shown, written) in cases {
        words.extend(rest.split(' ').map(str::to_owned));
        let mut terminal = Terminal::spawn_bare(words.clone(), SIZE);
        terminal.until_shows(shown);
        assert!(!terminal.until_ended().success());
        let finished = Peer::spawn_bare(words).finish();
        assert!(finished.stderr.contains(written), "{finished:?}");
    }
    let busy =
        FakeServer::answering(|words| (words[0] == "MQ.INFO").then(|| "-BUSY no \u{1b}[2J\u{202e}way\r\n".into()));
    let peer = format!("--role handler --redis {}", busy.url());
    Terminal::spawn_bare(&peer, SIZE).until_shows("error=refused for now: BUSY no ·[2J·way");
    let peer = Peer::spawn_bare(&peer);
    until("its log has every byte", || peer.stderr().contains("BUSY no \u{1b}[2J\u{202e}way"));
}
