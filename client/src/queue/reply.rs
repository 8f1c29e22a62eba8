//! Answers of the server as values of this crate. Both protocols: a map may come as a flat array, a string as
//! bytes or as text.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::Value;

use super::info::{Consumer, Figure, Info};
use super::message::{ErroredMessage, Id, Leadership, Message, Peeked, Receipt, Token};
use crate::error::{Brief, Error, Result};

pub(super) fn number(value: &Value) -> Result<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        Value::BulkString(digits) => std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()),
        Value::SimpleString(digits) => digits.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| Error::Unexpected(format!("{} where a number belongs", Brief(value))))
}

pub(super) fn bytes(value: Value) -> Result<Vec<u8>> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Ok(text.into_bytes()),
        Value::Okay => Ok(b"OK".to_vec()),
        other => Err(Error::Unexpected(format!("{} where a string belongs", Brief(&other)))),
    }
}

fn items(value: Value) -> Result<Vec<Value>> {
    match value {
        Value::Array(items) | Value::Set(items) => Ok(items),
        Value::Nil => Ok(Vec::new()),
        other => Err(Error::Unexpected(format!("{} where an array belongs", Brief(&other)))),
    }
}

fn row<const N: usize>(value: Value) -> Result<[Value; N]> {
    items(value)?
        .try_into()
        .map_err(|items: Vec<Value>| Error::Unexpected(format!("{} fields where {N} belong", items.len())))
}

/// `[[receipt, id, deliveries, payload] …]`
pub(super) fn messages(value: Value) -> Result<Vec<Message>> {
    items(value)?
        .into_iter()
        .map(|message| {
            let [receipt, id, deliveries, payload] = row(message)?;
            Ok(Message {
                receipt: Receipt(number(&receipt)?),
                id: Id(number(&id)?),
                deliveries: number(&deliveries)?,
                payload: bytes(payload)?,
            })
        })
        .collect()
}

/// `[acked, [[receipt, id, deliveries, payload] …]]`
pub(super) fn acked_and_messages(value: Value) -> Result<(u64, Vec<Message>)> {
    let [acked, claims] = row(value)?;
    Ok((number(&acked)?, messages(claims)?))
}

/// `[[receipt, id, deliveries, payload, reason, consumer, failed-at-ms] …]`
pub(super) fn errored_messages(value: Value) -> Result<Vec<ErroredMessage>> {
    items(value)?
        .into_iter()
        .map(|message| {
            let [receipt, id, deliveries, payload, reason, consumer, failed_at_ms] = row(message)?;
            Ok(ErroredMessage {
                receipt: Receipt(number(&receipt)?),
                id: Id(number(&id)?),
                deliveries: number(&deliveries)?,
                payload: bytes(payload)?,
                reason: bytes(reason)?,
                consumer: bytes(consumer)?,
                failed_at_ms: number(&failed_at_ms)?,
            })
        })
        .collect()
}

/// `[leader, token, remaining-ms]`
pub(super) fn leadership(value: Value) -> Result<Leadership> {
    let [leader, token, remaining] = row(value)?;
    let leader = match leader {
        Value::Nil => None,
        name => Some(text(bytes(name)?)),
    };
    Ok(Leadership { leader, token: Token(number(&token)?), remaining: Duration::from_millis(number(&remaining)?) })
}

/// Fields by name, each as text; a field without a value (nobody leads, nothing is due) is left out.
pub(super) fn fields(value: Value) -> Result<BTreeMap<String, String>> {
    pairs(value)?
        .into_iter()
        .filter(|(_, value)| !matches!(value, Value::Nil))
        .map(|(name, value)| {
            let value = match value {
                Value::Int(number) => number.to_string(),
                Value::Double(number) => number.to_string(),
                Value::Boolean(yes) => (if yes { "yes" } else { "no" }).to_owned(),
                other => text(bytes(other)?),
            };
            Ok((text(bytes(name)?), value))
        })
        .collect()
}

