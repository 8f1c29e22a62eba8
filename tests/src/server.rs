//! A real server under test: its own port, its own directory, and never longer alive than its value.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use redis::{ProtocolVersion, RedisConnectionInfo};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::{Conn, DEADLINE, OtherClock, built, eventually, parent::die_with_parent, patience, until};

/// How often another port is tried when somebody else was quicker to take it.
const PORT_ATTEMPTS: usize = 8;

/// A server to be started.
#[must_use]
pub struct Builder {
    module: bool,
    module_arguments: String,
    cluster: bool,
    login: Option<Login>,
    lines: Vec<String>,
}

/// A user of the server, as whom the harness speaks to it.
#[derive(Clone)]
struct Login {
    user: String,
    password: String,
}

impl Login {
    fn settings(login: Option<&Self>) -> RedisConnectionInfo {
        let settings = RedisConnectionInfo::default();
        match login {
            None => settings,
            Some(Self { user, password }) => settings.set_username(user).set_password(password),
        }
    }
}

impl Builder {
    /// One line of the configuration file; it stands after the harness's own and the module's, so it wins.
    pub fn config(mut self, line: impl Into<String>) -> Self {
        self.lines.push(line.into());
        self
    }

    /// A setting that not all servers have. `Err`: this one does not, and the builder is as it was.
    ///
    /// # Errors
    /// As above.
    pub fn config_if_known(self, name: &str, value: &str) -> Result<Self, Self> {
        let server = Server::builder().without_module().start();
        if server.connect().call(["CONFIG", "SET", name, value]).is_ok() {
            Ok(self.config(format!("{name} {value}")))
        } else {
            Err(self)
        }
    }

    /// Leaves the module out.
    pub fn without_module(mut self) -> Self {
        self.module = false;
        self
    }

    /// Arguments of `loadmodule`.
    pub fn module_arguments(mut self, arguments: &str) -> Self {
        self.module_arguments = arguments.into();
        self
    }

    /// Makes it a node of a cluster: with no slots and no other nodes yet.
    pub fn cluster(mut self) -> Self {
        self.cluster = true;
        self
    }

    /// Connects as this user, whom the configuration makes, and not as the default one.
    pub fn login(mut self, user: &str, password: &str) -> Self {
        self.login = Some(Login { user: user.into(), password: password.into() });
        self
    }

    /// Starts as a replica of `primary`, and is there when the first synchronisation is through.
    pub fn replica_of(mut self, primary: &Server) -> Server {
        if let Some(Login { user, password }) = &primary.login {
            self = self.config(format!("masteruser {user}")).config(format!("masterauth {password}"));
        }
        let replica = self.config(format!("replicaof 127.0.0.1 {}", primary.port)).start();
        until("the replica's link is up", || {
            replica.connect().server_info("replication", "master_link_status") == "up"
        });
        replica
    }

    /// Starts it, and is there when it answers.
    ///
    /// # Panics
    /// When it does not, with the end of its log.
    pub fn start(self) -> Server {
        let dir = TempDir::with_prefix("mq-test-").expect("a temporary directory");
        let mut server = Server { port: 0, dir, login: self.login.clone(), process: None, clock: None };
        for _ in 0..PORT_ATTEMPTS {
            server.port = free_port();
            server.write_config(&self);
            if server.launch() {
                return server;
            }
        }
        panic!("the server does not start:\n{}", server.log_tail())
    }
}

/// One running server. Dropping it kills the process and removes the directory; if it had died by itself, the test fails.
pub struct Server {
    port: u16,
    dir: TempDir,
    login: Option<Login>,
    process: Option<Child>,
    clock: Option<OtherClock>,
}

impl Server {
    /// A server with the module, without persistence, with DEBUG.
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// The same, with more configuration.
    pub fn builder() -> Builder {
        Builder { module: true, module_arguments: String::new(), cluster: false, login: None, lines: Vec::new() }
    }

    /// A new connection (RESP2, database 0).
    #[track_caller]
    pub fn connect(&self) -> Conn {
        self.connect_with(self.settings())
    }

