//! Telling what is wrong, without telling it all the time.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::Error;

/// Trouble that stays the same is told again after this time.
const AGAIN: Duration = Duration::from_secs(30);

/// The trouble of one loop that tries for ever.
#[derive(Debug, Default)]
pub struct Complaint {
    told: Option<(String, Instant)>,
}

impl Complaint {
    /// Nothing to complain about yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether `error` is worth a warning now: it is another one than the last, or that is half a minute ago.
    pub fn is_due(&mut self, error: &Error) -> bool {
        let (text, now) = (error.to_string(), Instant::now());
        if self.told.as_ref().is_some_and(|(told, at)| *told == text && now - *at < AGAIN) {
            return false;
        }
        self.told = Some((text, now));
        true
    }

    /// Notes that all is well: the next trouble is news again. Whether there was any that should be told the end of.
    pub fn is_over(&mut self) -> bool {
        self.told.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_same_trouble_is_told_twice_a_minute_and_another_one_at_once() {
        let mut complaint = Complaint::new();
        let [refused, silent] = [Error::Lost("refused".to_owned()), Error::Unanswered(Duration::from_secs(5))];
        assert!(complaint.is_due(&refused) && !complaint.is_due(&refused));
        assert!(complaint.is_due(&silent) && complaint.is_due(&refused));
        tokio::time::advance(AGAIN).await;
        assert!(complaint.is_due(&refused) && !complaint.is_due(&refused));
        assert!(complaint.is_over() && !complaint.is_over());
        assert!(complaint.is_due(&refused));
    }
}
