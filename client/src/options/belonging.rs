//! Which of the options that stand before or after the subcommand belong to which: the others are hidden from its help,
//! and refused.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command};

/// What everything takes that talks to a server. Options are named here as their fields are.
const SERVER: [&str; 2] = ["redis", "queue"];
/// A peer takes all but these.
const NOT_OF_PEERS: [&str; 2] = ["format", "watch"];
/// What the demo, which has a server of its own, hands on to its peers.
const DEMO: [&str; 8] =
    ["queue", "max_backlog", "concurrency", "lease", "handler_delay", "retries", "backoff", "ledger"];

/// Whether an option belongs to a subcommand; `None`: to a peer.
fn belongs(option: &str, subcommand: Option<&str>) -> bool {
    match subcommand {
        None => !NOT_OF_PEERS.contains(&option),
        Some("getErrors") => SERVER.contains(&option) || ["lease", "format"].contains(&option),
        Some("errors") => SERVER.contains(&option) || option == "format",
        Some("stats") => SERVER.contains(&option) || ["format", "watch"].contains(&option),
        Some("demo") => DEMO.contains(&option),
        // A new subcommand says above what it takes; help takes nothing.
        Some(_) => false,
    }
}

/// The command with each option hidden where it does not belong, and numbers below 0 taken for what they are.
pub(super) fn sorted(command: Command) -> Command {
    let command = with_negative_numbers(command);
    let globals: Vec<Arg> = command.get_arguments().filter(|option| option.is_global_set()).cloned().collect();
    command.mut_args(|option| shown_for(None, option)).mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        // Its own copy of a global option takes the place of the one that clap would give it; further subcommands
        // get theirs from here.
        subcommand.args(globals.iter().map(|option| shown_for(Some(&name), option.clone())))
    })
}

fn shown_for(subcommand: Option<&str>, option: Arg) -> Arg {
    let belongs = belongs(option.get_id().as_str(), subcommand);
    option.hide(!belongs)
}

fn with_negative_numbers(command: Command) -> Command {
    // Without that, -1 would be an unknown option, and no value that is out of range.
    let taking = |option: Arg| match option.get_action().takes_values() {
        true => option.allow_negative_numbers(true),
        false => option,
    };
    command.mut_args(taking).mut_subcommands(with_negative_numbers)
}

/// Errors: an option was given that does not belong to what is to be done; where it does belong.
pub(super) fn check(command: &mut Command, given: &ArgMatches) -> Result<(), clap::Error> {
    let subcommand = given.subcommand_name();
    let foreign = command.get_arguments().find(|option| {
        let id = option.get_id().as_str();
        option.is_global_set() && !belongs(id, subcommand) && given.value_source(id) == Some(ValueSource::CommandLine)
    });
    let Some(foreign) = foreign else { return Ok(()) };
    let (id, long) = (foreign.get_id().as_str(), foreign.get_long().unwrap_or_default());
    let peer = belongs(id, None).then(|| "a peer (no subcommand)".to_owned());
    let others = command.get_subcommands().map(Command::get_name).filter(|name| belongs(id, Some(name)));
    let owners: Vec<String> = peer.into_iter().chain(others.map(str::to_owned)).collect();
    let whom = subcommand.unwrap_or("a peer");
    let refusal = format!("{whom} does not take --{long}, which is for {}", owners.join(", "));
    command.build();
    let place = match subcommand {
        Some(name) => command.find_subcommand_mut(name),
        None => None,
    };
    Err(match place {
        Some(subcommand) => subcommand.error(ErrorKind::ArgumentConflict, refusal),
        None => command.error(ErrorKind::ArgumentConflict, refusal),
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use crate::options::Options;

    /// Every option that stands before or after the subcommand, with a value, and who takes it.
    const OPTIONS: [(&str, &[&str]); 16] = [
        ("--redis redis://elsewhere", &["", "getErrors", "errors", "errors redrive --all", "stats"]),
        ("--queue q", &["", "getErrors", "errors", "errors redrive --all", "stats", "demo"]),
        ("--role handler", &[""]),
        ("--any-queue", &[""]),
        ("--interval 1s", &[""]),
        ("--limit 5", &[""]),
        ("--max-backlog 5", &["", "demo"]),
        ("--concurrency 5", &["", "demo"]),
        ("--lease 5s", &["", "getErrors", "demo"]),
        ("--name me", &[""]),
        ("--handler-delay 5ms", &["", "demo"]),
        ("--retries 5", &["", "demo"]),
        ("--backoff 1s..2s", &["", "demo"]),
        ("--ledger key", &["", "demo"]),
        ("--format json", &["getErrors", "errors", "errors redrive --all", "stats"]),
        ("--watch", &["stats"]),
    ];

    #[test]
    fn an_option_belongs_to_some_commands_and_is_refused_by_the_others() {
        let commands = ["", "getErrors", "errors", "errors redrive --all", "stats", "demo"];
        for ((option, takers), command) in OPTIONS.iter().flat_map(|row| commands.map(|command| (row, command))) {
            let long = option.split(' ').next().unwrap();
            for line in [format!("client {option} {command}"), format!("client {command} {option}")] {
                match (Options::from_words(line.split_whitespace()), takers.contains(&command)) {
                    (Ok(_), true) => {}
                    (Err(refusal), false) => {
                        let name = command.split(' ').next().filter(|name| !name.is_empty()).unwrap_or("a peer");
                        let words = format!("{name} does not take {long}, which is for ");
                        let refusal = refusal.to_string();
                        assert!(refusal.contains(&words) && !refusal.contains(", help"), "{line}: {refusal}");
                    }
                    (Ok(_), false) => panic!("taken: {line}"),
                    (Err(refusal), true) => panic!("{line}: {refusal}"),
                }
            }
            let help = format!("client {} --help", command.replace("--all", ""));
            let help = Options::from_words(help.split_whitespace()).unwrap_err().to_string();
            let shown = help.lines().any(|line| line.trim().split([' ', '=']).next() == Some(long));
            assert_eq!(shown, takers.contains(&command), "{long} in the help of {command:?}");
        }
        let known = Options::command().get_arguments().filter(|option| option.is_global_set()).count();
        assert_eq!(known, OPTIONS.len(), "a new option needs a row");
    }
}
