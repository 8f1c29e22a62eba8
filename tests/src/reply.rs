//! The shapes of replies, alike on RESP2 and RESP3.

use std::collections::BTreeMap;

use redis::Value;

/// The elements of an array.
#[track_caller]
pub(crate) fn list(value: &Value) -> &[Value] {
    match value {
        Value::Array(elements) | Value::Set(elements) => elements,
        other => panic!("an array was expected, not {other:?}"),
    }
}

#[track_caller]
pub(crate) fn int_of(value: &Value) -> i64 {
    match value {
        Value::Int(n) => *n,
        other => panic!("an integer was expected, not {other:?}"),
    }
}

/// A string, status or integer as text; `None` for nil.
///
/// # Panics
/// For arrays, maps and everything else that has no plain text.
#[track_caller]
#[must_use]
pub fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::Nil => None,
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        Value::SimpleString(text) | Value::VerbatimString { text, .. } => Some(text.clone()),
        Value::Okay => Some("OK".into()),
        Value::Int(n) => Some(n.to_string()),
        other => panic!("a string was expected, not {other:?}"),
    }
}

/// The elements of an array of strings.
///
/// # Panics
/// For anything else.
#[track_caller]
#[must_use]
pub fn strings(value: &Value) -> Vec<String> {
    match value {
        Value::Map(pairs) => pairs.iter().flat_map(|(name, value)| [name, value]).filter_map(text_of).collect(),
        _ => list(value).iter().filter_map(text_of).collect(),
    }
}

/// One element of MQ.CLAIM's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Names this claim.
    pub receipt: i64,
    /// Names the message.
    pub id: i64,
    /// How often it was claimed, this claim included.
    pub deliveries: i64,
    /// The payload, where it is text.
    pub payload: String,
    /// The payload as it came.
    pub bytes: Vec<u8>,
}

impl Claim {
    #[track_caller]
    pub(crate) fn from_value(value: &Value) -> Self {
        let [receipt, id, deliveries, Value::BulkString(payload)] = list(value) else {
            panic!("[receipt, id, deliveries, payload] was expected, not {value:?}");
        };
        Self {
            receipt: int_of(receipt),
            id: int_of(id),
            deliveries: int_of(deliveries),
            payload: String::from_utf8_lossy(payload).into_owned(),
            bytes: payload.clone(),
        }
    }

    #[track_caller]
    pub(crate) fn acked_and_claims(value: &Value) -> (i64, Vec<Self>) {
        let [acked, claims] = list(value) else { panic!("[acked, claims] was expected, not {value:?}") };
        (int_of(acked), list(claims).iter().map(Self::from_value).collect())
    }
}

/// One element of MQ.DRAINERRORS' reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Names the claim on it; 0 without LEASE.
    pub receipt: i64,
    /// Names the message.
    pub id: i64,
    /// How often it was claimed.
    pub deliveries: i64,
    /// The payload.
    pub payload: String,
    /// Why it failed.
    pub reason: String,
    /// Whose claim failed.
    pub consumer: String,
    /// When, in the server's milliseconds since 1970.
    pub failed_at_ms: i64,
}

impl Drained {
    /// As any other claim.
    pub(crate) fn claim(self) -> Claim {
        let bytes = self.payload.clone().into_bytes();
        Claim { receipt: self.receipt, id: self.id, deliveries: self.deliveries, payload: self.payload, bytes }
    }

    #[track_caller]
    pub(crate) fn from_value(value: &Value) -> Self {
        let [receipt, id, deliveries, payload, reason, consumer, failed_at] = list(value) else {
            panic!("[receipt, id, deliveries, payload, reason, consumer, failed-at-ms] was expected, not {value:?}");
        };
        let text = |value| text_of(value).expect("a string");
        Self {
            receipt: int_of(receipt),
            id: int_of(id),
            deliveries: int_of(deliveries),
            payload: text(payload),
            reason: text(reason),
            consumer: text(consumer),
            failed_at_ms: int_of(failed_at),
        }
    }
}

/// MQ.LEADER's reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// Who leads, if anybody.
    pub leader: Option<String>,
    /// The leadership's fencing token; 0 without a leader.
    pub token: i64,
    /// What is left of the lease; 0 without a leader.
    pub remaining_ms: i64,
}

impl Leadership {
    #[track_caller]
    pub(crate) fn from_value(value: &Value) -> Self {
        let [leader, token, remaining] = list(value) else {
            panic!("[leader, token, remaining-ms] was expected, not {value:?}");
        };
        Self { leader: text_of(leader), token: int_of(token), remaining_ms: int_of(remaining) }
    }

    /// The reply when nobody leads.
    #[must_use]
    pub fn none() -> Self {
        Self { leader: None, token: 0, remaining_ms: 0 }
    }

    /// Whether `candidate` leads.
    #[must_use]
    pub fn is(&self, candidate: &str) -> bool {
        self.leader.as_deref() == Some(candidate)
    }
}

/// A map of a reply, by field name.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields(BTreeMap<String, Value>);

/// The typed look-ups panic when the field is missing or of another kind.
impl Fields {
    #[track_caller]
    pub(crate) fn from_value(value: &Value) -> Self {
        let named = |name: &Value, value: &Value| (text_of(name).expect("a field has a name"), value.clone());
        let (pairs, stated): (BTreeMap<_, _>, _) = match value {
            Value::Map(pairs) => (pairs.iter().map(|(n, v)| named(n, v)).collect(), pairs.len()),
            Value::Array(flat) if flat.len() % 2 == 0 => {
                (flat.chunks_exact(2).map(|pair| named(&pair[0], &pair[1])).collect(), flat.len() / 2)
            }
            other => panic!("a map was expected, not {other:?}"),
        };
        assert_eq!(pairs.len(), stated, "a field stands twice in {value:?}");
        Self(pairs)
    }

    /// The field as it came; `None` where the map has no such field.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// An integer field.
    #[track_caller]
    #[must_use]
    pub fn int(&self, name: &str) -> i64 {
        int_of(self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")))
    }

    /// A field as text; empty for nil.
    #[track_caller]
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        text_of(self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))).unwrap_or_default()
    }

    /// The names of the fields.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The field as a map.
    #[track_caller]
    #[must_use]
    pub fn fields(&self, name: &str) -> Self {
        Self::from_value(self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}")))
    }

    /// The field as a list of maps.
    #[track_caller]
    #[must_use]
    pub fn maps(&self, name: &str) -> Vec<Self> {
        let value = self.get(name).unwrap_or_else(|| panic!("no {name} in {self:?}"));
        list(value).iter().map(Self::from_value).collect()
    }
}
