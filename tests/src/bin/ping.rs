//! Sends a PING each millisecond on one connection until its input ends, then writes four times in microseconds: the longest
//! reply, the longest time for which the server was at work during one reply, and what 99.9 % and 99 % of the replies took
//! at most.
//!
//! `ping PORT PID`, of the server. It is a process of its own, so that no thread of a test delays it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use mq_tests::CpuClock;

/// Time from one PING to the next.
const PERIOD: Duration = Duration::from_millis(1);

fn main() {
    let words: Vec<i32> = std::env::args().skip(1).filter_map(|word| word.parse().ok()).collect();
    let &[port, pid] = words.as_slice() else {
        eprintln!("usage: ping PORT PID");
        std::process::exit(2)
    };
    let port = u16::try_from(port).expect("a port");
    let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a server at that port");
    stream.set_nodelay(true).expect("a socket option");
    let clock = CpuClock::of(pid);
    let over = end_of_input();
    ping(&mut stream);
    println!("ready");
    let mut times = Times::default();
    while !over.load(Ordering::Relaxed) {
        let (work, started) = (clock.and_then(CpuClock::now), Instant::now());
        ping(&mut stream);
        let waited = started.elapsed();
        let worked = clock.and_then(CpuClock::now).zip(work).map(|(after, before)| after.saturating_sub(before));
        times.add(waited, worked.unwrap_or(waited));
        thread::sleep(PERIOD.saturating_sub(started.elapsed()));
    }
    let [worst, at_work, p999, p99] = times.summary().map(|time| time.as_micros());
    println!("{worst} {at_work} {p999} {p99}");
}

/// Becomes true when the input ends.
fn end_of_input() -> Arc<AtomicBool> {
    let over = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&over);
    thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        told.store(true, Ordering::Relaxed);
    });
    over
}

fn ping(stream: &mut TcpStream) {
    let mut reply = [0; 7];
    stream.write_all(b"PING\r\n").expect("an open connection");
    stream.read_exact(&mut reply).expect("an open connection");
    assert_eq!(&reply, b"+PONG\r\n");
}

#[derive(Default)]
struct Times {
    waited: Vec<Duration>,
    at_work: Duration,
}

impl Times {
    fn add(&mut self, waited: Duration, worked: Duration) {
        self.at_work = self.at_work.max(worked.min(waited));
        // A PING that should have been sent during this one would have waited for the rest: without these a long stall would
        // count as one slow reply.
        let missed =
            std::iter::successors(Some(waited), |left| left.checked_sub(PERIOD).filter(|left| !left.is_zero()));
        self.waited.extend(missed);
    }

    fn summary(&mut self) -> [Duration; 4] {
        self.waited.sort_unstable();
        let count = self.waited.len();
        let at = |per_mille: usize| self.waited.get((count * per_mille / 1000).min(count.saturating_sub(1)));
        let [worst, p999, p99] = [1000, 999, 990].map(|per_mille| at(per_mille).copied().unwrap_or_default());
        [worst, self.at_work, p999, p99]
    }
}
