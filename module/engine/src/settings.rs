//! The settings of one queue.

use crate::Span;
use crate::codec::{Corrupt, Reader, Writer};

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
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { lease: Span(30_000), max_deliveries: 20, max_length: 0, paused: false, leader_only: false }
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
        }
    }

    /// Every setting with its value.
    pub fn all(&self) -> [Setting; 5] {
        [
            Setting::Lease(self.lease),
            Setting::MaxDeliveries(self.max_deliveries),
            Setting::MaxLength(self.max_length),
            Setting::Paused(self.paused),
            Setting::LeaderOnly(self.leader_only),
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
            _ => return Err(Corrupt("unknown setting")),
        });
    }
    Ok(settings)
}
