//! The steps of a history, and how they are made up.

use mq_engine::*;
use proptest::prelude::*;

#[derive(Clone, Debug)]
pub enum Step {
    Push {
        payloads: Vec<Vec<u8>>,
        priority: u8,
        delay: u64,
        fence: Fence,
        sequence: Option<(u8, i8)>,
        label: Tags,
    },
    Claim {
        consumer: u8,
        count: usize,
        lease: Option<u64>,
        session: Option<u64>,
        acks: Vec<u8>,
    },
    Ack(Vec<u8>),
    Fail {
        receipt: u8,
        retry: Option<u64>,
        reason: u8,
    },
    Extend {
        lease: u64,
        receipts: Vec<u8>,
    },
    Release(Vec<u8>),
    Lead {
        candidate: u8,
        lease: Option<u64>,
        session: Option<u64>,
        renew: bool,
    },
    Resign(u8),
    Drain {
        count: Option<usize>,
        lease: Option<u64>,
        session: Option<u64>,
    },
    Redrive {
        count: Option<usize>,
        ids: Option<Vec<u8>>,
    },
    Remove(Vec<u8>),
    Purge {
        state: u8,
        count: usize,
    },
    Configure(Setting),
    RaiseFence {
        producer: u8,
        ahead: i64,
    },
    EndSession(u64),
    Settle,
    Term {
        skip: bool,
    },
    Reload,
    /// The next steps are one record.
    Together(u8),
    /// The wall clock is set so far ahead of the server's time, or to it.
    Wall(u64),
    /// From now on each step may do so many pieces of due work.
    Due(usize),
}

/// Which unique key, which group, which TTL.
pub type Tags = (Option<u8>, Option<u8>, Option<u64>);

#[derive(Clone, Copy, Debug)]
pub enum Fence {
    None,
    Current,
    Other(i64),
}

fn session() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![2 => Just(None), 1 => (1..4u64).prop_map(Some)]
}

fn lease() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![1 => Just(None), 3 => (1..200u64).prop_map(Some), 1 => Just(Some(5))]
}

fn receipts() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..6)
}

fn payloads() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let payload = prop_oneof![16 => 0..20usize, 2 => 3000..6000usize, 1 => 9000..20_000usize]
        .prop_flat_map(|length| any::<u8>().prop_map(move |byte| vec![byte; length]));
    prop::collection::vec(payload, 1..6)
}

fn setting() -> impl Strategy<Value = Setting> {
    prop_oneof![
        (1..500u64).prop_map(|lease| Setting::Lease(Span(lease))),
        (0..4u32).prop_map(Setting::MaxDeliveries),
        prop_oneof![Just(0), 1..60u64].prop_map(Setting::MaxLength),
        prop::bool::weighted(0.2).prop_map(Setting::Paused),
        prop::bool::weighted(0.2).prop_map(Setting::LeaderOnly),
        prop_oneof![Just(0), 1..200u64].prop_map(|keep| Setting::ErrorsKeep(Span(keep))),
        prop_oneof![2 => Just(0), 1 => 1..6u64].prop_map(Setting::MaxClaimed),
        prop_oneof![2 => Just(0), 1 => Just(7), 1 => Just(40), 1 => Just(5000)].prop_map(Setting::Rate),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let fence = prop_oneof![6 => Just(Fence::None), 2 => Just(Fence::Current), 1 => (-2..3i64).prop_map(Fence::Other)];
    let sequence = prop::option::weighted(0.3, (0..3u8, -3..3i8));
    let priority = prop_oneof![4 => Just(0u8), 1 => Just(9), 1 => Just(255)];
    let delay = prop_oneof![3 => Just(0u64), 1 => 1..100u64];
    let ttl = prop_oneof![2 => 1..100u64, 1 => 100..1000u64];
    let labelled = (prop::option::weighted(0.4, 0..4u8), prop::option::weighted(0.6, 0..3u8), prop::option::of(ttl));
    let label = prop_oneof![1 => Just((None, None, None)), 1 => labelled];
    let push = (payloads(), priority, delay, fence, sequence, label).prop_map(
        |(payloads, priority, delay, fence, sequence, label)| Step::Push {
            payloads,
            priority,
            delay,
            fence,
            sequence,
            label,
        },
    );
    let claim = (0..3u8, 1..5usize, lease(), session(), receipts())
        .prop_map(|(consumer, count, lease, session, acks)| Step::Claim { consumer, count, lease, session, acks });
    let fail = (any::<u8>(), prop::option::of(0..50u64), 0..3u8);
    let lead = (0..3u8, lease(), session(), any::<bool>());
    prop_oneof![
        6 => push,
        8 => claim,
        4 => receipts().prop_map(Step::Ack),
        4 => fail.prop_map(|(receipt, retry, reason)| Step::Fail { receipt, retry, reason }),
        2 => (0..100u64, receipts()).prop_map(|(lease, receipts)| Step::Extend { lease, receipts }),
        2 => receipts().prop_map(Step::Release),
        3 => lead.prop_map(|(candidate, lease, session, renew)| Step::Lead { candidate, lease, session, renew }),
        1 => (0..3u8).prop_map(Step::Resign),
        2 => (prop::option::of(1..3usize), lease(), session())
            .prop_map(|(count, lease, session)| Step::Drain { count, lease, session }),
        1 => (prop::option::of(1..3usize), prop::option::of(receipts()))
            .prop_map(|(count, ids)| Step::Redrive { count, ids }),
        1 => prop::collection::vec(any::<u8>(), 0..4).prop_map(Step::Remove),
        1 => (0..3u8, 1..4usize).prop_map(|(state, count)| Step::Purge { state, count }),
        2 => setting().prop_map(Step::Configure),
        1 => (0..3u8, -2..3i64).prop_map(|(producer, ahead)| Step::RaiseFence { producer, ahead }),
        2 => (1..4u64).prop_map(Step::EndSession),
        1 => Just(Step::Settle),
        1 => any::<bool>().prop_map(|skip| Step::Term { skip }),
        1 => Just(Step::Reload),
        1 => (2..6u8).prop_map(Step::Together),
        1 => prop_oneof![Just(0), 1..5000u64].prop_map(Step::Wall),
        1 => prop_oneof![1 => Just(DUE_PER_STEP), 2 => 0..6usize].prop_map(Step::Due),
    ]
}
