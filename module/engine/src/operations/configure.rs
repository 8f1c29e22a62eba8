//! CONFIG: the settings of the queue.

use super::replay_operation;
use crate::codec::{Corrupt, Reader, Writer};
use crate::operation::Operation;
use crate::settings::{decode_settings, encode_settings};
use crate::{Moment, Queue, Setting};

/// Puts settings to new values, in this order.
#[derive(Clone, Debug)]
pub struct Configure<'a> {
    /// Those to change.
    pub settings: &'a [Setting],
}

impl Operation for Configure<'_> {
    type Output = ();
    const TAG: u8 = 11;

    fn apply(&self, queue: &mut Queue) {
        let rate = queue.settings.rate;
        self.settings.iter().for_each(|setting| queue.settings.set(*setting));
        if queue.settings.rate != rate {
            queue.pace.change(rate, queue.settings.rate, queue.now);
        }
    }

    fn changed((): &()) -> bool {
        true
    }

    fn encode(&self, out: &mut Writer) {
        encode_settings(self.settings, out);
    }
}

pub(super) fn replay(queue: &mut Queue, moment: &Moment, reader: &mut Reader<'_>) -> Result<(), Corrupt> {
    let settings = decode_settings(reader)?;
    replay_operation(&Configure { settings: &settings }, queue, moment);
    Ok(())
}
