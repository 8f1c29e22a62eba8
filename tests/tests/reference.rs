//! The command reference says what the server does: its examples run as shown, and its syntax lines, tables, limits and costs are
//! those that the server states of itself.

use std::collections::{BTreeMap, BTreeSet};

use mq_tests::{Conn, Document, Fields, Server, Value, every_state, run_example, text_of};

const REFERENCE: &str = "module/COMMANDS.md";

/// The commands in the order of the reference. `MQ.APPLY` is between servers.
const COMMANDS: [&str; 15] = [
    "MQ.PUSH",
    "MQ.CLAIM",
    "MQ.ACK",
    "MQ.FAIL",
    "MQ.EXTEND",
    "MQ.RELEASE",
    "MQ.LEADER",
    "MQ.SEQ",
    "MQ.DRAINERRORS",
    "MQ.REDRIVE",
    "MQ.REMOVE",
    "MQ.PURGE",
    "MQ.PEEK",
    "MQ.INFO",
    "MQ.CONFIG",
];

/// What must follow the queue's name, and what the queue then answers with if it is missing.
fn least_words(command: &str) -> &'static str {
    match command {
        "MQ.PUSH" => "MSG a",
        "MQ.CLAIM" | "MQ.LEADER" | "MQ.SEQ" => "name",
        "MQ.ACK" | "MQ.FAIL" | "MQ.RELEASE" | "MQ.REMOVE" => "1",
        "MQ.EXTEND" => "5 1",
        "MQ.PURGE" | "MQ.PEEK" => "READY",
        _ => "",
    }
}

#[test]
fn every_example_runs_as_shown() {
    let document = Document::read(REFERENCE);
    let mut shown = BTreeSet::new();
    for block in document.blocks().into_iter().filter(|block| block.kind == "console") {
        if let Err(why) = run_example(&block.lines, &BTreeMap::new()) {
            panic!("the example of {}:\n{why}", block.heading);
        }
        shown.insert(block.heading);
    }
    assert_eq!(shown, COMMANDS.map(str::to_owned).into());
}

#[test]
fn every_command_has_a_section_and_all_are_of_one_shape() {
    let server = Server::start();
    let mut c = server.connect();
    let Value::Array(listed) = c.ok("COMMAND LIST FILTERBY MODULE mq") else { panic!("an array") };
    let listed: BTreeSet<String> = listed.iter().filter_map(text_of).map(|name| name.to_uppercase()).collect();
    let internal = ["MQ.APPLY".to_owned()].into();
    assert_eq!(&listed - &internal, COMMANDS.map(str::to_owned).into());
    let mut sections = Document::read(REFERENCE).sections();
    sections.retain(|(heading, _)| heading.starts_with("MQ."));
    assert!(sections.iter().map(|(heading, _)| heading.as_str()).eq(COMMANDS));
    for (heading, section) in sections {
        let marks = ["```syntax", "**Reply.**", "**Errors.**", "**States.**", "**Cost.**", "**Copies.**", "```console"];
        let found = section.lines().iter().filter_map(|line| marks.iter().position(|mark| line.starts_with(mark)));
        assert!(found.eq(0..marks.len()), "{heading}: its parts, or their order");
    }
}

/// What an argument looks like in a syntax line, such as `SEQ producer n` or `receipt…`, and whether it may be left out.
type Arguments = BTreeMap<String, bool>;

/// Those that `COMMAND DOCS` tells of.
fn documented(arguments: &Fields, found: &mut Arguments) {
    let optional_here =
        |fields: &Fields| fields.get("flags").is_some_and(|flags| format!("{flags:?}").contains("optional"));
    for argument in arguments.maps("arguments") {
        let kind = argument.text("type");
        let repeats = argument.get("flags").is_some_and(|flags| format!("{flags:?}").contains("multiple"));
        let words = match (kind.as_str(), argument.get("token")) {
            ("oneof", None) => {
                documented(&argument, found);
                continue;
            }
            ("pure-token", _) => argument.text("token"),
            ("block", _) => {
                let parts: Vec<String> = argument.maps("arguments").iter().map(|part| part.text("name")).collect();
                format!("{} {}", argument.text("token"), parts.join(" "))
            }
            (_, Some(_)) => format!("{} {}", argument.text("token"), argument.text("name")),
            (_, None) => argument.text("name"),
        };
        let words = if repeats { words + "…" } else { words };
        found.insert(words, optional_here(&argument));
    }
}

