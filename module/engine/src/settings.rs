//! The settings of one queue.

use crate::Span;
use crate::codec::{Corrupt, Reader, Writer};
use crate::pace::FASTEST;

/// What `MQ.CONFIG` sets. Copied from the server's defaults when the queue is created and part of its state from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long a claim or a leadership holds that names no lease of its own. At least 1 ms.
    pub lease: Span,
    /// A claim that ends with this many deliveries sends its message to the error store; 0: no limit.
    pub max_deliveries: u32,
    /// The most messages, in all states together, that PUSH may bring the queue to; 0: no limit.
    pub max_length: u64,
    /// While true nothing is claimed.
    pub paused: bool,
    /// While true a PUSH without a fencing token is refused.
    pub leader_only: bool,
    /// An errored message is kept for so long, then it is dropped; 0: for ever.
    pub errors_keep: Span,
    /// The most messages that are claimed at once, over all consumers; 0: no limit.
    pub max_claimed: u64,
    /// The most claims per second, over all consumers, at most 1,000,000; 0: no limit. See `pace`.
    pub rate: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            lease: Span(30_000),
            max_deliveries: 20,
            max_length: 0,
            paused: false,
            leader_only: false,
            errors_keep: Span(0),
            max_claimed: 0,
            rate: 0,
        }
    }
}

/// One setting with its new value. To add a setting: a field above, a variant here, a line in each `match` of this
/// file, a row in the module's table of settings, and one in its reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// See [`Settings::lease`].
    Lease(Span),
    /// See [`Settings::max_deliveries`].
    MaxDeliveries(u32),
    /// See [`Settings::max_length`].
    MaxLength(u64),
    /// See [`Settings::paused`].
    Paused(bool),
    /// See [`Settings::leader_only`].
    LeaderOnly(bool),
    /// See [`Settings::errors_keep`].
    ErrorsKeep(Span),
    /// See [`Settings::max_claimed`].
    MaxClaimed(u64),
    /// See [`Settings::rate`].
    Rate(u32),
}

impl Settings {
    /// Puts one setting to its new value.
    pub fn set(&mut self, setting: Setting) {
        match setting {
            Setting::Lease(lease) => self.lease = Span(lease.0.max(1)),
            Setting::MaxDeliveries(limit) => self.max_deliveries = limit,
            Setting::MaxLength(limit) => self.max_length = limit,
            Setting::Paused(paused) => self.paused = paused,
            Setting::LeaderOnly(leader_only) => self.leader_only = leader_only,
            Setting::ErrorsKeep(keep) => self.errors_keep = keep,
            Setting::MaxClaimed(limit) => self.max_claimed = limit,
            Setting::Rate(rate) => self.rate = rate.min(FASTEST),
        }
    }

    /// Every setting with its value.
    pub fn all(&self) -> [Setting; 8] {
        [
            Setting::Lease(self.lease),
            Setting::MaxDeliveries(self.max_deliveries),
            Setting::MaxLength(self.max_length),
            Setting::Paused(self.paused),
            Setting::LeaderOnly(self.leader_only),
            Setting::ErrorsKeep(self.errors_keep),
            Setting::MaxClaimed(self.max_claimed),
            Setting::Rate(self.rate),
        ]
    }

    pub(crate) fn encode(&self, out: &mut Writer) {
        encode_settings(&self.all(), out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<Settings, Corrupt> {
        let mut settings = Settings::default();
        decode_settings(reader)?.into_iter().for_each(|setting| settings.set(setting));
        Ok(settings)
    }
}

/// As pairs of tag and value, so that a later version can have more of them.
pub(crate) fn encode_settings(settings: &[Setting], out: &mut Writer) {
    out.number(settings.len() as u64);
    for setting in settings {
        let (tag, value) = match *setting {
            Setting::Lease(lease) => (1, lease.0),
            Setting::MaxDeliveries(limit) => (2, limit.into()),
            Setting::MaxLength(limit) => (3, limit),
            Setting::Paused(paused) => (4, paused.into()),
            Setting::LeaderOnly(leader_only) => (5, leader_only.into()),
            Setting::ErrorsKeep(keep) => (6, keep.0),
            Setting::MaxClaimed(limit) => (7, limit),
            Setting::Rate(rate) => (8, rate.into()),
        };
        out.number(tag);
        out.number(value);
    }
}

pub(crate) fn decode_settings(reader: &mut Reader<'_>) -> Result<Vec<Setting>, Corrupt> {
    let mut settings = Vec::new();
    for _ in 0..reader.number()? {
        let (tag, value) = (reader.number()?, reader.number()?);
        settings.push(match tag {
            1 if value > 0 => Setting::Lease(Span(value)),
            2 => Setting::MaxDeliveries(u32::try_from(value).map_err(|_| Corrupt("max-deliveries above its limit"))?),
            3 => Setting::MaxLength(value),
            4 if value <= 1 => Setting::Paused(value == 1),
            5 if value <= 1 => Setting::LeaderOnly(value == 1),
            6 => Setting::ErrorsKeep(Span(value)),
            7 => Setting::MaxClaimed(value),
            8 if value <= u64::from(FASTEST) => Setting::Rate(value as u32),
            _ => return Err(Corrupt("unknown setting")),
        });
    }
    Ok(settings)
}
