//! What a message costs the server: MQ beside lists and Streams, in the same run, as ratios.
//!
//! Each case is timed by the server's own accounting (CPU seconds of the process, INFO cpu), over several rounds in
//! which the cases take turns, so that a noisy machine disturbs them alike; medians are printed. One connection, 100
//! commands in a pipeline, 8 bytes of payload, no persistence unless asked for.
//!
//! `bench [--messages N] [--rounds N] [--aof]`

use mq_tests::{Server, median};
use redis::{Client, Connection, Pipeline, Value, cmd, pipe};
use std::time::Duration;

/// Commands per pipeline.
const DEPTH: usize = 100;

const PAYLOAD: &[u8] = b"12345678";

fn main() {
    let (mut messages, mut rounds, mut aof) = (200_000, 5, false);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || words.next().and_then(|n| n.parse().ok()).unwrap_or_else(usage);
        match word.as_str() {
            "--messages" => messages = number(),
            "--rounds" => rounds = number(),
            "--aof" => aof = true,
            _ => usage(),
        }
    }
    let server = Server::builder().config(if aof { "appendonly yes" } else { "appendonly no" }).start();
    let mut bench = Bench::new(&server);
    println!("{}", bench.machine(aof));
    for batch in [1, 10] {
        bench.compare(&format!("push, {batch} a command"), messages, rounds, &push_cases(batch));
        bench.compare(&format!("push, take, complete, {batch} a command"), messages / 2, rounds, &cycle_cases(batch));
    }
}

fn usage<T>() -> T {
    eprintln!("usage: bench [--messages N] [--rounds N] [--aof]");
    std::process::exit(2)
}

/// One way of doing it: its name, and what does `messages` of them.
type Case = (&'static str, Run);
type Run = Box<dyn Fn(&mut Connection, usize)>;

/// The first case of each list is what the others are compared with.
fn push_cases(batch: usize) -> Vec<Case> {
    let with = move |words: &'static [&'static str]| move |pipe: &mut Pipeline| add(pipe, words, batch);
    vec![
        ("LPUSH", repeat(batch, with(&["LPUSH", "k"]))),
        ("MQ.PUSH", repeat(batch, with(&["MQ.PUSH", "k", "MSG"]))),
        ("XADD", repeat(1, xadd)),
    ]
}

fn cycle_cases(batch: usize) -> Vec<Case> {
    vec![
        ("LPUSH, RPOP (a crash loses)", Box::new(move |c, messages| list_cycle(c, messages, batch))),
        ("MQ.PUSH, MQ.CLAIM, MQ.ACK", Box::new(move |c, messages| mq_cycle(c, messages, batch))),
        ("XADD, XREADGROUP, XACK, XDEL", Box::new(move |c, messages| stream_cycle(c, messages, batch))),
    ]
}

/// A case of one command for `batch` messages.
fn repeat(batch: usize, command: impl Fn(&mut Pipeline) + 'static) -> Run {
    Box::new(move |connection, messages| {
        in_pipelines(messages / batch, |count| {
            let mut pipe = pipe();
            (0..count).for_each(|_| command(&mut pipe));
            ask(connection, &pipe);
        });
    })
}

fn add(pipe: &mut Pipeline, words: &[&str], batch: usize) {
    pipe.cmd(words[0]);
    words[1..].iter().for_each(|word| {
        pipe.arg(word);
    });
    (0..batch).for_each(|_| {
        pipe.arg(PAYLOAD);
    });
}

fn xadd(pipe: &mut Pipeline) {
    pipe.cmd("XADD").arg("k").arg("*").arg("f").arg(PAYLOAD);
}

fn in_pipelines(commands: usize, mut run: impl FnMut(usize)) {
    let mut left = commands;
    while left > 0 {
        run(left.min(DEPTH));
        left = left.saturating_sub(DEPTH);
    }
}

fn ask(connection: &mut Connection, pipe: &Pipeline) -> Vec<Value> {
    pipe.query(connection).expect("the server accepts the benchmark's commands")
}

fn list_cycle(connection: &mut Connection, messages: usize, batch: usize) {
    in_pipelines(messages / batch, |count| {
        let mut push = pipe();
        (0..count).for_each(|_| add(&mut push, &["LPUSH", "k"], batch));
        ask(connection, &push);
        let mut pop = pipe();
        (0..count).for_each(|_| {
            pop.cmd("RPOP").arg("k").arg(batch);
        });
        ask(connection, &pop);
    });
}

