//! What an allocation really takes.

/// Bytes that the allocator gives for a request: the size classes of jemalloc, which Redis uses (multiples of 16 up to 128,
/// then four classes for each doubling; jemalloc(3), "IMPLEMENTATION NOTES").
pub(crate) fn allocated(bytes: usize) -> usize {
    match bytes {
        0 => 0,
        1..=128 => bytes.next_multiple_of(16),
        _ => {
            let doubling = (bytes - 1).ilog2();
            bytes.next_multiple_of(1 << (doubling - 2))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::allocated;

    #[test]
    fn the_size_classes_are_those_of_the_manual() {
        let classes = [(1, 16), (16, 16), (17, 32), (128, 128), (129, 160), (161, 192), (257, 320), (2048, 2048)];
        for (bytes, class) in classes.into_iter().chain([(2049, 2560), (3584, 3584), (16384, 16384), (16385, 20480)]) {
            assert_eq!(allocated(bytes), class, "{bytes}");
        }
    }
}
