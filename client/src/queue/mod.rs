//! One queue through one connection: a typed method per command, and no policy. What a command does in every
//! state stands in the command reference of the module.

mod info;
mod message;
mod reply;
mod request;

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Cmd, Pipeline, Value};

pub use self::info::{Consumer, Figure, Info};
pub use self::message::{
    ErroredMessage, Failed, Id, Leadership, Message, Peeked, Receipt, Redrive, Settled, State, Token,
};
pub(crate) use self::request::millis;
pub use self::request::{Bond, Candidacy, Claim, Drain, Failure, Peek, Push};
use crate::connection::Connection;
use crate::error::{Error, Result};

/// A queue as one connection sees it. Clones share the connection.
#[derive(Clone, Debug)]
pub struct Queue {
    connection: Connection,
    name: String,
}

impl Queue {
    /// The queue under the key `name`.
    pub fn new(connection: Connection, name: &str) -> Self {
        Self { connection, name: name.to_owned() }
    }

    /// The key.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The connection that carries the commands, and to which sessions belong.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The same queue through a new connection; one attempt to open it.
    pub async fn open_again(&self) -> Result<Self> {
        Ok(Self::new(self.connection.open_again().await?, &self.name))
    }

    /// MQ.PUSH: adds the payloads, all or none; the id of the first. 0: a repeated push, recognised, whose ids
    /// are no longer known.
    pub async fn push<P: AsRef<[u8]>>(&self, push: &Push<'_>, payloads: &[P]) -> Result<Id> {
        let mut command = self.command("MQ.PUSH");
        push.write(&mut command);
        command.arg("MSG");
        for payload in payloads {
            command.arg(payload.as_ref());
        }
        Ok(Id(self.number(&command).await?))
    }

    /// MQ.CLAIM: claims ready messages for `consumer`; none when there are none, or none came in time.
    pub async fn claim(&self, consumer: &str, claim: &Claim) -> Result<Vec<Message>> {
        let mut command = self.command("MQ.CLAIM");
        command.arg(consumer);
        claim.write(&mut command);
        reply::messages(self.ask_for_payloads(&command, claim.block).await?)
    }

    /// MQ.CLAIM … ACK: completes `receipts` first, then claims. How many were current claims, and the claims.
    pub async fn ack_and_claim(
        &self,
        consumer: &str,
        claim: &Claim,
        receipts: &[Receipt],
    ) -> Result<(u64, Vec<Message>)> {
        if receipts.is_empty() {
            return Ok((0, self.claim(consumer, claim).await?));
        }
        let mut command = self.command("MQ.CLAIM");
        command.arg(consumer);
        claim.write(&mut command);
        command.arg("ACK");
        write_receipts(&mut command, receipts);
        reply::acked_and_messages(self.ask_for_payloads(&command, claim.block).await?)
    }

    /// MQ.ACK: completes; how many of the receipts were current claims.
    pub async fn ack(&self, receipts: &[Receipt]) -> Result<u64> {
        self.for_receipts(self.command("MQ.ACK"), receipts).await
    }

    /// MQ.FAIL: to the error store, or back to ready after the failure's `retry`.
    pub async fn fail(&self, failure: &Failure<'_>) -> Result<Failed> {
        failed(self.number(&self.fail_command(failure)).await?)
    }

