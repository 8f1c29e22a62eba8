//! What a server answered, as an error quotes it.

use std::fmt::{self, Write as _};

use redis::Value;

/// The most bytes of a server's answer that an error quotes.
const LONGEST_QUOTE: usize = 200;

/// A value as an error quotes it: its beginning, because it may have hundreds of megabytes.
pub(crate) struct Brief<'a>(pub(crate) &'a Value);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut quote = Quote(String::new());
        match write!(quote, "{:?}", self.0) {
            Ok(()) => f.write_str(&quote.0),
            // It is full.
            Err(fmt::Error) => write!(f, "{}…", quote.0),
        }
    }
}

/// A text that takes no more than [`LONGEST_QUOTE`] bytes.
struct Quote(String);

impl fmt::Write for Quote {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = LONGEST_QUOTE.saturating_sub(self.0.len());
        let end = text.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= room).last();
        self.0.push_str(text.get(..end.unwrap_or(0)).unwrap_or_default());
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_quotes_the_beginning_of_a_value_only() {
        for value in [Value::BulkString(vec![b'x'; 300 << 20]), Value::Array(vec![Value::Int(1); 1 << 20])] {
            let quoted = Brief(&value).to_string();
            assert!(quoted.ends_with('…') && quoted.len() < 300, "{} bytes", quoted.len());
        }
        assert_eq!(Brief(&Value::Int(7)).to_string(), "int(7)");
    }
}
