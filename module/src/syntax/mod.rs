//! The syntax of commands, as tables: from one table come the parsing, the error messages, and `COMMAND DOCS`.

mod numeral;
mod parse;
#[cfg(test)]
mod tests;

pub use parse::{Bounds, Malformed, Parsed, Words, parse};

/// Ten years, the longest duration.
const LONGEST_MS: u64 = 10 * 365 * 24 * 60 * 60 * 1000;

/// Ids, receipts, tokens and sequence numbers are below 2^53.
const LARGEST_NUMBER: u64 = (1 << 53) - 1;

/// The largest payload: the server's own limit of a string.
const LARGEST_PAYLOAD: usize = 512 << 20;

/// One command.
#[derive(Debug)]
pub struct Syntax {
    /// Its name.
    pub name: &'static str,
    /// What it does, in a line.
    pub summary: &'static str,
    /// The version of the module that brought it.
    pub since: &'static str,
    /// In what its cost grows.
    pub complexity: &'static str,
    /// What the server must know of it, in the words of `RedisModule_CreateCommand`.
    pub flags: &'static str,
    /// What it does to its key.
    pub key: KeyUse,
    /// What follows the queue's name, by position.
    pub positions: &'static [Position],
    /// What follows then, in any order.
    pub options: &'static [Choice],
    /// Options of which exactly one must be there.
    pub one_of: Option<OneOf>,
}

/// Options that stand for the values of one argument.
#[derive(Clone, Copy, Debug)]
pub struct OneOf {
    /// Its name in syntax lines and errors.
    pub name: &'static str,
    /// The options' words.
    pub words: &'static [&'static str],
}

/// What a command does to its key, for ACLs and clients that route by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyUse {
    /// Shows some of it.
    Shows,
    /// Adds to it.
    Inserts,
    /// Changes it and shows some of it.
    ShowsAndUpdates,
    /// Changes it.
    Updates,
    /// Takes from it.
    Deletes,
}

/// An argument that is known by its place.
#[derive(Debug)]
pub struct Position {
    /// The argument.
    pub argument: Argument,
    /// How often it stands there.
    pub times: Times,
}

/// How often an argument stands at its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Times {
    /// Exactly once.
    Once,
    /// Once, or the command ends before it.
    AtMostOnce,
    /// Once or more, up to the command's end, at most [`MOST_REPEATED`] times.
    Repeated,
}

/// The most often that a repeated argument (a payload, a receipt, an id) stands in one command. It bounds the time for which one
/// command holds the server up, and the memory for its reply.
pub const MOST_REPEATED: usize = 65_536;

/// An argument that is known by a word before it, and may be absent.
#[derive(Debug)]
pub struct Choice {
    /// The word, in any case.
    pub word: &'static str,
    /// What follows it. At most one of them is no name.
    pub arguments: &'static [Argument],
    /// Whether the last of `arguments` is repeated up to the command's end, at most [`MOST_REPEATED`] times.
    pub repeated: bool,
    /// Whether it must be there all the same.
    pub required: bool,
    /// The word that must be there too.
    pub needs: Option<&'static str>,
    /// The words that must not be there too; `*`: no other word at all.
    pub excludes: &'static [&'static str],
}

/// One argument.
#[derive(Clone, Copy, Debug)]
pub struct Argument {
    /// Its name in syntax lines and errors.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
}

/// What an argument may be.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// 1…255 bytes.
    Name,
    /// Any bytes, at most so many.
    Bytes(usize),
    /// An integer in decimal, without sign, between two bounds, both allowed.
    Number(u64, u64),
    /// A number of things, from 1 to this: it bounds the work of a command.
    Count(u64),
    /// The same, in milliseconds.
    Milliseconds(u64, u64),
    /// One of these words, in any case. It is read as its index.
    Word(&'static [&'static str]),
}

/// The longest name, in bytes.
pub const LONGEST_NAME: usize = 255;

impl Argument {
    /// The name of a consumer, candidate or producer.
    pub const fn name(name: &'static str) -> Argument {
        Argument { name, kind: Kind::Name }
    }

    /// An id, receipt, token or sequence number.
    pub const fn stamp(name: &'static str) -> Argument {
        Argument { name, kind: Kind::Number(0, LARGEST_NUMBER) }
    }

