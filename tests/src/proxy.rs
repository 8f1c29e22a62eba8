//! A network between client and server that can be cut.

use std::{
    io::{self, Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    thread::{self, JoinHandle},
    time::Duration,
};

/// Passes TCP connections on to a server of this host, until told otherwise. Dropped, it closes them all.
pub struct Proxy {
    port: u16,
    net: Arc<Net>,
    listening: Option<JoinHandle<()>>,
}

/// What all threads of one proxy know.
struct Net {
    state: Mutex<State>,
    /// Told when `state` changes, or a link is cut.
    changed: Condvar,
    /// `None`: connections last. Else each is cut after 1 … so many bytes.
    cut_within: Option<u64>,
}

struct State {
    target: u16,
    blocked: bool,
    /// How many bytes pass in a second, each way of each link; `None`: as many as come.
    bytes_per_second: Option<u32>,
    /// The longest answer that passes at once: of a longer one so much passes, and then nothing more on its link.
    longest_answer: Option<usize>,
    closed: bool,
    accepted: u64,
    links: Vec<(Weak<Link>, JoinHandle<()>)>,
    random: u64,
}

/// One connection through the proxy: both of its halves, and how much may still pass.
struct Link {
    client: TcpStream,
    server: OnceLock<TcpStream>,
    budget: Mutex<Budget>,
}

/// A direction.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// To the server.
    There,
    /// To the client.
    Back,
}

struct Budget {
    /// Bytes that may still be taken up, both directions together.
    left: u64,
    /// Bytes that were taken up and have not been passed on yet.
    in_hand: u64,
    cut: bool,
}

/// All panic when the system has no port or thread to give.
impl Proxy {
    /// Connections to [`port`](Self::port) are passed on to `target`, a port of this host.
    #[must_use]
    pub fn to(target: u16) -> Self {
        Self::start(target, None, 0)
    }

    /// The same, and each connection is closed after a number of bytes, counted over both directions, that `seed`
    /// chooses among 1 … `within_bytes`. Exactly so many have been passed on then: half a command, half an answer.
    #[must_use]
    pub fn cutting(target: u16, seed: u64, within_bytes: u64) -> Self {
        Self::start(target, Some(within_bytes.max(1)), seed)
    }

    fn start(target: u16, cut_within: Option<u64>, seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("a bound address").port();
        let random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let state = State {
            target,
            blocked: false,
            bytes_per_second: None,
            longest_answer: None,
            closed: false,
            accepted: 0,
            links: Vec::new(),
            random,
        };
        let net = Arc::new(Net { state: Mutex::new(state), changed: Condvar::new(), cut_within });
        let listening = {
            let net = Arc::clone(&net);
            spawn(port, move || net.listen(port, &listener))
        };
        Self { port, net, listening: Some(listening) }
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For clients: `redis://127.0.0.1:…`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// How many connections it has accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.net.state().accepted
    }

    /// Closes every connection through it, now.
    pub fn cut(&self) {
        self.net.cut();
    }

    /// A network that is down: connections stay open, no byte and no end of a connection passes, new ones hang.
    pub fn block(&self) {
        self.net.state().blocked = true;
    }

    /// The network is up again: what was sent meanwhile arrives, late, as TCP has it.
    pub fn unblock(&self) {
        self.net.state().blocked = false;
        self.net.changed.notify_all();
    }

    /// A slow network: from now on so many bytes pass in a second, each way of each connection.
    pub fn throttle(&self, bytes_per_second: u32) {
        self.net.state().bytes_per_second = Some(bytes_per_second.max(1));
    }

    /// From now on, where so many bytes or more come from the server in one go, so many pass, and then nothing more on that
    /// connection: an answer that stops half-way. It stays open, and what the client sends still passes.
    pub fn stop_answers_at(&self, bytes: usize) {
        self.net.state().longest_answer = Some(bytes);
    }

    /// Passes new connections on to another server; those that are open stay where they are.
    pub fn point_to(&self, target: u16) {
        self.net.state().target = target;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.net.state().closed = true;
        self.net.changed.notify_all();
        // Wakes the listening thread. If nobody listens any more, there is nobody to wake.
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        let panicked = self.listening.take().is_some_and(|listening| listening.join().is_err());
        self.net.cut();
        let links = std::mem::take(&mut self.net.state().links);
        let panicked = links.into_iter().fold(panicked, |any, (_, link)| link.join().is_err() || any);
        assert!(!panicked || thread::panicking(), "a thread of the proxy panicked");
    }
}

