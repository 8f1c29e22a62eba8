//! Mistakes that the engine could make, for the tests that prove that the simulation would notice. Without the feature
//! `faults` none of this is compiled, and every site is the constant `false`; the module never has the feature.

/// One mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A claim ends a millisecond after its lease.
    ClaimOutlivesLease,
    /// A message given back keeps the delivery.
    ReleaseCountsDelivery,
    /// A message that is returned waits behind those never claimed.
    ReturnedComeLast,
    /// Any token opens the fence.
    FenceStandsOpen,
    /// A number seen before is added again.
    SequenceRepeats,
    /// A term leaves the claims of connections that are gone.
    TermKeepsSessions,
    /// A term leaves the leader that it found.
    TermKeepsLeader,
    /// Copies are not told of the due work done beside a command that goes verbatim.
    DueWorkUnrecorded,
    /// A step that copies do not hear of moves the queue's time.
    TimeMovesUnrecorded,
    /// The last delivery is not the last.
    PoisonGoesRound,
    /// A drain that ends forgets its error.
    DrainLosesError,
    /// A group does not wait for its message that is claimed.
    GroupGoesOn,
    /// What the rate has used up is not saved.
    SaveForgetsRate,
    /// The last moment of a message does not count again when it comes back.
    TtlOnlyOnce,
    /// What a refused command found due it does.
    RefusalDoesDueWork,
    /// One message more than `max-length`.
    LengthOffByOne,
    /// A receipt names two claims of one step.
    ReceiptTwice,
    /// A queue that is loaded begins its tokens anew.
    LoadForgetsTokens,
    /// A claim of a session of an earlier term still counts until it is taken back.
    VoidClaimCounts,
    /// Copies are not told how little due work a step might do.
    DueLimitForgotten,
    /// Leases and delays follow a wall clock that is set ahead.
    WallMovesTime,
    /// The age of an error counts from the wall clock at its entry.
    ErrorsAgeByWall,
    /// Copies are not told what the wall clock shows.
    WallUnrecorded,
    /// A queue that is loaded takes the claims of connections that are gone for current ones.
    LoadForgetsVoid,
    /// A step that is joined to a record makes it forget the payloads that it has beside it.
    JoinForgetsPayloads,
}

#[cfg(feature = "faults")]
mod chosen {
    use super::Fault;
    use std::cell::Cell;

    thread_local! {
        static CHOSEN: Cell<Option<Fault>> = const { Cell::new(None) };
    }

    /// From now on this thread makes this mistake, or none.
    pub fn choose(fault: Option<Fault>) {
        CHOSEN.set(fault);
    }

    pub(crate) fn on(fault: Fault) -> bool {
        CHOSEN.get() == Some(fault)
    }

    impl Fault {
        /// Every one.
        pub const ALL: [Fault; 25] = [
            Fault::ClaimOutlivesLease,
            Fault::ReleaseCountsDelivery,
            Fault::ReturnedComeLast,
            Fault::FenceStandsOpen,
            Fault::SequenceRepeats,
            Fault::TermKeepsSessions,
            Fault::TermKeepsLeader,
            Fault::DueWorkUnrecorded,
            Fault::TimeMovesUnrecorded,
            Fault::PoisonGoesRound,
            Fault::DrainLosesError,
            Fault::GroupGoesOn,
            Fault::SaveForgetsRate,
            Fault::TtlOnlyOnce,
            Fault::RefusalDoesDueWork,
            Fault::LengthOffByOne,
            Fault::ReceiptTwice,
            Fault::LoadForgetsTokens,
            Fault::VoidClaimCounts,
            Fault::DueLimitForgotten,
            Fault::WallMovesTime,
            Fault::ErrorsAgeByWall,
            Fault::WallUnrecorded,
            Fault::LoadForgetsVoid,
            Fault::JoinForgetsPayloads,
        ];
    }
}

#[cfg(feature = "faults")]
pub use chosen::choose;
#[cfg(feature = "faults")]
pub(crate) use chosen::on;

#[cfg(not(feature = "faults"))]
#[inline(always)]
pub(crate) const fn on(_: Fault) -> bool {
    false
}
