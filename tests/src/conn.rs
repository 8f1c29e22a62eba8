//! One connection, spoken to in the words of the command reference.

use redis::{Client, ConnectionLike, ErrorKind, RedisConnectionInfo, RedisError, RedisResult, Value};

use crate::reply::{Claim, Drained, Fields, Leadership, list, text_of};

/// A command: a line of words, or the words themselves where they are not plain text.
pub trait Words {
    /// The command's words.
    fn words(&self) -> Vec<Vec<u8>>;
}

impl Words for &str {
    fn words(&self) -> Vec<Vec<u8>> {
        self.split_whitespace().map(|word| word.as_bytes().to_vec()).collect()
    }
}

impl Words for String {
    fn words(&self) -> Vec<Vec<u8>> {
        self.as_str().words()
    }
}

impl Words for &String {
    fn words(&self) -> Vec<Vec<u8>> {
        self.as_str().words()
    }
}

impl<W: AsRef<[u8]>> Words for &[W] {
    fn words(&self) -> Vec<Vec<u8>> {
        self.iter().map(|word| word.as_ref().to_vec()).collect()
    }
}

impl<W: AsRef<[u8]>, const N: usize> Words for [W; N] {
    fn words(&self) -> Vec<Vec<u8>> {
        self.as_slice().words()
    }
}

impl<W: AsRef<[u8]>> Words for Vec<W> {
    fn words(&self) -> Vec<Vec<u8>> {
        self.as_slice().words()
    }
}

/// The wire form of a command.
pub(crate) fn packed(command: &impl Words) -> Vec<u8> {
    let mut cmd = redis::Cmd::new();
    for word in command.words() {
        cmd.arg(word);
    }
    cmd.get_packed_command()
}

/// One connection to a server. Closes when dropped.
pub struct Conn(redis::Connection);

/// The typed calls panic, naming the command, when the server refuses or answers in another shape than the reference says.
impl Conn {
    pub(crate) fn open(port: u16, settings: RedisConnectionInfo) -> RedisResult<Self> {
        let address = redis::IntoConnectionInfo::into_connection_info(format!("redis://127.0.0.1:{port}"))?;
        Ok(Self(Client::open(address.set_redis_settings(settings))?.get_connection()?))
    }

    /// A connection of a process that the test has started, to a server that it was told of.
    ///
    /// # Panics
    /// If nobody listens there.
    #[must_use]
    pub fn to_port(port: u16) -> Self {
        Self::open(port, RedisConnectionInfo::default()).expect("a server at that port")
    }

    /// From here on an answer that takes longer breaks the connection.
    ///
    /// # Panics
    /// Never, short of a closed connection.
    pub fn give_up_after(&mut self, patience: std::time::Duration) {
        self.0.set_read_timeout(Some(patience)).expect("an open connection");
    }