/// Those of a syntax line. `receipt [receipt ...]`, and in short `receipt …`, is `receipt…`.
fn of_syntax(line: &str) -> Arguments {
    let spaced = line.replace("...", "…").replace('[', " [ ").replace(']', " ] ").replace('|', " | ");
    let mut words: Vec<String> = spaced.split_whitespace().map(str::to_owned).collect();
    while let Some(dots) = words.iter().position(|word| word == "…") {
        let bracketed = dots >= 2 && words[dots - 2] == "[" && words.get(dots + 1).is_some_and(|word| word == "]");
        let (start, end) = if bracketed { (dots - 2, dots + 1) } else { (dots, dots) };
        words.drain(start..=end);
        words[start - 1].push('…');
    }
    let (mut found, mut depth, mut item) = (Arguments::new(), 0usize, String::new());
    for word in words.iter().map(String::as_str).chain(["|"]) {
        let is_token = word.chars().all(|c| c.is_ascii_uppercase());
        let continues = !item.is_empty() && item.starts_with(|c: char| c.is_ascii_uppercase());
        if matches!(word, "[" | "]" | "|") || is_token || !continues {
            if !item.is_empty() {
                found.insert(std::mem::take(&mut item), depth > 0);
            }
            match word {
                "[" => depth += 1,
                "]" => depth -= 1,
                "|" => {}
                _ => item = word.to_owned(),
            }
        } else {
            item = format!("{item} {word}");
        }
    }
    found
}

#[test]
fn syntax_lines_are_read_as_they_are_meant() {
    let read = |line: &str| {
        let shown =
            of_syntax(line).into_iter().map(|(words, optional)| if optional { format!("[{words}]") } else { words });
        shown.collect::<Vec<_>>().join(", ")
    };
    assert_eq!(read("queue [A x | B y [y ...]] [C] D z [z ...]"), "[A x], [B y…], [C], D z…, queue");
    assert_eq!(read("queue READY|DONE [A x [S]] r …"), "[A x], DONE, READY, [S], queue, r…");
    assert_eq!(read("queue [name [A x] | name B y]"), "[A x], [B y], [name], queue");
}

/// The arguments of a command's syntax line. Those of MQ.CONFIG are in its table.
fn of_section(command: &str, section: &Document) -> Arguments {
    let mut found = Arguments::new();
    for line in section.lines_of("syntax") {
        let arguments = line.strip_prefix(command).unwrap_or_else(|| panic!("{command}: {line}"));
        found.extend(of_syntax(arguments));
    }
    if found.remove("setting").and(found.remove("value…")).is_some() {
        let settings = section.rows("setting");
        found.extend(settings.iter().map(|row| (row[0].trim_matches('`').to_owned(), true)));
    }
    found
}

fn docs(c: &mut Conn, command: &str) -> Fields {
    c.fields(["COMMAND", "DOCS", command]).fields(&command.to_lowercase())
}

#[test]
fn the_syntax_lines_and_the_command_docs_name_the_same_arguments() {
    let server = Server::start();
    let mut c = server.connect();
    let reference = Document::read(REFERENCE);
    for command in COMMANDS {
        let section = reference.section(command);
        let docs = docs(&mut c, command);
        let mut expected = Arguments::new();
        documented(&docs, &mut expected);
        assert_eq!(of_section(command, &section), expected, "{command}");
        let purpose = section.lines().iter().skip_while(|line| *line != "```").nth(2).expect("a line");
        assert_eq!(*purpose, docs.text("summary"), "{command}");
        assert_eq!(section.paragraph("Cost"), docs.text("complexity"), "{command}");
    }
}

#[test]
fn the_tables_of_arguments_are_complete() {
    let reference = Document::read(REFERENCE);
    for command in COMMANDS {
        let section = reference.section(command);
        let rows = [section.rows("argument"), section.rows("setting")].concat();
        let listed: Vec<Arguments> = rows
            .iter()
            .map(|row| match row[0].trim_matches('`') {
                setting if command == "MQ.CONFIG" => [(setting.to_owned(), true)].into(),
                argument => of_syntax(argument),
            })
            .collect();
        let named: BTreeSet<String> = listed.iter().flat_map(|row| row.keys().cloned()).collect();
        let queue = ["queue".to_owned()].into();
        let expected: BTreeSet<String> = of_section(command, &section).into_keys().collect();
        assert_eq!(named, &expected - &queue, "{command}");
    }
}

