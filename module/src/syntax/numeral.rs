//! Integers as clients write them.

/// Reads an integer in decimal: digits only, no sign, no blank, no leading zero, at most `u64::MAX`.
pub fn read(bytes: &[u8]) -> Option<u64> {
    /// Digits that cannot overflow.
    const SAFE_DIGITS: usize = 19;
    let (first, rest) = bytes.split_first()?;
    if *first == b'0' && !rest.is_empty() || bytes.len() > SAFE_DIGITS + 1 {
        return None;
    }
    let mut value = 0u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value.checked_mul(10)?.checked_add(digit.into())?;
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn plain_decimals_are_read() {
        for value in [0, 1, 9, 10, 4095, (1 << 53) - 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(read(value.to_string().as_bytes()), Some(value));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let others = [
            "",
            " ",
            "-1",
            "-0",
            "+1",
            "01",
            "00",
            "1 ",
            " 1",
            "1.0",
            "1e3",
            "0x10",
            "ten",
            "18446744073709551616",
            "99999999999999999999",
            "100000000000000000000",
            "1\0",
        ];
        for text in others {
            assert_eq!(read(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(read("\u{0661}".as_bytes()), None);
    }
}
