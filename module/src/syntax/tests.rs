//! Every way of being malformed that a table allows, made of the tables themselves.

use mq_tests::{Server, every_state};

use super::{Argument, Bounds, Choice, Kind, MOST_REPEATED, Malformed, OneOf, Syntax, Times, Words, parse};
use crate::COMMANDS;

impl<'w> Words<'w> for &'w [String] {
    fn count(self) -> usize {
        self.len()
    }

    fn word(self, at: usize) -> Option<&'w [u8]> {
        self.get(at).map(String::as_bytes)
    }
}

/// A call, and what its error must name.
type Case = (Vec<String>, String);

fn syntaxes() -> impl Iterator<Item = &'static Syntax> {
    COMMANDS.iter().map(|command| command.syntax())
}

fn sample(argument: &Argument) -> String {
    match argument.kind {
        Kind::Name | Kind::Bytes(_) => "some".into(),
        Kind::Number(least, _) | Kind::Milliseconds(least, _) => least.to_string(),
        Kind::Count(_) => "1".into(),
        Kind::Word(words) => words[0].to_lowercase(),
    }
}

/// Values that the argument must not have.
fn wrong_samples(argument: &Argument) -> Vec<String> {
    match argument.kind {
        Kind::Name => vec![String::new(), "n".repeat(256)],
        Kind::Bytes(_) => vec![],
        Kind::Number(least, most) | Kind::Milliseconds(least, most) => wrong_numbers(least, most),
        Kind::Count(most) => wrong_numbers(1, most),
        Kind::Word(_) => vec![String::new(), "nonsense".into()],
    }
}

fn wrong_numbers(least: u64, most: u64) -> Vec<String> {
    let mut wrong: Vec<String> = ["", "x", "-1", "+1", "1.5", "1 ", "0x1"].map(String::from).to_vec();
    wrong.push((u128::from(most) + 1).to_string());
    wrong.push(u128::MAX.to_string());
    wrong.extend(least.checked_sub(1).map(|below| below.to_string()));
    wrong
}

fn said(option: &Choice) -> Vec<String> {
    [option.word.to_lowercase()].into_iter().chain(option.arguments.iter().map(sample)).collect()
}

fn option<'s>(syntax: &'s Syntax, word: &str) -> &'s Choice {
    syntax.options.iter().find(|option| option.word == word).expect("a word of this table")
}

/// The command, the queue, and its positions.
fn head(syntax: &Syntax, queue: &str) -> Vec<String> {
    let positions = syntax.positions.iter().map(|position| sample(&position.argument));
    [syntax.name.into(), queue.into()].into_iter().chain(positions).collect()
}

/// What must stand beside an option.
fn company(syntax: &Syntax, of: &Choice) -> Vec<String> {
    let needed = of.needs.map_or_else(Vec::new, |needed| said(option(syntax, needed)));
    let stands_alone = syntax.one_of.is_some_and(|one_of| one_of.words.contains(&of.word));
    if stands_alone { needed } else { [first_of(syntax), needed].concat() }
}

/// Where one of several options must be there: the first of them.
fn first_of(syntax: &Syntax) -> Vec<String> {
    syntax.one_of.map_or_else(Vec::new, |one_of| said(option(syntax, one_of.words[0])))
}

/// The required options but for `without`: they come last, since they are repeated to the end.
fn tail(syntax: &Syntax, without: Option<&Choice>) -> Vec<String> {
    let required = syntax.options.iter().filter(|option| option.required);
    required.filter(|option| without.is_none_or(|without| without.word != option.word)).flat_map(said).collect()
}

fn well_formed(syntax: &Syntax, queue: &str) -> Vec<Vec<String>> {
    let mut calls = vec![[head(syntax, queue), first_of(syntax), tail(syntax, None)].concat()];
    for option in syntax.options {
        calls.push([head(syntax, queue), company(syntax, option), said(option), tail(syntax, Some(option))].concat());
    }
    calls
}

fn malformed(syntax: &Syntax, queue: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    malformed_positions(syntax, queue, &mut cases);
    for option in syntax.options {
        malformed_option(syntax, option, queue, &mut cases);
    }
    if let Some(OneOf { name, words }) = syntax.one_of {
        cases.push((head(syntax, queue), name.into()));
        for pair in words.windows(2) {
            let both = pair.iter().map(|word| said(option(syntax, word))).collect::<Vec<_>>().concat();
            cases.push(([head(syntax, queue), both].concat(), pair[1].into()));
        }
    }
    let is_open = syntax.positions.iter().all(|position| !matches!(position.times, Times::Repeated));
    if is_open {
        cases.push(([head(syntax, queue), vec!["nonsense".into()], tail(syntax, None)].concat(), "nonsense".into()));
    }
    cases
}

