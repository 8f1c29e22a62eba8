//! Payloads, changed: within a part, so that the rest still reads well; part against part; or the bytes as they come.

use crate::payload::{FOOTER, KIND, Part, Payload, write_length};

/// Random numbers with a seed: splitmix64 (Steele, Lea, Flood 2014).
pub struct Dice(pub u64);

impl Dice {
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.number() % bound.max(1) as u64) as usize
    }

    pub fn pick<'t, T>(&mut self, among: &'t [T]) -> &'t T {
        &among[self.below(among.len())]
    }

    /// A number at which something may turn over, or one near `near`.
    fn edge(&mut self, near: u64) -> u64 {
        const EDGES: [u64; 12] = [0, 1, 63, 64, 127, 128, 512, 16_384, 1 << 32, (1 << 53) - 1, 1 << 63, u64::MAX];
        match self.below(6) {
            0 => near.wrapping_add(1),
            1 => near.wrapping_sub(1),
            2 => near.wrapping_add(self.below(2000) as u64),
            3 => near ^ 1 << self.below(20),
            4 => self.number() >> self.below(64),
            _ => *self.pick(&EDGES),
        }
    }

    fn junk(&mut self, most: usize) -> Vec<u8> {
        (0..1 + self.below(most)).map(|_| self.number() as u8).collect()
    }
}

/// A payload to be tried: one of the queues' own, changed in a place or a few. `compressed` is the same as the server
/// dumps it with `rdbcompression yes`.
pub fn made_up(payload: &Payload, compressed: &[u8], others: &[Payload], dice: &mut Dice) -> Vec<u8> {
    if dice.below(16) == 0 {
        let mut bytes = compressed.to_vec();
        change_bytes(&mut bytes, dice);
        return bytes;
    }
    let mut changed = payload.clone();
    for _ in 0..[1, 1, 1, 2, 3][dice.below(5)] {
        change_parts(&mut changed, others, dice);
    }
    let mut bytes = changed.bytes();
    if dice.below(16) == 0 {
        change_bytes(&mut bytes, dice);
    }
    bytes
}

fn change_parts(payload: &mut Payload, others: &[Payload], dice: &mut Dice) {
    let parts = &mut payload.parts;
    // The first part says no more than that a queue follows.
    let which = if dice.below(20) == 0 { 0 } else { dice.below(parts.len() - 1) + 1 }.min(parts.len() - 1);
    let other = dice.below(parts.len());
    match dice.below(40) {
        0 => parts.swap(which, other),
        1 => parts.insert(which, parts[other].clone()),
        2 if parts.len() > 1 => drop(parts.remove(which)),
        3 => parts.truncate(1 + which),
        4 => parts.insert(which, Part::Number(dice.number())),
        // A part of another queue that begins as this one does, so of the same kind.
        5 | 6 => {
            let foreign: Vec<&Part> =
                dice.pick(others).parts.iter().filter(|part| kind(part) == kind(&parts[which])).collect();
            if !foreign.is_empty() {
                parts[which] = (*dice.pick(&foreign)).clone();
            }
        }
        _ => change_part(&mut parts[which], dice),
    }
}

fn kind(part: &Part) -> Option<u8> {
    match part {
        Part::Number(_) => None,
        Part::Text(text) => text.first().copied(),
    }
}

fn change_part(part: &mut Part, dice: &mut Dice) {
    match part {
        Part::Number(number) => *number = dice.edge(*number),
        Part::Text(text) => match dice.below(16) {
            0 => text.extend(dice.junk(20)),
            1 => text.truncate(dice.below(text.len())),
            2 => {
                let at = dice.below(text.len());
                text.splice(at..at, dice.junk(3));
            }
            3 => text.extend(text.clone()),
            4..7 => flip(text, 0, dice),
            _ => change_number(text, dice),
        },
    }
}

fn flip(bytes: &mut [u8], from: usize, dice: &mut Dice) {
    let at = from + dice.below(bytes.len().saturating_sub(from));
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if dice.below(2) == 0 { *byte ^ (1 << dice.below(8)) } else { dice.number() as u8 };
    }
}

/// Another number of the module's (seven bits a byte) from somewhere on; mostly one so long that it is a time or an id,
/// and then one near it.
fn change_number(text: &mut Vec<u8>, dice: &mut Dice) {
    let length = |start: usize| text[start..].iter().take(10).position(|byte| *byte < 0x80).map(|last| last + 1);
    let long: Vec<usize> = (0..text.len()).filter(|start| length(*start).is_some_and(|length| length > 4)).collect();
    let is_long = !long.is_empty() && dice.below(4) > 0;
    let start = if is_long { *dice.pick(&long) } else { dice.below(text.len()) };
    let Some(length) = length(start) else { return };
    let old = text[start..start + length].iter().rev().fold(0u64, |number, byte| number << 7 | u64::from(byte & 0x7F));
    let mut number = match (is_long, dice.below(8)) {
        (true, 0..4) => old.wrapping_add(dice.below(4000) as u64),
        (true, 4..7) => old.wrapping_sub(dice.below(4000) as u64),
        _ => dice.edge(old),
    };
    let mut new = Vec::new();
    while number >= 0x80 {
        new.push(number as u8 | 0x80);
        number >>= 7;
    }
    new.push(number as u8);
    text.splice(start..start + length, new);
}

/// Behind the type's name, which is the server's affair.
fn change_bytes(bytes: &mut Vec<u8>, dice: &mut Dice) {
    let end = bytes.len() - FOOTER;
    let (a, b) = (KIND + dice.below(end - KIND), KIND + dice.below(end - KIND));
    let (from, to) = (a.min(b), a.max(b));
    match dice.below(6) {
        0 | 1 => flip(&mut bytes[..end], KIND, dice),
        2 => drop(bytes.drain(from..end)),
        3 => drop(bytes.drain(from..to.min(from + 8))),
        4 => {
            let doubled = bytes[from..to].to_vec();
            bytes.splice(to..to, doubled);
        }
        _ => {
            let mut length = Vec::new();
            match dice.below(3) {
                0 => write_length(dice.edge(to as u64), &mut length),
                // A compressed string that claims such sizes, and a string that is a number.
                1 => {
                    length.push(0xC3);
                    write_length(dice.edge(10), &mut length);
                    write_length(dice.edge(100), &mut length);
                }
                _ => length.push(0xC0 + dice.below(3) as u8),
            }
            bytes.splice(from..=from, length);
        }
    }
}