    /// Completes and fails many claims in one exchange; one refused command leaves the others as they are. Errors: the
    /// exchange itself came to nothing.
    pub async fn settle(&self, acks: &[Receipt], failures: &[Failure<'_>]) -> Result<Settled> {
        let mut commands = Pipeline::new();
        if !acks.is_empty() {
            let mut command = self.command("MQ.ACK");
            write_receipts(&mut command, acks);
            commands.add_command(command);
        }
        for failure in failures {
            commands.add_command(self.fail_command(failure));
        }
        let mut answers = self.ask_all(&mut commands).await?.into_iter();
        let acked = match acks.is_empty() {
            true => Ok(0),
            false => answers.next().ok_or_else(too_few_answers)?.and_then(|answer| reply::number(&answer)),
        };
        let failed: Vec<_> = answers.map(|answer| failed(reply::number(&answer?)?)).collect();
        if failed.len() < failures.len() {
            return Err(too_few_answers());
        }
        Ok(Settled { acked, failed })
    }

    /// MQ.EXTEND: a new deadline `lease` from now; how many of the receipts were current claims.
    pub async fn extend(&self, lease: Duration, receipts: &[Receipt]) -> Result<u64> {
        let mut command = self.command("MQ.EXTEND");
        command.arg(millis(lease));
        self.for_receipts(command, receipts).await
    }

    /// The same; which of them were current claims. The count does not tell where some are over: then each is extended on
    /// its own, all in one exchange.
    pub async fn extend_current(&self, lease: Duration, receipts: &[Receipt]) -> Result<Vec<bool>> {
        if self.extend(lease, receipts).await? == receipts.len() as u64 {
            return Ok(vec![true; receipts.len()]);
        }
        let mut commands = Pipeline::new();
        for receipt in receipts {
            let mut command = self.command("MQ.EXTEND");
            command.arg(millis(lease)).arg(receipt.0);
            commands.add_command(command);
        }
        let answers = self.ask_all(&mut commands).await?;
        answers.into_iter().map(|answer| Ok(reply::number(&answer?)? == 1)).collect()
    }

    /// MQ.RELEASE: gives back unprocessed; how many of the receipts were current claims.
    pub async fn release(&self, receipts: &[Receipt]) -> Result<u64> {
        self.for_receipts(self.command("MQ.RELEASE"), receipts).await
    }

    /// MQ.LEADER without a candidate: who leads.
    pub async fn leader(&self) -> Result<Leadership> {
        reply::leadership(self.ask(&self.command("MQ.LEADER")).await?)
    }

    /// MQ.LEADER with a candidate: takes, renews or stands by for the leadership; who leads then.
    pub async fn lead(&self, candidate: &str, candidacy: &Candidacy) -> Result<Leadership> {
        let command = self.lead_command(candidate, candidacy);
        reply::leadership(self.ask_blocking(&command, candidacy.block).await?)
    }

    /// Renews the leadership and, in the same exchange, asks for the next number of `producer`, which shuts every
    /// older generator out (MQ.LEADER … TOKEN, MQ.SEQ … FENCE).
    pub async fn renew_and_resume(
        &self,
        candidate: &str,
        candidacy: &Candidacy,
        producer: &str,
        token: Token,
    ) -> Result<(Leadership, u64)> {
        let mut commands = Pipeline::new();
        commands.add_command(self.lead_command(candidate, candidacy));
        commands.add_command(self.seq_command(producer, Some(token)));
        let mut answers = self.ask_all(&mut commands).await?.into_iter();
        match (answers.next(), answers.next()) {
            (Some(leadership), Some(next)) => Ok((reply::leadership(leadership?)?, reply::number(&next?)?)),
            _ => Err(too_few_answers()),
        }
    }

    /// MQ.LEADER … RESIGN: whether that ended the candidate's leadership.
    pub async fn resign(&self, candidate: &str, token: Token) -> Result<bool> {
        let mut command = self.command("MQ.LEADER");
        command.arg(candidate).arg("RESIGN").arg(token.0);
        Ok(self.number(&command).await? == 1)
    }

    /// MQ.DRAINERRORS: takes, or claims, errored messages.
    pub async fn drain_errors(&self, drain: &Drain) -> Result<Vec<ErroredMessage>> {
        let mut command = self.command("MQ.DRAINERRORS");
        drain.write(&mut command);
        reply::errored_messages(self.ask_for_payloads(&command, None).await?)
    }

    /// MQ.REDRIVE: errored messages become ready again; how many.
    pub async fn redrive(&self, which: &Redrive) -> Result<u64> {
        let mut command = self.command("MQ.REDRIVE");
        match which {
            Redrive::First => {}
            Redrive::Count(count) => {
                command.arg("COUNT").arg(*count);
            }
            Redrive::Ids(ids) => {
                command.arg("ID");
                for id in ids {
                    command.arg(id.0);
                }
            }
        }
        self.number(&command).await
    }

    /// MQ.PEEK: messages in `state`, by id.
    pub async fn peek(&self, state: State, peek: &Peek) -> Result<Vec<Peeked>> {
        let mut command = self.command("MQ.PEEK");
        command.arg(state.word());
        peek.write(&mut command);
        reply::peeked(self.ask_for_payloads(&command, None).await?)
    }

    /// MQ.INFO: the queue's figures by name.
    pub async fn info(&self) -> Result<Info> {
        reply::figures(self.ask(&self.command("MQ.INFO")).await?)
    }

    /// MQ.INFO … CONSUMERS: the figures, and the first `count` consumers that hold claims, by name.
    pub async fn consumers(&self, count: u64) -> Result<(Info, Vec<Consumer>)> {
        let mut command = self.command("MQ.INFO");
        command.arg("CONSUMERS").arg("COUNT").arg(count);
        let (figures, consumers) = reply::split_off(self.ask(&command).await?, "consumers")?;
        Ok((reply::figures(figures)?, reply::consumers(consumers)?))
    }

    /// MQ.CONFIG without settings: all of them.
    pub async fn settings(&self) -> Result<BTreeMap<String, String>> {
        reply::fields(self.ask(&self.command("MQ.CONFIG")).await?)
    }

    /// MQ.CONFIG: changes settings, all or none.
    pub async fn configure(&self, settings: &[(&str, &str)]) -> Result<()> {
        let mut command = self.command("MQ.CONFIG");
        for (setting, value) in settings {
            command.arg(*setting).arg(*value);
        }
        self.ask(&command).await.map(drop)
    }

    /// MQ.SEQ: the next number expected from `producer`, 0 if unknown; with a token, older generators are shut
    /// out from then on.
    pub async fn seq(&self, producer: &str, fence: Option<Token>) -> Result<u64> {
        self.number(&self.seq_command(producer, fence)).await
    }

    fn command(&self, name: &'static str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(&self.name);
        command
    }

    fn fail_command(&self, failure: &Failure<'_>) -> Cmd {
        let mut command = self.command("MQ.FAIL");
        failure.write(&mut command);
        command
    }

    fn lead_command(&self, candidate: &str, candidacy: &Candidacy) -> Cmd {
        let mut command = self.command("MQ.LEADER");
        command.arg(candidate);
        candidacy.write(&mut command);
        command
    }

    fn seq_command(&self, producer: &str, fence: Option<Token>) -> Cmd {
        let mut command = self.command("MQ.SEQ");
        command.arg(producer);
        if let Some(token) = fence {
            command.arg("FENCE").arg(token.0);
        }
        command
    }

    async fn for_receipts(&self, mut command: Cmd, receipts: &[Receipt]) -> Result<u64> {
        if receipts.is_empty() {
            return Ok(0);
        }
        write_receipts(&mut command, receipts);
        self.number(&command).await
    }

    async fn number(&self, command: &Cmd) -> Result<u64> {
        reply::number(&self.ask(command).await?)
    }

    async fn ask(&self, command: &Cmd) -> Result<Value> {
        self.ask_blocking(command, None).await
    }

    async fn ask_blocking(&self, command: &Cmd, block: Option<Duration>) -> Result<Value> {
        let answer = match block {
            Some(Duration::ZERO) => self.connection.ask_without_limit(command).await,
            block => self.connection.ask(command, block.unwrap_or_default()).await,
        };
        self.explained(answer).await
    }

    async fn ask_for_payloads(&self, command: &Cmd, block: Option<Duration>) -> Result<Value> {
        let answer = match block {
            Some(Duration::ZERO) => self.connection.ask_without_limit(command).await,
            block => self.connection.ask_for_payloads(command, block.unwrap_or_default()).await,
        };
        self.explained(answer).await
    }

    async fn explained(&self, answer: Result<Value>) -> Result<Value> {
        match answer {
            Err(Error::WrongType(_)) => Err(Error::WrongType(self.what_it_is().await)),
            answer => answer,
        }
    }

    async fn ask_all(&self, commands: &mut Pipeline) -> Result<Vec<Result<Value>>> {
        let mut answers = self.connection.ask_all(commands).await?;
        let is_wrong = |answer: &Result<Value>| matches!(answer, Err(Error::WrongType(_)));
        if answers.iter().any(is_wrong) {
            let what_it_is = self.what_it_is().await;
            for answer in answers.iter_mut().filter(|answer| is_wrong(answer)) {
                *answer = Err(Error::WrongType(what_it_is.clone()));
            }
        }
        Ok(answers)
    }

    /// What a key is that is no queue, and what helps.
    async fn what_it_is(&self) -> String {
        let key = &self.name;
        let what = match self.connection.ask(redis::cmd("TYPE").arg(key), Duration::ZERO).await {
            Ok(Value::SimpleString(kind)) if kind != "none" => format!("a {kind}"),
            _ => "something else".to_owned(),
        };
        format!("the key {key} holds {what}, not a queue: use another --queue, or delete the key")
    }
}

fn write_receipts(command: &mut Cmd, receipts: &[Receipt]) {
    for receipt in receipts {
        command.arg(receipt.0);
    }
}

fn too_few_answers() -> Error {
    Error::Unexpected("fewer answers than commands".to_owned())
}

fn failed(answer: u64) -> Result<Failed> {
    match answer {
        0 => Ok(Failed::Stale),
        1 => Ok(Failed::Stored),
        2 => Ok(Failed::Retried),
        other => Err(Error::Unexpected(format!("MQ.FAIL answered {other}"))),
    }
}
