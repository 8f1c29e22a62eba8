//! What DUMP answers for a queue, taken apart and put together again.
//!
//! A byte for "a module's value", nine for the type and its version; the value's parts, each behind an opcode; two bytes of
//! RDB version, eight of checksum (rdb.c, `rdbSaveObject`; module.c, `RM_SaveUnsigned` …).

/// One part of a module's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    Number(u64),
    Text(Vec<u8>),
}

/// A payload in parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payload {
    pub kind: Vec<u8>,
    pub parts: Vec<Part>,
    pub footer: Vec<u8>,
}

pub const KIND: usize = 1 + 9;
pub const FOOTER: usize = 2 + 8;

const NUMBER: u8 = 2;
const TEXT: u8 = 5;
const END: u8 = 0;

impl Payload {
    /// Takes apart what a server with `rdbcompression no` has dumped.
    pub fn parse(dump: &[u8]) -> Payload {
        let (kind, rest) = dump.split_at(KIND);
        let (mut rest, footer) = rest.split_at(rest.len() - FOOTER);
        let mut parts = Vec::new();
        while let Some((opcode, after)) = rest.split_first().filter(|(opcode, _)| **opcode != END) {
            let (number, after) = read_length(after);
            (parts, rest) = match *opcode {
                NUMBER => (with(parts, Part::Number(number)), after),
                TEXT => {
                    let (text, after) = after.split_at(number as usize);
                    (with(parts, Part::Text(text.to_vec())), after)
                }
                other => panic!("a part of an unknown kind: {other}"),
            };
        }
        assert_eq!(rest, [END], "the end of the value");
        Payload { kind: kind.to_vec(), parts, footer: footer.to_vec() }
    }

    /// As the server would dump it.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.kind.clone();
        for part in &self.parts {
            match part {
                Part::Number(number) => {
                    bytes.push(NUMBER);
                    write_length(*number, &mut bytes);
                }
                Part::Text(text) => {
                    bytes.push(TEXT);
                    write_length(text.len() as u64, &mut bytes);
                    bytes.extend(text);
                }
            }
        }
        bytes.push(END);
        bytes.extend(&self.footer);
        bytes
    }
}

fn with(mut parts: Vec<Part>, part: Part) -> Vec<Part> {
    parts.push(part);
    parts
}

/// A length as RDB files have it: in 6 or 14 bits, or in 4 or 8 bytes behind a mark.
fn read_length(bytes: &[u8]) -> (u64, &[u8]) {
    let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let (number, size) = match bytes[0] {
        first @ 0..0x40 => (u64::from(first), 1),
        0x40..0x80 => (big_endian(&bytes[..2]) & 0x3FFF, 2),
        0x80 => (big_endian(&bytes[1..5]), 5),
        0x81 => (big_endian(&bytes[1..9]), 9),
        other => panic!("not a plain length: {other:#x}"),
    };
    (number, &bytes[size..])
}

pub fn write_length(number: u64, bytes: &mut Vec<u8>) {
    if number < 0x40 {
        bytes.push(number as u8);
    } else if number < 0x4000 {
        bytes.extend((number as u16 | 0x4000).to_be_bytes());
    } else if let Ok(number) = u32::try_from(number) {
        bytes.push(0x80);
        bytes.extend(number.to_be_bytes());
    } else {
        bytes.push(0x81);
        bytes.extend(number.to_be_bytes());
    }
}