    /// Subscribes this RESP3 connection to a channel. Calls skip the messages that are pushed from then on.
    pub(crate) fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        self.0.subscribe_resp3(channel)
    }

    /// Any command; a refusal is an `Err`.
    ///
    /// # Errors
    /// What the server answered with `-`, or the connection's end.
    pub fn call(&mut self, command: impl Words) -> RedisResult<Value> {
        self.0.req_packed_command(&packed(&command))?.extract_error()
    }

    /// Any command; a refusal as it stood on the wire.
    pub(crate) fn answer(&mut self, command: impl Words) -> Result<Value, String> {
        self.call(command).map_err(|e| on_the_wire(&e))
    }

    /// Any command that is expected to be accepted.
    #[track_caller]
    pub fn ok(&mut self, command: impl Words) -> Value {
        let words = command.words();
        self.call(words.as_slice()).unwrap_or_else(|e| panic!("{} was refused: {e}", shown(&words)))
    }

    /// A command that answers with an integer.
    #[track_caller]
    pub fn int(&mut self, command: impl Words) -> i64 {
        let words = command.words();
        match self.ok(words.as_slice()) {
            Value::Int(n) => n,
            other => panic!("{} answered {other:?}, not an integer", shown(&words)),
        }
    }

    /// A command that answers with a string.
    #[track_caller]
    pub fn text(&mut self, command: impl Words) -> String {
        text_of(&self.ok(command)).expect("a string")
    }

    /// A command that must be refused: the error as it stood on the wire, `FENCED …`.
    #[track_caller]
    pub fn refusal(&mut self, command: impl Words) -> String {
        let words = command.words();
        match self.call(words.as_slice()) {
            Ok(answer) => panic!("{} was accepted: {answer:?}", shown(&words)),
            Err(e) => on_the_wire(&e),
        }
    }

    /// MQ.CLAIM without ACK.
    #[track_caller]
    pub fn claims(&mut self, command: impl Words) -> Vec<Claim> {
        list(&self.ok(command)).iter().map(Claim::from_value).collect()
    }

    /// MQ.CLAIM that is expected to claim exactly one message.
    #[track_caller]
    pub fn claim(&mut self, command: impl Words) -> Claim {
        let mut claims = self.claims(command);
        assert_eq!(claims.len(), 1, "one claim was expected");
        claims.remove(0)
    }

    /// MQ.CLAIM with ACK: how many were completed, and the claims.
    #[track_caller]
    pub fn acked_and_claims(&mut self, command: impl Words) -> (i64, Vec<Claim>) {
        Claim::acked_and_claims(&self.ok(command))
    }

    /// MQ.LEADER without RESIGN.
    #[track_caller]
    pub fn leader(&mut self, command: impl Words) -> Leadership {
        Leadership::from_value(&self.ok(command))
    }

    /// MQ.DRAINERRORS.
    #[track_caller]
    pub fn drained(&mut self, command: impl Words) -> Vec<Drained> {
        list(&self.ok(command)).iter().map(Drained::from_value).collect()
    }

    /// A command that answers with one map.
    #[track_caller]
    pub fn fields(&mut self, command: impl Words) -> Fields {
        Fields::from_value(&self.ok(command))
    }

    /// A command that answers with a list of maps, as MQ.PEEK does.
    #[track_caller]
    pub fn maps(&mut self, command: impl Words) -> Vec<Fields> {
        list(&self.ok(command)).iter().map(Fields::from_value).collect()
    }

    /// MQ.INFO of a queue whose books balance.
    #[track_caller]
    pub fn balanced(&mut self, queue: &str) -> Fields {
        let info = self.fields(["MQ.INFO", queue]);
        let whereabouts: i64 = ["ready", "delayed", "claimed", "errors", "acked", "drained", "removed", "dropped"]
            .map(|n| info.int(n))
            .iter()
            .sum();
        assert_eq!(info.int("pushed"), whereabouts, "the books of {queue}: {info:?}");
        info
    }

    /// The commands as one transaction; one answer each.
    #[track_caller]
    pub fn exec(&mut self, commands: &[&str]) -> Vec<Value> {
        self.ok("MULTI");
        for &command in commands {
            assert_eq!(text_of(&self.ok(command)).as_deref(), Some("QUEUED"), "{command}");
        }
        list(&self.ok("EXEC")).to_vec()
    }

    /// Sends all commands before reading any answer, so that the server finds them side by side.
    ///
    /// # Errors
    /// Each command's own refusal stands in its place; the connection's end fails the whole.
    pub fn pipeline<W: Words>(&mut self, commands: &[W]) -> RedisResult<Vec<RedisResult<Value>>> {
        let bytes: Vec<u8> = commands.iter().flat_map(packed).collect();
        self.0.send_packed_command(&bytes)?;
        Ok(commands.iter().map(|_| self.0.recv_response().and_then(Value::extract_error)).collect())
    }

    /// A Lua script with one key and its arguments.
    ///
    /// # Errors
    /// What the script raised.
    pub fn eval(&mut self, script: &str, key: &str, arguments: &[&str]) -> RedisResult<Value> {
        let mut words = vec!["EVAL", script, "1", key];
        words.extend(arguments);
        self.call(words)
    }

    /// The value's DEBUG DIGEST-VALUE: equal for equal states, whatever their history, name, and server.
    #[track_caller]
    pub fn digest(&mut self, key: &str) -> String {
        let answer = self.ok(["DEBUG", "DIGEST-VALUE", key]);
        let digest = text_of(list(&answer).first().expect("one digest")).expect("a digest is a string");
        assert!(digest.chars().any(|c| c != '0'), "{key} is missing, or its type has no digest");
        digest
    }

    /// The server's wall clock in milliseconds since 1970.
    #[track_caller]
    pub fn clock_ms(&mut self) -> i64 {
        let parts: Vec<i64> = list(&self.ok("TIME"))
            .iter()
            .map(|part| text_of(part).expect("a string").parse().expect("a number"))
            .collect();
        parts[0] * 1000 + parts[1] / 1000
    }

    /// One line of INFO.
    #[track_caller]
    pub fn server_info(&mut self, section: &str, name: &str) -> String {
        let info = self.text(["INFO", section]);
        let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("INFO {section} has no {name}")).trim().to_owned()
    }

    /// One line of INFO that is an integer.
    #[track_caller]
    pub fn server_count(&mut self, section: &str, name: &str) -> i64 {
        self.server_info(section, name).parse().expect("an integer of INFO")
    }

    /// What INFO commandstats says of a command, `calls` or `usec`, say; 0 while it says nothing.
    #[track_caller]
    pub fn command_count(&mut self, command: &str, name: &str) -> i64 {
        let info = self.text("INFO commandstats");
        let line =
            info.lines().find_map(|line| line.strip_prefix("cmdstat_")?.strip_prefix(command)?.strip_prefix(':'));
        let count = line.and_then(|line| line.split(',').find_map(|part| part.strip_prefix(name)?.strip_prefix('=')));
        count.map_or(0, |count| count.trim().parse().expect("an integer of INFO"))
    }
}

/// Whether the server said this, so that the command was not carried out.
pub(crate) fn is_refusal(error: &RedisError) -> bool {
    error.code().is_some() && error.kind() != ErrorKind::Io
}

/// The error as the server sent it, code first.
pub(crate) fn on_the_wire(error: &RedisError) -> String {
    assert!(is_refusal(error), "the connection broke instead of a refusal: {error}");
    format!("{} {}", error.code().unwrap_or_default(), error.detail().unwrap_or_default())
}

fn shown(words: &[Vec<u8>]) -> String {
    let shown: Vec<_> = words.iter().map(|word| String::from_utf8_lossy(&word[..word.len().min(60)])).collect();
    shown.join(" ")
}
