//! Examples in documents, run against real servers.
//!
//! An example is what `redis-cli -3` shows. `> COMMAND` is sent to a server with the module, `name> COMMAND` on another connection
//! of its, and `store> COMMAND` to a server without the module. In commands and replies
//!
//! | | |
//! |---|---|
//! | `<name>` | a number: whatever comes where it stands first, the same from then on |
//! | `<name+2>` | that number and 2 |
//! | `<0…500>` | any number in that range |
//! | `<name.lua>` | in a command: the text of that name |
//! | `…` | a line of its own: any lines; at the end of one: anything |
//! | `(50 ms later)` | a line of its own: a pause |

use std::{collections::BTreeMap, thread, time::Duration};

use redis::Value;

use crate::{Conn, Server};

/// Runs one example on servers of its own.
///
/// # Errors
/// The first command whose reply is another than shown.
pub fn run_example(lines: &[String], texts: &BTreeMap<String, String>) -> Result<(), String> {
    let mut run = Run { texts, numbers: BTreeMap::new(), connections: BTreeMap::new(), servers: BTreeMap::new() };
    let mut rest = lines;
    while let Some((line, following)) = rest.split_first() {
        let shown = following.iter().take_while(|line| command_of(line).is_none() && pause_of(line).is_none()).count();
        let (expected, others) = following.split_at(shown);
        rest = others;
        if let Some(pause) = pause_of(line) {
            thread::sleep(pause);
        } else if let Some((connection, command)) = command_of(line) {
            let actual = run.send(connection, command)?;
            run.compare(expected, &actual).map_err(|why| format!("{line}\n{}\n{why}", actual.join("\n")))?;
        } else {
            return Err(format!("neither a command nor a pause: {line}"));
        }
    }
    Ok(())
}

/// The connection and the command of a line.
fn command_of(line: &str) -> Option<(&str, &str)> {
    let (connection, command) = line.split_once("> ")?;
    connection.chars().all(|c| c.is_ascii_lowercase()).then_some((connection, command))
}

fn pause_of(line: &str) -> Option<Duration> {
    let ms = line.strip_prefix('(')?.strip_suffix(" ms later)")?;
    ms.parse().ok().map(Duration::from_millis)
}

struct Run<'t> {
    texts: &'t BTreeMap<String, String>,
    numbers: BTreeMap<String, i64>,
    // Connections close before their servers end.
    connections: BTreeMap<String, Conn>,
    servers: BTreeMap<bool, Server>,
}

impl Run<'_> {
    fn send(&mut self, connection: &str, command: &str) -> Result<Vec<String>, String> {
        let mut words = Vec::new();
        for word in split(command)? {
            words.push(self.filled_in(&word)?);
        }
        if !self.connections.contains_key(connection) {
            let has_module = connection != "store";
            let server = self.servers.entry(has_module).or_insert_with(|| match has_module {
                true => Server::start(),
                false => Server::builder().without_module().start(),
            });
            self.connections.insert(connection.to_owned(), server.connect_resp3());
        }
        let conn = self.connections.get_mut(connection).expect("it was made just now");
        let mut shown = Vec::new();
        match conn.answer(words) {
            Ok(value) => show(&value, "", &mut shown),
            Err(refusal) => shown.push(format!("(error) {refusal}")),
        }
        Ok(shown)
    }

    /// A word of a command, with its placeholders filled in.
    fn filled_in(&self, word: &str) -> Result<String, String> {
        let mut filled = String::new();
        for part in parts(word) {
            match part {
                Part::Plain(text) => filled += text,
                Part::Number(name, plus) => {
                    let number = self.numbers.get(name).ok_or_else(|| format!("<{name}> is not known yet"))?;
                    filled += &(number + plus).to_string();
                }
                Part::Text(name) => filled += self.texts.get(name).ok_or_else(|| format!("no text <{name}>"))?,
                Part::Range(..) => return Err(format!("a range in a command: {word}")),
            }
        }
        Ok(filled)
    }

    fn compare(&mut self, expected: &[String], actual: &[String]) -> Result<(), String> {
        let mut actual = actual.iter();
        let mut skips = false;
        for line in expected.iter().map(|line| line.trim_end()).filter(|line| !line.is_empty()) {
            if line == "…" {
                skips = true;
                continue;
            }
            loop {
                let found = actual.next().ok_or_else(|| format!("there is no line: {line}"))?;
                let before = self.numbers.clone();
                if self.is_shown_by(line, found.trim_end()) {
                    break;
                }
                self.numbers = before;
                if !skips {
                    return Err(format!("not as shown: {line}"));
                }
            }
            skips = false;
        }
        match actual.next() {
            Some(line) if !skips => Err(format!("not shown: {line}")),
            _ => Ok(()),
        }
    }

    /// Whether `expected` shows `actual`; binds the names in it that were free.
    fn is_shown_by(&mut self, expected: &str, actual: &str) -> bool {
        let mut rest = actual;
        let (expected, may_go_on) = expected.strip_suffix('…').map_or((expected, false), |start| (start, true));
        for part in parts(expected) {
            if let Part::Plain(text) = part {
                let Some(after) = rest.strip_prefix(text) else { return false };
                rest = after;
                continue;
            }
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let Ok(number) = rest[..digits].parse::<i64>() else { return false };
            rest = &rest[digits..];
            let fits = match part {
                Part::Range(least, most) => (least..=most).contains(&number),
                Part::Number(name, plus) => {
                    *self.numbers.entry(name.to_owned()).or_insert(number - plus) == number - plus
                }
                Part::Plain(_) | Part::Text(_) => false,
            };
            if !fits {
                return false;
            }
        }
        may_go_on || rest.is_empty()
    }
}