    /// How many at most.
    pub const fn count(largest: u64) -> Argument {
        Argument { name: "n", kind: Kind::Count(largest) }
    }

    /// A number between two bounds.
    pub const fn number(name: &'static str, smallest: u64, largest: u64) -> Argument {
        Argument { name, kind: Kind::Number(smallest, largest) }
    }

    /// A duration that may be 0.
    pub const fn span() -> Argument {
        Argument { name: "ms", kind: Kind::Milliseconds(0, LONGEST_MS) }
    }

    /// The duration of a lease.
    pub const fn lease() -> Argument {
        Argument { name: "ms", kind: Kind::Milliseconds(1, LONGEST_MS) }
    }

    /// A message's payload.
    pub const fn payload() -> Argument {
        Argument { name: "payload", kind: Kind::Bytes(LARGEST_PAYLOAD) }
    }

    /// Free text.
    pub const fn text(name: &'static str) -> Argument {
        Argument { name, kind: Kind::Bytes(LARGEST_PAYLOAD) }
    }

    /// One of these words.
    pub const fn word(name: &'static str, words: &'static [&'static str]) -> Argument {
        Argument { name, kind: Kind::Word(words) }
    }
}

impl Position {
    /// An argument that must be there.
    pub const fn once(argument: Argument) -> Position {
        Position { argument, times: Times::Once }
    }

    /// An argument that may be absent with all that would follow.
    pub const fn optional(argument: Argument) -> Position {
        Position { argument, times: Times::AtMostOnce }
    }

    /// One or more of it, at most [`MOST_REPEATED`].
    pub const fn repeated(argument: Argument) -> Position {
        Position { argument, times: Times::Repeated }
    }
}

impl Choice {
    /// A word, and what follows it.
    pub const fn new(word: &'static str, arguments: &'static [Argument]) -> Choice {
        Choice { word, arguments, repeated: false, required: false, needs: None, excludes: &[] }
    }

    /// The last of its arguments is repeated up to the command's end.
    pub const fn repeated(self) -> Choice {
        Choice { repeated: true, ..self }
    }

    /// It must be there.
    pub const fn required(self) -> Choice {
        Choice { required: true, ..self }
    }

    /// It means something only beside another word.
    pub const fn needs(self, word: &'static str) -> Choice {
        Choice { needs: Some(word), ..self }
    }

    /// It means nothing beside these words.
    pub const fn excludes(self, words: &'static [&'static str]) -> Choice {
        Choice { excludes: words, ..self }
    }
}

/// Where [`Parsed`] keeps an argument; from [`Syntax::slot`], at compile time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot(pub(self) usize);

/// The most positions and options that a command has.
const SLOTS: usize = 8;

impl Syntax {
    /// The slot of a position, by its argument's name, or of an option, by its word. To be asked in constants: a name that
    /// is not in the table does not compile.
    pub const fn slot(&self, name: &str) -> Slot {
        assert!(self.positions.len() + self.options.len() <= SLOTS);
        let mut at = 0;
        while at < self.positions.len() {
            if equal(self.positions[at].argument.name, name) {
                return Slot(at);
            }
            at += 1;
        }
        let mut at = 0;
        while at < self.options.len() {
            if equal(self.options[at].word, name) {
                return Slot(self.positions.len() + at);
            }
            at += 1;
        }
        panic!("no such argument in this syntax")
    }
}

const fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    let mut at = 0;
    while at < one.len() {
        if one[at] != other[at] {
            return false;
        }
        at += 1;
    }
    true
}

impl Kind {
    /// What is expected, to be read after "expected".
    pub fn expected(&self) -> String {
        match self {
            Kind::Name => format!("a name of 1 to {LONGEST_NAME} bytes"),
            Kind::Bytes(most) => format!("a string of at most {most} bytes"),
            Kind::Number(least, most) => format!("an integer from {least} to {most}"),
            Kind::Count(most) => format!("an integer from 1 to {most}"),
            Kind::Milliseconds(least, most) => format!("milliseconds, an integer from {least} to {most}"),
            Kind::Word(words) => words.join(" or "),
        }
    }
}