    /// A new connection that speaks RESP3.
    #[track_caller]
    pub fn connect_resp3(&self) -> Conn {
        self.connect_with(self.settings().set_protocol(ProtocolVersion::RESP3))
    }

    /// A new connection to another database.
    #[track_caller]
    pub fn connect_db(&self, db: i64) -> Conn {
        self.connect_with(self.settings().set_db(db))
    }

    pub(crate) fn settings(&self) -> RedisConnectionInfo {
        Login::settings(self.login.as_ref())
    }

    #[track_caller]
    fn connect_with(&self, settings: RedisConnectionInfo) -> Conn {
        Conn::open(self.port, settings).unwrap_or_else(|e| panic!("no connection: {e}\n{}", self.log_tail()))
    }

    /// For clients: `redis://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its working directory: dump, append-only files, log.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The server's log so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir().join("server.log")).unwrap_or_default()
    }

    /// How many clients wait in a blocking command, by the server's own count.
    #[must_use]
    pub fn blocked_clients(&self) -> i64 {
        self.connect().server_count("clients", "blocked_clients")
    }

    /// Whether the connection with this CLIENT ID waits in a blocking command.
    #[must_use]
    pub fn waits(&self, id: i64) -> bool {
        let line = self.connect().text(format!("CLIENT LIST ID {id}"));
        line.split(' ').find_map(|field| field.strip_prefix("flags=")).is_some_and(|flags| flags.contains('b'))
    }

    /// Whether the connection with this CLIENT ID is still there.
    #[must_use]
    pub fn has_client(&self, id: i64) -> bool {
        let prefix = format!("id={id} ");
        self.connect().text("CLIENT LIST").lines().any(|line| line.starts_with(&prefix))
    }

    /// Returns when exactly `n` clients wait.
    #[track_caller]
    pub fn until_blocked(&self, n: i64) {
        let mut c = self.connect();
        until(&format!("{n} clients wait"), || c.server_count("clients", "blocked_clients") == n);
    }

    /// Returns when this replica has applied all that `primary` has written.
    #[track_caller]
    pub fn until_in_step_with(&self, primary: &Self) {
        let (mut ours, mut theirs) = (self.connect(), primary.connect());
        until("the replica is in step", || {
            ours.server_info("replication", "master_link_status") == "up"
                && ours.server_count("replication", "slave_repl_offset")
                    == theirs.server_count("replication", "master_repl_offset")
        });
    }

    /// Ends it in good order (it saves first if save points are configured).
    ///
    /// # Panics
    /// If it does not end, or not well.
    pub fn stop(&mut self) {
        self.signal(Signal::TERM);
        let process = self.process.as_mut().expect("a running server");
        let status = eventually("the server ends", || process.try_wait().expect("a child can be asked"));
        self.process = None;
        assert!(status.success(), "the server ended with {status}:\n{}", self.log_tail());
    }

    /// Ends it as a power cut would.
    ///
    /// # Panics
    /// If it was not running.
    pub fn kill9(&mut self) {
        let mut process = self.process.take().expect("a running server");
        process.kill().expect("an own child can be killed");
        process.wait().expect("a killed child ends");
    }

    /// Starts a stopped or killed server again: same port, same directory, same configuration file.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again(&mut self) {
        assert!(self.process.is_none(), "it still runs");
        // A passing outgoing connection may hold the port for a moment.
        until("the server starts again", || self.launch());
    }

    /// [`start_again`](Self::start_again) on a host with another clock.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start_again_with(&mut self, clock: OtherClock) {
        self.clock = Some(clock);
        self.start_again();
    }

    /// Sets the clock that [`start_again_with`](Self::start_again_with) gave, while the server runs: so many seconds more
    /// than the host's.
    ///
    /// # Panics
    /// If it has no clock of its own.
    pub fn set_clock(&self, ahead_s: i64) {
        self.clock.as_ref().expect("a server with a clock of its own").set(ahead_s);
    }

    /// [`stop`](Self::stop) and [`start_again`](Self::start_again).
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Freezes the process, as a host that vanishes: its connections stay open and silent.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Ends [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Whether it ended without being asked to.
    ///
    /// # Panics
    /// Never, short of a lost child.
    pub fn has_died(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("a child can be asked").is_some())
    }

    /// Whether the server is Valkey.
    #[must_use]
    pub fn is_valkey(&self) -> bool {
        self.connect().text("INFO server").contains("server_name:valkey")
    }

    /// Major and minor version that the server is compatible with, as it says itself.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        let version = self.connect().server_info("server", "redis_version");
        let mut parts = version.split('.').map(|part| part.parse().expect("a version number"));
        (parts.next().expect("a major version"), parts.next().expect("a minor version"))
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running server");
        kill_process(Pid::from_child(process), signal).expect("an own child takes signals");
    }

    /// Starts the process and waits until it, and no other, answers at the port. False if it ended instead.
    fn launch(&mut self) -> bool {
        let binary = std::env::var_os("MQ_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(&binary);
        command.arg(self.config_file()).current_dir(self.dir());
        if let Some(clock) = &self.clock {
            clock.show_to(&mut command);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = die_with_parent(&mut command)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e} (MQ_SERVER names another server)", binary.display()));
        let pid = i64::from(process.id());
        // From here on a panic ends it too.
        self.process = Some(process);
        let answers = eventually("the server answers", || {
            if self.has_died() {
                return Some(false);
            }
            let mut c = Conn::open(self.port, self.settings()).ok()?;
            c.call("PING").ok()?; // an error while it loads
            Some(c.server_count("server", "process_id") == pid)
        });
        if !answers {
            // Somebody else has the port.
            self.kill9();
        }
        answers
    }

    /// The configuration file, which is the server's own once it has started: CONFIG REWRITE changes it.
    fn config_file(&self) -> PathBuf {
        self.dir().join("server.conf")
    }

    fn write_config(&self, builder: &Builder) {
        let mut lines = vec![
            format!("port {}", self.port),
            format!("dir {}", self.dir().display()),
            "bind 127.0.0.1".into(),
            "logfile server.log".into(),
            "save \"\"".into(),
            "appendonly no".into(),
            "enable-debug-command yes".into(),
            "repl-diskless-sync-delay 0".into(),
            // So that nothing but commands moves the replication offset.
            "repl-ping-replica-period 3600".into(),
            "shutdown-timeout 0".into(),
        ];
        if builder.module {
            let module = built("MQ_MODULE", &format!("libmq{}", std::env::consts::DLL_SUFFIX));
            lines.push(format!("loadmodule {} {}", module.display(), builder.module_arguments));
        }
        if builder.cluster {
            // The default, 10,000 above the port, may not exist.
            lines.extend(["cluster-enabled yes".into(), format!("cluster-port {}", free_port())]);
        }
        lines.extend(builder.lines.iter().cloned());
        fs::write(self.config_file(), lines.join("\n") + "\n").expect("the directory is writable");
    }

    fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        let died = process.try_wait().ok().flatten();
        if died.is_none() && patience() > 1 {
            end_in_good_order(&mut process);
        }
        let _ = process.kill();
        let _ = process.wait();
        if std::thread::panicking() {
            eprintln!("the server's log:\n{}", self.log_tail());
        } else if let Some(status) = died {
            panic!("the server died by itself, with {status}:\n{}", self.log_tail());
        }
    }
}

/// Gives a process time to report. It may be frozen, and need not succeed.
fn end_in_good_order(process: &mut Child) {
    let pid = Pid::from_child(process);
    let signalled = kill_process(pid, Signal::TERM).and_then(|()| kill_process(pid, Signal::CONT));
    let deadline = Instant::now() + DEADLINE;
    while signalled.is_ok() && Instant::now() < deadline && matches!(process.try_wait(), Ok(None)) {
        thread::sleep(Duration::from_millis(10));
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound address").port()
}
