//! A client that waits in a blocking command while the test goes on.

use std::{
    thread::{self, JoinHandle},
    time::Instant,
};

use redis::{RedisResult, Value};

use crate::{Claim, Conn, Leadership, Server, Words, reply::list, until};

/// What came back, when, and on which connection.
struct Answer {
    conn: Conn,
    value: RedisResult<Value>,
    at: Instant,
}

/// One connection on which a command was sent whose answer is still awaited.
pub struct Waiter {
    id: i64,
    thread: JoinHandle<Answer>,
}

impl Waiter {
    /// Sends `command` on a new connection and returns when the server has it wait. For waits that only the test ends.
    #[track_caller]
    pub fn spawn(server: &Server, command: impl Words) -> Self {
        Self::spawn_on(server, server.connect(), command)
    }

    /// The same on a given connection.
    ///
    /// # Panics
    /// If the command is answered instead of waiting.
    #[track_caller]
    pub fn spawn_on(server: &Server, conn: Conn, command: impl Words) -> Self {
        let waiter = Self::send(conn, command);
        until("the command waits", || {
            assert!(waiter.waits(), "it was answered instead");
            server.waits(waiter.id)
        });
        waiter
    }

    /// The same for a wait that time ends: it may be over before it is seen.
    #[track_caller]
    pub fn spawn_for_a_while(server: &Server, command: impl Words) -> Self {
        let waiter = Self::send(server.connect(), command);
        until("the command waits, or has waited", || !waiter.waits() || server.waits(waiter.id));
        waiter
    }

    /// Sends without looking whether it waits.
    #[track_caller]
    pub fn send(mut conn: Conn, command: impl Words) -> Self {
        let id = conn.int("CLIENT ID");
        let words = command.words();
        let work = move || {
            let value = conn.call(words);
            Answer { value, at: Instant::now(), conn }
        };
        let thread = thread::Builder::new().stack_size(256 << 10).spawn(work).expect("a thread");
        Self { id, thread }
    }

    /// The connection's CLIENT ID.
    #[must_use]
    pub fn id(&self) -> i64 {
        self.id
    }

    /// Whether there is no answer yet. Of use only after something else has shown that the server is through.
    #[must_use]
    pub fn waits(&self) -> bool {
        !self.thread.is_finished()
    }

    /// The answer, with the connection on which it came and the moment.
    ///
    /// # Panics
    /// Without an answer in time.
    #[track_caller]
    pub fn answer(self) -> (Conn, RedisResult<Value>, Instant) {
        until("the waiter is answered", || self.thread.is_finished());
        let Answer { conn, value, at } = self.thread.join().expect("the waiter's thread does not panic");
        (conn, value, at)
    }

    /// An accepted command's answer; the connection closes.
    ///
    /// # Panics
    /// If it was refused.
    #[track_caller]
    #[must_use]
    pub fn value(self) -> Value {
        self.answer().1.expect("the waiter was refused")
    }

    /// The claims of an MQ.CLAIM; the connection closes.
    #[track_caller]
    #[must_use]
    pub fn claims(self) -> Vec<Claim> {
        list(&self.value()).iter().map(Claim::from_value).collect()
    }

    /// The answer of an MQ.CLAIM with ACK; the connection closes.
    #[track_caller]
    #[must_use]
    pub fn acked_and_claims(self) -> (i64, Vec<Claim>) {
        Claim::acked_and_claims(&self.value())
    }

    /// The answer of an MQ.LEADER, its moment, and the connection, which a SESSION needs open.
    #[track_caller]
    #[must_use]
    pub fn leader(self) -> (Leadership, Instant, Conn) {
        let (conn, value, at) = self.answer();
        (Leadership::from_value(&value.expect("the standby was refused")), at, conn)
    }
}