/// The map of MQ.INFO, without consumers.
pub(super) fn figures(value: Value) -> Result<Info> {
    let figure = |value| -> Result<Figure> {
        Ok(match value {
            Value::Nil => Figure::Nothing,
            Value::Int(_) => Figure::Number(number(&value)?),
            Value::Double(number) => Figure::Text(number.to_string()),
            Value::Boolean(yes) => Figure::Text((if yes { "yes" } else { "no" }).to_owned()),
            other => Figure::Text(text(bytes(other)?)),
        })
    };
    pairs(value)?.into_iter().map(|(name, value)| Ok((text(bytes(name)?), figure(value)?))).collect()
}

/// `[{name, claims, nearest-deadline-in-ms} …]`
pub(super) fn consumers(value: Value) -> Result<Vec<Consumer>> {
    items(value)?
        .into_iter()
        .map(|consumer| {
            let mut fields = Fields::of(consumer)?;
            Ok(Consumer {
                name: text(bytes(fields.needed("name")?)?),
                claims: number(&fields.needed("claims")?)?,
                nearest_deadline_in: fields.span("nearest-deadline-in-ms")?.unwrap_or_default(),
            })
        })
        .collect()
}

/// `[{id, payload, deliveries, priority, …} …]`
pub(super) fn peeked(value: Value) -> Result<Vec<Peeked>> {
    items(value)?
        .into_iter()
        .map(|message| {
            let mut fields = Fields::of(message)?;
            Ok(Peeked {
                id: Id(number(&fields.needed("id")?)?),
                payload: bytes(fields.needed("payload")?)?,
                payload_bytes: fields.number("payload-bytes")?,
                deliveries: number(&fields.needed("deliveries")?)?,
                priority: number(&fields.needed("priority")?)?,
                receipt: fields.number("receipt")?.map(Receipt),
                due_in: fields.span("due-in-ms")?,
                lease_left: fields.span("lease-left-ms")?,
                reason: fields.take("reason").map(bytes).transpose()?,
                consumer: fields.take("consumer").map(bytes).transpose()?,
                failed_at_ms: fields.number("failed-at-ms")?,
            })
        })
        .collect()
}

/// A map of which some fields are known here; a later server may send more.
struct Fields(BTreeMap<String, Value>);

impl Fields {
    fn of(value: Value) -> Result<Self> {
        pairs(value)?.into_iter().map(|(name, value)| Ok((text(bytes(name)?), value))).collect::<Result<_>>().map(Self)
    }

    /// The field's value; `None` also when it is nil.
    fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|value| !matches!(value, Value::Nil))
    }

    fn needed(&mut self, name: &str) -> Result<Value> {
        self.take(name).ok_or_else(|| Error::Unexpected(format!("a map without {name}")))
    }

    fn number(&mut self, name: &str) -> Result<Option<u64>> {
        self.take(name).map(|value| number(&value)).transpose()
    }

    fn span(&mut self, name: &str) -> Result<Option<Duration>> {
        Ok(self.number(name)?.map(Duration::from_millis))
    }
}

/// Splits the field `name`, itself an array of maps, off a map.
pub(super) fn split_off(value: Value, name: &str) -> Result<(Value, Value)> {
    let (mut split, mut kept) = (Value::Nil, Vec::new());
    for (key, value) in pairs(value)? {
        if text(bytes(key.clone())?).eq_ignore_ascii_case(name) {
            split = value;
        } else {
            kept.push((key, value));
        }
    }
    Ok((Value::Map(kept), split))
}