/// What an argument may be, in the words of an error, as the tables write it.
fn as_in_tables(expected: &str) -> String {
    let number = |text: &str, unit: &str| match text {
        "9007199254740991" => "2^53−1".to_owned(),
        "315360000000" => "10 years".to_owned(),
        digits => {
            let mut shown = String::new();
            for (nth, digit) in digits.chars().enumerate() {
                if nth > 0 && (digits.len() - nth) % 3 == 0 {
                    shown.push(',');
                }
                shown.push(digit);
            }
            shown + unit
        }
    };
    let range = |text: &str, unit| {
        let (least, most) = text.split_once(" to ").expect("two bounds");
        format!("{}…{}", number(least, unit), number(most, unit))
    };
    if let Some(bounds) = expected.strip_prefix("milliseconds, an integer from ") {
        range(bounds, " ms")
    } else if let Some(bounds) = expected.strip_prefix("an integer from ") {
        range(bounds, "")
    } else if let Some(bounds) = expected.strip_prefix("a name of ") {
        bounds.replace(" to ", "…")
    } else {
        expected.to_owned()
    }
}

/// Every argument is given an empty value; what was expected of it, the error says.
#[test]
fn the_limits_in_the_tables_are_those_that_the_server_keeps() {
    let server = Server::start();
    let mut c = server.connect();
    let reference = Document::read(REFERENCE);
    let mut checked = 0;
    for command in COMMANDS {
        let section = reference.section(command);
        for row in [section.rows("argument"), section.rows("setting")].concat() {
            let argument = row[0].trim_matches('`').split(" [").next().expect("a first part");
            let words: Vec<&str> = argument.split(' ').collect();
            let is_positional = argument.starts_with(|c: char| c.is_ascii_lowercase()) && command != "MQ.CONFIG";
            let values = if is_positional { &words[..] } else { &words[1..] };
            let allowed: Vec<&str> = row[1].split(", ").filter(|limit| !limit.is_empty()).collect();
            assert_eq!(allowed.len(), values.len(), "{command} {argument}: one limit for each value");
            for (nth, limit) in allowed.iter().enumerate() {
                // A payload or a text may be empty.
                if limit.ends_with(" MiB") {
                    continue;
                }
                let mut call = vec![command, "q"];
                if is_positional {
                    let before = if argument == "receipt" && command == "MQ.EXTEND" { &["5"][..] } else { &[] };
                    call.extend(before);
                } else {
                    let before = least_words(command).split_whitespace().filter(|word| *word != "MSG" && *word != "a");
                    call.extend(before.filter(|word| *word != "READY" || words[0] != "ID"));
                    call.push(words[0]);
                }
                call.extend(vec!["name"; nth]);
                call.push("");
                let refusal = c.refusal(call);
                let (_, expected) = refusal.split_once(" is invalid: expected ").expect("why it is invalid");
                assert_eq!(*limit, as_in_tables(expected), "{command} {argument}");
                checked += 1;
            }
        }
    }
    assert!(checked > 40, "{checked}");
}

fn names(rows: &[Vec<String>]) -> Vec<String> {
    rows.iter().map(|row| row[0].trim_matches('`').split(' ').next().expect("a name").to_owned()).collect()
}

#[test]
fn the_settings_and_their_defaults_are_those_of_the_server() {
    let server = Server::start();
    let mut c = server.connect();
    let rows = Document::read(REFERENCE).section("MQ.CONFIG").rows("setting");
    let settings = c.fields("MQ.CONFIG missing");
    assert_eq!(names(&rows).into_iter().collect::<BTreeSet<_>>(), settings.names().map(str::to_owned).collect());
    let module = c.fields("CONFIG GET mq.*");
    assert_eq!(module.names().count(), rows.len());
    for (row, name) in rows.iter().zip(names(&rows)) {
        assert_eq!(row[2], settings.text(&name), "{name}");
        assert_eq!(row[2], module.text(&format!("mq.{name}")), "mq.{name}");
    }
}

#[test]
fn every_field_of_info_is_in_its_table_in_its_order() {
    let server = Server::start();
    let mut c = server.connect_resp3();
    every_state(&mut c, "q");
    let Value::Map(fields) = c.ok("MQ.INFO q CONSUMERS") else { panic!("a map") };
    let rows = Document::read(REFERENCE).section("MQ.INFO").rows("field");
    assert_eq!(names(&rows), fields.iter().filter_map(|(name, _)| text_of(name)).collect::<Vec<_>>());
}

#[test]
fn every_line_of_info_mq_is_in_its_table_in_its_order() {
    let server = Server::start();
    let info = server.connect().text("INFO mq");
    let lines: Vec<&str> = info.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect();
    let rows = Document::read(REFERENCE).section("MQ.INFO").rows("line");
    let documented: Vec<&str> =
        rows.iter().flat_map(|row| row[0].split(", ")).map(|name| name.trim_matches('`')).collect();
    assert_eq!(documented, lines);
}