/// A piece of a line.
enum Part<'l> {
    Plain(&'l str),
    Number(&'l str, i64),
    Range(i64, i64),
    Text(&'l str),
}

fn parts(line: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = line;
    while let Some((plain, (placeholder, after))) =
        rest.split_once('<').and_then(|(plain, after)| Some((plain, after.split_once('>')?)))
    {
        parts.push(Part::Plain(plain));
        parts.push(match (placeholder.split_once('…'), placeholder.split_once('+')) {
            _ if placeholder.contains('.') => Part::Text(placeholder),
            (Some((least, most)), _) => Part::Range(number(least), number(most)),
            (None, Some((name, plus))) => Part::Number(name, number(plus)),
            (None, None) => Part::Number(placeholder, 0),
        });
        rest = after;
    }
    parts.push(Part::Plain(rest));
    parts
}

#[track_caller]
fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("a number was expected, not {text}"))
}

/// The words of a command as redis-cli splits it: at blanks, but for those between double quotes.
fn split(command: &str) -> Result<Vec<String>, String> {
    let mut words = Vec::new();
    let mut chars = command.chars().peekable();
    while let Some(first) = chars.next() {
        match first {
            ' ' => {}
            '"' => {
                let mut word = String::new();
                loop {
                    match chars.next().ok_or_else(|| format!("an open quote: {command}"))? {
                        '"' => break,
                        '\\' => word.extend(chars.next()),
                        other => word.push(other),
                    }
                }
                words.push(word);
            }
            _ => {
                let mut word = String::from(first);
                while let Some(next) = chars.next_if(|next| *next != ' ') {
                    word.push(next);
                }
                words.push(word);
            }
        }
    }
    Ok(words)
}

