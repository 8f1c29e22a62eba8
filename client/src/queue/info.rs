//! What MQ.INFO answers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};

/// The value of one figure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Figure {
    /// A level, a total, a span in milliseconds, a setting.
    Number(u64),
    /// A name, or a word such as yes and no.
    Text(String),
    /// It has no value now: nobody leads, nothing is due.
    Nothing,
}

impl fmt::Display for Figure {
    /// As the server wrote it; nothing is a dash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Nothing => f.write_str("-"),
        }
    }
}

/// The figures of a queue by their names in MQ.INFO.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Info(BTreeMap<String, Figure>);

impl Info {
    /// The figure `name`. Errors: `Unexpected` when the server knows no number of that name.
    pub fn number(&self, name: &str) -> Result<u64> {
        match self.get(name) {
            Some(Figure::Number(number)) => Ok(*number),
            Some(other) => Err(Error::Unexpected(format!("MQ.INFO: {name} is {other}"))),
            None => Err(Error::Unexpected(format!("MQ.INFO knows no {name}"))),
        }
    }

    /// The figure `name` as it was answered; `None`: the server knows none of that name.
    pub fn get(&self, name: &str) -> Option<&Figure> {
        self.0.get(name)
    }

    /// Messages that are not yet done: ready, delayed or claimed.
    pub fn backlog(&self) -> Result<u64> {
        ["ready", "delayed", "claimed"].into_iter().map(|name| self.number(name)).sum()
    }

    /// All figures, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Figure)> {
        self.0.iter().map(|(name, figure)| (name.as_str(), figure))
    }
}

impl FromIterator<(String, Figure)> for Info {
    fn from_iter<T: IntoIterator<Item = (String, Figure)>>(figures: T) -> Self {
        Self(figures.into_iter().collect())
    }
}

/// A consumer that holds claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Consumer {
    /// Its name; bytes that are not UTF-8 are replaced.
    pub name: String,
    /// How many messages it holds.
    pub claims: u64,
    /// What is left of the claim that ends first; zero when that has ended and no write has taken it back yet.
    pub nearest_deadline_in: Duration,
}