fn malformed_positions(syntax: &Syntax, queue: &str, cases: &mut Vec<Case>) {
    let whole = head(syntax, queue);
    for (nth, position) in syntax.positions.iter().enumerate() {
        let before = &whole[..2 + nth];
        let name = position.argument.name;
        if position.times != Times::AtMostOnce {
            cases.push((before.to_vec(), name.into()));
        }
        for wrong in wrong_samples(&position.argument) {
            cases.push((
                [before, std::slice::from_ref(&wrong), &whole[3 + nth..], &tail(syntax, None)].concat(),
                name.into(),
            ));
            if matches!(position.times, Times::Repeated) {
                cases.push(([&whole[..], &[wrong]].concat(), name.into()));
            }
        }
    }
    for required in syntax.options.iter().filter(|option| option.required) {
        cases.push((whole.clone(), required.word.into()));
    }
}

fn malformed_option(syntax: &Syntax, option: &Choice, queue: &str, cases: &mut Vec<Case>) {
    let before = [head(syntax, queue), company(syntax, option)].concat();
    let (said, tail) = (said(option), tail(syntax, Some(option)));
    let name = |argument: &Argument| format!("{} {}", option.word, argument.name);
    for (nth, argument) in option.arguments.iter().enumerate() {
        cases.push(([&before[..], &said[..=nth]].concat(), name(argument)));
        for wrong in wrong_samples(argument) {
            let mut said = said.clone();
            said[1 + nth] = wrong.clone();
            cases.push(([&before[..], &said[..], &tail[..]].concat(), name(argument)));
            if option.repeated {
                cases.push(([before.clone(), self::said(option), vec![wrong]].concat(), name(argument)));
            }
        }
    }
    let takes_any = option.arguments.last().is_none_or(|last| matches!(last.kind, Kind::Name | Kind::Bytes(_)));
    if option.repeated && !takes_any {
        for early in syntax.options.iter().filter(|early| early.word != option.word) {
            let place = format!("{} must stand before {}", early.word, option.word);
            cases.push(([&before[..], &said[..], &self::said(early)[..]].concat(), place));
        }
    }
    if !option.repeated {
        cases.push(([&before[..], &said[..], &said[..], &tail[..]].concat(), option.word.into()));
    }
    if option.needs.is_some() {
        cases.push(([head(syntax, queue), said.clone(), tail.clone()].concat(), option.word.into()));
    }
    let others = syntax.options.iter().filter(|other| other.word != option.word && other.needs.is_none());
    for other in others.filter(|other| option.excludes.iter().any(|word| *word == "*" || *word == other.word)) {
        // What is repeated comes last.
        let (first, last) =
            if option.repeated { (self::said(other), said.clone()) } else { (said.clone(), self::said(other)) };
        cases.push(([head(syntax, queue), first, last].concat(), other.word.into()));
    }
}

#[test]
fn what_the_tables_allow_is_read() {
    for syntax in syntaxes() {
        for call in well_formed(syntax, "q") {
            assert_eq!(parse(syntax, &*call, Bounds::All).err(), None, "{call:?}");
        }
    }
}

#[test]
fn every_argument_is_found_where_it_stands() {
    for syntax in syntaxes() {
        for choice in syntax.options.iter().filter(|option| option.arguments.len() == 1) {
            let argument = &choice.arguments[0];
            let (Kind::Number(_, most) | Kind::Milliseconds(_, most)) = argument.kind else { continue };
            let value = [choice.word.to_uppercase(), most.to_string()].to_vec();
            let call = [head(syntax, "q"), company(syntax, choice), value, tail(syntax, Some(choice))].concat();
            let parsed = parse(syntax, &*call, Bounds::All).expect("the largest value is allowed");
            assert_eq!(parsed.number(syntax.slot(choice.word)), Some(most), "{call:?}");
            assert_eq!(parsed.bytes(syntax.slot(choice.word)), Some(most.to_string().as_bytes()), "{call:?}");
        }
    }
}

