//! A command's words, read by its table.

use std::fmt;
use std::ops::Deref;

use super::{
    Argument, Choice, Kind, LONGEST_NAME, MOST_REPEATED, OneOf, Position, SLOTS, Slot, Syntax, Times, numeral,
};

/// The words of a command: its name, the queue, and the rest.
pub trait Words<'w>: Copy {
    /// How many there are.
    fn count(self) -> usize;
    /// One of them.
    fn word(self, at: usize) -> Option<&'w [u8]>;
}

/// Which bounds hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bounds {
    /// All of them: the command is a client's.
    All,
    /// Not those of sizes and counts: the command comes from the primary or the log, where it was accepted, maybe by a version
    /// with larger ones.
    NoSizes,
}

/// Why a command is malformed: which argument, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed(pub String);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Where an argument was found. Absent: the word 0, which is the command's name.
#[derive(Clone, Copy, Debug, Default)]
struct Found {
    /// The word that is the argument: for an option its first argument, or the option's own word if it has none.
    at: usize,
    /// The value of its number, or the index of its word.
    number: u64,
}

/// A well-formed command.
#[derive(Debug)]
pub struct Parsed<'w, W> {
    syntax: &'static Syntax,
    words: W,
    bounds: Bounds,
    found: [Found; SLOTS],
    life: std::marker::PhantomData<&'w ()>,
}

/// One value, as most lists have, or more of them.
#[derive(Debug)]
pub enum List<T> {
    /// On the stack.
    One([T; 1]),
    /// On the heap.
    Many(Vec<T>),
}

impl<T> Deref for List<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            List::One(value) => value,
            List::Many(values) => values,
        }
    }
}

/// The word that names the queue.
const QUEUE: usize = 1;