fn mq_cycle(connection: &mut Connection, messages: usize, batch: usize) {
    in_pipelines(messages / batch, |count| {
        let mut push = pipe();
        (0..count).for_each(|_| add(&mut push, &["MQ.PUSH", "k", "MSG"], batch));
        ask(connection, &push);
        let mut claim = pipe();
        (0..count).for_each(|_| {
            claim.cmd("MQ.CLAIM").arg("k").arg("worker").arg("COUNT").arg(batch);
        });
        let claims = ask(connection, &claim);
        let mut ack = pipe();
        for claimed in &claims {
            ack.cmd("MQ.ACK").arg("k");
            first_of_each(claimed).for_each(|receipt| {
                ack.arg(receipt);
            });
        }
        ask(connection, &ack);
    });
}

fn stream_cycle(connection: &mut Connection, messages: usize, batch: usize) {
    in_pipelines(messages / batch, |count| {
        let mut push = pipe();
        (0..count * batch).for_each(|_| xadd(&mut push));
        ask(connection, &push);
        let mut claim = pipe();
        (0..count).for_each(|_| {
            claim.cmd("XREADGROUP").arg("GROUP").arg("g").arg("worker").arg("COUNT").arg(batch);
            claim.arg("STREAMS").arg("k").arg(">");
        });
        let claims = ask(connection, &claim);
        let mut done = pipe();
        for claimed in &claims {
            let Value::Array(streams) = claimed else { panic!("XREADGROUP answered {claimed:?}") };
            let Some(Value::Array(stream)) = streams.first() else { panic!("no stream") };
            let ids: Vec<Vec<u8>> = first_of_each(&stream[1]).collect();
            done.cmd("XACK").arg("k").arg("g");
            ids.iter().for_each(|id| {
                done.arg(id);
            });
            done.cmd("XDEL").arg("k");
            ids.iter().for_each(|id| {
                done.arg(id);
            });
        }
        ask(connection, &done);
    });
}

/// The receipt or entry id with which each row begins.
fn first_of_each(rows: &Value) -> impl Iterator<Item = Vec<u8>> {
    let Value::Array(rows) = rows else { panic!("rows were expected, not {rows:?}") };
    rows.iter().map(|row| match row {
        Value::Array(row) => match &row[0] {
            Value::Int(receipt) => receipt.to_string().into_bytes(),
            Value::BulkString(id) => id.clone(),
            other => panic!("a receipt or an id was expected, not {other:?}"),
        },
        other => panic!("a row was expected, not {other:?}"),
    })
}

struct Bench<'a> {
    server: &'a Server,
    connection: Connection,
}

impl<'a> Bench<'a> {
    fn new(server: &'a Server) -> Bench<'a> {
        let client = Client::open(server.url()).expect("an address");
        Bench { server, connection: client.get_connection().expect("a connection") }
    }

    fn machine(&self, aof: bool) -> String {
        let mut c = self.server.connect();
        let version = c.server_info("server", "redis_version");
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let durability = if aof { "appendonly yes, everysec" } else { "no persistence" };
        format!("server {version}, {cores} cores, {durability}; CPU of the server per message, median of rounds")
    }

    /// CPU of the server so far.
    fn cpu(&self) -> Duration {
        let mut c = self.server.connect();
        let field = |c: &mut mq_tests::Conn, name| c.server_info("cpu", name).parse::<f64>().expect("seconds");
        Duration::from_secs_f64(field(&mut c, "used_cpu_user_main_thread") + field(&mut c, "used_cpu_sys_main_thread"))
    }

    fn compare(&mut self, title: &str, messages: usize, rounds: usize, cases: &[Case]) {
        let mut spent: Vec<Vec<Duration>> = vec![Vec::new(); cases.len()];
        for _ in 0..rounds {
            for (index, (_, run)) in cases.iter().enumerate() {
                cmd("FLUSHALL").exec(&mut self.connection).expect("FLUSHALL");
                if title.contains("take") && index == 2 {
                    let group = ["CREATE", "k", "g", "$", "MKSTREAM"];
                    cmd("XGROUP").arg(&group).exec(&mut self.connection).expect("XGROUP");
                }
                let before = self.cpu();
                run(&mut self.connection, messages);
                spent[index].push(self.cpu().saturating_sub(before) / u32::try_from(messages).expect("a few"));
            }
        }
        println!("\n{title}");
        let medians: Vec<Duration> = spent.into_iter().map(median).collect();
        for ((name, _), time) in cases.iter().zip(&medians) {
            let ratio = time.as_secs_f64() / medians[0].as_secs_f64();
            println!("  {name:<30} {:>6} ns  {ratio:>5.2}", time.as_nanos());
        }
    }
}
