//! Longer leases for claims, and which of them were still there to be extended.

use std::time::Duration;

use tokio::time::Instant;

use super::running::Hold;
use crate::error::Result;
use crate::queue::{Queue, Receipt};

/// Gives each claim a whole `lease` from now, if it is current; which were, and how long those last.
pub(super) async fn extend(queue: &Queue, lease: Duration, receipts: &[Receipt]) -> Result<(Vec<bool>, Hold)> {
    let asked_at = Instant::now();
    if queue.extend(lease, receipts).await? == receipts.len() as u64 {
        return Ok((vec![true; receipts.len()], Hold::granted(asked_at, lease)));
    }
    // Some are over; the count does not tell which.
    let asked_at = Instant::now();
    let current = queue.extend_each(lease, receipts).await?;
    Ok((current, Hold::granted(asked_at, lease)))
}