#[test]
fn what_is_repeated_is_bounded_but_for_what_a_primary_says() {
    let mut bounded = Vec::new();
    for syntax in syntaxes() {
        let options = syntax.options.iter().filter(|option| option.repeated);
        let position = syntax.positions.last().filter(|position| position.times == Times::Repeated);
        let calls = options.map(|option| [head(syntax, "q"), said(option)].concat());
        for call in calls.chain(position.map(|_| head(syntax, "q"))) {
            let times = |n: usize| [&call[..], &vec![call[call.len() - 1].clone(); n - 1]].concat();
            assert_eq!(parse(syntax, &*times(MOST_REPEATED), Bounds::All).err(), None, "{call:?}");
            let why = parse(syntax, &*times(MOST_REPEATED + 1), Bounds::All)
                .err()
                .map(|malformed| malformed.0)
                .unwrap_or_default();
            assert!(why.contains("is given more than 65536 times: send several commands"), "{call:?}: {why}");
            assert_eq!(parse(syntax, &*times(2 * MOST_REPEATED), Bounds::NoSizes).err(), None, "{call:?}");
            bounded.push(syntax.name);
        }
    }
    bounded.sort_unstable();
    let expected = ["ACK", "APPLY", "CLAIM", "EXTEND", "PEEK", "PUSH", "REDRIVE", "RELEASE", "REMOVE"]
        .map(|name| format!("MQ.{name}"));
    assert_eq!(bounded, expected);
}

#[test]
fn every_malformed_call_is_refused_and_the_error_names_the_argument() {
    let mut count = 0;
    for syntax in syntaxes() {
        for (call, named) in malformed(syntax, "q") {
            let Err(Malformed(why)) = parse(syntax, &*call, Bounds::All) else { panic!("{call:?} was read") };
            assert!(why.contains(&named), "{call:?}: {why:?} does not name {named}");
            count += 1;
        }
    }
    assert!(count > 300, "{count} cases");
}

#[test]
fn a_malformed_call_changes_nothing_on_a_server() {
    let server = Server::start();
    let mut c = server.connect();
    every_state(&mut c, "q");
    let before = c.digest("q");
    for syntax in syntaxes() {
        for (queue, exists) in [("q", 1), ("missing", 0)] {
            for (call, named) in malformed(syntax, queue) {
                let refusal = c.refusal(&call[..]);
                assert!(refusal.starts_with("ERR "), "{call:?}: {refusal}");
                assert!(refusal.contains(&named), "{call:?}: {refusal:?} does not name {named}");
                assert_eq!(c.int(["EXISTS", queue]), exists, "{call:?}");
            }
        }
        assert_eq!(c.digest("q"), before, "{}", syntax.name);
    }
}

/// splitmix64 (Steele, Lea, Flood 2014), below `bound`.
fn below(state: &mut u64, bound: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) % bound as u64) as usize
}

/// Every word and value of the tables, legal or not, and some that are in none.
fn vocabulary() -> Vec<String> {
    let mut words = vec![String::new(), "\u{0}".into(), "é".repeat(200), "99999999999999999999".into(), "-0".into()];
    for syntax in syntaxes() {
        for option in syntax.options {
            words.push(option.word.to_lowercase());
            words.extend(option.arguments.iter().flat_map(wrong_samples));
            words.extend(option.arguments.iter().map(sample));
        }
        words.extend(syntax.positions.iter().map(|position| sample(&position.argument)));
    }
    words
}

/// `MQ_EXECUTIONS` calls, 50,000 unless said.
#[test]
fn random_words_are_read_or_refused_and_what_is_read_stands_where_it_says() {
    let executions = std::env::var("MQ_EXECUTIONS").ok().and_then(|value| value.parse().ok()).unwrap_or(50_000);
    let (words, mut state, mut read) = (vocabulary(), 1u64, 0u32);
    for _ in 0..executions {
        let syntax = COMMANDS[below(&mut state, COMMANDS.len())].syntax();
        // Mostly a legal call with a word or two changed.
        let calls = well_formed(syntax, "q");
        let mut call = calls[below(&mut state, calls.len())].clone();
        for _ in 0..below(&mut state, 4) {
            let word = words[below(&mut state, words.len())].clone();
            let at = 1 + below(&mut state, call.len());
            if at < call.len() && below(&mut state, 2) == 0 { call[at] = word } else { call.insert(at, word) }
        }
        let Ok(parsed) = parse(syntax, &*call, Bounds::All) else { continue };
        read += 1;
        for option in syntax.options {
            let slot = syntax.slot(option.word);
            let named = call.iter().any(|word| word.eq_ignore_ascii_case(option.word));
            assert!(named || !parsed.has(slot), "{call:?}: {}", option.word);
            std::hint::black_box((parsed.number(slot), parsed.words(slot).len()));
        }
    }
    assert!(u64::from(read) * 10 > executions, "only {read} of {executions} calls were read");
}