impl Net {
    /// The state is whole after each of its changes, so a panic elsewhere spoils nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn listen(self: &Arc<Self>, port: u16, listener: &TcpListener) {
        for client in listener.incoming() {
            let mut state = self.state();
            if state.closed {
                return;
            }
            let client = match client {
                // It was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
                client => client.expect("a listening socket accepts"),
            };
            state.accepted += 1;
            let left = self.cut_within.map_or(u64::MAX, |within| 1 + state.below(within));
            let budget = Mutex::new(Budget { left, in_hand: 0, cut: false });
            let link = Arc::new(Link { client, server: OnceLock::new(), budget });
            let (net, known) = (Arc::clone(self), Arc::downgrade(&link));
            let thread = spawn(port, move || net.run(port, &link));
            state.links.retain(|(_, thread)| !thread.is_finished());
            state.links.push((known, thread));
        }
    }

    /// One link from its beginning to its end. Whatever ends it, ends both halves.
    fn run(self: &Arc<Self>, port: u16, link: &Arc<Link>) {
        let Some(target) = self.once_open(link) else { return };
        // Nobody listens there: to the client, a connection that ends at once.
        let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { return };
        let server = link.server.get_or_init(|| server);
        let back = {
            let (net, link) = (Arc::clone(self), Arc::clone(link));
            spawn(port, move || {
                let server = link.server.get().expect("it was set before this thread began");
                net.pump(&link, server, &link.client, Way::Back);
            })
        };
        self.pump(link, &link.client, server, Way::There);
        back.join().expect("the way back does not panic");
    }

    /// Waits until the network is up; where it leads then. `None`: the link was cut.
    fn once_open(&self, link: &Link) -> Option<u16> {
        let mut state = self.state();
        loop {
            if state.closed || link.budget().cut {
                return None;
            }
            if !state.blocked {
                return Some(state.target);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Waits until the link is cut.
    fn until_cut(&self, link: &Link) {
        let mut state = self.state();
        while !state.closed && !link.budget().cut {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Passes on what `from` sends, and its end.
    fn pump(&self, link: &Link, mut from: &TcpStream, mut to: &TcpStream, way: Way) {
        let mut bytes = [0; 16 << 10];
        loop {
            let read = match from.read(&mut bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read,
            };
            if self.once_open(link).is_none() {
                break;
            }
            // An end and a broken end are passed on alike; what comes the other way still does.
            let Ok(n @ 1..) = read else {
                let _ = to.shutdown(Shutdown::Write);
                return;
            };
            self.take_time_for(n);
            let longest = self.state().longest_answer.filter(|longest| way == Way::Back && n >= *longest);
            if let Some(longest) = longest {
                let _ = to.write_all(&bytes[..longest]);
                return self.until_cut(link);
            }
            let n = link.take_up(n);
            if to.write_all(&bytes[..n]).is_err() || link.passed_on(n) {
                break;
            }
            if n == 0 {
                // The other direction has the last bytes in hand, and cuts.
                return;
            }
        }
        link.cut();
    }

    fn take_time_for(&self, bytes: usize) {
        let rate = self.state().bytes_per_second;
        if let Some(rate) = rate {
            thread::sleep(Duration::from_secs_f64(bytes as f64 / f64::from(rate)));
        }
    }

    fn cut(&self) {
        let state = self.state();
        state.links.iter().filter_map(|(link, _)| link.upgrade()).for_each(|link| link.cut());
        drop(state);
        self.changed.notify_all();
    }
}

impl State {
    /// xorshift64 (Marsaglia 2003), below `bound`.
    fn below(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }
}

impl Link {
    fn budget(&self) -> MutexGuard<'_, Budget> {
        self.budget.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of `n` bytes may be passed on.
    fn take_up(&self, n: usize) -> usize {
        let mut budget = self.budget();
        let taken = budget.left.min(n as u64);
        budget.left -= taken;
        budget.in_hand += taken;
        taken as usize
    }

    /// Notes that they were; whether they were the last ones.
    fn passed_on(&self, n: usize) -> bool {
        let mut budget = self.budget();
        budget.in_hand -= n as u64;
        budget.left == 0 && budget.in_hand == 0
    }

    /// Ends both halves. Either may have ended before, which is as good.
    fn cut(&self) {
        self.budget().cut = true;
        for half in std::iter::once(&self.client).chain(self.server.get()) {
            let _ = half.shutdown(Shutdown::Both);
        }
    }
}

/// A thread by whose name it can be told whose it is.
fn spawn(port: u16, work: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(format!("proxy {port}")).spawn(work).expect("a thread")
}
