//! A queue, its copy, and a clock that only the test moves.

use mq_engine::operations::*;
use mq_engine::*;

/// A queue at a clock that only the test moves.
pub struct Bench {
    pub queue: Queue,
    pub now: u64,
    pub term: Option<TermStart>,
    pub copy: Option<Queue>,
    /// The payloads of the last push, which may travel beside its effect.
    pub beside: Vec<Vec<u8>>,
}

impl Bench {
    pub fn new() -> Bench {
        let term = Some(TermStart { floor: 1, skip: 0 });
        Bench { queue: Queue::new(Settings::default()), now: 1_000_000, term, copy: None, beside: vec![] }
    }

    pub fn configured(settings: &[Setting]) -> Bench {
        let mut bench = Bench::new();
        bench.run(&Configure { settings });
        bench
    }

    pub fn try_run<O: Operation>(&mut self, operation: &O) -> Result<(O::Output, Record), Refusal> {
        let moment = Moment { term: self.term.take(), ..Moment::at(Time(self.now)) };
        let executed = self.queue.execute(operation, moment)?;
        match &executed.record {
            Record::Nothing => {}
            Record::Verbatim => {
                self.copy.as_mut().expect("created by an effect").apply(operation);
            }
            Record::Effect(effect) => {
                let beside: Vec<&[u8]> = self.beside.iter().map(Vec::as_slice).collect();
                let beside = if effect.payloads_apart { &beside[..] } else { &[] };
                apply_record(&mut self.copy, &effect.bytes, beside).expect("a copy understands");
            }
        }
        self.queue.check_invariants().expect("invariants");
        Ok((executed.output, executed.record))
    }

    pub fn run<O: Operation>(&mut self, operation: &O) -> O::Output {
        self.try_run(operation).expect("not refused").0
    }

    pub fn push(&mut self, payloads: &[&[u8]]) -> Id {
        self.beside = payloads.iter().map(|payload| payload.to_vec()).collect();
        self.run(&plain(payloads)).first.expect("new messages have an id")
    }

    pub fn claim(&mut self, count: usize, lease: u64) -> Vec<Delivery> {
        self.run(&claim(count, lease, None)).deliveries
    }
}

pub fn plain<'a>(payloads: &'a [&'a [u8]]) -> Push<'a> {
    Push { delay: None, priority: Priority(0), fence: None, sequence: None, label: Label::default(), payloads }
}

pub fn claim(count: usize, lease: u64, session: Option<SessionId>) -> Claim<'static> {
    Claim { consumer: b"w", count, lease: Some(Span(lease)), session, acks: &[] }
}

pub fn chunks(queue: &Queue) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    queue.encode(&mut |chunk| chunks.push(chunk.to_vec()));
    chunks
}

pub fn load(chunks: &[Vec<u8>]) -> Result<Queue, Corrupt> {
    let mut decoder = Decoder::default();
    chunks.iter().try_for_each(|chunk| decoder.feed(chunk))?;
    decoder.finish()
}

/// A queue with something of everything in it.
pub fn varied() -> Bench {
    let mut bench = Bench::configured(&[Setting::MaxDeliveries(3)]);
    bench.push(&[b"a", b"b", b"c", b"d", b"e", b"f", b"g", b"h"]);
    bench.run(&Push { priority: Priority(3), delay: Some(Span(500)), ..plain(&[b"later", b"later still"]) });
    bench.run(&Push { priority: Priority(3), ..plain(&[b"high"]) });
    let sequence = Some(Sequence { producer: b"p", first: 5 });
    bench.run(&Push { sequence, ..plain(&[b"numbered"]) });
    let claims = bench.run(&claim(6, 5000, Some(SessionId(3)))).deliveries;
    bench.run(&Ack { receipts: &[claims[0].receipt] });
    bench.run(&Release { receipts: &[claims[1].receipt] });
    for failed in &claims[2..4] {
        bench.run(&Fail { receipt: failed.receipt, retry: None, reason: b"broken" });
    }
    bench.run(&Fail { receipt: claims[4].receipt, retry: Some(Span(70)), reason: b"" });
    bench.run(&DrainErrors { count: 1, lease: Some(Span(900)), session: None });
    bench.run(&Lead { candidate: b"c", lease: None, session: Some(SessionId(3)), renew: None });
    bench
}
