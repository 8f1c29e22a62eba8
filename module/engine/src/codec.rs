//! Bytes: the primitives that effects and saved queues are written in. Numbers are LEB128, texts carry their length.

/// Why bytes are not an effect or a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Corrupt(pub &'static str);

impl std::fmt::Display for Corrupt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Corrupt {}

/// Appends to a growing buffer.
#[derive(Debug, Default)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Whether payloads were left out, to travel beside the bytes.
    pub(crate) payloads_apart: bool,
}

/// Payloads of one push that are larger together than this travel beside its effect (bytes).
const LARGE_PUSH: usize = 16 * 1024;

impl Writer {
    /// With room for so many bytes: one allocation where the size is known about.
    pub(crate) fn with_capacity(bytes: usize) -> Writer {
        Writer { bytes: Vec::with_capacity(bytes), payloads_apart: false }
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub(crate) fn number(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.bytes.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.bytes.push(number as u8);
    }

    /// `None` is 0, a number its successor.
    pub(crate) fn optional(&mut self, number: Option<u64>) {
        match number {
            None => self.number(0),
            Some(number) => self.number(number.saturating_add(1)),
        }
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn numbers(&mut self, numbers: impl ExactSizeIterator<Item = u64>) {
        self.number(numbers.len() as u64);
        numbers.for_each(|number| self.number(number));
    }

    /// The payloads of a push; their number carries whether they are here or beside.
    pub(crate) fn payloads(&mut self, payloads: &[&[u8]]) {
        let apart = payloads.iter().map(|payload| payload.len()).sum::<usize>() > LARGE_PUSH;
        self.number((payloads.len() as u64) << 1 | u64::from(apart));
        if apart {
            self.payloads_apart = true;
        } else {
            payloads.iter().for_each(|payload| self.text(payload));
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Takes apart what [`Writer`] wrote, or anything else, without a panic and without believing a length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    /// Payloads that travelled beside the bytes and have not been asked for yet.
    apart: &'a [&'a [u8]],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, apart: &[] }
    }

    /// Of an effect, with the payloads beside it.
    pub fn with_apart(bytes: &'a [u8], apart: &'a [&'a [u8]]) -> Reader<'a> {
        Reader { bytes, apart }
    }

    pub fn byte(&mut self) -> Result<u8, Corrupt> {
        let (first, rest) = self.bytes.split_first().ok_or(Corrupt("cut short"))?;
        self.bytes = rest;
        Ok(*first)
    }

    pub fn number(&mut self) -> Result<u64, Corrupt> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return Err(Corrupt("number above 64 bits"));
            }
            number |= part << shift;
            if byte < 0x80 {
                // One number, one encoding: otherwise equal states could differ in their bytes.
                let canonical = byte != 0 || shift == 0;
                return if canonical { Ok(number) } else { Err(Corrupt("number with needless bytes")) };
            }
        }
        Err(Corrupt("number above 64 bits"))
    }

    /// A number that is at most `limit`.
    pub fn number_to(&mut self, limit: u64) -> Result<u64, Corrupt> {
        self.number().and_then(
            |number| {
                if number <= limit { Ok(number) } else { Err(Corrupt("number above its limit")) }
            },
        )
    }

    pub fn optional(&mut self) -> Result<Option<u64>, Corrupt> {
        Ok(self.number()?.checked_sub(1))
    }

    pub fn text(&mut self) -> Result<&'a [u8], Corrupt> {
        let length = self.number()?;
        self.raw(usize::try_from(length).map_err(|_| Corrupt("cut short"))?)
    }

    pub fn raw(&mut self, length: usize) -> Result<&'a [u8], Corrupt> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(Corrupt("cut short"))?;
        self.bytes = rest;
        Ok(bytes)
    }

    /// A list of numbers; each takes a byte at least, so its length is bounded by what is there.
    pub fn numbers(&mut self) -> Result<Vec<u64>, Corrupt> {
        let length = self.number_to(self.bytes.len() as u64)?;
        (0..length).map(|_| self.number()).collect()
    }

    /// The payloads of a push.
    pub fn payloads(&mut self) -> Result<Vec<&'a [u8]>, Corrupt> {
        let number = self.number()?;
        let (count, apart) = (number >> 1, number & 1 == 1);
        if !apart {
            // Each takes a byte at least.
            let count = if count <= self.bytes.len() as u64 { count } else { return Err(Corrupt("cut short")) };
            return (0..count).map(|_| self.text()).collect();
        }
        let count = usize::try_from(count).map_err(|_| Corrupt("payloads are missing"))?;
        let (payloads, rest) = self.apart.split_at_checked(count).ok_or(Corrupt("payloads are missing"))?;
        self.apart = rest;
        Ok(payloads.to_vec())
    }

    /// No byte is left.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Nothing may be left.
    pub fn end(&self) -> Result<(), Corrupt> {
        match (self.is_empty(), self.apart.is_empty()) {
            (true, true) => Ok(()),
            (false, _) => Err(Corrupt("bytes left over")),
            (true, false) => Err(Corrupt("payloads left over")),
        }
    }
}
