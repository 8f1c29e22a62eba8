//! MQ.CONFIG: the settings of a queue.

use mq_engine::Setting;
use mq_engine::operations::Configure;

use super::{Call, Command};
use crate::failure::Failure;
use crate::keyspace::Absent;
use crate::looking::look;
use crate::settings::{self, ROWS};
use crate::syntax::{Choice, KeyUse, Syntax};

/// `MQ.CONFIG queue [setting value ...]`
///
/// OK; without settings the map of them.
pub struct Config;

const SYNTAX: Syntax = Syntax {
    name: "MQ.CONFIG",
    summary: "Shows or changes the settings of a queue.",
    since: "0.1.0",
    complexity: "O(1)",
    flags: "write fast",
    key: KeyUse::ShowsAndUpdates,
    positions: &[],
    options: &[
        Choice::new(ROWS[0].name, &[ROWS[0].argument]),
        Choice::new(ROWS[1].name, &[ROWS[1].argument]),
        Choice::new(ROWS[2].name, &[ROWS[2].argument]),
        Choice::new(ROWS[3].name, &[ROWS[3].argument]),
        Choice::new(ROWS[4].name, &[ROWS[4].argument]),
        Choice::new(ROWS[5].name, &[ROWS[5].argument]),
        Choice::new(ROWS[6].name, &[ROWS[6].argument]),
        Choice::new(ROWS[7].name, &[ROWS[7].argument]),
    ],
    one_of: None,
};

impl Command for Config {
    const SYNTAX: &'static Syntax = &SYNTAX;

    fn run(call: &Call<'_>) -> Result<(), Failure> {
        let given = ROWS.iter().filter_map(|row| call.number(row.slot(&SYNTAX)).map(row.make));
        let settings: Vec<Setting> = given.collect();
        if settings.is_empty() {
            return show(call);
        }
        call.change(|queue| {
            queue.step(&Configure { settings: &settings }, Absent::CreateUnlessFull)?;
            call.reply().status(c"OK");
            Ok(())
        })
    }
}

fn show(call: &Call<'_>) -> Result<(), Failure> {
    let settings = look(call.context, call.queue, |queue, _| queue.settings().clone())?;
    call.reply().map(ROWS.len());
    settings::reply(call.reply(), &settings.unwrap_or_else(settings::defaults));
    Ok(())
}