fn pairs(value: Value) -> Result<Vec<(Value, Value)>> {
    match value {
        Value::Map(pairs) => Ok(pairs),
        Value::Array(flat) => {
            let mut flat = flat.into_iter();
            let mut pairs = Vec::with_capacity(flat.len() / 2);
            while let Some(name) = flat.next() {
                let value =
                    flat.next().ok_or_else(|| Error::Unexpected("a map with an odd number of parts".to_owned()))?;
                pairs.push((name, value));
            }
            Ok(pairs)
        }
        other => Err(Error::Unexpected(format!("{} where a map belongs", Brief(&other)))),
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    #[test]
    fn claims_are_rows_of_four() {
        let claim = Value::Array(vec![Value::Int(7), Value::Int(3), Value::Int(1), string("41")]);
        let message = Message { receipt: Receipt(7), id: Id(3), deliveries: 1, payload: b"41".to_vec() };
        assert_eq!(messages(Value::Array(vec![claim.clone()])).unwrap(), vec![message.clone()]);
        assert_eq!(messages(Value::Array(vec![])).unwrap(), []);
        let with_acks = Value::Array(vec![Value::Int(2), Value::Array(vec![claim])]);
        assert_eq!(acked_and_messages(with_acks).unwrap(), (2, vec![message]));
        assert!(messages(Value::Array(vec![Value::Array(vec![Value::Int(7)])])).is_err());
    }

    #[test]
    fn nobody_leads_when_the_leader_is_nil() {
        let free = leadership(Value::Array(vec![Value::Nil, Value::Int(0), Value::Int(0)])).unwrap();
        assert_eq!(free.leader, None);
        let held = leadership(Value::Array(vec![string("a:1"), Value::Int(5), Value::Int(900)])).unwrap();
        assert!(held.is_held_by("a:1") && !held.is_held_by("a"));
        assert_eq!((held.token, held.remaining), (Token(5), Duration::from_millis(900)));
    }

    #[test]
    fn a_map_may_come_flat() {
        let flat = Value::Array(vec![string("ready"), Value::Int(5), string("leader"), Value::Nil]);
        let map = Value::Map(vec![(string("ready"), Value::Int(5)), (string("leader"), Value::Nil)]);
        assert_eq!(fields(flat.clone()).unwrap(), fields(map).unwrap());
        assert_eq!(fields(flat).unwrap(), BTreeMap::from([("ready".to_owned(), "5".to_owned())]));
        assert!(fields(Value::Array(vec![string("ready")])).is_err());
    }

    #[test]
    fn figures_keep_their_kind() {
        let map = Value::Map(vec![
            (string("ready"), Value::Int(5)),
            (string("leader"), string("42")),
            (string("next-due-in-ms"), Value::Nil),
            (string("paused"), Value::Boolean(true)),
        ]);
        let info = figures(map).unwrap();
        assert_eq!(info.number("ready").unwrap(), 5);
        assert_eq!(info.get("leader"), Some(&Figure::Text("42".to_owned())));
        assert_eq!(info.get("next-due-in-ms"), Some(&Figure::Nothing));
        assert_eq!(info.get("paused"), Some(&Figure::Text("yes".to_owned())));
        assert!(info.number("leader").is_err() && info.number("no-such").is_err());
    }

    #[test]
    fn a_peeked_message_has_what_its_state_knows_and_no_field_of_a_later_server() {
        let map = vec![
            (string("id"), Value::Int(3)),
            (string("payload"), Value::BulkString(vec![0xff])),
            (string("deliveries"), Value::Int(2)),
            (string("priority"), Value::Int(0)),
            (string("failed-at-ms"), Value::Int(1_700)),
            (string("reason"), string("why")),
            (string("mood"), string("fine")),
        ];
        let messages = peeked(Value::Array(vec![Value::Map(map.clone())])).unwrap();
        let message = messages.first().unwrap();
        assert_eq!((message.id, message.payload.as_slice(), message.deliveries), (Id(3), &[0xff][..], 2));
        assert_eq!((message.failed_at_ms, message.reason.as_deref()), (Some(1_700), Some(&b"why"[..])));
        assert_eq!((message.receipt, message.due_in, message.consumer.as_deref()), (None, None, None));
        assert!(peeked(Value::Array(vec![Value::Map(map[1..].to_vec())])).is_err());
    }

    #[test]
    fn consumers_have_a_name_claims_and_a_deadline() {
        let flat = [string("name"), string("a"), string("claims"), Value::Int(2)];
        let deadline = [string("nearest-deadline-in-ms"), Value::Int(1_500)];
        let consumer = Value::Array(flat.into_iter().chain(deadline).collect());
        let expected = Consumer { name: "a".to_owned(), claims: 2, nearest_deadline_in: Duration::from_millis(1_500) };
        assert_eq!(consumers(Value::Array(vec![consumer])).unwrap(), [expected]);
    }
}