/// Reads a command by its table.
///
/// # Errors
/// What is missing, unknown, repeated, or not of its kind.
pub fn parse<'w, W: Words<'w>>(syntax: &'static Syntax, words: W, bounds: Bounds) -> Result<Parsed<'w, W>, Malformed> {
    let (found, life) = ([Found::default(); SLOTS], std::marker::PhantomData);
    let mut parsed = Parsed { syntax, words, bounds, found, life };
    if words.count() <= QUEUE {
        return Err(missing("queue", "the name of a key"));
    }
    let mut next = QUEUE + 1;
    for (slot, position) in syntax.positions.iter().enumerate() {
        next = parsed.read_position(slot, position, next)?;
    }
    while let Some(word) = words.word(next) {
        let Some((nth, option)) = option_of(syntax, word) else { return Err(unknown(syntax, word)) };
        next = parsed.read_option(syntax.positions.len() + nth, option, next)?;
    }
    parsed.check_company()?;
    Ok(parsed)
}

impl<'w, W: Words<'w>> Parsed<'w, W> {
    fn read_position(&mut self, slot: usize, position: &Position, at: usize) -> Result<usize, Malformed> {
        let argument = &position.argument;
        let Some(word) = self.words.word(at) else {
            return match position.times {
                Times::AtMostOnce => Ok(at),
                Times::Once | Times::Repeated => Err(missing(argument.name, &argument.kind.expected())),
            };
        };
        let number = self.value(argument, word).ok_or_else(|| wrong(None, argument))?;
        self.found[slot] = Found { at, number };
        match position.times {
            Times::Repeated => {
                self.check_times(None, argument, at)?;
                self.read_repeated(None, argument, at + 1)
            }
            Times::Once | Times::AtMostOnce => Ok(at + 1),
        }
    }

    fn read_option(&mut self, slot: usize, option: &Choice, at: usize) -> Result<usize, Malformed> {
        if self.found[slot].at != 0 {
            return Err(Malformed(format!("option {} given twice", option.word)));
        }
        let mut found = Found { at, number: 0 };
        let mut next = at + 1;
        for (nth, argument) in option.arguments.iter().enumerate() {
            let missing = || missing(&name_of(Some(option), argument), &argument.kind.expected());
            let word = self.words.word(next).ok_or_else(missing)?;
            let number = self.value(argument, word).ok_or_else(|| wrong(Some(option), argument))?;
            if nth == 0 {
                found.at = next;
            }
            found.number = found.number.max(number);
            next += 1;
        }
        self.found[slot] = found;
        match option.arguments.last().filter(|_| option.repeated) {
            Some(argument) => {
                // One of them has been read above.
                self.check_times(Some(option), argument, next - 1)?;
                self.read_repeated(Some(option), argument, next)
            }
            None => Ok(next),
        }
    }

    /// Refuses an argument that stands too often from word `at` to the end.
    fn check_times(&self, of: Option<&Choice>, argument: &Argument, at: usize) -> Result<(), Malformed> {
        match self.words.count().saturating_sub(at) {
            0..=MOST_REPEATED => Ok(()),
            _ if self.bounds == Bounds::NoSizes => Ok(()),
            _ => Err(Malformed(format!(
                "{} is given more than {MOST_REPEATED} times: send several commands",
                name_of(of, argument)
            ))),
        }
    }

    /// What takes all words to the end.
    fn read_repeated(&self, of: Option<&Choice>, argument: &Argument, mut at: usize) -> Result<usize, Malformed> {
        while let Some(word) = self.words.word(at) {
            self.value(argument, word).ok_or_else(|| match option_of(self.syntax, word).zip(of) {
                Some(((_, early), last)) => {
                    Malformed(format!("{} must stand before {}, which is last", early.word, last.word))
                }
                None => wrong(of, argument),
            })?;
            at += 1;
        }
        Ok(at)
    }

    /// Which options must, and which must not, stand beside which.
    fn check_company(&self) -> Result<(), Malformed> {
        let syntax = self.syntax;
        let found = self.found.get(syntax.positions.len()..).unwrap_or_default();
        let given = || syntax.options.iter().zip(found).filter(|(_, found)| found.at != 0).map(|(option, _)| option);
        if let Some(OneOf { name, words }) = syntax.one_of {
            let mut named = given().filter(|option| words.contains(&option.word));
            let first = named.next().ok_or_else(|| missing(name, &words.join(" or ")))?;
            if let Some(second) = named.next() {
                return Err(Malformed(format!("{} and {} exclude each other", first.word, second.word)));
            }
        }
        for (option, found) in syntax.options.iter().zip(found) {
            if found.at == 0 {
                if option.required {
                    return Err(missing(&line(option), "at least one"));
                }
                continue;
            }
            if let Some(needed) = option.needs
                && !given().any(|other| other.word == needed)
            {
                return Err(Malformed(format!("{} is allowed only with {needed}", option.word)));
            }
            if option.excludes.is_empty() {
                continue;
            }
            let excluded = |other: &Choice| option.excludes.iter().any(|word| *word == "*" || *word == other.word);
            if let Some(other) = given().find(|other| other.word != option.word && excluded(other)) {
                return Err(Malformed(format!("{} and {} exclude each other", option.word, other.word)));
            }
        }
        Ok(())
    }

    /// The number that a word stands for, 0 for those that stand for none; `None` if the word is not of its kind.
    fn value(&self, argument: &Argument, word: &[u8]) -> Option<u64> {
        let sizes = self.bounds == Bounds::All;
        match argument.kind {
            Kind::Name => (!word.is_empty() && (word.len() <= LONGEST_NAME || !sizes)).then_some(0),
            Kind::Bytes(most) => (word.len() <= most || !sizes).then_some(0),
            Kind::Number(least, most) | Kind::Milliseconds(least, most) => {
                numeral::read(word).filter(|value| (least..=most).contains(value))
            }
            Kind::Count(most) => numeral::read(word).filter(|count| *count >= 1 && (*count <= most || !sizes)),
            Kind::Word(words) => {
                let index = words.iter().position(|known| word.eq_ignore_ascii_case(known.as_bytes()))?;
                Some(index as u64)
            }
        }
    }

    /// Where an argument stands among the words.
    pub fn position(&self, slot: Slot) -> Option<usize> {
        self.found(slot).map(|found| found.at)
    }

    fn found(&self, slot: Slot) -> Option<Found> {
        self.found.get(slot.0).copied().filter(|found| found.at != 0)
    }

    /// Whether an option is there.
    pub fn has(&self, slot: Slot) -> bool {
        self.found(slot).is_some()
    }

    /// An argument's number, or the index of its word.
    pub fn number(&self, slot: Slot) -> Option<u64> {
        self.found(slot).map(|found| found.number)
    }

    /// An argument's bytes; of an option with two arguments, the first.
    pub fn bytes(&self, slot: Slot) -> Option<&'w [u8]> {
        self.found(slot).and_then(|found| self.words.word(found.at))
    }

    /// The numbers from an argument to the end, none if it is absent.
    pub fn numbers<T>(&self, slot: Slot, of: impl Fn(u64) -> T) -> List<T> {
        self.list(slot, |word| of(numeral::read(word).unwrap_or_default()))
    }

    /// The words from an argument to the end, none if it is absent.
    pub fn words(&self, slot: Slot) -> List<&'w [u8]> {
        self.list(slot, |word| word)
    }

    fn list<T>(&self, slot: Slot, of: impl Fn(&'w [u8]) -> T) -> List<T> {
        let Some(Found { at, .. }) = self.found(slot) else { return List::Many(Vec::new()) };
        match (self.words.count() - at, self.words.word(at)) {
            (1, Some(word)) => List::One([of(word)]),
            _ => List::Many((at..self.words.count()).filter_map(|at| self.words.word(at)).map(of).collect()),
        }
    }
}

/// The option that a word names, and its place in the table. From the end, where the tables have what is repeated, which is
/// what most commands bring: MSG, ACK.
fn option_of(syntax: &'static Syntax, word: &[u8]) -> Option<(usize, &'static Choice)> {
    let known = |option: &Choice| word.eq_ignore_ascii_case(option.word.as_bytes());
    syntax.options.iter().enumerate().rfind(|(_, option)| known(option))
}

fn missing(name: &str, expected: &str) -> Malformed {
    Malformed(format!("{name} is missing: expected {expected}"))
}

fn wrong(of: Option<&Choice>, argument: &Argument) -> Malformed {
    Malformed(format!("{} is invalid: expected {}", name_of(of, argument), argument.kind.expected()))
}

/// An argument as errors name it: behind its option's word, if it is an option's.
fn name_of(option: Option<&Choice>, argument: &Argument) -> String {
    option.map_or_else(|| argument.name.into(), |option| format!("{} {}", option.word, argument.name))
}

fn unknown(syntax: &Syntax, word: &[u8]) -> Malformed {
    /// Enough to recognise a word; a client may have sent megabytes.
    const SHOWN: usize = 32;
    let shown: String =
        word.iter().take(SHOWN).map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '?' }).collect();
    let expected: Vec<&str> = syntax.options.iter().map(|option| option.word).collect();
    let expected = if expected.is_empty() { "nothing more".into() } else { expected.join(", ") };
    Malformed(format!("unknown option '{shown}': expected {expected}"))
}

/// An option as a syntax line shows it.
fn line(option: &Choice) -> String {
    let mut line = option.word.to_owned();
    for argument in option.arguments {
        line = format!("{line} {}", argument.name);
    }
    line
}
