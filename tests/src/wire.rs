//! One connection as bytes: pushes, answers and errors in the order in which they come.

use std::{
    io::Write as _,
    net::TcpStream,
    time::{Duration, Instant},
};

use redis::{Parser, Value};

use crate::{DEADLINE, Server, Words, conn::packed, patience};

/// A connection that hides nothing: also what the server pushes on RESP3. Closes when dropped.
pub struct Wire {
    stream: TcpStream,
    parser: Parser,
}

/// All panic when the connection breaks, or when an answer takes longer than [`DEADLINE`].
impl Wire {
    /// A connection to `server` that speaks RESP3.
    #[must_use]
    pub fn resp3(server: &Server) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("a server at that port");
        stream.set_read_timeout(Some(DEADLINE * patience())).expect("an open connection");
        let mut wire = Self { stream, parser: Parser::new() };
        wire.ask("HELLO 3");
        wire
    }

    /// Sends a command and does not wait for its answer.
    pub fn send(&mut self, command: impl Words) {
        self.stream.write_all(&packed(&command)).expect("an open connection");
    }

    /// The next thing that the server sends: an answer, an error ([`Value::ServerError`]), or a push ([`Value::Push`]).
    #[track_caller]
    pub fn receive(&mut self) -> Value {
        self.parser.parse_value(&mut self.stream).expect("the server answers")
    }

    /// A command and the next thing that comes.
    #[track_caller]
    pub fn ask(&mut self, command: impl Words) -> Value {
        self.send(command);
        self.receive()
    }

    /// The same, and how long it took.
    #[track_caller]
    pub fn ask_timed(&mut self, command: impl Words) -> (Value, Duration) {
        let asked = Instant::now();
        (self.ask(command), asked.elapsed())
    }
}
