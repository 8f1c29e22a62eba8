//! Saved queues, changed: wherever it may hurt, or only in a field, so that the rest still reads well.

use crate::dice::Dice;

/// The fields of each kind of chunk after its first byte, as the loader reads them: `b` a byte, `n` a number, `t` a text,
/// `s` the settings, `l` a list of numbers, `L` a leader if the byte before it says so.
const ENTRIES: [(u8, &str); 9] = [
    (1, "bnnnnslnnLnnn"),
    (2, "bbnnnnn"),
    (3, "bbnttn"),
    (4, "bbnn"),
    (5, "bbnn"),
    (6, "bbnnn"),
    (7, "bbnnnntt"),
    (8, "nt"),
    (9, "nbbnbnnn"),
];
const PRODUCER: (u8, &str) = (10, "tnnnbn");

/// Where the numbers are.
struct Fields<'c> {
    chunk: &'c [u8],
    at: usize,
    numbers: Vec<(usize, usize, u64)>,
}

impl Fields<'_> {
    fn number(&mut self) -> Option<u64> {
        let start = self.at;
        let (mut value, mut shift) = (0u64, 0);
        loop {
            let byte = *self.chunk.get(self.at)?;
            self.at += 1;
            value |= u64::from(byte & 0x7f).checked_shl(shift)?;
            shift += 7;
            if byte < 0x80 {
                self.numbers.push((start, self.at, value));
                return Some(value);
            }
        }
    }

    fn text(&mut self) -> Option<()> {
        let length = self.number()? as usize;
        self.at = self.at.checked_add(length).filter(|at| *at <= self.chunk.len())?;
        Some(())
    }

    fn field(&mut self, kind: char) -> Option<()> {
        match kind {
            'b' => self.at += 1,
            'n' => drop(self.number()?),
            't' => self.text()?,
            's' => (0..self.number()?.saturating_mul(2)).try_for_each(|_| self.number().map(drop))?,
            'l' => (0..self.number()?).try_for_each(|_| self.number().map(drop))?,
            _ => {
                let leads = *self.chunk.get(self.at)?;
                self.at += 1;
                if leads != 0 {
                    self.text()?;
                    (0..3).try_for_each(|_| self.number().map(drop))?;
                }
            }
        }
        Some(())
    }
}

/// Every number of a chunk: where it begins and ends, and its value.
fn numbers(chunk: &[u8]) -> Vec<(usize, usize, u64)> {
    let mut fields = Fields { chunk, at: 1, numbers: Vec::new() };
    let known = ENTRIES.iter().chain([&PRODUCER]).find(|(kind, _)| chunk.first() == Some(kind));
    let Some((kind, grammar)) = known else { return Vec::new() };
    while fields.at < chunk.len() {
        if grammar.chars().try_for_each(|field| fields.field(field)).is_none() || *kind == 2 {
            break; // behind a segment's head come its slots and payloads
        }
    }
    fields.numbers
}

fn encoded(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// One field has another value.
fn change_number(chunk: &mut Vec<u8>, dice: &mut Dice) {
    let numbers = numbers(chunk);
    if numbers.is_empty() {
        return;
    }
    let (start, end, value) = numbers[dice.below(numbers.len())];
    let new = match dice.below(4) {
        0 => dice.edge(value),
        1 => value.wrapping_add(dice.below(2000) as u64),
        2 => value.saturating_sub(dice.below(2000) as u64),
        _ => value ^ (1 << dice.below(8)),
    };
    chunk.splice(start..end, encoded(new));
}

/// Changes a saved queue, mostly in one place.
pub fn mutate(chunks: &mut Vec<Vec<u8>>, dice: &mut Dice) {
    for _ in 0..[1, 1, 1, 2, 3][dice.below(5)] {
        let which = dice.below(chunks.len());
        let other = dice.below(chunks.len());
        match dice.below(24) {
            0..18 => change_number(&mut chunks[which], dice),
            18 => {
                let at = dice.below(chunks[which].len());
                if let Some(byte) = chunks[which].get_mut(at) {
                    *byte = dice.number() as u8;
                }
            }
            19 => {
                let length = dice.below(chunks[which].len());
                chunks[which].truncate(length);
            }
            20 => chunks.swap(which, other),
            21 => chunks.insert(which, chunks[other].clone()),
            22 if chunks.len() > 1 => drop(chunks.remove(which)),
            _ => {
                let junk = (0..dice.below(40)).map(|_| dice.number() as u8).collect::<Vec<_>>();
                chunks[which].extend(junk);
            }
        }
    }
}
