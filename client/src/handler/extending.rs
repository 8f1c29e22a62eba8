//! Longer leases for claims, and which of them were still there to be extended.

use std::time::Duration;

use tokio::time::Instant;

use super::running::Hold;
use crate::error::Result;
use crate::queue::{Queue, Receipt};

/// Gives each claim a whole `lease` from now, if it is current; which were, and how long those last.
pub(super) async fn extend(queue: &Queue, lease: Duration, receipts: &[Receipt]) -> Result<(Vec<bool>, Hold)> {
    let asked_at = Instant::now();
    let current = queue.extend_current(lease, receipts).await?;
    Ok((current, Hold::granted(asked_at, lease)))
}
