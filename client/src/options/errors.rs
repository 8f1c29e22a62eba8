//! The options of `client errors`.

use clap::{Args, Subcommand};

use super::at_least;
use crate::list_errors::Chosen;
use crate::queue::Id;

/// Options of `errors`.
#[derive(Clone, Debug, Args)]
pub struct Errors {
    /// List no more than N, those with the smallest ids
    #[arg(long, value_name = "N", value_parser = at_least(1..))]
    pub count: Option<u64>,
    /// What to do instead of listing.
    #[command(subcommand)]
    pub action: Option<ErrorsAction>,
}

/// What can be done with errors besides listing them.
#[derive(Clone, Debug, Subcommand)]
pub enum ErrorsAction {
    /// Makes failed messages ready again, as if they had never been delivered
    Redrive(Which),
}

/// Which failed messages are made ready again.
#[derive(Clone, Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// All of them
    #[arg(long)]
    pub all: bool,
    /// These, as `client errors` lists them
    #[arg(value_name = "ID", value_parser = at_least(0..))]
    pub ids: Vec<u64>,
}

impl From<&Which> for Chosen {
    /// Ids that were named twice count once.
    fn from(which: &Which) -> Self {
        if which.all {
            return Self::All;
        }
        let mut ids: Vec<Id> = which.ids.iter().copied().map(Id).collect();
        ids.sort_unstable();
        ids.dedup();
        Self::Ids(ids)
    }
}
