//! A client's connection, lost and made again, and what it writes down.

use std::{
    mem,
    sync::{PoisonError, atomic::Ordering::Relaxed},
    thread,
    time::Duration,
};

use redis::{ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, Value};

use super::{Arena, CHANNEL, Settled};
use crate::{
    Claim, Conn, Words,
    conn::{is_refusal, on_the_wire},
    history::{At, What},
    reply::int_of,
};

/// How long it waits before it tries again what was refused or failed.
const AGAIN: Duration = Duration::from_millis(10);

/// How the server took a command.
pub(super) enum Said {
    /// It did it.
    Answer(Value),
    /// It did not: the answer as it stood on the wire.
    Refused(String),
    /// Nobody knows: the connection broke.
    Nothing,
}

impl Said {
    /// An answered number.
    pub fn number(&self) -> Option<i64> {
        match self {
            Self::Answer(value) => Some(int_of(value)),
            Self::Refused(_) | Self::Nothing => None,
        }
    }
}

/// One client.
pub(super) struct Link<'a> {
    arena: &'a Arena,
    settings: RedisConnectionInfo,
    /// Whether its connections subscribe to the channel.
    subscribes: bool,
    client: u32,
    /// The port of the server that it last connected to.
    server: u16,
    conn: Option<Conn>,
    /// When the connection was last known to live.
    alive_at: At,
    /// When the last command was sent.
    sent: At,
    /// Whether its answer is beyond the reach of a crash.
    settled: bool,
    /// Claims that end with the connection.
    held: Vec<i64>,
}

impl<'a> Link<'a> {
    pub fn new(arena: &'a Arena) -> Self {
        Self {
            arena,
            settings: arena.settings.clone(),
            subscribes: false,
            server: 0,
            client: arena.history.client(),
            conn: None,
            alive_at: At::ZERO,
            sent: At::ZERO,
            settled: false,
            held: Vec::new(),
        }
    }

    pub fn resp3(mut self) -> Self {
        self.settings = self.settings.set_protocol(ProtocolVersion::RESP3);
        self
    }

    /// Over RESP3, with a subscription on the same connection.
    pub fn subscribed(mut self) -> Self {
        self.subscribes = true;
        self.resp3()
    }

    /// As the user with few rights.
    pub fn worker(mut self) -> Self {
        self.arena.limited.lock().unwrap_or_else(PoisonError::into_inner).push(self.client);
        self.settings = self.settings.set_username("worker").set_password("secret");
        self
    }

    /// A name that no other client has.
    pub fn name(&self) -> String {
        format!("client{}", self.client)
    }

    /// Sends one command and waits for its answer, and until it is settled if replication settles it.
    pub fn ask(&mut self, command: impl Words) -> Said {
        self.ask_with(|conn| conn.call(command.words()))
    }

    /// The commands as one transaction that watches a key which nobody changes; the answer of EXEC.
    pub fn transact(&mut self, commands: &[String]) -> Said {
        let mut all = vec!["WATCH nobody-changes-it".to_owned(), "MULTI".to_owned()];
        all.extend_from_slice(commands);
        all.push("EXEC".to_owned());
        self.ask_with(|conn| conn.pipeline(&all)?.pop().expect("an answer for each command"))
    }

    fn ask_with(&mut self, call: impl FnOnce(&mut Conn) -> RedisResult<Value>) -> Said {
        let Some(mut conn) = self.connected() else { return Said::Nothing };
        self.sent = self.arena.history.now();
        let answer = call(&mut conn);
        match answer {
            Ok(answer) => {
                self.settled = match self.arena.settled {
                    Settled::WhenAnswered => true,
                    Settled::WhenReplicated => matches!(conn.call("WAIT 1 300"), Ok(Value::Int(1..))),
                };
                self.conn = Some(conn);
                self.alive_at = self.sent;
                Said::Answer(answer)
            }
            Err(error) if is_refusal(&error) => self.refused(conn, &error),
            Err(_) => {
                self.lose();
                Said::Nothing
            }
        }
    }

    fn refused(&mut self, conn: Conn, error: &RedisError) -> Said {
        let refusal = on_the_wire(error);
        self.arena.count_refusal(&refusal);
        // Another server is the primary by now, where no session of this one counts.
        let is_deposed = ["READONLY", "UNBLOCKED"].iter().any(|code| refusal.starts_with(code));
        if !is_deposed {
            self.alive_at = self.sent;
        }
        // A client that is refused for a while looks for another server, which ends its session.
        let gives_up = ["NOREPLICAS", "MISCONF"].iter().any(|code| refusal.starts_with(code));
        if is_deposed || (gives_up && self.arena.below(20) == 0) {
            drop(conn);
            self.lose();
        } else {
            self.conn = Some(conn);
        }
        thread::sleep(AGAIN);
        Said::Refused(refusal)
    }

    fn connected(&mut self) -> Option<Conn> {
        if let Some(conn) = self.conn.take() {
            return Some(conn);
        }
        while !self.arena.is_over() {
            if let Ok(conn) = self.connect() {
                self.alive_at = self.arena.history.now();
                return Some(conn);
            }
            thread::sleep(AGAIN);
        }
        None
    }

    fn connect(&mut self) -> RedisResult<Conn> {
        self.server = self.arena.port.load(Relaxed);
        let mut conn = Conn::open(self.server, self.settings.clone())?;
        if self.subscribes {
            conn.subscribe(CHANNEL)?;
        }
        Ok(conn)
    }

    /// The connection is gone, or given up; when the server noticed, it does not know.
    pub fn lose(&mut self) {
        self.conn = None;
        let receipts = mem::take(&mut self.held);
        if !receipts.is_empty() {
            self.arena.history.add(self.client, self.server, self.alive_at, false, What::SessionEnd { receipts });
        }
    }

    /// Writes down what the last command came to.
    pub fn saw(&self, what: What) {
        let more = match what {
            What::Push { id: Some(_), .. } => 1,
            What::Complete { counted: Some(true) | None, .. } => -1,
            _ => 0,
        };
        self.arena.backlog.fetch_add(more, Relaxed);
        self.arena.history.add(self.client, self.server, self.sent, self.settled, what);
    }

    /// Writes down claims that the last command was answered with.
    pub fn saw_claims(&mut self, claims: &[Claim], lease: Duration) {
        for Claim { receipt, id, payload, .. } in claims {
            self.saw(What::Claim { payload: payload.clone(), id: *id, receipt: *receipt, lease });
            self.held.push(*receipt);
        }
    }

    /// The last command was to complete this claim.
    pub fn saw_completion(&mut self, receipt: i64, counted: Option<bool>) {
        self.held.retain(|held| *held != receipt);
        self.saw(What::Complete { receipt, counted });
    }

    /// The last command was to end this claim in another way, or to prolong it.
    pub fn saw_touch(&self, receipt: i64, counted: Option<bool>) {
        self.saw(What::Touch { receipt, counted });
    }
}