/// A reply as redis-cli shows it; what is nested is indented by `prefix`, but for the first line of all.
fn show(value: &Value, prefix: &str, out: &mut Vec<String>) {
    match value {
        Value::Nil => out.push("(nil)".into()),
        Value::Int(number) => out.push(format!("(integer) {number}")),
        Value::Okay => out.push("OK".into()),
        Value::SimpleString(status) => out.push(status.clone()),
        Value::BulkString(bytes) => out.push(quoted(bytes)),
        Value::Array(elements) | Value::Set(elements) if elements.is_empty() => out.push("(empty array)".into()),
        Value::Array(elements) | Value::Set(elements) => {
            let width = elements.len().to_string().len();
            let inner = format!("{prefix}{}", " ".repeat(width + 2));
            for (nth, element) in elements.iter().enumerate() {
                let at = out.len();
                show(element, &inner, out);
                out[at] = format!("{}{:>width$}) {}", indent(nth, prefix), nth + 1, out[at]);
            }
        }
        Value::Map(pairs) => {
            let width = pairs.len().to_string().len();
            let inner = format!("{prefix}{}", " ".repeat(width + 2));
            for (nth, (name, value)) in pairs.iter().enumerate() {
                let at = out.len();
                show(name, &inner, out);
                out[at] = format!("{}{:>width$}# {} => ", indent(nth, prefix), nth + 1, out[at]);
                let value_at = out.len();
                show(value, &inner, out);
                let is_nested = matches!(value, Value::Array(elements) if !elements.is_empty());
                if is_nested {
                    out[value_at].insert_str(0, &inner);
                } else {
                    let line = out.remove(value_at);
                    out[at] += &line;
                }
            }
        }
        other => out.push(format!("{other:?}")),
    }
}

fn indent(nth: usize, prefix: &str) -> &str {
    if nth == 0 { "" } else { prefix }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii().to_string().replace("\\'", "'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(expected: &str, actual: &str) -> Result<(), String> {
        let texts = BTreeMap::new();
        let mut run =
            Run { texts: &texts, numbers: BTreeMap::new(), connections: BTreeMap::new(), servers: BTreeMap::new() };
        let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
        run.compare(&lines(expected), &lines(actual))
    }

    #[test]
    fn a_reply_must_be_as_shown() {
        for (expected, actual) in [
            ("(integer) 1", "(integer) 1"),
            ("(integer) <id>\n(integer) <id+1>", "(integer) 41\n(integer) 42"),
            ("(integer) <0…5>", "(integer) 5"),
            ("a\n…\nc", "a\nb\nb\nc"),
            ("a\n…", "a\nb"),
            ("(error) ERR it is…", "(error) ERR it is so"),
        ] {
            assert_eq!(compare(expected, actual), Ok(()), "{expected}");
        }
        for (expected, actual) in [
            ("(integer) 1", "(integer) 0"),
            ("(integer) 1", ""),
            ("", "(integer) 1"),
            ("(integer) <id>\n(integer) <id>", "(integer) 41\n(integer) 42"),
            ("(integer) <id+1>\n(integer) <id>", "(integer) 41\n(integer) 42"),
            ("(integer) <id>", "\"41\""),
            ("(integer) <0…5>", "(integer) 6"),
            ("a\n…\nc", "a\nb"),
            ("(error) ERR it is…", "(error) ERR is it"),
            ("a\n…\nc", "a\nc\nd"),
        ] {
            assert!(compare(expected, actual).is_err(), "{expected} shows {actual}");
        }
    }

    #[test]
    fn replies_are_shown_as_redis_cli_shows_them() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let consumer = Value::Map(vec![(text("name"), text("a \"b\"")), (text("claims"), Value::Int(1))]);
        let mut pairs: Vec<_> = (1..=10).map(|n| (text("n"), Value::Int(n))).collect();
        pairs.push((text("consumers"), Value::Array(vec![consumer.clone(), consumer])));
        pairs.push((text("none"), Value::Array(vec![])));
        let mut shown = Vec::new();
        show(&Value::Array(vec![Value::Nil, Value::Map(pairs)]), "", &mut shown);
        let expected = "1) (nil)\n2)  1# \"n\" => (integer) 1\n    2# \"n\" => (integer) 2\n";
        assert!(shown.join("\n").starts_with(expected), "{}", shown.join("\n"));
        let expected = "   11# \"consumers\" => \n       1) 1# \"name\" => \"a \\\"b\\\"\"\n          2# \"claims\" => (integer) 1\n       2) 1#";
        assert!(shown.join("\n").contains(expected), "{}", shown.join("\n"));
        assert_eq!(shown.last().map(String::as_str), Some("   12# \"none\" => (empty array)"));
    }

    #[test]
    fn quotes_hold_words_together() {
        assert_eq!(split(r#"EVAL "a \"b\" c" 1  d"#), Ok(["EVAL", "a \"b\" c", "1", "d"].map(str::to_owned).to_vec()));
        assert!(split("an \"open").is_err());
    }
}