/// What is said to be state is the same on a replica, what is said to be seen is not sent there.
#[test]
fn what_info_calls_state_is_the_same_on_a_replica() {
    let primary = Server::start();
    let mut c = primary.connect();
    let replica = Server::builder().replica_of(&primary);
    every_state(&mut c, "q");
    c.int("MQ.PUSH q UNIQUE only MSG again");
    replica.until_in_step_with(&primary);
    let (here, there) = (c.fields("MQ.INFO q"), replica.connect().fields("MQ.INFO q"));
    for row in Document::read(REFERENCE).section("MQ.INFO").rows("field") {
        let name = row[0].trim_matches('`');
        assert!(["state", "state, clock", "seen"].contains(&row[2].as_str()), "{name}");
        if row[2] == "state" {
            assert_eq!(here.get(name), there.get(name), "{name}");
        }
    }
    assert_eq!((here.int("duplicates"), there.int("duplicates")), (1, 0));
}

#[test]
fn every_field_of_peek_is_in_its_table() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let mut fields = BTreeSet::new();
    for state in ["READY", "DELAYED", "CLAIMED", "ERRORS"] {
        for message in c.maps(format!("MQ.PEEK q {state} COUNT 1000 BYTES 5")) {
            fields.extend(message.names().map(str::to_owned));
        }
    }
    let rows = Document::read(REFERENCE).section("MQ.PEEK").rows("field");
    assert_eq!(names(&rows).into_iter().collect::<BTreeSet<_>>(), fields);
}

#[test]
fn the_readme_lists_every_command_with_the_same_syntax() {
    let reference = Document::read(REFERENCE);
    let rows = Document::read("README.md").rows("command");
    let lines: Vec<&str> = rows.iter().map(|row| row[0].trim_matches('`')).collect();
    let listed: BTreeSet<&str> = lines.iter().map(|line| line.split(' ').next().expect("a name")).collect();
    assert_eq!(listed, COMMANDS.into());
    for command in COMMANDS {
        let is_its = |line: &&str| line.split(' ').next() == Some(command);
        let mut of_readme = Arguments::new();
        lines.iter().copied().filter(is_its).for_each(|line| of_readme.extend(of_syntax(&line[command.len()..])));
        let mut of_reference = Arguments::new();
        reference
            .section(command)
            .lines_of("syntax")
            .iter()
            .for_each(|line| of_reference.extend(of_syntax(&line[command.len()..])));
        assert_eq!(of_readme, of_reference, "{command}");
    }
    let settings = rows.iter().find(|row| row[0].contains("MQ.CONFIG")).expect("its row");
    for name in names(&reference.section("MQ.CONFIG").rows("setting")) {
        assert!(settings[1].contains(&format!("`{name}`")), "README: {name}");
    }
}

#[test]
fn other_types_missing_queues_and_replicas_are_as_described() {
    let primary = Server::start();
    let replica = Server::builder().replica_of(&primary);
    let (mut c, mut there) = (primary.connect(), replica.connect());
    c.ok("SET text value");
    for command in COMMANDS {
        let words = least_words(command);
        assert!(c.refusal([command]).starts_with("ERR wrong number of arguments"), "{command}");
        assert!(c.refusal(format!("{command} text {words}")).starts_with("WRONGTYPE "), "{command}");
        if ["MQ.PEEK", "MQ.INFO"].contains(&command) {
            there.ok(format!("{command} q {words}"));
            there.ok(["EVAL_RO", "return #redis.call(ARGV[1], KEYS[1], unpack(ARGV, 2))", "1", "q", command]
                .iter()
                .copied()
                .chain(words.split_whitespace())
                .collect::<Vec<_>>());
        } else {
            assert!(there.refusal(format!("{command} q {words}")).starts_with("READONLY "), "{command}");
        }
        c.ok(format!("{command} missing {words}"));
        let creates = c.int("DEL missing") == 1;
        assert_eq!(creates, ["MQ.PUSH", "MQ.LEADER"].contains(&command), "{command}");
    }
    for (command, answer) in [
        ("MQ.LEADER missing", "[nil, int(0), int(0)]"),
        ("MQ.LEADER missing me TOKEN 5", "[nil, int(0), int(0)]"),
        ("MQ.LEADER missing me RESIGN 5", "int(0)"),
    ] {
        let shown = format!("{:?}", c.ok(command));
        assert!(shown.contains(answer.trim_matches(['[', ']'])), "{command}: {shown}");
    }
    assert_eq!(c.int("EXISTS missing"), 0);
    for command in ["MQ.SEQ missing p FENCE 1", "MQ.CONFIG missing lease 5"] {
        c.ok(command);
        assert_eq!(c.int("DEL missing"), 1, "{command}");
    }
}
